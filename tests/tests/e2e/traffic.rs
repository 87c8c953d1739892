//! Ordinary traffic: benchmarks, bulk copies, notifications.

use std::time::Duration;

use sluice_tests::broker::{Setup, Target};
use sluice_tests::canary::Scan;
use sluice_tests::clients::{pgbench, psql};
use sluice_tests::database::{ROLE, Server, program};
use sluice_tests::run::run;
use sluice_tests::wait::SOON;
use sluice_tests::wire::{Frame, Wire, say};

use crate::shop::Shop;

#[test]
fn pgbench_runs_in_every_mode() {
    let server = Server::shared();
    let database = server.database("SELECT 1");
    let mut fill = std::process::Command::new(program("pgbench"));
    fill.args(["-i", "-q", "-s", "1", "-h", "127.0.0.1", "-p", &server.port().to_string(), "-U", ROLE, &database.name]);
    let _filled = run(fill.env("PGPASSWORD", sluice_tests::database::PASSWORD), Duration::from_secs(60)).done();
    let mut target = Target::new("bench", "staging", &database);
    target.columns.clear();
    let broker = sluice_tests::broker::Broker::start(&Setup::new(vec![target]));
    let token = broker.token("alice", "analysts");
    for mode in ["simple", "extended", "prepared"] {
        let mut bench = pgbench(&broker, "alice", &token);
        bench.args(["-S", "-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50", "bench"]);
        let seen = run(&mut bench, Duration::from_secs(60)).done();
        assert!(seen.stdout.contains("number of transactions actually processed: 200/200"), "{mode}: {}", seen.said());
    }
    let mut bench = pgbench(&broker, "alice", &token);
    bench.args(["-n", "-M", "prepared", "-c", "2", "-t", "20", "bench"]);
    let seen = run(&mut bench, Duration::from_secs(60)).done();
    assert!(seen.stdout.contains("number of transactions actually processed: 40/40"), "{}", seen.said());
    broker.log_is_clean();
}

fn copied(wire: &mut Wire, sql: &str) -> Result<String, String> {
    let reply = wire.query(sql);
    let data = reply.frames.iter().filter(|frame| frame.tag == 'd').flat_map(|frame: &Frame| frame.body.clone());
    let text = String::from_utf8_lossy(&data.collect::<Vec<u8>>()).into_owned();
    reply.error().map_or(Ok(text), |said| Err(said.sqlstate))
}

#[test]
fn copy_out_works_where_nothing_is_masked_and_is_refused_elsewhere() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let orders = "10\t1\t99.50\n11\t1\t12.00\n12\t3\t7.25\n";
    assert_eq!(copied(&mut alice, "COPY orders TO STDOUT").as_deref(), Ok(orders));
    assert_eq!(copied(&mut alice, "COPY (SELECT id FROM orders ORDER BY id) TO STDOUT").as_deref(), Ok("10\n11\n12\n"));
    for sql in [
        "COPY customers TO STDOUT",
        "COPY customers (id, email) TO STDOUT (FORMAT binary)",
        "COPY (SELECT ssn FROM customers) TO STDOUT",
        "COPY (SELECT c FROM customers c) TO STDOUT CSV",
    ] {
        let seen = copied(&mut alice, sql);
        assert!(seen == Err("42501".to_owned()) || seen.is_ok_and(|text| text.contains("***")), "{sql}");
    }
    Scan::default().none_in("what the client heard", &alice.heard);
    assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn copy_in_works_where_policy_permits_it() {
    let shop = Shop::open();
    let alice = shop.broker.token("alice", "analysts");
    let mut seen = psql(&shop.broker, "alice", "shop", &alice);
    let file = shop.broker.folder().join("orders.csv");
    assert!(std::fs::write(&file, "20,2,1.5\n21,2,2.5\n").is_ok());
    let copy = format!("\\copy orders from '{}' csv", file.display());
    assert_eq!(run(seen.args(["-c", &copy]), SOON).done().stdout, "COPY 2\n");
    assert_eq!(shop.database.truth("SELECT count(*) FROM orders WHERE customer_id = 2"), "2");

    // A client that ends the copy with a failure leaves nothing and stays in step.
    let mut wire = shop.broker.wire("alice", "shop", &alice);
    wire.send(&say::query(b"COPY orders FROM STDIN"));
    assert_eq!(wire.frame().map(|frame| frame.tag), Some('G'));
    wire.send(&[say::message('d', b"30\t2\t9\n"), say::message('f', b"no\0")].concat());
    let _failed = wire.reply().refused("57014");
    assert_eq!(wire.query("SELECT count(*) FROM orders").ok().rows(), [[Some("5".to_owned())]]);

    let mut sue = shop.broker.wire("sue", "shop", &shop.broker.token("sue", "support"));
    let _refused = sue.query("COPY orders FROM STDIN").refused("42501");
}

#[test]
fn notifications_reach_who_may_listen() {
    let shop = Shop::open();
    let mut dana = shop.broker.wire("dana", "shop", &shop.broker.token("dana", "dba-oncall"));
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _refused = alice.query("LISTEN news").refused("42501");
    let _refused = alice.query("NOTIFY news, 'from alice'").refused("42501");
    let _listens = dana.query("LISTEN news").ok();
    let _sent = shop.database.run("NOTIFY news, 'from the server'");
    let heard = dana.frame();
    let body = heard.filter(|frame| frame.tag == 'A').map(|frame| String::from_utf8_lossy(&frame.body).into_owned());
    assert!(body.is_some_and(|body| body.contains("news\0from the server")));
}

#[test]
fn cursors_and_portals_page_through_masked_rows() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _begun = alice.query("BEGIN").ok();
    let sql = "SELECT id, email FROM customers ORDER BY id";
    let page = || say::execute("p", 1);
    let bytes = [say::parse("", sql), say::bind("p", "", &[], true), page(), page(), page(), page(), say::sync()];
    alice.send(&bytes.concat());
    let reply = alice.reply().ok();
    assert_eq!(reply.tags(), "12DsDsDsCZ");
    let _done = alice.query("COMMIT").ok();
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn own_definitions_are_known_at_once() {
    let shop = Shop::open();
    let mut dana = shop.broker.wire("dana", "shop", &shop.broker.token("dana", "dba-oncall"));
    let _made = dana.query("CREATE TABLE fresh (n int)").ok();
    let _filled = dana.query("INSERT INTO fresh VALUES (7)").ok();
    assert_eq!(dana.query("SELECT n FROM fresh").ok().rows(), [[Some("7".to_owned())]]);
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    assert_eq!(alice.query("SELECT n FROM fresh").ok().rows(), [[Some("7".to_owned())]]);
}
