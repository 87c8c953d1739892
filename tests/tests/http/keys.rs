//! Several keys of one target: lent in turn, exchanged under clients that never notice.

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;

use sluice_tests::api::Api;
use sluice_tests::broker::Setup;
use sluice_tests::http::{Http, Request};
use sluice_tests::mock::{Answer, Peer, Told};

use crate::stand::{Stand, echo};

const FIRST: &str = "sk-one-3f1c9d77a2e84b06";
const SECOND: &str = "sk-two-8a04be51c6d93f72";
const NEXT: &str = "sk-new-5d7e2290fb1ac384";

/// A broker whose sessions ask for a key again after so many seconds.
fn stand(lend_seconds: u32) -> Stand {
    let limits = format!("limits: {{ lend_seconds: {lend_seconds} }}");
    Stand::with(echo, "", |api: Api| api.keys(FIRST, &[SECOND]), |setup| setup.more(&limits))
}

/// The file of one of the keys.
fn file(stand: &Stand, number: usize) -> std::path::PathBuf {
    stand.broker.folder().join(Api::openai("openai", "prod", 0).key_file(number))
}

/// The keys that the server was shown since the last time, in their order.
fn shown(stand: &Stand) -> Vec<String> {
    let told = stand.mock.take();
    let keys = told.iter().filter_map(|told| told.header("authorization")?.strip_prefix("Bearer "));
    keys.map(str::to_owned).collect()
}

/// The keys that some exchanges of a kept connection are made with.
fn used(stand: &Stand, client: &mut Http) -> Vec<String> {
    for _ in 0..6 {
        let _fine = client.ask(&stand.get("/openai/v1/models")).with(200);
    }
    shown(stand)
}

#[test]
fn exchanges_take_keys_in_turn() {
    let stand = stand(0);
    let used = used(&stand, &mut stand.broker.http());
    assert_eq!(used.len(), 6);
    assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from([FIRST, SECOND]));
    assert!(used.windows(2).all(|pair| pair.first() != pair.last()), "{used:?}");
}

#[test]
fn sessions_take_keys_in_turn_and_keep_them_for_their_time() {
    let stand = stand(3_600);
    let ann = used(&stand, &mut stand.broker.http());
    let token = stand.broker.token("bob", "staff");
    let mut client = stand.broker.http();
    for _ in 0..3 {
        let _fine = client.ask(&Request::get("/openai/v1/models", &token)).with(200);
    }
    let bob = shown(&stand);
    let of = |used: &[String]| used.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!((of(&ann).len(), of(&bob).len()), (1, 1), "{ann:?}, {bob:?}");
    assert_ne!(of(&ann), of(&bob));
}

#[test]
fn a_key_is_exchanged_under_a_kept_connection() {
    let stand = stand(0);
    let mut client = stand.broker.http();
    assert!(used(&stand, &mut client).iter().any(|key| key == FIRST));
    let _written = fs::write(file(&stand, 0), NEXT);
    let used = used(&stand, &mut client);
    assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from([NEXT, SECOND]));
    stand.broker.log_is_clean();
}

#[test]
fn a_key_that_cannot_be_read_is_passed_over_until_it_can() {
    let stand = stand(0);
    let mut client = stand.broker.http();
    let _removed = fs::remove_file(file(&stand, 1));
    assert_eq!(used(&stand, &mut client), [FIRST; 6]);
    // With none left, nothing is sent; who asks learns of neither key nor file.
    let _emptied = fs::rename(file(&stand, 0), file(&stand, 1));
    assert_eq!(used(&stand, &mut client), [FIRST; 6]);
    let _removed = fs::remove_file(file(&stand, 1));
    let refused = client.ask(&stand.get("/openai/v1/models")).with(502);
    assert!(!refused.text().contains(".key") && !refused.text().contains(FIRST), "{}", refused.text());
    assert_eq!(shown(&stand), Vec::<String>::new());
    assert!(!stand.broker.log().contains(FIRST) && !stand.broker.log().contains(SECOND));
}

/// A server that has withdrawn whichever key it is shown first.
fn withdrawing() -> impl Answer {
    let withdrawn = OnceLock::new();
    move |told: &Told, peer: &mut Peer| {
        let key = told.header("authorization").unwrap_or_default().to_owned();
        if *withdrawn.get_or_init(|| key.clone()) == key {
            let error = br#"{"error":{"message":"Invalid key.","code":"invalid_api_key"}}"#;
            peer.answer("401 Unauthorized", "application/json", error);
        } else {
            echo(told, peer);
        }
    }
}

/// A broker whose sessions would keep their key for an hour.
fn slow(more: &[&str]) -> Stand {
    let limits = |setup: Setup| setup.more("limits: { lend_seconds: 3600 }");
    Stand::with(withdrawing(), "", |api: Api| api.keys(FIRST, more), limits)
}

#[test]
fn a_key_that_the_server_turns_down_is_passed_over() {
    let stand = slow(&[SECOND]);
    let mut client = stand.broker.http();
    let status = |client: &mut Http, token: &str| client.ask(&Request::get("/openai/v1/models", token)).status();
    let statuses: Vec<u16> = (0..4).map(|_| status(&mut client, &stand.token)).collect();
    assert_eq!(statuses, [401, 200, 200, 200]);
    // Sessions of others begin with the one that is taken.
    for user in ["bob", "cem", "dan"] {
        let token = stand.broker.token(user, "staff");
        assert_eq!(status(&mut stand.broker.http(), &token), 200, "{user}");
    }
    let used = shown(&stand);
    assert_eq!(used.iter().filter(|key| Some(*key) == used.first()).count(), 1, "{used:?}");
    assert!(stand.broker.log().contains("the target turned a credential down"));
}

#[test]
fn the_only_key_is_read_again_as_soon_as_the_server_turns_it_down() {
    let stand = slow(&[]);
    let mut client = stand.broker.http();
    assert_eq!(client.ask(&stand.get("/openai/v1/models")).status(), 401);
    let _written = fs::write(file(&stand, 0), NEXT);
    assert_eq!(client.ask(&stand.get("/openai/v1/models")).status(), 200);
    assert_eq!(shown(&stand), [FIRST, NEXT]);
}
