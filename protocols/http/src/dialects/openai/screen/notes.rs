//! What an answer made or named, so that whoever owns the session can join it to what follows.

use sluice_mask::json::Node;

/// Ids of one list.
const MAX_IDS: usize = 1024;

/// Ids that an answer brought into being.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Notes {
    /// The response or completion, or whatever object a body is.
    pub(crate) object: Option<String>,
    /// Other objects of the server: conversations, containers.
    pub(crate) others: Vec<String>,
    /// The `call_id` of every call that the client got.
    pub(crate) calls: Vec<String>,
}

impl Notes {
    /// Reads the ids in a chunk, an event or a body.
    pub(super) fn read(&mut self, root: Node<'_>) {
        let response = root.get("response");
        let object = response.unwrap_or(root);
        if response.is_some() || root.get("object").is_some() {
            if self.object.is_none() {
                self.object = text(object, "id");
            }
            if let Some(id) = object.get("conversation").and_then(|conversation| text(conversation, "id")) {
                push(id, &mut self.others);
            }
        }
        if let Some(id) = root.get("item").and_then(|item| text(item, "container_id")) {
            push(id, &mut self.others);
        }
        for item in object.get("output").into_iter().flat_map(|output| output.items()) {
            if let Some(id) = text(item, "container_id") {
                push(id, &mut self.others);
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
