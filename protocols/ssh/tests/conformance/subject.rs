//! SSH, as the laws see it: the channels of one connection, one after another.

use std::sync::LazyLock;

use sluice_model::{Mask, Obligations, Refusal, Resource, Tag, Transform, UnixMicros};
use sluice_ssh::{ChannelMachine, Frame, Message, Setup, Target};
use sluice_wire::Side;
use sluice_wire::conformance::{CANARY, Endless, Flood, Judge, Masked, Phase, Subject, Talk};

use crate::codec::{Codec, MESSAGE_BYTES, encoded, frames};
use crate::host::Host;
use crate::text;

/// The most bytes of text that are held back until it is known what they are (docs/terminals.md).
const HELD_BYTES: usize = 4 * 1024 + PIECE_BYTES;
const PIECE_BYTES: usize = 512;

const TARGET: &str = r#"{
    "host": "web.example.net",
    "links": "followed",
    "host_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1IKCrlYl7MbTYz0Tm0Jb0mb0H0i1r4v3ZrZ0oW7g5E"],
    "governed": ["/srv/closed"],
    "detectors": [
        { "name": "canary", "tag": "test.canary", "pattern": "canary[0-9]{4}" },
        { "name": "email" },
        { "name": "private-key" }
    ]
}"#;

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let target: Target = serde_json::from_str(TARGET).unwrap();
    Setup::new(target, "root", || UnixMicros(1)).unwrap()
});

/// A channel through the broker.
pub(crate) struct Ssh;

/// What a client sends in one turn: lines of a transcript.
fn said(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| encoded(&text::frame(line).unwrap())).collect()
}

/// A conversation, one line in each turn.
fn talk(name: &'static str, lines: &[&str]) -> Talk {
    Talk::of(name, lines.iter().map(|line| said(&[line])))
}

fn sftp(name: &'static str, requests: &[&str]) -> Talk {
    let greeting = ["subsystem sftp", "sftp init #3"];
    talk(name, &[&greeting, requests, &["eof"]].concat())
}

fn masks() -> Obligations {
    let of = |tag: &str| Mask {
        resource: Resource::value(&Tag::new(tag).unwrap()),
        transform: Transform::Redact,
        filterable: false,
    };
    let all = SETUP_TAGS.map(of);
    Obligations { masks: all.into(), ..Obligations::default() }
}

const SETUP_TAGS: [&str; 3] = ["test.canary", "pii.contact.email", "secret.key"];

/// Bytes of an escape sequence (ECMA-48 §5.4) are not seen.
fn seen(bytes: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte == 0x1b {
            rest.by_ref().find(|byte| byte.is_ascii_alphabetic());
        } else {
            seen.push(*byte);
        }
    }
    seen
}

impl Subject for Ssh {
    type Machine = ChannelMachine;
    type Codec = Codec;
    type Server = Host;

    fn machine() -> ChannelMachine {
        ChannelMachine::new(SETUP.clone())
    }

    fn codec() -> Codec {
        Codec::default()
    }

    fn server() -> Host {
        Host::default()
    }

    fn talks() -> Vec<Talk> {
        vec![
            talk("a command that prints", &["exec 'uname'"]),
            talk("a command that fails", &["exec 'false'"]),
            talk("a command that a signal ends", &["exec 'uptime'"]),
            talk("two streams", &["exec 'whoami'"]),
            talk("a script that reads", &["exec while read x; do echo $x; done", "data one\\n", "data two\\n", "eof"]),
            Talk::of("everything at once", [said(&["exec sort | uniq > /tmp/x", "data abc", "eof"])]),
            talk(
                "a shell on a terminal",
                &["env LANG=C", "pty xterm 80x24", "shell", "data ls\\r", "resize 100x30", "data \\x04", "eof"],
            ),
            talk("a signal", &["exec tee /tmp/x; $y", "signal INT", "eof"]),
            talk("a subsystem", &["subsystem netconf", "data <hello/>", "eof"]),
            talk("a forward", &["open db:5432", "data \\0\\x01\\x02\\x10\\x11\\x0e", "eof"]),
            talk("a forward to a socket", &["open /run/db.sock", "data hello", "eof"]),
            talk("a file that is sent", &["exec scp -t '/srv'", "data C0644 3 a\\n", "data abc\\0", "eof"]),
            talk("a file that is fetched", &["exec scp -f '/srv/a'", "data \\0", "data \\0", "data \\0"]),
            talk("a client that leaves", &["exec cat > /tmp/x", "data abc", "close"]),
            sftp("a greeting of sftp", &[]),
        ]
    }

    /// Not requests of SFTP: what a path leads to is looked up at the host before the request is asked about, which the
    /// permission to use SFTP at all has in it.
    fn carrying() -> Vec<Talk> {
        let exec = |command: &str| format!("exec {command} {CANARY}");
        vec![
            talk("a command", &[&exec("cat"), "eof"]),
            talk("a command that changes something", &[&exec("rm"), "eof"]),
            talk("a script", &[&exec("$x"), "data abc", "eof"]),
            talk("a command on a terminal", &["pty xterm 80x24", &exec("less"), "data q", "eof"]),
            talk("a variable", &[&format!("env LANG={CANARY}"), "exec uname"]),
            talk("a terminal", &[&format!("pty {CANARY} 80x24"), "exec uname"]),
            talk("a subsystem", &[&format!("subsystem {CANARY}"), "eof"]),
            talk("a forward", &[&format!("open {CANARY}:80"), "eof"]),
            talk("a forward to a socket", &[&format!("open /run/{CANARY}"), "eof"]),
            talk("scp", &[&format!("exec scp -t /srv/{CANARY}"), "eof"]),
            talk("git", &[&format!("exec git-upload-pack '/srv/{CANARY}'"), "eof"]),
        ]
    }

    fn follow_up() -> Talk {
        talk("another channel", &["close", "exec uname", "close", "exec cat", "data abc", "eof"])
    }

    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String> {
        let frames = frames(read);
        let texts: Vec<String> = frames.iter().flat_map(|frame| text::show(&encoded(frame))).collect();
        let at = |line: &str| texts.iter().position(|text| text == line);
        let says =
            |start: &str| texts.iter().position(|text| text.starts_with(start) && text.contains(&refusal.message));
        // A refused variable or terminal has no words (RFC 4254 §5.4), and what was asked for goes on without it.
        if at("refused").is_some() && at("refused") < at("accepted") {
            return if at("exit 0").is_some() { Ok(()) } else { Err(format!("{texts:?} does not go on")) };
        }
        let places = [says("stderr sluice: "), at("exit 126"), at("eof"), at("close")];
        let ends = texts.first().is_some_and(|first| first == "accepted")
            && places.is_sorted()
            && places.iter().all(Option::is_some)
            && texts.iter().rev().find(|text| *text != "refused").is_some_and(|last| last == "close");
        let unopened = says("open-failed 1 sluice: ").is_some_and(|at| at == 0);
        if ends || unopened { Ok(()) } else { Err(format!("{texts:?} does not say it")) }
    }

    fn masked() -> Vec<Masked> {
        let masked = |talk| Masked { talk, obligations: masks() };
        vec![
            masked(talk("its output", &["exec cat /print"])),
            masked(talk("its errors", &["exec cat /complain"])),
            masked(talk("its output in colours", &["exec cat /colours"])),
            masked(talk("the words of its end", &["exec cat /crash"])),
            masked(talk("what comes after its exit status", &["exec cat /late"])),
            masked(talk("an end without an end", &["exec cat /close"])),
            masked(talk("a script", &["exec $x /print"])),
            masked(talk("a terminal", &["pty xterm 80x24", "exec $x /colours"])),
            masked(sftp("a file", &["sftp open #1 /file #1 #0", "sftp read #2 h ##0 #14"])),
        ]
    }

    fn understood(read: &[u8]) -> Vec<u8> {
        let (mut stdout, mut stderr, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for frame in frames(read) {
            match frame {
                Frame::Data(payload) => stdout.extend(payload.bytes()),
                Frame::Stderr(payload) => stderr.extend(payload.bytes()),
                Frame::Message(Message::ExitSignal { message, .. }, _) => words.extend(message.bytes()),
                Frame::Message(..) | Frame::Quiet => {}
            }
        }
        [seen(&stdout), b" ".to_vec(), seen(&stderr), b" ".to_vec(), words].concat()
    }

    fn codec_limit_bytes() -> usize {
        MESSAGE_BYTES
    }

    fn endless() -> Vec<Endless> {
        let of = |name, from, begins, goes_on| Endless { name, from, begins, goes_on };
        vec![
            of("bytes without an end", Side::Client, b"", b'x'),
            of("errors without an end", Side::Server, b"", 0x0e),
            of("a message as long as can be", Side::Client, b"\x11\xff\xff\x62", b'x'),
        ]
    }

    fn floods() -> Vec<Flood> {
        let masks = || Judge::allow_with(masks());
        let server = |name, begins: &str| Flood {
            name,
            talk: {
                let mut talk = talk(name, &["exec $x"]);
                talk.moves.push(sluice_wire::conformance::Move::Server(said(&[begins])));
                talk
            },
            judge: masks,
            from: Side::Server,
            goes_on: vec![b'x'; PIECE_BYTES],
            limit_bytes: HELD_BYTES,
        };
        vec![
            server("an output", "data "),
            server("what could be an address", "data x@"),
            server("a key without an end", "data -----BEGIN PRIVATE KEY-----\\n"),
            Flood { judge: Judge::allow_all, ..server("an output that nobody looks into", "data ") },
            Flood {
                name: "what is sent while people are asked about a file",
                talk: sftp_open(),
                judge: || Judge::hold_those("/file"),
                from: Side::Client,
                goes_on: said(&["sftp read #2 h ##0 #14"]),
                limit_bytes: HELD_BYTES,
            },
        ]
    }

    fn before_unanswered() -> Talk {
        sftp_open()
    }

    fn unanswered() -> Vec<u8> {
        said(&["sftp read #2 h ##0 #14"])
    }

    fn unanswered_limit() -> usize {
        1024
    }

    fn sent(wire: &[u8]) -> Vec<u8> {
        Frame::recorded(&bytes::Bytes::copy_from_slice(wire)).map(|frame| encoded(&frame)).unwrap_or_default()
    }

    fn phase(client: &Codec) -> Phase {
        client.phase()
    }

    fn show(_: Side, bytes: &[u8]) -> Vec<String> {
        text::show(bytes)
    }

    fn spell(from: Side, line: &str) -> Result<Vec<u8>, String> {
        text::spell(from, line)
    }

    fn obligations(name: &str) -> Option<Obligations> {
        (name == "masks").then(masks)
    }
}

/// A session in which a file is opened, and goes on.
fn sftp_open() -> Talk {
    talk("an open file", &["subsystem sftp", "sftp init #3", "sftp open #1 /file #1 #0"])
}
