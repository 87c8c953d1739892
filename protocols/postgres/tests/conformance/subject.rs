//! The PostgreSQL protocol, as the laws see it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sluice_model::{Mask, Obligations, Refusal, Resource, Tag, Transform};
use sluice_postgres::machine::{PostgresMachine, Setup};
use sluice_postgres::{Codec, FunctionEntry, MaskKey, Schemas, View};
use sluice_sql::{Catalog, ColumnRow, RelationRow, Rows, Sensitive};
use sluice_wire::Side;
use sluice_wire::conformance::{CANARY, Endless, Masked, Move, Subject, Talk, escape, unescape};

use crate::server::{ORDERS, PEOPLE, Postgres, message, messages};

/// Two tables; the e-mail addresses of people are tagged.
#[derive(Debug)]
struct Shop(Arc<View>);

impl Schemas for Shop {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0)
    }

    fn refresh(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn confirm(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

fn shop() -> Arc<dyn Schemas> {
    let table = |oid, name: &str| RelationRow {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: 'r',
        has_rules: false,
        definition: None,
    };
    let column = |relation, attnum, name: &str| ColumnRow {
        relation,
        attnum,
        name: name.to_owned(),
        type_oid: 25,
        type_name: "text".to_owned(),
        generated: false,
    };
    let rows = Rows {
        database: "shop".to_owned(),
        search_path: vec!["public".to_owned()],
        relations: vec![table(PEOPLE, "people"), table(ORDERS, "orders"), table(ORDERS + 1, "orders_gone")],
        columns: vec![
            column(PEOPLE, 1, "id"),
            column(PEOPLE, 2, "name"),
            column(PEOPLE, 3, "email"),
            column(ORDERS, 1, "id"),
            column(ORDERS, 2, "total"),
            column(ORDERS + 1, 1, "id"),
        ],
        ..Rows::default()
    };
    let catalog = Catalog::build(rows, 1).unwrap();
    let sensitive = Sensitive::resolve(&catalog, &["public.people.email"]).unwrap();
    Arc::new(Shop(Arc::new(View::new(catalog, sensitive, vec![vec![Tag::new("pii.contact").unwrap()]]))))
}

fn functions() -> Arc<[FunctionEntry]> {
    [FunctionEntry { oid: 1_598, name: "random".to_owned() }].into()
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

/// `Bind` of a portal to a statement, with text values.
fn bind(portal: &str, name: &str, values: &[&str]) -> Vec<u8> {
    let mut body = format!("{portal}\0{name}\0").into_bytes();
    body.extend([0, 0]);
    body.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

fn describe(kind: char, name: &str) -> Vec<u8> {
    message(b'D', format!("{kind}{name}\0").as_bytes())
}

fn execute(portal: &str, limit: u32) -> Vec<u8> {
    let body = [portal.as_bytes(), &[0], &limit.to_be_bytes()].concat();
    message(b'E', &body)
}

fn close(kind: char, name: &str) -> Vec<u8> {
    message(b'C', format!("{kind}{name}\0").as_bytes())
}

fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// Parse, bind, describe and execute, all unnamed.
fn run(text: &str) -> Vec<u8> {
    [parse("", text), bind("", "", &[]), describe('P', ""), execute("", 0)].concat()
}

fn one(name: &'static str, bytes: Vec<u8>) -> Talk {
    Talk::of(name, [bytes])
}

fn masks(transform: Transform) -> Obligations {
    let resource = Resource::new("Column", ["public", "people", "email"]);
    let mask = Mask { resource, transform, filterable: false };
    Obligations { masks: vec![mask], ..Obligations::default() }
}

/// PostgreSQL through the broker.
pub(crate) struct PostgresSubject;

impl Subject for PostgresSubject {
    type Machine = PostgresMachine;
    type Codec = Codec;
    type Server = Postgres;

    fn machine() -> PostgresMachine {
        PostgresMachine::new(Setup {
            schemas: shop(),
            unfinished: Arc::new(AtomicBool::new(false)),
            leaving: Arc::default(),
            functions: functions(),
            mask_key: MaskKey([7; 32]),
            curfew: Arc::default(),
            tenure: Arc::default(),
        })
    }

    fn codec() -> Codec {
        Codec::default()
    }

    fn server() -> Postgres {
        Postgres::default()
    }

    fn talks() -> Vec<Talk> {
        let mut notified = Talk::of("notified", [query("listen news"), query("select id from orders")]);
        let notification = message(b'A', b"\0\0\0\x07news\0it rains\0");
        notified.moves.push(Move::Server([notification, message(b'S', b"TimeZone\0UTC\0")].concat()));
        vec![
            Talk::of("simple queries", [query("select id from orders"), query(""), query("select 1; select 2")]),
            one("queries at once", [query("select id from orders"), query("select 1"), query("")].concat()),
            Talk::of("a transaction", [query("begin"), query("select id from orders"), query("commit")]),
            Talk::of(
                "a failed transaction",
                [query("begin"), query("select id from orders_gone"), query("select 1"), query("rollback")],
            ),
            one("an extended query", [run("select id from orders"), sync()].concat()),
            one(
                "a pipeline",
                [run("select id from orders"), sync(), run("select 1"), run("select 2"), sync()].concat(),
            ),
            one(
                "an error in the middle of a pipeline",
                [run("select 1"), run("select id from orders_gone"), run("select 2"), sync(), run("select 3"), sync()]
                    .concat(),
            ),
            Talk::of(
                "a named statement and a suspended portal",
                [
                    [parse("s", "select id from orders"), describe('S', "s"), sync()].concat(),
                    query("begin"),
                    [bind("p", "s", &[]), execute("p", 4), message(b'H', &[]), execute("p", 4), execute("p", 4)]
                        .concat(),
                    sync(),
                    [close('P', "p"), close('S', "s"), sync()].concat(),
                    query("commit"),
                ],
            ),
            one("copied out", query("copy orders to stdout")),
            Talk::of(
                "copied in",
                [
                    query("copy orders from stdin"),
                    [message(b'd', b"1\t2\n"), message(b'd', b"3\t4\n")].concat(),
                    message(b'c', &[]),
                ],
            ),
            Talk::of("a copy that the client gives up", [query("copy orders from stdin"), message(b'f', b"no\0")]),
            Talk::of(
                "prepared by SQL",
                [query("prepare q as select id from orders"), query("execute q"), query("deallocate q")],
            ),
            Talk::of("a setting that is reported", [query("set application_name = 'shop'")]),
            Talk::of("the schema changes", [query("create table t (id int)"), query("select id from orders")]),
            notified,
        ]
    }

    fn carrying() -> Vec<Talk> {
        let canary = format!("select '{CANARY}'");
        let ok = "select id from orders";
        let valued = [parse("", "select $1"), bind("", "", &[CANARY]), execute("", 0)].concat();
        vec![
            one("a simple query", query(&canary)),
            one("a comment", query(&format!("select 1 /* {CANARY} */"))),
            one("one of several statements", query(&format!("select 1; {canary}; select 2"))),
            one("queries at once", [query(ok), query(&canary), query(ok)].concat()),
            one("an extended query", [run(&canary), sync()].concat()),
            one("the middle of a pipeline", [run(ok), run(&canary), run(ok), sync()].concat()),
            one("between two syncs", [run(ok), sync(), run(&canary), sync(), run(ok), sync()].concat()),
            one("a bound value", [valued, sync()].concat()),
            Talk::of("in a transaction", [query("begin"), query(&canary), query("rollback")]),
            Talk::of(
                "in a failed transaction",
                [query("begin"), query("select id from orders_gone"), query(&canary), query("rollback")],
            ),
            Talk::of(
                "a named statement",
                [
                    [parse("s", &canary), sync()].concat(),
                    [bind("p", "s", &[]), execute("p", 0), sync()].concat(),
                    [close('S', "s"), sync()].concat(),
                ],
            ),
            Talk::of(
                "prepared by SQL",
                [query(&format!("prepare q as {canary}")), query("execute q"), query("deallocate all")],
            ),
        ]
    }

    fn follow_up() -> Talk {
        Talk::of("a follow-up", [query("select id from orders"), [run("select 1"), sync()].concat()])
    }

    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String> {
        let (found, length) = messages(read);
        if length != read.len() {
            return Err("what the client read does not end with a whole message".to_owned());
        }
        let at = found.iter().position(|(tag, body)| {
            let fields: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
            let has = |code: u8, text: &str| fields.contains(&[&[code], text.as_bytes()].concat().as_slice());
            *tag == b'E' && has(b'S', "ERROR") && has(b'C', "42501") && has(b'M', &refusal.message)
        });
        let after = at.and_then(|at| found.get(at..)).ok_or("no error has the words of the refusal")?;
        if after.iter().any(|(tag, _)| *tag == b'Z') { Ok(()) } else { Err("no ReadyForQuery follows".to_owned()) }
    }

    fn masked() -> Vec<Masked> {
        let masked = |talk| Masked { talk, obligations: masks(Transform::Redact) };
        vec![
            masked(one("a simple query", query("select name, email from people"))),
            masked(one("every column", query("select * from people"))),
            masked(one("an extended query", [run("select name, email from people"), sync()].concat())),
            masked(one("an error and a notice", query("select upper(email) from people"))),
            masked(one("an extended error", [run("select upper(email) from people"), sync()].concat())),
            masked(one("copied out", query("copy (select name, email from people) to stdout"))),
            Masked {
                talk: one("a server that lies", query("select total as lie from orders")),
                obligations: Obligations::default(),
            },
        ]
    }

    fn codec_limit_bytes() -> usize {
        64 * 1024 * 1024
    }

    fn endless() -> Vec<Endless> {
        let client = |name, begins| Endless { name, from: Side::Client, begins, goes_on: b'x' };
        let server = |name, begins| Endless { name, from: Side::Server, begins, goes_on: b'x' };
        vec![
            client("a query as long as can be said", b"Q\x7f\xff\xff\xff"),
            client("a query of 16 MiB", b"Q\x00\xff\xff\xff"),
            client("a bind of 64 MiB", b"B\x03\xff\xff\xff"),
            client("copied data without an end", b"d\x7f\xff\xff\xff"),
            client("no message at all", b""),
            server("a row without an end", b"D\x7f\xff\xff\xff"),
            server("an error without an end", b"E\x7f\xff\xff\xff"),
            server("a description of 64 MiB", b"T\x03\xff\xff\xff"),
        ]
    }

    fn unanswered() -> Vec<u8> {
        sync()
    }

    fn unanswered_limit() -> usize {
        8_192
    }

    fn show(_from: Side, bytes: &[u8]) -> Vec<String> {
        let (found, length) = messages(bytes);
        let line = |(tag, body): &(u8, Vec<u8>)| format!("{} {}", char::from(*tag), escape(body)).trim_end().to_owned();
        let rest = bytes.get(length..).filter(|rest| !rest.is_empty());
        found.iter().map(line).chain(rest.map(|rest| format!("... {}", escape(rest)))).collect()
    }

    fn spell(_from: Side, line: &str) -> Result<Vec<u8>, String> {
        let (tag, body) = line.split_once(' ').unwrap_or((line, ""));
        match tag.as_bytes() {
            [tag] => Ok(message(*tag, &unescape(body)?)),
            _ => Err(format!("`{tag}` is not a message type")),
        }
    }

    fn obligations(name: &str) -> Option<Obligations> {
        match name {
            "masks" => Some(masks(Transform::Redact)),
            "tokens" => Some(masks(Transform::Token)),
            _ => None,
        }
    }
}
