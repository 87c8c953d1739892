//! The header lines of a part (RFC 7578 §4.2 to §4.8).

use std::ops::Range;

use super::{INVALID, Part};
use crate::flaw::Flaw;
use crate::validate::{Media, parameter};

/// The most bytes of the header lines of one part.
const MAX_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 256;

const UNKNOWN: Flaw =
    Flaw::new(400, "invalid_multipart", "a part of the multipart body has a header that is not known");
const NESTED: Flaw = Flaw::new(400, "invalid_multipart", "a part of the multipart body is encoded or has parts itself");

/// Reads the head of a part that stands at these bytes of a body.
pub(super) fn part(body: &[u8], at: Range<usize>) -> Result<Part, Flaw> {
    let all = body.get(at.clone()).unwrap_or_default();
    let searched = all.get(..MAX_BYTES).unwrap_or(all);
    let end = searched.windows(4).position(|window| window == b"\r\n\r\n").ok_or(INVALID)?;
    let text = str::from_utf8(all.get(..end).unwrap_or_default()).map_err(|_| INVALID)?;
    let start = at.start.saturating_add(end).saturating_add(4);
    let mut head = Head::default();
    let mut line_at = at.start;
    for line in text.split("\r\n") {
        head.line(line, line_at)?;
        line_at = line_at.saturating_add(line.len()).saturating_add(2);
    }
    head.part(start..at.end, text)
}

#[derive(Debug, Default)]
struct Head {
    name: Option<String>,
    file: Option<String>,
    media: Option<Media>,
    /// Where the length is said, and what it is.
    length: Option<(Range<usize>, usize)>,
    encoded: bool,
}

impl Head {
    fn line(&mut self, line: &str, at: usize) -> Result<(), Flaw> {
        let (name, value) = line.split_once(':').ok_or(INVALID)?;
        let value_at = at.saturating_add(name.len()).saturating_add(1);
        let trimmed = value.trim_start_matches([' ', '\t']);
        let value_at = value_at.saturating_add(value.len().saturating_sub(trimmed.len()));
        let value = trimmed.trim_end_matches([' ', '\t']);
        if value.contains(char::is_control) {
            return Err(INVALID);
        }
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" if self.name.is_none() => self.disposition(value),
            "content-type" if self.media.is_none() => {
                let media = Media::parse(value)?;
                // §4.3: several files of one field are parts of their own, not a part with parts.
                if media.essence.starts_with("multipart/") || media.essence.starts_with("message/") {
                    return Err(NESTED);
                }
                self.media = Some(media);
                Ok(())
            }
            "content-length" if self.length.is_none() => {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| digits).ok_or(INVALID)?;
                self.length = Some((value_at..value_at.saturating_add(value.len()), length));
                Ok(())
            }
            // §4.7: senders "SHOULD NOT" encode; the words that stand for no encoding are let through.
            "content-transfer-encoding" if !self.encoded => {
                self.encoded = true;
                let plain = ["binary", "8bit", "7bit"].iter().any(|word| word.eq_ignore_ascii_case(value));
                if plain { Ok(()) } else { Err(NESTED) }
            }
            "content-disposition" | "content-type" | "content-length" | "content-transfer-encoding" => Err(INVALID),
            _ => Err(UNKNOWN),
        }
    }

    /// §4.2: `form-data; name="…"; filename="…"`. The form `filename*` "MUST NOT" be used: beside the other it would be a
    /// second name.
    fn disposition(&mut self, value: &str) -> Result<(), Flaw> {
        let (kind, mut rest) = value.split_once(';').map_or((value, None), |(kind, rest)| (kind, Some(rest)));
        if !kind.trim_end_matches([' ', '\t']).eq_ignore_ascii_case("form-data") {
            return Err(INVALID);
        }
        while let Some(text) = rest {
            let (name, value, next) = parameter(text).ok_or(INVALID)?;
            match name.to_ascii_lowercase().as_str() {
                "name" if self.name.is_none() && is_field(value) => self.name = Some(value.to_owned()),
                "filename" if self.file.is_none() && value.len() <= MAX_NAME_BYTES => {
                    self.file = Some(value.to_owned())
                }
                _ => return Err(INVALID),
            }
            rest = next;
        }
        Ok(())
    }

    fn part(self, span: Range<usize>, text: &str) -> Result<Part, Flaw> {
        let length = self.length.map(|(at, length)| if length == span.len() { Ok(at) } else { Err(INVALID) });
        let (file, media, length) = (self.file, self.media, length.transpose()?);
        Ok(Part { name: self.name.ok_or(INVALID)?, file, media, head: text.to_owned(), span, length })
    }
}

/// The name of a field, without the escapes of browsers and without the field that would choose another charset (§4.6).
fn is_field(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains('%') && name != "_charset_"
}
