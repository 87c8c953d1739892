//! The lines of the protocol. It has no standard; OpenSSH's `scp.c` is what others follow
//! (<https://github.com/openssh/openssh-portable/blob/master/scp.c>).

use crate::files::sftp::is_name;

/// The longest line with its end, in bytes.
pub(super) const MAX_LINE: usize = 4096;

/// What a source says between files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// `C0644 size name`: a file follows.
    File { mode: u16, size: u64, name: String },
    /// `D0755 0 name`: a directory begins.
    Directory { mode: u16, name: String },
    /// `E`: a directory ends.
    End,
    /// `T changed 0 accessed 0`: the times of what follows.
    Times { changed: (u64, u32), accessed: (u64, u32) },
    /// One or two, and words for people.
    Trouble(Trouble),
}

/// Something went wrong at one side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Trouble {
    pub(super) fatal: bool,
    pub(super) message: String,
}

impl Line {
    /// Reads a line without its end; `None` if it is none.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        if let Some(trouble) = Trouble::parse(line) {
            return Some(Self::Trouble(trouble));
        }
        let text = str::from_utf8(line).ok()?;
        let (kind, rest) = text.split_at_checked(1)?;
        match kind {
            "C" => {
                let (mode, size, name) = entry(rest)?;
                Some(Self::File { mode, size, name })
            }
            "D" => match entry(rest)? {
                (mode, 0, name) => Some(Self::Directory { mode, name }),
                _ => None,
            },
            "E" if rest.is_empty() => Some(Self::End),
            "T" => {
                let mut numbers = rest.split(' ').map(number);
                let mut time = || Some((numbers.next()??, micros(numbers.next()??)?));
                let (changed, accessed) = (time()?, time()?);
                numbers.next().is_none().then_some(Self::Times { changed, accessed })
            }
            _ => None,
        }
    }

    /// The line in its one form, with its end.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::File { mode, size, name } => format!("C{mode:04o} {size} {name}\n").into_bytes(),
            Self::Directory { mode, name } => format!("D{mode:04o} 0 {name}\n").into_bytes(),
            Self::End => b"E\n".to_vec(),
            Self::Times { changed, accessed } => {
                format!("T{} {} {} {}\n", changed.0, changed.1, accessed.0, accessed.1).into_bytes()
            }
            Self::Trouble(trouble) => trouble.encode(),
        }
    }
}

impl Trouble {
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let (kind, message) = line.split_first()?;
        let fatal = match kind {
            1 => false,
            2 => true,
            _ => return None,
        };
        let shown = |c: char| if c.is_control() { '?' } else { c };
        Some(Self { fatal, message: String::from_utf8_lossy(message).chars().map(shown).collect() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let kind = if self.fatal { "\u{2}" } else { "\u{1}" };
        format!("{kind}{}\n", self.message).into_bytes()
    }
}

/// `mode size name`, each in its one form.
fn entry(text: &str) -> Option<(u16, u64, String)> {
    let (mode, rest) = text.split_once(' ')?;
    let (size, name) = rest.split_once(' ')?;
    let octal = mode.len() == 4 && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u16::from_str_radix(mode, 8).ok().filter(|_| octal)?;
    is_name(name).then(|| Some((mode, number(size)?, name.to_owned())))?
}

/// A decimal number without a sign and without zeros in front; OpenSSH counts in 63 bits.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|digit| digit.is_ascii_digit()));
    text.parse().ok().filter(|number| plain && i64::try_from(*number).is_ok())
}

fn micros(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|micros| *micros < 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_one_form() {
        for line in ["C0644 0 a", "C4755 12 b c", "D0755 0 ä", "E", "T1700000000 0 1700000000 999999"] {
            let read = Line::parse(line.as_bytes());
            assert_eq!(read.map(|line| line.encode()), Some(format!("{line}\n").into_bytes()), "{line}");
        }
        for line in [
            "",
            "C",
            "X",
            "C0644 1",
            "C644 1 a",
            "C00644 1 a",
            "C0888 1 a",
            "C0644 -1 a",
            "C0644 +1 a",
            "C0644 01 a",
            "C0644  1 a",
            "C0644 1 ",
            "C0644 1 .",
            "C0644 1 ..",
            "C0644 1 a/b",
            "C0644 1 /a",
            "C0644 1 a\x1b",
            "C0644 1 a\0",
            "C0644 9223372036854775808 a",
            "D0755 1 a",
            "D0755 0 ..",
            "E ",
            "T1 0 1",
            "T1 0 1 0 0",
            "T1 1000000 1 0",
            "T-1 0 1 0",
            "c0644 1 a",
        ] {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(Line::parse(b"C0644 1 \xff"), None);
    }

    #[test]
    fn words_for_people_move_no_cursor() {
        let trouble = Line::parse(b"\x01scp: \x1b[2Ja\xff").map(|line| line.encode());
        assert_eq!(trouble, Some("\u{1}scp: ?[2Ja\u{fffd}\n".as_bytes().to_vec()));
        assert_eq!(Line::parse(b"\x02").map(|line| line.encode()), Some(b"\x02\n".to_vec()));
    }
}
