//! `make conformance`: what takes too long for `make test`: 1 GiB both ways at once, as files, and from an eager client.
//!
//! The bytes are AES of zeros: the same each time, and no compression makes them smaller.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sluice_tests::broker::{Broker, Setup, root};
use sluice_tests::keeper::memory_kib;
use sluice_tests::run::run;
use sluice_tests::ssh::{Host, Person, Sshd};

/// Commands and files, and their values as they are.
const POLICY: &str = r#"
@id("suite-connects")
permit (principal in Group::"ops", action in Action::"connect", resource);

@id("suite-copies")
permit (
  principal in Group::"ops",
  action in [
    Action::"ssh.inspect", Action::"ssh.exec", Action::"ssh.script",
    Action::"sftp.use", Action::"sftp.read", Action::"sftp.list", Action::"sftp.stat", Action::"sftp.write",
    Action::"sftp.setstat"
  ],
  resource
);

@id("suite-sees")
permit (principal in Group::"ops", action == Action::"reveal", resource);
"#;

/// What is done at a stand.
type Suite = fn(&Stand) -> Result<()>;

const SUITES: [(&str, Suite); 3] = [
    ("both ways at once", both_ways_at_once),
    ("sftp up and down", files_up_and_down),
    ("an eager client of a host that stands still", eager),
];
const USAGE: &str = "usage: sluice-ssh-transfers [MEBIBYTES]";
/// 1 GiB, in MiB.
const WHOLE: u64 = 1 << 10;
/// How long one transfer of a debug build may take, on a machine with other work.
const LONG: Duration = Duration::from_secs(900);
/// What the broker may have held at any time, in KiB: a quarter of what passes through it.
const PEAK_KIB: u64 = 256 << 10;

/// A host, a broker in front of it, and somebody who copies.
struct Stand {
    // Dropped first: what it runs at the server ends with it.
    broker: Broker,
    server: Sshd,
    person: Person,
    bytes: u64,
    /// The SHA-256 of all that is sent.
    digest: String,
}

fn main() -> ExitCode {
    match conform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn conform() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mebibytes = match arguments.as_slice() {
        [] => WHOLE,
        [help] if help == "--help" || help == "-h" => {
            say(USAGE);
            return Ok(());
        }
        [number] => number.parse().context(USAGE)?,
        _ => bail!(USAGE),
    };
    let stand = Stand::open(mebibytes << 20)?;
    for (name, suite) in SUITES {
        let begun = Instant::now();
        suite(&stand).with_context(|| format!("{name}: FAILED"))?;
        say(&format!("{name}: passed ({} s)", begun.elapsed().as_secs()));
    }
    let peak = memory_kib(stand.broker.pid(), "VmHWM").context("the broker has ended")?;
    ensure!(peak < PEAK_KIB, "the broker held {peak} KiB");
    say(&format!("the broker held {} MiB at most", peak >> 10));
    let verified = stand.broker.cli(&["audit", "verify"]);
    ensure!(verified.code == Some(0), "{}", verified.said());
    Ok(())
}

/// `cat` at the host gives back what it gets, and nothing is stored on the way.
fn both_ways_at_once(stand: &Stand) -> Result<()> {
    let seen = stand.script("stream | x web@broker cat | sha256sum")?;
    ensure!(seen.starts_with(&stand.digest), "{seen} came back of {}", stand.digest);
    Ok(())
}

/// OpenSSH's client keeps many requests under way; the recording says what each file was.
fn files_up_and_down(stand: &Stand) -> Result<()> {
    let seen = stand.script(
        "stream >here; printf 'put here %s/there\\n' \"$PWD\" >batch
        sftp -q -F \"$config\" -o BatchMode=no -b batch web@broker >/dev/null
        rm here; sha256sum <there
        printf 'get %s/there back\\n' \"$PWD\" >batch
        sftp -q -F \"$config\" -o BatchMode=no -b batch web@broker >/dev/null
        rm there; sha256sum <back; rm back",
    )?;
    let digests: Vec<&str> = seen.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(digests == [&stand.digest; 2], "{digests:?} arrived of {}", stand.digest);
    let there = stand.server.folder().canonicalize()?.join("there").display().to_string();
    let told = stand.files()?;
    for (bytes, content) in [("written_bytes", "written"), ("read_bytes", "read")] {
        let count = told.iter().filter(|file| stand.is_whole(file, &there, bytes, content)).count();
        ensure!(count == 1, "{count} files of {there} were {content} whole: {told:?}");
    }
    ensure!(told.len() == 2, "{told:?}");
    Ok(())
}

/// paramiko sends the requests for a whole file at once, and writes on while the host takes nothing.
fn eager(stand: &Stand) -> Result<()> {
    let interpreter = root().join(".tools/venv/bin/python");
    ensure!(interpreter.exists(), "Python's packages are not installed: run `make setup`");
    let program = root().join("tests/python/paramiko_eager.py");
    let port = stand.broker.ssh_port();
    let seen = stand.script(&format!(
        "stream >there; export SLUICE_PORT={port} SLUICE_TARGET=web PYTHONDONTWRITEBYTECODE=1
        export SLUICE_TOKEN=\"$SLUICE_TEST_TOKEN\"
        {} {}; rm there",
        interpreter.display(),
        program.display()
    ))?;
    let digests: Vec<String> = serde_json::from_str(&seen)?;
    ensure!(digests == [&*stand.digest; 2], "{digests:?} arrived of {}", stand.digest);
    Ok(())
}

impl Stand {
    fn open(bytes: u64) -> Result<Self> {
        let server = Sshd::start();
        let broker = Broker::start(&Setup::ssh(vec![Host::new("web", &server)], POLICY));
        let person = Person::new(&broker, &broker.token("oli", "ops"));
        let mut stand = Self { broker, server, person, bytes, digest: String::new() };
        let said = stand.script("stream | wc -c; stream | sha256sum")?;
        let mut words = said.split_whitespace();
        ensure!(words.next() == Some(&bytes.to_string()), "the stream has another size: {said}");
        words.next().context("sha256sum says nothing")?.clone_into(&mut stand.digest);
        Ok(stand)
    }

    /// What a script says in the folder of the server, in which `stream` writes all bytes.
    fn script(&self, text: &str) -> Result<String> {
        let stream = format!(
            "stream() {{ head -c {} /dev/zero | openssl enc -aes-128-ctr -nosalt -pass pass:x -pbkdf2; }}\n",
            self.bytes
        );
        let mut script: Command = self.person.script(&format!("{stream}{text}"));
        let said = run(script.current_dir(self.server.folder()), LONG);
        ensure!(said.code == Some(0), "{}", said.said());
        Ok(said.stdout)
    }

    /// What the recordings say of files.
    fn files(&self) -> Result<Vec<Value>> {
        let mut files = Vec::new();
        for session in self.broker.closed_sessions() {
            let id = session.get("id").and_then(Value::as_str).context("a session has an id")?;
            let events = self.broker.json(&["replay", id]);
            let notes = events.iter().filter(|event| event.get("kind").is_some_and(|kind| kind == "file"));
            files.extend(notes.filter_map(|note| note.get("values").cloned()));
        }
        Ok(files)
    }

    /// Whether a file is told with its path, its size and the SHA-256 of all of it.
    fn is_whole(&self, file: &Value, path: &str, bytes: &str, content: &str) -> bool {
        let said = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
        said("path") == path
            && said(bytes) == self.bytes.to_string()
            && said(content) == format!("sha256:{}", self.digest)
            && said("end").is_empty()
    }
}

/// Words for whoever runs it.
fn say(text: &str) {
    use std::io::Write as _;
    // Whoever has closed the output does not want to know.
    let _unseen = writeln!(std::io::stdout(), "{text}");
}
