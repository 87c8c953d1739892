//! `sluice sessions export`: a session for other programs.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_model::SessionId;
use sluice_store::Archive;

use super::DONE;
use super::output::hint;
use crate::replay::{cast, channels, choose};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The session's id, or the beginning or the end of it.
    pub(super) id: String,
    /// As asciicast v3, for asciinema and its players: what one terminal of an SSH session showed.
    #[arg(long, required = true)]
    cast: bool,
    /// The channel of the session, by its number; the first with a terminal if none is named.
    #[arg(long, value_name = "N")]
    flow: Option<u32>,
    /// A file to write, which must not be there yet; stdout if none is named.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn export(archive: &Archive, session: &SessionId, arguments: &Arguments) -> Result<u8> {
    let flow = choose(&channels(archive.replay(session)?)?, arguments.flow)?;
    let reader = archive.replay(session)?;
    let Some(path) = &arguments.output else {
        cast(reader, flow, |line| {
            super::out(line);
            Ok(())
        })?;
        return Ok(DONE);
    };
    // A recording is for its owner only, in whatever form.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = BufWriter::new(file.with_context(|| format!("`{}` cannot be made", path.display()))?);
    cast(reader, flow, |line| Ok(writeln!(file, "{line}")?))?;
    file.flush().with_context(|| format!("`{}` cannot be written", path.display()))?;
    hint(format_args!("channel {} of {session} is in `{}`", flow.0, path.display()));
    Ok(DONE)
}
