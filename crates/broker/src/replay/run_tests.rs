#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use expect_test::expect;
use serde_json::Value;
use sluice_model::{FlowId, SessionId};
use sluice_recording::{Word, Writer};
use sluice_store::Confidence;

use super::super::testing::{Tape, reader};
use super::*;

fn place(session: &str, flow: u32, op: u64) -> Place {
    Place { session: SessionId::new(session).unwrap(), flow: FlowId(flow), op: OpId(op) }
}

fn edges() -> Vec<Edge> {
    let edge = |from, tie, to, confidence| Edge { from, to, tie, confidence };
    vec![
        edge(place("llm", 0, 1), Tie::Calls, place("llm", 0, 2), Confidence::ExactId),
        edge(place("llm", 0, 2), Tie::Causes, place("sql", 0, 1), Confidence::Digest),
        edge(place("llm", 0, 2), Tie::Returns, place("llm", 1, 1), Confidence::ExactId),
    ]
}

/// `CommandComplete` of the PostgreSQL protocol.
const COMPLETE: &[u8] = b"C\0\0\0\rSELECT 1\0";

fn recordings() -> [Vec<u8>; 2] {
    let mut llm = Tape::open("llm", "openai", "http", 0);
    llm.at(10, 0).turn(1, "").at(20, 0).call(2, "call_1", r#"{"sql":"select 1"}"#).rule(2, Word::Allow).done(2).done(1);
    llm.at(2_040, 1).turn(1, "call_1").done(1);
    let mut sql = Tape::open("sql", "shop", "postgres", 1_000);
    sql.at(1_030, 0).ask(1, "sql.read", "select 1\n-- \x1b[2J", &[]).rule(1, Word::Allow).seen(1, COMPLETE).done(1);
    // The same id in another flow is another operation.
    sql.at(1_031, 1).ask(1, "sql.read", "select 2", &[]).rule(1, Word::Deny);
    [llm.close(), sql.close()]
}

async fn told(recordings: &[Vec<u8>], form: Form) -> (Vec<String>, Result<()>) {
    let mut lines = Vec::new();
    let names = [("llm", "openai"), ("sql", "shop")];
    let parts = recordings.iter().zip(names).map(|(bytes, (session, name))| Part {
        session: SessionId::new(session).unwrap(),
        name: name.to_owned(),
        reader: reader(bytes),
    });
    let replayed = replay_run(parts.collect(), &edges(), Pace::AtOnce, form, |line| lines.push(line.to_owned())).await;
    (lines, replayed)
}

/// What the broker says stands below what a client asked for: a text of many lines must not look like both.
#[tokio::test]
async fn a_request_of_many_lines_passes_for_nothing_else() {
    let forged = "select 1\n           allowed by all\nallowed by all\r\n000:00.040 robo> drop table a\n> x";
    let mut tape = Tape::open("sql", "shop", "postgres", 0);
    tape.at(30, 0).ask(1, "sql.read", forged, &[]).rule(1, Word::Deny);
    let (lines, replayed) = told(&[tape.close()], Form::Text { colours: false }).await;
    replayed.unwrap();
    let said: Vec<&str> = lines.iter().filter_map(|line| line.split_once(" | ").map(|(_, line)| line)).collect();
    let (first, rest) = (said.iter().position(|line| line.contains("select 1")).unwrap(), 5);
    assert!(said[first].starts_with("000:00.030 robo> select 1"), "{said:#?}");
    let marked = said[first + 1..first + rest].iter().all(|line| line.starts_with("           > "));
    assert!(marked && said[first + rest].starts_with("           refused by "), "{said:#?}");
}

#[tokio::test]
async fn sessions_are_told_on_one_timeline_and_deeds_stand_below_their_calls() {
    let (lines, replayed) = told(&recordings(), Form::Text { colours: false }).await;
    replayed.unwrap();
    expect![[r#"
        openai | session llm
        openai | agent:robo at prod/openai from 127.0.0.1:5000, 2027-01-15T08:00:00Z, in r-1
        openai | 000:00.010 robo> POST /responses (m)
        openai |            > user: hi
        openai |            allowed by all
        openai |     000:00.020 tool> query({"sql":"select 1"})
        openai |                allowed by all
        shop   | session sql
        shop   | agent:robo at prod/shop from 127.0.0.1:5000, 2027-01-15T08:00:01Z, in r-1
        shop   |         000:01.030 robo> select 1
        shop   |                    > -- \x1b[2J
        shop   |                    called by query (digest)
        shop   |                    allowed by all
        shop   |                    SELECT 1
        shop   | 000:01.031 robo> select 2
        shop   |            refused by all: no
        shop   | 000:01.031 ended (client)
        openai | 000:02.040 robo> POST /responses (m)
        openai |            > user: hi
        openai |            with the result of query (exact-id)
        openai |            allowed by all
        openai | 000:02.040 ended (client)"#]]
    .assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn documents_name_session_target_and_what_led_to_them() {
    let (lines, replayed) = told(&recordings(), Form::Json).await;
    replayed.unwrap();
    let documents: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents[0]["event"], "opened");
    assert_eq!(documents[0]["run"], "r-1");
    let deed = documents.iter().find(|document| document["causes"][0]["tie"] == "causes").unwrap();
    assert_eq!((&deed["session"], &deed["target"], &deed["op"]), (&"sql".into(), &"shop".into(), &1.into()));
    let cause = &deed["causes"][0];
    assert_eq!((&cause["session"], &cause["flow"], &cause["op"]), (&"llm".into(), &0.into(), &2.into()));
    assert_eq!(cause["confidence"], "digest");
    let times: Vec<u64> = documents.iter().map(|document| document["at_ns"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_recording_that_breaks_off_does_not_keep_the_others_back() {
    let [llm, mut sql] = recordings();
    let last = sql.len() - 10;
    sql[last] ^= 1;
    let (lines, replayed) = told(&[llm.clone(), sql], Form::Text { colours: false }).await;
    assert!(lines.iter().any(|line| line.contains("ended (client)") && line.starts_with("openai")), "{lines:?}");
    let error = format!("{:#}", replayed.unwrap_err());
    assert!(error.contains("session sql cannot be read on") && error.contains("damaged"), "{error}");
    // A session that is still open ends where it is.
    let header =
        sluice_recording::Header { session: SessionId::new("sql").unwrap(), anchor: sluice_model::UnixMicros(0) };
    let mut open = Vec::new();
    let (_writer, _) = Writer::begin(&header, &mut open);
    assert!(told(&[llm, open], Form::Json).await.1.is_ok());
}
