//! The seven laws.

use std::collections::BTreeSet;
use std::fmt;

use proptest::collection::vec;
use proptest::num::u8::ANY;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use thiserror::Error;

use super::fuzz::Fuzz;
use super::judge::{Judge, a_refusal, holds};
use super::play::{Cut, People, Play};
use super::subject::{CANARY, Masked, Subject, Talk};
use super::trace::{Event, Trace};
use crate::Side;

/// Longest script of surprises, in bytes.
const SURPRISES: usize = 512;

/// The seven laws.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Law {
    Split,
    Leave,
    Silence,
    Refusal,
    Canary,
    Bound,
    Calm,
}

/// A law was broken.
#[derive(Clone, Eq, Error, PartialEq)]
#[error("the law of {law:?}: {what}")]
pub struct Breach {
    law: Law,
    what: String,
}

// A test that returns an error prints its `Debug` form.
impl fmt::Debug for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Breach {
    pub(crate) fn of(law: Law, what: impl Into<String>) -> Self {
        Self { law, what: what.into() }
    }

    /// The law that was broken.
    #[must_use]
    pub const fn law(&self) -> Law {
        self.law
    }
}

/// Passes where a condition holds.
pub(super) fn check(law: Law, holds: bool, what: impl FnOnce() -> String) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach::of(law, what())) }
}

/// The judge and the people under which a conversation is played.
#[derive(Clone, Copy)]
struct Court {
    name: &'static str,
    judge: fn() -> Judge,
    people: People,
}

const ALLOWED: Court = Court { name: "everything allowed", judge: Judge::allow_all, people: People::Approve };
const DENIED: Court = Court { name: "everything denied", judge: Judge::deny_all, people: People::Deny };
const DENIED_ALONE: Court =
    Court { name: "the canary denied", judge: || Judge::deny_those(CANARY), people: People::Deny };
const APPROVED: Court = Court { name: "everything held and approved", judge: Judge::hold_all, people: People::Approve };
const HELD: Court = Court { name: "everything held and denied", judge: Judge::hold_all, people: People::Deny };
const COURTS: [Court; 5] = [ALLOWED, DENIED, DENIED_ALONE, APPROVED, HELD];

impl Court {
    /// The conversation, played to its end with the bytes cut.
    fn play<S: Subject>(self, talk: &Talk, cut: Cut) -> Result<Play<S>, Breach> {
        let mut play = Play::new((self.judge)(), cut, self.people);
        play.play(talk)?;
        Ok(play)
    }
}

/// Law 1: any cutting of the bytes gives the same steps.
pub fn split<S: Subject>() -> Result<(), Breach> {
    let talks: Vec<Talk> = S::talks().into_iter().chain(S::carrying()).chain(S::returning()).collect();
    check(Law::Split, !talks.is_empty(), || "there is no conversation to cut".to_owned())?;
    for talk in &talks {
        for court in COURTS {
            let whole = court.play::<S>(talk, Cut::Whole)?;
            let same = |lengths: &[usize]| -> Result<(), Breach> {
                let cut = court.play::<S>(talk, Cut::Pieces(lengths.to_vec()))?;
                check(Law::Split, whole.rig.trace() == cut.rig.trace(), || {
                    let difference = whole.rig.trace().difference(cut.rig.trace());
                    format!("`{}` with {}, cut into {lengths:?}: {difference}", talk.name, court.name)
                })
            };
            same(&[1])?;
            run(24, &vec(1..40_usize, 1..24), |lengths| same(lengths))?;
        }
    }
    Ok(())
}

/// Law 2: nothing of an operation reaches the server before it is allowed; nor the client, where it is the one who
/// would carry it out.
pub fn leave<S: Subject>() -> Result<(), Breach> {
    S::returning().iter().try_for_each(stays_away::<S>)?;
    let talks = S::carrying();
    check(Law::Leave, !talks.is_empty(), || "no conversation carries the canary".to_owned())?;
    for talk in &talks {
        for court in COURTS {
            let play = court.play::<S>(talk, Cut::Whole)?;
            let trace = play.rig.trace();
            let name = court.name;
            let there = holds(play.rig.sent(Side::Server), CANARY.as_bytes());
            check(Law::Leave, there || name != ALLOWED.name, || {
                format!("`{}` does not carry the canary to the server even with {name}", talk.name)
            })?;
            let denied = name == DENIED.name || name == DENIED_ALONE.name;
            check(Law::Leave, !(there && denied), || {
                format!("`{}` with {name}: the server was told\n{trace}", talk.name)
            })?;
            check(Law::Leave, is_all_ruled(trace), || {
                format!("`{}` with {name}: the canary left under another operation\n{trace}", talk.name)
            })?;
        }
        let mut held = Play::<S>::new(Judge::hold_those(CANARY), Cut::Whole, People::Wait);
        held.play(talk)?;
        held.play(&S::follow_up())?;
        let events = held.rig.trace().events().iter();
        let mut after = events.skip_while(|event| !matches!(event, Event::Held(_))).peekable();
        check(Law::Leave, after.peek().is_some(), || format!("`{}` was never held", talk.name))?;
        let left = after.any(|event| matches!(event, Event::Sent { toward: Side::Server, .. }));
        check(Law::Leave, !left, || {
            format!("`{}`: something left while people were asked\n{}", talk.name, held.rig.trace())
        })?;
    }
    Ok(())
}

/// An operation that a server asks for is at its client if, and only if, it is allowed.
fn stays_away<S: Subject>(talk: &Talk) -> Result<(), Breach> {
    for court in COURTS {
        let play = court.play::<S>(talk, Cut::Whole)?;
        let there = is_told::<S>(play.rig.sent(Side::Client));
        let allowed = court.name == ALLOWED.name || court.name == APPROVED.name;
        check(Law::Leave, there == allowed, || {
            let what = if there { "the client was told" } else { "the client was not told" };
            format!("`{}` with {}: {what}\n{}", talk.name, court.name, play.rig.trace())
        })?;
    }
    let mut held = Play::<S>::new(Judge::hold_those(CANARY), Cut::Whole, People::Wait);
    held.play(talk)?;
    check(Law::Leave, held.rig.is_held(), || format!("`{}` was never held", talk.name))?;
    check(Law::Leave, !is_told::<S>(held.rig.sent(Side::Client)), || {
        format!("`{}`: the client was told while people were asked\n{}", talk.name, held.rig.trace())
    })
}

/// Whether a client that read these bytes knows the canary.
fn is_told<S: Subject>(read: &[u8]) -> bool {
    holds(read, CANARY.as_bytes()) || holds(&S::understood(read), CANARY.as_bytes())
}

/// Whether the canary only left under operations that hold it and were allowed.
fn is_all_ruled(trace: &Trace) -> bool {
    let canary = CANARY.as_bytes();
    let (mut asked, mut allowed) = (BTreeSet::new(), BTreeSet::new());
    trace.events().iter().all(|event| {
        if let Event::Asked { op, text, bound, .. } = event
            && (holds(text, canary) || bound.as_ref().is_some_and(|bound| holds(bound, canary)))
        {
            asked.insert(*op);
        }
        if let Event::Ruled { op, word: "allow" } = event
            && asked.contains(op)
        {
            allowed.insert(*op);
        }
        // Another flow counts its operations anew.
        if *event == Event::Closed {
            asked.clear();
            allowed.clear();
        }
        if let Event::Sent { op, toward: Side::Server, bytes } = event {
            return !holds(bytes, canary) || allowed.contains(op);
        }
        true
    })
}

/// Law 3: where all is allowed and nothing masked, what comes out is what went in.
pub fn silence<S: Subject>() -> Result<(), Breach> {
    for talk in S::talks() {
        let play = ALLOWED.play::<S>(&talk, Cut::Whole)?;
        let trace = play.rig.trace();
        let same = play.rig.sent(Side::Server) == play.client_said && play.rig.sent(Side::Client) == play.server_said;
        check(Law::Silence, same, || format!("`{}` was altered:\n{trace}", talk.name))?;
        check(Law::Silence, !play.server_said.is_empty(), || format!("`{}` was not answered", talk.name))?;
        let open = play.rig.open_operations();
        check(Law::Bound, open == 0, || format!("`{}` leaves {open} operations open:\n{trace}", talk.name))?;
    }
    Ok(())
}

/// Law 4: a denial is a valid protocol error, and the client's stream stays usable.
pub fn refusal<S: Subject>() -> Result<(), Breach> {
    let follow_up = S::follow_up();
    let fresh = ALLOWED.play::<S>(&follow_up, Cut::Whole)?;
    for talk in S::carrying().into_iter().chain(S::returning()) {
        for (how, judge) in [("denied", Judge::deny_those(CANARY)), ("held and denied", Judge::hold_those(CANARY))] {
            let mut play = Play::<S>::new(judge, Cut::Whole, People::Deny);
            play.play(&talk)?;
            let trace = play.rig.trace().to_string();
            let refused = |what: String| Breach::of(Law::Refusal, format!("`{}`, {how}: {what}\n{trace}", talk.name));
            S::shows_refusal(play.rig.sent(Side::Client), &a_refusal()).map_err(refused)?;
            let (client, server) = (play.rig.sent(Side::Client).len(), play.rig.sent(Side::Server).len());
            play.play(&follow_up)?;
            let new = |toward, from: usize| play.rig.sent(toward).get(from..).unwrap_or_default();
            let usable = new(Side::Client, client) == fresh.rig.sent(Side::Client)
                && new(Side::Server, server) == fresh.rig.sent(Side::Server);
            check(Law::Refusal, usable, || {
                format!("after `{}`, {how}, the stream is not usable:\n{}", talk.name, play.rig.trace())
            })?;
        }
    }
    Ok(())
}

/// Law 5: a masked value is in no frame to the client, in no question about an answer and in no note.
pub fn canary<S: Subject>() -> Result<(), Breach> {
    let all = S::masked();
    check(Law::Canary, !all.is_empty(), || "no conversation is masked".to_owned())?;
    for Masked { talk, obligations } in all {
        let bare = ALLOWED.play::<S>(&talk, Cut::Whole)?;
        for cut in [Cut::Whole, Cut::Pieces(vec![1]), Cut::Pieces(vec![7, 2, 31])] {
            let mut play = Play::<S>::new(Judge::allow_with(obligations.clone()), cut, People::Approve);
            play.play(&talk)?;
            let there = is_told::<S>(&play.server_said) || is_told::<S>(bare.rig.sent(Side::Client));
            check(Law::Canary, there, || format!("`{}`: the server never says the canary", talk.name))?;
            let shown = is_told::<S>(play.rig.sent(Side::Client)) || play.rig.trace().events().iter().any(tells);
            check(Law::Canary, !shown, || format!("`{}` shows the canary:\n{}", talk.name, play.rig.trace()))?;
        }
    }
    Ok(())
}

/// Whether a step that is written down says the canary, beside the frames.
fn tells(event: &Event) -> bool {
    let canary = CANARY.as_bytes();
    match event {
        Event::Noted(note) => note.values.iter().any(|(_, value)| value.contains(CANARY)),
        Event::Asked { text, bound, .. } => {
            holds(text, canary) || bound.as_ref().is_some_and(|bound| holds(bound, canary))
        }
        Event::Ruled { .. }
        | Event::Held(_)
        | Event::Withdrawn(_)
        | Event::Left(_)
        | Event::Sent { .. }
        | Event::Settled(..)
        | Event::Done(_)
        | Event::Errand
        | Event::Returned
        | Event::Closed
        | Event::Broke(_) => false,
    }
}

/// Law 7: no input panics, and whatever comes in, nothing leaves that is not allowed.
pub fn calm<S: Subject>() -> Result<(), Breach> {
    let fuzz = Fuzz::<S>::new()?;
    run(512, &vec(ANY, 0..SURPRISES), |script| fuzz.run(script))
}

/// Tries random values, always the same ones, and shrinks the first that fails.
fn run<T: proptest::strategy::Strategy>(
    cases: u32,
    strategy: &T,
    law: impl Fn(&T::Value) -> Result<(), Breach>,
) -> Result<(), Breach> {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    // Longer runs ask for more cases by proptest's own variable.
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let breach = std::cell::RefCell::new(None);
    let result = runner.run(strategy, |value| {
        law(&value).map_err(|found| {
            let reason = TestCaseError::fail(found.to_string());
            *breach.borrow_mut() = Some(found);
            reason
        })
    });
    match (result, breach.into_inner()) {
        (Ok(()), _) => Ok(()),
        (Err(TestError::Fail(reason, value)), Some(found)) => {
            Err(Breach::of(found.law(), format!("{} with {value:?}", reason.message())))
        }
        (Err(error), _) => Err(Breach::of(Law::Calm, format!("{error}"))),
    }
}
