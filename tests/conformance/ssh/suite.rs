//! A copy of the suite, and a broker in front of its server.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use sluice_tests::broker::{Broker, Setup, root};
use sluice_tests::run::run;
use sluice_tests::ssh::{Host, free_port, new_key_of, public_key};
use tempfile::TempDir;

use crate::{POLICY, behind, table};

/// The server of the suite.
pub(crate) const SERVER: &str = "/usr/sbin/sshd";
/// Where Debian's package `openssh-tests` puts the suite, below the root or a folder of this repository.
const INSTALLED: &str = "usr/lib/openssh/regress";
/// Seconds after which a test hangs.
const HANGS: u64 = 900;
/// How long a single program may take besides.
const TOOL: Duration = Duration::from_secs(60);

/// How the suite's client reaches the suite's server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Direct,
    Broker,
}

/// How a test has ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) passed: bool,
    pub(crate) skipped: bool,
    /// How many sessions the broker has had for it.
    pub(crate) sessions: usize,
    pub(crate) seconds: u64,
    /// What it printed.
    pub(crate) said: String,
}

/// The suite.
pub(crate) struct Suite {
    // Dropped first: it has connections to what lies in the folder.
    broker: Broker,
    folder: TempDir,
    direct: u16,
    stays: u16,
}

/// Where the suite is.
fn place() -> Result<PathBuf> {
    let folders = [PathBuf::from("/"), root().join(".tools/openssh-tests")];
    let mut found =
        folders.iter().map(|folder| folder.join(INSTALLED)).filter(|folder| folder.join("test-exec.sh").exists());
    found.next().context("OpenSSH's tests are not installed: `make setup` does that")
}

/// The names of the tests that are installed.
pub(crate) fn installed() -> Result<Vec<String>> {
    let makefile = fs::read_to_string(place()?.join("Makefile")).context("the suite has no Makefile")?;
    let (_, list) = makefile.split_once("\nLTESTS=").context("the suite's Makefile lists no tests")?;
    let mut names = Vec::new();
    for line in list.lines() {
        names.extend(line.trim_end_matches('\\').split_whitespace().map(str::to_owned));
        if !line.ends_with('\\') {
            break;
        }
    }
    Ok(names)
}

impl Suite {
    /// Copies it for some of its tests, and starts a broker.
    pub(crate) fn open(is_run: impl Fn(&str) -> bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sluice-openssh-").tempdir()?;
        let place = folder.path().join("regress");
        let _copied = run(Command::new("cp").arg("-r").arg(self::place()?).arg(&place), TOOL).done();
        table::edit(&place, is_run)?;
        for kind in ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"] {
            new_key_of(kind, &place.join(kind));
        }
        let stays = free_port();
        let broker = start(folder.path(), &place, behind::open(folder.path(), stays)?)?;
        let suite = Self { broker, folder, direct: free_port(), stays };
        suite.write_algorithms()?;
        Ok(suite)
    }

    /// Runs one test.
    pub(crate) fn run(&self, name: &str, way: Way) -> Result<Outcome> {
        let place = self.folder.path().join("regress");
        let log = self.folder.path().join("said");
        let script =
            "exec timeout --kill-after=5 \"$1\" sh \"$2/test-exec.sh\" \"$2\" \"$2/$3.sh\" </dev/zero >\"$4\" 2>&1";
        let mut test = Command::new("sh");
        test.args(["-c", script, "suite", &HANGS.to_string()]).arg(&place).arg(name).arg(&log).current_dir(&place);
        self.settings(&mut test, way);
        let (begun, before) = (Instant::now(), self.sessions()?);
        let ended = run(&mut test, Duration::from_secs(HANGS + 30));
        let mut said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if ended.code == Some(124) {
            said.push_str("it hangs\n");
        }
        self.end_server();
        let skipped = said.contains("SKIPPED") || said.contains("skipped (");
        let (sessions, seconds) = (self.sessions()? - before, begun.elapsed().as_secs());
        Ok(Outcome { passed: ended.code == Some(0), skipped, sessions, seconds, said })
    }

    /// Ends the server of a test that has not come to its end.
    fn end_server(&self) {
        let file = self.folder.path().join("regress/pidfile");
        if let Ok(pid) = fs::read_to_string(&file) {
            // It may have ended by itself.
            let _ended = Command::new("kill").arg(pid.trim()).status();
            let _gone = fs::remove_file(file);
        }
    }

    /// How many sessions there have been: each has a recording.
    fn sessions(&self) -> Result<usize> {
        let recordings = fs::read_dir(self.folder.path().join("data/recordings"))?.flatten();
        Ok(recordings.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rec")).count())
    }

    /// What the suite is told by its environment, as its README.regress says.
    fn settings(&self, test: &mut Command, way: Way) {
        let stand_in = |name: &str| root().join("tests/conformance/ssh/stand-ins").join(name);
        let place = self.folder.path().join("regress");
        test.env("TEST_SHELL", "sh").env("BUILDDIR", &place).env("LC_ALL", "C").env_remove("SSH_AUTH_SOCK");
        test.env("TEST_SSH_SSH", stand_in("ssh")).env("TEST_SSH_SFTP", stand_in("sftp"));
        test.env("TEST_SSH_SCP", stand_in("scp")).env("TEST_SSH_SFTPSERVER", "/usr/lib/openssh/sftp-server");
        test.env("TEST_SSH_UNSAFE_PERMISSIONS", "1").env("SLUICE_SUITE", self.folder.path());
        test.env("SLUICE_BROKER", self.broker.ssh_port().to_string()).env("SLUICE_BEHIND", self.stays.to_string());
        let (server, port) = match way {
            Way::Direct => (PathBuf::from(SERVER), self.direct),
            Way::Broker => (stand_in("sshd"), self.broker.ssh_port()),
        };
        test.env("TEST_SSH_SSHD", server).env("TEST_SSH_PORT", port.to_string());
    }

    /// The algorithms that the broker offers, as a client hears them: the suite tries each of those that there are.
    fn write_algorithms(&self) -> Result<()> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-vv", "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args(["-o", "PreferredAuthentications=none", "-p", &self.broker.ssh_port().to_string(), "127.0.0.1"]);
        let said = run(&mut ssh, TOOL).stderr;
        let (_, offered) = said.split_once("peer server KEXINIT proposal").context("the broker offers nothing")?;
        let lines = offered.lines().filter(|line| line.starts_with("debug2: "));
        let lists = lines.filter_map(|line| line.rsplit_once(": ").or_else(|| line.rsplit_once(' '))).take(6);
        let names: Vec<&str> = lists.flat_map(|(_, list)| list.trim().split(',')).collect();
        ensure!(names.iter().any(|name| name.starts_with("aes")), "the broker offers no cipher: {names:?}");
        fs::write(self.folder.path().join("algorithms"), names.join("\n") + "\n")?;
        Ok(())
    }
}

/// A broker with the suite's host key, whose target has the name of whoever runs the suite.
fn start(folder: &Path, suite: &Path, port: u16) -> Result<Broker> {
    let user = run(Command::new("id").arg("-un"), TOOL).done().stdout.trim().to_owned();
    ensure!(!user.contains(['+', '%', '@', '#', ':']), "`{user}` cannot be the name of a target");
    let _made = run(Command::new("sh").args(["-c", "[ \"$(id -u)\" -ne 0 ] || mkdir -p /run/sshd"]), TOOL).done();
    let host_key = suite.join("ssh-ed25519");
    let data = folder.join("data");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data.join("ssh"))?;
    fs::copy(&host_key, data.join("ssh/host_ed25519"))?;
    fs::set_permissions(data.join("ssh/host_ed25519"), fs::Permissions::from_mode(0o600))?;
    let host = Host {
        name: user.clone(),
        environment: "dev".to_owned(),
        user,
        key: fs::read_to_string(&host_key)?,
        port,
        known_by: format!("host_keys: [\"{}\"]", public_key(&host_key.with_extension("pub"))),
        more: vec!["env: [\"_XXX_TEST*\", LANG, \"LC_*\", TERM]".to_owned(), "links: followed".to_owned()],
    };
    let ours = format!("data_dir: {}", data.display());
    let broker = Broker::start_with(&Setup::ssh(vec![host], POLICY), |text| text.replace("data_dir: ./var", &ours));
    for entry in fs::read_dir(suite)?.flatten() {
        let file = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kept = ["ssh-ed25519.pub", "ssh-rsa.pub"].contains(&name.as_str()) || name.starts_with("ecdsa-sha2-");
        if kept && file.extension().is_some_and(|ending| ending == "pub") {
            let added = broker.cli(&["key", "add", "--user", "robin", "--group", "ops", &file.display().to_string()]);
            if added.code != Some(0) {
                bail!("the broker does not take a key of the suite: {}", added.said());
            }
        }
    }
    Ok(broker)
}
