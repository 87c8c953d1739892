//! `sluice run`, and runs in what was recorded.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use sluice_kernel::{Closing, Keep as _, Opening, Recorder, clock};
use sluice_model::{
    Digest, Environment, FlowId, OpId, Person, Principal, RunId, SessionId, Stage, Target, TargetName, TokenId, Who,
};
use sluice_recording::{Asked, Batch, Content, Event, Noted, Pair, Ruled, Word};
use sluice_store::{Edges as _, Keeper, Limits, Recordings, Sqlite};
use sluice_wire::Peer;
use tempfile::TempDir;

/// A folder with a configuration of two databases and two HTTP APIs, all behind fixed ports that nobody listens on.
fn site() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("policies/all.cedar"), r#"@id("all") permit (principal, action, resource);"#).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let password = format!("password: \"file:{}\"", secret.display());
    let database = |name: &str| {
        format!(
            "  {name}:\n    protocol: postgres\n    environment: prod\n    credential: {{ user: app, {password} }}\n    \
             host: 127.0.0.1\n    port: 1\n    database: x\n    tls: dangerous_plaintext\n"
        )
    };
    let api = |name: &str, dialect: &str| {
        format!(
            "  {name}:\n    protocol: http\n    environment: prod\n    credential: {{ {password} }}\n    url: \
             https://api.example.com/v1\n    dialect: {dialect}\n"
        )
    };
    let text = format!(
        "listen: {{ postgres: 127.0.0.1:6432, http: 127.0.0.1:8443 }}\ndata_dir: ./var\npolicies: ./policies\n\
         targets:\n{}{}{}{}",
        database("shop"),
        database("vault"),
        api("billing", "rest"),
        api("models", "openai"),
    );
    fs::write(dir.path().join("sluice.yaml"), text).unwrap();
    dir
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(dir).args(arguments);
    let own = ["SLUICE_CONFIG", "SLUICE_TOKEN", "OPENAI_AGENTS_DISABLE_TRACING", "PGDATABASE", "SSL_CERT_FILE"];
    for name in own {
        command.env_remove(name);
    }
    command
}

fn sluice(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn with_token(dir: &Path, token: &str, arguments: &[&str]) -> Output {
    command(dir, arguments).env("SLUICE_TOKEN", token).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// What `env` printed.
fn variables(output: &Output) -> BTreeMap<String, String> {
    assert_eq!(code(output), 0, "{}", said(output));
    let lines = text(output.stdout.clone());
    lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The tokens that were minted, newest first.
fn tokens(dir: &Path) -> Vec<Value> {
    let listed = sluice(dir, &["token", "list", "--output", "json"]);
    text(listed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn created(dir: &Path, arguments: &[&str]) -> String {
    let made = sluice(dir, &[&["token", "create"], arguments].concat());
    assert_eq!(code(&made), 0, "{}", said(&made));
    text(made.stdout).trim().to_owned()
}

const ALICE: [&str; 5] = ["run", "--user", "alice", "--group", "analysts"];

fn alice<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ALICE[..], more].concat()
}

#[test]
fn a_command_finds_its_way_to_every_target_and_its_token_ends_with_it() {
    let site = site();
    let mut env = command(site.path(), &alice(&["--", "env"]));
    let env = variables(&env.env("PGSERVICE", "elsewhere").env("PGHOSTADDR", "192.0.2.1").output().unwrap());
    let token = &env["SLUICE_TOKEN"];
    assert_eq!(token.split('.').count(), 3);
    for (name, value) in [
        ("PGHOST", "localhost"),
        ("PGPORT", "6432"),
        ("PGUSER", "alice"),
        ("PGPASSWORD", token),
        ("PGSSLMODE", "verify-full"),
        ("OPENAI_BASE_URL", "https://localhost:8443/models/v1"),
        ("OPENAI_API_KEY", token),
        ("OPENAI_AGENTS_DISABLE_TRACING", "true"),
    ] {
        assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!env.contains_key("PGDATABASE"), "there are two databases");
    assert!(!env.contains_key("PGSERVICE") && !env.contains_key("PGHOSTADDR"), "they lead past the broker");
    for name in ["PGSSLROOTCERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
        let file = Path::new(&env[name]);
        assert!(file.is_absolute() && fs::read_to_string(file).unwrap().contains("BEGIN CERTIFICATE"), "{name}");
    }
    let row = &tokens(site.path())[0];
    assert_eq!((&row["state"], &row["principal"]), (&"revoked".into(), &"user:alice".into()));
    assert_eq!(row["run"], env["SLUICE_RUN"]);
    assert!(env["SLUICE_RUN"].starts_with("r-"));
    assert_eq!(row["label"], format!("run {}: env", env["SLUICE_RUN"]));
    let late = with_token(site.path(), token, &["run", "--", "env"]);
    assert_eq!(code(&late), 1);
    assert!(said(&late).contains("revoked"), "{}", said(&late));
}

#[test]
fn a_scope_says_which_targets_and_which_variables_there_are() {
    let site = site();
    let env = variables(&sluice(site.path(), &alice(&["--targets", "vault", "--", "env"])));
    assert_eq!(env["PGDATABASE"], "vault");
    assert!(!env.contains_key("OPENAI_API_KEY") && !env.contains_key("SSL_CERT_FILE"));
    let env =
        variables(&sluice(site.path(), &alice(&["--targets", "billing,shop", "--host", "broker.test", "--", "env"])));
    assert_eq!((env["PGDATABASE"].as_str(), env["PGHOST"].as_str()), ("shop", "broker.test"));
    assert_eq!(env["OPENAI_BASE_URL"], "https://broker.test:8443/billing/v1");
    assert_eq!(tokens(site.path())[0]["targets"], serde_json::json!(["billing", "shop"]));
}

#[test]
fn a_persons_token_makes_an_agent_of_theirs_and_nothing_beyond_it() {
    let site = site();
    let token = created(site.path(), &["--user", "alice", "--group", "analysts", "--target", "shop", "--ttl", "5m"]);
    let env = variables(&with_token(site.path(), &token, &["run", "--agent", "robo", "--purpose", "x", "--", "env"]));
    assert_eq!((env["PGUSER"].as_str(), env["PGDATABASE"].as_str()), ("robo", "shop"));
    let listed = tokens(site.path());
    assert_eq!(listed[0]["principal"], "agent:robo for user:alice");
    assert_eq!(listed[0]["groups"], serde_json::json!(["agents"]));
    assert_eq!(listed[0]["targets"], serde_json::json!(["shop"]));
    assert!(listed[0]["expires"].as_str() <= listed[1]["expires"].as_str(), "it lives no longer than the token");

    for (arguments, expected) in [
        (&["run", "--targets", "vault", "--", "env"][..], "for none of these targets"),
        (&["run", "--user", "bob", "--", "env"], "leave --user and --group out"),
        (&["run", "--group", "dba", "--", "env"], "leave --user and --group out"),
    ] {
        let refused = with_token(site.path(), &token, arguments);
        assert_eq!(code(&refused), 1, "{arguments:?}");
        assert!(said(&refused).contains(expected), "{arguments:?}: {}", said(&refused));
    }
    let broken = with_token(site.path(), "a.b.c", &["run", "--", "env"]);
    assert!(code(&broken) == 1 && said(&broken).contains("does not count"), "{}", said(&broken));
    let agent = created(site.path(), &["--user", "alice", "--agent", "robo"]);
    let refused = with_token(site.path(), &agent, &["run", "--agent", "other", "--", "env"]);
    assert!(code(&refused) == 1 && said(&refused).contains("acts for a person"), "{}", said(&refused));
}

#[test]
fn a_run_within_a_run_is_the_same_run() {
    let site = site();
    let inner =
        format!("env | grep SLUICE_RUN; {} run --agent robo -- env | grep SLUICE_RUN", env!("CARGO_BIN_EXE_sluice"));
    let shown = text(sluice(site.path(), &alice(&["--", "sh", "-c", &inner])).stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn the_exit_code_is_the_commands_own() {
    let site = site();
    fs::write(site.path().join("plain"), "no program").unwrap();
    for (arguments, expected) in [
        (&["--", "sh", "-c", "exit 7"][..], 7),
        (&["--", "sh", "-c", "kill -s KILL $$"], 137),
        (&["--", "./nowhere"], 127),
        (&["--", "./plain"], 126),
    ] {
        let ran = sluice(site.path(), &alice(arguments));
        assert_eq!(code(&ran), expected, "{arguments:?}: {}", said(&ran));
        assert_eq!(tokens(site.path())[0]["state"], "revoked", "{arguments:?}");
    }
}

#[test]
fn signals_reach_the_command_and_the_token_is_revoked_all_the_same() {
    let site = site();
    let script = "trap 'echo told; exit 3' TERM; trap 'echo poked' USR1; echo ready; while :; do sleep 0.05; done";
    let mut running = command(site.path(), &alice(&["--", "sh", "-c", script])).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap());
    let mut expect = |expected: &str| {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected);
    };
    let signal = |name: &str| {
        let kill = format!("kill -s {name} {}", running.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    };
    expect("ready");
    assert_eq!(tokens(site.path())[0]["state"], "valid");
    signal("USR1");
    expect("poked");
    signal("TERM");
    expect("told");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(3));
    assert_eq!(tokens(site.path())[0]["state"], "revoked");
}

#[test]
fn the_environment_is_printed_for_a_shell_and_as_json() {
    let site = site();
    let script = format!(
        "eval \"$({} run --user alice --print-env 2>/dev/null)\" && test \"$PGPASSWORD\" = \"$SLUICE_TOKEN\" && \
         echo \"$PGHOST:$PGPORT${{PGSERVICE-}}\"",
        env!("CARGO_BIN_EXE_sluice")
    );
    let mut shell = Command::new("sh");
    shell.current_dir(site.path()).args(["-c", &script]).env("PGSERVICE", "x").env_remove("SLUICE_CONFIG");
    assert_eq!(text(shell.output().unwrap().stdout), "localhost:6432\n");

    let printed = sluice(site.path(), &alice(&["--print-env", "--output", "json"]));
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(document["principal"], "user:alice");
    assert_eq!(document["variables"]["SLUICE_RUN"], document["run"]);
    assert_eq!(document["variables"]["PGSERVICE"], Value::Null);
    let row = &tokens(site.path())[0];
    assert_eq!((&row["state"], &row["id"]), (&"valid".into(), &document["token_id"]));
    assert!(said(&printed).contains("sluice token revoke"), "{}", said(&printed));
}

#[test]
fn what_a_run_signs_in_with_is_revoked_with_the_token_that_began_it() {
    let site = site();
    let token = created(site.path(), &["--user", "alice"]);
    let began = tokens(site.path())[0]["id"].as_str().unwrap().to_owned();
    let print = ["run", "--print-env", "--output", "json", "--targets", "shop"];
    let printed = with_token(site.path(), &token, &print);
    let run: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let inner = with_token(site.path(), run["variables"]["SLUICE_TOKEN"].as_str().unwrap(), &print);
    assert_eq!(serde_json::from_slice::<Value>(&inner.stdout).unwrap()["run"], run["run"], "{}", said(&inner));
    assert_eq!(code(&sluice(site.path(), &["token", "revoke", &began])), 0);
    let states: Vec<Value> = tokens(site.path()).iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, ["revoked", "revoked", "revoked"]);
}

#[test]
fn what_cannot_be_reached_is_not_promised() {
    let site = site();
    let file = site.path().join("sluice.yaml");
    let open = fs::read_to_string(&file).unwrap().replace("127.0.0.1:8443", "127.0.0.1:0");
    fs::write(&file, open).unwrap();
    let ran = sluice(site.path(), &alice(&["--", "env"]));
    assert_eq!(code(&ran), 1);
    assert!(said(&ran).contains("`listen.http` is any port (0)"), "{}", said(&ran));
    assert_eq!(tokens(site.path())[0]["state"], "revoked");
    assert_eq!(code(&sluice(site.path(), &alice(&["--targets", "shop", "--", "true"]))), 0);
    assert_eq!(code(&sluice(site.path(), &alice(&[]))), 2, "no command");
}

/// Sessions of one run, kept as a broker keeps them.
struct Past {
    keeper: Keeper,
    store: Arc<Sqlite>,
}

impl Past {
    async fn new(dir: &Path) -> Self {
        let var = dir.join("var");
        fs::create_dir(&var).unwrap();
        let store = Arc::new(Sqlite::open(&var.join("state.sqlite")).await.unwrap());
        let limits = Limits { min_free_percent: 0, ample_bytes: 0, min_free_bytes: 0, reserve_bytes: 4096 };
        let recordings = Arc::new(Recordings::open(&var.join("recordings"), limits, clock::now()).unwrap());
        Self { keeper: Keeper::new(recordings, Arc::<Sqlite>::clone(&store), "test"), store }
    }

    async fn open(&self, session: &str, target: &str, protocol: &'static str, run: Option<&str>) -> Box<dyn Recorder> {
        let owner = Person { name: "alice".to_owned(), groups: [].into() };
        let opening = Opening {
            session: SessionId::new(session).unwrap(),
            principal: Principal {
                who: Who::Agent { name: "robo".to_owned(), purpose: None, groups: [].into(), owner },
                token: TokenId::new("t-1").unwrap(),
                expires: clock::now().plus_seconds(60),
                targets: None,
                run: run.map(|run| RunId::new(run).unwrap()),
            },
            target: Target {
                name: TargetName::new(target).unwrap(),
                environment: Environment::new("prod").unwrap(),
                protocol,
                part: None,
            },
            peer: Peer { address: "127.0.0.1:5000".parse().unwrap() },
            policy_epoch: 1,
            schema_version: 1,
            at: clock::now(),
        };
        self.keeper.begin(opening).await.unwrap()
    }
}

fn asked(tape: &mut dyn Recorder, at_ns: u64, op: u64, action: &str, text: &str) {
    let asked = Asked {
        op: OpId(op),
        stage: Stage::Perform,
        action: action.into(),
        understood: true,
        facts: vec![Pair::new("name", "query")],
        accesses: vec![],
        digest: Digest([0; 32]),
        text: Content(text.as_bytes()),
        bound: None,
        exposures: vec![],
    };
    write(tape, at_ns, &Event::Asked(asked));
    let ruled = Ruled {
        op: OpId(op),
        verdict: Word::Allow,
        rules: vec!["all".into()],
        masks: vec![],
        message: "".into(),
        decision: "d".into(),
        cached: false,
    };
    write(tape, at_ns, &Event::Ruled(ruled));
}

fn write(tape: &mut dyn Recorder, at_ns: u64, event: &Event<'_>) {
    let mut batch = Batch::default();
    batch.add(FlowId(0), at_ns, event).unwrap();
    tape.append(&mut batch).unwrap();
}

async fn closed(tape: Box<dyn Recorder>, at_ns: u64) {
    let closing = Closing {
        reason: "client",
        at: clock::now(),
        operations: 1,
        refused: 0,
        bytes_to_client: 0,
        bytes_to_server: 0,
    };
    tape.finish(at_ns, closing).await.unwrap();
}

const RUN: &str = "r-0198f3b2-7c1e";
const SECOND: u64 = 1_000_000_000;

/// A model's turn that calls a tool, what the tool asks of a database, and a session that belongs to no run.
async fn past(dir: &Path) -> Past {
    let past = Past::new(dir).await;
    let mut llm = past.open("s-llm", "models", "http", Some(RUN)).await;
    let mut sql = past.open("s-sql", "shop", "postgres", Some(RUN)).await;
    let other = past.open("s-other", "shop", "postgres", None).await;
    asked(&mut *llm, SECOND, 1, "llm.chat", "POST /responses");
    let pairs = vec![Pair::new("op", "2"), Pair::new("id", "call_1"), Pair::new("name", "query")];
    write(&mut *llm, SECOND, &Event::Noted(Noted { kind: "llm.call".into(), pairs }));
    asked(&mut *llm, SECOND, 2, "tool.call", r#"query({"sql":"select 1"})"#);
    asked(&mut *sql, 2 * SECOND, 1, "sql.read", "select 1;");
    closed(llm, 3 * SECOND).await;
    closed(sql, 3 * SECOND).await;
    closed(other, 3 * SECOND).await;
    past
}

#[tokio::test]
async fn the_sessions_of_a_run_are_listed_shown_and_replayed_as_one() {
    let site = site();
    let past = past(site.path()).await;
    let listed = text(sluice(site.path(), &["sessions", "list", "--run", "7c1e", "--output", "json"]).stdout);
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!((ids.len(), &rows[0]["run"]), (2, &RUN.into()));
    assert!(!ids.contains(&"s-other"));

    let run = RunId::new(RUN).unwrap();
    assert!(past.store.edges(&run).await.unwrap().is_empty(), "nobody has asked");
    for _ in 0..2 {
        let shown = sluice(site.path(), &["sessions", "show", "--run", RUN, "--output", "json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["sessions"].as_array().unwrap().len(), 2);
        let edges: Vec<(&str, &str)> = shown["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| (edge["tie"].as_str().unwrap(), edge["confidence"].as_str().unwrap()))
            .collect();
        assert_eq!(edges, [("calls", "exact-id"), ("causes", "digest")]);
        assert_eq!(shown["edges"][1]["to"], serde_json::json!({ "session": "s-sql", "flow": 0, "op": 1 }));
        assert_eq!(past.store.edges(&run).await.unwrap().len(), 2);
    }
    let shown = said(&sluice(site.path(), &["sessions", "show", "--run", "r-0198"]));
    assert!(shown.contains("sluice replay r-0198f3b2-7c1e") && shown.contains("digest"), "{shown}");
    assert!(said(&sluice(site.path(), &["sessions", "show", "s-sql"])).contains(&format!("run        {RUN}")));

    let replayed = sluice(site.path(), &["replay", RUN, "--no-wait"]);
    let lines = said(&replayed);
    assert_eq!(code(&replayed), 0, "{lines}");
    let place = |needle: &str| {
        assert!(lines.contains(needle), "no `{needle}` in:\n{lines}");
        lines.find(needle)
    };
    let places =
        ["run r-0198f3b2-7c1e: 2 sessions", "tool> query", "robo> select 1;", "called by query (digest)"].map(place);
    assert!(places.is_sorted(), "{lines}");
    assert!(!lines.contains("s-other"));
    let documents = text(sluice(site.path(), &["replay", "7c1e", "--output", "json"]).stdout);
    assert!(documents.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["target"].is_string()));
    let alone = said(&sluice(site.path(), &["replay", "s-sql", "--no-wait"]));
    assert!(alone.contains("robo> select 1;") && !alone.contains("called by"), "{alone}");
}

#[tokio::test]
async fn a_lost_recording_is_named_and_what_was_found_out_before_stays() {
    let site = site();
    let past = past(site.path()).await;
    assert_eq!(code(&sluice(site.path(), &["sessions", "show", "--run", RUN])), 0);
    fs::remove_file(site.path().join("var/recordings/s-sql.rec")).unwrap();
    let replayed = sluice(site.path(), &["replay", RUN, "--no-wait"]);
    assert_eq!(code(&replayed), 1);
    let lines = said(&replayed);
    assert!(lines.contains("the session s-sql cannot be replayed") && lines.contains("tool> query"), "{lines}");
    assert_eq!(past.store.edges(&RunId::new(RUN).unwrap()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_unknown_run_is_not_found() {
    let site = site();
    let _past = past(site.path()).await;
    for arguments in
        [&["replay", "r-9"][..], &["sessions", "show", "--run", "r-9"], &["sessions", "list", "--run", "r-9"]]
    {
        let shown = sluice(site.path(), arguments);
        assert_eq!(code(&shown), 1, "{arguments:?}");
        assert!(said(&shown).contains("no session of a run `r-9` was recorded"), "{arguments:?}: {}", said(&shown));
    }
}
