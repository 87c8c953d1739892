//! Bytes that stand for themselves.

/// How many bytes are looked at together.
const LANE: usize = 32;
/// How many are looked at before that.
const LEAD: usize = 4;

/// Whether a byte stands for itself wherever it stands. Without a way out in the middle, so that many bytes are looked
/// at together.
#[inline]
pub(super) const fn is_plain(byte: u8) -> bool {
    is_shown(byte) & (byte != b'\\') & (byte != b'%') & (byte != b'&')
}

/// Whether a byte is a character of ASCII that takes a cell of a screen, or white space.
#[inline]
pub(crate) const fn is_shown(byte: u8) -> bool {
    is_graphic(byte) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r')
}

/// Whether a byte is a character of ASCII that takes a cell of a screen.
#[inline]
pub(crate) const fn is_graphic(byte: u8) -> bool {
    byte.wrapping_sub(b' ') < 0x5f
}

/// Whether all bytes of a text stand for themselves.
pub(crate) fn is_all_plain(text: &[u8]) -> bool {
    run(text, is_plain) == text.len()
}

/// How many bytes a text begins with that are of some kind; quick where there are many.
#[inline]
pub(crate) fn run(text: &[u8], kind: impl Fn(u8) -> bool) -> usize {
    if let Some(end) = text.iter().take(LEAD).position(|byte| !kind(*byte)) {
        return end;
    }
    // Without a way out in the middle, a lane is looked at as a whole.
    let is_whole = |lane: &[u8; LANE]| lane.iter().fold(true, |all, byte| all & kind(*byte));
    let whole = text.as_chunks().0.iter().take_while(|lane| is_whole(lane)).count().saturating_mul(LANE);
    let rest = text.get(whole..).unwrap_or_default();
    if rest.len() < LANE && text.last_chunk().is_some_and(is_whole) {
        return text.len();
    }
    whole.saturating_add(rest.iter().position(|byte| !kind(*byte)).unwrap_or(rest.len()))
}

/// Whether a text holds escapes (as [`super::escape`] reads them), controls, or anything beyond ASCII.
pub(crate) fn is_strange(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, byte)| {
        let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
        match byte {
            b'\\' => rest.first().is_some_and(|next| !is_no_escape(*next)),
            b'%' => rest.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
            b'&' => {
                let name = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                rest.first() == Some(&b'#') || ((1..=7).contains(&name) && rest.get(name) == Some(&b';'))
            }
            b'\t' | b'\n' | b'\r' | b' '..=b'~' => false,
            _ => true,
        }
    })
}

/// Whether a backslash before a byte means nothing.
const fn is_no_escape(byte: u8) -> bool {
    byte.is_ascii_alphabetic() && !matches!(byte, b'n' | b'r' | b't' | b'u' | b'x')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_where_its_first_other_byte_is() {
        for length in 0..100 {
            let mut text = vec![b'a'; 100];
            if let Some(byte) = text.get_mut(length) {
                *byte = b'%';
            }
            assert_eq!(run(&text, is_plain), length);
            assert_eq!(run(text.get(..length).unwrap_or_default(), is_plain), length);
        }
        assert!(is_all_plain(b"all of it\n") && !is_all_plain(b"not\0"));
    }

    #[test]
    fn what_may_be_an_escape_is_strange() {
        for text in ["\\u0040", "a\\-", "\\\n", "%4f", "&#", "&amp;", "\u{e9}", "\0", "\x7f"] {
            assert!(is_strange(text.as_bytes()), "{text:?}");
        }
        for text in ["", "\\", "C:\\Windows", "5 % off", "a & b", "&and", "tabs\t and\r\n", "&abcdefgh;"] {
            assert!(!is_strange(text.as_bytes()), "{text:?}");
        }
    }
}
