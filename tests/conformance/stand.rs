//! A server of a suite's own, and a broker before it that permits everything.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sluice_tests::broker::{Broker, Setup, Target, root};
use sluice_tests::database::{Database, OWNER, Server};

/// Everything is permitted.
const ALLOW_ALL: &str = "\
    @id(\"everything\") permit (principal, action, resource);\n\
    @id(\"and-what-cannot-be-told\") permit (principal, action in Action::\"unknown\", resource);\n";

/// Which way a suite goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Direct,
    Broker,
}

/// A server, and the way to it.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) server: &'static Server,
    pub(crate) broker: Option<Broker>,
    pub(crate) token: String,
}

impl Stand {
    /// A server with one database, to be reached as the superuser.
    pub(crate) fn open(way: Way, database: &str) -> Self {
        let server = Server::plain();
        if database != "postgres" {
            let _made = server.admin("postgres").query(&format!("CREATE DATABASE {database}")).ok();
        }
        let mut stand = Self { server, broker: None, token: String::new() };
        if way == Way::Broker {
            stand.guard(database);
        }
        stand
    }

    /// Puts a broker before a database; its name is the target's too.
    pub(crate) fn guard(&mut self, database: &str) {
        self.guard_as(database, OWNER);
    }

    /// The same, with a role of its own at the server.
    pub(crate) fn guard_as(&mut self, database: &str, role: &str) {
        let place = Database { server: self.server, name: database.to_owned() };
        let mut target = Target::new(database, "dev", &place);
        role.clone_into(&mut target.user);
        target.columns.clear();
        let mut setup = Setup::new(vec![target]);
        setup.policies = vec![("everything.cedar".to_owned(), ALLOW_ALL.to_owned())];
        let broker = Broker::start(&setup);
        self.token = broker.token("tester", "testers");
        self.broker = Some(broker);
    }

    /// Tells a program on libpq how to connect.
    pub(crate) fn point(&self, command: &mut Command) {
        for setting in ["PGOPTIONS", "PGSERVICE", "PGDATABASE", "PGAPPNAME", "PGSSLROOTCERT", "PGPASSWORD"] {
            command.env_remove(setting);
        }
        command.env("PGUSER", OWNER).env("PGHOST", self.host()).env("PGPORT", self.port().to_string());
        match &self.broker {
            Some(broker) => {
                command.env("PGPASSWORD", &self.token).env("PGSSLMODE", "verify-full");
                command.env("PGSSLROOTCERT", broker.folder().join("var/tls/ca.pem"));
            }
            None => drop(command.env("PGSSLMODE", "disable")),
        }
    }

    /// The host, or the folder of its socket.
    pub(crate) fn host(&self) -> String {
        if self.broker.is_some() { "localhost".to_owned() } else { self.server.folder().display().to_string() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.broker.as_ref().map_or(self.server.port(), Broker::port)
    }

    /// Fails if the broker has met what it says it never meets.
    pub(crate) fn close(self) -> Result<()> {
        let Some(broker) = self.broker else { return Ok(()) };
        let log = broker.log();
        let bad = log.lines().find(|line| line.contains("panicked") || line.contains("\"level\":\"ERROR\""));
        if let Some(line) = bad {
            bail!("the broker logged: {line}");
        }
        if !broker.process().is_running() {
            bail!("the broker has ended");
        }
        Ok(())
    }
}

/// The folder that `tools/conformance.sh` fills.
pub(crate) fn fetched() -> PathBuf {
    std::env::var_os("SLUICE_CONFORMANCE").map_or_else(|| root().join(".tools/conformance"), PathBuf::from)
}

/// The source of the installed server's tests.
pub(crate) fn source() -> Result<PathBuf> {
    let printed = Command::new(programs()?.join("postgres")).arg("--version").output()?;
    let printed = String::from_utf8(printed.stdout)?;
    let version = printed.split(' ').nth(2).context("`postgres --version` names it")?;
    let source = fetched().join(format!("postgresql-{}", version.trim()));
    if !source.is_dir() {
        bail!("{} is missing: run tools/conformance.sh", source.display());
    }
    Ok(source)
}

/// The installed server's folder of programs, whichever server is tested.
pub(crate) fn programs() -> Result<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").context("no packaged PostgreSQL")?.flatten();
    let mut installed: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    installed.retain(|folder| folder.join("postgres").is_file());
    installed.sort();
    installed.pop().context("no packaged PostgreSQL")
}
