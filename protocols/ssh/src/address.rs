//! Hosts and sockets in the one form that policy sees and that is sent.
//!
//! What a host resolves may be written in many ways that mean one place: whoever could choose among them would choose the
//! one that no rule names.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_model::TargetName;

use crate::files::sftp;

/// The longest name (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;
/// The longest path of a socket that every system takes whole: `sun_path` has 104 bytes on BSD, one of them for the end,
/// and OpenSSH cuts what is one longer.
const LONGEST_SOCKET: usize = 103;

/// Where a connection leads: a name in small letters, or an address as RFC 5952 or four decimal numbers have it. `None`
/// for what is neither.
pub(crate) fn destination(host: &str) -> Option<Box<str>> {
    let form = canonical(host)?;
    // Connecting to no address is connecting to oneself (`ip(7)`).
    Some(match &*form {
        "0.0.0.0" => Ipv4Addr::LOCALHOST.to_string().into(),
        "::" => Ipv6Addr::LOCALHOST.to_string().into(),
        _ => form,
    })
}

/// Whether something to listen on is in the one form. Another one is not put into it, as clients know what comes back by
/// what they have asked for.
pub(crate) fn is_bind(host: &str) -> bool {
    matches!(host, "" | "*") || canonical(host).is_some_and(|form| *form == *host)
}

/// Whether it is every address of the host's, or of one family (RFC 4254 §7.1; the star is OpenSSH's).
pub(crate) fn is_everywhere(bind: &str) -> bool {
    matches!(bind, "" | "*" | "0.0.0.0" | "::")
}

/// Whether a path names one socket and no system would cut it.
pub(crate) fn is_socket(path: &str) -> bool {
    path.len() <= LONGEST_SOCKET && sftp::Path::canonical(path.as_bytes()).is_some()
}

/// Whether it is a word without anything that a log or a terminal would take for more.
pub(crate) fn is_word(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn canonical(host: &str) -> Option<Box<str>> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => v6(inner),
        None if host.contains(':') => v6(host),
        None => name(host),
    }
}

/// An address of version 6; one that stands for another of version 4 (RFC 4291 §2.5.5.2) is that one.
fn v6(text: &str) -> Option<Box<str>> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let address: Ipv6Addr = address.parse().ok()?;
    match (zone, address.to_ipv4_mapped()) {
        (None, Some(mapped)) => Some(mapped.to_string().into()),
        (None, None) => Some(address.to_string().into()),
        // Elsewhere a zone (RFC 4007 §11) says nothing, and would be one more way to write the same.
        (Some(zone), None) if address.is_unicast_link_local() && is_zone(zone) => {
            Some(format!("{address}%{zone}").into())
        }
        (Some(_), _) => None,
    }
}

fn is_zone(zone: &str) -> bool {
    !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// A name of the DNS, or an address of version 4. What ends in a number is an address or nothing, as in the URL standard's
/// host parser (<https://url.spec.whatwg.org/#ends-in-a-number-checker>).
fn name(text: &str) -> Option<Box<str>> {
    // The dot at the end is the root (RFC 1034 §3.1).
    let text = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\' | b'%' | b'[' | b']' | b'*');
    if text.len() > LONGEST_NAME || !text.bytes().all(plain) || text.split('.').any(str::is_empty) {
        return None;
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return Some(v4(text)?.to_string().into());
    }
    Some(text.to_ascii_lowercase().into())
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// An address as `inet_aton` reads it (`inet(3)`): one number to four, decimal, octal or hexadecimal, of which the last
/// fills what is left.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    let room = match leading.len() {
        0 => 32,
        1 => 24,
        2 => 16,
        3 => 8,
        _ => return None,
    };
    if leading.iter().any(|part| *part > 255) || last >> room != 0 {
        return None;
    }
    let above = leading.iter().fold(0, |above, part| above << 8 | part);
    u32::try_from(above << room | last).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text, 8),
        _ => (text, 10),
    };
    let plain = digits.chars().all(|digit| digit.is_digit(radix));
    if plain { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// The target that `NAME.sluice` stands for, as `sluice ssh-config` has clients call it, however they write the end.
pub(crate) fn behind(host: &str) -> Option<TargetName> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (name, end) = host.split_at_checked(host.len().checked_sub(".sluice".len())?)?;
    if end.eq_ignore_ascii_case(".sluice") { TargetName::new(name).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_jumped_to_however_its_name_ends() {
        let target = |host| behind(host).map(String::from);
        for host in ["web-1.sluice", "web-1.sluice.", "web-1.SLUICE"] {
            assert_eq!(target(host).as_deref(), Some("web-1"), "{host}");
        }
        assert_eq!(
            ["web", ".sluice", "sluice", "a b.sluice", "web.sluice..", "\u{e4}sluice"].map(target),
            [const { None }; 6]
        );
    }
}
