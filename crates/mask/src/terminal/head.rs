//! What a control sequence begins with and how it ends.

use super::kind::Kind;

/// Which introducer a sequence has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Form {
    #[default]
    Escape,
    Csi,
}

/// Parameters, intermediate bytes and the final byte of a sequence (ECMA-48, section 5.4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Head {
    form: Form,
    /// `<`, `=`, `>` or `?`, or 0.
    marker: u8,
    middle: u8,
    params: [u32; 2],
    count: usize,
    digits: usize,
    last: u8,
}

/// What a sequence does to the cursor, as far as columns go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Motion {
    /// What is printed next stands beside what was printed before.
    Stays,
    Right(u32),
    Left(u32),
    /// To a column counted from 1.
    To(u32),
    /// Only up or down, or text is moved and the cursor is not.
    Column,
}

impl Head {
    pub(super) const fn is_bare(&self) -> bool {
        self.middle == 0 && self.marker == 0 && self.count == 0 && self.digits == 0
    }

    pub(super) const fn digits(&self) -> usize {
        self.digits
    }

    pub(super) fn first(&self) -> u32 {
        self.params.first().copied().unwrap_or_default()
    }

    /// Takes a parameter or intermediate byte.
    pub(super) fn add(&mut self, byte: u8) {
        match byte {
            b'0'..=b'9' => {
                self.digits = self.digits.saturating_add(1);
                if let Some(number) = self.params.get_mut(self.count) {
                    *number =
                        number.saturating_mul(10).saturating_add(u32::from(byte.saturating_sub(b'0'))).min(1 << 24);
                }
            }
            b';' | b':' => self.count = self.count.saturating_add(1),
            b'<'..=b'?' => self.marker = byte,
            _ => self.middle = byte,
        }
    }

    /// The head of a control sequence.
    pub(super) fn csi() -> Self {
        Self { form: Form::Csi, ..Self::default() }
    }

    /// Takes the final byte.
    pub(super) const fn end(&mut self, byte: u8) {
        self.last = byte;
    }

    /// Whether this is the string terminator.
    pub(super) const fn terminates(&self) -> bool {
        matches!((self.form, self.middle, self.last), (Form::Escape, 0, b'\\'))
    }

    /// The kind of a whole sequence ("XTerm Control Sequences").
    pub(super) fn kind(&self) -> Kind {
        match (self.form, self.marker, self.middle, self.last) {
            (Form::Escape, _, 0, b'7' | b'8' | b'D' | b'E' | b'M' | b'c' | b'6' | b'9') => Kind::Move,
            (Form::Escape, _, 0, b'Z') => Kind::Report,
            (Form::Escape, _, 0, b'=' | b'>') => Kind::Mode,
            (Form::Escape, _, b'(' | b')' | b'*' | b'+' | b'-' | b'.' | b'/' | b'%', _) => Kind::Style,
            (Form::Escape, _, b'#', _) => Kind::Move,
            (Form::Escape, ..) => Kind::Other,
            (_, 0, 0, b'm') => Kind::Style,
            (_, _, 0, b'J' | b'K') | (_, 0, 0, b'X') => Kind::Erase,
            (_, _, 0, b'h' | b'l') if matches!(self.first(), 47 | 1047 | 1049) => Kind::Move,
            (_, _, 0, b'h' | b'l') => Kind::Mode,
            (_, b'>' | b'<' | b'=' | b'?', 0, b'u') => Kind::Report,
            (_, 0, 0, b'A'..=b'I' | b'L' | b'M' | b'P' | b'S' | b'T' | b'Z' | b'@' | b'`' | b'a' | b'b') => Kind::Move,
            (_, 0, 0, b'd' | b'e' | b'f' | b'r' | b's' | b'u') => Kind::Move,
            (_, _, 0, b'n' | b'c' | b'x') | (_, b'>', 0, b'q') | (_, _, b'$', b'p' | b'w' | b'u') => Kind::Report,
            (_, _, b'*', b'y') | (_, _, b'\'', b'|') => Kind::Report,
            (_, 0, 0, b't') if self.first() >= 11 && self.first() <= 21 => Kind::Report,
            (_, _, 0, b't' | b'i') => Kind::Program,
            (_, _, b'$', b'r' | b't' | b'v' | b'x' | b'z' | b'{') | (_, _, b'\'', b'}' | b'~') => Kind::Move,
            (_, _, b'*', b'z') => Kind::Program,
            (_, _, b' ', b'@' | b'A') => Kind::Move,
            _ => Kind::Other,
        }
    }

    /// The kind of a device control string.
    pub(super) const fn device(&self) -> Kind {
        match (self.middle, self.last) {
            (b'$' | b'+', b'q') => Kind::Report,
            (0, b'q' | b'p') => Kind::Picture,
            (0, b'|' | b'{') | (b'!', b'z') | (b'$', b't') | (b'+', b'p') => Kind::Program,
            _ => Kind::Other,
        }
    }

    /// Where the cursor goes.
    pub(super) fn motion(&self) -> Motion {
        let (first, second) = (self.first(), self.params.get(1).copied().unwrap_or_default());
        if self.kind() != Kind::Move || self.leaves_the_cursor(first, second) {
            return Motion::Stays;
        }
        match (self.form, self.middle, self.last) {
            (Form::Csi, 0, b'C' | b'a') => Motion::Right(first.max(1)),
            (Form::Csi, 0, b'D') => Motion::Left(first.max(1)),
            (Form::Csi, 0, b'G' | b'`') => Motion::To(first.max(1)),
            (Form::Csi, 0, b'H' | b'f') => Motion::To(second.max(1)),
            (Form::Csi, 0, b'E' | b'F' | b'r') | (Form::Escape, 0, b'E' | b'c') => Motion::To(1),
            _ => Motion::Column,
        }
    }

    /// Whether what is printed next stands beside what was printed before, though something is moved or remembered:
    /// where the cursor is, the form of its line, rectangles, characters and columns behind the cursor, the other screen.
    const fn leaves_the_cursor(&self, first: u32, second: u32) -> bool {
        match (self.form, self.middle, self.last) {
            (Form::Escape, 0, b'7') | (Form::Escape, b'#', b'3'..=b'6') => true,
            (Form::Csi, 0, b's' | b'P' | b'@') | (Form::Csi, b'$' | b'\'' | b' ', _) => true,
            (Form::Csi, 0, b'h' | b'l') => first != 1049,
            // The track of a mouse.
            (Form::Csi, 0, b'T') => self.count >= 4,
            // Margins that are none.
            (Form::Csi, 0, b'r') => second > 0 && first >= second,
            _ => false,
        }
    }

    /// Whether some terminals move the cursor and others leave it alone: `tmux` where there is no other screen to leave.
    pub(super) fn may_stay(&self) -> bool {
        matches!((self.form, self.middle, self.last), (Form::Csi, 0, b'h' | b'l')) && self.kind() == Kind::Move
    }
}
