//! What is recorded of a conversation, and what changes while it goes on.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::http::Request;
use sluice_tests::mock::{Gate, Peer, Told};
use sluice_tests::openai::{self, Api};
use sluice_tests::wait::{SOON, until};

use crate::stand::{STAFF, Stand, model};

#[test]
fn a_conversation_is_replayed_as_it_went() {
    let stand = Stand::open(|told: &Told, peer: &mut Peer| {
        let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
        let text = "Write to zq7x.k1@leak.example.com before noon.";
        if told.body.windows(5).any(|part| part == b"tools") {
            peer.events(&api.call("lookup_order", &["{\"order\":", "10}"]));
        } else if told.json()["stream"] == true {
            let characters: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = characters.chunks(4).map(|piece| piece.iter().collect()).collect();
            peer.events(&api.events(&pieces));
        } else {
            peer.json(&api.answer(&json!(text).to_string()));
        }
    });
    let secret = "\"What about 900-55-0001?\"";
    for api in Api::BOTH {
        let path = format!("/openai{}", api.path());
        let _whole = stand.ask(&stand.post(&path, &api.question(secret))).with(200);
        let _streamed = stand.ask(&stand.post(&path, &api.streamed("\"Who ordered it?\""))).with(200);
        let offering = api.offering("\"And order 10?\"", &["lookup_order"]).replacen('{', "{\"stream\":true,", 1);
        let _call = stand.ask(&stand.post(&path, &offering)).with(200);
    }
    let refused = stand.ask(&stand.get("/openai/v1/organization/projects"));
    assert_eq!(refused.status(), 403, "{}", refused.text());

    let text = stand.broker.cli(&["replay", &stand.session(), "--no-wait"]).done().stdout;
    for expected in [
        "ann> POST /v1/chat/completions (gpt-small)",
        "ann> POST /v1/responses (gpt-small)",
        "user: What about ***?",
        "user: Who ordered it?",
        "Write to *** before noon.",
        "lookup_order",
        "GET /v1/organization/projects",
        "200 OK",
    ] {
        assert!(text.contains(expected), "no `{expected}` in:\n{text}");
    }
    assert_eq!(text.matches("Write to *** before noon.").count(), 4, "{text}");
    let shown = stand.broker.cli(&["sessions", "show", &stand.session()]).done().stdout;
    assert!(shown.contains("user:ann") && shown.contains("openai"), "{shown}");
    let all = format!("{text}{shown}{}", Value::from(stand.recorded()));
    stand.broker.no_secret_in("the recording", &all);
    stand.broker.log_is_clean();
}

#[test]
fn recordings_of_conversations_verify_until_a_byte_is_changed() {
    let stand = Stand::open(model);
    for _ in 0..5 {
        let _fine = stand.ask(&stand.streamed_chat("Hello.")).with(200);
    }
    let id = stand.session();
    stand.broker.stop();
    let verified = stand.broker.cli(&["audit", "verify"]).done().stdout;
    assert!(verified.contains(&id) && verified.contains("whole"), "{verified}");
    let file = stand.broker.folder().join(format!("var/recordings/{id}.rec"));
    let sound = fs::read(&file).unwrap_or_default();
    assert!(sound.len() > 300, "{} has {} bytes", file.display(), sound.len());
    for place in [0, sound.len() / 3, sound.len() / 2, sound.len() - 1] {
        let mut changed = sound.clone();
        if let Some(byte) = changed.get_mut(place) {
            *byte ^= 1;
        }
        assert!(fs::write(&file, &changed).is_ok());
        assert_eq!(stand.broker.cli(&["audit", "verify", &id]).code, Some(1), "byte {place} of {}", sound.len());
    }
}

#[test]
fn what_was_streamed_before_a_kill_is_recorded() {
    let mut stand = Stand::open(|_, peer| {
        peer.begin("text/event-stream");
        let events = Api::Chat.events(&(0..50).map(|number| format!("word{number} ")).collect::<Vec<_>>());
        for event in events.iter().take(51) {
            peer.chunked(event.as_bytes());
        }
        peer.closes_within(Duration::from_secs(30));
    });
    let mut client = stand.broker.http();
    client.send(&stand.streamed_chat("Hello.").bytes());
    let _begun = client.begun();
    let heard = client.hear("40 word");
    stand.broker.kill();
    stand.broker.restart();
    let id = stand.session();
    let replayed = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    // Lines are broken anywhere.
    let flat: String = replayed.replace(" | ", "").split_whitespace().collect();
    let text = Api::Chat.text(&heard);
    let lost: Vec<&str> = text.split_whitespace().filter(|word| !flat.contains(word)).collect();
    assert!(lost.is_empty(), "streamed and not recorded: {lost:?}\n{replayed}");
    assert!(stand.broker.cli(&["audit", "verify"]).said().contains(&id));
}

/// A stream that is in its middle until a gate opens.
fn halting(gate: Gate) -> impl Fn(&Told, &mut Peer) + Send + Sync + 'static {
    move |told, peer| {
        let api = if told.line().ends_with("/responses") { Api::Responses } else { Api::Chat };
        peer.begin("text/event-stream");
        let events = api.events(&["One. ", "Two. "]);
        let half = events.iter().position(|event| event.contains("One. ")).unwrap_or(0) + 1;
        for (number, event) in events.iter().enumerate() {
            if number == half {
                gate.pass();
            }
            peer.chunked(event.as_bytes());
        }
        peer.end();
    }
}

#[test]
fn a_revoked_token_ends_its_streams_with_an_error() {
    let gate = Gate::default();
    let stand = Stand::open(halting(gate.clone()));
    let token = stand.broker.mint(&["--user", "eve", "--group", "staff"]);
    let mut clients = Vec::new();
    for api in Api::BOTH {
        let mut client = stand.broker.http();
        client.send(&Request::post(&format!("/openai{}", api.path()), &token, &api.streamed("\"Hello.\"")).bytes());
        assert_eq!(client.begun().status(), 200);
        let _one = client.hear("One. ");
        clients.push(client);
    }
    let tokens = stand.broker.json(&["token", "list"]);
    let id = tokens.iter().find(|token| token.to_string().contains("eve")).and_then(|token| token["id"].as_str());
    let began = Instant::now();
    let _revoked = stand.broker.cli(&["token", "revoke", id.unwrap_or_default()]).done();
    for client in &mut clients {
        let mut body = Vec::new();
        while let Some(chunk) = client.chunk().filter(|chunk| !chunk.is_empty()) {
            body.extend(chunk);
        }
        let error = openai::error(&body).unwrap_or_default();
        assert_eq!(error["type"], "authentication_error", "{}", String::from_utf8_lossy(&body));
    }
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
    gate.open();
    let again = stand.ask(&Request::get("/openai/v1/models", &token));
    assert_eq!(again.status(), 401, "{}", again.text());
    // Others are not disturbed.
    let _fine = stand.ask(&stand.get("/files/x")).status();
}

#[test]
fn a_reload_counts_for_the_next_request_and_disturbs_no_stream() {
    let gate = Gate::default();
    let stand = Stand::open(halting(gate.clone()));
    let mut streaming = stand.broker.http();
    streaming.send(&stand.streamed_chat("Hello.").bytes());
    assert_eq!(streaming.begun().status(), 200);
    let mut heard = streaming.hear("One. ");

    let from = stand.broker.log().len();
    let policy = stand.broker.folder().join("policies/test.cedar");
    let without = format!("{STAFF}@id(\"no-chat\") forbid (principal, action == Action::\"llm.chat\", resource);");
    assert!(fs::write(&policy, without).is_ok());
    stand.broker.logs(from, "the configuration was reloaded");
    let mut next = stand.broker.http();
    let refused = next.ask(&stand.chat("Hello."));
    assert_eq!((refused.status(), refused.code().as_str()), (403, "no-chat"));

    // A policy that is wrong changes nothing.
    let from = stand.broker.log().len();
    assert!(fs::write(&policy, "permit (principal, action, resource);").is_ok());
    stand.broker.logs(from, "the changed configuration is not used");
    assert_eq!(next.ask(&stand.chat("Hello.")).status(), 403);

    gate.open();
    heard.extend(streaming.hear("[DONE]"));
    assert_eq!(Api::Chat.text(&heard), "One. Two. ");

    // A target of another address, on the same connection.
    let from = stand.broker.log().len();
    assert!(fs::write(&policy, STAFF).is_ok());
    stand.broker.logs(from, "the configuration was reloaded");
    let other = sluice_tests::mock::Mock::start(model);
    let yaml = stand.broker.folder().join("sluice.yaml");
    let text = fs::read_to_string(&yaml).unwrap_or_default();
    let from = stand.broker.log().len();
    let moved = text.replace(&format!(":{}", stand.mock.port()), &format!(":{}", other.port()));
    assert!(moved != text && fs::write(&yaml, moved).is_ok());
    stand.broker.logs(from, "the configuration was reloaded");
    let _fine = stand.ask(&stand.chat("Hello.")).with(200);
    assert_eq!(other.told().len(), 1, "a new connection leads to the old address");
    let _fine = next.ask(&stand.chat("Hello.")).with(200);
    assert_eq!(other.told().len(), 2, "a connection that was kept leads to the old address");
}

#[test]
fn a_stop_ends_streams_with_an_error_and_lets_nobody_in() {
    let gate = Gate::default();
    let limits = "limits: { drain_seconds: 0 }";
    let stand = Stand::with(halting(gate.clone()), "", |api| api, |setup| setup.more(limits));
    let mut clients = Vec::new();
    for api in Api::BOTH {
        let mut client = stand.broker.http();
        client.send(&stand.post(&format!("/openai{}", api.path()), &api.streamed("\"Hello.\"")).bytes());
        assert_eq!(client.begun().status(), 200);
        let _one = client.hear("One. ");
        clients.push(client);
    }
    let idle = stand.broker.http();
    stand.broker.process().signal("TERM");
    for client in &mut clients {
        let mut body = Vec::new();
        while let Some(chunk) = client.chunk().filter(|chunk| !chunk.is_empty()) {
            body.extend(chunk);
        }
        let error = openai::error(&body).unwrap_or_default();
        // Nothing is wrong with whoever asked.
        assert_eq!((&error["code"], &error["type"]), (&json!("shutdown"), &json!("server_error")), "{error}");
    }
    stand.broker.process().ended();
    assert!(std::net::TcpStream::connect(("127.0.0.1", stand.broker.http_port())).is_err());
    drop(idle);
    gate.open();
    assert!(stand.broker.log().contains("the broker has stopped"), "{}", stand.broker.log());
    let _verified = stand.broker.cli(&["audit", "verify"]).done();
}

#[test]
fn a_stop_leaves_exchanges_their_time_and_no_more() {
    let gate = Gate::default();
    let limits = "limits: { drain_seconds: 600 }";
    let stand = Stand::with(halting(gate.clone()), "", |api| api, |setup| setup.more(limits));
    let mut streaming = stand.broker.http();
    streaming.send(&stand.post("/openai/v1/chat/completions", &Api::Chat.streamed("\"Hello.\"")).bytes());
    assert_eq!(streaming.begun().status(), 200);
    let mut heard = streaming.hear("One. ");
    let mut idle = stand.broker.http();
    let from = stand.broker.log().len();
    stand.broker.process().signal("TERM");
    stand.broker.logs(from, "the broker is stopping");
    // Who has nothing in hand is not waited for, and nobody else comes in.
    assert!(idle.closes_within(SOON));
    until(SOON, "nobody to listen", || {
        std::net::TcpStream::connect(("127.0.0.1", stand.broker.http_port())).is_err().then_some(())
    });
    gate.open();
    heard.extend(streaming.hear("[DONE]"));
    assert_eq!(openai::error(&heard), None);
    assert!(streaming.closes_within(SOON));
    stand.broker.process().ended();
    let sessions = stand.broker.json(&["sessions", "list"]);
    assert_eq!(sessions.first().map(|session| &session["end"]["reason"]), Some(&json!("idle")), "{sessions:?}");
    let _verified = stand.broker.cli(&["audit", "verify"]).done();
}
