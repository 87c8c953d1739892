//! What hosts listen on, and the channels that they open: in each state, and by whoever breaks the rules.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::LazyLock;

use sluice_model::{
    Code, HoldId, Mask, Obligations, OpId, Operation, Refusal, Resource, Ruling, Tag, Transform, UnixMicros,
};
use sluice_ssh::{ArrivalMachine, Bind, Frame, ListenMachine, Message, Origin, Setup, Target};
use sluice_wire::{HoldNotice, Input, Machine, Outbox, Side, Step, Violation};

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let target = serde_json::json!({ "host": "web", "host_keys": [], "detectors": [{ "name": "email" }] });
    let target: Target = serde_json::from_value(target).unwrap();
    Setup::new(target, "root", || UnixMicros(1)).unwrap()
});

/// A machine whose questions wait for an answer, and a kernel that lets nothing pass without one.
struct Bench<M> {
    machine: M,
    asked: Vec<(OpId, Operation)>,
    allowed: Vec<OpId>,
    left: Vec<OpId>,
    to_server: Vec<Message>,
    to_client: Vec<Message>,
    closed: bool,
}

impl<M: Machine<Frame = Frame>> Bench<M> {
    fn of(machine: M) -> Self {
        let (to_server, to_client) = (Vec::new(), Vec::new());
        Self { machine, asked: Vec::new(), allowed: Vec::new(), left: Vec::new(), to_server, to_client, closed: false }
    }

    fn tell(&mut self, input: Input<Frame>) -> Result<(), Violation> {
        let mut out = Outbox::default();
        self.machine.handle(input, &mut out)?;
        while let Some(step) = out.pop() {
            match step {
                Step::Ask(op, operation) => self.asked.push((op, operation)),
                Step::ToServer(op, frame) => {
                    assert!(self.allowed.contains(&op), "a frame goes to the host without an allow");
                    self.to_server.extend(message(frame));
                }
                Step::ToClient(_, frame) => self.to_client.extend(message(frame)),
                Step::Done(op) => self.allowed.retain(|allowed| *allowed != op),
                Step::Leave(op) => self.left.push(op),
                Step::Close => self.closed = true,
                Step::Note(_) | Step::Withdraw(_) | Step::Settle(..) | Step::Errand(_) => panic!("{step:?}"),
            }
        }
        Ok(())
    }

    fn client(&mut self, message: Message) {
        self.tell(Input::FromClient(message.into())).unwrap();
    }

    fn server(&mut self, message: Message) {
        self.tell(Input::FromServer(message.into())).unwrap();
    }

    fn rule(&mut self, obligations: Obligations) -> Operation {
        let (op, operation) = self.asked.pop().unwrap();
        self.allowed.push(op);
        self.tell(Input::Ruled(op, Ruling::Allow(obligations.into()))).unwrap();
        operation
    }

    fn allow(&mut self) -> Operation {
        self.rule(Obligations::default())
    }

    fn deny(&mut self) {
        let (op, _) = self.asked.pop().unwrap();
        self.tell(Input::Ruled(op, Ruling::Deny(Refusal::builtin(Code::Policy, "rule", "no").into()))).unwrap();
    }
}

/// What a frame says, where it is more than bytes.
fn message(frame: Frame) -> Option<Message> {
    if let Frame::Message(message, _) = frame { Some(message) } else { None }
}

fn listen() -> Bench<ListenMachine> {
    Bench::of(ListenMachine::new(SETUP.clone()))
}

fn arrival() -> Bench<ArrivalMachine> {
    Bench::of(ArrivalMachine::new(SETUP.clone()))
}

fn bind(host: &str, port: u32) -> Bind {
    Bind::Tcp { host: host.into(), port }
}

fn origin() -> Origin {
    Origin::Tcp { host: "".into(), port: 8080, from: "10.0.0.9".into(), from_port: 40_000 }
}

fn masking() -> Obligations {
    let tag = Tag::new("pii.contact.email").unwrap();
    Obligations {
        masks: [Mask { resource: Resource::value(&tag), transform: Transform::Redact, filterable: false }].into(),
        ..Obligations::default()
    }
}

fn facts(operation: &Operation) -> String {
    format!("{:?}", operation.shape.meaning().facts)
}

fn revoked() -> Input<Frame> {
    Input::Revoked(Refusal::builtin(Code::Revoked, "revoked", "over"))
}

#[test]
fn listening_is_asked_for_and_ends_when_the_client_wants() {
    let mut bench = listen();
    bench.client(Message::Listen(bind("", 0)));
    assert!(bench.to_server.is_empty() && !bench.machine.wants().client);
    let asked = bench.allow();
    assert_eq!((asked.shape.action.name, &asked.text.content()[..]), ("ssh.listen", &b"listen *:0"[..]));
    assert!(facts(&asked).contains("(\"host\", Text(\"*\"))"), "{}", facts(&asked));
    bench.server(Message::Listening(40_001));
    bench.client(Message::Unlisten(bind("", 40_001)));
    bench.server(Message::NotListening("no".into()));
    bench.client(Message::Unlisten(bind("", 40_001)));
    bench.server(Message::Listening(0));
    let unlisten = || Message::Unlisten(bind("", 40_001));
    assert_eq!(bench.to_server, [Message::Listen(bind("", 0)), unlisten(), unlisten()]);
    let told = [Message::Listening(40_001), Message::NotListening("no".into()), Message::Listening(0)];
    assert_eq!((bench.to_client, bench.closed), (told.into(), true));
}

#[test]
fn listening_that_may_not_be_is_told_and_nothing_goes_to_the_host() {
    let mut denied = listen();
    denied.client(Message::Listen(bind("localhost", 80)));
    denied.deny();
    let mut masked = listen();
    masked.client(Message::Listen(Bind::Socket { path: "/run/x".into() }));
    let _asked = masked.rule(masking());
    let mut pending = listen();
    pending.client(Message::Listen(bind("localhost", 80)));
    let (op, _) = pending.asked.first().unwrap().clone();
    let notice = HoldNotice {
        id: HoldId::new("h-1").unwrap(),
        message: "wait\u{1b}".into(),
        approvers: "1 of group `ops`".into(),
        expires: UnixMicros(2),
        wait_seconds: 60,
    };
    pending.tell(Input::Held(op, notice)).unwrap();
    assert_eq!(pending.left, [op], "nobody waits, for all channels of the client would");
    pending.deny();
    let [Message::NotListening(words)] = &pending.to_client[..] else { panic!("{:?}", pending.to_client) };
    for part in ["wait?", "localhost:80", "1 of group `ops`", "sluice approvals approve h-1", "60 s"] {
        assert!(words.contains(part), "no `{part}` in {words}");
    }
    let mut no_place = listen();
    no_place.client(Message::Listen(bind("/run/x", 0)));
    assert!(no_place.asked.is_empty());
    for bench in [denied, masked, pending, no_place] {
        assert!(bench.to_server.is_empty() && bench.closed);
        let [Message::NotListening(words)] = &bench.to_client[..] else { panic!("{:?}", bench.to_client) };
        assert!(words.starts_with("sluice: ") && words.ends_with(']'), "{words}");
    }
}

#[test]
fn a_request_that_is_left_is_never_granted_in_the_same_flow() {
    let mut bench = listen();
    bench.client(Message::Listen(bind("localhost", 80)));
    let (op, _) = bench.asked.first().unwrap().clone();
    let notice = HoldNotice {
        id: HoldId::new("h-1").unwrap(),
        message: "wait".into(),
        approvers: "somebody".into(),
        expires: UnixMicros(2),
        wait_seconds: 60,
    };
    bench.tell(Input::Held(op, notice)).unwrap();
    let _asked = bench.allow();
    assert!(bench.to_server.is_empty() && bench.closed);
    assert!(matches!(&bench.to_client[..], [Message::NotListening(_)]), "{:?}", bench.to_client);
}

#[test]
fn listening_ends_with_either_side_and_with_the_session() {
    for state in 0..3 {
        for input in [Input::Ended(Side::Client), Input::Ended(Side::Server), revoked()] {
            let mut bench = listen();
            if state > 0 {
                bench.client(Message::Listen(bind("localhost", 80)));
                let _asked = bench.allow();
            }
            if state > 1 {
                bench.server(Message::Listening(0));
            }
            let again = format!("{input:?} in {state}");
            bench.tell(input).unwrap();
            assert!(bench.closed && bench.allowed.is_empty(), "{again}");
        }
    }
}

#[test]
fn who_breaks_the_rules_of_listening_is_named() {
    let mut bench = listen();
    assert!(bench.tell(Input::FromClient(Message::Unlisten(bind("", 1)).into())).is_err());
    bench.client(Message::Listen(bind("localhost", 80)));
    let _asked = bench.allow();
    for wrong in [Frame::data(b"x"), Message::Opened.into(), Message::Arrive(origin()).into()] {
        let side = bench.tell(Input::FromServer(wrong)).unwrap_err().side;
        assert_eq!(side, Side::Server);
    }
}

#[test]
fn an_address_to_listen_on_has_one_form() {
    let hosts =
        ["127.1", "0x7f000001", "2130706433", "::ffff:127.0.0.1", "[::1]", "0:0::1", "0", "LOCALHOST", "localhost."];
    let bytes = ["a b", "a\n", "a\0", "/run/x", "a..b", "\u{e4}", "**"];
    let paths = ["x", "", "/run/ok/../x", "/run//x", "/run/x/", "/run/x\0", "/run/\u{1b}"];
    let binds = hosts.iter().chain(&bytes).map(|host| bind(host, 80)).chain([bind("localhost", 65_536)]);
    for odd in binds.chain(paths.map(|path| Bind::Socket { path: path.into() })) {
        let mut bench = listen();
        bench.client(Message::Listen(odd.clone()));
        assert!(bench.asked.is_empty() && bench.to_server.is_empty() && bench.closed, "{odd:?}");
        assert!(
            matches!(&bench.to_client[..], [Message::NotListening(words)] if words.contains("127.0.0.1")),
            "{odd:?}"
        );
    }
    // Every address, of one family or of both, is one thing to policy.
    let all = [("", "*"), ("*", "*"), ("0.0.0.0", "*"), ("::", "*")];
    let plain =
        [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("web-1.example", "web-1.example")];
    for (written, form) in all.into_iter().chain(plain) {
        let mut bench = listen();
        bench.client(Message::Listen(bind(written, 80)));
        let asked = bench.allow();
        assert_eq!(asked.text.content(), &format!("listen {form}:80"), "{written}");
        assert_eq!(bench.to_server, [Message::Listen(bind(written, 80))]);
    }
}

#[test]
fn a_channel_of_a_host_is_asked_about_before_its_client_hears_of_it() {
    let mut bench = arrival();
    bench.server(Message::Arrive(origin()));
    assert!(bench.to_client.is_empty() && !bench.machine.wants().client && !bench.machine.wants().server);
    let asked = bench.allow();
    let text = b"connection to *:8080 from 10.0.0.9";
    assert_eq!((asked.shape.action.name, &asked.text.content()[..]), ("ssh.listen", &text[..]));
    assert!(facts(&asked).contains("(\"from\", Text(\"10.0.0.9\"))"), "{}", facts(&asked));
    assert_eq!(bench.to_client, [Message::Arrive(origin())]);
    assert!(bench.to_server.is_empty());
    bench.client(Message::Opened);
    bench.tell(Input::FromServer(Frame::data(b"there"))).unwrap();
    bench.tell(Input::FromClient(Frame::data(b"back"))).unwrap();
    bench.server(Message::Eof);
    bench.client(Message::Eof);
    bench.server(Message::Close);
    assert_eq!(bench.to_server, [Message::Opened, Message::Eof]);
    assert_eq!(bench.to_client, [Message::Arrive(origin()), Message::Eof, Message::Close]);
    assert!(bench.closed);
}

#[test]
fn each_kind_of_channel_is_a_verb() {
    let verbs = [
        (Origin::Socket { path: "/run/x".into() }, "ssh.listen"),
        (Origin::Agent, "ssh.agent"),
        (Origin::X11 { from: "::1".into(), from_port: 1 }, "ssh.x11"),
    ];
    for (origin, verb) in verbs {
        let mut bench = arrival();
        bench.server(Message::Arrive(origin));
        assert_eq!(bench.allow().shape.action.name, verb);
    }
}

#[test]
fn what_comes_back_exposes_the_values_of_the_target() {
    let exposed = |operation: &Operation| {
        let meaning = operation.shape.meaning();
        meaning.exposures.iter().map(|exposure| exposure.resource.to_string()).collect::<Vec<_>>()
    };
    let mut bench = listen();
    bench.client(Message::Listen(bind("localhost", 80)));
    assert_eq!(exposed(&bench.allow()), ["Value:pii.contact.email"]);
    let x11 = Origin::X11 { from: "::1".into(), from_port: 1 };
    for origin in [origin(), Origin::Socket { path: "/run/x".into() }, Origin::Agent, x11] {
        let mut bench = arrival();
        bench.server(Message::Arrive(origin.clone()));
        assert_eq!(exposed(&bench.allow()), ["Value:pii.contact.email"], "{origin:?}");
    }
}

#[test]
fn a_channel_that_may_not_be_reaches_nobody() {
    let mut denied = arrival();
    denied.server(Message::Arrive(origin()));
    denied.deny();
    let mut masked = arrival();
    masked.server(Message::Arrive(Origin::Agent));
    let _asked = masked.rule(masking());
    for bench in [denied, masked] {
        // The host's question is refused by leaving it alone.
        assert!(bench.to_client.is_empty() && bench.to_server.is_empty() && bench.closed);
    }
    let mut untaken = arrival();
    untaken.server(Message::Arrive(origin()));
    let _asked = untaken.allow();
    let failed = || Message::OpenFailed { code: 2, reason: "nobody is there".into() };
    untaken.client(failed());
    assert_eq!((untaken.to_server, untaken.closed), (vec![failed()], true));
}

#[test]
fn a_channel_of_a_host_ends_with_either_side_and_with_the_session() {
    for (input, to_server, to_client) in
        [(Input::Ended(Side::Client), true, false), (Input::Ended(Side::Server), false, true), (revoked(), true, true)]
    {
        let mut bench = arrival();
        bench.server(Message::Arrive(origin()));
        let _asked = bench.allow();
        bench.client(Message::Opened);
        bench.tell(input).unwrap();
        assert!(bench.closed && bench.allowed.is_empty());
        let closes = [bench.to_server.contains(&Message::Close), bench.to_client.contains(&Message::Close)];
        assert_eq!(closes, [to_server, to_client]);
    }
}

#[test]
fn nothing_passes_in_a_channel_that_is_not_open() {
    for frame in [Frame::data(b"x"), Frame::stderr(b"x"), Message::Eof.into(), Message::Shell.into()] {
        let mut new = arrival();
        assert!(new.tell(Input::FromServer(frame.clone())).is_err());
        assert!(new.tell(Input::FromClient(frame.clone())).is_err());
        let mut opening = arrival();
        opening.server(Message::Arrive(origin()));
        let _asked = opening.allow();
        assert!(opening.tell(Input::FromServer(frame.clone())).is_err());
        assert!(opening.tell(Input::FromClient(frame)).is_err());
        opening.client(Message::Opened);
        assert!(opening.tell(Input::FromServer(Message::Arrive(origin()).into())).is_err());
        assert!(opening.tell(Input::FromServer(Frame::stderr(b"x"))).is_err());
        assert!(opening.tell(Input::FromServer(Message::ExitStatus(0).into())).is_err());
    }
}
