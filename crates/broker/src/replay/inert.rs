//! A terminal's bytes without what would act on more than the picture.
//!
//! What changes the picture passes by a list: text, cursor, colours, screens. Everything else is left out: requests
//! that the viewer's terminal would answer by typing, the clipboard, titles, printing, keyboard and mouse modes, and
//! every string (OSC, DCS, APC, PM, SOS). Sequences are those of ECMA-48 §5.4 and §8.3, and of xterm's
//! [control sequences](https://invisible-island.net/xterm/ctlseqs/ctlseqs.html).

/// The most bytes of one control sequence; longer ones are left out.
const LONGEST: usize = 256;
const ESC: u8 = 0x1b;
/// Private modes that only change the picture: among them the alternate screens.
const MODES: [&str; 14] = ["1", "3", "5", "6", "7", "12", "25", "45", "47", "1047", "1048", "1049", "2026", "69"];
const ALTERNATE: [&str; 3] = ["47", "1047", "1049"];

/// Lets through what shows something. Sequences may come in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inert {
    state: State,
    /// Bytes of a character that are still to come (RFC 3629 §3).
    continues: u8,
    /// A lead byte that may begin a C1 control: U+0080 to U+009F.
    lead: bool,
    alternate: bool,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Ground,
    Escape(Vec<u8>),
    Control(Vec<u8>),
    /// In a string that is left out.
    Text,
    /// An escape in a string: its end, or another sequence.
    TextEscape,
}

impl Inert {
    /// What passes of the next bytes.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.byte(*byte, &mut out);
        }
        out
    }

    /// What leaves a terminal as it was before: the main screen, a cursor, plain colours, no region that scrolls.
    pub(crate) const fn farewell(&self) -> &'static str {
        if self.alternate { "\x1b[?1049l\x1b[!p\x1b[?25h\x1b[0m\r\n" } else { "\x1b[!p\x1b[?25h\x1b[0m\r\n" }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte, out),
            State::Escape(seen) => self.escape(seen, byte, out),
            State::Control(seen) => self.control(seen, byte, out),
            State::Text => {
                self.state = match byte {
                    ESC => State::TextEscape,
                    // BEL ends an OSC; CAN and SUB end any.
                    0x07 | 0x18 | 0x1a => State::Ground,
                    _ => State::Text,
                };
            }
            State::TextEscape if byte == b'\\' => {}
            State::TextEscape => self.escape(Vec::new(), byte, out),
        }
    }

    fn ground(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.lead {
            self.lead = false;
            // What follows would be a C1 control in two bytes; characters from U+00A0 on pass.
            if matches!(byte, 0xa0..=0xbf) {
                out.extend([0xc2, byte]);
                return;
            }
            if matches!(byte, 0x80..=0x9f) {
                return;
            }
        }
        match byte {
            0x80..=0xbf if self.continues > 0 => {
                self.continues = self.continues.saturating_sub(1);
                out.push(byte);
                return;
            }
            0xc2 => self.lead = true,
            0xc3..=0xdf => self.continues = 1,
            0xe0..=0xef => self.continues = 2,
            0xf0..=0xf4 => self.continues = 3,
            _ => self.continues = 0,
        }
        match byte {
            ESC => self.state = State::Escape(Vec::new()),
            // BEL to SI: bell, movement, character sets.
            0x07..=0x0f | 0x20..=0x7e | 0xc3..=0xf4 => out.push(byte),
            // ENQ is answered; other controls and bytes that are no text show nothing.
            _ => {}
        }
    }

    fn escape(&mut self, mut seen: Vec<u8>, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'[' if seen.is_empty() => self.state = State::Control(Vec::new()),
            b']' | b'P' | b'X' | b'^' | b'_' if seen.is_empty() => self.state = State::Text,
            ESC => self.state = State::Escape(Vec::new()),
            0x18 | 0x1a => {}
            0x20..=0x2f if seen.len() < 2 => {
                seen.push(byte);
                self.state = State::Escape(seen);
            }
            _ => {
                let passes = match seen.as_slice() {
                    [] => matches!(byte, b'7' | b'8' | b'D' | b'E' | b'H' | b'M' | b'N' | b'O' | b'c'),
                    // Character sets (ECMA-35 §14.3), and the size of lines.
                    [b'(' | b')' | b'*' | b'+' | b'-' | b'.' | b'/'] => matches!(byte, 0x30..=0x7e),
                    [b'#'] => matches!(byte, b'3'..=b'6' | b'8'),
                    _ => false,
                };
                if passes {
                    self.alternate &= byte != b'c' || !seen.is_empty();
                    out.push(ESC);
                    out.extend(seen);
                    out.push(byte);
                }
            }
        }
    }

    fn control(&mut self, mut seen: Vec<u8>, byte: u8, out: &mut Vec<u8>) {
        match byte {
            ESC => self.state = State::Escape(Vec::new()),
            0x18 | 0x1a => {}
            0x20..=0x3f => {
                if seen.len() <= LONGEST {
                    seen.push(byte);
                }
                self.state = State::Control(seen);
            }
            0x40..=0x7e => self.whole(&seen, byte, out),
            // Controls inside act at once, as they do in a terminal.
            0x07..=0x0d => {
                out.push(byte);
                self.state = State::Control(seen);
            }
            _ => self.state = State::Control(seen),
        }
    }

    /// A control sequence that is complete.
    fn whole(&mut self, seen: &[u8], last: u8, out: &mut Vec<u8>) {
        let Some(text) = std::str::from_utf8(seen).ok().filter(|text| text.len() <= LONGEST) else { return };
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
        match last {
            b'@'..=b'M'
            | b'P'
            | b'S'
            | b'T'
            | b'X'
            | b'Z'
            | b'`'
            | b'a'
            | b'b'
            | b'd'..=b'g'
            | b'm'
            | b'r'
            | b's'
            | b'u'
                if plain =>
            {
                control(out, text, last);
            }
            b'h' | b'l' if text == "4" || text == "20" => control(out, text, last),
            b'h' | b'l' => self.modes(text, last, out),
            b'J' | b'K'
                if text.strip_prefix('?').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) =>
            {
                control(out, text, last);
            }
            b'q' if text.strip_suffix(' ').is_some_and(|shape| shape.bytes().all(|byte| byte.is_ascii_digit())) => {
                control(out, text, last);
            }
            b'p' if text == "!" => control(out, text, last),
            _ => {}
        }
    }

    /// Of private modes, those that only change the picture.
    fn modes(&mut self, text: &str, last: u8, out: &mut Vec<u8>) {
        let Some(modes) = text.strip_prefix('?') else { return };
        let kept: Vec<&str> = modes.split(';').filter(|mode| MODES.contains(mode)).collect();
        if kept.iter().any(|mode| ALTERNATE.contains(mode)) {
            self.alternate = last == b'h';
        }
        if !kept.is_empty() {
            control(out, &format!("?{}", kept.join(";")), last);
        }
    }
}

fn control(out: &mut Vec<u8>, text: &str, last: u8) {
    out.extend([ESC, b'[']);
    out.extend(text.bytes());
    out.push(last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_passes_and_what_acts_does_not_however_it_is_cut() {
        for (bytes, passes) in [
            ("plain é 漢 \u{a0}\r\n\t\x07", "plain é 漢 \u{a0}\r\n\t\x07"),
            ("\x1b[1;31mred\x1b[38:2::1:2:3m\x1b[0m", "\x1b[1;31mred\x1b[38:2::1:2:3m\x1b[0m"),
            (
                "\x1b[2J\x1b[H\x1b[?25l\x1b[3;4r\x1b(B\x1b7\x1b8\x1b[2 q",
                "\x1b[2J\x1b[H\x1b[?25l\x1b[3;4r\x1b(B\x1b7\x1b8\x1b[2 q",
            ),
            ("a\x1b]52;c;aGk=\x07b\x1b]52;c;aGk=\x1b\\c", "abc"),
            ("a\x1b]0;title\x07b\x1b]11;?\x1b\\c\x1b[22;0;0tc\x1b[23tc\x1b[18tc", "abcccc"),
            ("a\x1b[6nb\x1b[5nc\x1b[?6nd\x1b[cd\x1b[>cd\x1b[=cd\x1bZd\x05d\x1b[xd", "abcddddddd"),
            ("a\x1b[>qb\x1b[?1$pb\x1b[?ub\x1b[>1ub\x1b[5ib", "abbbbb"),
            ("a\x1bP$qm\x1b\\b\x1bP+q544e\x1b\\c\x1b_x\x1b\\d\x1b^x\x1b\\e\x1bXx\x1b\\f", "abcdef"),
            ("a\u{90}b\u{9b}6nc\u{9d}52;c;x\u{9c}", "ab6nc52;c;x"),
            ("\x1b[?1049;1003;2004h", "\x1b[?1049h"),
            ("\x1b[?1000h\x1b[?2004hx", "x"),
            ("\x1b[1\x1b[6nx\x1b[\n1mx\x1b[3\x18x", "x\n\x1b[1mxx"),
            ("\x1b]0;never ends\x1b[6n\x1b[1mx", "\x1b[1mx"),
        ] {
            assert_eq!(String::from_utf8_lossy(&Inert::default().pass(bytes.as_bytes())), passes, "{bytes:?}");
            let mut inert = Inert::default();
            let by_byte: Vec<u8> = bytes.bytes().flat_map(|byte| inert.pass(&[byte])).collect();
            assert_eq!(String::from_utf8_lossy(&by_byte), passes, "{bytes:?} by the byte");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_pass_as_controls() {
        assert_eq!(Inert::default().pass(b"a\x90$q\x9bb\xff\x80c"), b"a$qbc");
        let long = format!("\x1b[{}mx", "1;".repeat(LONGEST));
        assert_eq!(Inert::default().pass(long.as_bytes()), b"x");
    }

    #[test]
    fn the_alternate_screen_is_known() {
        let mut inert = Inert::default();
        inert.pass(b"\x1b[?1049h");
        assert!(inert.farewell().contains("1049l"));
        inert.pass(b"\x1b[?1049l");
        assert!(!inert.farewell().contains("1049l"));
    }
}
