//! Which members and items hold protected values, by their names and places.

use std::collections::BTreeMap;
use std::fmt;

use sluice_model::Tag;
use smallvec::SmallVec;
use thiserror::Error;

use super::document::Document;
use super::entry::{Kind, wide};
use super::node::Node;
use super::pattern::{self, Part, folded};
use super::trail::Trail;
use super::walk::{Leaf, Reference, traverse};

/// Steps of all patterns of one set together, so that the work for a node is bounded.
const MAX_STEPS: usize = 4096;
const WORD: usize = 64;

/// A set of key rules that cannot be compiled.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum BadRule {
    /// A pattern is malformed.
    #[error("`{pattern}` is no key rule: {reason}")]
    Pattern {
        /// The pattern as it was written.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are too many steps in all patterns.
    #[error("the key rules have more than {MAX_STEPS} steps in all")]
    TooMany,
}

/// Patterns for members and items, each with the class of what stands there.
///
/// A pattern is a path from the root `$`, or from anywhere with `**`: `$.user.email`, `$.rows[*].ssn`, `**.api_key`.
/// `*` is any member, `[*]` any item, `[3]` one item, and `.**` in between any steps or none. Names are compared
/// after unescaping, without ASCII case and without `_` and `-`: `apiKey`, `api_key` and `API-KEY` are one name. A rule
/// covers the strings, numbers and booleans at its place and everywhere below, and the names of members below. Of two rules the one that matched
/// nearer to the leaf counts, then the one that was listed first.
#[derive(Clone)]
pub struct KeyRules {
    tags: Vec<Tag>,
    /// Which rule a bit belongs to. A rule has a bit for each step, "all steps before are done", and one for its end.
    owners: Vec<usize>,
    starts: Bits,
    ends: Bits,
    /// Bits that stay set whatever the step is: those after a `**`.
    deep: Bits,
    any_member: Bits,
    any_item: Bits,
    members: BTreeMap<Vec<u8>, Bits>,
    items: BTreeMap<u32, Bits>,
    /// Bytes of the longest name.
    longest: usize,
    outlines: Outlines,
}

impl KeyRules {
    /// No rules: nothing is covered.
    #[must_use]
    pub fn none() -> Self {
        Self::empty(Vec::new(), 0)
    }

    /// Compiles patterns with their classes.
    ///
    /// # Errors
    ///
    /// The first pattern that is malformed, or that they are too many.
    pub fn compile<P: AsRef<str>>(rules: &[(P, Tag)]) -> Result<Self, BadRule> {
        let parse = |(pattern, _): &(P, Tag)| {
            let pattern = pattern.as_ref();
            pattern::parse(pattern).map_err(|reason| BadRule::Pattern { pattern: pattern.to_owned(), reason })
        };
        let patterns: Vec<Vec<Part>> = rules.iter().map(parse).collect::<Result<_, _>>()?;
        let steps = |parts: &Vec<Part>| parts.iter().filter(|part| **part != Part::Deep).count() + 1;
        let total: usize = patterns.iter().map(steps).sum();
        if total > MAX_STEPS {
            return Err(BadRule::TooMany);
        }
        let mut compiled = Self::empty(rules.iter().map(|(_, tag)| tag.clone()).collect(), total);
        for (rule, parts) in patterns.into_iter().enumerate() {
            compiled.add(rule, parts, total);
        }
        Ok(compiled)
    }

    fn add(&mut self, rule: usize, parts: Vec<Part>, total: usize) {
        self.starts.set(self.owners.len());
        for part in parts {
            let bit = self.owners.len();
            match part {
                Part::Deep => {
                    self.deep.set(bit);
                    continue;
                }
                Part::AnyMember => self.any_member.set(bit),
                Part::AnyItem => self.any_item.set(bit),
                Part::Member(name) => {
                    self.longest = self.longest.max(name.len());
                    self.outlines.add(&name);
                    self.members.entry(name).or_insert_with(|| Bits::new(total)).set(bit);
                }
                Part::Item(index) => self.items.entry(index).or_insert_with(|| Bits::new(total)).set(bit),
            }
            self.owners.push(rule);
        }
        self.ends.set(self.owners.len());
        self.owners.push(rule);
    }

    /// The classes of the rules, in their order.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The class of the rule that covers a leaf. Retraces the leaf's path; [`KeyRules::walk`] does not need to.
    #[must_use]
    pub fn matches(&self, leaf: &Leaf<'_>) -> Option<&Tag> {
        match leaf.node().kind() {
            Kind::Null | Kind::Array | Kind::Object => None,
            Kind::Name | Kind::String | Kind::Number | Kind::Bool => self.retrace(leaf).tag(),
        }
    }

    /// Visits what [`Document::walk`] visits, with [`Leaf::tag`] set; each step is matched once.
    pub fn walk(&self, document: &Document, mut visit: impl FnMut(&Leaf<'_>)) {
        traverse(document, None, Trail::new(self), |leaf, _| visit(leaf));
    }

    /// `INVARIANT:` documents in strings are nested no deeper than `scrub` goes, so this recursion is bounded.
    fn retrace(&self, leaf: &Leaf<'_>) -> Trail<'_> {
        let mut trail = leaf.outer().map_or_else(|| Trail::new(self), |outer| self.retrace(outer).inside());
        trail.enter(None);
        // The last step to a name is that to its value.
        let beyond = usize::from(leaf.node().kind() == Kind::Name);
        for step in leaf.steps().take(leaf.containers().count().saturating_sub(beyond)) {
            trail.enter(Some(step));
        }
        trail
    }

    /// What is set before the root's own step.
    pub(super) fn starts(&self) -> &[u64] {
        &self.starts.0
    }

    /// One step: what is set after it, from what was set before.
    pub(super) fn advance(&self, step: Reference<'_>, before: &[u64], after: &mut [u64]) {
        let (any, exact) = match step {
            Reference::Member(name) => (&self.any_member, self.member(name)),
            Reference::Item(index) => (&self.any_item, self.items.get(&index)),
        };
        let exact = exact.map_or(&[][..], |bits| &bits.0);
        let words = after.iter_mut().zip(before).zip(any.0.iter().zip(&self.deep.0)).enumerate();
        let mut carry = 0;
        for (word, ((after, before), (any, deep))) in words {
            let done = before & (any | exact.get(word).unwrap_or(&0));
            *after = (done << 1) | carry | (before & deep);
            carry = done >> (WORD - 1);
        }
    }

    /// The first rule whose steps are all done.
    pub(super) fn ended(&self, bits: &[u64]) -> Option<usize> {
        let words = bits.iter().zip(&self.ends.0).map(|(bits, ends)| bits & ends);
        let (word, ended) = words.enumerate().find(|(_, ended)| *ended != 0)?;
        self.owners.get(word * WORD + wide(ended.trailing_zeros())).copied()
    }

    fn member(&self, name: Node<'_>) -> Option<&Bits> {
        if !self.outlines.admit(name.raw()) {
            return None;
        }
        let text = name.text()?;
        let name: SmallVec<[u8; 64]> = folded(&text).take(self.longest + 1).collect();
        self.members.get(name.as_slice())
    }

    fn empty(tags: Vec<Tag>, bits: usize) -> Self {
        let [starts, ends, deep, any_member, any_item] = std::array::from_fn(|_| Bits::new(bits));
        let (owners, members, items) = (Vec::with_capacity(bits), BTreeMap::new(), BTreeMap::new());
        Self {
            tags,
            owners,
            starts,
            ends,
            deep,
            any_member,
            any_item,
            members,
            items,
            longest: 0,
            outlines: Outlines::default(),
        }
    }
}

impl fmt::Debug for KeyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRules({:?})", self.tags)
    }
}

/// A set of small numbers.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(WORD)])
    }

    fn set(&mut self, bit: usize) {
        if let Some(word) = self.0.get_mut(bit / WORD) {
            *word |= 1 << (bit % WORD);
        }
    }
}

/// First and last bytes of folded names: most names of a document are told apart by them, without being folded.
#[derive(Clone, Default)]
struct Outlines {
    firsts: [u64; 4],
    lasts: [u64; 4],
}

impl Outlines {
    fn add(&mut self, name: &[u8]) {
        for (set, byte) in [(&mut self.firsts, name.first()), (&mut self.lasts, name.last())] {
            if let Some(byte) = byte
                && let Some(word) = set.get_mut(usize::from(byte / 64))
            {
                *word |= 1 << (byte % 64);
            }
        }
    }

    /// Tells whether a name in quotes may be one of those added; one with an escape may always be.
    fn admit(&self, quoted: &[u8]) -> bool {
        let has = |set: &[u64; 4], byte: &u8| {
            let byte = byte.to_ascii_lowercase();
            set.get(usize::from(byte / 64)).is_some_and(|word| word & (1 << (byte % 64)) != 0)
        };
        let mut letters = quoted.iter().filter(|byte| !matches!(byte, b'"' | b'_' | b'-'));
        let first = letters.next();
        let last = letters.next_back().or(first);
        first.is_some_and(|byte| has(&self.firsts, byte)) && last.is_some_and(|byte| has(&self.lasts, byte))
            || quoted.contains(&b'\\')
    }
}
