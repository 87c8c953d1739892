//! Annotations, parsed into types when policies load: Cedar itself never looks at them.

use cedar_policy::Effect;
use sluice_model::{Approval, Controls, Group, Per, Scope, Unit};

use crate::budget::{Quota, whose};

const KNOWN: &str = "known annotations: id, message, hint, approve, approve_count, approve_scope, approve_ttl, explain, \
                     mode, max_rows, max_bytes, timeout, requests, tokens, cost, per";
const MAX_TEXT: usize = 500;
const MAX_APPROVERS: u32 = 20;
const MAX_TTL_SECONDS: u32 = 7 * 24 * 3600;
const DEFAULT_TTL_SECONDS: u32 = 15 * 60;

/// What the annotations of one policy say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Notes {
    pub(crate) message: Option<String>,
    pub(crate) hint: Option<String>,
    /// A forbid that approval lifts.
    pub(crate) approval: Option<Approval>,
    /// Its text may be shown to anybody.
    pub(crate) public: bool,
    /// Evaluated beside the enforcing policies only.
    pub(crate) shadow: bool,
    /// Present for a control policy, which limits and never permits.
    pub(crate) controls: Option<Controls>,
    /// The budgets of a control policy, and whose counters they are.
    pub(crate) quotas: Vec<Quota>,
    pub(crate) per: Per,
}

/// One fault, with the annotation it is in.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
}

/// Reads the annotations of one policy; `id` is read elsewhere.
pub(crate) fn notes<'a>(
    effect: Effect,
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Notes, Vec<Fault>> {
    let mut draft = Draft::default();
    let mut faults = Vec::new();
    for (key, value) in annotations {
        if let Err((message, help)) = draft.read(key, value) {
            faults.push(Fault { key: key.to_owned(), message, help });
        }
    }
    draft.check(effect, &mut faults);
    if faults.is_empty() { Ok(draft.finish()) } else { Err(faults) }
}

/// What is wrong, and what to do about it.
pub(crate) type Wrong = (String, Option<&'static str>);

#[derive(Debug, Default)]
struct Draft {
    notes: Notes,
    approvers: Option<Group>,
    count: Option<u32>,
    scope: Option<Scope>,
    ttl_seconds: Option<u32>,
    /// The first annotation that makes it a matter of approval, and the first that makes it a control.
    approval_key: Option<String>,
    control_key: Option<String>,
    /// A budget is set, be it a faulty one, and whose it is.
    budgeted: bool,
    per: Option<Per>,
}

impl Draft {
    fn read(&mut self, key: &str, value: &str) -> Result<(), Wrong> {
        match key {
            "id" => {}
            "message" => self.notes.message = Some(text(value)?),
            "hint" => self.notes.hint = Some(text(value)?),
            "explain" => self.notes.public = choice(value, &[("public", true), ("admin", false)])?,
            "mode" => self.notes.shadow = choice(value, &[("shadow", true), ("enforce", false)])?,
            "approve" => self.approvers = Some(group(value)?),
            "approve_count" => self.count = Some(count(value)?),
            "approve_scope" => {
                let scopes = [("statement", Scope::Statement), ("session", Scope::Session), ("window", Scope::Window)];
                self.scope = Some(choice(value, &scopes)?);
            }
            "approve_ttl" => self.ttl_seconds = Some(ttl(value)?),
            "max_rows" => self.controls().max_rows = Some(whole(value)?),
            "max_bytes" => self.controls().max_bytes = Some(size(value)?),
            "timeout" => self.controls().timeout_ms = Some(milliseconds(value)?),
            "requests" => self.quota(Unit::Requests, value)?,
            "tokens" => self.quota(Unit::Tokens, value)?,
            "cost" => self.quota(Unit::Cost, value)?,
            "per" => self.per = Some(whose(value)?),
            _ => return Err(("unknown annotation".to_owned(), Some(KNOWN))),
        }
        if key.starts_with("approve") {
            self.approval_key.get_or_insert_with(|| key.to_owned());
        } else if matches!(key, "max_rows" | "max_bytes" | "timeout" | "requests" | "tokens" | "cost") {
            self.control_key.get_or_insert_with(|| key.to_owned());
        }
        Ok(())
    }

    fn controls(&mut self) -> &mut Controls {
        self.notes.controls.get_or_insert_default()
    }

    fn quota(&mut self, unit: Unit, value: &str) -> Result<(), Wrong> {
        self.budgeted = true;
        self.controls();
        self.notes.quotas.push(Quota::read(unit, value)?);
        Ok(())
    }

    fn check(&self, effect: Effect, faults: &mut Vec<Fault>) {
        let mut fault = |key: &str, message: &str, help| {
            faults.push(Fault { key: key.to_owned(), message: message.to_owned(), help: Some(help) });
        };
        if let Some(key) = &self.approval_key {
            if effect == Effect::Permit {
                fault(key, "approval lifts a forbid, and this is a permit", "put it on a forbid with `unless`");
            } else if self.approvers.is_none() {
                fault(key, "it says how to approve but not who", "add @approve(\"Group::name\")");
            }
        }
        if let Some(key) = &self.control_key
            && effect == Effect::Forbid
        {
            fault(key, "a limit belongs to a permit, and this is a forbid", "write a permit that carries only limits");
        }
        if self.per.is_some() && !self.budgeted {
            fault("per", "it says whose budget but sets none", "add @requests, @tokens or @cost");
        }
    }

    fn finish(self) -> Notes {
        let approval = self.approvers.map(|approvers| Approval {
            approvers,
            count: self.count.unwrap_or(1),
            scope: self.scope.unwrap_or(Scope::Statement),
            ttl_seconds: self.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS),
        });
        Notes { approval, per: self.per.unwrap_or_default(), ..self.notes }
    }
}

fn text(value: &str) -> Result<String, Wrong> {
    let fits = !value.trim().is_empty() && value.len() <= MAX_TEXT && !value.contains(char::is_control);
    if fits { Ok(value.to_owned()) } else { Err(("it must be one line of 1 to 500 bytes".to_owned(), None)) }
}

fn choice<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let found = choices.iter().find(|(name, _)| *name == value);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        (format!("`{value}` is none of {}", names.join(", ")), None)
    })
}

fn group(value: &str) -> Result<Group, Wrong> {
    let name = value.strip_prefix("Group::").map(|name| name.trim_matches('"'));
    name.and_then(|name| Group::new(name).ok())
        .ok_or_else(|| (format!("`{value}` names no group"), Some("write it as Group::name")))
}

fn count(value: &str) -> Result<u32, Wrong> {
    let count = value.parse().ok().filter(|count| (1..=MAX_APPROVERS).contains(count));
    count.ok_or_else(|| (format!("`{value}` is not a number from 1 to {MAX_APPROVERS}"), None))
}

fn whole(value: &str) -> Result<u64, Wrong> {
    value.parse().map_err(|_| (format!("`{value}` is not a whole number"), None))
}

fn size(value: &str) -> Result<u64, Wrong> {
    let (number, unit) = split_unit(value);
    let factor = match unit {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| (format!("`{value}` is not a size"), Some("write bytes, or a number of KiB, MiB or GiB")))
}

fn milliseconds(value: &str) -> Result<u64, Wrong> {
    let (number, unit) = split_unit(value);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let total = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).filter(|total| *total > 0);
    total.ok_or_else(|| (format!("`{value}` is not a duration"), Some("write a number of ms, s, m, h or d")))
}

fn ttl(value: &str) -> Result<u32, Wrong> {
    let seconds = u32::try_from(milliseconds(value)? / 1_000).ok();
    let fits = seconds.filter(|seconds| (1..=MAX_TTL_SECONDS).contains(seconds));
    fits.ok_or_else(|| (format!("`{value}` is not between 1s and 7d"), None))
}

fn split_unit(value: &str) -> (Option<u64>, &str) {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    (number.parse().ok(), unit)
}
