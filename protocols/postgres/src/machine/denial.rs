//! Denials in the words of the analysis, and with the place that they are about.

use std::sync::Arc;

use sluice_model::{Code, Refusal, Resource};
use sluice_sql::{Analysis, Sought, Statement, Unmaskable, locate};

use crate::operation::Known;
use crate::schema;

/// The engine only knows that it was not understood, or could not be told; the analysis knows why.
pub(super) fn in_own_words(refusal: Arc<Refusal>, known: &Known) -> Arc<Refusal> {
    let untold = known.untold.as_ref().filter(|_| refusal.rule.to_string() == "default-deny");
    match known.refusal.as_ref().or(untold) {
        Some(own) => Arc::new(Refusal { decision: refusal.decision.clone(), ..own.clone() }),
        None => refusal,
    }
}

/// The refusal with the place at which the text names what it is about.
pub(super) fn pointing(refusal: Arc<Refusal>, text: &[u8]) -> Arc<Refusal> {
    let on = refusal.grounds.as_ref().and_then(|grounds| grounds.on.as_ref());
    let Some(span) = on.and_then(|on| locate(std::str::from_utf8(text).ok()?, sought(on)?)) else { return refusal };
    let mut refusal = refusal;
    Arc::make_mut(&mut refusal).grounds.get_or_insert_default().span = Some(span);
    refusal
}

/// The name of a resource as a text has it.
fn sought(on: &Resource) -> Option<Sought<'_>> {
    match (on.kind, &on.path[..]) {
        (schema::TABLE, [schema, name]) => Some(Sought::Relation { schema, name }),
        (schema::FUNCTION, [schema, name]) => Some(Sought::Function { schema, name }),
        (schema::COLUMN, [_, _, name]) => Some(Sought::Column(name)),
        _ => None,
    }
}

pub(super) fn unmaskable(why: Unmaskable) -> Refusal {
    let refusal = unsupported("unmaskable", &why.to_string());
    match why {
        Unmaskable::FilteredAndDerived => {
            refusal.with_hint("Select the column as it is, or leave it out of the output; without COPY or PREPARE.")
        }
        Unmaskable::Returned => refusal.with_hint("Return the column as it is, or leave it out."),
        Unmaskable::Filtered
        | Unmaskable::Leaves
        | Unmaskable::Counted
        | Unmaskable::Locked
        | Unmaskable::Sampled
        | Unmaskable::SystemColumn
        | Unmaskable::NotATable
        | Unmaskable::Transform
        | Unmaskable::Stale
        | Unmaskable::Spelling => refusal,
    }
}

/// Why nobody is asked for an approval of what takes data from the client that comes only once it runs.
pub(super) fn unseen(analysis: &Analysis) -> Option<Refusal> {
    let takes = |statement: &Statement| statement.copy == sluice_sql::Copy::In;
    analysis.statements.iter().any(takes).then(|| {
        let message = "it needs an approval, and the data that it copies cannot be shown to people before it runs";
        unsupported("copy-unseen", message).with_hint("Use INSERT, whose values people can see.")
    })
}

pub(super) fn unsupported(rule: &'static str, message: &str) -> Refusal {
    Refusal::builtin(Code::Unsupported, rule, message)
}
