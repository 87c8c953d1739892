//! One exchange: a request that is decided on before it is sent, and an answer that is looked at before it is released.

use std::fmt;
mod alone;
mod later;
mod objects;
mod weight;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use sluice_model::{Code, OpId, Operation, Refusal, Ruling, Spend};
use sluice_wire::{Input, Machine, Objects, Outbox, Side, Violation, Wants};

use crate::answer::{Answer, Output};
use crate::dialects::openai::Asker;
use crate::flaw::Flaw;
use crate::frame::{Frame, Interim, Length};
use crate::gathered::Share;
use crate::patience::{Patience, Turn};
use crate::refusal::Words;
use crate::request::{Prepared, Reading, Sending};
use crate::served::Served;
use alone::Rest;
use objects::{Errand, Found};

/// The machine of one exchange.
pub struct HttpMachine {
    served: Arc<Served>,
    /// The principal, for what belongs to it, and its session.
    asker: Asker,
    objects: Arc<dyn Objects>,
    /// What an errand came back with.
    errand: Arc<Mutex<Option<Found>>>,
    patience: Patience,
    state: State,
    /// Of the request, once there is one: an answer to `HEAD` has no body.
    method: Method,
    /// The newest operation.
    last: OpId,
    /// The client has left.
    gone: bool,
}

enum State {
    /// Before the request's head.
    Silent,
    /// The body is decided on as a whole.
    Reading(Box<Reading>),
    /// It is looked up whose the objects are that the request names.
    Looking(Box<Prepared>),
    /// The request is decided on.
    Asked { op: OpId, prepared: Box<Prepared> },
    /// The request is with the server, or on its way.
    Sent(Box<Sent>),
    /// The client has been given all it gets.
    Over,
}

/// RFC 9110 §15.5.9.
const LATE: Flaw = Flaw::new(408, "request_timeout", "the request body did not come in time");

impl fmt::Debug for HttpMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpMachine({}, operation {})", self.served.name, self.last.0)
    }
}

/// An exchange whose request was allowed.
struct Sent {
    op: OpId,
    answer: Answer,
    /// The rest of the request's body passes as it comes.
    streams: Streams,
    /// The question about a part of the answer.
    question: Option<OpId>,
    /// Something is looked up, or written down, before the answer goes on.
    errand: bool,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Streams {
    Body,
    Nothing,
}

impl HttpMachine {
    /// A machine for one exchange at a target.
    pub(crate) fn new(served: Arc<Served>, asker: Asker, objects: Arc<dyn Objects>, patience: Patience) -> Self {
        Self {
            served,
            asker,
            objects,
            errand: Arc::default(),
            patience,
            state: State::Silent,
            method: Method::GET,
            last: OpId::CONNECT,
            gone: false,
        }
    }

    fn client_says(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match (frame, &mut self.state) {
            (Frame::Request(head), State::Silent) => self.begin(&head, out),
            (Frame::Data(bytes), State::Reading(reading)) => {
                if let Err(words) = reading.push(&bytes) {
                    self.refuse(OpId::CONNECT, &words, out);
                }
            }
            (Frame::End, State::Reading(_)) => {
                if let State::Reading(reading) = std::mem::replace(&mut self.state, State::Over) {
                    match reading.finish(&self.served) {
                        Ok(prepared) => self.consider(prepared, out),
                        Err(words) => self.refuse(OpId::CONNECT, &words, out),
                    }
                }
            }
            (frame @ (Frame::Data(_) | Frame::End), State::Sent(sent)) if sent.streams == Streams::Body => {
                if matches!(frame, Frame::End) {
                    sent.streams = Streams::Nothing;
                }
                out.to_server(sent.op, frame);
            }
            (Frame::Broken, State::Reading(_)) => self.refuse(OpId::CONNECT, &Words::of_flaw(LATE), out),
            (Frame::Broken, State::Sent(_)) => return Err(Violation::client(LATE.message)),
            // What is left of a request that has its answer.
            (Frame::Data(_) | Frame::End, State::Over | State::Sent(_)) => {}
            (Frame::Request(_) | Frame::Response(_) | Frame::Interim(_) | Frame::Broken, _)
            | (Frame::Data(_) | Frame::End, State::Silent | State::Looking(_) | State::Asked { .. }) => {
                return Err(Violation::client("a part of the request is out of turn"));
            }
        }
        Ok(())
    }

    fn ask(&mut self, prepared: Prepared, out: &mut Outbox<Frame>) {
        let op = self.next_op();
        out.ask(op, prepared.operation.clone());
        self.state = State::Asked { op, prepared: Box::new(prepared) };
    }

    /// Room for what the exchange reads.
    fn share(&self) -> Share {
        self.served.room.share(&self.asker.person)
    }

    fn next_op(&mut self) -> OpId {
        self.last = self.last.next();
        self.last
    }

    fn ruled(&mut self, op: OpId, ruling: Ruling, out: &mut Outbox<Frame>) {
        self.patience.rest();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asked { op: asked, prepared } if asked == op => match ruling {
                Ruling::Allow(obligations) => self.send(op, later::allowed(*prepared), &obligations, out),
                Ruling::Deny(refusal) => self.denied(op, *prepared, &refusal, out),
            },
            State::Sent(mut sent) if sent.question == Some(op) => {
                sent.question = None;
                sent.answer.ruled(&ruling);
                out.done(op);
                self.state = State::Sent(sent);
                self.pump(out);
            }
            state @ (State::Silent
            | State::Reading(_)
            | State::Looking(_)
            | State::Asked { .. }
            | State::Sent(_)
            | State::Over) => self.state = state,
        }
    }

    /// Sends what was decided on, and nothing else.
    fn send(&mut self, op: OpId, prepared: Prepared, obligations: &sluice_model::Obligations, out: &mut Outbox<Frame>) {
        if !prepared.results.is_empty() {
            let ids = prepared.results.join(",");
            let ids = self.served.classes.everything().scrub(&ids).into_owned();
            out.note("llm.results", vec![("op", op.0.to_string()), ("ids", ids)]);
        }
        let rest = Rest::of(&prepared, obligations);
        let sending = match prepared.send(obligations, &self.asker.who, &self.served) {
            Ok(sending) => sending,
            Err(words) => {
                self.refuse(op, &words, out);
                out.settle(op, Spend::REQUEST);
                return out.done(op);
            }
        };
        let Sending { head, body, answer } = sending;
        let streams = if head.as_ref().is_some_and(|head| head.body != Length::None) && body.is_none() {
            Streams::Body
        } else {
            Streams::Nothing
        };
        if let Some(head) = head {
            out.to_server(op, Frame::Request(Box::new(head)));
            if let Some(body) = body {
                if !body.is_empty() {
                    out.to_server(op, Frame::Data(body));
                }
                out.to_server(op, Frame::End);
            } else if streams == Streams::Nothing {
                out.to_server(op, Frame::End);
            }
        }
        self.state = State::Sent(Box::new(Sent { op, answer, streams, question: None, errand: false, rest }));
        self.pump(out);
    }

    fn server_says(&mut self, frame: Frame, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let State::Sent(sent) = &mut self.state else { return Ok(()) };
        match frame {
            Frame::Response(head) => {
                let share = self.served.room.share_of_answers(&self.asker.person);
                sent.answer.head(&head, &self.served, share);
            }
            Frame::Data(bytes) => sent.answer.data(bytes),
            Frame::End => sent.answer.end(),
            Frame::Request(_) | Frame::Interim(_) | Frame::Broken => {
                return Err(Violation::server("a part of the answer is out of turn"));
            }
        }
        if sent.rest == Rest::Alone {
            self.read_on(out);
        } else {
            self.pump(out);
        }
        Ok(())
    }

    /// Releases what may be released, and asks about what must be asked about.
    fn pump(&mut self, out: &mut Outbox<Frame>) {
        let State::Sent(sent) = &mut self.state else { return };
        let mut question = None;
        let mut errand = None;
        while sent.question.is_none() && !sent.errand && question.is_none() {
            match sent.answer.next() {
                None => break,
                Some(Output::Frame(frame)) => out.to_client(sent.op, frame),
                Some(Output::Ask(operation, noted)) => question = Some((operation, noted)),
                Some(Output::Claim(objects)) => {
                    sent.errand = true;
                    errand = Some((Errand::Claim, objects));
                }
                Some(Output::Whose(objects)) => {
                    sent.errand = true;
                    errand = Some((Errand::Look, objects));
                }
                Some(Output::More(request)) => {
                    out.to_server(sent.op, Frame::Request(request));
                    out.to_server(sent.op, Frame::End);
                }
                Some(Output::Over) => {
                    self.finish(out);
                    return;
                }
            }
        }
        match errand {
            Some((Errand::Claim, objects)) => self.write_down(objects, out),
            Some((Errand::Look, objects)) => self.look_up(objects, out),
            None => {}
        }
        if let Some((operation, noted)) = question {
            self.ask_within(operation, noted, out);
        }
    }

    fn ask_within(&mut self, operation: Operation, noted: Vec<(&'static str, String)>, out: &mut Outbox<Frame>) {
        let op = self.next_op();
        if let State::Sent(sent) = &mut self.state {
            sent.question = Some(op);
            if !noted.is_empty() {
                let op = ("op", op.0.to_string());
                out.note("llm.call", std::iter::once(op).chain(noted).collect());
            }
            out.ask(op, operation);
        }
    }

    /// Everything has been said: budgets are settled and the operation is done. The flow ends once the client has it.
    fn finish(&mut self, out: &mut Outbox<Frame>) {
        if self.is_left_alone(out) {
            return;
        }
        if let State::Sent(sent) = std::mem::replace(&mut self.state, State::Over) {
            settle(&sent, out);
            out.done(sent.op);
        }
    }

    /// Gives the client its one answer.
    fn refuse(&mut self, op: OpId, words: &Words, out: &mut Outbox<Frame>) {
        if op == OpId::CONNECT {
            // Refused before there was an operation: nobody else writes it down.
            out.note("refused", vec![("code", words.code.to_string()), ("message", words.message.to_string())]);
        }
        let (head, body) = words.response(self.served.dialect);
        self.answer_with(op, Frame::Response(Box::new(head)), body, out);
    }

    fn answer_with(&mut self, op: OpId, head: Frame, body: Bytes, out: &mut Outbox<Frame>) {
        out.to_client(op, head);
        if !body.is_empty() && self.method != Method::HEAD {
            out.to_client(op, Frame::Data(body));
        }
        out.to_client(op, Frame::End);
        self.state = State::Over;
    }

    /// Ends the exchange with these words, in whatever way the client can still be told.
    fn fail(&mut self, words: &Words, out: &mut Outbox<Frame>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Silent | State::Reading(_) | State::Looking(_) => self.refuse(OpId::CONNECT, words, out),
            State::Asked { op, .. } => self.refuse(op, words, out),
            State::Sent(sent) if sent.rest == Rest::Alone => settle(&sent, out),
            State::Sent(mut sent) => {
                let op = sent.op;
                if sent.answer.has_begun() {
                    sent.answer.fail(words);
                    while let Some(output) = sent.answer.next() {
                        match output {
                            Output::Frame(frame) => out.to_client(op, frame),
                            Output::Ask(..) | Output::Claim(_) | Output::Whose(_) | Output::More(_) => {}
                            Output::Over => break,
                        }
                    }
                } else {
                    self.refuse(op, words, out);
                }
                settle(&sent, out);
            }
            State::Over => {}
        }
    }

    /// Ends the exchange with these words although the session goes on: nothing of it stays open.
    fn give_up(&mut self, words: &Words, out: &mut Outbox<Frame>) {
        let open = if let State::Sent(sent) = &self.state { Some((sent.op, sent.question)) } else { None };
        self.fail(words, out);
        let Some((op, question)) = open else { return };
        if let Some(question) = question {
            out.withdraw(question);
            out.done(question);
        }
        out.done(op);
    }

    /// Keeps a waiting client waiting, or answers it before it gives up.
    fn waiting(&mut self, op: OpId, seconds: u32, out: &mut Outbox<Frame>) {
        match self.patience.turn(seconds) {
            Turn::Wait => {}
            Turn::Soothe => self.soothe(out),
            // What follows the head of a stream is not part of what is asked, so nobody may approve it for another time.
            Turn::Leave if self.streams_in() => {}
            Turn::Leave => out.leave(op),
        }
    }

    /// Whether the operation that waits brings a body that is not read before it is sent.
    fn streams_in(&self) -> bool {
        matches!(&self.state, State::Asked { prepared, .. } if matches!(prepared.body, crate::body::Body::Stream(_)))
    }

    fn soothe(&mut self, out: &mut Outbox<Frame>) {
        match &mut self.state {
            State::Asked { op, .. } if self.patience.has_interim() => out.to_client(*op, Frame::Interim(Interim)),
            State::Sent(sent) if sent.answer.has_begun() => {
                if let Some(comment) = sent.answer.comment() {
                    out.to_client(sent.op, Frame::Data(comment));
                }
            }
            State::Sent(sent) if self.patience.has_interim() => out.to_client(sent.op, Frame::Interim(Interim)),
            State::Silent
            | State::Reading(_)
            | State::Looking(_)
            | State::Asked { .. }
            | State::Sent(_)
            | State::Over => {}
        }
    }
}

/// Says what the operation used up; whoever does takes it out of the state first, so it is said once.
fn settle(sent: &Sent, out: &mut Outbox<Frame>) {
    sent.answer.remember();
    out.settle(sent.op, sent.answer.spent());
}

/// What a head leads to.
pub(crate) enum Turned {
    /// To a body that is read first.
    Read(Box<Reading>),
    /// To a question.
    Ask(Box<Prepared>),
}

impl Machine for HttpMachine {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        match input {
            Input::FromClient(frame) => self.client_says(frame, out)?,
            Input::FromServer(frame) => self.server_says(frame, out)?,
            Input::Ruled(op, ruling) => self.ruled(op, ruling, out),
            Input::Held(op, notice) => self.held(op, &notice, out),
            Input::Waiting(op, seconds) => self.waiting(op, seconds, out),
            Input::Returned => self.returned(out),
            Input::Revoked(refusal) => {
                self.fail(&Words::of(&refusal), out);
                out.close();
            }
            Input::Ended(Side::Client) => self.client_left(out),
            Input::Ended(Side::Server) => self.server_left(out),
        }
        Ok(())
    }

    fn wants(&self) -> Wants {
        let asked = match &self.state {
            State::Looking(_) | State::Asked { .. } => true,
            State::Sent(sent) => sent.question.is_some() || sent.errand,
            State::Silent | State::Reading(_) | State::Over => false,
        };
        let room = match &self.state {
            State::Sent(sent) => !sent.errand && sent.answer.has_room(),
            State::Silent | State::Reading(_) | State::Looking(_) | State::Asked { .. } | State::Over => true,
        };
        Wants { client: !asked, server: room }
    }

    fn weight(&self, input: &Input<Frame>) -> usize {
        self.looks_at(input)
    }

    fn used(&self, op: OpId) -> Option<Spend> {
        if let State::Sent(sent) = &self.state
            && sent.op == op
        {
            return Some(sent.answer.spent());
        }
        None
    }
}

impl HttpMachine {
    fn server_left(&mut self, out: &mut Outbox<Frame>) {
        if let State::Sent(sent) = &mut self.state
            && !sent.answer.is_whole()
        {
            sent.answer.lost();
            if sent.rest == Rest::Alone {
                return self.leave_off(out);
            }
            let lost = Refusal::builtin(Code::Unavailable, "server-lost", "the server went away");
            self.give_up(&Words::of(&lost), out);
        }
    }
}
