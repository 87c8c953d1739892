//! What a client has a host do for connections that come back, and what then comes.

use crate::address;
use crate::frame::{Reader, Writer};

/// What a client has a host listen on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Bind {
    /// An address of the host's, as the client wrote it; the host picks the port 0 (RFC 4254 §7.1).
    Tcp { host: Box<str>, port: u32 },
    /// A Unix socket (`streamlocal-forward@openssh.com`).
    Socket { path: Box<str> },
}

/// What a channel is for that a host opens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Somebody has connected to what the host listens on (RFC 4254 §7.2).
    Tcp { host: Box<str>, port: u32, from: Box<str>, from_port: u32 },
    /// The same for a Unix socket (`forwarded-streamlocal@openssh.com`).
    Socket { path: Box<str> },
    /// A program has a question for the client's agent (`auth-agent@openssh.com`).
    Agent,
    /// A program has something for the client's display (RFC 4254 §6.3.2).
    X11 { from: Box<str>, from_port: u32 },
}

/// The use of a display (RFC 4254 §6.3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct X11 {
    /// For one connection only.
    pub once: bool,
    pub protocol: Box<str>,
    pub cookie: Box<str>,
    pub screen: u32,
}

impl Bind {
    /// Whether it is in the one form in which it is decided on: policies see a socket as its path and the port 0.
    pub(crate) fn is_canonical(&self) -> bool {
        match self {
            Self::Tcp { host, port } => *port <= 65_535 && address::is_bind(host),
            Self::Socket { path } => address::is_socket(path),
        }
    }

    /// The same at the port that the host picked.
    pub(crate) fn at(&self, picked: u32) -> Self {
        match self {
            Self::Tcp { host, port: 0 } => Self::Tcp { host: host.clone(), port: picked },
            Self::Tcp { .. } | Self::Socket { .. } => self.clone(),
        }
    }

    /// Whether something comes from here. Where the host picks the port, any is it: nothing else is listened on there.
    pub(crate) fn is_origin_of(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Tcp { host, port }, Origin::Tcp { host: of, port: at, .. }) => {
                host == of && (port == at || *port == 0) && (1..=65_535).contains(at)
            }
            (Self::Socket { path }, Origin::Socket { path: of }) => path == of,
            _ => false,
        }
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer, verb: &str) -> &'a mut Writer {
        match self {
            Self::Tcp { host, port } => out.text(&format!("{verb}tcpip-forward")).text(host).number(*port),
            Self::Socket { path } => out.text(&format!("{verb}streamlocal-forward@openssh.com")).text(path),
        }
    }

    pub(crate) fn read(kind: &str, rest: &mut Reader<'_>) -> Option<Self> {
        match kind {
            "tcpip-forward" => Some(Self::Tcp { host: rest.text()?, port: rest.number()? }),
            "streamlocal-forward@openssh.com" => Some(Self::Socket { path: rest.text()? }),
            _ => None,
        }
    }
}

impl Origin {
    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        match self {
            Self::Tcp { host, port, from, from_port } => {
                out.text("forwarded-tcpip").text(host).number(*port).text(from).number(*from_port)
            }
            Self::Socket { path } => out.text("forwarded-streamlocal@openssh.com").text(path).text(""),
            Self::Agent => out.text("auth-agent@openssh.com"),
            Self::X11 { from, from_port } => out.text("x11").text(from).number(*from_port),
        }
    }

    pub(crate) fn read(kind: &str, rest: &mut Reader<'_>) -> Option<Self> {
        Some(match kind {
            "forwarded-tcpip" => {
                Self::Tcp { host: rest.text()?, port: rest.number()?, from: rest.text()?, from_port: rest.number()? }
            }
            "forwarded-streamlocal@openssh.com" => Self::Socket { path: rest.text()? },
            "auth-agent@openssh.com" => Self::Agent,
            "x11" => Self::X11 { from: rest.text()?, from_port: rest.number()? },
            _ => return None,
        })
    }
}

impl X11 {
    /// Whether it is what clients send: servers hand it to `xauth` as words.
    pub(crate) fn is_plain(&self) -> bool {
        let protocol = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        self.protocol.bytes().all(protocol) && self.cookie.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        let Self { once, protocol, cookie, screen } = self;
        out.byte(u8::from(*once)).text(protocol).text(cookie).number(*screen)
    }

    pub(crate) fn read(rest: &mut Reader<'_>) -> Option<Self> {
        let once = rest.byte()? != 0;
        Some(Self { once, protocol: rest.text()?, cookie: rest.text()?, screen: rest.number()? })
    }
}
