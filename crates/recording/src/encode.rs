//! Events to bytes.
//!
//! Shape of an event: `len u32le · kind u8 · flow varint · at_ns varint · body`, `len` counting what follows it.
//! Numbers are LEB128 varints, texts and lists are preceded by their length. Sequence numbers are not written: they
//! are an event's place in the recording, so there cannot be a hole.

use std::borrow::Cow;

use sluice_model::{FlowId, Stage, Usage};

use crate::event::{
    Accessed, Actor, Asked, Closed, Cut, Event, Exposed, Gap, Held, Noted, Opened, Outcome, Pair, Passed, Ruled,
    Settled, Toward, Word,
};

pub(crate) const OPENED: u8 = 1;
pub(crate) const ASKED: u8 = 2;
pub(crate) const RULED: u8 = 3;
pub(crate) const HELD: u8 = 4;
pub(crate) const SETTLED: u8 = 5;
pub(crate) const PASSED: u8 = 6;
pub(crate) const CUT: u8 = 7;
pub(crate) const DONE: u8 = 8;
pub(crate) const NOTED: u8 = 9;
pub(crate) const GAP: u8 = 10;
pub(crate) const CLOSED: u8 = 11;

/// Appends an event, its length first.
pub(crate) fn event(out: &mut Vec<u8>, flow: FlowId, at_ns: u64, event: &Event<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind(event));
    number(out, u64::from(flow.0));
    number(out, at_ns);
    body(out, event);
    let len = out.len().saturating_sub(start).saturating_sub(4);
    // A length that does not fit is refused by the caller, which compares `out.len()` with a far smaller limit.
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(start..start.saturating_add(4)) {
        slot.copy_from_slice(&len.to_le_bytes());
    }
}

const fn kind(event: &Event<'_>) -> u8 {
    match event {
        Event::Opened(_) => OPENED,
        Event::Asked(_) => ASKED,
        Event::Ruled(_) => RULED,
        Event::Held(_) => HELD,
        Event::Settled(_) => SETTLED,
        Event::Passed(_) => PASSED,
        Event::Cut(_) => CUT,
        Event::Done(_) => DONE,
        Event::Noted(_) => NOTED,
        Event::Gap(_) => GAP,
        Event::Closed(_) => CLOSED,
    }
}

fn body(out: &mut Vec<u8>, event: &Event<'_>) {
    match event {
        Event::Opened(opened) => self::opened(out, opened),
        Event::Asked(asked) => self::asked(out, asked),
        Event::Ruled(ruled) => self::ruled(out, ruled),
        Event::Held(Held { op, hold, approvers }) => {
            number(out, op.0);
            text(out, hold);
            texts(out, approvers);
        }
        Event::Settled(settled) => self::settled(out, settled),
        Event::Passed(Passed { op, toward, frame }) => {
            number(out, op.0);
            out.push(toward_code(*toward));
            bytes(out, frame.0);
        }
        Event::Cut(Cut { op, toward, bytes, digest }) => {
            number(out, op.0);
            out.push(toward_code(*toward));
            number(out, *bytes);
            out.extend_from_slice(&digest.0);
        }
        Event::Done(op) => number(out, op.0),
        Event::Noted(Noted { kind, pairs }) => {
            text(out, kind);
            self::pairs(out, pairs);
        }
        Event::Gap(Gap { reason, bytes }) => {
            text(out, reason);
            number(out, *bytes);
        }
        Event::Closed(Closed { reason, counters }) => {
            text(out, reason);
            number(out, counters.len() as u64);
            for (name, count) in counters {
                text(out, name);
                number(out, *count);
            }
        }
    }
}

fn opened(out: &mut Vec<u8>, opened: &Opened<'_>) {
    text(out, &opened.session);
    number(out, opened.principal.len() as u64);
    for Actor { name, groups } in &opened.principal {
        text(out, name);
        texts(out, groups);
    }
    text(out, &opened.token);
    text(out, &opened.target);
    text(out, &opened.environment);
    text(out, &opened.protocol);
    number(out, u64::from(opened.schema_version));
    text(out, &opened.client);
    text(out, &opened.policy_epoch);
    out.extend_from_slice(&opened.anchor.0.to_le_bytes());
    text(out, &opened.broker_version);
    // Last, and nothing where there is none: such an event is what it was before there were runs.
    match (&opened.run, &opened.part) {
        (None, None) => {}
        (Some(run), None) => text(out, run),
        // A run has a name: an empty one is none.
        (run, Some(part)) => {
            text(out, run.as_deref().unwrap_or_default());
            text(out, part);
        }
    }
}

fn asked(out: &mut Vec<u8>, asked: &Asked<'_>) {
    number(out, asked.op.0);
    out.push(match asked.stage {
        Stage::Prepare => 0,
        Stage::Perform => 1,
    });
    text(out, &asked.action);
    out.push(u8::from(asked.understood));
    pairs(out, &asked.facts);
    number(out, asked.accesses.len() as u64);
    for Accessed { action, kind, path } in &asked.accesses {
        text(out, action);
        text(out, kind);
        texts(out, path);
    }
    out.extend_from_slice(&asked.digest.0);
    bytes(out, asked.text.0);
    match asked.bound {
        None => out.push(0),
        Some(bound) => {
            out.push(1);
            bytes(out, bound.0);
        }
    }
    // Last, and nothing where there are none: such an event is what it was before they were written down.
    if !asked.exposures.is_empty() {
        exposures(out, &asked.exposures);
    }
}

fn exposures(out: &mut Vec<u8>, exposures: &[Exposed<'_>]) {
    number(out, exposures.len() as u64);
    for Exposed { usage, kind, path, tags } in exposures {
        out.push(match usage {
            Usage::Reveal => 0,
            Usage::Filter => 1,
            Usage::Disclose => 2,
        });
        text(out, kind);
        texts(out, path);
        texts(out, tags);
    }
}

fn ruled(out: &mut Vec<u8>, ruled: &Ruled<'_>) {
    number(out, ruled.op.0);
    out.push(match ruled.verdict {
        Word::Allow => 0,
        Word::Deny => 1,
        Word::Hold => 2,
    });
    texts(out, &ruled.rules);
    texts(out, &ruled.masks);
    text(out, &ruled.message);
    text(out, &ruled.decision);
    out.push(u8::from(ruled.cached));
}

fn settled(out: &mut Vec<u8>, settled: &Settled<'_>) {
    number(out, settled.op.0);
    text(out, &settled.hold);
    out.push(match settled.outcome {
        Outcome::Approved => 0,
        Outcome::Denied => 1,
        Outcome::Expired => 2,
        Outcome::Withdrawn => 3,
        Outcome::Revoked => 4,
    });
    texts(out, &settled.people);
}

const fn toward_code(toward: Toward) -> u8 {
    match toward {
        Toward::Client => 0,
        Toward::Server => 1,
    }
}

fn pairs(out: &mut Vec<u8>, pairs: &[Pair<'_>]) {
    number(out, pairs.len() as u64);
    for Pair { name, value } in pairs {
        text(out, name);
        text(out, value);
    }
}

fn texts(out: &mut Vec<u8>, texts: &[Cow<'_, str>]) {
    number(out, texts.len() as u64);
    for one in texts {
        text(out, one);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
