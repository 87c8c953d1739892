//! As whom the broker signs in at the server: roles and logins per principal, commands that print passwords, certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{PASSWORD, ROLE, Server};
use sluice_tests::wait::{SOON, until};

use crate::shop::{DATA, Shop};

const WHO: &str = "SELECT session_user || ' ' || current_user";

/// What one statement shows somebody.
fn shown(broker: &Broker, user: &str, group: &str, sql: &str) -> Result<String, String> {
    let mut wire = broker.try_wire(user, "shop", &broker.token(user, group))?;
    let reply = wire.query(sql);
    match reply.error() {
        Some(error) => Err(format!("{} {}", error.sqlstate, error.message)),
        None => Ok(reply.rows().concat().into_iter().flatten().collect()),
    }
}

/// Adds to the target `shop` only.
fn with(target: &'static str) -> impl FnOnce(&str) -> String {
    move |yaml| yaml.replacen("    environment: staging\n", &format!("    environment: staging\n{target}"), 1)
}

#[test]
fn each_principal_has_the_role_that_fits_and_cannot_leave_it() {
    let admin = Server::shared();
    let _made = admin
        .admin("postgres")
        .query("CREATE ROLE shop_reader; CREATE ROLE shop_alice; GRANT shop_reader, shop_alice TO app")
        .ok();
    let roles = "    roles:\n      - { principal: \"user:alice\", role: shop_alice }\n      \
                 - { group: analysts, role: shop_reader }\n";
    let shop = Shop::configured(|setup| setup, with(roles));
    let _granted = shop.database.run("GRANT SELECT ON orders TO shop_reader, shop_alice");
    assert_eq!(shown(&shop.broker, "alice", "analysts", WHO), Ok("app shop_alice".to_owned()));
    assert_eq!(shown(&shop.broker, "bob", "analysts", WHO), Ok("app shop_reader".to_owned()));
    assert_eq!(shown(&shop.broker, "bob", "analysts", "SELECT count(*) FROM orders"), Ok("3".to_owned()));
    let refused = shown(&shop.broker, "sue", "support", WHO);
    assert!(refused.as_ref().is_err_and(|said| said.contains("no role at the server")), "{refused:?}");

    for sql in [
        "RESET ROLE",
        "SET ROLE app",
        "SET ROLE NONE",
        "SET LOCAL role = 'app'",
        "SET SESSION AUTHORIZATION app",
        "RESET SESSION AUTHORIZATION",
        "DISCARD ALL",
        "SELECT set_config('role', 'app', false)",
        "ALTER ROLE app SET role = 'app'",
    ] {
        let mut wire = shop.broker.wire("bob", "shop", &shop.broker.token("bob", "analysts"));
        let _refused = wire.query(sql).refused("42501");
        assert_eq!(wire.query(WHO).ok().rows(), [[Some("app shop_reader".to_owned())]], "{sql}");
    }
    let mut wire = shop.broker.wire("bob", "shop", &shop.broker.token("bob", "analysts"));
    let _left = wire.query("BEGIN; SELECT 1; ROLLBACK");
    let _reset = wire.query("RESET ALL").ok();
    assert_eq!(wire.query(WHO).ok().rows(), [[Some("app shop_reader".to_owned())]]);
    let mut wire = sluice_tests::wire::Wire::tcp(shop.broker.port());
    let said = wire.sign_in(
        &[("user", "bob"), ("database", "shop"), ("options", "-c role=app")],
        &shop.broker.token("bob", "analysts"),
    );
    assert!(said.is_err(), "a client brings no role along");
}

#[test]
fn a_role_stays_where_policy_permits_everything() {
    let _made = Server::shared().admin("postgres").query("CREATE ROLE shop_all; GRANT shop_all TO app").ok();
    let everything = "@id(\"all\") permit (principal, action, resource);\n\
                      @id(\"untold\") permit (principal, action in Action::\"unknown\", resource);\n";
    let change = |mut setup: Setup| {
        setup.targets.iter_mut().for_each(|target| target.columns.clear());
        setup.policies = vec![("all.cedar".to_owned(), everything.to_owned())];
        setup
    };
    let shop = Shop::configured(change, with("    roles: [{ role: shop_all }]\n"));
    let mut wire = shop.broker.wire("bob", "shop", &shop.broker.token("bob", "anybody"));
    for sql in ["SET ROLE app", "RESET ROLE", "DISCARD ALL", "SELECT set_config('role', 'app', false)", "SELEC T"] {
        assert!(wire.query(sql).error().is_some(), "{sql}");
        assert_eq!(wire.query(WHO).ok().rows(), [[Some("app shop_all".to_owned())]], "{sql}");
    }
    let _reset = wire.query("RESET ALL").ok();
    assert_eq!(wire.query(WHO).ok().rows(), [[Some("app shop_all".to_owned())]]);
}

#[test]
fn the_server_sees_who_acts_in_which_session() {
    let shop = Shop::open();
    let mut wire = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    let _asked = wire.query("SELECT 1").ok();
    let seen = shop
        .database
        .truth("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'sluice alice %'");
    let session = shop.broker.json(&["sessions", "list", "--limit", "1"]);
    let id = session.first().and_then(|session| session["id"].as_str()).unwrap_or_default().to_owned();
    assert_eq!(seen, format!("sluice alice {id}"));
    assert!(seen.len() <= 63);
    // The name is cut, never the session.
    let long = "x".repeat(80);
    let mut wire = shop.broker.wire("x", "shop", &shop.broker.token(&long, "analysts"));
    let _asked = wire.query("SELECT 1").ok();
    let seen =
        shop.database.truth("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'sluice xxx%'");
    let session = shop.broker.json(&["sessions", "list", "--limit", "1"]);
    let id = session.first().and_then(|session| session["id"].as_str()).unwrap_or_default().to_owned();
    assert!(seen.ends_with(&format!("x {id}")) && seen.len() == 63, "{seen} {id}");
}

#[test]
fn some_have_a_login_of_their_own_and_commands_print_passwords() {
    let admin = Server::shared();
    let _made = admin.admin("postgres").query(&format!("CREATE ROLE shop_dba LOGIN PASSWORD '{PASSWORD}'")).ok();
    let database = admin.database(DATA);
    let setup = Setup::new(vec![Target::new("shop", "staging", &database)]);
    let broker = Broker::start_with(&setup, |yaml| {
        let from = yaml.find("credential: {").unwrap_or_default();
        let line = yaml.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default().to_owned();
        let folder =
            line.split("file:").nth(1).and_then(|rest| rest.split("/database.password").next()).unwrap_or_default();
        let credential = format!(
            "credential:\n      user: {ROLE}\n      password:\n        command: [/bin/sh, -c, \"echo run >>{folder}/runs; \
             cat {folder}/database.password\"]\n        keep_seconds: 3600\n      logins:\n        \
             - {{ group: dba-oncall, user: shop_dba, password: \"file:{folder}/database.password\" }}"
        );
        yaml.replace(&line, &credential)
    });
    assert_eq!(shown(&broker, "alice", "analysts", WHO), Ok("app app".to_owned()));
    assert_eq!(shown(&broker, "alice", "analysts", WHO), Ok("app app".to_owned()));
    assert_eq!(shown(&broker, "dana", "dba-oncall", WHO), Ok("shop_dba shop_dba".to_owned()));
    let runs = fs::read_to_string(broker.folder().join("runs")).unwrap_or_default();
    // Once when the broker looked whether every secret is there, and once for all who connected.
    assert_eq!(runs.lines().count(), 2, "{runs}");
    broker.log_is_clean();
}

#[test]
fn a_command_that_fails_is_the_operators_business() {
    let database = Server::shared().database(DATA);
    let setup = Setup::new(vec![Target::new("shop", "staging", &database)]);
    let broker = Broker::start_with(&setup, |yaml| {
        let from = yaml.find("credential: {").unwrap_or_default();
        let line = yaml.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default().to_owned();
        yaml.replace(
            &line,
            "credential: { user: app, password: { command: [/bin/sh, -c, \"echo zq7x-printed; exit 3\"] } }",
        )
    });
    let said = shown(&broker, "alice", "analysts", WHO);
    assert!(said.as_ref().is_err_and(|said| said.contains("the credential of the target cannot be read")), "{said:?}");
    let log = broker.log();
    assert!(log.contains("command:/bin/sh") && !log.contains("zq7x-printed") && !log.contains("exit 3"), "{log}");
    let checked = broker.cli(&["check", "--offline"]);
    assert!(
        checked.code == Some(1) && checked.stdout.contains("failed") && !checked.said().contains("zq7x-printed"),
        "{}",
        checked.said()
    );
}

#[test]
fn the_broker_shows_a_certificate_to_a_server_that_asks() {
    let admin = Server::shared();
    let database = admin.database(DATA);
    let made = Certified::new("shop_cert");
    let mut owner = admin.admin("postgres");
    let _made = owner.query(&format!("CREATE ROLE shop_cert LOGIN; GRANT {ROLE} TO shop_cert")).ok();
    let rules = owner.query("SHOW hba_file").ok().rows().concat().into_iter().flatten().collect::<String>();
    let before = fs::read_to_string(&rules).unwrap_or_default();
    assert!(fs::write(&rules, format!("hostssl all shop_cert 127.0.0.1/32 cert\n{before}")).is_ok());
    let authority = Path::new(&rules).with_file_name("clients.pem");
    assert!(fs::write(&authority, &made.authority).is_ok());
    assert!(fs::set_permissions(&authority, fs::Permissions::from_mode(0o644)).is_ok());
    let _set = owner.query(&format!("ALTER SYSTEM SET ssl_ca_file = '{}'", authority.display())).ok();
    let _read = owner.query("SELECT pg_reload_conf()").ok();

    let lines = format!("    certificate: {{ cert: {}, key: {} }}\n", made.path("cert"), made.path("key"));
    let setup = Setup::new(vec![Target { user: "shop_cert".to_owned(), ..Target::new("shop", "staging", &database) }]);
    let broker = Broker::start_with(&setup, |yaml| {
        let from = yaml.find(", password: \"file:").unwrap_or_default();
        let to = yaml.get(from..).and_then(|rest| rest.find(" }")).map_or(from, |at| from + at);
        let mut yaml = yaml.to_owned();
        yaml.replace_range(from..to, "");
        yaml.replacen("    environment: staging\n", &format!("    environment: staging\n{lines}"), 1)
    });
    // The server's own reload is not waited for elsewhere.
    until(SOON, "the server to know the authority", || shown(&broker, "alice", "analysts", "SELECT 1").ok());
    let held = broker.wire("alice", "shop", &broker.token("alice", "analysts"));
    let dn = database.truth(
        "SELECT client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'shop_cert' LIMIT 1",
    );
    assert_eq!(dn, "/CN=shop_cert");
    drop(held);

    // A key that others can read is not used.
    assert!(fs::set_permissions(made.path("key"), fs::Permissions::from_mode(0o644)).is_ok());
    let said = shown(&broker, "alice", "analysts", "SELECT 1");
    assert!(said.as_ref().is_err_and(|said| said.contains("make it 0600")), "{said:?}");
}

/// A certificate of an authority of its own, in files.
struct Certified {
    authority: String,
    folder: tempfile::TempDir,
}

impl Certified {
    fn new(name: &str) -> Self {
        let make = || -> Result<Self, Box<dyn std::error::Error>> {
            let mut params = CertificateParams::new([])?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
            let mut params = CertificateParams::new([])?;
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate()?;
            let made = params.signed_by(&key, &authority)?;
            let folder = tempfile::tempdir()?;
            fs::write(folder.path().join("cert"), made.pem())?;
            fs::write(folder.path().join("key"), key.serialize_pem())?;
            fs::set_permissions(folder.path().join("key"), fs::Permissions::from_mode(0o600))?;
            Ok(Self { authority: authority.pem(), folder })
        };
        make().unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}
