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
/// The most of one principal at one target.
const MOST_OF_ONE: usize = 64;
/// The largest body that is kept. A request with a larger one waits like any other.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How long the broker's id leads to what the server made.
const MADE: Duration = Duration::from_secs(24 * 60 * 60);
/// How ids of requests that wait begin.
const PREFIX: &str = "resp_held_";
/// The longest id of a server that is remembered.
const MAX_ID_BYTES: usize = 256;
/// Where responses are.
const RESPONSES: &str = "/responses/";

/// It is on its way, somebody else asks about it, or there is nothing of it yet.
const WAITS: Flaw = Flaw::new(409, "response_waits", "the response has not begun: it waits for approval");

/// What waits, and what came of it.
#[derive(Default)]
pub(crate) struct Deferred(Mutex<HashMap<String, Kept>>);

/// Whose a request is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Owner {
    target: TargetName,
    who: String,
}

struct Kept {
    owner: Owner,
    until: Instant,
    sketch: Sketch,
    state: State,
}

enum State {
    Waiting(Box<Whole>),
    /// It is being looked at, or on its way to the server.
    Busy,
    /// The server's id.
    Made(String),
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
    pub(super) fn fresh(head: &Request, body: Bytes, model: Option<&str>) -> Option<Self> {
        (body.len() <= MAX_BODY_BYTES).then(|| {
            let whole = Box::new(Whole { head: head.clone(), body });
            Self { how: How::Fresh { whole, model: model.unwrap_or_default().to_owned() }, seconds: 0 }
        })
    }

    /// People are asked for that long, unless nobody is to be asked any more.
    pub(crate) fn held(&mut self, seconds: u32) -> Held {
        self.seconds = seconds;
        match self.how {
            How::Fresh { .. } | How::Polled(_, Poll::Look) => Held::Stands,
            How::Polled(_, Poll::Cancel | Poll::Delete) => Held::Withdrawn,
        }
    }

    /// It was denied, or waits on: what the client is told instead of that.
    pub(crate) fn denied(self, refusal: &Refusal, served: &Served, who: &str) -> Option<Told> {
        match (self.how, refusal.code) {
            (How::Fresh { whole, model }, Code::Pending) => {
                let owner = Owner { target: served.name.clone(), who: who.to_owned() };
                let sketch = Sketch { model, created: now() };
                let until = Instant::now() + Duration::from_secs(u64::from(self.seconds));
                let kept = Kept { owner, until, sketch: sketch.clone(), state: State::Waiting(whole) };
                // Without room it stands as it would for any client: asked again, it is found.
                served.deferred.keep(kept).map(|id| sketch.response(&id, Status::Queued))
            }
            (How::Fresh { .. }, _) => None,
            (How::Polled(ticket, Poll::Look), Code::Pending) => {
                Some(ticket.sketch.response(&ticket.id, Status::Queued))
            }
            (How::Polled(ticket, Poll::Look), _) => {
                ticket.end(Fate::Gone);
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
                ticket.fate = Fate::Gone;
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
    Stands,
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
}

impl Ticket {
    /// The server made this of it.
    pub(super) fn made(self, id: &str) {
        // It becomes a part of addresses.
        let is_id = (1..=MAX_ID_BYTES).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        self.end(if is_id { Fate::Made(id.to_owned()) } else { Fate::Gone });
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
            (Fate::Made(id), _) => {
                kept.until = Instant::now() + MADE;
                kept.state = State::Made(id);
            }
            (Fate::Waits, None) | (Fate::Gone, _) => drop(all.remove(&self.id)),
        }
    }
}

impl Deferred {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request; `None` where there is no room.
    fn keep(&self, kept: Kept) -> Option<String> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).ok()?;
        let id = format!("{PREFIX}{:032x}", u128::from_be_bytes(random));
        let mut all = self.lock();
        let now = Instant::now();
        all.retain(|_, kept| kept.until > now || matches!(kept.state, State::Busy));
        let of_one = all.values().filter(|other| other.owner == kept.owner).count();
        (all.len() < MOST && of_one < MOST_OF_ONE).then(|| {
            all.insert(id.clone(), kept);
            id
        })
    }

    /// What a request asks of a response that waits, or waited, here. Ids of others are nobody's.
    pub(crate) fn find(self: &Arc<Self>, head: &Request, served: &Served, who: &str) -> Option<Found> {
        let (id, poll) = asked_of(head)?;
        let mut all = self.lock();
        let kept = all.get_mut(id).filter(|kept| kept.owner.target == served.name && kept.owner.who == who)?;
        if kept.until <= Instant::now() && !matches!(kept.state, State::Busy) {
            all.remove(id);
            return Some(Found::Refused(expired()));
        }
        let sketch = kept.sketch.clone();
        Some(match (std::mem::replace(&mut kept.state, State::Busy), poll) {
            (State::Waiting(whole), Some(poll)) => {
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
            (waits @ (State::Waiting(_) | State::Busy), _) => {
                kept.state = waits;
                Found::Refused(Words::of_flaw(WAITS))
            }
        })
    }
}

/// The id of a response that a request is about, and what it asks; `None` where it asks what only a server knows.
fn asked_of(head: &Request) -> Option<(&str, Option<Poll>)> {
    let path = head.path.split('?').next()?;
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let rest = path.strip_prefix(RESPONSES)?;
    let (id, what) = rest.split_once('/').unwrap_or((rest, ""));
    id.starts_with(PREFIX).then_some(())?;
    let poll = match (&head.method, what) {
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
}

impl Sketch {
    /// <https://platform.openai.com/docs/api-reference/responses/object>: a response of which nothing is known yet.
    fn response(&self, id: &str, status: Status) -> Told {
        let status = match status {
            Status::Queued => "queued",
            Status::Cancelled => "cancelled",
        };
        let mut model = String::new();
        escape_into(&self.model, &mut model);
        ok(format!(
            r#"{{"id":"{id}","object":"response","created_at":{},"status":"{status}","background":true,"error":null,"incomplete_details":null,"instructions":null,"metadata":{{}},"model":"{model}","output":[],"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":null}}"#,
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dial::Pools;
    use crate::frame::Length;
    use crate::target::Target;

    const WHO: &str = "user:ann";

    fn served() -> Served {
        let target: Target = serde_json::from_str(r#"{"url":"https://api.example.com","dialect":"openai"}"#).unwrap();
        Served::new(&TargetName::new("api").unwrap(), &target, &Pools::default(), [7; 32]).unwrap()
    }

    fn request(method: Method, path: &str) -> Request {
        Request::new(method, path.to_owned(), HeaderMap::new(), Length::None)
    }

    fn pending() -> Refusal {
        Refusal::builtin(Code::Pending, "hold-pending", "the request waits")
    }

    /// Keeps a request that people are asked about for so long, and gives its id; `None` where it is not kept.
    fn kept(served: &Served, seconds: u32) -> Option<String> {
        let mut later = Later::fresh(&request(Method::POST, "/responses"), Bytes::from("{}"), Some("a \"model\""))?;
        assert_eq!(later.held(seconds), Held::Stands);
        let (_, body) = later.denied(&pending(), served, WHO)?;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.get("model").unwrap(), "a \"model\"");
        Some(body.get("id").unwrap().as_str().unwrap().to_owned())
    }

    fn look(served: &Served, id: &str) -> Option<Found> {
        served.deferred.find(&request(Method::GET, &format!("/v1/responses/{id}")), served, WHO)
    }

    /// A request that a look sends.
    fn sent(served: &Served, id: &str) -> Option<Ticket> {
        let Found::Waiting(_, later) = look(served, id)? else { return None };
        let Allowed::Send(ticket) = later.allowed() else { return None };
        ticket
    }

    /// What a look found, in a word.
    fn found(found: Option<&Found>) -> &'static str {
        match found {
            None => "nothing",
            Some(Found::Waiting(..)) => "waiting",
            Some(Found::Told(_)) => "told",
            Some(Found::Made(_)) => "made",
            Some(Found::Refused(_)) => "refused",
        }
    }

    #[test]
    fn one_looks_at_a_time_and_whoever_gives_up_leaves_it_as_it_was() {
        let served = served();
        let id = kept(&served, 60).unwrap();
        let first = look(&served, &id);
        assert_eq!((found(first.as_ref()), found(look(&served, &id).as_ref())), ("waiting", "told"));
        drop(first);
        assert_eq!(found(look(&served, &id).as_ref()), "waiting");
        let part = request(Method::GET, &format!("/responses/{id}/input_items"));
        assert_eq!(found(served.deferred.find(&part, &served, WHO).as_ref()), "refused");
        assert_eq!(found(look(&served, &id).as_ref()), "waiting");
        assert_eq!(
            found(
                served.deferred.find(&request(Method::GET, &format!("/responses/{id}")), &served, "user:bob").as_ref()
            ),
            "nothing"
        );
    }

    #[test]
    fn what_the_server_made_is_found_unless_its_id_is_none() {
        let served = served();
        for (made, expected) in [("resp_1", "made"), ("../models", "nothing"), ("", "nothing"), ("a?b", "nothing")] {
            let id = kept(&served, 60).unwrap();
            sent(&served, &id).unwrap().made(made);
            let seen = look(&served, &id);
            assert_eq!(found(seen.as_ref()), expected, "{made}");
            if let Some(Found::Made(head)) = seen {
                assert_eq!(head.path, "/v1/responses/resp_1");
            }
        }
    }

    #[test]
    fn what_was_sent_and_not_answered_is_forgotten() {
        let served = served();
        let id = kept(&served, 60).unwrap();
        drop(sent(&served, &id).unwrap());
        assert_eq!(found(look(&served, &id).as_ref()), "nothing");
    }

    #[test]
    fn there_is_room_for_so_many_of_one_and_again_once_they_are_over() {
        let served = served();
        for _ in 0..MOST_OF_ONE {
            assert!(kept(&served, 0).is_some());
        }
        let id = kept(&served, 60).unwrap();
        for _ in 1..MOST_OF_ONE {
            assert!(kept(&served, 60).is_some());
        }
        assert_eq!(kept(&served, 60), None);
        assert_eq!(found(look(&served, &id).as_ref()), "waiting");
        assert_eq!(served.deferred.lock().len(), MOST_OF_ONE);
        let large = Bytes::from(vec![b' '; MAX_BODY_BYTES + 1]);
        assert!(Later::fresh(&request(Method::POST, "/responses"), large, None).is_none());
    }

    #[test]
    fn what_waited_too_long_is_refused_and_forgotten() {
        let served = served();
        let id = kept(&served, 0).unwrap();
        assert_eq!(found(look(&served, &id).as_ref()), "refused");
        assert_eq!(found(look(&served, &id).as_ref()), "nothing");
    }
}
