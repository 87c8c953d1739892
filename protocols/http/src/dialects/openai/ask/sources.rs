//! Where evaluations take their samples from (<https://platform.openai.com/docs/api-reference/evals>).
//!
//! Some sources are queries: they find every completion or response of the project that is like a description, and show
//! it in what the evaluation puts out. Only sources that hold their samples or name a file are known not to be.

use sluice_mask::json::Node;

use super::Mention;
use super::place::{Place, place};
use crate::dialects::openai::routes::Route;

/// Kinds of an evaluation whose runs bring their samples along.
const CONFIGS: [&str; 1] = ["custom"];
/// Kinds of runs that take their samples from a source of their own.
const RUNS: [&str; 3] = ["completions", "jsonl", "responses"];
/// Kinds of sources that hold their samples or name a file.
const SOURCES: [&str; 2] = ["file_content", "file_id"];

/// Where an evaluation has the messages from that it puts to a model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Messages {
    /// They stand in the request, as everywhere: samples are put into their texts.
    AsGiven,
    /// They are in the samples.
    InSamples,
    /// They are in samples that do not stand in the request.
    Elsewhere,
}

impl Messages {
    pub(super) fn of(route: &Route, root: Node<'_>) -> Self {
        if !route.template().starts_with("/evals") || !refers(root) {
            return Self::AsGiven;
        }
        let source = root.at(&["data_source", "source"]);
        if is_one_of(source, &["file_content"]) { Self::InSamples } else { Self::Elsewhere }
    }
}

/// Says whether there is a reference to the samples, whatever it says that it is.
fn refers(value: Node<'_>) -> bool {
    value.get("item_reference").is_some()
        || value.members().any(|(name, member)| place(&name) != Place::Opaque && refers(member))
        || value.items().any(refers)
}

/// The query of an evaluation, as something that is referred to.
pub(super) fn query(route: &Route, root: Node<'_>) -> Option<Mention> {
    let given = match route.to_string().as_str() {
        "POST /evals" => is_one_of(root.get("data_source_config"), &CONFIGS),
        "POST /evals/{eval_id}/runs" => {
            is_one_of(root.get("data_source"), &RUNS) && is_one_of(root.at(&["data_source", "source"]), &SOURCES)
        }
        _ => true,
    } && Messages::of(route, root) != Messages::Elsewhere;
    (!given).then(|| Mention { class: "query", id: "query".to_owned() })
}

fn is_one_of(value: Option<Node<'_>>, kinds: &[&str]) -> bool {
    value.and_then(|value| value.get("type")).and_then(|kind| kind.text()).is_some_and(|kind| kinds.contains(&&*kind))
}
