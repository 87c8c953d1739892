//! Calls that stand elsewhere in a document than where answers have them: in what is read back, and in what waits for the
//! client. Nothing can stand in their place, so the whole document depends on them.

use std::collections::BTreeSet;

use sluice_mask::json::{Document, Kind, Node};

use super::{ToolCall, calls_of, messages, objects};

/// Entries of `tool_calls` that a step of a run tells of and nobody but the model's side carries out.
const HOSTED: [&str; 2] = ["code_interpreter", "file_search"];

/// The calls that stand elsewhere, in their order.
pub(super) fn calls(document: &Document) -> Vec<ToolCall> {
    let mut known = BTreeSet::new();
    for object in objects(document) {
        known.extend(messages(object).flat_map(|(_, message)| calls_of(message)).map(|(call, _)| call.span().start));
        let output = object.get("output").into_iter().flat_map(|output| output.items());
        known.extend(output.map(|item| item.span().start));
    }
    let mut found = Vec::new();
    gather(document.root(), &known, &mut found);
    found
}

/// `INVARIANT:` a document has a limit on its depth, and so has this recursion.
fn gather(node: Node<'_>, known: &BTreeSet<usize>, found: &mut Vec<ToolCall>) {
    let is_known = |node: Node<'_>| known.contains(&node.span().start);
    if node.kind() == Kind::Object && !is_known(node) {
        if is_call(node)
            && let Some(call) = ToolCall::of_item(node)
        {
            return found.push(call);
        }
        let calls = calls_of(node).filter(|(call, _)| !is_known(*call) && !is_hosted(*call));
        found.extend(calls.map(|(_, call)| call));
    }
    node.items().for_each(|item| gather(item, known, found));
    for (name, member) in node.members() {
        if !matches!(&*name, "tool_calls" | "function_call") {
            gather(member, known, found);
        }
    }
}

fn is_call(item: Node<'_>) -> bool {
    let kind = item.get("type").and_then(|kind| kind.text());
    kind.is_some_and(|kind| kind.ends_with("_call") || kind == "mcp_approval_request")
}

fn is_hosted(call: Node<'_>) -> bool {
    call.get("type").and_then(|kind| kind.text()).is_some_and(|kind| HOSTED.contains(&&*kind))
}
