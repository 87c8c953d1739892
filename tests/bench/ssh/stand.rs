//! What is compared, on loopback: a server, a second one to jump over, and Sluice.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sluice_tests::keeper::Kept;
use sluice_tests::run::run;
use sluice_tests::wait::pause;
use tempfile::TempDir;

use crate::stand::{STARTING, broker, free_port, keep, listens, place, ready, tool};

/// The group that the bench's own policy lets in.
const GROUP: &str = "bench";
/// It does everything, and sees values only where the target is `dev`.
const POLICY: &str = r#"
@id("bench-works")
permit (
  principal in Group::"bench",
  action in [Action::"connect", Action::"read", Action::"write", Action::"execute", Action::"administer"],
  resource
);
@id("bench-sees-all-of-dev")
permit (principal in Group::"bench", action == Action::"reveal", resource in Env::"dev");
"#;

/// One way from a client to the server.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    /// Its name in the client's configuration.
    pub(super) host: &'static str,
    /// Sluice, where it is between.
    pub(super) pid: Option<u32>,
}

/// Everything that runs. Sluice ends before the server.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) ways: Vec<Way>,
    pub(super) sluice_pid: u32,
    /// The size of what is transferred.
    pub(super) mib: u32,
    _processes: Vec<Kept>,
    folder: TempDir,
}

impl Stand {
    /// Starts everything; it all ends with this process.
    pub(super) fn start(mib: u32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sluice-bench-").tempdir()?;
        let home = folder.path();
        ["key", "host"].iter().try_for_each(|name| keygen(&home.join(name)))?;
        fill(home, mib)?;
        let (server, port) = sshd(home, "server")?;
        let (bastion, bastion_port) = sshd(home, "bastion")?;
        let (sluice, sluice_port) = sluice(home, port)?;
        fs::write(home.join("config"), client(home, port, bastion_port, sluice_port)?)?;
        let sluice_pid = sluice.pid();
        let way = |name, host, pid| Way { name, host, pid };
        let ways = vec![
            way("direct", "direct", None),
            way("ssh -J", "jump", None),
            way("Sluice, every class masked", "masked", Some(sluice_pid)),
            way("Sluice, all revealed", "open", Some(sluice_pid)),
        ];
        let stand = Self { ways, sluice_pid, mib, _processes: vec![sluice, bastion, server], folder };
        stand.ways.iter().try_for_each(|way| stand.answers(way))?;
        Ok(stand)
    }

    /// Waits until a command runs at the end of a way: a broker knows a new key a moment after it was added.
    fn answers(&self, way: &Way) -> Result<()> {
        let end = Instant::now() + STARTING;
        loop {
            let said = run(&mut self.ssh(way, "true"), STARTING);
            if said.code == Some(0) {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("{} does not answer:\n{}", way.name, said.said());
            }
            pause();
        }
    }

    /// A command at the end of a way.
    pub(super) fn ssh(&self, way: &Way, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.folder.path().join("config")).args(["-T", way.host, command]);
        ssh
    }

    /// A copy by SFTP.
    pub(super) fn scp(&self) -> Command {
        let mut scp = Command::new("scp");
        scp.args(["-s", "-q", "-F"]).arg(self.folder.path().join("config"));
        scp
    }

    /// A file of zeros.
    pub(super) fn zeros(&self) -> String {
        self.file("zeros")
    }

    /// A file of log lines.
    pub(super) fn text(&self) -> String {
        self.file("text")
    }

    /// Where a copy lands.
    pub(super) fn landed(&self) -> String {
        self.file("landed")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

fn keygen(file: &Path) -> Result<()> {
    let mut keygen = Command::new(tool("ssh-keygen")?);
    let _made = run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file), STARTING).done();
    Ok(())
}

/// The files that are transferred: both of exactly one size.
fn fill(home: &Path, mib: u32) -> Result<()> {
    let size = u64::from(mib) << 20;
    File::create(home.join("zeros"))?.set_len(size)?;
    let text = File::create(home.join("text"))?;
    let mut out = BufWriter::new(&text);
    // Some 100 bytes a line, so that enough are written and the rest is cut off.
    for line in 0..size / 64 {
        writeln!(out, "GET /orders/{line} 200 in {} ms by worker {} at the usual place, cached", line % 97, line % 7)?;
    }
    out.flush()?;
    text.set_len(size)?;
    Ok(())
}

fn sshd(home: &Path, name: &str) -> Result<(Kept, u16)> {
    let place = place(home, name, None)?;
    let port = free_port()?;
    let file = place.join("config");
    let home = home.display();
    fs::write(
        &file,
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/key.pub\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUseDNS no\nMaxStartups 500\nCiphers aes256-gcm@openssh.com\n\
             Subsystem sftp internal-sftp\n"
        ),
    )?;
    if sluice_tests::keeper::is_root() {
        // Where its unprivileged half is shut in.
        fs::create_dir_all("/run/sshd")?;
    }
    let mut command = Command::new(tool("sshd")?);
    command.args(["-D", "-e", "-f"]).arg(&file);
    let log = place.join("log");
    let kept = keep(&command, &log, None, "TERM");
    ready("sshd", &kept, &log, || listens(port).then_some(()))?;
    Ok((kept, port))
}

/// The broker under the bench's own policy: one target whose values are masked, one whose are not.
fn sluice(home: &Path, server: u16) -> Result<(Kept, u16)> {
    let folder = place(home, "broker", None)?;
    let policies = place(&folder, "policies", None)?;
    fs::write(policies.join("bench.cedar"), POLICY)?;
    let key = home.join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let host = fs::read_to_string(home.join("host.pub"))?;
    let host: Vec<&str> = host.split_ascii_whitespace().take(2).collect();
    let target = |name: &str, environment: &str| {
        format!(
            "  {name}:\n    protocol: ssh\n    environment: {environment}\n    \
             credential: {{ user: {}, password: \"file:{}\" }}\n    host: 127.0.0.1\n    port: {server}\n    \
             host_keys: [\"{}\"]\n",
            login(),
            key.display(),
            host.join(" ")
        )
    };
    let file = folder.join("sluice.yaml");
    fs::write(
        &file,
        format!(
            "listen:\n  postgres: 127.0.0.1:0\n  ssh: 127.0.0.1:0\n  dangerous_cleartext_loopback: true\n\
             data_dir: ./var\npolicies: ./policies\nlimits: {{ unauthenticated_per_address: 512 }}\ntargets:\n{}{}",
            target("masked", "prod"),
            target("open", "dev")
        ),
    )?;
    let (kept, port, _) = broker(&file, "ssh", GROUP)?;
    let binary = std::env::var_os("SLUICE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/sluice"), PathBuf::from);
    let mut add = Command::new(binary);
    add.args(["key", "add", "--user", "bench", "--group", GROUP]).arg(home.join("key.pub"));
    let _added = run(add.arg("--config").arg(&file), STARTING).done();
    Ok((kept, port))
}

/// The client's configuration: every way is a host.
fn client(home: &Path, server: u16, bastion: u16, sluice: u16) -> Result<String> {
    let login = login();
    let key = home.join("key");
    let key = key.to_str().context("the temporary folder has a name")?;
    Ok(format!(
        "Host direct\n  Port {server}\n  User {login}\nHost bastion\n  Port {bastion}\n  User {login}\n\
         Host jump\n  Port {server}\n  User {login}\n  ProxyJump bastion\n\
         Host masked\n  Port {sluice}\n  User {login}+masked\nHost open\n  Port {sluice}\n  User {login}+open\n\
         Host *\n  HostName 127.0.0.1\n  IdentityFile {key}\n  IdentitiesOnly yes\n  BatchMode yes\n  \
         StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n  \
         Ciphers aes256-gcm@openssh.com\n"
    ))
}

/// Who signs in at the servers: whoever runs this.
fn login() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
}
