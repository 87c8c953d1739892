//! What is guarded.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InvalidId, text_id};

text_id! {
    /// The name of a guarded database, host or API.
    TargetName
}
text_id! {
    /// The environment a target stands in, such as `prod`.
    Environment
}

/// A part of a target, where a target has several: one database of a server. Its name is the server's own.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Part(Box<str>);

impl Part {
    /// A part by its name.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What policy knows of a target; its address and credential belong to its protocol and the vault.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target {
    pub name: TargetName,
    pub environment: Environment,
    /// The protocol that serves it, by [`crate::Schema::protocol`].
    pub protocol: &'static str,
    /// The part of it that is meant; `None` for the whole, and where it has no parts.
    pub part: Option<Part>,
}

impl Target {
    /// The same target, as a session at one of its parts sees it.
    #[must_use]
    pub fn at(&self, part: Option<Part>) -> Self {
        Self { part, ..self.clone() }
    }
}
