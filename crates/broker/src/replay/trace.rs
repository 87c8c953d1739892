//! What of a recording says who called whom: a model's turns, its calls of tools, and operations elsewhere.
//!
//! The protocol notes `llm.call` (`op`, `id`, `name`) for a call that a model makes, where `op` is the operation that the
//! call is, or the turn it is made in where nobody is asked about it; and `llm.results` (`op`, `ids` with commas) for a
//! request that brings the results of earlier calls.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use serde_json::Value;
use sluice_model::{Digest, FlowId, OpId, SessionId, Stage};
use sluice_recording::{Asked, Event, Noted, Outcome, Reader, Stored, Word};
use sluice_store::Place;

use super::command;

/// The action of a call that a model makes.
pub(super) const CALL: &str = "tool.call";
/// How the actions of a model's turns begin.
const TURN: &str = "llm.";
/// Arguments of one call that are compared.
const MAX_ARGUMENTS: usize = 1_000;

/// What one session did.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) turns: Vec<Turn>,
    pub(super) calls: Vec<Call>,
    pub(super) deeds: Vec<Deed>,
}

/// A request to a model.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) place: Place,
    pub(super) at: i64,
    /// The ids of the calls whose results it brings.
    pub(super) results: Vec<String>,
}

/// A call of a tool that a model makes.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) place: Place,
    /// The turn it was made in.
    pub(super) turn: Option<Place>,
    pub(super) id: Option<String>,
    /// When the client could first know of it; `None` if it never could.
    pub(super) released: Option<i64>,
    /// What its arguments may have others do: texts as [`digest`] has them, and commands.
    pub(super) texts: Vec<Digest>,
}

/// An operation at another target.
#[derive(Debug)]
pub(super) struct Deed {
    pub(super) place: Place,
    pub(super) at: i64,
    /// What a call that asked for it has among its texts: any one of these.
    pub(super) texts: Vec<Digest>,
}

impl Trace {
    /// Reads a recording as far as it can be read; `false` if that is not to its end.
    pub(super) fn read(session: &SessionId, mut reader: Reader<impl Read>) -> (Self, bool) {
        let mut reading = Reading::new(session.clone(), reader.header().anchor.0);
        let whole = loop {
            match reader.next_event() {
                Ok(Some(stored)) => reading.event(&stored),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        (reading.finish(), whole)
    }
}

/// A recording that is being read.
struct Reading {
    session: SessionId,
    anchor_us: i64,
    target: String,
    trace: Trace,
    /// The newest turn of each flow.
    turns: HashMap<FlowId, Place>,
    /// The ids of calls whose operation has not come yet, and when they were noted.
    noted: HashMap<Place, Vec<(String, i64)>>,
    /// Ids of results, by the turn that brings them.
    results: HashMap<Place, Vec<String>>,
}

impl Reading {
    fn new(session: SessionId, anchor_us: i64) -> Self {
        Self {
            session,
            anchor_us,
            target: String::new(),
            trace: Trace::default(),
            turns: HashMap::new(),
            noted: HashMap::new(),
            results: HashMap::new(),
        }
    }

    fn place(&self, flow: FlowId, op: OpId) -> Place {
        Place { session: self.session.clone(), flow, op }
    }

    fn event(&mut self, stored: &Stored<'_>) {
        let (flow, at) = (stored.flow, wall_ns(self.anchor_us, stored.at_ns));
        match &stored.event {
            Event::Asked(asked) => self.asked(self.place(flow, asked.op), asked, at),
            Event::Ruled(ruled) if ruled.verdict == Word::Allow => self.released(&self.place(flow, ruled.op), at),
            Event::Settled(settled) if settled.outcome == Outcome::Approved => {
                self.released(&self.place(flow, settled.op), at);
            }
            Event::Noted(noted) => self.note(flow, noted, at),
            Event::Opened(opened) => self.target = opened.target.clone().into_owned(),
            Event::Ruled(_)
            | Event::Held(_)
            | Event::Settled(_)
            | Event::Passed(_)
            | Event::Cut(_)
            | Event::Done(_)
            | Event::Gap(_)
            | Event::Closed(_) => {}
        }
    }

    fn asked(&mut self, place: Place, asked: &Asked<'_>, at: i64) {
        let text = String::from_utf8_lossy(asked.text.0);
        if asked.action == CALL {
            let fact = asked.facts.iter().find(|pair| pair.name == "name");
            let name = fact.map_or_else(String::new, |pair| pair.value.clone().into_owned());
            let id = self.noted.remove(&place).and_then(|noted| noted.into_iter().next()).map(|(id, _)| id);
            let turn = self.turns.get(&place.flow).cloned();
            let texts = texts(&name, &text);
            self.trace.calls.push(Call { place, turn, id, released: None, texts });
        } else if asked.action.starts_with(TURN) {
            self.turns.insert(place.flow, place.clone());
            self.trace.turns.push(Turn { place, at, results: Vec::new() });
        } else if asked.stage == Stage::Perform && place.op != OpId::CONNECT && !asked.action.starts_with("tool.") {
            let texts = if command::COMMANDS.contains(&&*asked.action) {
                vec![command::anywhere(&text), command::at(&self.target, &text)]
            } else {
                vec![digest(&text)]
            };
            self.trace.deeds.push(Deed { place, at, texts });
        }
    }

    fn released(&mut self, place: &Place, at: i64) {
        if let Some(call) = self.trace.calls.iter_mut().rev().find(|call| call.place == *place) {
            call.released.get_or_insert(at);
        }
    }

    fn note(&mut self, flow: FlowId, noted: &Noted<'_>, at: i64) {
        let value = |name: &str| noted.pairs.iter().find(|pair| pair.name == name).map(|pair| &*pair.value);
        let Some(op) = value("op").and_then(|op| op.parse().ok()) else { return };
        let place = self.place(flow, OpId(op));
        match &*noted.kind {
            "llm.call" => {
                let Some(id) = value("id").filter(|id| !id.is_empty()) else { return };
                let known = self.trace.calls.iter_mut().rev().find(|call| call.place == place && call.id.is_none());
                match known {
                    Some(call) => call.id = Some(id.to_owned()),
                    None => self.noted.entry(place).or_default().push((id.to_owned(), at)),
                }
            }
            "llm.results" => {
                let ids = value("ids").unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty());
                self.results.entry(place).or_default().extend(ids.map(str::to_owned));
            }
            _ => {}
        }
    }

    /// A call that was noted under its turn, because nobody was asked about it, stands where the turn does.
    fn finish(mut self) -> Trace {
        for turn in &mut self.trace.turns {
            turn.results = self.results.remove(&turn.place).unwrap_or_default();
            for (id, at) in self.noted.remove(&turn.place).unwrap_or_default() {
                let (id, released) = (Some(id), Some(at));
                let call = Call { place: turn.place.clone(), turn: None, id, released, texts: Vec::new() };
                self.trace.calls.push(call);
            }
        }
        self.trace
    }
}

/// A moment of a recording by the clock on the wall, in nanoseconds since 1970.
pub(super) fn wall_ns(anchor_us: i64, at_ns: u64) -> i64 {
    let since = i64::try_from(at_ns).unwrap_or(i64::MAX);
    anchor_us.saturating_mul(1_000).saturating_add(since)
}

/// What two texts are compared by: neither white space around them nor a last semicolon tells them apart.
fn digest(text: &str) -> Digest {
    Digest::of_parts([meat(text).as_bytes()])
}

pub(super) fn meat(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == ';')
}

/// What a call may have others do, each once.
fn texts(name: &str, text: &str) -> Vec<Digest> {
    let mut found = Vec::new();
    for argument in arguments(name, text) {
        match argument {
            Argument::Text(text) => {
                found.push(digest(&text));
                found.extend(command::in_text(&text));
            }
            Argument::Words(words) => {
                found.extend(command::in_words(&words.iter().map(String::as_str).collect::<Vec<_>>()));
            }
        }
    }
    let mut seen = HashSet::new();
    found.retain(|digest| seen.insert(*digest));
    found
}

/// An argument of a call.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Argument {
    Text(String),
    /// A list in which there is nothing but texts; each is an argument besides.
    Words(Vec<String>),
}

/// The arguments of `name(JSON)` that are text, at any depth; all of it where it is no JSON. Empty ones say nothing.
fn arguments(name: &str, text: &str) -> Vec<Argument> {
    let inner = text.strip_prefix(name).unwrap_or(text).trim();
    let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(inner);
    let mut found = Vec::new();
    match serde_json::from_str::<Value>(inner) {
        Ok(value) => strings(&value, &mut found),
        Err(_) => found.push(Argument::Text(inner.to_owned())),
    }
    found.retain(|argument| !matches!(argument, Argument::Text(text) if meat(text).is_empty()));
    found
}

fn strings(value: &Value, found: &mut Vec<Argument>) {
    match value {
        _ if found.len() >= MAX_ARGUMENTS => {}
        Value::String(text) => found.push(Argument::Text(text.clone())),
        Value::Array(items) => {
            let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            if let Some(words) = words.filter(|words| words.len() > 1) {
                found.push(Argument::Words(words.into_iter().map(str::to_owned).collect()));
            }
            items.iter().for_each(|item| strings(item, found));
        }
        Value::Object(members) => members.values().for_each(|member| strings(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(text: &str) -> Argument {
        Argument::Text(text.to_owned())
    }

    #[test]
    fn arguments_are_found_at_any_depth() {
        let text = r#"query({"sql":" select 1; ","more":[{"x":"select 2"},3,null,""]})"#;
        let mut found = arguments("query", text);
        found.sort();
        assert_eq!(found, [text_of(" select 1; "), text_of("select 2")]);
        assert_eq!(digest(" select 1; "), digest("select 1"));
        assert_ne!(digest("select 1"), digest("select 2"));
        assert_eq!(arguments("shell", "shell(psql -c 'x')"), [text_of("psql -c 'x'")]);
        assert_eq!(arguments("query", r#"query {"sql":"a"}"#), [text_of("a")]);
        assert_eq!(arguments("query", "query()"), []);
        let words = Argument::Words(vec!["ls".to_owned(), "/".to_owned()]);
        assert_eq!(arguments("run", r#"run({"argv":["ls","/"]})"#), [words, text_of("ls"), text_of("/")]);
    }
}
