//! The time at which a chunk was sent, as a word of its text.
//!
//! Digits might be part of a number that a detector waits for the end of, so the word is of letters.

use std::time::{SystemTime, UNIX_EPOCH};

/// How many letters a stamp has.
const LETTERS: usize = 16;

/// Nanoseconds since 1970, on the clock that all processes of a machine share.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes a time: a letter from `A` to `P` for each four bits, the highest first.
pub(super) fn stamp(ns: u64) -> String {
    let letter = |byte: u8| char::from(b'A' + byte);
    ns.to_be_bytes().into_iter().flat_map(|byte| [letter(byte >> 4), letter(byte & 0xf)]).collect()
}

/// Reads stamps out of a text that comes in pieces. Nothing else in the text may be of these letters.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    letters: usize,
    ns: u64,
}

impl Stamps {
    /// The times whose last letter is in this piece.
    pub(super) fn read(&mut self, piece: &str) -> Vec<u64> {
        let mut whole = Vec::new();
        for letter in piece.bytes().filter(|byte| (b'A'..=b'P').contains(byte)) {
            self.ns = (self.ns << 4) | u64::from(letter - b'A');
            self.letters += 1;
            if self.letters == LETTERS {
                whole.push(self.ns);
                *self = Self::default();
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_any_cutting() {
        let text = format!("{}, mail to *** {}.", stamp(0x18ab_0123_4567_89ef), stamp(7));
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            let mut stamps = Stamps::default();
            let read: Vec<u64> = [head, tail].iter().flat_map(|piece| stamps.read(piece)).collect();
            assert_eq!(read, [0x18ab_0123_4567_89ef, 7], "cut at {cut}");
        }
    }
}
