//! What a client of git asks for.

use std::collections::BTreeSet;

/// May this happen?
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// List references; with version 2 only, because before it a server lists all of them unasked.
    List {
        /// What their names begin with; all of them if this is empty.
        prefixes: BTreeSet<String>,
    },
    Fetch(Fetch),
    /// Tell the sizes of objects.
    Sizes {
        objects: BTreeSet<String>,
    },
    Push(Push),
}

impl Question {
    /// Asks for nothing.
    pub(super) const EMPTY: Self = Self::List { prefixes: BTreeSet::new() };
}

/// Objects to be sent to the client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fetch {
    /// Names of objects.
    pub objects: BTreeSet<String>,
    /// Names of references.
    pub references: BTreeSet<String>,
}

/// References to be changed, and the objects for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Push {
    pub updates: Vec<Update>,
    /// Options for the server's hooks.
    pub options: Vec<String>,
    /// All of the updates or none.
    pub atomic: bool,
}

/// One reference to be changed. Whether an update loses history cannot be told from here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Update {
    pub reference: String,
    pub change: Change,
}

/// How a reference changes, with names of objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    Create { new: String },
    Update { old: String, new: String },
    Delete { old: String },
}

impl Update {
    /// Whether objects follow for it.
    pub(super) const fn needs_objects(&self) -> bool {
        !matches!(self.change, Change::Delete { .. })
    }

    /// Reads `old new name`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (old, rest) = text.split_once(' ')?;
        let (new, name) = rest.split_once(' ')?;
        let (old, new) = (super::line::object(old)?, super::line::object(new)?);
        let none = |object: &str| object.bytes().all(|digit| digit == b'0');
        let change = match (none(&old), none(&new)) {
            _ if old.len() != new.len() => return None,
            (true, true) => return None,
            (true, false) => Change::Create { new },
            (false, true) => Change::Delete { old },
            (false, false) => Change::Update { old, new },
        };
        Some(Self { reference: super::line::reference(name)?, change })
    }
}
