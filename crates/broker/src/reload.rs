//! When to read the configuration again: on SIGHUP, and when one of its files has changed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::policies;

/// Editors and deployments write several files at once: wait until they are done. A file that somebody is writing is waited
/// for besides, until it is closed.
const QUIET: Duration = Duration::from_millis(300);

/// Says when to reload.
pub(crate) struct Reloads {
    hangup: Signal,
    changes: mpsc::Receiver<()>,
    notice: mpsc::Sender<()>,
    written: Written,
    /// Kept alive: it stops watching when dropped. `None` where the system cannot watch files.
    watcher: Option<RecommendedWatcher>,
    file: PathBuf,
    folder: PathBuf,
    seen: Snapshot,
}

/// The files that somebody is writing at the moment.
type Written = Arc<Mutex<BTreeSet<PathBuf>>>;

/// What the files held.
type Snapshot = Vec<(PathBuf, Option<Vec<u8>>)>;

impl Reloads {
    /// Watches the files of a configuration.
    pub(crate) fn watch(config: &Config) -> Result<Self> {
        let (notice, changes) = mpsc::channel(1);
        let mut reloads = Self {
            hangup: signal(SignalKind::hangup())?,
            changes,
            notice,
            written: Written::default(),
            watcher: None,
            file: config.file.clone(),
            folder: config.policies.clone(),
            seen: snapshot(&config.file, &config.policies),
        };
        reloads.start();
        Ok(reloads)
    }

    /// Watches where the configuration points to from here on.
    pub(crate) fn follow(&mut self, config: &Config) {
        if self.folder != config.policies {
            self.folder.clone_from(&config.policies);
            self.seen = snapshot(&self.file, &self.folder);
            self.start();
        }
    }

    fn start(&mut self) {
        self.written = Written::default();
        self.watcher = match watcher(&self.file, &self.folder, self.notice.clone(), Arc::clone(&self.written)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                warn!(error = %error, "files cannot be watched; send SIGHUP to reload");
                None
            }
        };
    }

    /// Ends when the configuration is to be read again. Safe to abandon.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    self.seen = snapshot(&self.file, &self.folder);
                    return;
                }
                _ = self.changes.recv() => {
                    tokio::time::sleep(QUIET).await;
                    let _one_look_for_all = self.changes.try_recv();
                    let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
                    if let Some(file) = written {
                        // There is another notice when it is closed.
                        info!(file = %file.display(), "a changed file is not read before it is closed");
                        continue;
                    }
                    let found = snapshot(&self.file, &self.folder);
                    if found != self.seen {
                        self.seen = found;
                        return;
                    }
                    debug!("a file was touched but not changed");
                }
            }
        }
    }
}

/// Folders are watched, not files: a file that is replaced by a rename is another file.
fn watcher(
    file: &Path,
    folder: &Path,
    notice: mpsc::Sender<()>,
    written: Written,
) -> notify::Result<RecommendedWatcher> {
    let name = file.file_name().map(OsStr::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        follow(&mut written.lock().unwrap_or_else(PoisonError::into_inner), &event, name.as_deref());
        if event.map_or(true, |event| concerns(&event, name.as_deref())) {
            // A full queue already holds a notice.
            let _one_is_enough = notice.try_send(());
        }
    })?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(parent, RecursiveMode::NonRecursive)?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Whether an event may have changed the configuration or a policy. Deployments that swap a whole folder at once do so
/// by a link whose name begins with two dots.
fn concerns(event: &notify::Event, file: Option<&OsStr>) -> bool {
    let named = |path: &PathBuf| {
        let name = path.file_name();
        let swapped = name.is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        swapped || name == file || path.extension().is_some_and(|extension| extension == "cedar")
    };
    let changes = !matches!(event.kind, EventKind::Access(_)) || is_closing(event.kind);
    changes && (event.paths.is_empty() || event.paths.iter().any(named))
}

/// Keeps track of the files that are being written.
fn follow(written: &mut BTreeSet<PathBuf>, event: &notify::Result<notify::Event>, file: Option<&OsStr>) {
    match event {
        Ok(event) if !event.need_rescan() => {
            let gone = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_));
            if gone || is_closing(event.kind) {
                written.retain(|path| !event.paths.contains(path));
            } else if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) && concerns(event, file) {
                written.extend(event.paths.iter().cloned());
            }
        }
        // Events were lost, and perhaps the one that a file was closed.
        Ok(_) | Err(_) => written.clear(),
    }
}

const fn is_closing(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

fn snapshot(file: &Path, folder: &Path) -> Snapshot {
    let packs = policies::files(folder, "cedar").unwrap_or_default();
    std::iter::once(file.to_path_buf())
        .chain(packs)
        .map(|path| {
            let content = fs::read(&path).ok();
            (path, content)
        })
        .collect()
}
