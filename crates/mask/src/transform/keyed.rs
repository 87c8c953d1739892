//! Masks that keep the type of a value.

use sluice_model::{Tag, Transform};

use super::{digest, fpe, stand_in};

/// How a column is masked: by what, for which class of values, and with which key.
///
/// Every method gives a value of the same type, or `None` where the transform has none: NULL then.
#[derive(Clone, Copy)]
pub struct Keyed<'k> {
    pub transform: &'k Transform,
    pub tag: &'k Tag,
    pub key: &'k [u8; 32],
}

impl std::fmt::Debug for Keyed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyed({} of {})", self.transform, self.tag.as_str())
    }
}

impl Keyed<'_> {
    /// A text of at most so many characters.
    #[must_use]
    pub fn text(self, value: &str, most: Option<usize>) -> Option<String> {
        let mut out = String::new();
        match self.transform {
            Transform::Null => return None,
            Transform::Fpe => out.push_str(&self.disguised(value).unwrap_or_else(|| "***".to_owned())),
            Transform::Redact
            | Transform::Constant(_)
            | Transform::Partial { .. }
            | Transform::Hash
            | Transform::Token
            | Transform::Bucket { .. } => stand_in(self.transform, self.tag, value, self.key, &mut out),
        }
        let most = most.unwrap_or(usize::MAX);
        let extra = out.chars().count().saturating_sub(most);
        // What tells tokens apart is at their end.
        let skipped = if *self.transform == Transform::Token { extra } else { 0 };
        Some(out.chars().skip(skipped).take(most).collect())
    }

    /// A number from 0 to a largest one; the sign does not count.
    #[must_use]
    pub fn integer(self, value: i64, most: i64) -> Option<i64> {
        match self.transform {
            Transform::Bucket { width } if *width > 0 => {
                let down = value.div_euclid(i64::from(*width)).checked_mul(i64::from(*width))?;
                (down >= -most - 1).then_some(down)
            }
            Transform::Hash | Transform::Token => {
                let digest = self.digest(&value.to_be_bytes());
                let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
                i64::try_from(number % (u64::try_from(most).ok()?.saturating_add(1))).ok()
            }
            Transform::Fpe => self.disguised_integer(value, most),
            Transform::Redact
            | Transform::Null
            | Transform::Constant(_)
            | Transform::Partial { .. }
            | Transform::Bucket { .. } => None,
        }
    }

    /// Sixteen bytes that read as a UUID of version 8 (RFC 9562, section 5.8).
    #[must_use]
    pub fn uuid(self, value: &[u8]) -> Option<[u8; 16]> {
        let mut id: [u8; 16] = self.bytes(value)?.try_into().ok()?;
        id[6] = (id[6] & 0x0f) | 0x80;
        id[8] = (id[8] & 0x3f) | 0x80;
        Some(id)
    }

    /// Sixteen bytes.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Option<Vec<u8>> {
        let keyed = matches!(self.transform, Transform::Hash | Transform::Token | Transform::Fpe);
        keyed.then(|| self.digest(value).iter().take(16).copied().collect())
    }

    fn digest(self, value: &[u8]) -> [u8; 32] {
        let purpose = if *self.transform == Transform::Hash { "sluice mask: hash" } else { "sluice mask: token" };
        digest(self.key, purpose, self.tag, value)
    }

    fn own_key(self) -> [u8; 32] {
        digest(self.key, "sluice mask: fpe", self.tag, b"")
    }

    /// Digits for digits and letters for letters, each kind encrypted on its own; everything else stays where it is.
    fn disguised(self, value: &str) -> Option<String> {
        let key = self.own_key();
        let mut bytes = value.as_bytes().to_vec();
        for (first, radix) in [(b'0', 10), (b'a', 26), (b'A', 26)] {
            let is_of = |byte: &u8| byte.checked_sub(first).is_some_and(|numeral| numeral < radix);
            let numerals: Vec<u8> = bytes.iter().filter(|byte| is_of(byte)).map(|byte| byte - first).collect();
            if numerals.is_empty() {
                continue;
            }
            let encrypted = fpe::encrypt(&key, radix, &numerals)?;
            let places = bytes.iter_mut().filter(|byte| is_of(byte));
            places.zip(encrypted).for_each(|(place, numeral)| *place = first + numeral);
        }
        // A text without a letter or digit, or with letters of another script, would stay as it is in part.
        let covered = value.is_ascii() && value.bytes().any(|byte| byte.is_ascii_alphanumeric());
        covered.then(|| String::from_utf8(bytes).ok()).flatten()
    }

    /// A number of as many digits; encrypted again until it is one and fits.
    fn disguised_integer(self, value: i64, most: i64) -> Option<i64> {
        let key = self.own_key();
        let mut numerals: Vec<u8> = value.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        for _ in 0..1_000 {
            numerals = fpe::encrypt(&key, 10, &numerals)?;
            let number = numerals
                .iter()
                .try_fold(0_i64, |number, numeral| number.checked_mul(10)?.checked_add(i64::from(*numeral)));
            if let (Some(1..), Some(number)) = (numerals.first(), number)
                && number <= most
            {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn with<T>(transform: &Transform, ask: impl FnOnce(Keyed<'_>) -> T) -> T {
        ask(Keyed { transform, tag: &Tag::new("pii.ssn").unwrap(), key: &[7; 32] })
    }

    #[test]
    fn texts_keep_their_form_or_their_length() {
        let fpe = |value: &str| with(&Transform::Fpe, |keyed| keyed.text(value, None)).unwrap();
        let ssn = fpe("900-55-0001");
        assert!(ssn != "900-55-0001" && ssn.len() == 11 && ssn.match_indices('-').map(|(at, _)| at).eq([3, 6]));
        assert!(ssn.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()), "{ssn}");
        assert_eq!(ssn, fpe("900-55-0001"));
        assert_ne!(ssn, fpe("900-55-0002"));
        for short in ["", "12", "abc", "äöü 123456", "---"] {
            assert_eq!(fpe(short), "***", "{short}");
        }
        let hash = with(&Transform::Hash, |keyed| keyed.text("x", Some(8))).unwrap();
        assert!(hash.len() == 8 && with(&Transform::Hash, |keyed| keyed.text("x", None)).unwrap().starts_with(&hash));
        let token = with(&Transform::Token, |keyed| keyed.text("x", Some(8))).unwrap();
        assert!(token.len() == 8 && with(&Transform::Token, |keyed| keyed.text("x", None)).unwrap().ends_with(&token));
        assert_eq!(with(&Transform::Null, |keyed| keyed.text("x", None)), None);
        assert_eq!(with(&Transform::Redact, |keyed| keyed.text("x", Some(2))).unwrap(), "**");
    }

    #[test]
    fn numbers_stay_numbers() {
        let of = |transform: &Transform, value: i64, most: i64| with(transform, |keyed| keyed.integer(value, most));
        for transform in [Transform::Hash, Transform::Token, Transform::Fpe] {
            for value in [1_234_567, 2_147_483_647, -1_234_567] {
                let masked = of(&transform, value, i64::from(i32::MAX)).unwrap();
                assert!((0..=i64::from(i32::MAX)).contains(&masked) && masked != value, "{transform} {masked}");
                assert_eq!(of(&transform, value, i64::from(i32::MAX)), Some(masked));
            }
        }
        assert_eq!(of(&Transform::Fpe, 1_234_567, i64::MAX).unwrap().to_string().len(), 7);
        assert_eq!(of(&Transform::Fpe, 12, i64::MAX), None);
        assert_eq!(of(&Transform::Bucket { width: 10 }, -7, i64::from(i16::MAX)), Some(-10));
        assert_eq!(of(&Transform::Bucket { width: 10 }, i64::from(i16::MIN), i64::from(i16::MAX)), None);
        assert_eq!(of(&Transform::Redact, 7, 9), None);
    }

    #[test]
    fn ids_are_ids() {
        let id = with(&Transform::Token, |keyed| keyed.uuid(&[1; 16])).unwrap();
        assert_eq!((id[6] >> 4, id[8] >> 6), (8, 2));
        assert_eq!(with(&Transform::Redact, |keyed| keyed.uuid(&[1; 16])), None);
        assert_eq!(with(&Transform::Hash, |keyed| keyed.bytes(b"x")).unwrap().len(), 16);
    }
}
