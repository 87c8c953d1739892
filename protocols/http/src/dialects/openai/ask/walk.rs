//! The walk over a request that finds what it offers, names and refers to.

use sluice_mask::json::{Document, Edits, Kind, Node};

use super::found::Found;
use super::place::{Place, place};
use super::sources::Messages;
use super::{Mention, Rules, Shape, Unfit, parts};
use crate::dialects::openai::images::{self, Fetched, What};
use crate::dialects::openai::{hosted, tools};

/// A walk over one document. Its depth is that of the document, which has a limit.
#[derive(Debug)]
pub(super) struct Reader<'r, 'd> {
    rules: &'r Rules<'r>,
    shape: Shape,
    pub(super) messages: Messages,
    pub(super) found: Found,
    pub(super) edits: Edits<'d>,
}

impl<'r, 'd> Reader<'r, 'd> {
    pub(super) fn new(document: &'d Document, rules: &'r Rules<'r>, shape: Shape) -> Self {
        Self { rules, shape, messages: Messages::AsGiven, found: Found::default(), edits: Edits::new(document) }
    }

    /// The same walk over another document.
    pub(super) fn within<'i>(&self, document: &'i Document) -> Reader<'r, 'i> {
        Reader::new(document, self.rules, self.shape)
    }

    /// Reads the whole body.
    pub(super) fn top(&mut self, root: Node<'d>) -> Result<(), Unfit> {
        for (name, value) in root.members() {
            match (self.shape, &*name) {
                (Shape::Items, "input" | "items") => match value.kind() {
                    Kind::Array => value.items().try_for_each(|item| self.item(item))?,
                    Kind::Null | Kind::String => {}
                    Kind::Bool | Kind::Number | Kind::Name | Kind::Object => return Err(Unfit::mistyped(&name)),
                },
                (Shape::Chat, "messages") => self.messages(value)?,
                (Shape::Agents, "events") => self.said(value)?,
                _ => self.member(&name, value)?,
            }
        }
        Ok(())
    }

    fn messages(&mut self, messages: Node<'d>) -> Result<(), Unfit> {
        if messages.kind() != Kind::Array {
            return Err(Unfit::mistyped("messages"));
        }
        for message in messages.items() {
            parts::role(message)?;
            // What the model said and called before is no offer; a call in a message has the name of a choice.
            for (name, value) in message.members() {
                if name == "function_call" { self.visit(value)? } else { self.member(&name, value)? }
            }
        }
        Ok(())
    }

    fn item(&mut self, item: Node<'d>) -> Result<(), Unfit> {
        let kind = parts::item(item)?;
        let class = parts::class(kind, item);
        for (name, value) in item.members() {
            match &*name {
                "id" => self.id(class, value)?,
                name if parts::inert(kind) == Some(name) => {}
                "output" => self.output(value)?,
                "result" if kind == "image_generation_call" => self.inline(What::Image, value),
                name => self.member(name, value)?,
            }
        }
        self.approval(item, kind)
    }

    pub(super) fn visit(&mut self, value: Node<'d>) -> Result<(), Unfit> {
        match value.kind() {
            Kind::Object => self.object(value),
            Kind::Array => value.items().try_for_each(|item| self.visit(item)),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Name => Ok(()),
        }
    }

    fn object(&mut self, object: Node<'d>) -> Result<(), Unfit> {
        let kind = object.get("type").and_then(|kind| kind.text()).unwrap_or_default();
        for (name, value) in object.members() {
            match (&*kind, &*name) {
                // Evaluations take the lines of a file.
                ("file_id", "id") => self.id("file", value)?,
                (kind, "id") if parts::is_item(kind) => self.id(parts::class(kind, object), value)?,
                ("file_content", "content") if object.get("role").is_none() => self.visit(value)?,
                _ => self.member(&name, value)?,
            }
        }
        self.approval(object, &kind)
    }

    /// Reads a member by its name.
    pub(super) fn member(&mut self, name: &str, value: Node<'d>) -> Result<(), Unfit> {
        // Servers that fold case, or fold more than that, would know a name that is unknown here.
        if !parts::is_word(name) {
            return Err(Unfit::unknown(name));
        }
        match place(name) {
            Place::Opaque if self.messages == Messages::InSamples && matches!(name, "item" | "sample") => {
                self.visit(value)
            }
            Place::Opaque => Ok(()),
            Place::Map if value.kind() == Kind::Object => value.members().try_for_each(|(_, value)| self.visit(value)),
            Place::Tools => self.tools(name, value),
            Place::Choice => {
                tools::choice(value)?.into_iter().try_for_each(|tool| self.offer(tool))?;
                names(value)
            }
            Place::Search => {
                self.offer(tools::Tool::hosted("web_search"))?;
                self.visit(value)
            }
            Place::Model => self.model(value),
            Place::Content => self.content(value),
            Place::Id(class) => self.id(class, value),
            Place::Ids(class) => self.ids(class, name, value),
            Place::Holder(class) => match value.kind() {
                Kind::String => self.id(class, value),
                Kind::Null | Kind::Bool | Kind::Number | Kind::Name | Kind::Array | Kind::Object => {
                    self.holder(class, value)
                }
            },
            Place::Named(class) => {
                if class == "environment" && self.shape == Shape::Agents {
                    self.environment(value)?;
                }
                self.holder(class, value)
            }
            Place::Url(what) => self.url(what, name, value),
            Place::Service => self.service(value),
            Place::Network => self.network(name, value),
            Place::Inline(what) => {
                self.inline(what, value);
                Ok(())
            }
            Place::Audio => {
                self.inline(What::Media, value);
                self.holder("audio", value)
            }
            Place::Credential if self.shape != Shape::Admin => self.credential(value),
            Place::Map | Place::Credential | Place::Plain => self.visit(value),
        }
    }

    fn offer(&mut self, tool: tools::Tool) -> Result<(), Unfit> {
        self.found.tool(tool.judge(self.rules.destructive))
    }

    /// Reads tools twice: as tools, and as objects like any other, since a hosted one has ids, addresses and models.
    fn tools(&mut self, name: &str, list: Node<'d>) -> Result<(), Unfit> {
        if list.is_null() {
            return Ok(());
        }
        if list.kind() != Kind::Array {
            return Err(Unfit::mistyped(name));
        }
        for node in list.items() {
            self.found.entry()?;
            tools::read(node, tools::Form::of(name))?.into_iter().try_for_each(|tool| self.offer(tool))?;
            if self.shape != Shape::Agents {
                hosted::guard(node, &mut self.edits)?;
            }
            self.visit(node)?;
        }
        Ok(())
    }

    fn model(&mut self, value: Node<'d>) -> Result<(), Unfit> {
        if value.is_null() {
            return Ok(());
        }
        let name = value.text().ok_or_else(|| Unfit::mistyped("model"))?;
        if let Some(real) = self.named_model(&name)? {
            self.edits.replace_text(value, &real)?;
        }
        Ok(())
    }

    /// Takes a model down and gives its name at the server, if that is another.
    pub(super) fn named_model(&mut self, name: &str) -> Result<Option<String>, Unfit> {
        let known = self.rules.models.find(name).ok_or_else(Unfit::not_allowed)?;
        self.found.model(name)?;
        Ok((known.real != name).then(|| known.real.to_owned()))
    }

    fn content(&mut self, value: Node<'d>) -> Result<(), Unfit> {
        match value.kind() {
            Kind::Null | Kind::String => Ok(()),
            Kind::Object => {
                parts::part(value)?;
                self.object(value)
            }
            Kind::Array => value.items().try_for_each(|part| match part.kind() {
                Kind::String => Ok(()),
                Kind::Object => {
                    parts::part(part)?;
                    self.object(part)
                }
                Kind::Null | Kind::Bool | Kind::Number | Kind::Name | Kind::Array => Err(Unfit::mistyped("content")),
            }),
            Kind::Bool | Kind::Number | Kind::Name => Err(Unfit::mistyped("content")),
        }
    }

    /// The result of a tool: text, or parts like those of a message, which alone have a type.
    fn output(&mut self, value: Node<'d>) -> Result<(), Unfit> {
        let typed = |part: &Node<'d>| part.get("type").is_some();
        if typed(&value) {
            parts::part(value)?;
        }
        value.items().filter(typed).try_for_each(parts::part)?;
        self.visit(value)
    }

    fn id(&mut self, class: &'static str, value: Node<'d>) -> Result<(), Unfit> {
        if value.is_null() {
            return Ok(());
        }
        self.named_id(class, &value.text().ok_or_else(|| Unfit::mistyped("id"))?)
    }

    pub(super) fn named_id(&mut self, class: &'static str, id: &str) -> Result<(), Unfit> {
        if !parts::is_id(id) {
            return Err(Unfit::new(400, "invalid_id", "an id has characters that no id has"));
        }
        self.found.id(Mention { class, id: id.to_owned() })
    }

    fn ids(&mut self, class: &'static str, name: &str, value: Node<'d>) -> Result<(), Unfit> {
        match value.kind() {
            Kind::Null => Ok(()),
            Kind::Array => value.items().try_for_each(|id| self.id(class, id)),
            Kind::Bool | Kind::Number | Kind::String | Kind::Name | Kind::Object => Err(Unfit::mistyped(name)),
        }
    }

    /// An object with an id of its own; a text here means something else.
    fn holder(&mut self, class: &'static str, value: Node<'d>) -> Result<(), Unfit> {
        if let Some(id) = value.get("id") {
            self.id(class, id)?;
        }
        self.visit(value)
    }

    fn url(&mut self, what: What, name: &str, value: Node<'d>) -> Result<(), Unfit> {
        match value.kind() {
            Kind::Null => Ok(()),
            Kind::String => self.address(what, name, &value.text().unwrap_or_default()),
            Kind::Object => value.members().try_for_each(|(name, value)| match &*name {
                "url" => self.url(what, "url", value),
                name => self.member(name, value),
            }),
            Kind::Bool | Kind::Number | Kind::Name | Kind::Array => Err(Unfit::mistyped(name)),
        }
    }

    pub(super) fn address(&mut self, what: What, name: &str, text: &str) -> Result<(), Unfit> {
        match images::read(what, text).map_err(|flaw| Unfit::from(flaw).about(name))? {
            images::Address::Data => self.found.media.add(what, text.len()),
            images::Address::Host(host) => {
                // Whom an MCP server belongs to is a matter of policy, and so is everything an administrator does.
                let listed = images::is_listed(&host, self.rules.hosts);
                let left_to_policy = what == What::Mcp && images::is_public(&host) || self.shape == Shape::Admin;
                if !listed && !left_to_policy {
                    return Err(Unfit::from(images::NOT_LISTED).about(name));
                }
                self.found.media.link(what);
                self.found.fetched(Fetched { what, host })?;
            }
        }
        Ok(())
    }

    /// A connector or tunnel of the vendor's, in the place of a host; no host has an underscore.
    fn service(&mut self, value: Node<'d>) -> Result<(), Unfit> {
        if value.is_null() {
            return Ok(());
        }
        let host = value.text().filter(|name| parts::is_id(name)).ok_or_else(|| Unfit::invalid("connector_id"))?;
        self.found.fetched(Fetched { what: What::Mcp, host: host.into_owned() })
    }

    fn inline(&mut self, what: What, value: Node<'d>) {
        if value.kind() == Kind::String {
            self.found.media.add(what, value.raw().len());
        }
    }

    /// A client's credential for somebody else stays here, as its credential for the target does.
    fn credential(&mut self, value: Node<'d>) -> Result<(), Unfit> {
        if !value.is_null() {
            self.found.credentials = self.found.credentials.saturating_add(1);
            self.edits.remove(value)?;
        }
        Ok(())
    }
}

/// Checks the names of members where nothing else is to be found.
fn names(value: Node<'_>) -> Result<(), Unfit> {
    if let Some((name, _)) = value.members().find(|(name, _)| !parts::is_word(name)) {
        return Err(Unfit::unknown(&name));
    }
    value.members().try_for_each(|(_, value)| names(value))?;
    value.items().try_for_each(names)
}
