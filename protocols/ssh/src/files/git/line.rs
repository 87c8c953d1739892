//! Lines with a length in front (<https://git-scm.com/docs/protocol-common>).

use bytes::{Bytes, BytesMut};
use sluice_wire::Violation;

/// The longest line with its length, in bytes.
const MAX_LINE: usize = 65_520;

/// A line, or one of the marks between lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Packet {
    /// With its line feed, if it has one.
    Line(Bytes),
    Flush,
    Delimiter,
}

impl Packet {
    /// Takes the packet at the front of a client's bytes, once it is there.
    pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Self>, Violation> {
        let Some(digits) = buffer.first_chunk::<4>() else { return Ok(None) };
        let length = digits.iter().try_fold(0usize, |length, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(length.saturating_mul(16).saturating_add(usize::try_from(value).ok()?))
        });
        let mark = match length {
            Some(0) => Self::Flush,
            Some(1) => Self::Delimiter,
            Some(length @ 5..=MAX_LINE) => {
                if buffer.len() < length {
                    return Ok(None);
                }
                let line = buffer.split_to(length).freeze().slice(4..);
                return Ok(Some(Self::Line(line)));
            }
            Some(_) | None => return Err(Violation::client("the length of a line is none")),
        };
        let _mark = buffer.split_to(4);
        Ok(Some(mark))
    }

    /// The packet in its one form.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Line(line) => {
                out.extend_from_slice(format!("{:04x}", line.len().saturating_add(4)).as_bytes());
                out.extend_from_slice(line);
            }
            Self::Flush => out.extend_from_slice(b"0000"),
            Self::Delimiter => out.extend_from_slice(b"0001"),
        }
    }
}

/// A line as text without its line feed; `None` if it holds anything that is not printed.
pub(super) fn text(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    str::from_utf8(line).ok().filter(|text| !text.contains(char::is_control))
}

/// The name of an object, as it is written: SHA-1 or SHA-256 in small hexadecimal digits.
pub(super) fn object(text: &str) -> Option<String> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    (digits && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}

/// The name of a reference (<https://git-scm.com/docs/git-check-ref-format>).
pub(super) fn reference(text: &str) -> Option<String> {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let fine = text.starts_with("refs/")
        && text.len() <= 1024
        && text.split('/').all(part)
        && !text.ends_with('.')
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c));
    fine.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_taken_once_it_is_there() {
        let take = |bytes: &[u8]| Packet::take(&mut BytesMut::from(bytes));
        let line = |text: &'static [u8]| Ok(Some(Packet::Line(Bytes::from_static(text))));
        assert_eq!(take(b"0006a\n"), line(b"a\n"));
        assert_eq!(take(b"000Aabcdefgh"), line(b"abcdef"));
        assert_eq!((take(b"000"), take(b"0006a")), (Ok(None), Ok(None)));
        assert_eq!((take(b"0000"), take(b"0001")), (Ok(Some(Packet::Flush)), Ok(Some(Packet::Delimiter))));
        for bytes in [&b"0002"[..], b"0003", b"0004", b"fff1", b"ffff", b"+006", b"00 6", b"GET "] {
            assert!(take(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn references_are_named_as_git_names_them() {
        for name in ["refs/heads/main", "refs/heads/a/b-c_d", "refs/tags/v1.0", "refs/heads/ä"] {
            assert_eq!(reference(name).as_deref(), Some(name));
        }
        for name in [
            "main",
            "HEAD",
            "refs",
            "refs/",
            "refs/heads/",
            "refs//a",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a..b",
            "refs/heads/a b",
            "refs/heads/a:b",
            "refs/heads/a^",
            "refs/heads/@{",
            "refs/heads/a.",
            "refs/heads/a\x1b",
            "refs/../a",
        ] {
            assert_eq!(reference(name), None, "{name:?}");
        }
    }
}
