//! What caused what in a run: a model's turn calls a tool, the call causes operations elsewhere, its result returns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anyhow::Result;
use sluice_model::{Digest, RunId};
use sluice_store::{Archive, Confidence, Edge, Edges as _, SessionRow, Sqlite, Tie};

use super::trace::{Call, Deed, Trace, Turn};

/// The edges of a run, read from its recordings and written down. Where a recording cannot be read, those that were
/// written down before stay.
pub(crate) async fn connect(
    store: &Sqlite,
    archive: &Archive,
    run: &RunId,
    sessions: &[SessionRow],
) -> Result<Vec<Edge>> {
    let (mut traces, mut whole) = (Vec::new(), true);
    for row in sessions {
        match archive.replay(&row.start.id) {
            Ok(reader) => {
                let (trace, read) = Trace::read(&row.start.id, reader);
                traces.push(trace);
                whole &= read;
            }
            Err(_) => whole = false,
        }
    }
    let edges = edges(traces);
    if whole {
        store.replace_edges(run, &edges).await?;
        return Ok(edges);
    }
    let before = store.edges(run).await?;
    Ok(if before.is_empty() { edges } else { before })
}

/// The edges between the sessions of a run.
fn edges(traces: Vec<Trace>) -> Vec<Edge> {
    let (mut turns, mut calls, mut deeds) = (Vec::new(), Vec::new(), Vec::new());
    for trace in traces {
        turns.extend(trace.turns);
        calls.extend(trace.calls.into_iter().map(Open::new));
        deeds.extend(trace.deeds);
    }
    // Stable: what happened at the same moment stays in the order it was written.
    turns.sort_by_key(|turn| turn.at);
    calls.sort_by_key(|open| open.call.released);
    deeds.sort_by_key(|deed| deed.at);
    let mut edges = Vec::new();
    for Open { call, .. } in &calls {
        if let Some(turn) = &call.turn {
            let (from, to) = (turn.clone(), call.place.clone());
            edges.push(Edge { from, to, tie: Tie::Calls, confidence: Confidence::ExactId });
        }
    }
    returns(&turns, &mut calls, &mut edges);
    let rest = same_texts(&mut calls, deeds, &mut edges);
    windows(&calls, &rest, &mut edges);
    edges.sort();
    edges.dedup();
    edges
}

/// A call and what is found out about it.
struct Open {
    call: Call,
    /// When its result was back.
    returned: Option<i64>,
    /// An operation with its text was found.
    matched: bool,
}

impl Open {
    const fn new(call: Call) -> Self {
        Self { call, returned: None, matched: false }
    }

    fn is_out_at(&self, at: i64) -> bool {
        self.call.released.is_some_and(|released| released <= at)
    }
}

/// The first turn that brings a call's result. An id that is used again belongs to the newest call that waits.
fn returns(turns: &[Turn], calls: &mut [Open], edges: &mut Vec<Edge>) {
    let mut by_id: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, open) in calls.iter().enumerate() {
        if let Some(id) = &open.call.id {
            by_id.entry(id.clone()).or_default().push(index);
        }
    }
    for turn in turns {
        for id in &turn.results {
            let known = by_id.get(id).map_or(&[][..], Vec::as_slice).iter().rev();
            let waiting = |index: &&usize| {
                calls.get(**index).is_some_and(|open| {
                    let earlier = open.is_out_at(turn.at) && open.call.turn.as_ref() != Some(&turn.place);
                    open.returned.is_none() && earlier
                })
            };
            let Some(index) = known.clone().find(waiting).copied() else { continue };
            let Some(open) = calls.get_mut(index).filter(|open| open.call.place != turn.place) else { continue };
            open.returned = Some(turn.at);
            let (from, to) = (open.call.place.clone(), turn.place.clone());
            edges.push(Edge { from, to, tie: Tie::Returns, confidence: Confidence::ExactId });
        }
    }
}

/// Operations whose text is an argument of a call: the first that is not taken yet. Gives back those that are left.
fn same_texts(calls: &mut [Open], deeds: Vec<Deed>, edges: &mut Vec<Edge>) -> Vec<Deed> {
    let mut by_text: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (index, deed) in deeds.iter().enumerate() {
        for text in &deed.texts {
            by_text.entry(*text).or_default().push(index);
        }
    }
    let mut deeds: Vec<Option<Deed>> = deeds.into_iter().map(Some).collect();
    for open in calls.iter_mut() {
        for text in &open.call.texts {
            let Entry::Occupied(mut known) = by_text.entry(*text) else { continue };
            let fits = |deed: &Deed| {
                let in_time = open.is_out_at(deed.at) && open.returned.is_none_or(|returned| deed.at <= returned);
                in_time && deed.place.session != open.call.place.session
            };
            let found =
                known.get().iter().position(|index| matches!(deeds.get(*index), Some(Some(deed)) if fits(deed)));
            let taken = found.map(|place| known.get_mut().remove(place));
            let Some(deed) = taken.and_then(|index| deeds.get_mut(index)).and_then(Option::take) else { continue };
            open.matched = true;
            edges.push(cause(&open.call, &deed, Confidence::Digest));
        }
    }
    deeds.into_iter().flatten().collect()
}

/// Operations that happened while a call was out: of the newest such call, or of one of the same turn whose text was not
/// found anywhere.
fn windows(calls: &[Open], deeds: &[Deed], edges: &mut Vec<Edge>) {
    for deed in deeds {
        let released =
            calls.get(..calls.partition_point(|open| open.call.released <= Some(deed.at))).unwrap_or_default();
        let out = |open: &&Open| {
            open.call.released.is_some()
                && open.returned.is_some_and(|returned| deed.at <= returned)
                && open.call.place.session != deed.place.session
        };
        let mut candidates = released.iter().rev().filter(out).peekable();
        let Some(newest) = candidates.peek().copied() else { continue };
        let open = candidates.find(|open| !open.matched && open.call.turn == newest.call.turn).unwrap_or(newest);
        edges.push(cause(&open.call, deed, Confidence::Time));
    }
}

fn cause(call: &Call, deed: &Deed, confidence: Confidence) -> Edge {
    Edge { from: call.place.clone(), to: deed.place.clone(), tie: Tie::Causes, confidence }
}

#[cfg(test)]
#[path = "edges_tests.rs"]
mod tests;
