//! A throw-away SSH host: OpenSSH's own server on loopback, with keys and a folder that go with the demo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Where distributions install the server.
const PLACES: [&str; 2] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"];
/// How long the server may take to accept connections.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A key as documentation spells it; no account has it.
pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// A file with values that are masked.
const SETTINGS: &str = "LOG_LEVEL=info\nADMIN=ada.winters@example.com\nAWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n";

/// A running host.
pub(crate) struct Host {
    process: Child,
    folder: TempDir,
    port: u16,
    user: String,
    host_key: String,
}

impl Host {
    /// Starts a host; none where there is no server to start.
    pub(crate) async fn start() -> Result<Option<Self>> {
        let Some(server) = PLACES.iter().map(Path::new).find(|place| place.is_file()) else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("sluice-demo-host-").tempdir()?;
        for name in ["host", "login"] {
            make_key(&folder.path().join(name)).await?;
        }
        fs::copy(folder.path().join("login.pub"), folder.path().join("authorized_keys"))?;
        let files = folder.path().join("app");
        fs::create_dir(&files)?;
        fs::write(files.join("app.env"), SETTINGS)?;
        fs::write(files.join("readme.txt"), "Nothing secret here.\n")?;
        // Only root's server wants it.
        let _not_allowed_otherwise = fs::create_dir_all("/run/sshd");
        let port = free_port().await?;
        let configuration = folder.path().join("sshd_config");
        fs::write(&configuration, settings(folder.path(), port))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let process = Command::new(server)
            .arg("-D")
            .arg("-e")
            .arg("-f")
            .arg(&configuration)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("`sshd` cannot be run")?;
        let public = fs::read_to_string(folder.path().join("host.pub"))?;
        let host_key = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let mut host = Self { process, folder, port, user: user().await?, host_key };
        match host.ready().await {
            Ok(()) => Ok(Some(host)),
            Err(error) => {
                let log = fs::read_to_string(host.folder.path().join("log")).unwrap_or_default();
                host.stop().await;
                Err(error.context(format!("the demo's SSH server did not start; it said:\n{log}")))
            }
        }
    }

    /// Ends the server.
    pub(crate) async fn stop(mut self) {
        let _already_gone = self.process.kill().await;
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The login that it lets in.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Its public key.
    pub(crate) fn host_key(&self) -> &str {
        &self.host_key
    }

    /// The private key that it lets in, which no client of the broker has.
    pub(crate) fn login_key(&self) -> PathBuf {
        self.folder.path().join("login")
    }

    /// A file with values that are masked.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.folder.path().join("app/app.env")
    }

    /// How many connections it has seen.
    pub(crate) fn connections(&self) -> usize {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("Connection from ")).count()
    }

    async fn ready(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended with {status}");
            }
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "it does not accept connections");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// `sshd_config(5)`: nothing of the machine's own configuration takes part.
fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nLogLevel VERBOSE\n\
         AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nSubsystem sftp internal-sftp\n"
    )
}

async fn make_key(file: &Path) -> Result<()> {
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "sluice-demo", "-f"]).arg(file).stdin(Stdio::null());
    let made = make.output().await.context("`ssh-keygen` cannot be run")?;
    ensure!(made.status.success(), "`ssh-keygen` failed: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Whom this process runs as: the server lets in nobody else.
async fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output().await.context("`id` cannot be run")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn free_port() -> Result<u16> {
    Ok(tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}
