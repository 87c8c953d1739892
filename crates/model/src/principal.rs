//! Who acts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::InvalidId;
use crate::id::text_id;
use crate::{RunId, TargetName, TokenId, UnixMicros};
use std::fmt;

text_id! {
    /// A group that principals belong to.
    Group
}

/// A person, with the groups that hold for them.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Person {
    /// Stable key: for Sluice tokens the subject, for configured issuers `issuer-name:sub`. Never an e-mail claim.
    pub name: String,
    pub groups: BTreeSet<Group>,
}

/// The kinds of principal.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Who {
    User(Person),
    /// An agent acts for a person; both need an allow.
    Agent {
        name: String,
        purpose: Option<String>,
        groups: BTreeSet<Group>,
        owner: Person,
    },
    Workload {
        name: String,
        issuer: String,
        groups: BTreeSet<Group>,
    },
}

/// An authenticated principal and the limits of the credential it showed.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Principal {
    pub who: Who,
    /// The credential, by the handle that revokes it.
    pub token: TokenId,
    /// When the credential ends; a session of it ends no later.
    pub expires: UnixMicros,
    /// The targets the credential is scoped to; `None` where it is not scoped.
    pub targets: Option<BTreeSet<TargetName>>,
    /// The run the credential was made for; `None` where it was made for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

impl Principal {
    /// The principal's own name, without its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.who {
            Who::User(person) => &person.name,
            Who::Agent { name, .. } | Who::Workload { name, .. } => name,
        }
    }

    /// The person who answers for the principal: the user, or an agent's owner.
    #[must_use]
    pub const fn person(&self) -> Option<&Person> {
        match &self.who {
            Who::User(person) | Who::Agent { owner: person, .. } => Some(person),
            Who::Workload { .. } => None,
        }
    }

    /// Whom it acts for, by whom budgets and room are counted: the person, or the workload itself.
    #[must_use]
    pub fn owner(&self) -> String {
        self.person().map_or_else(|| self.to_string(), |person| format!("user:{}", person.name))
    }

    /// The principal's own groups (not its owner's).
    #[must_use]
    pub const fn groups(&self) -> &BTreeSet<Group> {
        match &self.who {
            Who::User(person) => &person.groups,
            Who::Agent { groups, .. } | Who::Workload { groups, .. } => groups,
        }
    }

    /// Whether it is the one called `kind:name`, such as `user:alice`, and has the group itself; what is left out fits
    /// everybody. An agent does not fit by its owner.
    #[must_use]
    pub fn fits(&self, called: Option<&str>, group: Option<&Group>) -> bool {
        let kind = match &self.who {
            Who::User(_) => "user",
            Who::Agent { .. } => "agent",
            Who::Workload { .. } => "workload",
        };
        let named = |called: &str| called.split_once(':') == Some((kind, self.name()));
        called.is_none_or(named) && group.is_none_or(|group| self.groups().contains(group))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::User(person) => write!(f, "user:{}", person.name),
            Who::Agent { name, owner, .. } => write!(f, "agent:{name} for user:{}", owner.name),
            Who::Workload { name, .. } => write!(f, "workload:{name}"),
        }
    }
}
