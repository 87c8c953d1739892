//! A byte stream as printed characters and everything else.
//!
//! The states are those of ECMA-48 and of the state diagram that Paul Williams drew for DEC terminals
//! (<https://vt100.net/emu/dec_ansi_parser>), on UTF-8: controls of the C1 set count where they are encoded as two
//! bytes, as `xterm` reads them, and not as bare bytes. Bytes that are no UTF-8 print U+FFFD, one for each maximal
//! part of a sequence (Unicode Standard, section 3.9).

use super::head::Head;
use super::kind::Kind;

/// The longest beginning of a sequence that is kept in one piece; what goes on longer is passed as it comes.
const HEAD: usize = 128;

/// A part of the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token {
    /// How many bytes it has, counted back from `end`.
    pub(super) length: usize,
    /// The place after its last byte, counted from the beginning of the stream.
    pub(super) end: usize,
    pub(super) part: Part,
}

/// What a part of the stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Print(char),
    /// A control of the C0 set, also in the middle of a sequence.
    Control(u8),
    /// A whole sequence.
    Sequence(Head),
    /// The beginning of a string, up to where its kind is known.
    Opens(Kind),
    /// A character of a string.
    Inside(char),
    /// The end of a string; no bytes if what ends it is a part of its own.
    Closes,
    /// Bytes of a sequence that is no good; they print nothing.
    Void,
}

/// Splits a stream, however it is cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokeniser {
    state: State,
    head: Head,
    /// Where the stream is read to.
    at: usize,
    /// Where the part begins that is not complete.
    from: usize,
    partial: [u8; 4],
    partial_length: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    /// A sequence that outgrew the head.
    Stray,
    /// The number of an operating system command.
    Number,
    /// The parameters of a device control string.
    Device,
    /// The characters of a string.
    Text(Ender),
}

/// Whether BEL ends a string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ender {
    Bell,
    Escape,
}

impl Tokeniser {
    /// Whether the next printable byte of ASCII prints itself.
    pub(super) fn is_plain(&self) -> bool {
        self.state == State::Ground && self.partial_length == 0
    }

    /// Passes over bytes that print themselves.
    pub(super) const fn pass(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
        self.from = self.at;
    }

    /// Where the part begins that is not complete; the place after the last byte if there is none.
    pub(super) const fn pending(&self) -> usize {
        self.from
    }

    /// Reads one byte.
    pub(super) fn read(&mut self, byte: u8, take: &mut impl FnMut(Token)) {
        self.at = self.at.saturating_add(1);
        if self.partial_length > 0 || byte >= 0x80 {
            return self.decode(byte, take);
        }
        self.step(char::from(byte), 1, take);
    }

    /// Ends the stream: what is incomplete prints, or is void.
    pub(super) fn finish(&mut self, take: &mut impl FnMut(Token)) {
        if self.partial_length > 0 {
            let length = std::mem::take(&mut self.partial_length);
            self.step('\u{fffd}', length, take);
        }
        match self.state {
            State::Text(_) => self.emit(Part::Closes, take),
            State::Ground => {}
            State::Escape | State::Csi | State::Stray | State::Number | State::Device => self.emit(Part::Void, take),
        }
        self.state = State::Ground;
    }

    /// Adds a byte to a character of several.
    fn decode(&mut self, byte: u8, take: &mut impl FnMut(Token)) {
        if let Some(place) = self.partial.get_mut(self.partial_length) {
            *place = byte;
            self.partial_length = self.partial_length.saturating_add(1);
        }
        let bytes = self.partial.get(..self.partial_length).unwrap_or_default();
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let (character, length) = (text.chars().next().unwrap_or_default(), self.partial_length);
                self.partial_length = 0;
                self.step(character, length, take);
            }
            Err(error) if error.error_len().is_none() => {}
            Err(error) => {
                let good = error.error_len().unwrap_or(1).min(self.partial_length);
                let again = good < self.partial_length;
                self.partial_length = 0;
                if again {
                    self.at = self.at.saturating_sub(1);
                    self.step('\u{fffd}', good, take);
                    self.read(byte, take);
                } else {
                    self.step('\u{fffd}', good, take);
                }
            }
        }
    }

    fn step(&mut self, character: char, length: usize, take: &mut impl FnMut(Token)) {
        match character {
            '\u{1b}' => self.begin(State::Escape, length, take),
            '\u{18}' | '\u{1a}' if self.state != State::Ground => {
                self.leave(length, take);
                self.emit(Part::Void, take);
            }
            '\u{80}'..='\u{9f}' => self.control(character, length, take),
            _ => match self.state {
                State::Ground if matches!(character, '\0'..='\u{1f}' | '\u{7f}') => {
                    self.emit(Part::Control(low(character)), take);
                }
                State::Ground => self.emit(Part::Print(character), take),
                State::Escape | State::Csi | State::Stray => self.sequence(character, take),
                State::Number => self.number(character, length, take),
                State::Device => self.device(character, take),
                State::Text(Ender::Bell) if character == '\u{7}' => {
                    self.emit(Part::Closes, take);
                    self.state = State::Ground;
                }
                State::Text(_) => self.emit(Part::Inside(character), take),
            },
        }
    }

    /// A control of the C1 set (ECMA-48, section 8.3).
    fn control(&mut self, character: char, length: usize, take: &mut impl FnMut(Token)) {
        self.begin(State::Escape, length, take);
        let byte = u8::try_from(u32::from(character)).unwrap_or(0x80).saturating_sub(0x40);
        self.sequence(char::from(byte), take);
    }

    /// Ends whatever is open before the last `length` bytes.
    fn leave(&mut self, length: usize, take: &mut impl FnMut(Token)) {
        let here = self.at;
        self.at = here.saturating_sub(length);
        match self.state {
            State::Ground => {}
            State::Text(_) => self.emit(Part::Closes, take),
            State::Escape | State::Csi | State::Stray | State::Number | State::Device => self.emit(Part::Void, take),
        }
        self.at = here;
        self.state = State::Ground;
    }

    fn begin(&mut self, state: State, length: usize, take: &mut impl FnMut(Token)) {
        self.leave(length, take);
        self.from = self.at.saturating_sub(length);
        self.head = Head::default();
        self.state = state;
    }

    /// A character of an escape or control sequence, in which those beyond ASCII mean nothing.
    fn sequence(&mut self, character: char, take: &mut impl FnMut(Token)) {
        let byte = low(character);
        match (self.state, byte) {
            (_, 0..=0x1f) => {
                self.within(byte, take);
                self.outgrow(take);
            }
            (_, 0x7f..) => self.outgrow(take),
            (State::Escape, b'[') if self.head.is_bare() => (self.state, self.head) = (State::Csi, Head::csi()),
            (State::Escape, b']') if self.head.is_bare() => self.state = State::Number,
            (State::Escape, b'P') if self.head.is_bare() => self.state = State::Device,
            (State::Escape, b'X' | b'^' | b'_') if self.head.is_bare() => {
                let kind = if byte == b'_' { Kind::Picture } else { Kind::Other };
                self.open(kind, Ender::Escape, take);
            }
            (State::Escape, 0x30..) | (State::Csi | State::Stray, 0x40..) => {
                self.head.end(byte);
                let part = if self.state == State::Stray { Part::Void } else { Part::Sequence(self.head) };
                self.state = State::Ground;
                self.emit(part, take);
            }
            (State::Stray, _) => self.emit(Part::Void, take),
            _ => {
                self.head.add(byte);
                self.outgrow(take);
            }
        }
    }

    /// Whatever a sequence goes on in, it is not kept in one piece for ever.
    fn outgrow(&mut self, take: &mut impl FnMut(Token)) {
        if self.state == State::Stray || self.at.saturating_sub(self.from) > HEAD {
            self.state = State::Stray;
            self.emit(Part::Void, take);
        }
    }

    /// A control in the middle of a sequence takes effect at once; the sequence goes on.
    fn within(&self, byte: u8, take: &mut impl FnMut(Token)) {
        take(Token { length: 0, end: self.at, part: Part::Control(byte) });
    }

    /// A character of the number that an operating system command begins with.
    fn number(&mut self, character: char, length: usize, take: &mut impl FnMut(Token)) {
        match low(character) {
            byte @ b'0'..=b'9' if self.head.digits() < 5 => self.head.add(byte),
            b';' => self.open(Kind::of_command(self.head.first()), Ender::Bell, take),
            0x07 => {
                self.open(Kind::of_command(self.head.first()), Ender::Bell, take);
                self.emit(Part::Closes, take);
                self.state = State::Ground;
            }
            _ => {
                let here = self.at;
                self.at = here.saturating_sub(length);
                self.open(Kind::Other, Ender::Bell, take);
                self.at = here;
                self.emit(Part::Inside(character), take);
            }
        }
    }

    /// A character of what a device control string begins with.
    fn device(&mut self, character: char, take: &mut impl FnMut(Token)) {
        match low(character) {
            byte @ 0x40..=0x7e => {
                self.head.end(byte);
                self.open(self.head.device(), Ender::Escape, take);
            }
            _ if self.at.saturating_sub(self.from) > HEAD / 4 => self.open(Kind::Other, Ender::Escape, take),
            byte @ 0x20..=0x3f => self.head.add(byte),
            _ => {}
        }
    }

    fn open(&mut self, kind: Kind, ender: Ender, take: &mut impl FnMut(Token)) {
        self.state = State::Text(ender);
        self.emit(Part::Opens(kind), take);
    }

    fn emit(&mut self, part: Part, take: &mut impl FnMut(Token)) {
        let length = self.at.saturating_sub(self.from);
        self.from = self.at;
        if length > 0 || part == Part::Closes {
            take(Token { length, end: self.at, part });
        }
    }
}

/// Reads a character beyond ASCII, or bytes that are none as U+FFFD; also tells how many bytes. None if more bytes may
/// make another one of them (Unicode Standard, section 3.9, table 3-7).
pub(super) fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let lead = *bytes.first()?;
    let (length, second) = match lead {
        0..=0x7f => return None,
        0xc2..=0xdf => (2, 0x80..=0xbf),
        0xe0 => (3, 0xa0..=0xbf),
        0xed => (3, 0x80..=0x9f),
        0xe1..=0xef => (3, 0x80..=0xbf),
        0xf0 => (4, 0x90..=0xbf),
        0xf1..=0xf3 => (4, 0x80..=0xbf),
        0xf4 => (4, 0x80..=0x8f),
        _ => return Some(('\u{fffd}', 1)),
    };
    let mut code = u32::from(lead) & (0x7f >> length);
    for index in 1..length {
        let byte = *bytes.get(index)?;
        let good = if index == 1 { second.contains(&byte) } else { matches!(byte, 0x80..=0xbf) };
        if !good {
            return Some(('\u{fffd}', index));
        }
        code = (code << 6) | u32::from(byte & 0x3f);
    }
    Some((char::from_u32(code)?, length))
}

/// The byte of a character of ASCII; DEL, which nothing looks at, for any other.
fn low(character: char) -> u8 {
    u8::try_from(character).ok().filter(u8::is_ascii).unwrap_or(0x7f)
}
