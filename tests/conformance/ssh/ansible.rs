//! Ansible at a host, directly and through the broker, in each of its ways to transfer files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sluice_tests::broker::{Broker, Setup, root};
use sluice_tests::run::{Finished, run};
use sluice_tests::ssh::{Host, Sshd, new_key};

use crate::{POLICY, say};

/// How long a playbook may take.
const PLAYBOOK: Duration = Duration::from_secs(300);
/// Pipelining, and how files are transferred.
const WAYS: [(&str, &str); 4] = [("False", "sftp"), ("False", "scp"), ("False", "piped"), ("True", "sftp")];
/// Larger than what fits into one packet of anything.
const SIZE: usize = 1 << 20;
/// Nothing of whoever runs it.
const ALONE: &str = "  IdentityAgent none\n  IdentitiesOnly yes\n";

/// One way to the host.
struct Road {
    name: &'static str,
    /// What the client calls it.
    host: &'static str,
    /// The client's configuration.
    config: PathBuf,
}

/// Plays the playbook each way; gives how many did not pass.
pub(crate) fn conform() -> Result<usize> {
    let program = root().join(".tools/venv-ansible/bin/ansible-playbook");
    ensure!(program.exists(), "Ansible is not installed: `tools/setup.sh conformance` does that");
    let server = Sshd::start();
    let broker = Broker::start(&Setup::ssh(vec![Host::new("web", &server)], POLICY));
    let roads = [direct(&server)?, through(&broker)?];
    let mut failures = 0;
    for (pipelining, transfer) in WAYS {
        for road in &roads {
            let begun = Instant::now();
            let said = play(&program, &server, road, pipelining, transfer)?;
            let (right, seconds) = (said.code == Some(0), begun.elapsed().as_secs());
            let verdict = if right { "passed" } else { "FAILED" };
            say(&format!("pipelining {pipelining}, {transfer}, {}: {verdict} ({seconds} s)", road.name));
            if !right {
                say(&said.said());
                failures += 1;
            }
        }
    }
    Ok(failures)
}

/// To the server itself, with the key that it knows.
fn direct(server: &Sshd) -> Result<Road> {
    let (config, place) = (server.folder().join("client"), server.folder().display());
    let text = format!(
        "Host web.direct\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {place}/user\n{ALONE}  \
         StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n",
        server.port()
    );
    fs::write(&config, text)?;
    Ok(Road { name: "directly", host: "web.direct", config })
}

/// Through the broker, as `sluice ssh-config` has it.
fn through(broker: &Broker) -> Result<Road> {
    let (folder, port) = (broker.folder(), broker.ssh_port().to_string());
    let (key, config, known) = (folder.join("robin"), folder.join("client"), folder.join("known_hosts"));
    new_key(&key);
    let public = key.with_extension("pub").display().to_string();
    let _added = broker.cli(&["key", "add", "--user", "robin", "--group", "ops", &public]).done();
    let place = ["--host", "127.0.0.1", "--port", &port];
    let identity = key.display().to_string();
    let block = broker.cli(&[&["ssh-config", "--identity", &identity], &place[..]].concat()).done().stdout;
    fs::write(&known, broker.cli(&[&["ssh-hostkey"], &place[..]].concat()).done().stdout)?;
    fs::write(&config, format!("{block}Host *\n{ALONE}  UserKnownHostsFile {}\n", known.display()))?;
    Ok(Road { name: "through the broker", host: "web.sluice", config })
}

/// Plays the playbook once, without anything of the machine's.
fn play(program: &Path, server: &Sshd, road: &Road, pipelining: &str, transfer: &str) -> Result<Finished> {
    let ours = server.folder().join("ansible");
    let _or_new = fs::remove_dir_all(&ours);
    fs::create_dir_all(ours.join("home"))?;
    fs::write(ours.join("source"), "0123456789abcdef".repeat(SIZE / 16))?;
    fs::write(ours.join("ansible.cfg"), "[defaults]\n")?;
    let (host, user) = (road.host, server.user());
    let inventory = format!("{host} ansible_user={user} ansible_python_interpreter=/usr/bin/python3\n");
    fs::write(ours.join("inventory"), inventory)?;
    let mut play = Command::new(program);
    play.arg("-i").arg(ours.join("inventory")).arg(root().join("tests/conformance/ssh/playbook.yml"));
    play.arg("-e").arg(format!("place={0} source={0}/source size={SIZE}", ours.display()));
    play.env("ANSIBLE_CONFIG", ours.join("ansible.cfg")).env("ANSIBLE_HOME", ours.join("home"));
    play.env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_LOCAL_TEMP", ours.join("home/tmp"));
    play.env("ANSIBLE_REMOTE_TMP", ours.join("remote")).env("ANSIBLE_SSH_CONTROL_PATH_DIR", ours.join("home/cp"));
    play.env("ANSIBLE_PIPELINING", pipelining).env("ANSIBLE_SSH_TRANSFER_METHOD", transfer);
    play.env("ANSIBLE_SSH_COMMON_ARGS", format!("-F {}", road.config.display()));
    play.env("LC_ALL", "C.UTF-8").env_remove("SSH_AUTH_SOCK").current_dir(&ours);
    Ok(run(&mut play, PLAYBOOK))
}
