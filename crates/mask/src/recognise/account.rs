//! Payment cards and bank accounts.

use super::Sight;
use super::digits::digits;

/// A payment card: issuer, length for that issuer, check digit.
pub(crate) fn card(sight: &Sight<'_>) -> bool {
    let in_digits = sight.after.is_some_and(|byte| byte.is_ascii_digit());
    // Digits inside of letters are the identifier of something else, unless somebody has grouped them.
    let bare = sight.value.iter().all(u8::is_ascii_digit);
    !in_digits && (!bare || sight.alone()) && issued(sight.value) && luhn(sight.value)
}

/// ISO/IEC 7812-1, annex B.
fn luhn(text: &[u8]) -> bool {
    let mut doubled = false;
    let sum: u32 = digits(text)
        .rev()
        .map(|digit| {
            let twice = u32::from(digit).saturating_mul(2);
            let term = if doubled { twice / 10 + twice % 10 } else { u32::from(digit) };
            doubled = !doubled;
            term
        })
        .sum();
    sum.is_multiple_of(10)
}

/// First four digits and lengths, as the networks publish them.
fn issued(text: &[u8]) -> bool {
    let count = digits(text).count();
    let first =
        digits(text).take(4).fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(digit.into()));
    match first {
        4000..=4999 => matches!(count, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 | 5080..=5089 | 6000..=6010 | 6012..=6099 | 8100..=8299 => count == 16,
        3400..=3499 | 3700..=3799 => count == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&count),
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 | 2200..=2204 => (16..=19).contains(&count),
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => (12..=19).contains(&count),
        _ => false,
    }
}

/// An account number: country, length for that country, check digits (ISO 13616-1, ISO/IEC 7064 MOD 97-10).
pub(crate) fn iban(sight: &Sight<'_>) -> bool {
    if sight.after.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let signs = || sight.value.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_uppercase);
    let mut country = signs();
    let (Some(first), Some(second)) = (country.next(), country.next()) else { return false };
    let Ok(at) = COUNTRIES.binary_search_by_key(&[first, second], |(country, _)| *country) else { return false };
    if COUNTRIES.get(at).is_none_or(|(_, length)| *length != signs().count()) {
        return false;
    }
    let rest = signs().skip(4).chain(signs().take(4)).fold(0_u32, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign.saturating_sub(b'0'))) % 97,
        _ => (rest * 100 + u32::from(sign.saturating_sub(b'A')) + 10) % 97,
    });
    rest == 1
}

/// The countries of the IBAN registry in order, each with the length of its numbers.
#[rustfmt::skip]
pub(crate) const COUNTRIES: [([u8; 2], usize); 89] = [
    (*b"AD", 24), (*b"AE", 23), (*b"AL", 28), (*b"AT", 20), (*b"AZ", 28), (*b"BA", 20), (*b"BE", 16),
    (*b"BG", 22), (*b"BH", 22), (*b"BI", 27), (*b"BR", 29), (*b"BY", 28), (*b"CH", 21), (*b"CR", 22),
    (*b"CY", 28), (*b"CZ", 24), (*b"DE", 22), (*b"DJ", 27), (*b"DK", 18), (*b"DO", 28), (*b"EE", 20),
    (*b"EG", 29), (*b"ES", 24), (*b"FI", 18), (*b"FK", 18), (*b"FO", 18), (*b"FR", 27), (*b"GB", 22),
    (*b"GE", 22), (*b"GI", 23), (*b"GL", 18), (*b"GR", 27), (*b"GT", 28), (*b"HN", 28), (*b"HR", 21),
    (*b"HU", 28), (*b"IE", 22), (*b"IL", 23), (*b"IQ", 23), (*b"IS", 26), (*b"IT", 27), (*b"JO", 30),
    (*b"KW", 30), (*b"KZ", 20), (*b"LB", 28), (*b"LC", 32), (*b"LI", 21), (*b"LT", 20), (*b"LU", 20),
    (*b"LV", 21), (*b"LY", 25), (*b"MC", 27), (*b"MD", 24), (*b"ME", 22), (*b"MK", 19), (*b"MN", 20),
    (*b"MR", 27), (*b"MT", 31), (*b"MU", 30), (*b"NI", 28), (*b"NL", 18), (*b"NO", 15), (*b"OM", 23),
    (*b"PK", 24), (*b"PL", 28), (*b"PS", 29), (*b"PT", 25), (*b"QA", 29), (*b"RO", 24), (*b"RS", 22),
    (*b"RU", 33), (*b"SA", 24), (*b"SC", 31), (*b"SD", 18), (*b"SE", 24), (*b"SI", 19), (*b"SK", 24),
    (*b"SM", 27), (*b"SO", 23), (*b"ST", 25), (*b"SV", 28), (*b"TL", 23), (*b"TN", 24), (*b"TR", 26),
    (*b"UA", 29), (*b"VA", 22), (*b"VG", 24), (*b"XK", 20), (*b"YE", 30),
];
