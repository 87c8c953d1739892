//! What unmodified SDKs make of refusals, budgets, holds and streams that break off: the right error, tried as often as
//! it makes sense.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::thread;

use serde_json::{Value, json};
use sluice_tests::mock::{Mock, Peer, Told};
use sluice_tests::openai::Api;
use sluice_tests::sdk::{Sdk, Steps};
use sluice_tests::wait::{SOON, until};

use crate::stand::{Stand, model};

const RULES: &str = r#"
@id("never-this-model") @message("That model is not for us.")
forbid (principal, action == Action::"llm.chat", resource == Model::"openai/gpt-never");
@id("one-and-no-more") @requests("1/300d")
permit (principal, action == Action::"llm.chat", resource == Model::"openai/gpt-once");
@id("held-model") @approve("Group::leads") @approve_count("1") @approve_scope("statement") @approve_ttl("15m")
@message("That model needs a lead.")
forbid (principal, action == Action::"llm.chat", resource == Model::"openai/gpt-held")
unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
         && context.base.now < context.base.approval.expires };
@id("leads-approve") permit (principal in Group::"leads", action == Action::"approve", resource);
"#;

/// How the two SDKs call the same error, and where they put its status.
#[derive(Clone, Copy)]
struct Words {
    program: &'static str,
    status: &'static str,
}

const SDKS: [Words; 2] =
    [Words { program: "errors.py", status: "status_code" }, Words { program: "errors.mjs", status: "status" }];

/// Answers, or breaks off where the question says so.
fn answer(told: &Told, peer: &mut Peer) {
    if !told.body.windows(6).any(|part| part == b"midway") {
        return model(told, peer);
    }
    let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
    peer.begin("text/event-stream");
    let events = api.events(&["Half of ", "it. ", "No more."]);
    let half = events.iter().position(|event| event.contains("it. ")).unwrap_or(0);
    for event in events.iter().take(half + 1) {
        peer.chunked(event.as_bytes());
    }
    peer.reset();
}

fn stand(limits: &str) -> Stand {
    Stand::with(answer, RULES, |api| api, |setup| setup.more(limits))
}

fn sdk(stand: &Stand, asks: &[Value]) -> Sdk {
    let url = format!("http://127.0.0.1:{}/openai/v1", stand.broker.http_port());
    Sdk::new(&url, &stand.token).with("SLUICE_ASKS", &Value::from(asks.to_vec()).to_string())
}

/// One question in every way it can be asked.
fn every_way(name: &str, more: &Value) -> Vec<Value> {
    let ask = |api: &str, stream: bool| {
        let mut ask = json!({ "step": format!("{name}-{api}-{stream}"), "api": api, "stream": stream, "prompt": name });
        if let (Some(ask), Some(more)) = (ask.as_object_mut(), more.as_object()) {
            ask.extend(more.clone());
        }
        ask
    };
    vec![ask("chat", false), ask("chat", true), ask("responses", false), ask("responses", true)]
}

fn names(asks: &[Value]) -> impl Iterator<Item = &str> {
    asks.iter().filter_map(|ask| ask["step"].as_str())
}

/// How often an operation on a model was asked for, in all recordings.
fn asked(stand: &Stand, model: &str) -> usize {
    let events = stand.recorded();
    events.iter().filter(|event| event["event"] == "asked" && event["facts"]["model"] == model).count()
}

#[test]
fn a_refusal_is_a_denied_permission_and_tried_once() {
    for words in SDKS {
        let stand = stand("");
        let asks = every_way("never", &json!({ "model": "gpt-never" }));
        let steps = sdk(&stand, &asks).run(words.program);
        for name in names(&asks) {
            let said = steps.step(name);
            assert_eq!(said["raised"], "PermissionDeniedError", "{said}");
            assert_eq!((&said[words.status], &said["code"]), (&json!(403), &json!("never-this-model")), "{said}");
            assert_eq!(said["type"], "policy_denied", "{said}");
            assert!(said["message"].as_str().is_some_and(|text| text.contains("That model is not for us.")), "{said}");
        }
        assert_eq!(asked(&stand, "gpt-never"), asks.len(), "{}", words.program);
        assert!(stand.mock.told().is_empty());
    }
}

#[test]
fn a_wrong_key_is_an_authentication_error() {
    for words in SDKS {
        let stand = stand("");
        let asks = every_way("key", &json!({ "key": "sk-proj-0123456789abcdef" }));
        let steps = sdk(&stand, &asks).run(words.program);
        for name in names(&asks) {
            let said = steps.step(name);
            assert_eq!((&said["raised"], &said[words.status]), (&json!("AuthenticationError"), &json!(401)), "{said}");
        }
        assert!(stand.mock.told().is_empty());
    }
}

#[test]
fn a_spent_budget_is_a_rate_limit_and_not_hammered() {
    for words in SDKS {
        let stand = stand("");
        let first = json!({ "step": "first", "api": "chat", "prompt": "x", "model": "gpt-once" });
        let asks: Vec<Value> = [vec![first], every_way("once", &json!({ "model": "gpt-once" }))].concat();
        let steps = sdk(&stand, &asks).run(words.program);
        assert_eq!(steps.step("first")["text"], "It is fine.");
        for name in names(&asks).skip(1) {
            let said = steps.step(name);
            assert_eq!((&said["raised"], &said[words.status]), (&json!("RateLimitError"), &json!(429)), "{said}");
            assert_eq!(said["code"], "budget_exceeded", "{said}");
        }
        assert_eq!(asked(&stand, "gpt-once"), asks.len(), "{}", words.program);
        assert_eq!(stand.mock.told().len(), 1);
    }
}

#[test]
fn a_stream_that_breaks_off_is_an_error_and_no_end() {
    for words in SDKS {
        let stand = stand("");
        let asks: Vec<Value> =
            every_way("midway", &json!({})).into_iter().filter(|ask| ask["stream"] == true).collect();
        let steps = sdk(&stand, &asks).run(words.program);
        for name in names(&asks) {
            let said = steps.step(name);
            assert_eq!(said["raised"], "APIError", "{said}");
            assert!(said["text"].as_str().is_some_and(|text| text.starts_with("Half of ")), "{said}");
            assert!(said["message"].as_str().is_some_and(|text| text.contains("server")), "{said}");
        }
        // What has begun is not begun again.
        assert_eq!(stand.mock.told().len(), asks.len());
    }
}

/// Runs a program, and answers what waits for people meanwhile.
fn deciding(stand: &Stand, words: Words, asks: &[Value], what: &str) -> Steps {
    thread::scope(|scope| {
        let running = scope.spawn(|| sdk(stand, asks).run(words.program));
        let lead = stand.broker.token("lea", "leads");
        while !running.is_finished() {
            for hold in stand.broker.json(&["approvals", "list"]) {
                // It may have been withdrawn meanwhile.
                let _decided =
                    stand.broker.cli_as(&lead, &["approvals", what, hold["id"].as_str().unwrap_or_default()]);
            }
        }
        running.join().unwrap_or_default()
    })
}

#[test]
fn whoever_waits_for_approval_gets_the_answer() {
    for words in SDKS {
        let stand = stand("");
        let asks = every_way("held", &json!({ "model": "gpt-held" }));
        let steps = deciding(&stand, words, &asks, "approve");
        for name in names(&asks) {
            assert_eq!(steps.step(name)["text"], "It is fine.", "{}: {}", words.program, steps.step(name));
        }
        assert_eq!(stand.mock.told().len(), asks.len());
    }
}

#[test]
fn whoever_is_denied_is_told_so() {
    for words in SDKS {
        let stand = stand("");
        let asks = every_way("held", &json!({ "model": "gpt-held" }));
        let steps = deciding(&stand, words, &asks, "deny");
        for name in names(&asks) {
            let said = steps.step(name);
            assert_eq!(
                (&said["raised"], &said[words.status]),
                (&json!("PermissionDeniedError"), &json!(403)),
                "{said}"
            );
        }
        assert!(stand.mock.told().is_empty());
    }
}

#[test]
fn nobody_answers_an_sdk_in_time() {
    for words in SDKS {
        let stand = stand("limits: { hold_seconds: 1 }");
        let asks: Vec<Value> = every_way("held", &json!({ "model": "gpt-held" })).into_iter().take(2).collect();
        let steps = sdk(&stand, &asks).run(words.program);
        for name in names(&asks) {
            let said = steps.step(name);
            assert_eq!((&said["raised"], &said["code"]), (&json!("PermissionDeniedError"), &json!("approval_timeout")));
        }
    }
}

/// openai-node gives up when its whole time is over, whatever it hears: where it says how long that is, it is answered
/// before, and asks again.
#[test]
fn an_sdk_in_a_hurry_comes_back_for_its_answer() {
    let stand = stand("");
    let asks = [json!({ "step": "held", "api": "chat", "prompt": "x", "model": "gpt-held", "announced": 15 })];
    let node = SDKS.into_iter().find(|words| words.program.ends_with(".mjs"));
    let Some(words) = node else { return assert!(node.is_some()) };
    let steps = thread::scope(|scope| {
        let running = scope.spawn(|| sdk(&stand, &asks).run(words.program));
        until(SOON, "the first answer", || {
            Value::from(stand.recorded()).to_string().contains("hold-pending").then_some(())
        });
        let holds = stand.broker.json(&["approvals", "list"]);
        assert_eq!(holds.len(), 1, "{holds:?}");
        let lead = stand.broker.token("lea", "leads");
        let id = holds.first().and_then(|hold| hold["id"].as_str()).unwrap_or_default();
        let _approved = stand.broker.cli_as(&lead, &["approvals", "approve", id]).done();
        running.join().unwrap_or_default()
    });
    assert_eq!(steps.step("held")["text"], "It is fine.", "{}", steps.step("held"));
    assert_eq!(stand.mock.told().len(), 1);
}

/// The broker's own words and the server's are told apart.
#[test]
fn a_servers_errors_are_passed_on_and_retried_by_the_sdks_rules() {
    for words in SDKS {
        let mock = Mock::start(|_, peer| {
            let body = br#"{"error":{"message":"busy","type":"server_error","param":null,"code":"busy"}}"#;
            peer.answer("503 Service Unavailable", "application/json", body);
        });
        let stand = Stand::before(mock);
        let asks = [json!({ "step": "busy", "api": "chat", "prompt": "x", "retries": 1 })];
        let said = sdk(&stand, &asks).run(words.program).step("busy");
        assert_eq!((&said["raised"], &said["code"]), (&json!("InternalServerError"), &json!("busy")), "{said}");
        assert_eq!(stand.mock.told().len(), 2);
    }
}
