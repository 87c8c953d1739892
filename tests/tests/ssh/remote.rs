//! What comes back from a host: remote forwards, agents, displays.
#![expect(clippy::expect_used, reason = "tests")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use sluice_tests::run::{Running, run};
use sluice_tests::ssh::{Person, Sshd, free_port, new_key};
use sluice_tests::wait::{SOON, until};

use crate::stand::{OPERATORS, Stand, text};

/// A connection that this byte begins is never read from again.
const STALL: u8 = b'S';
/// More than all windows, buffers and memory on the way hold.
const MUCH: usize = 24 << 20;

/// Operators may, besides, what this permits.
pub(crate) fn lend(permits: &str) -> Stand {
    Stand::under(&format!("{OPERATORS}\n{permits}"))
}

pub(crate) fn permit(action: &str, condition: &str) -> String {
    let name = action.replace('.', "-");
    format!(
        "@id(\"{name}\") permit (principal in Group::\"ops\", action == Action::\"{action}\", resource) {condition};"
    )
}

/// Somebody at the client's side who sends back what is sent to him; his port.
pub(crate) fn echo() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        let mut stalled = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut first = [0];
            if stream.read_exact(&mut first).is_err() {
                continue;
            }
            if first == [STALL] {
                stalled.push(stream);
                continue;
            }
            thread::spawn(move || {
                let mut from = stream.try_clone()?;
                stream.write_all(&first)?;
                std::io::copy(&mut from, &mut stream)?;
                stream.shutdown(std::net::Shutdown::Write)
            });
        }
    });
    port
}

/// What comes back for what is sent to a port of the host, which is this machine.
pub(crate) fn sent_to(port: u16, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SOON))?;
    let mut writer = stream.try_clone()?;
    let bytes = bytes.to_vec();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    writing.join().map_err(|_| ErrorKind::Other)??;
    Ok(back)
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(5)).is_err()
}

/// A client that has the host listen and does nothing else.
pub(crate) fn listening(stand: &Stand, port: u16, at: u16) -> Running {
    let spec = format!("{port}:127.0.0.1:{at}");
    let running = Running::start(&mut stand.person.ssh(&["-N", "-R", &spec, "web@broker"]));
    until(SOON, "the host to listen", || (!is_free(port)).then_some(()));
    running
}

#[test]
fn a_remote_forward_leads_back_to_its_client_and_ends_with_it() {
    let stand = lend(&permit("ssh.listen", ""));
    let (port, at) = (free_port(), echo());
    let spec = format!("{port}:127.0.0.1:{at}");
    let dial = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo there and back >&3; head -n 1 <&3");
    let said = stand.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &spec, "web@broker", &format!("bash -c '{dial}'")]);
    assert_eq!(said.done().stdout, "there and back\n");
    until(SOON, "the host to listen no longer", || is_free(port).then_some(()));

    let sessions = stand.broker.closed_sessions();
    let id = sessions.first().and_then(|session| text(session, "id")).unwrap_or_default();
    let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    for expected in [format!("listen localhost:{port}"), format!("connection to localhost:{port} from 127.0.0.1")] {
        assert!(replay.contains(&expected), "no `{expected}` in:\n{replay}");
    }
    stand.broker.log_is_clean();
}

#[test]
fn what_passes_through_a_remote_forward_is_whole() {
    let stand = lend(&permit("ssh.listen", ""));
    let (port, at) = (free_port(), echo());
    let _client = listening(&stand, port, at);
    let much: Vec<u8> = (0..251).cycle().take(MUCH).collect();
    assert!(sent_to(port, &much).expect("it is open") == much, "it came back as something else");
}

#[test]
fn a_connection_that_is_not_read_stops_no_other() {
    let stand = lend(&permit("ssh.listen", ""));
    let (port, at) = (free_port(), echo());
    let _client = listening(&stand, port, at);
    let stalled = TcpStream::connect(("127.0.0.1", port)).expect("it is open");
    let mut writer = stalled.try_clone().expect("a socket");
    thread::spawn(move || {
        writer.write_all(&[STALL])?;
        writer.write_all(&vec![b'x'; 2 * MUCH])
    });
    for round in 0..20 {
        let text = format!("round {round}");
        assert_eq!(sent_to(port, text.as_bytes()).expect("it is open"), text.as_bytes());
    }
    assert_eq!(stand.exec("echo beside").done().stdout, "beside\n");
    drop(stalled);
}

#[test]
fn a_host_picks_a_port_and_forwards_come_and_go() {
    let stand = lend(&permit("ssh.listen", ""));
    let at = echo();
    let text = format!(
        "x -M -N -f web@broker
        x -O forward -R 0:127.0.0.1:{at} web@broker
        read -r _
        x -O cancel -R 0:127.0.0.1:{at} web@broker
        echo cancelled
        read -r _
        x -O exit web@broker 2>/dev/null"
    );
    let mut script = Running::start(&mut stand.script(&text));
    let said = script.hear("\n");
    let port: u16 = said.trim().parse().expect("the port that the host picked");
    assert_eq!(sent_to(port, b"picked").expect("it is open"), b"picked");
    assert_eq!(sent_to(port, b"again").expect("it is open"), b"again");
    script.say("\n");
    let _cancelled = script.hear("cancelled");
    until(SOON, "the host to listen no longer", || is_free(port).then_some(()));
    script.say("\n");
    let _ended = script.finish(SOON);
}

#[test]
fn a_socket_of_the_host_leads_back_too() {
    let stand = lend(&permit("ssh.listen", "when { context.ssh.host like \"*/back.sock\" && context.ssh.port == 0 }"));
    let at = echo();
    let path = stand.server.folder().join("back.sock");
    let spec = format!("{}:127.0.0.1:{at}", path.display());
    let _client = Running::start(&mut stand.person.ssh(&["-N", "-R", &spec, "web@broker"]));
    let mut stream = until(SOON, "the socket", || UnixStream::connect(&path).ok());
    stream.write_all(b"through a socket").expect("it is open");
    stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    let mut back = String::new();
    stream.read_to_string(&mut back).expect("it is open");
    assert_eq!(back, "through a socket");
}

#[test]
fn a_client_that_reaches_nobody_says_so_and_goes_on() {
    let stand = lend(&permit("ssh.listen", ""));
    let (port, at) = (free_port(), free_port());
    let _client = listening(&stand, port, at);
    let back = sent_to(port, b"nobody is there");
    assert!(back.is_err() || back.is_ok_and(|back| back.is_empty()));
    let somebody = TcpListener::bind(("127.0.0.1", at)).expect("it was free");
    let answers = thread::spawn(move || {
        let (mut stream, _) = somebody.accept()?;
        stream.read_exact(&mut [0])?;
        stream.write_all(b"now there is")
    });
    assert_eq!(sent_to(port, b"x").expect("it is open"), b"now there is");
    assert!(answers.join().is_ok_and(|answered| answered.is_ok()));
}

#[test]
fn a_revoked_token_ends_a_remote_forward_and_what_passes_through_it() {
    let stand = lend(&permit("ssh.listen", ""));
    let token = stand.broker.mint(&["--user", "oli", "--group", "ops", "--label", "lent"]);
    let person = Person::new(&stand.broker, &token);
    let (port, at) = (free_port(), echo());
    let spec = format!("{port}:127.0.0.1:{at}");
    let client = Running::start(&mut person.ssh(&["-N", "-R", &spec, "web@broker"]));
    until(SOON, "the host to listen", || (!is_free(port)).then_some(()));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it is open");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    let mut back = [0; 4];
    stream.write_all(b"live").and_then(|()| stream.read_exact(&mut back)).expect("it is open");
    let tokens = stand.broker.json(&["token", "list"]);
    let found = tokens.iter().find(|token| text(token, "label").as_deref() == Some("lent"));
    let id = found.and_then(|token| text(token, "id")).unwrap_or_default();
    let _revoked = stand.broker.cli(&["token", "revoke", &id]).done();
    assert!(client.finish(SOON).code.is_some_and(|code| code != 0));
    until(SOON, "the host to listen no longer", || is_free(port).then_some(()));
    let gone = stream.read(&mut back).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| read == 0);
    assert!(gone, "it is still open");
}

#[test]
fn a_remote_forward_that_policy_does_not_have_leaves_the_session() {
    let stand = lend(&permit("ssh.listen", "when { context.ssh.host == \"localhost\" && context.ssh.port == 1 }"));
    let port = free_port();
    let spec = format!("{port}:127.0.0.1:9");
    for loud in [false, true] {
        let level = if loud { "LogLevel=DEBUG" } else { "LogLevel=INFO" };
        let said = stand.ssh(&["-o", level, "-R", &spec, "web@broker", "echo ran"]).done();
        assert_eq!(said.stdout, "ran\n");
        assert!(said.stderr.contains("remote port forwarding failed"), "{}", said.stderr);
        // On the error stream of the command, and for whoever debugs.
        assert_eq!(said.stderr.matches("sluice: ").count(), 1 + usize::from(loud), "{}", said.stderr);
    }
    let said = stand.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &spec, "web@broker", "echo ran"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(255), ""), "{}", said.said());
    // Only the commands have dialled.
    assert_eq!(stand.server.connections(), 2, "{}", stand.server.log());
}

#[test]
fn a_connection_is_decided_on_when_it_comes() {
    let stand = lend(&permit("ssh.listen", "when { context.ssh.from == \"\" }"));
    let (port, at) = (free_port(), echo());
    let _client = listening(&stand, port, at);
    let back = sent_to(port, b"nobody hears this");
    assert!(back.is_err() || back.is_ok_and(|back| back.is_empty()));
    stand.broker.log_is_clean();
}

#[test]
fn a_host_that_cannot_listen_says_so() {
    let stand = lend(&permit("ssh.listen", ""));
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let spec = format!("127.0.0.1:{port}:127.0.0.1:9");
    let said = stand.ssh(&["-o", "LogLevel=DEBUG", "-R", &spec, "web@broker", "echo ran"]).done();
    assert_eq!(said.stdout, "ran\n");
    assert!(said.stderr.contains("sluice: the host does not listen there"), "{}", said.stderr);
}

/// Runs `ssh -A` with an agent of its own, which holds one key.
fn with_agent(stand: &Stand, command: &str) -> sluice_tests::run::Finished {
    let key = stand.server.folder().join("lent");
    new_key(&key);
    let script = format!(
        "eval \"$(ssh-agent -s)\" >/dev/null; trap 'ssh-agent -k >/dev/null' EXIT
        ssh-add -q lent
        x -o IdentityAgent=\"$SSH_AUTH_SOCK\" -A web@broker '{command}'"
    );
    run(&mut stand.script(&script), SOON)
}

#[test]
fn an_agent_is_lent_where_policy_has_it() {
    let stand = lend(&permit("ssh.agent", ""));
    let said = with_agent(&stand, "ssh-add -L; ssh-add -T lent.pub 2>/dev/null; echo $?").done();
    let key = std::fs::read_to_string(stand.server.folder().join("lent.pub")).expect("it was made");
    assert!(said.stdout.starts_with(key.trim()), "{}", said.said());
    stand.broker.log_is_clean();
}

#[test]
fn an_agent_is_lent_to_nobody_otherwise_and_that_is_said() {
    let stand = Stand::open();
    let said = with_agent(&stand, "echo \"agent=[$SSH_AUTH_SOCK]\"").done();
    assert_eq!(said.stdout, "agent=[]\n");
    assert!(said.stderr.starts_with("sluice: ") && said.stderr.lines().count() == 1, "{}", said.stderr);
}

#[test]
fn a_display_is_lent_where_policy_has_it() {
    let policies = format!("{OPERATORS}\n{}", permit("ssh.x11", ""));
    let server = Sshd::arranged(|_| "X11Forwarding yes".to_owned());
    assert_eq!(drawn(&Stand::before(server, &policies)), "shown\n");
}

/// What a program of the host hears of the display of a client that lends it.
pub(crate) fn drawn(stand: &Stand) -> String {
    // A display that answers whoever has shown a cookie.
    let display = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let number = u32::from(display.local_addr().expect("it is bound").port()) - 6000;
    thread::spawn(move || {
        for mut stream in display.incoming().flatten() {
            // The setup of a connection (X11 protocol, chapter 8): 12 bytes, a name of 18 in 20, a cookie of 16.
            let mut setup = [0; 48];
            stream.read_exact(&mut setup)?;
            stream.write_all(b"shown\n")?;
        }
        std::io::Result::Ok(())
    });
    let draw = "port=$((6000 + $(echo ${DISPLAY#*:} | cut -d. -f1)))
        cookie=$(xauth list $DISPLAY | head -n 1 | sed \"s/.* //; s/../\\\\\\\\x&/g\")
        exec 3<>/dev/tcp/localhost/$port
        printf \"l\\0\\013\\0\\0\\0\\022\\0\\020\\0\\0\\0MIT-MAGIC-COOKIE-1\\0\\0\" >&3
        printf \"$cookie\" >&3
        head -n 1 <&3";
    let mut ssh = stand.person.ssh(&["-Y", "web@broker", &format!("bash -c '{draw}'")]);
    ssh.env("DISPLAY", format!("127.0.0.1:{number}"));
    run(&mut ssh, SOON).done().stdout
}
