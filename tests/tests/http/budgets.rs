//! Budgets: who has used up what is told so, and when to come back.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::{self, Api};
use sluice_tests::wait::until;

use crate::stand::{Stand, model};

/// A budget of the staff's, of which a window is either never or soon full again.
fn budgeted(budget: &str, per: &str, answer: impl sluice_tests::mock::Answer) -> Stand {
    let policy = format!(
        "@id(\"staff-budget\") {budget} @per(\"{per}\")\n\
         permit (principal in Group::\"staff\", action in Action::\"execute\", resource);\n"
    );
    let prices = "models: { gpt-small: { input_price: 10000, output_price: 10000, default_output_tokens: 20 } }";
    Stand::with(answer, &policy, |api| api.with(prices), |setup| setup)
}

/// How many questions are answered before one is refused, and that refusal.
fn until_refused(
    stand: &Stand,
    ask: impl Fn() -> sluice_tests::http::Request,
) -> (usize, sluice_tests::http::Response) {
    for asked in 0..50 {
        let response = stand.ask(&ask());
        if response.status() == 429 {
            return (asked, response);
        }
        let _fine = response.with(200);
    }
    (50, sluice_tests::http::Response::default())
}

#[test]
fn a_budget_that_is_full_again_much_later_is_not_asked_for_again() {
    let stand = budgeted("@requests(\"3/300d\")", "principal", model);
    let (asked, refused) = until_refused(&stand, || stand.chat("Hello."));
    assert_eq!(asked, 3);
    assert_eq!(refused.code(), "budget_exceeded");
    assert_eq!(refused.json()["error"]["type"], "insufficient_quota");
    assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), (Some("false"), None));
    assert_eq!(stand.mock.told().len(), 3);
    // What is not in the budget is not counted, and others have their own.
    let _listed = stand.ask(&stand.get("/openai/v1/models")).with(200);
    let mut bob = stand.chat("Hello.");
    bob = sluice_tests::http::Request::post(
        "/openai/v1/chat/completions",
        &stand.broker.token("bob", "staff"),
        &String::from_utf8_lossy(bob.bytes().rsplit(|byte| *byte == b'\n').next().unwrap_or_default()),
    );
    let _fine = stand.ask(&bob).with(200);
    let recorded = Value::from(stand.broker.json(&["replay", refused.header("x-request-id").unwrap_or_default()]));
    assert!(recorded.to_string().contains("budget"), "{recorded}");
}

#[test]
fn a_budget_that_is_full_again_soon_says_when() {
    let stand = budgeted("@requests(\"2/5s\")", "principal", model);
    let (_, refused) = until_refused(&stand, || stand.chat("Hello."));
    let seconds: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).unwrap_or_default();
    assert!((1..=5).contains(&seconds), "{}", refused.head.text);
    assert_eq!(refused.header("x-should-retry"), None);
    until(Duration::from_secs(10), "the budget to be full again", || {
        (stand.ask(&stand.chat("Hello.")).status() == 200).then_some(())
    });
}

#[test]
fn tokens_count_as_they_were_used() {
    // An answer uses 21, and what is reserved beyond that is given back: about four times as much.
    let stand = budgeted("@tokens(\"250/300d\")", "principal", model);
    let (asked, refused) = until_refused(&stand, || stand.chat("Hello."));
    assert!((5..=11).contains(&asked), "{asked}");
    assert_eq!(refused.code(), "budget_exceeded");
}

#[test]
fn money_counts_by_the_configured_prices() {
    // 21 tokens at 10,000 for a million are 0.21.
    let stand = budgeted("@cost(\"2.50/300d\")", "principal", model);
    let (asked, _) = until_refused(&stand, || stand.chat("Hello."));
    assert!((5..=11).contains(&asked), "{asked}");
}

/// A stream that says what it used, if it is asked to.
fn counting(told: &Told, peer: &mut Peer) {
    let mut events = Api::Chat.events(&["It is ", "fine."]);
    if told.json().pointer("/stream_options/include_usage") == Some(&Value::Bool(true)) {
        let usage = json!({ "prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21 });
        let last = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-small",
                           "choices": [], "usage": usage });
        events.insert(events.len() - 1, openai::data(&last));
    }
    peer.events(&events);
}

#[test]
fn streams_count_too_and_the_client_sees_no_count_that_it_did_not_ask_for() {
    let stand = budgeted("@tokens(\"250/300d\")", "principal", counting);
    let first = stand.ask(&stand.streamed_chat("Hello.")).with(200);
    assert!(!first.text().contains("usage") || first.text().contains("\"usage\":null"), "{}", first.text());
    assert_eq!(Api::Chat.text(&first.body), "It is fine.");
    assert!(openai::events(&first.body).iter().all(|event| event["choices"] != json!([])), "{}", first.text());
    let (asked, _) = until_refused(&stand, || stand.streamed_chat("Hello."));
    assert!((4..=10).contains(&asked), "{asked}");
    let wanted = stand.mock.told().iter().all(|told| told.json()["stream_options"]["include_usage"] == true);
    assert!(wanted, "the server was not asked for its count");
}

#[test]
fn a_client_that_asks_for_the_count_gets_it() {
    let stand = budgeted("@tokens(\"1000/300d\")", "principal", counting);
    let body = Api::Chat.streamed("\"Hello.\"").replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
    let response = stand.ask(&stand.post("/openai/v1/chat/completions", &body)).with(200);
    let usage = openai::events(&response.body).into_iter().find_map(|event| event["usage"]["total_tokens"].as_u64());
    assert_eq!(usage, Some(21), "{}", response.text());
}

#[test]
fn an_owner_and_all_agents_share_a_budget() {
    let stand = budgeted("@requests(\"3/300d\")", "owner", model);
    let agent = |name: &str| {
        let token =
            stand.broker.mint(&["--user", "ann", "--group", "staff", "--agent", name, "--agent-group", "staff"]);
        stand.ask(&sluice_tests::http::Request::post(
            "/openai/v1/chat/completions",
            &token,
            &Api::Chat.question("\"Hello.\""),
        ))
    };
    assert_eq!([agent("one").status(), agent("two").status(), stand.ask(&stand.chat("Hello.")).status()], [200; 3]);
    assert_eq!(agent("three").status(), 429);
}

#[test]
fn what_was_used_is_known_after_a_restart() {
    let mut stand = budgeted("@requests(\"2/300d\")", "principal", model);
    let _first = stand.ask(&stand.chat("Hello.")).with(200);
    let _second = stand.ask(&stand.chat("Hello.")).with(200);
    stand.broker.stop();
    stand.broker.restart();
    assert_eq!(stand.ask(&stand.chat("Hello.")).status(), 429);
}

/// The count comes last: whoever leaves before it has used what came until then, and not only what was reserved.
#[test]
fn a_stream_that_is_left_counts_as_far_as_it_came() {
    let stand = budgeted("@tokens(\"1500/300d\")", "principal", |_: &Told, peer: &mut Peer| {
        if peer.begin("text/event-stream") {
            let text = "It is fine. ".repeat(40);
            let events = Api::Chat.events(&[text.as_str(); 12]);
            let _sent = events.iter().take(10).all(|event| peer.chunked(event.as_bytes()));
            assert!(peer.closes_within(Duration::from_secs(20)));
        }
    });
    let asked = (0..20).take_while(|_| {
        let mut client = stand.broker.http();
        client.send(&stand.streamed_chat("Hello.").bytes());
        let response = client.begun();
        if response.status() == 200 {
            // Some 120 tokens a piece.
            for _ in 0..8 {
                let _piece = client.hear("It is fine. It is fine.");
            }
        }
        response.status() == 200
    });
    let asked = asked.count();
    assert!((1..=3).contains(&asked), "{asked}");
}

/// What an earlier response brings is told at the end alone, so whoever leaves before is not asked whether it counts.
#[test]
fn a_stream_that_goes_on_with_a_response_counts_to_its_end_whoever_leaves() {
    let stand = budgeted("@tokens(\"20000/300d\")", "principal", |told: &Told, peer: &mut Peer| {
        if !told.line().contains("/responses") {
            return model(told, peer);
        }
        let usage = json!({ "input_tokens": 100_000, "output_tokens": 5, "total_tokens": 100_005 });
        let response =
            json!({ "id": "resp_2", "object": "response", "status": "completed", "output": [], "usage": usage });
        let last = openai::named(&json!({ "type": "response.completed", "sequence_number": 9, "response": response }));
        let events = Api::Responses.events(&["It is ", "fine."]);
        if peer.begin("text/event-stream") {
            let _sent = events.iter().take(events.len() - 1).all(|event| peer.chunked(event.as_bytes()));
            assert!(!peer.closes_within(Duration::from_secs(1)), "nobody waits for the count");
            assert!(peer.chunked(last.as_bytes()) && peer.end());
        }
    });
    let mut client = stand.broker.http();
    let body = Api::Responses.streamed("\"Go on.\"").replacen('{', r#"{"previous_response_id":"resp_1","#, 1);
    client.send(&stand.post("/openai/v1/responses", &body).bytes());
    assert_eq!(client.begun().status(), 200);
    let _piece = client.hear("fine.");
    drop(client);
    until(Duration::from_secs(10), "the budget to be used up", || {
        (stand.ask(&stand.chat("Hello.")).status() == 429).then_some(())
    });
}

/// What works on after its answer tells nobody what it used, so no budget could be kept.
#[test]
fn what_cannot_be_counted_is_refused_where_tokens_are() {
    let stand = budgeted("@tokens(\"100000/300d\")", "principal", model);
    let refused = |path: &str, body: &str| {
        let response = stand.ask(&stand.post(path, body)).with(403);
        assert_eq!(response.code(), "unmetered", "{body}: {}", response.text());
    };
    refused("/openai/v1/responses", r#"{"model":"gpt-small","input":"Hello.","background":true}"#);
    refused("/openai/v1/threads/thread_1/runs", r#"{"assistant_id":"asst_1","model":"gpt-small"}"#);
    let session = r#"{"agent_id":"agent_1","environment":{"type":"none"},"input":"Work.","stream":true}"#;
    refused("/openai/v1/agents/sessions", session);
    refused("/openai/v1/videos/video_1/remix", r#"{"prompt":"A cat."}"#);
    assert!(stand.mock.told().is_empty());
    let body = r#"{"model":"gpt-small","input":"Hello.","background":true,"max_output_tokens":100}"#;
    let _firm = stand.ask(&stand.post("/openai/v1/responses", body)).with(200);
    // What ends such work may be asked for.
    let hangup = stand.ask(&stand.post("/openai/v1/realtime/calls/rtc_1/hangup", ""));
    assert_ne!(hangup.code(), "unmetered", "{}", hangup.text());
    assert_eq!(stand.mock.told().len(), 2);
    let stand = budgeted("@requests(\"100/300d\")", "principal", model);
    let body = r#"{"model":"gpt-small","input":"Hello.","background":true}"#;
    let _counted = stand.ask(&stand.post("/openai/v1/responses", body)).with(200);
}

/// Each prompt has an answer of its own; a model that is not named may be the dearest.
#[test]
fn all_that_a_request_may_use_is_reserved() {
    let stand = budgeted("@tokens(\"1000/300d\")", "principal", model);
    let ask = |prompts: usize| {
        let prompts = vec!["a"; prompts];
        let body = json!({ "model": "gpt-small", "prompt": prompts, "max_tokens": 100 }).to_string();
        stand.ask(&stand.post("/openai/v1/completions", &body)).status()
    };
    assert_eq!((ask(20), ask(5)), (429, 200));
    let stand = budgeted("@cost(\"5.00/300d\")", "principal", model);
    let run = |model: &str| {
        let body = format!(r#"{{"assistant_id":"asst_1","stream":true,"max_completion_tokens":1000{model}}}"#);
        stand.ask(&stand.post("/openai/v1/threads/thread_1/runs", &body)).status()
    };
    assert_eq!((run(r#","model":"gpt-small""#), run("")), (429, 429));
}
