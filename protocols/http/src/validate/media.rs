//! Media types (RFC 9110 §8.3) of text in UTF-8 only.

use http::HeaderValue;

use crate::flaw::Flaw;

const MAX_BYTES: usize = 256;

const INVALID: Flaw = Flaw::new(400, "invalid_content_type", "the content type is malformed");
const CHARSET: Flaw = Flaw::new(415, "unsupported_charset", "text is in UTF-8");

/// The type of a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Media {
    /// `type/subtype`, in lower case.
    pub(crate) essence: String,
    /// The separator of a multipart body, as it came.
    pub(crate) boundary: Option<String>,
}

impl Media {
    pub(crate) fn read(value: &HeaderValue) -> Result<Self, Flaw> {
        Self::parse(value.to_str().map_err(|_| INVALID)?)
    }

    /// Reads a media type whose parameters occur once each, and whose charset, if it has one, is UTF-8.
    pub(crate) fn parse(text: &str) -> Result<Self, Flaw> {
        let (essence, mut rest) = text.split_once(';').map_or((text, None), |(essence, rest)| (essence, Some(rest)));
        let essence = essence.trim_matches([' ', '\t']);
        let (kind, sub) = essence.split_once('/').ok_or(INVALID)?;
        if text.len() > MAX_BYTES || !is_token(kind) || !is_token(sub) {
            return Err(INVALID);
        }
        let mut media = Self { essence: essence.to_ascii_lowercase(), boundary: None };
        let mut names: Vec<String> = Vec::new();
        while let Some(text) = rest {
            let (name, value, next) = parameter(text).ok_or(INVALID)?;
            let name = name.to_ascii_lowercase();
            if names.contains(&name) {
                return Err(INVALID);
            }
            match name.as_str() {
                "charset" if !["utf-8", "utf8"].iter().any(|known| known.eq_ignore_ascii_case(value)) => {
                    return Err(CHARSET);
                }
                "boundary" => media.boundary = Some(value.to_owned()),
                _ => {}
            }
            names.push(name);
            rest = next;
        }
        Ok(media)
    }
}

/// `name=value` or `name="value"`, and what follows the next semicolon. An escape in a value is refused: no type needs
/// one, and not all programs undo it.
pub(crate) fn parameter(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (name, text) = text.trim_start_matches([' ', '\t']).split_once('=')?;
    let (value, after) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').filter(|(value, _)| is_quotable(value))?,
        None => {
            let (value, _) = text.split_once(';').unwrap_or((text, ""));
            let value = value.trim_end_matches([' ', '\t']);
            (value, text.strip_prefix(value).filter(|_| is_token(value))?)
        }
    };
    let after = after.trim_matches([' ', '\t']);
    let next = if after.is_empty() { None } else { Some(after.strip_prefix(';')?) };
    is_token(name).then_some((name, value, next))
}

fn is_quotable(value: &str) -> bool {
    !value.contains(|c: char| c == '\\' || c.is_control())
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
