//! The file system, as far as recordings need it.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::RecordingError;

const LOCK: &str = ".lock";
const RESERVE: &str = ".reserve";

/// One file that is being written.
pub(super) trait Medium: Debug + Send + Sync {
    /// Hands bytes to the operating system.
    fn write_at(&self, at_byte: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable. A failure means that some of it is lost, whatever a second call says.
    fn sync(&self) -> io::Result<()>;

    /// Cuts everything off from a byte on.
    fn cut(&self, at_byte: u64) -> io::Result<()>;

    /// Everything that is there.
    fn reader(&self) -> io::Result<Box<dyn io::Read + Send>>;
}

/// The directory that holds the files.
pub(super) trait Disk: Debug + Send + Sync {
    /// Makes a file that was not there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Medium>>;

    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Medium>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes the names of new files durable.
    fn sync_names(&self) -> io::Result<()>;

    /// Bytes that are free and bytes there are.
    fn space(&self) -> io::Result<(u64, u64)>;

    /// Sets space aside, unless that was done before.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Gives the space back that was set aside.
    fn release(&self) -> io::Result<()>;
}

/// A directory of the local file system, locked against other brokers for as long as it is open.
#[derive(Debug)]
pub struct LocalDisk {
    dir: PathBuf,
    _lock: File,
}

impl LocalDisk {
    /// Opens and locks a directory, making it with mode 0700 if it is not there.
    pub fn open(dir: &Path) -> Result<Self, RecordingError> {
        let making = RecordingError::disk("making the directory of recordings");
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(making)?;
        let owning = RecordingError::disk("protecting the directory of recordings");
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(owning)?;
        let locking = || RecordingError::disk("locking the directory of recordings");
        let lock = private().create(true).open(dir.join(LOCK)).map_err(locking())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RecordingError::InUse),
            Err(TryLockError::Error(cause)) => Err(locking()(cause)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Disk for LocalDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn Medium>> {
        Ok(Arc::new(private().create_new(true).open(self.path(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Medium>> {
        Ok(Arc::new(private().open(self.path(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        let space = statvfs(&self.dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Ok((bytes(space.f_bavail), bytes(space.f_blocks)))
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let path = self.path(RESERVE);
        if fs::metadata(&path).is_ok_and(|there| there.len() == bytes) {
            return Ok(());
        }
        let file = private().create(true).open(&path)?;
        let kept = file.set_len(0).and_then(|()| set_aside(&file, bytes));
        if kept.is_err() {
            fs::remove_file(&path)?;
        }
        kept
    }

    fn release(&self) -> io::Result<()> {
        match fs::remove_file(self.path(RESERVE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

impl Medium for File {
    fn write_at(&self, at_byte: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at_byte)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, at_byte: u64) -> io::Result<()> {
        self.set_len(at_byte)
    }

    fn reader(&self) -> io::Result<Box<dyn io::Read + Send>> {
        let from_start = Positioned { file: self.try_clone()?, at_byte: 0 };
        Ok(Box::new(io::BufReader::with_capacity(1 << 16, from_start)))
    }
}

/// Reads a file without moving the position that its other handles share.
struct Positioned {
    file: File,
    at_byte: u64,
}

impl io::Read for Positioned {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.at_byte)?;
        self.at_byte = self.at_byte.saturating_add(read as u64);
        Ok(read)
    }
}

/// Gives an empty file space on the disk, by writing it where the file system has no other way.
fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, bytes).map_err(io::Error::from) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fill(file, bytes),
        result => result,
    }
}

fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    // Nothing but a write makes sure of the space; zeros might be left out by a file system that compresses.
    let mut pattern = io::Read::take(io::repeat(0xa5), bytes);
    io::copy(&mut pattern, &mut file)?;
    file.sync_data()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_reserve_is_space_on_the_disk_that_can_be_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk = LocalDisk::open(dir.path()).unwrap();
        disk.release().unwrap();
        for _ in 0..2 {
            disk.reserve(1 << 16).unwrap();
            assert_eq!(fs::metadata(dir.path().join(RESERVE)).unwrap().len(), 1 << 16);
        }
        disk.release().unwrap();
        assert!(fs::metadata(dir.path().join(RESERVE)).is_err());

        let file = tempfile::tempfile().unwrap();
        fill(&file, 10_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_000);
    }
}
