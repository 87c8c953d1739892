//! How the broker and a host prove to each other who they are: certificates of authorities on both sides.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use sluice_tests::broker::{Broker, Setup, root};
use sluice_tests::run::{Running, run};
use sluice_tests::ssh::{Host, Person, Sshd, certify, free_port, new_key, public_key};
use sluice_tests::wait::SOON;

use crate::remote::{drawn, echo, listening, permit, sent_to};
use crate::stand::{OPERATORS, Stand};

/// A login of every system besides whoever runs the test.
const OTHER: &str = "daemon";

/// A server that believes certificates and no key, for the principals that are listed for each login.
fn believer(listed: &[(&str, &str)]) -> Sshd {
    believer_that(listed, "")
}

/// The same with further settings, one for each line.
fn believer_that(listed: &[(&str, &str)], more: &str) -> Sshd {
    Sshd::arranged(|folder| {
        new_key(&folder.join("authority"));
        assert!(fs::create_dir(folder.join("principals")).is_ok());
        for (login, principals) in listed {
            assert!(fs::write(folder.join("principals").join(login), principals).is_ok());
        }
        let place = folder.display();
        format!(
            "TrustedUserCAKeys {place}/authority.pub\nAuthorizedPrincipalsFile {place}/principals/%u\n\
             AuthorizedKeysFile none\n{more}"
        )
    })
}

/// Whoever runs the test.
fn me() -> String {
    run(Command::new("id").arg("-un"), SOON).done().stdout.trim().to_owned()
}

/// A broker that signs for this server with the key of this name.
fn signing(server: Sshd, key: &str, more: &[&str]) -> Stand {
    let key = fs::read_to_string(server.folder().join(key)).unwrap_or_default();
    let target = |host: Host| {
        let host = Host { key, ..host.with("auth: authority") };
        more.iter().fold(host, |host, setting| host.with(setting))
    };
    Stand::at(server, OPERATORS, |host, _| target(host), |setup| setup)
}

/// The keys and certificates that were accepted for a login, as the server's log has them.
fn accepted(stand: &Stand, login: &str) -> Vec<String> {
    let line = format!("Accepted publickey for {login} from ");
    stand.server.log().lines().filter(|said| said.starts_with(&line)).map(str::to_owned).collect()
}

#[test]
fn each_connection_signs_in_with_a_key_and_a_certificate_of_its_own() {
    let me = me();
    let stand = signing(believer(&[(&me, &me)]), "authority", &[]);
    assert_eq!(stand.exec("id -un").done().stdout.trim(), me);
    assert_eq!(stand.exec("echo two").done().stdout, "two\n");
    // What its extensions permit: a terminal and a forward.
    let shell = run(&mut stand.person.terminal(&["-tt", "web@broker", "tty && echo on-a-terminal"]), SOON);
    assert!(shell.stdout.contains("on-a-terminal"), "{}", shell.said());
    let port = stand.server.port();
    let banner = run(&mut stand.script(&format!("x -W 127.0.0.1:{port} web@broker </dev/null | head -c 8")), SOON);
    assert_eq!(banner.stdout, "SSH-2.0-", "{}", banner.stderr);

    let accepted = accepted(&stand, &me);
    assert!(accepted.len() >= 4, "{}", stand.server.log());
    let signed = format!("ID sluice {me} (serial 0) CA ED25519 ");
    assert!(accepted.iter().all(|line| line.contains("ED25519-CERT") && line.contains(&signed)), "{accepted:?}");
    let keys: BTreeSet<&str> =
        accepted.iter().filter_map(|line| line.split("ED25519-CERT ").nth(1)?.split(' ').next()).collect();
    assert_eq!(keys.len(), accepted.len(), "{accepted:?}");
    stand.broker.log_is_clean();
}

#[test]
fn a_certificate_lends_an_agent_where_policy_has_it() {
    let me = me();
    let server = believer(&[(&me, &me)]);
    let key = fs::read_to_string(server.folder().join("authority")).unwrap_or_default();
    let lent = "@id(\"lent\") permit (principal in Group::\"ops\", action == Action::\"ssh.agent\", resource);";
    let policies = format!("{OPERATORS}\n{lent}");
    let target = |host: Host| Host { key, ..host.with("auth: authority") };
    let stand = Stand::at(server, &policies, |host, _| target(host), |setup| setup);
    let said = run(
        &mut stand.script(
            "eval \"$(ssh-agent -s)\" >/dev/null; trap 'ssh-agent -k >/dev/null' EXIT
            ssh-keygen -q -t ed25519 -N '' -C lent -f lent && ssh-add -q lent
            x -o IdentityAgent=\"$SSH_AUTH_SOCK\" -A web@broker 'ssh-add -L'",
        ),
        SOON,
    );
    assert!(said.clone().done().stdout.trim_end().ends_with(" lent"), "{}", said.said());
}

#[test]
fn a_certificate_lends_a_display_and_a_port_where_policy_has_it() {
    let me = me();
    let server = believer_that(&[(&me, &me)], "X11Forwarding yes\n");
    let key = fs::read_to_string(server.folder().join("authority")).unwrap_or_default();
    let policies = format!("{OPERATORS}\n{}\n{}", permit("ssh.x11", ""), permit("ssh.listen", ""));
    let target = |host: Host| Host { key, ..host.with("auth: authority") };
    let stand = Stand::at(server, &policies, |host, _| target(host), |setup| setup);
    assert_eq!(drawn(&stand), "shown\n", "{}", stand.server.log());
    let (port, at) = (free_port(), echo());
    let _client = listening(&stand, port, at);
    assert!(sent_to(port, b"there and back").is_ok_and(|back| back == b"there and back"), "{}", stand.server.log());
    // Each by a certificate of its own.
    assert_eq!(accepted(&stand, &me).len(), 2, "{}", stand.server.log());
    stand.broker.log_is_clean();
}

#[test]
fn a_password_lets_the_broker_in_and_another_one_does_not() {
    let mut serve = Command::new(root().join(".tools/venv/bin/python"));
    serve
        .arg(root().join("tests/python/asyncssh_host.py"))
        .env("HOST_LOGIN", "deploy")
        .env("HOST_PASSWORD", "s3cret-zq7");
    let serving = Running::start(&mut serve);
    let begun = serving.hear("\n");
    let (port, key) = begun.trim().split_once(' ').unwrap_or_default();
    let host = |name: &str, password: &str| Host {
        name: name.to_owned(),
        environment: "dev".to_owned(),
        user: "deploy".to_owned(),
        key: password.to_owned(),
        port: port.parse().unwrap_or_default(),
        known_by: format!("host_keys: [\"{key}\"]"),
        more: vec!["auth: password".to_owned()],
    };
    let hosts = vec![host("right", "s3cret-zq7\n"), host("wrong", "other-zq7")];
    let broker = Broker::start(&Setup::ssh(hosts, OPERATORS));
    let person = Person::new(&broker, &broker.token("oli", "ops"));
    assert_eq!(run(&mut person.ssh(&["right@broker", "uptime"]), SOON).done().stdout, "ran 'uptime'\n");
    let said = run(&mut person.ssh(&["wrong@broker", "uptime"]), SOON);
    assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.stderr);
    assert!(said.stderr.contains("the host does not let the broker in"), "{}", said.stderr);
    let seen = serving.said();
    assert!(seen.contains("deploy is in\n") && seen.contains("deploy stays out\n"), "{seen}");
    let written = broker.log();
    assert!(!written.contains("zq7"), "a password is in the log: {written}");
}

#[test]
fn a_host_that_does_not_believe_the_certificate_is_told_of() {
    let me = me();
    // Another authority than the host's, and a host that has the login for other principals only.
    for (key, principals) in [("stranger", me.as_str()), ("authority", "somebody-else")] {
        let stand = signing(believer(&[(&me, principals)]), key, &[]);
        let said = stand.exec("echo in");
        assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{key}: {}", said.stderr);
        assert!(said.stderr.contains("the host does not let the broker in"), "{key}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{key}: {}", said.stderr);
        assert_eq!(accepted(&stand, &me), [""; 0], "{}", stand.server.log());
    }
}

#[test]
fn logins_are_those_that_are_listed() {
    let me = me();
    let stand =
        signing(believer(&[(&me, &me), (OTHER, OTHER), ("bin", "bin")]), "authority", &[&format!("logins: [{OTHER}]")]);
    for address in ["web@broker", &format!("{me}+web@broker")] {
        assert_eq!(stand.ssh(&[address, "id -un"]).done().stdout.trim(), me, "{address}");
    }
    // Only root's server can become somebody else, who may have no shell: what counts is whom the host has let in.
    let _whatever = stand.ssh(&[&format!("{OTHER}+web@broker"), "id -un"]);
    let others = accepted(&stand, OTHER);
    assert!(others.len() == 1 && others.concat().contains(&format!("ID sluice {OTHER} ")), "{}", stand.server.log());

    let connections = stand.server.connections();
    for login in ["bin", "daemon,root", "Daemon"] {
        let said = stand.ssh(&["-l", &format!("{login}+web"), "broker", "id -un"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(126), ""), "`{login}`: {}", said.stderr);
        assert!(said.stderr.starts_with("sluice: "), "`{login}`: {}", said.stderr);
    }
    assert_eq!(stand.server.connections(), connections, "somebody was dialled: {}", stand.server.log());
}

/// A server whose host key `authority` has certified with these options.
fn certified(authority: &str, options: &[&str]) -> Sshd {
    Sshd::arranged(|folder| {
        new_key(&folder.join("authority"));
        let shown = certify(&folder.join(authority), &folder.join("host"), options);
        format!("HostCertificate {}\n", shown.display())
    })
}

/// A target at a server that is believed by what the key of this name has certified.
fn believed(name: &str, server: &Sshd, authority: &str) -> Host {
    let key = public_key(&server.folder().join(authority).with_extension("pub"));
    Host { known_by: format!("host_authorities: [\"{key}\"]"), ..Host::new(name, server) }
}

#[test]
fn a_host_with_a_certificate_of_the_authority_is_believed() {
    let host = ["-h", "-n", "127.0.0.1", "-V", "-1h:+1h"];
    let server = certified("authority", &host);
    let host = believed("web", &server, "authority");
    let stand = Stand::at(server, OPERATORS, |_, _| host, |setup| setup);
    assert_eq!(stand.exec("echo believed").done().stdout, "believed\n");
    assert_eq!(stand.server.connections(), 1, "{}", stand.server.log());
}

#[test]
fn a_host_whose_key_is_listed_is_believed_whoever_has_certified_it() {
    let server = certified("stranger", &["-h", "-n", "127.0.0.1"]);
    let host = believed("web", &server, "authority");
    let known_by = format!("host_keys: [\"{}\"]\n    {}", server.host_key(), host.known_by);
    let stand = Stand::at(server, OPERATORS, |_, _| Host { known_by, ..host }, |setup| setup);
    assert_eq!(stand.exec("echo believed").done().stdout, "believed\n");
}

#[test]
fn a_host_that_the_authority_does_not_vouch_for_gets_no_credential() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("another authority", "stranger", &["-h", "-n", "127.0.0.1"]),
        ("another host's", "authority", &["-h", "-n", "127.0.0.2"]),
        ("any host's", "authority", &["-h"]),
        ("a pattern", "authority", &["-h", "-n", "127.0.0.*"]),
        ("not valid any more", "authority", &["-h", "-n", "127.0.0.1", "-V", "-2h:-1h"]),
        ("not valid yet", "authority", &["-h", "-n", "127.0.0.1", "-V", "+1h:+2h"]),
        ("an unknown critical option", "authority", &["-h", "-n", "127.0.0.1", "-O", "critical:x@example.com=1"]),
    ];
    let servers = cases.iter().map(|(case, authority, options)| (*case, certified(authority, options)));
    let bare = Sshd::arranged(|folder| {
        new_key(&folder.join("authority"));
        String::new()
    });
    let servers: Vec<(&str, Sshd)> = servers.chain([("no certificate", bare)]).collect();
    let hosts =
        (0..).zip(&servers).map(|(number, (_, server))| believed(&format!("host-{number}"), server, "authority"));
    let broker = Broker::start(&Setup::ssh(hosts.collect(), OPERATORS));
    let person = Person::new(&broker, &broker.token("oli", "ops"));
    for (number, (case, server)) in (0..).zip(&servers) {
        let said = run(&mut person.ssh(&[&format!("host-{number}@broker"), "echo in"]), SOON);
        assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{case}: {}", said.stderr);
        assert!(said.stderr.contains("the host is not who it should be"), "{case}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{case}: {}", said.stderr);
        let log = server.log();
        assert!(server.connections() == 1 && !log.contains("Accepted publickey"), "{case}: {log}");
    }
    broker.log_is_clean();
}
