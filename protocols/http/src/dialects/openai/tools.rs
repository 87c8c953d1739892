//! The tools that a request offers to a model, in every form in which it can: listed, forced, loaded, grouped.

use sluice_mask::json::{Kind as Json, Node};

use super::ask::Unfit;
use super::hosted;

/// The longest name: the API allows functions 64 and MCP tools 128 characters.
const MAX_NAME_CHARS: usize = 128;

/// A tool that the model may use.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Offered {
    /// The function's name; of a hosted tool the type, as the client spells it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) harm: Harm,
}

impl Offered {
    /// The name that all versions of a hosted tool share; any other tool's own.
    pub(crate) fn family(&self) -> &str {
        match self.kind {
            Kind::Hosted => hosted::family(&self.name),
            Kind::Function | Kind::Custom | Kind::Remote => &self.name,
        }
    }
}

/// Who would run a tool.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    /// The client, with arguments in JSON.
    Function,
    /// The client, with free text.
    Custom,
    /// The server. Some of these run at the client after all (`local_shell`), and what is not known counts as hosted.
    Hosted,
    /// An MCP server that the server calls.
    Remote,
}

/// What the configuration says of a tool.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Harm {
    None,
    Destroys,
}

/// A tool before the configuration was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tool {
    name: String,
    kind: Kind,
}

impl Tool {
    pub(super) fn hosted(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Hosted }
    }

    fn new(name: Node<'_>, kind: Kind) -> Result<Self, Unfit> {
        let name = name.text().ok_or_else(|| Unfit::mistyped("name"))?;
        // No space and nothing invisible: two names that look alike are alike.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_CHARS || !name.bytes().all(plain) {
            return Err(Unfit::new(400, "invalid_tool_name", "a tool's name has characters that no name has"));
        }
        Ok(Self { name: name.into_owned(), kind })
    }

    /// Asks the configuration whether it destroys something.
    pub(super) fn judge(self, destructive: &[String]) -> Offered {
        let destroys = destructive.iter().any(|pattern| matches(pattern, &self.name));
        Offered { name: self.name, kind: self.kind, harm: if destroys { Harm::Destroys } else { Harm::None } }
    }
}

/// How a list of tools is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// Each with its type.
    Typed,
    /// `functions`, which are nothing else.
    Functions,
}

impl Form {
    pub(super) fn of(list: &str) -> Self {
        if list == "functions" { Self::Functions } else { Self::Typed }
    }
}

/// Reads one tool; a group gives all its members, and an MCP server the tools that it is narrowed to.
pub(super) fn read(tool: Node<'_>, form: Form) -> Result<Vec<Tool>, Unfit> {
    // Evaluations name the tools of earlier requests.
    if tool.kind() == Json::String {
        return Ok(vec![Tool::new(tool, Kind::Function)?]);
    }
    if tool.kind() != Json::Object {
        return Err(Unfit::mistyped("tools"));
    }
    if form == Form::Functions {
        return Ok(vec![Tool::new(tool.get("name").ok_or_else(|| Unfit::missing("name"))?, Kind::Function)?]);
    }
    typed(tool)
}

/// Reads `tool_choice` or `function_call`, which can name a tool that is listed nowhere.
pub(super) fn choice(choice: Node<'_>) -> Result<Vec<Tool>, Unfit> {
    if choice.is_null() {
        return Ok(Vec::new());
    }
    if let Some(word) = choice.text() {
        let known = matches!(&*word, "auto" | "none" | "required" | "any");
        return if known { Ok(Vec::new()) } else { Ok(vec![Tool::new(choice, Kind::Function)?]) };
    }
    if choice.kind() != Json::Object {
        return Err(Unfit::mistyped("tool_choice"));
    }
    let kind = choice.get("type").and_then(|kind| kind.text());
    match kind.as_deref() {
        Some("allowed_tools") => {
            let lists = [choice.get("tools"), choice.at(&["allowed_tools", "tools"])];
            let listed = lists.into_iter().flatten().flat_map(|list| list.items()).map(typed);
            Ok(listed.collect::<Result<Vec<_>, _>>()?.concat())
        }
        // The old `function_call` has a name and no type.
        None if choice.get("type").is_none() => {
            Ok(vec![Tool::new(choice.get("name").ok_or_else(|| Unfit::missing("name"))?, Kind::Function)?])
        }
        Some(_) | None => typed(choice),
    }
}

fn typed(tool: Node<'_>) -> Result<Vec<Tool>, Unfit> {
    let kind = tool.get("type").ok_or_else(|| Unfit::missing("type"))?;
    let kind = kind.text().ok_or_else(|| Unfit::mistyped("type"))?;
    match &*kind {
        "function" => named(tool, "function", Kind::Function),
        "custom" => named(tool, "custom", Kind::Custom),
        // Its tools are read where they stand, as the list that they are.
        "namespace" => Ok(Vec::new()),
        "mcp" => remote(tool),
        kind if super::ask::is_word(kind) => Ok(vec![Tool::hosted(kind)]),
        _ => Err(Unfit::new(400, "invalid_tool_type", "a tool's type has characters that no type has")),
    }
}

/// The name is in an object in one dialect and beside the type in another; where both are, both count.
fn named(tool: Node<'_>, inner: &str, kind: Kind) -> Result<Vec<Tool>, Unfit> {
    let names = [tool.get("name"), tool.at(&[inner, "name"])];
    let tools: Vec<Tool> = names.into_iter().flatten().map(|name| Tool::new(name, kind)).collect::<Result<_, _>>()?;
    if tools.is_empty() { Err(Unfit::missing("name")) } else { Ok(tools) }
}

fn remote(tool: Node<'_>) -> Result<Vec<Tool>, Unfit> {
    let allowed = tool.get("allowed_tools").filter(|allowed| !allowed.is_null());
    let listed = allowed.map(|allowed| allowed.get("tool_names").unwrap_or(allowed));
    if listed.is_some_and(|listed| !matches!(listed.kind(), Json::Array | Json::Object)) {
        return Err(Unfit::mistyped("allowed_tools"));
    }
    let named =
        listed.into_iter().flat_map(|listed| listed.items()).chain(tool.get("name").filter(|name| !name.is_null()));
    let mut tools = vec![Tool::hosted("mcp")];
    for name in named {
        tools.push(Tool::new(name, Kind::Remote)?);
    }
    Ok(tools)
}

/// Says whether a name fits a pattern, in which `*` stands for any characters; case does not count.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    // Between the ends each piece is taken as early as it can be, which leaves the most for those after it.
    let mut rest = rest;
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
