//! Servers that lie, and clients that are cut off anywhere.
#![expect(clippy::indexing_slicing, reason = "tests")]

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::database::Server;
use sluice_tests::liar::{Liar, Lie, MARK, Message, made_up};
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Wire, say};

use crate::shop::{DATA, Shop};

/// What becomes of the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// The client is told and the connection ends.
    Ends,
    /// The client hears of an error, or of nothing, and goes on.
    Goes,
}

fn first(messages: &[Message], tag: u8) -> usize {
    messages.iter().position(|message| message[0] == tag).unwrap_or_default()
}

fn with_length(mut message: Message, length: u32) -> Message {
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message
}

/// The same answer with something in front of its end.
fn before_the_end(mut messages: Vec<Message>, more: Message) -> Vec<u8> {
    let end = messages.len().saturating_sub(1);
    messages.insert(end, more);
    messages.concat()
}

fn after_the_end(mut messages: Vec<Message>, more: Message) -> Vec<u8> {
    messages.push(more);
    messages.concat()
}

fn described(mut messages: Vec<Message>, change: impl FnOnce(Message) -> Message) -> Vec<u8> {
    let at = first(&messages, b'T');
    messages[at] = change(std::mem::take(&mut messages[at]));
    messages.concat()
}

fn a_row(mut messages: Vec<Message>, change: impl FnOnce(Message) -> Message) -> Vec<u8> {
    let at = first(&messages, b'D');
    messages[at] = change(std::mem::take(&mut messages[at]));
    messages.concat()
}

const SECRET: &[u8] = b"zq7x.k1@leak.example.com";

const LIES: &[(&str, Lie, Then)] = &[
    ("a description of length 3", |m| described(m, |t| with_length(t, 3)), Then::Ends),
    ("a description of length 2^31", |m| described(m, |t| with_length(t, 1 << 31)), Then::Ends),
    ("a description longer than its limit", |m| described(m, |t| with_length(t, 1 << 30)), Then::Ends),
    (
        "a description of more fields than it has",
        |m| {
            described(m, |mut t| {
                t[6] += 1;
                t
            })
        },
        Then::Ends,
    ),
    (
        "a description of fewer fields than it has",
        |m| {
            described(m, |mut t| {
                t[6] -= 1;
                t
            })
        },
        Then::Ends,
    ),
    ("a row of length 3", |m| a_row(m, |d| with_length(d, 3)), Then::Ends),
    (
        "a row with a field more",
        |m| {
            a_row(m, |mut d| {
                d[6] += 1;
                d
            })
        },
        Then::Ends,
    ),
    (
        "a row with a field less",
        |m| {
            a_row(m, |mut d| {
                d[6] -= 1;
                d
            })
        },
        Then::Ends,
    ),
    (
        "a second description",
        |m| {
            let again = m[first(&m, b'T')].clone();
            a_row(m, |d| [d, again].concat())
        },
        Then::Ends,
    ),
    (
        "rows without a description",
        |mut m| {
            m.remove(first(&m, b'T'));
            m.concat()
        },
        Then::Ends,
    ),
    (
        "a row after the end",
        |m| {
            let row = m[first(&m, b'D')].clone();
            after_the_end(m, row)
        },
        Then::Ends,
    ),
    ("a second end", |m| after_the_end(m, made_up(b'Z', b"I")), Then::Ends),
    ("an end of two bytes", |m| before_the_end(m, made_up(b'Z', b"II")), Then::Ends),
    ("a message nobody knows", |m| before_the_end(m, made_up(b'y', b"")), Then::Ends),
    ("a request to sign in", |m| before_the_end(m, made_up(b'R', &[0, 0, 0, 3])), Then::Ends),
    ("a key", |m| before_the_end(m, made_up(b'K', &[0; 8])), Then::Ends),
    ("a negotiation", |m| before_the_end(m, made_up(b'v', &[0; 8])), Then::Ends),
    ("a COPY to the client", |m| before_the_end(m, made_up(b'H', &[0, 0, 0])), Then::Ends),
    ("a COPY from the client", |m| before_the_end(m, made_up(b'G', &[0, 0, 0])), Then::Ends),
    ("a COPY both ways", |m| before_the_end(m, made_up(b'W', &[0, 0, 0])), Then::Ends),
    ("copied data", |m| before_the_end(m, made_up(b'd', SECRET)), Then::Ends),
    ("an answer to a Parse", |m| before_the_end(m, made_up(b'1', b"")), Then::Ends),
    ("an answer to a function call", |m| before_the_end(m, made_up(b'V', &[255; 4])), Then::Ends),
    ("a pinned setting", |m| before_the_end(m, made_up(b'S', b"client_encoding\0LATIN1\0")), Then::Ends),
    ("a setting without end", |m| before_the_end(m, made_up(b'S', b"TimeZone\0UTC")), Then::Ends),
    ("an error without end", |m| before_the_end(m, made_up(b'E', b"SERROR\0C22000\0Mno")), Then::Ends),
    (
        "a setting that clients do not know",
        |m| before_the_end(m, made_up(b'S', b"secret\0zq7x.k1@leak.example.com\0")),
        Then::Goes,
    ),
    (
        "a notice with a value",
        |m| before_the_end(m, made_up(b'N', b"SNOTICE\0C01000\0Mzq7x.k1@leak.example.com\0\0")),
        Then::Goes,
    ),
    (
        "an error without SQLSTATE",
        |m| before_the_end(m, made_up(b'E', b"SERROR\0Mzq7x.k1@leak.example.com\0\0")),
        Then::Goes,
    ),
    (
        "an error with a field nobody knows",
        |m| before_the_end(m, made_up(b'E', b"SERROR\0VERROR\0C22000\0Mx\0zzq7x.k1@leak.example.com\0\0")),
        Then::Goes,
    ),
];

#[test]
fn what_a_server_makes_up_ends_the_session_or_is_not_shown() {
    let server = Server::shared();
    let database = server.database(DATA);
    let liar = Liar::before(server.port());
    let mut target = Target::new("shop", "staging", &database);
    (target.host, target.port, target.tls) = ("127.0.0.1".to_owned(), liar.port(), "dangerous_plaintext".to_owned());
    let broker = Broker::start(&Setup::new(vec![target]));
    let token = broker.token("alice", "analysts");
    for (name, lie, then) in LIES {
        liar.tell(*lie);
        let mut wire = broker.wire("alice", "shop", &token);
        wire.send(&say::query(format!("SELECT id, name FROM customers {MARK}").as_bytes()));
        let reply = wire.reply();
        match then {
            // An end that comes with a lie behind it is an end first.
            Then::Ends => {
                let rest = wire.rest();
                let closed = reply.status().is_none() || rest.status().is_none();
                assert!(closed, "{name}: {} {}", reply.tags(), rest.tags());
                let said = reply.error().or(rest.error());
                assert!(said.is_some_and(|said| said.severity == "FATAL"), "{name}: {} {}", reply.tags(), rest.tags());
            }
            Then::Goes => {
                assert_eq!(reply.status(), Some('I'), "{name}: {}", reply.tags());
                assert_eq!(wire.query("SELECT 1").ok().status(), Some('I'), "{name}");
            }
        }
        Scan::default().none_in(name, &wire.heard);
    }
    let mut wire = broker.wire("alice", "shop", &token);
    assert_eq!(wire.query("SELECT name FROM customers WHERE id = 1").ok().rows(), [[Some("Alice".to_owned())]]);
    broker.log_is_clean();
}

#[test]
fn a_description_of_a_protected_column_is_not_followed_by_its_rows() {
    let server = Server::shared();
    let database = server.database(DATA);
    let liar = Liar::before(server.port());
    let mut target = Target::new("shop", "staging", &database);
    (target.host, target.port, target.tls) = ("127.0.0.1".to_owned(), liar.port(), "dangerous_plaintext".to_owned());
    let broker = Broker::start(&Setup::new(vec![target]));
    // The second column says that it is the third of its table, `email`, and the rows are its values.
    liar.tell(|messages| {
        described(messages, |mut t| {
            let name = t.windows(5).rposition(|window| window == b"name\0").unwrap_or_default();
            t[name + 10] = 3;
            t
        })
    });
    let mut wire = broker.wire("alice", "shop", &broker.token("alice", "analysts"));
    wire.send(&say::query(format!("SELECT id, name FROM customers {MARK}").as_bytes()));
    let reply = wire.rest();
    assert!(reply.error().is_some() && !reply.tags().contains(['T', 'D']), "{}", reply.tags());
}

/// Everything that a client says in a session with each kind of message.
fn session(token: &str) -> Vec<Vec<u8>> {
    vec![
        say::startup(196_608, &[("user", "alice"), ("database", "shop")]),
        say::message('p', &[token.as_bytes(), b"\0"].concat()),
        say::query(b"BEGIN"),
        [say::parse("a", "SELECT $1::int"), say::bind("p", "a", &[b"7"], true), say::named('D', 'P', "p")].concat(),
        [say::execute("p", 1), say::flush(), say::named('C', 'S', "a"), say::sync()].concat(),
        say::query(b"COPY orders FROM STDIN"),
        [say::message('d', b"50\t1\t2\n"), say::message('c', b"")].concat(),
        say::query(b"ROLLBACK"),
        say::message('X', b""),
    ]
}

#[test]
fn a_client_is_cut_off_at_every_byte_and_leaves_nothing_behind() {
    let shop = Shop::open();
    let token = shop.broker.token("alice", "analysts");
    let whole: Vec<u8> = session(&token).concat();
    let signed_in: usize = session(&token)[..2].iter().map(Vec::len).sum();
    // Of the token every byte is like the next.
    let cuts = (0..60).chain(signed_in - 10..=whole.len());
    for cut in cuts {
        let mut wire = Wire::tcp(shop.broker.port());
        wire.send(&whole[..cut]);
        wire.half_close();
        let _heard = wire.rest();
    }
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'sluice alice%'";
    until(SOON, "every session at the server to end", || (shop.database.truth(open) == "0").then_some(()));
    assert_eq!(shop.database.truth("SELECT count(*) FROM orders WHERE id = 50"), "0");
    let mut wire = shop.broker.wire("alice", "shop", &token);
    assert_eq!(wire.query("SELECT 1").ok().status(), Some('I'));
    let sessions = shop.broker.json(&["sessions", "list", "--limit", "1000"]);
    assert!(sessions.len() > 100, "{}", sessions.len());
    shop.broker.log_is_clean();
}

#[test]
fn a_session_sent_byte_by_byte_is_the_same_session() {
    let shop = Shop::open();
    let token = shop.broker.token("alice", "analysts");
    let heard = |step: usize| {
        let mut wire = Wire::tcp(shop.broker.port());
        let mut said = session(&token);
        // Whoever takes leave does not wait for answers.
        let leave = said.pop().unwrap_or_default();
        for chunk in said.concat().chunks(step) {
            wire.send(chunk);
        }
        // Of the sign-in, the transaction's ends, the pipeline and the copy.
        let frames: Vec<_> = (0..5).flat_map(|_| wire.reply().ok().frames).collect();
        wire.send(&leave);
        assert_eq!(wire.rest().tags(), "");
        // Keys and sessions differ.
        frames.into_iter().filter(|frame| !['K', 'S'].contains(&frame.tag)).collect::<Vec<_>>()
    };
    let whole = heard(usize::MAX);
    assert!(whole.iter().any(|frame| frame.tag == 'G'), "{whole:?}");
    assert_eq!(heard(1), whole);
    assert_eq!(heard(7), whole);
}
