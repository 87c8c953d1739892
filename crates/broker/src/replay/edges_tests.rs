#![expect(clippy::unwrap_used, reason = "tests")]

use expect_test::{Expect, expect};
use sluice_model::SessionId;
use sluice_recording::Word;

use super::super::testing::{Tape, reader};
use super::super::trace::Trace;
use super::edges;

const SELECT: &str = r#"{"sql":"select 1"}"#;

/// The edges between sessions, one on a line, each place as session, flow and operation.
fn check(tapes: &mut [(&str, &mut Tape)], expected: &Expect) {
    let traces = tapes.iter_mut().map(|(session, tape)| {
        let (trace, whole) = Trace::read(&SessionId::new(session).unwrap(), reader(&tape.close()));
        assert!(whole);
        trace
    });
    let place = |place: &sluice_store::Place| format!("{} {}/{}", place.session, place.flow.0, place.op.0);
    let lines: Vec<String> = edges(traces.collect())
        .iter()
        .map(|edge| {
            format!("{} {} {} ({})", place(&edge.from), edge.tie.name(), place(&edge.to), edge.confidence.name())
        })
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

fn llm() -> Tape {
    Tape::open("llm", "openai", "http", 0)
}

fn sql() -> Tape {
    Tape::open("sql", "shop", "postgres", 5)
}

#[test]
fn a_turn_calls_a_tool_that_asks_for_the_same_text_and_its_result_returns() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "").at(20, 0).call(2, "call_1", SELECT).rule(2, Word::Allow);
    sql.at(30, 0).ask(1, "sql.read", "SELECT 2", &[]).at(31, 0).ask(2, "sql.read", " select 1;\n", &[]);
    llm.at(40, 1).turn(1, "call_1");
    // Every later turn brings the whole conversation again.
    llm.at(50, 2).turn(1, "call_1");
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/2 returns llm 1/1 (exact-id)
        llm 0/2 causes sql 0/1 (time)
        llm 0/2 causes sql 0/2 (digest)"#]],
    );
}

#[test]
fn equal_texts_go_to_the_first_that_is_not_taken() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "").call(2, "a", SELECT).rule(2, Word::Allow).call(3, "b", SELECT).rule(3, Word::Allow);
    sql.at(9, 0).ask(1, "sql.read", "select 1", &[]);
    sql.at(30, 0).ask(2, "sql.read", "select 1", &[]).at(31, 1).ask(2, "sql.read", "select 1", &[]);
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/1 calls llm 0/3 (exact-id)
        llm 0/2 causes sql 0/2 (digest)
        llm 0/3 causes sql 1/2 (digest)"#]],
    );
}

#[test]
fn what_happens_between_a_call_and_its_result_is_its_doing_by_time() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "").at(20, 0).call(2, "a", r#"{"id":7}"#).rule(2, Word::Allow);
    for (ms, op) in [(19, 1), (20, 2), (39, 3), (41, 4)] {
        sql.at(ms, 0).ask(op, "sql.read", "select * from orders", &[]);
    }
    llm.at(40, 1).turn(1, "a");
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/2 returns llm 1/1 (exact-id)
        llm 0/2 causes sql 0/2 (time)
        llm 0/2 causes sql 0/3 (time)"#]],
    );
}

#[test]
fn of_two_calls_at_once_the_one_whose_text_is_not_found_gets_the_rest() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "");
    llm.at(20, 0).call(2, "a", r#"{"id":7}"#).rule(2, Word::Allow).call(3, "b", SELECT).rule(3, Word::Allow);
    sql.at(30, 0).ask(1, "sql.read", "select 1", &[]).at(31, 0).ask(2, "sql.read", "select 7", &[]);
    llm.at(40, 1).turn(1, "a, b");
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/1 calls llm 0/3 (exact-id)
        llm 0/2 returns llm 1/1 (exact-id)
        llm 0/2 causes sql 0/2 (time)
        llm 0/3 returns llm 1/1 (exact-id)
        llm 0/3 causes sql 0/1 (digest)"#]],
    );
}

#[test]
fn a_refused_call_causes_nothing_and_a_held_one_only_once_it_is_approved() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "").call(2, "a", SELECT).rule(2, Word::Deny);
    llm.at(11, 0).call(3, "b", r#"{"sql":"delete from t"}"#).rule(3, Word::Hold).at(30, 0).approve(3);
    sql.at(20, 0).ask(1, "sql.read", "select 1", &[]).ask(2, "sql.write", "delete from t", &[]);
    sql.at(31, 0).ask(3, "sql.write", "delete from t", &[]);
    llm.at(40, 1).turn(1, "a,b");
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/1 calls llm 0/3 (exact-id)
        llm 0/3 returns llm 1/1 (exact-id)
        llm 0/3 causes sql 0/3 (digest)"#]],
    );
}

#[test]
fn a_call_that_nobody_is_asked_about_stands_where_its_turn_does() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "").at(20, 0).note("llm.call", &[("op", "1"), ("id", "a"), ("name", "query")]);
    sql.at(30, 0).ask(1, "sql.read", "select 1", &[]);
    llm.at(40, 1).turn(1, "a");
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 returns llm 1/1 (exact-id)
        llm 0/1 causes sql 0/1 (time)"#]],
    );
}

#[test]
fn an_id_that_is_used_again_belongs_to_the_newest_call_that_waits() {
    let mut llm = llm();
    llm.at(10, 0).turn(1, "").call(2, "call_0", "{}").rule(2, Word::Allow);
    llm.at(20, 1).turn(1, "call_0").call(2, "call_0", "{}").rule(2, Word::Allow);
    llm.at(30, 2).turn(1, "call_0").call(2, "call_0", "{}").rule(2, Word::Allow);
    check(
        &mut [("llm", &mut llm)],
        &expect![[r#"
            llm 0/1 calls llm 0/2 (exact-id)
            llm 0/2 returns llm 1/1 (exact-id)
            llm 1/1 calls llm 1/2 (exact-id)
            llm 1/2 returns llm 2/1 (exact-id)
            llm 2/1 calls llm 2/2 (exact-id)"#]],
    );
}

#[test]
fn the_connection_itself_and_what_the_model_side_asks_are_nobodys_doing() {
    let (mut llm, mut sql) = (llm(), sql());
    llm.at(10, 0).turn(1, "").at(20, 0).call(2, "a", "{}").rule(2, Word::Allow);
    sql.at(30, 0).ask(0, "sql.connect", "", &[]);
    llm.at(31, 1).ask(1, "tool.offer", "", &[]).at(32, 2).ask(1, "http.read", "GET /x", &[]);
    llm.at(40, 3).turn(1, "a");
    check(
        &mut [("llm", &mut llm), ("sql", &mut sql)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/2 returns llm 3/1 (exact-id)"#]],
    );
}

#[test]
fn a_command_is_the_doing_of_the_call_that_asked_for_it_however_it_is_written() {
    let mut llm = llm();
    let (mut web, mut db) = (Tape::open("web", "web", "ssh", 5), Tape::open("db", "db", "ssh", 6));
    llm.at(10, 0).turn(1, "");
    llm.at(20, 0).call(2, "a", r#"{"command":"ssh root@web.sluice 'cat  /etc/motd'"}"#).rule(2, Word::Allow);
    llm.at(20, 0).call(3, "b", r#"{"host":"web","command":"df -h; uptime"}"#).rule(3, Word::Allow);
    llm.at(20, 0).call(4, "c", r#"{"argv":["ssh","web.sluice","echo","$HOME"]}"#).rule(4, Word::Allow);
    // The same command at another target is not what the first call asked for.
    db.at(29, 0).ask(1, "ssh.inspect", "'cat' '/etc/motd'", &[]);
    web.at(30, 0).ask(1, "ssh.inspect", "'cat' '/etc/motd'", &[]);
    web.at(31, 1).ask(1, "ssh.inspect", "'df' '-h'; 'uptime'", &[]);
    web.at(32, 2).ask(1, "ssh.script", "echo $HOME", &[]).at(33, 3).ask(1, "ssh.pty", "pty xterm", &[]);
    llm.at(40, 1).turn(1, "a,b,c");
    check(
        &mut [("llm", &mut llm), ("web", &mut web), ("db", &mut db)],
        &expect![[r#"
        llm 0/1 calls llm 0/2 (exact-id)
        llm 0/1 calls llm 0/3 (exact-id)
        llm 0/1 calls llm 0/4 (exact-id)
        llm 0/2 returns llm 1/1 (exact-id)
        llm 0/2 causes web 0/1 (digest)
        llm 0/3 returns llm 1/1 (exact-id)
        llm 0/3 causes web 1/1 (digest)
        llm 0/4 causes db 0/1 (time)
        llm 0/4 returns llm 1/1 (exact-id)
        llm 0/4 causes web 2/1 (digest)
        llm 0/4 causes web 3/1 (time)"#]],
    );
}
