//! Rules about paths hold for every way in which a client can write one.

use sluice_tests::api::Api;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::http::Request;
use sluice_tests::mock::Mock;

use crate::stand::{STAFF, Stand, echo};

const FORBIDDEN: &str = r#"
@id("not-there") @message("Not there.")
forbid (principal, action, resource)
when {
  context has http && (context.http.path like "/v1/admin/*" || context.http.path like "*:delete"
    || context.http.path like "/v1/~root/*" || context.http.path like "*/users(*" || context.http.path like "/v1/my%20own/*")
};"#;

#[test]
fn a_rule_about_a_path_holds_for_all_its_spellings() {
    let mock = Mock::start(echo);
    let plain = Api::rest("plain", "prod", mock.port()).with("detectors: []");
    let looked_into = Api::rest("looked-into", "prod", mock.port());
    let broker = Broker::start(&Setup::http(vec![plain, looked_into], &format!("{STAFF}{FORBIDDEN}")));
    let token = broker.token("ann", "staff");
    for path in [
        "/v1/items/5:delete",
        "/v1/items/5%3Adelete",
        "/v1/items/5%3adelete",
        "/v1/items/zq7x.k1@leak.example.com:delete",
        "/v1/items/zq7x.k1%40leak.example.com%3Adelete",
        "/v1/~root/x",
        "/v1/%7Eroot/x",
        "/v1/%7eroot/x%20y",
        "/v1/users('1')",
        "/v1/users%28'1'%29",
        "/v1/my%20own/zq7x.k1@leak.example.com",
        "/v1/admin/x",
        "/v1/admin/4111%201111%201111%201111",
        "/v1/admin/4111/1111/1111/1111",
    ] {
        for target in ["plain", "looked-into"] {
            let response = broker.http().ask(&Request::get(&format!("/{target}{path}"), &token));
            assert_eq!(response.status(), 403, "{target}{path}: {}", response.text());
            assert!(response.text().contains("not-there"), "{target}{path}: {}", response.text());
        }
    }
    assert!(mock.told().is_empty());
}

#[test]
fn a_server_is_asked_for_what_was_written_and_people_see_one_form() {
    let stand = Stand::open(echo);
    for path in ["/v1/a%40b%2bc:x%20y", "/v1/a@b%2Bc%3Ax%20y", "/v1/a%40b+c%3ax%20y?q=%7e"] {
        let response = stand.ask(&stand.get(&format!("/files{path}"))).with(200);
        assert!(response.text().contains(&format!("\"{path}\"")), "{}", response.text());
    }
    let recorded = stand.recorded();
    let asked: Vec<_> = recorded.iter().filter(|event| event["event"] == "asked").map(ToString::to_string).collect();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|event| event.contains("/v1/a@b+c:x%20y")), "{asked:?}");
}

#[test]
fn a_request_that_asks_for_another_method_is_refused() {
    let stand = Stand::open(echo);
    let form = |body: &str| {
        let request = Request::new("POST", "/files/a").token(&stand.token);
        request.header("Content-Type", "application/x-www-form-urlencoded").body(body.as_bytes())
    };
    for request in [
        stand.get("/files/a?_method=DELETE"),
        stand.post("/files/a?%5fmethod=delete", "{}"),
        stand.post("/files/a", r#"{"_method":"DELETE"}"#),
        form("a=1&_method=PUT"),
    ] {
        let response = stand.ask(&request).with(400);
        assert!(response.text().contains("method_override"), "{}", response.text());
    }
    assert!(stand.mock.told().is_empty());
    let _fine = stand.ask(&form("_method=POST")).with(200);
}
