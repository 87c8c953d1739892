//! A request: read as far as it must be known, asked about, and sent as it was decided on.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use sluice_mask::json::Document;
use sluice_model::{
    Access, Action, Digest, Exposure, Fact, Facts, Obligations, Operation, Resource, Shape, Spend, Stage, Tag, Text,
    Usage,
};
use sluice_wire::Object;

use crate::answer::{Answer, content_type};
use crate::dialects::rest::JSON_LIMITS;
use crate::dialects::{Expected, openai};
use crate::flaw::Flaw;
use crate::frame::{Length, Request, Response};
use crate::gathered::Gathered;
use crate::machine::Turned;
use crate::media::{Media, essence, media};
use crate::refusal::Words;
use crate::schema;
use crate::served::Served;
use crate::target::Dialect;
use crate::validate;
use crate::veil::Veil;

/// The most bytes of a body that stand in an operation's text; its digest covers all of them.
const TEXT_BYTES: usize = 64 * 1024;

/// A body that is read before it is decided on.
pub(crate) struct Reading {
    head: Request,
    body: Gathered,
}

/// A request that is understood.
pub(crate) struct Prepared {
    pub(crate) operation: Operation,
    pub(crate) head: Request,
    pub(crate) body: Body,
    pub(crate) expected: Expected,
    /// The answer, where the broker gives it by itself.
    pub(crate) own: Option<(Response, Bytes)>,
    /// Objects that must be the client's own.
    pub(crate) objects: Vec<Object>,
    /// Calls of tools whose results the request brings, by their ids.
    pub(crate) results: Vec<String>,
}

/// What goes to the server after the head.
pub(crate) enum Body {
    None,
    /// Passes as it comes.
    Stream(Length),
    Text(String),
    Json(Box<Document>),
    /// Parts of which some are text.
    Multipart(Box<openai::Parts>),
}

/// What is sent under an allow.
pub(crate) struct Sending {
    /// `None` where the broker answers by itself.
    pub(crate) head: Option<Request>,
    /// `None` where the client's body passes as it comes, or there is none.
    pub(crate) body: Option<Bytes>,
    pub(crate) answer: Answer,
}

/// Reads a head.
pub(crate) fn read(head: &Request, served: &Arc<Served>) -> Result<Turned, Words> {
    if let Length::Known(bytes) = head.body
        && bytes > served.limits.request_bytes
        && reads_body(head, served)
    {
        return Err(too_large());
    }
    match served.dialect {
        Dialect::Openai => openai::read(head, served),
        Dialect::Rest if head.body == Length::None => Ok(Turned::Ask(Box::new(rest(head, Body::None, served)?))),
        Dialect::Rest if reads_body(head, served) => Ok(Turned::Read(Reading::new(head, served))),
        Dialect::Rest => Ok(Turned::Ask(Box::new(rest(head, Body::Stream(head.body), served)?))),
    }
}

fn reads_body(head: &Request, served: &Served) -> bool {
    served.dialect == Dialect::Openai
        || matches!(media(&head.headers), Media::Json | Media::Lines | Media::Text | Media::Events)
        || essence(content_type(&head.headers)) == "application/x-www-form-urlencoded"
}

impl Reading {
    pub(crate) fn new(head: &Request, served: &Served) -> Box<Self> {
        Box::new(Self { head: head.clone(), body: Gathered::new(served.limits.request_bytes) })
    }

    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Words> {
        if self.body.push(bytes) { Ok(()) } else { Err(too_large()) }
    }

    /// The body is whole.
    pub(crate) fn finish(mut self, served: &Arc<Served>) -> Result<Prepared, Words> {
        let bytes = self.body.take();
        match served.dialect {
            Dialect::Openai => openai::prepare(&self.head, bytes, served),
            Dialect::Rest => {
                let body = match media(&self.head.headers) {
                    Media::Json if bytes.is_empty() => Body::None,
                    Media::Json => Body::Json(Box::new(document(bytes)?)),
                    Media::Lines | Media::Text | Media::Events | Media::Opaque => Body::Text(text(bytes)?),
                };
                rest(&self.head, body, served)
            }
        }
    }
}

/// A strict JSON body.
pub(crate) fn document(bytes: Bytes) -> Result<Document, Words> {
    Document::parse(bytes, JSON_LIMITS).map_err(|fault| {
        let mut words =
            Words::of_flaw(Flaw::new(400, fault.code(), "the body is not the strict JSON that is accepted"));
        words.message = format!("{}: {fault}", words.message).into();
        words
    })
}

pub(crate) fn text(bytes: Bytes) -> Result<String, Words> {
    String::from_utf8(bytes.into())
        .map_err(|_| Words::of_flaw(Flaw::new(400, "invalid_utf8", "the body is text and not UTF-8")))
}

fn too_large() -> Words {
    Words::of_flaw(Flaw::new(413, "request_too_large", "the request body is larger than the limit"))
}

/// A request of the plain dialect.
fn rest(head: &Request, body: Body, served: &Served) -> Result<Prepared, Words> {
    let action = match head.method {
        Method::GET | Method::HEAD => schema::READ,
        Method::DELETE => schema::DELETE,
        _ => schema::WRITE,
    };
    let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
    let mut tags = body.tags(served);
    tags.extend(served.classes.found_in(&decoded(&head.path)));
    let opaque = matches!(body, Body::Stream(_));
    let names = query.split('&').filter(|pair| !pair.is_empty());
    let names = names.map(|pair| pair.split('=').next().unwrap_or(pair).into());
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
    let question = Question { head, body: &body, served, action, tags: &tags, facts: facts.clone() };
    let mut accesses = vec![Access { action, resource: Resource::target() }];
    if opaque {
        accesses.push(Access { action: schema::SEND_OPAQUE, resource: Resource::target() });
    }
    let operation = question.operation(accesses, Spend::REQUEST);
    let expected = Expected {
        dialect: Dialect::Rest,
        method: head.method.clone(),
        opaque: Some(Box::new(opaque_answer(head, schema::TAKE_OPAQUE, facts))),
        openai: None,
        spent: None,
        event_bytes: usize::try_from(served.limits.event_bytes).unwrap_or(usize::MAX),
    };
    Ok(Prepared { operation, head: head.clone(), body, expected, own: None, objects: Vec::new(), results: Vec::new() })
}

/// Whether an answer may be taken that cannot be looked into.
pub(crate) fn opaque_answer(head: &Request, action: Action, facts: Facts) -> Operation {
    let access = Access { action, resource: Resource::target() };
    let shape = Shape {
        action,
        accesses: std::iter::once(access).collect(),
        exposures: Vec::new(),
        digest: Digest::of_parts([b"opaque-answer", head.method.as_str().as_bytes(), head.path.as_bytes()]),
        facts,
        understood: true,
    };
    let text = Text::new(format!("{} {}: an answer that is not looked into", head.method, head.path));
    Operation { shape: shape.into(), text, stage: Stage::Perform, bound: None, spend: Spend::default() }
}

/// Everything that makes a request an operation.
pub(crate) struct Question<'a> {
    pub(crate) head: &'a Request,
    pub(crate) body: &'a Body,
    pub(crate) served: &'a Served,
    pub(crate) action: Action,
    pub(crate) tags: &'a BTreeSet<Tag>,
    pub(crate) facts: Facts,
}

impl Question<'_> {
    /// The operation. Its text is shown to people and recorded, so found values are not in it; its digest covers the
    /// exact bytes.
    pub(crate) fn operation(self, accesses: Vec<Access>, spend: Spend) -> Operation {
        let Self { head, body, served, action, tags, facts } = self;
        let disclosed = tags.iter().map(|tag| Exposure::found(tag.clone(), Usage::Disclose));
        let revealed = served.classes.tags().map(|tag| Exposure::found(tag.clone(), Usage::Reveal));
        let exact = body.exact();
        let shape = Shape {
            action,
            accesses: accesses.into(),
            exposures: disclosed.chain(revealed).collect(),
            facts,
            understood: true,
            digest: Digest::of_parts([
                head.method.as_str().as_bytes(),
                head.path.as_bytes(),
                content_type(&head.headers).as_bytes(),
                &exact,
            ]),
        };
        let path = served.classes.everything().scrub(&head.path).into_owned();
        let mut text = format!("{} {path}", head.method);
        let shown = body.shown(served);
        if !shown.is_empty() {
            text.push('\n');
            text.push_str(shown.get(..shown.floor_char_boundary(TEXT_BYTES)).unwrap_or_default());
        }
        Operation { shape: shape.into(), text: Text::new(text), stage: Stage::Perform, bound: None, spend }
    }
}

pub(crate) fn tag_fact(tags: &BTreeSet<Tag>) -> Fact {
    Fact::Set(tags.iter().map(|tag| tag.as_str().into()).collect())
}

impl Body {
    /// The classes of protected values in it.
    pub(crate) fn tags(&self, served: &Served) -> BTreeSet<Tag> {
        match self {
            Self::None | Self::Stream(_) => BTreeSet::new(),
            Self::Text(text) => served.classes.found_in(text),
            Self::Json(document) => served.classes.found_within(document),
            Self::Multipart(parts) => parts.tags(served),
        }
    }

    /// Its size, or -1.
    pub(crate) fn length(&self, head: &Request) -> i64 {
        let bytes = match self {
            Self::None => Some(0),
            Self::Stream(Length::Known(bytes)) => Some(*bytes),
            Self::Stream(Length::None | Length::Unknown) => None,
            Self::Text(text) => Some(text.len() as u64),
            Self::Json(document) => Some(document.bytes().len() as u64),
            Self::Multipart(_) => match head.body {
                Length::Known(bytes) => Some(bytes),
                Length::None | Length::Unknown => None,
            },
        };
        bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1)
    }

    /// The bytes that the decision is about.
    fn exact(&self) -> Bytes {
        match self {
            Self::None | Self::Stream(_) => Bytes::new(),
            Self::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Self::Json(document) => document.bytes().clone(),
            Self::Multipart(parts) => parts.bytes(),
        }
    }

    /// What people and recordings are shown: without any value that a detector finds.
    fn shown(&self, served: &Served) -> String {
        let everything = served.classes.everything();
        match self {
            Self::None => String::new(),
            Self::Stream(_) => "a body that is not looked into".to_owned(),
            Self::Text(text) => everything.scrub(text).into_owned(),
            Self::Json(document) => String::from_utf8_lossy(&everything.edits(document).apply()).into_owned(),
            Self::Multipart(parts) => parts.shown(everything),
        }
    }

    /// The bytes that are sent, with what is withheld covered.
    fn covered(self, veil: &Veil) -> Result<Option<Bytes>, Words> {
        Ok(match self {
            Self::None => Some(Bytes::new()),
            Self::Stream(_) => None,
            Self::Text(text) => Some(Bytes::from(veil.scrub(&text).into_owned())),
            Self::Json(document) => Some(veil.edits(&document).apply()),
            Self::Multipart(parts) => Some(parts.covered(veil)?),
        })
    }
}

impl Prepared {
    /// What is sent under an allow with these obligations.
    pub(crate) fn send(self, obligations: &Obligations, who: &str, served: &Served) -> Result<Sending, Words> {
        let Self { head, body, expected, own, .. } = self;
        if let Some((response, bytes)) = own {
            return Ok(Sending { head: None, body: None, answer: Answer::own(response, bytes) });
        }
        let withheld = served.classes.toward_server(obligations, who);
        if has_protected(&head.path, &withheld) {
            return Err(protected_address());
        }
        let empty = matches!(body, Body::None);
        let streamed = if let Body::Stream(length) = &body { Some(*length) } else { None };
        let body = body.covered(&withheld)?;
        // After the body is covered: what was given a token there may be put back.
        let answer = Answer::new(expected, served.classes.toward_client(obligations, who));
        let mut headers: HeaderMap = validate::to_server(&head.headers);
        // The type belongs to the body and says nothing of its own.
        let protected = withheld.found_in(&headers);
        protected.iter().filter(|name| **name != CONTENT_TYPE).for_each(|name| drop(headers.remove(name)));
        own_idempotency(&mut headers, who);
        let length = match (&body, streamed) {
            (_, Some(length)) => length,
            (Some(_), None) if empty => Length::None,
            (Some(bytes), None) => Length::Known(bytes.len() as u64),
            (None, None) => Length::None,
        };
        if let Length::Known(bytes) = length {
            headers.insert(CONTENT_LENGTH, bytes.into());
        }
        let head = Request::new(head.method, head.path, headers, length);
        Ok(Sending { head: Some(head), body: if streamed.is_some() { None } else { body }, answer })
    }
}

/// Path and query as a reader of their text sees them.
pub(crate) fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let triplet = (*byte == b'%').then(|| tail.split_at_checked(2)).flatten();
        let value = triplet.and_then(|(digits, tail)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, tail))
        });
        let (byte, tail) = value.unwrap_or((if *byte == b'+' { b' ' } else { *byte }, tail));
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An address is never rewritten: it would be another one.
fn has_protected(path: &str, withheld: &Veil) -> bool {
    let text = decoded(path);
    *withheld.scrub(&text) != *text
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
