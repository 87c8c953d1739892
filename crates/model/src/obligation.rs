//! Conditions of an allow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Resource, RuleId, Tag};

/// How much of a tagged value the principal may see, most first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    Full,
    Partial,
    Token,
    Redact,
}

/// What is put in the place of a value. Each gives a valid value of the column's type or NULL.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// `***` for text, NULL for other types.
    Redact,
    Null,
    /// A fixed text; NULL for other types.
    Constant(String),
    /// Stars and the last characters of a text; NULL for other types.
    Partial {
        keep_last: u8,
    },
    /// Keyed, stable digest (HMAC-SHA-256, domain-separated by tag).
    Hash,
    /// Keyed, stable, restorable stand-in.
    Token,
    /// Format-preserving encryption (FF1).
    Fpe,
    /// Numbers rounded down to a multiple.
    Bucket {
        width: u32,
    },
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redact => f.write_str("redact"),
            Self::Null => f.write_str("null"),
            Self::Constant(_) => f.write_str("constant"),
            Self::Partial { keep_last } => write!(f, "partial(keep_last={keep_last})"),
            Self::Hash => f.write_str("hash"),
            Self::Token => f.write_str("token"),
            Self::Fpe => f.write_str("fpe"),
            Self::Bucket { width } => write!(f, "bucket(width={width})"),
        }
    }
}

/// One thing that must be masked in what comes back.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Mask {
    pub resource: Resource,
    pub transform: Transform,
    /// Policy permits its use in predicates although its value is masked.
    pub filterable: bool,
}

/// One class of values that must not reach the server as they are.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Withheld {
    pub tag: Tag,
    pub transform: Transform,
}

/// What every control that applies asks for: the strictest of limits, and each budget.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Controls {
    pub max_rows: Option<u64>,
    pub max_bytes: Option<u64>,
    pub timeout_ms: Option<u64>,
    /// By rule and unit, each once; the operation counts against all of them.
    pub budgets: Vec<Budget>,
}

impl Controls {
    /// Whether the size or the time of a result is limited, which the protocol must keep; budgets are the kernel's.
    #[must_use]
    pub const fn limits_results(&self) -> bool {
        self.max_rows.is_some() || self.max_bytes.is_some() || self.timeout_ms.is_some()
    }
}

/// How much may be used in a window of time; every rule keeps counters of its own.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Budget {
    pub rule: RuleId,
    pub unit: Unit,
    /// In [`Unit`]s, at least 1.
    pub amount: u64,
    /// At least 1.
    pub window_seconds: u32,
    pub per: Per,
}

/// In one word, as tables of cases spell it: `agent-rate=requests:60/1m`, and `/owner` or `/rule` behind it where the
/// counter is not the principal's.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:", self.rule, self.unit.name())?;
        match self.unit {
            Unit::Requests | Unit::Tokens => write!(f, "{}", self.amount)?,
            Unit::Cost => {
                let text = format!("{}.{:06}", self.amount / Unit::MICROS, self.amount % Unit::MICROS);
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))?;
            }
        }
        let longest = WINDOWS.iter().find(|(_, length)| self.window_seconds.is_multiple_of(*length));
        let (letter, length) = longest.copied().unwrap_or(("s", 1));
        write!(f, "/{}{letter}", self.window_seconds / length)?;
        match self.per {
            Per::Principal => Ok(()),
            Per::Owner | Per::Rule => write!(f, "/{}", self.per.name()),
        }
    }
}

/// Units of a window, the longest first.
const WINDOWS: [(&str, u32); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// What a budget counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Operations that were allowed.
    Requests,
    /// Tokens of language models, in and out.
    Tokens,
    /// Money, in millionths of the currency's unit.
    Cost,
}

impl Unit {
    /// How many units of [`Self::Cost`] make one of the currency.
    pub const MICROS: u64 = 1_000_000;

    /// Every unit, in the order the documentation lists them.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Tokens, Self::Cost];

    /// The unit as policies spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
        }
    }
}

/// Whose counter a budget is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One for each principal.
    #[default]
    Principal,
    /// One for each person, with all agents that act for them; one for each workload.
    Owner,
    /// One, shared by all that the rule applies to.
    Rule,
}

impl Per {
    /// Every choice, in the order the documentation lists them.
    pub const ALL: [Self; 3] = [Self::Principal, Self::Owner, Self::Rule];

    /// The choice as policies spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Owner => "owner",
            Self::Rule => "rule",
        }
    }
}

/// What an allow asks for.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Obligations {
    pub masks: Vec<Mask>,
    /// By tag, each once: what must not go to the server as it is.
    pub withheld: Vec<Withheld>,
    pub controls: Controls,
    /// The rules that allowed it, for the record.
    pub rules: Vec<RuleId>,
}
