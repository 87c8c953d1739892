//! Everything that is compared, on loopback: PostgreSQL and the ways to it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sluice_tests::database::program;
use sluice_tests::keeper::{Ids, Keeping, Kept, is_root};
use sluice_tests::run::run;
use sluice_tests::wait::pause;
use tempfile::TempDir;

/// The role that everybody signs in to PostgreSQL as; it is trusted on loopback.
pub(crate) const ROLE: &str = "bench";
/// Rows of `pgbench_accounts`.
pub(crate) const ROWS: u64 = 500_000;
/// One scale unit of pgbench is 100,000 accounts.
const SCALE: &str = "5";

/// How long a program may take to be ready.
pub(crate) const STARTING: Duration = Duration::from_secs(60);
/// How long filling the database may take.
const FILLING: Duration = Duration::from_secs(120);

/// One way from a client to PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// The process between client and server.
    pub(crate) pid: u32,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) database: &'static str,
}

/// Everything that runs. The ways end before the server they lead to.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) copy: Way,
    pub(crate) pgbouncer: Way,
    pub(crate) sluice: Way,
    pub(crate) masked: Way,
    server_port: u16,
    _processes: Vec<Kept>,
    pub(crate) folder: TempDir,
}

/// One way whose process has carried nothing yet; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) way: Way,
    _process: Kept,
}

impl Stand {
    /// Starts everything; it all ends with this process.
    pub(crate) fn start() -> Result<Self> {
        let ids = unprivileged()?;
        let folder = tempfile::Builder::new().prefix("sluice-bench-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let (server, server_port) = postgres(folder.path(), ids)?;
        fill(server_port)?;
        let copy = copy(folder.path(), server_port)?;
        let bouncer = pgbouncer(folder.path(), ids, server_port)?;
        let broker = sluice(folder.path(), "broker", server_port)?;
        let masked = Way { name: "Sluice, masked", database: "masked", ..broker.way.clone() };
        Ok(Self {
            copy: copy.way,
            pgbouncer: bouncer.way,
            sluice: broker.way,
            masked,
            server_port,
            _processes: vec![broker._process, bouncer._process, copy._process, server],
            folder,
        })
    }

    /// Another copy proxy to the same server.
    pub(crate) fn fresh_copy(&self) -> Result<Fresh> {
        copy(self.folder.path(), self.server_port)
    }

    /// Another broker to the same server, with a folder of its own.
    pub(crate) fn fresh_sluice(&self, name: &str) -> Result<Fresh> {
        sluice(self.folder.path(), name, self.server_port)
    }
}

fn fresh(name: &'static str, process: Kept, port: u16) -> Fresh {
    let way = Way { name, port, pid: process.pid(), user: ROLE, password: "", database: "bench" };
    Fresh { way, _process: process }
}

/// Starts a program that ends with this process.
pub(crate) fn keep(command: &Command, log: &Path, run_as: Option<Ids>, end_with: &str) -> Kept {
    Kept::start(command, &Keeping { end_with, log, folder: None, before: "", after: "", run_as })
}

fn postgres(folder: &Path, ids: Option<Ids>) -> Result<(Kept, u16)> {
    let home = place(folder, "postgres", ids)?;
    let data = home.join("data");
    let mut initdb = Command::new(program("initdb"));
    initdb.arg("-D").arg(&data).args(["-U", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    become_user(&mut initdb, ids);
    let _made = run(&mut initdb, STARTING).done();
    let port = free_port()?;
    let mut postgres = Command::new(program("postgres"));
    postgres.arg("-D").arg(&data).arg("-k").arg(&home).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    for setting in SETTINGS {
        postgres.arg("-c").arg(setting);
    }
    let log = home.join("log");
    let kept = keep(&postgres, &log, ids, "QUIT");
    ready("PostgreSQL", &kept, &log, || listens(port).then_some(()))?;
    Ok((kept, port))
}

/// Nothing but the queries should cost anything.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "jit=off",
    "max_parallel_workers_per_gather=0",
    "shared_buffers=256MB",
    "max_connections=900",
    "checkpoint_timeout=1h",
    "max_wal_size=4GB",
];

fn fill(port: u16) -> Result<()> {
    let mut create = Command::new(program("createdb"));
    create.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", ROLE, "bench"]);
    let mut told = None;
    // It listens a moment before it lets anybody in.
    for _ in 0..100 {
        let finished = run(&mut create, STARTING);
        if finished.code == Some(0) {
            let mut init = pgbench(port, ROLE, "", "bench");
            let _filled = run(init.args(["-i", "-q", "-s", SCALE]), FILLING).done();
            return Ok(());
        }
        told = Some(finished.said());
        pause();
    }
    bail!("the database could not be made: {}", told.unwrap_or_default())
}

/// pgbench against a port, without TLS.
pub(crate) fn pgbench(port: u16, user: &str, password: &str, database: &str) -> Command {
    let mut command = Command::new(program("pgbench"));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", user]);
    command.env("PGPASSWORD", password).env("PGDATABASE", database).env("PGSSLMODE", "disable").env("LC_ALL", "C");
    command
}

fn copy(folder: &Path, server: u16) -> Result<Fresh> {
    let log = folder.join(format!("copy-{}.log", free_port()?));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("copy").arg(format!("127.0.0.1:{server}"));
    let kept = keep(&command, &log, None, "TERM");
    let port = ready("the copy proxy", &kept, &log, || fs::read_to_string(&log).ok()?.trim().parse().ok())?;
    Ok(fresh("copy proxy", kept, port))
}

fn pgbouncer(folder: &Path, ids: Option<Ids>, server: u16) -> Result<Fresh> {
    let home = place(folder, "pgbouncer", ids)?;
    let port = free_port()?;
    fs::write(home.join("users"), format!("\"{ROLE}\" \"\"\n"))?;
    let file = home.join("pgbouncer.ini");
    fs::write(
        &file,
        format!(
            "[databases]\nbench = host=127.0.0.1 port={server} dbname=bench\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = session\n\
             default_pool_size = 300\nmax_client_conn = 500\ntcp_keepalive = 1\nlog_connections = 0\n\
             log_disconnections = 0\nlog_stats = 0\n",
            home.join("users").display()
        ),
    )?;
    let mut command = Command::new(tool("pgbouncer")?);
    command.arg(&file);
    let log = home.join("log");
    let kept = keep(&command, &log, ids, "TERM");
    ready("pgbouncer", &kept, &log, || listens(port).then_some(()))?;
    Ok(fresh("pgbouncer", kept, port))
}

/// The broker under the repository's own policies: one target without tags, one with a column that is masked.
fn sluice(folder: &Path, name: &str, server: u16) -> Result<Fresh> {
    let folder = folder.join(name);
    fs::create_dir(&folder)?;
    let file = folder.join("sluice.yaml");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = |name: &str, more: &str| {
        format!(
            "  {name}:\n    protocol: postgres\n    environment: prod\n    credential: {{ user: {ROLE} }}\n    \
             host: 127.0.0.1\n    port: {server}\n    database: bench\n    tls: dangerous_plaintext\n{more}"
        )
    };
    let columns = "    columns:\n      public.pgbench_accounts.abalance: [pii]\n      \
                   public.pgbench_accounts.filler: [pii]\n";
    fs::write(
        &file,
        format!(
            "listen:\n  postgres: 127.0.0.1:0\n  dangerous_cleartext_loopback: true\ndata_dir: ./var\npolicies: {}\n\
             limits: {{ unauthenticated_per_address: 512 }}\n\
             classification:\n  - {{ tag: pii, redact: redact }}\ntargets:\n{}{}",
            root.join("policies").display(),
            target("open", ""),
            target("masked", columns),
        ),
    )?;
    let (kept, port, token) = broker(&file, "postgres", "dba-oncall")?;
    let Fresh { way, _process } = fresh("Sluice", kept, port);
    // It lives as long as the process, as what holds it does.
    Ok(Fresh { way: Way { password: token.leak(), database: "open", ..way }, _process })
}

/// Starts a broker and signs somebody of a group up: the port of one protocol, and the token.
pub(crate) fn broker(file: &Path, protocol: &str, group: &str) -> Result<(Kept, u16, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary = std::env::var_os("SLUICE").map_or_else(|| root.join("target/release/sluice"), PathBuf::from);
    if !binary.is_file() {
        bail!("there is no release build of Sluice: run `cargo build --release --package sluice-broker`");
    }
    // It is started in another folder.
    let binary = binary.canonicalize()?;
    let mut serve = Command::new(&binary);
    serve.arg("serve").arg("--config").arg(file).args(["--log", "json"]);
    let log = file.with_extension("log");
    let kept = keep(&serve, &log, None, "TERM");
    let port = ready("Sluice", &kept, &log, || address(&fs::read_to_string(&log).ok()?, protocol))?;
    let mut create = Command::new(&binary);
    create.args(["token", "create", "--user", "bench", "--group", group, "--config"]).arg(file);
    let token = run(&mut create, STARTING).done().stdout.trim().to_owned();
    Ok((kept, port, token))
}

/// The port in the line that says that the broker is ready for a protocol; once the last such line is written.
fn address(log: &str, protocol: &str) -> Option<u16> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ready = |line: &serde_json::Value| line.get("message").is_some_and(|message| message == "the broker is ready");
    let lines: Vec<_> = lines.filter(ready).collect();
    let of = |name: &str| lines.iter().find(|line| line.get("protocol").is_some_and(|found| found == name));
    of("postgres").and_then(|_| of(protocol)?.get("address")?.as_str()?.rsplit_once(':')?.1.parse().ok())
}

/// Waits for a program to show that it is ready, as long as it runs.
pub(crate) fn ready<T>(what: &str, kept: &Kept, log: &Path, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = std::time::Instant::now() + STARTING;
    while std::time::Instant::now() < end && kept.is_running() {
        if let Some(found) = look() {
            return Ok(found);
        }
        pause();
    }
    bail!("{what} did not start:\n{}", fs::read_to_string(log).unwrap_or_default())
}

pub(crate) fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A folder for one program, of the user it runs as.
pub(crate) fn place(folder: &Path, name: &str, ids: Option<Ids>) -> Result<PathBuf> {
    let place = folder.join(name);
    fs::create_dir(&place)?;
    if let Some(Ids { user, group }) = ids {
        chown(&place, Some(user), Some(group))?;
    }
    Ok(place)
}

fn become_user(command: &mut Command, ids: Option<Ids>) {
    use std::os::unix::process::CommandExt as _;
    if let Some(Ids { user, group }) = ids {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C");
}

/// A program that may lie in `sbin`, which is not in everybody's PATH.
pub(crate) fn tool(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut files = folders.map(|folder| folder.join(name));
    files.find(|file| file.is_file()).with_context(|| format!("`{name}` is not installed: run `make setup`"))
}

/// Neither PostgreSQL nor pgbouncer runs as root: who they run as then.
pub(crate) fn unprivileged() -> Result<Option<Ids>> {
    if !is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some(Ids { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    found.map(Some).context("there is neither a user `postgres` nor `nobody`")
}
