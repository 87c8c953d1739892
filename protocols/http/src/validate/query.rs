//! Queries that can be read in one way only (RFC 3986 §3.4), and none that holds a credential.

use std::fmt;
use std::slice;

use crate::flaw::Flaw;

/// The most parameters of a query.
const MAX_PAIRS: usize = 256;

const INVALID: Flaw = Flaw::new(400, "invalid_query", "the query is malformed");
/// RFC 6750 §5.3: credentials in addresses end in logs and histories.
const CREDENTIAL: Flaw = Flaw::new(400, "credential_in_query", "a credential has no place in the query");

/// Names of parameters that carry credentials, in lower case and without punctuation.
const CREDENTIALS: [&str; 32] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apisecret",
    "apitoken",
    "auth",
    "authorization",
    "authtoken",
    "awsaccesskeyid",
    "bearer",
    "bearertoken",
    "clientsecret",
    "credential",
    "credentials",
    "idtoken",
    "jwt",
    "key",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessiontoken",
    "subscriptionkey",
    "token",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
    "xapikey",
    "xauthtoken",
];

/// One parameter, decoded. `Debug` prints no value.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    /// Empty where there is none.
    pub(crate) value: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({}, {} bytes)", self.name, self.value.len())
    }
}

/// Takes a query apart and decodes names and values, once; a plus stands for a space, as in forms.
pub(super) fn pairs(query: &str) -> Result<Vec<Pair>, Flaw> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    for piece in query.split('&') {
        if pairs.len() == MAX_PAIRS {
            return Err(Flaw::new(400, "invalid_query", "the query has too many parameters"));
        }
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        pairs.push(Pair { name: name_of(name)?, value: decode(value)? });
    }
    Ok(pairs)
}

/// Says whether a parameter of this name carries a credential: `api_key`, `X-API-Key`, `token[]`.
pub(crate) fn names_credential(name: &str) -> bool {
    let base = name.split('[').next().unwrap_or_default();
    let plain: String = base.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    CREDENTIALS.binary_search(&plain.as_str()).is_ok()
}

/// A name has no delimiter and no escape in it even after decoding, or it would be another name to who decodes twice.
fn name_of(raw: &str) -> Result<String, Flaw> {
    let name = decode(raw)?;
    if name.is_empty() || name.contains(['%', '=', '&', ';', '#', '?']) {
        return Err(INVALID);
    }
    if names_credential(&name) {
        return Err(CREDENTIAL);
    }
    Ok(name)
}

fn decode(raw: &str) -> Result<String, Flaw> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.as_bytes().iter();
    while let Some(byte) = bytes.next().copied() {
        match byte {
            b'%' => decoded.push(octet(&mut bytes).ok_or(INVALID)?),
            b'+' => decoded.push(b' '),
            _ if is_plain(byte) => decoded.push(byte),
            _ => return Err(INVALID),
        }
    }
    let text = String::from_utf8(decoded).map_err(|_| INVALID)?;
    if text.chars().any(char::is_control) { Err(INVALID) } else { Ok(text) }
}

/// The octet of an escape, of which the percent sign was read.
pub(super) fn octet(bytes: &mut slice::Iter<'_, u8>) -> Option<u8> {
    let mut digit = || char::from(*bytes.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high << 4 | low).ok()
}

/// What a query may hold (RFC 3986 §3.4) without `;`, which some take for `&`, and with the brackets of lists, which
/// many clients do not escape.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*,=:@/?[]".contains(&byte)
}
