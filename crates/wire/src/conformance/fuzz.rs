//! Surprises: scripts of bytes that say what happens to a flow.

use std::marker::PhantomData;

use sluice_model::{OpId, Ruling};

use super::judge::{Judge, a_refusal};
use super::laws::Breach;
use super::play::{Cut, People, Play};
use super::rig::Rig;
use super::subject::{CANARY, Server as _, Subject};
use crate::{Codec as _, Frame as _, Input, Side};

/// What every run of a fuzz target starts from: real messages of both sides.
#[derive(Debug)]
pub struct Fuzz<S> {
    pool: Vec<(Side, Vec<u8>)>,
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
    /// Gathers the messages of the subject's own conversations.
    pub fn new() -> Result<Self, Breach> {
        let mut pool = Vec::new();
        let masked = S::masked().into_iter().map(|masked| masked.talk);
        for talk in S::talks().into_iter().chain(S::carrying()).chain(masked) {
            let mut play = Play::<S>::new(Judge::allow_all(), Cut::Whole, People::Approve);
            play.play(&talk)?;
            pool.extend(messages::<S>(Side::Client, &play.client_said));
            pool.extend(messages::<S>(Side::Server, &play.server_said));
        }
        pool.dedup();
        Ok(Self { pool, of: PhantomData })
    }

    /// Plays one script: panics and breaches of the second law are what it looks for.
    pub fn run(&self, script: &[u8]) -> Result<(), Breach> {
        let mut rig = Rig::<S>::new(Judge::allow_all());
        let mut server = S::server();
        let mut script = Script(script.iter());
        while let Some(kind) = script.0.next().copied() {
            if rig.is_over() {
                break;
            }
            match kind & 31 {
                kind @ 0..=7 => {
                    let mut answer = server.hear(&rig.take_sent(Side::Server));
                    match kind {
                        0 => flip(&mut answer, &mut script),
                        1 => answer.truncate(script.below(answer.len())),
                        _ => {}
                    }
                    rig.deliver(Side::Server, &answer)?;
                }
                kind => self.surprise(kind, &mut script, &mut rig)?,
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
            28 if script.byte() & 3 == 0 => rig.revoke(a_refusal()),
            29 => rig.surprise(unasked(script)),
            _ => {
                rig.rejudge(judge(script.byte()));
                Ok(())
            }
        }
    }

    /// A real message of a side.
    fn message(&self, from: Side, script: &mut Script<'_>) -> Vec<u8> {
        let of_side = || self.pool.iter().filter(|(side, _)| *side == from);
        let at = script.below(of_side().count());
        of_side().nth(at).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }
}

/// Changes one byte.
fn flip(bytes: &mut [u8], script: &mut Script<'_>) {
    let (at, bits) = (script.below(bytes.len()), script.byte());
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
}

/// Bytes of one side, message by message.
fn messages<S: Subject>(from: Side, bytes: &[u8]) -> Vec<(Side, Vec<u8>)> {
    let mut codec = S::codec();
    let mut unread = bytes::BytesMut::from(bytes);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = codec.decode(from, &mut unread) {
        found.push((from, frame.wire().to_vec()));
    }
    found
}

fn judge(choice: u8) -> Judge {
    match choice & 7 {
        0..=2 => Judge::allow_all(),
        3 => Judge::deny_all(),
        4 => Judge::hold_all(),
        5 => Judge::hold_those(CANARY),
        _ => Judge::deny_those(CANARY),
    }
}

/// An answer that nobody waits for.
fn unasked<F>(script: &mut Script<'_>) -> Input<F> {
    let op = OpId(u64::from(script.byte() & 7));
    if script.byte() & 1 == 0 {
        Input::Ruled(op, Ruling::Deny(std::sync::Arc::new(a_refusal())))
    } else {
        Input::Returned
    }
}
