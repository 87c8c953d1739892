//! Each law finds the protocols that break it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "toy/subject.rs"]
mod subject;
#[path = "toy/mod.rs"]
mod toy;

use bytes::{Bytes, BytesMut};
use sluice_model::{OpId, Refusal};
use sluice_wire::conformance::{self, Breach, Endless, Law, Masked, Subject, Talk};
use sluice_wire::{Input, Machine, Outbox, Side, Step, Violation, Wants};

use subject::{Items, ToySubject};
use toy::{Line, Toy};

/// A toy with one flaw.
struct Wrong<const FLAW: char>;

struct Machinery<const FLAW: char>(Toy);

struct Framing<const FLAW: char>(toy::Codec);

/// Forwards before it asks.
const HASTY: char = 'h';
/// Forwards as if it were housekeeping, whatever the ruling.
const SLY: char = 's';
/// Asks and goes on.
const TALKATIVE: char = 't';
/// Takes frames while it asks.
const GREEDY: char = 'g';
/// Alters what comes back.
const LOUD: char = 'l';
/// Says nothing of a refusal.
const MUTE: char = 'm';
/// Ends the flow with a refusal.
const TOUCHY: char = 'y';
/// Does not mask.
const BARE: char = 'b';
/// Notes what it masks.
const GOSSIP: char = 'n';
/// Takes half lines.
const TORN: char = 'o';
/// Waits for the end of any line.
const PATIENT: char = 'p';
/// Forgets nothing.
const HOARDER: char = 'w';
/// Panics at what it does not know.
const FRAGILE: char = 'f';

impl<const FLAW: char> sluice_wire::Codec for Framing<FLAW> {
    type Frame = Line;

    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Line>, Violation> {
        match FLAW {
            TORN if !buf.is_empty() => Ok(Some(Line(buf.split().freeze()))),
            PATIENT if !buf.contains(&b'\n') => Ok(None),
            _ => self.0.decode(from, buf),
        }
    }

    fn encode(&mut self, frame: Line) -> Bytes {
        self.0.encode(frame)
    }
}

impl<const FLAW: char> Machinery<FLAW> {
    /// The flaw, in the steps that the toy would have taken.
    fn bend(step: Step<Line>, out: &mut Outbox<Line>) {
        match (FLAW, step) {
            (HASTY, Step::Ask(op, operation)) => {
                out.to_server(op, Line(operation.text.content().clone()));
                out.ask(op, operation);
            }
            (SLY, Step::Ask(op, operation)) => {
                out.to_server(OpId::CONNECT, Line(operation.text.content().clone()));
                out.ask(op, operation);
            }
            (TALKATIVE, Step::Ask(op, operation)) => {
                out.ask(op, operation);
                out.note("asked", Vec::new());
            }
            (LOUD, Step::ToClient(op, Line(bytes))) => out.to_client(op, Line(bytes.to_ascii_uppercase().into())),
            (MUTE, Step::ToClient(_, Line(bytes))) if bytes.starts_with(b"refused") => {}
            (TOUCHY, Step::ToClient(op, Line(bytes))) if bytes.starts_with(b"refused") => {
                out.to_client(op, Line(bytes));
                out.close();
            }
            (GOSSIP, Step::ToClient(op, Line(bytes))) if bytes.starts_with(b"row") => {
                out.note("row", vec![("words", conformance::CANARY.to_owned())]);
                out.to_client(op, Line(bytes));
            }
            (HOARDER, Step::Done(_)) => {}
            (_, Step::Ask(op, operation)) => out.ask(op, operation),
            (_, Step::ToServer(op, frame)) => out.to_server(op, frame),
            (_, Step::ToClient(op, frame)) => out.to_client(op, frame),
            (_, Step::Withdraw(op)) => out.withdraw(op),
            (_, Step::Leave(op)) => out.leave(op),
            (_, Step::Settle(op, spent)) => out.settle(op, spent),
            (_, Step::Done(op)) => out.done(op),
            (_, Step::Note(note)) => out.note(note.kind, note.values),
            (_, Step::Errand(errand)) => out.errand(errand.0),
            (_, Step::Close) => out.close(),
        }
    }
}

impl<const FLAW: char> Machine for Machinery<FLAW> {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        let mut input = input;
        if let Input::Ruled(_, sluice_model::Ruling::Allow(obligations)) = &mut input
            && FLAW == BARE
        {
            *obligations = std::sync::Arc::default();
        }
        let mut steps = Outbox::default();
        let handled = self.0.handle(input, &mut steps);
        assert!(FLAW != FRAGILE || handled.is_ok(), "what is this?");
        while let Some(step) = steps.pop() {
            Self::bend(step, out);
        }
        handled
    }

    fn wants(&self) -> Wants {
        let wants = self.0.wants();
        Wants { client: wants.client || FLAW == GREEDY, ..wants }
    }
}

impl<const FLAW: char> Subject for Wrong<FLAW> {
    type Machine = Machinery<FLAW>;
    type Codec = Framing<FLAW>;
    type Server = Items;

    fn machine() -> Self::Machine {
        Machinery(Toy::default())
    }

    fn codec() -> Self::Codec {
        Framing(toy::Codec)
    }

    fn server() -> Items {
        Items::default()
    }

    fn talks() -> Vec<Talk> {
        ToySubject::talks()
    }

    fn carrying() -> Vec<Talk> {
        ToySubject::carrying()
    }

    fn follow_up() -> Talk {
        ToySubject::follow_up()
    }

    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String> {
        ToySubject::shows_refusal(read, refusal)
    }

    fn masked() -> Vec<Masked> {
        ToySubject::masked()
    }

    fn codec_limit_bytes() -> usize {
        ToySubject::codec_limit_bytes()
    }

    fn endless() -> Vec<Endless> {
        ToySubject::endless()
    }

    fn unanswered() -> Vec<u8> {
        ToySubject::unanswered()
    }

    fn unanswered_limit() -> usize {
        ToySubject::unanswered_limit()
    }
}

fn check(law: Law, played: Result<(), Breach>) {
    assert_eq!(played.unwrap_err().law(), law);
}

#[test]
fn split_finds_half_lines() {
    check(Law::Split, conformance::split::<Wrong<TORN>>());
}

#[test]
fn leave_finds_what_goes_before_it_is_allowed() {
    check(Law::Leave, conformance::leave::<Wrong<HASTY>>());
    check(Law::Leave, conformance::leave::<Wrong<SLY>>());
    check(Law::Leave, conformance::leave::<Wrong<TALKATIVE>>());
    check(Law::Leave, conformance::leave::<Wrong<GREEDY>>());
}

#[test]
fn silence_finds_altered_answers() {
    check(Law::Silence, conformance::silence::<Wrong<LOUD>>());
}

#[test]
fn refusal_finds_silence_and_endings() {
    check(Law::Refusal, conformance::refusal::<Wrong<MUTE>>());
    check(Law::Refusal, conformance::refusal::<Wrong<TOUCHY>>());
}

#[test]
fn canary_finds_values_and_notes() {
    check(Law::Canary, conformance::canary::<Wrong<BARE>>());
    check(Law::Canary, conformance::canary::<Wrong<GOSSIP>>());
}

#[test]
fn bound_finds_what_grows() {
    check(Law::Bound, conformance::bound::<Wrong<PATIENT>>());
    check(Law::Bound, conformance::bound::<Wrong<GREEDY>>());
    check(Law::Bound, conformance::silence::<Wrong<HOARDER>>());
}

#[test]
fn calm_finds_panics_and_what_leaves() {
    check(Law::Calm, conformance::calm::<Wrong<FRAGILE>>());
    check(Law::Leave, conformance::calm::<Wrong<HASTY>>());
}

#[test]
fn a_toy_without_a_flaw_breaks_none() {
    const NONE: char = '-';
    for law in [
        conformance::split::<Wrong<NONE>>,
        conformance::leave::<Wrong<NONE>>,
        conformance::silence::<Wrong<NONE>>,
        conformance::refusal::<Wrong<NONE>>,
        conformance::canary::<Wrong<NONE>>,
        conformance::bound::<Wrong<NONE>>,
        conformance::calm::<Wrong<NONE>>,
    ] {
        law().unwrap_or_else(|breach| panic!("{breach}"));
    }
}
