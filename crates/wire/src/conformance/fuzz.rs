//! Surprises: scripts of bytes that say what happens to a flow.

use std::marker::PhantomData;

use sluice_model::{Obligations, OpId, Ruling};

use super::judge::{Judge, a_refusal};
use super::laws::Breach;
use super::play::{Cut, People, Play, Served};
use super::rig::Rig;
use super::subject::{CANARY, Subject};
use crate::{Codec as _, Frame as _, Input, Side};

/// What every run of a fuzz target starts from: what both sides say in real conversations.
#[derive(Debug)]
pub struct Fuzz<S> {
    /// As it is said: what makes sense at once is not always one message.
    turns: Vec<(Side, Vec<u8>)>,
    messages: Vec<(Side, Vec<u8>)>,
    masks: Obligations,
    of: PhantomData<fn() -> S>,
}

/// The bytes of a script; zeros follow its end.
struct Script<'a>(std::slice::Iter<'a, u8>);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, limit: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        wide.checked_rem(limit).unwrap_or(0)
    }

    fn side(&mut self) -> Side {
        if self.byte() & 1 == 0 { Side::Client } else { Side::Server }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte() & 31);
        self.0.by_ref().take(count).copied().collect()
    }
}

impl<S: Subject> Fuzz<S> {
    /// Gathers what is said in the subject's own conversations.
    pub fn new() -> Result<Self, Breach> {
        let (mut turns, mut all) = (Vec::new(), Vec::new());
        let masked = S::masked();
        let masks = masked.first().map(|masked| masked.obligations.clone()).unwrap_or_default();
        let masked = masked.into_iter().map(|masked| masked.talk);
        for talk in S::talks().into_iter().chain(S::carrying()).chain(S::returning()).chain(masked) {
            let mut play = Play::<S>::new(Judge::allow_all(), Cut::Whole, People::Approve);
            play.play(&talk)?;
            all.extend(messages::<S>(Side::Client, &play.client_said));
            all.extend(messages::<S>(Side::Server, &play.server_said));
            turns.extend(play.turns);
        }
        turns.dedup();
        all.dedup();
        Ok(Self { turns, messages: all, masks, of: PhantomData })
    }

    /// Plays one script: panics and breaches of the second law are what it looks for. After the end of a stream the
    /// script goes on with another.
    pub fn run(&self, script: &[u8]) -> Result<(), Breach> {
        let mut script = Script(script.iter());
        while !script.0.as_slice().is_empty() {
            self.stream(&mut script)?;
        }
        Ok(())
    }

    fn stream(&self, script: &mut Script<'_>) -> Result<(), Breach> {
        let mut rig = Rig::<S>::new(self.judge(script.byte()));
        let mut server = Served::default();
        while !rig.is_over()
            && let Some(kind) = script.0.next().copied()
        {
            match kind & 31 {
                kind @ 0..=7 => {
                    let asked = rig.take_sent(Side::Server);
                    let mut answer = server.hear(&rig, &asked);
                    match kind {
                        0 => flip(&mut answer, script),
                        1 => answer.truncate(script.below(answer.len())),
                        _ => {}
                    }
                    rig.deliver(Side::Server, &answer)?;
                }
                kind => self.surprise(kind, script, &mut rig)?,
            }
        }
        Ok(())
    }

    fn surprise(&self, kind: u8, script: &mut Script<'_>, rig: &mut Rig<S>) -> Result<(), Breach> {
        match kind {
            8..=20 => {
                let mut bytes = self.message(Side::Client, script);
                if kind == 20 {
                    flip(&mut bytes, script);
                }
                rig.deliver(Side::Client, &bytes)
            }
            21 => rig.deliver(Side::Server, &self.message(Side::Server, script)),
            22 => {
                let side = script.side();
                rig.deliver(side.other(), &self.message(side, script))
            }
            23 => {
                let side = script.side();
                rig.deliver(side, &script.bytes())
            }
            24..=26 => rig.settle(script.byte() & 1 == 0, a_refusal()),
            27 if script.byte() & 3 == 0 => rig.end(script.side()),
            28 => match script.byte() & 7 {
                0 => rig.revoke(a_refusal()),
                1 => rig.lose(),
                _ => Ok(()),
            },
            29 if rig.is_held() => rig.wait(u32::from(script.byte())),
            29 => rig.surprise(unasked(script)),
            _ => {
                rig.rejudge(self.judge(script.byte()));
                Ok(())
            }
        }
    }

    /// Something real that a side says.
    fn message(&self, from: Side, script: &mut Script<'_>) -> Vec<u8> {
        let pool = if script.byte() & 3 == 0 { &self.messages } else { &self.turns };
        let of_side = || pool.iter().filter(|(side, _)| *side == from);
        let at = script.below(of_side().count());
        of_side().nth(at).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }

    fn judge(&self, choice: u8) -> Judge {
        match choice & 7 {
            0..=2 => Judge::allow_all(),
            3 => Judge::deny_all(),
            4 => Judge::hold_all(),
            5 => Judge::hold_those(CANARY),
            6 => Judge::allow_with(self.masks.clone()),
            _ => Judge::deny_those(CANARY),
        }
    }
}

/// Changes one byte.
fn flip(bytes: &mut [u8], script: &mut Script<'_>) {
    let (at, bits) = (script.below(bytes.len()), script.byte());
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
}

/// Bytes of one side, message by message. Where a codec reads no further, that of another flow goes on.
fn messages<S: Subject>(from: Side, bytes: &[u8]) -> Vec<(Side, Vec<u8>)> {
    let mut unread = bytes::BytesMut::from(bytes);
    let mut found = Vec::new();
    loop {
        let (mut codec, before) = (S::codec(), unread.len());
        while let Ok(Some(frame)) = codec.decode(from, &mut unread) {
            found.push((from, S::sent(frame.wire())));
        }
        if unread.is_empty() || unread.len() == before {
            found.retain(|(_, bytes)| !bytes.is_empty());
            return found;
        }
    }
}

/// An answer that nobody waits for.
fn unasked<F>(script: &mut Script<'_>) -> Input<F> {
    let op = OpId(u64::from(script.byte() & 7));
    match script.byte() & 3 {
        0 | 1 => Input::Ruled(op, Ruling::Deny(std::sync::Arc::new(a_refusal()))),
        2 => Input::Waiting(op, u32::from(script.byte())),
        _ => Input::Returned,
    }
}
