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
    /// The records of facts, one for each kind of operation; no other protocol may declare a group of the same name.
    pub facts: &'static [FactGroup],
}

impl Schema {
    /// The verb of a name.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&'static ActionSpec> {
        self.actions.iter().find(|spec| spec.action.name == name)
    }

    /// The group of a name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&'static FactGroup> {
        self.facts.iter().find(|group| group.name == name)
    }

    /// The facts that operations of an action carry, all of them neutral: `false`, 0, and empty.
    #[must_use]
    pub fn neutral_facts(&self, action: &str) -> Option<Facts> {
        self.group(self.action(action)?.facts).map(FactGroup::neutral)
    }
}

/// One verb and what it may be done to.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    pub action: Action,
    /// Kinds of resource, [`crate::Resource::TARGET`] among them where the verb applies to a whole target.
    pub on: &'static [&'static str],
    /// The group of facts that its operations carry, connecting too; all accesses of one operation carry the same.
    pub facts: &'static str,
    pub doc: &'static str,
}

/// Declares the verbs of a protocol: a constant each, for operations to name, and all of them as `ACTIONS`.
///
/// ```
/// sluice_model::actions! {
///     READ = "shop.read" Read "item" on ["Target"] "Look at an item.";
/// }
/// assert_eq!((READ.name, ACTIONS.len()), ("shop.read", 1));
/// ```
#[macro_export]
macro_rules! actions {
    ($($name:ident = $text:literal $effect:ident $facts:tt on [$($kind:expr),+] $doc:literal;)+) => {
        $(
            #[doc = $doc]
            pub(crate) const $name: $crate::Action = $crate::Action { name: $text, effect: $crate::Effect::$effect };
        )+
        const ACTIONS: &[$crate::ActionSpec] =
            &[$($crate::ActionSpec { action: $name, on: &[$($kind),+], facts: $facts, doc: $doc }),+];
    };
}

/// One kind of resource and the kind it lies in.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSpec {
    pub kind: &'static str,
    /// The kind one step up; [`crate::Resource::TARGET`] for the outermost.
    pub within: &'static str,
    /// Whether anything of the kind can have this name: a policy about what cannot be does not load.
    pub can_be: fn(&str) -> bool,
    pub doc: &'static str,
}

impl ResourceSpec {
    /// Any name that is not empty.
    pub const ANY: fn(&str) -> bool = |name| !name.is_empty();
}

/// Facts that are told together: the record `context.<name>` of a policy.
#[derive(Clone, Copy, Debug)]
pub struct FactGroup {
    /// The name of the record: `stmt` for `context.stmt`.
    pub name: &'static str,
    pub facts: &'static [FactSpec],
}

impl FactGroup {
    /// The facts of an operation that has none of its own, such as connecting: `false`, 0, and empty.
    #[must_use]
    pub fn neutral(&self) -> Facts {
        let neutral = |spec: &FactSpec| match spec.of {
            FactType::Bool => Fact::Bool(false),
            FactType::Long => Fact::Long(0),
            FactType::Text => Fact::Text("".into()),
            FactType::Set => Fact::Set(Vec::new()),
        };
        Facts { group: self.name, values: self.facts.iter().map(|spec| (spec.name, neutral(spec))).collect() }
    }
}

/// One fact.
#[derive(Clone, Copy, Debug)]
pub struct FactSpec {
    pub name: &'static str,
    pub of: FactType,
    pub doc: &'static str,
}

/// A [`FactSpec`], for tables of them.
#[must_use]
pub const fn fact(name: &'static str, of: FactType, doc: &'static str) -> FactSpec {
    FactSpec { name, of, doc }
}

/// The type of a fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FactType {
    Bool,
    Long,
    Text,
    Set,
}
