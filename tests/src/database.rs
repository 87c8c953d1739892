//! A throw-away PostgreSQL whose statement log the tests read.
#![expect(clippy::expect_used, clippy::panic, reason = "test support: what cannot be run fails the test")]

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::keeper::{Ids, Keeping, Kept, is_root};
use crate::run::run;
use crate::wait::until;
use crate::wire::{Reply, Wire};

/// The superuser.
pub const OWNER: &str = "super";
/// The role that brokers sign in as, unless a test says otherwise; owns the databases.
pub const ROLE: &str = "app";
/// The password of both.
pub const PASSWORD: &str = "pw-9f31c7a4d2e84b60";

/// The locale of a server that is not asked in English.
const GERMAN: &str = "de_DE.UTF-8";

/// How each line of the log begins: process, application, then the message.
const LOG_PREFIX: &str = "|%p|%a|";

/// A running server.
#[derive(Debug)]
pub struct Server {
    _kept: Kept,
    folder: PathBuf,
    port: u16,
}

/// One entry of the server's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub process: u32,
    pub application: String,
    /// Level and text.
    pub text: String,
}

/// A database of its own for one test.
#[derive(Clone, Debug)]
pub struct Database {
    pub server: &'static Server,
    pub name: String,
}

impl Server {
    /// The one server of this test process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| {
            let server = Self::start(&[LOGGING, SETTINGS].concat(), None);
            server.make_roles();
            server
        })
    }

    /// A server of its own that speaks German; it ends with this process.
    ///
    /// # Panics
    /// When the system has no sources of locales.
    #[must_use]
    pub fn german() -> &'static Self {
        let folder =
            tempfile::Builder::new().prefix("sluice-test-locale-").tempdir().expect("a temporary folder").keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("our folder");
        let mut made = Command::new("localedef");
        made.args(["--inputfile=de_DE", "--charmap=UTF-8"]).arg(folder.join(GERMAN));
        let _made = run(&mut made, Duration::from_secs(60)).done();
        let spoken = format!("lc_messages={GERMAN}");
        let server = Self::start(&[SETTINGS, &[spoken.as_str()]].concat(), Some(&folder));
        server.make_roles();
        Box::leak(Box::new(server))
    }

    /// A server of its own, which logs only errors; it ends with this process.
    #[must_use]
    pub fn plain() -> &'static Self {
        let server = Self::start(SETTINGS, None);
        server.make_roles();
        Box::leak(Box::new(server))
    }

    /// `locales` is where the C library looks for more than its own.
    fn start(settings: &[&str], locales: Option<&Path>) -> Self {
        let ids = unprivileged();
        let folder = tempfile::Builder::new().prefix("sluice-test-db-").tempdir().expect("a temporary folder").keep();
        owned(&folder, ids);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("our folder");
        certificates(&folder, ids);
        let data = folder.join("data");
        let mut initdb = Command::new(program("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        unprivileged_command(&mut initdb, ids);
        let _made = run(&mut initdb, Duration::from_secs(60)).done();
        let rules =
            "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), rules).expect("our folder");
        let log = folder.join("log");
        fs::write(&log, "").expect("our folder");
        owned(&log, ids);
        let port = free_port();
        let mut postgres = Command::new(program("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        for setting in settings {
            postgres.arg("-c").arg(setting);
        }
        postgres.arg("-c").arg(format!("log_line_prefix={LOG_PREFIX}"));
        for (name, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
            postgres.arg("-c").arg(format!("{name}={}", folder.join(file).display()));
        }
        postgres.env("LC_ALL", "C");
        if let Some(locales) = locales {
            postgres.env("LOCPATH", locales);
        }
        let keeping =
            Keeping { end_with: "QUIT", log: &log, folder: Some(&folder), before: "", after: "", run_as: ids };
        let kept = Kept::start(&postgres, &keeping);
        let server = Self { _kept: kept, folder, port };
        server.ready();
        server
    }

    fn ready(&self) {
        until(Duration::from_secs(60), "PostgreSQL to answer", || {
            if !self._kept.is_running() {
                panic!(
                    "PostgreSQL did not start:\n{}",
                    fs::read_to_string(self.folder.join("log")).unwrap_or_default()
                );
            }
            Wire::unix(&self.folder, self.port, OWNER, "postgres").ok()
        });
    }

    fn make_roles(&self) {
        let mut admin = self.admin("postgres");
        let _set = admin.query(&format!("ALTER ROLE {OWNER} PASSWORD '{PASSWORD}'")).ok();
        let _made = admin.query(&format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")).ok();
    }

    /// Where its socket lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A connection as the superuser, past every broker.
    #[must_use]
    pub fn admin(&self, database: &str) -> Wire {
        self.direct(OWNER, database)
    }

    /// A connection as some role, past every broker.
    #[must_use]
    pub fn direct(&self, role: &str, database: &str) -> Wire {
        Wire::unix(&self.folder, self.port, role, database).expect("the server accepts connections")
    }

    /// A new database of [`ROLE`], filled by a script.
    #[must_use]
    pub fn database(&'static self, script: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("db{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let _made = self.admin("postgres").query(&format!("CREATE DATABASE {name} OWNER {ROLE}")).ok();
        let database = Database { server: self, name };
        let _filled = self.direct(ROLE, &database.name).query(script).ok();
        database
    }

    /// Where the log ends at the moment.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        fs::metadata(self.folder.join("log")).map_or(0, |found| found.len())
    }

    /// The entries of the log from a place on.
    #[must_use]
    pub fn log_from(&self, from: u64) -> Vec<Entry> {
        let mut text = Vec::new();
        let mut file = fs::File::open(self.folder.join("log")).expect("the log is there");
        file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut text)).expect("the log can be read");
        entries(&String::from_utf8_lossy(&text))
    }
}

impl Database {
    /// One value as text, asked past every broker.
    #[must_use]
    pub fn truth(&self, sql: &str) -> String {
        let reply = self.server.admin(&self.name).query(sql).ok();
        reply.rows().first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default()
    }

    /// Runs statements past every broker.
    #[must_use]
    pub fn run(&self, sql: &str) -> Reply {
        self.server.admin(&self.name).query(sql).ok()
    }
}

const SETTINGS: &[&str] = &[
    "ssl=on",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=80",
    "wal_level=logical",
    "autovacuum=off",
    "log_checkpoints=off",
];

/// What the server writes down for the tests.
const LOGGING: &[&str] = &[
    "log_statement=all",
    "log_min_duration_statement=0",
    "log_min_messages=info",
    "log_min_error_statement=info",
    "log_parameter_max_length=0",
];

/// A program of PostgreSQL, from PATH or from where Debian keeps it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<PathBuf> = packaged.map(|entry| entry.path().join("bin")).collect();
    packaged.sort();
    let folders = std::env::split_paths(&path).chain(packaged.into_iter().rev());
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not installed: run `make setup`"))
}

fn entries(log: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    for line in log.lines() {
        let mut parts = line.splitn(4, '|');
        let head = (parts.next(), parts.next().and_then(|pid| pid.parse().ok()), parts.next(), parts.next());
        if let (Some(""), Some(process), Some(application), Some(text)) = head {
            found.push(Entry { process, application: application.to_owned(), text: text.to_owned() });
        } else if let Some(last) = found.last_mut() {
            last.text.push('\n');
            last.text.push_str(line.strip_prefix('\t').unwrap_or(line));
        }
    }
    found
}

/// An authority and the server's certificate.
fn certificates(folder: &Path, ids: Option<Ids>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &authority));
    let files = [
        ("ca.pem", authority.pem()),
        ("server.pem", server.expect("a certificate").pem()),
        ("server.key", key.serialize_pem()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).expect("our folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
        owned(&path, ids);
    }
}

/// An authority that signed nothing.
#[must_use]
pub fn strange_authority() -> String {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate").pem()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// PostgreSQL does not run as root: who it runs as then.
fn unprivileged() -> Option<Ids> {
    if !is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the system has users");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Ids { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("there is a user `postgres` or `nobody`"))
}

fn unprivileged_command(command: &mut Command, ids: Option<Ids>) {
    use std::os::unix::process::CommandExt as _;
    if let Some(Ids { user, group }) = ids {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C");
}

fn owned(path: &Path, ids: Option<Ids>) {
    if let Some(Ids { user, group }) = ids {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_several_lines_are_one() {
        let found = entries("|7|sluice alice s|LOG:  statement: SELECT 1,\n\t2\n|8||ERROR:  x|y\n");
        let shown: Vec<_> = found.iter().map(|e| (e.process, e.application.as_str(), e.text.as_str())).collect();
        assert_eq!(shown, [(7, "sluice alice s", "LOG:  statement: SELECT 1,\n2"), (8, "", "ERROR:  x|y")]);
    }
}
