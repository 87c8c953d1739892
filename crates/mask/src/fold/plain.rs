//! Runs of bytes that are alike, such as those that stand for themselves.

use super::LONE;

const GRAPHIC: u8 = 1;
const SHOWN: u8 = 2;
const PLAIN: u8 = 4;
const BLANK: u8 = 8;
/// Stands for a byte that is no text.
const STANDS: u8 = 16;
/// Beyond ASCII, and no text whatever follows.
const ALONE: u8 = 32;
/// Beyond ASCII, and no text before a byte that is [`FRESH`].
const LEADS: u8 = 64;
/// Goes on with no character.
const FRESH: u8 = LEADS << 1;

/// What each byte is, as bits: one look takes one guess of the processor, where comparisons take one each.
const TRAITS: [u8; 256] = {
    let mut all = [0; 256];
    let (mut rest, mut byte) = (all.as_mut_slice(), 0_u8);
    while let Some((first, tail)) = rest.split_first_mut() {
        let beyond = match byte {
            0x80..0xc0 => ALONE,
            0xc0..0xc2 | 0xf5.. => ALONE | FRESH,
            0xc2..0xf5 => LEADS | FRESH,
            LONE => STANDS | FRESH,
            _ => FRESH,
        };
        let (graphic, shown) = (if is_graphic(byte) { GRAPHIC } else { 0 }, if is_shown(byte) { SHOWN } else { 0 });
        let (plain, blank) = (if is_plain(byte) { PLAIN } else { 0 }, if is_blank(byte) { BLANK } else { 0 });
        *first = beyond | graphic | shown | plain | blank;
        (rest, byte) = (tail, byte.wrapping_add(1));
    }
    all
};

#[inline]
fn traits(byte: u8) -> u8 {
    TRAITS.get(usize::from(byte)).copied().unwrap_or_default()
}

/// How many bytes are looked at together.
const LANE: usize = 32;
/// How many are looked at one by one before that: most runs that are short end there.
const LEAD: usize = 4;

// Without a way out in the middle, so that many bytes are looked at together.

const fn is_graphic(byte: u8) -> bool {
    byte.wrapping_sub(b' ') < 0x5f
}

const fn is_shown(byte: u8) -> bool {
    is_graphic(byte) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r')
}

const fn is_plain(byte: u8) -> bool {
    is_shown(byte) & (byte != b'\\') & (byte != b'%') & (byte != b'&')
}

const fn is_blank(byte: u8) -> bool {
    (byte < 0x08) | ((byte > 0x0d) & (byte < 0x20) & (byte != 0x1b))
}

/// Whether all bytes of a text stand for themselves.
pub(crate) fn is_all_plain(text: &[u8]) -> bool {
    plain(text) == text.len()
}

/// How many bytes a text begins with that stand for themselves wherever they stand.
pub(super) fn plain(text: &[u8]) -> usize {
    run(text, PLAIN, is_plain)
}

/// How many bytes a text begins with that stand for themselves or are [`LONE`].
pub(super) fn plain_or_lone(text: &[u8]) -> usize {
    text.iter().position(|byte| traits(*byte) & (PLAIN | STANDS) == 0).unwrap_or(text.len())
}

/// How many bytes a text begins with that are characters of ASCII which take a cell of a screen.
pub(crate) fn graphic(text: &[u8]) -> usize {
    run(text, GRAPHIC, is_graphic)
}

/// How many bytes a text begins with that are controls which a screen does not show.
pub(crate) fn blanks(text: &[u8]) -> usize {
    run(text, BLANK, is_blank)
}

/// How many bytes a text begins with that are ASCII that prints, white space, or no text whatever stands beside them.
pub(crate) fn singles(text: &[u8]) -> usize {
    let shown = run(text, SHOWN, is_shown);
    let rest = text.get(shown..).unwrap_or_default();
    if rest.first().is_none_or(u8::is_ascii) {
        return shown;
    }
    let other = rest.array_windows().position(|[byte, next]| {
        let (traits, next) = (traits(*byte), traits(*next));
        (traits & (SHOWN | ALONE)) | (((traits & LEADS) << 1) & next) == 0
    });
    let last = rest.last().is_some_and(|byte| traits(*byte) & (SHOWN | ALONE) == 0);
    shown.saturating_add(other.unwrap_or_else(|| rest.len().saturating_sub(last.into())))
}

/// How many bytes a text begins with that have a trait; the same as a test of a byte, of which many take place at once.
#[inline]
fn run(text: &[u8], bit: u8, test: impl Fn(u8) -> bool) -> usize {
    let other = |byte: &u8| traits(*byte) & bit == 0;
    if let Some(end) = text.iter().take(LEAD).position(other) {
        return end;
    }
    let is_whole = |lane: &[u8; LANE]| lane.iter().fold(true, |all, byte| all & test(*byte));
    let whole = text.as_chunks().0.iter().take_while(|lane| is_whole(lane)).count().saturating_mul(LANE);
    let rest = text.get(whole..).unwrap_or_default();
    if rest.len() < LANE && text.last_chunk().is_some_and(is_whole) {
        return text.len();
    }
    whole.saturating_add(rest.iter().position(other).unwrap_or(rest.len()))
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
            assert_eq!(plain(&text), length);
            assert_eq!(plain(text.get(..length).unwrap_or_default()), length);
        }
        assert!(is_all_plain(b"all of it\n") && !is_all_plain(b"not\0"));
    }

    #[test]
    fn runs_of_bytes_that_are_no_text_end_where_text_begins() {
        for (text, length) in [
            (&b""[..], 0),
            (b"a\t\xff\x80b", 5),
            (b"a\0", 1),
            (b"\xffa\x1b[", 2),
            (b"\xff\xc3\xa9", 1),
            (b"\x80\xc3a", 3),
            (b"\x80\xe2\xe2\x1b", 3),
            (b"\x80\xf5\xc0\xf4", 3),
            (b"\xc3", 0),
            (b"\x80\x1a", 1),
        ] {
            assert_eq!(singles(text), length, "{text:?}");
        }
        assert_eq!(plain_or_lone(b"a\x1ab \x1a\x80"), 5);
        for byte in 0..=u8::MAX {
            for (bit, test) in
                [(GRAPHIC, is_graphic as fn(u8) -> bool), (SHOWN, is_shown), (PLAIN, is_plain), (BLANK, is_blank)]
            {
                assert_eq!(traits(byte) & bit != 0, test(byte), "{byte}");
            }
            assert_eq!(plain_or_lone(&[byte]) == 1, is_plain(byte) || byte == LONE);
            assert_eq!(singles(&[0xff, byte, b'a']) > 1, is_shown(byte) || byte >= 0x80, "{byte}");
        }
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
