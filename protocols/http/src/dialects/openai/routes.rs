//! The operations of the OpenAI API that this dialect knows, found by method and path.
//!
//! They are data: `api.txt`, whose head says what its columns mean. The names are those of the published reference,
//! <https://platform.openai.com/docs/api-reference>. What is not in the file is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sluice_model::{Action, Effect};

mod parse;
mod route;
#[cfg(test)]
mod tests;

pub(crate) use route::{Answer, Body, Pointer, Route, Yield};

const API: &str = include_str!("api.txt");

/// The longest id in a path, in bytes.
const ID_BYTES: usize = 256;

/// The verbs of LLM APIs; the head of `api.txt` says what falls under each.
pub(crate) const ACTIONS: [Action; 14] = [
    Action { name: "llm.chat", effect: Effect::Execute },
    Action { name: "llm.embed", effect: Effect::Execute },
    Action { name: "llm.moderate", effect: Effect::Execute },
    Action { name: "llm.image", effect: Effect::Execute },
    Action { name: "llm.audio", effect: Effect::Execute },
    Action { name: "llm.video", effect: Effect::Execute },
    Action { name: "llm.models", effect: Effect::Read },
    Action { name: "llm.read", effect: Effect::Read },
    Action { name: "llm.file", effect: Effect::Write },
    Action { name: "llm.store", effect: Effect::Write },
    Action { name: "llm.run", effect: Effect::Execute },
    Action { name: "llm.realtime", effect: Effect::Execute },
    Action { name: "llm.delete", effect: Effect::Write },
    Action { name: "llm.admin", effect: Effect::Administer },
];

/// An allow-list of operations; without any, it allows nothing.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    root: Place,
    owned: BTreeSet<&'static str>,
}

impl Routes {
    /// Reads the published operations; should the file not parse, which a test rules out, nothing is allowed.
    pub(crate) fn published() -> Self {
        parse::routes(API).unwrap_or_default()
    }

    /// Finds the operation a request asks for.
    ///
    /// The path starts with the slash after the base prefix, and has neither a query nor percent-escapes, which no
    /// segment may hold: a client that escapes an id it need not escape, or has a slash in it, asks for nothing known.
    /// A literal segment wins over an id whatever follows it, so that no path means two things.
    pub(crate) fn find<'a>(&'a self, method: &str, path: &'a str) -> Found<'a> {
        let Some(segments) = path.strip_prefix('/') else { return Found::UnknownPath };
        let mut place = &self.root;
        let mut values = Vec::new();
        for segment in segments.split('/') {
            if let Some(next) = place.literals.get(segment) {
                place = next;
            } else if let Some(next) = place.id.as_deref().filter(|_| is_id(segment)) {
                place = next;
                values.push(segment);
            } else {
                return Found::UnknownPath;
            }
        }
        if place.routes.is_empty() {
            return Found::UnknownPath;
        }
        match place.routes.iter().find(|route| route.method == method) {
            Some(route) => Found::Route { route, ids: Ids { classes: &route.ids, values } },
            None => Found::MethodNotAllowed(Allowed(&place.routes)),
        }
    }

    /// Says whether objects of a class belong to whoever created them, and to nobody else.
    ///
    /// An id of another class is a part of what stands before it in its path, or belongs to the target as a whole.
    pub(crate) fn is_owned(&self, class: &str) -> bool {
        self.owned.contains(class)
    }

    fn add(&mut self, route: Route) -> Result<(), &'static str> {
        let mut place = &mut self.root;
        for segment in route.path.split('/').skip(1) {
            place = if segment.starts_with('{') {
                place.id.get_or_insert_default()
            } else {
                place.literals.entry(segment).or_default()
            };
        }
        if place.routes.iter().any(|other| other.method == route.method) {
            return Err("the operation is there twice");
        }
        self.owned.extend(route.creates.iter().map(|created| created.class).chain(route.lists));
        place.routes.push(route);
        Ok(())
    }
}

/// What a method and a path ask for.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A known operation.
    Route { route: &'a Route, ids: Ids<'a> },
    /// The path is known and the method is none of its own: 405.
    MethodNotAllowed(Allowed<'a>),
    /// No operation has this path: 404.
    UnknownPath,
}

/// The ids in a path, in its order.
#[derive(Debug)]
pub(crate) struct Ids<'a> {
    classes: &'a [&'static str],
    values: Vec<&'a str>,
}

impl<'a> Ids<'a> {
    /// Goes through the ids, from the left.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Id<'a>> {
        self.classes.iter().zip(&self.values).map(|(class, value)| Id { class, value })
    }
}

/// One id of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Id<'a> {
    /// The kind of object: `response`, `file`, `vector_store`.
    pub(crate) class: &'static str,
    pub(crate) value: &'a str,
}

/// The methods of a path; shown as the value of an `Allow` header. What may be read may be asked for its head.
///
/// RFC 9110, section 15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
#[derive(Debug)]
pub(crate) struct Allowed<'a>(&'a [Route]);

impl fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, route) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(if route.method == "GET" { "GET, HEAD" } else { route.method })?;
        }
        Ok(())
    }
}

/// What may follow a prefix of paths.
#[derive(Debug, Default)]
struct Place {
    literals: BTreeMap<&'static str, Self>,
    id: Option<Box<Self>>,
    /// The operations on the path that ends here.
    routes: Vec<Route>,
}

/// Says whether a segment may stand for an id: unreserved characters (RFC 3986, section 2.3) and the colons of
/// `ft:gpt-4o:org::id`. Dots alone are a step through the hierarchy (section 3.3).
fn is_id(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    (1..=ID_BYTES).contains(&segment.len()) && segment.bytes().all(plain) && !matches!(segment, "." | "..")
}
