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

/// What policy knows of a target; its address and credential belong to its protocol and the vault.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target {
    pub name: TargetName,
    pub environment: Environment,
    /// The protocol that serves it, by [`crate::Schema::protocol`].
    pub protocol: &'static str,
}
