#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use sluice_wire::ScramParameters;

use super::{Bound, ClientFirst, MAX_MESSAGE_BYTES, server_final};
use crate::binding::Endpoint;

/// RFC 7677 §3: user `user`, password `pencil`.
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn parameters() -> ScramParameters {
    ScramParameters { salt: STANDARD.decode(SALT).unwrap(), iterations: 4096 }
}

pub(crate) fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().into()
}

pub(crate) fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut block = mac(password, &[salt, &1_u32.to_be_bytes()].concat());
    let mut sum = block;
    for _ in 1..iterations {
        block = mac(password, &block);
        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

#[test]
fn the_exchange_of_rfc_7677() {
    let challenge =
        ClientFirst::parse(CLIENT_FIRST.as_bytes(), Bound::Unoffered).unwrap().challenge(SERVER_NONCE, &parameters());
    assert_eq!(challenge.message, SERVER_FIRST);
    let response = challenge.respond(CLIENT_FINAL.as_bytes()).unwrap();

    let salted = salted(b"pencil", &parameters().salt, 4096);
    let client_key = mac(&salted, b"Client Key");
    let stored_key: [u8; 32] = Sha256::digest(client_key).into();
    let mut proof = mac(&stored_key, &response.auth_message);
    proof.iter_mut().zip(client_key).for_each(|(proof, key)| *proof ^= key);
    assert_eq!(response.proof, proof);
    let signature = mac(&mac(&salted, b"Server Key"), &response.auth_message);
    assert_eq!(server_final(&signature), SERVER_FINAL);
}

#[test]
fn first_messages_that_are_refused() {
    for (message, why) in [
        ("", "empty"),
        ("n,,", "no attributes"),
        ("n,,n=user", "no nonce"),
        ("n,,n=user,r=", "empty nonce"),
        ("n,,n=user,r=a b", "space in the nonce"),
        ("n,,n=user,r=\u{e9}", "nonce outside of ASCII"),
        ("n,,m=x,n=user,r=abc", "mandatory extension"),
        ("n,a=admin,n=user,r=abc", "authorization identity"),
        ("p=tls-server-end-point,,n=,r=abc", "binding that was not offered"),
        ("x,,n=,r=abc", "unknown flag"),
        ("n,,n=,r=abc\0", "NUL"),
    ] {
        assert!(ClientFirst::parse(message.as_bytes(), Bound::Unoffered).is_err(), "{why}");
    }
    assert!(ClientFirst::parse(b"n,,n=\xff,r=abc", Bound::Unoffered).is_err(), "not UTF-8");
    for message in ["n,,n=,r=abc", "y,,n=*,r=abc", "n,,n=,r=abc,x=y"] {
        assert!(ClientFirst::parse(message.as_bytes(), Bound::Unoffered).is_ok(), "{message}");
    }
}

#[test]
fn first_message_at_its_limit() {
    for (bytes, fits) in [(MAX_MESSAGE_BYTES - 1, true), (MAX_MESSAGE_BYTES, true), (MAX_MESSAGE_BYTES + 1, false)] {
        let message = format!("n,,n=,r={}", "x".repeat(bytes - 8));
        assert_eq!(message.len(), bytes);
        assert_eq!(ClientFirst::parse(message.as_bytes(), Bound::Unoffered).is_ok(), fits, "{bytes}");
    }
}

#[test]
fn last_messages_that_are_refused() {
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    for (message, why) in [
        (String::new(), "empty"),
        (format!("c=biws,r={nonce}"), "no proof"),
        (format!("c=eSws,r={nonce},p={proof}"), "binding flag changed from n to y"),
        (format!("c=cD10bHM=,r={nonce},p={proof}"), "binding flag changed to p"),
        (format!("r={nonce},c=biws,p={proof}"), "order"),
        (format!("c=biws,r={nonce}x,p={proof}"), "longer nonce"),
        (
            "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".to_owned(),
            "only its own nonce",
        ),
        (format!("c=biws,r={nonce},m=x,p={proof}"), "mandatory extension"),
        (format!("c=biws,r={nonce},p={}", proof.trim_end_matches('=')), "base64 without padding"),
        (format!("c=biws,r={nonce},p={proof}\n"), "white space after base64"),
        (format!("c=biws,r={nonce},p=AAAA"), "short proof"),
        (format!("c=biws,r={nonce},p={proof},x=y"), "proof is not last"),
    ] {
        let challenge = ClientFirst::parse(CLIENT_FIRST.as_bytes(), Bound::Unoffered)
            .unwrap()
            .challenge(SERVER_NONCE, &parameters());
        assert!(challenge.respond(message.as_bytes()).is_err(), "{why}");
    }
}

#[test]
fn exchanges_that_are_bound_to_their_connection() {
    let made = rcgen::generate_simple_self_signed(vec!["db".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["db".to_owned()]).unwrap();
    let (endpoint, elsewhere) = (Endpoint::of(made.cert.der()).unwrap(), Endpoint::of(other.cert.der()).unwrap());
    let chosen = Bound::Chosen(&endpoint);
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let shown = |endpoint: &Endpoint| STANDARD.encode([b"p=tls-server-end-point,,", endpoint.bytes()].concat());
    for (first, bound, last, good) in [
        ("p=tls-server-end-point,,n=,r=abc", chosen, shown(&endpoint), true),
        ("p=tls-server-end-point,,n=,r=abc", chosen, shown(&elsewhere), false),
        ("p=tls-server-end-point,,n=,r=abc", chosen, STANDARD.encode("p=tls-server-end-point,,"), false),
        ("p=tls-server-end-point,,n=,r=abc", chosen, "biws".to_owned(), false),
        ("n,,n=,r=abc", Bound::Declined, "biws".to_owned(), true),
        ("n,,n=,r=abc", Bound::Declined, shown(&endpoint), false),
        ("y,,n=,r=abc", Bound::Unoffered, "eSws".to_owned(), true),
    ] {
        let challenge = ClientFirst::parse(first.as_bytes(), bound).unwrap().challenge("def", &parameters());
        let response = challenge.respond(format!("c={last},r=abcdef,p={proof}").as_bytes());
        assert_eq!(response.is_ok(), good, "{first} {last}");
    }
    for (first, bound) in [
        ("y,,n=,r=abc", Bound::Declined),
        ("p=tls-server-end-point,,n=,r=abc", Bound::Declined),
        ("p=tls-server-end-point,,n=,r=abc", Bound::Unoffered),
        ("p=tls-unique,,n=,r=abc", chosen),
        ("p=tls-server-end-point,a=admin,n=,r=abc", chosen),
        ("n,,n=,r=abc", chosen),
        ("y,,n=,r=abc", chosen),
    ] {
        assert!(ClientFirst::parse(first.as_bytes(), bound).is_err(), "{first} {bound:?}");
    }
}
