//! What a protocol declares of itself, so that policies can be checked against it when they load.

use crate::{Action, Fact, Facts};

/// A protocol's verbs, resources and facts. A policy that names anything else does not load.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The protocol, as `protocol:` in the configuration spells it.
    pub protocol: &'static str,
    /// Raised with every change of meaning; recorded with each session.
    pub version: u32,
    pub actions: &'static [ActionSpec],
    pub resources: &'static [ResourceSpec],
    /// The name of the record of facts in a policy's context: `stmt` for `context.stmt`.
    pub facts_group: &'static str,
    pub facts: &'static [FactSpec],
}

impl Schema {
    /// The facts of an operation that has none of its own, such as connecting: `false`, 0, and empty.
    #[must_use]
    pub fn neutral_facts(&self) -> Facts {
        let neutral = |spec: &FactSpec| match spec.of {
            FactType::Bool => Fact::Bool(false),
            FactType::Long => Fact::Long(0),
            FactType::Text => Fact::Text("".into()),
            FactType::Set => Fact::Set(Vec::new()),
        };
        Facts { group: self.facts_group, values: self.facts.iter().map(|spec| (spec.name, neutral(spec))).collect() }
    }
}

/// One verb and what it may be done to.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    pub action: Action,
    /// Kinds of resource, [`crate::Resource::TARGET`] among them where the verb applies to a whole target.
    pub on: &'static [&'static str],
    pub doc: &'static str,
}

/// One kind of resource and the kind it lies in.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSpec {
    pub kind: &'static str,
    /// The kind one step up; [`crate::Resource::TARGET`] for the outermost.
    pub within: &'static str,
    pub doc: &'static str,
}

/// One fact.
#[derive(Clone, Copy, Debug)]
pub struct FactSpec {
    pub name: &'static str,
    pub of: FactType,
    pub doc: &'static str,
}

/// The type of a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FactType {
    Bool,
    Long,
    Text,
    Set,
}
