//! Control sequences that stand in a text as bytes or spelled out (ECMA-48, section 5.4).
//!
//! Their bytes are text like any other, but where one ends something new begins: at its final byte, which may be the first
//! letter of a value, and behind it.

use smallvec::SmallVec;

/// The longest sequence, in folded bytes.
const MOST: usize = 256;
/// The longest number of an ordinary one.
const DIGITS: usize = 5;

/// What a control sequence begins with; where stand-ins are, all that is there of it before its last bytes.
pub(crate) const SEQUENCE: char = '\u{9b}';

/// The sequences of a text, found as it is folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequences {
    /// What may be one, in order.
    open: SmallVec<[Open; 2]>,
    whole: Vec<Whole>,
}

/// The positions of the first byte of a sequence that can be seen, and of its final byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) from: usize,
    pub(crate) end: usize,
    /// As programs write it: with numbers of at most five digits.
    pub(crate) is_ordinary: bool,
}

/// What has been read of a sequence.
#[derive(Clone, Copy, Debug)]
struct Open {
    from: usize,
    /// The position of the next byte.
    next: usize,
    awaits: Awaits,
    /// How many digits came last, and the most that came in a row.
    digits: usize,
    most: usize,
}

/// What comes next in a sequence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Awaits {
    /// What an escape in a string of a program is called: `e`, `033`.
    Name,
    /// The rest of `033`.
    Three,
    LastThree,
    /// The second half of `^[`.
    Caret,
    /// A bracket or a set of characters: that an escape is meant is not certain otherwise.
    Bracket,
    /// Whatever follows an escape.
    Any,
    Numbers,
    Middle,
    /// The last byte of an escape sequence.
    Set,
}

/// What a byte does to a sequence.
enum Step {
    Goes(Awaits),
    Ends,
    Breaks,
}

impl Sequences {
    /// Takes a character that cannot be seen, before a position.
    pub(super) fn unseen(&mut self, character: char, position: usize) {
        match character {
            '\u{1b}' => self.begin(position, position, Awaits::Any),
            SEQUENCE => self.begin(position, position, Awaits::Numbers),
            _ => {}
        }
    }

    /// Takes the character at a position that may spell an escape together with what follows it.
    pub(super) fn seen(&mut self, text: &[u8], position: usize) {
        let next = position.saturating_add(1);
        match text {
            [b'\\', b'e' | b'E' | b'0' | b'3', ..] => self.begin(position, next, Awaits::Name),
            [b'^', ..] => self.begin(position, next, Awaits::Caret),
            _ => {}
        }
    }

    /// Whether the next byte, of this position, stands right behind an escape.
    pub(super) fn is_escaped(&self, position: usize) -> bool {
        self.open.last().is_some_and(|open| open.from == position && open.awaits == Awaits::Any)
    }

    fn begin(&mut self, from: usize, next: usize, awaits: Awaits) {
        self.open.push(Open { from, next, awaits, digits: 0, most: 0 });
    }

    /// Reads on in what has been folded, of which the first byte has this position.
    pub(super) fn read(&mut self, bytes: &[u8], base: usize) {
        if self.open.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.open);
        for (index, mut open) in all.iter().copied().enumerate() {
            // Where the next one begins, this one has ended.
            let end = all.get(index.saturating_add(1)).map(|next| next.from);
            let until = end.unwrap_or(usize::MAX).saturating_sub(base).min(bytes.len());
            let rest = bytes.get(open.next.saturating_sub(base)..until).unwrap_or_default();
            if open.read(rest, &mut self.whole) && end.is_none() {
                self.open.push(open);
            }
        }
    }

    /// Whether a value may begin at a position whatever stands before it.
    #[inline]
    pub(super) fn part(&self, position: usize) -> bool {
        !self.whole.is_empty() && self.ends_near(position)
    }

    fn ends_near(&self, position: usize) -> bool {
        self.since(position.saturating_sub(1)).first().is_some_and(|whole| whole.end <= position)
    }

    /// Those that end at a position or behind it.
    pub(super) fn since(&self, position: usize) -> &[Whole] {
        let first = self.whole.partition_point(|whole| whole.end < position);
        self.whole.get(first..).unwrap_or_default()
    }

    /// Forgets the positions before one.
    pub(super) fn forget(&mut self, position: usize) {
        self.whole.retain(|whole| whole.end >= position);
    }
}

impl Open {
    /// Reads on; tells whether the sequence may go on.
    fn read(&mut self, bytes: &[u8], all: &mut Vec<Whole>) -> bool {
        for byte in bytes {
            match self.awaits.step(*byte) {
                Step::Goes(awaits) => self.awaits = awaits,
                Step::Ends => {
                    all.push(Whole { from: self.from, end: self.next, is_ordinary: self.most <= DIGITS });
                    return false;
                }
                Step::Breaks => return false,
            }
            self.digits = if byte.is_ascii_digit() { self.digits.saturating_add(1) } else { 0 };
            self.most = self.most.max(self.digits);
            self.next = self.next.saturating_add(1);
            if self.next.saturating_sub(self.from) >= MOST {
                return false;
            }
        }
        true
    }
}

impl Awaits {
    const fn step(self, byte: u8) -> Step {
        Step::Goes(match (self, byte) {
            (Self::Name, b'0') => Self::Three,
            (Self::Name | Self::Three, b'3') => Self::LastThree,
            (Self::Name, b'e' | b'E') | (Self::Caret, b'[') => Self::Bracket,
            (Self::LastThree, b'3') => Self::Any,
            (Self::Bracket, b'[') | (Self::Any, b'[' | b'P') | (Self::Numbers, b'0'..=b'?') => Self::Numbers,
            (Self::Bracket, b'(' | b')') | (Self::Any, b' '..=b'/') => Self::Set,
            (Self::Numbers | Self::Middle, b' '..=b'/') => Self::Middle,
            (Self::Numbers | Self::Middle, b'@'..=b'~') | (Self::Any | Self::Set, b'0'..=b'~') => return Step::Ends,
            _ => return Step::Breaks,
        })
    }
}
