//! Agents that the vendor runs: what is said to them, and where they may go.

use super::*;

const EVENTS: &str = "/agents/sessions/s_1/events";

fn said(event: &str) -> String {
    format!(r#"{{"events":[{event}]}}"#)
}

fn answered(kind: &str, id: &str, response: &str) -> String {
    said(&format!(r#"{{"type":"{kind}","{id}":"r_1","response":{response}}}"#))
}

#[test]
fn whatever_answers_a_request_for_approval_is_an_approval() {
    let world = World::new();
    let answer = |path: &str, body: &str| {
        world.asked(path, body, |asked| asked.approvals.iter().map(|it| (it.request.clone(), it.answer)).collect())
    };
    let one = |answer: Answer| vec![("r_1".to_owned(), answer)];
    let computer = "agent.session.input.computer_use_approval_request_result";
    for (kind, response, expected) in [
        ("agent.session.input.mcp_approval_request_result", r#"{"decision":"approve"}"#, Answer::Approve),
        ("agent.session.input.mcp_approval_request_result", r#"{"decision":"deny"}"#, Answer::Decline),
        (computer, r#"{"type":"browser_origin_access","decision":"approve"}"#, Answer::Approve),
        (computer, r#"{"type":"browser_origin_access","decision":"cancel"}"#, Answer::Decline),
        (computer, r#"{"type":"browser_authentication","action":"cancel"}"#, Answer::Decline),
        (
            computer,
            r#"{"type":"browser_authentication","action":"submit","fields":[{"field_id":"p","value":"x"}]}"#,
            Answer::Approve,
        ),
        // What is no clear no is a yes.
        (computer, r#"{"type":"new","action":"always"}"#, Answer::Approve),
        (computer, r#"{"decision":"deny","action":"submit"}"#, Answer::Approve),
        ("agent.session.input.shell_approval_request_result", r#"{"decision":"approve"}"#, Answer::Approve),
    ] {
        let got: Vec<_> = answer(EVENTS, &answered(kind, "request_id", response));
        assert_eq!(got, one(expected), "{kind} {response}");
    }
    let item = r#"{"type":"shell_approval_response","approval_request_id":"r_1","approve":true}"#;
    let thread = format!(r#"{{"messages":[{{"role":"user","content":"x","extra":[{item}]}}]}}"#);
    let got: Vec<_> = answer("/threads", &thread);
    assert_eq!(got, one(Answer::Approve), "a kind that nobody knows yet");
    world.table(
        EVENTS,
        &[
            (&said(&format!(r#"{{"type":"{computer}","request_id":"r_1"}}"#)), "400 invalid_type response"),
            (&answered(computer, "request_id", r#"{"decision":true}"#), "400 invalid_type decision"),
            (&answered(computer, "request_id", "{}"), "400 invalid_type decision"),
            (&answered(computer, "id", r#"{"decision":"approve"}"#), "400 invalid_value request_id"),
        ],
    );
}

#[test]
fn what_is_said_in_a_session_is_of_a_known_kind() {
    let world = World::new();
    world.table(
        EVENTS,
        &[
            (
                &said(
                    r#"{"type":"agent.session.input.message","input":[{"role":"user","content":[{"type":"input_text","text":"x"}]}]}"#,
                ),
                "ok",
            ),
            (&said(r#"{"type":"agent.session.input.cancel"}"#), "ok"),
            (
                &said(
                    r#"{"type":"agent.session.input.tool_result","call_id":"c","turn_id":"t","success":true,"output":"x"}"#,
                ),
                "ok",
            ),
            (&said(r#"{"type":"agent.session.input.grant","request_id":"r_1"}"#), "400 unknown_item"),
            (&said(r#"{"request_id":"r_1","response":{"decision":"approve"}}"#), "400 missing_required_parameter type"),
            (&said("1"), "400 invalid_type events"),
            (r#"{"events":{"type":"agent.session.input.cancel"}}"#, "400 invalid_type events"),
        ],
    );
}

#[test]
fn where_an_agent_may_go_are_hosts() {
    let world = World::new();
    let hosted = |more: &str| format!(r#"{{"environment":{{"type":"openai_hosted"{more}}},"agent_id":"a_1"}}"#);
    let everywhere = ["Network *"];
    let listed = r#","network":{"access":"restricted","allowed_domains":["Evil.example.net","*.b.example.org"]}"#;
    assert_eq!(
        world.hosts("/agents/sessions", &hosted(listed)),
        ["Network *.b.example.org", "Network evil.example.net"]
    );
    let enabled = r#","network":{"access":"enabled"}"#;
    assert_eq!(world.hosts("/agents/sessions", &hosted(enabled)), everywhere);
    let template = r#"{"name":"a","network":{"access":"enabled"}}"#;
    assert_eq!(world.hosts("/agents/environments/templates", template), everywhere);
    let restricted = r#","network":{"access":"restricted","blocked_domains":["a.example.org"]}"#;
    assert_eq!(world.hosts("/agents/sessions", &hosted(restricted)), everywhere, "all but these");
    let unknown = r#"{"name":"a","network_policy":{"type":"open"}}"#;
    assert_eq!(world.hosts("/containers", unknown), everywhere, "whatever is no limit");
    // The API has a default of its own, which is not told.
    assert_eq!(world.hosts("/agents/sessions", &hosted("")), everywhere);
    assert_eq!(world.hosts("/agents/sessions", &hosted(r#","network":null"#)), everywhere);
    for kind in [r#""type":"new_sort""#, r#""type":null"#, r#""container_size":"small""#] {
        let body = format!(r#"{{"environment":{{{kind}}},"agent_id":"a_1"}}"#);
        assert_eq!(world.hosts("/agents/sessions", &body), everywhere, "{kind}");
    }
    for closed in [
        hosted(r#","network":{"access":"disabled"}"#),
        hosted(r#","environment_template_id":"t_1""#),
        hosted(r#","environment_id":"e_1""#),
        r#"{"environment":{"type":"self_hosted","workspace_directory":"/w"},"agent_id":"a_1"}"#.to_owned(),
        r#"{"environment":{"type":"none"},"agent_id":"a_1"}"#.to_owned(),
    ] {
        assert!(world.hosts("/agents/sessions", &closed).is_empty(), "{closed}");
    }
    assert!(world.hosts("/containers", r#"{"name":"a","network_policy":{"type":"disabled"}}"#).is_empty());
    for (network, expected) in [
        (r#""enabled""#, "400 invalid_type network"),
        (r#"{"access":1}"#, "400 invalid_type access"),
        (r#"{"access":"restricted","allowed_domains":"a.example.org"}"#, "400 invalid_type allowed_domains"),
        (r#"{"access":"restricted","allowed_domains":["a b"]}"#, "400 invalid_value allowed_domains"),
    ] {
        let body = hosted(&format!(r#","network":{network}"#));
        assert_eq!(world.verdict("/agents/sessions", &body), expected, "{network}");
    }
}
