//! One attempt at the broker: what is said, what the server answers, and what came of it on both sides.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use sluice_tests::evasion::Evasion;
use sluice_tests::http::Response;
use sluice_tests::keeper::{forget_peak, memory_kib};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::Api;
use sluice_tests::wait::SOON;

use crate::world::{Script, World};

/// A further check: what is wrong, if anything.
pub(crate) type Check = Arc<dyn Fn(&World, &Seen) -> Option<String> + Send + Sync>;

/// What is to be tried.
#[derive(Clone)]
pub(crate) struct Attempt {
    /// Which of the case's variants it is.
    pub(crate) what: String,
    /// What the client says.
    pub(crate) bytes: Vec<u8>,
    /// How many answers that asks for, and to how many sound requests before what is judged.
    pub(crate) answers: usize,
    pub(crate) sound: usize,
    /// The connection must be closed after them.
    pub(crate) closes: Closes,
    pub(crate) script: Script,
    /// The server's stream, where it answers with one.
    pub(crate) stream: Option<String>,
    /// What was said and what is answered, where the two sides must agree on it.
    pub(crate) said: Option<String>,
    pub(crate) answered: Option<(Api, Vec<u8>)>,
    pub(crate) check: Option<Check>,
}

/// Whether a connection must be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Closes {
    Must,
    May,
}

/// What came of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) responses: Vec<Response>,
    /// Every byte that the client heard.
    pub(crate) heard: Vec<u8>,
    pub(crate) closed: bool,
    /// What the server was told.
    pub(crate) told: Vec<Told>,
    /// What the broker logged meanwhile.
    pub(crate) logged: String,
    /// How much memory the broker took at most, beyond what it had before, in KiB.
    pub(crate) grown_kib: u64,
}

impl Attempt {
    /// An attempt to which the server would answer that all is well.
    pub(crate) fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let script: Script = Arc::new(fine);
        Self {
            what: what.into(),
            bytes: bytes.into(),
            answers: 1,
            sound: 0,
            closes: Closes::May,
            script,
            stream: None,
            said: None,
            answered: None,
            check: None,
        }
    }

    /// A question with this body.
    pub(crate) fn post(what: impl Into<String>, api: Api, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: broker\r\nAuthorization: TOKEN\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            api.path(),
            body.len()
        );
        Self::new(what, [head.as_bytes(), &body].concat())
    }

    pub(crate) fn script(mut self, script: impl Fn(&Told, &mut Peer) + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// The server answers with a stream of these events, each in a piece of its own.
    pub(crate) fn streaming(self, events: &[String]) -> Self {
        let (stream, events) = (events.concat(), events.to_vec());
        Self { stream: Some(stream), ..self.script(move |_, peer| peer.events(&events)) }
    }

    pub(crate) fn check(mut self, check: impl Fn(&World, &Seen) -> Option<String> + Send + Sync + 'static) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Makes the attempt.
    pub(crate) fn make(&self, world: &World) -> Seen {
        world.answers(Arc::clone(&self.script));
        let (late, from) = (world.mock.take(), world.broker.log().len());
        assert!(late.is_empty(), "the server was told something late: {late:?}");
        let pid = world.broker.pid();
        forget_peak(pid);
        let before = memory_kib(pid, "VmRSS").unwrap_or(0);
        let mut client = world.broker.http();
        client.send(&with_token(&self.bytes, &world.token));
        let mut seen = Seen::default();
        while seen.responses.len() < self.answers
            && let Some(mut response) = client.try_begun()
        {
            client.body(&mut response);
            seen.responses.push(response);
        }
        seen.closed = seen.responses.len() < self.answers || self.closes == Closes::Must && client.closes_within(SOON);
        seen.heard = std::mem::take(&mut client.heard);
        drop(client);
        settle(world);
        seen.grown_kib = memory_kib(pid, "VmHWM").unwrap_or(0).saturating_sub(before);
        seen.told = world.mock.take();
        // The one that settled.
        let _control = seen.told.pop();
        seen.logged = world.broker.log().get(from..).unwrap_or_default().to_owned();
        seen
    }
}

impl Seen {
    /// The answer that is judged.
    pub(crate) fn judged(&self, attempt: &Attempt) -> Option<&Response> {
        self.responses.get(attempt.sound)
    }
}

/// A request that must pass: what was said before it has come to its end, and the broker lives.
fn settle(world: &World) {
    world.answers(Arc::new(fine));
    let mut client = world.broker.http();
    client.send(&with_token(b"GET /v1/models HTTP/1.1\r\nHost: broker\r\nAuthorization: TOKEN\r\n\r\n", &world.token));
    let response = client.response();
    assert_eq!(response.status(), 200, "{}{}", response.head.text, response.text());
}

/// `TOKEN` is the agent's.
pub(crate) fn with_token(bytes: &[u8], token: &str) -> Vec<u8> {
    const PLACE: &[u8] = b": TOKEN";
    let at = bytes.windows(PLACE.len()).position(|part| part == PLACE);
    let Some((before, after)) = at.and_then(|at| bytes.split_at_checked(at)) else { return bytes.to_vec() };
    [before, format!(": Bearer {token}").as_bytes(), after.get(PLACE.len()..).unwrap_or_default()].concat()
}

/// What a server answers with which nothing is wrong.
pub(crate) fn fine(told: &Told, peer: &mut Peer) {
    let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
    if told.line().starts_with("GET ") {
        peer.json(r#"{"object":"list","data":[]}"#);
    } else if told.json()["stream"] == true {
        peer.events(&api.events(&["Fine."]));
    } else {
        peer.json(&api.answer("\"Fine.\""));
    }
}

/// Both questions with the same text, whole; `text` is JSON, with the quotes.
pub(crate) fn questions(case: &Evasion, text: &str) -> Vec<Attempt> {
    let ask = |api: Api| {
        let body = api.question(text);
        Attempt { said: Some(body.clone()), ..Attempt::post(format!("{text} in {api:?} of {}", case.id), api, body) }
    };
    Api::BOTH.map(ask).to_vec()
}
