#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};
use sha2::{Digest as _, Sha256};
use sluice_model::Secret;
use sluice_wire::{Credential, Frame as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{MAX_ITERATIONS, MAX_MESSAGE_BYTES, MAX_MESSAGES, MAX_PARAMETERS, Server, check_iterations, sign_in};
use crate::binding::Endpoint;
use crate::dial::{DialError, Login, Secrecy, Transport};
use crate::frame::Frame;
use crate::message::{Report, parameter_status, put_cstr, ready};
use crate::scram::tests::{mac, salted};
use crate::target::DangerousPassword;

const PASSWORD: &str = "pencil";

fn credential(secret: Option<&str>) -> Credential {
    Credential::new("app".to_owned(), secret.map(|secret| Secret::from(secret.to_owned())))
}

async fn sign_in_over(stream: DuplexStream, secret: Option<&str>) -> Result<Server, DialError> {
    let credential = credential(secret);
    let search_path = ["public".to_owned()];
    let settings = [("DateStyle", "ISO".to_owned()), ("client_encoding", "BIG5".to_owned())];
    let transport = Transport { stream: Box::new(stream), secrecy: Secrecy::Open };
    sign_in(transport, login(&credential, &settings, &search_path)).await
}

fn login<'a>(
    credential: &'a Credential,
    settings: &'a [(&'static str, String)],
    search_path: &'a [String],
) -> Login<'a> {
    Login { credential, database: "shop", settings, search_path, dangerous_passwords: &[] }
}

/// Signs in to a server that says its lines whatever it hears, then closes.
async fn against(lines: &[Frame], secret: Option<&str>) -> Result<Server, String> {
    let bytes: Vec<u8> = lines.iter().flat_map(|line| line.wire().to_vec()).collect();
    against_bytes(&bytes, secret).await
}

async fn against_bytes(bytes: &[u8], secret: Option<&str>) -> Result<Server, String> {
    let (ours, mut theirs) = duplex(bytes.len() + 64 * 1024);
    theirs.write_all(bytes).await.unwrap();
    theirs.shutdown().await.unwrap();
    sign_in_over(ours, secret).await.map_err(|error| error.to_string())
}

fn auth(code: u32, more: &[u8]) -> Frame {
    Frame::build(b'R', |out| {
        out.put_u32(code);
        out.put_slice(more);
    })
}

fn ok() -> Frame {
    auth(0, b"")
}

fn pinned() -> Vec<Frame> {
    vec![parameter_status("client_encoding", "UTF8"), parameter_status("standard_conforming_strings", "on")]
}

fn notice() -> Frame {
    Report { severity: "NOTICE", sqlstate: "00000", message: "hello", detail: None, hint: None, position: None }
        .notice()
}

fn error(sqlstate: &str) -> Frame {
    Report { severity: "FATAL", sqlstate, message: "a secret of the server", detail: None, hint: None, position: None }
        .error()
}

/// A whole sign-in without a password, with `more` before its end.
fn welcome(more: Vec<Frame>) -> Vec<Frame> {
    [vec![ok()], pinned(), more, vec![ready(b'I')]].concat()
}

#[tokio::test]
async fn a_server_that_trusts_the_connection() {
    let key = Frame::build(b'K', |out| out.put_slice(&[0, 0, 0, 7, 1, 2, 3, 4]));
    let mut bytes: Vec<u8> = welcome(vec![key, notice()]).iter().flat_map(|line| line.wire().to_vec()).collect();
    bytes.extend_from_slice(b"N\0\0");
    let mut server = against_bytes(&bytes, None).await.unwrap();
    let mut rest = server.leftover.to_vec();
    server.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"N\0\0", "what follows is the flow's");
    assert_eq!(&server.key.unwrap().0[..], [0, 0, 0, 7, 1, 2, 3, 4]);
    assert_eq!(server.parameters[0], ("client_encoding".to_owned(), "UTF8".to_owned()));
}

#[tokio::test]
async fn the_pinned_settings_come_last_so_that_they_win() {
    let (ours, mut theirs) = duplex(64 * 1024);
    let lines: Vec<u8> = welcome(vec![]).iter().flat_map(|line| line.wire().to_vec()).collect();
    theirs.write_all(&lines).await.unwrap();
    sign_in_over(ours, None).await.map(drop).unwrap();
    let mut packet = Vec::new();
    theirs.read_to_end(&mut packet).await.unwrap();
    let told = String::from_utf8_lossy(&packet[8..]).replace('\0', "|");
    assert_eq!(
        told,
        "user|app|database|shop|DateStyle|ISO|client_encoding|BIG5|client_encoding|UTF8|\
         standard_conforming_strings|on|search_path|\"public\", pg_temp||"
    );
    assert_eq!(packet[..4], u32::try_from(packet.len()).unwrap().to_be_bytes());
}

#[tokio::test]
async fn hostile_servers() {
    let raw = |tag, body: &'static [u8]| Frame::build(tag, |out| out.put_slice(body));
    for (name, lines, secret, expected) in [
        ("lets everyone in", vec![ok()], Some(PASSWORD), "without proving"),
        ("wants the password itself", vec![auth(3, b"")], Some(PASSWORD), "other than SCRAM"),
        ("wants md5", vec![auth(5, b"salt")], Some(PASSWORD), "other than SCRAM"),
        ("wants GSS", vec![auth(7, b"")], Some(PASSWORD), "other than SCRAM"),
        ("offers no SCRAM", vec![auth(10, b"SCRAM-SHA-256-PLUS\0\0")], Some(PASSWORD), "other than SCRAM"),
        ("wants a password that is not there", vec![auth(3, b"")], None, "none is configured"),
        ("wants a proof that is not there", vec![auth(10, b"SCRAM-SHA-256\0\0")], None, "none is configured"),
        (
            "skips the challenge",
            vec![auth(10, b"SCRAM-SHA-256\0\0"), auth(12, b"v=x")],
            Some(PASSWORD),
            "unexpected step",
        ),
        ("skips the whole exchange", vec![auth(10, b"SCRAM-SHA-256\0\0"), ok()], Some(PASSWORD), "unexpected step"),
        (
            "has a nonce of its own",
            vec![auth(10, b"SCRAM-SHA-256\0\0"), auth(11, b"r=own,s=AAAA,i=4096")],
            Some(PASSWORD),
            "malformed SCRAM",
        ),
        (
            "asks for endless work",
            vec![auth(10, b"SCRAM-SHA-256\0\0"), auth(11, b"r=x,s=AAAA,i=2147483647")],
            Some(PASSWORD),
            "iterations",
        ),
        ("puts bytes after its ok", vec![auth(0, b"x")], None, "invalid message format"),
        ("is cut off", vec![raw(b'R', b"\0\0")], None, "insufficient data"),
        ("errs without SQLSTATE", vec![raw(b'E', b"SFATAL\0Mno\0\0")], None, "without SQLSTATE"),
        ("errs with a long SQLSTATE", vec![raw(b'E', b"C28P0123\0\0")], None, "without SQLSTATE"),
        ("errs with a strange SQLSTATE", vec![raw(b'E', b"C28\x1b[0\0\0")], None, "without SQLSTATE"),
        ("errs without end", vec![raw(b'E', b"C28P01")], None, "without SQLSTATE"),
        ("does not know the role", vec![error("28P01")], Some(PASSWORD), "credential (28P01)"),
        ("is full", vec![error("53300")], Some(PASSWORD), "refused the connection (53300)"),
        ("negotiates what was not asked", vec![raw(b'v', b"\0\x03\0\0\0\0\0\0")], None, "unexpected message"),
        ("sends a row", vec![ok(), raw(b'D', b"\0\0")], None, "unexpected message"),
        ("is in a transaction", [vec![ok()], pinned(), vec![ready(b'T')]].concat(), None, "unexpected message"),
        ("has a long key", welcome(vec![raw(b'K', b"\0\0\0\x01123456789")]), None, "unexpected message"),
        ("speaks no UTF-8", welcome(vec![parameter_status("client_encoding", "SQL_ASCII")]), None, "`client_encoding`"),
        (
            "reads backslashes",
            welcome(vec![parameter_status("standard_conforming_strings", "off")]),
            None,
            "`standard_conforming_strings`",
        ),
        ("searches elsewhere", welcome(vec![parameter_status("search_path", "archive")]), None, "`search_path`"),
        ("does not say", vec![ok(), ready(b'I')], None, "`client_encoding`"),
        ("goes away", vec![ok()], None, "closed the connection"),
    ] {
        let Err(message) = against(&lines, secret).await else { panic!("{name} passed") };
        assert!(message.contains(expected), "{name}: {message}");
        assert!(!message.contains("secret of the server"), "{name}");
    }
}

#[tokio::test]
async fn lengths_at_their_limits() {
    for length in [0_u32, 3, u32::MAX, 1 << 31, u32::try_from(MAX_MESSAGE_BYTES).unwrap() + 1] {
        let bytes = [&b"R"[..], &length.to_be_bytes(), &[0; 16]].concat();
        let message = against_bytes(&bytes, None).await.map(drop).unwrap_err();
        assert!(message.contains("length out of bounds"), "{length}: {message}");
    }
    for length in [MAX_MESSAGE_BYTES - 1, MAX_MESSAGE_BYTES] {
        let long = parameter_status("x", &"y".repeat(length - 4 - 3));
        assert_eq!(long.wire().len(), length + 1);
        against(&welcome(vec![long]), None).await.map(drop).unwrap();
    }
}

#[tokio::test]
async fn endless_notices_and_settings_end() {
    let fixed = welcome(vec![]).len();
    for (count, fits) in [(MAX_MESSAGES - 1, true), (MAX_MESSAGES, true), (MAX_MESSAGES + 1, false)] {
        let result = against(&welcome(vec![notice(); count - fixed]), None).await;
        assert_eq!(result.is_ok(), fits, "{count}");
    }
    for (count, fits) in [(MAX_PARAMETERS - 1, true), (MAX_PARAMETERS, true), (MAX_PARAMETERS + 1, false)] {
        let more = (0..count - pinned().len()).map(|n| parameter_status(&format!("s{n}"), "v")).collect();
        assert_eq!(against(&welcome(more), None).await.is_ok(), fits, "{count}");
    }
}

#[test]
fn iterations_at_their_limit() {
    let check = |iterations: &str| check_iterations(format!("r=x,s=AAAA,i={iterations}").as_bytes()).is_ok();
    assert!(check("1") && check(&(MAX_ITERATIONS - 1).to_string()) && check(&MAX_ITERATIONS.to_string()));
    for refused in ["0", "", "-1", "100001", "4294967296", "99999999999999999999"] {
        assert!(!check(refused), "{refused}");
    }
}

/// A server that knows `password` and says `signature_of` of it at the end.
async fn scram_server(mut stream: DuplexStream, password: &str, knows_it: Knows) {
    let length = stream.read_u32().await.unwrap();
    let mut startup = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut startup).await.unwrap();
    stream.write_all(auth(10, b"SCRAM-SHA-256\0\0").wire()).await.unwrap();
    let initial = read_proof(&mut stream).await;
    let first = initial.rsplit_once("n,,").unwrap().1.to_owned();
    let nonce = format!("{}server", first.rsplit_once("r=").unwrap().1);
    let challenge = format!("r={nonce},s={},i=4096", STANDARD.encode(b"salt"));
    stream.write_all(auth(11, challenge.as_bytes()).wire()).await.unwrap();
    let last = read_proof(&mut stream).await;
    let (bare, proof) = last.rsplit_once(",p=").unwrap();
    let auth_message = format!("{first},{challenge},{bare}");
    let salted = salted(password.as_bytes(), b"salt", 4096);
    let client_key = mac(&salted, b"Client Key");
    let stored: [u8; 32] = Sha256::digest(client_key).into();
    let mut expected = mac(&stored, auth_message.as_bytes());
    expected.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
    if STANDARD.decode(proof).unwrap() != expected {
        stream.write_all(error("28P01").wire()).await.unwrap();
        return;
    }
    let key = match knows_it {
        Knows::Password => mac(&salted, b"Server Key"),
        Knows::Nothing => [7; 32],
    };
    let signature = format!("v={}", STANDARD.encode(mac(&key, auth_message.as_bytes())));
    let mut end = BytesMut::from(auth(12, signature.as_bytes()).wire());
    welcome(vec![]).iter().for_each(|line| end.extend_from_slice(line.wire()));
    stream.write_all(&end).await.unwrap();
}

enum Knows {
    Password,
    Nothing,
}

async fn read_proof(stream: &mut DuplexStream) -> String {
    assert_eq!(stream.read_u8().await.unwrap(), b'p');
    let length = stream.read_u32().await.unwrap();
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn scram_proves_both_sides() {
    for (password, knows, expected) in [
        (PASSWORD, Knows::Password, None),
        ("other", Knows::Password, Some("credential (28P01)")),
        (PASSWORD, Knows::Nothing, Some("without proving")),
    ] {
        let (ours, theirs) = duplex(64 * 1024);
        let (result, ()) = tokio::join!(sign_in_over(ours, Some(PASSWORD)), scram_server(theirs, password, knows));
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (result, _) => panic!("{expected:?}: {:?}", result.map(drop)),
        }
    }
}

#[test]
fn search_paths_are_quoted() {
    let names = |names: &[&str]| super::quoted(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(names(&[]), "pg_temp");
    assert_eq!(names(&["public", "a\"b"]), "\"public\", \"a\"\"b\", pg_temp");
    let mut out = BytesMut::new();
    put_cstr(&mut out, names(&["a\0b"]).as_bytes());
    assert_eq!(&out[..], b"\"a\0");
}

/// What a broker that may show its password says to a server that asks for it in a way, and how that ends.
async fn shown(
    ask: Frame,
    secrecy: Secrecy,
    may: &[DangerousPassword],
    secret: Option<&str>,
) -> (Result<(), String>, String) {
    let (ours, mut theirs) = duplex(64 * 1024);
    let lines = [vec![ask], welcome(vec![])].concat();
    let bytes: Vec<u8> = lines.iter().flat_map(|line| line.wire().to_vec()).collect();
    theirs.write_all(&bytes).await.unwrap();
    let credential = credential(secret);
    let transport = Transport { stream: Box::new(ours), secrecy };
    let login = Login { dangerous_passwords: may, ..login(&credential, &[], &[]) };
    let result = sign_in(transport, login).await.map(drop).map_err(|error| error.to_string());
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
    let packet = usize::try_from(u32::from_be_bytes(heard[..4].try_into().unwrap())).unwrap();
    (result, String::from_utf8_lossy(&heard[packet..]).into_owned())
}

#[tokio::test]
async fn passwords_are_shown_only_where_that_is_permitted_and_hidden_on_the_way() {
    use DangerousPassword::{Cleartext, Md5};
    let (clear, md5) = (|| auth(3, b""), || auth(5, b"salt"));
    for (ask, secrecy, may) in [
        (clear(), Secrecy::Tls(None), &[][..]),
        (clear(), Secrecy::Tls(None), &[Md5]),
        (clear(), Secrecy::Open, &[Cleartext, Md5]),
        (md5(), Secrecy::Tls(None), &[Cleartext]),
        (auth(5, b"salty"), Secrecy::Tls(None), &[Md5]),
        (auth(3, b"x"), Secrecy::Tls(None), &[Cleartext]),
    ] {
        let (result, heard) = shown(ask, secrecy, may, Some(PASSWORD)).await;
        assert!(result.is_err() && heard.is_empty(), "{result:?} {heard:?}");
    }
    assert!(shown(clear(), Secrecy::Local, &[Cleartext], None).await.0.unwrap_err().contains("none is configured"));
    for secrecy in [Secrecy::Local, Secrecy::Tls(None)] {
        let (result, heard) = shown(clear(), secrecy, &[Cleartext], Some(PASSWORD)).await;
        assert_eq!((result, heard.as_str()), (Ok(()), "p\0\0\0\x0bpencil\0"));
    }
    let (result, heard) = shown(md5(), Secrecy::Open, &[Md5], Some(PASSWORD)).await;
    assert_eq!(result, Ok(()));
    assert!(heard.starts_with("p\0\0\0\x28md5") && !heard.contains(PASSWORD), "{heard:?}");
    // A server that has been shown the password has proven nothing, and is not asked a second time.
    let twice = vec![auth(3, b""), auth(3, b"")];
    assert!(against(&twice, Some(PASSWORD)).await.map(drop).unwrap_err().contains("other than SCRAM"));
}

#[test]
fn the_mechanism_is_the_strongest_that_is_offered() {
    let made = rcgen::generate_simple_self_signed(vec!["db".to_owned()]).unwrap();
    let bound = Secrecy::Tls(Endpoint::of(made.cert.der()));
    let (both, plain, plus) =
        (b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", b"SCRAM-SHA-256\0\0", b"SCRAM-SHA-256-PLUS\0\0");
    for (offered, secrecy, expected) in [
        (&both[..], &bound, Some(("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"))),
        (plus, &bound, Some(("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"))),
        (plain, &bound, Some(("SCRAM-SHA-256", "y,,"))),
        (both, &Secrecy::Tls(None), Some(("SCRAM-SHA-256", "n,,"))),
        (both, &Secrecy::Open, Some(("SCRAM-SHA-256", "n,,"))),
        (plain, &Secrecy::Local, Some(("SCRAM-SHA-256", "n,,"))),
        (plus, &Secrecy::Open, None),
        (b"OAUTHBEARER\0\0", &bound, None),
        (b"\0", &bound, None),
    ] {
        let chosen = super::choose(offered, secrecy).map(|(mechanism, binding)| {
            let scram = super::ScramSha256::new(b"x", binding);
            let first = String::from_utf8_lossy(scram.message()).into_owned();
            (mechanism, first.split_once("n=").unwrap().0.to_owned())
        });
        let chosen = chosen.as_ref().map(|(mechanism, flag)| (*mechanism, flag.as_str()));
        assert_eq!(chosen, expected, "{} {secrecy:?}", String::from_utf8_lossy(offered));
    }
}
