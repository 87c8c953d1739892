//! What stands in a faithful view for a character beyond ASCII, so that it need not be looked at again.
//!
//! A text of which a faithful view is made holds no controls but white space, so other controls are free for this. They
//! are no part of any escape, as characters beyond ASCII are none.

use super::class::{IDEOGRAPH, LETTER, SYMBOL};
use super::pages::{NONE, single};

/// Stands for a byte that is no text, or for any other symbol.
pub(crate) const LONE: u8 = 0x1a;
const WORD: u8 = 0x1c;
const SIGN: u8 = 0x1d;
/// Stands before the byte of ASCII that a character beyond it folds to.
const AS: u8 = 0x1e;
/// Stands for what cannot be seen.
const UNSEEN: u8 = 0x1f;

/// What stands for a character beyond ASCII, itself if nothing does; and how many bytes that is.
pub(crate) fn stand_in(character: char) -> ([u8; 4], usize) {
    let mut own = [0; 4];
    match single(character) {
        Some(SYMBOL) => ([LONE, 0, 0, 0], 1),
        Some(LETTER) => ([WORD, 0, 0, 0], 1),
        Some(IDEOGRAPH) => ([SIGN, 0, 0, 0], 1),
        Some(NONE) => ([UNSEEN, 0, 0, 0], 1),
        Some(byte) if byte.is_ascii() => ([AS, byte, 0, 0], 2),
        Some(_) | None => {
            let length = character.encode_utf8(&mut own).len();
            (own, length)
        }
    }
}

// Without a way out in the middle, so that many bytes are looked at together.

/// Whether a byte takes a place of a faithful view by itself, though it does not stand for itself.
pub(super) const fn stands(byte: u8) -> bool {
    (byte == LONE) | (byte == WORD) | (byte == SIGN) | (byte == 0x0b) | (byte == 0x0c)
}

/// What it folds to.
pub(super) const fn as_told(byte: u8) -> u8 {
    byte ^ where_so(byte == LONE, LONE ^ SYMBOL)
        ^ where_so(byte == WORD, WORD ^ LETTER)
        ^ where_so(byte == SIGN, SIGN ^ IDEOGRAPH)
        ^ where_so(byte == 0x0b, 0x0b ^ b'\n')
        ^ where_so(byte == 0x0c, 0x0c ^ b'\n')
}

const fn where_so(is: bool, change: u8) -> u8 {
    0_u8.wrapping_sub(is as u8) & change
}

/// What a stand-in of two bytes folds to, if a text begins with one.
pub(super) fn pair(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [AS, byte, ..] => Some((byte, 2)),
        _ => None,
    }
}

/// The byte of ASCII that the first character of a text stands for, if it is a stand-in for one.
pub(crate) fn stands_for(text: &[u8]) -> Option<u8> {
    pair(text).map(|(byte, _)| byte)
}
