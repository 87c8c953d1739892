//! The broker's end of the control socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sluice_identity::SshLogins;
use sluice_kernel::Kernel;
use sluice_recording::Shown;
use sluice_store::{Holds, Sqlite};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::{Answer, MAX_LINE_BYTES};
use crate::logins::Nudge;
use crate::shutdown::Stop;

/// How long a client of the socket may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients at a time; the next ones wait in the socket's backlog.
const CLIENTS: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);

/// What is needed to answer.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) store: Sqlite,
    pub(crate) holds: Arc<Holds>,
    pub(crate) ssh_logins: Arc<SshLogins>,
    pub(crate) nudge: Nudge,
}

/// The bound socket; its file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds the socket of a data folder. Only one broker may run on a folder, and this is where it shows.
    pub(crate) async fn bind(path: &Path) -> Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            bail!("another broker is running on this data folder (it answers at `{}`)", path.display());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("`{}` cannot be replaced", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path).with_context(|| {
            format!("the control socket `{}` cannot be made; a socket's path has at most 107 bytes", path.display())
        })?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_path_buf() })
    }

    /// Answers until told to stop.
    pub(crate) async fn run(self, desk: Desk, mut stop: Stop) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.told() => break,
                Some(_) = clients.join_next(), if !clients.is_empty() => continue,
                accepted = self.listener.accept(), if clients.len() < CLIENTS => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let desk = desk.clone();
                    clients.spawn(async move {
                        if tokio::time::timeout(PATIENCE, serve(stream, &desk)).await.is_err() {
                            debug!("a client of the control socket was too slow");
                        }
                    });
                }
                Err(error) => {
                    warn!(error = %error, "the control socket could not accept");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _already_gone = fs::remove_file(&self.path);
    }
}

/// Whoever asks, as the system tells: nobody else can connect as them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    uid: Option<u32>,
}

impl Caller {
    fn of(stream: &UnixStream) -> Self {
        Self { uid: stream.peer_cred().ok().map(|credential| credential.uid()) }
    }

    /// The account in words, by its name if it has one.
    pub(crate) fn name(self) -> String {
        let Some(uid) = self.uid else { return "an operator".to_owned() };
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        account(&accounts, uid)
            .map_or_else(|| format!("the operator with uid {uid}"), |name| format!("the operator {name}"))
    }
}

/// The name of an account, in the format of `passwd(5)`.
fn account(accounts: &str, uid: u32) -> Option<String> {
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then_some(name)
    });
    named.filter(|name| !name.is_empty()).map(|name| Shown(name.as_bytes()).to_string())
}

async fn serve(stream: UnixStream, desk: &Desk) {
    let caller = Caller::of(&stream);
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
    if BufReader::new(read.take(limit)).read_until(b'\n', &mut line).await.is_err() {
        return;
    }
    let answer = match serde_json::from_slice(&line) {
        Ok(ask) => desk.answer(ask, caller).await,
        Err(_) => Answer::refused("the question cannot be read; is the command of another version?"),
    };
    let Ok(mut bytes) = serde_json::to_vec(&answer) else { return };
    bytes.push(b'\n');
    if let Err(error) = write.write_all(&bytes).await {
        debug!(error = %error, "a client of the control socket went away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_its_number() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\n# a comment\nda\x1bna:x:1000:100::/home/dana:/bin/sh\n:x:7:7:::\n";
        assert_eq!(account(accounts, 0).as_deref(), Some("root"));
        assert_eq!(account(accounts, 1000).as_deref(), Some("da\\x1bna"));
        assert_eq!((account(accounts, 7), account(accounts, 100)), (None, None));
    }
}
