//! `sluice sessions tail`: a session as it is recorded.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sluice_model::{FlowId, SessionId};
use sluice_recording::Reader;
use sluice_store::{Archive, Sessions as _, Sqlite};
use tokio::net::UnixStream;

use super::output::colours;
use super::{DONE, Format, out};
use crate::paths::Paths;
use crate::replay::{Form, Inert, Sight, replay_now, sight};

/// How often the file and the session are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The session's id, or the beginning or the end of it.
    pub(super) id: String,
    /// What its terminal shows, instead of lines.
    #[arg(long, conflicts_with = "output")]
    terminal: bool,
    /// `json` prints one document for every event.
    #[arg(long, default_value = "text")]
    output: Format,
}

/// Follows a session until it ends.
pub(super) async fn tail(store: &Sqlite, paths: &Paths, session: &SessionId, arguments: &Arguments) -> Result<u8> {
    let path = Archive::at(paths.recordings()).path(session);
    let file = File::open(&path).with_context(|| format!("`{}` cannot be opened", path.display()))?;
    let over = Arc::new(AtomicBool::new(false));
    let input = BufReader::new(Growing { file, over: Arc::clone(&over) });
    let (terminal, output) = (arguments.terminal, arguments.output);
    let reading = tokio::task::spawn_blocking(move || show(input, terminal, output));
    tokio::pin!(reading);
    loop {
        tokio::select! {
            read = &mut reading => return read.context("the recording could not be followed")?.map(|()| DONE),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let ended = store.show_session(session).await.map(|row| row.is_none_or(|row| row.end.is_some()));
        // A broker that is gone closes no session.
        let gone = UnixStream::connect(paths.control()).await.is_err();
        // Also where the store fails: the reader then ends with what is there.
        over.store(gone || ended.as_ref().map_or(true, |ended| *ended), Ordering::SeqCst);
        ended?;
    }
}

fn show(input: impl Read, terminal: bool, output: Format) -> Result<()> {
    let reader = Reader::open(input)?;
    if terminal {
        return watch(reader);
    }
    let form = match output {
        Format::Text => Form::Text { colours: colours() },
        Format::Json => Form::Json,
    };
    replay_now(reader, form, |line| out(line))
}

/// Shows the first terminal that there is.
fn watch(mut reader: Reader<impl Read>) -> Result<()> {
    let (mut shown, mut inert): (Option<FlowId>, Inert) = (None, Inert::default());
    while let Some(stored) = reader.next_event()? {
        match sight(&stored) {
            Some(Sight::Began { .. }) if shown.is_none() => shown = Some(stored.flow),
            Some(Sight::Output(bytes)) if shown == Some(stored.flow) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&inert.pass(&bytes)).and_then(|()| stdout.flush())?;
            }
            _ => {}
        }
    }
    if shown.is_none() {
        bail!("the session had no terminal");
    }
    let mut stdout = io::stdout().lock();
    Ok(stdout.write_all(inert.farewell().as_bytes()).and_then(|()| stdout.flush())?)
}

/// A file that grows until its session is over.
struct Growing {
    file: File,
    over: Arc<AtomicBool>,
}

impl Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked before reading: what was written until then is read.
            let over = self.over.load(Ordering::SeqCst);
            let read = self.file.read(into)?;
            if read > 0 || over || into.is_empty() {
                return Ok(read);
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_growing_file_is_read_until_its_session_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut writing = File::create(&path).unwrap();
        writing.write_all(b"one").unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let mut growing = Growing { file: File::open(&path).unwrap(), over: Arc::clone(&over) };
        let mut first = [0; 3];
        growing.read_exact(&mut first).unwrap();
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            growing.read_to_string(&mut rest).map(|_| rest)
        });
        writing.write_all(b" two").unwrap();
        over.store(true, Ordering::SeqCst);
        assert_eq!(rest.join().unwrap().unwrap(), " two");
    }
}
