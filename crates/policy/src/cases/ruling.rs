//! What a case expects, against what came out.

use std::collections::BTreeSet;
use std::fmt;

use sluice_model::{Controls, Mask, Obligations, RuleId, Verdict};

use crate::budget::budget;

/// A verdict, as far as a case can tell.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Got {
    Allow(Terms),
    Deny(RuleId),
    Hold(RuleId, Terms),
}

/// What an allow asks for.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Terms {
    masks: BTreeSet<String>,
    withheld: BTreeSet<String>,
    controls: Controls,
}

impl Got {
    pub(super) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow(obligations) => Self::Allow(Terms::of(obligations)),
            Verdict::Deny(refusal) => Self::Deny(refusal.rule.clone()),
            Verdict::Hold(hold) => Self::Hold(hold.refusal.rule.clone(), Terms::of(&hold.obligations)),
        }
    }

    /// Compares with `allow ; withheld pii=redact`, `masks public.t.c=redact ; limits max_rows=5`, `deny default-deny`, …
    pub(super) fn compare(&self, expected: &str) -> Result<(), String> {
        let mut parts = expected.split(';').map(str::trim);
        let (head, rest) = words(parts.next().unwrap_or_default());
        let mut same = match (head, self) {
            ("allow", Self::Allow(terms)) => rest.is_empty() && terms.masks.is_empty(),
            ("masks", Self::Allow(terms)) => set(&rest) == terms.masks,
            ("deny", Self::Deny(rule)) | ("hold", Self::Hold(rule, _)) => rest == [rule.as_str()],
            ("allow" | "masks" | "deny" | "hold", _) => false,
            _ => return Err(format!("`{head}` is none of allow, deny, hold, masks")),
        };
        let nothing = Terms::default();
        let terms = match self {
            Self::Allow(terms) | Self::Hold(_, terms) => terms,
            Self::Deny(_) => &nothing,
        };
        let mut told_withheld = matches!(self, Self::Hold(..));
        for part in parts {
            same &= match words(part) {
                ("withheld", wanted) => {
                    told_withheld = true;
                    set(&wanted) == terms.withheld
                }
                ("limits", wanted) => limits(&wanted)? == Controls { budgets: Vec::new(), ..terms.controls.clone() },
                ("budgets", wanted) => {
                    let mut wanted = wanted.into_iter().map(budget).collect::<Result<Vec<_>, _>>()?;
                    wanted.sort();
                    wanted == terms.controls.budgets
                }
                _ => return Err(format!("`{part}` is none of withheld, limits, budgets")),
            };
        }
        same &= told_withheld || terms.withheld.is_empty();
        if same { Ok(()) } else { Err(format!("expected {expected}, but it is {self}")) }
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(terms) if terms.masks.is_empty() => write!(f, "allow{terms}"),
            Self::Allow(terms) => write!(f, "masks{terms}"),
            Self::Deny(rule) => write!(f, "deny {rule}"),
            Self::Hold(rule, terms) => write!(f, "hold {rule}{terms}"),
        }
    }
}

impl Terms {
    fn of(obligations: &Obligations) -> Self {
        Self {
            masks: obligations.masks.iter().map(shown).collect(),
            withheld: obligations.withheld.iter().map(|w| format!("{}={}", w.tag, w.transform)).collect(),
            controls: obligations.controls.clone(),
        }
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Controls { max_rows, max_bytes, timeout_ms, budgets } = &self.controls;
        self.masks.iter().try_for_each(|mask| write!(f, " {mask}"))?;
        if !self.withheld.is_empty() {
            f.write_str(" ; withheld")?;
            self.withheld.iter().try_for_each(|withheld| write!(f, " {withheld}"))?;
        }
        if self.controls.limits_results() {
            f.write_str(" ; limits")?;
        }
        for (name, limit) in [("max_rows", max_rows), ("max_bytes", max_bytes), ("timeout_ms", timeout_ms)] {
            if let Some(limit) = limit {
                write!(f, " {name}={limit}")?;
            }
        }
        if !budgets.is_empty() {
            f.write_str(" ; budgets")?;
            budgets.iter().try_for_each(|budget| write!(f, " {budget}"))?;
        }
        Ok(())
    }
}

fn shown(mask: &Mask) -> String {
    let filter = if mask.filterable { "+filter" } else { "" };
    format!("{}={}{filter}", mask.resource, mask.transform)
}

/// The first word, and the others.
fn words(part: &str) -> (&str, Vec<&str>) {
    let mut words = part.split_whitespace();
    (words.next().unwrap_or_default(), words.collect())
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn limits(pairs: &[&str]) -> Result<Controls, String> {
    let mut limits = Controls::default();
    for pair in pairs {
        let value = |text: &str| text.parse().map(Some).map_err(|_| format!("`{text}` is no number"));
        match pair.split_once('=') {
            Some(("max_rows", rows)) => limits.max_rows = value(rows)?,
            Some(("max_bytes", bytes)) => limits.max_bytes = value(bytes)?,
            Some(("timeout_ms", time)) => limits.timeout_ms = value(time)?,
            _ => return Err(format!("`{pair}` is no limit")),
        }
    }
    Ok(limits)
}
