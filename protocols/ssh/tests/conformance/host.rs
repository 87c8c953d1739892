//! A host small enough to be played. What a program prints is in its command.

use bytes::BytesMut;
use sluice_ssh::{Frame, Message};
use sluice_wire::conformance::{CANARY, Server};
use sluice_wire::{Codec as _, Side};

use crate::codec::{Codec, encoded};
use crate::text::frame;

/// One channel of a host.
#[derive(Default)]
pub(crate) struct Host {
    codec: Codec,
    unread: BytesMut,
    doing: Doing,
    packets: BytesMut,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Doing {
    #[default]
    Nothing,
    /// It gives back what it is given.
    Echo,
    Sftp,
    Forward,
    /// It reads, and says no more than it has said.
    Listen,
    /// It takes files by the old `scp`.
    Sink,
    /// It has so many records to send by the old `scp`.
    Source(usize),
    Over,
}

/// What programs do: a part of the command, and the lines that it says.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("uname", &["data Linux\\n", "exit 0", "eof", "close"]),
    ("false", &["exit 1", "eof", "close"]),
    ("uptime", &["data up\\n", "exit-signal TERM stopped", "eof", "close"]),
    ("whoami", &["stderr who?\\n", "data me\\n", "exit 0", "eof", "close"]),
    ("/print", &["data a canary4711 b\\n", "exit 0", "eof", "close"]),
    ("/complain", &["stderr a canary4711 b\\n", "exit 0", "eof", "close"]),
    ("/colours", &["data a can\\x1b[1mary\\x1b[0m4711 b\\n", "exit 0", "eof", "close"]),
    ("/crash", &["exit-signal ABRT canary4711", "eof", "close"]),
    ("/late", &["data a canary", "exit 0", "data 4711 b", "eof", "close"]),
    ("/close", &["data a canary4711", "close"]),
];

/// A file as the old `scp` sends it.
const FILE: &[&str] = &["data C0644 3 a\\n", "data abc\\0"];

/// Repositories begin with what they have: one reference.
const REFERENCES: &str = "data 003f1111111111111111111111111111111111111111 refs/heads/main\\n0000";

impl Server for Host {
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Ok(Some(heard)) = self.codec.decode(Side::Client, &mut self.unread) {
            for answer in self.answer(heard) {
                said.extend(encoded(&answer));
            }
        }
        said
    }
}

fn says(lines: &[&str]) -> Vec<Frame> {
    lines.iter().map(|line| frame(line).unwrap()).collect()
}

impl Host {
    fn answer(&mut self, heard: Frame) -> Vec<Frame> {
        match heard {
            Frame::Data(payload) => self.bytes(&payload.bytes()),
            Frame::Message(message, _) => self.message(message),
            Frame::Stderr(_) | Frame::Quiet => panic!("no client says this"),
        }
    }

    fn message(&mut self, message: Message) -> Vec<Frame> {
        match message {
            Message::Pty { .. } | Message::Env { .. } | Message::Agent | Message::X11(_) => says(&["accepted"]),
            Message::Shell => {
                self.doing = Doing::Echo;
                says(&["accepted", "data $ "])
            }
            Message::Exec(command) => self.run(&String::from_utf8_lossy(&command)),
            Message::Subsystem(name) => {
                self.doing = if &*name == "sftp" { Doing::Sftp } else { Doing::Echo };
                says(&["accepted"])
            }
            Message::Open(_) => {
                self.doing = Doing::Forward;
                says(&["opened"])
            }
            Message::Eof => match self.over() {
                Doing::Forward => says(&["eof", "close"]),
                Doing::Echo | Doing::Sftp | Doing::Listen | Doing::Sink | Doing::Source(_) => {
                    says(&["exit 0", "eof", "close"])
                }
                Doing::Nothing | Doing::Over => Vec::new(),
            },
            Message::Close => match self.over() {
                Doing::Over => Vec::new(),
                Doing::Nothing
                | Doing::Echo
                | Doing::Sftp
                | Doing::Forward
                | Doing::Listen
                | Doing::Sink
                | Doing::Source(_) => says(&["close"]),
            },
            Message::Resized(_) | Message::Signal(_) => Vec::new(),
            Message::Opened
            | Message::OpenFailed { .. }
            | Message::Listen(_)
            | Message::Unlisten(_)
            | Message::Listening(_)
            | Message::NotListening(_)
            | Message::Aside(_)
            | Message::Arrive(_)
            | Message::Accepted
            | Message::Refused
            | Message::ExitStatus(_)
            | Message::ExitSignal { .. } => panic!("{message:?} is never sent to a host"),
        }
    }

    fn over(&mut self) -> Doing {
        std::mem::replace(&mut self.doing, Doing::Over)
    }

    fn run(&mut self, command: &str) -> Vec<Frame> {
        let mut said = says(&["accepted"]);
        if let Some((_, lines)) = PROGRAMS.iter().find(|(name, _)| command.contains(name)) {
            self.doing = Doing::Over;
            said.extend(says(lines));
        } else if command.contains("upload-pack") || command.contains("receive-pack") {
            self.doing = Doing::Listen;
            said.extend(says(&[REFERENCES]));
        } else if command.contains("scp") {
            self.doing = Doing::Source(FILE.len());
            if command.contains("-t") {
                self.doing = Doing::Sink;
                said.extend(says(&["data \\0"]));
            }
        } else {
            self.doing = Doing::Echo;
        }
        said
    }

    fn bytes(&mut self, bytes: &[u8]) -> Vec<Frame> {
        match self.doing {
            Doing::Echo | Doing::Forward => vec![Frame::data(bytes)],
            Doing::Sftp => {
                self.packets.extend_from_slice(bytes);
                std::iter::from_fn(|| self.packet()).collect()
            }
            Doing::Sink => says(&["data \\0"]),
            Doing::Source(left) => {
                self.doing = left.checked_sub(1).map_or(Doing::Over, Doing::Source);
                let record = FILE.get(FILE.len() - left);
                record.map_or_else(|| says(&["exit 0", "eof", "close"]), |record| says(&[record]))
            }
            Doing::Listen | Doing::Nothing | Doing::Over => Vec::new(),
        }
    }

    /// Answers one packet of SFTP. `/link` leads to a file whose name holds the canary; every file holds it.
    fn packet(&mut self) -> Option<Frame> {
        let length = usize::try_from(u32::from_be_bytes(*self.packets.first_chunk()?)).unwrap();
        if self.packets.len() < length + 4 {
            return None;
        }
        let packet = self.packets.split_to(length + 4);
        let kind = packet[4];
        let id = packet.get(5..9).map_or(0, |id| u32::from_be_bytes(id.try_into().unwrap()));
        let place = packet.get(13..).map(|path| String::from_utf8_lossy(path).into_owned()).unwrap_or_default();
        let (link, file) = (0o120_777, 0o100_644);
        let mode = if place.contains("link") { link } else { file };
        let place = if mode == link { format!("/srv/{CANARY}") } else { place };
        let answer = match kind {
            1 => "sftp version #3".to_owned(),
            3 => format!("sftp handle #{id} h"),
            5 => format!("sftp data #{id} x\\x20{CANARY}\\x20x"),
            16 => format!("sftp name #{id} #1 {place} l #0"),
            7 | 17 => format!("sftp attrs #{id} #4 #{mode}"),
            _ => format!("sftp status #{id} #0 fine en"),
        };
        Some(frame(&answer).unwrap())
    }
}
