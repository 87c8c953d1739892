//! Requests that wait for people, and what their clients hear meanwhile.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::http::{Http, Request};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::{Api, MODEL};
use sluice_tests::wait::{SOON, until};

use crate::stand::{Stand, model};

/// Asking the large model, and deleting a customer, needs a lead.
pub(crate) const LEADS: &str = r#"
@id("large-model-needs-approval")
@approve("Group::leads") @approve_count("1") @approve_scope("statement") @approve_ttl("15m")
@message("The large model needs a lead.")
forbid (principal, action == Action::"llm.chat", resource == Model::"openai/gpt-large")
unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
         && context.base.now < context.base.approval.expires };
@id("deleting-needs-approval")
@approve("Group::leads") @approve_count("1") @approve_scope("statement") @approve_ttl("15m")
@message("Deleting a customer needs a lead.")
forbid (principal, action == Action::"tool.call", resource == Tool::"openai/delete_customer")
unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
         && context.base.now < context.base.approval.expires };
@id("leads-approve") permit (principal in Group::"leads", action == Action::"approve", resource);
"#;

fn stand(answer: impl sluice_tests::mock::Answer) -> Stand {
    Stand::with(answer, LEADS, |api| api, |setup| setup)
}

/// A question to the large model.
fn large(stand: &Stand) -> Request {
    let body = Api::Chat.question("\"Hello.\"").replace(MODEL, "gpt-large");
    stand.post("/openai/v1/chat/completions", &body).header("X-Stainless-Lang", "python")
}

pub(crate) fn waiting(stand: &Stand) -> Vec<String> {
    let all = stand.broker.json(&["approvals", "list"]);
    all.iter().filter_map(|hold| hold["id"].as_str().map(str::to_owned)).collect()
}

/// The id of the request that waits, once one does.
pub(crate) fn one_waiting(stand: &Stand) -> String {
    let ids = until(SOON, "a request that waits", || Some(waiting(stand)).filter(|ids| !ids.is_empty()));
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids.concat()
}

pub(crate) fn decide(stand: &Stand, what: &str, id: &str) {
    let _done = stand.broker.cli_as(&stand.broker.token("lea", "leads"), &["approvals", what, id]).done();
}

/// A client whose question waits, after the first word to it.
fn held(stand: &Stand, request: &Request) -> (Http, String) {
    let mut client = stand.broker.http();
    client.send(&request.bytes());
    assert_eq!(client.head().map(|head| head.status()), Some(102));
    (client, one_waiting(stand))
}

#[test]
fn a_client_waits_until_its_request_is_approved() {
    let stand = stand(model);
    let (mut client, id) = held(&stand, &large(&stand));
    let shown = stand.broker.cli(&["approvals", "show", &id]).done().stdout;
    for expected in ["POST /v1/chat/completions", "gpt-large", "user:ann", "large-model-needs-approval"] {
        assert!(shown.contains(expected), "no `{expected}` in:\n{shown}");
    }
    assert!(stand.mock.told().is_empty());
    // It goes on being told that it is not forgotten.
    assert_eq!(client.head().map(|head| head.status()), Some(102));
    decide(&stand, "approve", &id);
    let response = client.response().with(200);
    assert_eq!(Api::Chat.text(&response.body), "It is fine.");
    assert_eq!(stand.mock.told().len(), 1);
    assert!(waiting(&stand).is_empty());
    // The connection is still good, and the approval is used up.
    assert_eq!(client.ask(&stand.chat("Hello.")).status(), 200);
    client.send(&large(&stand).bytes());
    assert_eq!(client.head().map(|head| head.status()), Some(102));
    stand.broker.log_is_clean();
}

#[test]
fn a_client_is_told_that_its_request_was_denied() {
    let stand = stand(model);
    let (mut client, id) = held(&stand, &large(&stand));
    decide(&stand, "deny", &id);
    let response = client.response().with(403);
    assert_eq!(response.json()["error"]["type"], "policy_denied");
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert!(stand.mock.told().is_empty());
    assert_eq!(client.ask(&stand.chat("Hello.")).status(), 200);
}

#[test]
fn a_client_that_leaves_takes_its_request_back() {
    let stand = stand(model);
    let (client, id) = held(&stand, &large(&stand));
    drop(client);
    until(SOON, "the request to be withdrawn", || waiting(&stand).is_empty().then_some(()));
    let late = stand.broker.cli_as(&stand.broker.token("lea", "leads"), &["approvals", "approve", &id]);
    assert_eq!(late.code, Some(1), "{}", late.said());
    assert!(stand.mock.told().is_empty());
}

#[test]
fn a_client_that_leaves_other_requests_behind_takes_its_request_back() {
    let stand = stand(model);
    // Who is told nothing meanwhile; and more than is read before the first one is answered, which hides the end.
    let body = Api::Chat.question("\"Hello.\"").replace(MODEL, "gpt-large");
    let mut client = stand.broker.http();
    client.send(&stand.post("/openai/v1/chat/completions", &body).bytes());
    let _id = one_waiting(&stand);
    let next = stand.chat(&"Hello. ".repeat(1_000)).bytes();
    client.send(&next.repeat(6));
    drop(client);
    until(SOON, "the request to be withdrawn", || waiting(&stand).is_empty().then_some(()));
    // The others need nobody, and whoever only sends nothing more may read what they are answered.
    assert!(stand.mock.told().iter().all(|told| told.json()["model"] == MODEL));
}

#[test]
fn nobody_answers_in_time() {
    let stand = Stand::with(model, LEADS, |api| api, |setup| setup.more("limits: { hold_seconds: 1 }"));
    let response = stand.ask(&large(&stand)).with(403);
    assert_eq!(response.code(), "approval_timeout");
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert!(!response.interim.is_empty(), "{}", response.head.text);
    assert!(stand.mock.told().is_empty());
}

#[test]
fn a_client_in_a_hurry_is_told_to_come_back_and_finds_its_approval() {
    let stand = stand(model);
    // As openai-node announces it: ten seconds before that it must have an answer.
    let request = || large(&stand).header("X-Stainless-Timeout", "12");
    let began = Instant::now();
    let response = stand.ask(&request()).with(409);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!((response.code().as_str(), response.header("x-should-retry")), ("approval_pending", Some("true")));
    let id = one_waiting(&stand);
    // Another question is not what waits.
    let other = Api::Chat.question("\"Goodbye.\"").replace(MODEL, "gpt-large");
    let other = stand.post("/openai/v1/chat/completions", &other).header("X-Stainless-Timeout", "11");
    assert_eq!(stand.ask(&other).status(), 409);
    let others: Vec<String> = waiting(&stand).into_iter().filter(|waiting| *waiting != id).collect();
    assert_eq!(others.len(), 1);
    decide(&stand, "deny", &others.concat());

    decide(&stand, "approve", &id);
    let again = request().header("X-Stainless-Retry-Count", "1");
    let response = stand.ask(&again).with(200);
    assert_eq!(Api::Chat.text(&response.body), "It is fine.");
    assert_eq!(stand.mock.told().len(), 1);
    // It was for one execution.
    assert_eq!(stand.ask(&request()).status(), 409);
    assert_ne!(one_waiting(&stand), id);
    assert_eq!(stand.mock.told().len(), 1);
}

#[test]
fn a_client_that_may_not_know_interim_answers_gets_none() {
    // Python's http.client takes the first head that is not a 100 for the answer, and the answer for that of the next.
    let stand = stand(model);
    let body = Api::Chat.question("\"Hello.\"").replace(MODEL, "gpt-large");
    let mut client = stand.broker.http();
    client.send(&stand.post("/openai/v1/chat/completions", &body).bytes());
    let id = one_waiting(&stand);
    // Others are told by then.
    let _other = held_too(&stand);
    decide(&stand, "approve", &id);
    let response = client.response().with(200);
    assert!(response.interim.is_empty(), "{:?}", response.interim);
}

/// Another client that waits for the same, after the first word to it.
fn held_too(stand: &Stand) -> Http {
    let mut client = stand.broker.http();
    client.send(&large(stand).bytes());
    assert_eq!(client.head().map(|head| head.status()), Some(102));
    client
}

#[test]
fn a_client_that_comes_back_too_early_waits_for_the_same_approval() {
    let stand = stand(model);
    let request = || large(&stand).header("X-Stainless-Timeout", "11");
    assert_eq!(stand.ask(&request()).status(), 409);
    let id = one_waiting(&stand);
    let (mut client, same) = held(&stand, &large(&stand));
    assert_eq!(id, same);
    decide(&stand, "approve", &id);
    let _fine = client.response().with(200);
    assert_eq!(stand.mock.told().len(), 1);
}

/// A model that wants to delete a customer.
fn deleting(told: &Told, peer: &mut Peer) {
    let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
    let arguments = ["{\"to\":", "\"Bao Tran\"}"];
    if told.json()["stream"] == true {
        peer.events(&api.call("delete_customer", &arguments));
    } else {
        peer.json(&api.calling("delete_customer", &arguments.concat()).to_string());
    }
}

fn offering(stand: &Stand, api: Api, streamed: &str) -> Request {
    let body = api.offering("\"Hello.\"", &["delete_customer"]).replacen('{', &format!("{{{streamed}"), 1);
    stand.post(&format!("/openai{}", api.path()), &body).header("X-Stainless-Lang", "python")
}

#[test]
fn a_call_waits_within_its_stream() {
    for (what, delivered) in [("approve", true), ("deny", false)] {
        for api in Api::BOTH {
            let stand = stand(deleting);
            let mut client = stand.broker.http();
            client.send(&offering(&stand, api, "\"stream\":true,").bytes());
            let id = one_waiting(&stand);
            let shown = stand.broker.cli(&["approvals", "show", &id]).done().stdout;
            assert!(shown.contains("delete_customer") && shown.contains("Bao Tran"), "{shown}");
            assert!(!String::from_utf8_lossy(&client.heard).contains("Bao Tran"));
            decide(&stand, what, &id);
            let response = client.response().with(200);
            let text = response.text();
            assert_eq!(text.contains("Bao Tran"), delivered, "{what}, {api:?}: {text}");
            assert_eq!(text.contains("refused by policy"), !delivered, "{what}, {api:?}: {text}");
            assert!(response.whole && text.contains(if api == Api::Chat { "[DONE]" } else { "response.completed" }));
        }
    }
}

#[test]
fn whoever_waits_within_a_stream_hears_comments() {
    let stand = stand(|_, peer| {
        let mut events = Api::Responses.events(&["One moment. "]);
        events.truncate(5);
        events.extend(Api::Responses.call("delete_customer", &["{\"to\":\"Bao Tran\"}"]).into_iter().skip(1));
        peer.events(&events);
    });
    let mut client = stand.broker.http();
    client.send(&offering(&stand, Api::Responses, "\"stream\":true,").bytes());
    assert_eq!(client.begun().status(), 200);
    let id = one_waiting(&stand);
    let heard = client.hear(": waiting");
    assert!(!String::from_utf8_lossy(&heard).contains("Bao Tran"));
    decide(&stand, "approve", &id);
    let _call = client.hear("Bao Tran");
}

#[test]
fn a_call_in_a_whole_answer_waits_too() {
    for api in Api::BOTH {
        let stand = stand(deleting);
        let (mut client, id) = held(&stand, &offering(&stand, api, ""));
        decide(&stand, "approve", &id);
        let response = client.response().with(200);
        assert!(response.text().contains("Bao Tran"), "{api:?}: {}", response.text());
        let recorded = Value::from(stand.recorded()).to_string();
        assert!(recorded.contains("deleting-needs-approval") && recorded.contains("approved"), "{recorded}");
    }
}

/// An approval is for every byte, so who gives it must be able to see every byte.
#[test]
fn nobody_is_asked_to_approve_what_cannot_be_shown_whole() {
    let arguments = format!("{{\"note\":\"{}\",\"to\":\"Bao Tran\"}}", ".".repeat(300_000));
    let stand = stand(move |_: &Told, peer: &mut Peer| {
        peer.json(&Api::Chat.calling("delete_customer", &arguments).to_string());
    });
    let mut client = stand.broker.http();
    let long = |bytes: usize| format!("\"{}the end\"", "word ".repeat(bytes / 5));
    let asked = |bytes: usize| {
        let body = Api::Chat.question(&long(bytes)).replace(MODEL, "gpt-large");
        stand.post("/openai/v1/chat/completions", &body).header("X-Stainless-Lang", "python")
    };
    client.send(&asked(300_000).bytes());
    let response = client.response().with(413);
    assert_eq!(response.json()["error"]["code"], "hold-too-large", "{}", response.text());
    client.send(&offering(&stand, Api::Chat, "").bytes());
    let response = client.response().with(200);
    let text = response.text();
    assert!(text.contains("too long to be shown") && !text.contains("Bao Tran"), "{text}");
    let recorded = Value::from(stand.recorded()).to_string();
    assert!(recorded.contains(" more bytes]"), "{recorded:.2000}");
    // A long one is shown whole to whoever looks at it, and by its beginning in a list.
    let (_client, id) = held(&stand, &asked(200_000));
    let shown = stand.broker.cli(&["approvals", "show", &id]).done().stdout;
    assert!(shown.len() > 200_000 && shown.contains("the end"));
    let listed = stand.broker.json(&["approvals", "list"]);
    let (text, left_out) = (listed[0]["text"].as_str().unwrap_or_default(), listed[0]["left_out"].as_u64());
    assert!(text.len() == 1024 && left_out.is_some_and(|bytes| bytes > 190_000), "{left_out:?} {text}");
}

#[test]
fn only_who_may_approves() {
    let stand = stand(model);
    let (client, id) = held(&stand, &large(&stand));
    for (user, group) in [("ann", "staff"), ("ann", "leads"), ("eve", "nobodies")] {
        let token = stand.broker.token(user, group);
        let seen = stand.broker.cli_as(&token, &["approvals", "approve", &id]);
        assert_eq!(seen.code, Some(1), "{user} of {group} approved: {}", seen.said());
    }
    assert!(stand.mock.told().is_empty());
    drop(client);
}
