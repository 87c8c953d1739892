//! The command line: every command is one file, its arguments and its `run` beside each other.

mod approvals;
mod audit;
mod check;
mod classify;
mod config;
mod decision;
mod explain;
mod export;
mod key;
mod keys;
mod output;
mod policy;
mod replay;
mod run;
mod scram;
mod sessions;
mod ssh;
mod tail;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};

pub(crate) use output::{Format, Style, colours, hint, out, styled};
pub(crate) use token::create_token;

use sluice_store::Sqlite;

use crate::config::Config;
use crate::paths::Paths;
use crate::policies::Mistakes;
use crate::{demo, serve};

/// Everything was done, and what was asked is so.
pub(crate) const DONE: u8 = 0;
/// Something is wrong with the configuration, the policies, a recording, or the answer is no.
pub(crate) const WRONG: u8 = 1;

/// Sluice: a wire-level access broker. Every operation is decided, masked, held for approval and recorded.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 refused, wrong or not found; 2 the command line is wrong.\n\n\
                  Example:\n  sluice demo                      # a whole broker to try, in one process\n  \
                  sluice config example > sluice.yaml && sluice check && sluice serve"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Arguments that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// The configuration file.
    #[arg(long, short = 'c', global = true, env = "SLUICE_CONFIG", default_value = "sluice.yaml", value_name = "PATH")]
    pub(crate) config: PathBuf,
    /// How logs are written to stderr: `auto` is text on a terminal and JSON otherwise.
    #[arg(long, global = true, default_value = "auto", value_name = "FORM")]
    pub(crate) log: crate::log::Form,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until told to stop (SIGTERM or Ctrl-C; SIGHUP reloads).
    #[command(after_help = "Example:\n  sluice serve --config /etc/sluice/sluice.yaml")]
    Serve,
    /// Run a whole broker to try: a throw-away database, people, an agent, and commands to copy.
    #[command(after_help = "Example:\n  sluice demo\n  sluice demo --check        # run the tour and exit")]
    Demo(demo::Arguments),
    /// Check the configuration, the policies, the secrets and, where reachable, the targets.
    #[command(after_help = "Exit codes: 0 everything can be enforced; 1 something cannot.\n\nExample:\n  sluice check")]
    Check(check::Arguments),
    /// Propose tags for a database's columns, from names, comments, security labels and samples; no value is printed.
    #[command(after_help = "Exit codes: 0 done; 1 the target cannot be read.\n\n\
                            Example:\n  sluice classify shop --write shop-tags.yaml\n  \
                            sluice classify shop --no-samples --output json")]
    Classify(classify::Arguments),
    /// Print GRANTs by which a target's login role can read everything but the tagged columns.
    #[command(after_help = "Exit codes: 0 done; 1 the target cannot be read.\n\n\
                            Example:\n  sluice grants shop > grants.sql && psql -f grants.sql")]
    Grants(classify::GrantArguments),
    /// Print what a configuration file may hold.
    #[command(subcommand)]
    Config(config::Command),
    /// Mint, list and revoke tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Run a command with a token and an SSH key of its own: whatever it does at any target is one run, recorded and
    /// replayed as one.
    #[command(after_help = "The command finds PGHOST, PGPORT, PGUSER, PGPASSWORD, OPENAI_BASE_URL, OPENAI_API_KEY, \
                            SLUICE_RUN and SLUICE_TOKEN in its environment. In it, `ssh NAME.sluice` and `ssh \
                            LOGIN@NAME.sluice` reach SSH targets, and so do scp, sftp, rsync and git, without any \
                            configuration. Token and key are revoked when it ends.\n\n\
                            Exit codes: the command's own; 128 and the number of the signal that ended it; 126 and 127 \
                            if it cannot be run or is not there; 1 if it was not begun.\n\n\
                            Example:\n  sluice run --user alice --group analysts -- psql shop\n  \
                            sluice run --user alice --group ops --targets web -- ssh web.sluice uptime\n  \
                            SLUICE_TOKEN=… sluice run --agent robo --purpose 'weekly report' --targets shop,openai \\\n      \
                            -- python report.py\n  \
                            eval \"$(sluice run --user alice --group analysts --print-env)\"")]
    Run(Box<run::Arguments>),
    /// Make logins for tools that insist on a user name and a password.
    #[command(subcommand)]
    Scram(scram::Command),
    /// Add, list and remove the public keys that people sign in with over SSH.
    #[command(subcommand)]
    Key(key::Command),
    /// Print a block for ~/.ssh/config by which `ssh LOGIN@TARGET.sluice` leads through the broker.
    #[command(after_help = "Example:\n  sluice ssh-config --host broker.example.com --port 2222 >> ~/.ssh/config")]
    SshConfig(ssh::ClientConfig),
    /// Print the broker's SSH host key as known_hosts lines, or as SSHFP records for the DNS.
    #[command(after_help = "Example:\n  sluice ssh-hostkey --host broker.example.com >> ~/.ssh/known_hosts\n  \
                            sluice ssh-hostkey --host broker.example.com --sshfp")]
    SshHostkey(ssh::HostKeyArguments),
    /// Check, test, explain and describe policies.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look at recorded sessions.
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Replay a recorded session as its client saw it, or all sessions of a run on one timeline.
    #[command(
        after_help = "Example:\n  sluice replay 5d8881125f69 --speed 4\n  sluice replay 5d8881125f69 --no-wait\n  \
                            sluice replay 5d8881125f69 --terminal --at 90\n  \
                            sluice replay r-0198f3b2-7c1e-7d30-9a57-5c2f1f0e6a11"
    )]
    Replay(replay::Arguments),
    /// Verify recordings.
    #[command(subcommand)]
    Audit(audit::Command),
    /// See what waits for approval, and approve or deny it.
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// Print the version.
    #[command(after_help = "Example:\n  sluice version --output json")]
    Version {
        /// How to print it.
        #[arg(long, default_value = "text")]
        output: Format,
    },
}

impl Cli {
    /// Runs the command; the code is the process's own.
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let global = &self.global;
        let code = match self.command {
            Command::Serve => serve::run(global).await?,
            Command::Demo(arguments) => demo::run(arguments).await?,
            Command::Check(arguments) => check::run(global, &arguments).await?,
            Command::Classify(arguments) => classify::run(global, &arguments).await?,
            Command::Grants(arguments) => classify::grants(global, &arguments).await?,
            Command::Config(command) => config::run(command)?,
            Command::Token(command) => token::run(global, command).await?,
            Command::Run(arguments) => run::run(global, *arguments).await?,
            Command::Scram(command) => scram::run(global, command).await?,
            Command::Key(command) => key::run(global, command).await?,
            Command::SshConfig(arguments) => ssh::client_config(global, &arguments)?,
            Command::SshHostkey(arguments) => ssh::host_key(global, &arguments)?,
            Command::Policy(command) => policy::run(global, command)?,
            Command::Sessions(command) => sessions::run(global, command).await?,
            Command::Replay(arguments) => replay::run(global, arguments).await?,
            Command::Audit(command) => audit::run(global, command).await?,
            Command::Approvals(command) => approvals::run(global, command).await?,
            Command::Version { output } => version(output),
        };
        Ok(ExitCode::from(code))
    }
}

/// The configuration, or the exit code after its mistakes were shown.
fn configured(global: &Global) -> Result<Config, u8> {
    crate::config::load(&global.config).map_err(|faults| report_mistakes(&faults.into()))
}

/// The store of a data folder that a broker or `token create` has made.
async fn stored(paths: &Paths) -> Result<Sqlite> {
    let file = paths.state();
    if !file.exists() {
        bail!(
            "nothing is kept at `{}` yet: start a broker with `sluice serve`, or name another configuration with \
             `--config PATH`",
            file.display()
        );
    }
    Sqlite::open(&file).await.context("the store cannot be opened")
}

/// Shows mistakes to a person; gives the exit code.
pub(crate) fn report_mistakes(mistakes: &Mistakes) -> u8 {
    hint(mistakes.report(output::colours_on_stderr()).trim_end());
    hint(format_args!("sluice: {}", mistakes.summary()));
    WRONG
}

fn version(output: Format) -> u8 {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        Format::Text => out(format_args!("sluice {version}")),
        Format::Json => out(serde_json::json!({
            "version": version,
            "protocols": crate::protocols::schemas().iter().map(|schema| {
                serde_json::json!({ "name": schema.protocol, "schema_version": schema.version })
            }).collect::<Vec<_>>(),
        })),
    }
    DONE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn every_command_has_a_help_with_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(|sub| walk(sub, &format!("{path} {}", sub.get_name())));
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example:\n  ") && help.contains("sluice "), "`{path} --help` has no example");
            }
        }
        let command = Cli::command();
        command.clone().debug_assert();
        walk(&command, "sluice");
    }
}
