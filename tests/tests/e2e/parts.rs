//! Several databases of one target.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, Server};
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Wire, say};

use crate::shop::DATA;

const WRITE: &[u8] = b"DELETE FROM orders WHERE id = 10";

/// Two equal databases of one target.
struct Two {
    own: Database,
    other: Database,
    broker: Broker,
}

impl Two {
    fn with(policies: impl FnOnce(&str, &str) -> String) -> Self {
        let (own, other) = (Server::shared().database(DATA), Server::shared().database(DATA));
        let mut target = Target::new("shop", "prod", &own);
        target.databases.push(other.name.clone());
        let setup = Setup::new(vec![target]).policy("zz-parts.cedar", &policies(&own.name, &other.name));
        let broker = Broker::start(&setup);
        Self { own, other, broker }
    }

    fn wire(&self, database: Option<&str>) -> Wire {
        let target = database.map_or_else(|| "shop".to_owned(), |database| format!("shop/{database}"));
        self.broker.wire("alice", &target, &self.broker.token("alice", "analysts"))
    }

    fn waiting(&self) -> Value {
        until(SOON, "a request that waits", || self.broker.json(&["approvals", "list"]).into_iter().next())
    }
}

#[test]
fn approvers_see_the_database_and_approve_for_it_only() {
    let two = Two::with(|_, _| String::new());
    let dana = two.broker.token("dana", "dba-oncall");
    let mut digests = Vec::new();
    for (named, database) in [(None, &two.own), (Some(&two.own), &two.own), (Some(&two.other), &two.other)] {
        let mut alice = two.wire(named.map(|named| &*named.name));
        alice.send(&say::query(WRITE));
        let hold = two.waiting();
        assert_eq!((&hold["target"], &hold["part"]), (&Value::from("shop"), &Value::from(&*database.name)));
        let id = hold["id"].as_str().unwrap_or_default();
        let shown = two.broker.cli(&["approvals", "show", id]).done().stdout;
        assert!(shown.contains(&format!("shop/{} (prod)", database.name)), "{shown}");
        digests.push(hold["digest"].clone());
        let _denied = two.broker.cli_as(&dana, &["approvals", "deny", id]).done();
        let _refused = alice.reply().refused("42501");
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[1], digests[2]);
}

#[test]
fn recordings_lists_and_the_log_tell_the_database() {
    let two = Two::with(|_, _| String::new());
    let mut alice = two.wire(Some(&two.other.name));
    let _seen = alice.query("SELECT id FROM orders").ok();
    drop(alice);
    let listed = two.broker.closed_sessions();
    assert_eq!(listed[0]["part"], two.other.name.as_str(), "{listed:?}");
    let id = listed[0]["id"].as_str().unwrap_or_default();
    let place = format!("shop/{}", two.other.name);
    for lines in [vec!["sessions", "list"], vec!["sessions", "show", id], vec!["replay", id, "--no-wait"]] {
        let said = two.broker.cli(&lines).done().stdout;
        assert!(said.contains(&place), "{lines:?}: {said}");
    }
    let events = two.broker.json(&["replay", id]);
    assert_eq!(events[0]["part"], two.other.name.as_str(), "{events:?}");
    let began = two.broker.log();
    let began = began.lines().find(|line| line.contains("the session began") && line.contains(&two.other.name));
    assert!(began.is_some(), "{}", two.broker.log());
}

#[test]
fn policies_tell_databases_apart() {
    let two = Two::with(|own, other| {
        format!(
            "@id(\"no-orders\") forbid (principal, action == Action::\"sql.read\", resource == Table::\"shop/public/orders\")\
             when {{ context.base.part == \"{other}\" }};\n\
             @id(\"closed\") forbid (principal in Group::\"staff\", action == Action::\"postgres.connect\", resource)\
             when {{ context.base.part == \"{own}\" }};\n\
             @id(\"staff\") permit (principal in Group::\"staff\", action in Action::\"connect\", resource);"
        )
    });
    let _seen = two.wire(None).query("SELECT id FROM orders").ok();
    let refused = two.wire(Some(&two.other.name)).query("SELECT id FROM orders").refused("42501");
    assert!(refused.detail.contains("no-orders"), "{refused:?}");
    let token = two.broker.token("sam", "staff");
    assert!(two.broker.try_wire("sam", "shop", &token).is_err());
    let _in = two.broker.wire("sam", &format!("shop/{}", two.other.name), &token);
    assert!(two.broker.try_wire("sam", "shop/nowhere", &token).is_err());
}
