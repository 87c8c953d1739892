//! Bytes of any amount that are cheap to make and to check, for bodies that nobody keeps.

/// Not a power of two, so that nothing that is cut or repeated falls into step with it.
const PERIOD: usize = 65_521;

/// An endless row of bytes.
#[derive(Debug)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern: it holds every byte.
    #[must_use]
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        let block: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
        Self([block.as_slice(), &block].concat())
    }

    /// At most so many of the bytes from an offset on.
    #[must_use]
    pub fn at(&self, offset: u64, most: u64) -> &[u8] {
        let from = usize::try_from(offset % PERIOD as u64).unwrap_or(0);
        let length = usize::try_from(most).unwrap_or(PERIOD).min(PERIOD);
        self.0.get(from..from + length).unwrap_or_default()
    }

    /// Whether these are the bytes from an offset on.
    #[must_use]
    pub fn matches(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.at(offset, bytes.len() as u64);
            let (now, rest) = bytes.split_at(expected.len());
            if now != expected {
                return false;
            }
            offset += now.len() as u64;
            bytes = rest;
        }
        true
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_or_repeated_byte_is_noticed() {
        let pattern = Pattern::new();
        let mut bytes: Vec<u8> = pattern.at(70_000, 60_000).to_vec();
        bytes.extend_from_slice(pattern.at(130_000, 20_000));
        assert!(pattern.matches(70_000, &bytes));
        assert!(!pattern.matches(70_001, &bytes));
        let _lost = bytes.remove(40_000);
        assert!(!pattern.matches(70_000, &bytes));
    }
}
