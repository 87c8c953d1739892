//! What to think of what came of an attempt.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use sluice_tests::corpus::Expect;
use sluice_tests::evasion::{Direction, Evasion};
use sluice_tests::http::Response;
use sluice_tests::openai;
use sluice_tests::views::Views;

use crate::attempt::{Attempt, Closes, Seen};
use crate::world::World;

/// What the broker did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The status and code of its refusal, or of the error in a stream.
    Denied(String),
    /// The connection was closed without an answer, or in the middle of one.
    Broken,
    Delivered,
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Everything that is wrong.
    pub(crate) faults: Vec<String>,
    /// Where the refusal must be recorded, and how it is known there.
    pub(crate) recorded: Option<Recorded>,
}

/// A refusal in a session.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) session: String,
    /// The decision's id; where no policy was asked, the refusal's own words.
    pub(crate) mark: String,
}

/// Cases that are refused even more strictly than the corpus asks for, and how.
const STRICTER: [(&str, u16); 1] = [
    // No compressed body is accepted, so that none has to be decoded up to a limit.
    ("HJ-34", 415),
];

/// What stands in an answer in the place of a call that was refused.
const CALL_REFUSED: &str = "A call to a tool was refused by policy (rule ";

/// Makes an attempt and judges it.
pub(crate) fn judge(world: &World, case: &Evasion, attempt: &Attempt) -> Outcome {
    let seen = attempt.make(world);
    let verdict = verdict(seen.judged(attempt));
    let mut faults = Vec::new();
    match case.expect {
        Expect::Deny => denied(case, attempt, &seen, &verdict, &mut faults),
        Expect::Masked => masked(case, &seen, &verdict, &mut faults),
        Expect::Allowed => allowed(case, attempt, &seen, &verdict, &mut faults),
    }
    if attempt.closes == Closes::Must && !seen.closed {
        faults.push("OPEN: the connection was not closed".to_owned());
    }
    faults.extend(attempt.check.iter().filter_map(|check| check(world, &seen)));
    let recorded = seen.judged(attempt).and_then(|response| recorded(response, &verdict));
    if case.expect == Expect::Deny && recorded.is_none() && !seen.logged.contains("\"rule\"") {
        faults.push(format!("UNSEEN: neither logged nor recorded: {}", seen.logged));
    }
    let faults = faults.into_iter().map(|fault| format!("{} [{}]: {fault}", case.id, attempt.what)).collect();
    Outcome { verdict, faults, recorded }
}

fn text(response: Option<&Response>) -> String {
    response.map(Response::text).unwrap_or_default().chars().take(1_500).collect()
}

fn verdict(response: Option<&Response>) -> Verdict {
    let Some(first) = response else { return Verdict::Broken };
    let said = || format!("{} {}", first.status(), first.code());
    if first.status() >= 400 {
        return Verdict::Denied(said());
    }
    match openai::error(&first.body) {
        Some(error) => Verdict::Denied(format!("{} in a stream", error["code"])),
        None if !first.whole => Verdict::Broken,
        None if first.text().contains(CALL_REFUSED) => Verdict::Denied("the call alone".to_owned()),
        None => Verdict::Delivered,
    }
}

/// The session and the decision that a refusal names.
fn recorded(response: &Response, verdict: &Verdict) -> Option<Recorded> {
    let error = match serde_json::from_slice::<Value>(&response.body) {
        Ok(body) => body.get("error").cloned().unwrap_or_default(),
        Err(_) => openai::error(&response.body).unwrap_or_default(),
    };
    let mark = match error["decision"].as_str() {
        Some(decision) => format!("\"decision\":\"{decision}\""),
        None if error.is_null() => "\"kind\":\"llm.call\"".to_owned(),
        // As a text inside of a text.
        None => format!("\\\"code\\\":{}", error["code"].to_string().replace('"', "\\\"")),
    };
    let session = response.header("x-request-id").map(str::to_owned)?;
    matches!(verdict, Verdict::Denied(_)).then_some(Recorded { session, mark })
}

fn denied(case: &Evasion, attempt: &Attempt, seen: &Seen, verdict: &Verdict, faults: &mut Vec<String>) {
    let mut expected = case.statuses();
    expected.extend(STRICTER.iter().filter(|(id, _)| *id == case.id).map(|(_, status)| status));
    let status = seen.judged(attempt).map_or(0, Response::status);
    // What a server says wrong is told in the stream where one has begun.
    let in_stream = case.direction == Direction::Response && status == 200;
    match verdict {
        Verdict::Denied(said) if !in_stream && !expected.is_empty() && !expected.contains(&status) => {
            faults.push(format!("WRONG ANSWER: {said}, not {expected:?}"));
        }
        Verdict::Denied(_) => {}
        Verdict::Broken => faults.push("BROKEN: no word of why".to_owned()),
        Verdict::Delivered => faults.push(format!("NOT DENIED: {status} {}", text(seen.judged(attempt)))),
    }
    let allowance = attempt.sound + usize::from(case.direction == Direction::Response);
    if seen.told.len() > allowance {
        faults.extend(seen.told.iter().map(|told| format!("FORWARDED: {}", told.line())));
    }
    faults.extend(Views::of(&seen.heard).leaks().into_iter().map(|leak| format!("LEAK: {leak}")));
}

fn masked(case: &Evasion, seen: &Seen, verdict: &Verdict, faults: &mut Vec<String>) {
    if case.direction != Direction::Response {
        for told in &seen.told {
            faults
                .extend(Views::of(&told.bytes()).leaks().into_iter().map(|leak| format!("LEAK to the server: {leak}")));
        }
    }
    if case.direction != Direction::Request {
        faults.extend(Views::of(&seen.heard).leaks().into_iter().map(|leak| format!("LEAK: {leak}")));
    }
    match verdict {
        Verdict::Delivered if seen.told.len() != 1 => faults.push(format!("LOST: told {} times", seen.told.len())),
        Verdict::Delivered | Verdict::Denied(_) => {}
        Verdict::Broken => faults.push("BROKEN: no word of why".to_owned()),
    }
}

fn allowed(case: &Evasion, attempt: &Attempt, seen: &Seen, verdict: &Verdict, faults: &mut Vec<String>) {
    // A stream that ends too early says so.
    if *verdict != Verdict::Delivered && case.id != "HX-17" {
        faults.push(format!("CONTROL: {verdict:?}"));
    }
    let [told] = seen.told.as_slice() else { return faults.push("CONTROL: it was not sent once".to_owned()) };
    if let Some(said) = &attempt.said
        && serde_json::from_str::<Value>(said).ok() != Some(told.json())
    {
        faults.push(format!("CONTROL: the server was told {}", String::from_utf8_lossy(&told.body)));
    }
    let Some((api, body)) = &attempt.answered else { return };
    let heard = seen.judged(attempt).map(|response| response.body.clone()).unwrap_or_default();
    let whole = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let same = match whole(body) {
        Some(document) => whole(&heard) == Some(document),
        None => api.text(&heard) == api.text(body),
    };
    if !same {
        faults.push(format!("CONTROL: the client heard {}", String::from_utf8_lossy(&heard)));
    }
}
