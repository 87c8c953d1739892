//! What is refused: in words, and before anybody dials.

use std::net::TcpListener;

use sluice_tests::run::run;
use sluice_tests::ssh::Person;
use sluice_tests::wait::SOON;

use crate::stand::{OPERATORS, Stand};

/// Somebody may connect, and then nothing.
const NOTHING: &str = r#"
@id("operators-connect")
permit (principal in Group::"ops", action in Action::"connect", resource);
"#;

#[test]
fn where_policy_permits_nothing_nothing_is_dialled() {
    let stand = Stand::under(NOTHING);
    for arguments in [&["web@broker", "id"][..], &["web@broker"], &["-s", "web@broker", "sftp"]] {
        let said = stand.ssh(arguments);
        assert_eq!((said.code, said.stdout.contains("uid")), (Some(126), false), "{arguments:?}: {}", said.said());
        assert!(said.said().contains("sluice: "), "{arguments:?}: {}", said.said());
    }
    let said = stand.ssh(&["-tt", "web@broker"]);
    assert_eq!(said.code, Some(255), "{}", said.said());
    assert!(said.stderr.contains("PTY allocation request failed"), "{}", said.stderr);
    let said = stand.exec("id");
    assert!(said.stderr.contains("[rule ") && said.stderr.lines().count() == 1, "{}", said.stderr);
    assert_eq!(said.stdout, "");
    assert_eq!(stand.server.connections(), 0, "{}", stand.server.log());
    stand.broker.log_is_clean();
}

#[test]
fn whoever_may_not_connect_is_told_so() {
    let stand = Stand::under(NOTHING);
    let other = Person::new(&stand.broker, &stand.broker.token("ned", "nobodies"));
    let said = run(&mut other.ssh(&["root+web@broker", "id"]), SOON);
    assert_eq!((said.code, said.stdout.as_str()), (Some(126), ""), "{}", said.stderr);
    assert!(said.stderr.starts_with("sluice: "), "{}", said.stderr);
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn a_wrong_token_is_nobody() {
    let stand = Stand::open();
    for token in ["", "nonsense", &format!("{}x", stand.token)] {
        let said = run(&mut Person::new(&stand.broker, token).ssh(&["web@broker", "id"]), SOON);
        assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.stderr);
        assert!(said.stderr.contains("Permission denied"), "{}", said.stderr);
    }
    let key = stand.server.folder().join("user").display().to_string();
    // A key that the server knows is nobody's at the broker.
    let said = stand.ssh(&["-o", "PreferredAuthentications=publickey", "-i", &key, "web@broker", "id"]);
    assert_eq!(said.code, Some(255), "{}", said.said());
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn another_host_key_ends_it_before_the_credential_is_shown() {
    let stand = Stand::open();
    assert_eq!(stand.exec("echo in").done().stdout, "in\n");
    let connections = stand.server.connections();
    let file = stand.broker.folder().join("sluice.yaml");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let from = stand.broker.log().len();
    let changed = text.replace(&stand.server.host_key(), &stand.server.strange_key());
    assert!(changed != text && std::fs::write(&file, changed).is_ok());
    stand.broker.logs(from, "the configuration was reloaded");

    let said = stand.exec("echo in");
    assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.stderr);
    assert!(said.stderr.contains("the host is not who it should be"), "{}", said.stderr);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    let log = stand.server.log();
    assert!(stand.server.connections() > connections, "{log}");
    assert_eq!(log.matches("Accepted publickey").count(), connections, "{log}");
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let port = sluice_tests::ssh::free_port();
    let gone = |mut host: sluice_tests::ssh::Host| {
        host.port = port;
        host
    };
    let stand = Stand::with(OPERATORS, gone, |setup| setup);
    let said = stand.exec("id");
    assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.stderr);
    assert!(said.stderr.contains("the host cannot be reached"), "{}", said.stderr);
}

#[test]
fn a_forward_that_policy_does_not_have_is_prohibited() {
    let stand = Stand::under(NOTHING);
    let sink = TcpListener::bind(("127.0.0.1", 0));
    let port = sink.as_ref().ok().and_then(|sink| sink.local_addr().ok()).map_or(0, |address| address.port());
    let nobody_comes = sink.and_then(|sink| sink.set_nonblocking(true).map(|()| sink));
    let said = stand.ssh(&["-o", "LogLevel=INFO", "-W", &format!("127.0.0.1:{port}"), "web@broker"]);
    assert_eq!(said.code, Some(255), "{}", said.said());
    assert!(said.stderr.contains("administratively prohibited"), "{}", said.stderr);
    assert!(nobody_comes.is_ok_and(|sink| sink.accept().is_err()), "somebody has connected");
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn what_comes_back_from_a_server_is_opened_for_nobody_by_itself() {
    let stand = Stand::open();
    // A remote forward is refused before a command runs.
    let port = sluice_tests::ssh::free_port();
    let spec = format!("127.0.0.1:{port}:127.0.0.1:9");
    let said = stand.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &spec, "web@broker", "echo ran"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.said());
    assert!(said.stderr.contains("remote port forwarding failed"), "{}", said.stderr);

    // An agent and X11: the command runs, and has neither.
    let agent = "eval \"$(ssh-agent -s)\" >/dev/null; trap 'ssh-agent -k >/dev/null' EXIT
        x -o IdentityAgent=\"$SSH_AUTH_SOCK\" -A web@broker 'echo \"agent=[$SSH_AUTH_SOCK]\"'";
    assert_eq!(run(&mut stand.script(agent), SOON).done().stdout, "agent=[]\n");
    let mut ssh = stand.person.ssh(&["-Y", "web@broker", "echo \"display=[$DISPLAY]\""]);
    ssh.env("DISPLAY", ":77");
    assert_eq!(run(&mut ssh, SOON).stdout, "display=[]\n");
}
