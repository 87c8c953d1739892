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
fn copies_among_other_statements_keep_their_order() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    alice.send(&say::query(
        b"SELECT 1; COPY orders FROM STDIN; COPY orders FROM STDIN; COPY orders TO STDOUT; SELECT 2",
    ));
    let mut seen = String::new();
    for line in ["40\t1\t1\n", "41\t1\t1\n"] {
        let mut tag = 'x';
        while tag != 'G' {
            tag = alice.frame().map_or('G', |frame| frame.tag);
            seen.push(tag);
        }
        alice.send(&[say::message('d', line.as_bytes()), say::message('c', b"")].concat());
    }
    let rest = alice.reply().ok();
    assert_eq!(format!("{seen}{}", rest.tags()), "TDCGCGCHdddddcCTDCZ");
    assert_eq!(rest.rows().last(), Some(&vec![Some("2".to_owned())]));

    // An error between two of them skips the second.
    alice.send(&say::query(b"COPY orders FROM STDIN; SELECT 1/0; COPY orders FROM STDIN"));
    assert_eq!(alice.frame().map(|frame| frame.tag), Some('G'));
    alice.send(&[say::message('d', b"42\t1\t1\n"), say::message('c', b"")].concat());
    let _failed = alice.reply().refused("22012");
    assert_eq!(alice.query("SELECT count(*) FROM orders").ok().rows(), [[Some("5".to_owned())]]);
    let masked = alice.query("SELECT 1; COPY customers TO STDOUT").ok();
    assert_eq!(masked.tags(), "TDCHdddcCZ");
    Scan::default().none_in("what the client heard", &alice.heard);
}

#[test]
fn large_objects_may_be_asked_for_by_number() {
    const LO_CREATE: u32 = 715;
    const LO_UNLINK: u32 = 964;
    const LO_IMPORT: u32 = 764;
    let shop = Shop::open();
    let mut dana = shop.broker.wire("dana", "shop", &shop.broker.token("dana", "dba-oncall"));
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let call = |wire: &mut Wire, oid: u32, argument: &str| {
        wire.send(&say::function(oid, &[argument.to_owned()]));
        wire.reply()
    };
    assert_eq!(call(&mut dana, LO_CREATE, "7").ok().tags(), "VZ");
    assert_eq!(shop.database.truth("SELECT oid FROM pg_largeobject_metadata"), "7");
    let _refused = call(&mut alice, LO_UNLINK, "7").refused("42501");
    let _refused = call(&mut dana, LO_IMPORT, "/etc/hostname").refused("42501");
    assert_eq!(call(&mut dana, LO_UNLINK, "7").ok().tags(), "VZ");
    let _missing = call(&mut dana, LO_UNLINK, "7").refused("42704");
    assert_eq!(dana.query("SELECT 1").ok().status(), Some('I'));
}

#[test]
fn a_client_knows_the_process_that_serves_it() {
    let shop = Shop::open();
    let mut dana = shop.broker.wire("dana", "shop", &shop.broker.token("dana", "dba-oncall"));
    let said = dana.key.as_ref().map(|(process, _)| process.to_string());
    let told = dana.query("SELECT pg_backend_pid()").ok().rows().into_iter().flatten().flatten().next();
    assert!(said.is_some());
    assert_eq!(said, told);
}

#[test]
fn an_encoding_may_be_named_as_drivers_name_it() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _set = alice.query("SET client_encoding TO 'UNICODE'").ok();
    assert_eq!(alice.query("SELECT 'é'").ok().rows(), [[Some("é".to_owned())]]);
}

/// A `COPY` of the client's data through a portal, the way libpq sends it: with a `Sync` ahead that the server passes over.
fn extended_copy(sql: &str) -> Vec<u8> {
    [say::parse("", sql), say::bind("", "", &[], false), say::execute("", 0), say::sync()].concat()
}

#[test]
fn copy_works_through_the_extended_protocol() {
    let shop = Shop::open();
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    for (options, data) in [
        ("", &b"40\t1\t2\n41\t1\t3\n"[..]),
        ("(FORMAT csv)", b"42,1,4\n43,1,5\n"),
        (
            "(FORMAT binary)",
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x2c\0\0\0\x04\0\0\0\x01\xff\xff\xff\xff\xff\xff",
        ),
    ] {
        alice.send(&extended_copy(&format!("COPY orders FROM STDIN {options}")));
        let begun: String = (0..3).filter_map(|_| alice.frame()).map(|frame| frame.tag).collect();
        assert_eq!(begun, "12G", "{options}");
        alice.send(&[say::message('d', data), say::message('c', b""), say::sync()].concat());
        let reply = alice.reply().ok();
        assert_eq!(reply.tags(), "CZ", "{options}");
    }
    assert_eq!(shop.database.truth("SELECT count(*) FROM orders WHERE id BETWEEN 40 AND 44"), "5");
    alice.send(&extended_copy("COPY orders TO STDOUT (FORMAT csv)"));
    assert_eq!(alice.reply().ok().tags(), format!("12H{}cCZ", "d".repeat(8)));

    // It fails at once, on its way, and by the client's own word: each time the session stays in step.
    alice.send(
        &[extended_copy("COPY orders FROM STDIN (FORMAT nonsense)"), say::message('c', b""), say::sync()].concat(),
    );
    let _refused = alice.reply().refused("22023");
    assert_eq!(alice.reply().ok().tags(), "Z");
    for (data, state) in [(say::message('d', b"x\ty\n"), "22P02"), (say::message('f', b"no\0"), "57014")] {
        alice.send(&extended_copy("COPY orders FROM STDIN"));
        let begun: String = (0..3).filter_map(|_| alice.frame()).map(|frame| frame.tag).collect();
        assert_eq!(begun, "12G");
        alice.send(&[data, say::message('c', b""), say::sync()].concat());
        let _failed = alice.reply().refused(state);
        assert_eq!(alice.query("SELECT 1").ok().status(), Some('I'), "{state}");
    }
    // Data that would need a mask does not pass this way either.
    alice.send(&extended_copy("COPY customers TO STDOUT"));
    let reply = alice.reply();
    assert!(reply.error().is_some_and(|said| said.sqlstate == "42501") || !reply.tags().contains('E'));
    Scan::default().none_in("what the client heard", &alice.heard);
    shop.broker.log_is_clean();
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
fn payloads_are_for_who_may_see_every_class_or_that_channel() {
    const LISTENERS: &str = "\
        @id(\"listen\") permit (principal in Group::\"ears\", action in [Action::\"connect\", Action::\"sql.session\"], resource);\n\
        @id(\"news\") permit (principal in Group::\"ears\", action == Action::\"sql.listen\", resource)\n\
        unless { resource == Channel::\"shop/closed\" };\n\
        @id(\"own\") permit (principal in Group::\"ears\", action == Action::\"reveal\", resource == Channel::\"shop/Open News\");\n\
        @id(\"some\") permit (principal in Group::\"half\", action == Action::\"reveal\", resource in Tag::\"pii.contact\");\n\
        @id(\"all\") permit (principal in Group::\"whole\", action == Action::\"reveal\", resource);\n";
    let shop = Shop::with(|setup| setup.policy("listeners.cedar", LISTENERS));
    let heard = |wire: &mut Wire| {
        let heard = wire.frame().filter(|frame| frame.tag == 'A');
        heard.map(|frame| String::from_utf8_lossy(frame.body.get(4..).unwrap_or_default()).into_owned())
    };
    let secret = "zq7x.k1@leak.example.com";
    for (groups, news) in [(&["ears"][..], ""), (&["ears", "half"], ""), (&["ears", "whole"], secret)] {
        let mut arguments = vec!["--user", "eve", "--ttl", "1h"];
        groups.iter().for_each(|group| arguments.extend(["--group", group]));
        let mut eve = shop.broker.wire("eve", "shop", &shop.broker.mint(&arguments));
        let refused = eve.query("LISTEN closed").refused("42501");
        assert!(refused.message.contains("closed") || refused.detail.contains("default-deny"), "{refused:?}");
        let _listens = eve.query("LISTEN news; LISTEN \"Open News\"; UNLISTEN nothing").ok();
        let _sent = shop.database.run(&format!("NOTIFY news, '{secret}'"));
        assert_eq!(heard(&mut eve), Some(format!("news\0{news}\0")), "{groups:?}");
        let _sent = shop.database.run(&format!("NOTIFY \"Open News\", '{secret}'"));
        assert_eq!(heard(&mut eve), Some(format!("Open News\0{secret}\0")), "{groups:?}");
        eve.send(&say::extended("LISTEN \"Open News\""));
        let _again = eve.reply().ok();
        let told = eve.query("SELECT pg_notify('news', 'from eve')").ok();
        assert!(told.tags().contains('A'), "{told:?}");
        let _refused = eve.query("SELECT pg_notify('closed', 'from eve')").refused("42501");
    }
}

#[test]
fn who_only_listens_hears_no_payload_that_policy_or_tags_have_taken_away() {
    const LISTEN: &str = "\
        @id(\"ears\") permit (principal in Group::\"ears\", action in [Action::\"connect\", Action::\"sql.session\"], resource);\n\
        @id(\"news\") permit (principal in Group::\"ears\", action == Action::\"sql.listen\", resource);\n";
    const REVEAL: &str =
        "@id(\"all\") permit (principal in Group::\"ears\", action == Action::\"reveal\", resource);\n";
    let shop = Shop::with(|setup| setup.policy("zz-ears.cedar", &format!("{LISTEN}{REVEAL}")));
    let listening = || {
        let token = shop.broker.token("eve", "ears");
        let mut eve = shop.broker.wire("eve", "shop", &token);
        let _listens = eve.query("LISTEN news").ok();
        eve
    };
    let secret = "zq7x.k1@leak.example.com";
    let notify = || {
        let _sent = shop.database.run(&format!("NOTIFY news, '{secret}'"));
    };
    let heard = |wire: &mut Wire| {
        let heard = wire.frame().filter(|frame| frame.tag == 'A');
        heard.map(|frame| String::from_utf8_lossy(frame.body.get(4..).unwrap_or_default()).into_owned())
    };
    let (shown, withheld) = (Some(format!("news\0{secret}\0")), Some("news\0\0".to_owned()));
    let mut eve = listening();
    notify();
    assert_eq!(heard(&mut eve), shown);
    let rule = |text: &str| {
        let from = shop.broker.log().len();
        assert!(std::fs::write(shop.broker.folder().join("policies/zz-ears.cedar"), text).is_ok());
        shop.broker.logs(from, "the configuration was reloaded");
    };
    rule(LISTEN);
    notify();
    assert_eq!(heard(&mut eve), withheld);
    rule(&format!("{LISTEN}{REVEAL}"));
    let mut late = listening();
    notify();
    assert_eq!((heard(&mut eve), heard(&mut late)), (withheld.clone(), shown));
    // Tags that the session does not know.
    let ssn = "      \"public.customers.ssn\": [pii]\n";
    shop.reload(|text| text.replacen(ssn, &format!("{ssn}      \"public.customers.notes\": [pii]\n"), 1));
    notify();
    assert_eq!(heard(&mut late), withheld);
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

#[test]
fn whoever_leaves_after_a_pipeline_gets_every_answer() {
    let shop = Shop::open();
    let token = shop.broker.token("alice", "analysts");
    let many: Vec<u8> = (0..50).flat_map(|_| say::extended("SELECT count(*) FROM orders")).collect();
    let pipelines = [
        say::query(b"SELECT generate_series(1, 20000)"),
        [many.clone(), say::query(b"SELECT 1/0"), many.clone()].concat(),
        // The server says nothing of what no `Sync` follows.
        [many, say::parse("", "SELECT 1")].concat(),
    ];
    for (at, pipeline) in pipelines.iter().enumerate() {
        let ends = [("half-close", &[][..]), ("terminate", &say::terminate())];
        for (how, end) in ends {
            let heard = [shop.database.server.admin(&shop.database.name), shop.broker.wire("alice", "shop", &token)];
            let [direct, through] = heard.map(|mut wire| {
                wire.send(&[pipeline, end].concat());
                if end.is_empty() {
                    wire.half_close();
                }
                // Errors are in words of the broker's choice.
                let bytes = |frame: Frame| (frame.tag, if frame.tag == 'E' { Vec::new() } else { frame.body });
                wire.rest().frames.into_iter().map(bytes).collect::<Vec<_>>()
            });
            assert!(!direct.is_empty() && through == direct, "{how} {at}: {} {}", direct.len(), through.len());
        }
    }
    shop.broker.log_is_clean();
}
