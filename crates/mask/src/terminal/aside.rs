//! The stream as it is read by somebody who knows no control sequences, or not all of them.
//!
//! Near a sequence two more texts are looked at, both with the bytes of sequences in them: one in which a sequence parts
//! what is before it from what is in it, and one in which it joins them. Numbers of an ordinary sequence are in neither,
//! and its last letter is in the first only, as one that may begin a value.
//! Where all texts have been alike for long enough, what is printed says everything, and they are dropped.
//!
//! **Invariants:** no byte of an ordinary sequence and no final byte is changed. When these texts are dropped makes no
//! difference: they begin again with what is not decided of the printed one.

use smallvec::SmallVec;
use unicode_width::UnicodeWidthChar as _;

use super::Terminal;
use super::head::{Head, Motion};
use super::kind::Kind;
use super::raw::Raw;
use super::token::decode;
use super::track::Track;
use super::written::{Manner, introducer, manner};
use crate::detect::{Detectors, Watch};
use crate::fold::{CONTEXT, Rest, SEQUENCE, stand_in, stands_for};

/// Both texts.
#[derive(Debug)]
pub(super) struct Aside {
    parted: Track,
    joined: Track,
    /// The last bytes of an ordinary sequence, which go before what is printed next.
    last: SmallVec<[u8; 4]>,
    /// Whether they go into the joined text as well.
    joins: bool,
    state: State,
}

/// Whether the texts are alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Differ,
    /// From these positions on in the printed one, the parted one and the joined one.
    Alike([usize; 3]),
}

impl Aside {
    /// Begins with what is not decided of the printed text.
    pub(super) fn of(printed: &Track, set: &Detectors) -> Self {
        let (parted, joined) = (printed.aside(set), printed.aside(set));
        Self { parted, joined, last: SmallVec::new(), joins: true, state: State::Differ }
    }

    fn both(&mut self) -> [&mut Track; 2] {
        [&mut self.parted, &mut self.joined]
    }

    /// Adds what is printed from a place on, and what it begins with.
    pub(super) fn show(&mut self, first: u8, at: usize, add: impl Fn(&mut Track)) {
        // The end of a sequence is no end of a word, and with an `@` behind it no mail address.
        let last = if first.is_ascii_alphanumeric() { self.last.clone() } else { SmallVec::new() };
        self.last.clear();
        let joins = self.joins;
        for (track, takes) in self.both().into_iter().zip([true, joins]) {
            if takes && last.last().is_some_and(|byte| *byte >= b'@') {
                // A value begins with the last byte, or behind it.
                track.bare(SEQUENCE, at);
            }
            last.iter().filter(|_| takes).for_each(|byte| track.bare(char::from(*byte), at));
            add(track);
        }
    }

    /// Passes over a control of one character.
    pub(super) fn pass(&mut self, end: usize, moves: bool) {
        self.last.clear();
        if moves {
            self.part(end);
            self.part_joined(end);
        }
    }

    /// Takes note that the texts differ.
    pub(super) fn differ(&mut self) {
        self.last.clear();
        self.state = State::Differ;
    }

    /// Parts the text here.
    pub(super) fn part(&mut self, at: usize) {
        self.parted.bare('\n', at);
    }

    /// Parts the text here in the other reading as well.
    pub(super) fn part_joined(&mut self, at: usize) {
        self.joined.bare('\n', at);
    }

    /// Keeps the end of a sequence for what is printed next.
    pub(super) fn keep(&mut self, last: &[u8]) {
        (self.last, self.joins) = (SmallVec::from_slice(last), true);
    }

    /// The same for the end of one with numbers, which no text goes on through.
    pub(super) fn keep_parted(&mut self, last: &[u8]) {
        (self.last, self.joins) = (SmallVec::from_slice(last), false);
    }

    /// Adds a character of a string.
    pub(super) fn say(&mut self, first: u8, at: usize, say: impl Fn(&mut Track)) {
        self.show(first, at, say);
        self.state = State::Differ;
    }

    /// Adds the bytes of a sequence between two places.
    pub(super) fn spell(&mut self, raw: &Raw, from: usize, end: usize) {
        let bytes = raw.between(from, end);
        let mut at = introducer(bytes);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let ascii = rest.first().filter(|byte| byte.is_ascii()).map(|byte| (char::from(*byte), 1));
            let (character, length) = ascii.or_else(|| decode(rest)).unwrap_or(('\u{fffd}', rest.len()));
            let place = from.saturating_add(at);
            match character {
                '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {}
                '@'..='~' => self.keep(rest.get(..1).unwrap_or_default()),
                _ => {
                    let cells = character.width().unwrap_or_default();
                    self.both().into_iter().for_each(|track| track.cell(character, place, length, cells));
                }
            }
            at = at.saturating_add(length);
        }
    }

    /// Decides what can be decided.
    pub(super) fn settle(&mut self, set: &Detectors, watch: Watch, rest: Rest, raw: &mut Raw) {
        self.both().into_iter().for_each(|track| track.settle(set, watch, rest, raw));
    }

    /// Whether these texts say no more than the printed one, whatever comes before the next sequence.
    pub(super) fn is_vain(&mut self, printed: &Track) -> bool {
        let tracks = [printed, &self.parted, &self.joined];
        let State::Alike(since) = self.state else {
            self.state = State::Alike(tracks.map(Track::end));
            return false;
        };
        self.last.is_empty()
            && tracks.iter().zip(since).all(|(track, since)| track.is_open_after(since.saturating_add(CONTEXT)))
    }

    pub(super) fn expire(&mut self, set: &Detectors, watch: Watch, raw: &mut Raw) {
        self.both().into_iter().for_each(|track| track.expire(set, watch, raw));
    }

    /// Hides everything that is not decided; tells whether any of it was not hidden before.
    pub(super) fn flood(&mut self, raw: &mut Raw) -> bool {
        let [parted, joined] = self.both().map(|track| track.flood(raw));
        parted || joined
    }

    /// Where the first character stands that is not decided, if it is held.
    pub(super) fn first(&self) -> Option<usize> {
        self.parted.first().into_iter().chain(self.joined.first()).min()
    }

    pub(super) fn suspects(&self, set: &Detectors) -> bool {
        self.parted.suspects(set) || self.joined.suspects(set)
    }
}

impl Terminal {
    /// Adds text that is printed to what may hold it.
    pub(super) fn show(&mut self, text: &(impl AsRef<[u8]> + ?Sized), at: usize, add: impl Fn(&mut Track)) {
        add(&mut self.printed);
        if let Some(aside) = &mut self.aside
            && let Some(first) = begins(text.as_ref())
        {
            aside.show(first, at, add);
        }
    }

    /// The same for one character.
    pub(super) fn show_one(&mut self, character: char, at: usize, add: impl Fn(&mut Track)) {
        add(&mut self.printed);
        if let Some(aside) = &mut self.aside {
            aside.show(begins(character.encode_utf8(&mut [0; 4]).as_bytes()).unwrap_or_default(), at, add);
        }
    }

    /// The same for a character of a string.
    pub(super) fn say_aside(&mut self, character: char, at: usize, say: impl Fn(&mut Track)) {
        let first = begins(character.encode_utf8(&mut [0; 4]).as_bytes()).unwrap_or_default();
        self.look_aside().say(first, at, say);
    }

    /// What is read beside the printed text, from here on if it was not.
    pub(super) fn look_aside(&mut self) -> &mut Aside {
        let (printed, set) = (&self.printed, &self.set);
        self.aside.get_or_insert_with(|| Box::new(Aside::of(printed, set)))
    }

    /// Reads a whole sequence as it is written.
    pub(super) fn written(&mut self, head: Head, from: usize, end: usize) {
        let (moves, is_pipe) = (head.motion() != Motion::Stays, !self.cursor.has_columns());
        let bytes = self.raw.between(from, end);
        let Manner::Ordinary(last) = manner(bytes) else { return self.spell(from, end) };
        let last: SmallVec<[u8; 4]> = SmallVec::from_slice(last);
        if last.is_empty() {
            if let Some(aside) = &mut self.aside {
                aside.pass(end, moves);
            }
            return;
        }
        // A move without a number is not told from the middle of a value.
        let is_bare = introducer(bytes).saturating_add(last.len()) == bytes.len();
        let parts = moves && !(is_pipe && is_bare) && !head.may_stay();
        let aside = self.look_aside();
        aside.differ();
        aside.part(end);
        if parts {
            aside.part_joined(end);
        }
        if is_bare { aside.keep(&last) } else { aside.keep_parted(&last) }
    }

    /// Reads the bytes of a sequence, or of a part of one.
    pub(super) fn spell(&mut self, from: usize, end: usize) {
        self.look_aside();
        let Some(aside) = &mut self.aside else { return };
        aside.differ();
        if introducer(self.raw.between(from, end)) > 0 {
            aside.part(from);
        }
        aside.spell(&self.raw, from, end);
    }

    /// Reads the head of a string.
    pub(super) fn open(&mut self, kind: Kind, from: usize, end: usize) {
        // What a link leads to often ends as what stands there does.
        self.links = kind == Kind::Link;
        let head = self.raw.between(from, end);
        let Manner::Ordinary(last) = manner(head) else { return self.spell(from, end) };
        let last: SmallVec<[u8; 4]> = SmallVec::from_slice(last);
        let is_bare = introducer(head).saturating_add(last.len()) == head.len();
        let aside = self.look_aside();
        aside.differ();
        aside.part(end);
        if is_bare { aside.keep(&last) } else { aside.keep_parted(&last) }
    }

    /// Ends a string.
    pub(super) fn close(&mut self, end: usize) {
        let is_link = std::mem::take(&mut self.links);
        let aside = self.look_aside();
        aside.differ();
        aside.part(end);
        if is_link {
            aside.part_joined(end);
        }
    }
}

/// The byte that the first character of a text folds to; nothing that matters if it is none of ASCII.
fn begins(text: &[u8]) -> Option<u8> {
    let first = *text.first()?;
    if !first.is_ascii() {
        return decode(text).and_then(|(character, _)| stands_for(&stand_in(character).0)).or(Some(0));
    }
    stands_for(text).or(Some(first))
}
