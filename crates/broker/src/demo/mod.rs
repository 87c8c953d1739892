//! `sluice demo`: a whole broker to try in one process, with nothing left behind.

mod builtin;
mod caller;
mod data;
mod database;
mod guest;
mod host;
mod openai;
mod script;
mod server;
mod tour;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_model::{ExposeSecret as _, Group, Person, Secret, Who};
use tempfile::TempDir;

use crate::cli::{DONE, WRONG, create_token, hint, out};
use crate::paths::Paths;
use crate::running::Running;
use crate::shutdown::Endings;
use crate::{config, log};
use database::Database;
use host::Host;
use openai::FakeOpenAi;

/// Where clients of the demo connect if nothing else is there.
const PORT: u16 = 6432;
/// A program that knows nothing of a broker.
const AGENT: &str = include_str!("../../../../fixtures/demo/agent.py");

/// The lifetime of the demo's tokens.
const TOKEN_SECONDS: u32 = 12 * 3_600;

/// Where HTTP clients of the demo connect if nothing else is there.
const HTTP_PORT: u16 = 8443;
/// Where SSH clients of the demo connect if nothing else is there.
const SSH_PORT: u16 = 2222;
/// The key of the demo's model API, which no client ever sees.
pub(crate) const MODEL_KEY: &str = "sk-demo-only-the-broker-knows-this";

/// The packs of the demo, in the binary so that it runs anywhere.
const PACKS: [(&str, &str); 6] = [
    ("read-only.cedar", include_str!("../../../../policies/read-only.cedar")),
    ("agent-guardrails.cedar", include_str!("../../../../policies/agent-guardrails.cedar")),
    ("llm.cedar", include_str!("../../../../policies/llm.cedar")),
    ("pii.cedar", include_str!("../../../../policies/pii.cedar")),
    ("ssh.cedar", include_str!("../../../../policies/ssh.cedar")),
    ("prod-approvals.cedar", include_str!("../../../../policies/prod-approvals.cedar")),
];

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Run the tour instead of waiting for you, and exit with 0 if everything came out as it must.
    #[arg(long)]
    check: bool,
    /// Use the built-in database although PostgreSQL is installed.
    #[arg(long)]
    builtin: bool,
    /// The port to listen on; 6432, or any if that is taken.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// A running demo.
pub(crate) struct Demo {
    folder: TempDir,
    database: Database,
    model: FakeOpenAi,
    /// None where no SSH server is installed.
    host: Option<Host>,
    running: Running,
    pub(crate) alice: Secret,
    pub(crate) dana: Secret,
    pub(crate) robo: Secret,
}

/// Runs the demo; whatever happens, nothing of it is left.
pub(crate) async fn run(arguments: Arguments) -> Result<u8> {
    // The terminal belongs to what the demo prints; `SLUICE_LOG=info` shows the broker's log too.
    log::start_at(log::Form::Auto, if arguments.check { "error" } else { "warn" });
    let mut endings = Endings::listen_on_a_terminal()?;
    let starting = Demo::start(&arguments);
    let demo = tokio::select! {
        started = starting => started?,
        _ = endings.next() => return Ok(WRONG),
    };
    let code = if arguments.check {
        tokio::select! {
            passed = tour::run(&demo) => if passed { DONE } else { WRONG },
            _ = endings.next() => WRONG,
        }
    } else {
        out(script::text(&demo));
        let signal = endings.next().await;
        // The terminal may be gone, and the cleaning up must not end with it.
        hint(format_args!("\n{signal}: stopping the demo and removing everything it made"));
        DONE
    };
    demo.stop().await?;
    Ok(code)
}

impl Demo {
    async fn start(arguments: &Arguments) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("sluice-demo-").tempdir().context("no temporary folder can be made")?;
        let database = Database::start(arguments.builtin).await?;
        let model = FakeOpenAi::start(MODEL_KEY).await?;
        let host = Host::start().await?;
        let address = listen(arguments.port, PORT).await?;
        let http = listen(None, HTTP_PORT).await?;
        let ssh = listen(None, SSH_PORT).await?;
        let listens = data::Listens { postgres: address, http, ssh, model: model.port() };
        let file = write_files(folder.path(), &database, host.as_ref(), &listens)?;
        let config = config::load(&file)
            .map_err(|faults| anyhow::anyhow!("the demo's own configuration is wrong:\n{faults}"))?;
        let running = Running::start(&config).await?;
        let paths = Paths::of(&config.data_dir);
        let alice = token(&paths, folder.path(), "alice", person("alice", "analysts")?).await?;
        let dana = token(&paths, folder.path(), "dana", person("dana", "dba-oncall")?).await?;
        let Who::User(owner) = person("alice", "analysts")? else { anyhow::bail!("the owner of an agent is a person") };
        let agent = Who::Agent {
            name: "robo".to_owned(),
            purpose: Some("weekly report".to_owned()),
            groups: [Group::new("agents")?].into(),
            owner,
        };
        let robo = token(&paths, folder.path(), "robo", agent).await?;
        let demo = Self { folder, database, model, host, running, alice, dana, robo };
        script::write_ssh(&demo)?;
        private(&demo.folder.path().join("env"), script::env(&demo)?.as_bytes())?;
        Ok(demo)
    }

    async fn stop(self) -> Result<()> {
        self.running.stop().await;
        self.database.stop().await;
        self.model.stop().await;
        if let Some(host) = self.host {
            host.stop().await;
        }
        self.folder.close().context("the demo's folder could not be removed")
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address("postgres").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Where HTTP clients connect.
    pub(crate) fn http_address(&self) -> SocketAddr {
        self.running.address("http").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Where SSH clients connect.
    pub(crate) fn ssh_address(&self) -> SocketAddr {
        self.running.address("ssh").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// The guarded host, where there is one.
    pub(crate) const fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The guarded model API.
    pub(crate) const fn model(&self) -> &FakeOpenAi {
        &self.model
    }

    /// The demo's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The broker's data folder.
    pub(crate) fn paths(&self) -> Paths {
        Paths::of(&self.folder.path().join("var"))
    }

    /// The guarded database.
    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// The running broker.
    pub(crate) const fn running(&self) -> &Running {
        &self.running
    }
}

fn person(name: &str, group: &str) -> Result<Who> {
    Ok(Who::User(Person { name: name.to_owned(), groups: [Group::new(group)?].into() }))
}

async fn token(paths: &Paths, folder: &Path, name: &str, who: Who) -> Result<Secret> {
    let token = create_token(paths, who, TOKEN_SECONDS, "demo").await?;
    private(&folder.join(format!("{name}.token")), token.expose_secret().as_bytes())?;
    Ok(token)
}

/// The port asked for, or the usual one, or any.
async fn listen(port: Option<u16>, usual: u16) -> Result<SocketAddr> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = port {
        return Ok(at(port));
    }
    if tokio::net::TcpListener::bind(at(usual)).await.is_ok() {
        return Ok(at(usual));
    }
    // A port of its own, for the configuration to name.
    Ok(tokio::net::TcpListener::bind(at(0)).await?.local_addr()?)
}

fn write_files(folder: &Path, database: &Database, host: Option<&Host>, listens: &data::Listens) -> Result<PathBuf> {
    let policies = folder.join("policies");
    fs::create_dir(&policies)?;
    for (name, text) in PACKS {
        fs::write(policies.join(name), text)?;
    }
    let secret = database.password().map(|password| (folder.join("database.password"), password));
    if let Some((file, password)) = &secret {
        private(file, password.as_bytes())?;
    }
    let secret = secret.as_ref().map(|(file, _)| file.as_path());
    let key = folder.join("model.key");
    private(&key, MODEL_KEY.as_bytes())?;
    fs::write(folder.join("agent.py"), AGENT)?;
    let file = folder.join("sluice.yaml");
    fs::write(&file, data::configuration(database, secret, &key, listens) + &data::host(host))?;
    Ok(file)
}

/// Writes a file that only its owner can read.
fn private(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    Ok(())
}
