//! `sluice config`: what a configuration file may hold.

use anyhow::Result;
use clap::Subcommand;

use super::{DONE, out};
use crate::config::{EXAMPLE, json_schema};

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the JSON Schema of `sluice.yaml`, for editors.
    #[command(after_help = "Example:\n  sluice config schema > sluice.schema.json")]
    Schema,
    /// Print a complete configuration with comments.
    #[command(after_help = "Example:\n  sluice config example > sluice.yaml")]
    Example,
}

pub(crate) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Schema => out(serde_json::to_string_pretty(&json_schema())?),
        Command::Example => out(EXAMPLE.trim_end()),
    }
    Ok(DONE)
}
