//! What stands in the place of a text value.

mod covers;
mod fpe;
mod keyed;
mod tokens;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sluice_model::{Tag, Transform};

use crate::sieve::REDACTED;

pub use covers::{Covers, Noting};
pub use keyed::Keyed;
pub use tokens::{Restore, Tokens};

/// The letters of RFC 4648 base32, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 65 bits: among a million values, two share a token once in seventy million sets.
const TOKEN_CHARACTERS: usize = 13;
const HASH_BYTES: usize = 16;

/// Appends what a transform makes of a text value.
///
/// `Hash` and `Token` depend on key, tag and value only. `Partial` hides at least half of the characters. `Bucket` and
/// `Fpe` have no meaning for free text and redact.
pub fn stand_in(transform: &Transform, tag: &Tag, value: &str, key: &[u8; 32], out: &mut String) {
    match transform {
        Transform::Redact | Transform::Bucket { .. } | Transform::Fpe => out.push_str(REDACTED),
        Transform::Null => {}
        Transform::Constant(text) => out.push_str(text),
        Transform::Partial { keep_last } => partial(value, usize::from(*keep_last), out),
        Transform::Hash => {
            let digest = digest(key, "sluice mask: hash", tag, value.as_bytes());
            out.extend(digest.iter().take(HASH_BYTES).flat_map(|byte| {
                [byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or_default())
            }));
        }
        Transform::Token => token(tag, value, key, out),
    }
}

fn partial(value: &str, keep: usize, out: &mut String) {
    let keep = keep.min(value.chars().count() / 2);
    let kept = value.char_indices().rev().take(keep).last().map_or(value.len(), |(from, _)| from);
    out.push_str(REDACTED);
    out.push_str(value.get(kept..).unwrap_or_default());
}

/// One word that a model copies as it is: `tok-email-` and 13 letters and digits.
fn token(tag: &Tag, value: &str, key: &[u8; 32], out: &mut String) {
    out.push_str("tok-");
    let before = out.len();
    let name = tag.as_str().rsplit('.').next().unwrap_or_default();
    out.extend(name.chars().filter(char::is_ascii_alphanumeric).take(12).map(|letter| letter.to_ascii_lowercase()));
    if out.len() == before {
        out.push_str("value");
    }
    out.push('-');
    let digest = digest(key, "sluice mask: token", tag, value.as_bytes());
    let (mut bits, mut count, mut bytes) = (0_u32, 0_u32, digest.iter());
    for _ in 0..TOKEN_CHARACTERS {
        if count < 5 {
            bits = (bits << 8) | bytes.next().copied().map_or(0, u32::from);
            count += 8;
        }
        count -= 5;
        let index = usize::try_from((bits >> count) & 31).unwrap_or_default();
        out.push(BASE32.get(index).copied().map_or('a', char::from));
        bits &= (1 << count) - 1;
    }
}

/// HMAC-SHA-256 over purpose, tag and value, each with its length before it. Keys are filled up with zeros to a block
/// (RFC 2104, section 2).
fn digest(key: &[u8; 32], purpose: &str, tag: &Tag, value: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(slot, byte)| *slot = *byte);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in [purpose.as_bytes(), tag.as_str().as_bytes(), value] {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn made(transform: &Transform, tag: &str, value: &str) -> String {
        let mut out = String::new();
        stand_in(transform, &Tag::new(tag).unwrap(), value, &KEY, &mut out);
        out
    }

    #[test]
    fn each_transform_makes_its_text() {
        let tag = "pii.contact.email";
        for (transform, value, expected) in [
            (Transform::Redact, "a@b.example", "***"),
            (Transform::Null, "a@b.example", ""),
            (Transform::Constant("(hidden)".into()), "a@b.example", "(hidden)"),
            (Transform::Partial { keep_last: 4 }, "4111 1111 1111 1111", "***1111"),
            (Transform::Partial { keep_last: 4 }, "abcdef", "***def"),
            (Transform::Partial { keep_last: 255 }, "äöüß", "***üß"),
            (Transform::Partial { keep_last: 4 }, "a", "***"),
            (Transform::Partial { keep_last: 0 }, "abcdef", "***"),
            (Transform::Bucket { width: 10 }, "42", "***"),
            (Transform::Fpe, "42", "***"),
        ] {
            assert_eq!(made(&transform, tag, value), expected, "{transform} of {value}");
        }
    }

    #[test]
    fn digests_depend_on_key_tag_and_value() {
        let hash = made(&Transform::Hash, "pii.ssn", "900-55-0001");
        // Computed apart from this code.
        assert_eq!(hash, "424bb814203567adb522b62371945b58");
        assert_eq!(hash, made(&Transform::Hash, "pii.ssn", "900-55-0001"));
        assert_ne!(hash, made(&Transform::Hash, "pii.tax", "900-55-0001"));
        assert_ne!(hash, made(&Transform::Hash, "pii.ssn", "900-55-0002"));
        let (mut one, mut other) = (String::new(), String::new());
        let tag = Tag::new("pii.ssn").unwrap();
        stand_in(&Transform::Token, &tag, "x", &KEY, &mut one);
        stand_in(&Transform::Token, &tag, "x", &[8; 32], &mut other);
        assert_ne!(one, other);
    }

    #[test]
    fn a_token_is_one_short_word() {
        for (tag, begins) in [
            ("pii.contact.email", "tok-email-"),
            ("pii.US_Social-Security-Number", "tok-ussocialsecu-"),
            ("_", "tok-value-"),
        ] {
            let token = made(&Transform::Token, tag, "a@b.example");
            let rest = token.strip_prefix(begins).unwrap();
            assert_eq!(rest.len(), 13, "{token}");
            assert!(rest.bytes().all(|byte| BASE32.contains(&byte)), "{token}");
        }
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        // Computed apart from this code.
        let token = made(&Transform::Token, "pii.ssn", "900-55-0001");
        assert_eq!(token, "tok-ssn-frnhk4vvliqef");
    }
}
