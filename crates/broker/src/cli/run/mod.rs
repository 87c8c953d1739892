//! `sluice run`: one command with a token and a key of its own, and the environment that leads its clients to the broker.

mod caller;
mod child;
mod endpoints;
mod environment;
mod ssh;
mod trust;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use sluice_kernel::clock;
use sluice_model::{ExposeSecret as _, RunId, Secret, TokenId};
use sluice_store::{Sqlite, TokenRow, Tokens as _};

use super::output::{hint, time};
use super::token::{Request, mint_token};
use super::{Format, Global, out};
use crate::config::Config;
use crate::paths::Paths;
use caller::Caller;
use environment::{Environment, Variables};
use ssh::Clients;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The person. Your login name where neither this nor a token is given.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A group of the person; may be repeated. A token brings its own.
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// An agent that acts for the person.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// A group of the agent; may be repeated. `agents` where none is given.
    #[arg(long = "agent-group", value_name = "NAME", requires = "agent")]
    agent_groups: Vec<String>,
    /// What the agent does it for.
    #[arg(long, value_name = "TEXT", requires = "agent")]
    purpose: Option<String>,
    /// The targets that the run is limited to, with commas between them; all that policies permit where none is given.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    targets: Vec<String>,
    /// How long token and key live at most: a number of seconds, or 30m, 1h, 24h. They are revoked when the command ends.
    #[arg(long, default_value = "1h", value_name = "TIME")]
    ttl: String,
    /// A person's token: the run is theirs.
    #[arg(long, env = "SLUICE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The name by which the broker is reached, where it is not the address it listens on.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Print the environment instead of running a command; token and key then live until they end or are revoked.
    #[arg(long, conflicts_with = "command")]
    print_env: bool,
    /// How to print it.
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    output: Format,
    /// The command and its arguments.
    #[arg(last = true, required_unless_present = "print_env", value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments").field("user", &self.user).field("agent", &self.agent).finish_non_exhaustive()
    }
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    // From here on a signal no longer kills this process: whatever it does, the token and the key are revoked in the end.
    let signals = child::Signals::listen()?;
    let mut minted = mint(&config, &paths, &arguments).await?;
    let variables = match minted.prepare(&config, &paths, arguments.host.as_deref()).await {
        Ok(variables) => variables,
        Err(error) => {
            minted.revoke(&paths).await;
            return Err(error);
        }
    };
    let Some((program, rest)) = arguments.command.split_first() else {
        print(minted, &variables, arguments.output);
        return Ok(super::DONE);
    };
    let ended = child::run(program, rest, &variables, signals).await;
    minted.revoke(&paths).await;
    if std::io::stderr().is_terminal() {
        hint(format_args!("sluice: the run has ended; `sluice replay {}` shows what it did", minted.run));
    }
    ended
}

/// What was minted for a run.
struct Minted {
    run: RunId,
    token: Secret,
    row: TokenRow,
    /// With the run's key; `None` where it reaches no SSH target.
    ssh: Option<Clients>,
}

async fn mint(config: &Config, paths: &Paths, arguments: &Arguments) -> Result<Minted> {
    let caller = Caller::of(config, paths, arguments).await?;
    for target in caller.targets.iter().flatten().filter(|target| !config.targets.contains_key(target)) {
        hint(format_args!("note: no target `{target}` is configured"));
    }
    let run = match caller.run {
        Some(run) => run,
        None => RunId::new(format!("r-{}", uuid::Uuid::now_v7()))?,
    };
    let request = Request {
        who: caller.who,
        targets: caller.targets,
        ttl_seconds: caller.ttl_seconds,
        label: Some(label(&run, arguments.command.first())),
        run: Some(run.clone()),
        parent: caller.token,
    };
    let (token, row) = mint_token(paths, request).await?;
    Ok(Minted { run, token, row, ssh: None })
}

/// A note for `token list`: the program's name, never its arguments.
fn label(run: &RunId, program: Option<&OsString>) -> String {
    let name = program.and_then(|program| Path::new(program).file_name()).map(|name| name.to_string_lossy());
    name.map_or_else(|| format!("run {run}"), |name| format!("run {run}: {name}"))
}

impl Minted {
    /// Makes everything that the command's clients need; the variables lead them to it.
    async fn prepare(&mut self, config: &Config, paths: &Paths, host: Option<&str>) -> Result<Variables> {
        let principal = &self.row.principal;
        let endpoints = endpoints::endpoints(config, principal.targets.as_ref(), host)?;
        let trust = trust::establish(config, paths, &endpoints)?;
        if let Some(door) = &endpoints.ssh {
            self.ssh = Clients::make(paths, principal, &self.run, door)?;
        }
        if let Some(clients) = &self.ssh {
            clients.register(paths).await?;
        }
        let environment = Environment {
            trust,
            endpoints,
            ssh: self.ssh.as_ref().map(Clients::guide),
            user: principal.name(),
            token: self.token.expose_secret(),
            run: &self.run,
            tracing: std::env::var("OPENAI_AGENTS_DISABLE_TRACING").ok(),
        };
        Ok(environment.variables())
    }

    /// The handles by which all of it is revoked.
    fn ids(&self) -> Vec<&TokenId> {
        std::iter::once(&self.row.id).chain(self.ssh.as_ref().map(Clients::id)).collect()
    }

    /// Revokes all of it; where that fails it still ends by itself.
    async fn revoke(&self, paths: &Paths) {
        let revoked = async {
            let store = Sqlite::open(&paths.state()).await.context("the store cannot be opened")?;
            for id in self.ids() {
                store.revoke_token(id, clock::now()).await?;
            }
            store.close().await;
            anyhow::Ok(())
        };
        match (revoked.await, &self.ssh) {
            (Ok(()), Some(clients)) => clients.announce_end(paths).await,
            (Ok(()), None) => {}
            (Err(error), _) => hint(format_args!(
                "sluice: what the run signs in with could not be revoked ({error:#}): it lives until {}, unless {} ends \
                 it",
                time(self.row.expires),
                self.revocation()
            )),
        }
    }

    /// The command that revokes all of it: the key goes with the token.
    fn revocation(&self) -> String {
        format!("`sluice token revoke {}`", self.row.id)
    }
}

/// Prints what leads clients to the broker. Their folder stays, for this process ends before them.
fn print(minted: Minted, variables: &Variables, output: Format) {
    let advice =
        format!("{} until {}; revoke with {}", minted.row.principal, time(minted.row.expires), minted.revocation());
    let Minted { run, row, ssh, .. } = minted;
    match output {
        Format::Text => variables.shell().into_iter().for_each(out),
        Format::Json => out(json!({
            "run": run, "token_id": row.id, "key_id": ssh.as_ref().map(Clients::id),
            "principal": row.principal.to_string(), "expires": time(row.expires), "variables": variables.json(),
        })),
    }
    hint(advice);
    if let Some(clients) = ssh {
        hint(format_args!("remove `{}` when you are done: the SSH key is in it", clients.leave().display()));
    }
}
