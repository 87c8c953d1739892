//! Numbers of people: social security and telephone.

use super::Sight;
use super::digits::{Group, digits, groups};
use crate::fold::SYMBOL;

/// How far before a bare number its name may stand.
const SSN_NEAR: usize = 40;
const PHONE_NEAR: usize = 24;

const SSN_WORDS: &[&str] =
    &["ssn", "ssns", "social security", "social-security", "social_security", "social sec", "soc sec", "s.s.n", "itin"];
const PHONE_WORDS: &[&str] =
    &["phone", "phones", "telephone", "tel", "telefon", "mobile", "cellphone", "fax", "whatsapp", "sms"];

/// A social security or individual taxpayer number: three, two and four digits apart; nine bare ones only where a word
/// says what they are, or where somebody took the trouble to hide something between them.
pub(crate) fn ssn(sight: &Sight<'_>) -> bool {
    if sight.after.is_some_and(|byte| byte.is_ascii_digit()) || !assigned(sight.value) {
        return false;
    }
    let parted = groups::<3>(sight.value).is_some_and(|(groups, count)| {
        let [area, group, serial] = groups;
        count == 3
            && (area.digits.len(), group.digits.len(), serial.digits.len()) == (3, 2, 4)
            && parts(group.separator)
            && parts(serial.separator)
    });
    let bare = sight.value.len() == 9;
    parted || (bare && sight.hides) || (sight.alone() && sight.near(SSN_WORDS, SSN_NEAR))
}

/// No area, group or serial of zeros, and no area 666 (20 CFR 422.103).
fn assigned(text: &[u8]) -> bool {
    let part = |from, length| {
        digits(text)
            .skip(from)
            .take(length)
            .fold(0_u32, |all, digit| all.saturating_mul(10).saturating_add(digit.into()))
    };
    !matches!(part(0, 3), 0 | 666) && part(3, 2) > 0 && part(5, 4) > 0
}

/// White space on one line, or one or two marks with white space around them.
fn parts(separator: &[u8]) -> bool {
    let marks = separator.iter().filter(|byte| b"-._/:|~()[]".contains(byte) || **byte == SYMBOL).count();
    let spaces = separator.iter().filter(|byte| b" \t".contains(byte)).count();
    let breaks = separator.iter().filter(|byte| b"\r\n".contains(byte)).count();
    match marks {
        0 => spaces > 0 && spaces == separator.len(),
        1 | 2 => marks.saturating_add(spaces).saturating_add(breaks) == separator.len(),
        _ => false,
    }
}

/// A telephone number: international with its plus sign, North American in its groups, French in pairs, or whatever a
/// word before it calls one.
pub(crate) fn phone(sight: &Sight<'_>) -> bool {
    if !sight.alone() {
        return false;
    }
    let Some((groups, count)) = groups::<6>(sight.value) else { return false };
    let groups = groups.get(..count).unwrap_or_default();
    let total = digits(sight.value).count();
    international(sight, groups, total)
        || american(groups)
        || french(sight, groups)
        || (total >= 7 && !is_date(groups) && sight.near(PHONE_WORDS, PHONE_NEAR))
}

/// ITU-T E.164: a country code and at most 15 digits, after a plus sign or `00` in the same group. `+1` has exactly ten
/// after it.
fn international(sight: &Sight<'_>, groups: &[Group<'_>], total: usize) -> bool {
    let plus = sight.value.iter().take_while(|byte| !byte.is_ascii_digit()).any(|byte| *byte == b'+');
    let Some(first) = groups.first() else { return false };
    match first.digits {
        [b'1', ..] => plus && total == 11,
        [b'0', b'0', b'1'..=b'9', ..] => !plus && groups.len() > 1 && (10..=15).contains(&total),
        [b'2'..=b'9', ..] => plus && (8..=15).contains(&total),
        _ => false,
    }
}

/// Area code, exchange and line, with or without the country code; neither of the first two begins with 0 or 1.
fn american(groups: &[Group<'_>]) -> bool {
    let groups = match groups {
        [country, rest @ ..] if country.digits == b"1" => rest,
        all => all,
    };
    let [area, exchange, line] = groups else { return false };
    let shape = (area.digits.len(), exchange.digits.len(), line.digits.len()) == (3, 3, 4);
    let starts = |group: &Group<'_>| group.digits.first().is_some_and(|digit| *digit > b'1');
    shape && starts(area) && starts(exchange)
}

/// Five pairs, separated alike and beginning with 0; after blanks only those of mobile telephones, since bytes in dumps
/// look the same.
fn french(sight: &Sight<'_>, groups: &[Group<'_>]) -> bool {
    let [first, second, rest @ ..] = groups else { return false };
    let pairs = groups.len() == 5 && groups.iter().all(|group| group.digits.len() == 2);
    let alike = rest.iter().all(|group| group.separator == second.separator);
    let blank = second.separator.iter().any(|byte| b" \t".contains(byte));
    let begins =
        if blank { matches!(first.digits, b"06" | b"07") } else { matches!(first.digits, [b'0', b'1'..=b'9']) };
    let continued = !sight.parts && sight.before.iter().rev().nth(1).is_some_and(u8::is_ascii_digit);
    pairs && alike && begins && !continued
}

fn is_date(groups: &[Group<'_>]) -> bool {
    let year = groups.first().is_some_and(|group| {
        group.digits.len() == 4 && (group.digits.starts_with(b"19") || group.digits.starts_with(b"20"))
    });
    year && groups.len() > 1
}
