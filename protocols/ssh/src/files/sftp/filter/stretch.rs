//! A stretch of a covered file: reads of a client that follow each other, and what came for them.
//!
//! What comes is looked at once, in order, and kept until no read that is not answered needs it. Reads are answered in
//! blocks, and only a block around which something is suspected is covered, together with the reach on both sides of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_model::Tag;

use super::super::reply::Code;
use super::Under;
use super::files::FileNo;
use crate::files::mask::{Cover, Lookout};

/// How much is answered at once, about, while more is on its way.
const BLOCK: u64 = 256 << 10;
/// What is shorter is put together, so that no small piece keeps a large buffer.
const SMALL: usize = 8 << 10;
/// How much is put together.
const TOGETHER: usize = 32 << 10;

/// One of those stretches.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) file: FileNo,
    pub(super) handle: Bytes,
    pub(super) under: Under,
    /// How many answers the server owes.
    pub(super) owed: usize,
    cover: Arc<dyn Cover>,
    lookout: Box<dyn Lookout>,
    reach: u64,
    /// The client's ids, and how much each asked for: what is not answered, in the order of the file.
    asked: VecDeque<(u32, u64)>,
    /// Where the first of them begins, and where the last ends.
    span: Range<u64>,
    /// What has come of the file without a gap. It begins at `start`.
    parts: VecDeque<Part>,
    start: u64,
    /// What follows the parts, in small pieces, and whether it is suspected.
    small: (BytesMut, bool),
    /// Where what has come ends.
    came: u64,
    /// What came before what stands in front of it.
    early: BTreeMap<u64, BytesMut>,
    /// Up to where the server was asked.
    stop: u64,
    /// Where the server said that the file ends.
    end: Option<u64>,
    failed: Option<Code>,
    /// No read joins any more: what is known of the file may be old.
    parted: bool,
}

#[derive(Debug)]
struct Part {
    offset: u64,
    bytes: Bytes,
    suspected: bool,
}

/// The answers to some reads.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) answers: Vec<Answer>,
    /// The classes of what was covered.
    pub(super) tags: BTreeSet<Tag>,
}

/// The answer to one read.
#[derive(Debug)]
pub(super) enum Answer {
    Data {
        id: u32,
        offset: u64,
        /// In order; at least one, and none empty.
        bytes: Vec<Bytes>,
    },
    /// Nothing is there.
    End {
        id: u32,
    },
    Failed {
        id: u32,
        code: Code,
    },
}

impl Part {
    fn end(&self) -> u64 {
        self.offset.saturating_add(length(&self.bytes))
    }

    /// What of it lies in a range.
    fn within(&self, range: &Range<u64>) -> Option<Bytes> {
        let (from, to) = (range.start.max(self.offset), range.end.min(self.end()));
        let index = |offset: u64| usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        (from < to).then(|| self.bytes.slice(index(from)..index(to)))
    }
}

impl Stretch {
    /// A stretch that nothing was asked of.
    pub(super) fn new((file, handle): (FileNo, Bytes), under: Under, offset: u64, cover: Arc<dyn Cover>) -> Self {
        let reach = u64::try_from(cover.reach()).unwrap_or(u64::MAX);
        let start = offset.saturating_sub(reach);
        Self {
            file,
            handle,
            under,
            owed: 0,
            lookout: cover.lookout(),
            cover,
            reach,
            asked: VecDeque::new(),
            span: offset..offset,
            parts: VecDeque::new(),
            start,
            small: (BytesMut::new(), false),
            came: start,
            early: BTreeMap::new(),
            stop: start,
            end: None,
            failed: None,
            parted: false,
        }
    }

    /// Whether a read of a file at an offset goes on where this one ends, and nothing is known to be wrong with it.
    pub(super) fn joins(&self, file: FileNo, offset: u64) -> bool {
        self.file == file && self.span.end == offset && self.end.is_none() && self.failed.is_none() && !self.parted
    }

    /// What is read from now on is not taken from what was read before.
    pub(super) const fn part(&mut self) {
        self.parted = true;
    }

    /// Adds a read where the last one ends; tells what the server has to be asked for.
    pub(super) fn add(&mut self, id: u32, length: u64) -> Range<u64> {
        self.asked.push_back((id, length));
        self.span.end = self.span.end.saturating_add(length);
        let stop = self.span.end.saturating_add(self.reach);
        std::mem::replace(&mut self.stop, stop)..stop
    }

    /// How many bytes are kept, or on their way.
    pub(super) const fn held(&self) -> u64 {
        self.stop.saturating_sub(self.start)
    }

    /// How many reads are not answered.
    pub(super) fn waiting(&self) -> usize {
        self.asked.len()
    }

    /// Whether all is answered.
    pub(super) fn is_over(&self) -> bool {
        self.asked.is_empty() && self.owed == 0
    }

    /// Takes bytes of the file.
    pub(super) fn take(&mut self, offset: u64, bytes: Bytes) {
        if offset > self.came {
            return self.keep(offset, &bytes);
        }
        self.follow(bytes);
        while let Some(bytes) = self.early.remove(&self.came) {
            self.follow(bytes.freeze());
        }
    }

    /// Keeps what came early: a copy, because a slice would keep the whole buffer that it came in.
    fn keep(&mut self, offset: u64, bytes: &[u8]) {
        let before = self.early.range_mut(..offset).next_back();
        match before.filter(|(start, known)| start.saturating_add(length(known)) == offset) {
            // However small the pieces are that a part comes in, it is one.
            Some((_, known)) => known.extend_from_slice(bytes),
            None => drop(self.early.insert(offset, bytes.into())),
        }
    }

    /// The server says that nothing is at an offset.
    pub(super) fn ends(&mut self, offset: u64) {
        self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
    }

    /// The server cannot read.
    pub(super) fn fail(&mut self, code: Code) {
        self.failed = Some(code);
    }

    /// The bytes that one more answer lets be looked into, about.
    pub(super) fn due(&self) -> usize {
        let there = self.came.saturating_sub(self.span.start);
        let is_due = self.owed == 1 || there >= BLOCK;
        if is_due { usize::try_from(there).unwrap_or(usize::MAX) } else { 0 }
    }

    /// The answers to the next reads, if they can be given: either there are many, or no more is on its way.
    pub(super) fn next(&mut self) -> Option<Block> {
        if let Some(code) = self.failed {
            let all = if self.owed > 0 { 0 } else { self.asked.len() };
            let answers: Vec<_> = self.asked.drain(..all).map(|(id, _)| Answer::Failed { id, code }).collect();
            return (!answers.is_empty()).then(|| Block { answers, tags: BTreeSet::new() });
        }
        let known = if self.owed == 0 { u64::MAX } else { self.came.saturating_sub(self.reach) };
        let (mut to, mut count) = (self.span.start, 0_usize);
        for (_, length) in &self.asked {
            let next = to.saturating_add(*length);
            if next > known || to.saturating_sub(self.span.start) >= BLOCK {
                break;
            }
            (to, count) = (next, count.saturating_add(1));
        }
        let enough = self.owed == 0 || to.saturating_sub(self.span.start) >= BLOCK;
        (count > 0 && enough).then(|| self.answer(count, to))
    }

    /// Answers the first reads, which end at an offset.
    fn answer(&mut self, count: usize, to: u64) -> Block {
        self.put_together();
        let from = std::mem::replace(&mut self.span.start, to);
        let last = self.came.min(self.end.unwrap_or(u64::MAX));
        let window = from.saturating_sub(self.reach)..to.saturating_add(self.reach).min(last);
        let (covered, tags) = self.covered(window);
        let mut at = from;
        let mut answers = Vec::with_capacity(count);
        for (id, length) in self.asked.drain(..count) {
            let range = at..at.saturating_add(length).min(last);
            let parts = covered.as_slice().iter().chain(self.parts.iter().filter(|_| covered.is_none()));
            let bytes: Vec<Bytes> = parts.filter_map(|part| part.within(&range)).collect();
            let is_end = bytes.is_empty();
            answers.push(if is_end { Answer::End { id } } else { Answer::Data { id, offset: at, bytes } });
            at = at.saturating_add(length);
        }
        self.forget();
        Block { answers, tags }
    }

    /// A window with its values covered, and their classes; nothing if there are none to cover.
    fn covered(&self, window: Range<u64>) -> (Option<Part>, BTreeSet<Tag>) {
        let within = || self.parts.iter().filter(|part| part.offset < window.end && part.end() > window.start);
        if !within().any(|part| part.suspected) {
            return (None, BTreeSet::new());
        }
        let bytes: Vec<Bytes> = within().filter_map(|part| part.within(&window)).collect();
        let mut bytes = bytes.concat();
        let tags = self.cover.cover(&mut bytes);
        (Some(Part { offset: window.start.max(self.start), bytes: bytes.into(), suspected: true }), tags)
    }

    /// Lets go of what is too far before the next read.
    fn forget(&mut self) {
        let needed = self.span.start.saturating_sub(self.reach);
        while self.parts.front().is_some_and(|part| part.end() <= needed) {
            self.start = self.parts.pop_front().map_or(self.start, |part| part.end());
        }
    }

    /// Takes the next bytes.
    fn follow(&mut self, bytes: Bytes) {
        let suspected = self.lookout.suspects(&bytes);
        let offset = self.came;
        self.came = offset.saturating_add(length(&bytes));
        if bytes.len() < SMALL {
            self.small.0.extend_from_slice(&bytes);
            self.small.1 |= suspected;
            if self.small.0.len() >= TOGETHER {
                self.put_together();
            }
        } else {
            self.put_together_before(offset);
            self.parts.push_back(Part { offset, bytes, suspected });
        }
    }

    fn put_together(&mut self) {
        self.put_together_before(self.came);
    }

    /// Makes a part of the small pieces that end before an offset.
    fn put_together_before(&mut self, end: u64) {
        let (bytes, suspected) = std::mem::take(&mut self.small);
        if !bytes.is_empty() {
            let bytes = bytes.freeze();
            self.parts.push_back(Part { offset: end.saturating_sub(length(&bytes)), bytes, suspected });
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
