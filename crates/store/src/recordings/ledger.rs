//! The node's log, open for writing.

use std::io::{self, BufReader};
use std::sync::Arc;

use sluice_model::UnixMicros;
use sluice_recording::log::{Chain, Entry, Ledger, verify};

use super::disk::{Disk, Medium};
use super::{LOG, RecordingError};

/// Appends entries, one durable line at a time.
#[derive(Debug)]
pub(super) struct NodeLog {
    medium: Arc<dyn Medium>,
    chain: Chain,
    at_byte: u64,
    /// A failed sync: whether the last entry is there cannot be known, so no other may follow it.
    lost: bool,
}

impl NodeLog {
    /// Opens and verifies the log. A half-written last line is cut off, and an entry says so.
    pub(super) fn open(disk: &Arc<dyn Disk>, now: UnixMicros) -> Result<Self, RecordingError> {
        let opening = || RecordingError::disk("opening the log");
        let medium = match disk.open(LOG) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(LOG).map_err(opening())?,
            result => result.map_err(opening())?,
        };
        let ledger = read(&*medium)?;
        let mut log = Self { medium, chain: ledger.chain, at_byte: ledger.whole_bytes, lost: false };
        if ledger.torn_bytes > 0 {
            log.medium.cut(log.at_byte).map_err(opening())?;
            log.append(now, &Entry::Cut { bytes: ledger.torn_bytes }).map_err(opening())?;
        }
        disk.sync_names().map_err(opening())?;
        Ok(log)
    }

    /// Appends an entry and makes it durable. After a failed write the log is as before; after a failed sync it is
    /// closed for good.
    pub(super) fn append(&mut self, at: UnixMicros, entry: &Entry) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("an earlier sync of the log failed"));
        }
        let mut chain = self.chain;
        let line = chain.append(at, entry);
        if let Err(error) = self.medium.write_at(self.at_byte, line.as_bytes()) {
            self.lost = self.medium.cut(self.at_byte).is_err();
            return Err(error);
        }
        if let Err(error) = self.medium.sync() {
            self.lost = true;
            return Err(error);
        }
        self.chain = chain;
        self.at_byte = self.at_byte.saturating_add(line.len() as u64);
        Ok(())
    }

    /// Reads the whole log again.
    pub(super) fn ledger(&self) -> Result<Ledger, RecordingError> {
        read(&*self.medium)
    }
}

fn read(medium: &dyn Medium) -> Result<Ledger, RecordingError> {
    let reader = medium.reader().map_err(RecordingError::disk("reading the log"))?;
    Ok(verify(BufReader::new(reader))?)
}
