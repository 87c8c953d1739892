//! Recordings, open for reading: for replay and for verification, also while a broker writes them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use sluice_model::SessionId;
use sluice_recording::log::{BrokenLog, Finding, Ledger, verify as verify_log};
use sluice_recording::{End, Reader, Unreadable, Verified, verify};

use super::recover::sessions;
use super::{LOG, RecordingError, file_name};

/// A directory of recordings.
#[derive(Clone, Debug)]
pub struct Archive {
    dir: PathBuf,
}

/// What verifying one session gave.
#[derive(Debug)]
pub enum Checked {
    /// Whole, and as the log says.
    Whole(Verified),
    /// Whole up to its last segment, and still open for the log.
    Open(Verified),
    /// Whole in itself, but not what the log says.
    Disagrees(Finding),
    /// Not whole.
    Damaged(Unreadable),
    /// Named by the log, and not there.
    Missing,
}

impl Checked {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Open(_))
    }
}

/// What verifying everything gave.
#[derive(Debug)]
pub struct ArchiveReport {
    /// How many entries the log has, or where it is damaged; recordings are then checked without it.
    pub log: Result<u64, BrokenLog>,
    /// Every session, by id.
    pub sessions: Vec<(SessionId, Checked)>,
}

impl ArchiveReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.log.is_ok() && self.sessions.iter().all(|(_, checked)| checked.is_sound())
    }
}

impl Archive {
    /// A directory of recordings; nothing is locked or changed.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where a session's recording is.
    #[must_use]
    pub fn path(&self, session: &SessionId) -> PathBuf {
        self.dir.join(file_name(session))
    }

    /// Opens a session's recording for replay.
    pub fn replay(&self, session: &SessionId) -> Result<Reader<BufReader<File>>, RecordingError> {
        Ok(Reader::open(open(&self.path(session))?)?)
    }

    /// The sessions that recordings are there for, by id.
    pub fn sessions(&self) -> Result<Vec<SessionId>, RecordingError> {
        let listing = || RecordingError::disk("listing the recordings");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(listing())? {
            names.extend(entry.map_err(listing())?.file_name().into_string());
        }
        Ok(sessions(&names))
    }

    /// Verifies the log.
    pub fn ledger(&self) -> Result<Ledger, RecordingError> {
        Ok(verify_log(open(&self.dir.join(LOG))?)?)
    }

    /// Verifies one session's recording and compares it with the log.
    pub fn verify(&self, session: &SessionId) -> Result<Checked, RecordingError> {
        let ledger = self.ledger()?;
        self.check(session, Some(&ledger))
    }

    /// Verifies the log and every recording.
    pub fn verify_all(&self) -> Result<ArchiveReport, RecordingError> {
        // The directory is listed first: a session that opens meanwhile is then in the log, not only on disk.
        let present: BTreeSet<SessionId> = self.sessions()?.into_iter().collect();
        let ledger = match self.ledger() {
            Ok(ledger) => Ok(ledger),
            Err(RecordingError::Log(broken)) => Err(broken),
            Err(error) => return Err(error),
        };
        let known = ledger.iter().flat_map(|ledger| ledger.sessions().map(|(session, _)| session.clone()));
        let all: BTreeSet<SessionId> = present.iter().cloned().chain(known).collect();
        let checked = all.into_iter().map(|session| {
            let checked = self.check(&session, ledger.as_ref().ok())?;
            Ok((session, checked))
        });
        let sessions = checked.collect::<Result<_, RecordingError>>()?;
        Ok(ArchiveReport { log: ledger.map(|ledger| ledger.chain.entries()), sessions })
    }

    fn check(&self, session: &SessionId, ledger: Option<&Ledger>) -> Result<Checked, RecordingError> {
        let file = match open(&self.path(session)) {
            Ok(file) => file,
            Err(RecordingError::Disk { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Checked::Missing);
            }
            Err(error) => return Err(error),
        };
        let found = match verify(file) {
            Ok(found) => found,
            Err(error) => return Ok(Checked::Damaged(error)),
        };
        if ledger.is_some_and(|ledger| ledger.check(session, &found).is_some()) {
            // The session may have opened or closed after the log was read.
            if let Some(finding) = self.ledger()?.check(session, &found) {
                return Ok(Checked::Disagrees(finding));
            }
        }
        Ok(if found.end == End::Clean { Checked::Whole(found) } else { Checked::Open(found) })
    }
}

fn open(path: &Path) -> Result<BufReader<File>, RecordingError> {
    let opening = RecordingError::disk("opening a recording");
    Ok(BufReader::with_capacity(1 << 16, File::open(path).map_err(opening)?))
}
