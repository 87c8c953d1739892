//! The models of a target: which may be named, what they are called at the server, and what they cost.

use std::collections::{BTreeMap, BTreeSet};

use sluice_mask::json::Node;

use super::Unfit;
use crate::dialects::openai::routes::{Pointer, Route};

/// The models that clients may name.
#[derive(Clone, Debug)]
pub(crate) enum Models {
    /// Every one, by its own name and at no price.
    Any,
    Listed(BTreeMap<String, Model>),
}

/// One model.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Model {
    /// What the server calls it, where that is another name.
    pub(crate) real: Option<String>,
    /// Prices of a million tokens, in millionths of the currency's unit.
    pub(crate) input_micros: u64,
    pub(crate) cached_micros: u64,
    pub(crate) output_micros: u64,
    /// Tokens to reserve for an answer where the request names no limit.
    pub(crate) default_output_tokens: u64,
    /// The most tokens that the model reads at once, where known: no input costs more.
    pub(crate) context_tokens: Option<u64>,
}

/// A model that may be named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'m> {
    pub(crate) real: &'m str,
    /// Nothing where every model may be named.
    pub(crate) model: Option<&'m Model>,
}

impl Models {
    /// Looks a name up, byte by byte: no white space is cut off and no case is folded.
    pub(crate) fn find<'m>(&'m self, name: &'m str) -> Option<Known<'m>> {
        match self {
            // A name is a resource of policies and a part of records: it is printable.
            Self::Any => is_name(name).then_some(Known { real: name, model: None }),
            Self::Listed(listed) => {
                let (name, model) = listed.get_key_value(name)?;
                Some(Known { real: model.real.as_deref().unwrap_or(name), model: Some(model) })
            }
        }
    }
}

impl Models {
    /// What a request is charged by: its model, or the dearest one where it names none and its answer may be of any.
    pub(crate) fn charged(&self, name: Option<&str>) -> Option<&Model> {
        match (self, name) {
            (Self::Any, _) => None,
            (Self::Listed(listed), Some(name)) => listed.get(name),
            (Self::Listed(listed), None) => {
                listed.values().max_by_key(|model| (model.output_micros, model.input_micros))
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Refuses a request that leaves the choice of the model to the server, if only some may be named.
///
/// Of an operation that runs a model, the outermost member that names one has to be there. What is stored or run later
/// may leave it out: the model is then that of an object which was checked when it was made.
pub(super) fn require(route: &Route, root: Node<'_>, models: &Models, named: &BTreeSet<String>) -> Result<(), Unfit> {
    if matches!(models, Models::Any) || !runs_a_model(route) {
        return Ok(());
    }
    let outermost = route.models().iter().map(|pointer| pointer.steps().collect::<Vec<_>>()).min_by_key(Vec::len);
    let Some(path) = outermost.filter(|path| !path.contains(&Pointer::EVERY)) else { return Ok(()) };
    // A session that only writes down what it hears has no other model than that of the transcription.
    let transcribes = root.at(&["session", "type"]).and_then(|kind| kind.text()).as_deref() == Some("transcription");
    let there = root.at(&path).is_some_and(|model| !model.is_null());
    if there || transcribes && !named.is_empty() { Ok(()) } else { Err(Unfit::missing("model")) }
}

/// The same of a form, whose only models are those of its fields.
pub(super) fn require_some(models: &Models, named: &BTreeSet<String>) -> Result<(), Unfit> {
    match models {
        Models::Listed(_) if named.is_empty() => Err(Unfit::missing("model")),
        Models::Listed(_) | Models::Any => Ok(()),
    }
}

/// Says whether an operation has a model answer at once.
pub(super) fn runs_a_model(route: &Route) -> bool {
    const ACTIONS: [&str; 7] =
        ["llm.chat", "llm.embed", "llm.image", "llm.audio", "llm.video", "llm.realtime", "llm.moderate"];
    ACTIONS.contains(&route.action().name)
}
