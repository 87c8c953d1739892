//! `sluice replay`.

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_model::RunId;
use sluice_recording::Reader;
use sluice_store::{Archive, Sqlite};

use super::output::{colours, hint};
use super::sessions::{Found, find, of_run};
use super::{DONE, Format, Global, WRONG, out};
use crate::paths::Paths;
use crate::replay::{Form, Pace, Part, connect, replay, replay_run};

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
    /// `json` prints one document for every event, at once.
    #[arg(long, default_value = "text")]
    output: Format,
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
        let input = std::fs::File::open(file).with_context(|| format!("`{}` cannot be opened", file.display()))?;
        let reader = Reader::open(std::io::BufReader::new(input))?;
        replay(reader, pace, form, |line| out(line)).await?;
        return Ok(DONE);
    }
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    let store = super::stored(&paths).await?;
    let archive = Archive::at(paths.recordings());
    match find(&store, &arguments.id).await? {
        Found::Session(id) => {
            replay(archive.replay(&id)?, pace, form, |line| out(line)).await?;
            Ok(DONE)
        }
        Found::Run(run) => whole_run(&store, &archive, &run, pace, form).await,
    }
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
