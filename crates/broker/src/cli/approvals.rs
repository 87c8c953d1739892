//! `sluice approvals`: what waits, and people's answers. The running broker does the work.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use sluice_kernel::clock;
use sluice_model::{HoldId, UnixMicros};

use super::output::{Style, colours, exact, hint, one_line, shortened, styled, table, time};
use super::{DONE, Format, Global, WRONG, out};
use crate::control::{Answer, Ask, Waiting, ask};
use crate::paths::Paths;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the requests that wait.
    #[command(after_help = "Example:\n  sluice approvals list")]
    List {
        /// Settled ones too.
        #[arg(long)]
        all: bool,
        #[arg(long, default_value = "text")]
        output: Format,
    },
    /// Show one request: the exact statement, its values, who asks and why it waits.
    #[command(after_help = "Example:\n  sluice approvals show h-7k2m")]
    Show {
        /// The request's id, as the waiting client was told.
        id: String,
        #[arg(long, default_value = "text")]
        output: Format,
    },
    /// Approve a request: exactly this statement, once, while it waits.
    #[command(after_help = "Example:\n  SLUICE_TOKEN=… sluice approvals approve h-7k2m")]
    Approve(Vote),
    /// Deny a request; whoever waits is told at once.
    #[command(after_help = "Example:\n  SLUICE_TOKEN=… sluice approvals deny h-7k2m")]
    Deny(Vote),
}

#[derive(Args)]
pub(crate) struct Vote {
    /// The request's id, as the waiting client was told.
    id: String,
    /// Your own token: your answer counts as yours.
    #[arg(long, env = "SLUICE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    #[arg(long, default_value = "text")]
    output: Format,
}

impl std::fmt::Debug for Vote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vote").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let (question, output) = question(command)?;
    let listed = matches!(question, Ask::List { .. });
    let answer = ask(&Paths::of(&config.data_dir).control(), &question).await?;
    Ok(show(answer, listed, output))
}

fn question(command: Command) -> Result<(Ask, Format)> {
    let id = |id: &str| HoldId::new(id).with_context(|| format!("`{id}` is not the id of a request"));
    let token = |vote: &mut Vote| match vote.token.take() {
        Some(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
        _ => bail!(
            "an answer needs your own token: give it with --token or in SLUICE_TOKEN \
             (`sluice token create` makes one)"
        ),
    };
    Ok(match command {
        Command::List { all, output } => (Ask::List { all }, output),
        Command::Show { id: text, output } => (Ask::Show { id: id(&text)? }, output),
        Command::Approve(mut vote) => (Ask::Approve { token: token(&mut vote)?, id: id(&vote.id)? }, vote.output),
        Command::Deny(mut vote) => (Ask::Deny { token: token(&mut vote)?, id: id(&vote.id)? }, vote.output),
    })
}

pub(super) fn show(answer: Answer, listed: bool, output: Format) -> u8 {
    match (answer, output) {
        (Answer::Refused { message, hint: advice, rule }, Format::Text) => {
            hint(format_args!("sluice: {}", one_line(&message)));
            if let Some(rule) = rule {
                hint(format_args!("  rule: {}", one_line(&rule)));
            }
            if let Some(advice) = advice {
                hint(format_args!("  hint: {}", one_line(&advice)));
            }
            WRONG
        }
        (refused @ Answer::Refused { .. }, Format::Json) => {
            out(serde_json::json!(refused));
            WRONG
        }
        (other @ Answer::Ended { .. }, Format::Json) | (other @ Answer::Key { .. }, _) => {
            out(serde_json::json!(other));
            DONE
        }
        (Answer::Ended { session, message }, Format::Text) => {
            out(format_args!("{} is told: {}", one_line(&session), one_line(&message)));
            DONE
        }
        (Answer::Holds { holds }, Format::Json) => {
            holds.iter().for_each(|hold| out(serde_json::json!(hold)));
            DONE
        }
        (Answer::Holds { holds }, Format::Text) if listed => {
            list(&holds);
            DONE
        }
        (Answer::Holds { holds }, Format::Text) => {
            holds.iter().for_each(|hold| out(one(hold)));
            DONE
        }
        (Answer::Counted { hold, .. }, Format::Json) => {
            out(serde_json::json!(hold));
            DONE
        }
        (Answer::Counted { message, hold }, Format::Text) => {
            out(format_args!("{} {}", one_line(&hold.id), one_line(&message)));
            DONE
        }
    }
}

fn list(holds: &[Waiting]) {
    if holds.is_empty() {
        return hint("nothing waits for approval");
    }
    let now = clock::now();
    let row = |hold: &Waiting| {
        vec![
            one_line(&hold.id),
            one_line(&hold.state),
            one_line(&hold.principal),
            one_line(&hold.place()),
            format!("{}/{} {}", hold.given, hold.needed, hold.approvers.join(",")),
            left(hold, now),
            shortened(&one_line(&hold.text), 60),
        ]
    };
    let rows: Vec<Vec<String>> = holds.iter().map(row).collect();
    out(table(&["ID", "STATE", "PRINCIPAL", "TARGET", "APPROVALS", "LEFT", "STATEMENT"], &rows));
    hint("`sluice approvals show ID` shows all of one");
}

fn left(hold: &Waiting, now: UnixMicros) -> String {
    if hold.state != "requested" {
        return "-".to_owned();
    }
    let seconds = UnixMicros(hold.expires).seconds().saturating_sub(now.seconds()).max(0);
    if seconds >= 120 { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}

fn one(hold: &Waiting) -> String {
    let colours = colours();
    let name = |name: &str| styled(format!("{name:<10}"), Style::Dim, colours);
    let mut lines = vec![
        format!("{} {}", styled(one_line(&hold.id), Style::Strong, colours), one_line(&hold.state)),
        format!("{} {}", name("asked by"), one_line(&hold.principal)),
        format!(
            "{} {} ({})",
            name("target"),
            one_line(&hold.place()),
            one_line(hold.environment.as_deref().unwrap_or("not configured any more"))
        ),
        format!("{} {}", name("session"), one_line(&hold.session)),
        format!("{} {}", name("verb"), one_line(&hold.action)),
        format!("{} {}: {}", name("because"), one_line(&hold.rule), one_line(&hold.message)),
        format!(
            "{} {} of {} from {}",
            name("approvals"),
            hold.given,
            hold.needed,
            one_line(&hold.approvers.join(", "))
        ),
        format!("{} {}", name("until"), time(UnixMicros(hold.expires))),
        format!("{} {}", name("digest"), one_line(&hold.digest)),
    ];
    if !hold.approved_by.is_empty() {
        lines.push(format!("{} {}", name("given by"), one_line(&hold.approved_by.join(", "))));
    }
    if let Some(by) = &hold.settled_by {
        lines.push(format!("{} {}", name("settled by"), one_line(by)));
    }
    lines.push(name("statement").trim_end().to_owned());
    lines.extend(exact(&hold.text).lines().map(|line| format!("    {line}")));
    if let Some(bound) = &hold.bound {
        lines.push(name("values").trim_end().to_owned());
        lines.extend(exact(bound).lines().map(|line| format!("    {line}")));
    }
    lines.join("\n")
}
