//! What a JSON request of the OpenAI API asks for: what policy decides on, what it may cost, and what is sent.
//!
//! A few places are known by their route: the top of the body, the items of an input. Everything else is found wherever
//! it stands: a tool, a model, an id, an address or a credential is read by the name of its member, at any depth, so that
//! a new corner of the API hides nothing. The names are those of <https://platform.openai.com/docs/api-reference>.

mod form;
mod found;
mod granted;
mod models;
mod outputs;
mod parts;
mod place;
mod sources;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;

use sluice_mask::json::{Document, Edits, Kind, Node, Unedited};

use super::estimate::Estimate;
use super::images::Fetched;
use super::routes::Route;
use super::tools::Offered;
use crate::flaw::Flaw;
use found::Found;
use sources::Messages;
use walk::Reader;

pub(crate) use form::{AskedForm, read_form};
pub(crate) use models::{Chosen, Model, Models, Prices};
pub(crate) use outputs::Output;
pub(super) use parts::{is_id, is_word};

/// The operation whose body is an environment that the vendor hosts.
const TEMPLATES: &str = "POST /agents/environments/templates";

/// What the configuration of a target says about requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) models: &'a Models,
    /// Hosts that the server may be told to fetch from: `cdn.example.com`, `*.example.com`, or `*` for every public name.
    pub(crate) hosts: &'a [String],
    /// Names of tools that destroy something; `*` stands for any characters.
    pub(crate) destructive: &'a [String],
}

/// A request that is refused as it stands, and the member of the body that it is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unfit {
    pub(crate) flaw: Flaw,
    /// A name of 1 to 64 letters, digits and underscores, and never anything else that the client sent.
    pub(crate) param: Option<String>,
}

impl Unfit {
    pub(crate) fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { flaw: Flaw::new(status, code, message), param: None }
    }

    /// A value that is of another type than the API has.
    pub(crate) fn mistyped(param: &str) -> Self {
        Self::new(400, "invalid_type", "a value has the wrong type").about(param)
    }

    /// A value of the right type that the API does not have.
    pub(crate) fn invalid(param: &str) -> Self {
        Self::new(400, "invalid_value", "a value is not supported").about(param)
    }

    /// A member that the API does not have here.
    pub(crate) fn unknown(param: &str) -> Self {
        Self::new(400, "unknown_parameter", "the request has a parameter that is not known here").about(param)
    }

    pub(crate) fn missing(param: &str) -> Self {
        Self::new(400, "missing_required_parameter", "the request lacks a required parameter").about(param)
    }

    /// A model that is none of those that may be named.
    pub(crate) fn not_allowed() -> Self {
        Self::new(403, "model_not_allowed", "the model is not one of those allowed here").about("model")
    }

    /// Names the member, unless its name could be a message of its own.
    pub(crate) fn about(mut self, param: &str) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = (1..=64).contains(&param.len()) && param.bytes().all(plain);
        self.param = fits.then(|| param.to_owned());
        self
    }
}

impl From<Flaw> for Unfit {
    fn from(flaw: Flaw) -> Self {
        Self { flaw, param: None }
    }
}

/// `INVARIANT:` every edit is of a node of the document that is read, and what is put in is a constant or a quoted text,
/// so that none fails; should one, the request is refused.
impl From<Unedited> for Unfit {
    fn from(_: Unedited) -> Self {
        Self::new(400, "invalid_body", "the body cannot be made fit for the server")
    }
}

/// How the answer is to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stream {
    Whole,
    Events,
}

/// When the answer is to be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum When {
    Now,
    /// In the background: the answer is an object to be asked for again.
    Later,
}

/// Whether a stream ends with the usage of tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Usage {
    /// As the API has it: nothing had to be asked for.
    AsUsual,
    /// The client asks for it.
    Asked,
    /// The broker asks for it, and the chunk that holds it is not for the client.
    Injected,
}

/// An object of the API that the body refers to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mention {
    /// As in the table of routes: `response`, `file`; `item` for an item of the input that is there,
    /// `item_reference` for one that the server is to find, `query` for all that are like a description, `other` for a
    /// kind that is not known.
    pub(crate) class: &'static str,
    pub(crate) id: String,
}

/// The client's answer to a hosted tool that asked to be allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Approval {
    /// The id of the request that is answered.
    pub(crate) request: String,
    pub(crate) answer: Answer,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Approve,
    Decline,
}

/// A request that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'d> {
    /// The model at the top of the body, as the client names it and as the server does.
    pub(crate) model: Option<String>,
    pub(crate) real_model: Option<String>,
    /// Every model the body names, the top one too, as the client names them: each is used and each is to be allowed.
    pub(crate) models: BTreeSet<String>,
    pub(crate) chosen: Chosen,
    pub(crate) stream: Stream,
    pub(crate) when: When,
    /// Every tool that is offered, forced or loaded.
    pub(crate) tools: BTreeSet<Offered>,
    /// Every host that the server is told to reach.
    pub(crate) fetched: BTreeSet<Fetched>,
    pub(crate) ids: BTreeSet<Mention>,
    pub(crate) approvals: Vec<Approval>,
    /// Files, images and sound within the body: text in them is in no string.
    pub(crate) inline: usize,
    /// What a model is asked does not stand in the body.
    pub(crate) unread: bool,
    pub(crate) estimate: Estimate,
    /// Messages or items of the input; 1 for a bare text.
    pub(crate) messages: usize,
    /// Results of tools that came in since the model last spoke.
    pub(crate) outputs: Vec<Output>,
    pub(crate) usage: Usage,
    /// The `service_tier`, which changes the price.
    pub(crate) tier: Option<String>,
    /// Credentials that the edits take out.
    pub(crate) credentials: usize,
    /// What makes the body fit for the server: real names of models, approval of hosted MCP calls, no credentials.
    pub(crate) edits: Edits<'d>,
}

/// Reads a body that was parsed strictly.
pub(crate) fn read<'d>(route: &Route, document: &'d Document, rules: &Rules<'_>) -> Result<Asked<'d>, Unfit> {
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(Unfit::new(400, "invalid_type", "the body is not a JSON object"));
    }
    if let Some((name, _)) = root.members().find(|(name, _)| !route.allows_field(name)) {
        return Err(Unfit::unknown(&name));
    }
    let shape = Shape::of(route);
    let messages_from = Messages::of(route, root);
    let mut reader = Reader::new(document, rules, shape);
    reader.messages = messages_from;
    reader.top(root)?;
    if route.to_string() == TEMPLATES {
        reader.hosted(root)?;
    }
    sources::query(route, root).map_or(Ok(()), |query| reader.found.id(query))?;
    let stream = stream(root)?;
    let usage = usage(root, shape, stream, &mut reader.edits)?;
    let Reader { found, edits, .. } = reader;
    let holds = found.holds();
    let Found { models, tools, fetched, ids, approvals, media, credentials, .. } = found;
    let model = text_of(root, "model")?;
    let chosen = Chosen::of(route, root, &models);
    models::require(route, rules.models, chosen)?;
    let known = model.as_deref().and_then(|name| rules.models.find(name));
    let estimate = Estimate::read(root, document.bytes().len(), &holds, known.as_ref().and_then(|known| known.model))?;
    Ok(Asked {
        real_model: known.map(|known| known.real.to_owned()),
        model,
        models,
        chosen,
        stream,
        when: when(root, shape)?,
        tools,
        fetched,
        ids,
        approvals,
        inline: media.inline(),
        unread: messages_from == Messages::Elsewhere,
        estimate,
        messages: messages(root),
        outputs: outputs::last(root),
        usage,
        tier: text_of(root, "service_tier")?.filter(|tier| is_word(tier)),
        credentials,
        edits,
    })
}

/// The kinds of bodies that are not read alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// `messages` with roles, and usage on demand.
    Chat,
    /// Usage on demand.
    Completion,
    /// `input` or `items` with types.
    Items,
    /// The agents that the vendor runs: MCP servers have no approvals of their own.
    Agents,
    /// The management of an organization: addresses and credentials are what it is about.
    Admin,
    Other,
}

impl Shape {
    fn of(route: &Route) -> Self {
        match route.to_string().as_str() {
            "POST /chat/completions" => Self::Chat,
            "POST /completions" => Self::Completion,
            "POST /responses" | "POST /responses/compact" | "POST /responses/input_tokens" => Self::Items,
            "POST /conversations" | "POST /conversations/{conversation_id}/items" => Self::Items,
            path if path.starts_with("POST /agents") => Self::Agents,
            _ if route.action().name == "llm.admin" => Self::Admin,
            _ => Self::Other,
        }
    }
}

/// A boolean member; the API takes `null` for one that is left out.
fn flag(object: Node<'_>, name: &str) -> Result<bool, Unfit> {
    match object.get(name) {
        Some(value) if !value.is_null() => value.as_bool().ok_or_else(|| Unfit::mistyped(name)),
        Some(_) | None => Ok(false),
    }
}

fn text_of(object: Node<'_>, name: &str) -> Result<Option<String>, Unfit> {
    match object.get(name) {
        Some(value) if !value.is_null() => {
            value.text().map(|text| Some(text.into_owned())).ok_or_else(|| Unfit::mistyped(name))
        }
        Some(_) | None => Ok(None),
    }
}

/// Images have a background of another kind.
fn when(root: Node<'_>, shape: Shape) -> Result<When, Unfit> {
    Ok(if shape == Shape::Items && flag(root, "background")? { When::Later } else { When::Now })
}

/// Speech has a format of its own for its stream.
fn stream(root: Node<'_>) -> Result<Stream, Unfit> {
    let events = flag(root, "stream")? || text_of(root, "stream_format")?.as_deref() == Some("sse");
    Ok(if events { Stream::Events } else { Stream::Whole })
}

/// Asks for the usage at the end of a stream of chunks, which the API sends on demand only
/// (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>).
fn usage<'d>(root: Node<'d>, shape: Shape, stream: Stream, edits: &mut Edits<'d>) -> Result<Usage, Unfit> {
    let options = root.get("stream_options");
    if options.is_some_and(|options| !matches!(options.kind(), Kind::Object | Kind::Null)) {
        return Err(Unfit::mistyped("stream_options"));
    }
    if stream == Stream::Whole || !matches!(shape, Shape::Chat | Shape::Completion) {
        return Ok(Usage::AsUsual);
    }
    let Some(options) = options else {
        edits.insert_member(root, "stream_options", "{\"include_usage\":true}")?;
        return Ok(Usage::Injected);
    };
    if options.is_null() {
        edits.replace_raw(options, "{\"include_usage\":true}")?;
    } else if flag(options, "include_usage")? {
        return Ok(Usage::Asked);
    } else if let Some(value) = options.get("include_usage") {
        edits.replace_raw(value, "true")?;
    } else {
        edits.insert_member(options, "include_usage", "true")?;
    }
    Ok(Usage::Injected)
}

fn messages(root: Node<'_>) -> usize {
    let inputs = ["messages", "input", "items", "prompt"];
    inputs
        .iter()
        .filter_map(|name| root.get(name))
        .find(|input| !input.is_null())
        .map_or(0, |input| if input.kind() == Kind::Array { input.items().count() } else { 1 })
}
