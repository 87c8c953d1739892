//! `sluice replay`.

use std::io::{IsTerminal as _, Read, Seek};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_model::RunId;
use sluice_recording::Reader;
use sluice_store::{Archive, Sqlite};

use super::output::{colours, hint};
use super::sessions::{Found, find, of_run};
use super::{DONE, Format, Global, WRONG, keys, out};
use crate::paths::Paths;
use crate::replay::{Form, Pace, Part, Play, channels, choose, connect, play, replay, replay_run};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The id of a session or of a run, the beginning or the end of it, or a recording's file.
    id: String,
    /// How many times as fast as it happened.
    #[arg(long, default_value = "1", value_parser = speed, value_name = "N")]
    speed: f64,
    /// Show everything at once.
    #[arg(long, conflicts_with = "speed")]
    no_wait: bool,
    /// Begin as late as this many seconds into a terminal, with what was on it then.
    #[arg(long, default_value = "0", value_parser = seconds, value_name = "SECONDS")]
    at: Duration,
    /// Show an SSH session as its terminal did, also where stdout is none. Space pauses, + and - change the speed, the
    /// arrows jump by 5 seconds, < and > by a minute, 0 to the beginning, a dot to what is shown next, q ends.
    #[arg(long, conflicts_with_all = ["lines", "output"])]
    terminal: bool,
    /// Show lines, also on a terminal.
    #[arg(long)]
    lines: bool,
    /// The channel whose terminal is shown, by its number; the first that has one if none is named.
    #[arg(long, value_name = "N", conflicts_with_all = ["lines", "output"])]
    flow: Option<u32>,
    /// `json` prints one document for every event, at once.
    #[arg(long, default_value = "text")]
    output: Format,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "it is a number of seconds such as 90 or 1.5".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is a number such as 2 or 0.5".to_owned())?;
    if (0.01..=10_000.0).contains(&number) { Ok(number) } else { Err("it is from 0.01 to 10000".to_owned()) }
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let pace = match (arguments.no_wait, arguments.output) {
        (true, _) | (_, Format::Json) => Pace::AtOnce,
        (false, Format::Text) => Pace::Times(arguments.speed),
    };
    let form = match arguments.output {
        Format::Text => Form::Text { colours: colours() },
        Format::Json => Form::Json,
    };
    let file = std::path::Path::new(&arguments.id);
    if file.is_file() {
        let open = || {
            let input = std::fs::File::open(file).with_context(|| format!("`{}` cannot be opened", file.display()))?;
            Ok(Reader::open(std::io::BufReader::new(input))?)
        };
        return one(open, &arguments, pace, form).await;
    }
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    let store = super::stored(&paths).await?;
    let archive = Archive::at(paths.recordings());
    match find(&store, &arguments.id).await? {
        Found::Session(id) => one(|| Ok(archive.replay(&id)?), &arguments, pace, form).await,
        Found::Run(run) => whole_run(&store, &archive, &run, pace, form).await,
    }
}

/// Replays one session: as a terminal where it had one and there is one, and else as lines.
async fn one<R: Read + Seek>(
    open: impl Fn() -> Result<Reader<R>>,
    arguments: &Arguments,
    pace: Pace,
    form: Form,
) -> Result<u8> {
    let known = match (arguments.output, arguments.lines) {
        (Format::Text, false) => channels(open()?)?,
        (Format::Json, _) | (_, true) => Vec::new(),
    };
    let asked_for = arguments.terminal || arguments.flow.is_some();
    let has_one = known.iter().any(|channel| channel.terminal.is_some());
    if !(asked_for || has_one && std::io::stdout().is_terminal()) {
        replay(open()?, pace, form, |line| out(line)).await?;
        return Ok(DONE);
    }
    let speed = match pace {
        Pace::AtOnce => None,
        Pace::Times(speed) => Some(speed),
    };
    let how = Play { flow: choose(&known, arguments.flow)?, speed, from: arguments.at };
    let (raw, keys) = keys::listen();
    let played = play(open()?, how, keys, &mut std::io::stdout()).await;
    drop(raw);
    played.map(|()| DONE)
}

/// Replays every session of a run whose recording is there.
async fn whole_run(store: &Sqlite, archive: &Archive, run: &RunId, pace: Pace, form: Form) -> Result<u8> {
    let sessions = of_run(store, run).await?;
    let edges = connect(store, archive, run, &sessions).await?;
    let (mut parts, mut code) = (Vec::new(), DONE);
    for row in &sessions {
        match archive.replay(&row.start.id) {
            Ok(reader) => {
                parts.push(Part { session: row.start.id.clone(), name: row.start.target.to_string(), reader });
            }
            Err(error) => {
                hint(format_args!("sluice: the session {} cannot be replayed: {error}", row.start.id));
                code = WRONG;
            }
        }
    }
    if let Form::Text { .. } = form {
        out(format_args!("run {run}: {} sessions", sessions.len()));
    }
    replay_run(parts, &edges, pace, form, |line| out(line)).await?;
    Ok(code)
}
