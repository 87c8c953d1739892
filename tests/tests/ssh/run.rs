//! `sluice run` with clients of SSH: they need no configuration, and have the run's key for as long as it lasts.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::api::Api;
use sluice_tests::broker::{Broker, Setup, sluice};
use sluice_tests::mock::{Mock, Peer, Told};
use sluice_tests::openai;
use sluice_tests::run::{Finished, Running, run, signal};
use sluice_tests::ssh::Person;
use sluice_tests::wait::{SOON, until};

use crate::stand::{OPERATORS, Stand, reason, text};

/// A program with some work to do.
const WORK: Duration = Duration::from_secs(120);

/// The targets `web` and `vault` on one server, and a configuration that names the port which the broker listens on.
struct Site {
    stand: Stand,
    /// Where private folders are made.
    folders: PathBuf,
}

impl Site {
    fn open() -> Self {
        Self::beside(Vec::new(), "")
    }

    /// With APIs as targets besides, and policies for them.
    fn beside(apis: Vec<Api>, policies: &str) -> Self {
        let two = |mut setup: Setup| {
            let mut vault = setup.hosts[0].clone();
            vault.name = "vault".to_owned();
            setup.hosts.push(vault);
            setup.apis = apis;
            setup
        };
        let stand = Stand::with(&format!("{OPERATORS}{policies}"), |host| host, two);
        name_the_ports(&stand.broker);
        let folders = stand.server.folder().join("tmp");
        fs::create_dir(&folders).expect("our folder");
        Self { stand, folders }
    }

    /// `sluice run` with these arguments, in the folder of the server, whose path is `$there`.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(sluice());
        command.arg("--config").arg(self.stand.broker.folder().join("run.yaml")).arg("run").args(arguments);
        command.current_dir(self.stand.server.folder()).env("there", self.stand.server.folder());
        command.env("TMPDIR", &self.folders).env("login", self.stand.server.user()).env("LC_ALL", "C");
        for own in ["SLUICE_TOKEN", "SSH_AUTH_SOCK", "GIT_PROTOCOL", "LANG"] {
            command.env_remove(own);
        }
        command
    }

    /// A script of bash as a run of the operator's.
    fn script(&self, more: &[&str], script: &str) -> Command {
        let oli = ["--user", "oli", "--group", "ops"];
        let script = format!("set -euo pipefail; {script}");
        self.command(&[&oli[..], more, &["--", "bash", "-c", &script]].concat())
    }

    fn run(&self, script: &str) -> Finished {
        run(&mut self.script(&[], script), WORK)
    }

    /// Whatever was minted is revoked, the keys among it, and no private folder is left.
    fn nothing_is_left(&self) {
        let tokens = self.stand.broker.json(&["token", "list"]);
        let minted: Vec<&Value> = tokens.iter().filter(|token| token["run"].is_string()).collect();
        let kinds: Vec<&str> = minted.iter().filter_map(|token| token["kind"].as_str()).collect();
        assert!(kinds.contains(&"jwt") && kinds.contains(&"ssh-key"), "{kinds:?}");
        assert!(minted.iter().all(|token| token["state"] == "revoked"), "{minted:?}");
        let keys = self.stand.broker.json(&["key", "list"]);
        assert!(keys.is_empty(), "keys of runs that have ended are in nobody's way: {keys:?}");
        let left: Vec<_> = fs::read_dir(&self.folders).expect("our folder").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Writes `run.yaml` beside the configuration: nobody can be told to connect to any port.
fn name_the_ports(broker: &Broker) {
    let text = fs::read_to_string(broker.folder().join("sluice.yaml")).expect("it was written");
    let mut named = text.replace("ssh: 127.0.0.1:0", &format!("ssh: 127.0.0.1:{}", broker.ssh_port()));
    if named.contains("http: 127.0.0.1:0") {
        named = named.replace("http: 127.0.0.1:0", &format!("http: 127.0.0.1:{}", broker.http_port()));
    }
    fs::write(broker.folder().join("run.yaml"), named).expect("our folder");
}

/// The name of whoever a session is of.
fn who(session: &Value) -> &str {
    session["principal"]["who"]["name"].as_str().unwrap_or_default()
}

#[test]
fn ssh_scp_and_sftp_need_no_configuration() {
    let site = Site::open();
    let said = site.run(
        "stat -c %a \"$(dirname \"$SLUICE_SSH_CONFIG\")\" \"$(dirname \"$SLUICE_SSH_CONFIG\")/key\"
        ssh web.sluice 'echo one'; ssh $login@web.sluice 'echo two'; ssh -l $login -T vault.sluice 'echo three'
        ssh ssh://$login@web.sluice 'echo four'; ssh +vault@sluice-broker 'echo five'
        head -c 1M /dev/urandom >a; scp -q a web.sluice:$there/b; scp -q $login@web.sluice:$there/b c; cmp a c
        scp -O -q web.sluice:$there/b d; cmp a d
        printf '%s\\n' \"get $there/b e\" | sftp -q -b - $login@web.sluice >sftp.log; cmp a e
        echo done",
    );
    assert_eq!(said.clone().done().stdout, "700\n600\none\ntwo\nthree\nfour\nfive\ndone\n", "{}", said.stderr);
    let sessions = site.stand.broker.closed_sessions();
    assert_eq!(sessions.len(), 9, "one for each connection: {sessions:?}");
    let runs: Vec<Option<String>> = sessions.iter().map(|session| text(session, "run")).collect();
    assert!(runs.iter().all(|run| run.is_some() && *run == runs[0]), "{runs:?}");
    assert!(sessions.iter().all(|session| who(session) == "oli"), "{sessions:?}");
    site.nothing_is_left();
    site.stand.broker.log_is_clean();
}

#[test]
fn git_and_rsync_need_no_configuration_whatever_their_own_says() {
    let site = Site::open();
    let mut script = site.script(
        &[],
        "export GIT_CONFIG_GLOBAL=$there/gitconfig GIT_CONFIG_NOSYSTEM=1
        export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.com GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.com
        git config --global core.sshCommand false
        git init -q --bare -b main bare.git; git clone -q web.sluice:$there/bare.git work 2>/dev/null
        cd work; git checkout -q -b main; echo one >file; git add file; git commit -q -m one; git push -q origin main; cd ..
        git clone -q ssh://$login@web.sluice$there/bare.git again; cat again/file
        mkdir from; echo two >from/file; rsync -a from/ web.sluice:$there/to/; cat to/file
        rsync -a -e ssh $login@web.sluice:$there/to/ back/; cat back/file",
    );
    script.env("GIT_SSH_COMMAND", "false").env("GIT_SSH_VARIANT", "simple").env("RSYNC_RSH", "false");
    let said = run(&mut script, WORK);
    assert_eq!(said.clone().done().stdout, "one\ntwo\ntwo\n", "{}", said.stderr);
    site.nothing_is_left();
}

#[test]
fn a_target_beyond_the_runs_scope_is_not_reached() {
    let site = Site::open();
    let script = "ssh web.sluice 'echo in'
        for place in vault.sluice $login@vault.sluice +vault@sluice-broker $login+vault@sluice-broker; do
            ssh $place 'echo out' 2>&1 || echo \"$place $?\"
        done
        config=$(dirname \"$SLUICE_SSH_CONFIG\"); sed 's/web/vault/g' $config/config >own
        ssh -F own vault.sluice 'echo out' 2>&1 || echo own $?
        ssh -F own $login@vault.sluice 'echo out' 2>&1 || echo jump $?";
    let said = run(&mut site.script(&["--targets", "web"], script), WORK).done().stdout;
    let login = site.stand.server.user();
    for expected in [
        "in\n",
        "sluice: this run reaches no such host; it reaches: web.sluice\n",
        "vault.sluice 255\n",
        &format!("{login}@vault.sluice 255\n"),
        "+vault@sluice-broker 126\n",
        &format!("{login}+vault@sluice-broker 126\n"),
        "own 126\n",
        "jump 126\n",
    ] {
        assert!(said.contains(expected), "no `{expected}` in:\n{said}");
    }
    assert!(!said.contains("out\n"), "{said}");
    let keys = site.stand.broker.json(&["token", "list"]);
    assert!(
        keys.iter().all(|token| token["targets"] == serde_json::json!(["web"]) || token["run"].is_null()),
        "{keys:?}"
    );
    site.nothing_is_left();
}

#[test]
fn after_the_run_its_key_is_refused() {
    let site = Site::open();
    let strict = format!(
        "ssh -F /dev/null -i $there/kept -p {} -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o PreferredAuthentications=publickey +web@127.0.0.1 'echo in'",
        site.stand.broker.ssh_port()
    );
    let said = site.run(&format!("cp \"$(dirname \"$SLUICE_SSH_CONFIG\")/key\" kept; {strict}")).done();
    assert_eq!(said.stdout, "in\n");
    // At once, and not only at the broker's next look.
    let mut late = Command::new("bash");
    let late = run(late.arg("-c").arg(&strict).env("there", site.stand.server.folder()), SOON);
    assert_eq!((late.code, late.stdout.as_str()), (Some(255), ""), "{}", late.stderr);
    assert!(late.stderr.contains("Permission denied"), "{}", late.stderr);
    site.nothing_is_left();
}

#[test]
fn the_exit_status_is_the_commands_own() {
    let site = Site::open();
    let oli = ["--user", "oli", "--group", "ops", "--"];
    for (command, expected) in
        [(&["ssh", "web.sluice", "exit 7"][..], 7), (&["ssh", "nowhere.sluice", "true"], 255), (&["true"], 0)]
    {
        let said = run(&mut site.command(&[&oli[..], command].concat()), WORK);
        assert_eq!(said.code, Some(expected), "{command:?}: {}", said.said());
    }
    let nobody = ["--user", "eve", "--group", "guests", "--", "ssh", "web.sluice", "true"];
    let said = run(&mut site.command(&nobody), WORK);
    assert_eq!(said.code, Some(126), "{}", said.said());
    site.nothing_is_left();
}

#[test]
fn a_command_that_is_killed_leaves_nothing_behind() {
    let site = Site::open();
    let killed = site.run("ssh web.sluice true; kill -KILL $$");
    assert_eq!(killed.code, Some(137), "{}", killed.said());
    site.nothing_is_left();

    // What it has started ends with the run as well.
    let orphan =
        site.run("ssh -n web.sluice 'echo up; exec sleep 600' >up & until [ -s up ]; do :; done; kill -KILL $$");
    assert_eq!(orphan.code, Some(137), "{}", orphan.said());
    site.nothing_is_left();
    let sessions = site.stand.broker.closed_sessions();
    assert_eq!(sessions.first().and_then(reason).as_deref(), Some("revoked"), "{sessions:?}");
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let site = Site::open();
    for name in ["INT", "TERM", "HUP"] {
        let command = ["--user", "oli", "--group", "ops", "--", "ssh", "web.sluice", "echo up; exec sleep 600"];
        let running = Running::start(&mut site.command(&command));
        let _up = running.hear("up\n");
        signal(running.pid(), name);
        let said = running.finish(SOON);
        assert!(said.code.is_some_and(|code| code != 0), "{name}: {}", said.said());
        site.nothing_is_left();
    }
}

#[test]
fn the_callers_own_configuration_and_agent_take_no_part() {
    let site = Site::open();
    let agent = site.folders.with_file_name("agent");
    let asked = UnixListener::bind(&agent).expect("our folder");
    asked.set_nonblocking(true).expect("it is ours");
    let mut script = site.script(&[], "ssh -v web.sluice 'echo one'; ssh -v $login@web.sluice 'echo two'");
    let said = run(script.env("SSH_AUTH_SOCK", &agent), WORK).done();
    assert_eq!(said.stdout, "one\ntwo\n");
    let read: Vec<&str> = said.stderr.lines().filter(|line| line.contains("Reading configuration data")).collect();
    assert!(read.len() == 2 && read.iter().all(|line| line.contains("/sluice-run-")), "{read:?}");
    let offered: Vec<&str> = said.stderr.lines().filter(|line| line.contains("Offering public key")).collect();
    assert!(offered.len() == 2 && offered.iter().all(|line| line.contains("/sluice-run-")), "{offered:?}");
    let waiting = asked.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(waiting, Err(std::io::ErrorKind::WouldBlock), "nobody asks the agent");
}

#[test]
fn a_configuration_of_the_callers_own_is_theirs_and_other_hosts_are_as_ever() {
    let site = Site::open();
    let person = Person::new(&site.stand.broker, &site.stand.broker.token("dana", "ops"));
    let own = person.script("");
    let mut script = site.script(
        &[],
        "ssh -F $own web@broker 'echo theirs'; echo x >one; scp -F $own -q one web@broker:$there/two
        ssh -G example.com >inside; ssh -V 2>>inside",
    );
    for (name, value) in own.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    let said = run(script.env("own", person.config()), WORK).done();
    assert_eq!(said.stdout, "theirs\n");
    let sessions = site.stand.broker.closed_sessions();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    assert!(sessions.iter().all(|session| who(session) == "dana"), "{sessions:?}");
    let mut outside = Command::new("sh");
    let outside = run(outside.args(["-c", "ssh -G example.com; ssh -V 2>&1"]), SOON).done().stdout;
    let inside = fs::read_to_string(site.stand.server.folder().join("inside")).unwrap_or_default();
    assert_eq!(inside, outside);
}

#[test]
fn a_persons_token_makes_an_agent_of_theirs() {
    let site = Site::open();
    let mut command = site.command(&["--agent", "robo", "--agent-group", "ops", "--", "ssh", "web.sluice", "echo in"]);
    let said = run(command.env("SLUICE_TOKEN", &site.stand.token), WORK).done();
    assert_eq!(said.stdout, "in\n");
    let sessions = site.stand.broker.closed_sessions();
    assert_eq!((who(&sessions[0]), &sessions[0]["principal"]["who"]["owner"]["name"]), ("robo", &"oli".into()));
    site.nothing_is_left();
}

#[test]
fn a_run_within_a_run_reaches_what_it_may() {
    let site = Site::open();
    let script = format!(
        "ssh vault.sluice 'echo outer'
        {} --config {} run --targets web -- bash -c 'ssh web.sluice \"echo inner\"; ssh vault.sluice true || echo no'
        ssh vault.sluice 'echo again'",
        sluice().display(),
        site.stand.broker.folder().join("run.yaml").display()
    );
    let said = site.run(&script).done();
    assert_eq!(said.stdout, "outer\ninner\nno\nagain\n", "{}", said.stderr);
    let sessions = site.stand.broker.closed_sessions();
    assert!(sessions.iter().all(|session| session["run"] == sessions[0]["run"]), "{sessions:?}");
    site.nothing_is_left();
}

#[test]
fn a_printed_environment_serves_until_it_is_revoked() {
    let site = Site::open();
    let printed = run(&mut site.command(&["--user", "oli", "--group", "ops", "--print-env"]), WORK).done();
    let try_it = |expected: i32| {
        let mut shell = Command::new("bash");
        let said = run(shell.arg("-c").arg(format!("{}\nssh web.sluice 'echo in'", printed.stdout)), SOON);
        assert_eq!(said.code, Some(expected), "{}", said.said());
    };
    try_it(0);
    let revocation = printed.stderr.split('`').find_map(|part| part.strip_prefix("sluice token revoke "));
    let _revoked = site.stand.broker.cli(&["token", "revoke", revocation.expect("it says how")]).done();
    until(SOON, "the broker to know", || {
        let mut shell = Command::new("bash");
        let said = run(shell.arg("-c").arg(format!("{}\nssh web.sluice true", printed.stdout)), SOON);
        (said.code == Some(255) && said.stderr.contains("Permission denied")).then_some(())
    });
    try_it(255);
}

#[test]
fn where_ssh_cannot_be_led_that_is_said() {
    let site = Site::open();
    let begin = ["--user", "oli", "--group", "ops", "--", "/bin/echo", "begun"];
    let said = run(site.command(&begin).env("PATH", "/nowhere"), WORK).done();
    assert_eq!(said.stdout, "begun\n");
    assert!(said.stderr.contains("no `ssh` is installed here"), "{}", said.stderr);

    let odd = site.folders.with_file_name("t m p");
    fs::create_dir(&odd).expect("our folder");
    let said = run(site.command(&begin).env("TMPDIR", &odd), WORK);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert!(said.stderr.contains("another temporary folder in TMPDIR"), "{}", said.stderr);
    assert_eq!(fs::read_dir(&odd).expect("our folder").count(), 0);
    let tokens = site.stand.broker.json(&["token", "list"]);
    let minted: Vec<&Value> = tokens.iter().filter(|token| token["run"].is_string()).collect();
    assert!(minted.iter().all(|token| token["kind"] == "jwt" && token["state"] == "revoked"), "{minted:?}");
    assert_eq!(minted.len(), 2, "{minted:?}");
}

#[test]
fn without_a_broker_nothing_is_begun() {
    let site = Site::open();
    site.stand.broker.stop();
    let said = site.run("echo begun");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
    assert!(said.stderr.contains("no broker is running on this data folder"), "{}", said.stderr);
    site.nothing_is_left();
}

/// Whoever operates may talk to models as well.
const TALKERS: &str = r#"
@id("operators-talk")
permit (
  principal in Group::"ops",
  action in [Action::"read", Action::"write", Action::"execute"],
  resource
);
@id("operators-call")
permit (principal in Group::"ops", action == Action::"tool.call", resource);
"#;

/// What the model has its program run.
const ORDERS: [&str; 2] = ["ssh web.sluice 'cat  /etc/passwd' | head -n 1", "scp -q one web.sluice:$there/two"];

/// A model that orders one command for each question, and is content with a result.
fn commander(told: &Told, peer: &mut Peer) {
    let body = told.json();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    match messages.last() {
        Some(last) if last["role"] == "user" => {
            let order = if last["content"] == "copy" { ORDERS[1] } else { ORDERS[0] };
            let arguments = json!({ "command": order }).to_string();
            peer.json(&openai::Api::Chat.calling("run_command", &arguments).to_string());
        }
        _ => peer.json(&openai::Api::Chat.answer("\"Good.\"")),
    }
}

/// An agent that asks, runs what it is told to, and says that it has.
const AGENT: &str = r#"
ask() {
    curl -sS --fail --max-time 20 --cacert "$SSL_CERT_FILE" -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' \
        --data "$1" "$OPENAI_BASE_URL/chat/completions"
}
echo x >one
for question in look copy; do
    user="{\"role\":\"user\",\"content\":\"$question\"}"
    ask "{\"model\":\"gpt-small\",\"tools\":$tools,\"messages\":[$user]}" >answer
    call=$(python3 -c 'import json, sys
print(json.dumps(json.load(sys.stdin)["choices"][0]["message"]))' <answer)
    order=$(python3 -c 'import json, sys
print(json.loads(json.load(sys.stdin)["tool_calls"][0]["function"]["arguments"])["command"])' <<<"$call")
    bash -c "$order"
    result='{"role":"tool","tool_call_id":"call_1","content":"done"}'
    ask "{\"model\":\"gpt-small\",\"tools\":$tools,\"messages\":[$user,$call,$result]}" >answer
done
"#;

#[test]
fn what_a_model_has_run_at_a_host_stands_below_its_call() {
    let mock = Mock::start(commander);
    let site = Site::beside(vec![Api::openai("openai", "dev", mock.port())], TALKERS);
    let mut script = site.script(&[], AGENT);
    let said = run(script.env("tools", openai::Api::Chat.tools(&["run_command"])), WORK).done();
    assert!(said.stdout.starts_with("root:"), "{}", said.said());
    let sessions = site.stand.broker.closed_sessions();
    let run_id = text(&sessions[0], "run").unwrap_or_default();
    let replay = site.stand.broker.cli(&["replay", &run_id, "--no-wait"]).done().stdout;
    let place = |from: usize, needle: &str| {
        let found = replay.get(from..).and_then(|rest| rest.find(needle));
        assert!(found.is_some(), "no `{needle}` after {from} in:\n{replay}");
        from + found.unwrap_or_default()
    };
    let look = place(0, "tool> run_command(");
    let cat = place(look, "'cat' '/etc/passwd'");
    let back = place(place(cat, "called by run_command (digest)"), "with the result of run_command (exact-id)");
    let copy = place(back, "tool> run_command(");
    let _sent = place(place(copy, "sftp"), "called by run_command (time)");
    let edges = site.stand.broker.json(&["sessions", "show", "--run", &run_id]);
    let found: Vec<&str> = edges[0]["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|edge| {
            let at_host =
                sessions.iter().any(|session| session["id"] == edge["to"]["session"] && session["target"] == "web");
            at_host.then(|| edge["confidence"].as_str()).flatten()
        })
        .collect();
    assert_eq!(found.iter().filter(|confidence| **confidence == "digest").count(), 1, "{found:?}");
}
