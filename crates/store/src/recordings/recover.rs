//! What the broker does with the recordings of an earlier run when it starts.

use sluice_model::{SessionId, UnixMicros};
use sluice_recording::log::{Ending, Finding};
use sluice_recording::{End, Root, Unreadable, Verified, verify};

use super::file::Epilogue;
use super::{RecordingError, Recordings, SUFFIX, Shared, file_name, lock};

/// What was found and done.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Recordings that were cut back to their last whole segment and closed with a crash marker.
    pub closed: Vec<SessionId>,
    /// Recordings that had not yet been opened: a header that no log entry follows.
    pub removed: Vec<SessionId>,
    /// Recordings that were left as they are, for `verify` to report.
    pub damaged: Vec<(SessionId, String)>,
}

impl Recordings {
    /// Closes what an earlier run left open. Call it once, before the first session opens. Blocks on the disk.
    pub fn recover(&self, now: UnixMicros) -> Result<Recovered, RecordingError> {
        let mut recovered = Recovered::default();
        let ledger = lock(&self.shared.log).ledger()?;
        let open = ledger.sessions().filter(|(_, logged)| logged.closed.is_none());
        for (session, _) in open {
            match self.shared.close_crashed(session, now) {
                Ok(()) => recovered.closed.push(session.clone()),
                Err(error) => recovered.damaged.push((session.clone(), error.to_string())),
            }
        }
        for session in self.shared.sessions()? {
            if ledger.session(&session).is_some() {
                continue;
            }
            if self.shared.is_unopened(&session)? {
                let removing = RecordingError::disk("removing an unopened recording");
                self.shared.disk.remove(&file_name(&session)).map_err(removing)?;
                recovered.removed.push(session);
            } else {
                recovered.damaged.push((session, Finding::Unlogged.to_string()));
            }
        }
        Ok(recovered)
    }
}

impl Shared {
    /// Closes a recording that nobody writes any more.
    pub(super) fn close_crashed(&self, session: &SessionId, now: UnixMicros) -> Result<(), RecordingError> {
        let opening = RecordingError::disk("opening a recording");
        let medium = self.disk.open(&file_name(session)).map_err(opening)?;
        let reading = RecordingError::disk("reading a recording");
        let found = verify(medium.reader().map_err(reading)?)?;
        if found.end == End::Clean {
            // It stopped between the footer and the log.
            let root = Root { digest: found.root, segments: found.segments, events: found.events };
            return self.closed(session, now, (root, Ending::Clean));
        }
        let since_anchor = now.0.saturating_sub(found.header.anchor.0).saturating_mul(1_000);
        let end = Epilogue {
            at_ns: u64::try_from(since_anchor).unwrap_or(0).max(found.resume.at_ns),
            lost_bytes: self.torn_bytes(session, &found)?,
            reason: "crash",
        };
        let root = end.write_or_release(&*medium, &found.resume, self)?;
        self.closed(session, now, (root, Ending::Crashed))
    }

    /// The sessions that recordings are there for.
    pub(super) fn sessions(&self) -> Result<Vec<SessionId>, RecordingError> {
        let names = self.disk.names().map_err(RecordingError::disk("listing the recordings"))?;
        Ok(sessions(&names))
    }

    /// Whether a recording is nothing but a header, or not even that.
    fn is_unopened(&self, session: &SessionId) -> Result<bool, RecordingError> {
        let reading = || RecordingError::disk("reading a recording");
        let medium = self.disk.open(&file_name(session)).map_err(reading())?;
        let len = length(medium.reader().map_err(reading())?).map_err(reading())?;
        match verify(medium.reader().map_err(reading())?) {
            Ok(found) => Ok(found.segments == 0 && found.end != End::Clean && len == found.resume.at_byte),
            // The longest header has 154 bytes.
            Err(Unreadable::NotARecording) => Ok(len < 154),
            Err(_) => Ok(false),
        }
    }

    fn torn_bytes(&self, session: &SessionId, found: &Verified) -> Result<u64, RecordingError> {
        let reading = || RecordingError::disk("reading a recording");
        let medium = self.disk.open(&file_name(session)).map_err(reading())?;
        let len = length(medium.reader().map_err(reading())?).map_err(reading())?;
        Ok(len.saturating_sub(found.resume.at_byte))
    }
}

/// The sessions that file names stand for.
pub(super) fn sessions(names: &[String]) -> Vec<SessionId> {
    let ids = names.iter().filter_map(|name| name.strip_suffix(SUFFIX));
    let mut sessions: Vec<SessionId> = ids.filter_map(|id| SessionId::new(id).ok()).collect();
    sessions.sort();
    sessions
}

fn length(mut reader: impl std::io::Read) -> std::io::Result<u64> {
    std::io::copy(&mut reader, &mut std::io::sink())
}
