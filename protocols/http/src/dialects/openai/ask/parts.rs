//! The items, messages and parts of an input that are known: each new kind may do something of its own.

use sluice_mask::json::{Kind, Node};

use super::Unfit;

/// Kinds of items (<https://platform.openai.com/docs/api-reference/responses/create#responses-create-input>).
const ITEMS: [&str; 35] = [
    "additional_tools",
    "agent_message",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "multi_agent_call",
    "multi_agent_call_output",
    "program",
    "program_output",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
    "web_search_call_output",
];

/// Kinds of parts of a content, over all dialects of it.
const PARTS: [&str; 18] = [
    "audio",
    "computer_screenshot",
    "encrypted_content",
    "file",
    "image_file",
    "image_url",
    "input_audio",
    "input_file",
    "input_image",
    "input_json",
    "input_text",
    "output_audio",
    "output_image",
    "output_text",
    "reasoning_text",
    "refusal",
    "summary_text",
    "text",
];

/// Members of parts, over all kinds.
const MEMBERS: [&str; 21] = [
    "annotations",
    "audio",
    "data",
    "detail",
    "encrypted_content",
    "file",
    "file_data",
    "file_id",
    "file_url",
    "filename",
    "id",
    "image_file",
    "image_url",
    "input_audio",
    "logprobs",
    "prompt_cache_breakpoint",
    "refusal",
    "status",
    "text",
    "transcript",
    "type",
];

const ROLES: [&str; 6] = ["assistant", "developer", "function", "system", "tool", "user"];

/// What an item records of the past in this member means nothing for what comes: pages that were visited, results that
/// were found, tools that a server had.
pub(super) fn inert(item: &str) -> Option<&'static str> {
    match item {
        "web_search_call" => Some("action"),
        "code_interpreter_call" => Some("outputs"),
        "file_search_call" => Some("results"),
        "mcp_list_tools" => Some("tools"),
        _ => None,
    }
}

/// The kind of an item: a message needs not say that it is one, nor does a reference to a stored item.
pub(super) fn item(item: Node<'_>) -> Result<&'static str, Unfit> {
    if item.kind() != Kind::Object {
        return Err(Unfit::mistyped("input"));
    }
    let kind = match item.get("type") {
        Some(kind) if !kind.is_null() => kind.text().ok_or_else(|| Unfit::mistyped("type"))?,
        Some(_) | None if item.get("role").is_some() => "message".into(),
        Some(_) | None if item.get("id").is_some() => "item_reference".into(),
        Some(_) | None => return Err(Unfit::missing("type")),
    };
    let known = ITEMS.iter().find(|known| **known == kind);
    let known = known.ok_or_else(|| Unfit::new(400, "unknown_item", "the input has an item of an unknown type"))?;
    if *known == "message" {
        role(item)?;
    }
    Ok(known)
}

/// The class of an item's id where the item itself is there, too.
pub(super) const QUOTED: &str = "item";
/// The class of an item's id by which the server finds what is not there.
const REFERRED: &str = "item_reference";

/// What each kind of item is about is in one of these members
/// (<https://platform.openai.com/docs/api-reference/responses/create#responses-create-input>).
const CONTENTS: [(&str, &str); 34] = [
    ("additional_tools", "tools"),
    ("agent_message", "content"),
    ("apply_patch_call", "operation"),
    // It can say no more than that the patch was applied.
    ("apply_patch_call_output", "call_id"),
    ("code_interpreter_call", "code"),
    ("compaction", "encrypted_content"),
    ("computer_call", "action"),
    ("computer_call", "actions"),
    ("computer_call_output", "output"),
    ("custom_tool_call", "input"),
    ("custom_tool_call_output", "output"),
    ("file_search_call", "queries"),
    ("function_call", "arguments"),
    ("function_call_output", "output"),
    ("image_generation_call", "result"),
    ("local_shell_call", "action"),
    ("local_shell_call_output", "output"),
    ("mcp_approval_request", "arguments"),
    ("mcp_approval_response", "approve"),
    ("mcp_call", "arguments"),
    ("mcp_list_tools", "tools"),
    ("message", "content"),
    ("multi_agent_call", "arguments"),
    ("multi_agent_call_output", "output"),
    ("program", "code"),
    ("program_output", "result"),
    // The server finds the thoughts behind a summary, unless the client keeps them.
    ("reasoning", "encrypted_content"),
    ("shell_call", "action"),
    ("shell_call_output", "output"),
    ("tool_search_call", "arguments"),
    ("tool_search_output", "tools"),
    ("web_search_call", "action"),
    ("web_search_call_output", "output"),
    ("web_search_call_output", "results"),
];

/// What the id of an item is to the server: it finds by it what the item itself does not hold.
pub(super) fn class(kind: &str, item: Node<'_>) -> &'static str {
    let held = |(_, member): &(&str, &str)| item.get(member).is_some_and(|content| is_there(member, content));
    if CONTENTS.iter().filter(|(of, _)| *of == kind).any(held) { QUOTED } else { REFERRED }
}

fn is_there(member: &str, content: Node<'_>) -> bool {
    match member {
        "encrypted_content" | "result" => content.text().is_some_and(|text| !text.is_empty()),
        _ => !content.is_null(),
    }
}

/// Says whether an object anywhere in a request is an item, by its type.
pub(super) fn is_item(kind: &str) -> bool {
    ITEMS.contains(&kind)
}

/// Checks the role of a message.
pub(super) fn role(message: Node<'_>) -> Result<(), Unfit> {
    if message.kind() != Kind::Object {
        return Err(Unfit::mistyped("messages"));
    }
    let role = message.get("role").ok_or_else(|| Unfit::missing("role"))?;
    let role = role.text().ok_or_else(|| Unfit::mistyped("role"))?;
    if ROLES.contains(&&*role) { Ok(()) } else { Err(Unfit::invalid("role")) }
}

/// Checks a part of a content and that nothing in it is unknown.
pub(super) fn part(part: Node<'_>) -> Result<(), Unfit> {
    let kind = part.get("type").ok_or_else(|| Unfit::missing("type"))?;
    let kind = kind.text().ok_or_else(|| Unfit::mistyped("type"))?;
    if !PARTS.contains(&&*kind) {
        return Err(Unfit::new(400, "unknown_part", "the content has a part of an unknown type"));
    }
    match part.members().find(|(name, _)| !MEMBERS.contains(&&**name)) {
        Some((name, _)) => Err(Unfit::unknown(&name)),
        None => Ok(()),
    }
}

/// A name as the API's own members have: no case to fold and nothing that looks like something else.
pub(in crate::dialects::openai) fn is_word(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// An id, in the characters that ids in paths have.
pub(in crate::dialects::openai) fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    (1..=256).contains(&id.len()) && id.bytes().all(plain)
}
