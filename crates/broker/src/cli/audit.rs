//! `sluice audit`: is what was recorded still what was recorded?

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_model::SessionId;
use sluice_recording::{End, Verified, verify};
use sluice_store::{Archive, Checked};

use super::output::{Style, colours, hint, one_line, styled};
use super::{DONE, Format, Global, WRONG, out};
use crate::paths::Paths;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify one recording, or the node's log and every recording with it.
    #[command(after_help = "Exit codes: 0 whole; 1 something was changed, cut or is missing.\n\n\
                            Example:\n  sluice audit verify\n  sluice audit verify 5d8881125f69\n  \
                            sluice audit verify /media/copy/ID.rec")]
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A recording's file or a session's id; everything where none is given.
    what: Option<String>,
    #[arg(long, default_value = "text")]
    output: Format,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<u8> {
    let Command::Verify(Verify { what, output }) = command;
    // A file needs no configuration: copies are verified anywhere.
    if let Some(file) = what.as_deref().map(Path::new).filter(|path| path.is_file()) {
        return verify_file(file, output);
    }
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    let archive = Archive::at(paths.recordings());
    match what {
        Some(text) => {
            let store = super::stored(&paths).await?;
            let id = super::sessions::resolve(&store, &text).await?;
            let checked = archive.verify(&id)?;
            print(&id, &checked, output);
            Ok(if checked.is_sound() { DONE } else { WRONG })
        }
        None => verify_all(&archive, output),
    }
}

fn verify_file(file: &Path, output: Format) -> Result<u8> {
    let input = File::open(file).with_context(|| format!("`{}` cannot be opened", file.display()))?;
    let (session, checked) = match verify(BufReader::new(input)) {
        Ok(found) => {
            let session = found.header.session.clone();
            let clean = found.end == End::Clean;
            (Some(session), if clean { Checked::Whole(found) } else { Checked::Open(found) })
        }
        Err(error) => (None, Checked::Damaged(error)),
    };
    let name = PathBuf::from(file).display().to_string();
    match session {
        Some(session) => print(&session, &checked, output),
        None => print_named(&name, &checked, output),
    }
    hint("note: a single file shows that it was not changed; compare it with the node's log to see that it is the one");
    Ok(if checked.is_sound() { DONE } else { WRONG })
}

fn verify_all(archive: &Archive, output: Format) -> Result<u8> {
    let report = archive.verify_all().context("nothing was recorded here yet, or the folder cannot be read")?;
    for (session, checked) in &report.sessions {
        print(session, checked, output);
    }
    let sound = report.is_sound();
    let unsound = report.sessions.iter().filter(|(_, checked)| !checked.is_sound()).count();
    match output {
        Format::Json => out(json!({
            "sound": sound, "recordings": report.sessions.len(), "unsound": unsound,
            "log_entries": report.log.as_ref().ok(),
            "log_error": report.log.as_ref().err().map(ToString::to_string),
        })),
        Format::Text => {
            match &report.log {
                Ok(entries) => out(format_args!("the log is whole: {entries} entries")),
                Err(broken) => out(styled(format_args!("the log is broken: {broken}"), Style::Bad, colours())),
            }
            let count = report.sessions.len();
            if sound {
                out(styled(format_args!("all {count} recordings are as they were written"), Style::Good, colours()));
            } else {
                out(styled(
                    format_args!("{unsound} of {count} recordings are not as they were written"),
                    Style::Bad,
                    colours(),
                ));
            }
        }
    }
    Ok(if sound { DONE } else { WRONG })
}

fn print(session: &SessionId, checked: &Checked, output: Format) {
    print_named(session.as_str(), checked, output);
}

fn print_named(name: &str, checked: &Checked, output: Format) {
    let (word, detail, found) = words(checked);
    match output {
        Format::Json => out(json!({
            "session": name, "state": word, "detail": detail,
            "events": found.map(|found| found.events), "segments": found.map(|found| found.segments),
            "root": found.map(|found| found.root.hex()),
        })),
        Format::Text => {
            let style = if checked.is_sound() { Style::Good } else { Style::Bad };
            let state = styled(format_args!("{word:<9}"), style, colours());
            out(format_args!("{} {state} {}", one_line(name), one_line(&detail)));
        }
    }
}

fn words(checked: &Checked) -> (&'static str, String, Option<&Verified>) {
    match checked {
        Checked::Whole(found) => (
            "whole",
            format!("{} events in {} segments, root {}", found.events, found.segments, found.root.hex()),
            Some(found),
        ),
        Checked::Open(found) => {
            let upto = match found.end {
                End::Clean => String::new(),
                End::Torn { at_byte, last_seq } => {
                    let last = last_seq.map_or_else(|| "no event".to_owned(), |seq| format!("event {seq}"));
                    format!(", up to byte {at_byte} ({last})")
                }
            };
            ("open", format!("not closed; {} events are whole{upto}", found.events), Some(found))
        }
        Checked::Disagrees(finding) => ("disagrees", finding.to_string(), None),
        Checked::Damaged(error) => ("damaged", error.to_string(), None),
        Checked::Missing => ("missing", "the log names it, and its file is not there".to_owned(), None),
    }
}
