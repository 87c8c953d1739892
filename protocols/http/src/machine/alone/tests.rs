//! Clients that leave answers whose end tells what they used.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use sluice_model::{Budget, Controls, OpId, Per, RuleId, Ruling, TargetName};
use sluice_wire::{Input, Machine as _, NoObjects, Side, Step};

use super::*;
use crate::frame::{Length, Request, Response};
use crate::setup::Setup;

fn setup() -> Setup {
    let settings =
        r#"{"url":"https://api.example.com","dialect":"openai","models":{"m":{},"bound":{"context_tokens":500}}}"#;
    let target = serde_json::from_str(settings).unwrap();
    Setup::new(&TargetName::new("api").unwrap(), &target, [7; 32]).unwrap()
}

/// An exchange whose request was allowed, and what it asked of the kernel since then, in words.
struct Run {
    machine: HttpMachine,
    op: OpId,
    reserved: u64,
    log: Vec<String>,
}

impl Run {
    fn under(unit: Unit, body: &str) -> Self {
        Self::at(&setup(), unit, body)
    }

    fn at(setup: &Setup, unit: Unit, body: &str) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let machine = setup.machine("user:ann", std::sync::Arc::new(NoObjects), &headers);
        let length = Length::Known(body.len() as u64);
        let head = Request::new(Method::POST, "/responses".to_owned(), headers, length);
        let mut run = Self { machine, op: OpId::CONNECT, reserved: 0, log: Vec::new() };
        run.tell(Input::FromClient(Frame::Request(Box::new(head))));
        run.tell(Input::FromClient(Frame::Data(Bytes::from(body.to_owned()))));
        run.tell(Input::FromClient(Frame::End));
        let budget =
            Budget { rule: RuleId::new("b").unwrap(), unit, amount: 1, window_seconds: 60, per: Per::Principal };
        let controls = Controls { budgets: vec![budget], ..Controls::default() };
        let obligations = Obligations { controls, ..Obligations::default() };
        run.tell(Input::Ruled(run.op, Ruling::Allow(obligations.into())));
        run.log.clear();
        run
    }

    fn tell(&mut self, input: Input<Frame>) -> &mut Self {
        let mut out = Outbox::default();
        self.machine.handle(input, &mut out).unwrap();
        while let Some(step) = out.pop() {
            match step {
                Step::Ask(op, operation) => {
                    (self.op, self.reserved) = (op, operation.spend.tokens);
                    self.log.push(format!("ask {}", operation.shape.meaning().action.name));
                }
                Step::ToServer(..) => self.log.push("to server".to_owned()),
                Step::ToClient(..) => self.log.push("to client".to_owned()),
                Step::Settle(_, spent) => self.log.push(format!("settle {}", spent.tokens)),
                Step::Done(_) => self.log.push("done".to_owned()),
                Step::Note(note) => self.log.push(format!("note {}", note.kind)),
                Step::Close => self.log.push("close".to_owned()),
                Step::Withdraw(_) => self.log.push("withdraw".to_owned()),
                Step::Leave(_) | Step::Errand(_) => panic!("nothing is left standing or looked up"),
            }
        }
        self
    }

    fn head(&mut self, status: StatusCode, media: &'static str) -> &mut Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
        self.tell(Input::FromServer(Frame::Response(Box::new(Response::new(status, headers)))))
    }

    fn data(&mut self, data: &str) -> &mut Self {
        self.tell(Input::FromServer(Frame::Data(Bytes::from(data.to_owned()))))
    }

    fn leave(&mut self) -> &mut Self {
        self.tell(Input::Ended(Side::Client))
    }

    fn end(&mut self) -> &mut Self {
        self.tell(Input::FromServer(Frame::End))
    }

    /// What came since the last time.
    fn took(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

const GOES_ON: &str = r#"{"model":"m","input":"x","previous_response_id":"r","stream":true,"max_output_tokens":16}"#;
const WHOLE: &str = r#"{"model":"m","input":"x","conversation":"c","max_output_tokens":16}"#;
const EVENTS: &str = "text/event-stream";
const CREATED: &str =
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r_1\",\"usage\":null}}\n\n";
const LAST: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r_1\",\
                    \"usage\":{\"input_tokens\":100000,\"output_tokens\":5,\"total_tokens\":100005}}}\n\n";
const SETTLED: [&str; 3] = ["settle 100005", "done", "close"];

#[test]
fn a_stream_that_is_left_is_read_to_its_end() {
    // Wherever the client leaves: before the head, before an event, in the middle of the last one.
    let (first, second) = LAST.split_at(60);
    for at in 0..4 {
        let mut run = Run::under(Unit::Tokens, GOES_ON);
        for step in 0..4 {
            if step == at {
                let _before = run.took();
                assert_eq!(run.leave().took(), ["note llm.read_on"], "{at}");
            }
            match step {
                0 => run.head(StatusCode::OK, EVENTS),
                1 => run.data(CREATED),
                2 => run.data(first),
                _ => run.data(second),
            };
            if step >= at {
                assert!(run.took().is_empty(), "nothing goes to who has left: {at} {step}");
                assert!(run.machine.wants().server);
            }
        }
        assert_eq!(run.end().took(), SETTLED, "{at}");
    }
}

#[test]
fn so_is_a_body_and_money_counts_as_tokens_do() {
    for leaves_first in [true, false] {
        let mut run = Run::under(Unit::Cost, WHOLE);
        if leaves_first {
            run.leave();
        }
        run.head(StatusCode::OK, "application/json").data(r#"{"id":"r_1","object":"response","output":[],"#);
        if !leaves_first {
            run.leave();
        }
        assert_eq!(run.took(), ["note llm.read_on"]);
        run.data(r#""usage":{"input_tokens":100000,"output_tokens":5}}"#).end();
        assert_eq!(run.took(), SETTLED);
    }
}

#[test]
fn an_answer_that_cannot_be_shown_is_read_on_as_well() {
    let mut run = Run::under(Unit::Tokens, GOES_ON);
    run.head(StatusCode::OK, EVENTS).data(CREATED);
    run.data(&format!("data: {{\"type\":\"unheard.of\"}}\n\n{LAST}"));
    assert_eq!(run.took().last().unwrap(), "note llm.read_on");
    assert!(run.leave().took().is_empty());
    assert_eq!(run.end().took(), SETTLED);
    // Also where the client stays until the end, and leaves then.
    let mut run = Run::under(Unit::Tokens, GOES_ON);
    run.head(StatusCode::OK, EVENTS).data("data: {\"type\":\"unheard.of\"}\n\n").data(LAST);
    let _shown = run.took();
    assert_eq!(run.end().took(), ["settle 100005", "done"]);
    assert_eq!(run.leave().took(), ["close"]);
}

#[test]
fn a_server_that_says_nothing_more_ends_it() {
    let reserved = |run: &mut Run| {
        let settled = run.took();
        assert_eq!(settled.first().map(String::as_str), Some("note llm.read_on"));
        assert!(settled.iter().any(|step| step.starts_with("settle ")), "{settled:?}");
    };
    let mut run = Run::under(Unit::Tokens, GOES_ON);
    reserved(run.leave().head(StatusCode::BAD_REQUEST, "application/json"));
    let mut run = Run::under(Unit::Tokens, GOES_ON);
    reserved(run.leave().tell(Input::Ended(Side::Server)));
    let mut run = Run::under(Unit::Tokens, GOES_ON);
    let lost = sluice_model::Refusal::builtin(sluice_model::Code::Unavailable, "server-lost", "x");
    reserved(run.leave().tell(Input::Revoked(lost)));
}

#[test]
fn nobody_reads_on_where_no_more_than_was_reserved_can_be_used() {
    let known = GOES_ON.replace(r#""m""#, r#""bound""#);
    let itself = GOES_ON.replace(r#","previous_response_id":"r""#, "");
    for (unit, body) in [(Unit::Requests, GOES_ON), (Unit::Tokens, &*known), (Unit::Tokens, &*itself)] {
        let mut run = Run::under(unit, body);
        run.head(StatusCode::OK, EVENTS).data(CREATED);
        let _before = run.took();
        assert_eq!(run.leave().took(), ["close"], "{body}");
    }
}

#[test]
fn what_was_stored_is_reserved_for_whoever_goes_on_with_it() {
    let setup = setup();
    let goes_on = |body: &str| Run::at(&setup, Unit::Tokens, body);
    let other = GOES_ON.replace(r#""r""#, r#""r_9""#);
    let next = GOES_ON.replace(r#""r""#, r#""r_1""#);
    let known = next.replace(r#""m""#, r#""bound""#);
    assert!(goes_on(&next).reserved < 1_000);
    goes_on(&other).head(StatusCode::OK, EVENTS).data(CREATED).data(LAST).end();
    assert!((100_005..101_000).contains(&goes_on(&next).reserved));
    assert!(goes_on(&other).reserved < 1_000 && goes_on(&known).reserved < 1_000);
    // Also of an answer that was left, and of one in a conversation, which holds it from then on.
    let last = LAST.replace("100000", "200000").replace("100005", "200005");
    goes_on(&next).head(StatusCode::OK, EVENTS).data(CREATED).leave().data(&last).end();
    assert!((200_005..201_000).contains(&goes_on(&next).reserved));
    let body = r#"{"id":"r_2","object":"response","output":[],"usage":{"input_tokens":300000,"output_tokens":1}}"#;
    goes_on(WHOLE).head(StatusCode::OK, "application/json").data(body).end();
    assert!((300_001..301_000).contains(&goes_on(WHOLE).reserved));
}
