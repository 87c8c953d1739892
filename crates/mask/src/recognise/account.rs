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
    let in_word = sight.after.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let signs = || sight.value.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_uppercase);
    let mut country = signs();
    let (Some(first), Some(second)) = (country.next(), country.next()) else { return false };
    let length = COUNTRIES.split(' ').find_map(|row| row.as_bytes().strip_prefix(&[first, second]));
    let written = length.map(|length| digits(length).fold(0, |all, digit| all * 10 + usize::from(digit)));
    if in_word || written != Some(signs().count()) {
        return false;
    }
    let rest = signs().skip(4).chain(signs().take(4)).fold(0_u32, |rest, sign| match sign {
        b'0'..=b'9' => (rest * 10 + u32::from(sign.saturating_sub(b'0'))) % 97,
        _ => (rest * 100 + u32::from(sign.saturating_sub(b'A')) + 10) % 97,
    });
    rest == 1
}

/// The countries of the IBAN registry, each with the length of its numbers.
pub(crate) const COUNTRIES: &str = "\
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 \
    IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 \
    MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 \
    SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";
