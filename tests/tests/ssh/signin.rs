//! Signing in: every proof with every client, and whoever cannot prove to be somebody stays outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::broker::root;
use sluice_tests::run::{Running, run};
use sluice_tests::ssh::{Sshd, certify, new_key, new_key_of, public_key};
use sluice_tests::wait::SOON;

use crate::stand::{OPERATORS, Stand};

/// All attempts of one client: a failed one takes half a second at least.
const ATTEMPTS: Duration = Duration::from_secs(240);
/// Within which most certificates of the tests are valid.
const NOW: [&str; 2] = ["-V", "-1h:+1h"];

/// A certificate: its name, the key that it is for, the authority, options of `ssh-keygen`, and whom it makes of its owner.
type Certificate = (&'static str, &'static str, &'static str, &'static [&'static str], Option<&'static str>);

const CERTIFICATES: &[Certificate] = &[
    ("an ed25519 certificate", "ed25519", "authority", &["-n", "alice", "-z", "11"], Some("corp:alice")),
    ("an rsa certificate", "rsa", "authority", &["-n", "bert", "-z", "12"], Some("corp:bert")),
    ("an ecdsa certificate", "ecdsa", "authority", &["-n", "carl", "-z", "13"], Some("corp:carl")),
    ("without a serial", "ed25519", "authority", &["-n", "dora"], Some("corp:dora")),
    (
        "for this address",
        "ed25519",
        "authority",
        &["-n", "emil", "-O", "source-address=127.0.0.0/8"],
        Some("corp:emil"),
    ),
    ("expired", "ed25519", "authority", &["-n", "alice", "-V", "-2h:-1h"], None),
    ("not valid yet", "ed25519", "authority", &["-n", "alice", "-V", "+1h:+2h"], None),
    ("for too long", "ed25519", "authority", &["-n", "alice", "-V", "-1h:+30d"], None),
    ("for two principals", "ed25519", "authority", &["-n", "alice,bert"], None),
    ("for everybody", "ed25519", "authority", &[], None),
    ("for an odd principal", "ed25519", "authority", &["-n", "al ice"], None),
    ("for a host", "ed25519", "authority", &["-h", "-n", "alice"], None),
    ("of another authority", "ed25519", "stranger", &["-n", "alice"], None),
    ("for one command", "ed25519", "authority", &["-n", "alice", "-O", "force-command=id"], None),
    ("for another address", "ed25519", "authority", &["-n", "alice", "-O", "source-address=192.0.2.0/24"], None),
    ("of a revoked serial", "ed25519", "authority", &["-n", "alice", "-z", "7"], None),
    ("of a revoked handle", "ed25519", "authority", &["-n", "alice", "-z", "42"], None),
    ("of a revoked key", "lost", "authority", &["-n", "alice", "-z", "14"], None),
];

/// Something that a client may show, and who it then is.
struct Proof {
    name: &'static str,
    /// As the programs of `tests/python` read it.
    shown: Value,
    who: Option<&'static str>,
}

impl Proof {
    fn new(name: &'static str, shown: Value, who: Option<&'static str>) -> Self {
        Self { name, shown, who }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.shown.get(field).and_then(Value::as_str)
    }
}

/// A broker that knows keys of kate, rob and eve, and an authority.
fn stand() -> Stand {
    let server = Sshd::arranged(|folder| {
        for name in ["authority", "ed25519", "unknown", "removed", "lost"] {
            new_key(&folder.join(name));
        }
        new_key_of("rsa", &folder.join("rsa"));
        new_key_of("ecdsa", &folder.join("ecdsa"));
        String::new()
    });
    let place = server.folder().display().to_string();
    let authority = public_key(&server.folder().join("authority.pub"));
    let authorities = format!(
        "ssh_authorities:\n  - name: corp\n    key: \"{authority}\"\n    groups: [ops]\n    revoked_serials: [7]\n    \
         revoked_keys: {place}/lost.pub\n"
    );
    Stand::at(server, OPERATORS, |host, _| host, |setup| setup.more(&authorities))
}

/// Adds a key of the server's folder; gives what `key add` says.
fn add(stand: &Stand, user: &str, key: &str) -> Value {
    let file = stand.server.folder().join(format!("{key}.pub")).display().to_string();
    stand.broker.json(&["key", "add", "--user", user, "--group", "ops", &file]).pop().unwrap_or_default()
}

/// Every proof of the table.
fn proofs(stand: &Stand) -> Vec<Proof> {
    let key = |name: &str| json!({ "key": stand.server.folder().join(name) });
    let rsa = |algorithm: &str| json!({ "key": stand.server.folder().join("rsa"), "algorithm": algorithm });
    for (user, name) in [("kate", "ed25519"), ("rob", "rsa"), ("eve", "ecdsa")] {
        let _added = add(stand, user, name);
    }
    let removed = add(stand, "kate", "removed");
    let id = removed.get("id").and_then(Value::as_str).unwrap_or_default();
    let _removed = stand.broker.cli(&["key", "remove", id]).done();
    let _revoked = stand.broker.cli(&["token", "revoke", "cert:corp:42"]).done();

    let wrong = format!("{}x", stand.token);
    let mut all = vec![
        Proof::new("an ed25519 key", key("ed25519"), Some("kate")),
        Proof::new("an rsa key with sha2-512", rsa("rsa-sha2-512"), Some("rob")),
        Proof::new("an rsa key with sha2-256", rsa("rsa-sha2-256"), Some("rob")),
        Proof::new("an ecdsa key", key("ecdsa"), Some("eve")),
        Proof::new("a token as password", json!({ "password": stand.token }), Some("oli")),
        Proof::new("a token as answer", json!({ "answer": stand.token }), Some("oli")),
        Proof::new("a key that nobody has added", key("unknown"), None),
        Proof::new("a key that was removed", key("removed"), None),
        Proof::new("the key that the broker has for the host", key("user"), None),
        Proof::new("a wrong token as password", json!({ "password": wrong }), None),
        Proof::new("a wrong token as answer", json!({ "answer": wrong }), None),
    ];
    all.extend(CERTIFICATES.iter().map(|certificate| certified(stand.server.folder(), certificate)));
    all
}

/// A copy of a key with a certificate: nobody has added the key that is signed, where signing in with it would be taken
/// for the certificate's doing.
fn certified(folder: &Path, (name, key, authority, options, who): &Certificate) -> Proof {
    let place = folder.join(name.replace(' ', "-"));
    let own = folder.join(format!("own-{key}"));
    if !own.exists() {
        match *key {
            "lost" => copy(&folder.join(key), &own),
            kind => new_key_of(kind, &own),
        }
    }
    copy(&own, &place);
    let valid: &[&str] = if options.contains(&"-V") { &[] } else { &NOW };
    let certificate = certify(&folder.join(authority), &place, &[options, valid].concat());
    Proof::new(name, json!({ "key": place, "certificate": certificate }), *who)
}

/// Copies a pair of keys.
fn copy(from: &Path, to: &Path) {
    for ending in ["", ".pub"] {
        let file = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        assert!(fs::copy(file(from), file(to)).is_ok(), "{} was made", from.display());
    }
}

/// What became of each proof, and as whom the broker has let it in.
fn check(stand: &Stand, proofs: &[Proof], became: &BTreeMap<String, String>) {
    for Proof { name, who, .. } in proofs {
        let expected = if who.is_some() { "in" } else { "refused" };
        assert_eq!(became.get(*name).map(String::as_str), Some(expected), "{name}: {became:?}\n{}", stand.broker.log());
    }
    let mut expected: Vec<&str> = proofs.iter().filter_map(|proof| proof.who).collect();
    let sessions = stand.broker.closed_sessions();
    let name = |session: &Value| session.pointer("/principal/who/name").and_then(Value::as_str).map(str::to_owned);
    let mut seen: Vec<String> = sessions.iter().filter_map(name).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected, "{sessions:?}");
    stand.broker.log_is_clean();
}

/// The same by a program of `tests/python`.
fn by(script: &str) {
    let stand = stand();
    let proofs = proofs(&stand);
    let interpreter = root().join(".tools/venv/bin/python");
    assert!(interpreter.exists(), "Python's packages are not installed: run `make setup`");
    let mut command = stand.person.command(&interpreter.display().to_string());
    command.arg(root().join("tests/python").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SLUICE_PORT", stand.broker.ssh_port().to_string()).env("SLUICE_TARGET", "web");
    let shown: Vec<Value> = proofs.iter().map(named).collect();
    let mut program = Running::start(&mut command);
    program.say(&Value::from(shown).to_string());
    let said = program.finish(ATTEMPTS).done().stdout;
    let became = serde_json::from_str(&said).unwrap_or_default();
    check(&stand, &proofs, &became);
}

/// What a proof shows, with its name.
fn named(proof: &Proof) -> Value {
    let mut shown = proof.shown.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("name".to_owned(), json!(proof.name));
    }
    shown
}

#[test]
fn openssh_signs_in_with_each_proof() {
    let stand = stand();
    let proofs = proofs(&stand);
    let attempt = |proof: &Proof| {
        let said = run(&mut openssh(&stand, proof), SOON);
        match (said.code, said.stdout.trim()) {
            (Some(0), printed) => printed.to_owned(),
            (Some(255), "") if said.stderr.contains("Permission denied") => "refused".to_owned(),
            _ => said.said(),
        }
    };
    let became = proofs.iter().map(|proof| (proof.name.to_owned(), attempt(proof))).collect();
    check(&stand, &proofs, &became);
}

fn openssh(stand: &Stand, proof: &Proof) -> std::process::Command {
    let method = match (proof.text("password"), proof.text("answer")) {
        (Some(_), _) => "password",
        (None, Some(_)) => "keyboard-interactive",
        (None, None) => "publickey",
    };
    let mut options = vec![format!("PreferredAuthentications={method}"), "IdentitiesOnly=yes".to_owned()];
    options.extend(proof.text("key").map(|file| format!("IdentityFile={file}")));
    options.extend(proof.text("certificate").map(|file| format!("CertificateFile={file}")));
    options.extend(proof.text("algorithm").map(|name| format!("PubkeyAcceptedAlgorithms={name}")));
    let arguments: Vec<&str> =
        options.iter().flat_map(|option| ["-o", option]).chain(["web@broker", "echo in"]).collect();
    let mut ssh = stand.person.ssh(&arguments);
    ssh.env("SLUICE_TEST_TOKEN", proof.text("password").or_else(|| proof.text("answer")).unwrap_or_default());
    ssh
}

#[test]
fn paramiko_signs_in_with_each_proof() {
    by("paramiko_signin.py");
}

#[test]
fn asyncssh_signs_in_with_each_proof() {
    by("asyncssh_signin.py");
}
