//! `sluice scram`: logins for tools that insist on a user name and a password.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_identity::ScramVerifier;
use sluice_kernel::clock;
use sluice_model::{ExposeSecret as _, Principal, TokenId};
use sluice_store::{Sqlite, TokenRow, Tokens as _};

use super::output::{hint, time};
use super::token::{Subject, seconds};
use super::{DONE, Format, Global, out};
use crate::logins;
use crate::paths::Paths;
use crate::world::{ITERATIONS, LIFETIMES};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a login with a random password; prints it once. The broker keeps no password, only what checks a proof.
    #[command(after_help = "Clients ask for this kind of sign-in with `options='-c sluice.auth=scram-sha-256'`.\n\n\
                            Example:\n  sluice scram create --login metabase --user alice --group analysts --ttl 24h")]
    Create(Create),
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The user name that the tool sends.
    #[arg(long, value_name = "NAME")]
    login: String,
    #[command(flatten)]
    who: Subject,
    /// How long it lives: a number of seconds, or 30m, 1h, 24h.
    #[arg(long, default_value = "24h", value_name = "TIME")]
    ttl: String,
    #[arg(long, default_value = "text")]
    output: Format,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<u8> {
    let Command::Create(create) = command;
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    let ttl = seconds(&create.ttl)?;
    let maximum = LIFETIMES.maximum_seconds;
    if ttl == 0 || ttl > maximum {
        bail!("a login lives from 1 to {maximum} seconds");
    }
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if create.login.is_empty() || create.login.len() > 63 || !create.login.bytes().all(clean) {
        bail!("a login is 1 to 63 characters of A-Z a-z 0-9 . _ - @");
    }
    paths.make()?;
    let store = Sqlite::open(&paths.state()).await.context("the store cannot be opened")?;
    let now = clock::now();
    if store.scram(&create.login).await?.is_some_and(|known| !known.revoked && known.expires > now) {
        bail!("the login `{}` exists; revoke its token first (`sluice token list` shows its id)", create.login);
    }
    let id = TokenId::new(uuid::Uuid::now_v7().to_string())?;
    let expires = now.plus_seconds(i64::from(ttl));
    let principal = Principal { who: create.who.who()?, token: id.clone(), expires, targets: None, run: None };
    let (password, verifier) = ScramVerifier::mint(ITERATIONS)?;
    let secret = logins::stored(&create.login, &principal, &verifier).context("the login cannot be stored")?;
    let label = Some(format!("login {}", create.login));
    let row =
        TokenRow { id: id.clone(), kind: "scram".to_owned(), principal, created: now, expires, label, revoked: None };
    store.insert_token(&row).await?;
    store.insert_scram(&secret).await?;
    store.close().await;
    match create.output {
        Format::Text => out(password.expose_secret()),
        Format::Json => out(json!({ "login": create.login, "password": password.expose_secret(), "id": id })),
    }
    hint(format_args!(
        "{} signs in as `{}` until {}; revoke with `sluice token revoke {id}`",
        row.principal,
        create.login,
        time(expires)
    ));
    Ok(DONE)
}
