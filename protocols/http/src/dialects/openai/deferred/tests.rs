#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::dial::Pools;
use crate::frame::Length;
use crate::target::Target;

fn ann() -> Asker {
    Asker { who: "user:ann".to_owned(), person: "user:ann".into(), session: "s-1".to_owned() }
}

fn served() -> Served {
    let target: Target = serde_json::from_str(r#"{"url":"https://api.example.com","dialect":"openai"}"#).unwrap();
    Served::new(&TargetName::new("api").unwrap(), &target, &Pools::default(), [7; 32]).unwrap()
}

fn request(method: Method, path: &str) -> Request {
    Request::new(method, path.to_owned(), HeaderMap::new(), Length::None)
}

fn pending() -> Refusal {
    Refusal::builtin(Code::Pending, "hold-pending", "the request waits")
}

/// Keeps a request that people are asked about for so long, and gives its id; `None` where it is not kept.
fn kept(served: &Served, seconds: u32) -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    with_body(served, seconds, &random)
}

fn with_body(served: &Served, seconds: u32, body: &[u8]) -> Option<String> {
    let mut later = Later::fresh(&request(Method::POST, "/responses"), body, Some("a \"model\""))?;
    if later.held(seconds, served, &ann()) == Held::Waits {
        return None;
    }
    let (_, body) = later.denied(&pending(), served, &ann())?;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.get("model").unwrap(), "a \"model\"");
    Some(body.get("id").unwrap().as_str().unwrap().to_owned())
}

/// A look some time after the one before.
fn look(served: &Served, id: &str) -> Option<Found> {
    let ago = Instant::now().checked_sub(LOOK_EVERY).unwrap();
    served.deferred.lock().values_mut().for_each(|kept| kept.looked = ago);
    look_now(served, id)
}

fn look_now(served: &Served, id: &str) -> Option<Found> {
    served.deferred.find(&request(Method::GET, &format!("/v1/responses/{id}")), served, &ann())
}

/// A request that a look sends.
fn sent(served: &Served, id: &str) -> Option<Ticket> {
    let Found::Waiting(_, later) = look(served, id)? else { return None };
    let Allowed::Send(ticket) = later.allowed() else { return None };
    ticket
}

/// What a look found, in a word.
fn found(found: Option<&Found>) -> String {
    match found {
        None => "nothing".to_owned(),
        Some(Found::Waiting(..)) => "waiting".to_owned(),
        Some(Found::Told((_, body))) => {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap();
            body.get("status").unwrap().as_str().unwrap().to_owned()
        }
        Some(Found::Made(head)) => head.path.clone(),
        Some(Found::Refused(words)) => words.code.to_string(),
    }
}

fn seen(served: &Served, id: &str) -> String {
    found(look(served, id).as_ref())
}

#[test]
fn one_looks_at_a_time_and_whoever_gives_up_leaves_it_as_it_was() {
    let served = served();
    let id = kept(&served, 60).unwrap();
    // Nobody has had the time to answer yet.
    assert_eq!(found(look_now(&served, &id).as_ref()), "queued");
    let first = look(&served, &id);
    assert_eq!((found(first.as_ref()).as_str(), seen(&served, &id).as_str()), ("waiting", "queued"));
    drop(first);
    assert_eq!(seen(&served, &id), "waiting");
}

#[test]
fn only_its_own_session_is_told_of_what_waits() {
    let served = served();
    let id = kept(&served, 60).unwrap();
    let ask = |method: Method, path: &str, asker: &Asker| {
        let path = path.replace("ID", &id);
        found(served.deferred.find(&request(method, &path), &served, asker).as_ref())
    };
    let other = Asker { who: "user:bob".to_owned(), ..ann() };
    let later = Asker { session: "s-2".to_owned(), ..ann() };
    for asker in [&other, &later] {
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(ask(method, "/responses/ID", asker), "not_found");
        }
    }
    for path in ["/responses/ID/input_items", "/v1/responses/ID?stream=true", "/responses/ID/else"] {
        assert_eq!(ask(Method::GET, path, &ann()), "response_waits");
    }
    assert_eq!(ask(Method::GET, "/responses/resp_held_00", &ann()), "not_found");
    assert_eq!(ask(Method::GET, "/responses/resp_00", &ann()), "nothing");
    assert_eq!(seen(&served, &id), "waiting");
    // What was made of it is the principal's.
    sent(&served, &id).unwrap().made("resp_1");
    assert_eq!(ask(Method::GET, "/responses/ID?a=b", &later), "/responses/resp_1?a=b");
    assert_eq!(ask(Method::GET, "/responses/ID", &other), "not_found");
}

#[test]
fn what_the_server_made_is_found_unless_its_id_is_none() {
    let served = served();
    for (made, expected) in
        [("resp_1", "/v1/responses/resp_1"), ("../models", "failed"), ("", "failed"), ("a?b", "failed")]
    {
        let id = kept(&served, 60).unwrap();
        sent(&served, &id).unwrap().made(made);
        assert_eq!(seen(&served, &id), expected, "{made}");
    }
}

#[test]
fn what_was_sent_and_not_answered_has_failed_and_is_not_sent_again() {
    let served = served();
    let id = kept(&served, 60).unwrap();
    drop(sent(&served, &id).unwrap());
    assert_eq!(seen(&served, &id), "failed");
    assert_eq!(seen(&served, &id), "failed");
}

#[test]
fn a_denial_ends_it_and_a_want_of_room_does_not() {
    let served = served();
    for (code, expected) in [(Code::Policy, "not_found"), (Code::Budget, "waiting"), (Code::Unavailable, "waiting")] {
        let id = kept(&served, 60).unwrap();
        let Some(Found::Waiting(_, later)) = look(&served, &id) else { unreachable!() };
        assert!(later.denied(&Refusal::builtin(code, "a-rule", "no"), &served, &ann()).is_none());
        assert_eq!(seen(&served, &id), expected, "{code:?}");
    }
}

#[test]
fn equal_requests_are_one() {
    let served = served();
    let id = with_body(&served, 60, b"one").unwrap();
    assert_eq!(with_body(&served, 60, b"one").unwrap(), id);
    assert_ne!(with_body(&served, 60, b"two").unwrap(), id);
    sent(&served, &id).unwrap().made("resp_1");
    assert_ne!(with_body(&served, 60, b"one").unwrap(), id);
}

#[test]
fn there_is_room_for_so_many_of_one_and_again_once_they_are_over() {
    let served = served();
    for _ in 0..MOST_OF_ONE {
        assert!(kept(&served, 0).is_some());
    }
    let id = kept(&served, 60).unwrap();
    for _ in 1..MOST_OF_ONE {
        assert!(kept(&served, 60).is_some());
    }
    assert_eq!(kept(&served, 60), None);
    sent(&served, &id).unwrap().made("resp_1");
    assert!(kept(&served, 60).is_some(), "what was sent takes no room");
    assert_eq!(kept(&served, 60), None);
}

#[test]
fn bodies_have_room_of_their_own() {
    let served = served();
    let large = |number: u8| vec![number; MAX_BODY_BYTES];
    assert_eq!(with_body(&served, 60, &[large(0), vec![0]].concat()), None);
    let kept = (0..=u8::MAX).take_while(|number| with_body(&served, 60, &large(*number)).is_some()).count();
    assert_eq!(kept, MAX_BYTES_OF_ONE / MAX_BODY_BYTES);
    assert!(with_body(&served, 60, b"").is_some());
}

#[test]
fn what_was_sent_makes_way_for_what_waits() {
    let served = served();
    let first = kept(&served, 60).unwrap();
    sent(&served, &first).unwrap().made("resp_1");
    for _ in 1..MOST {
        let id = kept(&served, 60).unwrap();
        sent(&served, &id).unwrap().made("resp_1");
    }
    assert!(kept(&served, 60).is_some());
    assert_eq!((seen(&served, &first).as_str(), served.deferred.lock().len()), ("not_found", MOST));
}

#[test]
fn what_waited_too_long_is_refused_and_forgotten() {
    let served = served();
    let id = kept(&served, 0).unwrap();
    assert_eq!(seen(&served, &id), "approval_timeout");
    assert_eq!(seen(&served, &id), "not_found");
}
