//! Bytes made harmless for a terminal.

use std::fmt::{self, Write as _};

/// Shows bytes as text in which nothing can act on a terminal: control characters, bidirectional overrides, invisible
/// characters and bytes that are not UTF-8 are escaped.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                show(f, c)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({} bytes)", self.0.len())
    }
}

fn show(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\\' => f.write_str("\\\\"),
        '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(c)),
        _ if is_hidden(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        _ => f.write_char(c),
    }
}

/// Whether it is a C1 control, or changes the order or the look of text without being seen (Unicode TR 36 §3.1): such a character is
/// escaped wherever people look at what others wrote.
#[must_use]
pub const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        for (bytes, shown) in [
            (&b"select 1"[..], "select 1"),
            (b"a\nb\\", "a\\nb\\\\"),
            (b"\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
            (b"\xffz\xc3", "\\xffz\\xc3"),
            ("é\u{202e}x\u{9b}31m\u{200d}".as_bytes(), "é\\u{202e}x\\u{9b}31m\\u{200d}"),
        ] {
            assert_eq!(Shown(bytes).to_string(), shown);
        }
    }
}
