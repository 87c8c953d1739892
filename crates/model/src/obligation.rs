//! Conditions of an allow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Resource, RuleId};

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

/// Strictest limits of every control that applies.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Controls {
    pub max_rows: Option<u64>,
    pub max_bytes: Option<u64>,
    pub timeout_ms: Option<u64>,
}

/// What an allow asks for.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Obligations {
    pub masks: Vec<Mask>,
    pub controls: Controls,
    /// The rules that allowed it, for the record.
    pub rules: Vec<RuleId>,
}
