//! Protected values that go to the model as tokens, and come back as themselves.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::canary::Scan;
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::Api;
use sluice_tests::views::Views;

use crate::stand::Stand;

/// Contacts go as tokens and are shown as they are; numbers go nowhere.
const TOKENS: &str = r#"
@id("contacts-go-as-tokens")
permit (principal, action == Action::"disclose.token", resource in Tag::"pii.contact");
@id("contacts-are-seen")
permit (principal, action == Action::"reveal", resource in Tag::"pii.contact");
"#;

const CLASSES: &str = "- { tag: pii.contact, redact: redact, token: token,";

/// Says what it was asked, in pieces where that is wanted.
fn parrot(told: &Told, peer: &mut Peer) {
    let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
    let body = told.json();
    let asked = body.pointer("/messages/0/content").or_else(|| body.get("input")).and_then(Value::as_str);
    let text = asked.unwrap_or_default();
    if body["stream"] == true {
        let characters: Vec<char> = text.chars().collect();
        let pieces: Vec<String> = characters.chunks(3).map(|piece| piece.iter().collect()).collect();
        peer.events(&api.events(&pieces));
    } else {
        peer.json(&api.answer(&json!(text).to_string()));
    }
}

/// A broker whose configuration says what a token looks like.
fn stand(policies: &str) -> Stand {
    Stand::configured(parrot, policies, |yaml| yaml.replace("- { tag: pii.contact, redact: redact,", CLASSES))
}

#[test]
fn a_value_goes_as_a_token_and_comes_back_as_itself() {
    let stand = stand(TOKENS);
    let text =
        "Mail zq7x.k1@leak.example.com twice: zq7x.k1@leak.example.com; not zq7x.k2@leak.example.com. 900-55-0001";
    let expected = "Mail zq7x.k1@leak.example.com twice: zq7x.k1@leak.example.com; not zq7x.k2@leak.example.com. ***";
    let mut sent = Vec::new();
    for api in Api::BOTH {
        for streamed in [false, true] {
            let quoted = json!(text).to_string();
            let body = if streamed { api.streamed(&quoted) } else { api.question(&quoted) };
            let response = stand.ask(&stand.post(&format!("/openai{}", api.path()), &body)).with(200);
            assert_eq!(api.text(&response.body), expected, "{api:?}, {streamed}: {}", response.text());
            let told = stand.mock.take().pop().unwrap_or_default();
            assert_eq!(
                Views::of(&told.bytes()).leaks(),
                Vec::<String>::new(),
                "{}",
                String::from_utf8_lossy(&told.body)
            );
            let body = told.json();
            let asked = body.pointer("/messages/0/content").or_else(|| body.get("input")).and_then(Value::as_str);
            sent.push(asked.unwrap_or_default().to_owned());
        }
    }
    // The same value is the same token each time, another value another one.
    sent.dedup();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let words: Vec<&str> = sent.iter().flat_map(|text| text.split([' ', ';'])).collect();
    assert!(
        words.len() > 5 && words.get(1) == words.get(3).map(|word| word.trim_end_matches(';')).as_ref(),
        "{words:?}"
    );
    assert_ne!(words.get(1), words.get(6), "{words:?}");
    let recorded = Value::from(stand.recorded()).to_string();
    // What the client saw is recorded as it saw it; what it asked is not.
    assert!(!recorded.contains("900-55-0001"), "{recorded}");
    stand.broker.log_is_clean();
}

#[test]
fn who_may_not_see_a_value_does_not_get_it_back() {
    let stand = stand(&TOKENS.replace("reveal\"", "filter\""));
    let quoted = json!("Mail zq7x.k1@leak.example.com.").to_string();
    let response = stand.ask(&stand.post("/openai/v1/responses", &Api::Responses.question(&quoted))).with(200);
    Scan::default().none_in("the answer", &response.body);
}

#[test]
fn a_token_of_somebody_else_stays_a_token() {
    let stand = stand(TOKENS);
    let quoted = json!("Mail zq7x.k1@leak.example.com.").to_string();
    let _own = stand.ask(&stand.post("/openai/v1/responses", &Api::Responses.question(&quoted))).with(200);
    let told = stand.mock.take().pop().unwrap_or_default().json();
    let token = told["input"].as_str().unwrap_or_default().to_owned();
    let bob = stand.broker.token("bob", "staff");
    let body = Api::Responses.question(&json!(token).to_string());
    let request = sluice_tests::http::Request::post("/openai/v1/responses", &bob, &body);
    let response = stand.ask(&request).with(200);
    Scan::default().none_in("somebody else's answer", &response.body);
}

#[test]
fn a_call_gets_a_value_back_where_the_tool_may_be_called() {
    let calling = |told: &Told, peer: &mut Peer| {
        let asked = told.json()["input"].as_str().unwrap_or_default().to_owned();
        let name = if asked.starts_with("post") { "post_online" } else { "send_mail" };
        peer.json(&Api::Responses.calling(name, &json!({ "to": asked }).to_string()).to_string());
    };
    let refusing =
        r#"@id("no-posts") forbid (principal, action == Action::"tool.call", resource == Tool::"openai/post_online");"#;
    let change = |yaml: &str| yaml.replace("- { tag: pii.contact, redact: redact,", CLASSES);
    let stand = Stand::configured(calling, &format!("{TOKENS}{refusing}"), change);
    let ask = |text: &str| {
        let body = Api::Responses.offering(&json!(text).to_string(), &["send_mail", "post_online"]);
        stand.ask(&stand.post("/openai/v1/responses", &body)).with(200).text()
    };
    let mailed = ask("zq7x.k1@leak.example.com");
    assert!(mailed.contains("call_1") && mailed.contains("zq7x.k1@leak.example.com"), "{mailed}");
    let posted = ask("post zq7x.k1@leak.example.com");
    assert!(!posted.contains("zq7x") && !posted.contains("call_1"), "{posted}");
    for told in stand.mock.told() {
        assert_eq!(Views::of(&told.bytes()).leaks(), Vec::<String>::new());
    }
}
