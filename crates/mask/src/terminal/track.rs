//! One text that the stream prints, with the place of each character in the stream.

use std::collections::VecDeque;

use super::findings::Findings;
use super::raw::Raw;
use crate::detect::{Detectors, Watch};
use crate::fold::Rest;
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

/// Some characters of the text.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How many bytes of text.
    text: usize,
    /// Where they begin in the stream.
    raw: usize,
    form: Form,
}

/// How characters stand in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// ASCII, byte by byte.
    Run,
    /// One character of so many bytes and cells.
    Cell { bytes: usize, cells: usize },
    /// What does not print.
    Bare,
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

    /// How many of the next bytes can pass with all that is held, because no value is in them.
    pub(super) fn clear(&self, set: &Detectors, ahead: &[u8]) -> usize {
        let whole = self.batch.is_empty() && self.gone == 0;
        if whole { self.scan.clear(set, ahead).unwrap_or_default() } else { 0 }
    }

    /// Passes over bytes that are clear, and over all that is held.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.marks.clear();
        self.scan.pass(bytes);
    }

    /// Whether what is held looks like the beginning of a value.
    pub(super) fn suspects(&self, set: &Detectors) -> bool {
        !self.marks.is_empty() && (self.flood == Flood::Yes || self.scan.suspects(set))
    }

    /// Whether nothing is undecided.
    pub(super) fn is_idle(&self) -> bool {
        self.marks.is_empty() && self.gone == 0 && self.batch.is_empty()
    }

    /// Adds ASCII that prints itself.
    pub(super) fn run(&mut self, text: &[u8], raw: usize) {
        self.batch.extend(text.iter().copied().map(char::from));
        match self.marks.back_mut() {
            Some(Mark { text: length, raw: from, form: Form::Run }) if from.saturating_add(*length) == raw => {
                *length = length.saturating_add(text.len());
            }
            _ => self.marks.push_back(Mark { text: text.len(), raw, form: Form::Run }),
        }
    }

    /// Adds a character that takes some cells.
    pub(super) fn cell(&mut self, character: char, raw: usize, bytes: usize, cells: usize) {
        self.add(character, raw, Form::Cell { bytes, cells: cells.min(bytes) });
    }

    /// Adds a character that stands for something which prints nothing.
    pub(super) fn bare(&mut self, character: char, raw: usize) {
        self.add(character, raw, Form::Bare);
    }

    fn add(&mut self, character: char, raw: usize, form: Form) {
        self.batch.push(character);
        self.marks.push_back(Mark { text: character.len_utf8(), raw, form });
    }

    /// Decides what can be decided.
    pub(super) fn settle(&mut self, set: &Detectors, watch: Watch, rest: Rest, raw: &mut Raw, tally: &mut Findings) {
        if self.batch.is_empty() && rest == Rest::Follows {
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
        let out: usize = self.marks.iter().map(|mark| mark.text).sum();
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
            mark.hide(mark.text, raw);
            self.gone = self.gone.saturating_add(mark.text);
        }
    }
}

impl Mark {
    fn hide(self, text: usize, raw: &mut Raw) {
        match self.form {
            Form::Run => raw.star(self.raw, text),
            Form::Cell { bytes, cells } => raw.blot(self.raw, bytes, cells),
            Form::Bare => {}
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
            let count = left.min(mark.text);
            each(*mark, count, self.raw);
            left = left.saturating_sub(count);
            mark.text = mark.text.saturating_sub(count);
            mark.raw = mark.raw.saturating_add(count);
            if mark.text == 0 {
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
