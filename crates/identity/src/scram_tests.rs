#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use sluice_kernel::Identify as _;
use sluice_model::{Code, Person, Principal, TokenId, Who};
use sluice_wire::{Authenticated, Claim};

use super::*;
use crate::Identity;
use crate::testing::{NOW, Setup};

/// The exchange of RFC 7677 §3.
const AUTH_MESSAGE: &[u8] = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn octets(text: &str) -> [u8; 32] {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

/// What a client computes (RFC 5802 §3).
fn proof(password: &Secret, parameters: &ScramParameters, auth_message: &[u8]) -> [u8; 32] {
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(parameters.iterations).unwrap();
    let password = password.expose_secret().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &parameters.salt, password, &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), auth_message);
    let mut proof = client_key;
    proof.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
    proof
}

#[test]
fn the_exchange_of_the_rfc_holds_and_every_bit_of_the_proof_counts() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = ScramVerifier::of(&Secret::from("pencil"), &salt, Iterations::STANDARD);
    assert_eq!(verifier.check(AUTH_MESSAGE, &octets(PROOF)), Some(octets(SERVER_SIGNATURE)));
    for bit in 0..256 {
        let mut wrong = octets(PROOF);
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verifier.check(AUTH_MESSAGE, &wrong), None, "{bit}");
    }
    assert_eq!(verifier.check(&AUTH_MESSAGE[1..], &octets(PROOF)), None);
}

#[test]
fn a_verifier_is_stored_in_the_form_of_postgresql() {
    let (password, verifier) = ScramVerifier::mint(Iterations::new(5000).unwrap()).unwrap();
    let text = verifier.to_text();
    assert!(text.expose_secret().starts_with("SCRAM-SHA-256$5000:"));
    assert!(!text.expose_secret().contains(password.expose_secret()));
    let read = ScramVerifier::parse(text.expose_secret()).unwrap();
    let proof = proof(&password, &read.parameters(), AUTH_MESSAGE);
    assert!(read.check(AUTH_MESSAGE, &proof).is_some());
    assert!(!format!("{read:?}").contains(&STANDARD.encode(read.stored_key)));
    let good = text.expose_secret();
    for bad in [
        String::new(),
        good.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
        good.replace("$5000:", "$4095:"),
        good.replace("$5000:", "$1000001:"),
        good.replace("$5000:", "$-5000:"),
        format!("{good}$x"),
        good.trim_end_matches('=').to_owned(),
        "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA".to_owned(),
    ] {
        assert!(ScramVerifier::parse(&bad).is_none(), "{bad}");
    }
}

#[test]
fn iterations_have_a_floor_and_a_ceiling() {
    for (count, good) in [(0, false), (4095, false), (4096, true), (1_000_000, true), (1_000_001, false)] {
        assert_eq!(Iterations::new(count).is_some(), good, "{count}");
    }
}

#[test]
fn minted_passwords_and_salts_differ() {
    let (first, one) = ScramVerifier::mint(Iterations::STANDARD).unwrap();
    let (second, two) = ScramVerifier::mint(Iterations::STANDARD).unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    assert_ne!(one.salt, two.salt);
    assert_eq!(first.expose_secret().len(), 43);
}

fn login(setup: &Setup, user: &str) -> Secret {
    let (password, verifier) = ScramVerifier::mint(Iterations::STANDARD).unwrap();
    let principal = Principal {
        who: Who::User(Person { name: user.to_owned(), groups: BTreeSet::new() }),
        token: TokenId::new(format!("scram:{user}")).unwrap(),
        expires: NOW.plus_seconds(100),
        targets: None,
        run: None,
    };
    setup.logins.put(user, ScramLogin { verifier, principal });
    password
}

async fn sign_in(identity: &Identity, user: &str, password: &Secret, at: i64) -> Result<Authenticated, Code> {
    let parameters = identity.challenge(user).await.unwrap();
    let proof = proof(password, &parameters, AUTH_MESSAGE);
    let claim = Claim::Scram { user: user.to_owned(), auth_message: AUTH_MESSAGE.into(), proof };
    identity.authenticate(claim, NOW.plus_seconds(at)).await.map_err(|refusal| refusal.code)
}

#[tokio::test]
async fn a_login_lasts_until_it_expires_is_revoked_or_taken_away() {
    let setup = Setup::new();
    let identity = setup.identity(vec![]);
    let (alice, bob) = (login(&setup, "alice"), login(&setup, "bob"));
    let authenticated = sign_in(&identity, "alice", &alice, 0).await.unwrap();
    assert_eq!(authenticated.principal.name(), "alice");
    let expected = setup.logins.find("alice").unwrap().verifier.server_key;
    assert_eq!(authenticated.server_signature, Some(sign(&expected, AUTH_MESSAGE)));
    assert_eq!(sign_in(&identity, "alice", &bob, 0).await.unwrap_err(), Code::Unauthenticated);
    assert!(sign_in(&identity, "alice", &alice, 99).await.is_ok());
    assert_eq!(sign_in(&identity, "alice", &alice, 100).await.unwrap_err(), Code::Unauthenticated);
    setup.revoked.revoke(TokenId::new("scram:alice").unwrap(), NOW.plus_seconds(100));
    assert_eq!(sign_in(&identity, "alice", &alice, 0).await.unwrap_err(), Code::Revoked);
    assert_eq!(sign_in(&identity, "alice", &bob, 0).await.unwrap_err(), Code::Unauthenticated);
    setup.logins.remove("bob");
    assert_eq!(sign_in(&identity, "bob", &bob, 0).await.unwrap_err(), Code::Unauthenticated);
}

#[tokio::test]
async fn strangers_meet_the_same_stable_exchange() {
    let setup = Setup::new();
    login(&setup, "alice");
    let (identity, restarted) = (setup.identity(vec![]), setup.identity(vec![]));
    let known = identity.challenge("alice").await.unwrap();
    let stranger = identity.challenge("mallory").await.unwrap();
    assert_eq!(stranger, restarted.challenge("mallory").await.unwrap());
    assert_ne!(stranger.salt, identity.challenge("mallorz").await.unwrap().salt);
    assert_eq!((stranger.salt.len(), stranger.iterations), (known.salt.len(), known.iterations));
    assert_ne!(stranger, Setup::new().identity(vec![]).challenge("mallory").await.unwrap());
    let guess = Secret::from("guess");
    assert_eq!(sign_in(&identity, "mallory", &guess, 0).await.unwrap_err(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_stranger_and_a_wrong_password_read_the_same() {
    let setup = Setup::new();
    let identity = setup.identity(vec![]);
    login(&setup, "alice");
    let mut words = Vec::new();
    for user in ["alice", "mallory"] {
        let claim = Claim::Scram { user: user.to_owned(), auth_message: AUTH_MESSAGE.into(), proof: [7; 32] };
        words.push(identity.authenticate(claim, NOW).await.unwrap_err());
    }
    assert_eq!(words[0], words[1]);
}
