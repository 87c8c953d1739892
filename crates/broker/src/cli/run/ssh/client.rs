//! The configuration of OpenSSH's clients for one run.

use std::path::Path;

use anyhow::{Result, bail};
use sluice_model::TargetName;

use crate::cli::run::endpoints::Door;
use crate::cli::ssh::{ALIAS, CIPHERS};

/// Where the files of a run are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub(super) config: &'a Path,
    pub(super) key: &'a Path,
    pub(super) known_hosts: &'a Path,
    /// The client that jumps over the broker.
    pub(super) ssh: &'a Path,
}

/// The text of the configuration. OpenSSH takes the first value that it finds for each setting (ssh_config(5)).
///
/// Without a login, a client goes to the broker at once, under the user name `+TARGET`: the login is the credential's own.
/// A login that is asked for cannot be put into a user name by a configuration, so that those connections jump over the
/// broker, which reads the target from the name that the jump asks for.
pub(super) fn config(door: &Door, files: &Files<'_>) -> Result<String> {
    let Door { host, port, .. } = door;
    for path in [files.config, files.key, files.known_hosts, files.ssh] {
        plain(path)?;
    }
    if host.starts_with('-') || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte)) {
        bail!("`{host}` is not the name or address of a host");
    }
    let (path, ssh) = (files.config.display(), files.ssh.display());
    let broker = format!("  HostName {host}\n  Port {port}\n  ProxyCommand none\n");
    let named = door.targets.iter().filter(|name| is_host(name));
    let targets: String = named
        .clone()
        .map(|name| {
            format!(
                "Host {name}.sluice\n  User +{name}\nMatch originalhost {name}.sluice user +{name}\n{broker}\
                 Match originalhost {name}.sluice\n  ProxyCommand {ssh} -F {path} -W {name}.sluice:22 {ALIAS}\n"
            )
        })
        .collect();
    let names: Vec<String> = named.map(|name| format!("{name}.sluice")).collect();
    Ok(format!(
        "{targets}Host {ALIAS}\n  User +\n{broker}Host *\n  ProxyCommand sh -c \
         'echo \"sluice: this run reaches no such host; it reaches: {}\" >&2; exit 1'\n{}",
        names.join(" "),
        settings(files)
    ))
}

/// What holds for every connection: the run's key and the broker's host key, and nobody else's.
fn settings(files: &Files<'_>) -> String {
    let (key, known_hosts) = (files.key.display(), files.known_hosts.display());
    format!(
        "  HostKeyAlias {ALIAS}\n  StrictHostKeyChecking yes\n  UserKnownHostsFile {known_hosts}\n  \
         GlobalKnownHostsFile /dev/null\n  UpdateHostKeys no\n  HostKeyAlgorithms ssh-ed25519\n  IdentityFile {key}\n  \
         IdentitiesOnly yes\n  IdentityAgent none\n  PreferredAuthentications publickey\n  ForwardAgent no\n  \
         Ciphers {CIPHERS}\n  Compression no\n"
    )
}

/// A name of a target that can be the name of a host.
fn is_host(name: &TargetName) -> bool {
    let name = name.as_str();
    !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A path goes into a configuration, scripts and variables, each with quotes of its own: it must need none.
pub(super) fn plain(path: &Path) -> Result<()> {
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    let text = path.to_str().filter(|text| text.starts_with('/') && text.bytes().all(clean));
    if text.is_none() {
        bail!(
            "the path `{}` cannot stand in a configuration of SSH: it has other characters than A-Z a-z 0-9 / . _ + -; \
             name another temporary folder in TMPDIR, or a client without them first on PATH",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::process::Command;

    use super::*;

    const FILES: [&str; 4] = ["/tmp/r/config", "/tmp/r/key", "/tmp/r/known_hosts", "/usr/bin/ssh"];

    fn made(host: &str, targets: &[&str], files: [&str; 4]) -> Result<String> {
        let [config, key, known_hosts, ssh] = files.map(Path::new);
        let targets = targets.iter().map(|name| TargetName::new(name).unwrap()).collect();
        let door = Door { host: host.to_owned(), port: 2222, targets, openai: None };
        super::config(&door, &Files { config, key, known_hosts, ssh })
    }

    /// What OpenSSH makes of it for a host.
    fn read(config: &str, arguments: &[&str], name: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        fs::write(&file, config).unwrap();
        let output = Command::new("ssh").arg("-F").arg(file).arg("-G").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_default().to_owned()
    }

    #[test]
    fn openssh_goes_to_the_broker_or_jumps_over_it() {
        let config = made("localhost", &["web", "db.eu"], FILES).unwrap();
        for (arguments, user, host, proxy) in [
            (&["web.sluice"][..], "+web", "localhost", ""),
            (&["db.eu.sluice"], "+db.eu", "localhost", ""),
            (&["root@web.sluice"], "root", "web.sluice", "web.sluice:22"),
            (&["-l", "root", "db.eu.sluice"], "root", "db.eu.sluice", "db.eu.sluice:22"),
            (&["sluice-broker"], "+", "localhost", ""),
            (&["root+web@sluice-broker"], "root+web", "localhost", ""),
        ] {
            assert_eq!(read(&config, arguments, "user"), user, "{arguments:?}");
            assert_eq!(read(&config, arguments, "hostname"), host, "{arguments:?}");
            let expected = if proxy.is_empty() {
                proxy
            } else {
                &format!("/usr/bin/ssh -F /tmp/r/config -W {proxy} sluice-broker")
            };
            assert_eq!(read(&config, arguments, "proxycommand"), expected, "{arguments:?}");
            for (name, value) in [
                ("hostkeyalias", "sluice-broker"),
                ("stricthostkeychecking", "true"),
                ("userknownhostsfile", "/tmp/r/known_hosts"),
                ("globalknownhostsfile", "/dev/null"),
                ("identityfile", "/tmp/r/key"),
                ("identitiesonly", "yes"),
                ("identityagent", "none"),
                ("preferredauthentications", "publickey"),
            ] {
                assert_eq!(read(&config, arguments, name), value, "{arguments:?}: {name}");
            }
        }
        for other in ["vault.sluice", "example.com", "web.sluice.example.com"] {
            let proxy = read(&config, &[other], "proxycommand");
            assert!(proxy.ends_with("it reaches: web.sluice db.eu.sluice\" >&2; exit 1'"), "{proxy}");
        }
    }

    #[test]
    fn names_that_mean_something_elsewhere_are_kept_out() {
        let config = made("localhost", &["a@b", "a:b", "-x"], FILES).unwrap();
        assert!(!config.contains("a@b") && !config.contains("a:b") && !config.contains("-x.sluice"), "{config}");
        for host in ["-oProxyCommand=x", "a b", "a\nb", "a%h"] {
            assert!(made(host, &["web"], FILES).is_err(), "{host}");
        }
        for path in ["/tmp/a b", "/tmp/%h", "/tmp/a'b", "relative", "/tmp/ä", "/tmp/a:b"] {
            for place in 0..FILES.len() {
                let mut files = FILES;
                files.get_mut(place).into_iter().for_each(|file| *file = path);
                assert!(made("localhost", &["web"], files).is_err(), "{path} as {place}");
            }
        }
    }
}
