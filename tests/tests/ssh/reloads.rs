//! Connections that outlast a configuration.
#![expect(clippy::expect_used, reason = "tests")]

use std::fs;

use sluice_tests::run::{Finished, Running, run};
use sluice_tests::ssh::{Sshd, certify, new_key, public_key};
use sluice_tests::wait::SOON;

use crate::stand::{OPERATORS, Stand, reason};

/// What a command says of people is not left to the shell.
const NO_IDS: &str = r#"
@id("no-ids")
forbid (principal, action == Action::"ssh.script", resource) when { context.ssh.command like "id *" };
"#;

/// A connection that stays open, and the channels that are opened in it.
struct Shared<'a> {
    stand: &'a Stand,
    _master: Running,
}

impl<'a> Shared<'a> {
    fn open(stand: &'a Stand) -> Self {
        let mut script = stand
            .script("x -o SendEnv=LC_TEST -M -N -f web@broker; echo up; read -r _; x -O exit web@broker 2>/dev/null");
        let master = Running::start(&mut script);
        let _up = master.hear("up\n");
        Self { stand, _master: master }
    }

    /// Runs `ssh` in the connection, and in no other.
    fn x(&self, arguments: &str) -> Finished {
        run(&mut self.stand.script(&format!("export LC_TEST=set; x -o ProxyCommand=false {arguments}")), SOON)
    }
}

/// Changes the broker's configuration, and waits until it is in force.
fn reload(stand: &Stand, change: impl FnOnce(&str) -> String) {
    let file = stand.broker.folder().join("sluice.yaml");
    let text = fs::read_to_string(&file).expect("our folder");
    let from = stand.broker.log().len();
    let changed = change(&text);
    assert!(changed != text, "nothing changes in:\n{text}");
    fs::write(&file, changed).expect("our folder");
    stand.broker.logs(from, "the configuration was reloaded");
}

#[test]
fn a_new_channel_is_served_as_the_configuration_has_it_by_then() {
    let (work, _see) = OPERATORS.split_once("@id(\"operators-see\")").expect("the policy has it");
    let loose = |host: sluice_tests::ssh::Host| host.with("detectors: []").with("commands: [\"id --zero --user\"]");
    let policies = format!("{work}\n{NO_IDS}");
    let stand = Stand::with(&policies, loose, |setup| setup);
    let shared = Shared::open(&stand);
    let said = shared.x("-o SendEnv=LC_TEST web@broker 'printenv LC_TEST'").done();
    assert_eq!(said.stdout, "set\n", "{}", said.said());
    assert_eq!(shared.x("web@broker 'echo one@example.com'").done().stdout, "one@example.com\n");
    assert_eq!(shared.x("web@broker 'id --zero --user'").code, Some(0));

    reload(&stand, |text| {
        let text = text.replace("detectors: []", "env: [TERM]");
        text.replace("commands: [\"id --zero --user\"]", "commands: []")
    });
    let said = shared.x("-o SendEnv=LC_TEST web@broker 'printenv LC_TEST'");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.said());
    let said = shared.x("web@broker 'echo one@example.com'").done();
    assert!(said.stdout.len() > 1 && !said.stdout.contains("example.com"), "{}", said.said());
    let said = shared.x("web@broker 'id --zero --user'");
    assert_eq!((said.code, said.stdout.as_str()), (Some(126), ""), "{}", said.said());
    stand.broker.log_is_clean();
}

#[test]
fn an_open_connection_reaches_neither_an_old_host_nor_a_new_one() {
    let stand = Stand::open();
    let shared = Shared::open(&stand);
    assert_eq!(shared.x("web@broker 'echo in'").done().stdout, "in\n");
    let connections = stand.server.connections();
    let (port, moved) = (format!("port: {}", stand.server.port()), sluice_tests::ssh::free_port());
    let (known, other) = (stand.server.host_key(), stand.server.strange_key());
    let changes = [
        (port.clone(), format!("port: {moved}")),
        (known.clone(), other),
        ("host: 127.0.0.1".to_owned(), "host: localhost".to_owned()),
        (port, format!("port: {}\n    auth: authority", stand.server.port())),
    ];
    for (from, to) in changes {
        reload(&stand, |text| text.replace(&from, &to));
        let said = shared.x("web@broker 'echo in'");
        assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{to}: {}", said.stderr);
        assert!(said.stderr.contains("the target has changed since this connection began"), "{to}: {}", said.stderr);
        let said = shared.x("-o LogLevel=INFO -W 127.0.0.1:9 web@broker");
        assert_eq!(said.code, Some(255), "{to}: {}", said.stderr);
        let said = shared.x("-O forward -R 0:127.0.0.1:9 web@broker");
        assert_eq!(said.code, Some(255), "{to}: {}", said.stderr);
        assert_eq!(stand.server.connections(), connections, "{to}: {}", stand.server.log());
        reload(&stand, |text| text.replace(&to, &from));
    }
    assert_eq!(shared.x("web@broker 'echo in'").done().stdout, "in\n");
    stand.broker.log_is_clean();
}

/// A command that runs until its session is ended, by whoever has a certificate with this serial number.
fn certified(stand: &Stand, serial: &str) -> Running {
    let folder = stand.server.folder();
    let certificate =
        certify(&folder.join("authority"), &folder.join(serial), &["-n", "ann", "-z", serial, "-V", "-1h:+1h"]);
    let (key, certificate) = (folder.join(serial), certificate.display().to_string());
    let (key, certificate) = (format!("IdentityFile={}", key.display()), format!("CertificateFile={certificate}"));
    let options = [
        "-o",
        "PreferredAuthentications=publickey",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        &key,
        "-o",
        &certificate,
        "web@broker",
        "echo up; exec sleep 300",
    ];
    let running = Running::start(&mut stand.person.ssh(&options));
    let _up = running.hear("up\n");
    running
}

#[test]
fn a_certificate_that_counts_no_longer_ends_its_sessions() {
    let server = Sshd::arranged(|folder| {
        ["authority", "21", "22", "23"].iter().for_each(|name| new_key(&folder.join(name)));
        String::new()
    });
    let key = public_key(&server.folder().join("authority.pub"));
    let keys = server.folder().join("23.pub").display().to_string();
    let section = format!("ssh_authorities:\n  - {{ name: corp, key: \"{key}\", groups: [ops] }}\n");
    let stand = Stand::at(server, OPERATORS, |host, _| host, |setup| setup.more(&section));
    let [first, mut second, third] = ["21", "22", "23"].map(|serial| certified(&stand, serial));
    let ended = |running: Running| {
        let said = running.finish(SOON);
        assert!(said.stderr.contains("does not count any more"), "{}", said.said());
    };

    reload(&stand, |text| text.replace("groups: [ops] }", "groups: [ops], revoked_serials: [21] }"));
    ended(first);
    reload(&stand, |text| text.replace("[21] }", &format!("[21], revoked_keys: \"{keys}\" }}")));
    ended(third);
    assert!(!second.has_ended(), "{}", second.said());
    reload(&stand, |text| {
        text.replace("ssh_authorities:\n", "ssh_authorities: []\n").replace("  - { name: corp", "# ")
    });
    ended(second);
    let reasons: Vec<_> = stand.broker.closed_sessions().iter().filter_map(reason).collect();
    assert_eq!(reasons, ["revoked"; 3]);
    stand.broker.log_is_clean();
}
