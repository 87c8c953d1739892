//! A protocol of text lines, small enough to be right: tests of the kit and of the kernel speak it.
//!
//! | from the client | |
//! |---|---|
//! | `ask NAME` | an operation: read an item; answered by rows and `ok`, or by `error …` |
//! | `put NAME TEXT` | an operation: write an item; answered likewise |
//! | `ping` | housekeeping; answered by `pong` |
//! | `renew` | an errand outside the flow; answered by `renewed` |
//!
//! | from the server | |
//! |---|---|
//! | `row TEXT` | one row of an answer; `secret:WORD` in it is what masks hide, `whole:` before it is for the recording |
//! | `ok`, `error TEXT`, `pong` | the end of an answer |
//! | `news TEXT` | at any time |
//!
//! The broker itself answers `refused RULE MESSAGE`, `held ID MESSAGE`, `renewed` and `closed MESSAGE`.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_model::{
    Access, Action, ActionSpec, Effect, Exposure, Fact, FactGroup, FactSpec, FactType, Facts, Meaning, OpId, Operation,
    Refusal, Resource, ResourceSpec, Ruling, Schema, Shape, Spend, Stage, Tag, Text, Usage,
};
use sluice_wire::{HoldNotice, Input, Kept, Outbox, Side, Violation, Wants};

/// Longest line, in bytes.
pub const LINE_LIMIT: usize = 1024;
/// Most answers that may be owed.
pub const OWED_LIMIT: usize = 512;
/// A run of rows is closed once it has this many bytes.
const RUN_BYTES: usize = 4096;

pub const CONNECT: Action = Action { name: "toy.connect", effect: Effect::Connect };
pub const READ: Action = Action { name: "toy.read", effect: Effect::Read };
pub const WRITE: Action = Action { name: "toy.write", effect: Effect::Write };

pub static SCHEMA: Schema = Schema {
    protocol: "toy",
    version: 1,
    actions: &[
        ActionSpec { action: CONNECT, on: &[Resource::TARGET], facts: "toy", doc: "Connect." },
        ActionSpec { action: READ, on: &["Item"], facts: "toy", doc: "Read an item." },
        ActionSpec { action: WRITE, on: &["Item"], facts: "toy", doc: "Write an item." },
    ],
    resources: &[ResourceSpec { kind: "Item", within: Resource::TARGET, can_be: ResourceSpec::ANY, doc: "An item." }],
    facts: &[FactGroup {
        name: "toy",
        facts: &[FactSpec { name: "name", of: FactType::Text, doc: "The item's name." }],
    }],
};

/// One line, or a run of rows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line(pub Bytes);

impl Line {
    pub fn of(text: &str) -> Self {
        Self(Bytes::from(format!("{text}\n")))
    }

    fn text(&self) -> Result<&str, &'static str> {
        let text = std::str::from_utf8(&self.0).map_err(|_| "a line is not text")?;
        Ok(text.strip_suffix('\n').unwrap_or(text))
    }
}

impl sluice_wire::Frame for Line {
    fn wire(&self) -> &[u8] {
        &self.0
    }

    fn kept(&self) -> Kept {
        let kinds = [("row whole:", Kept::Whole), ("row bulk:", Kept::Bulk), ("ask key:", Kept::Counted)];
        let kind = kinds.into_iter().find(|(beginning, _)| self.0.starts_with(beginning.as_bytes()));
        kind.map_or(Kept::UpToLimit, |(_, kept)| kept)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Codec;

/// The length of the line at the front, with its end.
fn line_length(from: Side, buf: &[u8]) -> Result<Option<usize>, Violation> {
    let length = buf.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n').map(|at| at + 1);
    if length.is_none() && buf.len() >= LINE_LIMIT {
        return Err(Violation { side: from, what: "a line is too long" });
    }
    Ok(length)
}

impl sluice_wire::Codec for Codec {
    type Frame = Line;

    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Line>, Violation> {
        let Some(mut end) = line_length(from, buf)? else { return Ok(None) };
        let is_row = |bytes: &[u8]| from == Side::Server && bytes.starts_with(b"row ");
        if is_row(buf) {
            while end < RUN_BYTES
                && let Some(rest) = buf.get(end..).filter(|rest| is_row(rest))
                && let Ok(Some(next)) = line_length(from, rest)
            {
                end += next;
            }
        }
        Ok(Some(Line(buf.split_to(end).freeze())))
    }

    fn encode(&mut self, frame: Line) -> Bytes {
        frame.0
    }
}

/// Something outside the flow.
pub type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

pub struct Toy {
    owed: VecDeque<Owed>,
    question: Option<(OpId, Line)>,
    renewing: bool,
    errands: Arc<dyn Fn() -> Errand + Send + Sync>,
    last: OpId,
    client_gone: bool,
}

enum Owed {
    Answer { op: OpId, masked: bool },
    Pong,
    Refused { op: OpId, refusal: Arc<Refusal> },
}

impl Default for Toy {
    fn default() -> Self {
        Self::with_errands(|| Box::pin(std::future::ready(())))
    }
}

impl Toy {
    pub fn with_errands(errands: impl Fn() -> Errand + Send + Sync + 'static) -> Self {
        Self {
            owed: VecDeque::new(),
            question: None,
            renewing: false,
            errands: Arc::new(errands),
            last: OpId::CONNECT,
            client_gone: false,
        }
    }

    fn client_says(&mut self, line: Line, out: &mut Outbox<Line>) -> Result<(), Violation> {
        let text = line.text().map_err(Violation::client)?;
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["ask", name] if !name.is_empty() => self.ask(READ, name, &line, out),
            ["put", name, _, ..] if !name.is_empty() => self.ask(WRITE, name, &line, out),
            ["ping"] => {
                self.owed.push_back(Owed::Pong);
                out.to_server(OpId::CONNECT, line);
            }
            ["renew"] => {
                self.renewing = true;
                out.errand((self.errands)());
            }
            _ => return Err(Violation::client("the line is not understood")),
        }
        Ok(())
    }

    fn ask(&mut self, action: Action, name: &str, line: &Line, out: &mut Outbox<Line>) {
        self.last = self.last.next();
        self.question = Some((self.last, line.clone()));
        out.ask(self.last, operation(action, name, &line.0));
    }

    fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Line>) {
        let Some((_, line)) = self.question.take_if(|(asked, _)| *asked == op) else { return };
        match ruling {
            Ruling::Allow(obligations) => {
                self.owed.push_back(Owed::Answer { op, masked: !obligations.masks.is_empty() });
                out.to_server(op, line);
            }
            Ruling::Deny(refusal) => self.owed.push_back(Owed::Refused { op, refusal }),
        }
        self.refuse_in_turn(out);
    }

    /// Refusals are answered here, each when its turn has come.
    fn refuse_in_turn(&mut self, out: &mut Outbox<Line>) {
        while let Some(Owed::Refused { op, refusal }) = self.owed.front() {
            out.to_client(*op, Line::of(&format!("refused {} {}", refusal.rule, refusal.message)));
            out.done(*op);
            self.owed.pop_front();
        }
        if self.client_gone && self.owed.is_empty() && self.question.is_none() {
            out.close();
        }
    }

    fn server_says(&mut self, line: Line, out: &mut Outbox<Line>) -> Result<(), Violation> {
        let text = line.text().map_err(Violation::server)?;
        let word = text.split(' ').next().unwrap_or_default();
        match (word, self.owed.front()) {
            ("news", _) => {
                out.to_client(OpId::CONNECT, line);
                return Ok(());
            }
            ("row", Some(Owed::Answer { op, masked })) => {
                let shown = if *masked { mask(text) } else { line };
                out.to_client(*op, shown);
                return Ok(());
            }
            ("ok" | "error", Some(Owed::Answer { op, masked })) => {
                let line = if *masked && word == "error" { Line::of("error something failed") } else { line };
                out.to_client(*op, line);
                out.done(*op);
            }
            ("pong", Some(Owed::Pong)) => out.to_client(OpId::CONNECT, line),
            _ => return Err(Violation::server("an answer came that nothing had asked for")),
        }
        self.owed.pop_front();
        self.refuse_in_turn(out);
        Ok(())
    }
}

fn mask(rows: &str) -> Line {
    let rows = rows.lines().map(|row| {
        let words = row.split(' ').map(|word| if word.starts_with("secret:") { "secret:***" } else { word });
        words.collect::<Vec<_>>().join(" ") + "\n"
    });
    Line(Bytes::from(rows.collect::<String>()))
}

/// Reading or writing an item; `person` is tagged.
pub fn operation(action: Action, name: &str, text: &Bytes) -> Operation {
    let item = Resource::new("Item", [name]);
    let tagged = (name == "person" && action == READ).then(|| Exposure {
        resource: item.clone(),
        tags: Tag::new("pii").into_iter().collect(),
        usage: Usage::Reveal,
    });
    let meaning = Meaning {
        action,
        accesses: std::iter::once(Access { action, resource: item }).collect(),
        exposures: tagged.into_iter().collect(),
        facts: Facts { group: "toy", values: vec![("name", Fact::Text(name.into()))] },
        understood: true,
    };
    let shape = Shape::new(meaning, [&text[..]]);
    Operation {
        shape: Arc::new(shape),
        text: Text::new(text.clone()),
        stage: Stage::Perform,
        bound: None,
        spend: Spend::default(),
    }
}

impl sluice_wire::Machine for Toy {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        match input {
            Input::FromClient(line) => self.client_says(line, out)?,
            Input::FromServer(line) => self.server_says(line, out)?,
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out),
            Input::Held(op, HoldNotice { id, message, .. }) => {
                if self.question.as_ref().is_some_and(|(asked, _)| *asked == op) {
                    out.to_client(op, Line::of(&format!("held {id} {message}")));
                }
            }
            Input::Waiting(..) => {}
            Input::Returned => {
                if std::mem::take(&mut self.renewing) {
                    out.to_client(OpId::CONNECT, Line::of("renewed"));
                }
            }
            Input::Revoked(refusal) => {
                out.to_client(OpId::CONNECT, Line::of(&format!("closed {}", refusal.message)));
                out.close();
            }
            Input::Ended(Side::Client) => {
                self.client_gone = true;
                self.refuse_in_turn(out);
            }
            Input::Ended(Side::Server) => {
                out.to_client(OpId::CONNECT, Line::of("closed the server is gone"));
                out.close();
            }
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        let room = self.question.is_none() && !self.renewing && self.owed.len() < OWED_LIMIT;
        Wants { client: room, server: true }
    }
}
