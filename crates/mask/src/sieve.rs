//! Covers values in text that arrives in pieces.
//!
//! A value may be cut anywhere, so text is held from the first character that could still begin one, and no longer.
//!
//! **Invariants:** for every text and every cutting of it, the pieces that leave are together what the whole text
//! gives; no byte of a value leaves before it is covered; what is held has a bound, and what outgrows it is redacted.
//!
//! What counts, whatever the cutting: from each character the longest value that begins there, for each detector by
//! itself. Values that overlap are covered as one, so none hides behind another. The longest of them lends its tag,
//! the detector given first if two are equally long, and [`Found::tags`] names all of them.

mod ahead;
mod blot;
mod cluster;
mod exit;
mod glance;
mod lane;
mod lookout;
mod scan;
#[cfg(test)]
mod tests;
mod thread;

use std::fmt;
use std::sync::Arc;

use sluice_model::Tag;

use crate::detect::{Detector, Detectors, Watch, bit};
use crate::fold::Rest;
use exit::Written;
use glance::glance;

pub use blot::blot;
pub(crate) use exit::Exit;
pub use lookout::Lookout;
pub(crate) use scan::Scan;

/// What a value becomes if nobody may see anything of it.
pub(crate) const REDACTED: &str = "***";
/// The text is read in portions of this many bytes, however long its pieces are.
const PORTION: usize = 4096;

/// Decides what stands in the place of a value.
pub trait Cover {
    /// Appends what leaves instead of the value; its own text if it may be seen.
    fn cover(&mut self, found: &Found<'_>, out: &mut String);
}

/// A value that a detector found.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    pub(crate) set: &'a Detectors,
    pub(crate) owner: &'a Detector,
    pub(crate) among: u64,
    pub(crate) text: &'a str,
}

impl<'a> Found<'a> {
    /// The name of the detector.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.owner.name
    }

    /// The class of the value.
    #[must_use]
    pub fn tag(&self) -> &'a Tag {
        &self.owner.tag
    }

    /// The classes of every value that overlaps here, this one among them.
    pub fn tags(&self) -> impl Iterator<Item = &'a Tag> {
        let (set, among) = (self.set, self.among);
        set.tags().enumerate().filter(move |(index, _)| among & bit(*index) != 0).map(|(_, tag)| tag)
    }

    /// The text as it was written, invisible characters included.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Found({}, {} bytes)", self.name(), self.text.len())
    }
}

/// Masks one text that arrives in pieces.
pub struct Sieve {
    set: Arc<Detectors>,
    watch: Watch,
    scan: Scan,
}

impl Sieve {
    /// A sieve that looks for everything the set knows.
    #[must_use]
    pub fn new(set: Arc<Detectors>) -> Self {
        let watch = set.everything();
        Self::watching(set, watch)
    }

    /// A sieve that looks for some values of the set and passes the others by.
    #[must_use]
    pub fn watching(set: Arc<Detectors>, watch: Watch) -> Self {
        let scan = Scan::new(&set);
        Self { set, watch, scan }
    }

    /// Takes the next piece and appends what may leave.
    pub fn push(&mut self, piece: &str, cover: &mut dyn Cover, out: &mut String) {
        if self.watch.is_empty() {
            return out.push_str(piece);
        }
        let mut rest = piece;
        while let Some((portion, tail)) = rest.split_at_checked(rest.floor_char_boundary(PORTION)) {
            let then = if tail.is_empty() { Rest::Follows } else { Rest::AtHand };
            self.scan.read(&self.set, self.watch, portion, then, &mut Written { cover, out });
            if tail.is_empty() {
                break;
            }
            rest = tail;
        }
    }

    /// Ends the text and appends what is left of it; the sieve is then as new.
    pub fn finish(&mut self, cover: &mut dyn Cover, out: &mut String) {
        self.scan.read(&self.set, self.watch, "", Rest::Ends, &mut Written { cover, out });
        self.scan.reset();
    }

    /// How many bytes of text are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.scan.held()
    }

    /// How many times the text was covered since the sieve was made.
    #[must_use]
    pub const fn covered(&self) -> u64 {
        self.scan.covered()
    }
}

impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sieve({} bytes held)", self.held())
    }
}

/// Whether a whole text is seen at a glance to hold no value; most are that hold none.
#[must_use]
pub fn is_clear(set: &Detectors, watch: Watch, text: &[u8]) -> bool {
    glance(set, watch, text).is_empty()
}

/// Masks a whole text and tells how many times it was covered.
pub fn scrub(set: &Detectors, watch: Watch, text: &str, cover: &mut dyn Cover, out: &mut String) -> u64 {
    let watch = glance(set, watch, text.as_bytes());
    if watch.is_empty() {
        out.push_str(text);
        return 0;
    }
    let mut scan = Scan::new(set);
    let mut rest = text;
    while let Some((portion, tail)) = rest.split_at_checked(rest.floor_char_boundary(PORTION)) {
        let then = if tail.is_empty() { Rest::Ends } else { Rest::AtHand };
        scan.read(set, watch, portion, then, &mut Written { cover, out });
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    scan.covered()
}
