//! How much a recording keeps of what passes.

use serde_json::Value;
use sluice_tests::run::{Running, run};
use sluice_tests::wait::SOON;

use crate::stand::{OPERATORS, Stand, only_session, text};

/// Nobody has said it but the tests.
const PASSWORD: &str = "corr3ct-h0rse";

/// Types a password that a program asks for without an echo, and one that it reads from its input.
fn typed(stand: &Stand) -> Vec<String> {
    let ask =
        "stty -echo; printf 'password: '; read -r word; stty echo; echo \"got ${#word}\"; read -r seen; echo \"$seen\"";
    let mut asked = Running::start(&mut stand.person.terminal(&["-tt", "web@broker", ask]));
    let _prompt = asked.hear("password: ");
    asked.say(&format!("{PASSWORD}\n"));
    let _hidden = asked.hear("got 13");
    asked.say("plain-word\n");
    let said = asked.finish(SOON).done().stdout;
    assert!(said.contains("plain-word") && !said.contains(PASSWORD), "{said}");
    let mut piped = stand.script(&format!("echo {PASSWORD} | x web@broker 'read -r word; echo \"got ${{#word}}\"'"));
    assert_eq!(run(&mut piped, SOON).done().stdout, "got 13\n");
    stand.broker.closed_sessions().iter().filter_map(|session| text(session, "id")).collect()
}

#[test]
fn what_is_typed_is_counted_and_nowhere_in_the_recording() {
    let stand = Stand::open();
    let sessions = typed(&stand);
    assert_eq!(sessions.len(), 2);
    for id in sessions {
        let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
        assert!(replay.contains("got 13") && !replay.contains(PASSWORD), "{replay}");
        assert!(replay.contains(" bytes to the server are counted, not recorded)"), "{replay}");
        let events = stand.broker.json(&["replay", &id]);
        assert!(!Value::from(events).to_string().contains(PASSWORD));
    }
}

#[test]
fn what_is_typed_is_recorded_where_the_target_says_so() {
    let stand = Stand::with(OPERATORS, |host| host.with("typed: recorded"), |setup| setup);
    let sessions = typed(&stand);
    assert_eq!(sessions.len(), 2);
    for id in sessions {
        let replay = stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
        assert!(replay.lines().any(|line| line.trim() == format!("< {PASSWORD}")), "{replay}");
        assert!(!replay.contains("counted, not recorded"), "{replay}");
    }
}

/// A number of an event.
fn number(event: &Value, name: &str) -> u64 {
    event.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// What was recorded towards the client, and what was cut of it.
fn kept(stand: &Stand) -> (u64, u64) {
    let events = stand.broker.json(&["replay", &text(&only_session(stand), "id").unwrap_or_default()]);
    let sum = |kind: &str| {
        let of = |event: &&Value| {
            text(event, "event").as_deref() == Some(kind) && text(event, "toward").as_deref() == Some("client")
        };
        events.iter().filter(of).map(|event| number(event, "bytes")).sum()
    };
    (sum("passed"), sum("cut"))
}

#[test]
fn text_is_kept_to_a_mebibyte_and_copies_to_their_first_part() {
    let size = 300 << 10;
    let text = Stand::open();
    let _said = text.exec(&format!("head -c {size} /dev/zero | tr '\\0' x")).done();
    let (passed, cut) = kept(&text);
    assert!(passed > size && cut == 0, "{passed} {cut}");

    let copy = Stand::open();
    let get = format!(
        "head -c {size} /dev/urandom >big; scp -F \"$config\" -q web@broker:$there/big got; cmp big got; sha256sum <got"
    );
    let sum = run(copy.script(&get).env("there", copy.server.folder()), SOON).done().stdout;
    let (passed, cut) = kept(&copy);
    // Besides the copied bytes there are messages, of a few bytes each.
    assert!((64 << 10..80 << 10).contains(&passed), "{passed} {cut}");
    assert!(passed + cut > size, "{passed} {cut}");
    let session = only_session(&copy);
    let replay = copy.broker.cli(&["replay", &crate::stand::text(&session, "id").unwrap_or_default(), "--no-wait"]);
    let sum = sum.split_whitespace().next().unwrap_or_default();
    let line = format!("read {}/big: {size} bytes, sha256:{sum}", copy.server.folder().display());
    assert!(replay.done().stdout.contains(&line), "no `{line}`");
}
