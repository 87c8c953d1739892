#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sluice_model::{FlowId, OpId, SessionId, UnixMicros};
use sluice_recording::log::{Ending, Finding, Logged};
use sluice_recording::{Closed, Content, End, Event, Passed, Reader, Toward, verify};

use super::disk::{Disk, Medium};
use super::*;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);
const LIMITS: Limits = Limits { min_free_percent: 0, ample_bytes: 0, min_free_bytes: 0, reserve_bytes: 4096 };

fn session(id: &str) -> SessionId {
    SessionId::new(id).unwrap()
}

fn frame(bytes: &[u8]) -> Event<'_> {
    Event::Passed(Passed { op: OpId(1), toward: Toward::Client, frame: Content(bytes) })
}

fn closed() -> Closed<'static> {
    Closed { reason: "client".into(), counters: vec![] }
}

fn events(input: impl io::Read) -> Vec<String> {
    let mut reader = Reader::open(input).unwrap();
    let mut events = Vec::new();
    while let Some(stored) = reader.next_event().unwrap() {
        if let Event::Passed(passed) = &stored.event {
            events.push(String::from_utf8(passed.frame.0.to_vec()).unwrap());
        } else if let Event::Gap(gap) = &stored.event {
            events.push(format!("gap {} {}", gap.reason, gap.bytes));
        } else if let Event::Closed(closed) = &stored.event {
            events.push(format!("closed {}", closed.reason));
        } else {
            panic!("{stored:?}");
        }
    }
    events
}

/// A recording with two committed events, finished.
fn finished(recordings: &Recordings, id: &str) {
    let mut file = recordings.create(&session(id), NOW).unwrap();
    for event in ["one", "two"] {
        file.append(FlowId(0), 1, &frame(event.as_bytes())).unwrap();
        file.commit().unwrap();
    }
    file.finish(5, &closed(), NOW).unwrap();
}

/// A recording with two committed events that nobody finished.
fn abandoned(recordings: &Recordings, id: &str) {
    let mut file = recordings.create(&session(id), NOW).unwrap();
    for event in ["one", "two"] {
        file.append(FlowId(0), 1, &frame(event.as_bytes())).unwrap();
        file.commit().unwrap();
    }
}

fn open(dir: &Path) -> Recordings {
    Recordings::open(dir, LIMITS, NOW).unwrap()
}

#[test]
fn a_session_is_recorded_privately_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("recordings");
    let recordings = open(&dir);
    finished(&recordings, "..");
    let again = recordings.create(&session(".."), NOW);
    assert!(matches!(again, Err(RecordingError::Disk { .. })), "a recording is never overwritten");

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let archive = Archive::at(&dir);
    assert_eq!(archive.sessions().unwrap(), [session("..")]);
    let read = events(fs::File::open(archive.path(&session(".."))).unwrap());
    assert_eq!(read, ["one", "two", "closed client"]);
    let report = archive.verify_all().unwrap();
    assert!(report.is_sound());
    assert_eq!(report.log.unwrap(), 2);
}

#[test]
fn a_second_broker_is_kept_away() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    assert!(matches!(Recordings::open(dir.path(), LIMITS, NOW), Err(RecordingError::InUse)));
    drop(first);
    open(dir.path());
}

#[test]
fn committed_events_are_in_the_file_before_anything_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let recordings = open(dir.path());
    let mut file = recordings.create(&session("s"), NOW).unwrap();
    let path = Archive::at(dir.path()).path(&session("s"));
    file.append(FlowId(0), 1, &frame(b"one")).unwrap();
    assert!(events(fs::File::open(&path).unwrap()).is_empty());
    file.commit().unwrap();
    assert_eq!(events(fs::File::open(&path).unwrap()), ["one"]);
    let checked = Archive::at(dir.path()).verify(&session("s")).unwrap();
    assert!(matches!(checked, Checked::Open(_)), "{checked:?}");
}

#[test]
fn a_crash_at_any_byte_is_closed_with_a_marker_and_keeps_what_was_whole() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("crashed");
    abandoned(&open(&broken), "s");
    let path = Archive::at(&broken).path(&session("s"));
    let whole = fs::read(&path).unwrap();
    let log = fs::read(broken.join(LOG)).unwrap();
    let header = whole.windows(4).position(|four| four == b"SEGM").unwrap();

    let mut kept = 0;
    for cut in header..=whole.len() {
        let torn = whole.get(..cut).unwrap();
        let before = events(torn);
        let lost = cut as u64 - verify(torn).unwrap().resume.at_byte;
        fs::write(&path, torn).unwrap();
        fs::write(broken.join(LOG), &log).unwrap();
        let recovered = open(&broken).recover(NOW.plus_seconds(9)).unwrap();
        assert_eq!(recovered.closed, [session("s")], "{:?}", recovered.damaged);
        let after = events(fs::File::open(&path).unwrap());
        let marker = [format!("gap crash {lost}"), "closed crash".to_owned()];
        assert_eq!(after, [before.as_slice(), &marker].concat());
        assert!(Archive::at(&broken).verify_all().unwrap().is_sound());
        kept = before.len();
    }
    assert_eq!(kept, 2);
    let ledger = Archive::at(&broken).ledger().unwrap();
    let Some(Logged { closed: Some((_, end)), .. }) = ledger.session(&session("s")) else { panic!("not closed") };
    assert_eq!(*end, Ending::Crashed);
    let second = open(&broken).recover(NOW).unwrap();
    assert!(second.closed.is_empty() && second.damaged.is_empty() && second.removed.is_empty());
}

#[test]
fn recovery_never_touches_what_it_does_not_understand() {
    let dir = tempfile::tempdir().unwrap();
    abandoned(&open(dir.path()), "damaged");
    abandoned(&open(dir.path()), "missing");
    finished(&open(dir.path()), "good");
    let archive = Archive::at(dir.path());
    let mut bytes = fs::read(archive.path(&session("damaged"))).unwrap();
    let at = bytes.len() / 2;
    *bytes.get_mut(at).unwrap() ^= 1;
    fs::write(archive.path(&session("damaged")), &bytes).unwrap();
    fs::remove_file(archive.path(&session("missing"))).unwrap();
    fs::copy(archive.path(&session("good")), archive.path(&session("planted"))).unwrap();
    let header = bytes.windows(4).position(|four| four == b"SEGM").unwrap();
    fs::write(archive.path(&session("unopened")), bytes.get(..header).unwrap()).unwrap();

    let recovered = open(dir.path()).recover(NOW).unwrap();
    assert!(recovered.closed.is_empty());
    assert_eq!(recovered.removed, [session("unopened")]);
    let named: Vec<_> = recovered.damaged.iter().map(|(session, _)| session.as_str()).collect();
    assert_eq!(named, ["damaged", "missing", "planted"]);
    assert_eq!(fs::read(archive.path(&session("damaged"))).unwrap(), bytes);

    let report = archive.verify_all().unwrap();
    assert!(!report.is_sound());
    for (id, checked) in &report.sessions {
        match id.as_str() {
            "damaged" => assert!(matches!(checked, Checked::Damaged(_))),
            "missing" => assert!(matches!(checked, Checked::Missing)),
            "planted" => assert!(matches!(checked, Checked::Disagrees(Finding::OtherSession))),
            "good" => assert!(matches!(checked, Checked::Whole(_))),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_log_survives_a_torn_line_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    finished(&open(dir.path()), "s");
    let path = dir.path().join(LOG);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"1 2 17000"].concat()).unwrap();
    finished(&open(dir.path()), "t");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(" cut 9 "), "{text}");
    assert!(Archive::at(dir.path()).verify_all().unwrap().is_sound());

    let mut damaged = whole;
    *damaged.get_mut(10).unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    assert!(matches!(Recordings::open(dir.path(), LIMITS, NOW), Err(RecordingError::Log(_))));
    let report = Archive::at(dir.path()).verify_all().unwrap();
    assert!(report.log.is_err());
    assert_eq!(report.sessions.len(), 2, "recordings are verified without the log");
}

#[test]
fn a_recording_that_is_dropped_is_closed_as_crashed() {
    let dir = tempfile::tempdir().unwrap();
    let recordings = open(dir.path());
    let mut file = recordings.create(&session("s"), NOW).unwrap();
    file.append(FlowId(0), 1, &frame(b"one")).unwrap();
    file.commit().unwrap();
    assert!(recordings.sweep(NOW).is_empty(), "it is being written");
    drop(file);
    assert_eq!(recordings.sweep(NOW), [session("s")]);
    assert!(recordings.sweep(NOW).is_empty());
    let read = events(fs::File::open(Archive::at(dir.path()).path(&session("s"))).unwrap());
    assert_eq!(read, ["one", "gap crash 0", "closed crash"]);
}

#[test]
fn admission_stops_exactly_at_its_limits() {
    let limits = Limits { min_free_percent: 10, ample_bytes: 600, min_free_bytes: 500, reserve_bytes: 0 };
    for (free, total, admitted) in [
        (99, 990, false),
        (500, 5_001, false),
        (599, 1 << 40, false),
        (600, 1 << 40, true),
        (500, 5_000, true),
        (501, 5_000, true),
        (499, 1_000, false),
        (500, 1_000, true),
        (u64::MAX, u64::MAX, true),
    ] {
        assert_eq!(limits.admit(free, total), admitted, "{free} of {total}");
    }
}

/// A disk in memory that can be full and whose syncs can fail.
#[derive(Debug, Default)]
struct SmallDisk {
    files: Mutex<BTreeMap<String, Arc<SmallFile>>>,
    state: Arc<SmallState>,
    reserved: AtomicU64,
}

#[derive(Debug, Default)]
struct SmallState {
    free: AtomicU64,
    sync_fails: AtomicBool,
}

#[derive(Debug)]
struct SmallFile {
    bytes: Mutex<Vec<u8>>,
    state: Arc<SmallState>,
    is_log: bool,
}

impl SmallDisk {
    fn with(free: u64) -> Arc<Self> {
        let disk = Arc::new(Self::default());
        disk.state.free.store(free, Ordering::SeqCst);
        disk
    }

    fn read(&self, id: &str) -> Vec<u8> {
        lock(&lock(&self.files).get(&file_name(&session(id))).unwrap().bytes).clone()
    }
}

impl SmallState {
    fn take(&self, bytes: u64) -> io::Result<()> {
        let taken = self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(bytes));
        taken.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn give(&self, bytes: u64) {
        self.free.fetch_add(bytes, Ordering::SeqCst);
    }
}

impl Medium for SmallFile {
    fn write_at(&self, at_byte: u64, new: &[u8]) -> io::Result<()> {
        let mut bytes = lock(&self.bytes);
        let at = usize::try_from(at_byte).unwrap();
        assert!(at <= bytes.len(), "a hole");
        // Like a real disk, a write that does not fit leaves its first part behind.
        for (place, byte) in (at..).zip(new) {
            match bytes.get_mut(place) {
                Some(old) => *old = *byte,
                None => {
                    self.state.take(1)?;
                    bytes.push(*byte);
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let fails = self.state.sync_fails.load(Ordering::SeqCst) && !self.is_log;
        if fails { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }

    fn cut(&self, at_byte: u64) -> io::Result<()> {
        let mut bytes = lock(&self.bytes);
        let at = usize::try_from(at_byte).unwrap();
        self.state.give(bytes.len().saturating_sub(at) as u64);
        bytes.truncate(at);
        Ok(())
    }

    fn reader(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(Cursor::new(lock(&self.bytes).clone())))
    }
}

impl Disk for SmallDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn Medium>> {
        let file = SmallFile { bytes: Mutex::default(), state: Arc::clone(&self.state), is_log: name == LOG };
        let file = Arc::new(file);
        lock(&self.files).insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Medium>> {
        match lock(&self.files).get(name) {
            Some(file) => Ok(Arc::<SmallFile>::clone(file)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.files).keys().cloned().collect())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        Ok((self.state.free.load(Ordering::SeqCst), 1 << 20))
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let missing = bytes.saturating_sub(self.reserved.load(Ordering::SeqCst));
        self.state.take(missing)?;
        self.reserved.fetch_add(missing, Ordering::SeqCst);
        Ok(())
    }

    fn release(&self) -> io::Result<()> {
        self.state.give(self.reserved.swap(0, Ordering::SeqCst));
        Ok(())
    }
}

#[test]
fn on_a_disk_that_fills_up_at_any_byte_every_recording_still_gets_its_end() {
    let mut unrecorded = 0;
    // From a disk that takes the opening and nothing else to one that takes everything.
    for room in (600..2_000).step_by(3) {
        let disk = SmallDisk::with(LIMITS.reserve_bytes + room);
        let recordings = Recordings::on(Arc::<SmallDisk>::clone(&disk), LIMITS, NOW).unwrap();
        let mut file = recordings.create(&session("s"), NOW).unwrap();
        let mut committed = Vec::new();
        for number in 0..4 {
            let text = format!("event {number}");
            let done = file.append(FlowId(0), number, &frame(text.as_bytes())).and_then(|()| file.commit());
            if done.is_err() {
                assert!(file.commit().is_err() && file.sync().is_err(), "a failure is final");
                assert!(file.append(FlowId(0), 9, &frame(b"late")).is_err(), "a failure is final");
                break;
            }
            committed.push(text);
        }
        let all = committed.len() == 4;
        let result = file.finish(9, &closed(), NOW);
        let bytes = disk.read("s");
        let found = verify(bytes.as_slice()).unwrap();
        assert_eq!(found.end, End::Clean, "{room} bytes free");
        let read = events(bytes.as_slice());
        assert_eq!(read.get(..committed.len()).unwrap(), committed, "{room} bytes free");
        if result.is_ok() {
            assert!(all);
            assert_eq!(read.last().unwrap(), "closed client");
        } else {
            unrecorded += 1;
            assert_eq!(read.last().unwrap(), "closed unrecorded");
        }
        let ledger = lock(&recordings.shared.log).ledger().unwrap();
        assert_eq!(ledger.check(&session("s"), &found), None, "{room} bytes free");
    }
    assert!(unrecorded > 10, "{unrecorded}");
}

#[test]
fn a_full_disk_admits_nobody_until_there_is_space_again() {
    let disk = SmallDisk::with(LIMITS.reserve_bytes + 400);
    let recordings = Recordings::on(Arc::<SmallDisk>::clone(&disk), LIMITS, NOW).unwrap();
    recordings.admits().unwrap();
    let mut file = recordings.create(&session("s"), NOW).unwrap();
    file.append(FlowId(0), 1, &frame(&[b'x'; 900])).unwrap();
    assert!(file.commit().is_err());
    assert!(file.finish(2, &closed(), NOW).is_err());
    assert_eq!(disk.reserved.load(Ordering::SeqCst), 0, "the reserve was used");
    assert!(recordings.admits().is_err());
    assert!(recordings.create(&session("t"), NOW).is_err());
    disk.state.give(2_000);
    recordings.admits().unwrap();
    assert_eq!(disk.reserved.load(Ordering::SeqCst), LIMITS.reserve_bytes);
    finished(&recordings, "t");
}

#[test]
fn what_a_failed_sync_lost_is_never_claimed_again() {
    let disk = SmallDisk::with(1 << 20);
    let recordings = Recordings::on(Arc::<SmallDisk>::clone(&disk), LIMITS, NOW).unwrap();
    let mut file = recordings.create(&session("s"), NOW).unwrap();
    let mut write = |text: &str| {
        file.append(FlowId(0), 1, &frame(text.as_bytes())).unwrap();
        file.commit().unwrap();
        file.sync()
    };
    write("durable").unwrap();
    disk.state.sync_fails.store(true, Ordering::SeqCst);
    assert!(matches!(write("lost"), Err(RecordingError::Disk { .. })));
    // The kernel would answer the next sync with success.
    disk.state.sync_fails.store(false, Ordering::SeqCst);
    recordings.sync_all();
    assert!(matches!(file.sync(), Err(RecordingError::Failed)));
    assert!(matches!(file.commit(), Err(RecordingError::Failed)));
    assert!(file.finish(9, &closed(), NOW).is_err());
    let read = events(disk.read("s").as_slice());
    assert_eq!(read.first().unwrap(), "durable");
    assert!(read.get(1).unwrap().starts_with("gap unrecorded "));
    assert_eq!(read.get(2).unwrap(), "closed unrecorded");
}

#[test]
fn a_sync_that_fails_in_the_background_stops_the_recording() {
    let disk = SmallDisk::with(1 << 20);
    let recordings = Recordings::on(Arc::<SmallDisk>::clone(&disk), LIMITS, NOW).unwrap();
    let mut file = recordings.create(&session("s"), NOW).unwrap();
    file.append(FlowId(0), 1, &frame(b"one")).unwrap();
    file.commit().unwrap();
    disk.state.sync_fails.store(true, Ordering::SeqCst);
    recordings.sync_all();
    assert!(matches!(file.append(FlowId(0), 2, &frame(b"two")), Err(RecordingError::Failed)));
}
