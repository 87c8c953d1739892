//! One request head, line by line (RFC 9112 §2 to §6).

use crate::flaw::Flaw;

/// The largest head, its final empty line included.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most header lines.
const MAX_LINES: usize = 128;
/// Digits of the largest content length; less than 2^63.
const MAX_LENGTH_DIGITS: usize = 18;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// The version in a request line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    V1_0,
    V1_1,
}

const BARE: Flaw = Flaw::malformed("a line does not end with CR LF");
const TOO_LARGE: Flaw = Flaw::new(431, "header_too_large", "the request head is too large");

/// Checks the head at the front of `raw`; `None` while it is not whole. Gives its length and what follows it.
///
/// `seen` is how far earlier calls have looked, so that a head that arrives byte by byte is looked at once.
pub(super) fn check(raw: &[u8], seen: &mut usize) -> Result<Option<(usize, Framing)>, Flaw> {
    let from = seen.saturating_sub(3);
    let tail = raw.get(from..).unwrap_or_default();
    let end =
        tail.windows(4).position(|window| window == b"\r\n\r\n").map(|at| from.saturating_add(at).saturating_add(4));
    // A head of bare line feeds never has that end: it is refused as soon as it is seen.
    let fresh = raw.get(*seen..end.unwrap_or(raw.len())).unwrap_or_default();
    let before = seen.checked_sub(1).and_then(|at| raw.get(at)).copied();
    bare_ends(fresh, before)?;
    *seen = raw.len();
    match end {
        Some(end) if end <= MAX_HEAD_BYTES => {
            whole(raw.get(..end).unwrap_or_default()).map(|framing| Some((end, framing)))
        }
        Some(_) => Err(TOO_LARGE),
        None if raw.len() >= MAX_HEAD_BYTES => Err(TOO_LARGE),
        None => Ok(None),
    }
}

/// Every LF follows a CR, and every CR but a last one is followed by an LF. RFC 9112 §2.2: "A recipient of such a bare CR
/// MUST consider that element to be invalid".
fn bare_ends(bytes: &[u8], mut before: Option<u8>) -> Result<(), Flaw> {
    for byte in bytes.iter().copied() {
        let after_cr = before == Some(b'\r');
        if (byte == b'\n') != after_cr {
            return Err(BARE);
        }
        before = Some(byte);
    }
    Ok(())
}

fn whole(head: &[u8]) -> Result<Framing, Flaw> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let version = request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for (index, line) in lines.enumerate() {
        if index >= MAX_LINES {
            return Err(TOO_LARGE);
        }
        fields.line(line)?;
    }
    fields.framing(version)
}

/// `METHOD SP TARGET SP VERSION`, each separated by exactly one space.
fn request_line(line: &[u8]) -> Result<Version, Flaw> {
    let wrong = Flaw::malformed("the request line is malformed");
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong);
    };
    let method_fits = !method.is_empty() && method.len() <= 16 && method.iter().all(u8::is_ascii_uppercase);
    if !method_fits || target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(wrong);
    }
    match version {
        b"HTTP/1.1" => Ok(Version::V1_1),
        b"HTTP/1.0" => Ok(Version::V1_0),
        _ => Err(Flaw::new(505, "version_not_supported", "the HTTP version is not supported")),
    }
}

/// What the header lines say of the framing.
#[derive(Debug, Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Fields {
    fn line(&mut self, line: &[u8]) -> Result<(), Flaw> {
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(Flaw::malformed("a header line is folded"));
        }
        let at = line.iter().position(|byte| *byte == b':').ok_or(Flaw::malformed("a header line has no colon"))?;
        let (name, value) = line.split_at_checked(at).unwrap_or((line, &[]));
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(Flaw::malformed("a header name is malformed"));
        }
        if !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
            return Err(Flaw::malformed("a header value holds a control character"));
        }
        let value = trim(value);
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts = self.hosts.saturating_add(1);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.length(value)?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // RFC 9112 §6.1: any coding but `chunked`, once, is refused rather than guessed at.
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Flaw::malformed("the transfer coding is not exactly `chunked`"));
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Flaw> {
        let wrong = Flaw::malformed("the content length is malformed or repeated");
        let plain = !value.is_empty() && value.len() <= MAX_LENGTH_DIGITS && value.iter().all(u8::is_ascii_digit);
        if self.length.is_some() || !plain {
            return Err(wrong);
        }
        let digits = value.iter().map(|digit| u64::from(digit.saturating_sub(b'0')));
        self.length = Some(digits.fold(0, |sum, digit| sum.saturating_mul(10).saturating_add(digit)));
        Ok(())
    }

    fn framing(&self, version: Version) -> Result<Framing, Flaw> {
        let hosts = match version {
            Version::V1_1 => 1,
            Version::V1_0 => self.hosts.min(1),
        };
        if self.hosts != hosts {
            return Err(Flaw::malformed("a request names exactly one host"));
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Flaw::malformed("a request has either a content length or a transfer coding")),
            (true, None) if version == Version::V1_0 => Err(Flaw::malformed("HTTP/1.0 has no transfer codings")),
            (true, None) => Ok(Framing::Chunked),
            (false, None | Some(0)) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Without the spaces and tabs around it (RFC 9110 §5.6.3).
fn trim(value: &[u8]) -> &[u8] {
    let from = value.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let to = value.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(from, |at| at.saturating_add(1));
    value.get(from..to).unwrap_or_default()
}
