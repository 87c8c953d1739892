//! What fuzz targets enter by: the sign-in of both sides, as peers could play it that never met before.
//!
//! **Invariant:** whatever is said, nobody is let in without proof, and a broken law is a panic.

#![expect(clippy::expect_used, reason = "what is entered for tests only")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BufMut as _;
use sluice_model::Secret;
use sluice_wire::conformance::mutant;
use sluice_wire::{Credential, Frame as _, Peer, ScramParameters};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use crate::client::Client;
use crate::dial::{DialError, Login, Secrecy, Transport};
use crate::frame::Frame;
use crate::message::{Report, parameter_status, put_cstr, ready};
use crate::scram::{Bound, ClientFirst};
use crate::startup::{Cleartext, Door, MAX_STARTUP_PARAMETERS, Start};
use crate::{login, scram};

/// More than any script says.
const PIPE_BYTES: usize = 1 << 20;
const NEVER: Duration = Duration::from_secs(3_600);
/// In what a server says it stands for the nonce that it was told.
const NONCE: &str = "NONCE";
const SERVER_NONCE: &str = "servers+half";

/// A client's first bytes: encryption requests, a startup packet, a request to cancel.
///
/// # Panics
/// When somebody is let in who should not be, or without a name, or is answered with anything but a word about encryption
/// or a version.
pub fn startup(script: &[u8]) {
    let bytes = mutant(&openings(), script);
    for (address, cleartext) in [
        (Ipv4Addr::LOCALHOST, Cleartext::DangerousLoopback),
        (Ipv4Addr::new(10, 0, 0, 1), Cleartext::DangerousLoopback),
        (Ipv4Addr::LOCALHOST, Cleartext::Never),
    ] {
        let (start, answer) = now(opened(&bytes, address, cleartext));
        let words = answer.iter().take_while(|byte| **byte == b'N').count();
        assert!(words <= 2, "more than one word about each kind of encryption");
        let more = answer.get(words..).unwrap_or_default();
        assert!(more.is_empty() || more.first() == Some(&b'v'), "an answer that is neither a word nor a version");
        let Some(Start::Session(startup)) = start else { continue };
        let clear = cleartext == Cleartext::DangerousLoopback && address.is_loopback();
        assert!(clear, "let in without TLS");
        assert!(!startup.user.is_empty() && !startup.user.contains('\0'), "let in without a name");
        let passed = &startup.settings.passed;
        assert!(passed.len() <= MAX_STARTUP_PARAMETERS * 2, "too many settings");
        let odd = |value: &str| value.chars().any(char::is_control) || value.contains(['\\', ';', '"']);
        assert!(!passed.iter().any(|(_, value)| odd(value)), "a setting that could be more than one");
    }
}

/// A client that proves a password: two messages, the second after [`NONCE`] was answered.
///
/// # Panics
/// When a proof is taken that was not made for this exchange.
pub fn scram_of_clients(script: &[u8]) {
    let seeds = [
        b"n,,n=,r=abc|c=biws,r=NONCE,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".to_vec(),
        b"y,,n=user,r=abc,x=y|c=eSws,r=NONCE,x=y,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".to_vec(),
        b"p=tls-server-end-point,,n=,r=abc|c=cD10bHM=,r=NONCE,m=1,p=AAAA".to_vec(),
    ];
    let bytes = mutant(&seeds, script);
    let end = bytes.iter().position(|byte| *byte == b'|').unwrap_or(bytes.len());
    let (first, last) = bytes.split_at(end);
    for bound in [Bound::Unoffered, Bound::Declined] {
        let Ok(client) = ClientFirst::parse(first, bound) else { continue };
        assert!(first.starts_with(b"n,,n=") || first.starts_with(b"y,,n="), "another header");
        let parameters = ScramParameters { salt: vec![7; 16], iterations: 4_096 };
        let challenge = client.challenge(SERVER_NONCE, &parameters);
        let nonce = nonce(challenge.message.as_bytes()).unwrap_or_default();
        assert!(nonce.ends_with(SERVER_NONCE), "a nonce without the server's half");
        let asked = challenge.message.clone();
        let last = replaced(last.get(1..).unwrap_or_default(), &nonce);
        let Ok(response) = challenge.respond(&last) else { continue };
        let bound_to = format!("c={},r={nonce}", STANDARD.encode(first.get(..3).unwrap_or_default()));
        assert!(last.starts_with(bound_to.as_bytes()), "a proof for another exchange");
        assert!(contains(&response.auth_message, asked.as_bytes()), "a proof that leaves the challenge out");
    }
}

/// A server that signs the broker in.
///
/// # Panics
/// When a server is believed that does not know the password, or one without the settings that analysis relies on.
pub fn scram_of_servers(script: &[u8]) {
    let bytes = mutant(&welcomes(), script);
    let proven = now(signed_in(&bytes, Some("pencil")));
    assert!(proven.is_err(), "a server is believed that proved nothing");
    let Ok(server) = now(signed_in(&bytes, None)) else { return };
    for (name, value) in [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")] {
        let said = server.parameters.iter().filter(|(known, _)| known == name);
        assert!(said.map(|(_, value)| value.as_str()).eq([value]), "a setting that is not pinned");
    }
    assert!(server.key.is_none_or(|key| key.0.len() == 8), "a cancel key of another length");
}

async fn opened(bytes: &[u8], address: Ipv4Addr, cleartext: Cleartext) -> (Option<Start>, Vec<u8>) {
    let (ours, mut theirs) = duplex(PIPE_BYTES);
    say(&mut theirs, bytes).await;
    let peer = Peer { address: SocketAddr::from((address, 5)) };
    let mut client = Client::new(Box::new(ours), peer, sluice_wire::HungUp::default());
    let start = Door { tls: None, cleartext, first_bytes: NEVER }.open(&mut client).await;
    drop(client);
    let mut answer = Vec::new();
    assert!(theirs.read_to_end(&mut answer).await.is_ok(), "a pipe in memory does not fail");
    (start.ok(), answer)
}

async fn signed_in(bytes: &[u8], secret: Option<&str>) -> Result<login::Server, DialError> {
    let (ours, mut theirs) = duplex(PIPE_BYTES);
    let secret = secret.map(|secret| Secret::from(secret.to_owned()));
    let credential = Credential::new("app".to_owned(), secret);
    let (database, search_path) = ("shop", ["public".to_owned()]);
    let login =
        Login { credential: &credential, database, settings: &[], search_path: &search_path, dangerous_passwords: &[] };
    let transport = Transport { stream: Box::new(ours), secrecy: Secrecy::Open };
    let signing = login::sign_in(transport, login);
    let serving = async {
        let heard = if contains(bytes, NONCE.as_bytes()) { hear(&mut theirs).await } else { Vec::new() };
        let nonce = nonce(&heard).unwrap_or_default();
        say(&mut theirs, &replaced(bytes, &nonce)).await;
        theirs
    };
    tokio::join!(signing, serving).0
}

/// What a client says until it waits for an answer to its first proof, or goes.
async fn hear(stream: &mut DuplexStream) -> Vec<u8> {
    // The offer that it answers; what the script says comes after it.
    say_on(stream, auth(10, b"SCRAM-SHA-256\0\0").wire()).await;
    let mut heard = Vec::new();
    while nonce(&heard).is_none() && stream.read_buf(&mut heard).await.is_ok_and(|count| count > 0) {}
    heard
}

async fn say(stream: &mut DuplexStream, bytes: &[u8]) {
    say_on(stream, bytes).await;
    // Whoever left already hears nothing.
    let _ = stream.shutdown().await;
}

async fn say_on(stream: &mut DuplexStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

/// Runs to the end on this thread; nothing in it waits for more than other tasks.
fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a thread of its own needs nothing").block_on(future)
}

/// What clients begin with.
fn openings() -> Vec<Vec<u8>> {
    let packet = |version: u32, pairs: &[(&str, &str)]| {
        let mut body = bytes::BytesMut::new();
        body.put_u32(version);
        for (name, value) in pairs {
            put_cstr(&mut body, name.as_bytes());
            put_cstr(&mut body, value.as_bytes());
        }
        body.put_u8(0);
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], &body].concat()
    };
    let options = "-c geqo=off --DateStyle=ISO -c statement_timeout=5s -c search_path=public";
    vec![
        b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
        b"\0\0\0\x08\x04\xd2\x16\x30".to_vec(),
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04".to_vec(),
        packet(3 << 16, &[("user", "alice"), ("database", "shop")]),
        packet(3 << 16 | 2, &[("user", "alice"), ("options", options), ("_pq_.x", "1")]),
        packet(
            3 << 16,
            &[("user", "a"), ("replication", "database"), ("client_encoding", "UTF8"), ("TimeZone", "UTC")],
        ),
    ]
}

/// What servers say, after their offer where a password is asked for.
fn welcomes() -> Vec<Vec<u8>> {
    let settled = |first: Vec<Frame>| {
        let key = Frame::build(b'K', |out| out.put_slice(&[0, 0, 0, 7, 1, 2, 3, 4]));
        let report = Report {
            severity: "NOTICE",
            sqlstate: "00000",
            message: "hello",
            detail: None,
            hint: None,
            position: None,
        };
        let pinned =
            [parameter_status("client_encoding", "UTF8"), parameter_status("standard_conforming_strings", "on")];
        let frames = first.into_iter().chain(pinned).chain([key, report.notice(), report.error(), ready(b'I')]);
        frames.filter(|frame| frame.tag() != b'E').flat_map(|frame| frame.wire().to_vec()).collect::<Vec<u8>>()
    };
    let challenge = format!("r={NONCE}own,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=16");
    let proof = scram::server_final(&[7; 32]);
    vec![
        settled(vec![auth(0, b"")]),
        settled(vec![auth(11, challenge.as_bytes()), auth(12, proof.as_bytes()), auth(0, b"")]),
        settled(vec![auth(3, b""), auth(5, b"salt"), auth(0, b"")]),
    ]
}

fn auth(code: u32, more: &[u8]) -> Frame {
    Frame::build(b'R', |out| {
        out.put_u32(code);
        out.put_slice(more);
    })
}

/// The nonce in a SCRAM message.
fn nonce(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let from = text.split(',').find_map(|part| part.strip_prefix("r="))?;
    Some(from.to_owned())
}

fn replaced(bytes: &[u8], nonce: &str) -> Vec<u8> {
    let at = bytes.windows(NONCE.len()).position(|window| window == NONCE.as_bytes());
    let Some((before, after)) = at.and_then(|at| bytes.split_at_checked(at)) else { return bytes.to_vec() };
    let after = after.get(NONCE.len()..).unwrap_or_default();
    let mut all = [before, nonce.as_bytes(), after].concat();
    // A longer nonce makes its message longer; the length stands at the front.
    let grown = u32::try_from(nonce.len()).unwrap_or(0).wrapping_sub(5);
    if let Some(length) = all.get_mut(1..5)
        && let Ok(field) = <[u8; 4]>::try_from(&*length)
        && bytes.first() == Some(&b'R')
    {
        length.copy_from_slice(&u32::from_be_bytes(field).wrapping_add(grown).to_be_bytes());
    }
    all
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use sluice_wire::conformance::scripts;

    #[test]
    fn surprises_at_sign_in() {
        scripts(3, 40).take(3_000).for_each(|script| super::startup(&script));
        scripts(5, 40).take(20_000).for_each(|script| super::scram_of_clients(&script));
        scripts(9, 40).take(3_000).for_each(|script| super::scram_of_servers(&script));
    }

    #[test]
    fn seeds_get_as_far_as_they_can() {
        use super::{now, opened, openings, signed_in, welcomes};
        use crate::startup::{Cleartext, Start};

        let started = |bytes: &Vec<u8>| {
            let opening = opened(bytes, std::net::Ipv4Addr::LOCALHOST, Cleartext::DangerousLoopback);
            matches!(now(opening).0, Some(Start::Session(_) | Start::Cancel(_)))
        };
        assert_eq!(openings().iter().filter(|bytes| started(bytes)).count(), 4);
        let welcomed = |bytes: &Vec<u8>| now(signed_in(bytes, None)).is_ok();
        assert_eq!(welcomes().iter().filter(|bytes| welcomed(bytes)).count(), 1);
        let ends: Vec<String> = welcomes()
            .iter()
            .filter_map(|bytes| now(signed_in(bytes, Some("pencil"))).err())
            .map(|error| error.to_string())
            .collect();
        assert!(ends.iter().any(|end| end.contains("without proving")), "{ends:?}");
    }
}
