//! The real `sluice` binary, with a configuration of the test's own.
#![expect(clippy::expect_used, clippy::panic, reason = "test support: what cannot be run fails the test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::api::{Api, KEY};
use crate::canary::{CANARIES, Scan};
use crate::database::{Database, PASSWORD, ROLE};
use crate::http::Http;
use crate::keeper::{Keeping, Kept};
use crate::run::{Finished, run};
use crate::ssh::Host;
use crate::wait::{SOON, until};
use crate::wire::Wire;

/// How long building the binary may take where it is not built yet.
const BUILDING: Duration = Duration::from_secs(1_800);
/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(30);

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    pub targets: Vec<Target>,
    /// HTTP targets; there is a listener for them where there is one.
    pub apis: Vec<Api>,
    /// SSH targets, likewise.
    pub hosts: Vec<Host>,
    /// File names and texts; the packs of the repository where there are none.
    pub policies: Vec<(String, String)>,
    /// Further sections of the configuration, such as `limits: { hold_seconds: 2 }`.
    pub more: String,
    /// Shell commands before the broker starts and after it has ended; `$folder` is the broker's.
    pub before: &'static str,
    pub after: &'static str,
}

/// One target of a broker.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub environment: String,
    pub user: String,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub databases: Vec<String>,
    /// As in the configuration.
    pub tls: String,
    pub columns: Vec<(String, String)>,
}

/// A broker that runs, or did.
#[derive(Debug)]
pub struct Broker {
    kept: Option<Kept>,
    folder: PathBuf,
    setup: Setup,
    port: u16,
    http_port: Option<u16>,
    ssh_port: Option<u16>,
    /// Tokens that were given out.
    issued: Mutex<Vec<String>>,
    cache: Mutex<HashMap<(String, String), String>>,
}

impl Target {
    /// A target for a database of the tests, whose `customers` carry tags.
    #[must_use]
    pub fn new(name: &str, environment: &str, database: &Database) -> Self {
        Self {
            name: name.to_owned(),
            environment: environment.to_owned(),
            user: ROLE.to_owned(),
            host: "localhost".to_owned(),
            port: database.server.port(),
            database: database.name.clone(),
            databases: Vec::new(),
            tls: format!("{{ ca: {} }}", database.server.authority().display()),
            columns: vec![
                ("public.customers.email".to_owned(), "pii.contact".to_owned()),
                ("public.customers.ssn".to_owned(), "pii".to_owned()),
            ],
        }
    }

    fn yaml(&self) -> String {
        let Self { name, environment, user, host, port, database, databases, tls, columns } = self;
        let mut text = format!(
            "  {name}:\n    protocol: postgres\n    environment: {environment}\n    \
             credential: {{ user: {user}, password: \"file:database.password\" }}\n    host: {host}\n    \
             port: {port}\n    database: {database}\n    databases: [{}]\n    tls: {tls}\n",
            databases.join(", ")
        );
        if !columns.is_empty() {
            text.push_str("    columns:\n");
        }
        for (pattern, tag) in columns {
            let _never = writeln!(text, "      \"{pattern}\": [{tag}]");
        }
        text
    }
}

impl Setup {
    /// Targets under the policies of the repository.
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Self {
        Self {
            targets,
            apis: Vec::new(),
            hosts: Vec::new(),
            policies: packs(),
            more: String::new(),
            before: "",
            after: "",
        }
    }

    /// HTTP targets under policies of the test's own.
    #[must_use]
    pub fn http(apis: Vec<Api>, policies: &str) -> Self {
        let policies = vec![("test.cedar".to_owned(), policies.to_owned())];
        Self { apis, policies, ..Self::new(Vec::new()) }
    }

    /// SSH targets under policies of the test's own.
    #[must_use]
    pub fn ssh(hosts: Vec<Host>, policies: &str) -> Self {
        let policies = vec![("test.cedar".to_owned(), policies.to_owned())];
        Self { hosts, policies, ..Self::new(Vec::new()) }
    }

    /// The same with one more policy file.
    #[must_use]
    pub fn policy(mut self, name: &str, text: &str) -> Self {
        self.policies.push((name.to_owned(), text.to_owned()));
        self
    }

    /// The same with further sections.
    #[must_use]
    pub fn more(mut self, text: &str) -> Self {
        self.more = text.to_owned();
        self
    }

    /// The configuration file.
    #[must_use]
    pub fn yaml(&self) -> String {
        let others = self.apis.iter().map(Api::yaml).chain(self.hosts.iter().map(Host::yaml));
        let targets: String = self.targets.iter().map(Target::yaml).chain(others).collect();
        let ssh = if self.hosts.is_empty() { "" } else { "  ssh: 127.0.0.1:0\n" };
        let http = if self.apis.is_empty() { "" } else { "  http: 127.0.0.1:0\n" };
        format!(
            "listen:\n  postgres: 127.0.0.1:0\n{http}{ssh}  dangerous_cleartext_loopback: true\ndata_dir: ./var\npolicies: ./policies\n\
             classification:\n  - {{ tag: pii, redact: redact }}\n  \
             - {{ tag: pii.contact, redact: redact, partial: {{ partial: {{ keep_last: 4 }} }} }}\n{}\ntargets:\n{targets}",
            self.more
        )
    }

    /// Writes configuration, policies and password into a new folder, which the caller removes.
    ///
    /// # Panics
    /// When nothing can be written.
    #[must_use]
    pub fn write(&self) -> PathBuf {
        let folder = tempfile::Builder::new().prefix("sluice-test-").tempdir().expect("a temporary folder").keep();
        fs::create_dir(folder.join("policies")).expect("our folder");
        for (name, text) in &self.policies {
            fs::write(folder.join("policies").join(name), text).expect("our folder");
        }
        let keys = self.apis.iter().flat_map(Api::key_files);
        let keys = keys.chain(self.hosts.iter().map(|host| (host.key_file(), host.key.as_str())));
        for (name, secret) in std::iter::once(("database.password".to_owned(), PASSWORD)).chain(keys) {
            let file = folder.join(name);
            fs::write(&file, secret).expect("our folder");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our file");
        }
        let yaml = self.yaml().replace("password: \"file:", "password: \"file:$folder/");
        let yaml = yaml.replace("$folder", &folder.display().to_string());
        fs::write(folder.join("sluice.yaml"), yaml).expect("our folder");
        folder
    }
}

impl Broker {
    /// Starts a broker and waits until it answers.
    #[must_use]
    pub fn start(setup: &Setup) -> Self {
        Self::start_with(setup, str::to_owned)
    }

    /// The same with a changed configuration file.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn start_with(setup: &Setup, change: impl FnOnce(&str) -> String) -> Self {
        let folder = setup.write();
        let file = folder.join("sluice.yaml");
        let text = fs::read_to_string(&file).expect("it was written");
        fs::write(&file, change(&text)).expect("our folder");
        let mut broker = Self {
            kept: None,
            folder,
            setup: setup.clone(),
            port: 0,
            http_port: None,
            ssh_port: None,
            issued: Mutex::default(),
            cache: Mutex::default(),
        };
        broker.launch();
        broker
    }

    /// Starts it again in the same folder.
    pub fn restart(&mut self) {
        assert!(self.kept.as_ref().is_none_or(|kept| !kept.is_running()), "it still runs");
        self.launch();
    }

    fn launch(&mut self) {
        let log = self.folder.join("log");
        let from = self.log().len();
        let mut serve = Command::new(sluice());
        serve.arg("serve").arg("--config").arg(self.folder.join("sluice.yaml")).args(["--log", "json"]);
        let place = |text: &str| text.replace("$folder", &self.folder.display().to_string());
        let keeping = Keeping {
            end_with: "KILL",
            log: &log,
            folder: None,
            before: &place(self.setup.before),
            after: &place(self.setup.after),
            run_as: None,
        };
        let kept = Kept::start(&serve, &keeping);
        let ports = until(Duration::from_secs(60), "the broker to be ready", || {
            let log = self.log();
            let new = log.get(from..).unwrap_or_default();
            let ports = ready(new);
            assert!(ports.contains_key("postgres") || kept.is_running(), "the broker did not start:\n{new}");
            // It is the last to be said.
            ports.contains_key("postgres").then_some(ports)
        });
        self.port = ports.get("postgres").copied().unwrap_or_default();
        self.http_port = ports.get("http").copied();
        self.ssh_port = ports.get("ssh").copied();
        self.kept = Some(kept);
    }

    /// Where clients connect, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where HTTP clients connect, on 127.0.0.1.
    ///
    /// # Panics
    /// When it has no HTTP target.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http_port.expect("it listens for HTTP")
    }

    /// Where SSH clients connect, on 127.0.0.1.
    ///
    /// # Panics
    /// When it has no SSH target.
    #[must_use]
    pub fn ssh_port(&self) -> u16 {
        self.ssh_port.expect("it listens for SSH")
    }

    /// A connection for HTTP.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::connect(self.http_port())
    }

    /// The folder of its configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn process(&self) -> &Kept {
        self.kept.as_ref().expect("it was started")
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits for the log to say something after a place in it.
    pub fn logs(&self, from: usize, needle: &str) {
        until(SOON, &format!("`{needle}` in the broker's log"), || {
            self.log().get(from..).unwrap_or_default().contains(needle).then_some(())
        });
    }

    /// A `sluice` command with this configuration.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(sluice());
        command.args(arguments).arg("--config").arg(self.folder.join("sluice.yaml")).env("NO_COLOR", "1");
        command.env_remove("SLUICE_TOKEN");
        command
    }

    /// Runs a `sluice` command.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        run(&mut self.command(arguments), COMMAND)
    }

    /// Runs a `sluice` command as somebody.
    #[must_use]
    pub fn cli_as(&self, token: &str, arguments: &[&str]) -> Finished {
        run(self.command(arguments).env("SLUICE_TOKEN", token), COMMAND)
    }

    /// The documents that a command prints with `--output json`.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.cli(&[arguments, &["--output", "json"]].concat()).done().stdout;
        printed.lines().map(|line| serde_json::from_str(line).expect("one document per line")).collect()
    }

    /// A token for a person in a group; the same one each time.
    #[must_use]
    pub fn token(&self, user: &str, group: &str) -> String {
        let key = (user.to_owned(), group.to_owned());
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entry(key).or_insert_with(|| self.mint(&["--user", user, "--group", group])).clone()
    }

    /// A new token.
    #[must_use]
    pub fn mint(&self, arguments: &[&str]) -> String {
        let printed = self.cli(&[&["token", "create"], arguments].concat()).done().stdout;
        let token = printed.trim().to_owned();
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        token
    }

    /// Signs in with the tests' own client.
    ///
    /// # Panics
    /// When the broker does not let it in.
    #[must_use]
    pub fn wire(&self, user: &str, target: &str, token: &str) -> Wire {
        self.try_wire(user, target, token).unwrap_or_else(|said| panic!("{user} did not get in: {said}"))
    }

    /// Tries to sign in with the tests' own client.
    pub fn try_wire(&self, user: &str, target: &str, token: &str) -> Result<Wire, String> {
        let mut wire = Wire::tcp(self.port);
        wire.sign_in(&[("user", user), ("database", target)], token)?;
        Ok(wire)
    }

    /// Ends it as a machine that loses power does.
    pub fn kill(&self) {
        self.process().signal("KILL");
        self.process().ended();
    }

    /// Ends it politely.
    pub fn stop(&self) {
        self.process().signal("TERM");
        self.process().ended();
    }

    /// The sessions, newest first, once none is open.
    #[must_use]
    pub fn closed_sessions(&self) -> Vec<Value> {
        until(SOON, "every session to be closed", || {
            let all = self.json(&["sessions", "list", "--limit", "1000"]);
            all.iter().all(|session| !session["end"].is_null()).then_some(all)
        })
    }

    /// Fails where a token, a password or a canary is in a text.
    ///
    /// # Panics
    /// When there is one.
    pub fn no_secret_in(&self, what: &str, text: &str) {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = issued.iter().filter_map(|token| token.rsplit_once('.')).map(|(_, signature)| signature);
        for secret in parts.chain([PASSWORD, KEY]) {
            assert!(!text.contains(secret), "{what} holds a secret:\n{text}");
        }
        Scan::new(&CANARIES).none_in(what, text.as_bytes());
    }

    /// Fails where the log holds what no log may hold.
    pub fn log_is_clean(&self) {
        self.no_secret_in("the broker's log", &self.log());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kept = None;
        if std::thread::panicking() {
            let folder = self.folder.display();
            eprint(&format!("the broker's folder is kept: {folder}\n"));
        } else {
            let _or_gone = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The ports that a log says are ready, by protocol.
fn ready(log: &str) -> HashMap<String, u16> {
    let port = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let said = |name: &str| line.get(name).and_then(Value::as_str);
        let ready = said("message")? == "the broker is ready";
        let port = said("address")?.rsplit_once(':')?.1.parse().ok()?;
        ready.then(|| Some((said("protocol")?.to_owned(), port)))?
    };
    log.lines().filter_map(port).collect()
}

/// Words for whoever reads a failure.
fn eprint(text: &str) {
    use std::io::Write as _;
    let _unseen = std::io::stderr().write_all(text.as_bytes());
}

/// The folder of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_path_buf()
}

/// The policy packs of the repository.
#[must_use]
pub fn packs() -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join("policies")).expect("there are policies").flatten();
    let packs = entries.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "cedar"));
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("a policy is text");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    packs.map(read).collect()
}

/// The binary: the one that `SLUICE_BIN` names, or the workspace's, which is built if it is out of date.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn sluice() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        if let Some(named) = std::env::var_os("SLUICE_BIN") {
            return PathBuf::from(named);
        }
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "sluice-broker", "--message-format", "json-render-diagnostics"]);
        let built = run(build.current_dir(root()), BUILDING);
        assert_eq!(built.code, Some(0), "the binary cannot be built:\n{}", built.stderr);
        let executable =
            built.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
                let ours = line.pointer("/target/name")? == "sluice" && line.pointer("/target/kind/0")? == "bin";
                ours.then(|| line.get("executable")?.as_str().map(PathBuf::from))?
            });
        executable.expect("cargo says where the binary is")
    };
    BINARY.get_or_init(find).clone()
}
