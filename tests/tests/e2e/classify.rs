//! `sluice classify` and `sluice grants` at a real server.

use std::fs;

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::database::{Database, OWNER, Server};

const DATA: &str = "\
    CREATE TABLE customers(id int PRIMARY KEY, name text, email text, ssn text, notes text);\
    CREATE TABLE \"Odd People\"(id int, \"contactInfo\" text, blob text, birth_date date);\
    CREATE TABLE orders(id int PRIMARY KEY, total numeric);\
    CREATE VIEW contacts AS SELECT id, email FROM customers;\
    COMMENT ON COLUMN \"Odd People\".blob IS 'Sensitive: 900-55-0001';\
    INSERT INTO customers SELECT i, 'n', 'zq7x.k' || i || '@leak.example.com', '900-55-000' || i, 'hello' FROM generate_series(1, 3) i;\
    INSERT INTO \"Odd People\" SELECT i, 'zq7x.k1@leak.example.com', 'x', NULL FROM generate_series(1, 3) i";

fn shop() -> (Broker, Database) {
    let database = Server::shared().database(DATA);
    let broker = Broker::start(&Setup::new(vec![Target::new("shop", "staging", &database)]));
    (broker, database)
}

#[test]
fn tags_are_proposed_and_no_value_is_printed() {
    let (broker, _database) = shop();
    let found = broker.json(&["classify", "shop"]);
    let of = |column: &str| found.iter().find(|one| one.get("column").and_then(|name| name.as_str()) == Some(column));
    let tags = |column: &str| of(column).map(|one| format!("{} {} {}", one["tags"], one["because"], one["tagged"]));
    assert_eq!(
        tags("public.customers.email").as_deref(),
        Some(r#"["pii.contact.email"] ["name","values"] true"#),
        "{found:?}"
    );
    assert_eq!(tags("public.Odd People.contactInfo").as_deref(), Some(r#"["pii.contact.email"] ["values"] false"#));
    assert_eq!(tags("public.Odd People.blob").as_deref(), Some(r#"["pii"] ["comment"] false"#));
    assert_eq!(tags("public.Odd People.birth_date").as_deref(), Some(r#"["pii.birth"] ["name"] false"#));
    assert!(of("public.customers.notes").is_none() && of("public.orders.total").is_none(), "{found:?}");
    let unsampled = broker.json(&["classify", "shop", "--no-samples"]);
    assert!(unsampled.iter().all(|one| one["sampled"] == 0), "{unsampled:?}");

    let file = broker.folder().join("tags.yaml");
    let file = file.to_str().unwrap_or_default();
    let said = broker.cli(&["classify", "shop", "--write", file]).done();
    let written = fs::read_to_string(file).unwrap_or_default();
    assert!(
        written.contains("\"public.Odd People.contactInfo\": [pii.contact.email]   # values; 3 of 3 values"),
        "{written}"
    );
    assert!(broker.cli(&["classify", "shop", "--write", file]).code != Some(0), "a file is never replaced");
    let printed = broker.cli(&["classify", "shop"]).done();
    let all = [said.said(), written, printed.said(), format!("{found:?}")].concat();
    Scan::default().none_in("what was printed", all.as_bytes());
}

/// With the grants PostgreSQL itself refuses what the masks hide, and the broker goes on working.
#[test]
fn grants_hold_where_the_broker_is_not() {
    let (broker, database) = shop();
    let printed = broker.cli(&["grants", "shop"]).done().stdout;
    assert!(printed.contains("REVOKE SELECT ON \"public\".\"customers\" FROM \"app\", PUBLIC;"), "{printed}");
    assert!(
        printed.contains("GRANT SELECT (\"id\", \"name\", \"notes\") ON \"public\".\"customers\" TO \"app\";"),
        "{printed}"
    );
    assert!(printed.contains("GRANT SELECT (\"id\") ON \"public\".\"contacts\" TO \"app\";"), "{printed}");
    assert!(printed.contains("GRANT SELECT ON \"public\".\"orders\" TO \"app\";"), "{printed}");
    let _owned = database.run(&format!(
        "ALTER TABLE customers OWNER TO {OWNER}; ALTER VIEW contacts OWNER TO {OWNER}; ALTER TABLE orders OWNER TO {OWNER};\
         ALTER TABLE \"Odd People\" OWNER TO {OWNER}"
    ));
    let sql: Vec<&str> = printed.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("--")).collect();
    let _granted = database.run(&sql.join("\n"));
    let mut direct = database.server.direct("app", &database.name);
    for sql in [
        "SELECT email FROM customers",
        "SELECT * FROM customers",
        "SELECT c FROM customers c",
        "SELECT email FROM contacts",
    ] {
        let _refused = direct.query(sql).refused("42501");
    }
    let mut alice = broker.wire("alice", "shop", &broker.token("alice", "analysts"));
    let rows = alice.query("SELECT * FROM customers WHERE id = 1").ok().rows();
    let shown: Vec<&str> = rows.iter().flatten().flatten().map(String::as_str).collect();
    assert_eq!(shown, ["1", "n", "***", "***", "hello"]);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let (broker, _database) = shop();
    for command in ["classify", "grants"] {
        let said = broker.cli(&[command, "nowhere"]);
        assert!(said.code == Some(1) && said.stderr.contains("no target is called `nowhere`"), "{}", said.said());
        assert!(broker.cli(&[command, "--help"]).done().stdout.contains("Example:"));
    }
}
