//! One text that the stream prints, with the place of each character in the stream.

use std::collections::VecDeque;

use super::raw::Raw;
use super::stretch::{unit, unprinted};
use crate::detect::{Detectors, Watch};
use crate::fold::Rest;
use crate::sieve::{Exit, Found, Scan};

/// A text on its way through a scan.
#[derive(Debug)]
pub(super) struct Track {
    scan: Scan,
    /// The text that the scan has not been given.
    batch: String,
    /// So many bytes at its beginning are known to be plain.
    plain: usize,
    /// The characters that are not decided and not out, in order.
    marks: VecDeque<Mark>,
    /// How many bytes of the text that is not decided are out already.
    gone: usize,
    /// What is not decided has outgrown what may be held: what belongs to it stays hidden.
    flood: Flood,
    /// The detectors of the value whose text comes next.
    among: Option<u64>,
    role: Role,
}

/// Whether a text stands for itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Main,
    /// It goes along with another one.
    Aside,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flood {
    No,
    Yes,
}

/// Characters of the text that follow each other.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How many; how many bytes of text where they are not all alike.
    count: usize,
    /// Where they begin in the stream.
    raw: usize,
    form: Form,
}

/// How characters stand in the text and in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Byte by byte, each of one cell.
    Run,
    /// Both times the same text.
    Text,
    /// So many bytes of the stream have to be read again to tell.
    Stretch { bytes: usize },
    /// Each has so many bytes of text, so many of the stream, and so many cells, if it prints.
    Each { text: usize, bytes: usize, cells: Option<usize> },
}

impl Track {
    pub(super) fn new(set: &Detectors) -> Self {
        let (batch, marks) = (String::new(), VecDeque::new());
        Self {
            scan: Scan::faithful(set),
            batch,
            plain: 0,
            marks,
            gone: 0,
            flood: Flood::No,
            among: None,
            role: Role::Main,
        }
    }

    /// A text that goes on from what is not decided of this one.
    pub(super) fn aside(&self, set: &Detectors) -> Self {
        let (scan, batch, marks) = (self.scan.fork(set), self.batch.clone(), self.marks.clone());
        let (plain, gone, flood, among) = (self.plain, self.gone, self.flood, self.among);
        Self { scan, batch, plain, marks, gone, flood, among, role: Role::Aside }
    }

    /// The position after the last one that the scan was given.
    pub(super) fn end(&self) -> usize {
        self.scan.end()
    }

    /// Whether everything before a position is decided and out, or to leave.
    pub(super) fn is_open_after(&self, position: usize) -> bool {
        self.gone == 0 && self.flood == Flood::No && self.scan.is_open_after(position)
    }

    /// Where the first character stands that is not decided, if it is held.
    pub(super) fn first(&self) -> Option<usize> {
        self.marks.front().map(|mark| mark.raw)
    }

    /// Whether what is held looks like the beginning of a value.
    pub(super) fn suspects(&self, set: &Detectors) -> bool {
        !self.marks.is_empty() && (self.flood == Flood::Yes || self.scan.suspects(set))
    }

    /// Adds ASCII that prints itself.
    pub(super) fn run(&mut self, bytes: &[u8], raw: usize) {
        self.batch.push_str(str::from_utf8(bytes).unwrap_or_default());
        self.mark(bytes.len(), raw, Form::Run);
    }

    /// Adds bytes that stand for themselves wherever they stand.
    pub(super) fn plain(&mut self, bytes: &[u8], raw: usize) {
        if self.plain == self.batch.len() {
            self.plain = self.plain.saturating_add(bytes.len());
        }
        self.run(bytes, raw);
    }

    /// Adds text that prints itself.
    pub(super) fn text(&mut self, text: &str, raw: usize) {
        self.batch.push_str(text);
        self.mark(text.len(), raw, Form::Text);
    }

    /// Adds the text of a stretch of so many bytes, the first of which prints.
    pub(super) fn stretch(&mut self, text: &str, raw: usize, bytes: usize) {
        if !text.is_empty() {
            self.batch.push_str(text);
            self.marks.push_back(Mark { count: text.len(), raw, form: Form::Stretch { bytes } });
        }
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
        self.mark(1, raw, Form::Each { text: character.len_utf8(), bytes, cells });
    }

    fn mark(&mut self, count: usize, raw: usize, form: Form) {
        match self.marks.back_mut() {
            Some(mark) if mark.form == form && mark.end() == raw => mark.count = mark.count.saturating_add(count),
            _ => self.marks.push_back(Mark { count, raw, form }),
        }
    }

    /// Decides what can be decided.
    pub(super) fn settle(&mut self, set: &Detectors, watch: Watch, rest: Rest, raw: &mut Raw) {
        if self.batch.is_empty() && self.marks.is_empty() && rest != Rest::Ends {
            return;
        }
        let Self { scan, batch, plain, marks, gone, among, role, .. } = self;
        let mut judge = Judge { marks, gone, raw, among: Some(among), role: *role };
        scan.foresee(std::mem::take(plain));
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
        let mut judge = Judge { marks: &mut self.marks, gone: &mut gone, raw, among: None, role: self.role };
        scan.read(set, watch, "", Rest::Ends, &mut judge);
        self.marks.clear();
        self.gone = self.gone.saturating_add(out);
    }

    /// Hides everything that is not decided, and what will belong to it; tells whether that is new.
    pub(super) fn flood(&mut self, raw: &mut Raw) -> bool {
        if self.marks.is_empty() {
            return false;
        }
        let is_new = self.flood == Flood::No;
        self.flood = Flood::Yes;
        self.hide(raw);
        is_new
    }

    fn hide(&mut self, raw: &mut Raw) {
        for mark in self.marks.drain(..) {
            mark.hide(raw);
            self.gone = self.gone.saturating_add(mark.text());
        }
    }
}

impl Mark {
    /// How many bytes of text.
    const fn text(&self) -> usize {
        match self.form {
            Form::Run | Form::Text | Form::Stretch { .. } => self.count,
            Form::Each { text, .. } => self.count.saturating_mul(text),
        }
    }

    /// The place in the stream after the last one.
    const fn end(&self) -> usize {
        self.raw.saturating_add(match self.form {
            Form::Run | Form::Text => self.count,
            Form::Stretch { bytes } => bytes,
            Form::Each { bytes, .. } => self.count.saturating_mul(bytes),
        })
    }

    /// Takes the characters out that make the first bytes of text.
    fn split(&mut self, text: usize, raw: &Raw) -> Self {
        let whole = *self;
        if text >= whole.text() {
            self.count = 0;
            return whole;
        }
        let (count, form, end) = match whole.form {
            Form::Run | Form::Text => (text, whole.form, self.raw.saturating_add(text)),
            Form::Stretch { .. } => return self.split_stretch(text, raw),
            Form::Each { text: each, bytes, .. } => {
                let count = text.div_ceil(each.max(1));
                (count, whole.form, self.raw.saturating_add(count.saturating_mul(bytes)))
            }
        };
        self.count = self.count.saturating_sub(count);
        self.raw = end;
        Self { count, form, ..whole }
    }

    /// The same for a stretch, of which some is left: it begins where the next character does.
    fn split_stretch(&mut self, text: usize, raw: &Raw) -> Self {
        let (from, end) = (self.raw, self.end());
        let (mut at, mut count) = (from, 0_usize);
        while count < text && at < end {
            let unit = unit(raw.between(at, end));
            (at, count) = (at.saturating_add(unit.bytes), count.saturating_add(unit.text));
        }
        let first = Self { count, raw: from, form: Form::Stretch { bytes: at.saturating_sub(from) } };
        let next = at.saturating_add(unprinted(raw.between(at, end)));
        let form = Form::Stretch { bytes: end.saturating_sub(next) };
        *self = Self { count: self.count.saturating_sub(count), raw: next, form };
        first
    }

    fn hide(self, raw: &mut Raw) {
        match self.form {
            Form::Run => raw.star(self.raw, self.count),
            Form::Text | Form::Stretch { .. } => self.hide_each(raw),
            Form::Each { bytes, cells: Some(cells), .. } => {
                let places = (0..self.count).map(|index| self.raw.saturating_add(index.saturating_mul(bytes)));
                places.for_each(|place| raw.blot(place, bytes, cells));
            }
            Form::Each { cells: None, .. } => {}
        }
    }

    fn hide_each(self, raw: &mut Raw) {
        let (mut at, end) = (self.raw, self.end());
        while at < end {
            let unit = unit(raw.between(at, end));
            if unit.bytes == 1 {
                raw.star(at, 1);
            } else {
                raw.blot(at, unit.bytes, unit.cells);
            }
            at = at.saturating_add(unit.bytes.max(1));
        }
    }
}

/// Carries what a scan decides over to the stream.
struct Judge<'a> {
    marks: &'a mut VecDeque<Mark>,
    gone: &'a mut usize,
    raw: &'a mut Raw,
    /// Nothing is counted where the scan only guesses.
    among: Option<&'a mut Option<u64>>,
    role: Role,
}

impl Judge<'_> {
    /// Decides the next bytes of text.
    fn decide(&mut self, text: usize, mut each: impl FnMut(Mark, &mut Raw)) {
        let out = text.min(*self.gone);
        *self.gone = self.gone.saturating_sub(out);
        let mut left = text.saturating_sub(out);
        while left > 0
            && let Some(mark) = self.marks.front_mut()
        {
            let first = mark.split(left, self.raw);
            left = left.saturating_sub(first.text());
            if mark.count == 0 {
                self.marks.pop_front();
            }
            each(first, self.raw);
        }
    }
}

impl Exit for Judge<'_> {
    fn keep(&mut self, text: &str) {
        self.decide(text.len(), |_, _| {});
    }

    fn cover(&mut self, found: &Found<'_>) {
        self.redact(found.among);
    }

    fn redact(&mut self, among: u64) {
        if let Some(next) = &mut self.among {
            **next = Some(among);
        }
    }

    fn hide(&mut self, text: &str) {
        let mut span: Option<(usize, usize)> = None;
        self.decide(text.len(), |mark, raw| {
            span = Some((span.map_or(mark.raw, |(from, _)| from), mark.end()));
            mark.hide(raw);
        });
        match (self.among.as_mut().and_then(|among| among.take()), span) {
            (Some(among), Some((from, to))) => self.raw.value(from, to, among),
            (Some(among), None) if self.role == Role::Main => self.raw.late_value(among),
            _ => {}
        }
    }
}
