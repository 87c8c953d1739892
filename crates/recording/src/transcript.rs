//! A session as text, one line for each event, for people and fixtures.
//!
//! ```text
//! 0.000000 #0 opened session=s-1 principal="agent:triage for user:ana" target=shop …
//! 0.012034 #1 asked op=1 perform sql.read "select 1"
//! ```
//! Frames are shown by the protocol that knows them, through [`Frames`].

use std::fmt::{self, Write};

use crate::event::{
    Accessed, Asked, Closed, Cut, Event, Gap, Held, Noted, Opened, Passed, Ruled, Settled, Stored, Toward,
};
use crate::shown::Shown;

/// How a protocol shows its frames.
pub trait Frames {
    /// Shows the bytes of one event; each line written is indented below the event's own.
    fn show(&mut self, toward: Toward, frame: &[u8], out: &mut dyn Write) -> fmt::Result;
}

/// Shows frames as quoted text, for a protocol that is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quoted;

impl Frames for Quoted {
    fn show(&mut self, _: Toward, frame: &[u8], out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "\"{}\"", Shown(frame))
    }
}

/// Writes events as lines.
#[derive(Debug)]
pub struct Transcript<W, F> {
    out: W,
    frames: F,
    frame_lines: String,
}

impl<W: Write, F: Frames> Transcript<W, F> {
    /// A transcript to `out`.
    pub const fn new(out: W, frames: F) -> Self {
        Self { out, frames, frame_lines: String::new() }
    }

    /// Writes one event.
    pub fn event(&mut self, stored: &Stored<'_>) -> fmt::Result {
        let (seconds, rest) = (stored.at_ns / 1_000_000_000, stored.at_ns % 1_000_000_000);
        write!(self.out, "{seconds}.{:06} #{} ", rest / 1_000, stored.seq)?;
        if stored.flow.0 != 0 {
            write!(self.out, "flow={} ", stored.flow.0)?;
        }
        line(&mut self.out, &stored.event)?;
        self.out.write_char('\n')?;
        if let Event::Passed(Passed { toward, frame, .. }) = &stored.event {
            self.frame(*toward, frame.0)?;
        }
        Ok(())
    }

    /// Gives back what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn frame(&mut self, toward: Toward, frame: &[u8]) -> fmt::Result {
        self.frame_lines.clear();
        self.frames.show(toward, frame, &mut self.frame_lines)?;
        for line in self.frame_lines.lines() {
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }
}

fn line(out: &mut impl Write, event: &Event<'_>) -> fmt::Result {
    match event {
        Event::Opened(event) => opened(out, event),
        Event::Asked(event) => asked(out, event),
        Event::Ruled(event) => ruled(out, event),
        Event::Held(Held { op, hold, approvers }) => {
            write!(out, "held op={} hold={}", op.0, inert(hold))?;
            list(out, "approvers", approvers)
        }
        Event::Settled(Settled { op, hold, outcome, people }) => {
            write!(out, "settled op={} hold={} {}", op.0, inert(hold), outcome.name())?;
            list(out, "by", people)
        }
        Event::Passed(Passed { op, toward, frame }) => {
            write!(out, "passed op={} to={} bytes={}", op.0, toward.name(), frame.0.len())
        }
        Event::Cut(Cut { op, toward, bytes, digest }) => {
            let (op, toward) = (op.0, toward.name());
            write!(out, "cut op={op} to={toward} bytes={bytes} sha256={}", digest.hex())
        }
        Event::Done(op) => write!(out, "done op={}", op.0),
        Event::Noted(Noted { kind, pairs }) => {
            write!(out, "noted {}", inert(kind))?;
            for pair in pairs {
                write!(out, " {}=\"{}\"", inert(&pair.name), inert(&pair.value))?;
            }
            Ok(())
        }
        Event::Gap(Gap { reason, bytes }) => write!(out, "gap \"{}\" bytes={bytes}", inert(reason)),
        Event::Closed(Closed { reason, counters }) => {
            write!(out, "closed {}", inert(reason))?;
            for (name, count) in counters {
                write!(out, " {}={count}", inert(name))?;
            }
            Ok(())
        }
    }
}

fn opened(out: &mut impl Write, event: &Opened<'_>) -> fmt::Result {
    let chain: Vec<String> = event.principal.iter().map(|a| inert(&a.name).to_string()).collect();
    write!(
        out,
        "opened session={} principal=\"{}\" token={} target={} environment={} protocol={} schema={} client={} \
         policies={} anchor_us={} broker={}",
        inert(&event.session),
        chain.join(" for "),
        inert(&event.token),
        inert(&event.target),
        inert(&event.environment),
        inert(&event.protocol),
        event.schema_version,
        inert(&event.client),
        inert(&event.policy_epoch),
        event.anchor.0,
        inert(&event.broker_version),
    )?;
    if let Some(part) = &event.part {
        write!(out, " part={}", inert(part))?;
    }
    match &event.run {
        Some(run) => write!(out, " run={}", inert(run)),
        None => Ok(()),
    }
}

fn asked(out: &mut impl Write, event: &Asked<'_>) -> fmt::Result {
    let stage = match event.stage {
        sluice_model::Stage::Prepare => "prepare",
        sluice_model::Stage::Perform => "perform",
    };
    let (op, action) = (event.op.0, inert(&event.action));
    write!(out, "asked op={op} {stage} {action} \"{}\"", Shown(event.text.0))?;
    if let Some(bound) = event.bound {
        write!(out, " bound=\"{}\"", Shown(bound.0))?;
    }
    if !event.understood {
        out.write_str(" not-understood")?;
    }
    for pair in &event.facts {
        write!(out, " {}=\"{}\"", inert(&pair.name), inert(&pair.value))?;
    }
    for Accessed { action, kind, path } in &event.accesses {
        let path = path.join(".");
        write!(out, " [{} {} {}]", inert(action), inert(kind), inert(&path))?;
    }
    Ok(())
}

fn ruled(out: &mut impl Write, event: &Ruled<'_>) -> fmt::Result {
    write!(out, "ruled op={} {}", event.op.0, event.verdict.name())?;
    list(out, "rules", &event.rules)?;
    list(out, "masks", &event.masks)?;
    if !event.message.is_empty() {
        write!(out, " \"{}\"", inert(&event.message))?;
    }
    write!(out, " decision={}", inert(&event.decision))?;
    if event.cached { out.write_str(" cached") } else { Ok(()) }
}

fn list(out: &mut impl Write, name: &str, texts: &[impl AsRef<str>]) -> fmt::Result {
    if texts.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = texts.iter().map(|text| inert(text.as_ref()).to_string()).collect();
    write!(out, " {name}=[{}]", shown.join(", "))
}

const fn inert(text: &str) -> Shown<'_> {
    Shown(text.as_bytes())
}
