//! What a client asks for, as policy sees it.

use std::fmt;
use std::hash::Hash as _;
use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::id::Digesting;
use crate::{Action, Digest, Spend, Tag, Text};

/// One thing below a target, named by its path of ancestors.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Resource {
    /// The kind, as declared in the protocol's schema: `Table`; `Target` for the target itself.
    pub kind: &'static str,
    /// The path below the target, outermost first: `["public", "customers"]`; empty for the target itself.
    pub path: SmallVec<[Box<str>; 3]>,
}

impl Resource {
    /// The target itself.
    pub const TARGET: &'static str = "Target";

    /// Values of one class that a detector found at the target; the path is the class, as one part: `["pii.contact"]`.
    pub const VALUE: &'static str = "Value";

    /// A resource of a kind at a path.
    #[must_use]
    pub fn new<'a>(kind: &'static str, path: impl IntoIterator<Item = &'a str>) -> Self {
        Self { kind, path: path.into_iter().map(Box::from).collect() }
    }

    /// The whole target.
    #[must_use]
    pub fn target() -> Self {
        Self { kind: Self::TARGET, path: SmallVec::new() }
    }

    /// Values of a class, wherever at the target they are found.
    #[must_use]
    pub fn value(tag: &Tag) -> Self {
        Self::new(Self::VALUE, [tag.as_str()])
    }
}

/// The path with dots; a found value, which has no place, is `Value:pii.contact`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Self::VALUE {
            write!(f, "{}:", Self::VALUE)?;
        }
        f.write_str(&self.path.join("."))
    }
}

/// One effect of an operation on one resource.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Access {
    pub action: Action,
    pub resource: Resource,
}

/// How a tagged thing is used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Usage {
    /// Its value flows to the client.
    Reveal,
    /// Its value decides something: a predicate, an ordering, a grouping, a join.
    Filter,
    /// Its value flows to the target. Policy is asked about each of its tags at the target, whatever the resource is.
    Disclose,
}

/// A tagged resource and one way in which the operation uses it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Exposure {
    pub resource: Resource,
    /// For a [`Resource::VALUE`] exactly the class that it is of.
    pub tags: Vec<Tag>,
    pub usage: Usage,
}

impl Exposure {
    /// A value of a class that a detector found, in whatever part of the traffic.
    #[must_use]
    pub fn found(tag: Tag, usage: Usage) -> Self {
        Self { resource: Resource::value(&tag), tags: vec![tag], usage }
    }
}

/// One fact, of a type that the schema declares.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Fact {
    Bool(bool),
    Long(i64),
    Text(Box<str>),
    Set(Vec<Box<str>>),
}

/// The operation-level facts of one group: the record `context.<group>` of a policy.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Facts {
    /// The record's name: `stmt` for SQL.
    pub group: &'static str,
    /// Every fact that the schema declares in the group, in its order.
    pub values: Vec<(&'static str, Fact)>,
}

/// All that policies see of an operation.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Meaning {
    /// The headline verb, which is always asked about: on the target itself where no access has it.
    pub action: Action,
    pub accesses: SmallVec<[Access; 4]>,
    pub exposures: Vec<Exposure>,
    pub facts: Facts,
    /// `false` refuses the operation whatever policies say.
    pub understood: bool,
}

/// What stays the same each time an operation is asked for; built once per distinct text and shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shape {
    meaning: Meaning,
    digest: Digest,
}

impl Shape {
    /// A meaning, and the exact text that it is the meaning of.
    #[must_use]
    pub fn new<'a>(meaning: Meaning, exact: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digesting = Digesting::default();
        meaning.hash(&mut digesting);
        let (told, exact) = (digesting.digest(), Digest::of_parts(exact));
        let digest = Digest::of_parts([&told.0[..], &exact.0[..]]);
        Self { meaning, digest }
    }

    /// All that policies see.
    #[must_use]
    pub const fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Identifies the meaning *and* the exact text: equal digests rule equally.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl Deref for Shape {
    type Target = Meaning;

    fn deref(&self) -> &Meaning {
        &self.meaning
    }
}

/// Whether asking makes anything happen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// The server is told of the operation but does not perform it (a `Parse`): a hold waits until it is performed.
    Prepare,
    /// The server performs it.
    Perform,
}

/// One operation as a client asked for it.
#[derive(Clone, Debug)]
pub struct Operation {
    pub shape: Arc<Shape>,
    /// The exact text asked for.
    pub text: Text,
    pub stage: Stage,
    /// Values bound to the text's parameters, exactly as sent; part of what an approval is for.
    pub bound: Option<Text>,
    /// What it uses up at most; zero where nothing is counted.
    pub spend: Spend,
}

impl Operation {
    /// What an approval is given for: shape, exact text and exact bound values.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bound = self.bound.as_ref().map_or(&b""[..], |values| values.content());
        let presence = [u8::from(self.bound.is_some())];
        Digest::of_parts([&self.shape.digest.0[..], self.text.content(), &presence, bound])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Effect;

    fn meaning(set: &[&str], texts: [&str; 2], long: i64) -> Meaning {
        let set = set.iter().map(|name| Box::from(*name)).collect();
        let [first, second] = texts.map(|text| Fact::Text(text.into()));
        let values = vec![("set", Fact::Set(set)), ("first", first), ("second", second), ("long", Fact::Long(long))];
        Meaning {
            action: Action { name: "read", effect: Effect::Read },
            accesses: SmallVec::new(),
            exposures: Vec::new(),
            facts: Facts { group: "llm", values },
            understood: true,
        }
    }

    #[test]
    fn digests_tell_apart_where_texts_and_lists_end() {
        let base = meaning(&["a", "b"], ["c", "d"], 1);
        let others = [
            meaning(&["ab"], ["c", "d"], 1),
            meaning(&["a"], ["b", "cd"], 1),
            meaning(&["a", "b"], ["cd", ""], 1),
            meaning(&["a", "b"], ["", "cd"], 1),
            meaning(&["a", "b"], ["c", "d"], 256),
            Meaning { understood: false, ..base.clone() },
            Meaning { exposures: vec![exposure(Usage::Filter)], ..base.clone() },
            Meaning { exposures: vec![exposure(Usage::Reveal)], ..base.clone() },
        ];
        let all = std::iter::once(&base)
            .chain(&others)
            .map(|meaning| Shape::new(meaning.clone(), [&b"x"[..]]).digest().hex());
        assert_eq!(all.collect::<BTreeSet<_>>().len(), others.len() + 1);
        let same = |exact: &[&'static [u8]]| Shape::new(base.clone(), exact.iter().copied()).digest();
        assert_eq!(same(&[b"x", b"y"]), same(&[b"x", b"y"]));
        assert_ne!(same(&[b"x", b"y"]), same(&[b"xy", b""]));
    }

    fn exposure(usage: Usage) -> Exposure {
        Exposure { resource: Resource::new("Table", ["a"]), tags: vec![], usage }
    }
}
