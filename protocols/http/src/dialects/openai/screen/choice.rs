//! One of the choices of a streamed chat completion, and the calls in it.

use sluice_mask::json::{Kind, Node};

use super::body::{listed, single};
use super::call::{BODY, CallKind, CallRuling, ToolCall};
use super::words::{push_string, quoted};
use super::{Fault, Firewall};

/// Calls of one choice.
const MAX_CALLS: usize = 1024;

/// What is known of a choice.
#[derive(Default)]
pub(super) struct Choice {
    /// Its `finish_reason` came by.
    pub(super) finished: bool,
    /// It has content, so that further words need a paragraph of their own.
    pub(super) said: bool,
    /// By their index.
    calls: Vec<Assembly>,
}

/// A call whose pieces are put together.
struct Assembly {
    /// The server's index; the old `function_call` has none.
    index: Option<i64>,
    id: String,
    name: String,
    /// Its `type`.
    sort: String,
    /// It has a body of that name, with its name and arguments or input.
    function: bool,
    custom: bool,
    /// It says of itself that it is one thing, and has the members of another.
    odd: bool,
    arguments: String,
    /// Further members of its first piece, each after a comma.
    extras: String,
    begun: bool,
    ruling: Option<CallRuling>,
}

/// What became of the calls of a choice.
#[derive(Default)]
pub(super) struct Outcome {
    /// A delta for each call that the client gets.
    pub(super) deltas: Vec<String>,
    /// What stands in the place of the others.
    pub(super) words: Option<String>,
}

impl Choice {
    /// Takes the pieces of calls in a delta and gives the bytes that they add.
    pub(super) fn absorb(&mut self, delta: Node<'_>, max_bytes: usize) -> Result<usize, Fault> {
        let mut added = 0_usize;
        for piece in listed(delta)?.into_iter().flat_map(|calls| calls.items()) {
            let at = self.place(piece)?;
            added = added.saturating_add(self.append(at, piece, max_bytes)?);
        }
        if let Some(piece) = single(delta)? {
            let at = match self.calls.iter().position(|assembly| assembly.index.is_none()) {
                Some(at) => at,
                None => self.begin(None)?,
            };
            added = added.saturating_add(self.append(at, piece, max_bytes)?);
        }
        if added > 0 && self.finished { Err(Fault::Late) } else { Ok(added) }
    }

    /// The calls that nobody ruled on.
    pub(super) fn unruled(&self) -> Vec<ToolCall> {
        self.calls.iter().filter(|assembly| assembly.ruling.is_none()).map(Assembly::whole).collect()
    }

    /// Takes the ruling for the first call that has none.
    pub(super) fn rule(&mut self, ruling: CallRuling) {
        if let Some(assembly) = self.calls.iter_mut().find(|assembly| assembly.ruling.is_none()) {
            assembly.ruling = Some(ruling);
        }
    }

    /// Ends the calls. Those behind a refused one move up.
    pub(super) fn settle(&mut self, firewall: Firewall) -> Outcome {
        let mut outcome = Outcome::default();
        for assembly in self.calls.drain(..) {
            let ruling = match firewall {
                Firewall::On => assembly.ruling.as_ref(),
                Firewall::Off => Some(&CallRuling::Allow),
            };
            match ruling.map(CallRuling::words) {
                Some(None) => {
                    let dense = i64::try_from(outcome.deltas.len()).unwrap_or(i64::MAX);
                    let index = if outcome.words.is_some() { Some(dense) } else { assembly.index };
                    outcome.deltas.push(assembly.delta(index.unwrap_or(dense)));
                }
                Some(Some(sentence)) => {
                    let words = outcome.words.get_or_insert_default();
                    if self.said {
                        words.push_str("\n\n");
                    }
                    words.push_str(&sentence);
                    self.said = true;
                }
                None => {}
            }
        }
        outcome
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Where a piece belongs. Some servers leave the index out; then another id begins another call.
    fn place(&mut self, piece: Node<'_>) -> Result<usize, Fault> {
        let index = match piece.get("index").and_then(|index| index.as_i64()) {
            Some(index) => index,
            None => {
                let id = piece.get("id").and_then(|id| id.text()).unwrap_or_default();
                match self.calls.last() {
                    Some(last) if id.is_empty() || last.id == id => last.index.unwrap_or_default(),
                    Some(_) | None => i64::try_from(self.calls.len()).unwrap_or(i64::MAX),
                }
            }
        };
        match self.calls.iter().position(|assembly| assembly.index == Some(index)) {
            Some(at) => Ok(at),
            None => self.begin(Some(index)),
        }
    }

    fn begin(&mut self, index: Option<i64>) -> Result<usize, Fault> {
        if self.calls.len() >= MAX_CALLS {
            return Err(Fault::TooMany);
        }
        let at = self.calls.partition_point(|assembly| assembly.index < index);
        self.calls.insert(at, Assembly::new(index));
        Ok(at)
    }

    fn append(&mut self, at: usize, piece: Node<'_>, max_bytes: usize) -> Result<usize, Fault> {
        let Some(assembly) = self.calls.get_mut(at) else { return Ok(0) };
        let before = assembly.bytes();
        assembly.append(piece);
        if assembly.bytes() > max_bytes { Err(Fault::TooLarge) } else { Ok(assembly.bytes().saturating_sub(before)) }
    }
}

impl Assembly {
    fn new(index: Option<i64>) -> Self {
        let [id, name, sort, arguments, extras] = std::array::from_fn(|_| String::new());
        Self {
            index,
            id,
            name,
            sort,
            function: false,
            custom: false,
            odd: false,
            arguments,
            extras,
            begun: false,
            ruling: None,
        }
    }

    fn append(&mut self, piece: Node<'_>) {
        let first = !std::mem::replace(&mut self.begun, true);
        if self.index.is_none() {
            return self.append_body(piece, "input");
        }
        for (name, value) in piece.members() {
            match &*name {
                "index" => {}
                "id" if self.id.is_empty() => self.id = value.text().unwrap_or_default().into_owned(),
                "type" if self.sort.is_empty() && value.kind() == Kind::String => {
                    self.sort = value.text().unwrap_or_default().into_owned();
                }
                "type" if value.text().is_some_and(|sort| sort == self.sort) => {}
                "type" => self.odd |= !value.is_null(),
                "id" => {}
                "function" => {
                    self.function |= !value.is_null();
                    self.append_body(value, "input");
                }
                "custom" => {
                    self.custom |= !value.is_null();
                    self.append_body(value, "arguments");
                }
                // What stands beside the body is read by some clients only.
                _ if BODY.contains(&&*name) => self.odd |= !value.is_null(),
                _ if first => {
                    self.extras.push(',');
                    push_string(&name, &mut self.extras);
                    self.extras.push(':');
                    self.extras.push_str(str::from_utf8(value.raw()).unwrap_or("null"));
                }
                _ => {}
            }
        }
    }

    /// Appends a body, whose sort has no member of that other name.
    fn append_body(&mut self, body: Node<'_>, other: &str) {
        for (name, value) in body.members() {
            self.odd |= name == other && !value.is_null();
            match (&*name, value.kind()) {
                ("name", Kind::String) => self.name.push_str(&value.text().unwrap_or_default()),
                ("arguments" | "input", Kind::String) => self.arguments.push_str(&value.text().unwrap_or_default()),
                ("arguments" | "input", Kind::Object) => {
                    self.arguments.push_str(str::from_utf8(value.raw()).unwrap_or_default());
                }
                // Nobody ruled on anything else, so it does not leave.
                _ => {}
            }
        }
    }

    fn bytes(&self) -> usize {
        [&self.id, &self.name, &self.sort, &self.arguments, &self.extras].iter().map(|text| text.len()).sum()
    }

    fn kind(&self) -> CallKind {
        match (&*self.sort, self.function, self.custom) {
            _ if self.odd => CallKind::Unknown,
            ("" | "function", _, false) => CallKind::Function,
            ("" | "custom", false, true) | ("custom", false, false) => CallKind::Custom,
            _ => CallKind::Unknown,
        }
    }

    fn whole(&self) -> ToolCall {
        let name = if self.name.is_empty() { &self.sort } else { &self.name };
        let arguments = self.arguments.clone().into();
        ToolCall { id: self.id.clone(), kind: self.kind(), name: name.clone(), scope: None, arguments }
    }

    /// The delta with the whole call.
    fn delta(&self, index: i64) -> String {
        let (name, arguments) = (quoted(&self.name), quoted(&self.arguments));
        if self.index.is_none() {
            return format!(r#"{{"function_call":{{"name":{name},"arguments":{arguments}}}}}"#);
        }
        // Of a call that is not known nobody can tell what its other members do.
        let extras = if self.kind() == CallKind::Unknown { "" } else { &self.extras };
        let (sort, input) = if self.custom { ("custom", "input") } else { ("function", "arguments") };
        let kind = if self.sort.is_empty() { sort } else { &self.sort };
        format!(
            r#"{{"tool_calls":[{{"index":{index},"id":{},"type":{},"{sort}":{{"name":{name},"{input}":{arguments}}}{extras}}}]}}"#,
            quoted(&self.id),
            quoted(kind),
        )
    }
}
