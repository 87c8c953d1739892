//! Format-preserving encryption: FF1 of NIST SP 800-38G over AES-256 (<https://doi.org/10.6028/NIST.SP.800-38G>), without a tweak: each tag
//! has a key of its own.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};

const ROUNDS: u8 = 10;
/// The standard asks for at least a million texts; see its section 5.2.
const LEAST: u128 = 1_000_000;
/// Half a text is at most this large a number, so that a round's sum fits 128 bits.
const MOST_HALF: u128 = 1 << 95;

/// Encrypts numerals, each below the radix; `None` where there are too few of them, or more than this computes with.
pub(super) fn encrypt(key: &[u8; 32], radix: u8, numerals: &[u8]) -> Option<Vec<u8>> {
    let cipher = Aes256::new(&(*key).into());
    let length = u32::try_from(numerals.len()).ok()?;
    let base = u128::from(radix);
    if base.checked_pow(length).is_some_and(|texts| texts < LEAST) {
        return None;
    }
    let (short, long) = (length / 2, length - length / 2);
    let most = base.checked_pow(long).filter(|most| *most <= MOST_HALF)?;
    let (left, right) = numerals.split_at(usize::try_from(short).ok()?);
    let (mut a, mut b) = (number(left, base), number(right, base));
    // Bytes of half a text, and of what is taken from the cipher in a round.
    let bytes = usize::try_from((most - 1).checked_ilog2().unwrap_or(0) / 8 + 1).ok()?;
    let taken = 4 * bytes.div_ceil(4) + 4;
    let [.., low] = short.to_be_bytes();
    let [n3, n2, n1, n0] = length.to_be_bytes();
    let head = [1, 2, 1, 0, 0, radix, ROUNDS, low, n3, n2, n1, n0, 0, 0, 0, 0];
    for round in 0..ROUNDS {
        let width = if round % 2 == 0 { short } else { long };
        let mut tail = vec![0; (16 - (bytes + 1) % 16) % 16];
        tail.push(round);
        tail.extend(b.to_be_bytes().iter().skip(16 - bytes));
        let stream = stream(&cipher, &head, &tail, taken);
        let drawn = stream.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        let modulus = base.pow(width);
        let sum = (a + drawn % modulus) % modulus;
        a = b;
        b = sum;
    }
    Some([digits(a, base, short), digits(b, base, long)].concat())
}

/// CBC-MAC over head and tail, lengthened by encrypted counters.
fn stream(cipher: &Aes256, head: &[u8; 16], tail: &[u8], taken: usize) -> Vec<u8> {
    let mut block = [0_u8; 16];
    for part in std::iter::once(&head[..]).chain(tail.chunks(16)) {
        block.iter_mut().zip(part).for_each(|(byte, with)| *byte ^= with);
        block = encrypted(cipher, block);
    }
    let mut out = block.to_vec();
    let mut counter = 1_u128;
    while out.len() < taken {
        let mut next = block;
        next.iter_mut().zip(counter.to_be_bytes()).for_each(|(byte, with)| *byte ^= with);
        out.extend(encrypted(cipher, next));
        counter += 1;
    }
    out.truncate(taken);
    out
}

fn encrypted(cipher: &Aes256, block: [u8; 16]) -> [u8; 16] {
    let mut block = aes::Block::from(block);
    cipher.encrypt_block(&mut block);
    block.into()
}

fn number(numerals: &[u8], base: u128) -> u128 {
    numerals.iter().fold(0, |number, numeral| number * base + u128::from(*numeral))
}

fn digits(mut number: u128, base: u128, width: u32) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for _ in 0..width {
        out.push(u8::try_from(number % base).unwrap_or_default());
        number /= base;
    }
    out.reverse();
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The key of the standard's AES-256 samples.
    const KEY: [u8; 32] = [
        0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6, 0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C, 0xEF, 0x43,
        0x59, 0xD8, 0xD5, 0x80, 0xAA, 0x4F, 0x7F, 0x03, 0x6D, 0x6F, 0x04, 0xFC, 0x6A, 0x94,
    ];

    #[test]
    fn the_sample_of_the_standard_comes_out() {
        assert_eq!(encrypt(&KEY, 10, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap(), [6, 6, 5, 7, 6, 6, 7, 0, 0, 9]);
    }

    #[test]
    fn every_text_has_its_own() {
        let all: std::collections::BTreeSet<Vec<u8>> =
            (0..2_000_u32).map(|number| encrypt(&KEY, 10, &digits(number.into(), 10, 6)).unwrap()).collect();
        assert_eq!(all.len(), 2_000);
        assert!(all.iter().flatten().all(|digit| *digit < 10));
    }

    #[test]
    fn short_and_very_long_texts_have_none() {
        assert!(encrypt(&KEY, 10, &[1; 5]).is_none());
        assert!(encrypt(&KEY, 10, &[1; 6]).is_some());
        assert!(encrypt(&KEY, 10, &[1; 56]).is_some());
        assert!(encrypt(&KEY, 10, &[1; 58]).is_none());
        assert!(encrypt(&KEY, 26, &[1; 40]).is_some());
        assert!(encrypt(&KEY, 26, &[1; 5]).is_some() && encrypt(&KEY, 26, &[1; 4]).is_none());
    }
}
