//! What a protocol may ask of the broker.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sluice_model::{Part, Principal, Refusal, Secret, SessionId, TargetName};
use thiserror::Error;

use crate::{Link, LinkError, Machine, Objects, Violation};

/// Who is at the other end of an accepted connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    pub address: SocketAddr,
}

/// What a client shows to prove who it is.
#[derive(Debug)]
pub enum Claim {
    /// A Sluice token or a JWT of a configured issuer. The name the client typed grants nothing.
    Token(Secret),
    /// A SCRAM-SHA-256 proof (RFC 5802 §3) for a broker-minted secret.
    Scram {
        user: String,
        /// `client-first-message-bare,server-first-message,client-final-message-without-proof`.
        auth_message: Bytes,
        proof: [u8; 32],
    },
    /// An SSH public key, in the encoding of RFC 4253 §6.6, by which the protocol has checked a signature over this very
    /// connection (RFC 4252 §7).
    Key { key: Bytes },
    /// An OpenSSH user certificate as it came, by whose key the protocol has checked a signature over this very
    /// connection; nothing else of it is checked yet. Source: OpenSSH's PROTOCOL.certkeys.
    Certificate { certificate: Bytes, client: IpAddr },
    /// The certificates that a TLS client showed, its own first, DER. The handshake has checked that the client holds the
    /// key of the first; nothing else of them is checked yet.
    Tls { chain: Vec<Bytes> },
}

/// What a SCRAM server sends first; unknown users get stable, made-up values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScramParameters {
    pub salt: Vec<u8>,
    pub iterations: u32,
}

/// A claim that held.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub principal: Principal,
    /// The server's own proof, for [`Claim::Scram`].
    pub server_signature: Option<[u8; 32]>,
}

/// A leased target credential.
#[derive(Debug)]
pub struct Credential {
    /// The login role at the target.
    pub user: String,
    /// `None` where the target trusts the connection itself.
    pub secret: Option<Secret>,
    /// Whoever uses it says here that the target does not take it.
    pub turned_down: TurnedDown,
}

impl Credential {
    /// A credential that no target has turned down.
    #[must_use]
    pub fn new(user: String, secret: Option<Secret>) -> Self {
        Self { user, secret, turned_down: TurnedDown::default() }
    }
}

/// Whether a target has turned a lease down: whoever lent it lends another from then on, if there is one.
#[derive(Clone, Debug, Default)]
pub struct TurnedDown(Arc<AtomicBool>);

impl TurnedDown {
    /// The target turned it down.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the target has turned it down.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A way to reach a flow from another connection (a `CancelRequest`).
pub trait Interrupt: Send + Sync {
    /// Withdraws a hold if the flow waits for one.
    fn withdraw(&self) -> Interrupted;
}

/// What an interrupt met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interrupted {
    /// A hold was withdrawn.
    Hold,
    /// Nothing waits here; the server may be busy.
    Nothing,
}

/// Leave for one flow at a target, given by `open` or `join`; the only way to a credential.
pub trait Grant: Send + Sync {
    fn principal(&self) -> &Principal;
    fn target(&self) -> &TargetName;
    fn session(&self) -> &SessionId;
    fn credential(&self) -> &Arc<Credential>;
    /// Who made what at the target.
    fn objects(&self) -> Arc<dyn Objects>;
    /// A handle for other connections of the same client.
    fn interrupt(&self) -> Arc<dyn Interrupt>;
}

/// The broker, as a protocol sees it.
pub trait Broker: Send + Sync + 'static {
    type Grant: Grant;
    /// A session that may be given more flows, as long as it has one.
    type Stem: Clone + Send + Sync;

    /// The first half of a SCRAM exchange.
    fn challenge(&self, user: &str) -> impl Future<Output = Result<ScramParameters, Refusal>> + Send;

    /// Checks a claim.
    fn authenticate(&self, claim: Claim) -> impl Future<Output = Result<Authenticated, Refusal>> + Send;

    /// Rules on connecting and opens a session of one flow, at a part of the target where it has parts. A missing and a
    /// forbidden target are refused alike.
    fn open(
        &self,
        who: &Principal,
        target: &TargetName,
        part: Option<Part>,
        peer: Peer,
    ) -> impl Future<Output = Result<Self::Grant, Refusal>> + Send;

    /// Rules on connecting and gives a flow of the session that the same credential already has at this target from
    /// this address; opens that session where there is none. It ends once it has had no flow for a while.
    fn join(
        &self,
        who: &Principal,
        target: &TargetName,
        peer: Peer,
    ) -> impl Future<Output = Result<Self::Grant, Refusal>> + Send;

    /// What more flows of a grant's session are given by.
    fn stem(&self, grant: &Self::Grant) -> Self::Stem;

    /// Gives one more flow of a session, which ends with the last of its flows.
    fn branch(&self, stem: &Self::Stem) -> impl Future<Output = Result<Self::Grant, Refusal>> + Send;

    /// Whether a principal may connect to a target now. It opens nothing: a list of targets is made with it.
    fn admits(&self, who: &Principal, target: &TargetName, peer: Peer) -> bool;

    /// A place for one more connection of a client that has not signed in, where it comes through another one; given back
    /// when it is dropped. `None` where the client's address has too many. Only who accepts connections counts them.
    fn stranger(&self, peer: Peer) -> Option<Stranger> {
        let _nobody_counts = peer;
        Some(Stranger(Box::new(())))
    }

    /// Carries one flow to its end: the only relay loop.
    fn carry<M, C, S>(
        &self,
        grant: Self::Grant,
        machine: M,
        client: C,
        server: S,
    ) -> impl Future<Output = Result<(), FlowError>> + Send
    where
        M: Machine,
        C: Link<Frame = M::Frame>,
        S: Link<Frame = M::Frame>;

    /// Ends a flow that never began (the server could not be reached), with the reason.
    fn abandon(&self, grant: Self::Grant, reason: &Refusal) -> impl Future<Output = ()> + Send;
}

/// A place among the connections that have not signed in; given back when dropped.
pub struct Stranger(pub Box<dyn Send>);

impl std::fmt::Debug for Stranger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stranger").finish_non_exhaustive()
    }
}

/// Why a flow ended other than by its peers closing it.
#[derive(Debug, Error)]
pub enum FlowError {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("the link to the client failed: {0}")]
    Client(#[source] LinkError),
    #[error("the link to the server failed: {0}")]
    Server(#[source] LinkError),
    /// A machine offered the server a frame under an operation nobody allowed.
    #[error("a frame was offered to the server without an allow")]
    Unruled,
    /// A machine asked while an earlier question was open.
    #[error("a second question was asked while one was open")]
    AskedTwice,
    /// The recording failed, so the flow did.
    #[error("the session could not be recorded")]
    Unrecorded,
    /// The session was revoked.
    #[error("the session was revoked")]
    Revoked,
    /// Sign-in, opening or dialling was refused; the client has been told.
    #[error("refused: {}", .0.message)]
    Refused(Refusal),
}
