//! Tools that the server runs: what their versions are called, and what MCP servers are held to.

use sluice_mask::json::{Edits, Node};

use super::ask::Unfit;

/// Versions and previews of hosted tools, and the name they share.
const FAMILIES: [(&str, &str); 8] = [
    ("computer_use", "computer"),
    ("computer_use_preview", "computer"),
    ("file_search_preview", "file_search"),
    ("retrieval", "file_search"),
    ("web_search_2025_08_26", "web_search"),
    ("web_search_preview", "web_search"),
    ("web_search_preview_2025_03_11", "web_search"),
    ("browser", "web_search"),
];

/// The name that all versions of a hosted tool share. A version that is not known yet is found by its date.
pub(super) fn family(name: &str) -> &str {
    let undated = undated(name);
    let known = FAMILIES.iter().find(|(version, _)| *version == name || *version == undated);
    known.map_or(undated, |(_, family)| family)
}

/// Takes `_2025_03_11` off a name.
fn undated(name: &str) -> &str {
    let date = name.len().checked_sub("_2025_03_11".len()).and_then(|at| name.split_at_checked(at));
    let is_date = |tail: &str| {
        let shape = tail.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        shape.eq(b"_0000_00_00".iter().copied())
    };
    date.filter(|(_, tail)| is_date(tail)).map_or(name, |(name, _)| name)
}

/// Has the server ask before every call of an MCP server, whatever the client wants
/// (<https://platform.openai.com/docs/guides/tools-connectors-mcp#approvals>). The credentials that an entry may hold are
/// found where all others are.
pub(super) fn guard<'d>(tool: Node<'d>, edits: &mut Edits<'d>) -> Result<(), Unfit> {
    if tool.get("type").and_then(|kind| kind.text()).as_deref() != Some("mcp") {
        return Ok(());
    }
    match tool.get("require_approval") {
        Some(value) => edits.replace_raw(value, "\"always\"")?,
        None => edits.insert_member(tool, "require_approval", "\"always\"")?,
    }
    Ok(())
}
