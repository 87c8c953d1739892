//! Limits of the listener, at their edges.

use std::time::Duration;

use sluice_tests::http::{Http, Request};
use sluice_tests::mock::{Peer, Told};
use sluice_tests::openai::Api;
use sluice_tests::wait::{SOON, until};

use crate::stand::{Stand, echo, model};

fn limited(limits: &str) -> Stand {
    Stand::with(model, "", |api| api, |setup| setup.more(limits))
}

#[test]
fn who_has_signed_in_does_not_count_among_those_who_have_not() {
    let stand = limited("limits: { unauthenticated_per_address: 8 }");
    let mut kept: Vec<Http> = Vec::new();
    for _ in 0..50 {
        let mut client = stand.broker.http();
        let _fine = client.ask(&stand.get("/openai/v1/models")).with(200);
        kept.push(client);
    }
    // All of them are still good.
    for client in &mut kept {
        let _fine = client.ask(&stand.get("/openai/v1/models")).with(200);
    }
}

#[test]
fn strangers_from_one_address_have_a_limit() {
    let stand = limited("limits: { unauthenticated_per_address: 8 }");
    let mut signed_in = stand.broker.http();
    let _fine = signed_in.ask(&stand.get("/openai/v1/models")).with(200);
    let mut strangers: Vec<Http> = (0..8).map(|_| stand.broker.http()).collect();
    for stranger in &mut strangers {
        // It must have been accepted before the next one comes.
        stranger.send(b"GET /openai/v1/models HTTP/1.1\r\n");
    }
    until(SOON, "one too many to be refused", || {
        let mut more = stand.broker.http();
        more.send(&stand.get("/openai/v1/models").bytes());
        more.try_begun().is_none().then_some(())
    });
    let _fine = signed_in.ask(&stand.get("/openai/v1/models")).with(200);
    drop(strangers);
    until(SOON, "room for others", || {
        let mut more = stand.broker.http();
        more.send(&stand.get("/openai/v1/models").bytes());
        more.try_begun().filter(|response| response.status() == 200).map(drop)
    });
}

#[test]
fn a_full_broker_says_so() {
    let stand = limited("limits: { sessions: 1 }");
    let _fine = stand.ask(&stand.get("/openai/v1/models")).with(200);
    let request = |user: &str| Request::get("/openai/v1/models", &stand.broker.token(user, "staff"));
    let refused = stand.ask(&request("bob"));
    assert!(matches!(refused.status(), 429 | 503), "{}{}", refused.head.text, refused.text());
    let _fine = stand.ask(&request("ann")).with(200);
}

#[test]
fn the_listener_answers_to_its_own_names_only() {
    let stand = Stand::configured(echo, "", |yaml| {
        yaml.replace("  dangerous_cleartext", "  http_hosts: [broker, \"other:99\"]\n  dangerous_cleartext")
    });
    let ask = |host: &str| {
        let mut client = stand.broker.http();
        let token = &stand.token;
        let head = format!("GET /openai/v1/models HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        client.send(head.as_bytes());
        client.response().status()
    };
    for host in ["broker", "BROKER", "broker:1", "broker:8443", "other:99"] {
        assert_eq!(ask(host), 200, "{host}");
    }
    for host in ["evil", "other", "other:98", "broker.evil", "evil.broker", "127.0.0.1", "broker:", "broker:x", ""] {
        assert!((400..500).contains(&ask(host)), "{host}");
    }
    assert_eq!(stand.mock.told().len(), 5);
}

#[test]
fn a_whole_answer_that_is_waited_for_ends_with_its_token() {
    let stand = Stand::open(|_: &Told, peer: &mut Peer| {
        peer.closes_within(Duration::from_secs(30));
    });
    let token = stand.broker.mint(&["--user", "eve", "--group", "staff"]);
    let mut client = stand.broker.http();
    let question = Api::Chat.question("\"Hello.\"");
    client.send(&Request::post("/openai/v1/chat/completions", &token, &question).bytes());
    let _told = stand.mock.hears(1);
    let listed = stand.broker.json(&["token", "list"]);
    let id = listed.iter().find(|token| token.to_string().contains("eve")).and_then(|token| token["id"].as_str());
    let _revoked = stand.broker.cli(&["token", "revoke", id.unwrap_or_default()]).done();
    let response = client.response().with(401);
    assert_eq!(response.code(), "token-revoked");
}

#[test]
fn a_token_that_ends_ends_what_it_began() {
    let stand = Stand::open(|_: &Told, peer: &mut Peer| {
        peer.begin("text/event-stream");
        peer.chunked(Api::Chat.events(&["One. "]).concat().replace("data: [DONE]\n\n", "").as_bytes());
        peer.closes_within(Duration::from_secs(60));
    });
    let token = stand.broker.mint(&["--user", "eve", "--group", "staff", "--ttl", "5"]);
    let mut client = stand.broker.http();
    client.send(&Request::post("/openai/v1/chat/completions", &token, &Api::Chat.streamed("\"Hello.\"")).bytes());
    assert_eq!(client.begun().status(), 200);
    let _end = client.hear("\"error\"");
    assert_eq!(stand.ask(&Request::get("/openai/v1/models", &token)).status(), 401);
}

#[test]
fn a_head_has_its_time() {
    let stand = limited("limits: { head_seconds: 2 }");
    let mut slow = stand.broker.http();
    let request = stand.get("/openai/v1/models").bytes();
    let half = request.len() / 2;
    slow.send(request.get(..half).unwrap_or_default());
    assert!(slow.closes_within(SOON));
    assert!(!slow.heard.windows(6).any(|word| word == b" 200 O"), "{}", String::from_utf8_lossy(&slow.heard));
    let mut fine = stand.broker.http();
    let _fine = fine.ask(&stand.get("/openai/v1/models")).with(200);
    // Also the next one, of which not even the beginning comes.
    assert!(fine.closes_within(SOON));
    assert_eq!(stand.mock.told().len(), 1);
}

#[test]
fn all_bodies_that_are_read_at_one_time_have_a_limit() {
    let stand = limited("limits: { body_bytes: 2097152 }");
    let large = stand.chat(&"x".repeat(2 << 20)).bytes();
    // The broker does not read on, so a client that writes on may lose the answer.
    until(SOON, "a body for which there is no room to be refused", || {
        let mut client = stand.broker.http();
        client.send(&large);
        let mut response = client.try_begun()?;
        client.body(&mut response);
        assert_eq!(response.status(), 503, "{}", response.text());
        (response.code() == "bodies").then_some(())
    });
    assert!(stand.mock.told().is_empty());
    let request = stand.chat(&"x".repeat(400 << 10));
    let bytes = request.bytes();
    let most = bytes.len() - 1;
    let mut clients: Vec<Http> = (0..4).map(|_| stand.broker.http()).collect();
    for client in &mut clients {
        client.send(bytes.get(..most).unwrap_or_default());
    }
    // One of them has room, as half of it stays free.
    let mut waiting = until(SOON, "those to be refused that have no room", || {
        let waiting: Vec<Http> = std::mem::take(&mut clients).into_iter().filter_map(waits).collect();
        clients = waiting;
        (clients.len() <= 1).then(|| std::mem::take(&mut clients))
    });
    assert!(!waiting.is_empty());
    for client in &mut waiting {
        client.send(bytes.get(most..).unwrap_or_default());
        let _fine = client.response().with(200);
    }
    until(SOON, "room for others", || (stand.ask(&request).status() == 200).then_some(()));
    assert_eq!(stand.mock.told().len(), waiting.len() + 1);
}

#[test]
fn whoever_fills_the_room_leaves_some_to_others() {
    let stand = limited("limits: { body_bytes: 4194304 }");
    let mallory = stand.broker.token("mallory", "staff");
    let request =
        Request::new("POST", "/openai/v1/responses").token(&mallory).header("Content-Type", "application/json");
    let head = request.header("Content-Length", "1000000").head();
    let mut kept = Vec::new();
    until(SOON, "one too many to be refused", || {
        let mut client = stand.broker.http();
        client.send(&head);
        client.send(&[b','; 200_000]);
        match waits(client) {
            Some(client) => kept.push(client),
            None => return Some(()),
        }
        None
    });
    assert!(!kept.is_empty());
    let _models = stand.ask(&stand.get("/openai/v1/models")).with(200);
    let _chat = stand.ask(&stand.chat(&"x, ".repeat(20_000))).with(200);
    // Who has no room for another request has some for the answer to one without a body.
    let _models = stand.ask(&Request::get("/openai/v1/models", &mallory)).with(200);
}

#[test]
fn what_is_not_read_takes_no_more_room_than_its_bytes_also_while_it_waits() {
    const HOLD: &str = r#"
@id("files-need-approval")
@approve("Group::leads") @approve_count("1") @approve_scope("statement") @approve_ttl("15m")
forbid (principal, action == Action::"llm.send_opaque", resource)
unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
         && context.base.now < context.base.approval.expires };
"#;
    let stand = Stand::with(model, HOLD, |api| api, |setup| setup.more("limits: { body_bytes: 4194304 }"));
    let mallory = stand.broker.token("mallory", "staff");
    let part =
        |head: &str, content: &str| format!("--B\r\ncontent-disposition: form-data; {head}\r\n\r\n{content}\r\n");
    let body = [
        part("name=\"purpose\"", "user_data"),
        part("name=\"file\"; filename=\"a.png\"", &",".repeat(250_000)),
        "--B--\r\n".to_owned(),
    ];
    let request = Request::new("POST", "/openai/v1/files").token(&mallory).header("X-Stainless-Lang", "python");
    let request = request.header("Content-Type", "multipart/form-data; boundary=B").body(body.concat().as_bytes());
    let mut held = stand.broker.http();
    held.send(&request.bytes());
    assert_eq!(held.head().map(|head| head.status()), Some(102));
    let _chat = stand.ask(&stand.chat(&"x, ".repeat(20_000))).with(200);
}

/// A client that has not been refused.
fn waits(mut client: Http) -> Option<Http> {
    (!client.closes_within(Duration::from_millis(20))).then_some(client)
}

#[test]
fn a_body_has_its_time() {
    let stand = Stand::with(model, "", |api| api.with("limits: { request_seconds: 1 }"), |setup| setup);
    let request = stand.chat("Hello.").bytes();
    let mut slow = stand.broker.http();
    slow.send(request.get(..request.len() - 1).unwrap_or_default());
    let response = slow.response().with(408);
    assert_eq!(response.code(), "request_timeout");
    assert!(slow.closes_within(SOON));
    assert!(stand.mock.told().is_empty());
    let _fine = stand.ask(&stand.chat("Hello.")).with(200);
}

#[test]
fn a_body_that_passes_as_it_comes_has_its_time_too() {
    let stand = Stand::with(
        model,
        "",
        |mut api| {
            api.more.retain(|setting| !setting.starts_with("dialect"));
            api.with("limits: { request_seconds: 1 }")
        },
        |setup| setup,
    );
    let request = Request::new("POST", "/openai/x").token(&stand.token).header("Content-Type", "image/png");
    let request = request.body(&[b'x'; 1000]).bytes();
    let mut slow = stand.broker.http();
    slow.send(request.get(..request.len() - 1).unwrap_or_default());
    let refused = slow.response();
    assert!((400..500).contains(&refused.status()), "{}{}", refused.head.text, refused.text());
    assert!(refused.text().contains("did not come in time"), "{}", refused.text());
    // The server never has a whole request.
    assert!(slow.closes_within(SOON) && stand.mock.told().is_empty());
}
