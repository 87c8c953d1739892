//! What passes in one channel: the messages of RFC 4254 without the numbers of channels.

mod encoding;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use sluice_wire as wire;

use crate::address;
use crate::origin::{Bind, Origin, X11};
pub(crate) use encoding::{Reader, Writer};

/// What a queued frame costs besides its bytes: many small ones are not free.
const OVERHEAD: usize = 128;

/// Message numbers (RFC 4253 §12, RFC 4254 §9).
mod number {
    pub(super) const DEBUG: u8 = 4;
    pub(super) const GLOBAL_REQUEST: u8 = 80;
    pub(super) const GLOBAL_SUCCESS: u8 = 81;
    pub(super) const GLOBAL_FAILURE: u8 = 82;
    pub(super) const OPEN: u8 = 90;
    pub(super) const OPENED: u8 = 91;
    pub(super) const OPEN_FAILED: u8 = 92;
    pub(super) const DATA: u8 = 94;
    pub(super) const EXTENDED_DATA: u8 = 95;
    pub(super) const EOF: u8 = 96;
    pub(super) const CLOSE: u8 = 97;
    pub(super) const REQUEST: u8 = 98;
    pub(super) const SUCCESS: u8 = 99;
    pub(super) const FAILURE: u8 = 100;
}

/// One message of a channel.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Bytes of the main stream.
    Data(Payload),
    /// Bytes of the error stream (RFC 4254 §5.2, `SSH_EXTENDED_DATA_STDERR`).
    Stderr(Payload),
    /// Everything else.
    Message(Message, Bytes),
    /// Not a message: the server has said nothing for a moment. It is never sent.
    Quiet,
}

/// Bytes of a stream, behind the number of their message.
#[derive(Clone, Debug)]
pub struct Payload {
    wire: Bytes,
    kept: wire::Kept,
}

impl Payload {
    /// The bytes of the stream.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.wire.slice(1..)
    }

    /// The bytes of the stream, which nobody else holds if nobody held the payload.
    pub(crate) fn into_bytes(mut self) -> Bytes {
        self.wire.advance(1);
        self.wire
    }

    fn new(number: u8, content: &[u8]) -> Self {
        let mut wire = BytesMut::with_capacity(content.len().saturating_add(1));
        wire.put_u8(number);
        wire.put_slice(content);
        Self::read(wire.freeze())
    }

    const fn read(wire: Bytes) -> Self {
        Self { wire, kept: wire::Kept::UpToLimit }
    }
}

/// The bytes of a frame as they are written: it takes them over without a copy.
#[derive(Debug)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    /// A draft of no bytes, with room for some.
    pub(crate) fn with_room(bytes: usize) -> Self {
        let mut wire = Vec::with_capacity(bytes.saturating_add(1));
        wire.push(number::DATA);
        Self(wire)
    }

    /// Where bytes are added.
    pub(crate) const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// How many bytes it holds.
    pub(crate) const fn len(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A terminal's size (RFC 4254 §6.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Size {
    pub columns: u32,
    pub rows: u32,
    pub width: u32,
    pub height: u32,
}

/// A message that carries no stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A channel of a kind is to be opened (RFC 4254 §5.1, §7.2).
    Open(Place),
    Opened,
    /// Why a channel is not opened: a code of RFC 4254 §5.1, and words.
    OpenFailed {
        code: u32,
        reason: Box<str>,
    },
    /// A terminal (RFC 4254 §6.2), with its modes.
    Pty {
        term: Box<str>,
        size: Size,
        modes: Vec<(u8, u32)>,
    },
    Env {
        name: Box<str>,
        value: Box<str>,
    },
    Shell,
    Exec(Bytes),
    Subsystem(Box<str>),
    Resized(Size),
    Signal(Box<str>),
    /// Programs of this channel may ask the client's agent (`auth-agent-req@openssh.com`).
    Agent,
    /// Programs of this channel may use the client's display (RFC 4254 §6.3.1).
    X11(X11),
    /// The host is to listen, for connections that come back to the client (RFC 4254 §7.1).
    Listen(Bind),
    /// The host is to listen no longer.
    Unlisten(Bind),
    /// The host does what it was last asked to, at this port where it had the choice.
    Listening(u32),
    /// It does not. The message has no words; these are shown elsewhere.
    NotListening(Box<str>),
    /// What the client is told in this channel because what it is about has no place for words.
    Aside(Box<str>),
    /// A channel that the host opens, because it was asked to.
    Arrive(Origin),
    /// The last request was granted.
    Accepted,
    /// The last request was refused.
    Refused,
    Eof,
    Close,
    ExitStatus(u32),
    ExitSignal {
        name: Box<str>,
        core_dumped: bool,
        message: Box<str>,
    },
}

/// Where a channel leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A TCP connection from the server on (`direct-tcpip`).
    Tcp { host: Box<str>, port: u32, from: Box<str>, from_port: u32 },
    /// A Unix socket at the server (`direct-streamlocal@openssh.com`).
    Socket { path: Box<str> },
}

impl Place {
    /// The same place in the form in which it is decided on and sent; `None` where it can be read as another one, too:
    /// policies see a socket as its path and the port 0.
    pub(crate) fn canonical(self) -> Option<Self> {
        match self {
            Self::Tcp { host, port: port @ 1..=65_535, from, from_port } if address::is_word(&from) => {
                Some(Self::Tcp { host: address::destination(&host)?, port, from, from_port })
            }
            Self::Socket { path } if address::is_socket(&path) => Some(Self::Socket { path }),
            Self::Tcp { .. } | Self::Socket { .. } => None,
        }
    }
}

impl Frame {
    /// Bytes of the main stream.
    #[must_use]
    pub fn data(content: &[u8]) -> Self {
        Self::Data(Payload::new(number::DATA, content))
    }

    /// Bytes of the error stream.
    #[must_use]
    pub fn stderr(content: &[u8]) -> Self {
        Self::Stderr(Payload::new(number::EXTENDED_DATA, content))
    }

    /// Bytes of the main stream that nobody reads as text.
    pub(crate) fn packet(content: &[u8]) -> Self {
        Self::data(content).kept_as(wire::Kept::Bulk)
    }

    /// Bytes of the main stream, which a draft holds.
    pub(crate) fn drafted(draft: Draft) -> Self {
        Self::Data(Payload::read(draft.0.into()))
    }

    /// Bytes of the error stream, which a draft holds.
    pub(crate) fn drafted_error(mut draft: Draft) -> Self {
        draft.0.first_mut().into_iter().for_each(|first| *first = number::EXTENDED_DATA);
        Self::Stderr(Payload::read(draft.0.into()))
    }

    /// The same frame, recorded whole if a terminal shows it.
    pub(crate) const fn shown_on(self, terminal: Option<Size>) -> Self {
        if terminal.is_some() { self.kept_as(wire::Kept::Whole) } else { self }
    }

    /// The same frame, with as much of its bytes recorded.
    pub(crate) const fn kept_as(mut self, kept: wire::Kept) -> Self {
        if let Self::Data(payload) | Self::Stderr(payload) = &mut self {
            payload.kept = kept;
        }
        self
    }

    /// How many bytes of memory it stands for.
    pub(crate) fn weight(&self) -> usize {
        wire::Frame::wire(self).len().saturating_add(OVERHEAD)
    }

    /// Reads what was recorded; `None` for what no frame looks like.
    #[must_use]
    pub fn recorded(bytes: &Bytes) -> Option<Self> {
        let (number, rest) = bytes.split_first()?;
        match *number {
            number::DATA => Some(Self::Data(Payload::read(bytes.clone()))),
            number::EXTENDED_DATA => Some(Self::Stderr(Payload::read(bytes.clone()))),
            other => Some(Self::Message(Message::read(other, &mut Reader(rest))?, bytes.clone())),
        }
    }
}

impl From<Message> for Frame {
    fn from(message: Message) -> Self {
        let wire = message.encode();
        Self::Message(message, wire)
    }
}

impl wire::Frame for Frame {
    fn wire(&self) -> &[u8] {
        match self {
            Self::Data(Payload { wire, .. }) | Self::Stderr(Payload { wire, .. }) | Self::Message(_, wire) => wire,
            Self::Quiet => &[],
        }
    }

    fn kept(&self) -> wire::Kept {
        match self {
            Self::Data(payload) | Self::Stderr(payload) => payload.kept,
            // However much was shown before: how it ended is part of what happened.
            Self::Message(Message::ExitStatus(_) | Message::ExitSignal { .. }, _) => wire::Kept::Whole,
            Self::Message(..) | Self::Quiet => wire::Kept::UpToLimit,
        }
    }
}

impl Message {
    /// Policy does not have it (RFC 4254 §5.1).
    pub(crate) const PROHIBITED: u32 = 1;
    /// It cannot be reached (RFC 4254 §5.1).
    pub(crate) const CONNECT_FAILED: u32 = 2;

    /// Whether something runs at the server from then on.
    pub(crate) const fn starts(&self) -> bool {
        matches!(self, Self::Shell | Self::Exec(_) | Self::Subsystem(_))
    }

    fn encode(&self) -> Bytes {
        let mut out = Writer(BytesMut::new());
        match self {
            Self::Open(Place::Tcp { host, port, from, from_port }) => {
                out.byte(number::OPEN).text("direct-tcpip").text(host).number(*port).text(from).number(*from_port)
            }
            Self::Open(Place::Socket { path }) => {
                out.byte(number::OPEN).text("direct-streamlocal@openssh.com").text(path)
            }
            Self::Opened => out.byte(number::OPENED),
            Self::OpenFailed { code, reason } => out.byte(number::OPEN_FAILED).number(*code).text(reason),
            Self::Pty { term, size, modes } => {
                let out = out.request("pty-req").text(term).size(*size);
                modes.iter().fold(out, |out, (mode, value)| out.byte(*mode).number(*value))
            }
            Self::Env { name, value } => out.request("env").text(name).text(value),
            Self::Shell => out.request("shell"),
            Self::Exec(command) => out.request("exec").string(command),
            Self::Subsystem(name) => out.request("subsystem").text(name),
            Self::Resized(size) => out.request("window-change").size(*size),
            Self::Signal(name) => out.request("signal").text(name),
            Self::Agent => out.request("auth-agent-req@openssh.com"),
            Self::X11(x11) => x11.write(out.request("x11-req")),
            Self::Listen(bind) => bind.write(out.byte(number::GLOBAL_REQUEST), ""),
            Self::Unlisten(bind) => bind.write(out.byte(number::GLOBAL_REQUEST), "cancel-"),
            Self::Listening(port) => out.byte(number::GLOBAL_SUCCESS).number(*port),
            Self::NotListening(reason) => out.byte(number::GLOBAL_FAILURE).text(reason),
            Self::Aside(words) => out.byte(number::DEBUG).text(words),
            Self::Arrive(origin) => origin.write(out.byte(number::OPEN)),
            Self::Accepted => out.byte(number::SUCCESS),
            Self::Refused => out.byte(number::FAILURE),
            Self::Eof => out.byte(number::EOF),
            Self::Close => out.byte(number::CLOSE),
            Self::ExitStatus(status) => out.request("exit-status").number(*status),
            Self::ExitSignal { name, core_dumped, message } => {
                out.request("exit-signal").text(name).byte(u8::from(*core_dumped)).text(message)
            }
        };
        out.0.freeze()
    }

    fn read(number: u8, rest: &mut Reader<'_>) -> Option<Self> {
        Some(match number {
            number::DEBUG => Self::Aside(rest.text()?),
            number::GLOBAL_REQUEST => match rest.text()?.as_ref().split_at_checked("cancel-".len()) {
                Some(("cancel-", kind)) => Self::Unlisten(Bind::read(kind, rest)?),
                Some((begin, end)) => Self::Listen(Bind::read(&format!("{begin}{end}"), rest)?),
                None => return None,
            },
            number::GLOBAL_SUCCESS => Self::Listening(rest.number()?),
            number::GLOBAL_FAILURE => Self::NotListening(rest.text()?),
            number::OPEN => match rest.text()?.as_ref() {
                "direct-tcpip" => Self::Open(Place::Tcp {
                    host: rest.text()?,
                    port: rest.number()?,
                    from: rest.text()?,
                    from_port: rest.number()?,
                }),
                "direct-streamlocal@openssh.com" => Self::Open(Place::Socket { path: rest.text()? }),
                kind => Self::Arrive(Origin::read(kind, rest)?),
            },
            number::OPENED => Self::Opened,
            number::OPEN_FAILED => Self::OpenFailed { code: rest.number()?, reason: rest.text()? },
            number::REQUEST => return Self::read_request(rest),
            number::SUCCESS => Self::Accepted,
            number::FAILURE => Self::Refused,
            number::EOF => Self::Eof,
            number::CLOSE => Self::Close,
            _ => return None,
        })
    }

    fn read_request(rest: &mut Reader<'_>) -> Option<Self> {
        Some(match rest.text()?.as_ref() {
            "pty-req" => {
                let (term, size) = (rest.text()?, rest.size()?);
                let mut modes = Vec::new();
                while let Some(mode) = rest.byte() {
                    modes.push((mode, rest.number()?));
                }
                Self::Pty { term, size, modes }
            }
            "env" => Self::Env { name: rest.text()?, value: rest.text()? },
            "shell" => Self::Shell,
            "exec" => Self::Exec(Bytes::copy_from_slice(rest.string()?)),
            "subsystem" => Self::Subsystem(rest.text()?),
            "window-change" => Self::Resized(rest.size()?),
            "signal" => Self::Signal(rest.text()?),
            "auth-agent-req@openssh.com" => Self::Agent,
            "x11-req" => Self::X11(X11::read(rest)?),
            "exit-status" => Self::ExitStatus(rest.number()?),
            "exit-signal" => {
                Self::ExitSignal { name: rest.text()?, core_dumped: rest.byte()? != 0, message: rest.text()? }
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_recorded_reads_as_it_was() {
        let size = Size { columns: 80, rows: 24, width: 0, height: 0 };
        let tcp = Place::Tcp { host: "db".into(), port: 5432, from: "::1".into(), from_port: 9 };
        let arrived = Origin::Tcp { host: "localhost".into(), port: 8080, from: "::1".into(), from_port: 9 };
        let messages = [
            Message::Open(tcp),
            Message::Open(Place::Socket { path: "/run/x.sock".into() }),
            Message::Opened,
            Message::OpenFailed { code: 2, reason: "no route".into() },
            Message::Pty { term: "xterm".into(), size, modes: vec![(53, 1), (128, 38_400)] },
            Message::Env { name: "LANG".into(), value: "C.UTF-8".into() },
            Message::Shell,
            Message::Exec(Bytes::from_static(b"ls\xff")),
            Message::Subsystem("sftp".into()),
            Message::Resized(size),
            Message::Signal("INT".into()),
            Message::Agent,
            Message::X11(X11 { once: true, protocol: "MIT-MAGIC-COOKIE-1".into(), cookie: "c0".into(), screen: 1 }),
            Message::Listen(Bind::Tcp { host: "localhost".into(), port: 8080 }),
            Message::Unlisten(Bind::Tcp { host: "".into(), port: 8080 }),
            Message::Listen(Bind::Socket { path: "/run/y.sock".into() }),
            Message::Unlisten(Bind::Socket { path: "/run/y.sock".into() }),
            Message::Listening(40_000),
            Message::NotListening("no".into()),
            Message::Aside("sluice: no".into()),
            Message::Arrive(arrived),
            Message::Arrive(Origin::Socket { path: "/run/y.sock".into() }),
            Message::Arrive(Origin::Agent),
            Message::Arrive(Origin::X11 { from: "::1".into(), from_port: 9 }),
            Message::Accepted,
            Message::Refused,
            Message::Eof,
            Message::Close,
            Message::ExitStatus(7),
            Message::ExitSignal { name: "KILL".into(), core_dumped: true, message: "killed".into() },
        ];
        for message in messages {
            let wire = Bytes::copy_from_slice(wire::Frame::wire(&Frame::from(message.clone())));
            let Some(Frame::Message(read, _)) = Frame::recorded(&wire) else { panic!("{message:?}") };
            assert_eq!(read, message);
            for cut in 1..wire.len() {
                let _nothing_panics = Frame::recorded(&wire.slice(..cut));
            }
        }
        let data = Bytes::copy_from_slice(wire::Frame::wire(&Frame::data(b"abc")));
        let Some(Frame::Data(payload)) = Frame::recorded(&data) else { panic!("data") };
        assert_eq!(payload.bytes(), "abc");
        assert!(Frame::recorded(&Bytes::new()).is_none());
        assert!(Frame::recorded(&Bytes::from_static(&[255, 1])).is_none());
        let _ = Frame::recorded(&data).unwrap();
    }

    #[test]
    fn what_a_terminal_shows_and_how_it_ended_is_kept_whole() {
        use wire::{Frame as _, Kept};
        let kept = |terminal| [b"abc"].map(|bytes| Frame::data(bytes).shown_on(terminal).kept());
        assert_eq!(kept(Some(Size::default())), [Kept::Whole]);
        assert_eq!(kept(None), [Kept::UpToLimit]);
        assert_eq!(Frame::packet(b"abc").kept(), Kept::Bulk);
        assert_eq!(Frame::from(Message::Eof).kept_as(Kept::Counted).kept(), Kept::UpToLimit);
        assert_eq!(Frame::stderr(b"abc").shown_on(Some(Size::default())).kept(), Kept::Whole);
        assert_eq!(Frame::from(Message::ExitStatus(1)).kept(), Kept::Whole);
        assert_eq!(Frame::from(Message::Signal("INT".into())).kept(), Kept::UpToLimit);
    }
}
