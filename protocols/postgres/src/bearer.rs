//! `OAUTHBEARER` (RFC 7628), as PostgreSQL 18 clients speak it. Pure.
//!
//! <https://www.postgresql.org/docs/18/sasl-authentication.html#SASL-OAUTHBEARER>

use serde::Serialize;
use sluice_wire::Violation;

/// The name of the mechanism.
pub(crate) const MECHANISM: &str = "OAUTHBEARER";

/// Where clients get tokens; both are told to a client that comes without one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bearer {
    /// The URL of the issuer's `openid-configuration` document.
    pub discovery: String,
    /// The scopes to ask the issuer for, with spaces between them.
    pub scope: String,
}

/// What a client hears that has no token, or a wrong one (RFC 7628 §3.2.2).
#[derive(Serialize)]
struct Failure<'a> {
    status: &'static str,
    #[serde(rename = "openid-configuration")]
    discovery: &'a str,
    scope: &'a str,
}

impl Bearer {
    /// The message that says how to come by a token.
    pub(crate) fn failure(&self) -> String {
        let failure = Failure { status: "invalid_token", discovery: &self.discovery, scope: &self.scope };
        // INVARIANT: three texts always serialise.
        serde_json::to_string(&failure).unwrap_or_default()
    }
}

const MALFORMED: Violation = Violation::client("malformed OAUTHBEARER message");

/// Reads a client's first message: `gs2-header kvsep *(key "=" value kvsep) kvsep`. `None` is a client that has no token
/// yet and asks where to get one.
pub(crate) fn token(message: &[u8]) -> Result<Option<&str>, Violation> {
    let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
    let rest = text.strip_prefix("n,,").or_else(|| text.strip_prefix("y,,"));
    let rest = rest.ok_or(Violation::client("channel binding or an authorization identity with OAUTHBEARER"))?;
    let pairs = rest.strip_prefix('\x01').and_then(|rest| rest.strip_suffix("\x01\x01")).ok_or(MALFORMED)?;
    let mut auth = None;
    for pair in pairs.split('\x01') {
        let (key, value) = pair.split_once('=').ok_or(MALFORMED)?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(MALFORMED);
        }
        // RFC 7628 §3.1: keys that are not understood are ignored.
        if key == "auth" && auth.replace(value).is_some() {
            return Err(MALFORMED);
        }
    }
    match auth {
        Some("") => Ok(None),
        Some(value) => {
            let (scheme, token) = value.split_once(' ').ok_or(MALFORMED)?;
            let token = token.trim_start_matches(' ');
            let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            // RFC 6750 §2.1: the scheme is `Bearer` in any letter case, the token is a `b64token`.
            let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(clean);
            if fits { Ok(Some(token)) } else { Err(MALFORMED) }
        }
        None => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        for (message, expected) in [
            ("n,,\x01auth=Bearer a.b-c\x01\x01", Ok(Some("a.b-c"))),
            ("y,,\x01auth=bearer  a==\x01\x01", Ok(Some("a=="))),
            ("n,,\x01host=db\x01auth=Bearer a\x01port=5432\x01\x01", Ok(Some("a"))),
            ("n,,\x01auth=\x01\x01", Ok(None)),
            ("n,,\x01host=db\x01\x01", Err(MALFORMED)),
            ("n,,\x01\x01", Err(MALFORMED)),
            ("\x01", Err(Violation::client("channel binding or an authorization identity with OAUTHBEARER"))),
            (
                "n,a=bob,\x01auth=Bearer a\x01\x01",
                Err(Violation::client("channel binding or an authorization identity with OAUTHBEARER")),
            ),
            (
                "p=tls-server-end-point,,\x01auth=Bearer a\x01\x01",
                Err(Violation::client("channel binding or an authorization identity with OAUTHBEARER")),
            ),
            ("n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", Err(MALFORMED)),
            ("n,,\x01auth=Basic a\x01\x01", Err(MALFORMED)),
            ("n,,\x01auth=Bearer \x01\x01", Err(MALFORMED)),
            ("n,,\x01auth=Bearer a b\x01\x01", Err(MALFORMED)),
            ("n,,\x01auth=Bearer a\x01", Err(MALFORMED)),
            ("n,,\x01auth=Bearer a\x01\x01x", Err(MALFORMED)),
            ("n,,auth=Bearer a\x01\x01", Err(MALFORMED)),
            ("n,,\x011=x\x01auth=Bearer a\x01\x01", Err(MALFORMED)),
            ("n,,\x01auth\x01\x01", Err(MALFORMED)),
        ] {
            assert_eq!(token(message.as_bytes()), expected, "{message:?}");
        }
        assert_eq!(token(b"n,,\x01auth=Bearer \xff\x01\x01"), Err(MALFORMED));
    }

    #[test]
    fn what_a_client_without_a_token_is_told() {
        let bearer = Bearer {
            discovery: "https://id.example.com/.well-known/openid-configuration".to_owned(),
            scope: "openid \"x\"".to_owned(),
        };
        assert_eq!(
            bearer.failure(),
            r#"{"status":"invalid_token","openid-configuration":"https://id.example.com/.well-known/openid-configuration","scope":"openid \"x\""}"#
        );
    }
}
