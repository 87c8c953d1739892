//! Forwards to places, however they are written, and what policy says of them.
#![expect(clippy::expect_used, reason = "tests")]

use std::net::TcpListener;

use sluice_tests::run::run;
use sluice_tests::wait::SOON;

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
