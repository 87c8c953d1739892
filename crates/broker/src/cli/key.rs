//! `sluice key`: the public keys that people sign in with over SSH.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_identity::PublicKey;
use sluice_kernel::clock;
use sluice_model::{Principal, TokenId, UnixMicros};
use sluice_store::{Added, Sqlite, SshKeyRow, SshKeys as _, Tokens as _};

use super::output::{hint, one_line, table, time};
use super::token::{Subject, seconds};
use super::{DONE, Format, Global, WRONG, out};
use crate::paths::Paths;

/// The most keys that one list shows.
const LIST: u32 = 500;
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// A key is replaced once a year at the latest.
const MAX_SECONDS: u32 = 366 * 86_400;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a public key for a person, or for an agent that acts for one. A key is one principal's.
    #[command(after_help = "Example:\n  sluice key add --user alice --group analysts ~/.ssh/id_ed25519.pub\n  \
                            sluice key add --user alice --agent robo --expires 30d 'ssh-ed25519 AAAA… robo@ci'")]
    Add(Add),
    /// List the keys, newest first.
    #[command(after_help = "Example:\n  sluice key list --output json")]
    List {
        #[arg(long, default_value = "text")]
        output: Format,
    },
    /// Remove a key by its id; its sessions end within a second or two.
    #[command(after_help = "Example:\n  sluice key remove 0198f3b2-7c1e-7d30-9a57-5c2f1f0e6a11")]
    Remove {
        /// The id, as `key list` shows it.
        id: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Add {
    #[command(flatten)]
    who: Subject,
    /// How long it signs in: 12h, 30d; a year at most.
    #[arg(long, default_value = "90d", value_name = "TIME")]
    expires: String,
    #[arg(long, default_value = "text")]
    output: Format,
    /// The key: a line `ssh-ed25519 AAAA… comment`, or the path of a `.pub` file.
    #[arg(value_name = "KEY|FILE")]
    key: String,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    match command {
        Command::Add(add) => self::add(&paths, add).await,
        Command::List { output } => list(&paths, output).await,
        Command::Remove { id } => remove(&paths, &id).await,
    }
}

async fn add(paths: &Paths, add: Add) -> Result<u8> {
    let ttl = seconds(&add.expires)?;
    if ttl == 0 || ttl > MAX_SECONDS {
        bail!("a key signs in for 1s to 366d");
    }
    let key = public_key(&add.key)?;
    let now = clock::now();
    let id = TokenId::new(uuid::Uuid::now_v7().to_string())?;
    let expires = now.plus_seconds(i64::from(ttl));
    let principal = Principal { who: add.who.who()?, token: id.clone(), expires, targets: None, run: None };
    let row = SshKeyRow {
        principal,
        key: key.blob().to_vec(),
        algorithm: key.algorithm(),
        fingerprint: key.fingerprint(),
        comment: key.comment().to_owned(),
        created: now,
        revoked: None,
    };
    paths.make()?;
    let store = Sqlite::open(&paths.state()).await.context("the store cannot be opened")?;
    let added = store.insert_ssh_key(&row).await.context("the key could not be written down")?;
    store.close().await;
    if let Added::Taken(owner) = added {
        bail!("the key is {owner}'s; remove it first with `sluice key remove {}`", owner.token);
    }
    match add.output {
        Format::Text => out(format_args!("{} {}", row.algorithm, row.fingerprint)),
        Format::Json => out(described(&row, now)),
    }
    hint(format_args!(
        "{} signs in with it until {}; remove with `sluice key remove {id}`",
        row.principal,
        time(expires)
    ));
    Ok(DONE)
}

/// A key as it was typed, or from the file of that name.
fn public_key(given: &str) -> Result<PublicKey> {
    if given.trim().contains(' ') && !Path::new(given).exists() {
        return PublicKey::parse(given).map_err(|error| anyhow::anyhow!("the key {error}"));
    }
    let mut text = String::new();
    let read = File::open(given).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    read.with_context(|| format!("`{given}` is neither a key nor a file that can be read"))?;
    PublicKey::parse(&text).map_err(|error| anyhow::anyhow!("the key in `{given}` {error}"))
}

async fn list(paths: &Paths, output: Format) -> Result<u8> {
    let store = super::stored(paths).await?;
    let keys = store.list_ssh_keys(LIST).await?;
    let now = clock::now();
    match output {
        Format::Json => keys.iter().for_each(|row| out(described(row, now))),
        Format::Text if keys.is_empty() => hint("no key was added here; `sluice key add --help` says how"),
        Format::Text => {
            let rows: Vec<Vec<String>> = keys.iter().map(|row| cells(row, now)).collect();
            out(table(&["ID", "PRINCIPAL", "STATE", "EXPIRES", "FINGERPRINT", "COMMENT"], &rows));
        }
    }
    Ok(DONE)
}

fn described(row: &SshKeyRow, now: UnixMicros) -> serde_json::Value {
    json!({
        "id": row.principal.token, "principal": row.principal.to_string(), "groups": row.principal.groups(),
        "type": row.algorithm, "fingerprint": row.fingerprint, "comment": row.comment,
        "created": time(row.created), "expires": time(row.principal.expires), "state": state(row, now),
    })
}

fn cells(row: &SshKeyRow, now: UnixMicros) -> Vec<String> {
    vec![
        row.principal.token.to_string(),
        one_line(&row.principal.to_string()),
        state(row, now).to_owned(),
        time(row.principal.expires),
        row.fingerprint.clone(),
        one_line(&row.comment),
    ]
}

fn state(row: &SshKeyRow, now: UnixMicros) -> &'static str {
    match row.revoked {
        Some(_) => "removed",
        None if row.principal.expires <= now => "expired",
        None => "valid",
    }
}

async fn remove(paths: &Paths, id: &str) -> Result<u8> {
    let id =
        TokenId::new(id).with_context(|| format!("`{id}` is not the id of a key; `sluice key list` shows them"))?;
    let store = super::stored(paths).await?;
    if store.ssh_key(&id).await?.is_none() {
        bail!("no key has the id `{id}`; `sluice key list` shows them");
    }
    if store.revoke_token(&id, clock::now()).await? {
        out(format_args!("removed {id}"));
        Ok(DONE)
    } else {
        hint(format_args!("the key {id} was removed before"));
        Ok(WRONG)
    }
}
