//! One text that the stream prints, with the place of each character in the stream.

use std::collections::VecDeque;

use super::findings::Findings;
use super::raw::Raw;
use crate::detect::{Detectors, Watch};
use crate::fold::{LONE, Rest};
use crate::sieve::{Exit, Found, Scan};

/// A text on its way through a scan.
#[derive(Debug)]
pub(super) struct Track {
    scan: Scan,
    /// The text that the scan has not been given.
    batch: String,
    /// The characters that are not decided and not out, in order.
    marks: VecDeque<Mark>,
    /// How many bytes of the text that is not decided are out already.
    gone: usize,
    /// What is not decided has outgrown what may be held: what belongs to it stays hidden.
    flood: Flood,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flood {
    No,
    Yes,
}

/// Characters of the text that follow each other and are alike.
#[derive(Clone, Copy, Debug)]
struct Mark {
    count: usize,
    /// Where they begin in the stream.
    raw: usize,
    form: Form,
}

/// How a character stands in the text and in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Form {
    /// How many bytes of text.
    text: usize,
    /// How many of the stream.
    bytes: usize,
    /// How many cells, if it prints.
    cells: Option<usize>,
}

impl Form {
    /// Byte by byte.
    const RUN: Self = Self { text: 1, bytes: 1, cells: Some(1) };
}

impl Track {
    pub(super) fn new(set: &Detectors) -> Self {
        let (batch, marks) = (String::new(), VecDeque::new());
        Self { scan: Scan::faithful(set), batch, marks, gone: 0, flood: Flood::No }
    }

    /// Where the first character stands that is not decided, if it is held.
    pub(super) fn first(&self) -> Option<usize> {
        self.marks.front().map(|mark| mark.raw)
    }

    /// Whether what is held looks like the beginning of a value.
    pub(super) fn suspects(&self, set: &Detectors) -> bool {
        !self.marks.is_empty() && (self.flood == Flood::Yes || self.scan.suspects(set))
    }

    /// Adds ASCII that prints itself, and bytes beyond it of which each is no text.
    pub(super) fn run(&mut self, bytes: &[u8], raw: usize) {
        match str::from_utf8(bytes) {
            Ok(text) => self.batch.push_str(text),
            Err(_) => {
                self.batch.extend(bytes.iter().map(|byte| if byte.is_ascii() { *byte } else { LONE }).map(char::from))
            }
        }
        self.mark(bytes.len(), raw, Form::RUN);
    }

    /// Adds a character that takes some cells.
    pub(super) fn cell(&mut self, character: char, raw: usize, bytes: usize, cells: usize) {
        self.add(character, raw, bytes, Some(cells.min(bytes)));
    }

    /// Adds a character that stands for something which prints nothing.
    pub(super) fn bare(&mut self, character: char, raw: usize) {
        self.add(character, raw, 0, None);
    }

    fn add(&mut self, character: char, raw: usize, bytes: usize, cells: Option<usize>) {
        self.batch.push(character);
        self.mark(1, raw, Form { text: character.len_utf8(), bytes, cells });
    }

    fn mark(&mut self, count: usize, raw: usize, form: Form) {
        match self.marks.back_mut() {
            Some(mark) if mark.form == form && mark.end() == raw => mark.count = mark.count.saturating_add(count),
            _ => self.marks.push_back(Mark { count, raw, form }),
        }
    }

    /// Decides what can be decided.
    pub(super) fn settle(&mut self, set: &Detectors, watch: Watch, rest: Rest, raw: &mut Raw, tally: &mut Findings) {
        if self.batch.is_empty() && self.marks.is_empty() && rest != Rest::Ends {
            return;
        }
        let Self { scan, batch, marks, gone, .. } = self;
        let mut judge = Judge { marks, gone, raw, tally: Some(tally), set };
        scan.read(set, watch, batch, rest, &mut judge);
        self.batch.clear();
        if rest == Rest::Ends {
            self.scan.reset();
        }
        if self.gone == 0 {
            self.flood = Flood::No;
        }
    }

    /// Lets everything leave that is held: what would be a value if the text ended here is hidden, and so is what
    /// belongs to a value that has outgrown what may be held.
    pub(super) fn expire(&mut self, set: &Detectors, watch: Watch, raw: &mut Raw) {
        if self.marks.is_empty() {
            return;
        }
        if self.flood == Flood::Yes {
            return self.hide(raw);
        }
        let (mut scan, mut gone) = (self.scan.clone(), self.gone);
        let out: usize = self.marks.iter().map(Mark::text).sum();
        let mut judge = Judge { marks: &mut self.marks, gone: &mut gone, raw, tally: None, set };
        scan.read(set, watch, "", Rest::Ends, &mut judge);
        self.marks.clear();
        self.gone = self.gone.saturating_add(out);
    }

    /// Hides everything that is not decided, and what will belong to it.
    pub(super) fn flood(&mut self, raw: &mut Raw, tally: &mut Findings) {
        if self.marks.is_empty() {
            return;
        }
        if self.flood == Flood::No {
            tally.overflow();
        }
        self.flood = Flood::Yes;
        self.hide(raw);
    }

    fn hide(&mut self, raw: &mut Raw) {
        for mark in self.marks.drain(..) {
            mark.hide(mark.count, raw);
            self.gone = self.gone.saturating_add(mark.text());
        }
    }
}

impl Mark {
    /// How many bytes of text.
    const fn text(&self) -> usize {
        self.count.saturating_mul(self.form.text)
    }

    /// The place in the stream after the last one.
    const fn end(&self) -> usize {
        self.raw.saturating_add(self.count.saturating_mul(self.form.bytes))
    }

    /// Hides the first ones.
    fn hide(self, count: usize, raw: &mut Raw) {
        match self.form {
            Form::RUN => raw.star(self.raw, count),
            Form { bytes, cells: Some(cells), .. } => {
                let places = (0..count).map(|index| self.raw.saturating_add(index.saturating_mul(bytes)));
                places.for_each(|place| raw.blot(place, bytes, cells));
            }
            Form { cells: None, .. } => {}
        }
    }
}

/// Carries what a scan decides over to the stream.
struct Judge<'a> {
    marks: &'a mut VecDeque<Mark>,
    gone: &'a mut usize,
    raw: &'a mut Raw,
    /// Nothing is counted where the scan only guesses.
    tally: Option<&'a mut Findings>,
    set: &'a Detectors,
}

impl Judge<'_> {
    /// Decides the next bytes of text.
    fn decide(&mut self, text: usize, mut each: impl FnMut(Mark, usize, &mut Raw)) {
        let out = text.min(*self.gone);
        *self.gone = self.gone.saturating_sub(out);
        let mut left = text.saturating_sub(out);
        while left > 0
            && let Some(mark) = self.marks.front_mut()
        {
            let count = left.div_ceil(mark.form.text.max(1)).min(mark.count);
            each(*mark, count, self.raw);
            left = left.saturating_sub(count.saturating_mul(mark.form.text));
            mark.count = mark.count.saturating_sub(count);
            mark.raw = mark.raw.saturating_add(count.saturating_mul(mark.form.bytes));
            if mark.count == 0 {
                self.marks.pop_front();
            }
        }
    }
}

impl Exit for Judge<'_> {
    fn keep(&mut self, text: &str) {
        self.decide(text.len(), |_, _, _| {});
    }

    fn cover(&mut self, found: &Found<'_>) {
        if let Some(tally) = &mut self.tally {
            tally.count(found.tags());
        }
    }

    fn redact(&mut self, among: u64) {
        if let Some(tally) = &mut self.tally {
            tally.count(self.set.among(among));
        }
    }

    fn hide(&mut self, text: &str) {
        self.decide(text.len(), |mark, count, raw| mark.hide(count, raw));
    }
}
