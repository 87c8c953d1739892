//! OpenSSH at both ends: a server of the test's own behind the broker, and clients in front of it.
#![expect(clippy::expect_used, reason = "test support: what cannot be run fails the test")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::broker::{Broker, root};
use crate::keeper::{Keeping, Kept};
use crate::run::run;
use crate::wait::{SOON, until};

/// The server, where Debian, Ubuntu, Fedora, Arch and macOS have it.
const SERVER: &str = "/usr/sbin/sshd";
/// Ports that are tried: between finding and using one, somebody else may take it.
const ATTEMPTS: usize = 8;
/// How long one of OpenSSH's own tools may take.
const TOOL: Duration = Duration::from_secs(30);

/// A server of OpenSSH on a port of this machine, which lets in whoever runs the test, at an empty home.
#[derive(Debug)]
pub struct Sshd {
    kept: Kept,
    folder: TempDir,
    port: u16,
    user: String,
}

/// One SSH target of a broker.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    pub environment: String,
    pub user: String,
    /// The private key, in OpenSSH's format.
    pub key: String,
    pub port: u16,
    /// Whom it is believed to be by, as in the configuration: `host_keys: […]`, `host_authorities: […]`.
    pub known_by: String,
    /// Further settings, one for each line, without indentation.
    pub more: Vec<String>,
}

impl Sshd {
    /// Starts a server.
    #[must_use]
    pub fn start() -> Self {
        Self::arranged(|_| String::new())
    }

    /// The same with lines that come before its configuration, and so prevail; what they name may be put into its folder.
    ///
    /// # Panics
    /// When there is no server on this machine, or it does not start.
    #[must_use]
    pub fn arranged(arrange: impl FnOnce(&Path) -> String) -> Self {
        assert!(Path::new(SERVER).exists(), "there is no {SERVER}: `make setup` installs openssh-server");
        let folder = tempfile::Builder::new().prefix("sluice-sshd-").tempdir().expect("a temporary folder");
        let user = run(Command::new("id").arg("-un"), TOOL).done().stdout.trim().to_owned();
        fs::create_dir(folder.path().join("home")).expect("our folder");
        for name in ["host", "user", "stranger"] {
            new_key(&folder.path().join(name));
        }
        fs::copy(folder.path().join("user.pub"), folder.path().join("authorized_keys")).expect("our folder");
        let more = arrange(folder.path());
        for _ in 0..ATTEMPTS {
            let port = free_port();
            if let Some(kept) = launch(folder.path(), port, &more) {
                return Self { kept, folder, port, user };
            }
        }
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        unstarted(&log)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The login that it lets in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Its folder, for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its public host key, as the configuration of a target has it.
    #[must_use]
    pub fn host_key(&self) -> String {
        public_key(&self.folder().join("host.pub"))
    }

    /// The public key of somebody else.
    #[must_use]
    pub fn strange_key(&self) -> String {
        public_key(&self.folder().join("stranger.pub"))
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// How many connections it has seen.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Connection from ")).count()
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> &Kept {
        &self.kept
    }
}

impl Host {
    /// A target for a server of the tests.
    ///
    /// # Panics
    /// When its folder is gone.
    #[must_use]
    pub fn new(name: &str, server: &Sshd) -> Self {
        Self {
            name: name.to_owned(),
            environment: "dev".to_owned(),
            user: server.user.clone(),
            key: fs::read_to_string(server.folder().join("user")).expect("it was made"),
            port: server.port,
            known_by: format!("host_keys: [\"{}\"]", server.host_key()),
            more: Vec::new(),
        }
    }

    /// The same with another setting, as the configuration has it.
    #[must_use]
    pub fn with(mut self, setting: &str) -> Self {
        self.more.push(setting.to_owned());
        self
    }

    /// The file of its key, in the broker's folder.
    pub(crate) fn key_file(&self) -> String {
        format!("{}.key", self.name)
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { name, environment, user, port, known_by, more, .. } = self;
        let more: String = more.iter().map(|setting| format!("    {setting}\n")).collect();
        format!(
            "  {name}:\n    protocol: ssh\n    environment: {environment}\n    \
             credential: {{ user: {user}, password: \"file:{}\" }}\n    host: 127.0.0.1\n    port: {port}\n    \
             {known_by}\n{more}",
            self.key_file()
        )
    }
}

/// Somebody with a token, for any program that runs `ssh`.
#[derive(Clone, Debug)]
pub struct Person {
    token: String,
    folder: PathBuf,
}

impl Person {
    /// Whoever has this token, with a configuration of the client in which the broker is the host `broker`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn new(broker: &Broker, token: &str) -> Self {
        let folder = broker.folder().join("client");
        fs::create_dir_all(&folder).expect("our folder");
        let ask = folder.join("ask");
        if !ask.exists() {
            // Written elsewhere first: nobody runs a file that is open for writing.
            let text = "#!/bin/sh\nprintf '%s\\n' \"$SLUICE_TEST_TOKEN\"\n";
            fs::write(folder.join("ask.new"), text).expect("our folder");
            fs::set_permissions(folder.join("ask.new"), fs::Permissions::from_mode(0o700)).expect("our file");
            fs::rename(folder.join("ask.new"), ask).expect("our folder");
        }
        let config = format!(
            "Host broker\n  HostName 127.0.0.1\n  Port {}\nHost *\n  StrictHostKeyChecking no\n  \
             UserKnownHostsFile /dev/null\n  GlobalKnownHostsFile /dev/null\n  LogLevel ERROR\n  \
             PreferredAuthentications password\n  NumberOfPasswordPrompts 1\n  IdentityAgent none\n  \
             ControlPath {}/%C\n",
            broker.ssh_port(),
            folder.display()
        );
        fs::write(folder.join("config"), config).expect("our folder");
        Self { token: token.to_owned(), folder }
    }

    /// The configuration of the client.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// A program that finds this person's token, without any settings of the machine's.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SSH_ASKPASS", self.folder.join("ask")).env("SSH_ASKPASS_REQUIRE", "force");
        command.env("SLUICE_TEST_TOKEN", &self.token).env("LC_ALL", "C").env("TERM", "xterm");
        for setting in ["SSH_AUTH_SOCK", "LANG", "LC_CTYPE", "GIT_PROTOCOL", "RSYNC_RSH"] {
            command.env_remove(setting);
        }
        command
    }

    /// `ssh` with these arguments; the broker is `NAME@broker`.
    #[must_use]
    pub fn ssh(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("ssh");
        command.arg("-F").arg(self.config()).args(arguments);
        command
    }

    /// A script of bash, in which `x` is `ssh` with this person's configuration, `$config`.
    #[must_use]
    pub fn script(&self, text: &str) -> Command {
        let mut command = self.command("bash");
        let prelude = "set -euo pipefail; x() { ssh -F \"$config\" \"$@\"; }\n";
        command.arg("-c").arg(format!("{prelude}{text}")).env("config", self.config());
        command
    }

    /// `ssh` in a terminal of 41 rows and 123 columns: what is said to it is typed, and a line `\x1bsize ROWS COLUMNS`
    /// changes the size of the terminal.
    #[must_use]
    pub fn terminal(&self, arguments: &[&str]) -> Command {
        in_terminal(&self.ssh(arguments))
    }
}

/// A program in a terminal of 41 rows and 123 columns, as [`Person::terminal`].
#[must_use]
pub fn in_terminal(program: &Command) -> Command {
    let mut command = Command::new("python3");
    command.arg(root().join("tests/python/terminal.py")).args(["41", "123"]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A pair of ed25519 keys without a passphrase.
pub fn new_key(file: &Path) {
    new_key_of("ed25519", file);
}

/// A pair of keys of a type of `ssh-keygen` without a passphrase.
pub fn new_key_of(kind: &str, file: &Path) {
    let mut make = Command::new("ssh-keygen");
    let _made = run(make.args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"]).arg(file), TOOL).done();
}

/// Signs a public key with an authority's, with options of `ssh-keygen`; the certificate is where OpenSSH looks for it.
///
/// # Panics
/// When it is not signed.
#[must_use]
pub fn certify(authority: &Path, file: &Path, options: &[&str]) -> PathBuf {
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-I", "test", "-s"]).arg(authority).args(options).arg(file.with_extension("pub"));
    let _signed = run(&mut sign, TOOL).done();
    let mut name = file.file_name().expect("a file has a name").to_owned();
    name.push("-cert.pub");
    file.with_file_name(name)
}

/// A port of 127.0.0.1 on which nobody listens.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// The public key in a file, without its comment.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn public_key(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("it was made");
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A running server, or nothing where the port was taken.
fn launch(folder: &Path, port: u16, more: &str) -> Option<Kept> {
    let place = folder.display();
    let config = format!(
        "{more}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized_keys\n\
         StrictModes no\nPidFile none\nSubsystem sftp internal-sftp\nPermitRootLogin yes\nUsePAM no\n\
         PasswordAuthentication no\nAcceptEnv LANG LC_* GIT_PROTOCOL SLUICE_*\nMaxStartups 200\nPrintMotd no\n\
         PrintLastLog no\nUseDNS no\nLogLevel VERBOSE\nSetEnv HOME={place}/home\n"
    );
    fs::write(folder.join("config"), config).expect("our folder");
    let log = folder.join("log");
    fs::write(&log, "").expect("our folder");
    let mut serve = Command::new(SERVER);
    serve.args(["-D", "-e", "-f"]).arg(folder.join("config"));
    // Where root runs it, it wants an empty folder of the machine's.
    let before = "[ \"$(id -u)\" -ne 0 ] || mkdir -p /run/sshd";
    let keeping = Keeping { end_with: "TERM", log: &log, folder: None, before, after: "", run_as: None };
    let kept = Kept::start(&serve, &keeping);
    until(SOON, "the SSH server to listen or to end", || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains("Server listening on ") { Some(true) } else { (!kept.is_running()).then_some(false) }
    })
    .then_some(kept)
}

#[expect(clippy::panic, reason = "test support")]
fn unstarted(log: &str) -> ! {
    panic!("{SERVER} does not start:\n{log}")
}
