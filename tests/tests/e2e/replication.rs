//! Replication: by nobody, unless it is permitted by name and nothing is protected.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, PASSWORD, Server, program};
use sluice_tests::run::{Finished, run};
use sluice_tests::wait::{SOON, until};
use sluice_tests::wire::{Wire, say};

use crate::shop::DATA;

const POLICY: &str = "\
    @id(\"r-read\") permit (principal in Group::\"readers\", action in [Action::\"connect\", Action::\"read\"], resource);\n\
    @id(\"r-connect\") permit (principal in Group::\"replicators\", action in [Action::\"connect\"], resource);\n\
    @id(\"r-all\") permit (principal in Group::\"replicators\", action == Action::\"postgres.replicate\", resource == Target::\"shop\");\n\
    @id(\"r-guarded\") permit (principal in Group::\"replicators\", action == Action::\"postgres.replicate\", resource == Target::\"guarded\");\n";

/// `shop` has no tagged column, `guarded` has.
fn open(role: &str) -> (Database, Broker) {
    let server = Server::shared();
    let database = server.database(DATA);
    let mut owner = server.admin("postgres");
    let _made = owner.query(&format!("CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}'")).ok();
    let rules = owner.query("SHOW hba_file").ok().rows().concat().into_iter().flatten().collect::<String>();
    let before = fs::read_to_string(&rules).unwrap_or_default();
    let line = format!("host replication {role} 127.0.0.1/32 scram-sha-256\n{before}");
    assert!(fs::write(&rules, line).is_ok());
    let _read = owner.query("SELECT pg_reload_conf()").ok();
    let guarded = Target { user: role.to_owned(), ..Target::new("guarded", "staging", &database) };
    let shop = Target { name: "shop".to_owned(), columns: Vec::new(), ..guarded.clone() };
    let mut setup = Setup::new(vec![shop, guarded]);
    setup.policies = vec![("test.cedar".to_owned(), POLICY.to_owned())];
    (database, Broker::start(&setup))
}

fn tool(broker: &Broker, name: &str, target: &str, token: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program(name));
    command.args(["-h", "localhost", "-p", &broker.port().to_string(), "-U", &format!("rep%{target}"), "-w"]);
    command.args(arguments).env("PGPASSWORD", token).env("LC_ALL", "C.UTF-8").current_dir(broker.folder());
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", broker.folder().join("var/tls/ca.pem"));
    run(&mut command, Duration::from_secs(60))
}

#[test]
fn whoever_may_replicate_uses_the_tools_of_postgresql() {
    let (database, broker) = open("rep_tools");
    let token = broker.token("rita", "replicators");
    let logical = |more: &[&str]| {
        tool(&broker, "pg_recvlogical", "shop", &token, &[&["-d", "shop", "-S", "sluice_test"], more].concat())
    };
    // The server's own reload is not waited for elsewhere.
    until(SOON, "a slot to be made", || {
        let made = logical(&["--create-slot", "--if-not-exists", "-P", "test_decoding"]);
        assert!(made.code == Some(0) || made.stderr.contains("pg_hba.conf"), "{}", made.said());
        (made.code == Some(0)).then_some(())
    });
    let _more = database.run("INSERT INTO orders VALUES (99, 1, 7.5)");
    let end = database.truth("SELECT pg_current_wal_lsn()");
    let seen = logical(&["--start", "-f", "-", "--endpos", &end, "--no-loop"]).done().stdout;
    assert!(seen.contains("table public.orders: INSERT: id[integer]:99"), "{seen}");
    let _dropped = logical(&["--drop-slot"]).done();

    let folder = broker.folder().join("backup");
    let at = folder.display().to_string();
    until(SOON, "a backup to be let in", || {
        let made =
            tool(&broker, "pg_basebackup", "shop", &token, &["-D", &at, "-X", "none", "-c", "fast", "--no-manifest"]);
        assert!(made.code == Some(0) || made.stderr.contains("pg_hba.conf"), "{}", made.said());
        (made.code == Some(0)).then_some(())
    });
    assert!(Path::new(&folder).join("PG_VERSION").exists());
    broker.log_is_clean();
}

/// What a client hears that starts to replicate and gives one command.
fn tried(broker: &Broker, group: &str, target: &str, kind: &str) -> Result<String, String> {
    let mut wire = Wire::tcp(broker.port());
    let parameters = [("user", "rita"), ("database", target), ("replication", kind)];
    wire.sign_in(&parameters, &broker.token("rita", group))?;
    wire.send(&say::query(b"IDENTIFY_SYSTEM"));
    let reply = wire.reply();
    match reply.error() {
        Some(said) => Err(format!("{} {}: {}", said.severity, said.sqlstate, said.message)),
        None => Ok(reply.tags()),
    }
}

#[test]
fn nobody_else_replicates_and_never_what_is_protected() {
    let (_database, broker) = open("rep_none");
    let token = broker.token("rita", "replicators");
    let tool = tool(&broker, "pg_recvlogical", "guarded", &token, &["-d", "guarded", "-S", "x", "--create-slot"]);
    assert!(tool.code == Some(1) && tool.stderr.contains("cannot be replicated"), "{}", tool.said());
    assert_eq!(tried(&broker, "replicators", "shop", "database"), Ok("TDCZ".to_owned()));
    for kind in ["database", "true"] {
        let said = tried(&broker, "replicators", "guarded", kind);
        assert!(said.as_ref().is_err_and(|said| said.contains("42501: a database with protected columns")), "{said:?}");
    }
    let said = tried(&broker, "readers", "shop", "database");
    assert!(said.as_ref().is_err_and(|said| said.starts_with("FATAL 42501")), "{said:?}");
    // SQL on such a connection is a command like every other.
    let mut wire = Wire::tcp(broker.port());
    let parameters = [("user", "rita"), ("database", "shop"), ("replication", "database")];
    let _in = wire.sign_in(&parameters, &broker.token("rita", "readers"));
    let _refused = wire.query("SELECT 1").refused("42501");
}
