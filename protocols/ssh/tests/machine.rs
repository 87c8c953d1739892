//! What the laws do not reach: exit statuses, words for terminals, and the end of a channel in each of its states.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::LazyLock;

use bytes::Bytes;
use sluice_model::{
    Code, HoldId, Mask, Obligations, OpId, Operation, Refusal, Resource, Ruling, Tag, Transform, UnixMicros,
};
use sluice_ssh::{ChannelMachine, Frame, Message, Place, Setup, Size, Target, X11};
use sluice_wire::{HoldNotice, Input, Machine as _, Outbox, Side, Step, Violation};

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let target = serde_json::json!({ "host": "web", "host_keys": [], "detectors": [{ "name": "email" }] });
    let target: Target = serde_json::from_value(target).unwrap();
    Setup::new(target, "root", || UnixMicros(1)).unwrap()
});

/// A channel whose questions wait for an answer.
struct Bench {
    machine: ChannelMachine,
    asked: Vec<(OpId, Operation)>,
    to_server: Vec<Frame>,
    to_client: Vec<Frame>,
    closed: bool,
}

impl Bench {
    fn new() -> Self {
        let machine = ChannelMachine::new(SETUP.clone());
        Self { machine, asked: Vec::new(), to_server: Vec::new(), to_client: Vec::new(), closed: false }
    }

    fn tell(&mut self, input: Input<Frame>) -> Result<(), Violation> {
        let mut out = Outbox::default();
        self.machine.handle(input, &mut out)?;
        while let Some(step) = out.pop() {
            match step {
                Step::Ask(op, operation) => self.asked.push((op, operation)),
                Step::ToServer(_, frame) => self.to_server.push(frame),
                Step::ToClient(_, frame) => self.to_client.push(frame),
                Step::Close => self.closed = true,
                Step::Done(_) | Step::Note(_) => {}
                Step::Withdraw(_) | Step::Leave(_) | Step::Settle(..) | Step::Errand(_) => panic!("{step:?}"),
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

    fn rule(&mut self, ruling: Ruling) {
        let (op, _) = self.asked.pop().unwrap();
        self.tell(Input::Ruled(op, ruling)).unwrap();
    }

    fn allow(&mut self) {
        self.rule(Ruling::Allow(Obligations::default().into()));
    }

    fn deny(&mut self, code: Code, message: &str) {
        self.rule(Ruling::Deny(Refusal::builtin(code, "rule", message).into()));
    }

    fn told(&self) -> Vec<&Message> {
        messages(&self.to_client)
    }

    fn words(&self) -> String {
        let words = self.to_client.iter().filter_map(|frame| {
            if let Frame::Stderr(words) = frame {
                Some(String::from_utf8(words.bytes().to_vec()).unwrap())
            } else {
                None
            }
        });
        words.collect()
    }
}

fn messages(frames: &[Frame]) -> Vec<&Message> {
    let all = frames.iter();
    all.filter_map(|frame| if let Frame::Message(message, _) = frame { Some(message) } else { None }).collect()
}

fn exec(command: &str) -> Message {
    Message::Exec(Bytes::copy_from_slice(command.as_bytes()))
}

fn ended(status: u32) -> [Message; 4] {
    [Message::Accepted, Message::ExitStatus(status), Message::Eof, Message::Close]
}

fn pty() -> Message {
    Message::Pty { term: "xterm".into(), size: Size { columns: 80, rows: 24, width: 0, height: 0 }, modes: Vec::new() }
}

fn masks() -> Obligations {
    let resource = Resource::value(&Tag::new("pii.contact.email").unwrap());
    let mask = Mask { resource, transform: Transform::Redact, filterable: false };
    Obligations { masks: vec![mask], ..Obligations::default() }
}

#[test]
fn a_refusal_says_by_its_status_what_it_is() {
    let codes = [(Code::Policy, 126), (Code::Withdrawn, 126), (Code::Expired, 124), (Code::Unavailable, 255)];
    for (code, status) in codes {
        let mut bench = Bench::new();
        bench.client(exec("ls"));
        bench.deny(code, "no");
        assert_eq!(bench.told(), ended(status).each_ref());
        assert!(bench.to_server.is_empty());
    }
}

#[test]
fn a_request_that_was_held_is_answered_once() {
    let mut bench = Bench::new();
    bench.client(exec("ls"));
    let notice = HoldNotice {
        id: HoldId::new("h-1").unwrap(),
        message: "wait \u{1b}[2J".to_owned(),
        approvers: "1 of group `ops`".to_owned(),
        expires: UnixMicros(60),
        wait_seconds: 60,
    };
    bench.tell(Input::Held(bench.asked.last().unwrap().0, notice)).unwrap();
    assert!(bench.words().contains("sluice approvals approve h-1"));
    assert!(!bench.words().contains('\u{1b}'));
    bench.deny(Code::Expired, "nobody came");
    assert_eq!(bench.told(), ended(124).each_ref());
}

#[test]
fn what_has_no_place_for_words_is_said_on_the_error_stream_of_a_program() {
    let aside = || Message::Aside("sluice: nobody listens".into());
    let mut bench = Bench::new();
    bench.client(aside());
    bench.client(aside());
    assert_eq!(bench.words(), "", "no program runs yet");
    bench.client(exec("ls"));
    bench.allow();
    assert_eq!(bench.words(), "sluice: nobody listens\r\nsluice: nobody listens\r\n");
    bench.client(aside());
    assert_eq!(bench.words().lines().count(), 3);
    bench.server(Message::Accepted);
    bench.server(Message::ExitStatus(0));
    bench.server(Message::Eof);
    bench.client(aside());
    assert_eq!(bench.words().lines().count(), 3, "nothing follows the end of the bytes");

    let mut refused = Bench::new();
    refused.client(aside());
    refused.client(exec("ls"));
    refused.deny(Code::Policy, "no");
    let words = refused.words();
    assert!(words.starts_with("sluice: nobody listens\r\nsluice: no [rule"), "{words:?}");
    let mut forward = Bench::new();
    forward.client(aside());
    forward.client(Message::Open(Place::Tcp { host: "db".into(), port: 1, from: "".into(), from_port: 1 }));
    forward.allow();
    assert_eq!(forward.words(), "", "a forward has no error stream");
}

#[test]
fn words_of_a_refusal_do_nothing_to_a_terminal() {
    let mut bench = Bench::new();
    bench.client(exec("ls"));
    bench.deny(Code::Policy, "no\u{1b}]0;title\u{7}\r\n\u{9b}31m\u{7f}never");
    let words = bench.words();
    let line = words.strip_suffix("\r\n").unwrap();
    assert!(line.chars().all(|char| !char.is_control()), "{line:?}");
    assert!(line.starts_with("sluice: no") && line.contains("never"), "{line:?}");
    let mut forward = Bench::new();
    forward.client(Message::Open(Place::Socket { path: "/run/x".into() }));
    forward.deny(Code::Policy, "no\u{1b}[31m");
    let [Message::OpenFailed { code: 1, reason }] = *forward.told() else { panic!("{:?}", forward.to_client) };
    assert!(reason.chars().all(|char| !char.is_control()));
}

#[test]
fn bytes_before_a_command_end_the_channel() {
    let mut bench = Bench::new();
    let early = bench.tell(Input::FromClient(Frame::data(b"ls\n")));
    assert_eq!(early, Err(Violation::client("bytes came before a command")));
    bench
        .tell(Input::Revoked(Refusal::builtin(Code::NotUnderstood, "protocol", "bytes came before a command")))
        .unwrap();
    assert_eq!(bench.told(), ended(126)[1..].iter().collect::<Vec<_>>());
    assert!(bench.to_server.is_empty());
}

#[test]
fn a_second_command_is_refused_and_asks_nobody() {
    let mut bench = Bench::new();
    bench.client(exec("ls"));
    bench.allow();
    for second in [exec("id"), Message::Shell, Message::Subsystem("sftp".into()), pty()] {
        bench.client(second);
        assert!(bench.asked.is_empty());
        assert_eq!(bench.told().last(), Some(&&Message::Refused));
    }
    assert_eq!(messages(&bench.to_server), [&exec("'ls'")]);
}

#[test]
fn a_channel_is_closed_in_each_of_its_states() {
    let mut ready = Bench::new();
    ready.client(Message::Close);
    assert!(ready.closed && ready.to_server.is_empty() && ready.to_client.is_empty());

    let mut asking = Bench::new();
    asking.client(exec("ls"));
    assert!(!asking.machine.wants().client);
    asking.tell(Input::Ended(Side::Client)).unwrap();
    assert!(asking.closed && asking.to_server.is_empty());
    // An answer that comes too late starts nothing.
    asking.allow();
    assert!(asking.to_server.is_empty());

    let mut running = Bench::new();
    running.client(exec("ls"));
    running.allow();
    running.client(Message::Close);
    assert!(running.closed);
    assert_eq!(messages(&running.to_server), [&exec("'ls'"), &Message::Close]);

    let mut told = Bench::new();
    told.client(exec("ls"));
    told.allow();
    told.server(Message::Accepted);
    told.server(Message::Close);
    assert!(!told.closed, "the client has not closed it yet");
    told.server(Message::Close);
    told.tell(Input::FromClient(Frame::data(b"late"))).unwrap();
    told.client(Message::Close);
    assert!(told.closed);
    assert_eq!(told.told(), [&Message::Accepted, &Message::Close]);
    assert_eq!(messages(&told.to_server), [&exec("'ls'")]);
}

#[test]
fn a_host_does_not_talk_about_what_is_not_there() {
    let mut bench = Bench::new();
    bench.tell(Input::FromServer(Frame::data(b"early"))).unwrap();
    bench.tell(Input::FromServer(Frame::Quiet)).unwrap();
    bench.tell(Input::Ended(Side::Server)).unwrap();
    assert!(bench.to_client.is_empty() && !bench.closed);
    for wrong in [exec("id"), Message::Shell, Message::Agent, Message::Accepted, Message::Refused] {
        let mut bench = Bench::new();
        bench.client(exec("ls"));
        bench.allow();
        bench.server(Message::Accepted);
        let told = bench.tell(Input::FromServer(wrong.into()));
        assert_eq!(told.map_err(|violation| violation.side), Err(Side::Server));
    }
}

#[test]
fn nothing_follows_the_end_of_the_bytes() {
    let mut bench = Bench::new();
    bench.client(exec("ls"));
    bench.allow();
    bench.server(Message::Accepted);
    bench.server(Message::Eof);
    assert!(bench.tell(Input::FromServer(Frame::data(b"more"))).is_err());
    assert!(bench.tell(Input::FromServer(Frame::stderr(b"more"))).is_err());
    // A program's streams end with its status: until there is one, the client may still be told why there is none.
    assert_eq!(bench.told(), [&Message::Accepted]);
    bench.tell(Input::Ended(Side::Server)).unwrap();
    assert!(bench.words().contains("the connection to the host was lost"));
    let ends = [Message::Accepted, Message::ExitStatus(255), Message::Eof, Message::Close];
    assert_eq!(bench.told(), ends.each_ref());
}

#[test]
fn what_is_not_looked_into_is_not_allowed_with_masks() {
    let place = Place::Tcp { host: "db".into(), port: 5432, from: "::1".into(), from_port: 1 };
    let opaque = [
        exec("scp -f /srv/a"),
        exec("scp -t /srv"),
        exec("rsync --server --sender -logDtpre.iLsfxCIvu . /srv"),
        exec("git-upload-pack '/srv/a.git'"),
        exec("git upload-pack '/srv/a.git'"),
        Message::Subsystem("netconf".into()),
        Message::Open(place),
    ];
    for message in opaque {
        let mut bench = Bench::new();
        bench.client(message.clone());
        let op = bench.asked.last().unwrap().0;
        assert!(bench.machine.unkept(op, &masks()).is_some_and(|refusal| refusal.rule.as_str().contains("unmaskable")));
        assert!(bench.machine.unkept(op, &Obligations::default()).is_none());
        bench.rule(Ruling::Allow(masks().into()));
        assert!(bench.to_server.is_empty(), "{message:?}");
        let told = format!("{}{:?}", bench.words(), bench.told());
        assert!(told.contains("rule unmaskable") && told.contains("`reveal` all values"), "{told}");
        let mut bench = Bench::new();
        bench.client(message);
        bench.allow();
        assert_eq!(bench.to_server.len(), 1);
    }
    for message in [exec("cat /srv/a"), exec("$x"), Message::Shell, Message::Subsystem("sftp".into())] {
        let mut bench = Bench::new();
        bench.client(message);
        assert!(bench.machine.unkept(bench.asked.last().unwrap().0, &masks()).is_none());
        bench.rule(Ruling::Allow(masks().into()));
        assert_eq!(bench.to_server.len(), 1);
    }
}

#[test]
fn whatever_leads_back_to_the_client_exposes_the_values_of_the_target() {
    let exposes = |message: Message| {
        let mut bench = Bench::new();
        bench.client(message);
        let meaning = bench.asked.pop().unwrap().1.shape;
        meaning.meaning().exposures.iter().map(|exposure| exposure.resource.to_string()).collect::<Vec<_>>()
    };
    let x11 = X11 { once: false, protocol: "MIT-MAGIC-COOKIE-1".into(), cookie: "c0".into(), screen: 0 };
    let open = [
        exec("cat /srv/a"),
        exec("$x"),
        exec("scp -f /srv/a"),
        exec("rsync --server --sender -logDtpre.iLsfxCIvu . /srv"),
        exec("git-upload-pack '/srv/a.git'"),
        Message::Shell,
        Message::Subsystem("netconf".into()),
        Message::Open(tcp("db", 5432)),
        Message::Open(socket("/run/x")),
        Message::Agent,
        Message::X11(x11),
    ];
    for message in open {
        assert_eq!(exposes(message.clone()), ["Value:pii.contact.email"], "{message:?}");
    }
    // Each file of sftp is asked about by itself, and the rest says nothing.
    for message in [Message::Subsystem("sftp".into()), pty(), Message::Env { name: "LANG".into(), value: "C".into() }] {
        assert!(exposes(message.clone()).is_empty(), "{message:?}");
    }
}

#[test]
fn what_is_looked_into_has_a_weight() {
    let text = || Input::FromServer(Frame::data(&[b'a'; 100_000]));
    let mut masked = Bench::new();
    masked.client(exec("cat /srv/a"));
    assert_eq!(masked.machine.weight(&text()), 0);
    masked.rule(Ruling::Allow(masks().into()));
    assert_eq!(masked.machine.weight(&text()), 100_000);
    assert_eq!(masked.machine.weight(&Input::FromServer(Frame::stderr(&[b'a'; 1_000]))), 1_000);
    assert_eq!(masked.machine.weight(&Input::FromClient(Frame::data(&[b'a'; 1_000]))), 0);
    let mut plain = Bench::new();
    plain.client(exec("cat /srv/a"));
    plain.allow();
    assert_eq!(plain.machine.weight(&text()), 0);
}

#[test]
fn an_allow_that_limits_results_is_kept_to_by_refusing() {
    let mut obligations = Obligations::default();
    obligations.controls.max_rows = Some(1);
    let mut bench = Bench::new();
    bench.client(exec("ls"));
    bench.rule(Ruling::Allow(obligations.into()));
    assert_eq!(bench.told(), ended(126).each_ref());
    assert!(bench.words().contains("rule unlimitable"));
}

#[test]
fn a_terminal_turns_a_pager_into_a_script() {
    let action = |terminal: bool| {
        let mut bench = Bench::new();
        if terminal {
            bench.client(pty());
            bench.allow();
        }
        bench.client(exec("git log"));
        bench.asked.pop().unwrap().1.shape.action.name
    };
    assert_eq!((action(false), action(true)), ("ssh.inspect", "ssh.script"));
}

#[test]
fn git_is_looked_into_by_every_name() {
    for command in ["git-receive-pack '/srv/a.git'", "git receive-pack /srv/a.git"] {
        let mut bench = Bench::new();
        bench.client(exec(command));
        bench.allow();
        bench.server(Message::Accepted);
        let update =
            "00671111111111111111111111111111111111111111 2222222222222222222222222222222222222222 refs/heads/main\0x";
        let update = update.replacen("0067", &format!("{:04x}", update.len()), 1) + "0000";
        bench.tell(Input::FromClient(Frame::data(update.as_bytes()))).unwrap();
        assert_eq!(bench.asked.last().unwrap().1.shape.action.name, "git.push", "{command}");
        assert!(!bench.machine.wants().client);
    }
}

#[test]
fn what_a_policy_says_of_one_question_is_kept_to() {
    let update =
        "00671111111111111111111111111111111111111111 2222222222222222222222222222222222222222 refs/heads/main\0x";
    let update = update.replacen("0067", &format!("{:04x}", update.len()), 1) + "0000";
    let mut limits = Obligations::default();
    limits.controls.max_bytes = Some(1);
    for (obligations, rule) in [(masks(), "unmaskable"), (limits, "unlimitable")] {
        let mut bench = Bench::new();
        bench.client(exec("git-receive-pack '/srv/a.git'"));
        bench.allow();
        bench.server(Message::Accepted);
        bench.tell(Input::FromClient(Frame::data(update.as_bytes()))).unwrap();
        bench.rule(Ruling::Allow(obligations.into()));
        assert!(bench.words().contains(rule), "{}", bench.words());
        assert_eq!(messages(&bench.to_server), [&exec("git-receive-pack '/srv/a.git'"), &Message::Close]);
        assert_eq!(bench.to_server.len(), 2);
    }
}

fn tcp(host: &str, port: u32) -> Place {
    Place::Tcp { host: host.into(), port, from: "::1".into(), from_port: 1 }
}

fn socket(path: &str) -> Place {
    Place::Socket { path: path.into() }
}

#[test]
fn a_place_is_either_an_address_or_a_path() {
    let hosts = [
        "/run/x.sock",
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a b",
        "a\n",
        "a\0.b",
        "a\u{1b}[m",
        "\u{e4}.example",
        "127.0.0.256",
    ];
    let numbers = ["1.2.3.4.5", "256.1", "08", "0x", "0xg.0x1g.1", "4294967296", "1.16777216", "127.0.0.0x"];
    let six =
        ["::1%1", "::ffff:127.0.0.1%lo", "[::1", "::1]", "[127.0.0.1]", "[::1]:80", ":::", "fe80::1%", "fe80::1%a b"];
    let long = [format!("/{}", "a".repeat(103)), "a.".repeat(129)];
    let mut odd: Vec<Place> = hosts.iter().chain(&numbers).chain(&six).map(|host| tcp(host, 1)).collect();
    odd.extend([tcp("db", 0), tcp("db", 65_536), tcp(&long[1], 1), socket(&long[0])]);
    let paths =
        ["", "db", "/run/ok/../secret", "/run/./x", "/run//x", "//run/x", "/run/x/", "/run/x\n", "/run/x\0y", "/.."];
    odd.extend(paths.map(socket));
    odd.push(Place::Tcp { host: "db".into(), port: 1, from: "a\0".into(), from_port: 1 });
    for place in odd {
        let mut bench = Bench::new();
        bench.client(Message::Open(place.clone()));
        assert!(bench.asked.is_empty() && bench.closed, "{place:?}");
        assert!(matches!(*bench.told(), [Message::OpenFailed { code: 1, .. }]), "{place:?}");
    }
}

/// Libraries of the host read files by these values: catalogues of messages, locales, descriptions of terminals.
#[test]
fn a_value_of_a_variable_names_no_file() {
    let values = ["/tmp/x", "../x", "..", "C/../x", "a b", "C\nLD_PRELOAD=x", "C\0", "\u{1b}[m", "é", "~x", "$X", "%s"];
    for value in values {
        for name in ["LC_ALL", "LANG", "TERM", "GIT_PROTOCOL"] {
            let mut bench = Bench::new();
            bench.client(Message::Env { name: name.into(), value: value.into() });
            assert!(bench.asked.is_empty(), "{name}={value:?}");
            assert_eq!(bench.told(), [&Message::Refused]);
        }
        let mut bench = Bench::new();
        let size = Size { columns: 80, rows: 24, width: 0, height: 0 };
        bench.client(Message::Pty { term: value.into(), size, modes: Vec::new() });
        assert!(bench.asked.is_empty(), "pty {value:?}");
        assert_eq!(bench.told(), [&Message::Refused]);
    }
    for value in ["", "C.UTF-8", "de_DE.UTF-8@euro", "version=2:x", "xterm-256color", "xterm+256"] {
        let mut bench = Bench::new();
        bench.client(Message::Env { name: "LC_ALL".into(), value: value.into() });
        assert_eq!(bench.asked.len(), 1, "{value:?}");
    }
}

#[test]
fn policy_and_the_host_are_given_a_place_in_the_same_one_form() {
    let loopback = ["127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0X7F.0.0.1", "0177.0.0.01", "2130706433", "0x7f000001"];
    let mapped =
        ["::ffff:127.0.0.1", "[::ffff:7f00:1]", "0:0:0:0:0:FFFF:127.0.0.1", "0", "0.0.0.0", "00.0x0", "::ffff:0:0"];
    let rest = [
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("0:0::0001", "::1"),
        ("::", "::1"),
        ("LocalHost", "localhost"),
        ("localhost.", "localhost"),
        ("DB.Example.NET.", "db.example.net"),
        ("127.0.0.1.", "127.0.0.1"),
        ("10.1", "10.0.0.1"),
        ("FE80::1%Eth0", "fe80::1%Eth0"),
        ("1.2.3.4a", "1.2.3.4a"),
        ("0x7f.db", "0x7f.db"),
    ];
    let loops = loopback.iter().chain(&mapped).map(|written| (*written, "127.0.0.1"));
    for (written, form) in loops.chain(rest) {
        let mut bench = Bench::new();
        bench.client(Message::Open(tcp(written, 80)));
        let (_, operation) = bench.asked.last().unwrap_or_else(|| panic!("{written} is refused"));
        assert_eq!(operation.text.content(), &format!("{form}:80"), "{written}");
        let facts = format!("{:?}", operation.shape.meaning().facts);
        assert!(facts.contains(&format!("(\"host\", Text(\"{form}\"))")), "{written}: {facts}");
        bench.allow();
        assert_eq!(messages(&bench.to_server), [&Message::Open(tcp(form, 80))], "{written}");
    }
    let mut bench = Bench::new();
    bench.client(Message::Open(socket("/run/ok/x.sock")));
    bench.allow();
    assert_eq!(messages(&bench.to_server), [&Message::Open(socket("/run/ok/x.sock"))]);
}

#[test]
fn a_name_of_a_variable_is_a_name() {
    for name in ["LC_X=1\nLD_PRELOAD", "LC_ALL ", "LC_\u{1b}[m", "PATH", "lang"] {
        let mut bench = Bench::new();
        bench.client(Message::Env { name: name.into(), value: "C".into() });
        assert!(bench.asked.is_empty(), "{name:?}");
        assert_eq!(bench.told(), [&Message::Refused]);
    }
    let mut bench = Bench::new();
    bench.client(Message::Env { name: "LC_ALL".into(), value: "C".into() });
    assert_eq!(bench.asked.len(), 1);
}
