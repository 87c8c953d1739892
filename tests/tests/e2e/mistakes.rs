//! Mistakes of operators: one clear line each, and no secret in it.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use sluice_tests::broker::{Broker, Setup, Target, sluice};
use sluice_tests::clients::psql;
use sluice_tests::database::{Database, PASSWORD, Server, strange_authority};
use sluice_tests::run::{Finished, run};
use sluice_tests::wait::SOON;

use crate::shop::DATA;

fn database() -> Database {
    Server::shared().database(DATA)
}

/// Runs `sluice` in a folder whose configuration was changed.
fn with(change: impl FnOnce(&std::path::Path), arguments: &[&str]) -> Finished {
    let database = database();
    let folder = Setup::new(vec![Target::new("shop", "prod", &database)]).write();
    change(&folder);
    let mut command = Command::new(sluice());
    command.args(arguments).arg("--config").arg(folder.join("sluice.yaml")).env("NO_COLOR", "1");
    let seen = run(&mut command, SOON);
    let _gone = fs::remove_dir_all(&folder);
    assert!(!seen.said().contains(PASSWORD), "{}", seen.said());
    seen
}

fn edit(file: &std::path::Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap_or_default();
    assert!(text.contains(from), "no `{from}` in {}", file.display());
    assert!(fs::write(file, text.replace(from, to)).is_ok());
}

#[test]
fn a_sound_configuration_is_said_to_be_sound() {
    let seen = with(|_| {}, &["check"]);
    assert_eq!(seen.code, Some(0), "{}", seen.said());
    assert!(seen.stdout.contains("`public.customers.email`") && seen.stdout.contains("pii.contact"), "{}", seen.stdout);
}

#[test]
fn mistakes_in_the_configuration_are_named_with_their_place() {
    let unknown = |folder: &std::path::Path| edit(&folder.join("sluice.yaml"), "data_dir:", "data_dri: x\ndata_dir:");
    for command in ["check", "serve"] {
        let seen = with(unknown, &[command]);
        assert_eq!(seen.code, Some(1), "{command}: {}", seen.said());
        for expected in ["unknown section `data_dri`", "data_dir", "sluice.yaml:4:1"] {
            assert!(seen.said().contains(expected), "{command}: no `{expected}` in:\n{}", seen.said());
        }
    }
    let typed_in = |folder: &std::path::Path| {
        let file = folder.join("sluice.yaml");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let lines = text.lines().map(|line| {
            if line.contains("password:") {
                format!("    credential: {{ user: app, password: \"{PASSWORD}\" }}")
            } else {
                line.to_owned()
            }
        });
        assert!(fs::write(&file, lines.collect::<Vec<_>>().join("\n")).is_ok());
    };
    let seen = with(typed_in, &["check"]);
    assert_eq!(seen.code, Some(1), "{}", seen.said());
    assert!(seen.said().contains("env:") && seen.said().contains("file:"), "{}", seen.said());
}

#[test]
fn every_mistake_is_reported_at_once() {
    let seen = with(
        |folder| {
            let file = folder.join("sluice.yaml");
            edit(&file, "data_dir:", "data_dri: x\ndata_dir:");
            edit(&file, "protocol: postgres", "protocol: postgers");
            edit(&file, "postgres: 127.0.0.1:0", "postgres: nowhere");
        },
        &["check"],
    );
    for expected in ["data_dri", "postgers", "listen"] {
        assert!(seen.said().contains(expected), "no `{expected}` in:\n{}", seen.said());
    }
}

#[test]
fn a_policy_that_cannot_be_meant_is_named_with_its_place() {
    let bad = "@id(\"typo\")\npermit (principal, action == Action::\"sql.raed\", resource);\n";
    for command in ["check", "serve"] {
        let seen = with(|folder| assert!(fs::write(folder.join("policies/bad.cedar"), bad).is_ok()), &[command]);
        assert_eq!(seen.code, Some(1), "{command}: {}", seen.said());
        assert!(seen.said().contains("bad.cedar:") && seen.said().contains("sql.raed"), "{command}: {}", seen.said());
    }
}

#[test]
fn a_secret_that_is_missing_is_named() {
    let seen = with(|folder| assert!(fs::remove_file(folder.join("database.password")).is_ok()), &["check"]);
    assert_eq!(seen.code, Some(1), "{}", seen.said());
    assert!(seen.said().contains("database.password"), "{}", seen.said());
    let seen = with(
        |folder| {
            let file = folder.join("sluice.yaml");
            let source = format!("file:{}", folder.join("database.password").display());
            edit(&file, &source, "env:SLUICE_TEST_NOT_SET");
        },
        &["check"],
    );
    assert_eq!(seen.code, Some(1), "{}", seen.said());
    assert!(seen.said().contains("SLUICE_TEST_NOT_SET"), "{}", seen.said());
}

#[test]
fn a_secret_that_goes_missing_ends_no_more_than_it_must() {
    let database = database();
    let broker = Broker::start(&Setup::new(vec![Target::new("shop", "staging", &database)]));
    let token = broker.token("alice", "analysts");
    let mut before = broker.wire("alice", "shop", &token);
    assert!(fs::remove_file(broker.folder().join("database.password")).is_ok());
    let from = broker.log().len();
    let said = broker.try_wire("alice", "shop", &token).map(|_| ());
    assert!(said.as_ref().is_err_and(|said| !said.contains("database.password")), "{said:?}");
    broker.logs(from, "database.password");
    assert_eq!(before.query("SELECT 1").ok().status(), Some('I'));
    broker.log_is_clean();
}

#[test]
fn a_mask_on_a_column_that_does_not_exist_is_refused() {
    let seen = with(|folder| edit(&folder.join("sluice.yaml"), "customers.ssn", "customers.snn"), &["check"]);
    assert_eq!(seen.code, Some(1), "{}", seen.said());
    assert!(seen.said().contains("public.customers.snn"), "{}", seen.said());
}

/// What psql says when a target is not as it should be.
fn unreachable(change: impl FnOnce(&mut Target)) -> String {
    let database = database();
    let mut target = Target::new("shop", "staging", &database);
    change(&mut target);
    let broker = Broker::start(&Setup::new(vec![target]));
    let token = broker.token("alice", "analysts");
    let mut psql = psql(&broker, "alice", "shop", &token);
    let seen = run(psql.args(["-c", "SELECT 1"]), SOON);
    assert_eq!((seen.code, seen.stdout.as_str()), (Some(2), ""), "{}", seen.said());
    assert_eq!(seen.stderr.matches("FATAL").count(), 1, "{}", seen.stderr);
    assert!(!seen.stderr.contains("localhost:") || !seen.stderr.contains(&database.server.port().to_string()));
    broker.no_secret_in("what psql said", &seen.stderr);
    broker.log_is_clean();
    // The broker goes on.
    assert!(broker.process().is_running());
    seen.stderr
}

#[test]
fn a_server_that_is_down() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    let port = closed.map(|address| address.port()).unwrap_or_default();
    let said = unreachable(|target| target.port = port);
    assert!(said.contains("cannot be reached") || said.contains("unreachable"), "{said}");
}

#[test]
fn a_server_with_the_wrong_certificate() {
    let file = std::env::temp_dir().join(format!("sluice-test-ca-{}.pem", std::process::id()));
    assert!(fs::write(&file, strange_authority()).is_ok());
    let said = unreachable(|target| target.tls = format!("{{ ca: {} }}", file.display()));
    let _gone = fs::remove_file(file);
    assert!(said.contains("certificate"), "{said}");
    let said = unreachable(|target| target.tls = "verify-full".to_owned());
    assert!(said.contains("certificate"), "{said}");
}

#[test]
fn a_server_that_does_not_accept_the_credential() {
    let said = unreachable(|target| target.user = "nobody_there".to_owned());
    assert!(!said.contains("nobody_there"), "{said}");
}

#[test]
fn a_server_that_goes_away_ends_the_session_only() {
    let database = database();
    let broker = Broker::start(&Setup::new(vec![Target::new("shop", "staging", &database)]));
    let mut alice = broker.wire("alice", "shop", &broker.token("alice", "analysts"));
    let _seen = alice.query("SELECT 1").ok();
    let killed = database.truth("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sluice alice%' AND datname = current_database()");
    assert_eq!(killed, "t");
    let said = alice.rest();
    assert!(
        said.error().is_some_and(|error| error.sqlstate.starts_with("57P") || error.sqlstate == "08006"),
        "{said:?}"
    );
    let mut again = broker.wire("alice", "shop", &broker.token("alice", "analysts"));
    assert_eq!(again.query("SELECT 1").ok().status(), Some('I'));
}
