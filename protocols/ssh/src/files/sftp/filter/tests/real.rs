//! OpenSSH's own server behind the filter.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{fs, thread};

use bytes::Bytes;
use sha2::Digest as _;
use sluice_model::Digest;
use tempfile::TempDir;

use super::bench::*;
use crate::files::event::Content;
use crate::files::mask::{Cover, Stars};
use crate::files::sftp::*;

/// Where distributions install it: the package is `openssh-sftp-server` on Debian, `openssh-server` elsewhere.
const PLACES: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
];
/// Pieces as OpenSSH's client sends them, and how many it has under way.
const PIECE: usize = 32 << 10;
const UNDER_WAY: usize = 64;

pub(super) fn server_program() -> &'static str {
    let program = PLACES.iter().find(|place| fs::exists(place).unwrap());
    program.unwrap_or_else(|| panic!("OpenSSH's sftp-server is not installed"))
}

struct Real {
    bench: Bench,
    server: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    folder: TempDir,
}

impl Real {
    fn start(governed: &[&str], policy: impl FnMut(&Question) -> Option<Ruled> + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(server_program());
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let (input, mut pipe) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(got @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer[..got].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut real = Self { bench: Bench::new(governed, policy), server, input, output, folder };
        real.send(0, &init());
        while real.bench.replies.is_empty() && !real.bench.sftp.wants_client() {
            real.receive();
        }
        real
    }

    fn path(&self, name: &str) -> String {
        let folder = fs::canonicalize(self.folder.path()).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    }

    fn forward(&mut self) {
        while let Some((_, packet)) = self.bench.to_server.pop_front() {
            self.input.write_all(&packet).unwrap();
        }
    }

    fn receive(&mut self) {
        let bytes = self.output.recv_timeout(Duration::from_secs(20)).unwrap();
        self.bench.server(bytes.into());
        self.forward();
    }

    fn send(&mut self, id: u32, request: &Request) {
        while !self.bench.sftp.wants_client() {
            self.receive();
        }
        self.bench.client(request.encode(id));
        self.forward();
    }

    fn wait(&mut self, id: u32) -> Reply {
        loop {
            if let Some(reply) = self.bench.take(id) {
                return reply;
            }
            self.receive();
        }
    }

    fn ask(&mut self, request: &Request) -> Reply {
        self.send(1_000_000, request);
        self.wait(1_000_000)
    }

    fn open(&mut self, path: &str, flags: OpenFlags) -> Bytes {
        match self.ask(&open(path, flags)) {
            Reply::Handle(handle) => handle,
            other => panic!("{other:?} is no handle"),
        }
    }

    /// As a client that has many reads under way and asks again for what was short.
    fn download(&mut self, path: &str) -> Vec<u8> {
        let handle = self.open(path, OpenFlags::READ);
        let (mut content, mut offset) = (Vec::new(), 0u64);
        loop {
            for id in 0..UNDER_WAY as u32 {
                self.send(id, &read(&handle, offset + u64::from(id) * PIECE as u64, PIECE as u32));
            }
            let replies: Vec<Reply> = (0..UNDER_WAY as u32).map(|id| self.wait(id)).collect();
            for reply in replies {
                match reply {
                    Reply::Data(data) => content.extend_from_slice(&data),
                    other => assert_eq!(code(&other), Code::Eof),
                }
            }
            if content.len() as u64 == offset {
                break;
            }
            offset = content.len() as u64;
        }
        assert_eq!(code(&self.ask(&Request::Close { handle })), Code::Ok);
        content
    }

    fn upload(&mut self, path: &str, content: &[u8]) {
        let handle = self.open(path, OpenFlags::WRITE.with(OpenFlags::CREATE).with(OpenFlags::TRUNCATE));
        for round in content.chunks(PIECE * UNDER_WAY).enumerate() {
            let base = round.0 * PIECE * UNDER_WAY;
            for (id, piece) in round.1.chunks(PIECE).enumerate() {
                self.send(id as u32, &write(&handle, (base + id * PIECE) as u64, piece));
            }
            for id in 0..round.1.chunks(PIECE).count() as u32 {
                let reply = self.wait(id);
                assert_eq!(code(&reply), Code::Ok);
            }
        }
        assert_eq!(code(&self.ask(&Request::Close { handle })), Code::Ok);
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _gone = self.server.wait();
    }
}

pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut content = Vec::with_capacity(length + 8);
    while content.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(length);
    content
}

pub(super) fn sha256(content: &[u8]) -> Content {
    Content::Whole { sha256: Digest(sha2::Sha256::digest(content).into()) }
}

/// Allows what lies in `open`.
fn only_open(question: &Question) -> Option<Ruled> {
    let fine = question.accesses().iter().all(|access| format!("{}/", access.path).contains("/open/"));
    if fine { allow() } else { deny() }
}

fn with_folders() -> Real {
    let real = Real::start(&[], only_open);
    fs::create_dir(real.path("open")).unwrap();
    fs::create_dir(real.path("closed")).unwrap();
    fs::write(real.path("closed/key"), "private").unwrap();
    real
}

#[test]
fn sixty_four_mebibytes_go_up_and_down_with_their_digest() {
    let mut real = Real::start(&[], |_| allow());
    let content = noise(64 << 20);
    let path = real.path("large");
    real.upload(&path, &content);
    assert!(fs::read(&path).unwrap() == content);
    assert!(real.download(&path) == content);
    let [up, down] = &real.bench.events[..] else { panic!("two files") };
    assert_eq!((&up.written.content, up.written.bytes), (&sha256(&content), 64 << 20));
    assert_eq!((&down.read.content, down.read.bytes), (&sha256(&content), 64 << 20));
    assert_eq!(down.path, path);
    assert!(real.bench.allowed.is_empty());
}

#[test]
fn a_link_that_was_there_before_is_decided_on_by_where_it_leads() {
    let mut real = with_folders();
    symlink("../closed/key", real.path("open/key")).unwrap();
    symlink(real.path("closed"), real.path("open/folder")).unwrap();
    symlink("../closed/fresh", real.path("open/fresh")).unwrap();
    symlink("loop", real.path("open/loop")).unwrap();
    for path in ["open/key", "open/folder/key", "open/../closed/key", "open/folder/../closed/key", "open/loop"] {
        let reply = real.ask(&open(path, OpenFlags::READ));
        assert!(matches!(code(&reply), Code::PermissionDenied | Code::NoSuchFile), "{path}: {reply:?}");
    }
    let create = OpenFlags::WRITE.with(OpenFlags::CREATE);
    assert_eq!(code(&real.ask(&open("open/fresh", create))), Code::PermissionDenied);
    assert_eq!(code(&real.ask(&open("open/fresh", create.with(OpenFlags::EXCLUSIVE)))), Code::Failure);
    assert!(!fs::exists(real.path("closed/fresh")).unwrap());
    assert_eq!(code(&real.ask(&Request::Opendir { path: bytes("open/folder") })), Code::PermissionDenied);
    let attrs = Attrs { size: Some(0), ..Attrs::default() };
    assert_eq!(code(&real.ask(&Request::Setstat { path: bytes("open/key"), attrs })), Code::PermissionDenied);
    assert_eq!(fs::read(real.path("closed/key")).unwrap(), b"private");
    // The other way round: a link elsewhere to what is allowed.
    fs::write(real.path("open/fine"), "fine").unwrap();
    symlink("../open/fine", real.path("closed/fine")).unwrap();
    assert_eq!(real.download("closed/fine"), b"fine");
    assert_eq!(real.bench.events[0].path, real.path("open/fine"));
}

#[test]
fn moving_does_not_lead_around_a_decision() {
    let mut real = with_folders();
    fs::create_dir(real.path("open/place")).unwrap();
    let posix = |from: &str, to: &str| Request::Extended(Extended::PosixRename { from: bytes(from), to: bytes(to) });
    let symlink = |target: &str, link: &str| Request::Symlink { target: bytes(target), link: bytes(link) };
    let hardlink = |from: &str, to: &str| Request::Extended(Extended::Hardlink { from: bytes(from), to: bytes(to) });
    for request in [
        rename("closed/key", "open/key"),
        posix("open/place", "closed/place"),
        rename("closed", "open/closed"),
        posix("open/place/../../closed", "open/closed"),
        symlink("../closed", "open/link"),
        symlink(&real.path("closed/key"), "open/link"),
        hardlink("closed/key", "open/link"),
        Request::Remove { path: bytes("open/../closed/key") },
    ] {
        assert_eq!(code(&real.ask(&request)), Code::PermissionDenied, "{request:?}");
    }
    assert_eq!(code(&real.ask(&symlink("place", "open/link"))), Code::Ok);
    assert_eq!(fs::read_link(real.path("open/link")).unwrap().to_str().unwrap(), real.path("open/place"));
    assert_eq!(code(&real.ask(&posix("open/link", "open/moved"))), Code::Ok);
    assert!(fs::symlink_metadata(real.path("open/moved")).unwrap().is_symlink());
    assert!(fs::exists(real.path("closed/key")).unwrap() && fs::exists(real.path("open/place")).unwrap());
}

#[test]
fn a_governed_place_is_not_moved_and_takes_no_links() {
    let probe = tempfile::tempdir().unwrap();
    let place = fs::canonicalize(probe.path()).unwrap().join("a/governed");
    fs::create_dir_all(&place).unwrap();
    let mut real = Real::start(&[place.to_str().unwrap()], |_| allow());
    let inside = place.join("link");
    let inside = inside.to_str().unwrap();
    let above = place.parent().unwrap().to_str().unwrap();
    let link = Request::Symlink { target: bytes("/etc"), link: bytes(inside) };
    assert_eq!(code(&real.ask(&link)), Code::PermissionDenied);
    assert_eq!(code(&real.ask(&rename(above, &format!("{above}2")))), Code::PermissionDenied);
    symlink("/etc", real.path("link")).unwrap();
    assert_eq!(code(&real.ask(&rename("link", inside))), Code::PermissionDenied);
    assert!(real.bench.asked.is_empty() && !fs::exists(inside).unwrap());
}

#[test]
fn folders_are_made_listed_and_removed_and_what_is_known_of_them_is_told() {
    let mut real = with_folders();
    let attrs = Attrs { permissions: Some(0o700), ..Attrs::default() };
    assert_eq!(code(&real.ask(&Request::Mkdir { path: bytes("open/made/"), attrs })), Code::Ok);
    fs::write(real.path("open/made/one"), "1").unwrap();
    let Reply::Handle(handle) = real.ask(&Request::Opendir { path: bytes("open/made") }) else { panic!() };
    let Reply::Name(names) = real.ask(&Request::Readdir { handle: handle.clone() }) else { panic!() };
    let mut names: Vec<&[u8]> = names.iter().map(|entry| &entry.name[..]).collect();
    names.sort_unstable();
    assert_eq!(names, [&b"."[..], b"..", b"one"]);
    assert_eq!(code(&real.ask(&Request::Readdir { handle: handle.clone() })), Code::Eof);
    assert_eq!(code(&real.ask(&Request::Close { handle })), Code::Ok);
    let space = Request::Extended(Extended::Statvfs { path: bytes("open") });
    assert!(matches!(real.ask(&space), Reply::Extended(_)));
    assert!(matches!(real.ask(&Request::Extended(Extended::Limits)), Reply::Extended(_)));
    assert_eq!(code(&real.ask(&Request::Remove { path: bytes("open/made/one") })), Code::Ok);
    assert_eq!(code(&real.ask(&Request::Rmdir { path: bytes("open/made") })), Code::Ok);
    assert_eq!(code(&real.ask(&Request::Stat { path: bytes("open/none") })), Code::NoSuchFile);
    assert!(real.bench.events.is_empty());
}

#[test]
fn a_covered_file_shows_no_value_whatever_part_is_read() {
    let set = Arc::new(sluice_mask::Detectors::compile(&[sluice_mask::Spec::builtin("email").unwrap()]).unwrap());
    let cover: Arc<dyn Cover> = Arc::new(Stars::new(Arc::clone(&set), set.everything()));
    let terms = Terms { cover: Some(cover), inspect: None };
    let mut real = Real::start(&[], move |_| Some(Ruled::Allow(terms.clone())));
    let line = "name,zq7x.k1@leak.example.com,and some more text in every line of it\n";
    let content = line.repeat(8000);
    fs::write(real.path("people.csv"), &content).unwrap();
    let covered = content.replace("zq7x.k1@leak.example.com", &"*".repeat(24));
    assert_eq!(real.download("people.csv"), covered.as_bytes());
    assert_eq!(real.bench.events[0].read.content, sha256(covered.as_bytes()));
    assert_eq!(real.bench.events[0].covered.len(), 1);
}
