//! Who gets in, and what those are told who do not.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::clients::psql;
use sluice_tests::database::Server;
use sluice_tests::jwt::{AUDIENCE, ISSUER, Issuer, unsigned};
use sluice_tests::run::run;
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Wire, say};

use crate::shop::{DATA, Shop};

/// A broker that trusts an issuer of the tests.
fn trusting(issuer: &Issuer) -> Shop {
    let file = std::env::temp_dir().join(format!("sluice-test-jwks-{}-{:p}.json", std::process::id(), issuer));
    assert!(fs::write(&file, issuer.jwks()).is_ok());
    let section = format!(
        "issuers:\n  - {{ name: corp, issuer: \"{ISSUER}\", audiences: [{AUDIENCE}], jwks: \"{}\", algorithms: [EdDSA], \
         groups_claim: groups, kind: user }}",
        file.display()
    );
    let shop = Shop::with(|setup| setup.more(&section));
    let mut corp = shop.broker.wire("ann", "shop", &issuer.sign(&Issuer::claims("ann", "analysts")));
    assert_eq!(corp.query("SELECT email FROM customers WHERE id = 1").ok().rows(), [[Some("***".to_owned())]]);
    let _gone = fs::remove_file(file);
    shop
}

/// The one line that psql prints when it does not get in.
fn turned_away(shop: &Shop, token: &str) -> String {
    let mut psql = psql(&shop.broker, "ann", "shop", token);
    let seen = run(psql.args(["-c", "SELECT 1"]), SOON);
    assert_eq!((seen.code, seen.stdout.as_str()), (Some(2), ""), "{}", seen.said());
    let fatal: Vec<&str> = seen.stderr.lines().filter(|line| line.contains("FATAL")).collect();
    assert_eq!(fatal.len(), 1, "{}", seen.stderr);
    for part in token.split('.').filter(|part| part.len() > 20) {
        assert!(!seen.stderr.contains(part) && !shop.broker.log().contains(part), "a part of the token is shown");
    }
    seen.stderr
}

#[test]
fn bad_tokens_are_turned_away_with_one_line() {
    let issuer = Issuer::new();
    let shop = trusting(&issuer);
    let good = Issuer::claims("ann", "analysts");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let hour_ago = good["exp"].as_i64().unwrap_or_default() - 4_200;
    let mut expired = with("exp", json!(hour_ago + 600));
    expired["iat"] = json!(hour_ago);
    expired["nbf"] = json!(hour_ago);
    let mut tampered = issuer.sign(&good);
    let signature = tampered.rfind('.').unwrap_or_default();
    tampered.replace_range(signature + 1..signature + 5, "AAAA");
    let cases = [
        ("expired", issuer.sign(&expired)),
        ("for another audience", issuer.sign(&with("aud", json!("elsewhere")))),
        ("of another issuer", issuer.sign(&with("iss", json!("https://id.elsewhere.invalid")))),
        ("of the future", issuer.sign(&with("nbf", json!(hour_ago + 8_000)))),
        ("of somebody else's key", Issuer::new().sign(&good)),
        ("unsigned", unsigned(&good)),
        ("tampered with", tampered),
        ("not a token", "let-me-in-please".to_owned()),
    ];
    for (what, token) in cases {
        let said = turned_away(&shop, &token);
        assert!(said.contains("FATAL"), "{what}: {said}");
    }
    let said = turned_away(&shop, "x.y.z");
    assert!(!said.contains("panick"), "{said}");
    shop.broker.log_is_clean();
}

#[test]
fn an_unsigned_token_with_the_brokers_own_claims_is_turned_away() {
    let shop = Shop::open();
    let good = shop.broker.token("ann", "analysts");
    let mut parts = good.split('.');
    let (_, claims) = (parts.next(), parts.next().unwrap_or_default());
    use base64::Engine as _;
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let _said = turned_away(&shop, &format!("{head}.{claims}."));
    let mut wire = shop.broker.wire("ann", "shop", &good);
    assert_eq!(wire.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn a_missing_and_a_forbidden_target_read_the_same() {
    let shop = Shop::open();
    let stranger = shop.broker.token("eve", "nobodies");
    let known = shop.broker.token("alice", "analysts");
    let scoped = shop.broker.mint(&["--user", "alice", "--group", "analysts", "--target", "shop"]);
    let heard = |target: &str, token: &str| {
        let mut wire = Wire::tcp(shop.broker.port());
        let said = wire.sign_in(&[("user", "eve"), ("database", target)], token);
        assert!(said.is_err(), "{target}");
        // Decision ids differ.
        let error = wire.heard.split(|byte| *byte == b'E').next_back().map(<[u8]>::to_vec).unwrap_or_default();
        (said, error.len())
    };
    let forbidden = heard("shop", &stranger);
    assert_eq!(forbidden, heard("nope", &stranger));
    assert_eq!(forbidden.0, heard("nope", &known).0);
    assert_eq!(forbidden.0, heard("shop-prod", &scoped).0);
}

#[test]
fn scram_logins_get_in_with_their_password_only() {
    let shop = Shop::open();
    let made = shop.broker.json(&["scram", "create", "--login", "metabase", "--user", "alice", "--group", "analysts"]);
    let password = made[0]["password"].as_str().unwrap_or_default().to_owned();
    assert!(password.len() >= 16, "{made:?}");
    let query = |login: &str, password: &str| {
        let mut psql = psql(&shop.broker, login, "shop", password);
        psql.env("PGOPTIONS", "-c sluice.auth=scram-sha-256");
        run(psql.args(["-c", "SELECT email FROM customers WHERE id = 1"]), SOON)
    };
    // A running broker learns of a new login within a second or two.
    let seen = until(SOON, "the login to be known", || {
        let seen = query("metabase", &password);
        (seen.code == Some(0)).then_some(seen.stdout)
    });
    assert_eq!(seen, "***\n");
    let wrong = query("metabase", "wrong-password-000");
    let unknown = query("nobody", "wrong-password-000");
    assert_eq!((wrong.code, unknown.code), (Some(2), Some(2)));
    let line = |said: &str| said.rsplit("FATAL").next().unwrap_or_default().to_owned();
    assert_eq!(line(&wrong.stderr), line(&unknown.stderr));
    assert!(!shop.broker.log().contains(&password));
}

#[test]
fn passwords_do_not_cross_the_network_in_the_clear() {
    let server = Server::shared();
    let database = server.database(DATA);
    let setup = Setup::new(vec![Target::new("shop", "staging", &database)]);
    let broker = Broker::start_with(&setup, |yaml| yaml.replace("  dangerous_cleartext_loopback: true\n", ""));
    let token = broker.token("alice", "analysts");
    let mut wire = Wire::tcp(broker.port());
    let said = wire.sign_in(&[("user", "alice"), ("database", "shop")], &token);
    assert!(said.is_err_and(|said| said.contains("TLS") || said.contains("SSL")));
    assert!(!wire.heard.contains(&b'R'), "a password was asked for");
    let mut psql = psql(&broker, "alice", "shop", &token);
    assert_eq!(run(psql.args(["-c", "SELECT 1"]), SOON).done().stdout, "1\n");
}

#[test]
fn bytes_before_and_after_the_tls_request_are_not_mixed() {
    let shop = Shop::open();
    let mut wire = Wire::tcp(shop.broker.port());
    // CVE-2021-23222: what is sent in the clear along with the request must not count as said inside TLS.
    let mut bytes = vec![0, 0, 0, 8, 4, 210, 22, 47];
    bytes.extend(say::startup(196_608, &[("user", "alice"), ("database", "shop")]));
    wire.send(&bytes);
    let heard = wire.raw(Duration::from_secs(10));
    assert!(heard.first() == Some(&b'S') || heard.first() == Some(&b'E') || heard.is_empty(), "{heard:?}");
    assert!(!heard.contains(&b'R'), "{heard:?}");
}
