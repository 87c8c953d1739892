//! Chunked bodies (RFC 9112 §7.1), without extensions and without trailers: both are ways to be read in two ways.

/// Digits of the largest chunk's size: 2^44 bytes are more than any limit above.
const MAX_SIZE_DIGITS: usize = 11;

/// Where in a chunked body the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: Part,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// In a chunk's size, of which some digits were read.
    Size {
        digits: usize,
        size: u64,
    },
    /// Before the LF after a size.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// Before the CR, then before the LF, after a chunk's data.
    DataCr,
    DataLf,
    /// Before the CR, then before the LF, that end the body.
    LastCr,
    LastLf,
    Over,
}

impl Default for Part {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// Whether the body has ended.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.at, Part::Over)
    }

    /// How many bytes at the front of `raw` belong to the body and are well-formed; at least one where there is one.
    pub(super) fn check(&mut self, raw: &[u8]) -> Result<usize, &'static str> {
        let mut taken = 0_usize;
        while let Some(byte) = raw.get(taken).copied() {
            if let Part::Data { left } = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(raw.len().saturating_sub(taken));
                taken = taken.saturating_add(here);
                let left = left.saturating_sub(here as u64);
                self.at = if left == 0 { Part::DataCr } else { Part::Data { left } };
                continue;
            }
            self.at = self.at.after(byte)?;
            taken = taken.saturating_add(1);
            if self.is_over() {
                break;
            }
        }
        Ok(taken)
    }
}

impl Part {
    fn after(self, byte: u8) -> Result<Self, &'static str> {
        Ok(match (self, byte) {
            (Self::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                if digits >= MAX_SIZE_DIGITS {
                    return Err("a chunk's size has too many digits");
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Self::Size { digits: digits.saturating_add(1), size: size << 4 | u64::from(digit) }
            }
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeEnd { size },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::LastCr,
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::default(),
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => Self::Over,
            (
                Self::Size { .. }
                | Self::SizeEnd { .. }
                | Self::Data { .. }
                | Self::DataCr
                | Self::DataLf
                | Self::LastCr
                | Self::LastLf
                | Self::Over,
                _,
            ) => return Err("the chunked body is malformed"),
        })
    }
}
