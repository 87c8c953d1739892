//! Bytes to events. Whatever [`crate::encode`] does not write is malformed.

use std::borrow::Cow;

use sluice_model::{Digest, FlowId, OpId, Stage, UnixMicros, Usage};

use crate::encode::{ASKED, CLOSED, CUT, DONE, GAP, HELD, NOTED, OPENED, PASSED, RULED, SETTLED};
use crate::event::{
    Accessed, Actor, Asked, Closed, Content, Cut, Event, Exposed, Gap, Held, Noted, Opened, Outcome, Pair, Passed,
    Ruled, Settled, Toward, Word,
};

/// The bytes are not an event.
#[derive(Debug)]
pub(crate) struct Malformed;

/// Reads one event, given without its length; all bytes must belong to it.
pub(crate) fn event(bytes: &[u8]) -> Result<(FlowId, u64, Event<'_>), Malformed> {
    let mut left = Left(bytes);
    let kind = left.byte()?;
    let flow = FlowId(left.small()?);
    let at_ns = left.number()?;
    let event = body(&mut left, kind)?;
    if left.0.is_empty() { Ok((flow, at_ns, event)) } else { Err(Malformed) }
}

fn body<'a>(left: &mut Left<'a>, kind: u8) -> Result<Event<'a>, Malformed> {
    Ok(match kind {
        OPENED => Event::Opened(opened(left)?),
        ASKED => Event::Asked(asked(left)?),
        RULED => Event::Ruled(ruled(left)?),
        HELD => Event::Held(Held { op: left.op()?, hold: left.text()?, approvers: left.list(Left::text)? }),
        SETTLED => Event::Settled(settled(left)?),
        PASSED => Event::Passed(Passed { op: left.op()?, toward: left.toward()?, frame: Content(left.bytes()?) }),
        CUT => Event::Cut(Cut {
            op: left.op()?,
            toward: left.toward()?,
            bytes: left.number()?,
            digest: Digest(left.array()?),
        }),
        DONE => Event::Done(left.op()?),
        NOTED => Event::Noted(Noted { kind: left.text()?, pairs: left.list(Left::pair)? }),
        GAP => Event::Gap(Gap { reason: left.text()?, bytes: left.number()? }),
        CLOSED => Event::Closed(Closed {
            reason: left.text()?,
            counters: left.list(|left| Ok((left.text()?, left.number()?)))?,
        }),
        _ => return Err(Malformed),
    })
}

fn opened<'a>(left: &mut Left<'a>) -> Result<Opened<'a>, Malformed> {
    let mut opened = Opened {
        session: left.text()?,
        principal: left.list(|left| Ok(Actor { name: left.text()?, groups: left.list(Left::text)? }))?,
        token: left.text()?,
        target: left.text()?,
        environment: left.text()?,
        protocol: left.text()?,
        schema_version: left.small()?,
        client: left.text()?,
        policy_epoch: left.text()?,
        anchor: UnixMicros(i64::from_le_bytes(left.array()?)),
        broker_version: left.text()?,
        run: None,
        part: None,
    };
    if !left.0.is_empty() {
        opened.run = Some(left.text()?);
    }
    if !left.0.is_empty() {
        opened.part = Some(left.text()?);
        opened.run = opened.run.filter(|run| !run.is_empty());
    }
    Ok(opened)
}

fn asked<'a>(left: &mut Left<'a>) -> Result<Asked<'a>, Malformed> {
    Ok(Asked {
        op: left.op()?,
        stage: match left.byte()? {
            0 => Stage::Prepare,
            1 => Stage::Perform,
            _ => return Err(Malformed),
        },
        action: left.text()?,
        understood: left.flag()?,
        facts: left.list(Left::pair)?,
        accesses: left
            .list(|left| Ok(Accessed { action: left.text()?, kind: left.text()?, path: left.list(Left::text)? }))?,
        digest: Digest(left.array()?),
        text: Content(left.bytes()?),
        bound: if left.flag()? { Some(Content(left.bytes()?)) } else { None },
        exposures: if left.0.is_empty() { Vec::new() } else { left.list(exposed)? },
    })
}

fn exposed<'a>(left: &mut Left<'a>) -> Result<Exposed<'a>, Malformed> {
    let usage = match left.byte()? {
        0 => Usage::Reveal,
        1 => Usage::Filter,
        2 => Usage::Disclose,
        _ => return Err(Malformed),
    };
    Ok(Exposed { usage, kind: left.text()?, path: left.list(Left::text)?, tags: left.list(Left::text)? })
}

fn ruled<'a>(left: &mut Left<'a>) -> Result<Ruled<'a>, Malformed> {
    Ok(Ruled {
        op: left.op()?,
        verdict: match left.byte()? {
            0 => Word::Allow,
            1 => Word::Deny,
            2 => Word::Hold,
            _ => return Err(Malformed),
        },
        rules: left.list(Left::text)?,
        masks: left.list(Left::text)?,
        message: left.text()?,
        decision: left.text()?,
        cached: left.flag()?,
    })
}

fn settled<'a>(left: &mut Left<'a>) -> Result<Settled<'a>, Malformed> {
    Ok(Settled {
        op: left.op()?,
        hold: left.text()?,
        outcome: match left.byte()? {
            0 => Outcome::Approved,
            1 => Outcome::Denied,
            2 => Outcome::Expired,
            3 => Outcome::Withdrawn,
            4 => Outcome::Revoked,
            _ => return Err(Malformed),
        },
        people: left.list(Left::text)?,
    })
}

/// What has not been read yet.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Malformed);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                // A zero last byte would be a second way to write a smaller number.
                return if part == 0 && shift > 0 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }

    fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    fn op(&mut self) -> Result<OpId, Malformed> {
        self.number().map(OpId)
    }

    fn toward(&mut self) -> Result<Toward, Malformed> {
        match self.byte()? {
            0 => Ok(Toward::Client),
            1 => Ok(Toward::Server),
            _ => Err(Malformed),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)?;
        Ok(Cow::Borrowed(text))
    }

    fn pair(&mut self) -> Result<Pair<'a>, Malformed> {
        Ok(Pair { name: self.text()?, value: self.text()? })
    }

    /// A list; memory grows with the items read, never with the count that is claimed.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = self.number()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
