//! A throw-away PostgreSQL: made with `initdb`, run as an unprivileged user, killed and deleted at the end.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;

use super::data;
use crate::tls;

/// How long the server may take to accept connections.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The superuser, for making the data and for looking behind the broker's back.
const OWNER: &str = "demo_owner";

/// PostgreSQL's programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

/// A user to run as.
#[derive(Clone, Copy, Debug)]
struct Ids {
    user: u32,
    group: u32,
}

/// A running server.
pub(crate) struct Server {
    programs: Programs,
    version: String,
    process: Child,
    folder: TempDir,
    ids: Option<Ids>,
    port: u16,
    password: String,
    authority: PathBuf,
}

impl Server {
    /// The newest PostgreSQL that is installed.
    pub(crate) fn programs() -> Option<Programs> {
        let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut packaged: Vec<(u32, PathBuf)> = packaged
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        packaged.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = packaged.into_iter().map(|(_, folder)| folder).chain(std::env::split_paths(&path));
        folders
            .map(|folder| Programs { folder })
            .find(|programs| ["initdb", "postgres", "pg_ctl"].iter().all(|name| programs.named(name).is_file()))
    }

    /// Starts a server with the demo's data in it.
    pub(crate) async fn start(programs: &Programs) -> Result<Self> {
        let ids = unprivileged()?;
        let folder = tempfile::Builder::new().prefix("sluice-demo-db-").tempdir()?;
        let owned = |path: &Path| ids.map_or(Ok(()), |ids| chown(path, Some(ids.user), Some(ids.group)));
        owned(folder.path())?;
        let secret = random_secret()?;
        let password_file = folder.path().join("password");
        super::private(&password_file, secret.as_bytes())?;
        owned(&password_file)?;
        let tls_folder = folder.path().join("tls");
        let (_, development) = tls::development(&tls_folder)?;
        for name in ["", "ca.pem", "server.pem", "server.key"] {
            owned(&tls_folder.join(name))?;
        }
        let data = folder.path().join("data");
        initialise(programs, ids, &data, &password_file).await?;
        let port = free_port().await?;
        let process = launch(programs, ids, folder.path(), &data, port)?;
        let version = version(programs).await;
        let programs = programs.clone();
        let mut server =
            Self { programs, version, process, folder, ids, port, password: secret, authority: development.authority };
        let filled = server.fill().await;
        match filled {
            Ok(()) => Ok(server),
            Err(error) => {
                let log = server.log_tail();
                server.stop().await;
                Err(error.context(format!("the demo's PostgreSQL did not start; its log ends with:\n{log}")))
            }
        }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn folder(&self) -> String {
        self.programs.folder.display().to_string()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    /// Ends the server without ceremony: nothing in it is to be kept.
    pub(crate) async fn stop(mut self) {
        let data = self.folder.path().join("data");
        let mut stop = command(self.programs.named("pg_ctl"), self.ids);
        stop.arg("-D").arg(&data).args(["-m", "immediate", "-w", "-t", "10", "stop"]);
        let _or_killed_below = stop.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if tokio::time::timeout(Duration::from_secs(5), self.process.wait()).await.is_err() {
            let _already_gone = self.process.kill().await;
        }
    }

    /// One value, asked as the superuser over the server's own socket.
    pub(crate) async fn truth(&self, sql: &str) -> Result<String> {
        let client = self.connect(OWNER, "shop").await?;
        let row = client.query_one(&format!("SELECT ({sql})::text"), &[]).await?;
        Ok(row.try_get::<_, Option<String>>(0)?.unwrap_or_default())
    }

    async fn fill(&mut self) -> Result<()> {
        self.ready().await?;
        let owner = self.connect(OWNER, "postgres").await?;
        // The password is hexadecimal digits: nothing in it needs quoting.
        let role = format!("CREATE ROLE app LOGIN PASSWORD '{}'", self.password);
        owner.batch_execute(&role).await?;
        owner.batch_execute("CREATE DATABASE shop OWNER app").await?;
        self.connect("app", "shop").await?.batch_execute(&data::sql()).await?;
        Ok(())
    }

    async fn ready(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended with {status}");
            }
            let Err(error) = self.connect(OWNER, "postgres").await else { return Ok(()) };
            if started.elapsed() > PATIENCE {
                return Err(error.context("it does not accept connections"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn connect(&self, user: &str, database: &str) -> Result<tokio_postgres::Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.folder.path()).port(self.port).user(user).dbname(database).password(&self.password);
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with its client; what went wrong on it, the client's own call says.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Programs {
    fn named(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// PostgreSQL refuses to run as root: who it runs as then, and nothing where this process is somebody else already.
fn unprivileged() -> Result<Option<Ids>> {
    if fs::metadata("/proc/self").map(|found| found.uid()).unwrap_or_default() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("the system's users cannot be read")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Ids { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    found.map(Some).context("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

/// A command as the unprivileged user.
fn command(program: impl AsRef<OsStr>, ids: Option<Ids>) -> Command {
    let mut command = Command::new(program);
    if let Some(Ids { user, group }) = ids {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn initialise(programs: &Programs, ids: Option<Ids>, data: &Path, password_file: &Path) -> Result<()> {
    let mut initdb = command(programs.named("initdb"), ids);
    initdb.arg("-D").arg(data).arg("-U").arg(OWNER).arg("--pwfile").arg(password_file);
    initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    let made = initdb.output().await.context("`initdb` cannot be run")?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stderr);
    bail!("`initdb` failed: {}", said.lines().last().unwrap_or("it said nothing"))
}

fn launch(programs: &Programs, ids: Option<Ids>, folder: &Path, data: &Path, port: u16) -> Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    let postgres = programs.named("postgres");
    // `setpriv` lets the kernel end the server if this process is killed before it could.
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut launch = if setpriv.is_file() {
        let mut launch = command(setpriv, ids);
        launch.args(["--pdeathsig", "QUIT", "--"]).arg(&postgres);
        launch
    } else {
        command(&postgres, ids)
    };
    launch.arg("-D").arg(data).arg("-k").arg(folder).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    let tls = folder.join("tls");
    let settings = [
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", tls.join("server.pem").display().to_string()),
        ("ssl_key_file", tls.join("server.key").display().to_string()),
        ("fsync", "off".to_owned()),
        ("shared_buffers", "16MB".to_owned()),
        ("max_connections", "50".to_owned()),
        ("log_statement", "all".to_owned()),
    ];
    for (name, value) in settings {
        launch.arg("-c").arg(format!("{name}={value}"));
    }
    launch.stdout(Stdio::null()).stderr(log).spawn().context("`postgres` cannot be run")
}

async fn version(programs: &Programs) -> String {
    let output = command(programs.named("postgres"), None).arg("--version").output().await;
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let number = said.split_whitespace().nth(2).unwrap_or("of some version");
    format!("PostgreSQL {number}")
}

/// 128 random bits in hexadecimal.
fn random_secret() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system has no randomness to give: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn free_port() -> Result<u16> {
    Ok(tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}
