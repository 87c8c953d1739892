//! `sluice token`: mint, list, revoke.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_identity::{Keys, MintRequest, mint};
use sluice_kernel::clock;
use sluice_model::{ExposeSecret as _, Group, Person, Principal, RunId, Secret, TargetName, TokenId, UnixMicros, Who};
use sluice_store::{Sqlite, TokenRow, Tokens as _};

use super::output::{hint, one_line, table, time};
use super::{DONE, Format, Global, WRONG, out};
use crate::paths::Paths;
use crate::world::LIFETIMES;

/// The most tokens that one list shows.
const LIST: u32 = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mint a token for a person, or for an agent that acts for one; prints it once, on stdout.
    #[command(after_help = "Example:\n  sluice token create --user alice --group analysts\n  \
                            sluice token create --user alice --group analysts --agent robo --agent-group agents \\\n      \
                            --purpose 'weekly report' --target shop --ttl 30m")]
    Create(Create),
    /// List the tokens minted here, newest first.
    #[command(after_help = "Example:\n  sluice token list --output json")]
    List {
        #[arg(long, default_value = "text")]
        output: Format,
    },
    /// Revoke a token by its id; its sessions end within a second or two.
    #[command(after_help = "Example:\n  sluice token revoke 0198f3b2-7c1e-7d30-9a57-5c2f1f0e6a11")]
    Revoke {
        /// The id, as `token list` shows it (`jti` in the token).
        id: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) who: Subject,
    /// A target the token is limited to; may be repeated. Without it, every target that policies permit.
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// How long it lives: a number of seconds, or 30m, 1h, 24h.
    #[arg(long, default_value = "1h", value_name = "TIME")]
    ttl: String,
    /// A note for `token list`.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

/// Who a credential is for.
#[derive(Args, Clone, Debug)]
pub(crate) struct Subject {
    /// The person.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// A group of the person; may be repeated.
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// An agent that acts for the person.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// A group of the agent; may be repeated. `agents` where none is given.
    #[arg(long = "agent-group", value_name = "NAME", requires = "agent")]
    pub(crate) agent_groups: Vec<String>,
    /// What the agent does it for.
    #[arg(long, value_name = "TEXT", requires = "agent")]
    pub(crate) purpose: Option<String>,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    match command {
        Command::Create(create) => {
            let request = Request::from(create)?;
            for target in request.targets.iter().flatten().filter(|target| !config.targets.contains_key(target)) {
                hint(format_args!("note: no target `{target}` is configured"));
            }
            let (token, row) = mint_token(&paths, request).await?;
            out(token.expose_secret());
            hint(format_args!(
                "{} until {}; revoke with `sluice token revoke {}`",
                row.principal,
                time(row.expires),
                row.id
            ));
            Ok(DONE)
        }
        Command::List { output } => list(&paths, output).await,
        Command::Revoke { id } => revoke(&paths, &id).await,
    }
}

/// A token to be minted, checked.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) who: Who,
    pub(super) targets: Option<BTreeSet<TargetName>>,
    pub(super) ttl_seconds: u32,
    pub(super) label: Option<String>,
    pub(super) run: Option<RunId>,
    /// The token that it is made with, and is revoked with.
    pub(super) parent: Option<TokenId>,
}

impl Request {
    fn from(create: Create) -> Result<Self> {
        Ok(Self {
            who: create.who.who()?,
            targets: target_names(&create.targets)?,
            ttl_seconds: seconds(&create.ttl)?,
            label: create.label,
            run: None,
            parent: None,
        })
    }
}

/// The scope that names of targets make; none makes none.
pub(super) fn target_names(names: &[String]) -> Result<Option<BTreeSet<TargetName>>> {
    let name = |name: &String| TargetName::new(name).with_context(|| format!("`{name}` is not the name of a target"));
    let targets: BTreeSet<TargetName> = names.iter().map(name).collect::<Result<_>>()?;
    Ok((!targets.is_empty()).then_some(targets))
}

impl Subject {
    /// The principal that the arguments describe.
    pub(crate) fn who(self) -> Result<Who> {
        let owner = Person { name: self.user, groups: groups(&self.groups)? };
        let Some(name) = self.agent else { return Ok(Who::User(owner)) };
        let own = if self.agent_groups.is_empty() { vec!["agents".to_owned()] } else { self.agent_groups };
        Ok(Who::Agent { name, purpose: self.purpose, groups: groups(&own)?, owner })
    }
}

/// Groups by their names.
pub(super) fn groups(names: &[String]) -> Result<BTreeSet<Group>> {
    names.iter().map(|name| Group::new(name).with_context(|| format!("`{name}` is not the name of a group"))).collect()
}

/// Seconds, or a number with `s`, `m`, `h` or `d`.
pub(crate) fn seconds(text: &str) -> Result<u32> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u32 = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m" | "min") => 60,
        Some("h") => 3_600,
        Some("d") => 86_400,
        _ => bail!("`{text}` is not a time: write 90, 30m, 1h or 1d"),
    };
    let number: u32 = digits.parse().with_context(|| format!("`{text}` is not a time: write 90, 30m, 1h or 1d"))?;
    number.checked_mul(unit).with_context(|| format!("`{text}` is too long"))
}

/// Mints a token for every target.
pub(crate) async fn create_token(paths: &Paths, who: Who, ttl_seconds: u32, label: &str) -> Result<Secret> {
    let request = Request { who, targets: None, ttl_seconds, label: Some(label.to_owned()), run: None, parent: None };
    Ok(mint_token(paths, request).await?.0)
}

/// Mints a token and writes down what is kept of it, before anybody can use it.
pub(super) async fn mint_token(paths: &Paths, request: Request) -> Result<(Secret, TokenRow)> {
    let now = clock::now();
    let id = TokenId::new(uuid::Uuid::now_v7().to_string())?;
    let expires = now.plus_seconds(i64::from(request.ttl_seconds));
    let principal = Principal {
        who: request.who.clone(),
        token: id.clone(),
        expires,
        targets: request.targets.clone(),
        run: request.run.clone(),
    };
    paths.make()?;
    let keys = Keys::open(&paths.keys())?;
    let mint_request = MintRequest {
        who: request.who,
        targets: request.targets,
        ttl_seconds: Some(request.ttl_seconds),
        id: id.clone(),
        run: request.run,
    };
    let token = mint(&keys, LIFETIMES, mint_request, now)?;
    let row =
        TokenRow { id, kind: "jwt".to_owned(), principal, created: now, expires, label: request.label, revoked: None };
    let store = Sqlite::open(&paths.state()).await.context("the store cannot be opened")?;
    if let Some(parent) = &request.parent {
        store.descend(&row.id, parent).await.context("the token could not be written down, so it is not given out")?;
    }
    store.insert_token(&row).await.context("the token could not be written down, so it is not given out")?;
    store.close().await;
    Ok((token, row))
}

async fn list(paths: &Paths, output: Format) -> Result<u8> {
    let store = super::stored(paths).await?;
    let tokens = store.list_tokens(LIST).await?;
    let now = clock::now();
    match output {
        Format::Json => tokens.iter().for_each(|row| {
            out(json!({
                "id": row.id, "kind": row.kind, "principal": row.principal.to_string(),
                "groups": row.principal.groups(), "targets": row.principal.targets, "run": row.principal.run,
                "created": time(row.created), "expires": time(row.expires),
                "label": row.label, "state": state(row, now),
            }));
        }),
        Format::Text if tokens.is_empty() => hint("no token was minted here; `sluice token create --help` says how"),
        Format::Text => {
            let rows: Vec<Vec<String>> = tokens.iter().map(|row| cells(row, now)).collect();
            out(table(&["ID", "KIND", "PRINCIPAL", "STATE", "EXPIRES", "LABEL"], &rows));
        }
    }
    Ok(DONE)
}

fn cells(row: &TokenRow, now: UnixMicros) -> Vec<String> {
    vec![
        row.id.to_string(),
        row.kind.clone(),
        one_line(&row.principal.to_string()),
        state(row, now).to_owned(),
        time(row.expires),
        one_line(row.label.as_deref().unwrap_or_default()),
    ]
}

fn state(row: &TokenRow, now: UnixMicros) -> &'static str {
    match row.revoked {
        Some(_) => "revoked",
        None if row.expires <= now => "expired",
        None => "valid",
    }
}

async fn revoke(paths: &Paths, id: &str) -> Result<u8> {
    let id =
        TokenId::new(id).with_context(|| format!("`{id}` is not the id of a token; `sluice token list` shows them"))?;
    let store = super::stored(paths).await?;
    if store.revoke_token(&id, clock::now()).await? {
        out(format_args!("revoked {id}"));
        Ok(DONE)
    } else {
        hint(format_args!("the token {id} was revoked before"));
        Ok(WRONG)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [("90", 90), ("90s", 90), ("30m", 1_800), ("1h", 3_600), ("1d", 86_400)] {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        for text in ["", "h", "-1", "1w", "1.5h", "99999999999", "4294967295d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_agent_has_its_owner_and_the_group_of_agents() {
        let subject = Subject {
            user: "alice".to_owned(),
            groups: vec!["analysts".to_owned()],
            agent: Some("robo".to_owned()),
            agent_groups: Vec::new(),
            purpose: None,
        };
        let who = subject.who().unwrap();
        let Who::Agent { name, groups, owner, .. } = who else { unreachable!() };
        assert_eq!((name.as_str(), owner.name.as_str()), ("robo", "alice"));
        assert!(groups.contains(&Group::new("agents").unwrap()));
    }
}
