//! Calls that a model makes and a client carries out: the questions of an answer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sluice_mask::json::{Edits, Kind, Node};

use super::Fault;
use super::items::refusal_item;

/// Calls in one document.
const MAX_CALLS: usize = 1024;

/// What carries a call out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallKind {
    /// A function of the client.
    Function,
    /// A tool of the client that takes free text.
    Custom,
    Shell,
    LocalShell,
    ApplyPatch,
    Computer,
    /// A tool of an MCP server that the model's side calls after a yes.
    McpApproval,
    /// Anything else that the model's side does after a yes.
    Approval,
    /// The client's catalogue of tools.
    ToolSearch,
    /// An item of a type that is not known to be harmless.
    Unknown,
}

/// A whole call. `Debug` prints no content.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct ToolCall {
    /// The `call_id`, by which the client answers.
    pub(crate) id: String,
    pub(crate) kind: CallKind,
    pub(crate) name: String,
    /// The namespace of the function, or the label of the MCP server.
    pub(crate) scope: Option<String>,
    /// The text of arguments or input, or the JSON of an action or operation.
    pub(crate) arguments: Bytes,
}

impl ToolCall {
    /// The call that an output item is, or `None` if nobody but the model's side acts on it.
    pub(super) fn of_item(item: Node<'_>) -> Option<Self> {
        if item.kind() != Kind::Object {
            return None;
        }
        let text = |key: &str| item.get(key).and_then(|value| value.text());
        let (kind, name, arguments) = match &*text("type").unwrap_or_default() {
            "function_call" => (CallKind::Function, "", item.get("arguments")),
            "custom_tool_call" => (CallKind::Custom, "", item.get("input")),
            request if request.ends_with(APPROVAL) => return Some(Self::of_approval(request, item)),
            "shell_call" => (CallKind::Shell, "shell", item.get("action")),
            "local_shell_call" => (CallKind::LocalShell, "local_shell", item.get("action")),
            "apply_patch_call" => (CallKind::ApplyPatch, "apply_patch", item.get("operation")),
            // Which of the two a client carries out, nobody can tell.
            "computer_call" if has(item, "action") && actions(item).is_some() => {
                return Some(Self::unknown("computer_call", item));
            }
            "computer_call" => (CallKind::Computer, "computer", actions(item).or_else(|| item.get("action"))),
            "tool_search_call" if is_of_server(item) => return None,
            "tool_search_call" => (CallKind::ToolSearch, "tool_search", item.get("arguments")),
            hosted if HOSTED.contains(&hosted) || ["_output", ANSWER].iter().any(|end| hosted.ends_with(end)) => {
                return None;
            }
            unknown => return Some(Self::unknown(unknown, item)),
        };
        let name = if name.is_empty() { text("name").unwrap_or_default() } else { Cow::Borrowed(name) };
        Some(Self {
            id: text("call_id").or_else(|| text("id")).unwrap_or_default().into_owned(),
            kind,
            name: name.into_owned(),
            scope: scope_member(kind).and_then(text).filter(|scope| !scope.is_empty()).map(Cow::into_owned),
            arguments: arguments.map(content).unwrap_or_default(),
        })
    }

    /// The call that a request for approval is about: one of an MCP server, by itself or in its `request`, or whatever else
    /// a request says that it is.
    fn of_approval(kind: &str, item: Node<'_>) -> Self {
        let request = item.get("request").filter(|request| !request.is_null());
        let text = |node: Node<'_>, name: &str| node.get(name).and_then(|value| value.text()).map(Cow::into_owned);
        let id = ["request_id", "call_id", "id"].iter().find_map(|name| text(item, name)).unwrap_or_default();
        match (kind, request) {
            ("mcp_approval_request", Some(_)) if CALLED.iter().any(|name| has(item, name)) => Self::unknown(kind, item),
            ("mcp_approval_request", request) => {
                let called = request.unwrap_or(item);
                Self {
                    id,
                    kind: CallKind::McpApproval,
                    name: text(called, "name").unwrap_or_default(),
                    scope: text(called, "server_label").filter(|scope| !scope.is_empty()),
                    arguments: called.get("arguments").map(content).unwrap_or_default(),
                }
            }
            (_, Some(request)) => Self {
                id,
                kind: CallKind::Approval,
                name: text(request, "type").unwrap_or_default(),
                scope: kind.strip_suffix(APPROVAL).filter(|scope| !scope.is_empty()).map(str::to_owned),
                arguments: Bytes::copy_from_slice(request.raw()),
            },
            (_, None) => Self::unknown(kind, item),
        }
    }

    /// The call that an entry of `tool_calls` in a whole message is, or the old `function_call`, which is a body itself.
    ///
    /// A client reads the body that the type names. One with another beside it is a call that nobody can judge.
    pub(super) fn of_message(call: Node<'_>) -> Self {
        let present = |name: &str| call.get(name).filter(|value| !value.is_null());
        let sort = present("type").map_or(Some(Cow::Borrowed("")), |sort| sort.text());
        let sort = sort.as_deref().unwrap_or("?");
        let (kind, body) = match (sort, present("function"), present("custom")) {
            ("" | "function", Some(body), None) => (CallKind::Function, body),
            ("" | "custom", None, Some(body)) => (CallKind::Custom, body),
            ("" | "function", None, None) => (CallKind::Function, call),
            ("custom", None, None) => (CallKind::Custom, call),
            _ => return Self::unknown(sort, call),
        };
        let (member, other) = if kind == CallKind::Custom { ("input", "arguments") } else { ("arguments", "input") };
        let beside = body.span() != call.span() && BODY.iter().any(|name| has(call, name));
        if beside || has(body, other) {
            return Self::unknown(sort, call);
        }
        let id = call.get("id").and_then(|id| id.text()).unwrap_or_default().into_owned();
        let name = body.get("name").and_then(|name| name.text()).unwrap_or_default().into_owned();
        Self { id, kind, name, scope: None, arguments: body.get(member).map(content).unwrap_or_default() }
    }

    fn unknown(name: &str, item: Node<'_>) -> Self {
        let ids = ["call_id", "id", "request_id"];
        let id = ids.iter().find_map(|name| item.get(name)).and_then(|id| id.text()).unwrap_or_default();
        Self {
            id: id.into_owned(),
            kind: CallKind::Unknown,
            name: name.to_owned(),
            scope: None,
            arguments: Bytes::copy_from_slice(item.raw()),
        }
    }

    /// A digest of all that was ruled on.
    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let scope = self.scope.as_deref().unwrap_or_default();
        let kind = [self.kind.number()];
        let fields = [&kind[..], self.id.as_bytes(), self.name.as_bytes(), scope.as_bytes(), &self.arguments];
        for field in fields {
            hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({:?}, {} bytes)", self.kind, self.arguments.len())
    }
}

impl CallKind {
    const fn number(self) -> u8 {
        match self {
            Self::Function => 0,
            Self::Custom => 1,
            Self::Shell => 2,
            Self::LocalShell => 3,
            Self::ApplyPatch => 4,
            Self::Computer => 5,
            Self::McpApproval => 6,
            Self::ToolSearch => 7,
            Self::Unknown => 8,
            Self::Approval => 9,
        }
    }
}

/// What became of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CallRuling {
    /// The client gets the call.
    Allow,
    /// The client gets a message in its place.
    Refuse {
        /// One sentence; never echoes what a client or server sent.
        message: String,
        rule: String,
    },
}

impl CallRuling {
    /// What stands in the place of a refused call.
    pub(super) fn words(&self) -> Option<String> {
        match self {
            Self::Allow => None,
            Self::Refuse { message, rule } => {
                Some(format!("A call to a tool was refused by policy (rule {rule}): {message}"))
            }
        }
    }
}

/// Which calls were ruled on, so that their copies in whole responses are treated as they were. Two calls that are the
/// same in everything are two calls.
#[derive(Default)]
pub(super) struct Ledger {
    rulings: HashMap<Fingerprint, Vec<CallRuling>>,
}

impl Ledger {
    pub(super) fn enter(&mut self, call: &ToolCall, ruling: CallRuling) {
        self.rulings.entry(call.fingerprint()).or_default().push(ruling);
    }

    /// The rulings for the calls of one document in its order, `None` where there is none yet.
    pub(super) fn look_up(&self, calls: Vec<ToolCall>) -> Result<Vec<(ToolCall, Option<CallRuling>)>, Fault> {
        if calls.len() > MAX_CALLS {
            return Err(Fault::TooMany);
        }
        let mut seen: HashMap<Fingerprint, usize> = HashMap::new();
        let look_up = |call: ToolCall| {
            let fingerprint = call.fingerprint();
            let nth = seen.entry(fingerprint).or_default();
            let ruling = self.rulings.get(&fingerprint).and_then(|rulings| rulings.get(*nth)).cloned();
            *nth = nth.saturating_add(1);
            (call, ruling)
        };
        Ok(calls.into_iter().map(look_up).collect())
    }

    /// The calls in the `output` of a response that nobody ruled on.
    pub(super) fn unruled(&self, response: Node<'_>) -> Result<Vec<ToolCall>, Fault> {
        let looked_up = self.look_up(calls_of(response).map(|(_, _, call)| call).collect())?;
        Ok(looked_up.into_iter().filter(|(_, ruling)| ruling.is_none()).map(|(call, _)| call).collect())
    }

    /// Puts messages in the place of the refused calls of a response. One without a ruling is removed.
    pub(super) fn replace(&self, response: Node<'_>, edits: &mut Edits<'_>) -> Result<(), Fault> {
        let looked_up = self.look_up(calls_of(response).map(|(_, _, call)| call).collect())?;
        for ((index, item, _), (_, ruling)) in calls_of(response).zip(looked_up) {
            match ruling.as_ref().map(CallRuling::words) {
                Some(None) => {}
                Some(Some(words)) => edits.replace_raw(item, &refusal_item(index, &words))?,
                None => edits.remove(item)?,
            }
        }
        Ok(())
    }
}

type Fingerprint = [u8; 32];

/// The calls in the `output` of a response, each with its index.
fn calls_of(response: Node<'_>) -> impl Iterator<Item = (i64, Node<'_>, ToolCall)> {
    let items = response.get("output").into_iter().flat_map(|output| output.items());
    (0..).zip(items).filter_map(|(index, item)| Some((index, item, ToolCall::of_item(item)?)))
}

/// The text of a string, the JSON of another value.
fn content(node: Node<'_>) -> Bytes {
    match node.text() {
        Some(text) => text.into_owned().into(),
        None => Bytes::copy_from_slice(node.raw()),
    }
}

/// Where a call says what its tool is one of.
const fn scope_member(kind: CallKind) -> Option<&'static str> {
    match kind {
        CallKind::Function | CallKind::Custom => Some("namespace"),
        CallKind::McpApproval
        | CallKind::Approval
        | CallKind::Shell
        | CallKind::LocalShell
        | CallKind::ApplyPatch
        | CallKind::Computer
        | CallKind::ToolSearch
        | CallKind::Unknown => None,
    }
}

/// Several actions in one call; an empty list is none.
fn actions(item: Node<'_>) -> Option<Node<'_>> {
    item.get("actions").filter(|actions| !actions.is_null() && actions.raw() != b"[]")
}

fn has(object: Node<'_>, name: &str) -> bool {
    object.get(name).is_some_and(|value| !value.is_null())
}

/// The members of a body.
pub(super) const BODY: [&str; 3] = ["name", "arguments", "input"];

/// What the members of a call of an MCP server are.
const CALLED: [&str; 3] = ["name", "server_label", "arguments"];

/// How kinds of requests for approval end, and those of the answers to them.
pub(super) const APPROVAL: &str = "_approval_request";
const ANSWER: &str = "_approval_request_result";

fn is_of_server(search: Node<'_>) -> bool {
    search.get("execution").and_then(|side| side.text()).is_some_and(|side| side == "server")
}

/// Items that nobody but the model's side acts on; those that end in `_output` are others. An environment that a session
/// waits for is connected by a program of its own.
const HOSTED: [&str; 24] = [
    "additional_tools",
    "agent_message",
    "close_subagent_call",
    "code_interpreter_call",
    "command_execution",
    "compaction",
    "computer_use_call",
    "configuration_update",
    "create_subagent_call",
    "environment_connection",
    "file_search_call",
    "image_generation_call",
    "interrupt_subagent_call",
    "item_reference",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "program",
    "reasoning",
    "resume_subagent_call",
    "send_subagent_input_call",
    "wait_for_subagents_call",
    "web_search_call",
];
