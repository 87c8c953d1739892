//! What a multipart request of the OpenAI API asks for: the same places as in JSON, flattened into names of parts.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluice_mask::json::{Document, Kind, Limits};

use super::found::Found;
use super::place::{Place, place};
use super::walk::Reader;
use super::{Chosen, Mention, Rules, Shape, Stream, Unfit, is_word, models};
use crate::dialects::openai::estimate::Estimate;
use crate::dialects::openai::images::{Fetched, What};
use crate::dialects::openai::multipart::{Change, Form, Part};
use crate::dialects::openai::routes::Route;
use crate::dialects::openai::tools::Offered;
use crate::flaw::Flaw;
use crate::veil::begins_container;

/// A form that was understood.
#[derive(Clone, Debug)]
pub(crate) struct AskedForm {
    /// The model of the field `model`, as the client names it and as the server does.
    pub(crate) model: Option<String>,
    pub(crate) real_model: Option<String>,
    /// Every model the form names, as the client names them.
    pub(crate) models: BTreeSet<String>,
    pub(crate) chosen: Chosen,
    pub(crate) stream: Stream,
    pub(crate) tools: BTreeSet<Offered>,
    pub(crate) fetched: BTreeSet<Fetched>,
    pub(crate) ids: BTreeSet<Mention>,
    /// Files and other content that is in no text.
    pub(crate) inline: usize,
    pub(crate) estimate: Estimate,
    /// Credentials that the changes take out.
    pub(crate) credentials: usize,
    /// What makes the form fit for the server, in the order of its parts.
    pub(crate) changes: Vec<Change>,
}

/// Reads a form whose parts were read strictly.
pub(crate) fn read_form(route: &Route, form: &Form, rules: &Rules<'_>) -> Result<AskedForm, Unfit> {
    let empty = Document::null(Limits::STANDARD);
    let mut reader = Reader::new(&empty, rules, Shape::of(route));
    let mut changes = Vec::new();
    for (index, part) in form.parts().iter().enumerate() {
        if !route.allows_part(&part.name) {
            return Err(Unfit::unknown(&part.name));
        }
        if let Some(content) = read_part(&mut reader, form, part)? {
            changes.push(Change { part: index, content });
        }
    }
    let Reader { found, .. } = reader;
    let chosen = Chosen::of_form(route, form, &found.models);
    models::require(route, rules.models, chosen)?;
    let model = field(form, "model").map(str::to_owned);
    let known = model.as_deref().and_then(|name| rules.models.find(name));
    let holds = found.holds();
    let text = form.parts().iter().filter_map(|part| form.text(part)).map(str::len);
    let bytes = text.fold(holds.bytes(), usize::saturating_add);
    let answers = field(form, "n").map_or(Ok(1), |n| n.parse()).map_err(|_| Unfit::invalid("n"))?;
    let estimate = Estimate::of_form(bytes, &holds, answers, known.and_then(|known| known.model));
    let Found { models, tools, fetched, ids, media, credentials, .. } = found;
    Ok(AskedForm {
        real_model: known.map(|known| known.real.to_owned()),
        model,
        models,
        chosen,
        stream: stream(form)?,
        tools,
        fetched,
        ids,
        inline: media.inline(),
        estimate,
        credentials,
        changes,
    })
}

/// Reads one part, and gives its new content if the server is to be told something else.
fn read_part(reader: &mut Reader<'_, '_>, form: &Form, part: &Part) -> Result<Option<Vec<u8>>, Unfit> {
    let steps = steps(&part.name);
    let leaf = steps.last().copied().unwrap_or_default();
    if steps.iter().any(|step| place(step) == Place::Opaque) {
        return Ok(None);
    }
    if let Some(odd) = steps.iter().find(|step| !is_word(step) || is_structured(place(step))) {
        return Err(Unfit::unknown(odd));
    }
    let what = match steps.as_slice() {
        [.., holder, "id"] if let Place::Holder(class) | Place::Named(class) = place(holder) => Place::Id(class),
        _ => place(leaf),
    };
    if is_json(form, part) {
        // What is a text to the API is one here.
        let text = leaf == "id" || leaf.ends_with("_references");
        return if text { Err(Unfit::mistyped(leaf)) } else { read_json(reader, form, part, leaf) };
    }
    let Some(text) = form.text(part) else {
        // A file where a text belongs is a text to some servers.
        if !matches!(what, Place::Plain | Place::Audio | Place::Inline(_) | Place::Named(_)) {
            return Err(Unfit::mistyped(leaf));
        }
        let image = matches!(leaf, "image" | "mask" | "input_reference");
        reader.found.media.add(if image { What::Image } else { What::File }, part.span.len());
        return Ok(None);
    };
    match what {
        Place::Model => return Ok(reader.named_model(text)?.map(String::into_bytes)),
        Place::Id(class) | Place::Ids(class) => reader.named_id(class, text)?,
        Place::Url(what) => reader.address(what, leaf, text)?,
        Place::Inline(what) => reader.found.media.add(what, text.len()),
        // Samples of speakers are addresses of sound; a text that could be no address is none.
        Place::Plain if leaf.ends_with("_references") && text.contains([':', '/']) => {
            reader.address(What::Media, leaf, text)?
        }
        Place::Plain
        | Place::Opaque
        | Place::Map
        | Place::Content
        | Place::Holder(_)
        | Place::Named(_)
        | Place::Audio => {}
        Place::Tools | Place::Choice | Place::Search | Place::Credential | Place::Network | Place::Service => {
            return Err(Unfit::unknown(leaf));
        }
    }
    Ok(None)
}

/// Says whether a form has no way to hold this: it would be hidden in pieces.
fn is_structured(place: Place) -> bool {
    let tools = matches!(place, Place::Tools | Place::Choice | Place::Search);
    tools || matches!(place, Place::Credential | Place::Network | Place::Service)
}

/// Fields whose files may be of any kind, of JSON too.
const FILES: [&str; 4] = ["data", "file", "files", "files[]"];

/// Says whether a server could take a part for an object or a list: some do so whatever the part says that it is. No image,
/// film or sound begins like one.
fn is_json(form: &Form, part: &Part) -> bool {
    let says_so = part.media.as_ref().is_some_and(|media| media.essence == "application/json");
    let begins = str::from_utf8(form.content(part)).is_ok_and(begins_container);
    match (&part.file, part.name.as_str()) {
        (_, "session") => true,
        (Some(_), name) => begins && !FILES.contains(&name),
        // What an image or a sound is to be like is prose, unless it could name a stored prompt.
        (None, "prompt") => says_so || begins && names_an_id(form.content(part)),
        (None, _) => says_so || begins,
    }
}

fn names_an_id(content: &[u8]) -> bool {
    let document = Document::parse(Bytes::copy_from_slice(content), Limits::STANDARD);
    document.is_ok_and(|document| document.root().get("id").is_some())
}

/// Reads a part as the member that it is named after.
fn read_json(reader: &mut Reader<'_, '_>, form: &Form, part: &Part, name: &str) -> Result<Option<Vec<u8>>, Unfit> {
    let content = Bytes::copy_from_slice(form.content(part));
    let document = Document::parse(content, Limits::STANDARD)
        .map_err(|fault| Unfit::from(Flaw::new(400, fault.code(), "a part of the form is no JSON document")))?;
    let root = document.root();
    let is_list = root.kind() == Kind::Array && part.name != "session";
    if root.kind() != Kind::Object && !is_list {
        return Err(Unfit::mistyped(&part.name));
    }
    let mut inner = reader.within(&document);
    inner.member(name, root)?;
    let Reader { found, edits, .. } = inner;
    let content = (!edits.is_empty()).then(|| edits.apply().to_vec());
    reader.found.absorb(found)?;
    Ok(content)
}

/// The names in `session[audio][model]`, from the outside; elements of lists have none: `image[]` and `image[0]` are
/// `image`.
fn steps(name: &str) -> Vec<&str> {
    let is_element = |step: &str| step.bytes().all(|byte| byte.is_ascii_digit());
    name.split(['[', ']']).filter(|step| !is_element(step)).collect()
}

fn field<'f>(form: &'f Form, name: &str) -> Option<&'f str> {
    form.part(name).and_then(|part| form.text(part))
}

/// Forms have words for truth values; a part that a server could take for one is one.
fn stream(form: &Form) -> Result<Stream, Unfit> {
    match form.part("stream").map(|part| form.text(part)) {
        None | Some(Some("false")) => Ok(Stream::Whole),
        Some(Some("true")) => Ok(Stream::Events),
        Some(_) => Err(Unfit::mistyped("stream")),
    }
}
