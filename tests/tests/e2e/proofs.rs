//! Ways to sign in beside a token as the password: SCRAM bound to TLS, certificates, OAUTHBEARER.
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::Value;
use sluice_tests::broker::root;
use sluice_tests::clients::psql;
use sluice_tests::jwt::{AUDIENCE, ISSUER, Issuer};
use sluice_tests::run::{Finished, Running, run};
use sluice_tests::wait::{SOON, until};

use crate::shop::Shop;

const ONE: &str = "SELECT email FROM customers WHERE id = 1";

#[test]
fn scram_is_bound_to_the_tls_connection() {
    let shop = Shop::open();
    let made = shop.broker.json(&["scram", "create", "--login", "metabase", "--user", "alice", "--group", "analysts"]);
    let password = made[0]["password"].as_str().unwrap_or_default().to_owned();
    let query = |binding: &str| {
        let mut psql = psql(&shop.broker, "metabase", "shop", &password);
        psql.env("PGOPTIONS", "-c sluice.auth=scram-sha-256").env("PGCHANNELBINDING", binding);
        run(psql.args(["-c", ONE]), SOON)
    };
    // A running broker learns of a new login within a second or two.
    until(SOON, "the login to be known", || (query("require").code == Some(0)).then_some(()));
    for binding in ["require", "prefer", "disable"] {
        assert_eq!(query(binding).done().stdout, "***\n", "{binding}");
    }
}

/// An authority of clients, and a folder with the files of its clients.
struct Clients {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Clients {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("ca.pem"), authority.pem()).expect("our folder");
        Self { authority, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a certificate and its key.
    fn certify(&self, name: &str) {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = std::time::SystemTime::now();
        params.not_before = now.into();
        params.not_after = (now + Duration::from_secs(3_600)).into();
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.authority).expect("a certificate");
        fs::write(self.path(&format!("{name}.pem")), made.pem()).expect("our folder");
        let secret = self.path(&format!("{name}.key"));
        fs::write(&secret, key.serialize_pem()).expect("our folder");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("our file");
    }

    fn query(&self, shop: &Shop, name: &str, options: &str) -> Finished {
        let mut psql = psql(&shop.broker, "anybody", "shop", "");
        psql.env("PGOPTIONS", options).env_remove("PGPASSWORD");
        psql.env("PGSSLCERT", self.path(&format!("{name}.pem"))).env("PGSSLKEY", self.path(&format!("{name}.key")));
        run(psql.args(["-w", "-c", ONE]), SOON)
    }
}

#[test]
fn certificates_of_configured_authorities_sign_in() {
    let (clients, strangers) = (Clients::new(), Clients::new());
    clients.certify("ann");
    strangers.certify("ann");
    let ca = clients.path("ca.pem");
    let section = format!("client_authorities:\n  - {{ name: corp, ca: {}, groups: [analysts] }}", ca.display());
    let shop = Shop::with(|setup| setup.more(&section));
    let asking = "-c sluice.auth=certificate";
    assert_eq!(clients.query(&shop, "ann", asking).done().stdout, "***\n");
    let sessions = shop.broker.closed_sessions();
    assert_eq!(sessions[0]["principal"]["who"]["name"], "corp:ann", "{}", sessions[0]);

    // Of somebody else's authority, without one, and with one that nobody asked to be looked at.
    let turned_away = |seen: Finished| {
        assert_eq!((seen.code, seen.stdout.as_str()), (Some(2), ""), "{}", seen.said());
        seen.stderr
    };
    assert!(turned_away(strangers.query(&shop, "ann", asking)).contains("the certificate is not accepted"));
    assert!(turned_away(clients.query(&shop, "nobody", asking)).contains("showed no certificate"));
    assert!(turned_away(clients.query(&shop, "ann", "")).contains("no password supplied"));

    // A certificate that is revoked ends its sessions like a token.
    let token = sessions[0]["principal"]["token"].as_str().unwrap_or_default().to_owned();
    assert!(token.starts_with("tls:corp:"), "{}", sessions[0]);
    let _revoked = shop.broker.cli(&["token", "revoke", &token]).done();
    until(SOON, "the certificate to be revoked", || {
        (clients.query(&shop, "ann", asking).code == Some(2)).then_some(())
    });
    shop.broker.log_is_clean();
}

#[test]
fn a_session_ends_when_the_authority_of_its_certificate_goes() {
    let clients = Clients::new();
    clients.certify("ann");
    let ca = clients.path("ca.pem");
    let section = format!("client_authorities:\n  - {{ name: corp, ca: {}, groups: [analysts] }}", ca.display());
    let shop = Shop::with(|setup| setup.more(&section));
    let mut psql = psql(&shop.broker, "anybody", "shop", "");
    psql.env("PGOPTIONS", "-c sluice.auth=certificate").env_remove("PGPASSWORD");
    psql.env("PGSSLCERT", clients.path("ann.pem")).env("PGSSLKEY", clients.path("ann.key"));
    let mut open = Running::start(psql.args(["-w"]));
    open.say(&format!("{ONE};\n"));
    let _seen = open.hear("***\n");
    // What has not changed goes on.
    shop.reload(|text| format!("{text}\n# touched\n"));
    open.say("SELECT 'still ' || count(*) FROM orders;\n");
    let _seen = open.hear("still 3\n");

    shop.reload(|text| text.replace("groups: [analysts] }", "groups: [analysts], max_lifetime: 60 }"));
    let sessions = shop.broker.closed_sessions();
    assert_eq!(sessions[0]["end"]["reason"], "revoked", "{}", sessions[0]);
    open.say("SELECT 1;\n");
    let said = open.finish(SOON);
    assert!(said.stderr.contains("does not count any more"), "{}", said.said());
    shop.broker.log_is_clean();
}

#[test]
fn a_session_ends_when_the_issuer_of_its_token_goes() {
    let issuer = Issuer::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = folder.path().join("jwks.json");
    fs::write(&keys, issuer.jwks()).expect("our folder");
    let section = format!(
        "issuers:\n  - {{ name: corp, issuer: \"{ISSUER}\", audiences: [{AUDIENCE}], jwks: \"{}\", algorithms: [EdDSA], \
         groups_claim: groups, kind: user }}",
        keys.display()
    );
    let shop = Shop::with(|setup| setup.more(&section));
    let mut ann = shop.broker.wire("ann", "shop", &issuer.sign(&Issuer::claims("ann", "analysts")));
    let mut alice = shop.broker.wire("alice", "shop", &shop.broker.token("alice", "analysts"));
    shop.reload(|text| format!("{text}\n# touched\n"));
    assert_eq!(ann.query(ONE).ok().rows().len(), 1);

    shop.reload(|text| text.replace("name: corp, issuer:", "name: other, issuer:"));
    let said = ann.rest().error();
    assert!(said.as_ref().is_some_and(|said| said.sqlstate == "57P01"), "{said:?}");
    assert_eq!(alice.query(ONE).ok().rows().len(), 1);
    shop.broker.log_is_clean();
}

fn oauth(shop: &Shop, token: &str) -> Value {
    let mut command = Command::new(root().join(".tools/venv/bin/python"));
    command.arg(root().join("tests/python/oauth.py")).current_dir(shop.broker.folder());
    command.env("SLUICE_HOST", "localhost").env("SLUICE_PORT", shop.broker.port().to_string());
    command.env("SLUICE_USER", "ann").env("SLUICE_TARGET", "shop").env("SLUICE_PASSWORD", token);
    command.env("SLUICE_ISSUER", ISSUER).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SLUICE_CA", shop.broker.folder().join("var/tls/ca.pem"));
    let printed = run(&mut command, Duration::from_secs(60));
    assert_eq!(printed.code, Some(0), "{}", printed.said());
    serde_json::from_str(&printed.stdout).expect("the script prints one JSON document")
}

#[test]
fn a_client_of_postgresql_18_signs_in_with_a_bearer_token() {
    let issuer = Issuer::new();
    let keys = Path::new(&std::env::temp_dir()).join(format!("sluice-test-oauth-{}.json", std::process::id()));
    fs::write(&keys, issuer.jwks()).expect("a temporary file");
    let section = format!(
        "issuers:\n  - {{ name: corp, issuer: \"{ISSUER}\", audiences: [{AUDIENCE}], jwks: \"{}\", algorithms: [EdDSA], \
         groups_claim: groups, kind: user }}",
        keys.display()
    );
    let discovery = format!("{ISSUER}/.well-known/openid-configuration");
    let listen = format!("listen:\n  oauth: {{ discovery: \"{discovery}\", scope: \"openid groups\" }}\n");
    let shop = Shop::configured(|setup| setup.more(&section), |yaml| yaml.replace("listen:\n", &listen));
    let seen = oauth(&shop, &issuer.sign(&Issuer::claims("ann", "analysts")));
    assert_eq!(seen["good"]["row"], "***", "{seen}");
    assert_eq!(seen["good"]["asked"], serde_json::json!([[discovery, "openid groups"]]), "{seen}");
    assert_eq!(seen["bad"]["row"], Value::Null);
    assert!(seen["bad"]["said"].as_str().is_some_and(|said| said.contains("the token is malformed")), "{seen}");
    let _gone = fs::remove_file(keys);
    shop.broker.log_is_clean();

    // Where no issuer is named, the method is not offered.
    let shop = Shop::open();
    let seen = oauth(&shop, "a.b.c");
    assert!(seen["good"]["said"].as_str().is_some_and(|said| said.contains("not offered")), "{seen}");
}
