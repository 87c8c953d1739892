//! Addresses that the server is told to fetch from: the server stands inside somebody else's network, and what it can
//! reach there is not for the client to choose.

use std::net::IpAddr;

use crate::flaw::Flaw;
use crate::validate::names_credential;

/// The most bytes of one `data:` address; the API takes files of 50 MB and images of 20.
const MAX_DATA_BYTES: usize = 28 << 20;
const MAX_URL_BYTES: usize = 8192;

const INVALID: Flaw = Flaw::new(400, "invalid_url", "an address is malformed or not https");
const DATA: Flaw = Flaw::new(400, "invalid_url", "a data address is malformed, too long or of an unsupported type");
const CREDENTIAL: Flaw = Flaw::new(400, "credential_in_url", "a credential has no place in an address");
pub(super) const NOT_LISTED: Flaw =
    Flaw::new(403, "host_not_allowed", "an address points to a host that is not one of those allowed here");

/// What an address leads to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum What {
    Image,
    File,
    /// Sound or film.
    Media,
    /// An MCP server, a connector or a tunnel.
    Mcp,
    /// What a container may reach.
    Network,
    Other,
}

impl What {
    /// Says whether what is fetched becomes a part of the prompt.
    pub(crate) const fn is_content(self) -> bool {
        matches!(self, Self::Image | Self::File | Self::Media)
    }
}

/// A host that the server is told to reach.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Fetched {
    pub(crate) what: What,
    /// In lower case, with the port where it is not 443.
    pub(crate) host: String,
}

/// Images, files and sound: what stands in the body in Base64, and how many images are to be fetched.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Media {
    pub(crate) images: usize,
    pub(crate) image_bytes: usize,
    pub(crate) others: usize,
    pub(crate) other_bytes: usize,
    pub(crate) linked_images: usize,
}

impl Media {
    /// Counts what is in the body.
    pub(super) fn add(&mut self, what: What, bytes: usize) {
        let (count, sum) = match what {
            What::Image => (&mut self.images, &mut self.image_bytes),
            What::File | What::Media | What::Mcp | What::Network | What::Other => {
                (&mut self.others, &mut self.other_bytes)
            }
        };
        *count = count.saturating_add(1);
        *sum = sum.saturating_add(bytes);
    }

    /// Counts what is fetched.
    pub(super) fn link(&mut self, what: What) {
        if what == What::Image {
            self.linked_images = self.linked_images.saturating_add(1);
        }
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.images = self.images.saturating_add(other.images);
        self.image_bytes = self.image_bytes.saturating_add(other.image_bytes);
        self.others = self.others.saturating_add(other.others);
        self.other_bytes = self.other_bytes.saturating_add(other.other_bytes);
        self.linked_images = self.linked_images.saturating_add(other.linked_images);
    }

    pub(super) const fn inline(&self) -> usize {
        self.images.saturating_add(self.others)
    }
}

/// Where the content behind an address is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Address {
    /// In the address.
    Data,
    /// At a host, in lower case and with a port where it is not 443.
    Host(String),
}

/// Reads an address: `https` at a named host, or `data:` where a file or an image may be.
pub(super) fn read(what: What, text: &str) -> Result<Address, Flaw> {
    match text.strip_prefix("data:") {
        Some(data) if what.is_content() => {
            if is_data(what, data) {
                Ok(Address::Data)
            } else {
                Err(DATA)
            }
        }
        Some(_) => Err(INVALID),
        None => {
            let (host, tail) = host(text)?;
            // A signed address of an image is made to be handed out; that of a service is not.
            if what == What::Mcp && holds_credential(tail) { Err(CREDENTIAL) } else { Ok(Address::Host(host)) }
        }
    }
}

/// Says whether a host is one of those listed: by its own name, by `*.suffix`, or by `*` if it is a public name.
pub(super) fn is_listed(host: &str, listed: &[String]) -> bool {
    listed.iter().any(|entry| match entry.strip_prefix("*.") {
        Some(suffix) => host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.') && is_public(host)),
        None if entry == "*" => is_public(host),
        None => entry.eq_ignore_ascii_case(host),
    })
}

/// `image/png;base64,…` (RFC 2397), in the one form that carries no text past who looks for it unnoticed.
fn is_data(what: What, data: &str) -> bool {
    let Some((media, content)) = data.split_once(',') else { return false };
    let Some(kind) = media.strip_suffix(";base64") else { return false };
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.+".contains(&byte))
    };
    let typed = kind.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    let fits = match what {
        What::Image => matches!(kind, "image/png" | "image/jpeg" | "image/jpg" | "image/gif" | "image/webp"),
        What::File | What::Media | What::Mcp | What::Network | What::Other => typed,
    };
    let content = content.trim_end_matches('=');
    fits && data.len() <= MAX_DATA_BYTES
        && content.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

/// The host of an address that every reader reads alike: no user, no backslash, no white space, no escape in the host.
///
/// Hosts are names. An address in numbers, in any of its spellings, is a host only by being listed as it is spelt.
fn host(text: &str) -> Result<(String, &str), Flaw> {
    let rest = text.strip_prefix("https://").ok_or(INVALID)?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte);
    if text.len() > MAX_URL_BYTES || !text.bytes().all(plain) {
        return Err(INVALID);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).ok_or(INVALID)?;
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !authority.ends_with(']') => (name, Some(port)),
        Some(_) | None => (authority, None),
    };
    if !(is_name(name) || is_address(name)) || !port.is_none_or(is_port) {
        return Err(INVALID);
    }
    let host = match port {
        Some(port) if port != "443" => authority,
        Some(_) | None => name,
    };
    Ok((host.to_ascii_lowercase(), tail))
}

/// A name with an escape in it hides what it is.
fn holds_credential(tail: &str) -> bool {
    let query = tail.split_once('?').map_or("", |(_, query)| query);
    let mut names = query.split(['&', ';', '#']).map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| name.contains('%') || names_credential(name))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0') && port.parse::<u16>().is_ok()
}

/// Letters, digits, hyphens and underscores between dots. A dot at the end makes another name of the same host.
pub(super) fn is_name(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    host.len() <= 253 && host.split('.').all(|label| !label.is_empty() && label.bytes().all(plain))
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.is_some_and(|address| matches!(address.parse(), Ok(IpAddr::V6(_))))
}

/// Says whether a name could be one on the open internet: it has dots and no port, its last label is no number (as
/// `0x7f.1`, `2130706433` and `127.1` end), and it is in no zone that is local by convention (RFC 6761, RFC 6762).
pub(super) fn is_public(host: &str) -> bool {
    const LOCAL: [&str; 13] = [
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "onion",
        "test",
    ];
    let Some((_, zone)) = host.rsplit_once('.') else { return false };
    let named = zone.len() >= 2 && (zone.bytes().all(|byte| byte.is_ascii_alphabetic()) || zone.starts_with("xn--"));
    named && !LOCAL.contains(&zone)
}

#[cfg(test)]
mod tests;
