//! The models of a target: which may be named, what they are called at the server, and what they cost.

use std::collections::{BTreeMap, BTreeSet};

use sluice_mask::json::{Document, Limits, Node};

use super::Unfit;
use crate::dialects::openai::estimate::cost_micros;
use crate::dialects::openai::multipart::Form;
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
    /// What a request is charged by: its model, or every one where it names none and its answer may be of any.
    pub(crate) fn charged(&self, name: Option<&str>) -> Prices {
        Prices(match (self, name) {
            (Self::Any, _) => Vec::new(),
            (Self::Listed(listed), Some(name)) => listed.get(name).into_iter().cloned().collect(),
            (Self::Listed(listed), None) => listed.values().cloned().collect(),
        })
    }
}

/// The prices of the models of which one answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prices(Vec<Model>);

impl Prices {
    /// What tokens cost at most, in millionths of the currency's unit: which model is the dearest depends on them.
    pub(crate) fn cost_micros(&self, input: u64, cached: u64, output: u64) -> u64 {
        self.0.iter().map(|model| cost_micros(input, cached, output, model)).max().unwrap_or(0)
    }
}

fn is_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Refuses a request that leaves the choice of the model to the server, if only some may be named.
///
/// Of an operation that runs a model, the outermost member that names one has to be there. What is stored or run later
/// may leave it out: the model is then that of an object which was checked when it was made.
pub(super) fn require(route: &Route, models: &Models, choice: Chosen) -> Result<(), Unfit> {
    let open = matches!(models, Models::Any) || !runs_a_model(route) || outermost(route).is_none();
    if open || choice == Chosen::ByClient { Ok(()) } else { Err(Unfit::missing("model")) }
}

/// Who chooses the model that a request is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chosen {
    ByClient,
    /// It is named nowhere, or only for a part of the work.
    ByServer,
}

impl Chosen {
    const fn when(by_client: bool) -> Self {
        if by_client { Self::ByClient } else { Self::ByServer }
    }

    /// Of a JSON body that names these models.
    pub(super) fn of(route: &Route, root: Node<'_>, named: &BTreeSet<String>) -> Self {
        let Some(path) = outermost(route) else { return Self::when(!named.is_empty()) };
        // A session that only writes down what it hears has no other model than that of the transcription.
        let transcribes = root.at(&["session", "type"]).and_then(|kind| kind.text()).as_deref() == Some(TRANSCRIPTION);
        Self::when(is_there(root, &path) || transcribes && !named.is_empty())
    }

    /// The same of a form, in which an object is flattened, or is a part that holds JSON.
    pub(super) fn of_form(route: &Route, form: &Form, named: &BTreeSet<String>) -> Self {
        let Some(path) = outermost(route) else { return Self::when(!named.is_empty()) };
        let Some((first, rest)) = path.split_first() else { return Self::ByServer };
        let flat = rest.iter().fold((*first).to_owned(), |name, step| format!("{name}[{step}]"));
        let kind = form.part("session[type]").and_then(|part| form.text(part));
        if form.part(&flat).is_some() || kind == Some(TRANSCRIPTION) && !named.is_empty() {
            return Self::ByClient;
        }
        let whole = form.part(first).filter(|_| !rest.is_empty()).map(|part| form.content(part));
        let whole = whole.and_then(|content| Document::parse(content.to_vec(), Limits::STANDARD).ok());
        Self::when(whole.is_some_and(|whole| {
            let kind = whole.root().get("type").and_then(|kind| kind.text());
            is_there(whole.root(), rest) || kind.as_deref() == Some(TRANSCRIPTION) && !named.is_empty()
        }))
    }
}

const TRANSCRIPTION: &str = "transcription";

fn is_there(root: Node<'_>, path: &[&str]) -> bool {
    root.at(path).is_some_and(|model| !model.is_null())
}

/// The outermost member in which an operation's model is named, where there is one.
fn outermost(route: &Route) -> Option<Vec<&'static str>> {
    let paths = route.models().iter().map(|pointer| pointer.steps().collect::<Vec<_>>());
    paths.min_by_key(Vec::len).filter(|path| !path.contains(&Pointer::EVERY))
}

/// Says whether an operation has a model answer at once.
fn runs_a_model(route: &Route) -> bool {
    const ACTIONS: [&str; 7] =
        ["llm.chat", "llm.embed", "llm.image", "llm.audio", "llm.video", "llm.realtime", "llm.moderate"];
    ACTIONS.contains(&route.action().name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_model_is_the_dearest_depends_on_the_tokens() {
        let model = |input_micros, output_micros| Model { input_micros, output_micros, ..Model::default() };
        let (reads, writes) = (model(100_000_000, 9_990_000), model(10_000, 10_000_000));
        let models = Models::Listed([("reads".to_owned(), reads), ("writes".to_owned(), writes)].into());
        let cost = |name, input, output| models.charged(name).cost_micros(input, 0, output);
        assert_eq!(cost(None, 9_000, 10), 900_000 + 100);
        assert_eq!(cost(None, 0, 1_000), 10_000);
        assert_eq!(cost(Some("writes"), 9_000, 10), 190);
        assert_eq!(cost(Some("other"), 9_000, 10), 0);
        assert_eq!(Models::Any.charged(None).cost_micros(9_000, 0, 10), 0);
    }
}
