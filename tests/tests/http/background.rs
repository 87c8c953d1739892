//! Work in the background that waits for people: its client is told that it is queued, and asks again.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::Value;
use sluice_tests::http::{Request, Response};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::{Api, MODEL};
use sluice_tests::sdk::Sdk;
use sluice_tests::wait::{SOON, until};

use crate::holds::{LEADS, decide, one_waiting, waiting};
use crate::stand::Stand;

const LARGE: &str = "gpt-large";

/// An API that makes responses in the background and shows them as complete.
fn working(told: &Told, peer: &mut Peer) {
    let line = told.line();
    let answer = Api::Responses.answer("\"It is fine.\"").replace("resp_1", "resp_made");
    if line.starts_with("POST ") && line.ends_with("/responses") {
        peer.json(&answer.replace(r#""status":"completed""#, r#""status":"queued""#));
    } else if line.contains("/responses/resp_made") {
        peer.json(&answer);
    } else {
        peer.answer("404 Not Found", "application/json", br#"{"error":{"message":"There is none.","code":"none"}}"#);
    }
}

fn stand_with(change: &str) -> Stand {
    Stand::with(working, LEADS, |api| api.with(change), |setup| setup)
}

fn stand() -> Stand {
    stand_with("objects: shared")
}

fn asking(stand: &Stand, more: &str) -> Request {
    let body = Api::Responses.question("\"Hello.\"").replace(MODEL, LARGE);
    stand.post("/openai/v1/responses", &body.replacen('{', &format!(r#"{{"background":true,{more}"#), 1))
}

/// Asks, and gives the id of what is queued.
fn queued(stand: &Stand) -> String {
    let response = stand.ask(&asking(stand, "")).with(200).json();
    assert_eq!((&response["object"], &response["status"]), (&"response".into(), &"queued".into()), "{response}");
    assert_eq!((&response["background"], &response["model"]), (&true.into(), &LARGE.into()), "{response}");
    assert!(
        response["created_at"].as_u64().is_some_and(|at| at > 1_700_000_000)
            && response["output"] == Value::Array(Vec::new())
    );
    response["id"].as_str().unwrap_or_default().to_owned()
}

fn place(id: &str) -> String {
    format!("/openai/v1/responses/{id}")
}

fn look(stand: &Stand, id: &str) -> Response {
    stand.ask(&stand.get(&place(id)))
}

/// What a look finds once it is no longer what it was: the broker looks for answers once a second.
fn changed(stand: &Stand, id: &str) -> Response {
    until(SOON, "something to become of it", || {
        let seen = look(stand, id);
        (seen.status() != 200 || !seen.text().contains("resp_held_")).then_some(seen)
    })
}

/// The lines of what the server was asked.
fn lines(stand: &Stand) -> Vec<String> {
    stand.mock.take().iter().map(|told| told.line().split(" HTTP").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn what_waits_is_queued_until_it_is_approved() {
    let stand = stand();
    let id = queued(&stand);
    let hold = one_waiting(&stand);
    for _ in 0..2 {
        let seen = look(&stand, &id).with(200).json();
        assert_eq!((&seen["status"], &seen["id"]), (&"queued".into(), &id.as_str().into()), "{seen}");
        assert_eq!(waiting(&stand), [hold.as_str()], "the same people are asked, once");
    }
    assert!(lines(&stand).is_empty());
    decide(&stand, "approve", &hold);
    let made = changed(&stand, &id).with(200).json();
    assert_eq!((&made["id"], &made["status"]), (&"resp_made".into(), &"queued".into()), "{made}");
    assert_eq!(lines(&stand), ["POST /v1/responses"]);
    // From here on the server is asked, by either id.
    for id in [id.as_str(), "resp_made"] {
        let seen = look(&stand, id).with(200).json();
        assert_eq!((&seen["id"], &seen["status"]), (&"resp_made".into(), &"completed".into()));
    }
    assert_eq!(lines(&stand), ["GET /v1/responses/resp_made"; 2]);
    let recorded = Value::from(stand.recorded()).to_string();
    assert!(recorded.contains("large-model-needs-approval") && recorded.contains("approved"), "{recorded}");
    // The approval was for one execution.
    assert_ne!(queued(&stand), id);
    assert_ne!(one_waiting(&stand), hold);
    assert!(lines(&stand).is_empty());
    stand.broker.log_is_clean();
}

#[test]
fn what_is_denied_is_refused_to_who_asks_next() {
    let stand = stand();
    let id = queued(&stand);
    decide(&stand, "deny", &one_waiting(&stand));
    let refused = changed(&stand, &id).with(403);
    assert_eq!(
        (&refused.json()["error"]["type"], refused.header("x-should-retry")),
        (&"policy_denied".into(), Some("false"))
    );
    assert!(lines(&stand).is_empty() && waiting(&stand).is_empty());
    // It is forgotten.
    assert_eq!(look(&stand, &id).status(), 404);
}

#[test]
fn nobody_answers_in_time() {
    let limit = |setup: sluice_tests::broker::Setup| setup.more("limits: { hold_seconds: 1 }");
    let stand = Stand::with(working, LEADS, |api| api, limit);
    let id = queued(&stand);
    let refused = changed(&stand, &id);
    assert_eq!((refused.status(), refused.code().as_str()), (403, "approval_timeout"));
    assert!(lines(&stand).is_empty());
}

#[test]
fn whoever_takes_it_back_asks_nobody_any_more() {
    let stand = stand();
    for (method, suffix, expected) in
        [("POST", "/cancel", r#""status":"cancelled""#), ("DELETE", "", r#""deleted":true"#)]
    {
        for decided in [false, true] {
            let id = queued(&stand);
            if decided {
                decide(&stand, "approve", &one_waiting(&stand));
            }
            let request = Request::new(method, &format!("{}{suffix}", place(&id))).token(&stand.token);
            let response = stand.ask(&request).with(200);
            assert!(response.text().contains(expected) && response.text().contains(&id), "{}", response.text());
            assert!(waiting(&stand).is_empty() && lines(&stand).is_empty());
            assert_eq!(look(&stand, &id).status(), 404);
            assert!(lines(&stand).is_empty(), "the server knows nothing of it");
        }
    }
}

#[test]
fn what_waits_is_nobody_elses() {
    for objects in ["objects: shared", "objects: owned"] {
        let stand = stand_with(objects);
        let id = queued(&stand);
        let hold = one_waiting(&stand);
        let other = stand.broker.token("bob", "staff");
        for request in [Request::get(&place(&id), &other), Request::new("DELETE", &place(&id)).token(&other)] {
            assert_eq!(stand.ask(&request).status(), 404, "{objects}");
        }
        // Of a part of it nothing is known yet.
        assert_eq!(stand.ask(&stand.get(&format!("{}/input_items", place(&id)))).status(), 409);
        assert_eq!(waiting(&stand), [hold.as_str()]);
        decide(&stand, "approve", &hold);
        assert_eq!(changed(&stand, &id).with(200).json()["id"], "resp_made");
        assert_eq!(look(&stand, &id).with(200).json()["status"], "completed", "{objects}");
        assert_eq!(stand.ask(&Request::get(&place(&id), &other)).status(), 404, "{objects}");
        let all = lines(&stand);
        assert_eq!(all.iter().filter(|line| line.starts_with("POST")).count(), 1, "{all:?}");
    }
}

#[test]
fn what_the_server_fails_to_make_has_failed() {
    let failing = |_: &Told, peer: &mut Peer| {
        peer.answer("503 Service Unavailable", "application/json", br#"{"error":{"message":"Busy.","code":"busy"}}"#);
    };
    let stand = Stand::with(failing, LEADS, |api| api, |setup| setup);
    let id = queued(&stand);
    decide(&stand, "approve", &one_waiting(&stand));
    assert_eq!(changed(&stand, &id).status(), 503);
    // It may have been done, so it is not asked for again.
    let failed = look(&stand, &id).with(200).json();
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&"failed".into(), &"server_error".into()), "{failed}");
    assert!(waiting(&stand).is_empty());
    assert_eq!(lines(&stand), ["POST /v1/responses"]);
}

#[test]
fn a_stream_waits_like_any_other_request() {
    let stand = stand();
    let mut client = stand.broker.http();
    client.send(&asking(&stand, r#""stream":true,"#).header("X-Stainless-Lang", "python").bytes());
    assert_eq!(client.head().map(|head| head.status()), Some(102));
}

#[test]
fn openai_python_asks_until_the_response_is_no_longer_queued() {
    let stand = stand();
    let url = format!("http://127.0.0.1:{}/openai/v1", stand.broker.http_port());
    let program = Sdk::new(&url, &stand.token).with("SLUICE_MODEL", LARGE).start("background.py");
    let said = program.hear("\"asked\"");
    assert!(said.contains("queued"), "{said}");
    decide(&stand, "approve", &one_waiting(&stand));
    let finished = program.finish(Duration::from_secs(60)).done();
    for expected in ["It is fine.", "completed", r#""same": true"#] {
        assert!(finished.stdout.contains(expected), "no {expected} in: {}", finished.stdout);
    }
    assert_eq!(stand.mock.told().iter().filter(|told| told.line().starts_with("POST")).count(), 1);
}
