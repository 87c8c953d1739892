//! How a control sequence is written, as far as it could hide something.

/// What a whole sequence, or the head of a string, looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manner<'a> {
    /// As programs write it: with no number of more than five digits. These bytes, with which it ends, may be the
    /// beginning of what was to be printed.
    Ordinary(&'a [u8]),
    /// In some other way.
    Odd,
}

/// The longest number of an ordinary sequence.
const DIGITS: usize = 5;
/// The same in a list with colons, which colours are written as.
const COLOUR: usize = 3;

/// How many bytes introduce a sequence, in their form of one byte more or in that of the C1 set.
pub(super) fn introducer(bytes: &[u8]) -> usize {
    match bytes {
        [0x1b, b'[' | b']' | b'P' | b'X' | b'^' | b'_', ..] | [0xc2, 0x80..=0x9f, ..] => 2,
        [0x1b, ..] => 1,
        _ => 0,
    }
}

/// How a sequence is written (ECMA-48, section 5.4), or the head of a string.
pub(super) fn manner(bytes: &[u8]) -> Manner<'_> {
    let inner = bytes.get(introducer(bytes)..).unwrap_or_default();
    match bytes {
        [0x1b, b'[' | b'P', ..] | [0xc2, 0x9b | 0x90, ..] => parameters(inner),
        [0x1b, b']', ..] | [0xc2, 0x9d, ..] => command(inner),
        [0x1b, b'X' | b'^' | b'_', ..] | [0xc2, ..] => Manner::Ordinary(&[]),
        _ => escape(inner),
    }
}

fn parameters(inner: &[u8]) -> Manner<'_> {
    let Some((b'@'..=b'~', all)) = inner.split_last() else { return Manner::Odd };
    let all = all.strip_prefix(b"?").or_else(|| all.strip_prefix(b">")).unwrap_or(all);
    let all = all.strip_prefix(b"=").or_else(|| all.strip_prefix(b"<")).unwrap_or(all);
    let is_number = |byte: &u8| matches!(byte, b'0'..=b';');
    let (numbers, middle) = all.split_at(all.iter().take_while(|byte| is_number(byte)).count());
    let most = if numbers.contains(&b':') { COLOUR } else { DIGITS };
    let short = numbers.split(|byte| matches!(byte, b';' | b':')).all(|number| number.len() <= most);
    if !short || middle.len() > 2 || !middle.iter().all(|byte| matches!(byte, b' '..=b'/')) {
        return Manner::Odd;
    }
    Manner::Ordinary(inner.get(inner.len().saturating_sub(middle.len().saturating_add(1))..).unwrap_or_default())
}

/// The number of an operating system command.
fn command(inner: &[u8]) -> Manner<'_> {
    let digits = inner.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match inner.get(digits..) {
        Some([] | [b';'] | [0x07]) if inner.len() != digits || digits == 0 => Manner::Ordinary(&[]),
        _ => Manner::Odd,
    }
}

fn escape(inner: &[u8]) -> Manner<'_> {
    match inner {
        [b'0'..=b'~'] | [b' '..=b'/', b'0'..=b'~'] | [b' '..=b'/', b' '..=b'/', b'0'..=b'~'] => Manner::Ordinary(inner),
        _ => Manner::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_is_ordinary() {
        for (sequence, last) in [
            ("\x1b[31m", "m"),
            ("\x1b[38;2;255;128;0;48;5;17m", "m"),
            ("\x1b[38:2::255:128:0m", "m"),
            ("\x1b[4:3m", "m"),
            ("\x1b[?1049h", "h"),
            ("\x1b[?2004;1006l", "l"),
            ("\x1b[?19997h", "h"),
            ("\x1b[24;80H", "H"),
            ("\x1b[;5H", "H"),
            ("\x1b[>4;2m", "m"),
            ("\x1b[?2026$p", "$p"),
            ("\x1b[1 q", " q"),
            ("\x1b[4;1080;1920t", "t"),
            ("\x1bP1$q", "$q"),
            ("\x1bP0;1;0q", "q"),
            ("\x1b]0;", ""),
            ("\x1b]1337;", ""),
            ("\x1b]104\x07", ""),
            ("\x1b_", ""),
            ("\u{9b}31m", "m"),
            ("\u{9d}8;", ""),
            ("\u{85}", ""),
            ("\x1b[m", "m"),
            ("\x1b[K", "K"),
            ("\x1b[?u", "u"),
            ("\x1b[ q", " q"),
            ("\x1b[!p", "!p"),
            ("\x1bPq", "q"),
            ("\x1b(B", "(B"),
            ("\x1b7", "7"),
            ("\x1b$(C", "$(C"),
            ("\u{9b}H", "H"),
        ] {
            assert_eq!(manner(sequence.as_bytes()), Manner::Ordinary(last.as_bytes()), "{sequence:?}");
        }
    }

    #[test]
    fn what_no_program_writes_is_odd() {
        for sequence in [
            "\x1b[4111 1111 1111 1111m",
            "\x1b[4111111111111111m",
            "\x1b[900-55-0001m",
            "\x1b[900:55:0001m",
            "\x1b[   m",
            "\x1b[1\n2m",
            "\x1b[+1m",
            "\x1b[１m",
            "\x1bP4111 1111q",
            "\x1b]900",
            "\x1b---B",
            "\x1b[5",
            "\x1bP",
        ] {
            assert_eq!(manner(sequence.as_bytes()), Manner::Odd, "{sequence:?}");
        }
    }
}
