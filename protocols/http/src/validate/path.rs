//! Paths that can be read in one way only (RFC 3986 §3.3).

use crate::flaw::Flaw;

const INVALID: Flaw = Flaw::new(400, "invalid_path", "the path is malformed");
const TRICKY: Flaw = Flaw::new(400, "invalid_path", "the path can be read in more than one way");

/// Takes a path apart and decodes its segments, once.
///
/// What is refused is what some program on the way would read differently: empty segments and a slash at the end, which
/// some merge; segments of dots, which some resolve; parameters after `;`, which some cut off; escapes of characters
/// that need none, which some decode before they look; and escapes of escapes, which some decode twice.
pub(super) fn segments(path: &str) -> Result<Vec<String>, Flaw> {
    let below = path.strip_prefix('/').ok_or(INVALID)?;
    if below.is_empty() {
        return Ok(Vec::new());
    }
    below.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<String, Flaw> {
    let decoded = decode(raw)?;
    // Dots alone, also with the spaces that some file systems drop, lead somewhere else (§3.3).
    if decoded.trim_matches(['.', ' ']).is_empty() {
        return Err(TRICKY);
    }
    if decoded.chars().any(|c| c.is_control() || folds_to_syntax(c)) {
        return Err(TRICKY);
    }
    Ok(decoded)
}

fn decode(raw: &str) -> Result<String, Flaw> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.as_bytes().iter();
    while let Some(byte) = bytes.next().copied() {
        match byte {
            b'%' => {
                let byte = super::query::octet(&mut bytes).ok_or(INVALID)?;
                if !is_worth_escaping(byte) || byte == b'%' && starts_escape(bytes.as_slice()) {
                    return Err(TRICKY);
                }
                decoded.push(byte);
            }
            _ if is_plain(byte) => decoded.push(byte),
            _ => return Err(INVALID),
        }
    }
    String::from_utf8(decoded).map_err(|_| INVALID)
}

/// `pchar` without the escape and without `;` (RFC 3986 §3.3 and appendix A).
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

/// Delimiters of paths and queries and control characters may not come back once decoded; §6.2.2.2: what is unreserved
/// "should be normalized by decoding", so that only who hides something escapes it. Some clients do escape the tilde.
fn is_worth_escaping(byte: u8) -> bool {
    let hides = byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let delimits = b"/\\;?#".contains(&byte);
    !hides && !delimits && !byte.is_ascii_control()
}

/// What follows an escaped `%` would make it an escape again.
fn starts_escape(rest: &[u8]) -> bool {
    matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Characters that Unicode compatibility mappings turn into dots, slashes, backslashes or percent signs.
fn folds_to_syntax(c: char) -> bool {
    matches!(
        c,
        '\u{2024}'
            ..='\u{2026}' | '\u{FE52}' | '\u{FE68}' | '\u{FE6A}' | '\u{FF05}' | '\u{FF0E}' | '\u{FF0F}' | '\u{FF3C}'
    )
}
