//! What stands around the texts of a stream: most events differ from the one before in a few places only.

use std::collections::VecDeque;
use std::ops::Range;

use sluice_mask::json::{Document, Edits, Kind};

use super::Fault;
use super::beside::{COVERED, is_name};
use super::cover::Cover;

/// How many kinds of events are remembered: a few texts can be told at once.
const MAX_KNOWN: usize = 8;

/// Bytes of an event that is worth remembering.
const MAX_BYTES: usize = 4096;

/// Integers of fewer digits are protected values for no rule but one for their place.
const NUMBER_DIGITS: usize = 13;

/// Events in which nothing had to be changed, without the places that differ from event to event.
///
/// What is changed in a document is decided for each value by itself and its place, so that it has to be decided once
/// for the same values in the same places.
#[derive(Default)]
pub(super) struct Known(VecDeque<Vec<Box<[u8]>>>);

impl Known {
    /// Everything that is changed in an event but for its texts in pieces, which stand at those spans. Strings beside
    /// them leave if they are names.
    pub(super) fn edits<'d>(
        &mut self,
        document: &'d Document,
        mut texts: Vec<Range<usize>>,
        cover: &Cover,
    ) -> Result<Edits<'d>, Fault> {
        if cover.is_open() {
            return cover.edits(document);
        }
        let root = document.root();
        let padding = root.get("obfuscation").filter(|padding| padding.kind() == Kind::String);
        let number = root.get("sequence_number").filter(|number| number.kind() == Kind::Number);
        let number = number.map(|number| number.span()).filter(|span| span.len() < NUMBER_DIGITS);
        texts.extend(padding.map(|padding| padding.span()));
        texts.extend(number);
        texts.sort_unstable_by_key(|span| span.start);
        let rest = || around(document.bytes(), &texts);
        let mut edits = if self.0.iter().any(|known| known.iter().map(|part| &**part).eq(rest())) {
            Edits::new(document)
        } else {
            let edits = cover.veiled_beside(document, &texts)?;
            if edits.is_empty() && document.bytes().len() <= MAX_BYTES {
                self.0.truncate(MAX_KNOWN - 1);
                self.0.push_front(rest().map(Into::into).collect());
            }
            edits
        };
        if let Some(padding) = padding
            && let Some(text) = padding.text()
            && !(is_name("obfuscation", &text) && cover.scrub(&text) == text)
        {
            edits.replace_text(padding, COVERED)?;
        }
        cover.rename(root, &mut edits)?;
        Ok(edits)
    }
}

/// The parts of a document around the spans, which are in order and apart.
fn around<'b>(bytes: &'b [u8], spans: &[Range<usize>]) -> impl Iterator<Item = &'b [u8]> {
    let starts = std::iter::once(0).chain(spans.iter().map(|span| span.end));
    let ends = spans.iter().map(|span| span.start).chain(std::iter::once(bytes.len()));
    starts.zip(ends).map(|(start, end)| bytes.get(start..end).unwrap_or_default())
}
