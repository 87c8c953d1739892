//! Values in PostgreSQL's binary format, as its text format has them.
//!
//! <https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES>: what each type sends is its `…send`
//! function.

use std::fmt::Write as _;

/// Types of the server's own by OID (`pg_type.dat`).
const NAMES: [(u32, &str); 30] = [
    (16, "bool"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (142, "xml"),
    (700, "float4"),
    (701, "float8"),
    (1000, "bool[]"),
    (1005, "int2[]"),
    (1007, "int4[]"),
    (1009, "text[]"),
    (1015, "varchar[]"),
    (1016, "int8[]"),
    (1022, "float8[]"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1700, "numeric"),
    (2950, "uuid"),
    (2951, "uuid[]"),
    (3802, "jsonb"),
];

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const EPOCH_DAYS: i64 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;
/// Elements of an array that are decoded at most.
const MAX_ELEMENTS: usize = 10_000;

/// The name of a type.
pub(crate) fn name(oid: u32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}

/// A value as text; `None` where the type is not known, or the bytes are none of its.
pub(crate) fn decoded(oid: u32, value: &[u8]) -> Option<String> {
    let whole = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_owned);
    match oid {
        16 => Some(if u8::from_be_bytes(fixed(value)?) == 0 { "false" } else { "true" }.to_owned()),
        18 | 19 | 25 | 114 | 142 | 1042 | 1043 => whole(value),
        20 => Some(i64::from_be_bytes(fixed(value)?).to_string()),
        21 => Some(i16::from_be_bytes(fixed(value)?).to_string()),
        23 => Some(i32::from_be_bytes(fixed(value)?).to_string()),
        26 => Some(u32::from_be_bytes(fixed(value)?).to_string()),
        700 => Some(f32::from_be_bytes(fixed(value)?).to_string()),
        701 => Some(f64::from_be_bytes(fixed(value)?).to_string()),
        1082 => date(i64::from(i32::from_be_bytes(fixed(value)?)).checked_add(EPOCH_DAYS)?),
        1083 => clock(i64::from_be_bytes(fixed(value)?)),
        1114 => moment(i64::from_be_bytes(fixed(value)?)),
        1184 => moment(i64::from_be_bytes(fixed(value)?)).map(|moment| format!("{moment} UTC")),
        1700 => numeric(value),
        2950 => uuid(value),
        3802 => value.split_first().filter(|(version, _)| **version == 1).and_then(|(_, json)| whole(json)),
        1000 | 1005 | 1007 | 1009 | 1015 | 1016 | 1022 | 2951 => array(value),
        _ => None,
    }
}

fn fixed<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// Takes a fixed number of bytes from the front.
fn take<const N: usize>(value: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = value.split_first_chunk::<N>()?;
    *value = rest;
    Some(*taken)
}

/// A day counted from 1970-01-01, in the proleptic Gregorian calendar; years before 1 are not told.
fn date(day: i64) -> Option<String> {
    // Counted in eras of 400 years that begin on a March 1st, so that leap days come last.
    let shifted = day.checked_add(719_468)?;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era.checked_mul(400)?.checked_add(year_of_era)? + i64::from(month <= 2);
    (year > 0).then(|| format!("{year:04}-{month:02}-{day_of_month:02}"))
}

/// Microseconds since midnight.
fn clock(micros: i64) -> Option<String> {
    if !(0..=DAY_MICROS).contains(&micros) {
        return None;
    }
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut out = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let _infallible = write!(out, ".{fraction:06}");
    }
    Some(out)
}

/// Microseconds since 2000-01-01.
fn moment(micros: i64) -> Option<String> {
    if micros == i64::MAX || micros == i64::MIN {
        return Some(if micros > 0 { "infinity" } else { "-infinity" }.to_owned());
    }
    let day = micros.div_euclid(DAY_MICROS).checked_add(EPOCH_DAYS)?;
    Some(format!("{} {}", date(day)?, clock(micros.rem_euclid(DAY_MICROS))?))
}

/// **Shape:** `count i16 · weight i16 · sign u16 · scale i16 · digit i16*`, digits to the base of 10,000.
fn numeric(mut value: &[u8]) -> Option<String> {
    let count = usize::from(u16::from_be_bytes(take(&mut value)?));
    let weight = i32::from(i16::from_be_bytes(take(&mut value)?));
    let sign = u16::from_be_bytes(take(&mut value)?);
    let scale = usize::from(u16::from_be_bytes(take(&mut value)?));
    let mut out = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let digits: Vec<u16> = (0..count).map(|_| take(&mut value).map(u16::from_be_bytes)).collect::<Option<_>>()?;
    // Nobody reads zeros by the thousand.
    if !value.is_empty() || digits.iter().any(|digit| *digit > 9_999) || !(-64..=256).contains(&weight) || scale > 1_024
    {
        return None;
    }
    let at = |place: i32| {
        let index = usize::try_from(weight.saturating_sub(place)).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut whole = String::new();
    (0..=weight).rev().for_each(|place| whole.push_str(&format!("{:04}", at(place))));
    let whole = whole.trim_start_matches('0');
    out.push_str(if whole.is_empty() { "0" } else { whole });
    let mut fraction = String::new();
    let mut place = -1;
    while fraction.len() < scale {
        fraction.push_str(&format!("{:04}", at(place)));
        place -= 1;
    }
    if let Some(fraction) = fraction.get(..scale).filter(|fraction| !fraction.is_empty()) {
        let _infallible = write!(out, ".{fraction}");
    }
    Some(out)
}

fn uuid(value: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = fixed(value)?;
    let mut out = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _infallible = write!(out, "{byte:02x}");
    }
    Some(out)
}

/// **Shape:** `dimensions i32 · flags i32 · element oid u32 · (length i32 · first i32)* · (length i32 · value)*`; of one dimension.
fn array(mut value: &[u8]) -> Option<String> {
    let dimensions = i32::from_be_bytes(take(&mut value)?);
    let _has_nulls = take::<4>(&mut value)?;
    let oid = u32::from_be_bytes(take(&mut value)?);
    if dimensions == 0 {
        return value.is_empty().then(|| "{}".to_owned());
    }
    let count = usize::try_from(i32::from_be_bytes(take(&mut value)?)).ok()?;
    let _first = take::<4>(&mut value)?;
    if dimensions != 1 || count > MAX_ELEMENTS || name(oid).is_none_or(|name| name.ends_with("[]")) {
        return None;
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let Ok(length) = usize::try_from(i32::from_be_bytes(take(&mut value)?)) else {
            elements.push("NULL".to_owned());
            continue;
        };
        let (element, rest) = value.split_at_checked(length)?;
        value = rest;
        elements.push(format!("{:?}", decoded(oid, element)?));
    }
    value.is_empty().then(|| format!("{{{}}}", elements.join(",")))
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn values_read_as_in_the_text_format() {
        let numeric = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let array: Vec<u8> = [1_i32, 1, 23, 3, 1, 4, 7, -1, 4, -8].iter().flat_map(|word| word.to_be_bytes()).collect();
        let rows: [(u32, Vec<u8>, Option<&str>); 26] = [
            (16, vec![1], Some("true")),
            (16, vec![1, 0], None),
            (20, (-5_i64).to_be_bytes().to_vec(), Some("-5")),
            (21, vec![0xff, 0xfe], Some("-2")),
            (23, vec![0, 0x80, 0x80, 0x80], Some("8421504")),
            (23, vec![0], None),
            (25, b"abc".to_vec(), Some("abc")),
            (25, b"\xff".to_vec(), None),
            (701, 1.5_f64.to_be_bytes().to_vec(), Some("1.5")),
            (1082, 0_i32.to_be_bytes().to_vec(), Some("2000-01-01")),
            (1082, 8_825_i32.to_be_bytes().to_vec(), Some("2024-02-29")),
            (1082, (-10_958_i32).to_be_bytes().to_vec(), Some("1969-12-31")),
            (1083, 3_661_000_001_i64.to_be_bytes().to_vec(), Some("01:01:01.000001")),
            (1114, (-1_i64).to_be_bytes().to_vec(), Some("1999-12-31 23:59:59.999999")),
            (1184, 0_i64.to_be_bytes().to_vec(), Some("2000-01-01 00:00:00 UTC")),
            (1184, i64::MAX.to_be_bytes().to_vec(), Some("infinity UTC")),
            (1700, numeric(&[2, 0, 0, 2, 12, 3_400]), Some("12.34")),
            (1700, numeric(&[1, 1, 0x4000, 0, 7]), Some("-70000")),
            (1700, numeric(&[1, 0xffff, 0, 3, 50]), Some("0.005")),
            (1700, numeric(&[0, 0, 0, 0]), Some("0")),
            (1700, numeric(&[0, 0, 0xc000, 0]), Some("NaN")),
            (2950, (0..16).collect(), Some("00010203-0405-0607-0809-0a0b0c0d0e0f")),
            (3802, b"\x01{}".to_vec(), Some("{}")),
            (3802, b"\x02{}".to_vec(), None),
            (1007, array, Some("{\"7\",NULL,\"-8\"}")),
            (600, vec![0; 16], None),
        ];
        for (oid, value, expected) in rows {
            assert_eq!(decoded(oid, &value).as_deref(), expected, "{oid} {value:?}");
        }
    }
}
