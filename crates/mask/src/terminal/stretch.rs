//! Stretches of what a pipe prints, whatever their bytes are, as text.
//!
//! In binary data a byte says little about the next one, so a processor that has to guess what becomes of it guesses
//! wrong each few bytes. Here it is looked up, from what a byte is and what stands behind it. Only characters of
//! several bytes and sequences take a guess.

use unicode_width::UnicodeWidthChar as _;

use super::token::decode;
use crate::fold::{LONE, stand_in};

/// The most bytes of a stretch, but for the end of its last character: to find a place in it, it is read again.
const MOST: usize = 64;
/// The room for its text: no character takes more there than in the stream.
const ROOM: usize = 72;

/// Stands for itself.
const SHOWN: u16 = 0;
/// A control that neither prints nor parts.
const BLANK: u16 = 1;
/// A backspace, which parts as a line break does.
const BACK: u16 = 2;
const ESCAPE: u16 = 3;
/// Goes on with a character; after 0xC2 it makes a control of the C1 set.
const LOW: u16 = 4;
/// Goes on with a character.
const HIGH: u16 = 5;
/// The byte 0xC2.
const FIRST: u16 = 6;
/// Begins a character of two bytes.
const TWO: u16 = 7;
/// May begin a character of three or four bytes.
const MORE: u16 = 8;
/// Is no text.
const BAD: u16 = 9;
/// No byte that has arrived.
const END: u16 = 10;

const KINDS: [u8; 256] = {
    let mut all = [0; 256];
    let (mut rest, mut byte) = (all.as_mut_slice(), 0_u8);
    while let Some((first, tail)) = rest.split_first_mut() {
        let kind = match byte {
            0x08 => BACK,
            b'\t'..=b'\r' | b' '..=b'~' => SHOWN,
            0x1b => ESCAPE,
            0..=0x1f | 0x7f => BLANK,
            0x80..=0x9f => LOW,
            0xa0..=0xbf => HIGH,
            0xc2 => FIRST,
            0xc3..=0xdf => TWO,
            0xe0..=0xf4 => MORE,
            0xc0 | 0xc1 | 0xf5.. => BAD,
        };
        *first = kind.to_le_bytes()[0];
        (rest, byte) = (tail, byte.wrapping_add(1));
    }
    all
};

/// The byte itself goes into the text.
const SAME: u16 = 1 << 8;
/// Something goes into the text: the byte itself, or what the lower eight bits say.
const TAKEN: u16 = 1 << 9;
/// Nothing is known without a closer look.
const ASK: u16 = 1 << 10;

/// What becomes of a byte, for what it is and what stands behind it, four bits each.
const ACTIONS: [u16; 256] = {
    let mut all = [0; 256];
    let (mut rest, mut key) = (all.as_mut_slice(), 0_u16);
    while let Some((first, tail)) = rest.split_first_mut() {
        *first = action(key >> 4, key & 0xf);
        (rest, key) = (tail, key.wrapping_add(1));
    }
    all
};

const fn action(kind: u16, next: u16) -> u16 {
    match (kind, next) {
        (SHOWN, _) => TAKEN | SAME,
        (BLANK, _) => 0,
        (BACK, _) => TAKEN | b'\n' as u16,
        (ESCAPE, _) | (FIRST | TWO | MORE, LOW | HIGH | END) => ASK,
        _ => TAKEN | LONE as u16,
    }
}

/// A stretch that was read.
pub(super) struct Stretch {
    /// How many bytes of the stream it takes.
    pub(super) length: usize,
    text: [u8; ROOM],
    filled: usize,
}

impl Stretch {
    /// Reads what the next bytes print, up to a control sequence or a character that is not complete.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (mut text, mut filled, mut length) = ([0; ROOM], 0_usize, 0_usize);
        let mut key = kind(bytes.first());
        while length < MOST {
            let Some(byte) = bytes.get(length) else { break };
            key = ((key << 4) | kind(bytes.get(length.wrapping_add(1)))) & 0xff;
            let action = ACTIONS.get(usize::from(key)).copied().unwrap_or(ASK);
            if action & ASK != 0 {
                let rest = bytes.get(length..).unwrap_or_default();
                let Some((written, taken)) = text.get_mut(filled..).and_then(|place| ask(rest, place)) else { break };
                (filled, length) = (filled.wrapping_add(written), length.wrapping_add(taken));
                key = kind(bytes.get(length));
                continue;
            }
            // Without a branch, as none could be foreseen.
            let [stand_in, how] = action.to_le_bytes();
            let same = 0_u8.wrapping_sub(how & 1);
            if let Some(place) = text.get_mut(filled) {
                *place = (byte & same) | (stand_in & !same);
            }
            filled = filled.wrapping_add(usize::from((how >> 1) & 1));
            length = length.wrapping_add(1);
        }
        Self { length, text, filled }
    }

    /// What it prints, with stand-ins for characters beyond ASCII.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.get(..self.filled).and_then(|text| str::from_utf8(text).ok())
    }
}

/// Writes what stands for a character of some bytes; tells how much that is, and how many bytes. None if there is none.
fn ask(bytes: &[u8], place: &mut [u8]) -> Option<(usize, usize)> {
    let (character, length) = decode(bytes).filter(|(read, _)| !matches!(read, '\u{80}'..='\u{9f}'))?;
    let (written, text) = stand_in(character);
    *place.first_chunk_mut()? = written;
    Some((text, length))
}

#[inline]
fn kind(byte: Option<&u8>) -> u16 {
    byte.map_or(END, |byte| KINDS.get(usize::from(*byte)).copied().unwrap_or_default().into())
}

/// How many bytes print nothing before the first character of a stretch.
pub(super) fn unprinted(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| kind(Some(byte)) != BLANK).unwrap_or(bytes.len())
}

/// A character in a stretch, with how many bytes it takes there, in its text, and how many cells on a screen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unit {
    pub(super) bytes: usize,
    pub(super) text: usize,
    pub(super) cells: usize,
}

/// The character that the rest of a stretch begins with, or the control in its place, which has no text.
pub(super) fn unit(bytes: &[u8]) -> Unit {
    match bytes.first() {
        Some(byte) if byte.is_ascii() => Unit { bytes: 1, text: usize::from(kind(Some(byte)) != BLANK), cells: 1 },
        // What the end of the stretch cuts was no character.
        _ => match decode(bytes).unwrap_or(('\u{fffd}', bytes.len())) {
            ('\u{fffd}', bytes) => Unit { bytes, text: 1, cells: 1 },
            (character, bytes) => {
                let (cells, (_, text)) = (character.width().unwrap_or_default().min(bytes), stand_in(character));
                Unit { bytes, text, cells }
            }
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_read_again_as_it_was_read_wherever_its_text_is_cut() {
        const PARTS: &[&[u8]] = &[
            b"a",
            b"\0",
            b"\x08",
            b"\x80",
            b"\xc3",
            b"\xc3\xa9",
            b"\xc2\xa0",
            b"\xe2\x82",
            b"\xe2\x82\xac",
            b"\xe0",
            b"\xff",
        ];
        for from in 0..MOST + 4 {
            for (first, second) in PARTS.iter().flat_map(|first| PARTS.iter().map(move |second| (first, second))) {
                let bytes = [&vec![b'.'; from], *first, *second, first, b"\x1b"].concat();
                let stretch = Stretch::read(&bytes);
                let text = stretch.text().unwrap();
                assert!(stretch.length >= from.min(MOST) && stretch.length < bytes.len(), "{bytes:?}");
                let (mut at, mut read) = (0, 0);
                while at < stretch.length {
                    let unit = unit(&bytes[at..stretch.length]);
                    (at, read) = (at + unit.bytes, read + unit.text);
                    assert!(text.is_char_boundary(read), "{bytes:?}");
                }
                assert_eq!((at, read), (stretch.length, text.len()), "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_stretch_ends_before_what_is_no_print() {
        for (bytes, length, text) in [
            (&b"a\0\x08b\x1b[m"[..], 4, "a\nb"),
            (b"a\xc2\x9bm", 1, "a"),
            (b"a\xc3", 1, "a"),
            (b"a\xe2\x82", 1, "a"),
            (b"\xe2\x82a", 3, "\x1aa"),
            ("é\u{451}\u{4e00}\u{301}€№.".as_bytes(), 16, "\x1ee\x1c\x1d\x1f\x1a№."),
            (b"\x80\xffz\xc3(", 5, "\x1a\x1az\x1a("),
            (b"\x7f\x1a\x18", 3, ""),
        ] {
            let stretch = Stretch::read(bytes);
            assert_eq!((stretch.length, stretch.text()), (length, Some(text)), "{bytes:?}");
        }
    }
}
