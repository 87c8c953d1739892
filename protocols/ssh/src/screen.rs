//! Values in what a host says, covered as its policy has it.

use std::sync::Arc;

use sluice_mask::{Detectors, Findings, Mode, Terminal, Watch};
use sluice_model::{Obligations, Resource};

use crate::frame::{Draft, Frame, Size};
use crate::target::Target;

/// The screens of a target.
#[derive(Debug)]
pub(crate) struct Screens {
    detectors: Arc<Detectors>,
}

/// Both streams of a channel, each with a state of its own.
pub(crate) struct Pair {
    stdout: Terminal,
    /// Most programs say nothing here: it is made when one does.
    stderr: Option<Box<Terminal>>,
    blank: Blank,
    /// The size of the terminal that shows it, if one does.
    terminal: Option<Size>,
    found: Findings,
}

/// What a stream is looked at with.
struct Blank {
    detectors: Arc<Detectors>,
    watch: Watch,
    mode: Mode,
}

impl Blank {
    fn stream(&self) -> Terminal {
        Terminal::new(Arc::clone(&self.detectors), self.watch, self.mode)
    }
}

impl Screens {
    /// The screens of a target.
    ///
    /// # Errors
    /// With the detector that does not compile.
    pub(crate) fn of(target: &Target) -> Result<Self, String> {
        Ok(Self { detectors: Arc::new(target.detect()?) })
    }

    pub(crate) const fn detectors(&self) -> &Arc<Detectors> {
        &self.detectors
    }

    /// What of the host's values is covered.
    pub(crate) fn watch(&self, obligations: &Obligations) -> Watch {
        self.detectors.watch(|tag| obligations.masks.iter().any(|mask| mask.resource == Resource::value(tag)))
    }

    /// Screens that cover what the obligations name.
    pub(crate) fn over(&self, obligations: &Obligations, terminal: Option<Size>) -> Pair {
        let watch = self.watch(obligations);
        let mode = terminal.map_or(Mode::Pipe, |size| Mode::Pty { columns: columns(size) });
        let blank = Blank { detectors: Arc::clone(&self.detectors), watch, mode };
        Pair { stdout: blank.stream(), stderr: None, blank, terminal, found: Findings::default() }
    }
}

impl Pair {
    pub(crate) fn stdout(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut out = Draft::with_room(bytes.len());
        self.found.absorb(self.stdout.push(bytes, out.bytes()));
        (!out.is_empty()).then(|| Frame::drafted(out).shown_on(self.terminal))
    }

    pub(crate) fn stderr(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut out = Draft::with_room(bytes.len());
        let stderr = self.stderr.get_or_insert_with(|| Box::new(self.blank.stream()));
        self.found.absorb(stderr.push(bytes, out.bytes()));
        (!out.is_empty()).then(|| Frame::drafted_error(out).shown_on(self.terminal))
    }

    /// Lets what is held back go, because a person waits for it.
    pub(crate) fn quiet(&mut self) -> impl Iterator<Item = Frame> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.expire(&mut stdout);
        if let Some(stream) = &mut self.stderr {
            stream.expire(&mut stderr);
        }
        frames(&stdout, &stderr, self.terminal)
    }

    /// Ends both streams.
    pub(crate) fn finish(&mut self) -> impl Iterator<Item = Frame> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.found.absorb(self.stdout.finish(&mut stdout));
        if let Some(stream) = &mut self.stderr {
            self.found.absorb(stream.finish(&mut stderr));
        }
        frames(&stdout, &stderr, self.terminal)
    }

    pub(crate) fn resize(&mut self, size: Size) {
        let columns = columns(size);
        if let Mode::Pty { .. } = self.blank.mode {
            self.blank.mode = Mode::Pty { columns };
        }
        self.stdout.resize(columns);
        if let Some(stream) = &mut self.stderr {
            stream.resize(columns);
        }
    }

    /// What was covered, for the recording; empty where nothing was.
    pub(crate) fn covered(&self) -> Vec<(&'static str, String)> {
        if self.found.is_empty() {
            return Vec::new();
        }
        let counts: Vec<String> = self.found.counts().map(|(tag, count)| format!("{tag}={count}")).collect();
        vec![("values", counts.join(" ")), ("overflows", self.found.overflows().to_string())]
    }
}

fn frames(stdout: &[u8], stderr: &[u8], terminal: Option<Size>) -> impl Iterator<Item = Frame> + use<> {
    let stdout = (!stdout.is_empty()).then(|| Frame::data(stdout).shown_on(terminal));
    let stderr = (!stderr.is_empty()).then(|| Frame::stderr(stderr).shown_on(terminal));
    stdout.into_iter().chain(stderr)
}

/// A size of nothing says nothing (RFC 4254 §6.2): no line is taken to wrap then.
fn columns(size: Size) -> usize {
    if size.columns == 0 { usize::MAX } else { usize::try_from(size.columns).unwrap_or(usize::MAX) }
}
