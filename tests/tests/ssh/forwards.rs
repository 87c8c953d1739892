//! Forwards to places, however they are written, and what policy says of them.
#![expect(clippy::expect_used, reason = "tests")]

use std::net::TcpListener;

use sluice_tests::run::run;
use sluice_tests::ssh::{Sshd, free_port};
use sluice_tests::wait::SOON;

use crate::remote::{echo, permit};
use crate::stand::{OPERATORS, Stand};

/// Nobody reaches the host itself.
const NO_LOOPBACK: &str = r#"
@id("no-loopback")
@message("The host itself is not reached.")
forbid (principal, action == Action::"ssh.forward", resource)
when { ["127.0.0.1", "::1", "localhost"].contains(context.ssh.host) };
"#;

/// Somebody may connect, and reach the sockets of one folder.
const SOCKETS: &str = r#"
@id("operators-connect")
permit (principal in Group::"ops", action in Action::"connect", resource);
@id("sockets")
permit (principal in Group::"ops", action == Action::"ssh.forward", resource) when { context.ssh.host like "*/ok/*" };
@id("operators-see")
permit (principal in Group::"ops", action == Action::"reveal", resource);
"#;

#[test]
fn a_place_that_is_forbidden_is_reached_by_none_of_its_spellings() {
    let stand = Stand::under(&format!("{OPERATORS}\n{NO_LOOPBACK}"));
    let sink = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = sink.local_addr().expect("it is bound").port();
    let hosts = ["127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0", "0.0.0.0", "localhost", "LOCALHOST"];
    let six = ["localhost.", "::1", "::", "::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1"];
    for host in hosts.iter().chain(&six) {
        let place = format!("[{host}]:{port}");
        let said = stand.ssh(&["-o", "LogLevel=INFO", "-W", &place, "web@broker"]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{host}: {}", said.said());
        assert!(said.stderr.contains("administratively prohibited"), "{host}: {}", said.stderr);
        assert!(said.stderr.contains("rule no-loopback"), "{host}: {}", said.stderr);
    }
    sink.set_nonblocking(true).expect("a socket");
    assert!(sink.accept().is_err(), "somebody has connected");
    assert_eq!(stand.server.connections(), 0);
    stand.broker.log_is_clean();
}

#[test]
fn a_socket_outside_of_the_folder_that_is_permitted_is_not_reached_from_inside_of_it() {
    let stand = Stand::under(SOCKETS);
    let text = "mkdir ok; python3 -u -c 'import select, socket
ends = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for end, path in zip(ends, [\"ok/s\", \"secret\"]): end.bind(path); end.listen()
print(\"up\")
while True:
  for end in select.select(ends, [], [])[0]: peer, _ = end.accept(); peer.sendall(b\"reached\"); peer.close()' >up.log &
        serving=$!; trap 'kill $serving' EXIT
        x -M -N -f -L $there/in:$there/ok/s -L $there/out:$there/ok/../secret web@broker
        until [ -s up.log ]; do :; done
        python3 -c 'import socket
for path in \"in\", \"out\":
  peer = socket.socket(socket.AF_UNIX); peer.connect(path); print(path, peer.recv(20).decode() or \"nothing\")'
        x -O exit web@broker 2>/dev/null";
    let said = run(stand.script(text).env("there", stand.server.folder()), SOON);
    assert_eq!(said.done().stdout, "in reached\nout nothing\n");
}

/// Who may do everything, with values masked.
fn unsighted() -> String {
    let (work, _see) = OPERATORS.split_once("@id(\"operators-see\")").expect("the policy has it");
    let lent = ["ssh.listen", "ssh.agent", "ssh.x11"].map(|action| permit(action, ""));
    format!("{work}\n{}", lent.join("\n"))
}

/// What a forward there and one back carry, how a subsystem, an agent and a display fare, and what was said about it.
fn ways(stand: &Stand) -> ([bool; 5], String) {
    let (to, back) = (echo(), free_port());
    let there = format!("printf hello | x -o LogLevel=INFO -W 127.0.0.1:{to} web@broker");
    let there = run(&mut stand.script(&there), SOON);
    let spec = format!("{back}:127.0.0.1:{to}");
    let dial = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{back}; echo there >&3; head -n 1 <&3'");
    let back = stand.ssh(&["-R", &spec, "web@broker", &dial]);
    let subsystem = stand.ssh(&["-s", "web@broker", "echo"]);
    let agent = "eval \"$(ssh-agent -s)\" >/dev/null; trap 'ssh-agent -k >/dev/null' EXIT
        x -o IdentityAgent=\"$SSH_AUTH_SOCK\" -A web@broker '[ -S \"$SSH_AUTH_SOCK\" ] && echo lent'";
    let agent = run(&mut stand.script(agent), SOON);
    let mut display = stand.person.ssh(&["-Y", "web@broker", "[ -n \"$DISPLAY\" ] && echo lent"]);
    let display = run(display.env("DISPLAY", ":77"), SOON);
    let all = [(there, "hello"), (back, "there\n"), (subsystem, "sub\n"), (agent, "lent\n"), (display, "lent\n")];
    let said = all.iter().map(|(way, _)| way.stderr.as_str()).collect();
    (all.map(|(way, expected)| way.stdout == expected), said)
}

#[test]
fn nothing_that_is_not_looked_into_leads_around_a_mask() {
    let server = || Sshd::arranged(|_| "X11Forwarding yes\nSubsystem echo /bin/echo sub".to_owned());
    let (fared, said) = ways(&Stand::before(server(), &unsighted()));
    assert_eq!(fared, [false; 5], "{said}");
    // A display is refused without words.
    assert_eq!(said.matches("rule unmaskable").count(), 4, "{said}");
    assert_eq!(said.matches("permits to `reveal` all values of this target").count(), 4, "{said}");

    let sighted = format!("{}\n{}", unsighted(), permit("reveal", ""));
    let (fared, said) = ways(&Stand::before(server(), &sighted));
    assert_eq!(fared, [true; 5], "{said}");
}
