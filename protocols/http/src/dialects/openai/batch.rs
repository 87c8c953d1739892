//! Batches (<https://platform.openai.com/docs/guides/batch>): a file of requests that nobody reads.
//!
//! What each line asks for is not known: its model, tools, addresses and objects, and the calls in its answer. Where the
//! configuration limits any of that for every request, a batch is refused, and so is the upload of its file; elsewhere it
//! counts as what cannot be looked into.

use super::routes::Route;
use super::rules::Rules;
use crate::flaw::Flaw;
use crate::target::Objects;

/// What else a file may be for. Any other word could be another spelling of a batch.
const OTHER_PURPOSES: [&str; 5] = ["assistants", "evals", "fine-tune", "user_data", "vision"];
const BATCH: Flaw = Flaw::new(
    403,
    "batch_not_allowed",
    "the requests of a batch are in a file that is not read: it cannot be told which models they use and whose objects, \
     and the target limits these",
);

/// Says whether a request makes a batch, or uploads what one could be made of.
///
/// The purpose is what the body says of a file; `None` where it says nothing, and empty where it is no text.
pub(super) fn is_part_of_one(route: &Route, purpose: Option<&str>) -> bool {
    match route.template() {
        "/batches" => true,
        "/files" | "/uploads" => purpose.is_some_and(|purpose| !OTHER_PURPOSES.contains(&purpose)),
        _ => false,
    }
}

/// Refuses it where the configuration has rules for what is in it.
pub(super) fn permit(rules: &Rules, whose: Objects) -> Result<(), Flaw> {
    if rules.names_models() || whose == Objects::Owned { Err(BATCH) } else { Ok(()) }
}
