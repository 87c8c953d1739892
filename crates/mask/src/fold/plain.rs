//! Runs of bytes that are alike, such as those that stand for themselves.

use std::str::Utf8Error;

use super::stand::{as_told, stands};

const GRAPHIC: u8 = 1;
const SHOWN: u8 = 2;
const PLAIN: u8 = 4;
const BLANK: u8 = 8;
/// Takes a place in a faithful view by itself.
const TOLD: u8 = 16;
/// Shown, or beyond ASCII.
const PRINTS: u8 = 32;

/// What each byte is, as bits: one look takes one guess of the processor, where comparisons take one each.
const TRAITS: [u8; 256] = {
    let mut all = [0; 256];
    let (mut rest, mut byte) = (all.as_mut_slice(), 0_u8);
    while let Some((first, tail)) = rest.split_first_mut() {
        let (graphic, shown) = (if is_graphic(byte) { GRAPHIC } else { 0 }, if is_shown(byte) { SHOWN } else { 0 });
        let (plain, blank) = (if is_plain(byte) { PLAIN } else { 0 }, if is_blank(byte) { BLANK } else { 0 });
        let told = if is_told(byte) { TOLD } else { 0 };
        let prints = if is_printed(byte) { PRINTS } else { 0 };
        *first = graphic | shown | plain | blank | told | prints;
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
/// How many are looked at together where one of them ends a run.
const HALF: usize = 16;

// Without a way out in the middle, so that many bytes are looked at together.

const fn is_graphic(byte: u8) -> bool {
    byte.wrapping_sub(b' ') < 0x5f
}

const fn is_shown(byte: u8) -> bool {
    is_graphic(byte) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r')
}

const fn is_plain(byte: u8) -> bool {
    // A backslash differs from a caret in this one bit.
    is_shown(byte) & (byte | 2 != b'^') & (byte != b'%') & (byte != b'&')
}

const fn is_told(byte: u8) -> bool {
    is_plain(byte) | stands(byte)
}

const fn is_blank(byte: u8) -> bool {
    (byte < 0x08) | ((byte > 0x0d) & (byte < 0x20) & (byte != 0x1b))
}

const fn is_printed(byte: u8) -> bool {
    is_shown(byte) | (byte >= 0x80)
}

/// Whether all bytes of a text stand for themselves.
pub(crate) fn is_all_plain(text: &[u8]) -> bool {
    plain(text) == text.len()
}

/// How many bytes a text begins with that stand for themselves wherever they stand.
pub(crate) fn plain(text: &[u8]) -> usize {
    run(text, PLAIN, is_plain)
}

/// Folds the bytes that a text begins with of which each takes a place in a faithful view.
pub(super) fn tell(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((half, tail)) = rest.split_first_chunk::<HALF>() {
        let mut told = *half;
        told.iter_mut().for_each(|byte| *byte = as_told(*byte));
        out.extend_from_slice(&told);
        let end = first_other(half, is_told);
        if end < HALF {
            return out.truncate(out.len().saturating_sub(HALF.saturating_sub(end)));
        }
        rest = tail;
    }
    out.extend(rest.iter().take_while(|byte| traits(**byte) & TOLD != 0).map(|byte| as_told(*byte)));
}

/// How many bytes a text begins with that are characters of ASCII which take a cell of a screen.
pub(crate) fn graphic(text: &[u8]) -> usize {
    run(text, GRAPHIC, is_graphic)
}

/// How many bytes a text begins with that are controls which a screen does not show.
pub(crate) fn blanks(text: &[u8]) -> usize {
    run(text, BLANK, is_blank)
}

/// How many bytes a text begins with that are ASCII that prints, or white space.
pub(crate) fn shown(text: &[u8]) -> usize {
    run(text, SHOWN, is_shown)
}

/// The text that bytes begin with and that has no controls but white space.
pub(crate) fn printable(bytes: &[u8]) -> &str {
    let bytes = bytes.get(..run(bytes, PRINTS, is_printed)).unwrap_or_default();
    let valid = |error: Utf8Error| bytes.get(..error.valid_up_to()).and_then(|valid| str::from_utf8(valid).ok());
    let text = str::from_utf8(bytes).or_else(|error| valid(error).ok_or(error)).unwrap_or_default();
    let is_control = |[first, second]: &[u8; 2]| (*first == 0xc2) & (*second < 0xa0);
    let pairs = text.as_bytes().array_windows();
    if pairs.fold(false, |any, pair| any | is_control(pair)) {
        let at = text.as_bytes().array_windows().position(is_control);
        return at.and_then(|at| text.get(..at)).unwrap_or_default();
    }
    text
}

/// How many bytes a text begins with that have a trait; the same as a test of a byte, of which many take place at once.
#[inline]
fn run(text: &[u8], bit: u8, test: impl Fn(u8) -> bool) -> usize {
    let Some(first) = text.first_chunk() else {
        return text.iter().position(|byte| traits(*byte) & bit == 0).unwrap_or(text.len());
    };
    let end = first_other(first, &test);
    if end < HALF {
        return end;
    }
    let is_whole = |lane: &[u8; LANE]| lane.iter().fold(true, |all, byte| all & test(*byte));
    let mut at = text.as_chunks().0.iter().take_while(|lane| is_whole(lane)).count().saturating_mul(LANE);
    while let Some(half) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let end = first_other(half, &test);
        at = at.saturating_add(end);
        if end < HALF {
            return at;
        }
    }
    // What is left is the end of the last half, and what lies before it in there is known.
    text.last_chunk().map_or(at, |half| text.len().saturating_sub(HALF).saturating_add(first_other(half, &test)))
}

/// How many bytes of some pass a test before the first one that does not, without a guess at where that is.
#[inline]
fn first_other(half: &[u8; HALF], test: impl Fn(u8) -> bool) -> usize {
    let mut others = [0; HALF];
    others.iter_mut().zip(half).for_each(|(other, byte)| *other = if test(*byte) { 0 } else { 0xff });
    usize::try_from(u128::from_le_bytes(others).trailing_zeros() / 8).unwrap_or(HALF)
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
    fn each_byte_is_what_its_traits_say() {
        for (text, told) in [(&b"a\x1ab\x0b \x1c\x80"[..], &b"a\x82b\n \x80"[..]), (b"\x1d%", b"\x81"), (b"", b"")] {
            for more in [0, 20, 40] {
                let (mut text, mut out) = (text.to_vec(), b"-".to_vec());
                text.splice(0..0, vec![b'.'; more]);
                tell(&text, &mut out);
                assert_eq!(out, [b"-", vec![b'.'; more].as_slice(), told].concat());
                out.truncate(1);
                text.extend([b'\\'; HALF]);
                tell(&text, &mut out);
                assert_eq!(out.len(), 1 + more + told.len());
            }
        }
        for byte in 0..=u8::MAX {
            for (bit, test) in [
                (GRAPHIC, is_graphic as fn(u8) -> bool),
                (SHOWN, is_shown),
                (PLAIN, is_plain),
                (BLANK, is_blank),
                (PRINTS, is_printed),
                (TOLD, is_told),
            ] {
                assert_eq!(traits(byte) & bit != 0, test(byte), "{byte}");
                assert_eq!(first_other(&[byte; HALF], test), if test(byte) { HALF } else { 0 });
            }
        }
    }

    #[test]
    fn printable_text_ends_before_controls_and_what_is_none() {
        let long = "Größe und Weiß\r\n\u{a0}".repeat(9);
        for end in ["\0", "\u{1b}[m", "\u{9b}m", "\u{7f}", "\u{8}"] {
            assert_eq!(printable(format!("{long}{end}{long}").as_bytes()), long);
        }
        for end in [&b"\xc3"[..], b"\xe2\x82", b"\x80a", b"\xc3(", b""] {
            assert_eq!(printable(&[long.as_bytes(), end].concat()), long);
            assert_eq!(printable(end), "");
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
