//! Values that must never reach a client, in every form they could come in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The values of tagged columns in the test data.
pub const CANARIES: [&str; 6] = [
    "zq7x.k1@leak.example.com",
    "zq7x.k2@leak.example.com",
    "zq7x.k3@leak.example.com",
    "900-55-0001",
    "900-55-0002",
    "900-55-0003",
];

/// Looks for canaries.
#[derive(Clone, Debug)]
pub struct Scan {
    needles: Vec<(String, Vec<u8>)>,
}

impl Default for Scan {
    fn default() -> Self {
        Self::new(&CANARIES)
    }
}

impl Scan {
    /// Looks for values: plain, reversed, without separators, hexadecimal, base64 at each alignment, UTF-16.
    #[must_use]
    pub fn new(values: &[&str]) -> Self {
        let mut needles = Vec::new();
        for value in values {
            let reversed: String = value.chars().rev().collect();
            let bare: String = value.chars().filter(|c| c.is_alphanumeric()).collect();
            let spelled: Vec<(&str, Vec<u8>)> = vec![
                ("plain", value.as_bytes().to_vec()),
                ("reversed", reversed.into_bytes()),
                ("bare", bare.into_bytes()),
                ("utf-16", value.encode_utf16().flat_map(u16::to_le_bytes).collect()),
                ("utf-16be", value.encode_utf16().flat_map(u16::to_be_bytes).collect()),
                ("hex", hex(value.as_bytes()).into_bytes()),
                ("upper-case", value.to_uppercase().into_bytes()),
            ];
            needles.extend(spelled.into_iter().map(|(how, needle)| (format!("{value} ({how})"), needle)));
            for shift in 0..3 {
                needles.push((format!("{value} (base64 at {shift})"), base64_inner(value.as_bytes(), shift)));
            }
        }
        needles.sort();
        needles.dedup_by(|a, b| a.1 == b.1);
        Self { needles }
    }

    /// The canaries in bytes.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Vec<String> {
        // Hexadecimal is written either way; line breaks and separators are not part of an encoding.
        let lower = bytes.to_ascii_lowercase();
        let dense: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let alnum: Vec<u8> = bytes.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
        let views = [bytes, &lower, &dense, &alnum];
        let hit = |needle: &[u8]| views.iter().any(|view| contains(view, needle));
        self.needles.iter().filter(|(_, needle)| hit(needle)).map(|(name, _)| name.clone()).collect()
    }

    /// Fails where a canary is.
    ///
    /// # Panics
    /// When there is one.
    pub fn none_in(&self, what: &str, bytes: &[u8]) {
        let found = self.find(bytes);
        assert!(found.is_empty(), "{what} holds {found:?}");
    }
}

/// The characters of a value's base64 that do not depend on what stands around it.
fn base64_inner(value: &[u8], shift: usize) -> Vec<u8> {
    let padded = [&vec![0; shift][..], value].concat();
    let text = STANDARD_NO_PAD.encode(&padded);
    let first = [0, 2, 3].get(shift).copied().unwrap_or(0);
    let last = padded.len() / 3 * 4;
    text.into_bytes().into_iter().take(last).skip(first).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether bytes hold a needle.
#[must_use]
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn every_form_is_found() {
        let scan = Scan::default();
        let ssn = "900-55-0001";
        let mut texts = vec![
            format!("x{ssn}y").into_bytes(),
            b"x900550001y".to_vec(),
            b"1000-55-009".to_vec(),
            hex(ssn.as_bytes()).to_uppercase().into_bytes(),
            ssn.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ];
        for before in ["", "a", "ab", "abc"] {
            texts.push(STANDARD.encode(format!("{before}{ssn} after")).into_bytes());
        }
        for text in texts {
            assert!(!scan.find(&text).is_empty(), "{}", String::from_utf8_lossy(&text));
        }
        assert!(scan.find(b"*** 900-55-000 zq7x leak example com 12345").is_empty());
    }
}
