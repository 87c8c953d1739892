//! SSH for one run: a key of its own, and clients that sign in with it.
//!
//! The key stands in a private folder beside the clients' configuration; its public half is written down like one of
//! `sluice key`, for the run's principal, targets and time. **Invariant:** nothing of the caller's own configuration, keys
//! or agent takes part in reaching a target.

mod client;
mod wrapper;

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sluice_identity::NewKey;
use sluice_kernel::clock;
use sluice_model::{ExposeSecret as _, Principal, RunId, TokenId};
use sluice_store::{Added, Sqlite, SshKeyRow, SshKeys as _, Tokens as _};
use tempfile::TempDir;

use super::endpoints::Door;
use crate::cli::output::hint;
use crate::cli::ssh::ALIAS;
use crate::control::{Answer, Ask, ask};
use crate::host_key;
use crate::paths::Paths;
use client::Files;

/// A run's key and its clients; the folder goes when this is dropped.
#[derive(Debug)]
pub(super) struct Clients {
    row: SshKeyRow,
    /// The run's token: the key is revoked with it.
    parent: TokenId,
    folder: TempDir,
    guide: Guide,
}

/// How programs find the clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Guide {
    /// The folder of `ssh`, `scp` and `sftp`.
    pub(super) programs: PathBuf,
    /// The configuration, for programs that take one.
    pub(super) config: PathBuf,
    /// Where programs are looked for besides.
    pub(super) search: String,
}

impl Clients {
    /// Makes a key and writes down what its clients need; `None` where no client is installed. The key signs in once it is
    /// [registered](Self::register).
    pub(super) fn make(paths: &Paths, principal: &Principal, run: &RunId, door: &Door) -> Result<Option<Self>> {
        let search = std::env::var("PATH").context("`PATH` is not set, or not UTF-8")?;
        let Some(ssh) = wrapper::SSH.find(&search) else {
            hint("note: no `ssh` is installed here, so that the command is led to no SSH target");
            return Ok(None);
        };
        let key = NewKey::generate()?;
        let mut making = tempfile::Builder::new();
        let folder = making.prefix("sluice-run-").permissions(Permissions::from_mode(0o700)).tempdir();
        let folder = folder.context("no private folder can be made")?;
        // TMPDIR may be relative, and the command may change its folder.
        let root = std::path::absolute(folder.path())?;
        let [config, private, known_hosts] = ["config", "key", "known_hosts"].map(|name| root.join(name));
        let files = Files { config: &config, key: &private, known_hosts: &known_hosts, ssh: &ssh };
        let text = client::config(door, &files)?;
        write(&private, key.private().expose_secret(), OWN)?;
        write(&known_hosts, &format!("{ALIAS} {}\n", host_key::open(paths)?.public()), OWN)?;
        write(&config, &text, OWN)?;
        let programs = root.join("bin");
        wrap(&programs, &config, &search)?;
        let row = row(&key, principal, run)?;
        let parent = principal.token.clone();
        Ok(Some(Self { row, parent, folder, guide: Guide { programs, config, search } }))
    }

    /// Writes the key down and waits until the broker knows it.
    pub(super) async fn register(&self, paths: &Paths) -> Result<()> {
        let store = Sqlite::open(&paths.state()).await.context("the store cannot be opened")?;
        let unwritten = "the run's SSH key could not be written down";
        store.descend(self.id(), &self.parent).await.context(unwritten)?;
        let added = store.insert_ssh_key(&self.row).await.context(unwritten)?;
        store.close().await;
        if let Added::Taken(_) = added {
            bail!("the run's SSH key is somebody's already");
        }
        let answer = ask(&paths.control(), &Ask::Key { id: self.id().clone() }).await?;
        if let Answer::Refused { message, .. } = &answer {
            bail!("the broker does not take the run's SSH key: {message}");
        }
        if answer != (Answer::Key { signs_in: true }) {
            bail!("the broker does not let the run's SSH key sign in");
        }
        Ok(())
    }

    /// Has the broker read at once that the key was revoked. It does so by itself soon.
    pub(super) async fn announce_end(&self, paths: &Paths) {
        let _gone = ask(&paths.control(), &Ask::Key { id: self.id().clone() }).await;
    }

    /// The handle by which the key is revoked.
    pub(super) const fn id(&self) -> &TokenId {
        &self.row.principal.token
    }

    pub(super) const fn guide(&self) -> &Guide {
        &self.guide
    }

    /// Leaves the folder behind, for a shell that goes on using it; gives its path.
    pub(super) fn leave(self) -> PathBuf {
        self.folder.keep()
    }
}

/// For its owner only.
const OWN: u32 = 0o600;

fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // Whatever the umask took away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content.as_bytes())?;
    Ok(())
}

/// Puts a script in the place of each client that is installed.
fn wrap(folder: &Path, config: &Path, search: &str) -> Result<()> {
    fs::create_dir(folder)?;
    for program in std::iter::once(wrapper::SSH).chain(wrapper::OTHERS) {
        if let Some(found) = program.find(search) {
            write(&folder.join(program.name), &program.wrapper(&found, config), 0o700)?;
        }
    }
    Ok(())
}

/// The key as it is stored: the run's principal, under a handle of its own.
fn row(key: &NewKey, principal: &Principal, run: &RunId) -> Result<SshKeyRow> {
    let token = TokenId::new(uuid::Uuid::now_v7().to_string())?;
    let public = key.public();
    Ok(SshKeyRow {
        principal: Principal { token, ..principal.clone() },
        key: public.blob().to_vec(),
        algorithm: public.algorithm(),
        fingerprint: public.fingerprint(),
        comment: format!("run {run}"),
        created: clock::now(),
        revoked: None,
    })
}
