//! What kind of event an event is, and what it is about.
//!
//! Kinds are those of the [streaming events](https://platform.openai.com/docs/api-reference/responses-streaming) of
//! Responses, of images, speech and transcripts, of the sessions of agents, and of Assistants, whose events have a name and
//! no `type`.

use std::borrow::Cow;
use std::fmt::Write as _;

use sluice_mask::json::{Kind, Node};

use super::desk::Stage;
use super::{Fault, Shape};

/// The longest kind of event.
const MAX_KIND_BYTES: usize = 96;

/// How the data of an event is built.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Form<'a> {
    /// A chunk: `choices`, or nothing but `usage`.
    Chunk,
    /// An object that says its own type, or an event of Assistants.
    Typed(Cow<'a, str>),
    /// An `error`, and nothing else to go by.
    Error,
}

/// The form of an event, if its route has it. What is known by no rule is a fault.
pub(super) fn form_of<'a>(shape: Shape, name: Option<&str>, root: Node<'a>) -> Result<Form<'a>, Fault> {
    let has = |key: &str| root.get(key).is_some_and(|value| !value.is_null());
    let kind = root.get("type").and_then(|kind| kind.text());
    match (shape, kind) {
        (Shape::Responses | Shape::Other | Shape::Agents, Some(kind)) if is_kind_of(shape, &kind) => {
            if name.is_some_and(|name| name != kind) {
                return Err(Fault::Contradiction);
            }
            Ok(Form::Typed(kind))
        }
        // An object can have a type of its own; events of these streams have names.
        (Shape::Other, _) if name.is_some_and(|name| name.starts_with("thread.") && is_kind(name)) => {
            Ok(Form::Typed(Cow::Owned(name.unwrap_or_default().to_owned())))
        }
        (Shape::Chat | Shape::Completions | Shape::Other, _) if has("choices") => Ok(Form::Chunk),
        (_, _) if has("error") => Ok(Form::Error),
        (Shape::Chat | Shape::Completions | Shape::Other, _) if has("usage") => Ok(Form::Chunk),
        (Shape::Chat | Shape::Completions | Shape::Responses | Shape::Agents | Shape::Other, _) => {
            Err(Fault::UnknownEvent)
        }
    }
}

/// Tells whether the strings of an event of that kind are whole. Those of a delta are pieces, and those of a kind that is
/// not listed may be.
pub(super) fn is_whole(kind: &str) -> bool {
    match kind.split_once('.') {
        Some(("response", rest)) => OF_RESPONSES.contains(&rest),
        Some(("agent", rest)) => OF_AGENTS.contains(&rest),
        Some(("thread", rest)) => OF_THREADS.contains(&rest.rsplit('.').next().unwrap_or(rest)),
        Some(_) => OF_OTHERS.contains(&kind),
        None => KINDS.contains(&kind),
    }
}

/// How far a stream is after an event of that kind, if that is news. A session of an agent goes on after an error, and may
/// be left by the server at any time.
pub(super) fn stage_after(shape: Shape, kind: &str) -> Option<Stage> {
    if shape == Shape::Agents {
        return Some(Stage::Complete);
    }
    // More images may come after one.
    let stage = if kind.starts_with("image_") { Stage::Complete } else { Stage::Ended };
    TERMINAL.contains(&kind).then_some(stage)
}

/// Tells whether a chunk holds nothing but the usage.
pub(super) fn is_of_usage(root: Node<'_>) -> bool {
    let usage = root.get("usage").is_some_and(|usage| usage.kind() == Kind::Object);
    usage && root.get("choices").is_none_or(|choices| choices.items().next().is_none())
}

/// The texts that are whole before this event, as lines of a scope; `None` if it ends none.
pub(super) fn ended_by(shape: Shape, kind: &str, root: Node<'_>) -> Option<String> {
    if shape == Shape::Agents {
        return ended_in_session(kind, root);
    }
    if TERMINAL.contains(&kind) {
        return Some(String::new());
    }
    let (base, end) = kind.rsplit_once('.')?;
    let object = kind.starts_with("thread.");
    match end {
        "done" if WHOLES.contains(&base) => Some(scope_of(None, kind, root)),
        "done" => Some(scope_of(Some(base), kind, root)),
        "completed" | "incomplete" | "failed" | "cancelled" | "expired" if object => {
            Some(scope_of(Some(base), kind, root))
        }
        _ => None,
    }
}

/// The same in a session of an agent: several work at once, each in turns of its own.
fn ended_in_session(kind: &str, root: Node<'_>) -> Option<String> {
    let line = |name: &str, value: Option<Node<'_>>| {
        let value = value.filter(|value| value.kind() == Kind::String)?;
        Some(format!("{name}={}\n", str::from_utf8(value.raw()).ok()?))
    };
    match kind.strip_prefix("agent.session.")? {
        "failed" => Some(String::new()),
        "turn.cancelled" | "turn.completed" | "turn.failed" => line("turn_id", root.get("turn_id")),
        "turn.item.done" => line("item_id", root.at(&["item", "id"])),
        "turn.content_part.done" | "turn.reasoning_summary_part.done" => {
            let scope = scope_of(None, kind, root);
            Some(scope + &line("item_id", root.get("item_id"))?)
        }
        rest => rest.strip_suffix(".done").and_then(|_| Some(scope_of(Some(kind.strip_suffix(".done")?), kind, root))),
    }
}

/// Which text a piece belongs to, as lines: the kind without its end, every index, and whose it is.
pub(super) fn scope_of(base: Option<&str>, kind: &str, root: Node<'_>) -> String {
    let mut scope = String::new();
    if let Some(base) = base {
        scope.push_str(base);
        scope.push('\n');
    }
    let object = kind.starts_with("thread.");
    let of_agent = kind.starts_with(OF_AGENT);
    for (name, value) in root.members() {
        let index = name.ends_with("_index");
        let names = index
            || (name == "turn_id" && of_agent)
            || (name == "item_id" && base.is_some())
            || (name == "id" && object);
        if names && !name.contains('\n') && matches!(value.kind(), Kind::Number | Kind::String) {
            let raw = str::from_utf8(value.raw()).unwrap_or_default();
            let _infallible = writeln!(scope, "{}={raw}", name);
        }
    }
    scope
}

/// Tells whether events can be of that kind.
pub(super) fn is_kind(kind: &str) -> bool {
    kind.len() <= MAX_KIND_BYTES
        && kind.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'.'))
        && (KINDS.contains(&kind) || PREFIXES.iter().any(|prefix| kind.starts_with(prefix)))
}

/// Tells whether events of streams of that shape can be of that kind.
fn is_kind_of(shape: Shape, kind: &str) -> bool {
    is_kind(kind) && (KINDS.contains(&kind) || kind.starts_with(OF_AGENT) == (shape == Shape::Agents))
}

/// How kinds of events in sessions of agents begin.
const OF_AGENT: &str = "agent.";

const KINDS: [&str; 2] = ["error", "keepalive"];

const PREFIXES: [&str; 9] = [
    "agent.output.",
    "agent.session.",
    "conversation.",
    "image_edit.",
    "image_generation.",
    "response.",
    "speech.audio.",
    "thread.",
    "transcript.",
];

const TERMINAL: [&str; 9] = [
    "error",
    "image_edit.completed",
    "image_generation.completed",
    "response.cancelled",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "speech.audio.done",
    "transcript.text.done",
];

/// Kinds of events whose strings are whole, after `response.`.
const OF_RESPONSES: [&str; 51] = [
    "apply_patch_call_operation_diff.done",
    "audio.done",
    "audio.transcript.done",
    "cancelled",
    "code_interpreter_call.completed",
    "code_interpreter_call.in_progress",
    "code_interpreter_call.interpreting",
    "code_interpreter_call_code.done",
    "compaction.compacting",
    "completed",
    "content_part.added",
    "content_part.done",
    "created",
    "custom_tool_call_input.done",
    "failed",
    "file_search_call.completed",
    "file_search_call.in_progress",
    "file_search_call.searching",
    "function_call_arguments.done",
    "image_generation_call.completed",
    "image_generation_call.generating",
    "image_generation_call.in_progress",
    "image_generation_call.partial_image",
    "in_progress",
    "incomplete",
    "mcp_call.completed",
    "mcp_call.failed",
    "mcp_call.in_progress",
    "mcp_call_arguments.done",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "mcp_list_tools.in_progress",
    "output_item.added",
    "output_item.done",
    "output_text.annotation.added",
    "output_text.done",
    "queued",
    "reasoning_summary_part.added",
    "reasoning_summary_part.done",
    "reasoning_summary_text.done",
    "reasoning_text.done",
    "refusal.done",
    "shell_call_command.added",
    "shell_call_command.done",
    "shell_call_output_content.done",
    "steer.accepted",
    "steer.failed",
    "steer.pending",
    "web_search_call.completed",
    "web_search_call.in_progress",
    "web_search_call.searching",
];

/// Such kinds after `agent.`.
const OF_AGENTS: [&str; 29] = [
    "session.created",
    "session.environment.connected",
    "session.environment.disconnected",
    "session.environment.expired",
    "session.environment.failed",
    "session.environment.pending",
    "session.environment.ready",
    "session.environment.reset",
    "session.environment.suspended",
    "session.failed",
    "session.idle",
    "session.in_progress",
    "session.requires_action",
    "session.subagent.active",
    "session.subagent.closed",
    "session.subagent.created",
    "session.turn.cancelled",
    "session.turn.completed",
    "session.turn.content_part.added",
    "session.turn.content_part.done",
    "session.turn.created",
    "session.turn.failed",
    "session.turn.in_progress",
    "session.turn.item.added",
    "session.turn.item.done",
    "session.turn.output_text.done",
    "session.turn.reasoning_summary_part.added",
    "session.turn.reasoning_summary_part.done",
    "session.turn.reasoning_summary_text.done",
];

/// The last words of such kinds after `thread.`.
const OF_THREADS: [&str; 11] = [
    "cancelled",
    "cancelling",
    "completed",
    "created",
    "deleted",
    "expired",
    "failed",
    "in_progress",
    "incomplete",
    "queued",
    "requires_action",
];

/// Other such kinds.
const OF_OTHERS: [&str; 7] = [
    "image_edit.completed",
    "image_edit.partial_image",
    "image_generation.completed",
    "image_generation.partial_image",
    "speech.audio.done",
    "transcript.text.done",
    "transcript.text.segment",
];

/// Things that hold several texts; the event of the end of one ends all of them.
const WHOLES: [&str; 3] = ["response.content_part", "response.output_item", "response.reasoning_summary_part"];
