//! The cases of the corpus that are not one statement: cancel keys, limits, what a session leaves, hostile servers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::contains;
use sluice_tests::database::{Database, Server};
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Reply, Wire, say};

const DATA: &str = "CREATE TABLE customers (id int, email text, ssn text);\
    INSERT INTO customers VALUES (1, 'zq7x.k1@leak.example.com', '900-55-0001')";

const SLEEP: &str = "\
    @id(\"analysts-sleep\") permit (principal in Group::\"analysts\", action == Action::\"sql.call\",\
    resource == Function::\"shop/pg_catalog/pg_sleep\");\n";

fn shop() -> (Database, Broker) {
    let database = Server::shared().database(DATA);
    let setup = Setup::new(vec![Target::new("shop", "staging", &database)]).policy("sleep.cedar", SLEEP);
    let broker = Broker::start(&setup);
    (database, broker)
}

fn analyst(broker: &Broker) -> Wire {
    broker.wire("guest", "shop", &broker.token("guest", "analysts"))
}

fn asleep(database: &Database, seconds: u32) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep({seconds})%' AND state = 'active' AND pid <> pg_backend_pid()"
    );
    database.truth(&sql) == "1"
}

fn cancel(broker: &Broker, process: u32, secret: &[u8]) {
    let mut wire = Wire::tcp(broker.port());
    wire.send(&say::cancel(process, secret));
    // Neither a hit nor a miss is answered.
    assert_eq!(wire.raw(Duration::from_secs(15)), Vec::<u8>::new());
}

#[test]
fn guessed_cancel_keys_reach_nobody() {
    let (database, broker) = shop();
    let mut sleeper = analyst(&broker);
    let (process, secret) = sleeper.key.clone().unwrap_or_default();
    sleeper.send(&say::query(b"SELECT pg_sleep(71)"));
    until(SOON, "the statement to sleep", || asleep(&database, 71).then_some(()));
    for guess in 0_u32..200 {
        let mut wrong = secret.clone();
        let bytes = guess.wrapping_mul(0x9E37_79B9).to_be_bytes();
        wrong.iter_mut().zip(bytes).for_each(|(byte, noise)| *byte ^= noise | 1);
        cancel(&broker, process, &wrong);
        cancel(&broker, guess, &secret);
    }
    for secret in [&[][..], secret.get(..3).unwrap_or_default(), &[secret.as_slice(), &[0]].concat(), &[0; 300]] {
        cancel(&broker, process, secret);
    }
    assert!(asleep(&database, 71), "a guess cancelled it");
    // Nobody keeps others of the same address from cancelling so.
    cancel(&broker, process, &secret);
    let _cancelled = sleeper.reply().refused("57014");
    assert!(broker.process().is_running());
}

#[test]
fn a_cancel_key_reaches_its_own_session_only() {
    let (database, broker) = shop();
    let (mut one, mut two) = (analyst(&broker), analyst(&broker));
    let key = one.key.clone().unwrap_or_default();
    assert_ne!(Some(&key), two.key.as_ref());
    one.send(&say::query(b"SELECT pg_sleep(72)"));
    two.send(&say::query(b"SELECT pg_sleep(73)"));
    until(SOON, "both to sleep", || (asleep(&database, 72) && asleep(&database, 73)).then_some(()));
    cancel(&broker, key.0, &key.1);
    let _cancelled = one.reply().refused("57014");
    assert!(asleep(&database, 73), "the other session was cancelled");
    assert_eq!(one.query("SELECT 1").ok().status(), Some('I'));
    // The key of a session that has ended reaches nobody.
    drop(one);
    cancel(&broker, key.0, &key.1);
    assert!(asleep(&database, 73));
}

#[test]
fn nothing_of_a_session_is_left_for_the_next() {
    let (_, broker) = shop();
    let mut first = analyst(&broker);
    let fresh = first.query("SHOW extra_float_digits").ok().rows();
    let _set = first.query("SET extra_float_digits = -3").ok();
    let _prepared = first.query("PREPARE left_behind AS SELECT 1").ok();
    drop(first);
    let mut second = analyst(&broker);
    assert_eq!(second.query("SHOW extra_float_digits").ok().rows(), fresh);
    assert!(second.query("EXECUTE left_behind").error().is_some());
}

#[test]
fn an_oversized_startup_is_refused() {
    let (_, broker) = shop();
    let answer = |bytes: &[u8]| {
        let mut wire = Wire::tcp(broker.port());
        let begun = Instant::now();
        wire.send(bytes);
        wire.half_close();
        let heard = wire.raw(Duration::from_secs(20));
        assert!(begun.elapsed() < Duration::from_secs(20), "it waited for more");
        heard
    };
    let filler = "x".repeat(9_000);
    let many: Vec<(String, String)> = (0..10_000).map(|n| (format!("p{n}"), "v".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut unterminated = say::startup(196_608, &[("user", "a"), ("database", "shop")]);
    unterminated.truncate(unterminated.len() - 1);
    if let Some(last) = unterminated.get_mut(3) {
        *last -= 1;
    }
    let cases = [
        ("10,001 bytes", say::startup(196_608, &[("user", &filler), ("database", &"y".repeat(980))])),
        ("many parameters", say::startup(196_608, &many)),
        ("a length of 4 GiB", vec![0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        ("a length of 7", vec![0, 0, 0, 7, 0, 3, 0]),
        ("a length of 0", vec![0; 8]),
        ("no terminator", unterminated),
        ("nonsense", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let heard = answer(&bytes);
        assert!(heard.first().is_none_or(|tag| *tag == b'E'), "{what}: {}", String::from_utf8_lossy(&heard));
    }
    assert_eq!(analyst(&broker).query("SELECT 1").ok().status(), Some('I'));
    broker.log_is_clean();
}

#[test]
fn prepared_statements_have_a_limit() {
    let (_, broker) = shop();
    let mut wire = analyst(&broker);
    let mut refused = None;
    for number in 0..20_000 {
        wire.send(&[say::parse(&format!("s{number}"), "SELECT 1"), say::sync()].concat());
        if let Some(error) = wire.reply().error() {
            refused = Some((number, error.sqlstate));
            break;
        }
        wire.heard.clear();
    }
    assert!(refused.as_ref().is_some_and(|(number, _)| *number >= 1_000), "{refused:?}");
    assert!(refused.as_ref().is_some_and(|(_, code)| ["54000", "53400"].contains(&code.as_str())));
    let after = wire.query("SELECT 1");
    assert_eq!(after.tags(), "TDCZ", "{after:?} {refused:?}");
}

#[test]
fn a_select_list_has_a_limit() {
    let (_, broker) = shop();
    let mut wire = analyst(&broker);
    let wide = |columns: usize| format!("SELECT {}", vec!["1"; columns].join(","));
    assert!(wire.query(&wide(1_700)).error().is_some());
    assert_eq!(wire.query(&wide(1_600)).ok().rows().len(), 1);
    // The limit of analysed text: refused, and the session goes on.
    let long = format!("SELECT '{}'", "x".repeat(300 * 1024));
    assert!(wire.query(&long).error().is_some());
    let deep = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
    assert!(wire.query(&deep).error().is_some());
    let chain = format!("SELECT {}1", "1+".repeat(40_000));
    let _either = wire.query(&chain);
    assert_eq!(wire.query("SELECT 1").ok().status(), Some('I'));
    assert!(broker.process().is_running());
}

/// A server that lies once it is asked a marked question; until then, and for others, the real one answers.
struct Liar {
    port: u16,
    _accepting: JoinHandle<()>,
}

/// What a lying server sends instead of an answer.
type Lie = fn() -> Vec<u8>;

const MARK: &[u8] = b"SELECT 4711";

impl Liar {
    fn before(real: u16, lie: Lie) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).ok();
        let port = listener.as_ref().and_then(|socket| socket.local_addr().ok()).map(|a| a.port()).unwrap_or_default();
        let accepting = std::thread::spawn(move || {
            for client in listener.iter().flat_map(TcpListener::incoming).flatten() {
                std::thread::spawn(move || between(client, real, lie));
            }
        });
        Self { port, _accepting: accepting }
    }
}

/// Relays until the marked question comes.
fn between(mut client: TcpStream, real: u16, lie: Lie) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", real)).ok()?;
    let (mut from_server, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    let mut chunk = [0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut chunk) {
        let bytes = chunk.get(..count)?;
        if contains(bytes, MARK) {
            client.write_all(&lie()).ok()?;
        } else {
            server.write_all(bytes).ok()?;
        }
    }
    Some(())
}

fn column(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0], &[0; 6], &25_u32.to_be_bytes(), &[255; 6], &[0, 0]].concat()
}

fn described(names: &[&str]) -> Vec<u8> {
    let columns: Vec<u8> = names.iter().flat_map(|name| column(name)).collect();
    say::message('T', &[&[0, u8::try_from(names.len()).unwrap_or(0)][..], &columns].concat())
}

fn row(cells: &[&str]) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(cells.len()).unwrap_or(0)];
    for cell in cells {
        body.extend(u32::try_from(cell.len()).unwrap_or(0).to_be_bytes());
        body.extend(cell.as_bytes());
    }
    say::message('D', &body)
}

fn done() -> Vec<u8> {
    [say::message('C', b"SELECT 1\0"), say::message('Z', b"I")].concat()
}

const SECRET: &str = "what nobody declared";

/// Asks a lying server; what the client heard of its answer.
fn asked(lie: Lie) -> (Reply, Wire, Broker) {
    let database = Server::shared().database(DATA);
    let liar = Liar::before(database.server.port(), lie);
    let mut target = Target::new("shop", "staging", &database);
    (target.port, target.tls) = (liar.port, "dangerous_plaintext".to_owned());
    let broker = Broker::start(&Setup::new(vec![target]));
    let mut wire = analyst(&broker);
    let _warm = wire.query("SELECT 1").ok();
    wire.send(&say::query(MARK));
    let reply = wire.reply();
    let passed = contains(&wire.heard, SECRET.as_bytes());
    assert!(!passed, "what was not declared reached the client: {}", reply.tags());
    assert!(broker.process().is_running());
    (reply, wire, broker)
}

/// The session must have ended with an error.
fn ended(lie: Lie) {
    let (reply, _wire, broker) = asked(lie);
    assert!(reply.status().is_none(), "the session goes on: {}", reply.tags());
    assert!(reply.error().is_some(), "it ended without a word: {}", reply.tags());
    broker.log_is_clean();
}

#[test]
fn a_truthful_server_is_believed() {
    let (reply, _wire, _broker) = asked(|| [described(&["n"]), row(&["4711"]), done()].concat());
    assert_eq!(reply.ok().rows(), [[Some("4711".to_owned())]]);
}

#[test]
fn a_server_that_sends_rows_of_the_wrong_width_ends_the_session() {
    ended(|| [described(&["a", "b"]), row(&[SECRET]), done()].concat());
    ended(|| [described(&["a", "b"]), row(&["x", "y", SECRET]), done()].concat());
}

#[test]
fn a_server_that_describes_a_result_twice_ends_the_session() {
    ended(|| [described(&["a"]), row(&["x"]), described(&["b", "c"]), row(&[SECRET, SECRET]), done()].concat());
}

#[test]
fn a_server_that_answers_more_than_was_asked_ends_the_session() {
    let (reply, mut wire, _broker) = asked(|| [done(), described(&["a"]), row(&[SECRET]), done()].concat());
    assert!(reply.status().is_some(), "the answer itself is sound: {}", reply.tags());
    let rest = wire.reply();
    assert!(rest.error().is_some() && rest.status().is_none(), "the session goes on: {}", rest.tags());
    assert!(!contains(&wire.heard, SECRET.as_bytes()), "what nobody asked for reached the client");
}

#[test]
fn a_server_that_breaks_the_protocol_ends_the_session() {
    ended(|| [row(&[SECRET]), done()].concat());
    ended(|| b"T\xff\xff\xff\xff".to_vec());
    ended(|| b"D\x00\x00\x00\x03".to_vec());
    ended(|| say::message('~', SECRET.as_bytes()));
    ended(|| say::message('R', &[0, 0, 0, 3]));
    ended(|| say::message('W', &[0, 0, 0]));
}
