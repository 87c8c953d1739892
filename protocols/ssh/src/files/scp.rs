//! The old `scp`: one side sends files, the other takes them, and every line is answered before the next.
//!
//! What a command may name is decided when it is allowed to run; here names are kept inside that: each is one name, and a
//! directory that ends was begun. Lines are forwarded in their one form.

mod line;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use sluice_model::UnixMicros;
use sluice_wire::{Side, Violation};

use super::event::{Content, End, FileEvent, Tally, Traffic, Whole};
use line::{Line, MAX_LINE, Trouble};

/// The deepest directory.
const MAX_DEPTH: usize = 256;
/// The most bytes of one side that wait for the other.
const MAX_WAITING: usize = 1 << 20;

/// What a command was allowed to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    pub source: Source,
    pub recursive: bool,
    /// The only name that the outermost file or directory may have: what the client asked for, if that is known.
    pub name: Option<String>,
}

/// Who sends the files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// `scp -t`.
    Client,
    /// `scp -f`.
    Server,
}

/// One step, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    ToServer(Bytes),
    ToClient(Bytes),
    /// A file or directory is named; it is forwarded with the next step.
    Named(Named),
    /// A file has ended.
    File(Box<FileEvent>),
}

/// A file or directory as its source names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named {
    /// Below the path that the command names, or in its place.
    pub path: String,
    pub mode: u16,
    /// In bytes; `None` for a directory.
    pub size: Option<u64>,
}

/// One run of `scp`.
#[derive(Debug)]
pub struct Scp {
    settings: Settings,
    from_source: BytesMut,
    from_sink: BytesMut,
    state: State,
    /// The directories that are open.
    folders: Vec<String>,
    file: Option<File>,
    steps: VecDeque<Step>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The sink says that it is ready, or answers a line.
    Answer(After),
    /// The source's next line.
    Line,
    /// So much of a file is to come.
    Data(u64),
    /// The source tells whether it could read all of the file.
    Told,
    Over,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum After {
    Line,
    /// A directory is entered if it is taken.
    Enter,
    /// A file's bytes come if it is taken.
    Data(u64),
    /// The file is over.
    File,
}

/// The file under way.
#[derive(Debug)]
struct File {
    path: String,
    size: u64,
    at: u64,
    tally: Tally,
    whole: bool,
    since: UnixMicros,
}

impl Scp {
    /// A run in which nothing has been said.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            from_source: BytesMut::new(),
            from_sink: BytesMut::new(),
            state: State::Answer(After::Line),
            folders: Vec::new(),
            file: None,
            steps: VecDeque::new(),
        }
    }

    /// Takes bytes of the client; they are cut anywhere.
    ///
    /// Errors: what is no line, a name that leads elsewhere, and bytes far beyond its turn.
    pub fn client(&mut self, bytes: &[u8], now: UnixMicros) -> Result<(), Violation> {
        self.take(Side::Client, bytes, now)
    }

    /// Takes bytes of the server; they are cut anywhere.
    ///
    /// Errors: as [`Self::client`].
    pub fn server(&mut self, bytes: &[u8], now: UnixMicros) -> Result<(), Violation> {
        self.take(Side::Server, bytes, now)
    }

    /// Ends the run: a file under way gets its event.
    pub fn end(&mut self, now: UnixMicros) {
        self.state = State::Over;
        self.end_file(End::Cut, now);
    }

    /// Takes the oldest step.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    const fn source(&self) -> Side {
        match self.settings.source {
            Source::Client => Side::Client,
            Source::Server => Side::Server,
        }
    }

    fn take(&mut self, side: Side, bytes: &[u8], now: UnixMicros) -> Result<(), Violation> {
        if self.state == State::Over {
            return Ok(());
        }
        let of_source = side == self.source();
        let buffer = if of_source { &mut self.from_source } else { &mut self.from_sink };
        buffer.extend_from_slice(bytes);
        while self.advance(now)? {}
        let left = if of_source { self.from_source.len() } else { self.from_sink.len() };
        if left > MAX_WAITING { Err(Violation { side, what: "sent far beyond its turn" }) } else { Ok(()) }
    }

    /// Does the next thing that can be done, if any.
    fn advance(&mut self, now: UnixMicros) -> Result<bool, Violation> {
        match self.state {
            State::Over => Ok(false),
            State::Answer(after) => self.answer(after, now),
            State::Line => self.line(now),
            State::Data(left) => Ok(self.data(left)),
            State::Told => self.told(),
        }
    }

    fn pass_on(&mut self, bytes: Bytes) {
        self.steps.push_back(match self.settings.source {
            Source::Client => Step::ToServer(bytes),
            Source::Server => Step::ToClient(bytes),
        });
    }

    fn pass_back(&mut self, bytes: Bytes) {
        self.steps.push_back(match self.settings.source {
            Source::Client => Step::ToClient(bytes),
            Source::Server => Step::ToServer(bytes),
        });
    }

    fn answer(&mut self, after: After, now: UnixMicros) -> Result<bool, Violation> {
        let Some(answer) = status(self.sink(), &mut self.from_sink)? else { return Ok(false) };
        let taken = answer.is_none();
        let fatal = answer.as_ref().is_some_and(|trouble| trouble.fatal);
        self.pass_back(answer.map_or_else(|| Bytes::from_static(&[0]), |trouble| trouble.encode().into()));
        self.state = match after {
            _ if fatal => State::Over,
            After::Data(size) if taken => State::Data(size),
            After::Line | After::Enter | After::Data(_) | After::File => State::Line,
        };
        match after {
            // What was named is skipped.
            After::Data(_) if !taken => self.file = None,
            After::Enter if !taken => {
                self.folders.pop();
            }
            After::File => {
                if let Some(file) = &mut self.file {
                    file.whole &= taken;
                }
                self.end_file(End::Closed, now);
            }
            After::Line | After::Enter | After::Data(_) => {}
        }
        Ok(true)
    }

    const fn sink(&self) -> Side {
        match self.settings.source {
            Source::Client => Side::Server,
            Source::Server => Side::Client,
        }
    }

    fn line(&mut self, now: UnixMicros) -> Result<bool, Violation> {
        let side = self.source();
        let Some(text) = whole_line(side, &mut self.from_source)? else { return Ok(false) };
        let line = Line::parse(&text).ok_or(Violation { side, what: "no line of scp" })?;
        self.state = match &line {
            Line::File { mode, size, name } => {
                let path = self.place(name)?;
                self.steps.push_back(Step::Named(Named { path: path.clone(), mode: *mode, size: Some(*size) }));
                let tally = Tally::default();
                self.file = Some(File { path, size: *size, at: 0, tally, whole: true, since: now });
                State::Answer(After::Data(*size))
            }
            Line::Directory { mode, name } => {
                if !self.settings.recursive || self.folders.len() >= MAX_DEPTH {
                    return Err(Violation { side, what: "a directory that was not asked for" });
                }
                let path = self.place(name)?;
                self.steps.push_back(Step::Named(Named { path, mode: *mode, size: None }));
                self.folders.push(name.clone());
                State::Answer(After::Enter)
            }
            Line::End => {
                self.folders.pop().ok_or(Violation { side, what: "the end of a directory that was not begun" })?;
                State::Answer(After::Line)
            }
            Line::Times { .. } => State::Answer(After::Line),
            Line::Trouble(Trouble { fatal: true, .. }) => State::Over,
            Line::Trouble(Trouble { fatal: false, .. }) => State::Line,
        };
        self.pass_on(line.encode().into());
        Ok(true)
    }

    /// Where a name lies, below what the command names.
    fn place(&self, name: &str) -> Result<String, Violation> {
        let expected = self.settings.name.as_deref().filter(|_| self.folders.is_empty());
        if expected.is_some_and(|expected| expected != name) {
            return Err(Violation { side: self.source(), what: "a name that was not asked for" });
        }
        let parts: Vec<&str> = self.folders.iter().map(String::as_str).chain([name]).collect();
        Ok(parts.join("/"))
    }

    fn data(&mut self, left: u64) -> bool {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(self.from_source.len());
        if now == 0 && left > 0 {
            return false;
        }
        let piece = self.from_source.split_to(now).freeze();
        let length = u64::try_from(now).unwrap_or(u64::MAX);
        if let Some(file) = &mut self.file {
            // In order, so that nothing is ever kept.
            file.tally.read(file.at, &piece, &mut 0);
            file.at = file.at.saturating_add(length);
        }
        self.state = if left > length { State::Data(left - length) } else { State::Told };
        if now > 0 {
            self.pass_on(piece);
        }
        true
    }

    fn told(&mut self) -> Result<bool, Violation> {
        let Some(told) = status(self.source(), &mut self.from_source)? else { return Ok(false) };
        if let (Some(_), Some(file)) = (&told, &mut self.file) {
            file.whole = false;
        }
        let fatal = told.as_ref().is_some_and(|trouble| trouble.fatal);
        self.state = if fatal { State::Over } else { State::Answer(After::File) };
        self.pass_on(told.map_or_else(|| Bytes::from_static(&[0]), |trouble| trouble.encode().into()));
        Ok(true)
    }

    fn end_file(&mut self, end: End, now: UnixMicros) {
        let Some(file) = self.file.take() else { return };
        let whole = if file.whole && end == End::Closed { Whole::Length(file.size) } else { Whole::Unknown };
        let passed = file.tally.finish(whole, &mut 0);
        let nothing = Traffic { bytes: 0, content: Content::Nothing };
        let (read, written) = match self.settings.source {
            Source::Client => (nothing, passed),
            Source::Server => (passed, nothing),
        };
        let micros = u64::try_from(now.0.saturating_sub(file.since.0)).unwrap_or(0);
        let event = FileEvent { path: file.path, read, written, micros, end, covered: BTreeSet::new() };
        self.steps.push_back(Step::File(Box::new(event)));
    }
}

/// A zero, or trouble; `None` while it is not all there.
fn status(side: Side, buffer: &mut BytesMut) -> Result<Option<Option<Trouble>>, Violation> {
    match buffer.first() {
        None => Ok(None),
        Some(0) => {
            let _zero = buffer.split_to(1);
            Ok(Some(None))
        }
        Some(_) => {
            let Some(line) = whole_line(side, buffer)? else { return Ok(None) };
            Trouble::parse(&line).map(|trouble| Some(Some(trouble))).ok_or(Violation { side, what: "no answer of scp" })
        }
    }
}

/// A line without its end; `None` while it is not all there.
fn whole_line(side: Side, buffer: &mut BytesMut) -> Result<Option<BytesMut>, Violation> {
    let end = buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
    match end {
        Some(end) => {
            let mut line = buffer.split_to(end.saturating_add(1));
            line.truncate(end);
            Ok(Some(line))
        }
        None if buffer.len() >= MAX_LINE => Err(Violation { side, what: "a line is too long" }),
        None => Ok(None),
    }
}
