//! Where a scan lets its text go.

use super::{Cover, Found, REDACTED};

/// Takes a text piece by piece, in order: each character is kept or hidden.
pub(crate) trait Exit {
    /// Takes text that leaves as it is.
    fn keep(&mut self, text: &str);

    /// Hears of a value; its text is hidden next.
    fn cover(&mut self, found: &Found<'_>);

    /// Hears of a region of values of these detectors that outgrew what is kept; its text is hidden from here on.
    fn redact(&mut self, among: u64);

    /// Takes text that does not leave.
    fn hide(&mut self, text: &str);
}

/// Writes a text with something else in the place of its values.
pub(super) struct Written<'a> {
    pub(super) cover: &'a mut dyn Cover,
    pub(super) out: &'a mut String,
}

impl Exit for Written<'_> {
    fn keep(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn cover(&mut self, found: &Found<'_>) {
        self.cover.cover(found, self.out);
    }

    fn redact(&mut self, _: u64) {
        self.out.push_str(REDACTED);
    }

    fn hide(&mut self, _: &str) {}
}
