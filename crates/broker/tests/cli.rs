//! The command line, as a person or a script meets it.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use tempfile::TempDir;

const POLICY: &str = r#"@id("all") permit (principal, action, resource);"#;

/// A folder with a configuration whose database nobody listens at.
fn site() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("policies/all.cedar"), POLICY).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    configure(
        dir.path(),
        &format!(
            "listen: {{ postgres: 127.0.0.1:0 }}\ndata_dir: ./var\npolicies: ./policies\ntargets:\n  shop:\n    protocol: \
             postgres\n    environment: prod\n    credential: {{ user: app, password: \"file:{}\" }}\n    host: \
             127.0.0.1\n    port: 1\n    database: shop\n    tls: dangerous_plaintext\n",
            secret.display()
        ),
    );
    dir
}

fn configure(dir: &Path, text: &str) {
    fs::write(dir.join("sluice.yaml"), text).unwrap();
}

fn change(dir: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join("sluice.yaml")).unwrap();
    assert!(text.contains(from), "{text}");
    configure(dir, &text.replace(from, to));
}

fn sluice(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(dir).args(arguments).env_remove("SLUICE_CONFIG").env_remove("SLUICE_TOKEN");
    command.output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_sound_configuration_passes_and_says_what_it_resolved() {
    let site = site();
    let checked = sluice(site.path(), &["check"]);
    let text = said(&checked);
    assert_eq!(code(&checked), 0, "{text}");
    assert!(text.contains("1 rules in ./policies") && text.contains("target shop"), "{text}");
    assert!(text.contains("unchecked"), "nobody listens there: {text}");
}

#[test]
fn what_cannot_be_enforced_fails_the_check_without_a_secret_in_any_line() {
    for (from, to, expected) in [
        ("data_dir: ./var", "data_dir: ./var\ndata_dri: x", "unknown section `data_dri`"),
        ("protocol: postgres", "protocol: mysql", "no protocol is called `mysql`"),
        ("password: \"file:", "password: \"file:/nowhere", "is not set"),
        ("user: app, password: \"file:", "user: app, password: \"hunter2 file:", "a secret is written as"),
        ("policies: ./policies", "policies: ./nothing", "the folder cannot be read"),
    ] {
        let site = site();
        change(site.path(), from, to);
        let checked = sluice(site.path(), &["check", "--offline"]);
        let text = said(&checked);
        assert_eq!(code(&checked), 1, "{to}: {text}");
        assert!(text.contains(expected), "{to}: {text}");
        assert!(!text.contains("hunter2"), "{to}: {text}");
    }
}

#[test]
fn a_bad_policy_is_shown_with_its_place() {
    let site = site();
    let bad = format!("{POLICY}\n@id(\"x\") permit (principal, action == Action::\"sql.raed\", resource);\n");
    fs::write(site.path().join("policies/bad.cedar"), bad).unwrap();
    for command in [&["check", "--offline"][..], &["policy", "check"], &["serve"]] {
        let checked = sluice(site.path(), command);
        let text = said(&checked);
        assert_eq!(code(&checked), 1, "{command:?}: {text}");
        assert!(text.contains("bad.cedar:2:") && text.contains("sql.raed"), "{command:?}: {text}");
    }
}

#[test]
fn a_policy_whose_limits_nothing_keeps_is_not_taken() {
    let site = site();
    let few = "@id(\"few\") @max_rows(\"5\") permit (principal, action in Action::\"read\", resource);\n";
    fs::write(site.path().join("policies/few.cedar"), few).unwrap();
    for command in [&["check", "--offline"][..], &["serve"]] {
        let output = sluice(site.path(), command);
        let said = said(&output);
        assert_eq!(code(&output), 1, "{said}");
        assert!(said.contains("few") && said.contains("cannot be enforced yet"), "{said}");
    }
}

#[test]
fn a_policy_about_what_is_not_there_is_told() {
    let site = site();
    change(
        site.path(),
        "targets:\n",
        &format!(
            "targets:\n  web: {{ protocol: ssh, environment: prod, host: 127.0.0.1, port: 1, host_keys: [\"{KEY}\"], \
             commands: [\"make deploy\"], credential: {{ user: app, password: \"file:{}\" }}, auth: password }}\n",
            site.path().join("secret").display()
        ),
    );
    let about = |id: &str| {
        let rule = format!("@id(\"about\") forbid (principal, action, resource == {id});\n");
        fs::write(site.path().join("policies/about.cedar"), rule).unwrap();
        let checked = sluice(site.path(), &["check", "--offline"]);
        (code(&checked), said(&checked))
    };
    for id in ["Target::\"web\"", "Program::\"web/journalctl\"", "Program::\"web/make deploy\"", "File::\"web//etc\""] {
        let (code, text) = about(id);
        assert!(code == 0 && !text.contains("rule about"), "{id}: {text}");
    }
    for (id, expected) in [
        ("Program::\"web/jornalctl\"", "the target `web` has no Program `jornalctl`; did you mean `journalctl`?"),
        ("Target::\"wbe\"", "no target is called `wbe`; did you mean `web`?"),
        ("Table::\"shopp/public/orders\"", "no target is called `shopp`; did you mean `shop`?"),
    ] {
        let (code, text) = about(id);
        assert!(code == 1 && text.contains(expected) && text.contains("rule about (about.cedar)"), "{id}: {text}");
    }
    let (code, text) = about("Target::\"warehouse\"");
    assert!(code == 0 && text.contains("no target is called `warehouse`"), "{text}");
}

#[test]
fn serve_refuses_a_wrong_configuration_and_a_missing_one() {
    let site = site();
    change(site.path(), "data_dir", "data_dirs");
    let served = sluice(site.path(), &["serve"]);
    assert_eq!(code(&served), 1);
    assert!(said(&served).contains("did you mean `data_dir`?"), "{}", said(&served));
    let served = sluice(site.path(), &["serve", "--config", "nowhere.yaml"]);
    assert_eq!(code(&served), 1);
    assert!(said(&served).contains("sluice config example"), "{}", said(&served));
}

#[test]
fn a_token_is_printed_once_listed_and_revoked() {
    let site = site();
    let create = ["token", "create", "--user", "alice", "--group", "analysts", "--ttl", "5m"];
    let created = sluice(site.path(), &create);
    assert_eq!(code(&created), 0, "{}", said(&created));
    let token = String::from_utf8(created.stdout).unwrap();
    assert_eq!((token.lines().count(), token.trim().split('.').count()), (1, 3));

    let listed = sluice(site.path(), &["token", "list", "--output", "json"]);
    let row: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((row["principal"].as_str(), row["state"].as_str()), (Some("user:alice"), Some("valid")));
    assert!(!said(&listed).contains(token.trim()));

    let id = row["id"].as_str().unwrap();
    assert_eq!(code(&sluice(site.path(), &["token", "revoke", id])), 0);
    assert_eq!(code(&sluice(site.path(), &["token", "revoke", id])), 1, "revoked before");
    let listed = sluice(site.path(), &["token", "list"]);
    assert!(said(&listed).contains("revoked"), "{}", said(&listed));
    let long = sluice(site.path(), &["token", "create", "--user", "alice", "--ttl", "25h"]);
    assert_eq!(code(&long), 1, "longer than a day");
}

#[test]
fn a_login_is_made_once() {
    let site = site();
    let create = ["scram", "create", "--login", "metabase", "--user", "alice", "--output", "json"];
    let made = sluice(site.path(), &create);
    assert_eq!(code(&made), 0, "{}", said(&made));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(made["password"].as_str().unwrap().len() >= 32);
    let again = sluice(site.path(), &create);
    assert_eq!(code(&again), 1);
    assert!(said(&again).contains("the login `metabase` exists"), "{}", said(&again));
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@laptop";

#[test]
fn a_key_is_added_once_listed_and_removed() {
    let site = site();
    let add = ["key", "add", "--user", "alice", "--group", "analysts", "--output", "json", KEY];
    let added = sluice(site.path(), &add);
    assert_eq!(code(&added), 0, "{}", said(&added));
    let row: serde_json::Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!((row["principal"].as_str(), row["comment"].as_str()), (Some("user:alice"), Some("alice@laptop")));
    let again = sluice(site.path(), &["key", "add", "--user", "bob", KEY]);
    assert_eq!(code(&again), 1);
    assert!(said(&again).contains("the key is user:alice's"), "{}", said(&again));

    let id = row["id"].as_str().unwrap();
    let removed = sluice(site.path(), &["key", "remove", id]);
    assert_eq!(code(&removed), 0, "{}", said(&removed));
    assert_eq!(code(&sluice(site.path(), &["key", "remove", id])), 1);
    assert_eq!(code(&sluice(site.path(), &["key", "remove", "nothing"])), 1);
    fs::write(site.path().join("bob.pub"), format!("{KEY}\n")).unwrap();
    let moved = sluice(site.path(), &["key", "add", "--user", "bob", "bob.pub"]);
    assert_eq!(code(&moved), 0, "{}", said(&moved));
    let listed = sluice(site.path(), &["key", "list"]);
    let text = said(&listed);
    assert!(text.contains("user:bob") && text.contains("valid") && text.contains("removed"), "{text}");
}

#[test]
fn a_key_that_is_none_is_not_added() {
    let site = site();
    fs::write(site.path().join("long.pub"), "nonsense\n").unwrap();
    for (key, expected) in [
        ("nowhere.pub", "neither a key nor a file"),
        ("ssh-ed25519 AAAA", "is not one line"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAABAQAAAAECAAAAAQMAAAABBA==", "DSA"),
        ("long.pub", "is not one line"),
    ] {
        let added = sluice(site.path(), &["key", "add", "--user", "alice", key]);
        assert_eq!(code(&added), 1, "{key}");
        assert!(said(&added).contains(expected), "{key}: {}", said(&added));
    }
}

#[test]
fn an_authority_is_checked_with_its_place() {
    let site = site();
    fs::write(site.path().join("ca.pub"), format!("{KEY}\n")).unwrap();
    change(site.path(), "policies:", "ssh_authorities: [{ name: corp, key: ca.pub }]\npolicies:");
    let checked = sluice(site.path(), &["check", "--offline"]);
    assert_eq!(code(&checked), 0, "{}", said(&checked));
    assert!(said(&checked).contains("ssh authority corp"), "{}", said(&checked));
    change(site.path(), "key: ca.pub", "key: nowhere.pub");
    for command in [&["check", "--offline"][..], &["serve"]] {
        let checked = sluice(site.path(), command);
        assert_eq!(code(&checked), 1);
        let text = said(&checked);
        assert!(text.contains("authority `corp`: `key` cannot be read") && text.contains("sluice.yaml:"), "{text}");
    }
}

#[test]
fn the_host_key_stays_and_the_client_block_is_what_openssh_reads() {
    let site = site();
    let print = ["ssh-hostkey", "--host", "broker.example.com", "--port", "2222"];
    let printed = sluice(site.path(), &print);
    assert_eq!(code(&printed), 0, "{}", said(&printed));
    let known = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(known.starts_with("[broker.example.com]:2222,sluice-broker ssh-ed25519 AAAA"), "{known}");
    assert_eq!(sluice(site.path(), &print).stdout, printed.stdout);
    let records = sluice(site.path(), &["ssh-hostkey", "--host", "broker.example.com", "--sshfp"]);
    assert!(said(&records).starts_with("broker.example.com IN SSHFP 4 1 "), "{}", said(&records));

    let block = sluice(site.path(), &["ssh-config", "--host", "broker.example.com"]);
    assert_eq!(code(&block), 0, "{}", said(&block));
    fs::write(site.path().join("ssh_config"), &block.stdout).unwrap();
    let read =
        Command::new("ssh").current_dir(site.path()).args(["-F", "ssh_config", "-G", "root@db1.sluice"]).output();
    let text = said(&read.unwrap()).to_lowercase();
    for line in ["user root", "hostname db1.sluice", "proxyjump sluice-broker", "hostkeyalias sluice-broker"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let wrong = sluice(site.path(), &["ssh-config", "--host", "-oProxyCommand=id"]);
    assert_ne!(code(&wrong), 0);
    let wrong = sluice(site.path(), &["ssh-config", "--host", "a b"]);
    assert!(code(&wrong) == 1 && said(&wrong).contains("is not the name"), "{}", said(&wrong));
}

#[test]
fn without_a_broker_approvals_say_so() {
    let site = site();
    let listed = sluice(site.path(), &["approvals", "list"]);
    assert_eq!(code(&listed), 1);
    assert!(said(&listed).contains("no broker is running"), "{}", said(&listed));
    let approved = sluice(site.path(), &["approvals", "approve", "h-1"]);
    assert_eq!(code(&approved), 1);
    assert!(said(&approved).contains("SLUICE_TOKEN"), "{}", said(&approved));
}

#[test]
fn an_unknown_session_is_not_found() {
    let site = site();
    for command in [&["replay", "nothing"][..], &["sessions", "show", "nothing"], &["audit", "verify", "nothing"]] {
        let shown = sluice(site.path(), command);
        assert!(said(&shown).contains("nothing is kept at"), "{command:?}: {}", said(&shown));
        assert_eq!(code(&shown), 1, "{command:?}");
    }
    assert_eq!(code(&sluice(site.path(), &["token", "create", "--user", "alice"])), 0);
    for command in [&["replay", "nothing"][..], &["sessions", "show", "nothing"], &["audit", "verify", "nothing"]] {
        let shown = sluice(site.path(), command);
        assert!(said(&shown).contains("there is no session `nothing`"), "{command:?}: {}", said(&shown));
        assert_eq!(code(&shown), 1, "{command:?}");
    }
}

#[test]
fn the_schema_of_the_configuration_is_json_and_that_of_policies_is_cedar() {
    let dir = tempfile::tempdir().unwrap();
    let schema = sluice(dir.path(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["title"], "sluice.yaml");
    let cedar = sluice(dir.path(), &["policy", "schema"]);
    assert!(said(&cedar).contains("action \"sql.read\""), "{}", said(&cedar));
}

#[test]
fn explain_says_why() {
    let site = site();
    let explain = |action: &str| {
        sluice(site.path(), &["policy", "explain", "--user", "alice", "--target", "shop", "--action", action])
    };
    let allowed = explain("sql.session");
    assert_eq!(code(&allowed), 0, "{}", said(&allowed));
    assert!(said(&allowed).contains("permitted by `all`"), "{}", said(&allowed));
    let unknown = explain("sql.raed");
    assert!(said(&unknown).contains("no verb is called `sql.raed`"), "{}", said(&unknown));
}

#[test]
fn explain_says_what_is_masked_withheld_and_counted() {
    let site = site();
    let budget =
        "@id(\"rate\") @requests(\"60/1m\") permit (principal, action == Action::\"sql.session\", resource);\n";
    fs::write(site.path().join("policies/budget.cedar"), budget).unwrap();
    let ask = ["policy", "explain", "--user", "alice", "--target", "shop", "--action", "sql.session"];
    let about = [&ask[..], &["--reveal", "pii.contact", "--disclose", "secret"]].concat();
    let text = said(&sluice(site.path(), &about));
    let expected =
        "masked: Value:pii.contact=redact, withheld from the target: secret=redact, budgets: rate=requests:60/1m";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("disclose.token Value::\"shop/secret\""), "{text}");
    let json = said(&sluice(site.path(), &[&about[..], &["--output", "json"]].concat()));
    assert!(json.contains("\"window_seconds\"") && json.contains("\"withheld\""), "{json}");
}

#[test]
fn the_packs_pass_their_own_cases() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let tested = sluice(&packs, &["policy", "test", "."]);
    assert_eq!(code(&tested), 0, "{}", said(&tested));
}

#[test]
fn the_demo_with_the_built_in_database_shows_what_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let shown = sluice(dir.path(), &["demo", "--check", "--builtin"]);
    assert_eq!(code(&shown), 0, "{}", said(&shown));
    // Three of the steps are at a host, for which a server has to be installed.
    let steps = if said(&shown).contains("skipped the host") { 13 } else { 16 };
    assert_eq!(said(&shown).matches("ok     ").count(), steps, "{}", said(&shown));
}

/// A running `sluice serve` whose log is read line by line.
struct Serving {
    process: Child,
    log: Receiver<String>,
}

impl Serving {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.current_dir(dir).args(["serve", "--log", "json"]).env_remove("SLUICE_CONFIG").env_remove("SLUICE_LOG");
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (tell, log) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let serving = Self { process, log };
        serving.until("the broker is ready");
        serving
    }

    /// Reads the log up to a message.
    fn until(&self, message: &str) -> String {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(60)).unwrap();
            if line.contains(message) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.process.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The ids of the documents, each forbidden by a rule of its own, and what they must then forbid.
const NAMED: [(&str, &str); 6] = [
    (r#"File::"web//etc/motd""#, "sftp.read File:/etc/motd"),
    (r#"Reference::"web/refs/heads/main""#, "git.push Reference:refs/heads/main"),
    (r#"Program::"web/journalctl""#, "ssh.inspect Program:journalctl"),
    (r#"Model::"openai/gpt-5""#, "llm.chat Model:gpt-5"),
    (r#"Tool::"openai/lookup_order""#, "tool.call Tool:lookup_order"),
    (r#"Tool::"openai/crm.lookup_order""#, "tool.call Tool:crm.lookup_order"),
];

#[test]
fn the_ids_of_the_documents_are_those_that_are_asked_about() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rules, mut cases) =
        (POLICY.to_owned(), "packs: ids.cedar\nuser:a @ dev/web | ssh.connect | allow\n".to_owned());
    for (index, (id, asked)) in NAMED.iter().enumerate() {
        let target = id.split(['"', '/']).nth(1).unwrap();
        rules.push_str(&format!("\n@id(\"f{index}\") forbid (principal, action, resource == {id});"));
        cases.push_str(&format!("user:a @ dev/{target} | {asked} | deny f{index}\n"));
    }
    fs::write(dir.path().join("ids.cedar"), rules).unwrap();
    fs::write(dir.path().join("ids.cases"), cases).unwrap();
    let tested = sluice(dir.path(), &["policy", "test", "."]);
    assert_eq!(code(&tested), 0, "{}", said(&tested));
    let schema = said(&sluice(dir.path(), &["policy", "schema"]));
    let documents = [include_str!("../../../docs/ssh.md"), include_str!("../../../docs/http.md"), &schema];
    for kind in ["File", "Reference", "Program", "Model", "Tool"] {
        for text in documents {
            let start = format!("{kind}::\"");
            let shown = text.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
            for id in shown {
                let id = format!("{kind}::\"{id}\"");
                assert!(NAMED.iter().any(|(known, _)| *known == id), "{id} is in a document and in no case");
            }
        }
    }
}

#[test]
fn a_policy_about_what_cannot_be_is_not_taken() {
    let site = site();
    let cannot =
        ["File::\"web/etc/motd\"", "File::\"web//etc//motd\"", "File::\"web/%2Fetc%2Fmotd\"", "File::\"web//etc/\""];
    let others =
        ["Reference::\"web/main\"", "Reference::\"web/refs%2Fheads%2Fmain\"", "Column::\"shop/customers/email\""];
    for id in cannot.iter().chain(&others) {
        let rule = format!("{POLICY}\n@id(\"f\") forbid (principal, action, resource in {id});\n");
        fs::write(site.path().join("policies/all.cedar"), rule).unwrap();
        let output = sluice(site.path(), &["policy", "check"]);
        assert_eq!(code(&output), 1, "{id}: {}", said(&output));
        let said = said(&output);
        assert!(said.contains("nothing can be `") && said.contains("all.cedar:2:49"), "{id}: {said}");
    }
}

#[test]
fn a_changed_policy_is_taken_and_a_bad_one_keeps_the_one_before() {
    let site = site();
    let serving = Serving::start(site.path());
    let policy = site.path().join("policies/all.cedar");
    fs::write(&policy, format!("{POLICY}\n@id(\"x\") forbid (principal, action == Action::\"sql.set\", resource);\n"))
        .unwrap();
    serving.until("the configuration was reloaded");

    fs::write(&policy, format!("{POLICY} nonsense")).unwrap();
    let line = serving.until("the one before stays in force");
    assert!(line.contains("all.cedar:1:"), "{line}");

    change(site.path(), "environment: prod", "environment: staging");
    let line = serving.until("the one before stays in force");
    assert!(line.contains("all.cedar:1:"), "the policy is still bad: {line}");

    fs::write(&policy, POLICY).unwrap();
    serving.until("the configuration was reloaded");
    serving.signal("HUP");
    serving.until("the configuration was reloaded");
}

#[test]
fn a_broker_keeps_a_second_one_off_its_folder_and_stops_when_told() {
    let site = site();
    let mut serving = Serving::start(site.path());
    let second = sluice(site.path(), &["serve"]);
    assert_eq!(code(&second), 1);
    assert!(said(&second).contains("another broker is running on this data folder"), "{}", said(&second));
    let listed = sluice(site.path(), &["approvals", "list"]);
    assert_eq!(code(&listed), 0, "{}", said(&listed));
    assert!(said(&listed).contains("nothing waits"), "{}", said(&listed));
    let mode = fs::metadata(site.path().join("var/control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serving.signal("TERM");
    serving.until("the broker has stopped");
    assert!(serving.process.wait().unwrap().success());
    assert!(!site.path().join("var/control.sock").exists());
}
