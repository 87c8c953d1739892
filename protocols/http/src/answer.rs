//! An answer on its way to the client: looked at as far as policy asks, released in the order it came.

mod alone;

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};
use sluice_model::{Operation, Refusal, Ruling, Spend};
use sluice_wire::{Object, Owner};

use crate::dialects::{Expected, Sight};
use crate::frame::{Frame, Request, Response};
use crate::gathered::{Gathered, Share, TooMuch};
use crate::held::Held;
use crate::media::{Media, media};
use crate::refusal::Words;
use crate::request::crowded;
use crate::served::Served;
use crate::veil::Veil;

/// What an answer gives next.
pub(crate) enum Output {
    /// For the client.
    Frame(Frame),
    /// A part of it is an operation of its own; nothing follows before that is ruled on.
    Ask(Operation, Vec<(&'static str, String)>),
    /// Nothing follows before these are known to be the client's.
    Claim(Vec<Object>),
    /// Nothing follows before it is known whose these are.
    Whose(Vec<Object>),
    /// This is asked, and its answer takes the place of what came.
    More(Box<Request>),
    /// Everything has been said.
    Over,
}

/// An answer, from before its head to its end.
pub(crate) struct Answer {
    expected: Expected,
    veil: Veil,
    mode: Mode,
    /// Released and not yet taken.
    ready: VecDeque<Output>,
    begun: Begun,
    /// The head of what is looked at piece by piece, until it is known that there is something to show.
    held: Option<Box<Response>>,
    /// The server has said all of it.
    whole: bool,
    /// The head of what takes the place of a part has not come.
    between: bool,
    /// The server did not do what was asked.
    failed: bool,
    /// Nothing of it is shown any more: it is read on for what it used.
    alone: bool,
    /// What looked at it, once all that the client gets was released.
    counts: Option<Sight>,
}

/// How an answer is looked at.
enum Mode {
    /// The head has not come.
    Awaited,
    /// Passes as it is.
    Verbatim,
    /// Read whole, then looked at.
    Whole { head: Box<Response>, body: Gathered, sight: Sight },
    /// Looked at piece by piece.
    Pieces(Sight),
    /// Asked about as a whole, because nothing can look into it.
    Opaque { head: Box<Response>, held: Held },
    /// Everything was released, or was given up.
    Over,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begun {
    Nothing,
    /// The client has the head, and the body is a stream of events.
    Stream,
    /// The client has the head.
    Body,
}

impl Answer {
    /// What is expected of the server, and the veil over what the client may not see.
    pub(crate) fn new(expected: Expected, veil: Veil) -> Self {
        let mode = Mode::Awaited;
        let begun = Begun::Nothing;
        Self {
            expected,
            veil,
            mode,
            ready: VecDeque::new(),
            begun,
            held: None,
            whole: false,
            between: false,
            failed: false,
            alone: false,
            counts: None,
        }
    }

    /// An answer that the broker gives by itself.
    pub(crate) fn own(response: Response, body: Bytes) -> Self {
        let mut own = Self::new(Expected::nothing(), Veil::open());
        own.mode = Mode::Over;
        own.whole = true;
        own.begin(response, Begun::Body);
        own.say(body);
        own.close();
        own
    }

    /// The head of the server's answer.
    pub(crate) fn head(&mut self, head: &Response, served: &Served, share: Share) {
        if std::mem::take(&mut self.between) {
            if self.unacceptable(head).is_some() || !head.status.is_success() || media(&head.headers) != Media::Json {
                self.fail(&bad_answer("server-error", "the server did not give the next part of a list"));
            }
            return;
        }
        if !matches!(self.mode, Mode::Awaited) {
            return;
        }
        self.failed = !head.status.is_success();
        if let Some(words) = self.unacceptable(head) {
            return self.fail(&words);
        }
        let shown = |headers: HeaderMap| Response::new(head.status, headers);
        let mut headers = served.headers.to_client(&head.headers, &self.veil);
        if self.bodiless(head.status) {
            self.mode = Mode::Verbatim;
            return self.begin(shown(headers), Begun::Body);
        }
        let media = media(&head.headers);
        match self.expected.sight(head.status, media, &self.veil) {
            Look::Verbatim => {
                if let Some(length) = head.headers.get(CONTENT_LENGTH) {
                    headers.insert(CONTENT_LENGTH, length.clone());
                }
                self.mode = Mode::Verbatim;
                let begun = if media == Media::Events { Begun::Stream } else { Begun::Body };
                self.begin(shown(headers), begun);
            }
            Look::Whole(sight) => {
                let body = Gathered::answer(served.limits.response_bytes, share);
                self.mode = Mode::Whole { head: Box::new(shown(headers)), body, sight };
            }
            Look::Pieces(sight) => {
                self.mode = Mode::Pieces(sight);
                if media == Media::Events {
                    self.begin(shown(headers), Begun::Stream);
                } else {
                    self.held = Some(Box::new(shown(headers)));
                }
            }
            Look::Opaque(operation) => {
                self.mode = Mode::Opaque { head: Box::new(shown(headers)), held: Held::new(share) };
                self.ready.push_back(Output::Ask(*operation, Vec::new()));
            }
            Look::Refuse(words) => self.fail(&words),
        }
    }

    /// Why an answer cannot be passed on at all.
    fn unacceptable(&self, head: &Response) -> Option<Words> {
        // RFC 9110 §15.2: those before the answer are not looked at, and nobody asked for another protocol.
        if head.status.is_informational() {
            return Some(bad_answer("interim-answer", "the server gave an interim answer and no other"));
        }
        // Not followed, and not shown: an address can carry what the server was sent (RFC 9110 §15.4).
        if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
            return Some(bad_answer("redirect", "the server answered with a redirect, which is not followed"));
        }
        // RFC 9110 §15.3.7: nobody asked for a part, which could begin or end in the middle of a value.
        if head.status == StatusCode::PARTIAL_CONTENT && !self.veil.is_open() {
            return Some(bad_answer("partial-answer", "the server answered with a part that nobody asked for"));
        }
        let mut codings = head.headers.get_all(CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Some(bad_answer("content-encoding", "the server encoded its answer although it was told not to"));
        }
        None
    }

    fn bodiless(&self, status: StatusCode) -> bool {
        // RFC 9110 §6.4.1.
        self.expected.method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
    }

    /// A piece of the body.
    pub(crate) fn data(&mut self, bytes: Bytes) {
        match &mut self.mode {
            Mode::Verbatim => self.say(bytes),
            Mode::Whole { body, .. } => {
                let words = match body.push(&bytes) {
                    Ok(()) => return,
                    Err(TooMuch::Body) => bad_answer("response-size", "the server's answer is larger than the limit"),
                    Err(TooMuch::All) => crowded(),
                };
                self.fail(&words);
            }
            Mode::Pieces(sight) => {
                sight.push(&bytes);
                self.drain();
            }
            Mode::Opaque { held, .. } => held.push(&bytes),
            Mode::Over => self.count(&bytes),
            Mode::Awaited => {}
        }
    }

    /// The end of the body.
    pub(crate) fn end(&mut self) {
        self.whole = true;
        if self.alone {
            return self.count_whole();
        }
        match &mut self.mode {
            Mode::Verbatim => self.close(),
            Mode::Whole { body, sight, .. } => {
                match body.whole() {
                    Ok(body) => sight.whole(body),
                    Err(_) => return self.fail(&crowded()),
                }
                self.drain();
            }
            Mode::Pieces(sight) => {
                sight.end();
                self.drain();
            }
            Mode::Opaque { .. } | Mode::Awaited | Mode::Over => {}
        }
    }

    /// The answer to the last question.
    pub(crate) fn ruled(&mut self, ruling: &Ruling) {
        match &mut self.mode {
            Mode::Whole { sight, .. } | Mode::Pieces(sight) => {
                sight.ruled(ruling);
                self.drain();
            }
            Mode::Opaque { head, held } => match ruling {
                Ruling::Allow(_) => {
                    let (head, held) = (head.as_ref().clone(), held.take());
                    self.mode = Mode::Verbatim;
                    self.begin(head, Begun::Body);
                    held.into_iter().for_each(|bytes| self.say(bytes));
                    if self.whole {
                        self.close();
                    }
                }
                Ruling::Deny(refusal) => self.fail(&Words::of(refusal)),
            },
            Mode::Awaited | Mode::Verbatim | Mode::Over => {}
        }
    }

    /// The objects that were made are written down as the client's.
    pub(crate) fn claimed(&mut self) {
        self.drain();
    }

    /// Whose the objects are that were asked about.
    pub(crate) fn told(&mut self, owners: &[Owner]) {
        if let Mode::Whole { sight, .. } | Mode::Pieces(sight) = &mut self.mode {
            sight.told(owners);
        }
        self.drain();
    }

    /// Takes over what the sight has released.
    fn drain(&mut self) {
        loop {
            let (sight, head) = match &mut self.mode {
                Mode::Whole { sight, head, body } => (sight, Some((head, body))),
                Mode::Pieces(sight) => (sight, None),
                Mode::Awaited | Mode::Verbatim | Mode::Opaque { .. } | Mode::Over => return,
            };
            let Some(seen) = sight.next() else { return };
            match (seen, head) {
                (Seen::Bytes(bytes), None) => {
                    self.begin_held();
                    self.say(bytes);
                }
                (Seen::Bytes(bytes), Some((head, body))) => {
                    let bytes = body.around(bytes);
                    let mut head = head.as_ref().clone();
                    head.headers.insert(CONTENT_LENGTH, bytes.len().into());
                    self.begin(Response::new(head.status, head.headers), Begun::Body);
                    self.say(bytes);
                    self.over();
                }
                (Seen::Ask(operation, noted), _) => {
                    self.ready.push_back(Output::Ask(*operation, noted));
                    return;
                }
                (Seen::Claim(objects), _) => {
                    self.ready.push_back(Output::Claim(objects));
                    return;
                }
                (Seen::Whose(objects), _) => {
                    self.ready.push_back(Output::Whose(objects));
                    return;
                }
                (Seen::More(request), Some((_, body))) => {
                    body.clear();
                    self.whole = false;
                    self.between = true;
                    self.ready.push_back(Output::More(request));
                    return;
                }
                (Seen::More(_), None) => {}
                (Seen::Refuse(words), _) => self.fail(&words),
                (Seen::Over, _) => self.over(),
            }
        }
    }

    /// The next output.
    pub(crate) fn next(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    /// Ends the answer with these words: as an answer where nothing has gone out, else as the dialect can.
    pub(crate) fn fail(&mut self, words: &Words) {
        self.expected.spent = self.told_spent();
        if let Mode::Pieces(sight) = &self.mode {
            self.expected.reserved = self.expected.reserved.at_least(sight.seen());
        }
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Over => {}
            Mode::Pieces(mut sight) if self.begun == Begun::Stream => {
                sight.fail(words);
                while let Some(seen) = sight.next() {
                    if let Seen::Bytes(bytes) = seen {
                        self.say(bytes);
                    }
                }
                self.counts = Some(sight);
                self.close();
            }
            Mode::Pieces(sight) if self.has_begun() => {
                self.counts = Some(sight);
                self.break_off();
            }
            Mode::Verbatim if self.has_begun() => self.break_off(),
            Mode::Pieces(_) | Mode::Verbatim | Mode::Awaited | Mode::Whole { .. } | Mode::Opaque { .. } => {
                self.held = None;
                let (head, body) = words.response(self.expected.dialect);
                self.begin(head, Begun::Body);
                if self.expected.method != Method::HEAD {
                    self.say(body);
                }
                self.close();
            }
        }
    }

    fn begin(&mut self, head: Response, begun: Begun) {
        self.begun = begun;
        self.ready.push_back(Output::Frame(Frame::Response(Box::new(head))));
    }

    fn begin_held(&mut self) {
        if let Some(head) = self.held.take() {
            self.begin(*head, Begun::Body);
        }
    }

    fn say(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.ready.push_back(Output::Frame(Frame::Data(bytes)));
        }
    }

    /// The sight has released everything.
    fn over(&mut self) {
        self.begin_held();
        self.expected.spent = self.told_spent();
        self.remember();
        if let Mode::Pieces(sight) = std::mem::replace(&mut self.mode, Mode::Over) {
            self.counts = Some(sight);
        }
        self.close();
    }

    fn close(&mut self) {
        self.ready.push_back(Output::Frame(Frame::End));
        self.ready.push_back(Output::Over);
        if matches!(self.mode, Mode::Verbatim) {
            self.mode = Mode::Over;
        }
    }

    fn break_off(&mut self) {
        self.ready.push_back(Output::Frame(Frame::Broken));
        self.ready.push_back(Output::Over);
    }

    /// What the operation used up: as the server says, else all that was reserved, unless the server did not do it.
    pub(crate) fn spent(&self) -> Spend {
        match (self.told_spent(), &self.mode) {
            (Some(spent), _) => spent,
            (None, _) if self.failed => Spend::REQUEST,
            (None, Mode::Pieces(sight)) => self.expected.reserved.at_least(sight.seen()),
            (None, _) => self.counts.iter().fold(self.expected.reserved, |most, sight| most.at_least(sight.seen())),
        }
    }

    fn told_spent(&self) -> Option<Spend> {
        match &self.mode {
            Mode::Whole { sight, .. } | Mode::Pieces(sight) => sight.spent(&self.expected),
            Mode::Awaited | Mode::Verbatim | Mode::Opaque { .. } => self.expected.spent,
            Mode::Over => self.counts.as_ref().map_or(self.expected.spent, |sight| sight.spent(&self.expected)),
        }
    }

    /// The server went away, and nobody but the client is to blame for an answer that has begun.
    pub(crate) fn lost(&mut self) {
        self.failed |= matches!(self.mode, Mode::Awaited);
    }

    /// Whether the client has the head.
    pub(crate) const fn has_begun(&self) -> bool {
        !matches!(self.begun, Begun::Nothing)
    }

    /// Whether the server has said all of it.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether more of the server's answer may be taken.
    pub(crate) fn has_room(&self) -> bool {
        match &self.mode {
            Mode::Opaque { held, .. } => held.has_room(),
            Mode::Pieces(sight) => sight.has_room(),
            Mode::Awaited | Mode::Verbatim | Mode::Whole { .. } | Mode::Over => true,
        }
    }

    /// How many bytes are looked at when a piece comes that has so many, or the end.
    pub(crate) fn weight(&self, piece: Option<usize>) -> usize {
        match (&self.mode, piece) {
            (Mode::Pieces(_), Some(bytes)) => bytes,
            (Mode::Whole { body, .. }, None) => body.len(),
            (Mode::Pieces(_), None) | (Mode::Whole { .. }, Some(_)) => 0,
            (Mode::Awaited | Mode::Verbatim | Mode::Opaque { .. } | Mode::Over, _) => 0,
        }
    }

    /// Bytes that keep a waiting client waiting, where the body is a stream of events.
    pub(crate) fn comment(&self) -> Option<Bytes> {
        (self.begun == Begun::Stream).then(|| Bytes::from_static(b": waiting\n\n"))
    }
}

/// How an answer is to be looked at.
pub(crate) enum Look {
    Verbatim,
    Whole(Sight),
    Pieces(Sight),
    Opaque(Box<Operation>),
    Refuse(Words),
}

/// What a sight gives next.
pub(crate) enum Seen {
    Bytes(Bytes),
    /// A call, and how it is noted.
    Ask(Box<Operation>, Vec<(&'static str, String)>),
    /// Objects that the answer tells of for the first time.
    Claim(Vec<Object>),
    /// Objects of which the client may only be told if they are its own.
    Whose(Vec<Object>),
    /// The answer to this takes the place of what came.
    More(Box<Request>),
    /// The answer cannot be shown.
    Refuse(Words),
    Over,
}

/// The words of an answer that cannot be passed on.
pub(crate) fn bad_answer(rule: &'static str, message: &'static str) -> Words {
    Words::of(&Refusal::builtin(sluice_model::Code::Unavailable, rule, message))
}

/// The type of a body, as a header spells it.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    #[test]
    fn answers_that_nobody_asked_for_are_not_passed_on() {
        let rule = |status: StatusCode, codings: &[&'static str]| {
            let codings = codings.iter().map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding)));
            let head = Response::new(status, codings.collect());
            Answer::new(Expected::nothing(), Veil::open()).unacceptable(&head).map(|words| words.rule)
        };
        for (status, expect) in [
            (StatusCode::OK, None),
            (StatusCode::NOT_MODIFIED, None),
            (StatusCode::FOUND, Some("redirect")),
            (StatusCode::SWITCHING_PROTOCOLS, Some("interim-answer")),
            (StatusCode::EARLY_HINTS, Some("interim-answer")),
        ] {
            assert_eq!(rule(status, &[]).as_deref(), expect, "{status}");
        }
        for (codings, expect) in [
            (&["identity"][..], None),
            (&["Identity", "identity"], None),
            (&["identity", "gzip"], Some("content-encoding")),
            (&["gzip", "identity"], Some("content-encoding")),
            (&["identity, gzip"], Some("content-encoding")),
        ] {
            assert_eq!(rule(StatusCode::OK, codings).as_deref(), expect, "{codings:?}");
        }
    }
}
