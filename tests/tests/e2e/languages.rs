//! Errors and notices quote values in every language of the server: none of a masked column reaches the client.

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::{Scan, contains};
use sluice_tests::database::{Database, Server};
use sluice_tests::wire::{Reply, Wire, say};

use crate::shop::DATA;

/// Rows may be read and written; masks are due.
/// What a trigger calls is called by whoever writes.
const WRITERS: &str = "\
    @id(\"write\") permit (principal, action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n\
    @id(\"call\") permit (principal, action == Action::\"sql.call\", resource);\n";

/// Constraints over what is masked, and a trigger that says and raises it.
const MORE: &str = "\
    INSERT INTO customers VALUES (4, 'Dora', 'zq7x.k1@leak.example.com', '900-55-0009', 'new'); \
    ALTER TABLE customers ALTER name SET NOT NULL, ADD CHECK (id < 100), ADD UNIQUE (email, name), ADD UNIQUE (ssn); \
    CREATE TABLE cards(ssn text REFERENCES customers(ssn)); \
    INSERT INTO cards VALUES ('900-55-0002'); \
    CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF NEW.notes = 'notice' THEN RAISE NOTICE 'changed %', NEW.email USING DETAIL = NEW.ssn, HINT = NEW.email; \
     ELSIF NEW.notes = 'warning' THEN RAISE WARNING 'changed %', NEW.email; \
     ELSIF NEW.notes = 'raise' THEN RAISE EXCEPTION 'bad %', NEW.ssn USING DETAIL = NEW.email, HINT = NEW.ssn; \
     ELSIF NEW.notes = 'cast' THEN PERFORM NEW.ssn::int; \
     ELSIF NEW.notes = 'date' THEN PERFORM NEW.email::date; \
     ELSIF NEW.notes = 'json' THEN PERFORM (quote_ident(NEW.email) || 'x')::json; \
     ELSIF NEW.notes = 'run' THEN EXECUTE 'SELECT ' || quote_ident(NEW.email); END IF; \
     RETURN NEW; END $$; \
    CREATE TRIGGER says BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION says()";

/// What makes the server quote a masked value, and the SQLSTATE that it does that with.
const QUOTING: &[(&str, &str)] = &[
    ("UPDATE customers SET name = 'Alice' WHERE id = 4", "23505"),
    ("UPDATE customers SET id = id + 100 WHERE id = 2", "23514"),
    ("UPDATE customers SET name = NULL WHERE id = 3", "23502"),
    ("DELETE FROM customers WHERE id = 2", "23503"),
    ("UPDATE customers SET notes = 'cast' WHERE id = 1", "22P02"),
    ("UPDATE customers SET notes = 'date' WHERE id = 1", "22007"),
    ("UPDATE customers SET notes = 'json' WHERE id = 2", "22P02"),
    ("UPDATE customers SET notes = 'run' WHERE id = 3", "42703"),
    ("UPDATE customers SET notes = 'raise' WHERE id = 1", "P0001"),
    ("UPDATE customers SET notes = 'notice' WHERE id = 2", "00000"),
    ("UPDATE customers SET notes = 'warning' WHERE id = 2", "01000"),
];

/// A report's SQLSTATE: that of the error, or else of the notice.
fn sqlstate(reply: &Reply) -> String {
    let said = reply.error().or_else(|| reply.notices().into_iter().next());
    said.map(|said| said.sqlstate).unwrap_or_default()
}

fn extended(wire: &mut Wire, sql: &str) -> Reply {
    let run = [say::parse("", sql), say::bind("", "", &[], false), say::execute("", 0), say::sync()];
    wire.send(&run.concat());
    wire.reply()
}

/// Runs everything directly and through a broker on a server that says `word` for an error.
fn quotes_nothing(server: &'static Server, word: &[u8]) {
    let database: Database = server.database(DATA);
    let _more = database.run(MORE);
    let mut setup = Setup::new(vec![Target::new("shop", "prod", &database)]);
    setup.policies = vec![("writers.cedar".to_owned(), WRITERS.to_owned())];
    let broker = Broker::start(&setup);
    let mut alice = broker.wire("alice", "shop", &broker.token("alice", "analysts"));
    let mut direct = server.admin(&database.name);
    let scan = Scan::default();
    for (sql, expected) in QUOTING {
        direct.heard.clear();
        let _begun = direct.query("BEGIN").ok();
        let reply = direct.query(sql);
        assert_eq!(sqlstate(&reply), *expected, "{sql}: {reply:?}");
        assert!(!scan.find(&direct.heard).is_empty(), "`{sql}` quotes no masked value: {reply:?}");
        let said_so = reply.error().is_none() || contains(&direct.heard, word);
        assert!(said_so, "`{sql}` is answered in another language: {reply:?}");
        let _over = direct.query("ROLLBACK").ok();
        for way in [Wire::query, extended] {
            let _begun = alice.query("BEGIN").ok();
            let reply = way(&mut alice, sql);
            assert_eq!(sqlstate(&reply), *expected, "{sql}: {reply:?}");
            scan.none_in(sql, &alice.heard);
            let _over = alice.query("ROLLBACK").ok();
        }
    }
    // Casts of what is read see the mask alone.
    for sql in
        ["SELECT email::int FROM customers", "SELECT ssn::date FROM customers", "SELECT email::json FROM customers"]
    {
        let reply = alice.query(sql);
        assert!(reply.error().is_some(), "{sql}: {reply:?}");
    }
    scan.none_in("what the client heard", &alice.heard);
    broker.log_is_clean();
}

#[test]
fn quoted_values_stay_hidden_in_english() {
    quotes_nothing(Server::shared(), b"ERROR");
}

#[test]
fn quoted_values_stay_hidden_in_german() {
    quotes_nothing(Server::german(), b"FEHLER");
}
