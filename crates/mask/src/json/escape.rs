//! String escapes, both ways (RFC 8259 §7).

use std::borrow::Cow;
use std::str::Chars;

use super::entry::wide;

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Appends a text as the inside of a JSON string, without the quotes around it.
pub fn escape_into(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_at_checked(plain_bytes(rest.as_bytes())) {
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            None => return,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(control) => push_unit(u32::from(control), out),
        }
        rest = chars.as_str();
    }
}

/// The text as a JSON string with its quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    escape_into(text, &mut out);
    out.push('"');
    out
}

/// The text that a string's inside stands for, borrowed if nothing is escaped. Half a pair becomes U+FFFD.
pub(super) fn unescape(inside: &str) -> Cow<'_, str> {
    let Some((plain, mut rest)) = inside.split_once('\\') else { return Cow::Borrowed(inside) };
    let mut text = String::with_capacity(inside.len());
    text.push_str(plain);
    loop {
        let (char, after) = escaped(rest);
        text.push(char);
        let Some((plain, more)) = after.split_once('\\') else {
            text.push_str(after);
            return Cow::Owned(text);
        };
        text.push_str(plain);
        rest = more;
    }
}

/// The characters that a string's inside stands for, one by one and without an allocation.
#[derive(Clone)]
pub(super) struct Unescaped<'a>(Chars<'a>);

impl<'a> Unescaped<'a> {
    pub(super) fn new(inside: &'a str) -> Self {
        Self(inside.chars())
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let char = self.0.next()?;
        if char != '\\' {
            return Some(char);
        }
        let (char, rest) = escaped(self.0.as_str());
        self.0 = rest.chars();
        Some(char)
    }
}

/// How many bytes stand for themselves in a string: those before the first quote, backslash or control character.
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut plain = 0;
    for word in words {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return plain + wide(special.trailing_zeros() / 8);
        }
        plain += 8;
    }
    plain + tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(tail.len())
}

/// One half of a pair, or a character of the basic plane, from its four digits.
pub(super) fn code_unit(digits: [u8; 4]) -> Option<u32> {
    digits.into_iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

pub(super) fn is_high_surrogate(unit: u32) -> bool {
    (0xD800..0xDC00).contains(&unit)
}

pub(super) fn is_low_surrogate(unit: u32) -> bool {
    (0xDC00..0xE000).contains(&unit)
}

/// Eight bytes at once: the lowest bit that is set lies in the first byte that is a quote, a backslash or a control
/// character. A subtraction borrows only out of a byte that is one, so bytes below the first are exact.
fn special_bytes(word: u64) -> u64 {
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * u64::from(b'"')));
    let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGHS
}

/// The character of an escape whose backslash is behind us, and what follows.
fn escaped(rest: &str) -> (char, &str) {
    let mut chars = rest.chars();
    let char = match chars.next() {
        Some('u') => return code_point(chars.as_str()),
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some(itself) => itself,
        None => REPLACEMENT,
    };
    (char, chars.as_str())
}

fn code_point(digits: &str) -> (char, &str) {
    let Some((unit, after)) = leading_unit(digits) else { return (REPLACEMENT, digits) };
    if is_high_surrogate(unit)
        && let Some((low, beyond)) = after.strip_prefix("\\u").and_then(leading_unit)
        && is_low_surrogate(low)
    {
        let point = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(point).unwrap_or(REPLACEMENT), beyond);
    }
    (char::from_u32(unit).unwrap_or(REPLACEMENT), after)
}

fn leading_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, after) = text.split_at_checked(4)?;
    Some((code_unit(digits.as_bytes().try_into().ok()?)?, after))
}

fn push_unit(unit: u32, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit((unit >> shift) & 0xF, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escape(text: &str) -> String {
        let mut out = String::new();
        escape_into(text, &mut out);
        out
    }

    #[test]
    fn only_quotes_backslashes_and_controls_are_escaped() {
        for (text, expected) in [
            ("", ""),
            ("plain, longer than eight bytes", "plain, longer than eight bytes"),
            ("a\"b\\c/d", "a\\\"b\\\\c/d"),
            ("\u{8}\t\n\u{c}\r", "\\b\\t\\n\\f\\r"),
            ("\0\u{1f} \u{7f}\u{80}", "\\u0000\\u001f \u{7f}\u{80}"),
            ("ünï😀", "ünï😀"),
            ("12345678\"", "12345678\\\""),
        ] {
            assert_eq!(escape(text), expected);
            assert_eq!(unescape(expected), text);
        }
    }

    #[test]
    fn every_escape_has_its_character() {
        for (inside, expected) in [
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\uD83D\uDE00x", "Aé😀x"),
            (r"\ud83d\u0041", "\u{FFFD}A"),
            (r"\ude00\ud83d", "\u{FFFD}\u{FFFD}"),
            (r"\ud83d\ud83d\ude00", "\u{FFFD}😀"),
        ] {
            assert_eq!(unescape(inside), expected);
            assert_eq!(Unescaped::new(inside).collect::<String>(), expected);
        }
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(unescape("as it is"), Cow::Borrowed(_)));
    }

    proptest::proptest! {
        #[test]
        fn escaping_is_undone_by_unescaping(text in "(?s).{0,40}") {
            let escaped = escape(&text);
            proptest::prop_assert_eq!(unescape(&escaped), text);
        }

        #[test]
        fn plain_bytes_end_before_the_first_special_one(bytes in proptest::collection::vec(0_u8.., 0..40)) {
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            proptest::prop_assert_eq!(plain_bytes(&bytes), expected);
        }
    }
}
