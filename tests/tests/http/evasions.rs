//! Ways around a decision: one that was made about something else, or about less than what is sent.

use sluice_tests::http::Request;
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::{Api, MODEL};

use crate::stand::{Stand, echo, model};

/// Bodies that nothing can look into may not be sent, and nothing is forced.
const CLOSED: &str = r#"
@id("nothing-opaque") forbid (principal, action == Action::"http.send_opaque", resource);
@id("nothing-forced") forbid (principal, action, resource)
when { context has http && context.http.query.contains("force") };
@id("large-model-deletes-nothing") forbid (principal, action == Action::"tool.call", resource)
when { context.tool.model == "gpt-large" };
"#;

fn stand(answer: impl sluice_tests::mock::Answer) -> Stand {
    Stand::with(answer, CLOSED, |api| api, |setup| setup)
}

#[test]
fn what_was_decided_without_a_body_is_not_decided_with_one() {
    let stand = stand(echo);
    let upload = |body: &[u8]| {
        let request = Request::new("POST", "/files/up").token(&stand.token);
        stand.ask(&request.header("Content-Type", "application/octet-stream").body(body))
    };
    for _ in 0..2 {
        assert_eq!(upload(b"").status(), 200);
        assert_eq!(upload(b"\x00\x01").with(403).code(), "nothing-opaque");
    }
    assert!(stand.mock.told().iter().all(|told| told.body_bytes == 0));
}

#[test]
fn names_of_a_query_are_decided_on_as_they_read() {
    let stand = stand(echo);
    for path in ["/files/x?force=1", "/files/x?f%6frce=1", "/files/x?%66orce=1", "/files/x?a=1&forc%65"] {
        assert_eq!(stand.ask(&stand.get(path)).status(), 403, "{path}");
    }
    assert_eq!(stand.ask(&stand.get("/files/x?forced=1")).status(), 200);
    assert_eq!(stand.mock.told().len(), 1);
}

#[test]
fn what_was_decided_about_one_models_call_is_not_decided_about_anothers() {
    let stand = stand(|told: &Told, peer: &mut Peer| {
        let _asked = told.json();
        peer.json(&Api::Chat.calling("delete_customer", r#"{"to":"ann"}"#).to_string());
    });
    let ask = |large: bool| {
        let body = Api::Chat.offering("\"Hello.\"", &["delete_customer"]);
        let body = if large { body.replace(MODEL, "gpt-large") } else { body };
        stand.ask(&stand.post("/openai/v1/chat/completions", &body)).with(200).text()
    };
    for _ in 0..2 {
        assert!(ask(false).contains(r#""to"#));
        let large = ask(true);
        assert!(large.contains("large-model-deletes-nothing") && !large.contains(r#"\"to"#), "{large}");
    }
}

#[test]
fn headers_carry_no_value_that_is_withheld() {
    let stand = stand(model);
    let value = "zq7x.k1@leak.example.com";
    for (name, text) in [("User-Agent", format!("app ({value})")), ("OpenAI-Beta", format!("x={value}"))] {
        let response = stand.ask(&stand.chat("Hello.").header(name, &text));
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    for told in stand.mock.told() {
        assert!(!told.head.text.contains("leak.example.com"), "{}", told.head.text);
    }
}

#[test]
fn a_body_where_there_should_be_none_goes_nowhere() {
    let stand = stand(echo);
    for method in ["GET", "DELETE"] {
        let mut request = Request::new(method, "/files/x").token(&stand.token);
        request = request.header("Content-Type", "text/plain").body(b"GET /files/smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(stand.ask(&request).status(), 400, "{method}");
    }
    assert!(stand.mock.told().is_empty());
}
