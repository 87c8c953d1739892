//! A recording shown again: what the client asked, what was decided, and what it saw.

mod json;
mod result;
mod text;

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sluice_model::OpId;
use sluice_recording::{Event, Reader, Stored};

pub(crate) use result::PostgresReplay;

/// How a protocol's recorded frames become lines for people. Lines are harmless for a terminal.
pub(crate) trait Replayer: Send {
    /// Bytes that went to the client under an operation.
    fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<String>;

    /// Nothing more follows for an operation.
    fn done(&mut self, op: OpId) -> Vec<String>;
}

/// Shows nothing, for a protocol that is not in this binary.
struct Opaque;

impl Replayer for Opaque {
    fn to_client(&mut self, _: OpId, bytes: &[u8]) -> Vec<String> {
        vec![format!("{} bytes of a protocol that is not in this binary", bytes.len())]
    }

    fn done(&mut self, _: OpId) -> Vec<String> {
        Vec::new()
    }
}

/// How fast a replay runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Everything at once.
    AtOnce,
    /// As it happened, this many times as fast.
    Times(f64),
}

/// What a replay is printed as.
pub(crate) enum Form {
    /// Lines for people.
    Text { colours: bool },
    /// One JSON document for every event.
    Json,
}

/// Replays a recording; `say` gets every line.
pub(crate) async fn replay(
    mut reader: Reader<impl Read>,
    pace: Pace,
    form: Form,
    mut say: impl FnMut(&str),
) -> Result<()> {
    let started = Instant::now();
    let mut text = text::Text::new(matches!(form, Form::Text { colours: true }));
    let mut protocol: Box<dyn Replayer> = Box::new(Opaque);
    while let Some(stored) = reader.next_event().context("the recording cannot be read on")? {
        wait(started, stored.at_ns, pace).await;
        if let Event::Opened(opened) = &stored.event
            && let Some(lane) = crate::protocols::named(&opened.protocol)
        {
            protocol = lane.replayer();
        }
        let seen = seen(&stored, protocol.as_mut());
        match form {
            Form::Text { .. } => text.lines(&stored, seen).iter().for_each(|line| say(line)),
            Form::Json => say(&json::line(&stored, &seen).to_string()),
        }
    }
    Ok(())
}

/// What the client saw by an event.
fn seen(stored: &Stored<'_>, protocol: &mut dyn Replayer) -> Vec<String> {
    match &stored.event {
        Event::Passed(passed) if passed.toward == sluice_recording::Toward::Client => {
            protocol.to_client(passed.op, passed.frame.0)
        }
        Event::Done(op) => protocol.done(*op),
        Event::Passed(_)
        | Event::Opened(_)
        | Event::Asked(_)
        | Event::Ruled(_)
        | Event::Held(_)
        | Event::Settled(_)
        | Event::Cut(_)
        | Event::Noted(_)
        | Event::Gap(_)
        | Event::Closed(_) => Vec::new(),
    }
}

async fn wait(started: Instant, at_ns: u64, pace: Pace) {
    let Pace::Times(speed) = pace else { return };
    let due = Duration::try_from_secs_f64(Duration::from_nanos(at_ns).as_secs_f64() / speed).unwrap_or(Duration::MAX);
    if let Some(left) = due.checked_sub(started.elapsed()) {
        tokio::time::sleep(left).await;
    }
}
