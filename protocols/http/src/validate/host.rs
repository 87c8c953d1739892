//! The host and port that a request names (RFC 9110 §7.2, RFC 3986 §3.2).

use std::net::Ipv6Addr;

use crate::flaw::Flaw;

/// The longest name that DNS has (RFC 1035 §2.3.4).
const MAX_NAME_BYTES: usize = 253;

pub(super) const INVALID: Flaw = Flaw::new(400, "invalid_host", "the host is malformed");
/// RFC 9110 §15.5.20.
const NOT_OURS: Flaw = Flaw::new(421, "misdirected_request", "no listener has this name");

/// Checks that an authority is well-formed and one of the allowed ones; none allows all.
pub(super) fn check(authority: &str, allowed: &[String]) -> Result<(), Flaw> {
    let host = host_of(authority).ok_or(INVALID)?;
    let ours = |name: &String| name.eq_ignore_ascii_case(authority) || name.eq_ignore_ascii_case(host);
    if allowed.is_empty() || allowed.iter().any(ours) { Ok(()) } else { Err(NOT_OURS) }
}

/// The host of `host` or `host:port`. No user, no empty port, no zone: what has them is read differently by many.
fn host_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let host = authority.strip_suffix(port)?;
        let fits = address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port.strip_prefix(':')?));
        return fits.then_some(host);
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    (is_name(host) && port.is_none_or(is_port)).then_some(host)
}

/// Letters, digits and hyphens between dots, and the underscore that container networks have in names.
fn is_name(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    host.len() <= MAX_NAME_BYTES && host.split('.').all(|label| !label.is_empty() && label.bytes().all(plain))
}

fn is_port(port: &str) -> bool {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    digits && port.parse::<u16>().is_ok()
}
