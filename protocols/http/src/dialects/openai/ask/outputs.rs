//! Results of tools that a client brings back, to be joined to the calls they answer.

use std::borrow::Cow;
use std::fmt;

use sluice_mask::json::{Kind, Node};

/// The result of one call. `Debug` prints its length only.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Output {
    /// The id of the call; the name of the function where the old form has nothing else.
    pub(crate) call: String,
    /// The text that the model is told, to be digested and not to be stored: parts of text one after the other, and
    /// anything else as the JSON it came in.
    pub(crate) text: String,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({} bytes)", self.text.len())
    }
}

/// Results since the model last spoke, in the order of the body. A conversation without memory carries all of them
/// again with every request; those before were joined when they were new.
pub(super) fn last(root: Node<'_>) -> Vec<Output> {
    if let Some(outputs) = root.get("tool_outputs") {
        return outputs.items().filter_map(|item| output(item, "tool_call_id", "output")).collect();
    }
    let input = root.get("messages").or_else(|| root.get("input")).or_else(|| root.get("items"));
    let items: Vec<Node<'_>> = input.into_iter().flat_map(|input| input.items()).collect();
    let spoken = |item: &Node<'_>| is(*item, "role", "assistant");
    let mut outputs: Vec<Output> =
        items.iter().rev().take_while(|item| !spoken(item)).filter_map(|item| result(*item)).collect();
    outputs.reverse();
    outputs
}

fn result(item: Node<'_>) -> Option<Output> {
    if is(item, "role", "tool") {
        return output(item, "tool_call_id", "content");
    }
    if is(item, "role", "function") {
        return output(item, "name", "content");
    }
    let kind = item.get("type")?.text()?;
    if !kind.ends_with("_call_output") {
        return None;
    }
    output(item, "call_id", "output").or_else(|| output(item, "id", "output"))
}

fn output(item: Node<'_>, call: &str, text: &str) -> Option<Output> {
    let call = item.get(call)?.text()?.into_owned();
    Some(Output { call, text: item.get(text).map(told).unwrap_or_default() })
}

fn told(output: Node<'_>) -> String {
    if let Some(text) = output.text() {
        return text.into_owned();
    }
    let texts: Option<Vec<Cow<'_, str>>> = output.items().map(|part| part.get("text")?.text()).collect();
    match texts {
        Some(texts) if output.kind() == Kind::Array => texts.concat(),
        Some(_) | None => str::from_utf8(output.raw()).unwrap_or_default().to_owned(),
    }
}

fn is(object: Node<'_>, name: &str, text: &str) -> bool {
    object.get(name).and_then(|value| value.text()).as_deref() == Some(text)
}
