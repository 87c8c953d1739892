//! The corpus of evasions, `fixtures/corpora/shell_evasion.yaml`, played through the machine of a channel: what it
//! denies never puts a frame on its way to the host, and what it allows goes there in its canonical form.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use bytes::Bytes;
use serde::Deserialize;
use sluice_model::{Code, Obligations, Operation, Refusal, Ruling, UnixMicros};
use sluice_ssh::{ChannelMachine, Frame, Message, Place, Setup, Target, X11};
use sluice_wire::{Frame as _, Input, Machine as _, Outbox, Step};

/// What the controls of the corpus are sent as.
const CANONICAL: &[(&str, &str)] = &[
    ("SHZ-01", "'ls'"),
    ("SHZ-03", "'cat' '/var/log/app-1.2_3.log'"),
    ("SHZ-05", "'cat' '/var/log/syslog'"),
    ("SHZ-06", "'systemctl' 'status' 'nginx.service'"),
];

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    channel: String,
    command: String,
    policy: Vec<String>,
    expect: String,
}

impl Case {
    fn load() -> Vec<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/corpora/shell_evasion.yaml");
        let corpus: Corpus = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        corpus.cases
    }

    /// A channel at a host that knows the commands of the policy and no others.
    fn machine(&self) -> ChannelMachine {
        let target = serde_json::json!({
            "host": "web.example.net",
            "host_keys": [],
            "catalogue": [],
            "commands": self.policy,
            "governed": ["/var/log"],
            "detectors": [],
        });
        let target: Target = serde_json::from_value(target).unwrap();
        ChannelMachine::new(Setup::new(target, "root", || UnixMicros(1)).unwrap())
    }

    /// What the client says, in every way in which the case can be read.
    fn conversations(&self) -> Vec<Vec<Frame>> {
        let told = self.command.replace("{SCRATCH}", "/tmp/scratch");
        let one = |message: Message| vec![Frame::from(message)];
        match self.channel.as_str() {
            "exec" | "scp" => commands(&told).into_iter().map(|command| one(Message::Exec(command))).collect(),
            "subsystem" => vec![one(Message::Subsystem("sftp".into()))],
            "sftp" => vec![makes_a_link()],
            "forward" => forwards(&told).into_iter().map(one).collect(),
            other => panic!("{}: a channel `{other}` is new here", self.id),
        }
    }
}

/// A story such as `exec "…"` tells a command, `exec 6c 73 ff` its bytes.
fn commands(told: &str) -> Vec<Bytes> {
    let mut commands = vec![Bytes::copy_from_slice(told.as_bytes())];
    if let Some(story) = told.strip_prefix("exec ") {
        let hex: Option<Vec<u8>> = story.split(' ').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let quoted = story.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"'));
        commands.extend(hex.map(Bytes::from));
        commands.extend(quoted.map(|(command, _)| Bytes::copy_from_slice(command.as_bytes())));
    }
    commands
}

fn forwards(told: &str) -> Vec<Message> {
    if let Some(places) = told.strip_prefix("direct-tcpip to ") {
        let places = places.split(" / ").map(|place| place.split_once(':').unwrap());
        return places
            .map(|(host, port)| {
                let port = port.parse().unwrap();
                Message::Open(Place::Tcp { host: host.into(), port, from: "127.0.0.1".into(), from_port: 1 })
            })
            .collect();
    }
    if let Some(path) = told.strip_prefix("direct-streamlocal@openssh.com ") {
        return vec![Message::Open(Place::Socket { path: path.into() })];
    }
    match told {
        "auth-agent-req@openssh.com" => vec![Message::Agent],
        "x11-req" => vec![Message::X11(X11 { once: false, protocol: "p".into(), cookie: "c0".into(), screen: 0 })],
        // The transport refuses to open what has no message.
        "tun@openssh.com" => {
            let open = [&[90, 0, 0, 0, 15], told.as_bytes()].concat();
            assert!(Frame::recorded(&Bytes::from(open)).is_none());
            Vec::new()
        }
        other => panic!("`{other}` is new here"),
    }
}

/// SFTP's greeting, and a link to `/etc/shadow` (draft-ietf-secsh-filexfer-02 §6.10).
fn makes_a_link() -> Vec<Frame> {
    let init = [0, 0, 0, 5, 1, 0, 0, 0, 3];
    let mut body = vec![20, 0, 0, 0, 1];
    for path in ["/etc/shadow", "/var/log/x"] {
        body.extend(u32::try_from(path.len()).unwrap().to_be_bytes());
        body.extend(path.bytes());
    }
    let link = [&u32::try_from(body.len()).unwrap().to_be_bytes(), &body[..]].concat();
    vec![Message::Subsystem("sftp".into()).into(), Frame::data(&init), Frame::data(&link)]
}

/// The policy of the corpus: known programs, and nothing else.
fn rule(operation: &Operation) -> Ruling {
    let meaning = &operation.shape.meaning();
    let runs = ["ssh.inspect", "ssh.exec"].contains(&operation.shape.action.name);
    let programs =
        !meaning.accesses.is_empty() && meaning.accesses.iter().all(|access| access.resource.kind == "Program");
    if runs && programs {
        Ruling::Allow(Obligations::default().into())
    } else {
        Ruling::Deny(Refusal::builtin(Code::Policy, "no-rule", "no rule allows it").into())
    }
}

/// What goes to the host, and what to the client.
fn play(mut machine: ChannelMachine, said: Vec<Frame>) -> (Vec<Frame>, Vec<Frame>) {
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    for frame in said {
        let mut out = Outbox::default();
        assert!(machine.wants().client);
        machine.handle(Input::FromClient(frame), &mut out).unwrap();
        while let Some(step) = out.pop() {
            match step {
                Step::Ask(op, operation) => machine.handle(Input::Ruled(op, rule(&operation)), &mut out).unwrap(),
                Step::ToServer(_, frame) => to_server.push(frame),
                Step::ToClient(_, frame) => to_client.push(frame),
                Step::Done(_) | Step::Note(_) | Step::Close => {}
                Step::Withdraw(_) | Step::Leave(_) | Step::Settle(..) | Step::Errand(_) => panic!("{step:?}"),
            }
        }
    }
    (to_server, to_client)
}

fn messages(frames: &[Frame]) -> Vec<&Message> {
    frames
        .iter()
        .filter_map(|frame| if let Frame::Message(message, _) = frame { Some(message) } else { None })
        .collect()
}

/// Whether the client has been told in the way of its channel.
fn is_told(channel: &str, to_client: &[Frame]) -> bool {
    let messages = messages(to_client);
    let words =
        to_client.iter().any(|frame| matches!(frame, Frame::Stderr(words) if words.bytes().starts_with(b"sluice: ")));
    if channel == "forward" {
        return matches!(*messages, [Message::Refused | Message::OpenFailed { code: 1, .. }]);
    }
    words && *messages == [&Message::Accepted, &Message::ExitStatus(126), &Message::Eof, &Message::Close]
}

#[test]
fn corpus_holds_through_the_machine() {
    let (mut denied, mut allowed, mut wrong) = (0, 0, Vec::new());
    for case in Case::load() {
        for said in case.conversations() {
            let (to_server, to_client) = play(case.machine(), said);
            if case.expect == "deny" {
                denied += 1;
                if !to_server.is_empty() || !is_told(&case.channel, &to_client) {
                    wrong.push(format!("{}: {to_server:?} {to_client:?}", case.id));
                }
                continue;
            }
            allowed += 1;
            let canonical = CANONICAL.iter().find(|(id, _)| *id == case.id).map(|(_, text)| Bytes::from(*text));
            let expected = Frame::from(Message::Exec(canonical.unwrap_or_default()));
            if !matches!(&*to_server, [sent] if sent.wire() == expected.wire())
                || *messages(&to_client) != [&Message::Accepted]
            {
                wrong.push(format!("{}: {to_server:?} {to_client:?}", case.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(denied >= 76 && allowed >= 4, "{denied} denied and {allowed} allowed: the corpus has more");
}
