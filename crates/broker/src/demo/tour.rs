//! `sluice demo --check`: the tour of the demo, walked by a real client, every step compared with what must be.

use std::future::Future;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sluice_model::{ExposeSecret as _, HoldId, Secret, SessionId};
use sluice_store::{Archive, SessionFilter, Sessions as _};
use tokio::process::Command;

use super::Demo;
use super::caller::{Called, call};
use super::guest::Guest;
use crate::cli::{Style, colours, out, styled};
use crate::control::{Answer, Ask, ask};
use crate::replay::{Form, Pace, replay};

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Walks every step; whether all came out as they must.
pub(super) async fn run(demo: &Demo) -> bool {
    out(format_args!("the demo's database is {}", demo.database().words()));
    let mut passed = true;
    passed &= step("masked columns are masked, the others are not", masked(demo)).await;
    passed &= step("a filter on a masked column is refused, and says so", filtered(demo)).await;
    passed &= step("DROP TABLE is refused, and the session goes on", dropped(demo)).await;
    passed &= step("DELETE without WHERE is refused", unbounded(demo)).await;
    passed &= step("the agent reads, and changes nothing", agent(demo)).await;
    passed &= step("a held write goes on once somebody else approves it", held(demo)).await;
    passed &= step("a denied write is refused", denied(demo)).await;
    passed &= step("a wrong token gets nowhere", stranger(demo)).await;
    passed &= step("a model answers, with a key that no client has", asked(demo)).await;
    passed &= step("a protected value in a prompt does not reach the model", withheld(demo)).await;
    passed &= step("a destructive call of an agent's model is refused, and its turn goes on", called(demo)).await;
    if demo.host().is_some() {
        passed &= step("a command runs at a host, and its secrets are stars", shown(demo)).await;
        passed &= step("a command that only a shell can read never reaches the host", scripted(demo)).await;
        passed &= step("a file comes over sftp with its secrets covered", fetched(demo)).await;
    } else {
        out("skipped the host: no SSH server is installed (Debian: openssh-server)");
    }
    passed &= step("the sessions replay as they were seen, without a masked value", replayed(demo)).await;
    passed &= step("the recordings verify", verified(demo)).await;
    passed
}

async fn step(what: &str, walked: impl Future<Output = Result<()>>) -> bool {
    let walked = tokio::time::timeout(PATIENCE, walked).await.context("it took too long").and_then(|result| result);
    match walked {
        Ok(()) => {
            out(format_args!("{} {what}", styled("ok    ", Style::Good, colours())));
            true
        }
        Err(error) => {
            out(format_args!("{} {what}: {error:#}", styled("FAILED", Style::Bad, colours())));
            false
        }
    }
}

async fn masked(demo: &Demo) -> Result<()> {
    let alice = Guest::connect(demo, "alice", &demo.alice).await?;
    let rows = alice.rows("SELECT id, name, email, ssn FROM customers").await?;
    ensure!(rows.len() == 6, "{} rows came back, not 6", rows.len());
    let shown = rows.concat().join(" ");
    ensure!(shown.contains("Ada Winters"), "the name is not there");
    ensure!(shown.contains("***"), "nothing is masked");
    ensure!(!leaks(&shown), "a masked value came through");
    Ok(())
}

/// Whether a text holds part of a protected value.
fn leaks(text: &str) -> bool {
    let customers = super::data::CUSTOMERS;
    customers
        .iter()
        .any(|c| text.contains(c.email) || text.contains(c.ssn) || c.notes.is_some_and(|n| text.contains(n)))
}

async fn filtered(demo: &Demo) -> Result<()> {
    let alice = Guest::connect(demo, "alice", &demo.alice).await?;
    let refused = alice.refused("SELECT name FROM customers WHERE email LIKE 'a%'", "masked-filter").await?;
    ensure!(refused.contains("email"), "the refusal does not name the column: {refused}");
    Ok(())
}

async fn dropped(demo: &Demo) -> Result<()> {
    let alice = Guest::connect(demo, "alice", &demo.alice).await?;
    alice.refused("DROP TABLE customers", "only-dba-defines").await?;
    let rows = alice.rows("SELECT count(*) FROM customers").await?;
    ensure!(rows == [["6"]], "after the refusal the table holds {rows:?}");
    ensure!(demo.database().truth("SELECT count(*) FROM customers").await? == "6", "the table was touched");
    Ok(())
}

async fn unbounded(demo: &Demo) -> Result<()> {
    let alice = Guest::connect(demo, "alice", &demo.alice).await?;
    alice.refused("DELETE FROM orders", "no-unbounded-dml").await?;
    ensure!(demo.database().truth("SELECT count(*) FROM orders").await? == "8", "orders were deleted");
    Ok(())
}

async fn agent(demo: &Demo) -> Result<()> {
    let robo = Guest::connect(demo, "robo", &demo.robo).await?;
    let rows = robo.rows("SELECT item, total FROM orders").await?;
    ensure!(rows.len() == 8, "the agent saw {} orders, not 8", rows.len());
    robo.refused("UPDATE orders SET total = 0 WHERE id = 10", "agents-change-nothing").await?;
    Ok(())
}

const WRITE: &str = "UPDATE orders SET total = total - 10 WHERE id = 10";
const TRUTH: &str = "SELECT total FROM orders WHERE id = 10";

async fn held(demo: &Demo) -> Result<()> {
    let alice = Guest::connect(demo, "alice", &demo.alice).await?;
    let before = demo.database().truth(TRUTH).await?;
    let answer = async {
        let id = waiting(demo).await?;
        let own = vote(demo, &id, &demo.alice, true).await?;
        ensure!(matches!(own, Answer::Refused { .. }), "alice approved her own request");
        let agents = vote(demo, &id, &demo.robo, true).await?;
        ensure!(matches!(agents, Answer::Refused { .. }), "an agent approved a request");
        ensure!(demo.database().truth(TRUTH).await? == before, "it was written before anybody approved it");
        let counted = vote(demo, &id, &demo.dana, true).await?;
        ensure!(matches!(counted, Answer::Counted { .. }), "dana's approval was not counted: {counted:?}");
        Ok(())
    };
    let (written, answered) = tokio::join!(alice.run(WRITE), answer);
    answered?;
    let changed = written.context("the approved write failed")?;
    ensure!(changed == 1, "{changed} rows were changed, not 1");
    ensure!(demo.database().truth(TRUTH).await? != before, "the approved write did not arrive");
    Ok(())
}

async fn denied(demo: &Demo) -> Result<()> {
    let alice = Guest::connect(demo, "alice", &demo.alice).await?;
    let before = demo.database().truth(TRUTH).await?;
    let answer = async {
        let id = waiting(demo).await?;
        vote(demo, &id, &demo.dana, false).await
    };
    let (written, answered) = tokio::join!(alice.run(WRITE), answer);
    ensure!(matches!(answered?, Answer::Counted { .. }), "dana's no was not counted");
    ensure!(written.is_err(), "the denied write went through");
    ensure!(demo.database().truth(TRUTH).await? == before, "the denied write arrived");
    Ok(())
}

/// The id of the one request that waits, once there is one.
async fn waiting(demo: &Demo) -> Result<HoldId> {
    let socket = demo.paths().control();
    loop {
        if let Answer::Holds { holds } = ask(&socket, &Ask::List { all: false }).await?
            && let Some(hold) = holds.first()
        {
            return Ok(HoldId::new(&hold.id)?);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn vote(demo: &Demo, id: &HoldId, token: &Secret, yes: bool) -> Result<Answer> {
    let (id, token) = (id.clone(), token.expose_secret().to_owned());
    let question = if yes { Ask::Approve { id, token } } else { Ask::Deny { id, token } };
    ask(&demo.paths().control(), &question).await
}

async fn stranger(demo: &Demo) -> Result<()> {
    // The token of an agent whose last characters, its signature's, are others.
    let mut forged = demo.robo.expose_secret().to_owned();
    forged.truncate(forged.len().saturating_sub(8));
    forged.push_str("AAAAAAAA");
    match Guest::connect(demo, "dana", &Secret::from(forged)).await {
        Ok(_) => bail!("it got in"),
        Err(_) => Ok(()),
    }
}

fn chat(question: &str) -> Value {
    json!({ "model": "gpt-demo", "messages": [{ "role": "user", "content": question }] })
}

async fn asked(demo: &Demo) -> Result<()> {
    let Called { status, body } = call(demo, &demo.alice, "/chat/completions", &chat("Repeat: good morning")).await?;
    ensure!(status == 200 && body.contains("good morning"), "the answer is {status}: {body}");
    let request = demo.model().requests().pop().context("nothing reached the model")?;
    let shown = request.authorization.unwrap_or_default();
    ensure!(shown == format!("Bearer {}", super::MODEL_KEY), "the model was not shown its own key");
    Ok(())
}

async fn withheld(demo: &Demo) -> Result<()> {
    let customer = super::data::CUSTOMERS.first().context("there are customers")?;
    let question = format!("Repeat: write to {} about {}", customer.email, customer.ssn);
    for stream in [false, true] {
        let mut body = chat(&question);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("stream".to_owned(), json!(stream));
        }
        let Called { status, body } = call(demo, &demo.alice, "/chat/completions", &body).await?;
        ensure!(status == 200 && !leaks(&body), "the answer is {status}: {body}");
        let request = demo.model().requests().pop().context("nothing reached the model")?;
        ensure!(!leaks(&request.body) && request.body.contains("***"), "a protected value reached the model");
    }
    Ok(())
}

async fn called(demo: &Demo) -> Result<()> {
    let tool = |name: &str| {
        json!({ "type": "function", "function": { "name": name, "parameters": {
            "type": "object", "properties": { "name": { "type": "string" } } } } })
    };
    let mut body = chat("Please delete the customer Bao Tran.");
    if let Some(fields) = body.as_object_mut() {
        fields.insert("tools".to_owned(), json!([tool("delete_customer"), tool("lookup_order")]));
    }
    let Called { status, body } = call(demo, &demo.robo, "/chat/completions", &body).await?;
    let answer: Value = serde_json::from_str(&body).with_context(|| format!("the answer is {status}: {body}"))?;
    let message = answer.pointer("/choices/0/message").context("there is no message")?;
    ensure!(message.get("tool_calls").is_none_or(Value::is_null), "the call came through: {message}");
    ensure!(body.contains("no-destructive-calls"), "the answer does not say why: {message}");
    Ok(())
}

/// Runs a client of OpenSSH as alice; it asks a program for the token.
async fn client(demo: &Demo, program: &str, arguments: &[&str]) -> Result<Output> {
    let mut client = Command::new(program);
    client.arg("-F").arg(super::script::ssh_config(demo)).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    client.env("SSH_ASKPASS", demo.folder().join("alice.askpass")).env("SSH_ASKPASS_REQUIRE", "force");
    client.output().await.with_context(|| format!("`{program}` cannot be run (Debian: openssh-client)"))
}

/// Whether a text holds a value of the host's.
fn spills(text: &str) -> bool {
    leaks(text) || text.contains(super::host::KEY)
}

async fn shown(demo: &Demo) -> Result<()> {
    let host = demo.host().context("there is a host")?;
    let file = host.settings_file().display().to_string();
    let said = client(demo, "ssh", &["web", "cat", &file]).await?;
    let text = String::from_utf8_lossy(&said.stdout);
    ensure!(said.status.success(), "it ended with {}: {}", said.status, String::from_utf8_lossy(&said.stderr));
    ensure!(text.contains("LOG_LEVEL=info") && text.contains("AWS_ACCESS_KEY_ID=***"), "it said {text}");
    ensure!(!spills(&text), "a protected value came through");
    Ok(())
}

async fn scripted(demo: &Demo) -> Result<()> {
    let host = demo.host().context("there is a host")?;
    let before = host.connections();
    let mark = demo.folder().join("pwned");
    let said = client(demo, "ssh", &["web", &format!("echo $(touch {})", mark.display())]).await?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.code() == Some(126), "it ended with {}: {words}", said.status);
    ensure!(words.contains("ssh.script"), "the refusal does not name the verb: {words}");
    ensure!(host.connections() == before && !mark.exists(), "it reached the host");
    Ok(())
}

async fn fetched(demo: &Demo) -> Result<()> {
    let host = demo.host().context("there is a host")?;
    let (from, to) = (format!("web:{}", host.settings_file().display()), demo.folder().join("app.env"));
    let said = client(demo, "scp", &["-q", &from, &to.display().to_string()]).await?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "it ended with {}: {words}", said.status);
    let text = std::fs::read_to_string(&to)?;
    let truth = std::fs::read_to_string(host.settings_file())?;
    ensure!(text.len() == truth.len() && text.contains("***") && !spills(&text), "the file holds {text}");
    ensure!(words.contains("stars"), "nobody is told that it is not what the host has: {words}");
    Ok(())
}

async fn replayed(demo: &Demo) -> Result<()> {
    let archive = Archive::at(demo.paths().recordings());
    let sessions = closed(demo).await?;
    let mut all = String::new();
    for id in &sessions {
        let reader = archive.replay(id)?;
        replay(reader, Pace::AtOnce, Form::Text { colours: false }, |line| {
            all.push_str(line);
            all.push('\n');
        })
        .await?;
    }
    for expected in [
        "DROP TABLE customers",
        "only-dba-defines",
        "Ada Winters",
        "***",
        "approved by",
        "UPDATE 1",
        "good morning",
        "no-destructive-calls",
    ] {
        ensure!(all.contains(expected), "no replay shows `{expected}`");
    }
    if demo.host().is_some() {
        ensure!(all.contains("AWS_ACCESS_KEY_ID=***"), "no replay shows what the host said");
    }
    ensure!(!spills(&all), "a replay shows a masked value");
    Ok(())
}

/// Every session, once all of them are closed.
async fn closed(demo: &Demo) -> Result<Vec<SessionId>> {
    loop {
        let sessions = demo.running().world.store.list_sessions(&SessionFilter::newest(100)).await?;
        if sessions.iter().all(|session| session.end.is_some()) {
            return Ok(sessions.into_iter().map(|session| session.start.id).collect());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn verified(demo: &Demo) -> Result<()> {
    let report = Archive::at(demo.paths().recordings()).verify_all()?;
    ensure!(report.sessions.len() >= 6, "only {} sessions were recorded", report.sessions.len());
    ensure!(report.is_sound(), "they do not verify: {report:?}");
    Ok(())
}
