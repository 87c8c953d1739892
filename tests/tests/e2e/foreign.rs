//! The schema is changed by somebody else, past the broker, while sessions are open.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sluice_tests::canary::Scan;
use sluice_tests::clients::psql;
use sluice_tests::database::{OWNER, PASSWORD, program};
use sluice_tests::run::run;
use sluice_tests::wait::until;
use sluice_tests::wire::say;

use crate::shop::Shop;

const SOON: Duration = Duration::from_secs(30);

/// A command of psql that runs a statement past the broker, as another client would.
fn elsewhere(shop: &Shop, sql: &str) -> String {
    let server = &shop.database.server;
    let place = format!(
        "host=127.0.0.1 port={} user={OWNER} dbname={} password={PASSWORD} sslmode=disable",
        server.port(),
        shop.database.name
    );
    format!("\\! {} -XAtq '{place}' -c '{sql}'\n", program("psql").display())
}

fn script(shop: &Shop, text: &str) -> PathBuf {
    let file = shop.broker.folder().join("script.sql");
    assert!(fs::write(&file, text).is_ok());
    file
}

#[test]
fn psql_goes_on_when_somebody_else_makes_tables() {
    let shop = Shop::open();
    let alice = shop.broker.token("alice", "analysts");
    let text = [
        "SELECT count(*) FROM orders;\n".to_owned(),
        elsewhere(&shop, "CREATE TABLE fresh(n int); INSERT INTO fresh VALUES (7); GRANT ALL ON fresh TO app"),
        "SELECT n FROM fresh;\n".to_owned(),
        elsewhere(&shop, "DROP TABLE fresh; CREATE TABLE fresh(n int, m int); INSERT INTO fresh VALUES (8, 9); GRANT ALL ON fresh TO app"),
        "SELECT n, m FROM fresh;\nSELECT n, m FROM fresh;\nSELECT email FROM customers WHERE id = 1;\n".to_owned(),
    ]
    .concat();
    let file = script(&shop, &text);
    let seen = run(psql(&shop.broker, "alice", "shop", &alice).arg("-f").arg(file), SOON).done();
    assert_eq!(seen.stdout, "3\n7\n8|9\n***\n", "{}", seen.said());
    assert!(seen.stderr.contains("the schema changed") && seen.stderr.contains("Run it again"), "{}", seen.stderr);
    assert_eq!(seen.stderr.matches("ERROR").count(), 1, "{}", seen.stderr);
    shop.broker.log_is_clean();
}

#[test]
fn a_result_of_a_relation_made_anew_is_withheld_in_every_protocol() {
    let shop = Shop::open();
    let remake = |extra: &str| {
        let _made = shop.database.run(&format!(
            "DROP TABLE IF EXISTS fresh; CREATE TABLE fresh(n int{extra}); INSERT INTO fresh VALUES (7); GRANT ALL ON fresh TO app"
        ));
    };
    remake("");
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    assert_eq!(alice.query("SELECT n FROM fresh").ok().rows(), [[Some("7".to_owned())]]);
    remake(", m int");
    // Everything after the error up to Sync is skipped, as after an error of the server's own.
    alice.send(
        &[say::parse("", "SELECT n FROM fresh"), say::bind("", "", &[], false), say::named('D', 'P', "")].concat(),
    );
    alice.send(&[say::execute("", 0), say::sync()].concat());
    let reply = alice.reply();
    assert_eq!(reply.tags(), "12EZ", "{reply:?}");
    assert!(reply.refused("42501").hint.contains("Run it again"));
    assert_eq!(alice.query("SELECT n FROM fresh").ok().rows(), [[Some("7".to_owned())]]);
    // Of several statements, what follows the error is not shown either.
    remake(", m text");
    let reply = alice.query("SELECT n FROM fresh; SELECT id FROM orders");
    assert_eq!(reply.tags(), "EZ", "{reply:?}");
    assert_eq!(alice.query("SELECT id FROM orders").ok().rows().len(), 3);
}

#[test]
fn a_tagged_column_that_vanished_stops_the_database_until_it_is_back() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _seen = alice.query("SELECT id FROM customers").ok();
    let _renamed = shop.database.run("ALTER TABLE customers RENAME COLUMN ssn TO tax");
    // A name that is not known makes the broker look again; it finds that its protection has a hole.
    let said = alice.query("SELECT n FROM nowhere").refused("55000");
    assert!(said.message.contains("protection cannot be enforced"), "{said:?}");
    let said = alice.query("SELECT name FROM customers").refused("55000");
    assert!(said.message.contains("protection cannot be enforced"), "{said:?}");
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
    let refused = shop.broker.try_wire("alice", "shop", &shop.broker.token("alice", "analysts")).map(|_| ());
    assert!(refused.is_err_and(|said| said.contains("protection cannot be enforced")));
    let _back = shop.database.run("ALTER TABLE customers RENAME COLUMN tax TO ssn");
    until(Duration::from_secs(20), "the protection to hold again", || {
        alice.query("SELECT ssn FROM customers").error().is_none().then_some(())
    });
    Scan::default().none_in("what the client heard", &alice.heard);
}
