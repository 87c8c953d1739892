//! Work in the background that waits for people: its client is told that it is queued, and asks again.
//!
//! <https://platform.openai.com/docs/guides/background>: a response in the background is made with the status `queued`, and
//! its client asks for it by its id until the status is another. Until the request may be sent the id is the broker's
//! own; from then on it leads to what the server made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use sluice_mask::json::escape_into;
use sluice_model::{Code, Refusal, TargetName};

use crate::flaw::Flaw;
use crate::frame::{Request, Response};
use crate::refusal::Words;
use crate::served::Served;

/// The most requests that are remembered, of all targets.
const MOST: usize = 1024;
/// The most of one principal at one target that wait.
const MOST_OF_ONE: usize = 64;
/// The largest body that is kept, and the most bytes of all of them. A request for which there is no room waits like any
/// other.
const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_BYTES: usize = 64 << 20;
const MAX_BYTES_OF_ONE: usize = 16 << 20;
/// People are not looked for more often than this: who asks before is told what it was told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the broker's id leads to what became of a request that was sent.
const MADE: Duration = Duration::from_secs(24 * 60 * 60);
/// How ids of requests that wait begin.
const PREFIX: &str = "resp_held_";
/// The longest id of a server that is remembered.
const MAX_ID_BYTES: usize = 256;
/// Where responses are.
const RESPONSES: &str = "/responses/";

/// It is on its way, somebody else asks about it, or there is nothing of it yet.
const WAITS: Flaw = Flaw::new(409, "response_waits", "the response has not begun: it waits for approval");

/// Nobody's, or of a session that has ended.
const UNKNOWN: Flaw = Flaw::new(404, "not_found", "there is no such response in this session");

/// What waits, and what came of it.
#[derive(Default)]
pub(crate) struct Deferred(Mutex<HashMap<String, Kept>>);

/// Who asks, and in which session: people are asked for what a session wants to do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asker {
    pub(crate) who: String,
    /// Who answers for it, who has one share of what is scarce.
    pub(crate) person: Arc<str>,
    pub(crate) session: String,
}

struct Kept {
    target: TargetName,
    asker: Asker,
    until: Instant,
    looked: Instant,
    sketch: Sketch,
    body: Bytes,
    state: State,
}

enum State {
    Waiting(Box<Whole>),
    /// It is being looked at, or on its way to the server.
    Busy,
    /// The server's id.
    Made(String),
    /// It was sent, and what the server made of it is not known.
    Failed,
}

impl Kept {
    const fn waits(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Busy)
    }

    fn is_of(&self, target: &TargetName, who: &str) -> bool {
        self.target == *target && self.asker.who == who
    }
}

/// A request as it came.
pub(crate) struct Whole {
    pub(crate) head: Request,
    pub(crate) body: Bytes,
}

/// What a response shows before there is one.
#[derive(Clone, Debug)]
struct Sketch {
    model: String,
    created: u64,
}

/// A request that may be kept while it waits.
pub(crate) struct Later {
    how: How,
    /// How long people are asked.
    seconds: u32,
}

enum How {
    Fresh { whole: Box<Whole>, model: String },
    Polled(Ticket, Poll),
}

/// What a client wants of a request that waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Poll {
    Look,
    Cancel,
    Delete,
}

/// What an id of the broker's leads to.
pub(crate) enum Found {
    /// The request, to be asked about again.
    Waiting(Box<Whole>, Later),
    /// What the client is told at once.
    Told(Told),
    /// The request, which goes on to what the server made.
    Made(Request),
    Refused(Words),
}

/// An answer of the broker's own.
pub(crate) type Told = (Response, Bytes);

impl Later {
    /// A request for work in the background, with the model as its client names it.
    pub(super) fn fresh(head: &Request, body: &[u8], model: Option<&str>) -> Option<Self> {
        (body.len() <= MAX_BODY_BYTES).then(|| {
            let mut head = head.clone();
            // Who asks is known anew each time; what proves it is not kept.
            for name in ["authorization", "api-key", "x-api-key", "cookie"] {
                head.headers.remove(name);
            }
            // Apart from the room for bodies that are read, which others need.
            let whole = Box::new(Whole { head, body: Bytes::copy_from_slice(body) });
            Self { how: How::Fresh { whole, model: model.unwrap_or_default().to_owned() }, seconds: 0 }
        })
    }

    /// People are asked for that long, unless nobody is to be asked any more.
    pub(crate) fn held(&mut self, seconds: u32, served: &Served, asker: &Asker) -> Held {
        self.seconds = seconds;
        match &self.how {
            How::Fresh { whole, .. } if !served.deferred.has_room(&served.name, asker, whole.body.len()) => Held::Waits,
            How::Fresh { .. } | How::Polled(_, Poll::Look) => Held::Stands,
            How::Polled(_, Poll::Cancel | Poll::Delete) => Held::Withdrawn,
        }
    }

    /// It was denied, or waits on: what the client is told instead of that.
    pub(crate) fn denied(self, refusal: &Refusal, served: &Served, asker: &Asker) -> Option<Told> {
        match (self.how, refusal.code) {
            (How::Fresh { whole, model }, Code::Pending) => {
                let (sketch, looked) = (Sketch { model, created: now() }, Instant::now());
                let kept = Kept {
                    target: served.name.clone(),
                    asker: asker.clone(),
                    until: looked + Duration::from_secs(u64::from(self.seconds)),
                    looked,
                    sketch: sketch.clone(),
                    body: whole.body.clone(),
                    state: State::Waiting(whole),
                };
                // Without room it stands as it would for any client: asked again, it is found.
                served.deferred.keep(kept).map(|id| sketch.response(&id, Status::Queued))
            }
            (How::Fresh { .. }, _) => None,
            (How::Polled(ticket, Poll::Look), Code::Pending) => {
                Some(ticket.sketch.response(&ticket.id, Status::Queued))
            }
            (How::Polled(ticket, Poll::Look), code) => {
                ticket.end(if is_final(code) { Fate::Gone } else { Fate::Waits });
                None
            }
            (How::Polled(ticket, Poll::Cancel), _) => Some(ticket.cancelled()),
            (How::Polled(ticket, Poll::Delete), _) => Some(ticket.deleted()),
        }
    }

    /// It may be sent: what tells the broker what the server made of it, or what the client is told instead.
    pub(crate) fn allowed(self) -> Allowed {
        match self.how {
            How::Fresh { .. } => Allowed::Send(None),
            How::Polled(mut ticket, Poll::Look) => {
                ticket.fate = Fate::Failed;
                Allowed::Send(Some(ticket))
            }
            How::Polled(ticket, Poll::Cancel) => Allowed::Told(ticket.cancelled()),
            How::Polled(ticket, Poll::Delete) => Allowed::Told(ticket.deleted()),
        }
    }
}

/// What becomes of a hold of work in the background.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Held {
    /// Its client is told that it is queued.
    Stands,
    /// Its client waits.
    Waits,
    Withdrawn,
}

/// What an allow leads to.
pub(crate) enum Allowed {
    Send(Option<Ticket>),
    Told(Told),
}

/// A request that is looked at; nobody else looks at it meanwhile.
pub(crate) struct Ticket {
    deferred: Arc<Deferred>,
    id: String,
    sketch: Sketch,
    whole: Option<Box<Whole>>,
    fate: Fate,
}

/// What becomes of a request once nobody looks at it any more.
enum Fate {
    Waits,
    Gone,
    Made(String),
    Failed,
}

/// Whether a denial is the end of a request. What is not may be looked at again.
const fn is_final(code: Code) -> bool {
    matches!(code, Code::Policy | Code::Expired | Code::Withdrawn | Code::NotUnderstood | Code::Unsupported)
}

impl Ticket {
    /// The server made this of it.
    pub(super) fn made(self, id: &str) {
        // It becomes a part of addresses.
        let is_id = (1..=MAX_ID_BYTES).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        self.end(if is_id { Fate::Made(id.to_owned()) } else { Fate::Failed });
    }

    fn end(mut self, fate: Fate) {
        self.fate = fate;
    }

    fn cancelled(self) -> Told {
        let told = self.sketch.response(&self.id, Status::Cancelled);
        self.end(Fate::Gone);
        told
    }

    fn deleted(self) -> Told {
        let told = ok(format!(r#"{{"id":"{}","object":"response","deleted":true}}"#, self.id));
        self.end(Fate::Gone);
        told
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut all = self.deferred.lock();
        let Some(kept) = all.get_mut(&self.id) else { return };
        match (std::mem::replace(&mut self.fate, Fate::Gone), self.whole.take()) {
            (Fate::Waits, Some(whole)) => kept.state = State::Waiting(whole),
            (Fate::Made(id), _) => kept.was_sent(State::Made(id)),
            (Fate::Failed, _) => kept.was_sent(State::Failed),
            (Fate::Waits, None) | (Fate::Gone, _) => drop(all.remove(&self.id)),
        }
    }
}

impl Deferred {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more request could be kept.
    fn has_room(&self, target: &TargetName, asker: &Asker, bytes: usize) -> bool {
        fits(&mut self.lock(), target, asker, bytes)
    }

    /// Keeps a request; `None` where there is no room. The same request of one session is one.
    fn keep(&self, kept: Kept) -> Option<String> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).ok()?;
        let id = format!("{PREFIX}{:032x}", u128::from_be_bytes(random));
        let mut all = self.lock();
        let equal = |other: &Kept| {
            other.waits() && other.target == kept.target && other.asker == kept.asker && other.body == kept.body
        };
        if let Some((known, _)) = all.iter().find(|(_, other)| equal(other)) {
            return Some(known.clone());
        }
        fits(&mut all, &kept.target, &kept.asker, kept.body.len()).then(|| {
            all.insert(id.clone(), kept);
            id
        })
    }

    /// What a request asks of a response that waits, or waited, here. Ids of others are nobody's, and no server knows
    /// them.
    pub(crate) fn find(self: &Arc<Self>, head: &Request, served: &Served, asker: &Asker) -> Option<Found> {
        let (id, poll) = asked_of(head)?;
        let mut all = self.lock();
        let Some(kept) = all.get_mut(id).filter(|kept| kept.is_of(&served.name, &asker.who)) else {
            return Some(Found::Refused(Words::of_flaw(UNKNOWN)));
        };
        let now = Instant::now();
        if kept.until <= now && !matches!(kept.state, State::Busy) {
            all.remove(id);
            return Some(Found::Refused(expired()));
        }
        let sketch = kept.sketch.clone();
        let is_early = now.saturating_duration_since(kept.looked) < LOOK_EVERY;
        Some(match (std::mem::replace(&mut kept.state, State::Busy), poll) {
            (waits @ State::Waiting(_), _) if kept.asker.session != asker.session => {
                kept.state = waits;
                Found::Refused(Words::of_flaw(UNKNOWN))
            }
            (waits @ State::Waiting(_), Some(Poll::Look)) if is_early => {
                kept.state = waits;
                Found::Told(sketch.response(id, Status::Queued))
            }
            (State::Waiting(whole), Some(poll)) => {
                kept.looked = now;
                let again = Box::new(Whole { head: whole.head.clone(), body: whole.body.clone() });
                let (deferred, id) = (Arc::clone(self), id.to_owned());
                let ticket = Ticket { deferred, id, sketch, whole: Some(whole), fate: Fate::Waits };
                Found::Waiting(again, Later { how: How::Polled(ticket, poll), seconds: 0 })
            }
            (State::Made(made), _) => {
                let mut head = head.clone();
                head.path = head.path.replacen(id, &made, 1);
                kept.state = State::Made(made);
                Found::Made(head)
            }
            (State::Busy, Some(Poll::Look)) => Found::Told(sketch.response(id, Status::Queued)),
            (State::Failed, Some(Poll::Look)) => {
                kept.state = State::Failed;
                Found::Told(sketch.response(id, Status::Failed))
            }
            (other @ (State::Waiting(_) | State::Busy | State::Failed), _) => {
                kept.state = other;
                Found::Refused(Words::of_flaw(WAITS))
            }
        })
    }
}

impl Kept {
    /// It waits no longer.
    fn was_sent(&mut self, state: State) {
        self.until = Instant::now() + MADE;
        self.body = Bytes::new();
        self.state = state;
    }
}

/// Whether one more request has room; what is over, or was sent long ago, makes way.
fn fits(all: &mut HashMap<String, Kept>, target: &TargetName, asker: &Asker, bytes: usize) -> bool {
    let now = Instant::now();
    all.retain(|_, kept| kept.until > now || matches!(kept.state, State::Busy));
    if all.len() >= MOST {
        let sent = all.iter().filter(|(_, kept)| !kept.waits());
        if let Some(oldest) = sent.min_by_key(|(_, kept)| kept.until).map(|(id, _)| id.clone()) {
            all.remove(&oldest);
        }
    }
    let (mut of_all, mut of_one, mut count) = (bytes, bytes, 0);
    for kept in all.values().filter(|kept| kept.waits()) {
        of_all = of_all.saturating_add(kept.body.len());
        if kept.is_of(target, &asker.who) {
            of_one = of_one.saturating_add(kept.body.len());
            count += 1;
        }
    }
    all.len() < MOST && count < MOST_OF_ONE && of_all <= MAX_BYTES && of_one <= MAX_BYTES_OF_ONE
}

/// The id of a response that a request is about, and what it asks; `None` where it asks what only a server knows.
fn asked_of(head: &Request) -> Option<(&str, Option<Poll>)> {
    let path = head.path.split('?').next()?;
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let rest = path.strip_prefix(RESPONSES)?;
    let (id, what) = rest.split_once('/').unwrap_or((rest, ""));
    id.starts_with(PREFIX).then_some(())?;
    let is_streamed = head.path.split_once('?').is_some_and(|(_, query)| query.contains("stream"));
    let poll = match (&head.method, what) {
        // There is nothing to stream yet.
        _ if is_streamed => None,
        (&Method::GET, "") => Some(Poll::Look),
        (&Method::DELETE, "") => Some(Poll::Delete),
        (&Method::POST, "cancel") => Some(Poll::Cancel),
        _ => None,
    };
    Some((id, poll))
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug)]
enum Status {
    Queued,
    Cancelled,
    Failed,
}

impl Sketch {
    /// <https://platform.openai.com/docs/api-reference/responses/object>: a response of which nothing is known yet.
    fn response(&self, id: &str, status: Status) -> Told {
        let status = match status {
            Status::Queued => "queued",
            Status::Cancelled => "cancelled",
            Status::Failed => "failed",
        };
        let error = match status {
            "failed" => r#"{"code":"server_error","message":"what the server made of the request is not known"}"#,
            _ => "null",
        };
        let mut model = String::new();
        escape_into(&self.model, &mut model);
        ok(format!(
            r#"{{"id":"{id}","object":"response","created_at":{},"status":"{status}","background":true,"error":{error},"incomplete_details":null,"instructions":null,"metadata":{{}},"model":"{model}","output":[],"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":null}}"#,
            self.created
        ))
    }
}

fn ok(body: String) -> Told {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    (Response::new(StatusCode::OK, headers), Bytes::from(body))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn expired() -> Words {
    Words::of(&Refusal::builtin(Code::Expired, "hold-expired", "nobody approved the request in time"))
}

#[cfg(test)]
mod tests;
