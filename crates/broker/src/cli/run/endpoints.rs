//! Where the clients of a run connect.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use sluice_model::TargetName;

use crate::config::{Config, GuardedTarget};

/// The doors of a broker that a run may use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Endpoints {
    /// `None` where no such target is configured, or none that the run may use.
    pub(super) postgres: Option<Door>,
    pub(super) http: Option<Door>,
    pub(super) ssh: Option<Door>,
}

/// One listener, as clients name it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Door {
    pub(super) host: String,
    pub(super) port: u16,
    /// The targets behind it, by name.
    pub(super) targets: Vec<TargetName>,
    /// The target that speaks as OpenAI does, or else the first; set for HTTP.
    pub(super) openai: Option<TargetName>,
}

/// The doors of a configuration, for the targets of a scope.
pub(super) fn endpoints(
    config: &Config,
    scope: Option<&BTreeSet<TargetName>>,
    host: Option<&str>,
) -> Result<Endpoints> {
    let mut endpoints = Endpoints { postgres: None, http: None, ssh: None };
    for (protocol, address) in config.listen.addresses() {
        let usable = |(name, guarded): &(&TargetName, &GuardedTarget)| {
            guarded.target.protocol == protocol && scope.is_none_or(|scope| scope.contains(*name))
        };
        let behind: Vec<(&TargetName, &GuardedTarget)> = config.targets.iter().filter(usable).collect();
        let Some((first, _)) = behind.first() else { continue };
        if address.port() == 0 {
            bail!("`listen.{protocol}` is any port (0), so that nobody can be told where to connect: name one");
        }
        let own_name = host.map_or_else(|| name_of(protocol, address, &config.listen.http_hosts), str::to_owned);
        let speaks_openai = behind.iter().find(|(_, guarded)| is_openai(guarded)).map(|(name, _)| (*name).clone());
        let door = Door {
            host: own_name,
            port: address.port(),
            openai: Some(speaks_openai.unwrap_or_else(|| (*first).clone())),
            targets: behind.iter().map(|(name, _)| (*name).clone()).collect(),
        };
        match protocol {
            "postgres" => endpoints.postgres = Some(Door { openai: None, ..door }),
            "http" => endpoints.http = Some(door),
            "ssh" => endpoints.ssh = Some(Door { openai: None, ..door }),
            _ => {}
        }
    }
    Ok(endpoints)
}

fn is_openai(guarded: &GuardedTarget) -> bool {
    let target = guarded.half.of::<sluice_http::Target>();
    target.is_some_and(|target| target.dialect == sluice_http::Dialect::Openai)
}

/// The name of a listener: one that HTTP clients may call it by, or what its address is called on this machine.
fn name_of(protocol: &str, address: SocketAddr, http_hosts: &[String]) -> String {
    let local = match address.ip() {
        // The development certificate has this name, and clients of PostgreSQL before 15 check no addresses.
        ip if ip.is_unspecified()
            || ip == IpAddr::from([127, 0, 0, 1])
            || ip == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) =>
        {
            "localhost".to_owned()
        }
        ip => ip.to_string(),
    };
    let allowed: Vec<&str> = http_hosts.iter().map(|host| without_port(host)).collect();
    if protocol != "http" || allowed.is_empty() || allowed.iter().any(|host| host.eq_ignore_ascii_case(&local)) {
        return local;
    }
    allowed.first().map_or(local, |host| (*host).to_owned())
}

fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(authority, |(address, _)| address);
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_listener_has_the_name_that_its_certificate_has() {
        for (protocol, address, hosts, expected) in [
            ("postgres", "127.0.0.1:6432", &[][..], "localhost"),
            ("postgres", "0.0.0.0:6432", &["broker.example.com"], "localhost"),
            ("postgres", "[::]:6432", &[], "localhost"),
            ("postgres", "192.0.2.7:6432", &[], "192.0.2.7"),
            ("postgres", "127.0.0.2:6432", &[], "127.0.0.2"),
            ("http", "127.0.0.1:8443", &[], "localhost"),
            ("http", "0.0.0.0:8443", &["broker.example.com:8443", "other"], "broker.example.com"),
            ("http", "127.0.0.1:8443", &["other", "LOCALHOST:8443"], "localhost"),
            ("http", "0.0.0.0:8443", &["[2001:db8::1]:8443"], "2001:db8::1"),
        ] {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            assert_eq!(name_of(protocol, address.parse().unwrap(), &hosts), expected, "{protocol} {address} {hosts:?}");
        }
    }
}
