//! Which values are looked for, compiled once and shared by every text.

mod automaton;
mod builtin;
mod signs;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use sluice_model::Tag;
use thiserror::Error;

use crate::fold::LETTER;
use crate::recognise::Check;
use automaton::Automaton;
use builtin::Builtin;

pub(crate) use automaton::Run;
use signs::Sign;
pub(crate) use signs::{Place, Search, Signs, Spot};

/// The most detectors one set holds.
const MOST: usize = 64;
/// The longest value of a configured detector, in folded bytes, and with it the most that is held back for it.
const LIMIT: usize = 4096;

/// The longest region of overlapping values whose text is kept, in folded bytes.
const REGION: usize = 16 << 10;

/// The names of the detectors that need no configuration.
pub const BUILTINS: &[&str] = &[
    "email",
    "us-ssn",
    "payment-card",
    "iban",
    "phone",
    "jwt",
    "private-key",
    "aws-key",
    "openai-key",
    "github-token",
    "gitlab-token",
    "slack-token",
    "google-key",
    "stripe-key",
    "vendor-key",
];

/// One detector to compile: what it is called, what its values are, how they are found.
#[derive(Clone, Debug)]
pub struct Spec {
    name: Box<str>,
    tag: Tag,
    source: Source,
}

impl Spec {
    /// A detector that ships with the product, with its default tag.
    pub fn builtin(name: &str) -> Result<Self, DetectorError> {
        let unknown = || DetectorError::Unknown { name: name.to_owned() };
        let builtin = builtin::find(name).ok_or_else(unknown)?;
        let tag = Tag::new(builtin.tag).map_err(|_| unknown())?;
        Ok(Self { name: name.into(), tag, source: Source::Builtin(builtin) })
    }

    /// A detector of the configuration: a regular expression over the folded text, in which every letter, digit, dash
    /// and space that has an ASCII form is that form. Classes and word boundaries are ASCII.
    #[must_use]
    pub fn custom(name: &str, tag: Tag, pattern: &str) -> Self {
        Self { name: name.into(), tag, source: Source::Pattern(pattern.into()) }
    }

    /// What every value of the detector shows near its beginning, if that is known.
    fn signs(&self) -> Option<&'static [Sign]> {
        match &self.source {
            Source::Builtin(builtin) => Some(builtin.signs),
            Source::Pattern(_) => None,
        }
    }

    /// The same detector with another tag.
    #[must_use]
    pub fn tagged(mut self, tag: Tag) -> Self {
        self.tag = tag;
        self
    }
}

/// A set of detectors, immutable and meant to be shared.
pub struct Detectors {
    all: Vec<Detector>,
    /// The detectors whose values can begin with a byte, for each kind of byte before it.
    first: Box<[u64]>,
    /// The same, whatever is before it.
    ever: Box<[u64]>,
    /// The detectors that read on in one and the same state while bytes like this one follow.
    loops: Box<[u64]>,
    /// The longest region whose text is kept, in folded bytes.
    region: usize,
    /// None if no detector has any; compiled ahead, or when a text asks before that.
    signs: OnceLock<Option<Signs>>,
    /// The signs of each detector that has some.
    shown: Vec<Option<&'static [Sign]>>,
}

impl Detectors {
    /// Compiles a set. Names are unique.
    pub fn compile(specs: &[Spec]) -> Result<Self, DetectorError> {
        if specs.len() > MOST {
            return Err(DetectorError::Crowded);
        }
        let mut all: Vec<Detector> = Vec::with_capacity(specs.len());
        for spec in specs {
            if all.iter().any(|known| known.name == spec.name) {
                return Err(DetectorError::Repeated { name: spec.name.to_string() });
            }
            all.push(Detector::compile(spec)?);
        }
        let first = Before::ALL.into_iter().flat_map(|before| (0..=u8::MAX).map(move |byte| (before, byte)));
        let begins = |(before, byte): (Before, u8)| {
            let able = |detector: &Detector| detector.guard.admits(before) && detector.automaton.begins(byte);
            all.iter().enumerate().filter(|(_, detector)| able(detector)).fold(0, |mask, (index, _)| mask | bit(index))
        };
        let first: Box<[u64]> = first.map(begins).collect();
        let rows = first.as_chunks::<256>().0;
        let ever = (0..=u8::MAX)
            .map(|byte| rows.iter().filter_map(|row| row.get(usize::from(byte))).fold(0, |all, mask| all | mask));
        let mut loops = vec![0; 256];
        for (index, detector) in all.iter().enumerate() {
            for byte in detector.automaton.loops() {
                loops.iter_mut().skip(byte.into()).take(1).for_each(|mask| *mask |= bit(index));
            }
        }
        let shown = specs.iter().map(Spec::signs).collect();
        Ok(Self {
            ever: ever.collect(),
            first,
            loops: loops.into(),
            all,
            region: REGION,
            signs: OnceLock::new(),
            shown,
        })
    }

    /// The set that finds tokens, for putting values back in their place.
    pub fn tokens() -> Result<Self, DetectorError> {
        Self::compile(&[Spec::builtin(builtin::TOKEN)?])
    }

    /// The tag of each detector, in the order they were given.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.all.iter().map(|detector| &detector.tag)
    }

    /// The tags of some detectors.
    pub(crate) fn among(&self, mask: u64) -> impl Iterator<Item = &Tag> {
        self.tags().enumerate().filter(move |(index, _)| mask & bit(*index) != 0).map(|(_, tag)| tag)
    }

    /// Every detector.
    #[must_use]
    pub fn everything(&self) -> Watch {
        self.watch(|_| true)
    }

    /// The detectors whose tag a caller wants watched: the others neither find nor hide anything.
    pub fn watch(&self, mut wanted: impl FnMut(&Tag) -> bool) -> Watch {
        let wanted = self.all.iter().enumerate().filter(|(_, detector)| wanted(&detector.tag));
        Watch(wanted.fold(0, |mask, (index, _)| mask | bit(index)))
    }

    /// The watched detectors whose values can begin with a byte after another one.
    #[inline]
    pub(crate) fn begin(&self, before: Option<u8>, byte: u8, watch: Watch) -> u64 {
        let row = Before::of(before).row();
        self.first.get(row.saturating_add(byte.into())).map_or(0, |mask| mask & watch.0)
    }

    /// How many of the next bytes no value of some detectors begins with, whatever is before it.
    pub(crate) fn idle(&self, bytes: &[u8], watch: Watch) -> usize {
        let begins = |byte: &u8| self.ever.get(usize::from(*byte)).is_none_or(|mask| mask & watch.0 != 0);
        bytes.iter().position(begins).unwrap_or(bytes.len())
    }

    /// Makes the tables of some sets on a thread of its own, one after the other, so that no text has to wait for them.
    /// A text that comes earlier makes those that it needs.
    pub fn make_tables(sets: Vec<Arc<Self>>) -> io::Result<JoinHandle<()>> {
        let make = move || {
            for set in sets {
                let _made = set.signs();
            }
        };
        thread::Builder::new().name("tables".to_owned()).spawn(make)
    }

    /// Whether the tables are there that a text would have to wait for.
    #[must_use]
    pub fn has_tables(&self) -> bool {
        self.signs.get().is_some()
    }

    /// The signs of the detectors that have some.
    pub(crate) fn signs(&self) -> Option<&Signs> {
        self.signs.get_or_init(|| Signs::compile(&self.shown)).as_ref()
    }

    /// The detectors that read on in one and the same state while bytes like this one follow.
    #[inline]
    pub(crate) fn looping(&self, byte: u8) -> u64 {
        self.loops.get(usize::from(byte)).copied().unwrap_or_default()
    }

    pub(crate) fn detector(&self, index: usize) -> Option<&Detector> {
        self.all.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) const fn region(&self) -> usize {
        self.region
    }

    /// The same set with limits so low that short texts reach them.
    #[cfg(test)]
    pub(crate) fn limited(mut self, limit: usize) -> Self {
        self.region = limit.saturating_mul(2);
        self.all.iter_mut().for_each(|detector| detector.limit = detector.limit.min(limit));
        self
    }
}

impl fmt::Debug for Detectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|detector| &detector.name)).finish()
    }
}

/// Some detectors of one set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watch(pub(crate) u64);

impl Watch {
    /// Whether nothing is watched, so that no text changes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Why a set of detectors does not compile.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DetectorError {
    #[error("there is no detector `{name}` among the built-in ones")]
    Unknown { name: String },
    #[error("the detector `{name}` has a pattern and no tag")]
    Untagged { name: String },
    #[error("two detectors are named `{name}`")]
    Repeated { name: String },
    #[error("a set holds at most 64 detectors")]
    Crowded,
    #[error("the pattern of detector `{name}` cannot be read: {reason}")]
    Unreadable { name: String, reason: String },
    #[error("the pattern of detector `{name}` matches the empty text")]
    Empty { name: String },
    #[error("the pattern of detector `{name}` can never match")]
    Barren { name: String },
    #[error("the pattern of detector `{name}` is too large; use shorter repetitions")]
    Large { name: String },
    #[error("the pattern of detector `{name}` holds `{character}`, which no single folded character stands for")]
    Unfoldable { name: String, character: char },
}

/// One compiled detector.
pub(crate) struct Detector {
    pub(crate) name: Box<str>,
    pub(crate) tag: Tag,
    pub(crate) automaton: Automaton,
    guard: Guard,
    pub(crate) check: Check,
    /// The longest value in folded bytes.
    pub(crate) limit: usize,
    /// What becomes of text that could still become a value when the limit is reached.
    pub(crate) overrun: Overrun,
}

impl Detector {
    fn compile(spec: &Spec) -> Result<Self, DetectorError> {
        let (name, tag) = (spec.name.clone(), spec.tag.clone());
        match &spec.source {
            Source::Builtin(builtin) => {
                let (automaton, _) = Automaton::compile(&name, builtin.pattern)?;
                let Builtin { guard, check, limit, .. } = **builtin;
                Ok(Self { name, tag, automaton, guard, check, limit, overrun: Overrun::Release })
            }
            Source::Pattern(pattern) => {
                let (automaton, longest) = Automaton::compile(&name, pattern)?;
                // A byte more shows that the longest value has ended, and another that nothing goes on.
                let limit = longest.map_or(LIMIT, |longest| longest.saturating_add(2)).min(LIMIT);
                let (guard, check, overrun) = (Guard::Nothing, Check::Nothing, Overrun::Redact);
                Ok(Self { name, tag, automaton, guard, check, limit, overrun })
            }
        }
    }
}

/// What becomes of text that reaches the limit without being a value so far. Text that is one is always redacted on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Overrun {
    /// It is none: the grammar of these values shows itself early.
    Release,
    Redact,
}

/// What must not stand before a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Guard {
    Nothing,
    Digit,
    /// A letter or a digit.
    Word,
}

impl Guard {
    const fn admits(self, before: Before) -> bool {
        match self {
            Self::Nothing => true,
            Self::Digit => !matches!(before, Before::Digit),
            Self::Word => matches!(before, Before::Other),
        }
    }
}

/// What stands before a character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    Other,
    Digit,
    Letter,
}

impl Before {
    const ALL: [Self; 3] = [Self::Other, Self::Digit, Self::Letter];

    #[inline]
    const fn of(byte: Option<u8>) -> Self {
        match byte {
            Some(b'0'..=b'9') => Self::Digit,
            Some(b'a'..=b'z' | b'A'..=b'Z' | LETTER) => Self::Letter,
            Some(_) | None => Self::Other,
        }
    }

    /// Where its part of the table begins.
    const fn row(self) -> usize {
        match self {
            Self::Other => 0,
            Self::Digit => 256,
            Self::Letter => 512,
        }
    }
}

#[derive(Clone, Debug)]
enum Source {
    Builtin(&'static Builtin),
    Pattern(Box<str>),
}

pub(crate) const fn bit(index: usize) -> u64 {
    if index < MOST { 1 << index } else { 0 }
}
