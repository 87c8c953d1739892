//! What characters of two or three bytes fold to, as pages of 256 that are each made when they are first needed.

use std::sync::OnceLock;

use super::class::{ascii, fold};
use super::decorates;

type Page = [u8; 256];

/// In the place of what folds to nothing.
pub(super) const NONE: u8 = 0xfe;
/// In the place of what is not one byte and not [`NONE`], or decorates what stands before it.
const OTHER: u8 = 0xff;

static PAGES: [OnceLock<Box<Page>>; 256] = [const { OnceLock::new() }; 256];

/// What a character folds to, if that is one byte; [`NONE`] if it is nothing.
pub(super) fn single(character: char) -> Option<u8> {
    u16::try_from(u32::from(character)).ok().map(look).filter(|byte| *byte != OTHER)
}

/// What a character folds to, if that is known to be one byte.
pub(super) fn visible(character: char) -> Option<u8> {
    if character.is_ascii() { ascii(character) } else { single(character).filter(|byte| *byte < NONE) }
}

/// What the character of two or three bytes folds to that a text begins with, if it is one byte; and how many it has.
#[inline]
pub(super) fn first(text: &[u8]) -> Option<(u8, usize)> {
    let (lead, rest) = text.split_first()?;
    let part = |code: u16, byte: &u8| (code << 6) | u16::from(byte & 0x3f);
    let (code, length) = match lead {
        0xc2..=0xdf => (rest.iter().take(1).fold(u16::from(lead & 0x1f), part), 2),
        0xe0..=0xef => (rest.iter().take(2).fold(u16::from(lead & 0xf), part), 3),
        _ => return None,
    };
    Some((look(code), length)).filter(|(byte, _)| *byte < NONE)
}

fn look(code: u16) -> u8 {
    let [page, place] = code.to_be_bytes();
    let Some(slot) = PAGES.get(usize::from(page)) else { return OTHER };
    slot.get_or_init(|| make(page)).get(usize::from(place)).copied().unwrap_or(OTHER)
}

#[cold]
fn make(page: u8) -> Box<Page> {
    let mut all = Box::new([OTHER; 256]);
    for (place, entry) in (0..=u8::MAX).zip(all.iter_mut()) {
        let character = char::from_u32(u16::from_be_bytes([page, place]).into()).filter(|read| !decorates(*read));
        let Some(character) = character else { continue };
        let (mut count, mut last) = (0_usize, NONE);
        fold(character, &mut |byte| (count, last) = (count.saturating_add(1), byte));
        *entry = if count < 2 { last } else { OTHER };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_says_of_a_character_is_what_it_folds_to() {
        let mut seen = 0;
        for character in '\u{80}'..='\u{10800}' {
            let (text, mut bytes) = (character.to_string(), Vec::new());
            fold(character, &mut |byte| bytes.push(byte));
            let first = first(text.as_bytes());
            match single(character) {
                Some(NONE) => assert!(bytes.is_empty() && first.is_none(), "{character}"),
                Some(byte) => assert_eq!((bytes, first), (vec![byte], Some((byte, text.len()))), "{character}"),
                None => assert!(first.is_none() && (bytes.len() != 1 || text.len() > 3), "{character}"),
            }
            seen += usize::from(first.is_some());
        }
        assert!(seen > 50_000, "{seen}");
        assert_eq!((single('\u{fe0f}'), single('\u{20e3}')), (None, None));
    }
}
