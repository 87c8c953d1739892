//! The laws for protocols whose flow is one exchange, and whose servers ask clients for something.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sluice_model::{
    Access, Action, Effect, Facts, Mask, Meaning, Obligations, OpId, Operation, Refusal, Resource, Ruling, Shape,
    Spend, Stage, Tag, Text, Transform,
};
use sluice_wire::conformance::{
    self, Breach, CANARY, Endless, Flood, Judge, Law, Masked, Move, Phase, Server, Subject, Talk, transcript,
};
use sluice_wire::{Codec, Frame, Input, Machine, Outbox, Side, Violation, Wants};

/// A post office: `send TEXT`, which the office answers with lines of `say TEXT` and `do TEXT` and then `.`, in a flow
/// of its own each time. What it wants done is asked about; a refusal is `refused RULE MESSAGE`.
struct Post<const FLAW: char>;

/// Passes on what the office wants done before anybody was asked.
const EAGER: char = 'e';
/// Goes on after its exchange.
const LINGERING: char = 'l';
/// Leaves its operation open.
const LEAKY: char = 'k';
/// Keeps lines to itself.
const SPONGE: char = 's';
/// Says what it hides in the question about it.
const TALKATIVE: char = 't';
/// Frames lines in its own way.
const FANCY: char = 'f';
const NONE: char = '-';

#[derive(Clone)]
struct Line(Bytes);

impl Frame for Line {
    fn wire(&self) -> &[u8] {
        &self.0
    }
}

/// A line ends with a feed, which is of the transport and in no record.
#[derive(Default)]
struct Lines<const FLAW: char> {
    asked: bool,
    answered: bool,
}

impl<const FLAW: char> Codec for Lines<FLAW> {
    type Frame = Line;

    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Line>, Violation> {
        if self.asked && from == Side::Client {
            return Ok(None);
        }
        match buf.iter().position(|byte| *byte == b'\n') {
            None if buf.len() > 64 => Err(Violation { side: from, what: "a line is too long" }),
            None => Ok(None),
            Some(end) => {
                self.asked = true;
                let line = buf.split_to(end).freeze();
                let _feed = buf.split_to(1);
                Ok(Some(Line(line)))
            }
        }
    }

    fn encode(&mut self, frame: Line) -> Bytes {
        self.answered |= frame.0 == "." || frame.0.starts_with(b"refused");
        let end = if FLAW == FANCY { &b"\r\n"[..] } else { b"\n" };
        [&frame.0, end].concat().into()
    }
}

/// One exchange.
struct Office<const FLAW: char> {
    sending: Option<Line>,
    masked: bool,
    wanted: Option<(OpId, Line)>,
    last: OpId,
    over: bool,
}

impl<const FLAW: char> Office<FLAW> {
    fn ask(&mut self, line: &[u8], out: &mut Outbox<Line>) -> OpId {
        const ACTION: Action = Action { name: "post.ask", effect: Effect::Write };
        self.last = self.last.next();
        let text = if FLAW == TALKATIVE { line.to_vec() } else { masked(line, self.masked) };
        let meaning = Meaning {
            action: ACTION,
            accesses: std::iter::once(Access { action: ACTION, resource: Resource::target() }).collect(),
            exposures: Vec::new(),
            facts: Facts { group: "post", values: Vec::new() },
            understood: true,
        };
        let shape = Shape::new(meaning, [line]);
        let (shape, text) = (Arc::new(shape), Text::new(text));
        out.ask(self.last, Operation { shape, text, stage: Stage::Perform, bound: None, spend: Spend::REQUEST });
        self.last
    }

    fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Line>) {
        let refused = |refusal: &Refusal| Line(format!("refused {} {}", refusal.rule, refusal.message).into());
        if let Some(line) = self.sending.take() {
            match ruling {
                Ruling::Allow(obligations) => {
                    self.masked = !obligations.masks.is_empty();
                    out.to_server(op, line);
                }
                Ruling::Deny(refusal) => {
                    out.to_client(op, refused(&refusal));
                    out.done(op);
                    self.over = true;
                }
            }
        } else if let Some((_, line)) = self.wanted.take_if(|(asked, _)| *asked == op) {
            match ruling {
                Ruling::Allow(_) if FLAW == EAGER => {}
                Ruling::Allow(_) => out.to_client(op, self.shown(&line)),
                Ruling::Deny(refusal) => {
                    out.to_client(op, Line(format!("say no: {} {}", refusal.rule, refusal.message).into()));
                }
            }
            out.done(op);
        }
    }

    fn shown(&self, line: &Line) -> Line {
        Line(masked(&line.0, self.masked).into())
    }

    fn office_says(&mut self, line: Line, out: &mut Outbox<Line>) {
        let first = OpId::CONNECT.next();
        match line.0.split(|byte| *byte == b' ').next() {
            _ if self.last == OpId::CONNECT || self.over => {}
            Some(b"do") => {
                if FLAW == EAGER {
                    out.to_client(first, line.clone());
                }
                let op = self.ask(&line.0, out);
                self.wanted = Some((op, line));
            }
            Some(b".") => {
                out.to_client(first, line);
                if FLAW != LEAKY {
                    out.settle(first, Spend::REQUEST);
                    out.done(first);
                }
                self.over = true;
            }
            _ if FLAW == SPONGE => {}
            _ => out.to_client(first, self.shown(&line)),
        }
    }
}

/// A line without the address in it.
fn masked(line: &[u8], hides: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    if hides { text.replace(CANARY, "***").into_bytes() } else { line.to_vec() }
}

impl<const FLAW: char> Machine for Office<FLAW> {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        match input {
            Input::FromClient(line) => {
                self.ask(&line.0, out);
                self.sending = Some(line);
            }
            Input::FromServer(line) => self.office_says(line, out),
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out),
            Input::Waiting(op, seconds) if seconds >= 5 => out.leave(op),
            Input::Ended(Side::Client) if FLAW != LINGERING => out.close(),
            Input::Revoked(_) => out.close(),
            Input::Held(..) | Input::Waiting(..) | Input::Returned | Input::Ended(_) => {}
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        let asked = self.sending.is_some() || self.wanted.is_some();
        Wants { client: !asked, server: !asked }
    }
}

struct Clerk;

impl Server for Clerk {
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        let Some(line) = text.trim_end().strip_prefix("send ") else { return Vec::new() };
        match line {
            "silence" => String::new(),
            "work" => format!("say soon\ndo {CANARY}\nsay now\n.\n"),
            "where" => format!("say to {CANARY}\ndo {CANARY}\n.\n"),
            _ => "say done\n.\n".to_owned(),
        }
        .into_bytes()
    }
}

impl<const FLAW: char> Subject for Post<FLAW> {
    type Machine = Office<FLAW>;
    type Codec = Lines<FLAW>;
    type Server = Clerk;

    fn machine() -> Self::Machine {
        Office { sending: None, masked: false, wanted: None, last: OpId::CONNECT, over: false }
    }

    fn codec() -> Self::Codec {
        Lines::default()
    }

    fn server() -> Clerk {
        Clerk
    }

    fn talks() -> Vec<Talk> {
        vec![Talk::of("one after another", ["send a\n", "send work\n"]), Talk::of("at once", ["send a\nsend b\n"])]
    }

    fn carrying() -> Vec<Talk> {
        vec![Talk::of("between others", [format!("send a\nsend {CANARY}\nsend b\n")])]
    }

    fn returning() -> Vec<Talk> {
        vec![Talk::of("work", ["send work\n"])]
    }

    fn follow_up() -> Talk {
        Talk::of("a follow-up", ["send c\n"])
    }

    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String> {
        let words = format!("{} {}", refusal.rule, refusal.message);
        if String::from_utf8_lossy(read).contains(&words) { Ok(()) } else { Err(format!("no `{words}`")) }
    }

    fn masked() -> Vec<Masked> {
        let resource = Resource::value(&Tag::new("pii").unwrap());
        let mask = Mask { resource, transform: Transform::Redact, filterable: false };
        let obligations = Obligations { masks: vec![mask], ..Obligations::default() };
        vec![Masked { talk: Talk::of("where", ["send where\n"]), obligations }]
    }

    fn codec_limit_bytes() -> usize {
        64
    }

    fn endless() -> Vec<Endless> {
        vec![Endless { name: "a line", from: Side::Server, begins: b"say ", goes_on: b'x' }]
    }

    fn floods() -> Vec<Flood> {
        let mut talk = Talk::of("lines", ["send silence\n"]);
        talk.moves.push(Move::Server(b"say once\n".to_vec()));
        let goes_on = b"say again\n".to_vec();
        vec![Flood { name: "lines", talk, judge: Judge::allow_all, from: Side::Server, goes_on, limit_bytes: 64 }]
    }

    fn unanswered() -> Vec<u8> {
        b"send silence\n".to_vec()
    }

    fn unanswered_limit() -> usize {
        1
    }

    fn framing() -> &'static [&'static [u8]] {
        &[b"\n"]
    }

    fn phase(client: &Self::Codec) -> Phase {
        if client.asked && client.answered { Phase::Over } else { Phase::Open }
    }

    fn show(_: Side, bytes: &[u8]) -> Vec<String> {
        String::from_utf8_lossy(bytes).lines().map(ToOwned::to_owned).collect()
    }

    fn spell(_: Side, line: &str) -> Result<Vec<u8>, String> {
        Ok(format!("{line}\n").into_bytes())
    }
}

conformance::suite!(Post<NONE>);

fn check(law: Law, played: Result<(), Breach>) {
    assert_eq!(played.unwrap_err().law(), law);
}

#[test]
fn leave_finds_what_reaches_the_client_before_it_is_allowed() {
    check(Law::Leave, conformance::leave::<Post<EAGER>>());
}

#[test]
fn a_flow_that_does_not_end_with_its_exchange_is_found() {
    check(Law::Leave, conformance::silence::<Post<LINGERING>>());
    check(Law::Bound, conformance::silence::<Post<LEAKY>>());
}

#[test]
fn bound_finds_what_is_kept_and_not_passed_on() {
    check(Law::Bound, conformance::bound::<Post<SPONGE>>());
}

#[test]
fn canary_finds_values_in_questions() {
    check(Law::Canary, conformance::canary::<Post<TALKATIVE>>());
}

#[test]
fn what_no_record_shows_is_stated() {
    check(Law::Leave, conformance::silence::<Post<FANCY>>());
}

#[test]
fn a_request_that_stands_is_taken_up_by_the_next_flow() {
    let played = transcript::replay::<Post<NONE>>(
        "hold a\nclient send a\nwait 3\nwait 5\nclient send a\nwithdraw\nclient send a\nlose server\n",
    );
    let expected = "\
hold a
client send a
  ask 1 post.ask perform: send a
  held 1
wait 3
wait 5
  left standing 1
  deny 1
  to client 1: refused hold-pending the request still waits for approval
  done 1
  close
client send a
  ask 1 post.ask perform: send a
  held 1
withdraw
  deny 1
  to client 1: refused hold-withdrawn the request for approval was withdrawn
  done 1
  close
client send a
  ask 1 post.ask perform: send a
  held 1
lose server
  close
";
    assert_eq!(played.unwrap_or_else(|different| panic!("{different}")), expected);
}
