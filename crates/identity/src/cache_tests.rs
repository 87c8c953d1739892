#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::testing::{NOW, Reply, Server, Signer, publish};

fn at(seconds: i64) -> UnixMicros {
    NOW.plus_seconds(seconds)
}

fn document(kids: &[&str]) -> Value {
    json!({ "keys": kids.iter().map(|kid| Signer::ed().jwk(kid)).collect::<Vec<_>>() })
}

fn cache(location: &str) -> Cache {
    let permitted = BTreeSet::from([Algorithm::EdDsa]);
    Cache::new(Location::parse(location).unwrap(), Fetcher::new().unwrap(), permitted, "corp".to_owned())
}

async fn outcome(cache: &Cache, kid: &str, seconds: i64) -> Option<TokenError> {
    cache.find(Some(kid), at(seconds)).await.err()
}

fn aged(body: &Value, headers: &str) -> Reply {
    Reply::Say { status: "200 OK", headers: headers.to_owned(), body: body.to_string().into_bytes() }
}

#[tokio::test]
async fn a_hundred_thousand_unknown_ids_cause_one_fetch() {
    let server = Server::start(Reply::json(&document(&["a"]))).await;
    let cache = cache(&server.url);
    assert_eq!(outcome(&cache, "a", 0).await, None);
    for n in 0..100_000 {
        let kid = format!("unknown-{n}");
        assert_eq!(cache.find(Some(&kid), at(1)).await.unwrap_err(), TokenError::UnknownKey);
    }
    assert_eq!(server.hits(), 2, "the first and one forced");
    assert_eq!(outcome(&cache, "a", 1).await, None);
}

#[tokio::test]
async fn a_new_key_is_found_by_one_forced_fetch_and_a_removed_one_stops_to_count() {
    let server = Server::start(Reply::json(&document(&["old"]))).await;
    let cache = cache(&server.url);
    assert_eq!(outcome(&cache, "old", 0).await, None);
    server.now_says(Reply::json(&document(&["new"])));
    assert_eq!(outcome(&cache, "new", 1).await, None);
    assert_eq!(outcome(&cache, "old", 2).await, Some(TokenError::UnknownKey));
    // The forced fetch of this minute is used up: another key has to wait for the next.
    server.now_says(Reply::json(&document(&["newer"])));
    let last = server.hits();
    assert_eq!(outcome(&cache, "newer", 3).await, Some(TokenError::UnknownKey));
    assert_eq!(outcome(&cache, "newer", 59).await, Some(TokenError::UnknownKey));
    assert_eq!(server.hits(), last);
}

#[tokio::test]
async fn the_forced_fetch_returns_after_a_minute() {
    let server = Server::start(aged(&document(&["a"]), "cache-control: max-age=3600\r\n")).await;
    let cache = cache(&server.url);
    for (seconds, hits) in [(0, 1), (1, 2), (60, 2), (61, 3), (62, 3), (121, 4)] {
        let kid = if seconds == 0 { "a" } else { "x" };
        assert_eq!(outcome(&cache, kid, seconds).await.is_none(), seconds == 0);
        assert_eq!(server.hits(), hits, "{seconds}");
    }
}

#[tokio::test]
async fn answers_are_believed_for_their_age_within_bounds() {
    for (headers, age) in [
        ("", 300),
        ("cache-control: public, max-age=120\r\n", 120),
        ("cache-control: max-age=0\r\n", 60),
        ("cache-control: no-store\r\n", 300),
        ("cache-control: max-age=999999\r\n", 3600),
    ] {
        let server = Server::start(aged(&document(&["a"]), headers)).await;
        let cache = cache(&server.url);
        for (seconds, hits) in [(0, 1), (age - 1, 1), (age, 2)] {
            assert_eq!(outcome(&cache, "a", seconds).await, None);
            assert_eq!(server.hits(), hits, "{headers} {seconds}");
        }
    }
}

#[tokio::test]
async fn the_last_good_keys_outlive_an_outage_for_a_day() {
    let server = Server::start(Reply::json(&document(&["a"]))).await;
    let cache = cache(&server.url);
    assert_eq!(outcome(&cache, "a", 0).await, None);
    server.now_says(Reply::Say { status: "503 Service Unavailable", headers: String::new(), body: Vec::new() });
    for (seconds, hits) in [(300, 2), (329, 2), (330, 3), (86_399, 4)] {
        assert_eq!(outcome(&cache, "a", seconds).await, None, "{seconds}");
        assert_eq!(server.hits(), hits, "{seconds}");
    }
    assert_eq!(outcome(&cache, "a", 86_400).await, Some(TokenError::KeysUnavailable));
    server.now_says(Reply::json(&document(&["a"])));
    assert_eq!(outcome(&cache, "a", 86_500).await, None);
}

#[tokio::test]
async fn a_clock_that_went_back_asks_again() {
    let server = Server::start(Reply::json(&document(&["a"]))).await;
    let cache = cache(&server.url);
    assert_eq!(outcome(&cache, "a", 0).await, None);
    assert_eq!(outcome(&cache, "a", -3600).await, None);
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn hostile_answers_are_no_keys_and_do_not_replace_good_ones() {
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256" }] });
    let mut padded = document(&["a"]);
    padded["pad"] = json!("x".repeat(10 * 1024 * 1024));
    let good = document(&["a"]).to_string().into_bytes();
    let say = |status, headers: &str, body| Reply::Say { status, headers: headers.to_owned(), body };
    let html = b"<!doctype html><title>Sign in</title>".to_vec();
    for (name, reply) in [
        ("html", say("200 OK", "content-type: text/html\r\n", html)),
        ("10 MB", Reply::json(&padded)),
        ("symmetric", Reply::json(&secret)),
        ("no keys", Reply::json(&json!({ "keys": [] }))),
        ("empty", say("200 OK", "", Vec::new())),
        ("error with keys", say("500 Internal Server Error", "", good.clone())),
        ("partial", say("206 Partial Content", "", good.clone())),
        ("redirect", say("302 Found", "location: http://127.0.0.1:1/\r\n", good.clone())),
        ("invalid UTF-8", say("200 OK", "", [&good[..good.len() - 1], b",\"x\":\"\xff\"}"].concat())),
    ] {
        let server = Server::start(reply.clone()).await;
        let fresh = cache(&server.url);
        assert_eq!(outcome(&fresh, "a", 0).await, Some(TokenError::KeysUnavailable), "{name}");
        assert_eq!(outcome(&fresh, "a", 1).await, Some(TokenError::KeysUnavailable), "{name}");
        assert_eq!(server.hits(), 1, "{name}: a failure is not repeated at once");
        server.now_says(Reply::json(&document(&["a"])));
        assert_eq!(outcome(&fresh, "a", 31).await, None, "{name}");
        server.now_says(reply);
        assert_eq!(outcome(&fresh, "a", 1000).await, None, "{name}: the last good keys are kept");
    }
}

#[tokio::test]
async fn the_size_limit_is_exact() {
    let mut exact = document(&["a"]);
    exact["pad"] = json!("");
    exact["pad"] = json!("x".repeat(fetch::MAX_BYTES - exact.to_string().len()));
    let server = Server::start(Reply::json(&exact)).await;
    assert_eq!(outcome(&cache(&server.url), "a", 0).await, None);
    exact["pad"] = json!(format!("{}x", exact["pad"].as_str().unwrap()));
    server.now_says(Reply::json(&exact));
    assert_eq!(outcome(&cache(&server.url), "a", 0).await, Some(TokenError::KeysUnavailable));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_after_the_deadline() {
    let server = Server::start(Reply::Silence).await;
    let cache = cache(&server.url);
    let begun = tokio::time::Instant::now();
    assert_eq!(outcome(&cache, "a", 0).await, Some(TokenError::KeysUnavailable));
    assert_eq!(begun.elapsed().as_secs(), fetch::DEADLINE.as_secs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sign_ins_that_come_at_once_share_one_fetch() {
    let server = Server::start(Reply::json(&document(&["a"]))).await;
    let cache = Arc::new(cache(&server.url));
    let found = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (cache, found) = (Arc::clone(&cache), Arc::clone(&found));
        tasks.spawn(async move {
            if cache.find(Some("a"), at(0)).await.is_ok() {
                found.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!((found.load(Ordering::SeqCst), server.hits()), (50, 1));
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("jwks.json");
    let cache = cache(path.to_str().unwrap());
    assert_eq!(outcome(&cache, "a", 0).await, Some(TokenError::KeysUnavailable));
    publish(&path, &[Signer::ed().jwk("a")]);
    assert_eq!(outcome(&cache, "a", 0).await, None);
    publish(&path, &[Signer::ed().jwk("b")]);
    assert_eq!(outcome(&cache, "a", 1).await, Some(TokenError::UnknownKey));
    assert_eq!(outcome(&cache, "b", 1).await, None);
    // A week later the file still vouches for its keys.
    assert_eq!(outcome(&cache, "b", 7 * 86_400).await, None);
    // A broken file keeps them for a day, as an outage does.
    publish(&path, &[]);
    assert_eq!(outcome(&cache, "b", 8 * 86_400 - 1).await, None);
    assert_eq!(outcome(&cache, "b", 8 * 86_400).await, Some(TokenError::KeysUnavailable));
    publish(&path, &[Signer::ed().jwk("c")]);
    assert_eq!(outcome(&cache, "c", 8 * 86_400).await, None);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(outcome(&cache, "c", 8 * 86_400 + 1).await, None);
    assert_eq!(outcome(&cache, "c", 9 * 86_400).await, Some(TokenError::KeysUnavailable));
}

#[tokio::test]
async fn a_file_that_is_too_large_or_a_directory_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("jwks.json");
    std::fs::write(&path, vec![b' '; fetch::MAX_BYTES + 1]).unwrap();
    for location in [path.as_path(), home.path()] {
        let cache = cache(location.to_str().unwrap());
        assert_eq!(outcome(&cache, "a", 0).await, Some(TokenError::KeysUnavailable));
    }
}
