//! The context of a request: what policies read as `context.base` and `context.<facts>`.

use cedar_policy::{Context, RestrictedExpression as Value};
use sluice_model::{Fact, Facts, Part, Stage};

use crate::case::{Approved, Moment};

/// Everything of `context.base`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base<'a> {
    pub(crate) at: Moment,
    pub(crate) part: Option<&'a Part>,
    /// Empty where nobody is in a session.
    pub(crate) session: &'a str,
    pub(crate) stage: Stage,
    pub(crate) approval: Option<Approved>,
}

/// The context of a request; `None` where Cedar refuses it.
pub(crate) fn context(base: Base<'_>, facts: Option<&Facts>) -> Option<Context> {
    let mut pairs = vec![("base".to_owned(), base_record(base)?)];
    if let Some(facts) = facts {
        let values = facts.values.iter().map(|(name, fact)| ((*name).to_owned(), value(fact)));
        pairs.push((facts.group.to_owned(), Value::new_record(values).ok()?));
    }
    Context::from_pairs(pairs).ok()
}

fn base_record(base: Base<'_>) -> Option<Value> {
    let stage = match base.stage {
        Stage::Prepare => "prepare",
        Stage::Perform => "perform",
    };
    let mut fields = vec![
        ("now".to_owned(), Value::new_long(base.at.now.seconds())),
        ("weekday".to_owned(), Value::new_long(i64::from(base.at.weekday))),
        ("minute".to_owned(), Value::new_long(i64::from(base.at.minute))),
        ("part".to_owned(), Value::new_string(base.part.map_or("", Part::as_str).to_owned())),
        ("session".to_owned(), Value::new_string(base.session.to_owned())),
        ("stage".to_owned(), Value::new_string(stage.to_owned())),
    ];
    if let Some(client) = base.at.client {
        fields.push(("client".to_owned(), Value::new_ip(client.to_canonical().to_string())));
    }
    if let Some(approval) = base.approval {
        let given = [
            ("count".to_owned(), Value::new_long(i64::from(approval.count))),
            ("expires".to_owned(), Value::new_long(approval.expires.seconds())),
            ("digest_ok".to_owned(), Value::new_bool(approval.digest_ok)),
        ];
        fields.push(("approval".to_owned(), Value::new_record(given).ok()?));
    }
    Value::new_record(fields).ok()
}

fn value(fact: &Fact) -> Value {
    match fact {
        Fact::Bool(flag) => Value::new_bool(*flag),
        Fact::Long(number) => Value::new_long(*number),
        Fact::Text(text) => Value::new_string(text.to_string()),
        Fact::Set(items) => Value::new_set(items.iter().map(|item| Value::new_string(item.to_string()))),
    }
}
