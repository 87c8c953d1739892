//! Messages as lines of a transcript, and back.
//!
//! | line | message |
//! |---|---|
//! | `data TEXT`, `stderr TEXT` | bytes of a stream |
//! | `sftp NAME FIELDS` | a packet of SFTP as bytes of the main stream; fields are `#1` (4 bytes), `##1` (8) or words |
//! | `pty TERM 80x24`, `resize 80x24`, `env NAME=VALUE`, `signal NAME` | requests |
//! | `agent`, `x11 once COOKIE`, `x11 often COOKIE` | requests for what the client has |
//! | `exec TEXT`, `shell`, `subsystem NAME` | requests that start something |
//! | `open HOST:PORT`, `open PATH` | a channel to another place |
//! | `opened`, `open-failed CODE WORDS`, `accepted`, `refused` | answers |
//! | `eof`, `close`, `exit STATUS`, `exit-signal NAME WORDS` | ends |
//! | `quiet` | the server says nothing for a moment |

use bytes::Bytes;
use sluice_ssh::{Frame, Message, Place, Size, X11};
use sluice_wire::Side;
use sluice_wire::conformance::{escape, unescape};

use crate::codec::{encoded, frames};

/// The packets of SFTP by their numbers.
const PACKETS: &[(u8, &str)] = &[
    (1, "init"),
    (2, "version"),
    (3, "open"),
    (4, "close"),
    (5, "read"),
    (6, "write"),
    (7, "lstat"),
    (13, "remove"),
    (16, "realpath"),
    (17, "stat"),
    (20, "symlink"),
    (101, "status"),
    (102, "handle"),
    (103, "data"),
    (104, "name"),
    (105, "attrs"),
];

pub(crate) fn spell(_: Side, line: &str) -> Result<Vec<u8>, String> {
    frame(line).map(|frame| encoded(&frame))
}

/// The frame of a line.
pub(crate) fn frame(line: &str) -> Result<Frame, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let two = || rest.split_once(' ').unwrap_or((rest, ""));
    Ok(match word {
        "data" => return Ok(Frame::data(&unescape(rest)?)),
        "stderr" => return Ok(Frame::stderr(&unescape(rest)?)),
        "sftp" => return Ok(Frame::data(&packet(rest)?)),
        "quiet" => return Ok(Frame::Quiet),
        "pty" => Message::Pty { term: two().0.into(), size: size(two().1)?, modes: Vec::new() },
        "resize" => Message::Resized(size(rest)?),
        "env" => {
            let (name, value) = rest.split_once('=').ok_or("a `=` is missing")?;
            Message::Env { name: name.into(), value: value.into() }
        }
        "signal" => Message::Signal(rest.into()),
        "exec" => Message::Exec(Bytes::from(unescape(rest)?)),
        "shell" => Message::Shell,
        "subsystem" => Message::Subsystem(rest.into()),
        "agent" => Message::Agent,
        "x11" => Message::X11(X11 {
            once: two().0 == "once",
            protocol: "MIT-MAGIC-COOKIE-1".into(),
            cookie: two().1.into(),
            screen: 0,
        }),
        "open" => Message::Open(place(rest)?),
        "opened" => Message::Opened,
        "open-failed" => Message::OpenFailed { code: number(two().0)?, reason: two().1.into() },
        "accepted" => Message::Accepted,
        "refused" => Message::Refused,
        "eof" => Message::Eof,
        "close" => Message::Close,
        "exit" => Message::ExitStatus(number(rest)?),
        "exit-signal" => Message::ExitSignal { name: two().0.into(), core_dumped: false, message: two().1.into() },
        _ => return Err(format!("`{word}` is no message")),
    }
    .into())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn size(text: &str) -> Result<Size, String> {
    let (columns, rows) = text.split_once('x').ok_or("a size is `80x24`")?;
    Ok(Size { columns: number(columns)?, rows: number(rows)?, width: 0, height: 0 })
}

fn place(text: &str) -> Result<Place, String> {
    if text.starts_with('/') {
        return Ok(Place::Socket { path: text.into() });
    }
    let (host, port) = text.rsplit_once(':').ok_or("a place is `host:1`")?;
    Ok(Place::Tcp { host: host.into(), port: number(port)?, from: "127.0.0.1".into(), from_port: 40_000 })
}

/// A packet of SFTP.
pub(crate) fn packet(line: &str) -> Result<Vec<u8>, String> {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let kind = PACKETS.iter().find(|(_, known)| *known == name).ok_or_else(|| format!("`{name}` is no packet"))?.0;
    let mut body = vec![kind];
    for word in words {
        let wrong = || format!("`{word}` is no number");
        if let Some(long) = word.strip_prefix("##") {
            body.extend(long.parse::<u64>().map_err(|_| wrong())?.to_be_bytes());
        } else if let Some(number) = word.strip_prefix('#') {
            body.extend(number.parse::<u32>().map_err(|_| wrong())?.to_be_bytes());
        } else {
            let content = unescape(word)?;
            body.extend(u32::try_from(content.len()).map_err(|_| wrong())?.to_be_bytes());
            body.extend(content);
        }
    }
    let length = u32::try_from(body.len()).map_err(|error| error.to_string())?;
    Ok([&length.to_be_bytes(), &body[..]].concat())
}

pub(crate) fn show(bytes: &[u8]) -> Vec<String> {
    frames(bytes).iter().flat_map(lines).collect()
}

fn lines(frame: &Frame) -> Vec<String> {
    let message = match frame {
        Frame::Data(payload) => {
            let bytes = payload.bytes();
            return packets(&bytes).unwrap_or_else(|| vec![format!("data {}", escape(&bytes))]);
        }
        Frame::Stderr(payload) => return vec![format!("stderr {}", escape(&payload.bytes()))],
        Frame::Quiet => return vec!["quiet".to_owned()],
        Frame::Message(message, _) => message,
    };
    let size = |size: &Size| format!("{}x{}", size.columns, size.rows);
    vec![match message {
        Message::Open(Place::Tcp { host, port, .. }) => format!("open {host}:{port}"),
        Message::Open(Place::Socket { path }) => format!("open {path}"),
        Message::Opened => "opened".to_owned(),
        Message::OpenFailed { code, reason } => format!("open-failed {code} {reason}"),
        Message::Pty { term, size: of, .. } => format!("pty {term} {}", size(of)),
        Message::Env { name, value } => format!("env {name}={value}"),
        Message::Shell => "shell".to_owned(),
        Message::Exec(command) => format!("exec {}", escape(command)),
        Message::Subsystem(name) => format!("subsystem {name}"),
        Message::Resized(of) => format!("resize {}", size(of)),
        Message::Signal(name) => format!("signal {name}"),
        Message::Agent => "agent".to_owned(),
        Message::X11(X11 { once, cookie, .. }) => format!("x11 {} {cookie}", if *once { "once" } else { "often" }),
        Message::Listen(_)
        | Message::Unlisten(_)
        | Message::Listening(_)
        | Message::NotListening(_)
        | Message::Aside(_)
        | Message::Arrive(_) => "of another machine".to_owned(),
        Message::Accepted => "accepted".to_owned(),
        Message::Refused => "refused".to_owned(),
        Message::Eof => "eof".to_owned(),
        Message::Close => "close".to_owned(),
        Message::ExitStatus(status) => format!("exit {status}"),
        Message::ExitSignal { name, message, .. } => format!("exit-signal {name} {message}").trim_end().to_owned(),
    }]
}

/// Bytes that are packets of SFTP and nothing else.
fn packets(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (packet, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let (kind, fields) = packet.split_first()?;
        let name = PACKETS.iter().find(|(number, _)| number == kind)?.1;
        lines.push(format!("sftp {name} {}", escape(fields)));
        bytes = rest;
    }
    (bytes.is_empty() && !lines.is_empty()).then_some(lines)
}
