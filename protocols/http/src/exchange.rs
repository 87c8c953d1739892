//! One exchange, from hyper's request to the relay loop: checked, signed in, led to its target.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use sluice_model::{Code, Digest, Principal, Refusal, Secret, TargetName};
use sluice_wire::{Broker, Claim, FlowError, Grant as _, HungUp, Peer, Targets};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::dialects::openai::Asker;
use crate::door::Door;
use crate::flaw::Flaw;
use crate::frame::{Length, Request};
use crate::link::{Answer, ClientLink, Patience as ServerPatience, ServerLink};
use crate::machine::HttpMachine;
use crate::patience::{Interims, Patience};
use crate::pipe::pipe;
use crate::refusal::Words;
use crate::serve::Http;
use crate::target::Target;
use crate::validate::{self, Body, Checked, Coding, Listener};

/// How long a token that was checked is believed on the same connection; revocation ends its sessions meanwhile.
const BELIEVED: Duration = Duration::from_secs(2);
/// The largest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// What identifies an exchange to whoever reads logs and recordings.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request as hyper hands it on.
pub(crate) struct Arrival {
    pub(crate) request: http::Request<Incoming>,
    pub(crate) answer: oneshot::Sender<Answer>,
    pub(crate) door: Option<Arc<Door>>,
    pub(crate) flaw: Option<Flaw>,
}

/// The exchanges of one connection.
pub(crate) struct Exchanges<'a, B> {
    http: &'a Http,
    /// Looked at for every exchange: a kept connection outlives a configuration.
    targets: &'a ArcSwap<Targets<Target>>,
    broker: &'a B,
    peer: Peer,
    hung_up: HungUp,
    /// The last token that was checked, by its digest, whose it is, and when.
    believed: Mutex<Option<(Digest, Principal, Instant)>>,
}

/// Where a request is led.
struct Route {
    name: TargetName,
    target: Option<Arc<Target>>,
    /// Path and query below the target.
    path: String,
}

impl<'a, B: Broker> Exchanges<'a, B> {
    pub(crate) fn new(
        http: &'a Http,
        targets: &'a ArcSwap<Targets<Target>>,
        broker: &'a B,
        (peer, hung_up): (Peer, HungUp),
    ) -> Self {
        Self { http, targets, broker, peer, hung_up, believed: Mutex::default() }
    }

    /// Runs one exchange to its end.
    pub(crate) async fn run(&self, arrival: Arrival) {
        let Arrival { request, answer, door, flaw } = arrival;
        let (parts, mut body) = request.into_parts();
        match self.admit(&parts, &mut body, flaw).await {
            Ok((head, served, principal)) => {
                let link = ClientLink::new(head, body, answer, door, parts.version).watched(self.hung_up.clone());
                self.carry(link, &parts, served, &principal).await;
            }
            Err(words) => {
                tracing::info!(protocol = "http", client = %self.peer.address, rule = %words.rule, code = %words.code, "a request was refused");
                let _gone = answer.send(plain(&words));
            }
        }
    }

    /// Checks the request and who sends it.
    async fn admit(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        flaw: Option<Flaw>,
    ) -> Result<(Request, Arc<crate::served::Served>, Principal), Words> {
        if let Some(flaw) = flaw {
            return Err(Words::of_flaw(flaw));
        }
        let listener = Listener { authorities: self.http.authorities() };
        let checked = validate::head(parts, listener).map_err(Words::of_flaw)?;
        if checked.coding != Coding::Identity {
            return Err(Words::of_flaw(Flaw::new(415, "content_encoding", "compressed bodies are not accepted")));
        }
        let principal = self.principal(&parts.headers).await?;
        let route = self.route(parts, &checked).ok_or_else(no_such_target)?;
        let target = route.target.ok_or_else(no_such_target)?;
        let served = self.http.served(&route.name, &target).ok_or_else(unusable)?;
        // HTTP/2 says with the head whether a body follows, or in an empty frame after it.
        let mut ended = body.is_end_stream();
        if checked.body == Body::Open && !ended && useless_body(parts) {
            let patience = Duration::from_secs(served.limits.request_seconds);
            ended = timeout(patience, ends_empty(body)).await.unwrap_or(false);
        }
        // A server that does not read it would take it for the next request, of whoever comes next.
        if checked.has_stray_body() || (checked.body == Body::Open && !ended && useless_body(parts)) {
            return Err(Words::of_flaw(Flaw::malformed("this method takes no body")));
        }
        let length = match checked.body {
            Body::Empty => Length::None,
            Body::Sized(bytes) => Length::Known(bytes),
            Body::Open if ended => Length::None,
            Body::Chunked | Body::Open => Length::Unknown,
        };
        let head = Request::new(parts.method.clone(), route.path, parts.headers.clone(), length);
        Ok((head, served, principal))
    }

    async fn principal(&self, headers: &HeaderMap) -> Result<Principal, Words> {
        let token = token(headers)?;
        let digest = Digest::of_parts([token.as_bytes()]);
        let now = Instant::now();
        if let Some((known, principal, at)) = &*self.believed()
            && *known == digest
            && now.duration_since(*at) < BELIEVED
        {
            return Ok(principal.clone());
        }
        let claim = Claim::Token(Secret::from(token.to_owned()));
        let checked = self.broker.authenticate(claim).await.map_err(|refusal| Words::of(&refusal))?;
        *self.believed() = Some((digest, checked.principal.clone(), now));
        Ok(checked.principal)
    }

    fn believed(&self) -> std::sync::MutexGuard<'_, Option<(Digest, Principal, Instant)>> {
        self.believed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target that a host name or the first part of the path leads to, and what is left of the path.
    fn route(&self, parts: &Parts, checked: &Checked) -> Option<Route> {
        let targets = self.targets.load();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = checked.authority.rsplit_once(':').map_or(checked.authority.as_str(), |(host, _)| host);
        let by_host = targets.iter().find(|(_, target)| target.hosts.iter().any(|name| name == host));
        if let Some((name, target)) = by_host {
            return Some(Route { name: name.clone(), target: Some(Arc::clone(target)), path: path.to_owned() });
        }
        let first = checked.segments.first()?;
        let name = TargetName::new(first).ok()?;
        let rest = path.strip_prefix('/')?.strip_prefix(first.as_str())?;
        let path = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        Some(Route { target: targets.get(&name).cloned(), name, path })
    }

    async fn carry(
        &self,
        mut link: ClientLink,
        parts: &Parts,
        served: Arc<crate::served::Served>,
        principal: &Principal,
    ) {
        let grant = match self.broker.join(principal, &served.name, self.peer).await {
            Ok(grant) => grant,
            Err(refusal) => return link.answer_with(plain(&Words::of(&refusal))),
        };
        link.label(REQUEST_ID, grant.session().as_str());
        // Not every client expects them: Python's http.client takes one for the answer, and the answer for the next.
        let expected = parts.version == Version::HTTP_11 && parts.headers.contains_key("x-stainless-lang");
        let interims = if expected { Interims::Sent } else { Interims::Never };
        let patience = Patience::of(&parts.headers, interims);
        let limits = served.limits;
        link.wait_for_body(Duration::from_secs(limits.request_seconds));
        let server = ServerLink::new(
            Arc::clone(&served.origin),
            Arc::clone(grant.credential()),
            ServerPatience {
                response: Duration::from_secs(limits.response_seconds),
                idle: Duration::from_secs(limits.idle_seconds),
                total: Duration::from_secs(limits.total_seconds),
            },
        );
        let (who, person): (_, Arc<str>) = (principal.to_string(), principal.owner().into());
        link.within(served.room.share_of_waiting(&person));
        let asker = Asker { who, person, session: grant.session().to_string() };
        let machine = HttpMachine::new(served, asker, grant.objects(), patience);
        let carried = Box::pin(self.broker.carry(grant, machine, link, server)).await;
        report(self.peer, carried);
    }
}

/// Says how an exchange ended where that is worth a line.
fn report(peer: Peer, ended: Result<(), FlowError>) {
    match ended {
        Ok(()) => {}
        Err(error @ (FlowError::Unruled | FlowError::AskedTwice | FlowError::Unrecorded)) => {
            tracing::error!(protocol = "http", client = %peer.address, error = %error, "an exchange was ended by the broker");
        }
        Err(error) => {
            tracing::debug!(protocol = "http", client = %peer.address, error = %error, "an exchange broke off")
        }
    }
}

/// Whether a body ends before anything of it comes.
async fn ends_empty(body: &mut Incoming) -> bool {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        if !frame.is_ok_and(|frame| frame.data_ref().is_some_and(Bytes::is_empty)) {
            return false;
        }
    }
    body.is_end_stream()
}

fn useless_body(parts: &Parts) -> bool {
    matches!(parts.method, http::Method::GET | http::Method::HEAD | http::Method::DELETE)
}

/// The token of a request: a bearer token, or what OpenAI's and other SDKs send as an API key. Never more than one.
fn token(headers: &HeaderMap) -> Result<&str, Words> {
    let bearer = headers.get(AUTHORIZATION).map(|value| value.to_str().ok().and_then(bearer));
    let keys = ["api-key", "x-api-key"].map(|name| headers.get(name).map(|value| value.to_str().ok()));
    let mut shown = std::iter::once(bearer).chain(keys).flatten();
    let token = shown.next().flatten().filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES);
    match (token, shown.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(Words::of(&Refusal::builtin(
            Code::Unauthenticated,
            "identity.token",
            "a request carries exactly one token: `Authorization: Bearer TOKEN`, or as an API key",
        ))),
    }
}

/// RFC 6750 §2.1.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An answer outside of any flow.
fn plain(words: &Words) -> Answer {
    let (head, body) = words.response_to_anybody();
    let (inlet, outlet) = pipe(Length::Known(body.len() as u64));
    inlet.push(body);
    inlet.end();
    let mut response = http::Response::new(outlet);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if head.status == http::StatusCode::UNAUTHORIZED {
        // RFC 9110 §11.6.1.
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn no_such_target() -> Words {
    let refusal =
        Refusal::builtin(Code::Policy, "no-such-target", "there is no such target, or you may not connect to it")
            .with_hint("Ask an administrator which targets your groups may use.");
    Words::of(&refusal)
}

fn unusable() -> Words {
    Words::of(&Refusal::builtin(Code::Unavailable, "target-configuration", "the target cannot be served as configured"))
}
