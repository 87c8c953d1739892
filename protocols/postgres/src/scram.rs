//! The server side of SCRAM-SHA-256: what the client sends, checked, and what it is answered. Pure.
//!
//! RFC 5802 (the exchange), RFC 7677 (SHA-256), RFC 5929 (channel binding), and
//! <https://www.postgresql.org/docs/current/sasl-authentication.html> (the envelope). The proof itself is checked by
//! whoever keeps the secrets, see [`sluice_wire::Claim::Scram`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sluice_wire::{ScramParameters, Violation};

use crate::binding::{self, Endpoint};

/// The mechanism.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// The mechanism bound to the TLS connection; offered only where its binding is checked.
pub(crate) const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// Upper limit of one SASL message, in bytes; PostgreSQL's own.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024;
/// Random bytes in the server's half of the nonce; PostgreSQL's own number.
pub(crate) const NONCE_BYTES: usize = 18;

/// Whether an exchange is bound to its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound<'a> {
    /// It cannot be.
    Unoffered,
    /// It could be, and the client chose the mechanism without.
    Declined,
    Chosen(&'a Endpoint),
}

/// `client-first-message`: `gs2-cbind-flag "," [authzid] "," "n=" user ",r=" nonce ["," extensions]`.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct ClientFirst {
    /// What the last message must show of it: flag, empty authorization identity, binding data; in base64.
    binding: String,
    bare: String,
    nonce: String,
}

/// An exchange whose first half is done.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Challenge {
    binding: String,
    client_first_bare: String,
    nonce: String,
    /// `server-first-message`.
    pub(crate) message: String,
}

/// What is left to check: the proof, over the messages of the exchange.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Response {
    pub(crate) auth_message: Bytes,
    pub(crate) proof: [u8; 32],
}

impl ClientFirst {
    /// Reads the client's first message.
    pub(crate) fn parse(message: &[u8], bound: Bound<'_>) -> Result<Self, Violation> {
        let message = text(message)?;
        let (binding, bare) = header(message, bound)?;
        // The user name in here is empty or ignored, as in PostgreSQL: the startup packet has it.
        let (user, rest) = bare.split_once(',').ok_or(MALFORMED)?;
        if !user.starts_with("n=") {
            return Err(Violation::client("unsupported mandatory SCRAM extension"));
        }
        let nonce = rest.split(',').next().and_then(|part| part.strip_prefix("r=")).ok_or(MALFORMED)?;
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Violation::client("invalid SCRAM nonce"));
        }
        Ok(Self { binding, bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// The server's answer; `server_nonce` is printable ASCII without a comma.
    pub(crate) fn challenge(self, server_nonce: &str, parameters: &ScramParameters) -> Challenge {
        let nonce = format!("{}{server_nonce}", self.nonce);
        let salt = STANDARD.encode(&parameters.salt);
        let message = format!("r={nonce},s={salt},i={}", parameters.iterations);
        Challenge { binding: self.binding, client_first_bare: self.bare, nonce, message }
    }
}

impl Challenge {
    /// Reads the client's last message: `c=` binding `,r=` nonce `["," extensions] ",p="` proof.
    pub(crate) fn respond(self, message: &[u8]) -> Result<Response, Violation> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut parts = without_proof.split(',');
        let binding = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(MALFORMED)?;
        // RFC 5802 §6: "the server MUST verify" that the binding data repeats the header of the first message.
        if binding != self.binding {
            return Err(Violation::client("SCRAM channel binding check failed"));
        }
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(MALFORMED)?;
        if nonce != self.nonce {
            return Err(Violation::client("SCRAM nonce does not match"));
        }
        // RFC 5802 §5.1: an unknown optional extension is ignored, a mandatory one (`m=`) is not.
        if parts.any(|part| part.starts_with("m=")) {
            return Err(Violation::client("unsupported mandatory SCRAM extension"));
        }
        let proof = STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(MALFORMED)?;
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.message);
        Ok(Response { auth_message: auth_message.into(), proof })
    }
}

/// Takes the `gs2-header` off a first message; gives what the last one must show of it.
///
/// RFC 5802 §7: `n` does not support binding, `y` believes the server does not, `p=` demands it.
fn header<'a>(message: &'a str, bound: Bound<'_>) -> Result<(String, &'a str), Violation> {
    let (flag, bare) = match (message.split_once(",,"), bound) {
        (Some((flag, bare)), Bound::Chosen(endpoint)) if flag.strip_prefix("p=") == Some(binding::TYPE) => {
            let shown = [flag.as_bytes(), b",,", endpoint.bytes()].concat();
            return Ok((STANDARD.encode(shown), bare));
        }
        (_, Bound::Chosen(_)) => return Err(Violation::client("SCRAM channel binding of another type, or none")),
        (Some((flag @ "n", bare)), _) | (Some((flag @ "y", bare)), Bound::Unoffered) => (flag, bare),
        // RFC 5802 §6: somebody on the way took the offer out of the list.
        (Some(("y", _)), Bound::Declined) => {
            return Err(Violation::client("SCRAM channel binding was offered and the client did not see it"));
        }
        _ if message.starts_with("p=") => return Err(Violation::client("channel binding was not offered")),
        _ => return Err(Violation::client("malformed SCRAM message or an authorization identity")),
    };
    Ok((STANDARD.encode(format!("{flag},,")), bare))
}

/// `server-final-message`.
pub(crate) fn server_final(signature: &[u8; 32]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

/// The server's half of a nonce, from random bytes.
pub(crate) fn nonce(random: &[u8; NONCE_BYTES]) -> String {
    STANDARD.encode(random)
}

const MALFORMED: Violation = Violation::client("malformed SCRAM message");

fn text(message: &[u8]) -> Result<&str, Violation> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(Violation::client("SCRAM message is larger than its limit"));
    }
    let text = std::str::from_utf8(message).map_err(|_| MALFORMED)?;
    if text.contains('\0') { Err(MALFORMED) } else { Ok(text) }
}

#[cfg(test)]
pub(crate) mod tests;
