#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";

fn lines(lines: &[&str]) -> Vec<u8> {
    let one = |line: &&str| match *line {
        "0000" | "0001" => (*line).to_owned(),
        line => format!("{:04x}{line}", line.len() + 4),
    };
    lines.iter().map(one).collect::<String>().into_bytes()
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[derive(Debug, Default, Eq, PartialEq)]
struct Passed {
    asked: Vec<Question>,
    to_server: Vec<u8>,
    unruled: Vec<u8>,
    to_client: Vec<u8>,
    refused: Option<String>,
    ended: Option<Traffic>,
}

fn drain(git: &mut Git, passed: &mut Passed, ruled: &Ruled) -> Result<(), Violation> {
    while let Some(step) = git.step() {
        match step {
            Step::Ask(ask, question) => {
                assert!(!git.wants_client());
                passed.asked.push(*question);
                git.ruled(ask, ruled.clone())?;
            }
            Step::ToServer(under, bytes) => {
                if under == Under::Channel {
                    passed.unruled.extend_from_slice(&bytes);
                }
                passed.to_server.extend_from_slice(&bytes);
            }
            Step::ToClient(bytes) => passed.to_client.extend_from_slice(&bytes),
            Step::Refused(message) => passed.refused = Some(message),
            Step::Ended(traffic) => passed.ended = Some(traffic),
            Step::Withdraw(_) => panic!("every question was answered"),
        }
    }
    Ok(())
}

fn talk(service: Service, client: &[u8], cut: usize, ruled: &Ruled) -> Result<Passed, Violation> {
    let (mut git, mut passed) = (Git::new(service), Passed::default());
    git.server(Bytes::from_static(b"0000"));
    for piece in client.chunks(cut.max(1)) {
        git.client(piece)?;
        drain(&mut git, &mut passed, ruled)?;
    }
    git.end();
    drain(&mut git, &mut passed, ruled)?;
    Ok(passed)
}

fn allowed(service: Service, client: &[u8]) -> Passed {
    talk(service, client, usize::MAX, &Ruled::Allow).unwrap()
}

fn error(service: Service, client: &[u8]) -> &'static str {
    talk(service, client, usize::MAX, &Ruled::Allow).unwrap_err().what
}

fn fetch_v0() -> Vec<u8> {
    let want = format!("want {ONE} multi_ack_detailed side-band-64k agent=git/2.47.3\n");
    let (again, two, have) = (format!("want {ONE}\n"), format!("want {TWO}\n"), format!("have {TWO}\n"));
    lines(&[&want, &again, &two, "deepen 1\n", "0000", &have, "0000", "done\n"])
}

fn fetch_v2() -> Vec<u8> {
    let (want, have) = (format!("want {ONE}\n"), format!("have {TWO}\n"));
    let fetch = ["command=fetch", "agent=git/2", "object-format=sha1", "0001", "thin-pack", &want, &have, "0000"];
    let list = ["command=ls-refs\n", "0001", "peel\n", "ref-prefix refs/heads/\n", "ref-prefix HEAD\n", "0000"];
    lines(&[&list[..], &fetch, &fetch, &["0000"]].concat())
}

fn push() -> Vec<u8> {
    let first = format!("{NONE} {ONE} refs/heads/new\0 report-status atomic push-options agent=git/2.47.3");
    let (second, third) = (format!("{ONE} {TWO} refs/heads/main\n"), format!("{TWO} {NONE} refs/tags/old"));
    [&lines(&[&first, &second, &third, "0000", "ci.skip", "0000"])[..], b"PACK\0\0\0\x02objects"].concat()
}

#[test]
fn a_fetch_in_version_0_is_asked_about_once() {
    let passed = allowed(Service::UploadPack, &fetch_v0());
    let fetch = Fetch { objects: set(&[ONE, TWO]), references: set(&[]) };
    assert_eq!(passed.asked, [Question::Fetch(fetch)]);
    assert_eq!((passed.to_server, passed.unruled), (fetch_v0(), vec![]));
    assert_eq!(passed.ended, Some(Traffic { to_client_bytes: 4, pack: None }));
}

#[test]
fn commands_of_version_2_are_asked_about_and_rounds_of_the_same_fetch_are_not() {
    let passed = allowed(Service::UploadPack, &fetch_v2());
    let fetch = Fetch { objects: set(&[ONE]), references: set(&[]) };
    let list = Question::List { prefixes: set(&["HEAD", "refs/heads/"]) };
    assert_eq!(passed.asked, [list, Question::Fetch(fetch)]);
    assert_eq!((passed.to_server, passed.unruled), (fetch_v2(), vec![]));
}

#[test]
fn a_push_tells_what_becomes_of_each_reference() {
    let passed = allowed(Service::ReceivePack, &push());
    let update = |reference: &str, change| Update { reference: reference.into(), change };
    let asked = Push {
        updates: vec![
            update("refs/heads/new", Change::Create { new: ONE.into() }),
            update("refs/heads/main", Change::Update { old: ONE.into(), new: TWO.into() }),
            update("refs/tags/old", Change::Delete { old: TWO.into() }),
        ],
        options: vec!["ci.skip".into()],
        atomic: true,
    };
    assert_eq!(passed.asked, [Question::Push(asked)]);
    assert_eq!((passed.to_server, passed.unruled), (push(), vec![]));
    let pack = passed.ended.unwrap().pack.unwrap();
    let content = b"PACK\0\0\0\x02objects";
    assert_eq!(pack, Pack { bytes: 15, sha256: Digest(Sha256::digest(content).into()) });
}

#[test]
fn what_is_refused_reaches_no_server() {
    for (service, client) in
        [(Service::UploadPack, fetch_v0()), (Service::UploadPack, fetch_v2()), (Service::ReceivePack, push())]
    {
        for cut in [1, 7, usize::MAX] {
            let passed = talk(service, &client, cut, &Ruled::Deny("not this".into())).unwrap();
            assert_eq!((passed.to_server, passed.refused.as_deref()), (vec![], Some("not this")));
            assert_eq!((passed.asked.len(), passed.ended), (1, None));
        }
    }
}

#[test]
fn asking_for_nothing_is_no_question() {
    for service in [Service::UploadPack, Service::ReceivePack] {
        let passed = allowed(service, b"0000");
        assert_eq!((passed.asked.len(), &passed.unruled[..]), (0, &b"0000"[..]));
    }
    assert_eq!(error(Service::UploadPack, b"00000009done\n"), "bytes after the last line");
}

#[test]
fn what_is_no_line_of_its_place_is_an_error() {
    let want = format!("want {ONE}\n");
    let update = |rest: &str| lines(&[&format!("{NONE} {ONE} {rest}"), "0000"]);
    for client in [
        lines(&["done\n"]),
        lines(&["want abc\n"]),
        lines(&[&want, "done\n"]),
        lines(&[&want, "have x\n"]),
        lines(&[&want, "0001"]),
        lines(&[&want, "0000", &want]),
        lines(&["command=ls-refs", "evil=1"]),
        lines(&["command=ls-refs", "0001", &want]),
        lines(&["command=fetch", "0001", "want-ref refs/heads/..\n"]),
        lines(&["command=fetch", "0001", "0001"]),
    ] {
        assert_eq!(error(Service::UploadPack, &client), "no line of git", "{client:?}");
    }
    assert_eq!(error(Service::UploadPack, &lines(&["command=bundle-uri"])), "no command of git that is known");
    for client in [
        update("HEAD\0"),
        update("refs/heads/a b\0"),
        update("refs/heads/a\0report\x1b"),
        lines(&[&format!("{NONE} {NONE} refs/heads/a\0"), "0000"]),
        lines(&["push-cert\0atomic", "0000"]),
        lines(&["0001"]),
    ] {
        assert_eq!(error(Service::ReceivePack, &client), "no line of git", "{client:?}");
    }
    let first = format!("{NONE} {ONE} refs/heads/a\0");
    let twice = lines(&[&first, &format!("{ONE} {TWO} refs/heads/a"), "0000"]);
    assert_eq!(error(Service::ReceivePack, &twice), "one reference is changed twice");
    let no_pack = [&lines(&[&first, "0000"])[..], b"PACX"].concat();
    assert_eq!(error(Service::ReceivePack, &no_pack), "no pack where one must be");
    let delete = [&lines(&[&format!("{ONE} {NONE} refs/heads/a\0"), "0000"])[..], b"PACK"].concat();
    assert_eq!(error(Service::ReceivePack, &delete), "bytes after the last line");
}

#[test]
fn what_waits_has_a_bound_and_so_has_a_request() {
    let mut git = Git::new(Service::ReceivePack);
    let first = format!("{NONE} {ONE} refs/heads/a\0");
    git.client(&lines(&[&first, "0000"])).unwrap();
    assert!(!git.wants_client());
    let more = vec![0; 700 << 10];
    assert_eq!(git.client(&more), Ok(()));
    assert_eq!(git.client(&more), Err(Violation::client("sent more than it was asked for")));
    let mut git = Git::new(Service::UploadPack);
    let filter = format!("filter {}", "x".repeat(60_000));
    git.client(&lines(&[&format!("want {ONE}")])).unwrap();
    let ends: Vec<_> = (0..300).map(|_| git.client(&lines(&[&filter]))).collect();
    assert_eq!(ends.last(), Some(&Err(Violation::client("a request is larger than its limit"))));
}

#[test]
fn the_end_withdraws_a_question() {
    let mut git = Git::new(Service::UploadPack);
    git.client(&fetch_v0()).unwrap();
    git.end();
    assert!(matches!(git.step(), Some(Step::Ask(AskId(1), _))));
    assert_eq!(git.step(), Some(Step::Withdraw(AskId(1))));
    assert!(matches!(git.step(), Some(Step::Ended(_))));
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same(cut in 1usize..30) {
        for (service, client) in
            [(Service::UploadPack, fetch_v0()), (Service::UploadPack, fetch_v2()), (Service::ReceivePack, push())]
        {
            prop_assert_eq!(talk(service, &client, cut, &Ruled::Allow).unwrap(), allowed(service, &client));
        }
    }

    #[test]
    fn no_bytes_panic(place in 0usize..300, byte in any::<u8>(), noise in proptest::collection::vec(any::<u8>(), 0..60)) {
        for (service, mut client) in
            [(Service::UploadPack, fetch_v0()), (Service::UploadPack, fetch_v2()), (Service::ReceivePack, push())]
        {
            let _end = talk(service, &noise, 9, &Ruled::Allow);
            client.get_mut(place).into_iter().for_each(|damaged| *damaged = byte);
            let _end = talk(service, &client, usize::MAX, &Ruled::Allow);
        }
    }
}

/// Git at both ends.
mod real {
    use std::io::{Read, Write as _};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;
    use std::{fs, thread};

    use super::*;

    enum From {
        Client(Vec<u8>),
        Server(Vec<u8>),
    }

    fn listen<R: Read>(open: impl FnOnce() -> R + Send + 'static, sender: Sender<From>, from: fn(Vec<u8>) -> From) {
        thread::spawn(move || {
            let mut output = open();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let got = output.read(&mut buffer).unwrap_or(0);
                if sender.send(from(buffer[..got].to_vec())).is_err() || got == 0 {
                    break;
                }
            }
        });
    }

    fn git(folder: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
        command.stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{arguments:?}");
    }

    /// Runs a client over two pipes with names against a server, and tells whether it succeeded.
    fn run(
        folder: &Path,
        client: &str,
        (service, program, version): (Service, &str, &str),
        ruled: &Ruled,
    ) -> (bool, Passed) {
        let (into, out) = (folder.join("into"), folder.join("out"));
        for pipe in [&into, &out] {
            let _old = fs::remove_file(pipe);
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        fs::write(folder.join("relay"), "cat \"$1\" & exec cat > \"$2\"\n").unwrap();
        let shown = folder.display();
        let client = client.replace("TARGET", &format!("'ext::sh {shown}/relay {shown}/into {shown}/out'"));
        let script = format!("exec git -c protocol.ext.allow=always -c protocol.version={version} {client}");
        let mut command = Command::new("sh");
        command.current_dir(folder).args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let mut command = Command::new("git");
        command.current_dir(folder).args([program, "server.git"]).env("GIT_PROTOCOL", format!("version={version}"));
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, receiver) = channel();
        // Opened for both, because that waits for nobody.
        let mut to_client = Some(fs::File::options().read(true).write(true).open(&into).unwrap());
        let mut to_server = server.stdin.take();
        listen(move || fs::File::open(out).unwrap(), sender.clone(), From::Client);
        let output = server.stdout.take().unwrap();
        listen(move || output, sender, From::Server);
        let (mut git, mut passed) = (Git::new(service), Passed::default());
        let mut open = 2;
        while open > 0 {
            let from = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
            match from {
                From::Client(bytes) if bytes.is_empty() => {
                    to_server = None;
                    open -= 1;
                }
                From::Server(bytes) if bytes.is_empty() => {
                    to_client = None;
                    open -= 1;
                }
                From::Client(bytes) => git.client(&bytes).unwrap(),
                From::Server(bytes) => git.server(bytes.into()),
            }
            let (server_had, client_had) = (passed.to_server.len(), passed.to_client.len());
            drain(&mut git, &mut passed, ruled).unwrap();
            // The last words of a conversation may find nobody there.
            to_server.iter_mut().for_each(|pipe| drop(pipe.write_all(&passed.to_server[server_had..])));
            to_client.iter_mut().for_each(|pipe| drop(pipe.write_all(&passed.to_client[client_had..])));
            if passed.refused.is_some() {
                (to_server, to_client) = (None, None);
            }
        }
        git.end();
        drain(&mut git, &mut passed, ruled).unwrap();
        let _status = server.wait().unwrap();
        (client.wait().unwrap().success(), passed)
    }

    #[test]
    fn real_clients_clone_and_push_in_every_version() {
        for version in ["0", "1", "2"] {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            git(folder, &["init", "-q", "-b", "main", "first"]);
            fs::write(folder.join("first/file"), "content".repeat(100_000)).unwrap();
            git(&folder.join("first"), &["add", "file"]);
            git(&folder.join("first"), &["commit", "-qm", "one"]);
            git(folder, &["clone", "-q", "--bare", "first", "server.git"]);

            let upload = (Service::UploadPack, "upload-pack", version);
            let (cloned, passed) = run(folder, "clone -q TARGET second", upload, &Ruled::Allow);
            assert!(cloned && passed.unruled.is_empty(), "{version}: {:?}", passed.asked);
            assert!(passed.asked.iter().any(|question| matches!(question, Question::Fetch(_))));
            assert_eq!(fs::read(folder.join("second/file")).unwrap(), fs::read(folder.join("first/file")).unwrap());

            fs::write(folder.join("second/file"), "changed").unwrap();
            git(&folder.join("second"), &["commit", "-qam", "two"]);
            let receive = (Service::ReceivePack, "receive-pack", version);
            let push = "-C second push -q TARGET HEAD:refs/heads/new HEAD:main";
            let (pushed, passed) = run(folder, push, receive, &Ruled::Allow);
            let [Question::Push(asked)] = &passed.asked[..] else { panic!("{:?}", passed.asked) };
            let names: Vec<&str> = asked.updates.iter().map(|update| update.reference.as_str()).collect();
            assert!(pushed && names.len() == 2 && names.contains(&"refs/heads/new"), "{names:?}");
            assert!(passed.ended.unwrap().pack.unwrap().bytes > 100);

            let delete = "-C second push -q TARGET :refs/heads/new";
            let (deleted, _) = run(folder, delete, receive, &Ruled::Deny("no".into()));
            assert!(!deleted);
            git(&folder.join("server.git"), &["rev-parse", "-q", "--verify", "refs/heads/new"]);
            let (deleted, passed) = run(folder, delete, receive, &Ruled::Allow);
            assert!(deleted && passed.ended.unwrap().pack.is_none());
        }
    }
}
