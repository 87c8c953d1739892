#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sluice_wire::{HungUp, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::{Cleartext, Client, Door, MAX_STARTUP_BYTES, MAX_STARTUP_PARAMETERS, Start, Stop, Version};
use crate::message::put_cstr;
use crate::tls::{ALPN, Tls};

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const V3: u32 = 3 << 16;
const FIRST_BYTES: Duration = Duration::from_secs(10);

fn client(stream: DuplexStream, from: [u8; 4]) -> Client {
    Client::new(Box::new(stream), Peer { address: SocketAddr::from((Ipv4Addr::from(from), 5)) }, HungUp::default())
}

/// Opens the door without TLS to a client that sends these bytes and then nothing.
async fn open(bytes: &[u8]) -> (Result<Start, Stop>, Vec<u8>) {
    open_from(bytes, [127, 0, 0, 1], Cleartext::DangerousLoopback).await
}

async fn open_from(bytes: &[u8], from: [u8; 4], cleartext: Cleartext) -> (Result<Start, Stop>, Vec<u8>) {
    let (ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(bytes).await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut client = client(ours, from);
    let result = Door { tls: None, cleartext, first_bytes: FIRST_BYTES }.open(&mut client).await;
    drop(client);
    let mut answer = Vec::new();
    theirs.read_to_end(&mut answer).await.unwrap();
    (result, answer)
}

fn packet(version: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u32(version);
    for (name, value) in pairs {
        put_cstr(&mut body, name.as_bytes());
        put_cstr(&mut body, value.as_bytes());
    }
    body.put_u8(0);
    framed(&body)
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

/// How an opening ended, in one line.
fn outcome(result: &Result<Start, Stop>) -> String {
    match result {
        Ok(Start::Session(startup)) => match startup.replication {
            Some(replication) => format!("{} replication of {}", replication.value(), startup.user),
            None => format!("session of {}", startup.user),
        },
        Ok(Start::Cancel(key)) => format!("cancel {} with {} bytes", key.process, key.secret.len()),
        Err(Stop::Left) => "left".to_owned(),
        Err(Stop::Io(_)) => "failed".to_owned(),
        Err(Stop::Broke(violation)) => format!("broke: {}", violation.what),
        Err(Stop::Refused(refusal)) => format!("refused: {}", refusal.rule),
    }
}

#[tokio::test]
async fn startup_packets() {
    let user = ("user", "alice");
    let long_body = |tail: &[u8]| framed(&[&V3.to_be_bytes(), &b"user\0alice\0"[..], tail].concat());
    for (name, bytes, expected) in [
        ("plain", packet(V3, &[user]), "session of alice"),
        ("nothing", vec![], "left"),
        ("half a header", vec![0, 0, 0], "left"),
        ("half a packet", packet(V3, &[user])[..12].to_vec(), "left"),
        ("http", b"GET / HTTP/1.1\r\n".to_vec(), "broke: invalid length of startup packet"),
        ("length 0", vec![0; 8], "broke: invalid length of startup packet"),
        ("length 7", [&7_u32.to_be_bytes(), &V3.to_be_bytes()[..]].concat(), "broke: invalid length of startup packet"),
        ("length 2^32-1", [&[255; 4], &V3.to_be_bytes()[..]].concat(), "broke: invalid length of startup packet"),
        ("no body", framed(&V3.to_be_bytes()), "broke: invalid string in message"),
        ("no terminator", long_body(b""), "broke: invalid string in message"),
        ("bytes after the terminator", long_body(b"\0x"), "broke: invalid message format"),
        ("a name without a value", long_body(b"database\0"), "broke: invalid string in message"),
        ("not UTF-8", long_body(b"database\0\xff\0\0"), "broke: startup packet is not valid UTF-8"),
        ("version 2", packet(2 << 16, &[user]), "broke: unsupported protocol version"),
        ("version 4", packet(4 << 16, &[user]), "broke: unsupported protocol version"),
        ("no user", packet(V3, &[]), "refused: no-user-named"),
        ("empty user", packet(V3, &[("user", "")]), "refused: no-user-named"),
        ("two users", packet(V3, &[user, ("user", "bob")]), "broke: a startup parameter was given twice"),
        (
            "two databases",
            packet(V3, &[user, ("database", "a"), ("database", "b")]),
            "broke: a startup parameter was given twice",
        ),
        ("BIG5", packet(V3, &[user, ("client_encoding", "BIG5")]), "refused: startup-setting"),
        ("a role", packet(V3, &[user, ("role", "postgres")]), "refused: startup-setting"),
        ("a role in options", packet(V3, &[user, ("options", "-c role=postgres")]), "refused: startup-setting"),
        ("switches", packet(V3, &[user, ("options", "-d 5")]), "refused: startup-options"),
        ("replication", packet(V3, &[user, ("replication", "true")]), "true replication of alice"),
        ("replication database", packet(V3, &[user, ("replication", "database")]), "database replication of alice"),
        ("replication of something else", packet(V3, &[user, ("replication", "maybe")]), "refused: replication"),
        ("replication of nothing", packet(V3, &[user, ("replication", "")]), "refused: replication"),
        ("no replication", packet(V3, &[user, ("replication", "off")]), "session of alice"),
        ("two SSL requests", [SSL, SSL].concat(), "broke: encryption was requested twice"),
        ("two GSS requests", [GSS, GSS].concat(), "broke: encryption was requested twice"),
        ("SSL, then GSS", [SSL, GSS, &packet(V3, &[user])].concat(), "session of alice"),
        ("GSS, then SSL", [GSS, SSL, &packet(V3, &[user])].concat(), "session of alice"),
        ("SSL, GSS, SSL", [SSL, GSS, SSL].concat(), "broke: encryption was requested twice"),
        ("a long SSL request", b"\0\0\0\x09\x04\xd2\x16\x2f!".to_vec(), "broke: invalid message length"),
        ("TLS where there is none", b"\x16\x03\x01\0\0\0\0\0".to_vec(), "broke: TLS is not offered here"),
    ] {
        assert_eq!(outcome(&open(&bytes).await.0), expected, "{name}");
    }
}

#[tokio::test]
async fn encryption_requests_are_answered_with_one_byte() {
    assert_eq!(open(&[SSL, GSS, &packet(V3, &[("user", "a")])].concat()).await.1, b"NN");
}

#[tokio::test]
async fn a_packet_at_its_limit() {
    for (bytes, fits) in [(MAX_STARTUP_BYTES - 1, true), (MAX_STARTUP_BYTES, true), (MAX_STARTUP_BYTES + 1, false)] {
        let empty = packet(V3, &[("user", "alice"), ("application_name", "")]).len();
        let packet = packet(V3, &[("user", "alice"), ("application_name", &"x".repeat(bytes - empty))]);
        assert_eq!(packet.len(), bytes);
        assert_eq!(open(&packet).await.0.is_ok(), fits, "{bytes}");
    }
    for (count, fits) in
        [(MAX_STARTUP_PARAMETERS - 1, true), (MAX_STARTUP_PARAMETERS, true), (MAX_STARTUP_PARAMETERS + 1, false)]
    {
        let mut pairs = vec![("user", "alice")];
        pairs.resize(count, ("geqo", "on"));
        assert_eq!(open(&packet(V3, &pairs)).await.0.is_ok(), fits, "{count}");
    }
}

#[tokio::test]
async fn versions_are_negotiated() {
    let plain = [("user", "alice")];
    let option = [("user", "alice"), ("_pq_.b", "1"), ("_pq_.a", "")];
    let told = |version: u32, options: &[&str]| {
        let mut body = BytesMut::new();
        body.put_u32(version);
        body.put_u32(u32::try_from(options.len()).unwrap());
        options.iter().for_each(|option| put_cstr(&mut body, option.as_bytes()));
        [&b"v"[..], &framed(&body)].concat()
    };
    for (version, pairs, spoken, answer) in [
        (V3, &plain[..], Version::V3_0, vec![]),
        (V3 | 2, &plain[..], Version::V3_2, vec![]),
        (V3 | 1, &plain[..], Version::V3_0, told(V3, &[])),
        (V3 | 3, &plain[..], Version::V3_2, told(V3 | 2, &[])),
        (V3 | 9999, &plain[..], Version::V3_2, told(V3 | 2, &[])),
        (V3, &option[..], Version::V3_0, told(V3, &["_pq_.b", "_pq_.a"])),
        (V3 | 9999, &option[..], Version::V3_2, told(V3 | 2, &["_pq_.b", "_pq_.a"])),
    ] {
        let (result, sent) = open(&packet(version, pairs)).await;
        let Ok(Start::Session(startup)) = result else { panic!("{version:x}: {}", outcome(&result)) };
        assert_eq!((startup.version, sent), (spoken, answer), "{version:x}");
    }
}

#[tokio::test]
async fn cancel_requests() {
    let request =
        |key: usize| framed(&[&80_877_102_u32.to_be_bytes()[..], &7_u32.to_be_bytes(), &vec![1; key]].concat());
    for (key, expected) in [
        (3, "left"),
        (4, "cancel 7 with 4 bytes"),
        (5, "cancel 7 with 5 bytes"),
        (32, "cancel 7 with 32 bytes"),
        (255, "cancel 7 with 255 bytes"),
        (256, "cancel 7 with 256 bytes"),
        (257, "left"),
    ] {
        let (result, answer) = open(&request(key)).await;
        assert_eq!((outcome(&result), answer), (expected.to_owned(), vec![]), "{key}");
    }
    assert_eq!(outcome(&open(b"\0\0\0\x08\x04\xd2\x16\x2e").await.0), "left");
    assert_eq!(outcome(&open(b"\xff\xff\xff\xff\x04\xd2\x16\x2e").await.0), "left");
}

#[tokio::test]
async fn without_tls_only_loopback_and_only_where_allowed() {
    let hello = packet(V3, &[("user", "alice")]);
    for (from, cleartext, expected) in [
        ([127, 0, 0, 1], Cleartext::DangerousLoopback, "session of alice"),
        ([10, 0, 0, 1], Cleartext::DangerousLoopback, "refused: tls-required"),
        ([127, 0, 0, 1], Cleartext::Never, "refused: tls-required"),
    ] {
        let (result, answer) = open_from(&hello, from, cleartext).await;
        assert_eq!((outcome(&result), answer), (expected.to_owned(), vec![]), "{from:?} {cleartext:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_left_alone() {
    let (ours, _theirs) = duplex(64);
    let mut client = client(ours, [127, 0, 0, 1]);
    let door = Door { tls: None, cleartext: Cleartext::Never, first_bytes: FIRST_BYTES };
    let before = tokio::time::Instant::now();
    assert_eq!(outcome(&door.open(&mut client).await), "left");
    assert_eq!(before.elapsed().as_secs(), FIRST_BYTES.as_secs());
}

fn tls() -> (Tls, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["broker".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    (Tls::new(vec![certificate], key).unwrap(), roots)
}

fn connector(roots: RootCertStore, alpn: &[&[u8]]) -> TlsConnector {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Opens the door to a client that sends `before` in the clear, waits for `S` if it asked, and `inside` within TLS.
async fn open_tls(before: &[u8], alpn: &[&[u8]], inside: &[u8]) -> String {
    let (config, roots) = tls();
    let (ours, mut theirs) = duplex(64 * 1024);
    let mut client = client(ours, [10, 0, 0, 1]);
    let door = Door { tls: Some(&config), cleartext: Cleartext::Never, first_bytes: FIRST_BYTES };
    let sending = async {
        theirs.write_all(before).await.unwrap();
        if !before.is_empty() && theirs.read_u8().await.ok() != Some(b'S') {
            return None;
        }
        let name = ServerName::try_from("broker").unwrap();
        let mut stream = connector(roots, alpn).connect(name, theirs).await.ok()?;
        stream.write_all(inside).await.ok()?;
        stream.flush().await.ok()?;
        Some(stream)
    };
    let opening = async {
        let result = outcome(&door.open(&mut client).await);
        drop(client);
        result
    };
    tokio::join!(opening, sending).0
}

#[tokio::test]
async fn tls_rules() {
    let hello = packet(V3, &[("user", "alice")]);
    let cancel = framed(&[80_877_102_u32, 7, 9].map(u32::to_be_bytes).concat());
    for (name, before, alpn, inside, expected) in [
        ("asked for", SSL.to_vec(), &[][..], &hello, "session of alice"),
        ("asked for, with its name", SSL.to_vec(), &[ALPN][..], &hello, "session of alice"),
        ("direct", vec![], &[ALPN], &hello, "session of alice"),
        ("direct without a name", vec![], &[], &hello, "broke: direct TLS needs the application protocol"),
        ("direct as something else", vec![], &[&b"http/1.1"[..]], &hello, "failed"),
        (
            "plaintext after the request",
            [SSL, &hello].concat(),
            &[],
            &hello,
            "broke: unencrypted data after an SSL request",
        ),
        (
            "a byte after the request",
            [SSL, b"\x16"].concat(),
            &[],
            &hello,
            "broke: unencrypted data after an SSL request",
        ),
        ("asked for again inside", SSL.to_vec(), &[], &SSL.to_vec(), "broke: encryption was requested twice"),
        ("GSS inside", SSL.to_vec(), &[], &GSS.to_vec(), "broke: encryption was requested twice"),
        ("cancel inside", SSL.to_vec(), &[], &cancel, "cancel 7 with 4 bytes"),
    ] {
        assert_eq!(open_tls(&before, alpn, inside).await, expected, "{name}");
    }
}

#[tokio::test]
async fn plaintext_instead_of_a_handshake_fails() {
    let (config, _) = tls();
    let (ours, mut theirs) = duplex(64 * 1024);
    let mut client = client(ours, [10, 0, 0, 1]);
    let door = Door { tls: Some(&config), cleartext: Cleartext::Never, first_bytes: FIRST_BYTES };
    let sending = async {
        theirs.write_all(SSL).await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'S');
        theirs.write_all(&packet(V3, &[("user", "alice")])).await.unwrap();
        theirs
    };
    let (result, _theirs) = tokio::join!(door.open(&mut client), sending);
    assert_eq!(outcome(&result), "failed");
}
