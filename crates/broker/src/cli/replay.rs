//! `sluice replay`.

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_recording::Reader;
use sluice_store::Archive;

use super::output::colours;
use super::{DONE, Format, Global, out};
use crate::paths::Paths;
use crate::replay::{Form, Pace, replay};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The session's id, the beginning or the end of it, or a recording's file.
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
    let id = super::sessions::resolve(&store, &arguments.id).await?;
    let reader = Archive::at(paths.recordings()).replay(&id)?;
    replay(reader, pace, form, |line| out(line)).await?;
    Ok(DONE)
}
