//! Masks that need a key, and columns that may decide: both are masked where the result passes.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "tests")]

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::clients::{psql, python};
use sluice_tests::database::{Database, Server};
use sluice_tests::run::run;
use sluice_tests::wire::{Reply, Wire, say};

const DATA: &str = "\
    CREATE TABLE people(id int PRIMARY KEY, email text, ssn text, code varchar(8), num bigint, uid uuid, doc jsonb, born date);\
    INSERT INTO people VALUES\
     (1,'zq7x.k1@leak.example.com','900-55-0001','zq7x.k1@','900550001','00000000-0000-0000-0000-900550001000','{\"a\":\"900-55-0001\"}','1990-01-01'),\
     (2,'zq7x.k2@leak.example.com','900-55-0002',NULL,NULL,NULL,NULL,NULL),\
     (3,'zq7x.k1@leak.example.com','900-55-0001','zq7x.k1@','900550001','00000000-0000-0000-0000-900550001000','{\"a\":\"900-55-0001\"}','1990-01-01');\
    CREATE VIEW contacts AS SELECT id, email AS contact FROM people";

const POLICY: &str = "\
    @id(\"all-work\") permit (principal in Group::\"analysts\", action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n\
    @id(\"as-tokens\") permit (principal in Group::\"analysts\", action == Action::\"reveal.token\", resource in Tag::\"pii\");\n\
    @id(\"all-read\") permit (principal in Group::\"seekers\", action in [Action::\"connect\", Action::\"read\", Action::\"define\"], resource);\n\
    @id(\"may-filter\") permit (principal in Group::\"seekers\", action == Action::\"filter\", resource in Tag::\"pii\");\n";

const VEILED: &str = "the result of the statement that EXECUTE names is masked as it passes";

fn people() -> (Broker, Database) {
    let database = Server::shared().database(DATA);
    let tagged = [
        "email: pii.contact",
        "ssn: pii.number",
        "code: pii.contact",
        "num: pii.number",
        "uid: pii.contact",
        "doc: pii.contact",
        "born: pii.contact",
    ];
    let columns = tagged.iter().filter_map(|line| line.split_once(": "));
    let columns = columns.map(|(column, tag)| (format!("public.people.{column}"), tag.to_owned())).collect();
    let mut setup = Setup::new(vec![Target { columns, ..Target::new("people", "staging", &database) }]);
    setup.policies = vec![("people.cedar".to_owned(), POLICY.to_owned())];
    setup.more = "  - { tag: pii.number, token: fpe }".to_owned();
    (Broker::start(&setup), database)
}

fn as_member(broker: &Broker, group: &str) -> Wire {
    broker.wire("alice", "people", &broker.token("alice", group))
}

/// The first row's fields, by the extended protocol in one format.
fn extended(wire: &mut Wire, sql: &str, binary: bool) -> Reply {
    wire.send(&[say::parse("", sql), say::bind("", "", &[], binary), say::execute("", 0), say::sync()].concat());
    wire.reply()
}

#[test]
fn keyed_masks_are_stable_and_keep_the_type() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let rows = alice.query("SELECT email, ssn, code, num, uid, doc, born, id FROM people ORDER BY id").ok().rows();
    let [first, second, third] = rows.as_slice() else { panic!("{rows:?}") };
    let text = |at: usize| first.get(at).cloned().flatten().unwrap_or_default();
    assert!(text(0).starts_with("tok-contact-"), "{first:?}");
    assert!(text(1).len() == 11 && text(1).matches('-').count() == 2 && text(1) != "900-55-0001", "{first:?}");
    assert_eq!(text(2).len(), 8, "{first:?}");
    assert!(text(3).parse::<i64>().is_ok() && text(3).len() == 9, "{first:?}");
    assert_eq!(text(4).len(), 36, "{first:?}");
    assert!(text(5).starts_with("\"tok-"), "{first:?}");
    assert_eq!(first.get(6), Some(&None), "a date has no stand-in");
    assert_eq!(first.get(..7), third.get(..7), "equal values have equal stand-ins");
    assert_ne!(first.first(), second.first());
    assert!(second.iter().skip(2).take(5).all(Option::is_none), "NULL stays NULL: {second:?}");
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn every_format_and_portal_shows_the_same() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let sql = "SELECT email, num FROM people WHERE id = 1";
    let shown = alice.query(sql).ok().rows();
    assert_eq!(extended(&mut alice, sql, false).ok().rows(), shown);
    let binary = extended(&mut alice, sql, true);
    let frame = binary.frames.iter().find(|frame| frame.tag == 'D').map(|frame| frame.body.clone()).unwrap_or_default();
    let number = frame.last_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes).to_string());
    assert_eq!(number, shown.first().and_then(|row| row.get(1).cloned().flatten()));
    // A portal that is read a row at a time.
    alice.send(&[say::parse("s", "SELECT email FROM people ORDER BY id"), say::bind("p", "s", &[], false)].concat());
    alice.send(&[say::execute("p", 1), say::execute("p", 1), say::execute("p", 0), say::sync()].concat());
    let reply = alice.reply().ok();
    assert_eq!(reply.rows().len(), 3);
    assert!(reply.rows().iter().flatten().all(|value| value.as_ref().is_some_and(|value| value.starts_with("tok-"))));
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn what_is_computed_from_it_sees_a_mask_that_says_nothing() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    for (sql, expected) in [
        ("SELECT upper(email) FROM people WHERE id = 1", "***"),
        ("SELECT email || '' FROM people WHERE id = 1", "***"),
        ("SELECT encode(email::bytea, 'escape') FROM people WHERE id = 1", "***"),
        ("SELECT contact FROM contacts WHERE id = 1", "***"),
        ("SELECT DISTINCT email FROM people", "***"),
        ("SELECT count(email)::text FROM people", "3"),
    ] {
        assert_eq!(alice.query(sql).ok().rows(), [[Some(expected.to_owned())]], "{sql}");
    }
    let copied = alice.query("COPY people (id, email) TO STDOUT").ok();
    let data: Vec<u8> =
        copied.frames.iter().filter(|frame| frame.tag == 'd').flat_map(|frame| frame.body.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&data), "1\t***\n2\t***\n3\t***\n");
    for held in ["c CURSOR WITH HOLD FOR SELECT email", "c CURSOR FOR SELECT upper(email)"] {
        let _begun = alice.query(&format!("BEGIN; DECLARE {held} FROM people ORDER BY id")).ok();
        assert_eq!(alice.query("FETCH 1 FROM c").ok().rows(), [[Some("***".to_owned())]]);
        let _over = alice.query("ROLLBACK").ok();
    }
    let _made = alice.query("PREPARE q AS SELECT email FROM people WHERE id = $1").ok();
    assert_eq!(alice.query("EXECUTE q(1)").ok().rows(), [[Some("***".to_owned())]]);
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn what_execute_names_is_masked_as_it_is_itself() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let select = "SELECT email, num FROM people ORDER BY id";
    let plain = alice.query(select).ok().rows();
    alice.send(&[say::parse("s", select), say::sync()].concat());
    let _prepared = alice.reply().ok();
    assert_eq!(alice.query("EXECUTE s").ok().rows(), plain);
    assert_eq!(extended(&mut alice, "EXECUTE s", false).ok().rows(), plain);
    let stored = alice.query("CREATE TEMP TABLE kept AS EXECUTE s");
    assert!(stored.error().is_some(), "{}", stored.tags());
    assert_eq!(alice.query("SELECT 1; EXECUTE s").refused("42501").message, VEILED);
    // SQL PREPARE is redacted, through either protocol.
    let _made = extended(&mut alice, "PREPARE q AS SELECT email FROM people WHERE id = 1", false).ok();
    for reply in [alice.query("EXECUTE q"), extended(&mut alice, "EXECUTE q", false)] {
        assert_eq!(reply.ok().rows(), [[Some("***".to_owned())]]);
    }
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn returned_rows_are_masked() {
    let (broker, database) = people();
    let mut alice = as_member(&broker, "analysts");
    let row = alice.query("UPDATE people SET code = 'x' WHERE id = 1 RETURNING id, email").ok().rows();
    let selected = alice.query("SELECT id, email FROM people WHERE id = 1").ok().rows();
    assert_eq!(row, selected);
    let rows = alice.query("DELETE FROM people WHERE id = 3 RETURNING *").ok().rows();
    assert!(
        rows.iter()
            .flatten()
            .nth(1)
            .is_some_and(|value| value.as_deref().is_some_and(|value| value.starts_with("tok-"))),
        "{rows:?}"
    );
    let said = alice.query("DELETE FROM people WHERE id = 2 RETURNING upper(email)").refused("42501");
    assert!(said.message.contains("returned"), "{said:?}");
    let said = extended(&mut alice, "DELETE FROM people WHERE id = 2 RETURNING *", false).refused("42501");
    assert!(said.hint.contains("RETURNING"), "{said:?}");
    assert_eq!(database.truth("SELECT string_agg(id::text, ',' ORDER BY id) FROM people"), "1,2");
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn who_may_filter_decides_by_values_that_stay_masked() {
    let (broker, _database) = people();
    let mut sue = as_member(&broker, "seekers");
    let found = sue.query("SELECT id, email, ssn FROM people WHERE ssn = '900-55-0002'").ok().rows();
    assert_eq!(found, [[Some("2".to_owned()), Some("***".to_owned()), Some("***".to_owned())]]);
    let found = sue.query("SELECT email, count(*) FROM people GROUP BY email ORDER BY email").ok().rows();
    assert_eq!(found.len(), 2, "{found:?}");
    for sql in [
        "SELECT upper(ssn) FROM people WHERE ssn LIKE '9%'",
        "SELECT ssn LIKE '9%' FROM people",
        "SELECT min(ssn) FROM people WHERE ssn LIKE '9%'",
        "CREATE TABLE kept AS SELECT ssn FROM people",
        "COPY (SELECT ssn FROM people WHERE ssn LIKE '9%') TO STDOUT",
        "SELECT p FROM people p WHERE ssn LIKE '9%'",
        "SELECT (SELECT ssn FROM people WHERE ssn LIKE '9%' LIMIT 1)",
    ] {
        let said = sue.query(sql).refused("42501");
        assert!(said.detail.contains("unmaskable"), "{sql}: {said:?}");
    }
    let mut alice = as_member(&broker, "analysts");
    let said = alice.query("SELECT id FROM people WHERE ssn = '900-55-0002'").refused("42501");
    assert!(said.detail.contains("masked-filter"), "{said:?}");
    Scan::default().none_in("what the client heard", &[sue.heard, alice.heard].concat());
}

#[test]
fn a_row_that_is_too_large_to_mask_is_withheld() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let said = alice.query("SELECT repeat('x', 400000), email FROM people").refused("54000");
    assert!(said.detail.contains("row-too-large"), "{said:?}");
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn results_are_cut_off_at_what_policy_allows() {
    let database = Server::shared().database(DATA);
    let limits = "@id(\"few\") @max_rows(\"2\") permit (principal, action == Action::\"sql.read\", resource);\n\
                  @id(\"small\") @max_bytes(\"200\") permit (principal, action in [Action::\"sql.read\", Action::\"sql.copy_out\"], resource);\n";
    let mut setup = Setup::new(vec![Target::new("people", "staging", &database)]);
    setup.targets.iter_mut().for_each(|target| target.columns.clear());
    setup.policies =
        vec![("people.cedar".to_owned(), POLICY.to_owned()), ("limits.cedar".to_owned(), limits.to_owned())];
    let broker = Broker::start(&setup);
    let mut alice = as_member(&broker, "analysts");
    assert_eq!(alice.query("SELECT id FROM people LIMIT 2").ok().rows().len(), 2);
    let reply = alice.query("SELECT id FROM people ORDER BY id");
    assert_eq!((reply.tags().as_str(), reply.rows().len()), ("TDDEZ", 2));
    assert!(reply.refused("54000").detail.contains("result-limit"));
    let reply = extended(&mut alice, "SELECT id FROM people ORDER BY id", true);
    assert_eq!(reply.tags(), "12DDEZ");
    // All executions of a portal count together.
    alice.send(&[say::parse("", "SELECT id FROM people"), say::bind("p", "", &[], false)].concat());
    alice.send(&[say::execute("p", 1), say::execute("p", 1), say::execute("p", 1), say::sync()].concat());
    assert_eq!(alice.reply().tags(), "12DsDsEZ");
    let _large = alice.query("SELECT repeat('x', 300), id FROM people LIMIT 1").refused("54000");
    let _large = alice.query("COPY people TO STDOUT").refused("54000");
    let row = alice.query("UPDATE people SET code = 'x' RETURNING id");
    assert!(row.refused("54000").hint.contains("carried out"));
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn psql_shows_stand_ins() {
    let (broker, _database) = people();
    let alice = broker.token("alice", "analysts");
    let seen = run(
        psql(&broker, "alice", "people", &alice).args(["-c", "SELECT ssn FROM people ORDER BY id"]),
        std::time::Duration::from_secs(30),
    )
    .done();
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert!(lines.len() == 3 && lines.first() == lines.last() && lines.first() != lines.get(1), "{}", seen.said());
    Scan::default().none_in("what psql said", seen.said().as_bytes());
}

#[test]
fn a_portal_that_sql_fetches_from_stays_masked() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let portal = [say::parse("", "SELECT email, num FROM people ORDER BY id"), say::bind("p", "", &[], true)].concat();
    let plain = alice.query("SELECT email, num FROM people ORDER BY id").ok().rows();
    let fetch = say::parse("f", "FETCH ALL FROM p");
    let runs = [say::bind("", "f", &[], false), say::execute("", 0), say::sync()].concat();
    let _begun = alice.query("BEGIN").ok();
    alice.send(&[portal.clone(), fetch, runs].concat());
    assert_eq!(alice.reply().ok().rows(), plain);
    // By a simple query, and described first; one that was prepared cannot be hidden behind EXECUTE.
    for sql in ["ROLLBACK", "BEGIN"] {
        let _done = alice.query(sql).ok();
    }
    alice.send(&[portal.clone(), say::sync()].concat());
    let _bound = alice.reply().ok();
    assert_eq!(alice.query("FETCH 1 FROM p").ok().rows(), plain.get(..1).unwrap_or_default());
    let described = [say::named('D', 'S', "f"), say::bind("", "f", &[], false), say::named('D', 'P', "")].concat();
    alice.send(&[described, say::execute("", 0), say::sync()].concat());
    let reply = alice.reply().ok();
    assert_eq!((reply.tags().as_str(), reply.rows()), ("tT2TDDCZ", plain.get(1..).unwrap_or_default().to_vec()));
    let said = alice.query("EXECUTE f").refused("42501");
    assert!(said.detail.contains("nested-execute"), "{said:?}");
    let _over = alice.query("ROLLBACK").ok();
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn a_cursor_shows_what_a_query_shows() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let plain = alice.query("SELECT email, num FROM people ORDER BY id").ok().rows();
    let other = alice.query("SELECT id, uid FROM people ORDER BY id").ok().rows();
    let first = |rows: &[Vec<Option<String>>]| rows.iter().take(1).cloned().collect::<Vec<_>>();
    let declare = "DECLARE c CURSOR FOR SELECT email, num FROM people ORDER BY id";

    let whole = alice.query(&format!("BEGIN; {declare}; FETCH ALL FROM c; CLOSE c; COMMIT")).ok();
    assert_eq!((whole.tags().as_str(), whole.rows()), ("CCTDDDCCCZ", plain.clone()));

    // Statement by statement, and without waiting for any.
    let sent = ["BEGIN", declare, "MOVE 0 FROM c", "FETCH 1 FROM c", "FETCH 1 FROM nobody", "ROLLBACK"];
    alice.send(&sent.iter().flat_map(|sql| say::query(sql.as_bytes())).collect::<Vec<u8>>());
    let replies: Vec<Reply> = sent.iter().map(|_| alice.reply()).collect();
    assert_eq!(replies.get(3).map(Reply::rows), Some(first(&plain)));
    assert!(replies.get(4).is_some_and(|reply| rule_of(reply).contains("unknown-cursor")));

    // Through the extended protocol, in both formats; described, closed by a message, and never executed.
    let _begun = alice.query("BEGIN").ok();
    let _declared = extended(&mut alice, declare, true).ok();
    alice.send(&[say::named('D', 'P', "c"), say::sync()].concat());
    assert_eq!(alice.reply().ok().tags(), "TZ");
    assert_eq!(extended(&mut alice, "FETCH 1 FROM c", false).ok().rows(), first(&plain));
    let binary = extended(&mut alice, "FETCH 1 FROM c", true).ok();
    assert_eq!(binary.rows().concat().first(), plain.get(1).and_then(|row| row.first()));
    alice.send(&[say::named('C', 'P', "c"), say::sync()].concat());
    let _closed = alice.reply().ok();
    assert!(rule_of(&alice.query("FETCH 1 FROM c")).contains("unknown-cursor"));
    let _over = alice.query("ROLLBACK").ok();

    // Once a name stands for something else, the masks are those of that.
    let _begun = alice.query(&format!("BEGIN; {declare}; SAVEPOINT s")).ok();
    let _again = alice.query("CLOSE c; DECLARE c CURSOR FOR SELECT id, uid FROM people ORDER BY id").ok();
    assert_eq!(alice.query("FETCH 1 FROM c").ok().rows(), first(&other));
    let _back = alice.query("ROLLBACK TO s").ok();
    let _again = alice.query(declare).ok();
    assert_eq!(alice.query("FETCH 1 FROM c").ok().rows(), first(&plain));
    let _all = extended(&mut alice, "CLOSE ALL", false).ok();
    alice.send(&[say::parse("", "SELECT id FROM people"), say::bind("c", "", &[], false), say::sync()].concat());
    let _bound = alice.reply().ok();
    assert_eq!(alice.query("FETCH 1 FROM c").ok().rows(), [[Some("1".to_owned())]]);
    let _over = alice.query("ROLLBACK").ok();
    let _begun = alice.query(&format!("BEGIN; {declare}")).ok();
    alice.send(&[say::execute("c", 0), say::sync()].concat());
    assert_eq!(alice.reply().error().map(|error| error.sqlstate), Some("34000".to_owned()));
    let _over = alice.query("ROLLBACK").ok();
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn a_binary_cursor_is_masked_in_its_format() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let sql = "SELECT num FROM people WHERE id = 1";
    let plain = alice.query(sql).ok().rows().concat().into_iter().flatten().next();
    let fetched = alice.query(&format!("BEGIN; DECLARE c BINARY CURSOR FOR {sql}; FETCH c; COMMIT")).ok();
    let frame =
        fetched.frames.iter().find(|frame| frame.tag == 'D').map(|frame| frame.body.clone()).unwrap_or_default();
    assert_eq!(frame.last_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes).to_string()), plain);
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn each_statement_of_a_text_shows_what_it_shows_alone() {
    let (broker, database) = people();
    let mut alice = as_member(&broker, "analysts");
    let texts = [
        "SELECT email, id FROM people ORDER BY id",
        "SELECT 1 AS one",
        "SELECT id, num, code FROM people ORDER BY id",
        "UPDATE people SET born = '1990-01-01' WHERE id = 2 RETURNING email",
    ];
    let alone: Vec<_> = texts.iter().flat_map(|sql| alice.query(sql).ok().rows()).collect();
    let together = alice.query(&texts.join("; ")).ok();
    assert_eq!((together.tags().as_str(), together.rows()), ("TDDDCTDCTDDDCTDCZ", alone));
    assert!(
        together
            .rows()
            .first()
            .and_then(|row| row.first().cloned().flatten())
            .is_some_and(|text| text.starts_with("tok-"))
    );
    // One that fails takes what is behind it along, and no mask moves to another place.
    let failed = alice.query("SELECT email FROM people; SELECT 1/0; SELECT num FROM people");
    assert_eq!(failed.tags(), "TDDDCEZ");
    // What is computed in one of them makes the mask in all of them.
    let computed =
        alice.query("SELECT email FROM people WHERE id = 1; SELECT upper(email) FROM people WHERE id = 1").ok();
    assert_eq!(computed.rows().concat(), [Some("***".to_owned()), Some("***".to_owned())]);
    assert_eq!(database.truth("SELECT count(*) FROM people WHERE born = '1990-01-01'"), "3");
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn cursors_of_drivers_show_what_queries_show() {
    let (broker, _database) = people();
    let seen = python(&broker, "cursors.py", "alice", "people", &broker.token("alice", "analysts"));
    for way in ["psycopg text", "psycopg binary", "psycopg with a parameter", "psycopg2"] {
        assert_eq!(seen[way], seen["plain"], "{way}");
    }
    assert!(seen["plain"][0][1].as_str().is_some_and(|email| email.starts_with("tok-")), "{seen}");
    Scan::default().none_in("what the drivers saw", seen.to_string().as_bytes());
    broker.log_is_clean();
}

#[test]
fn names_that_servers_read_differently_are_refused() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let long = |bytes: usize| "x".repeat(bytes);
    for (name, certain) in
        [(long(59), true), (long(60), false), (format!("{}\u{e9}", long(62)), false), ("\u{c4}".to_owned(), false)]
    {
        for sql in [format!("DECLARE {name} CURSOR FOR SELECT email FROM people"), format!("FETCH ALL FROM {name}")] {
            for reply in [alice.query(&format!("BEGIN; {sql}; ROLLBACK")), extended(&mut alice, &sql, false)] {
                let said = reply.error().map(|error| error.detail).unwrap_or_default();
                assert_eq!(said.contains("uncertain-name"), !certain, "{sql}: {reply:?}");
            }
            let _over = alice.query("ROLLBACK");
        }
        let named = if name.len() < 64 { name } else { long(61) };
        alice.send(&[say::parse(&named, "SELECT email FROM people"), say::sync()].concat());
        let _prepared = alice.reply().ok();
        let reply = alice.query(&format!("EXECUTE {named}"));
        let said = reply.error().map(|error| error.detail).unwrap_or_default();
        assert_eq!(said.contains("uncertain-name"), !certain, "{named}: {reply:?}");
    }
    Scan::default().none_in("what the client heard", &alice.heard);
}

/// Messages of a batch, with its end.
fn batch(messages: &[Vec<u8>]) -> Vec<u8> {
    [messages.concat(), say::sync()].concat()
}

/// `Parse` and `Bind`.
fn bound(portal: &str, sql: &str) -> Vec<u8> {
    let statement = format!("of_{portal}");
    [say::parse(&statement, sql), say::bind(portal, &statement, &[], false)].concat()
}

fn closed(kind: char, name: &str) -> Vec<u8> {
    say::named('C', kind, name)
}

fn rule_of(reply: &Reply) -> String {
    reply.error().map(|error| error.detail).unwrap_or_default()
}

const FREE: &str = "DECLARE c CURSOR FOR SELECT id::text FROM people ORDER BY id";
const MASKED: &str = "DECLARE c CURSOR FOR SELECT email FROM people ORDER BY id";

#[test]
fn a_portal_of_fetch_shows_what_it_read_when_it_began() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let plain = alice.query("SELECT email FROM people ORDER BY id").ok().rows();
    // What it read stays masked: its cursor is gone, or its name stands for another.
    for renamed in [closed('P', "c"), [closed('P', "c"), bound("c", "SELECT id::text FROM people")].concat()] {
        let _begun = alice.query(&format!("BEGIN; {MASKED}")).ok();
        let messages = [bound("p", "FETCH ALL FROM c"), say::execute("p", 1), renamed, say::execute("p", 0)];
        alice.send(&batch(&messages));
        assert_eq!(alice.reply().ok().rows(), plain);
        alice.send(&batch(&[closed('S', "of_p"), closed('S', "of_c")]));
        let _forgotten = alice.reply().ok();
        let _over = alice.query("ROLLBACK").ok();
    }
    // In batches of its own each, one of them described.
    let _begun = alice.query(&format!("BEGIN; {MASKED}")).ok();
    alice.send(&batch(&[bound("p", "FETCH ALL FROM c"), say::execute("p", 1)]));
    let first = alice.reply().ok();
    assert_eq!((first.tags().as_str(), first.rows()), ("12DsZ", plain.get(..1).unwrap_or_default().to_vec()));
    let _other = alice.query(&format!("CLOSE c; {FREE}")).ok();
    alice.send(&batch(&[say::named('D', 'P', "p"), say::execute("p", 0)]));
    assert_eq!(alice.reply().ok().rows(), plain.get(1..).unwrap_or_default());
    assert_eq!(alice.query("FETCH 1 FROM c").ok().rows(), [[Some("1".to_owned())]]);
    let _over = alice.query("ROLLBACK").ok();
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn a_portal_of_fetch_that_was_skipped_has_read_nothing() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    let plain = alice.query("SELECT email FROM people ORDER BY id").ok().rows();
    let _begun = alice.query(&format!("BEGIN; {FREE}")).ok();
    alice.send(&batch(&[bound("p", "FETCH ALL FROM c")]));
    let _bound = alice.reply().ok();
    let _saved = alice.query("SAVEPOINT s").ok();
    alice.send(&batch(&[bound("fails", "SELECT 1 / 0"), say::execute("fails", 0), say::execute("p", 0)]));
    assert!(alice.reply().error().is_some());
    let _back = alice.query("ROLLBACK TO s").ok();
    let _other = alice.query(&format!("CLOSE c; {MASKED}")).ok();
    alice.send(&batch(&[say::execute("p", 0)]));
    assert_eq!(alice.reply().ok().rows(), plain);
    let _over = alice.query("ROLLBACK").ok();
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn nothing_reads_from_a_portal_that_reads_itself() {
    let (broker, database) = people();
    let mut alice = as_member(&broker, "analysts");
    let begun = format!("BEGIN; {MASKED}");
    // By the extended protocol, by a simple query, and after it has read.
    let by_portal = batch(&[bound("p", "FETCH ALL FROM c"), bound("q", "FETCH ALL FROM p"), say::execute("q", 0)]);
    let by_query = [batch(&[bound("p", "FETCH ALL FROM c")]), say::query(b"FETCH ALL FROM p")];
    let partly = [batch(&[bound("p", "FETCH ALL FROM c"), say::execute("p", 1)]), say::query(b"FETCH ALL FROM p")];
    for messages in [vec![by_portal], by_query.to_vec(), partly.to_vec()] {
        let mut wire = as_member(&broker, "analysts");
        let _begun = wire.query(&begun).ok();
        wire.send(&messages.concat());
        let replies: Vec<Reply> = messages.iter().map(|_| wire.reply()).collect();
        assert!(replies.last().is_some_and(|reply| rule_of(reply).contains("nested-fetch")), "{replies:?}");
        Scan::default().none_in("what the client heard", &wire.heard);
    }
    // The same where `MOVE` has it read.
    let _begun = alice.query(&format!("BEGIN; {FREE}")).ok();
    alice.send(&batch(&[bound("p", "FETCH ALL FROM c")]));
    let _bound = alice.reply().ok();
    let moved = alice.query(&format!("CLOSE c; {MASKED}; MOVE 1 IN p; CLOSE c; {FREE}"));
    assert!(rule_of(&moved).contains("nested-fetch"), "{moved:?}");
    let _over = alice.query("ROLLBACK").ok();
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    // What was refused left no name in the air.
    let fetched = alice.query(&format!("BEGIN; {FREE}; FETCH 1 FROM c; ROLLBACK")).ok();
    assert_eq!(fetched.rows(), [[Some("1".to_owned())]]);
    // A portal of EXECUTE whose statement is another by now.
    let renamed = |first: &str, second: &str| {
        let made = [say::parse("s", first), say::parse("e", "EXECUTE s"), say::bind("p", "e", &[], false)].concat();
        batch(&[made, closed('S', "s"), say::parse("s", second)])
    };
    for read in ["FETCH ALL FROM p", "MOVE ALL IN p"] {
        for (first, second) in [
            ("SELECT id::text FROM people", "SELECT email FROM people"),
            ("SELECT id FROM people", "DELETE FROM people WHERE id = 3 RETURNING id"),
        ] {
            for by_message in [true, false] {
                let mut wire = as_member(&broker, "analysts");
                let _begun = wire.query("BEGIN").ok();
                wire.send(&renamed(first, second));
                let _renamed = wire.reply().ok();
                let reply = if by_message { extended(&mut wire, read, false) } else { wire.query(read) };
                assert!(rule_of(&reply).contains("nested-fetch"), "{read} of {second}: {reply:?}");
                let _over = wire.query("COMMIT").ok();
                Scan::default().none_in("what the client heard", &wire.heard);
            }
        }
    }
    assert_eq!(database.truth("SELECT count(*) FROM people"), "3");
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn fetch_is_not_hidden_behind_execute() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    for read in ["FETCH ALL FROM c", "MOVE ALL IN c"] {
        let _begun = alice.query(&format!("BEGIN; {MASKED}")).ok();
        alice.send(&batch(&[say::parse("f", read)]));
        let _prepared = alice.reply().ok();
        assert!(rule_of(&alice.query("EXECUTE f")).contains("nested-execute"), "{read}");
        let _over = alice.query("ROLLBACK").ok();
        alice.send(&batch(&[closed('S', "f")]));
        let _closed = alice.reply().ok();
    }
}

#[test]
fn cursors_that_nobody_declared_are_not_read() {
    let (broker, _database) = people();
    let mut alice = as_member(&broker, "analysts");
    for read in ["FETCH 1 FROM nobody", "MOVE 1 IN nobody"] {
        for reply in [alice.query(read), extended(&mut alice, read, false)] {
            assert!(rule_of(&reply).contains("unknown-cursor"), "{read}: {reply:?}");
        }
    }
    // Those that outlive their transaction are known as long as they do, and after that to nobody.
    let held = "DECLARE h CURSOR WITH HOLD FOR SELECT email FROM people ORDER BY id";
    let _held = alice.query(&format!("BEGIN; {held}; {FREE}; COMMIT")).ok();
    assert_eq!(alice.query("FETCH 1 FROM h").ok().rows(), [[Some("***".to_owned())]]);
    assert_eq!(extended(&mut alice, "FETCH 1 FROM h", false).ok().rows(), [[Some("***".to_owned())]]);
    assert!(rule_of(&alice.query("FETCH 1 FROM c")).contains("unknown-cursor"));
    let _closed = alice.query("CLOSE h").ok();
    assert!(rule_of(&alice.query("FETCH 1 FROM h")).contains("unknown-cursor"));
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn no_function_of_the_server_reads_a_cursor() {
    let database = Server::shared().database(DATA);
    let calls = "@id(\"calls\") permit (principal, action == Action::\"sql.call\", resource);\n";
    for tagged in [true, false] {
        let mut target = Target::new("people", "staging", &database);
        target.columns = vec![("public.people.email".to_owned(), "pii.contact".to_owned())];
        target.columns.retain(|_| tagged);
        let mut setup = Setup::new(vec![target]);
        setup.policies =
            vec![("people.cedar".to_owned(), POLICY.to_owned()), ("calls.cedar".to_owned(), calls.to_owned())];
        let broker = Broker::start(&setup);
        let mut alice = as_member(&broker, "analysts");
        for call in ["cursor_to_xml('c', 9, true, false, '')", "pg_catalog.cursor_to_xmlschema('c', true, false, '')"] {
            for text in [format!("SELECT {call}"), format!("PREPARE x AS SELECT {call}")] {
                let _begun = alice.query(&format!("BEGIN; {MASKED}")).ok();
                for reply in [alice.query(&text), extended(&mut alice, &text, false)] {
                    assert_eq!(rule_of(&reply).contains("cursor-in-function"), tagged, "{text}: {reply:?}");
                }
                let _over = alice.query("ROLLBACK").ok();
            }
        }
        let executes = [say::parse("s", "SELECT 1"), say::parse("e", "EXECUTE s"), say::bind("p", "e", &[], false)];
        if !tagged {
            // What it reads by name may execute something else by then: one or the other, on one connection.
            alice.send(&batch(&executes));
            assert!(rule_of(&alice.reply()).contains("cursor-in-function"));
            let mut other = as_member(&broker, "analysts");
            let _begun = other.query("BEGIN").ok();
            other.send(&batch(&executes));
            let _bound = other.reply().ok();
            assert!(
                rule_of(&other.query("SELECT cursor_to_xml('p', 9, true, false, '')")).contains("cursor-in-function")
            );
        }
        assert_eq!(alice.query("SELECT pg_sleep(0)").ok().rows().len(), 1);
    }
}
