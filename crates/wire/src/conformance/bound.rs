//! The sixth law.

use bytes::BytesMut;

use super::judge::Judge;
use super::laws::{Breach, Law, check};
use super::play::{Cut, People, Play};
use super::subject::{Endless, Flood, Subject};
use crate::{Codec as _, Side};

/// Bytes of an endless message that are delivered at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Law 6: what a flow holds has a stated limit.
pub fn bound<S: Subject>() -> Result<(), Breach> {
    S::endless().into_iter().try_for_each(codec_is_bounded::<S>)?;
    S::floods().iter().try_for_each(flow_is_bounded::<S>)?;
    let mut play = Play::<S>::new(Judge::allow_all(), Cut::Whole, People::Wait);
    play.play(&S::before_unanswered())?;
    let rig = &mut play.rig;
    let (message, limit) = (S::unanswered(), S::unanswered_limit());
    for taken in 0..=limit {
        rig.deliver(Side::Client, &message)?;
        if rig.unread(Side::Client) > 0 || rig.is_over() {
            return check(Law::Bound, taken == limit, || {
                format!("{taken} messages were taken without an answer and not the stated {limit}")
            });
        }
    }
    Err(Breach::of(Law::Bound, format!("more than the stated {limit} messages are taken without an answer")))
}

/// A codec refuses, or passes in pieces, what has no end.
fn codec_is_bounded<S: Subject>(endless: Endless) -> Result<(), Breach> {
    let limit = S::codec_limit_bytes();
    let mut codec = S::codec();
    let mut unread = BytesMut::from(endless.begins);
    let chunk = vec![endless.goes_on; CHUNK_BYTES.min(limit.max(1))];
    let mut delivered = 0_usize;
    while delivered <= limit.saturating_mul(2) {
        loop {
            match codec.decode(endless.from, &mut unread) {
                Err(_) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        let held = unread.len();
        check(Law::Bound, held <= limit, || {
            format!("`{}`: the codec holds {held} bytes and its limit is {limit}", endless.name)
        })?;
        unread.extend_from_slice(&chunk);
        delivered = delivered.saturating_add(chunk.len());
    }
    Ok(())
}

/// A flow passes something on, refuses, or reads no further before it has taken too much.
fn flow_is_bounded<S: Subject>(flood: &Flood) -> Result<(), Breach> {
    let mut play = Play::<S>::new((flood.judge)(), Cut::Whole, People::Wait);
    play.play(&flood.talk)?;
    let rig = &mut play.rig;
    let name = flood.name;
    let usable = !rig.is_over() && rig.unread(flood.from) == 0;
    check(Law::Bound, usable, || format!("`{name}` cannot begin:\n{}", rig.trace()))?;
    let (flow, begun) = (rig.flows(), rig.sent(Side::Client).len());
    let (mut taken, mut silent, mut passed) = (0_usize, 0_usize, 0);
    while taken <= flood.limit_bytes.saturating_mul(2) {
        rig.deliver(flood.from, &flood.goes_on)?;
        let refused = flood.from == Side::Client && rig.sent(Side::Client).len() != begun;
        if refused || rig.is_over() || rig.flows() != flow || rig.unread(flood.from) > 0 {
            return Ok(());
        }
        taken = taken.saturating_add(flood.goes_on.len());
        let sent = rig.sent(flood.from.other()).len();
        silent = if sent == passed { silent.saturating_add(flood.goes_on.len()) } else { 0 };
        passed = sent;
        check(Law::Bound, silent <= flood.limit_bytes, || {
            format!("`{name}`: {silent} bytes were taken and nothing came of them; the limit is {}", flood.limit_bytes)
        })?;
    }
    Ok(())
}
