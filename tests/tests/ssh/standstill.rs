//! Remote forwards whose answer takes time, and what their client does meanwhile.
#![expect(clippy::expect_used, reason = "tests")]

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sluice_tests::run::{Running, run};
use sluice_tests::ssh::{Host, free_port};
use sluice_tests::wait::{SOON, until};

use crate::remote::{echo, is_free, lend, permit, sent_to};
use crate::stand::{OPERATORS, Stand};

/// Less than connecting to a host may take.
const SHORT: Duration = Duration::from_secs(10);

/// Listening needs an approval; connections to what is listened on do not.
const ASK: &str = r#"
@id("listening-needs-approval")
@approve("Group::oncall") @approve_count("1") @approve_scope("statement") @approve_ttl("5m")
@message("Somebody has to look at this.")
forbid (principal, action == Action::"ssh.listen", resource)
when { context.ssh.from == "" }
unless {
  context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
  && context.base.now < context.base.approval.expires
};

@id("oncall-approves")
permit (principal in Group::"oncall", action == Action::"approve", resource);
"#;

/// A way to a server that can be shut: who comes then is let in, and hears nothing.
#[derive(Clone, Default)]
struct Gate {
    shut: Arc<AtomicBool>,
    kept: Arc<AtomicUsize>,
}

impl Gate {
    /// The port of a gate before this one.
    fn before(&self, port: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let own = listener.local_addr().expect("it is bound").port();
        let gate = self.clone();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().flatten() {
                if gate.shut.load(Ordering::SeqCst) {
                    kept.push(stream);
                    gate.kept.store(kept.len(), Ordering::SeqCst);
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", port))?;
                let (from, to) = (stream.try_clone()?, server.try_clone()?);
                thread::spawn(move || pass(&from, &to));
                thread::spawn(move || pass(&server, &stream));
            }
            std::io::Result::Ok(())
        });
        own
    }

    fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut from, &mut to)?;
    to.shutdown(std::net::Shutdown::Write)
}

/// A connection that several programs share, until it is dropped.
fn shared(stand: &Stand) -> Running {
    let text = "x -M -N -f web@broker; echo up; read -r _ || true; x -O exit web@broker 2>/dev/null";
    let master = Running::start(&mut stand.script(text));
    let _up = master.hear("up\n");
    master
}

/// A program in the connection that sends back what is typed.
fn beside(stand: &Stand) -> Running {
    let mut beside = Running::start(&mut stand.person.ssh(&["web@broker", "cat"]));
    beside.say("first\n");
    let _first = beside.hear("first\n");
    beside
}

/// Whether the shared connection listens there when it is asked to.
fn forward(stand: &Stand, spec: &str) -> bool {
    run(&mut stand.person.ssh(&["-O", "forward", "-R", spec, "web@broker"]), SOON).code == Some(0)
}

#[test]
fn a_remote_forward_that_waits_for_people_stops_no_channel_and_its_request_stands() {
    let stand = lend(&format!("{}\n{ASK}", permit("ssh.listen", "")));
    let (port, at) = (free_port(), echo());
    let spec = format!("{port}:127.0.0.1:{at}");
    let master = shared(&stand);
    let mut beside = beside(&stand);
    assert!(!forward(&stand, &spec));
    let id = stand.waiting();
    let said = beside.hear(&format!("sluice approvals approve {id}"));
    assert!(said.contains("Somebody has to look at this.") && said.contains(&format!("localhost:{port}")), "{said}");
    beside.say("second\n");
    let _second = beside.hear("second\n");
    assert!(is_free(port));
    assert_eq!(stand.server.connections(), 1, "the server was dialled before anybody approved");
    // Nobody has answered yet: the same request is what there is.
    assert!(!forward(&stand, &spec));
    assert_eq!(stand.waiting(), id);
    let approver = stand.broker.token("dana", "oncall");
    let _approved = stand.broker.cli_as(&approver, &["approvals", "approve", &id]).done();
    assert!(forward(&stand, &spec));
    assert_eq!(sent_to(port, b"approved").expect("it is open"), b"approved");
    beside.say("third\n");
    let _third = beside.hear("third\n");
    drop(beside.finish(SOON).done());
    let _ended = master.finish(SOON);
    stand.broker.log_is_clean();
}

#[test]
fn a_command_says_why_the_forward_before_it_is_not_there() {
    let stand = lend(&format!("{}\n{ASK}", permit("ssh.listen", "")));
    let spec = format!("{}:127.0.0.1:9", free_port());
    let mut ssh = Running::start(&mut stand.person.ssh(&["-R", &spec, "web@broker", "echo ran; cat"]));
    let said = ssh.hear("ran\n");
    let id = stand.waiting();
    assert!(said.contains(&format!("sluice approvals approve {id}")), "{said}");
    ssh.say("on\n");
    let _goes_on = ssh.hear("on\n");
    let _ended = ssh.finish(SOON).done();
    // With its session.
    stand.withdrawn();
}

#[test]
fn a_host_that_takes_its_time_to_listen_stops_no_channel() {
    let gate = Gate::default();
    let policies = format!("{OPERATORS}\n{}", permit("ssh.listen", ""));
    let stand = Stand::with(&policies, |host| Host { port: gate.before(host.port), ..host }, |setup| setup);
    let (port, at) = (free_port(), echo());
    let spec = format!("{port}:127.0.0.1:{at}");
    let master = shared(&stand);
    let mut beside = beside(&stand);
    gate.shut(true);
    let asking = Running::start(&mut stand.person.ssh(&["-O", "forward", "-R", &spec, "web@broker"]));
    until(SOON, "the host to be dialled", || (gate.kept.load(Ordering::SeqCst) == 1).then_some(()));
    let began = Instant::now();
    beside.say("second\n");
    let _second = beside.hear("second\n");
    assert_ne!(asking.finish(SOON).code, Some(0));
    assert!(began.elapsed() < SHORT, "{:?}", began.elapsed());
    let _why = beside.hear("sluice: the host takes longer to listen");
    gate.shut(false);
    assert!(forward(&stand, &spec));
    assert_eq!(sent_to(port, b"later").expect("it is open"), b"later");
    drop(beside.finish(SOON).done());
    let _ended = master.finish(SOON);
    stand.broker.log_is_clean();
}
