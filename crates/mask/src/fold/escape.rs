//! One layer of escapes as text carries them: `\u0040`, `%40`, `&#64;`, `\-`.

/// What stands at a backslash, a percent sign or an ampersand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escape {
    /// Nothing but the character itself.
    Absent,
    /// More text decides.
    Cut,
    /// A character written in this many bytes.
    Stands { character: char, length: usize },
}

/// Entities of HTML that stand for what values are made of (WHATWG HTML, section 13.5).
const ENTITIES: &[(&[u8], char)] = &[
    (b"amp", '&'),
    (b"commat", '@'),
    (b"period", '.'),
    (b"hyphen", '-'),
    (b"dash", '-'),
    (b"minus", '-'),
    (b"ndash", '-'),
    (b"mdash", '-'),
    (b"lowbar", '_'),
    (b"plus", '+'),
    (b"sol", '/'),
    (b"nbsp", ' '),
    (b"ensp", ' '),
    (b"emsp", ' '),
    (b"thinsp", ' '),
    (b"shy", '\u{ad}'),
    (b"zwj", '\u{200d}'),
    (b"zwnj", '\u{200c}'),
    (b"quot", '"'),
    (b"apos", '\''),
    (b"lt", '<'),
    (b"gt", '>'),
];

/// Reads the escape that a text begins with. The first 24 bytes always decide.
pub(super) fn read(text: &[u8]) -> Escape {
    let found = match text.first() {
        Some(b'\\') => backslash(text),
        Some(b'%') => percent(text),
        Some(b'&') => entity(text),
        _ => Some(Escape::Absent),
    };
    found.unwrap_or(Escape::Cut)
}

/// Reads the backslashes that a text begins with, as many as there are layers of quoting, as one that stands for itself.
pub(super) fn backslashes(text: &[u8]) -> Escape {
    let length = text.iter().take(8).take_while(|byte| **byte == b'\\').count();
    if text.len() > length { Escape::Stands { character: '\\', length } } else { Escape::Cut }
}

/// Backslashes, as many as there are layers of quoting, and what they escape (RFC 8259, section 7; CommonMark, 2.4).
fn backslash(text: &[u8]) -> Option<Escape> {
    let slashes = text.iter().take(8).take_while(|byte| **byte == b'\\').count();
    let after = slashes.saturating_add(1);
    Some(match text.get(slashes)? {
        b'u' if text.get(after)? == &b'{' => {
            let from = after.saturating_add(1);
            let (code, digits) = number(text.get(from..)?, 16, 6)?;
            let end = from.saturating_add(digits);
            if digits == 0 || text.get(end)? != &b'}' { Escape::Absent } else { stands(code, end.saturating_add(1)) }
        }
        b'u' => exact(text, after, 4)?,
        b'x' => exact(text, after, 2)?,
        b'n' | b'r' => Escape::Stands { character: '\n', length: after },
        b't' => Escape::Stands { character: '\t', length: after },
        b'\\' => Escape::Absent,
        byte if byte.is_ascii_punctuation() => Escape::Stands { character: char::from(*byte), length: after },
        _ => Escape::Absent,
    })
}

/// Percent-encoded UTF-8 (RFC 3986, section 2.1).
fn percent(text: &[u8]) -> Option<Escape> {
    let mut bytes = [0; 4];
    for length in 1..=bytes.len() {
        let at = length.saturating_sub(1).saturating_mul(3);
        let digits = at.saturating_add(1);
        let (code, found) = if text.get(at)? == &b'%' { number(text.get(digits..)?, 16, 2)? } else { (0, 0) };
        let (2, Some(slot)) = (found, bytes.get_mut(length.saturating_sub(1))) else {
            return Some(Escape::Absent);
        };
        *slot = u8::try_from(code).unwrap_or_default();
        match str::from_utf8(bytes.get(..length).unwrap_or_default()) {
            Ok(read) => {
                let character = read.chars().next().unwrap_or_default();
                return Some(Escape::Stands { character, length: digits.saturating_add(2) });
            }
            Err(error) if error.error_len().is_some() => return Some(Escape::Absent),
            Err(_) => {}
        }
    }
    Some(Escape::Absent)
}

/// A character reference (WHATWG HTML, section 13.1.4).
fn entity(text: &[u8]) -> Option<Escape> {
    if text.get(1)? != &b'#' {
        return named(text);
    }
    let hexadecimal = matches!(text.get(2)?, b'x' | b'X');
    let (from, radix) = if hexadecimal { (3, 16) } else { (2, 10) };
    let (code, digits) = number(text.get(from..)?, radix, 8)?;
    let end = digits.saturating_add(from);
    Some(if digits == 0 || text.get(end)? != &b';' { Escape::Absent } else { stands(code, end.saturating_add(1)) })
}

fn named(text: &[u8]) -> Option<Escape> {
    let name = text.get(1..)?;
    let length = name.iter().take(8).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if length == 0 || length > 7 || name.get(length)? != &b';' {
        return Some(Escape::Absent);
    }
    let name = name.get(..length).unwrap_or_default();
    let known = ENTITIES.iter().find(|(known, _)| *known == name);
    Some(known.map_or(Escape::Absent, |(_, character)| Escape::Stands {
        character: *character,
        length: length.saturating_add(2),
    }))
}

/// A number of exactly so many hexadecimal digits.
fn exact(text: &[u8], from: usize, digits: usize) -> Option<Escape> {
    let (code, found) = number(text.get(from..)?, 16, digits)?;
    Some(if found == digits { stands(code, from.saturating_add(digits)) } else { Escape::Absent })
}

/// At most so many digits; `None` if the text ends before it is known whether there are more.
fn number(text: &[u8], radix: u32, most: usize) -> Option<(u32, usize)> {
    let (mut code, mut count) = (0_u32, 0_usize);
    while count < most {
        let Some(digit) = char::from(*text.get(count)?).to_digit(radix) else { break };
        code = code.saturating_mul(radix).saturating_add(digit);
        count = count.saturating_add(1);
    }
    Some((code, count))
}

/// Half of a surrogate pair stands for no character, but it stands there.
fn stands(code: u32, length: usize) -> Escape {
    Escape::Stands { character: char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read() {
        let stands = |character, length| Escape::Stands { character, length };
        for (text, expected) in [
            ("\\u0040leak", stands('@', 6)),
            ("\\\\\\u0040leak", stands('@', 8)),
            ("\\u{40}leak", stands('@', 6)),
            ("\\x40", stands('@', 4)),
            ("\\-55", stands('-', 2)),
            ("\\nab", stands('\n', 2)),
            ("\\ud83d", stands('\u{fffd}', 6)),
            ("%40leak", stands('@', 3)),
            ("%E2%80%93", stands('–', 9)),
            ("&#64;", stands('@', 5)),
            ("&#x0040;", stands('@', 8)),
            ("&commat;", stands('@', 8)),
            ("\\users", Escape::Absent),
            ("\\Windows", Escape::Absent),
            ("% off", Escape::Absent),
            ("%zz", Escape::Absent),
            ("%FF%41", Escape::Absent),
            ("& more", Escape::Absent),
            ("&copy;", Escape::Absent),
            ("&notes and more", Escape::Absent),
            ("&#;", Escape::Absent),
            ("\\u00", Escape::Cut),
            ("\\", Escape::Cut),
            ("%4", Escape::Cut),
            ("%E2%80", Escape::Cut),
            ("&#6", Escape::Cut),
            ("&com", Escape::Cut),
            ("", Escape::Absent),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn more_text_only_decides_what_was_open() {
        for whole in [
            "\\\\\\\\\\u0040abcdefghijkl",
            "\\\\\\\\\\\\\\\\u{10ffff}aaaaaa",
            "%E2%80%93aaaaaaaaaa",
            "&#x00000040;aaaaaaa",
        ] {
            let decided = read(whole.as_bytes());
            for cut in 0..whole.len() {
                let part = read(whole.as_bytes().get(..cut).unwrap_or_default());
                assert!(cut == 0 || part == Escape::Cut || part == decided, "{whole} cut at {cut}");
            }
            assert_ne!(decided, Escape::Cut, "{whole}");
        }
    }
}
