//! A recording shown again: what the client asked, what was decided, and what it saw; a run, all its recordings at once.

mod cast;
mod command;
mod edges;
mod http;
mod inert;
mod json;
mod picture;
mod player;
mod result;
mod run;
mod screen;
mod ssh;
mod terminal;
#[cfg(test)]
mod testing;
mod text;
mod trace;
mod words;

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sluice_model::OpId;
use sluice_recording::{Asked, Noted, Reader};

pub(crate) use cast::cast;
pub(crate) use edges::connect;
pub(crate) use http::HttpReplay;
pub(crate) use inert::Inert;
pub(crate) use result::PostgresReplay;
pub(crate) use run::{Part, replay_run};
pub(crate) use screen::{Sight, channels, choose, sight};
pub(crate) use ssh::SshReplay;
pub(crate) use terminal::{Key, Keyboard, Play, play};

use player::Player;

/// How a protocol's recorded frames become lines for people: one for each flow, for ids of operations start anew in
/// every flow. Lines are harmless for a terminal.
pub(crate) trait Replayer: Send {
    /// What a client asked for, where its exact text is not what people read.
    fn asked(&mut self, _asked: &Asked<'_>) -> Option<Vec<String>> {
        None
    }

    /// Bytes that went to the server under an operation, where they show more than what was asked.
    fn to_server(&mut self, _op: OpId, _bytes: &[u8]) -> Vec<String> {
        Vec::new()
    }

    /// Bytes that went to the client under an operation.
    fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<String>;

    /// What the protocol wrote down besides, where people read it in other words than those of the recording.
    fn noted(&mut self, _noted: &Noted<'_>) -> Option<Vec<String>> {
        None
    }

    /// Nothing more follows for an operation.
    fn done(&mut self, op: OpId) -> Vec<String>;

    /// Nothing more follows at all: what is shown of operations that nobody ended, as after a crash.
    fn ended(&mut self) -> Vec<String> {
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
#[derive(Clone, Copy, Debug)]
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
    let mut player = Player::new(form);
    while let Some(stored) = reader.next_event().context("the recording cannot be read on")? {
        wait(started, stored.at_ns, pace).await;
        player.say(&stored, form, &mut say);
    }
    Ok(())
}

/// Shows a recording's events as soon as they can be read.
pub(crate) fn replay_now(mut reader: Reader<impl Read>, form: Form, mut say: impl FnMut(&str)) -> Result<()> {
    let mut player = Player::new(form);
    while let Some(stored) = reader.next_event().context("the recording cannot be read on")? {
        player.say(&stored, form, &mut say);
    }
    Ok(())
}

async fn wait(started: Instant, at_ns: u64, pace: Pace) {
    let Pace::Times(speed) = pace else { return };
    let due = Duration::try_from_secs_f64(Duration::from_nanos(at_ns).as_secs_f64() / speed).unwrap_or(Duration::MAX);
    if let Some(left) = due.checked_sub(started.elapsed()) {
        tokio::time::sleep(left).await;
    }
}
