//! One case: what a client says, what comes back, what the server was told, and what to think of it.

use std::time::Duration;

use sluice_tests::canary::Scan;
use sluice_tests::corpus::{Case, Expect, Step, unhex};
use sluice_tests::database::{Entry, OWNER};
use sluice_tests::wire::{Frame, Reply, Wire, say};

use crate::worlds::{World, Worlds};

/// What became of a case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Everything that is wrong.
    pub(crate) faults: Vec<String>,
}

/// What the broker did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// SQLSTATE and rule.
    Denied(String),
    /// The connection was closed or never opened.
    Closed(String),
    #[default]
    Delivered,
}

/// What a client heard.
struct Heard {
    replies: Vec<Reply>,
    bytes: Vec<u8>,
    refused_at_startup: Option<String>,
}

/// Statements of scripts that must be denied as a whole which are harmless themselves.
///
/// LEX-32: under the pinned setting its second statement is one literal, and one row.
const HARMLESS: &[(&str, &str, usize)] =
    &[("LEX-32", "SELECT '\\'' ; DELETE FROM orders; --'", 1), ("WIRE-14", "SELECT id FROM", 3)];

/// SQLSTATEs of a denial: policy, cannot be parsed, protocol, limits, an aborted transaction after one of them.
const DENIALS: [&str; 6] = ["42501", "42601", "08P01", "54000", "53400", "25P02"];

/// How long a peer that was sent nonsense may take to answer.
const NONSENSE: Duration = Duration::from_secs(2);

/// Runs a case and judges it.
pub(crate) fn judge(worlds: &Worlds, case: &Case) -> Outcome {
    let slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    if let Some(setup) = &case.setup {
        let _done = worlds.server.admin(worlds.first.database).query(setup);
    }
    let before = worlds.state(worlds.first);
    let mark = worlds.server.log_end();
    let heard = through_broker(worlds, case, worlds.first);
    worlds.settle();
    let told = told(&worlds.server.log_from(mark), &worlds.application());
    let mut outcome = Outcome { verdict: verdict(&heard), faults: Vec::new() };
    for found in Scan::default().find(&heard.bytes) {
        outcome.faults.push(format!("LEAK: {found}"));
    }
    if worlds.state(worlds.first) != before {
        outcome.faults.push("CHANGED: the database is not what it was".to_owned());
        worlds.remake(worlds.first);
    }
    match case.expect {
        Expect::Deny => denied(case, &heard, &told, &mut outcome),
        Expect::Masked => masked(worlds, case, &heard, &mut outcome),
        Expect::Allowed => allowed(worlds, case, &heard, &mut outcome),
    }
    if case.setup.is_some() {
        let _dropped = worlds.server.admin(worlds.first.database).query(slots).ok();
        worlds.remake(worlds.first);
    }
    outcome
}

fn denied(case: &Case, heard: &Heard, told: &[String], outcome: &mut Outcome) {
    let harmless = |text: &str| HARMLESS.iter().any(|(id, start, _)| *id == case.id && text.starts_with(start));
    for text in told.iter().filter(|text| !text.starts_with("sluice_refused") && !harmless(text)) {
        outcome.faults.push(format!("FORWARDED: {text}"));
    }
    let rows =
        heard.replies.iter().flat_map(|reply| &reply.frames).filter(|frame| matches!(frame.tag, 'D' | 'd' | 'V'));
    let expected = HARMLESS.iter().find(|(id, ..)| *id == case.id).map_or(0, |(.., rows)| *rows);
    if rows.count() > expected {
        outcome.faults.push("DELIVERED: rows came".to_owned());
    }
    match &outcome.verdict {
        Verdict::Denied(said) if !DENIALS.iter().any(|code| said.starts_with(code)) => {
            outcome.faults.push(format!("WRONG ANSWER: {said}"));
        }
        Verdict::Delivered => outcome.faults.push("NOT DENIED: no error came".to_owned()),
        Verdict::Denied(_) | Verdict::Closed(_) => {}
    }
}

/// The same statement in a world with other protected values must look the same.
fn masked(worlds: &Worlds, case: &Case, heard: &Heard, outcome: &mut Outcome) {
    let other = through_broker(worlds, case, worlds.second);
    worlds.settle();
    let (one, two) = (comparable(worlds, heard), comparable(worlds, &other));
    if one != two {
        let place = one.iter().zip(&two).find(|(a, b)| a != b);
        outcome.faults.push(format!("LEAK: it depends on protected values: {place:?}"));
    }
    if let Verdict::Closed(said) = &outcome.verdict
        && heard.refused_at_startup.is_none()
    {
        outcome.faults.push(format!("CLOSED: the session ended: {said}"));
    }
}

fn allowed(worlds: &Worlds, case: &Case, heard: &Heard, outcome: &mut Outcome) {
    let mut wire = worlds.server.direct(OWNER, worlds.first.database);
    let (replies, _) = speak(&mut wire, case, worlds.first);
    let frames = |replies: &[Reply]| -> Vec<Frame> {
        let all = replies.iter().flat_map(|reply| &reply.frames);
        // What a setting is reported as goes its own way: the broker pins some.
        all.filter(|frame| frame.tag != 'S').cloned().collect()
    };
    let (direct, brokered) = (frames(&replies), frames(&heard.replies));
    if direct != brokered {
        let words: Vec<String> = heard.replies.iter().filter_map(Reply::error).map(|said| said.message).collect();
        outcome.faults.push(format!("CONTROL: not what a direct connection gives {words:?}"));
    }
}

fn verdict(heard: &Heard) -> Verdict {
    if let Some(said) = &heard.refused_at_startup {
        return Verdict::Closed(said.clone());
    }
    let error = heard.replies.iter().find_map(Reply::error);
    let closed = heard.replies.last().is_some_and(|reply| reply.status().is_none());
    match error {
        Some(said) if closed => Verdict::Closed(format!("{} {}", said.sqlstate, said.message)),
        Some(said) => {
            let rule = said.detail.split("\"rule\":\"").nth(1).and_then(|rest| rest.split('"').next());
            Verdict::Denied(format!("{} {} {}", said.sqlstate, rule.unwrap_or("-"), said.message))
        }
        None if closed => Verdict::Closed("without a word".to_owned()),
        None => Verdict::Delivered,
    }
}

fn through_broker(worlds: &Worlds, case: &Case, world: World) -> Heard {
    let mut wire = Wire::tcp(worlds.broker.port());
    let mut parameters = vec![("user", worlds.user), ("database", world.target)];
    for (name, value) in &case.startup {
        parameters.retain(|(known, _)| known != name);
        parameters.push((name, value));
    }
    if let Err(said) = wire.sign_in(&parameters, &worlds.token) {
        return Heard { replies: Vec::new(), bytes: wire.heard, refused_at_startup: Some(said) };
    }
    let (replies, _) = speak(&mut wire, case, world);
    wire.send(&say::terminate());
    Heard { replies, bytes: wire.heard, refused_at_startup: None }
}

/// Says everything and hears the answers; whether the connection is still open.
fn speak(wire: &mut Wire, case: &Case, world: World) -> (Vec<Reply>, bool) {
    let own = |sql: &str| sql.replace("demo.", &format!("{}.", world.database));
    let mut replies = Vec::new();
    if case.script.is_empty() {
        replies.push(wire.query(&own(&case.sql)));
    }
    for step in &case.script {
        let (bytes, answers) = message(step, &own);
        wire.send(&bytes);
        match answers {
            Answers::None => {}
            Answers::Many(count) => {
                for _ in 0..count {
                    replies.push(wire.reply());
                }
            }
            Answers::Perhaps => replies.push(after_nonsense(wire)),
        }
        if replies.last().is_some_and(|reply| reply.status().is_none()) {
            return (replies, false);
        }
    }
    (replies, true)
}

/// How many `ReadyForQuery` follow.
enum Answers {
    None,
    Many(usize),
    Perhaps,
}

fn message(step: &Step, own: &impl Fn(&str) -> String) -> (Vec<u8>, Answers) {
    match step {
        Step::Q(sql) => (say::query(own(sql).as_bytes()), Answers::Many(1)),
        Step::Qhex(hex) => (say::query(&unhex(hex)), Answers::Many(1)),
        Step::P { name, sql } => (say::parse(name, &own(sql)), Answers::None),
        Step::B { portal, stmt, params } => {
            let values: Vec<&[u8]> = params.iter().map(String::as_bytes).collect();
            (say::bind(portal, stmt, &values, false), Answers::None)
        }
        Step::D { kind, name } => (say::named('D', *kind, name), Answers::None),
        Step::E { portal, max } => (say::execute(portal, *max), Answers::None),
        Step::C { kind, name } => (say::named('C', *kind, name), Answers::None),
        Step::H {} => (say::flush(), Answers::None),
        Step::S {} => (say::sync(), Answers::Many(1)),
        Step::F { oid, args } => (say::function(*oid, args), Answers::Many(1)),
        Step::Raw(hex) => {
            let bytes = unhex(hex);
            let answers = whole_queries(&bytes).map_or(Answers::Perhaps, Answers::Many);
            (bytes, answers)
        }
    }
}

/// How many whole `Query` messages bytes are; `None` where they are anything else.
fn whole_queries(mut bytes: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !bytes.is_empty() {
        let head: [u8; 4] = bytes.get(1..5)?.try_into().ok()?;
        let end = usize::try_from(u32::from_be_bytes(head)).ok()?.checked_add(1)?;
        if bytes.first() != Some(&b'Q') || end < 5 {
            return None;
        }
        bytes = bytes.get(end..)?;
        count += 1;
    }
    Some(count)
}

fn after_nonsense(wire: &mut Wire) -> Reply {
    let mut frames = Vec::new();
    let mut patience = NONSENSE;
    loop {
        match wire.frame_within(patience) {
            Some(Some(frame)) => frames.push(frame),
            Some(None) => return Reply { frames },
            None => {
                // It may wait for the rest of a message that never comes.
                wire.half_close();
                patience = Duration::from_secs(20);
            }
        }
    }
}

/// The texts that the server was told on clients' connections.
fn told(entries: &[Entry], application: &str) -> Vec<String> {
    let ours = entries.iter().filter(|entry| entry.application.starts_with(application));
    let mut texts: Vec<String> =
        ours.filter_map(|entry| statement(&entry.text)).map(|text| text.trim().to_owned()).collect();
    texts.sort();
    texts.dedup();
    texts
}

/// The statement in an entry of the log; errors count as one, unless they are about a poisoned text.
fn statement(text: &str) -> Option<&str> {
    let (level, rest) = text.split_once(':')?;
    let rest = rest.trim_start();
    match level {
        "STATEMENT" => Some(rest),
        "LOG" => {
            let rest =
                rest.strip_prefix("duration: ").and_then(|rest| rest.split_once(" ms")).map_or(rest, |(_, rest)| rest);
            let rest = rest.trim_start();
            let known = ["statement: ", "fastpath function call: "];
            if let Some(text) = known.iter().find_map(|head| rest.strip_prefix(head)) {
                return Some(text);
            }
            let verb = ["parse ", "bind ", "execute "].iter().any(|verb| rest.starts_with(verb));
            if verb { rest.split_once(": ").map(|(_, text)| text) } else { (!rest.is_empty()).then_some(rest) }
        }
        "ERROR" | "FATAL" => {
            let poisoned = rest.contains("sluice_refused") || rest.contains("current transaction is aborted");
            (!poisoned).then_some(rest)
        }
        _ => None,
    }
}

/// What may be compared between two databases: no object ids, no decision ids.
fn comparable(worlds: &Worlds, heard: &Heard) -> Vec<(char, Vec<u8>)> {
    let mut all: Vec<(char, Vec<u8>)> =
        heard.refused_at_startup.iter().map(|said| ('!', said.clone().into_bytes())).collect();
    for frame in heard.replies.iter().flat_map(|reply| &reply.frames) {
        let body = match frame.tag {
            'E' | 'N' => {
                let said = frame.said();
                format!("{} {} {}", said.sqlstate, said.message, said.hint)
                    .replace(worlds.second.database, worlds.first.database)
                    .into_bytes()
            }
            'T' => names_and_types(&frame.body),
            _ => frame.body.clone(),
        };
        all.push((frame.tag, body));
    }
    all
}

/// `RowDescription` without the table and column that a result column comes from.
fn names_and_types(body: &[u8]) -> Vec<u8> {
    let (count, mut rest) = body.split_at_checked(2).unwrap_or_default();
    let mut out = count.to_vec();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (name, after) = rest.split_at(end + 1);
        let (origin, kind) = after.split_at_checked(18).unwrap_or_default();
        out.extend_from_slice(name);
        out.extend_from_slice(origin.get(6..).unwrap_or_default());
        rest = kind;
    }
    out
}
