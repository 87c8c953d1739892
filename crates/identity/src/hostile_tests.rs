//! Tokens that must not pass, and the ones beside them that must.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use sluice_kernel::Identify as _;
use sluice_model::{Code, ExposeSecret as _, Person, Secret, TokenId, Who};
use sluice_wire::Claim;

use crate::error::TokenError;
use crate::mint::{Lifetimes, MintRequest, mint};
use crate::testing::{NOW, NOW_SECONDS, Setup, Signer, b64, claims, config};
use crate::{Algorithm, Identity};

/// One key of each family; making an RSA key takes long.
struct Keyring {
    rsa: Signer,
    ec: Signer,
    ed: Signer,
}

static KEYRING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring { rsa: Signer::rsa(), ec: Signer::ec(), ed: Signer::ed() });

fn published() -> Vec<Value> {
    vec![KEYRING.rsa.jwk("rsa"), KEYRING.ec.jwk("ec"), KEYRING.ed.jwk("ed")]
}

const RS256: &str = r#"{"alg":"RS256","kid":"rsa","typ":"JWT"}"#;

/// A well-signed token with these claims changed; `null` removes one.
fn with(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    KEYRING.rsa.token(RS256, &claims.to_string())
}

/// A well-signed token under this header.
fn under(header: &str) -> String {
    KEYRING.rsa.token(header, &claims().to_string())
}

/// A well-signed token under the usual header with one more member.
fn extended(member: &str) -> String {
    under(&format!(r#"{{"alg":"RS256","kid":"rsa","typ":"JWT",{member}}}"#))
}

async fn verdict(identity: &Identity, token: &str) -> Option<TokenError> {
    identity.check_token(&Secret::from(token), NOW).await.err()
}

async fn check(table: Vec<(&str, String, Option<TokenError>)>) {
    let setup = Setup::new();
    let identity = setup.identity(vec![config(setup.publish(&published()))]);
    for (name, token, expected) in table {
        assert_eq!(verdict(&identity, &token).await, expected, "{name}");
    }
}

#[tokio::test]
async fn good_tokens_of_every_family_pass() {
    let body = claims().to_string();
    check(vec![
        ("RS256", with(&json!({})), None),
        ("ES256", KEYRING.ec.token(r#"{"alg":"ES256","kid":"ec","typ":"at+jwt"}"#, &body), None),
        ("EdDSA", KEYRING.ed.token(r#"{"typ":"application/AT+JWT","alg":"EdDSA","kid":"ed"}"#, &body), None),
        ("unknown header members are ignored", extended(r#""x5t":"AA","ver":1"#), None),
    ])
    .await;
}

#[tokio::test]
async fn forged_signatures_do_not_pass() {
    let body = claims().to_string();
    let unsigned = |header: &str, signature: &str| format!("{}.{}.{signature}", b64(header), b64(&body));
    // The classic confusion: the public key, in any form an attacker can get, as an HMAC secret.
    let confused = |header: &str, secret: &[u8]| {
        let input = format!("{}.{}", b64(header), b64(&body));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        format!("{input}.{}", b64(tag))
    };
    let jwk = KEYRING.rsa.jwk("rsa");
    let public = jwk["n"].as_str().unwrap();
    let good = with(&json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let psychic = |bytes: &[u8]| unsigned(r#"{"alg":"ES256","kid":"ec","typ":"JWT"}"#, &b64(bytes));
    check(vec![
        ("none", unsigned(r#"{"alg":"none","typ":"JWT"}"#, ""), Some(TokenError::Algorithm)),
        ("None", unsigned(r#"{"alg":"None","kid":"rsa","typ":"JWT"}"#, ""), Some(TokenError::Algorithm)),
        ("empty alg", unsigned(r#"{"alg":"","kid":"rsa","typ":"JWT"}"#, ""), Some(TokenError::Algorithm)),
        ("no alg", unsigned(r#"{"kid":"rsa","typ":"JWT"}"#, ""), Some(TokenError::Header)),
        ("alg of another type", unsigned(r#"{"alg":["RS256"],"kid":"rsa"}"#, ""), Some(TokenError::Header)),
        (
            "HS256",
            confused(r#"{"alg":"HS256","kid":"rsa","typ":"JWT"}"#, public.as_bytes()),
            Some(TokenError::Algorithm),
        ),
        ("HS256 as RS256", confused(RS256, public.as_bytes()), Some(TokenError::Signature)),
        ("HS512", unsigned(r#"{"alg":"HS512","kid":"rsa","typ":"JWT"}"#, "AAAA"), Some(TokenError::Algorithm)),
        (
            "RS256 key named for ES256",
            unsigned(r#"{"alg":"ES256","kid":"rsa","typ":"JWT"}"#, "AAAA"),
            Some(TokenError::Algorithm),
        ),
        (
            "EC key named for RS256",
            unsigned(r#"{"alg":"RS256","kid":"ec","typ":"JWT"}"#, "AAAA"),
            Some(TokenError::Algorithm),
        ),
        (
            "an algorithm the issuer may not use",
            unsigned(r#"{"alg":"PS256","kid":"rsa","typ":"JWT"}"#, "AAAA"),
            Some(TokenError::Algorithm),
        ),
        ("psychic r = s = 0", psychic(&[0; 64]), Some(TokenError::Signature)),
        ("psychic r = s = n", psychic(&[P256_ORDER, P256_ORDER].concat()), Some(TokenError::Signature)),
        ("psychic, short", psychic(&[0; 8]), Some(TokenError::Signature)),
        ("no signature", format!("{signed}."), Some(TokenError::Signature)),
        (
            "other claims under a good signature",
            format!("{}.{}.{signature}", b64(RS256), b64(body.replace("u-17", "u-18"))),
            Some(TokenError::Signature),
        ),
        (
            "another key",
            Signer::ed().token(r#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#, &body),
            Some(TokenError::Signature),
        ),
        ("padding", format!("{good}="), Some(TokenError::Malformed)),
    ])
    .await;
}

/// The order of the group of P-256 (SEC 2 §2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[tokio::test]
async fn a_header_brings_no_keys_and_no_tricks() {
    let own = Signer::ed();
    let embedded = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"ed","jwk":{}}}"#, own.jwk("ed"));
    let named = |kid: &str| under(&json!({ "alg": "RS256", "typ": "JWT", "kid": kid }).to_string());
    check(vec![
        ("jwk", own.token(&embedded, &claims().to_string()), Some(TokenError::Header)),
        ("jku", extended(r#""jku":"http://127.0.0.1:1/""#), Some(TokenError::Header)),
        ("x5u", extended(r#""x5u":"http://127.0.0.1:1/""#), Some(TokenError::Header)),
        ("x5c", extended(r#""x5c":[]"#), Some(TokenError::Header)),
        ("crit", extended(r#""crit":["exp"]"#), Some(TokenError::Header)),
        ("empty crit", extended(r#""crit":[]"#), Some(TokenError::Header)),
        ("b64 false", extended(r#""b64":false"#), Some(TokenError::Header)),
        ("b64 true", extended(r#""b64":true"#), Some(TokenError::Header)),
        ("zip", extended(r#""zip":"DEF""#), Some(TokenError::Header)),
        ("cty", extended(r#""cty":"JWT""#), Some(TokenError::Header)),
        ("kid path", named("../../../../dev/null"), Some(TokenError::UnknownKey)),
        ("kid SQL", named("' UNION SELECT 'secret' --"), Some(TokenError::UnknownKey)),
        ("kid URL", named("http://127.0.0.1:1/jwks"), Some(TokenError::UnknownKey)),
        ("kid shell", named("$(id)"), Some(TokenError::UnknownKey)),
        ("kid NUL", named("rsa\0"), Some(TokenError::UnknownKey)),
        ("empty kid", named(""), Some(TokenError::UnknownKey)),
        ("kid too long", named(&"k".repeat(257)), Some(TokenError::Header)),
        ("kid of another type", under(r#"{"alg":"RS256","typ":"JWT","kid":["rsa"]}"#), Some(TokenError::Header)),
        ("no kid among several keys", under(r#"{"alg":"RS256","typ":"JWT"}"#), Some(TokenError::UnknownKey)),
        ("alg twice", under(r#"{"alg":"RS256","kid":"rsa","typ":"JWT","alg":"RS256"}"#), Some(TokenError::Malformed)),
        (
            "alg twice, once escaped",
            under(r#"{"alg":"none","\u0061lg":"RS256","kid":"rsa","typ":"JWT"}"#),
            Some(TokenError::Malformed),
        ),
        ("kid twice", under(r#"{"alg":"RS256","kid":"ed","kid":"rsa","typ":"JWT"}"#), Some(TokenError::Malformed)),
        ("no typ", under(r#"{"alg":"RS256","kid":"rsa"}"#), Some(TokenError::Type)),
        ("another typ", under(r#"{"alg":"RS256","kid":"rsa","typ":"dpop+jwt"}"#), Some(TokenError::Type)),
        ("the broker's typ", under(r#"{"alg":"RS256","kid":"rsa","typ":"sluice+jwt"}"#), Some(TokenError::Type)),
    ])
    .await;
}

#[tokio::test]
async fn claims_have_one_reading() {
    let twice = |name: &str, value: &str| {
        let body = claims().to_string();
        KEYRING.rsa.token(RS256, &format!(r#"{},"{name}":{value}}}"#, body.strip_suffix('}').unwrap()))
    };
    check(vec![
        ("sub twice", twice("sub", r#""root""#), Some(TokenError::Malformed)),
        ("exp twice", twice("exp", "99999999999"), Some(TokenError::Malformed)),
        ("iss twice", twice("iss", r#""sluice""#), Some(TokenError::Malformed)),
        ("a nested name twice", twice("x", r#"{"a":1,"a":2}"#), Some(TokenError::Malformed)),
        ("aud missing", with(&json!({ "aud": null })), Some(TokenError::Claims)),
        ("aud wrong", with(&json!({ "aud": "another" })), Some(TokenError::Audience)),
        ("aud of another case", with(&json!({ "aud": "Sluice-Broker" })), Some(TokenError::Audience)),
        ("aud array with us", with(&json!({ "aud": ["account", "sluice-broker"] })), None),
        ("aud array without us", with(&json!({ "aud": ["account"] })), Some(TokenError::Audience)),
        ("aud empty array", with(&json!({ "aud": [] })), Some(TokenError::Audience)),
        ("aud array of mixed types", with(&json!({ "aud": ["sluice-broker", 7] })), Some(TokenError::Claims)),
        ("aud nested", with(&json!({ "aud": [["sluice-broker"]] })), Some(TokenError::Claims)),
        ("aud object", with(&json!({ "aud": { "sluice-broker": true } })), Some(TokenError::Claims)),
        ("aud number", with(&json!({ "aud": 7 })), Some(TokenError::Claims)),
        ("iss missing", with(&json!({ "iss": null })), Some(TokenError::Claims)),
        ("iss array", with(&json!({ "iss": ["https://idp.example.com"] })), Some(TokenError::Claims)),
        ("iss wrong", with(&json!({ "iss": "https://idp.example.com/" })), Some(TokenError::UnknownIssuer)),
        ("iss of the broker", with(&json!({ "iss": "sluice" })), Some(TokenError::Algorithm)),
        ("sub missing", with(&json!({ "sub": null })), Some(TokenError::Claims)),
        ("sub empty", with(&json!({ "sub": "" })), Some(TokenError::Claims)),
        ("sub number", with(&json!({ "sub": 17 })), Some(TokenError::Claims)),
        ("sub too long", with(&json!({ "sub": "s".repeat(256) })), Some(TokenError::Subject)),
        ("sub longest", with(&json!({ "sub": "s".repeat(255) })), None),
        ("sub with a line break", with(&json!({ "sub": "u\nroot" })), Some(TokenError::Subject)),
        ("sub that reads backwards", with(&json!({ "sub": "u\u{202e}toor" })), Some(TokenError::Subject)),
        ("groups missing", with(&json!({ "groups": null })), Some(TokenError::Groups)),
        ("groups of another type", with(&json!({ "groups": { "dev": true } })), Some(TokenError::Groups)),
        ("groups of mixed types", with(&json!({ "groups": ["dev", 7] })), Some(TokenError::Groups)),
        ("a group that is no name", with(&json!({ "groups": ["dev", "Domain Users"] })), Some(TokenError::Groups)),
        ("no groups", with(&json!({ "groups": [] })), None),
        ("claims that are no object", KEYRING.rsa.token(RS256, "[]"), Some(TokenError::Malformed)),
    ])
    .await;
}

#[tokio::test]
async fn times_are_whole_seconds_within_bounds() {
    let at = |offset: i64| NOW_SECONDS + offset;
    let mut null = claims();
    null["exp"] = Value::Null;
    let null = KEYRING.rsa.token(RS256, &null.to_string());
    check(vec![
        ("exp missing", with(&json!({ "exp": null })), Some(TokenError::Claims)),
        ("exp string", with(&json!({ "exp": at(600).to_string() })), Some(TokenError::Claims)),
        ("exp fraction", with(&json!({ "exp": 1_800_000_600.5 })), Some(TokenError::Claims)),
        ("exp negative", with(&json!({ "exp": -1 })), Some(TokenError::Claims)),
        ("exp beyond i64", with(&json!({ "exp": u64::MAX })), Some(TokenError::Claims)),
        ("exp beyond the calendar", with(&json!({ "exp": 253_402_300_800_i64 })), Some(TokenError::Claims)),
        ("exp too far", with(&json!({ "exp": at(3591) })), Some(TokenError::Lifetime)),
        ("exp as far as may be", with(&json!({ "exp": at(3590) })), None),
        ("exp before iat", with(&json!({ "exp": at(-20) })), Some(TokenError::Lifetime)),
        ("expired", with(&json!({ "iat": at(-600), "exp": at(-30) })), Some(TokenError::Expired)),
        ("expired within the leeway", with(&json!({ "iat": at(-600), "exp": at(-29) })), None),
        ("nbf future", with(&json!({ "nbf": at(31) })), Some(TokenError::NotYetValid)),
        ("nbf within the leeway", with(&json!({ "nbf": at(30) })), None),
        ("nbf string", with(&json!({ "nbf": "0" })), Some(TokenError::Claims)),
        ("nbf missing", with(&json!({ "nbf": null })), None),
        ("iat missing", with(&json!({ "iat": null })), Some(TokenError::Claims)),
        ("iat future", with(&json!({ "iat": at(31), "nbf": null })), Some(TokenError::NotYetValid)),
        ("iat within the leeway", with(&json!({ "iat": at(30), "nbf": null })), None),
        ("iat string", with(&json!({ "iat": "0" })), Some(TokenError::Claims)),
        ("exp null", null, Some(TokenError::Claims)),
    ])
    .await;
}

#[tokio::test]
async fn shapes_that_are_no_token_do_not_pass() {
    let good = with(&json!({}));
    let padding = |length: usize| {
        // A claim that brings the whole token to an exact length.
        let mut filler = String::new();
        loop {
            let token = with(&json!({ "filler": filler }));
            if token.len() >= length {
                return token;
            }
            filler.push_str(&"x".repeat(((length - token.len()) * 3 / 4).max(1)));
        }
    };
    let parts: Vec<&str> = good.split('.').collect();
    let invalid = b64(b"{\"alg\":\"RS256\",\"kid\":\"\xff\"}");
    check(vec![
        ("empty", String::new(), Some(TokenError::Malformed)),
        ("a password", "hunter2".to_owned(), Some(TokenError::Malformed)),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Some(TokenError::Malformed)),
        ("four parts", format!("{good}."), Some(TokenError::Malformed)),
        ("five parts", format!("{good}.a.b"), Some(TokenError::Malformed)),
        ("dots", "..".to_owned(), Some(TokenError::Malformed)),
        ("sixteen thousand dots", ".".repeat(16 * 1024), Some(TokenError::Malformed)),
        ("a million dots", ".".repeat(1_000_000), Some(TokenError::TooLarge)),
        ("huge", "a".repeat(10_000_000), Some(TokenError::TooLarge)),
        ("line break", format!("{good}\n"), Some(TokenError::Malformed)),
        ("leading space", format!(" {good}"), Some(TokenError::Malformed)),
        ("bearer prefix", format!("Bearer {good}"), Some(TokenError::Malformed)),
        ("not ASCII", good.replacen('.', "\u{ff0e}", 1), Some(TokenError::Malformed)),
        ("header that is not UTF-8", format!("{invalid}.{}.{}", parts[1], parts[2]), Some(TokenError::Malformed)),
        (
            "claims that are not UTF-8",
            KEYRING.rsa.token(RS256, "").replacen("..", &format!(".{}.", b64(b"{\"sub\":\"\xc3\x28\"}")), 1),
            Some(TokenError::Malformed),
        ),
        ("text after the claims", KEYRING.rsa.token(RS256, &format!("{}x", claims())), Some(TokenError::Malformed)),
        (
            "claims too deep",
            KEYRING.rsa.token(RS256, &format!("{}{}", r#"{"a":"#.repeat(300), "}".repeat(300))),
            Some(TokenError::Malformed),
        ),
        ("as large as may be", padding(16 * 1024 - 2), None),
        ("larger than may be", padding(16 * 1024 + 1), Some(TokenError::TooLarge)),
    ])
    .await;
}

#[tokio::test]
async fn rotated_keys_are_found_and_removed_ones_refused() {
    let setup = Setup::new();
    let (old, new) = (Signer::ed(), Signer::ed());
    let signed = |key: &Signer, kid: &str| {
        key.token(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid }).to_string(), &claims().to_string())
    };
    let identity = setup.identity(vec![config(setup.publish(&[old.jwk("old")]))]);
    assert_eq!(verdict(&identity, &signed(&old, "old")).await, None);
    assert_eq!(verdict(&identity, &signed(&new, "new")).await, Some(TokenError::UnknownKey));
    setup.publish(&[old.jwk("old"), new.jwk("new")]);
    assert_eq!(verdict(&identity, &signed(&old, "old")).await, None);
    assert_eq!(verdict(&identity, &signed(&new, "new")).await, None);
    setup.publish(&[new.jwk("new")]);
    assert_eq!(verdict(&identity, &signed(&old, "old")).await, Some(TokenError::UnknownKey));
    setup.publish(&[new.jwk("old")]);
    assert_eq!(verdict(&identity, &signed(&old, "old")).await, Some(TokenError::Signature));
}

#[tokio::test]
async fn tokens_of_the_broker_are_held_to_a_closed_form() {
    let setup = Setup::new();
    let identity = setup.identity(vec![]);
    let id = setup.keys.id().to_owned();
    let base = json!({
        "iss": "sluice", "aud": "sluice", "sub": "alice", "role": "user", "groups": [], "jti": "t-1",
        "iat": NOW_SECONDS, "nbf": NOW_SECONDS, "exp": NOW_SECONDS + 60,
    });
    let actor = json!({ "sub": "claude", "groups": [] });
    let signed = |header: &Value, changes: Value| {
        let mut claims = base.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        let claims: serde_json::Map<_, _> = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
        let input = format!("{}.{}", b64(header.to_string()), b64(Value::Object(claims).to_string()));
        format!("{input}.{}", b64(setup.keys.sign(input.as_bytes()).unwrap()))
    };
    let header = json!({ "alg": "EdDSA", "typ": "sluice+jwt", "kid": id });
    for (name, changes, expected) in [
        ("good", json!({}), None),
        ("good agent", json!({ "role": "agent", "act": actor }), None),
        ("no jti", json!({ "jti": null }), Some(TokenError::Claims)),
        ("a jti that is no id", json!({ "jti": "a b" }), Some(TokenError::Claims)),
        ("no role", json!({ "role": null }), Some(TokenError::Claims)),
        ("an unknown claim", json!({ "admin": true }), Some(TokenError::Claims)),
        ("an agent without an actor", json!({ "role": "agent" }), Some(TokenError::Claims)),
        ("a user with an actor", json!({ "act": actor }), Some(TokenError::Claims)),
        (
            "an actor of an actor",
            json!({ "role": "agent", "act": { "sub": "a", "groups": [], "act": actor } }),
            Some(TokenError::Claims),
        ),
        ("a workload without an issuer", json!({ "role": "workload" }), Some(TokenError::Claims)),
        ("aud array", json!({ "aud": ["sluice"] }), Some(TokenError::Claims)),
        ("aud wrong", json!({ "aud": "other" }), Some(TokenError::Audience)),
        ("no nbf", json!({ "nbf": null }), Some(TokenError::Claims)),
        ("a target that is no name", json!({ "targets": ["a b"] }), Some(TokenError::Claims)),
        ("more than a day", json!({ "exp": NOW_SECONDS + 86_401 }), Some(TokenError::Lifetime)),
    ] {
        assert_eq!(verdict(&identity, &signed(&header, changes)).await, expected, "{name}");
    }
    for (name, header, expected) in [
        ("typ JWT", json!({ "alg": "EdDSA", "typ": "JWT", "kid": id }), TokenError::Type),
        ("typ of another case", json!({ "alg": "EdDSA", "typ": "Sluice+JWT", "kid": id }), TokenError::Type),
        ("no typ", json!({ "alg": "EdDSA", "kid": id }), TokenError::Type),
        ("no kid", json!({ "alg": "EdDSA", "typ": "sluice+jwt" }), TokenError::UnknownKey),
        ("another kid", json!({ "alg": "EdDSA", "typ": "sluice+jwt", "kid": "x" }), TokenError::UnknownKey),
        ("an unknown member", json!({ "alg": "EdDSA", "typ": "sluice+jwt", "kid": id, "x": 1 }), TokenError::Header),
        ("another alg", json!({ "alg": "ES256", "typ": "sluice+jwt", "kid": id }), TokenError::Algorithm),
    ] {
        assert_eq!(verdict(&identity, &signed(&header, json!({}))).await, Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_configured_issuer_cannot_speak_for_the_broker_or_another_issuer() {
    let setup = Setup::new();
    let second = crate::IssuerConfig {
        name: "other".to_owned(),
        issuer: "https://other.example.com".to_owned(),
        jwks: setup.home.path().join("other.json").to_str().unwrap().to_owned(),
        ..config("/")
    };
    let other = Signer::ed();
    crate::testing::publish(&setup.home.path().join("other.json"), &[other.jwk("ed")]);
    let identity = setup.identity(vec![config(setup.publish(&published())), second]);
    let header = r#"{"alg":"EdDSA","typ":"JWT","kid":"ed"}"#;
    let stolen = other.token(header, &claims().to_string());
    assert_eq!(verdict(&identity, &stolen).await, Some(TokenError::Signature));
    let mut own = claims();
    own["iss"] = json!("https://other.example.com");
    let own = Secret::from(other.token(header, &own.to_string()));
    assert_eq!(identity.check_token(&own, NOW).await.unwrap().name(), "other:u-17");
}

#[tokio::test]
async fn a_revoked_token_does_not_come_back_under_another_signature() {
    let setup = Setup::new();
    let identity = setup.identity(vec![config(setup.publish(&published()))]);
    let header = r#"{"alg":"ES256","typ":"JWT","kid":"ec"}"#;
    let (one, two) = (KEYRING.ec.token(header, &claims().to_string()), KEYRING.ec.token(header, &claims().to_string()));
    assert_ne!(one, two);
    let principal = identity.check_token(&Secret::from(one), NOW).await.unwrap();
    setup.revoked.revoke(principal.token, principal.expires);
    assert_eq!(verdict(&identity, &two).await, Some(TokenError::Revoked));
}

#[tokio::test]
async fn refusals_say_one_sentence_and_nothing_of_the_token() {
    let setup = Setup::new();
    let identity = setup.identity(vec![config(setup.publish(&published()))]);
    let forged = with(&json!({})).replacen("eyJ", "eyI", 1);
    let other = with(&json!({ "sub": "canary-sub", "aud": "canary-aud" }));
    let kid = under(r#"{"alg":"RS256","kid":"canary-kid","typ":"JWT"}"#);
    let issuer = with(&json!({ "iss": "canary-iss" }));
    for token in [forged, other, kid, issuer, "canary-password".to_owned()] {
        let refusal = identity.authenticate(Claim::Token(Secret::from(token.clone())), NOW).await.unwrap_err();
        let words = format!("{refusal:?}");
        assert!(!words.contains("canary") && !words.contains(&token), "{words}");
        assert!(!refusal.message.contains('\n') && refusal.message.len() < 100, "{words}");
        assert_eq!(refusal.code, Code::Unauthenticated);
    }
    // All forgeries read the same.
    let words = [TokenError::Algorithm, TokenError::UnknownKey, TokenError::Signature].map(TokenError::refusal);
    assert!(words.iter().all(|refusal| *refusal == words[0]));
}

#[tokio::test]
async fn reloading_replaces_all_issuers_or_none() {
    let setup = Setup::new();
    let good = config(setup.publish(&published()));
    let identity = setup.identity(vec![good.clone()]);
    let token = with(&json!({}));
    let twin = crate::IssuerConfig { issuer: "https://twin.example.com".to_owned(), ..good.clone() };
    let broken =
        crate::IssuerConfig { name: "b".to_owned(), issuer: "https://b".to_owned(), ..config("http://b/jwks") };
    let mistakes = identity.reload(vec![good.clone(), twin, broken]).unwrap_err();
    let fields: Vec<_> = mistakes.iter().map(|mistake| (mistake.issuer.as_str(), mistake.field)).collect();
    assert_eq!(fields, [("corp", "name"), ("b", "jwks")]);
    assert_eq!(verdict(&identity, &token).await, None);
    identity.reload(vec![]).unwrap();
    assert_eq!(verdict(&identity, &token).await, Some(TokenError::UnknownIssuer));
    let narrowed = crate::IssuerConfig { algorithms: BTreeSet::from([Algorithm::EdDsa]), ..good };
    identity.reload(vec![narrowed]).unwrap();
    assert_eq!(verdict(&identity, &token).await, Some(TokenError::Algorithm));
}

#[tokio::test]
async fn tokens_of_an_issuer_that_goes_or_changes_count_no_longer() {
    let setup = Setup::new();
    let good = config(setup.publish(&published()));
    let other = crate::IssuerConfig {
        name: "other".to_owned(),
        issuer: "https://other.example.com".to_owned(),
        ..config(good.jwks.clone())
    };
    for (name, issuers, holds) in [
        ("as it was", vec![good.clone()], true),
        ("beside another", vec![other.clone(), good.clone()], true),
        ("another audience", vec![crate::IssuerConfig { audiences: ["x".to_owned()].into(), ..good.clone() }], false),
        ("another", vec![other], false),
        ("none", vec![], false),
    ] {
        let identity = setup.identity(vec![good.clone()]);
        let believed = identity.authenticate(Claim::Token(Secret::from(with(&json!({})))), NOW).await.unwrap();
        identity.reload(issuers).unwrap();
        assert_eq!(identity.still_holds(&believed.principal, NOW), holds, "{name}");
    }
    let identity = setup.identity(vec![]);
    let who = Who::User(Person { name: "alice".to_owned(), groups: BTreeSet::new() });
    let request = MintRequest { who, targets: None, ttl_seconds: None, id: TokenId::new("t").unwrap(), run: None };
    let own = mint(&setup.keys, Lifetimes::STANDARD, request, NOW).unwrap();
    let own = identity.authenticate(Claim::Token(own), NOW).await.unwrap();
    identity.reload(vec![good]).unwrap();
    assert!(identity.still_holds(&own.principal, NOW), "no issuer decides on the broker's own");
}

#[tokio::test]
async fn an_issuer_names_no_run() {
    let setup = Setup::new();
    let identity = setup.identity(vec![config(setup.publish(&published()))]);
    let token = Secret::from(with(&json!({ "run": "r-1" })));
    assert_eq!(identity.check_token(&token, NOW).await.unwrap().run, None);
}

#[tokio::test]
async fn every_changed_character_of_a_token_is_noticed() {
    let setup = Setup::new();
    let identity = setup.identity(vec![]);
    let who = Who::User(Person { name: "alice".to_owned(), groups: BTreeSet::new() });
    let request = MintRequest { who, targets: None, ttl_seconds: None, id: TokenId::new("t").unwrap(), run: None };
    let token = mint(&setup.keys, Lifetimes::STANDARD, request, NOW).unwrap();
    let token = token.expose_secret();
    for (place, old) in token.char_indices() {
        for new in ['A', 'B', '.', '-'] {
            let mut changed = token.to_owned();
            changed.replace_range(place..=place, new.encode_utf8(&mut [0; 4]));
            let expected = new == old;
            assert_eq!(verdict(&identity, &changed).await.is_none(), expected, "{place} {new}");
        }
    }
}
