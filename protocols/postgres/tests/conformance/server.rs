//! A PostgreSQL server small enough to be played: it answers by the words of a statement, in the protocol's order.

use std::collections::HashMap;

use sluice_wire::conformance::{CANARY, Server};

/// OIDs of the two tables.
pub(crate) const PEOPLE: u32 = 20_000;
pub(crate) const ORDERS: u32 = 20_001;

/// A message: tag, length, body.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// The whole messages at the front of some bytes, and the length of them all.
pub(crate) fn messages(bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, usize) {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<5>()) {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        let end = at + 1 + usize::try_from(length).unwrap();
        let Some(body) = bytes.get(at + 5..end) else { break };
        found.push((header[0], body.to_vec()));
        at = end;
    }
    (found, at)
}

/// A report: error or notice.
fn report(tag: u8, sqlstate: &str, text: &str) -> Vec<u8> {
    let severity = if tag == b'E' { "ERROR" } else { "NOTICE" };
    // A detail may quote values, so a database with protected columns never shows one.
    let detail = if sqlstate.starts_with("22") { format!("D{text}\0") } else { String::new() };
    message(tag, format!("S{severity}\0V{severity}\0C{sqlstate}\0M{text}\0{detail}\0").as_bytes())
}

/// A column of a result: name and origin.
struct Column(&'static str, u32, i16);

fn description(columns: &[Column]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for Column(name, table, attnum) in columns {
        body.extend(name.as_bytes());
        body.push(0);
        body.extend(table.to_be_bytes());
        body.extend(attnum.to_be_bytes());
        // Type text, of any size, without a modifier, as text.
        body.extend(25_u32.to_be_bytes());
        body.extend((-1_i16).to_be_bytes());
        body.extend((-1_i32).to_be_bytes());
        body.extend(0_i16.to_be_bytes());
    }
    message(b'T', &body)
}

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value.as_bytes());
    }
    message(b'D', &body)
}

/// What a statement gives.
struct Answer {
    before: Vec<u8>,
    columns: Vec<Column>,
    rows: Vec<Vec<u8>>,
    /// The command tag, or the error.
    end: Result<&'static str, Vec<u8>>,
}

fn answer(text: &str) -> Answer {
    let done = |tag| Answer { before: Vec::new(), columns: Vec::new(), rows: Vec::new(), end: Ok(tag) };
    let masked = text.contains("***");
    let email = if masked { Column("email", 0, 0) } else { Column("email", PEOPLE, 3) };
    let value = if masked { "***" } else { CANARY };
    match text.trim_start().split([' ', ';', '(']).next().unwrap_or_default() {
        "begin" => done("BEGIN"),
        "commit" => done("COMMIT"),
        "rollback" => done("ROLLBACK"),
        "prepare" => done("PREPARE"),
        "deallocate" => done("DEALLOCATE"),
        "set" => done("SET"),
        "insert" => done("INSERT 0 1"),
        "create" => done("CREATE TABLE"),
        "declare" => done("DECLARE CURSOR"),
        _ if text.contains("sluice_refused") => {
            Answer { end: Err(report(b'E', "42601", "syntax error at or near \"sluice_refused\"")), ..done("") }
        }
        _ if text.contains("orders_gone") => {
            Answer { end: Err(report(b'E', "42P01", "relation \"orders_gone\" does not exist")), ..done("") }
        }
        _ if text.contains("upper") => Answer {
            before: report(b'N', "01000", CANARY),
            end: Err(report(b'E', "22P02", &format!("invalid input syntax: {CANARY}"))),
            ..done("")
        },
        _ if text.contains("lie") => {
            Answer { columns: vec![Column("total", PEOPLE, 3)], rows: vec![row(&[CANARY])], ..done("SELECT 1") }
        }
        _ if text.contains("people") => Answer {
            columns: vec![Column("name", PEOPLE, 2), email],
            rows: vec![row(&["ana", value]), row(&["bob", value])],
            ..done("SELECT 2")
        },
        _ => Answer {
            columns: vec![Column("id", ORDERS, 1)],
            rows: (1..=9).map(|id: i32| row(&[&id.to_string()])).collect(),
            ..done("SELECT 9")
        },
    }
}

/// One connection after its sign-in.
#[derive(Default)]
pub(crate) struct Postgres {
    unread: Vec<u8>,
    /// In a transaction block; and it has failed.
    block: bool,
    failed: bool,
    discarding: bool,
    copying: bool,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, Portal>,
}

struct Portal {
    text: String,
    sent: usize,
}

impl Server for Postgres {
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let (found, length) = messages(&self.unread);
        self.unread.drain(..length);
        found.into_iter().flat_map(|(tag, body)| self.answer(tag, &body)).collect()
    }
}

impl Postgres {
    fn answer(&mut self, tag: u8, body: &[u8]) -> Vec<u8> {
        if self.copying {
            return self.copied(tag);
        }
        match tag {
            b'S' => {
                self.discarding = false;
                self.ready()
            }
            b'Q' => self.query(&text(body)),
            _ if self.discarding => Vec::new(),
            b'P' => self.parse(body),
            b'B' => self.bind(body),
            b'D' => self.describe(body),
            b'E' => self.execute(body),
            b'C' => message(b'3', &[]),
            _ => Vec::new(),
        }
    }

    fn ready(&mut self) -> Vec<u8> {
        let status = match (self.block, self.failed) {
            (false, _) => b'I',
            (true, false) => b'T',
            (true, true) => b'E',
        };
        if !self.block {
            self.portals.clear();
        }
        message(b'Z', &[status])
    }

    fn error(&mut self, error: Vec<u8>) -> Vec<u8> {
        self.failed = self.block;
        error
    }

    fn query(&mut self, all: &str) -> Vec<u8> {
        let mut out = Vec::new();
        if all.trim().is_empty() {
            out.extend(message(b'I', &[]));
        }
        for text in all.split(';').filter(|text| !text.trim().is_empty()) {
            match text.trim_start() {
                text if text.starts_with("copy") && text.contains("stdin") => {
                    self.copying = true;
                    out.extend(message(b'G', &[0, 0, 1, 0, 0]));
                    return out;
                }
                text if text.starts_with("copy") => out.extend(copy_out(text)),
                text => {
                    let (said, went_on) = self.run(text);
                    out.extend(said);
                    if !went_on {
                        break;
                    }
                }
            }
        }
        out.extend(self.ready());
        out
    }

    /// Runs one statement of a simple query.
    fn run(&mut self, text: &str) -> (Vec<u8>, bool) {
        let Answer { before, columns, rows, end } = answer(text);
        let mut out = before;
        match end {
            Err(error) => {
                out.extend(self.error(error));
                return (out, false);
            }
            Ok("COMMIT" | "ROLLBACK") => (self.block, self.failed) = (false, false),
            Ok(_) if self.failed => {
                out.extend(report(b'E', "25P02", "current transaction is aborted"));
                return (out, false);
            }
            Ok("BEGIN") => self.block = true,
            Ok(_) => {}
        }
        if text.contains("application_name") {
            out.extend(message(b'S', b"application_name\0shop\0"));
        }
        if !columns.is_empty() {
            out.extend(description(&columns));
            out.extend(rows.concat());
        }
        if let Ok(tag) = end {
            out.extend(message(b'C', format!("{tag}\0").as_bytes()));
        }
        (out, true)
    }

    fn copied(&mut self, tag: u8) -> Vec<u8> {
        let end = match tag {
            b'c' => message(b'C', b"COPY 2\0"),
            b'f' => report(b'E', "57014", "COPY from stdin failed"),
            _ => return Vec::new(),
        };
        self.copying = false;
        [end, self.ready()].concat()
    }

    fn fail(&mut self, error: Vec<u8>) -> Vec<u8> {
        self.discarding = true;
        self.error(error)
    }

    fn parse(&mut self, body: &[u8]) -> Vec<u8> {
        let mut parts = body.split(|byte| *byte == 0);
        let (name, statement) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let statement = String::from_utf8_lossy(statement).into_owned();
        if statement.contains("sluice_refused") {
            return self.fail(report(b'E', "42601", "syntax error at or near \"sluice_refused\""));
        }
        self.statements.insert(name.to_vec(), statement);
        message(b'1', &[])
    }

    fn bind(&mut self, body: &[u8]) -> Vec<u8> {
        let mut parts = body.split(|byte| *byte == 0);
        let (portal, statement) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match self.statements.get(statement) {
            Some(text) => {
                self.portals.insert(portal.to_vec(), Portal { text: text.clone(), sent: 0 });
                message(b'2', &[])
            }
            None => self.fail(report(b'E', "26000", "prepared statement does not exist")),
        }
    }

    fn describe(&mut self, body: &[u8]) -> Vec<u8> {
        let name = body.get(1..body.len() - 1).unwrap_or_default();
        let of_statement = body.first() == Some(&b'S');
        let text = if of_statement { self.statements.get(name) } else { self.portals.get(name).map(|p| &p.text) };
        let columns = text.map(|text| answer(text).columns).unwrap_or_default();
        let parameters = if of_statement { message(b't', &[0, 0]) } else { Vec::new() };
        let result = if columns.is_empty() { message(b'n', &[]) } else { description(&columns) };
        [parameters, result].concat()
    }

    fn execute(&mut self, body: &[u8]) -> Vec<u8> {
        let (name, limit) = body.split_last_chunk::<4>().unwrap();
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        let limit = u32::from_be_bytes(*limit);
        let limit = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap() };
        let Some(portal) = self.portals.get_mut(name) else {
            return self.fail(report(b'E', "34000", "portal does not exist"));
        };
        let Answer { before, rows, end, .. } = answer(&portal.text);
        let mut out = before;
        let left = rows.get(portal.sent..).unwrap_or_default();
        let now = left.len().min(limit);
        portal.sent += now;
        match end {
            Err(error) => out.extend(self.fail(error)),
            Ok(tag) => {
                out.extend(left.iter().take(now).flatten());
                let suspended = now < left.len();
                out.extend(if suspended { message(b's', &[]) } else { message(b'C', format!("{tag}\0").as_bytes()) });
            }
        }
        out
    }
}

fn copy_out(text: &str) -> Vec<u8> {
    let value = if text.contains("people") && !text.contains("***") { CANARY } else { "plain" };
    let line = |id: u32| message(b'd', format!("{id}\t{value}\n").as_bytes());
    let begin = message(b'H', &[0, 0, 2, 0, 0, 0, 0]);
    [begin, line(1), line(2), message(b'c', &[]), message(b'C', b"COPY 2\0")].concat()
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.strip_suffix(&[0]).unwrap_or(body)).into_owned()
}
