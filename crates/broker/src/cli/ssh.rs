//! `sluice ssh-config` and `sluice ssh-hostkey`: what OpenSSH clients need to know of a broker.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::output::hint;
use super::{DONE, Format, Global, out};
use crate::host_key;
use crate::paths::Paths;

/// The name by which clients keep the host key, whatever they call the broker by.
pub(super) const ALIAS: &str = "sluice-broker";
/// AES in hardware costs half of what the default cipher does.
pub(super) const CIPHERS: &str = "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com";

/// Where clients find the broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// The name or address by which clients reach the broker.
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    host: String,
    /// Its port for SSH.
    #[arg(long, default_value_t = 2222, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

#[derive(Args, Debug)]
pub(crate) struct ClientConfig {
    #[command(flatten)]
    place: Place,
    /// The private key to sign in with, such as ~/.ssh/id_ed25519; a certificate beside it is shown too.
    #[arg(long, value_name = "PATH")]
    identity: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct HostKeyArguments {
    #[command(flatten)]
    place: Place,
    /// Print SSHFP records (RFC 4255) instead of known_hosts lines.
    #[arg(long)]
    sshfp: bool,
    #[arg(long, default_value = "text")]
    output: Format,
}

impl Place {
    /// A name goes into other programs' files: nothing that means something there may be in it.
    fn check(&self) -> Result<()> {
        let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if self.host.is_empty() || self.host.starts_with('-') || !self.host.bytes().all(clean) {
            bail!("`{}` is not the name or address of a host", self.host);
        }
        Ok(())
    }

    /// As known_hosts writes it: a port other than 22 is named. Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
    fn known_as(&self) -> String {
        if self.port == 22 { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }
}

pub(crate) fn client_config(global: &Global, arguments: &ClientConfig) -> Result<u8> {
    arguments.place.check()?;
    if arguments.identity.as_ref().is_some_and(|path| path.is_empty() || path.contains(['"', '\n', '\r'])) {
        bail!("the path of a key has no quotes and no line breaks");
    }
    let Place { host, port } = &arguments.place;
    // OpenSSH expands no tokens in `User`, so the target cannot be put into the user name here: the connection jumps
    // over the broker, which reads the target from the name that the jump asks for.
    let mut lines = vec![
        format!("Host {ALIAS}"),
        format!("  HostName {host}"),
        format!("  Port {port}"),
        "  ForwardAgent no".to_owned(),
        String::new(),
        "Host *.sluice".to_owned(),
        format!("  ProxyJump {ALIAS}"),
        String::new(),
        format!("Host {ALIAS} *.sluice"),
        format!("  HostKeyAlias {ALIAS}"),
        "  StrictHostKeyChecking yes".to_owned(),
        "  HostKeyAlgorithms ssh-ed25519".to_owned(),
        format!("  Ciphers {CIPHERS}"),
        "  Compression no".to_owned(),
    ];
    if let Some(path) = &arguments.identity {
        lines.push(format!("  IdentityFile \"{path}\""));
        lines.push("  IdentitiesOnly yes".to_owned());
    }
    out(lines.join("\n"));
    let config = global.config.display();
    hint(format_args!(
        "put it into ~/.ssh/config, and the output of `sluice -c {config} ssh-hostkey` into ~/.ssh/known_hosts"
    ));
    Ok(DONE)
}

pub(crate) fn host_key(global: &Global, arguments: &HostKeyArguments) -> Result<u8> {
    arguments.place.check()?;
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let key = host_key::open(&Paths::of(&config.data_dir))?;
    let place = &arguments.place;
    let names = [place.known_as(), ALIAS.to_owned()].join(",");
    let known = format!("{names} {}", key.public());
    let records: Vec<String> = key.sshfp().iter().map(|data| format!("{} IN SSHFP {data}", place.host)).collect();
    match arguments.output {
        Format::Json => out(json!({ "public": key.public(), "known_hosts": known, "sshfp": records })),
        Format::Text if arguments.sshfp => out(records.join("\n")),
        Format::Text => out(known),
    }
    Ok(DONE)
}
