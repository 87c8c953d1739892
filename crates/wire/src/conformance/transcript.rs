//! Conversations as text files that are compared as a whole.
//!
//! A line at the margin is something that happens; the lines below it, indented by two spaces, are what the flow does
//! then. `UPDATE_EXPECT=1` writes these anew. Lines that start with `#` are for the reader.
//!
//! ```text
//! # A refused statement leaves the connection usable.
//! deny drop
//! client Q drop table t\0
//!   ask 1 sql.define perform: drop table t
//!   deny 1
//!   to server 0: Q sluice_refused this statement\0
//! ```
//!
//! | line | what happens |
//! |---|---|
//! | `client …`, `server …` | a side sends; how a protocol spells its messages is [`Subject::spell`] |
//! | `deny TEXT`, `hold TEXT` | operations that hold the text are denied or held from here on; otherwise they are allowed |
//! | `with NAME TEXT` | operations that hold the text are allowed with [`Subject::obligations`] of that name |
//! | `allow` | everything is allowed from here on |
//! | `approve`, `reject` | people answer the hold |
//! | `wait SECONDS` | they have not answered it since so many seconds |
//! | `withdraw` | the request for approval is taken back |
//! | `end client`, `end server` | a side ends its stream |
//! | `lose server` | the connection to the server fails |
//! | `revoke` | the session is revoked |

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sluice_model::Verdict;
use thiserror::Error;

use super::judge::{Judge, a_hold, a_refusal, mentions};
use super::rig::Rig;
use super::subject::Subject;
use super::trace::Event;
use crate::Side;

/// Why a transcript does not hold.
#[derive(Error)]
#[error("{0}")]
pub struct Different(String);

// A test that returns an error prints its `Debug` form.
impl std::fmt::Debug for Different {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks every `*.transcript` of a folder; with `UPDATE_EXPECT` set it writes them anew instead.
pub fn check_all<S: Subject>(folder: &Path) -> Result<(), Different> {
    let failed = |error: std::io::Error| Different(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "transcript") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Different(format!("{}: there is no transcript", folder.display())));
    }
    let mut different = Vec::new();
    for file in &files {
        if let Err(Different(what)) = check::<S>(file) {
            different.push(what);
        }
    }
    if different.is_empty() { Ok(()) } else { Err(Different(different.join("\n"))) }
}

/// Checks one transcript; with `UPDATE_EXPECT` set it writes it anew instead.
pub fn check<S: Subject>(file: &Path) -> Result<(), Different> {
    let failed = |what: String| Different(format!("{}: {what}", file.display()));
    let expected = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let actual = replay::<S>(&expected).map_err(|Different(what)| failed(what))?;
    if actual == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(file, actual).map_err(|error| failed(error.to_string()));
    }
    let same = actual.lines().zip(expected.lines()).take_while(|(one, two)| one == two).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
    let (is, was) = (line(&actual), line(&expected));
    Err(failed(format!("line {} is `{is}`, expected `{was}`; UPDATE_EXPECT=1 accepts it", same.saturating_add(1))))
}

/// Plays what happens in a transcript and writes below it what the flow does.
pub fn replay<S: Subject>(text: &str) -> Result<String, Different> {
    let mut rig = Rig::<S>::new(Judge::allow_all());
    let mut rules = Vec::new();
    let mut out = String::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("  ") {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        happen(line, &mut rig, &mut rules)
            .map_err(|what| Different(format!("line {}: {what}", at.saturating_add(1))))?;
        for event in rig.take_trace() {
            for shown in show::<S>(&event) {
                out.push_str("  ");
                out.push_str(&shown);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

/// What is done to operations that hold a text.
#[derive(Clone)]
struct Rule {
    text: String,
    verdict: Verdict,
}

fn happen<S: Subject>(line: &str, rig: &mut Rig<S>, rules: &mut Vec<Rule>) -> Result<(), String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let played = match word {
        "" | "#" => Ok(()),
        "client" => rig.deliver(Side::Client, &S::spell(Side::Client, rest)?),
        "server" => rig.deliver(Side::Server, &S::spell(Side::Server, rest)?),
        "approve" => rig.settle(true, a_refusal()),
        "reject" => rig.settle(false, a_refusal()),
        "wait" => rig.wait(rest.parse().map_err(|_| format!("`{rest}` is no number of seconds"))?),
        "withdraw" => rig.withdraw(),
        "lose" if rest == "server" => rig.lose(),
        "end" if rest == "client" => rig.end(Side::Client),
        "end" if rest == "server" => rig.end(Side::Server),
        "revoke" => rig.revoke(a_refusal()),
        "allow" | "deny" | "hold" | "with" => {
            amend::<S>(word, rest, rules)?;
            rig.rejudge(judge(rules.clone()));
            Ok(())
        }
        _ => return Err(format!("`{word}` is nothing that happens")),
    };
    played.map_err(|breach| breach.to_string())
}

fn amend<S: Subject>(word: &str, rest: &str, rules: &mut Vec<Rule>) -> Result<(), String> {
    let (text, verdict) = match word {
        "deny" => (rest, Verdict::Deny(Arc::new(a_refusal()))),
        "hold" => (rest, Verdict::Hold(Arc::new(a_hold()))),
        "with" => {
            let (name, text) = rest.split_once(' ').ok_or("a name and a text are needed")?;
            let obligations = S::obligations(name).ok_or_else(|| format!("no obligations are named `{name}`"))?;
            (text, Verdict::Allow(Arc::new(obligations)))
        }
        _ => {
            rules.clear();
            return Ok(());
        }
    };
    rules.push(Rule { text: text.to_owned(), verdict });
    Ok(())
}

fn judge(rules: Vec<Rule>) -> Judge {
    Judge::new(move |operation| {
        let rule = rules.iter().find(|rule| mentions(operation, rule.text.as_bytes()));
        rule.map_or_else(|| Verdict::Allow(Arc::default()), |rule| rule.verdict.clone())
    })
}

fn show<S: Subject>(event: &Event) -> Vec<String> {
    let Event::Sent { op, toward, bytes } = event else { return vec![event.to_string()] };
    let lines = S::show(toward.other(), bytes);
    lines.into_iter().map(|line| format!("to {toward} {}: {line}", op.0)).collect()
}
