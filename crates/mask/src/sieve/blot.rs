//! Stars in the place of values, of the same length.

use std::collections::BTreeSet;

use sluice_model::Tag;

use super::{Exit, Found, PORTION, Scan, glance};
use crate::detect::{Detectors, Watch};
use crate::fold::Rest;

/// Appends a whole text with a star in the place of each byte of a value, and tells the classes of what was found.
///
/// **Invariant:** what is appended is as long as the text, and differs from it inside of values only.
pub fn blot(set: &Detectors, watch: Watch, text: &str, out: &mut String) -> BTreeSet<Tag> {
    let watch = glance(set, watch, text.as_bytes());
    let mut blots = Blots { among: 0, out };
    if watch.is_empty() {
        blots.out.push_str(text);
        return BTreeSet::new();
    }
    let mut scan = Scan::complete(set);
    let mut rest = text;
    while let Some((portion, tail)) = rest.split_at_checked(rest.floor_char_boundary(PORTION)) {
        let then = if tail.is_empty() { Rest::Ends } else { Rest::AtHand };
        scan.read(set, watch, portion, then, &mut blots);
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    set.among(blots.among).cloned().collect()
}

struct Blots<'a> {
    among: u64,
    out: &'a mut String,
}

impl Exit for Blots<'_> {
    fn keep(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn cover(&mut self, found: &Found<'_>) {
        self.among |= found.among;
    }

    fn redact(&mut self, among: u64) {
        self.among |= among;
    }

    fn hide(&mut self, text: &str) {
        self.out.extend(std::iter::repeat_n('*', text.len()));
    }
}
