//! What an answer made or named, so that whoever owns the session can join it to what follows.

use std::collections::BTreeSet;

use sluice_mask::json::Node;
use sluice_wire::Object;

use crate::dialects::openai::made::told_of;
use crate::dialects::openai::routes::Yield;

/// Calls of one answer.
const MAX_IDS: usize = 1024;
/// Objects that one answer tells of. Whose one too many is, nobody knows, so it cannot be used.
const MAX_OBJECTS: usize = 16_384;

/// Ids that an answer brought into being.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Notes {
    /// The response or completion, or whatever object a body is.
    pub(crate) object: Option<String>,
    /// What else an answer makes known.
    yields: Vec<Yield>,
    /// What the events have told of so far.
    known: BTreeSet<Object>,
    /// Those of it that nobody has taken.
    untaken: Vec<Object>,
    /// The `call_id` of every call that the client got.
    pub(crate) calls: Vec<String>,
}

impl Notes {
    /// Notes of an answer that makes these known.
    pub(super) fn of(yields: Vec<Yield>) -> Self {
        Self { yields, ..Self::default() }
    }

    /// The answer is one body, which somebody else has read.
    pub(super) fn tell_nothing(&mut self) {
        self.yields.clear();
    }

    /// The objects that events have told of since this was asked last.
    pub(super) fn take_told(&mut self) -> Vec<Object> {
        std::mem::take(&mut self.untaken)
    }

    /// Reads the ids in a chunk, an event or a body.
    pub(super) fn read(&mut self, root: Node<'_>) {
        let response = root.get("response").or_else(|| root.get("session"));
        let object = response.unwrap_or(root);
        if self.object.is_none() && (response.is_some() || root.get("object").is_some()) {
            self.object = text(object, "id");
            let about = self.yields.iter().filter(|made| made.at.is_itself());
            let told = about.flat_map(|made| told_of(object, made.class, made.at.steps())).collect();
            self.add(told);
        }
        self.read_told(object, root.get("item"));
    }

    /// Reads what a response tells of, and what an item of one does.
    fn read_told(&mut self, response: Node<'_>, item: Option<Node<'_>>) {
        let mut told = Vec::new();
        for made in self.yields.iter().filter(|made| !made.at.is_itself()) {
            told.extend(told_of(response, made.class, made.at.steps()));
            if let (Some(item), Some(steps)) = (item, made.at.within_output()) {
                told.extend(told_of(item, made.class, steps));
            }
        }
        self.add(told);
    }

    fn add(&mut self, told: Vec<Object>) {
        for object in told {
            if self.known.len() < MAX_OBJECTS && self.known.insert(object.clone()) {
                self.untaken.push(object);
            }
        }
    }

    /// Reads the ids of calls that nobody is asked about.
    pub(super) fn read_calls(&mut self, root: Node<'_>) {
        let object = root.get("response").unwrap_or(root);
        let items = object.get("output").into_iter().flat_map(|output| output.items());
        for id in root.get("item").into_iter().chain(items).filter_map(|item| text(item, "call_id")) {
            self.call(&id);
        }
        for choice in root.get("choices").into_iter().flat_map(|choices| choices.items()) {
            let message = choice.get("delta").or_else(|| choice.get("message"));
            let calls = message.and_then(|message| message.get("tool_calls"));
            for id in calls.into_iter().flat_map(|calls| calls.items()).filter_map(|call| text(call, "id")) {
                self.call(&id);
            }
        }
    }

    /// Writes down a call that the client gets.
    pub(super) fn call(&mut self, id: &str) {
        if !id.is_empty() {
            push(id.to_owned(), &mut self.calls);
        }
    }
}

fn text(node: Node<'_>, key: &str) -> Option<String> {
    node.get(key).and_then(|value| value.text()).map(|text| text.into_owned())
}

fn push(id: String, ids: &mut Vec<String>) {
    if ids.len() < MAX_IDS && !ids.contains(&id) {
        ids.push(id);
    }
}
