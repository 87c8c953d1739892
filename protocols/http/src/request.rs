//! A request: read as far as it must be known, asked about, and sent as it was decided on.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use sluice_model::{
    Access, Action, Budget, Code, Digest, Exposure, Fact, Facts, Meaning, Obligations, Operation, Refusal, Resource,
    Shape, Spend, Stage, Tag, Text, Unit, Usage,
};
use sluice_wire::Object;

use crate::address::{shown, told};
use crate::answer::{Answer, content_type};
use crate::body::Body;
use crate::classes::Inside;
use crate::dialects::openai::Later;
use crate::dialects::{Expected, openai};
use crate::disguise;
use crate::flaw::Flaw;
use crate::frame::{Length, Request, Response};
use crate::gathered::{Gathered, Share, TooMuch};
use crate::machine::Turned;
use crate::media::{Media, essence, media};
use crate::outward::{Outward, decoded, has_protected};
use crate::refusal::Words;
use crate::schema;
use crate::served::Served;
use crate::target::Dialect;

const PROTECTED_TYPE: Flaw =
    Flaw::new(403, "protected_content_type", "a protected value that may not be sent stands in the content type");
const UNMETERED: Flaw = Flaw::new(
    403,
    "unmetered",
    "a budget of tokens or money applies, and what this request uses up is told to nobody here: ask without \
     `background`, or without hosted tools, with `max_output_tokens` and a model whose `context_tokens` are configured",
);
const UNTOLD: Flaw =
    Flaw::new(400, "invalid_path", "protected values go over so many parts of the path that it cannot be ruled on");
/// The most bytes of a body that stand in an operation's text: no one is asked to approve a longer one.
pub(crate) const TEXT_BYTES: usize = 256 * 1024;

/// A body that is read before it is decided on.
pub(crate) struct Reading {
    head: Request,
    body: Gathered,
}

/// Whether it is seen what a request uses up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Metered {
    /// Its answer says so, or ends it.
    ByAnswer,
    /// It works on after its answer, for as long as it likes.
    Never,
}

/// A request that is understood.
pub(crate) struct Prepared {
    pub(crate) operation: Operation,
    pub(crate) metered: Metered,
    /// As it is sent, but for what is withheld.
    pub(crate) head: Request,
    /// What the head holds besides what is held back of it anyway.
    pub(crate) around: Inside,
    pub(crate) body: Body,
    /// The room that the body has.
    pub(crate) share: Share,
    /// What the body holds.
    pub(crate) inside: Inside,
    pub(crate) expected: Expected,
    /// The answer, where the broker gives it by itself.
    pub(crate) own: Option<(Response, Bytes)>,
    /// Objects that must be the client's own.
    pub(crate) objects: Vec<Object>,
    /// Calls of tools whose results the request brings, by their ids.
    pub(crate) results: Vec<String>,
    /// Nobody waits while people are asked.
    pub(crate) later: Option<Later>,
}

/// What is sent under an allow.
pub(crate) struct Sending {
    /// `None` where the broker answers by itself.
    pub(crate) head: Option<Request>,
    /// `None` where the client's body passes as it comes, or there is none.
    pub(crate) body: Option<Bytes>,
    pub(crate) answer: Answer,
}

/// Reads a head; what it brings has room in this share.
pub(crate) fn read(head: &Request, served: &Arc<Served>, share: Share) -> Result<Turned, Words> {
    served.headers.check(&head.headers).map_err(Words::of_flaw)?;
    if let Length::Known(bytes) = head.body
        && bytes > served.limits.request_bytes
        && reads_body(head, served)
    {
        return Err(too_large());
    }
    match served.dialect {
        Dialect::Openai => openai::read(head, served, share),
        Dialect::Rest if head.body == Length::None => Ok(Turned::Ask(Box::new(rest(head, Body::None, served, share)?))),
        Dialect::Rest if reads_body(head, served) => Ok(Turned::Read(Reading::new(head, served, share))),
        Dialect::Rest => Ok(Turned::Ask(Box::new(rest(head, Body::Stream(head.body), served, share)?))),
    }
}

fn reads_body(head: &Request, served: &Served) -> bool {
    served.dialect == Dialect::Openai || media(&head.headers) != Media::Opaque
}

impl Reading {
    pub(crate) fn new(head: &Request, served: &Served, share: Share) -> Box<Self> {
        Box::new(Self { head: head.clone(), body: Gathered::request(served.limits.request_bytes, share) })
    }

    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Words> {
        self.body.push(bytes).map_err(Words::from)
    }

    /// How many bytes of the body came.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The body is whole.
    pub(crate) fn finish(self, served: &Arc<Served>) -> Result<Prepared, Words> {
        let (bytes, mut share) = self.body.into_parts();
        match served.dialect {
            Dialect::Openai => openai::prepare(&self.head, bytes, served, share),
            Dialect::Rest => {
                let body = Body::read(media(&self.head.headers), bytes, served, &mut share)?;
                rest(&self.head, body, served, share)
            }
        }
    }
}

fn too_large() -> Words {
    Words::of_flaw(Flaw::new(413, "request_too_large", "the request body is larger than the limit"))
}

/// What is wrong where all bodies that are being read, or those of one, have no room for more.
pub(crate) fn crowded() -> Words {
    let message = "the broker reads too many bodies at this moment";
    Words::of(&Refusal::builtin(Code::Crowded, "bodies", message))
}

impl From<TooMuch> for Words {
    fn from(too_much: TooMuch) -> Self {
        match too_much {
            TooMuch::Body => too_large(),
            TooMuch::All => crowded(),
        }
    }
}

/// A request of the plain dialect.
fn rest(head: &Request, body: Body, served: &Arc<Served>, share: Share) -> Result<Prepared, Words> {
    disguise::check(head, &body).map_err(Words::of_flaw)?;
    let action = match head.method {
        Method::GET | Method::HEAD => schema::READ,
        Method::DELETE => schema::DELETE,
        _ => schema::WRITE,
    };
    let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
    let (mut tags, inside) = body.tags(served);
    let outward = Outward::of(head, &head.path, served);
    tags.extend(outward.tags);
    let opaque = matches!(body, Body::Stream(_));
    let names = query.split('&').filter(|pair| !pair.is_empty());
    let everything = served.classes.everything();
    let names = names.map(|pair| everything.scrub(&decoded(pair.split('=').next().unwrap_or(pair))).into());
    let path = told(path, outward.around, everything).ok_or_else(|| Words::of_flaw(UNTOLD))?;
    let facts = Facts {
        group: schema::HTTP,
        values: vec![
            ("method", Fact::Text(head.method.as_str().into())),
            ("path", Fact::Text(path.into())),
            ("query", Fact::Set(names.collect())),
            ("content_type", Fact::Text(essence(content_type(&head.headers)).into())),
            ("body_bytes", Fact::Long(body.length(head))),
            ("opaque", Fact::Bool(opaque)),
            ("tags", tag_fact(&tags)),
        ],
    };
    let around = outward.around;
    let question = Question { head, around, body: &body, inside, served, action, tags: &tags, facts };
    let mut accesses = vec![Access { action, resource: Resource::target() }];
    if opaque {
        accesses.push(Access { action: schema::SEND_OPAQUE, resource: Resource::target() });
    }
    let operation = question.operation(accesses, Spend::REQUEST);
    let expected = Expected {
        dialect: Dialect::Rest,
        method: head.method.clone(),
        opaque: Some(Box::new(Opaque::new(schema::TAKE_OPAQUE, head, &operation, served))),
        openai: None,
        spent: None,
        reserved: Spend::REQUEST,
        event_bytes: usize::try_from(served.limits.event_bytes).unwrap_or(usize::MAX),
    };
    Ok(Prepared {
        operation,
        metered: Metered::ByAnswer,
        head: outward.head,
        around,
        body,
        share,
        inside,
        expected,
        own: None,
        objects: Vec::new(),
        results: Vec::new(),
        later: None,
    })
}

/// The question whether an answer may be taken that cannot be looked into; few answers are such.
pub(crate) struct Opaque {
    action: Action,
    /// Of the request; the facts are the same.
    asked: Arc<Shape>,
    method: Method,
    path: String,
    /// The address, and what passes of the headers by configuration.
    exact: String,
    served: Arc<Served>,
}

impl Opaque {
    pub(crate) fn new(action: Action, head: &Request, operation: &Operation, served: &Arc<Served>) -> Self {
        let (asked, served) = (Arc::clone(&operation.shape), Arc::clone(served));
        let exact = head.path.clone() + &served.headers.exact(&head.headers);
        Self { action, asked, method: head.method.clone(), path: head.path.clone(), exact, served }
    }

    pub(crate) fn operation(self) -> Operation {
        let Self { action, asked, method, path, exact, served } = self;
        let accesses = std::iter::once(Access { action, resource: Resource::target() }).collect();
        let facts = asked.meaning().facts.clone();
        let meaning = Meaning { action, accesses, exposures: Vec::new(), facts, understood: true };
        let shape = Shape::new(meaning, [&b"opaque-answer"[..], method.as_str().as_bytes(), exact.as_bytes()]);
        let path = shown(&path, Inside::Unclear, served.classes.everything());
        let text = Text::new(format!("{method} {path}: an answer that is not looked into"));
        Operation { shape: shape.into(), text, stage: Stage::Perform, bound: None, spend: Spend::default() }
    }
}

/// Everything that makes a request an operation.
pub(crate) struct Question<'a> {
    pub(crate) head: &'a Request,
    pub(crate) around: Inside,
    pub(crate) body: &'a Body,
    pub(crate) inside: Inside,
    pub(crate) served: &'a Served,
    pub(crate) action: Action,
    pub(crate) tags: &'a BTreeSet<Tag>,
    pub(crate) facts: Facts,
}

impl Question<'_> {
    /// The operation. Its text is shown to people and recorded, so found values are not in it; its digest covers the
    /// exact bytes.
    pub(crate) fn operation(self, accesses: Vec<Access>, spend: Spend) -> Operation {
        let Self { head, around, body, inside, served, action, tags, facts } = self;
        let disclosed = tags.iter().map(|tag| Exposure::found(tag.clone(), Usage::Disclose));
        let revealed = served.classes.tags().map(|tag| Exposure::found(tag.clone(), Usage::Reveal));
        let exact = body.exact();
        let meaning = Meaning {
            action,
            accesses: accesses.into(),
            exposures: disclosed.chain(revealed).collect(),
            facts,
            understood: true,
        };
        let everything = served.classes.everything();
        // A content type has one line: what follows it is told apart from it.
        let headers = content_type(&head.headers).to_owned() + &served.headers.exact(&head.headers);
        let shape =
            Shape::new(meaning, [head.method.as_str().as_bytes(), head.path.as_bytes(), headers.as_bytes(), &exact]);
        let mut text = format!("{} {}", head.method, shown(&head.path, around, everything));
        text.push_str(&served.headers.shown(&head.headers, everything));
        let shown = body.shown(inside, served);
        let (shown, rest) = shown.split_at(shown.floor_char_boundary(TEXT_BYTES));
        if !shown.is_empty() {
            text.push('\n');
            text.push_str(shown);
        }
        // What is shown of a body can be shorter than it is.
        let left_out = rest.len().max(exact.len().saturating_sub(TEXT_BYTES));
        let text = Text::beginning(text, left_out);
        Operation { shape: shape.into(), text, stage: Stage::Perform, bound: None, spend }
    }
}

pub(crate) fn tag_fact(tags: &BTreeSet<Tag>) -> Fact {
    Fact::Set(tags.iter().map(|tag| tag.as_str().into()).collect())
}

impl Prepared {
    /// Puts what was made of the body away, for as long as people are asked.
    pub(crate) fn rest(&mut self) {
        self.body.rest();
        self.share.shrink(self.body.weight());
    }

    /// What is sent under an allow with these obligations.
    pub(crate) fn send(self, obligations: &Obligations, who: &str, served: &Served) -> Result<Sending, Words> {
        let Self { metered, mut head, around, body, share, inside, mut expected, own, .. } = self;
        let counted = |budget: &Budget| matches!(budget.unit, Unit::Tokens | Unit::Cost);
        if metered == Metered::Never && obligations.controls.budgets.iter().any(counted) {
            return Err(Words::of_flaw(UNMETERED));
        }
        if let Some((response, bytes)) = own {
            return Ok(Sending { head: None, body: None, answer: Answer::own(response, bytes) });
        }
        let withheld = served.classes.toward_server(obligations, who);
        if around == Inside::Unclear && has_protected(&head.path, &withheld) {
            return Err(protected_address());
        }
        let empty = matches!(body, Body::None);
        let streamed = if let Body::Stream(length) = &body { Some(*length) } else { None };
        let body = body.covered(inside, &withheld)?;
        let protected = match around {
            Inside::Clean => Vec::new(),
            Inside::Unclear => served.headers.withheld(&head.headers, &withheld),
        };
        if protected.contains(&CONTENT_TYPE) {
            return Err(Words::of_flaw(PROTECTED_TYPE));
        }
        protected.iter().for_each(|name| drop(head.headers.remove(name)));
        own_idempotency(&mut head.headers, who);
        let length = match (&body, streamed) {
            (_, Some(length)) => length,
            (Some(_), None) if empty => Length::None,
            (Some(bytes), None) => Length::Known(bytes.len() as u64),
            (None, None) => Length::None,
        };
        if let Length::Known(bytes) = length {
            head.headers.insert(CONTENT_LENGTH, bytes.into());
        }
        let head = Request::new(head.method, head.path, head.headers, length);
        if let Some(expectation) = &mut expected.openai {
            expectation.sent(&head);
        }
        // After the body is covered: what was given a token there may be put back.
        let answer = Answer::new(expected, served.classes.toward_client(obligations, who));
        let body = if streamed.is_some() { None } else { body.map(|bytes| share.around(bytes)) };
        Ok(Sending { head: Some(head), body, answer })
    }
}

fn protected_address() -> Words {
    Words::of_flaw(Flaw::new(403, "protected_address", "a protected value that may not be sent stands in the address"))
}

/// A key for repeated requests is the principal's: on a shared credential, two could use the same.
fn own_idempotency(headers: &mut HeaderMap, who: &str) {
    const KEY: http::HeaderName = http::HeaderName::from_static("idempotency-key");
    let own = headers.get(&KEY).map(|key| Digest::of_parts([who.as_bytes(), key.as_bytes()]).hex());
    if let Some(own) = own.and_then(|own| http::HeaderValue::try_from(own).ok()) {
        headers.insert(KEY, own);
    }
}
