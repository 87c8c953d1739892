//! Who the client is: a token as a password or by OAUTHBEARER, a SCRAM exchange, or a certificate.

use bytes::BufMut as _;
use sluice_model::{Code, Refusal, Secret};
use sluice_wire::{Authenticated, Broker, Claim, Violation};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::bearer::{self, Bearer};
use crate::client::{Client, Secured, Stop};
use crate::frame::{Fields, Frame};
use crate::scram::{self, Bound, ClientFirst};
use crate::settings::Method;

/// Upper limit of a token sent as a password, in bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Room for the envelope around a SASL message: mechanism name and lengths.
const SASL_ENVELOPE_BYTES: usize = 64;
/// Room for what an OAUTHBEARER message says beside its token.
const BEARER_ENVELOPE_BYTES: usize = 1024;

/// `AuthenticationRequest` codes (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
const OK: u32 = 0;
const CLEARTEXT_PASSWORD: u32 = 3;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// What a sign-in goes by, beside the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) bearer: Option<&'a Bearer>,
    /// The user name of the startup packet; only SCRAM looks at it.
    pub(crate) user: &'a str,
}

impl Door<'_> {
    /// Asks the client for its proof and the broker whether it holds.
    pub(crate) async fn sign_in<B: Broker>(
        self,
        client: &mut Client,
        method: Method,
        broker: &B,
    ) -> Result<Authenticated, Stop> {
        match method {
            Method::Token => token(client, broker).await,
            Method::Scram => exchange(client, self.user, broker).await,
            Method::Certificate => certificate(client.secured.as_ref(), broker).await,
            Method::Bearer => match self.bearer {
                Some(bearer) => bearing(client, bearer, broker).await,
                None => Err(unoffered().into()),
            },
        }
    }
}

/// `AuthenticationOk`.
pub(crate) fn ok() -> Frame {
    authentication(OK, b"")
}

async fn token<B: Broker>(client: &mut Client, broker: &B) -> Result<Authenticated, Stop> {
    client.send(&[authentication(CLEARTEXT_PASSWORD, b"")]).await?;
    let body = proof(client, MAX_TOKEN_BYTES + 1).await?;
    let mut fields = Fields::of_client(&body);
    let password = fields.cstr()?;
    fields.end()?;
    let token = std::str::from_utf8(password).ok().filter(|token| !token.is_empty()).ok_or_else(|| {
        Refusal::builtin(Code::Unauthenticated, "no-token", "the password is not a token")
            .with_hint("use a Sluice token as the password")
    })?;
    Ok(broker.authenticate(Claim::Token(Secret::from(token.to_owned()))).await?)
}

async fn certificate<B: Broker>(secured: Option<&Secured>, broker: &B) -> Result<Authenticated, Stop> {
    let chain = secured.map(|secured| secured.chain.clone()).unwrap_or_default();
    if chain.is_empty() {
        let refusal = Refusal::builtin(Code::Unauthenticated, "no-certificate", "the client showed no certificate");
        return Err(refusal.with_hint("name it with `sslcert` and its key with `sslkey`").into());
    }
    Ok(broker.authenticate(Claim::Tls { chain }).await?)
}

async fn exchange<B: Broker>(client: &mut Client, user: &str, broker: &B) -> Result<Authenticated, Stop> {
    let endpoint = client.secured.as_ref().and_then(|secured| secured.endpoint.clone());
    let offered = match &endpoint {
        Some(_) => [scram::MECHANISM_PLUS, "\0", scram::MECHANISM, "\0\0"].concat(),
        None => [scram::MECHANISM, "\0\0"].concat(),
    };
    client.send(&[authentication(SASL, offered.as_bytes())]).await?;
    let initial = proof(client, scram::MAX_MESSAGE_BYTES + SASL_ENVELOPE_BYTES).await?;
    let (mechanism, message) = initial_response(&initial)?;
    let bound = match (&endpoint, mechanism) {
        (Some(endpoint), plus) if plus == scram::MECHANISM_PLUS.as_bytes() => Bound::Chosen(endpoint),
        (Some(_), plain) if plain == scram::MECHANISM.as_bytes() => Bound::Declined,
        (None, plain) if plain == scram::MECHANISM.as_bytes() => Bound::Unoffered,
        (Some(_) | None, _) => return Err(UNOFFERED.into()),
    };
    let first = ClientFirst::parse(message, bound)?;

    let parameters = broker.challenge(user).await?;
    let mut random = [0; scram::NONCE_BYTES];
    getrandom::fill(&mut random)
        .map_err(|_| Refusal::builtin(Code::Unavailable, "no-randomness", "sign-in is not possible at the moment"))?;
    let challenge = first.challenge(&scram::nonce(&random), &parameters);
    client.send(&[authentication(SASL_CONTINUE, challenge.message.as_bytes())]).await?;

    let last = proof(client, scram::MAX_MESSAGE_BYTES).await?;
    let response = challenge.respond(&last)?;
    let claim = Claim::Scram { user: user.to_owned(), auth_message: response.auth_message, proof: response.proof };
    let authenticated = broker.authenticate(claim).await?;
    let signature = authenticated.server_signature.ok_or_else(|| {
        Refusal::builtin(Code::Unauthenticated, "no-server-proof", "sign-in is not possible with this method")
    })?;
    client.send(&[authentication(SASL_FINAL, scram::server_final(&signature).as_bytes())]).await?;
    Ok(authenticated)
}

/// OAUTHBEARER: one message with the token; whoever has none, or a wrong one, is told where to get one and has to answer
/// that before it is turned away (RFC 7628 §3.2.3).
async fn bearing<B: Broker>(client: &mut Client, bearer: &Bearer, broker: &B) -> Result<Authenticated, Stop> {
    client.send(&[authentication(SASL, &[bearer::MECHANISM.as_bytes(), b"\0\0"].concat())]).await?;
    let initial = proof(client, MAX_TOKEN_BYTES + BEARER_ENVELOPE_BYTES).await?;
    let (mechanism, message) = initial_response(&initial)?;
    if mechanism != bearer::MECHANISM.as_bytes() {
        return Err(UNOFFERED.into());
    }
    let refusal = match bearer::token(message)? {
        Some(token) => match broker.authenticate(Claim::Token(Secret::from(token.to_owned()))).await {
            Ok(authenticated) => return Ok(authenticated),
            Err(refusal) if refusal.code == Code::Unauthenticated => refusal,
            Err(refusal) => return Err(refusal.into()),
        },
        None => Refusal::builtin(Code::Unauthenticated, "no-token", "the client has no token yet"),
    };
    client.send(&[authentication(SASL_CONTINUE, bearer.failure().as_bytes())]).await?;
    if *proof(client, 1).await? != [1] {
        return Err(Violation::client("malformed OAUTHBEARER message").into());
    }
    Err(refusal.into())
}

const UNOFFERED: Violation = Violation::client("the selected SASL mechanism was not offered");

fn unoffered() -> Refusal {
    Refusal::builtin(Code::Unsupported, "oauthbearer", "sign-in by OAUTHBEARER is not offered here")
        .with_hint("use the token as the password")
}

/// `SASLInitialResponse`. **Shape:** `mechanism cstr · length i32 · message`
fn initial_response(body: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let mut fields = Fields::of_client(body);
    let mechanism = fields.cstr()?;
    let message = fields.value()?.ok_or(Violation::client("no initial SASL response"))?;
    fields.end()?;
    Ok((mechanism, message))
}

fn authentication(code: u32, more: &[u8]) -> Frame {
    Frame::build(b'R', |out| {
        out.put_u32(code);
        out.put_slice(more);
    })
}

/// The body of the one message that may come: `p`. It is wiped after use.
async fn proof(client: &mut Client, limit: usize) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let tag = client.stream.read_u8().await?;
    if tag == b'X' {
        return Err(Stop::Left);
    }
    if tag != b'p' {
        return Err(Violation::client("expected a password message").into());
    }
    let length = usize::try_from(client.stream.read_u32().await?).unwrap_or(usize::MAX);
    let bytes = length.checked_sub(4).ok_or(Violation::client("invalid message length"))?;
    if bytes > limit {
        return Err(Violation::client("password message is larger than its limit").into());
    }
    let mut body = Zeroizing::new(vec![0; bytes]);
    client.stream.read_exact(&mut body).await?;
    Ok(body)
}
