//! `sluice check`: what a configuration resolves to, and what of it cannot be enforced.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use sluice_identity::{Identity, Keys, RevokedTokens, ScramLogins};
use sluice_model::{Level, Tag, TargetName};
use sluice_policy::Named;
use sluice_vault::{SecretSource, Vault};
use sluice_wire::{Credential, Finding};

use super::output::{Style, colours, one_line, styled};
use super::{DONE, Format, Global, WRONG, out, report_mistakes};
use crate::config::{self, Config, GuardedTarget, issuer_mistakes, nearest};
use crate::policies::{self, Mistakes};
use crate::world::{self, ITERATIONS, LIFETIMES, lendings};
use crate::{protocols, tls};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Do not connect to the targets.
    #[arg(long)]
    offline: bool,
    #[arg(long, default_value = "text")]
    output: Format,
}

/// One thing that was found out, and about what.
#[derive(Clone, Debug)]
struct Line {
    about: String,
    finding: Finding,
}

pub(crate) async fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let config = match config::load(&global.config) {
        Ok(config) => config,
        Err(faults) => return Ok(mistaken(&faults.into(), arguments.output)),
    };
    let mut lines = vec![resolved("configuration", global.config.display().to_string())];
    let mut mistakes = Vec::new();
    match policies::compile(&config, 0) {
        Ok(compiled) => {
            let rules = compiled.ids().count();
            lines.push(resolved("policies", format!("{rules} rules in {}", config.policies.display())));
            lines.extend(compiled.named().filter_map(|named| misnamed(&config, &named)));
        }
        Err(Mistakes(more)) => mistakes.extend(more),
    }
    if let Err(Mistakes(more)) = issuers(&config, &mut lines) {
        mistakes.extend(more);
    }
    lines.extend(listener(&config));
    lines.extend(classification(&config));
    lines.extend(targets(&config, arguments.offline).await);
    let wrong = lines.iter().any(|line| matches!(line.finding, Finding::Wrong(_))) || !mistakes.is_empty();
    print(&lines, arguments.output);
    if !mistakes.is_empty() {
        mistaken(&Mistakes(mistakes), arguments.output);
    }
    if arguments.output == Format::Text {
        let verdict = if wrong {
            styled("something cannot be enforced: see above", Style::Bad, colours())
        } else {
            styled("everything can be enforced", Style::Good, colours())
        };
        out(verdict);
    }
    Ok(if wrong { WRONG } else { DONE })
}

fn mistaken(mistakes: &Mistakes, output: Format) -> u8 {
    match output {
        Format::Text => report_mistakes(mistakes),
        Format::Json => {
            mistakes.lines().into_iter().for_each(|line| out(json!({ "about": "file", "wrong": line })));
            WRONG
        }
    }
}

fn resolved(about: impl Into<String>, what: impl Into<String>) -> Line {
    Line { about: about.into(), finding: Finding::Resolved(what.into()) }
}

fn wrong(about: impl Into<String>, what: impl Into<String>) -> Line {
    Line { about: about.into(), finding: Finding::Wrong(what.into()) }
}

fn issuers(config: &Config, lines: &mut Vec<Line>) -> Result<(), Mistakes> {
    // A key of its own: checking must leave nothing in the data folder.
    let Ok(scratch) = tempfile::tempdir() else {
        lines.push(wrong("issuers", "no temporary folder can be made to check them in"));
        return Ok(());
    };
    let identity = Keys::open(scratch.path()).map_err(sluice_identity::SetupError::from).and_then(|keys| {
        let (revoked, logins) = (Arc::new(RevokedTokens::default()), Arc::new(ScramLogins::default()));
        Identity::new(&keys, LIFETIMES, Vec::new(), ITERATIONS, revoked, logins)
    });
    match identity {
        Ok(identity) => {
            let checked = identity.reload(config.issuers.clone());
            checked.map_err(|mistakes| issuer_mistakes(&config.file, &mistakes))?;
        }
        Err(error) => lines.push(wrong("issuers", error.to_string())),
    }
    world::authorities(config)?;
    world::client_authorities(config)?;
    for authority in &config.client_authorities {
        let about = format!("client authority {}", authority.name);
        lines.push(resolved(about, format!("certificates of at most {} seconds", authority.max_lifetime)));
    }
    for authority in &config.ssh_authorities {
        let about = format!("ssh authority {}", authority.name);
        lines.push(resolved(about, format!("certificates of at most {} seconds", authority.max_lifetime)));
    }
    for issuer in &config.issuers {
        lines
            .push(resolved(format!("issuer {}", issuer.name), format!("{}, keys from {}", issuer.issuer, issuer.jwks)));
    }
    Ok(())
}

fn listener(config: &Config) -> Vec<Line> {
    let mut lines = vec![resolved("listen", format!("postgres on {}", config.listen.postgres))];
    lines.push(match &config.listen.tls {
        None => resolved("listen", "a development certificate is made in data_dir/tls on first start"),
        Some(files) => match tls::configured(files) {
            Ok(_) => resolved("listen", format!("certificate {}", files.cert.display())),
            Err(error) => wrong("listen", format!("{error:#}")),
        },
    });
    if config.listen.dangerous_cleartext_loopback {
        lines.push(resolved("listen", "passwords without TLS are accepted from loopback clients (dangerous)"));
    }
    lines
}

/// What a rule says of something that is not there: a forbid of it forbids nothing. Rules may be meant for the targets of
/// another broker too, unless a name is spelt almost like one here.
fn misnamed(config: &Config, named: &Named<'_>) -> Option<Line> {
    let about = format!("rule {} ({})", named.rule, named.source);
    let Some(guarded) = config.targets.get(&named.target) else {
        let known: Vec<&str> = config.targets.keys().map(TargetName::as_str).collect();
        let what = format!("no target is called `{}`", named.target);
        let finding = match nearest(named.target.as_str(), &known) {
            Some(near) => Finding::Wrong(format!("{what}; did you mean `{near}`?")),
            None => Finding::Unchecked(what),
        };
        return Some(Line { about, finding });
    };
    let (kind, name) = named.below.as_ref()?;
    let known = protocols::named(guarded.target.protocol)?.names(&guarded.half, kind)?;
    if known.contains(name) {
        return None;
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = nearest(name, &known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Some(wrong(about, format!("the target `{}` has no {kind} `{name}`{hint}", named.target)))
}

/// A classified tag that nothing carries is a slip of the pen if another one is spelt almost the same.
fn classification(config: &Config) -> Vec<Line> {
    let carried: BTreeSet<&Tag> = config.targets.values().flat_map(|guarded| &guarded.tags).collect();
    let covers = |class: &Tag| {
        carried.iter().any(|tag| *tag == class || tag.ancestors().any(|ancestor| ancestor == class.as_str()))
    };
    let known: Vec<&str> = carried.iter().map(|tag| tag.as_str()).collect();
    let mut lines = Vec::new();
    for (tag, level, transform) in &config.transforms {
        let about = format!("tag {tag}");
        let level = match level {
            Level::Full => "seen in full",
            Level::Partial => "with reveal.partial",
            Level::Token => "with reveal.token",
            Level::Redact => "with no permit",
        };
        match (covers(tag), nearest(tag.as_str(), &known)) {
            (true, _) => lines.push(resolved(about, format!("{level}: {transform}"))),
            (false, Some(near)) => {
                lines.push(wrong(about, format!("nothing carries it; did you mean `{near}`?")));
            }
            (false, None) => lines.push(resolved(about, format!("{level}: {transform} (no column carries it)"))),
        }
    }
    lines.dedup_by(|a, b| a.about == b.about && a.finding == b.finding);
    lines
}

async fn targets(config: &Config, offline: bool) -> Vec<Line> {
    let vault = Vault::new(lendings(config));
    let mut lines = Vec::new();
    let missing = tokio::task::spawn_blocking(move || vault.check()).await;
    let missing: Vec<(TargetName, String)> = match missing {
        Ok(Ok(())) => Vec::new(),
        Ok(Err(missing)) => missing.0.into_iter().map(|(target, error)| (target, error.to_string())).collect(),
        Err(error) => return vec![wrong("secrets", format!("they could not be read: {error}"))],
    };
    for (name, guarded) in &config.targets {
        let about = format!("target {name}");
        let target = &guarded.target;
        let login = &guarded.lending.user;
        lines.push(resolved(
            &about,
            format!("{} in {}, signed in to as `{login}`", target.protocol, target.environment),
        ));
        let reason = missing.iter().find(|(of, _)| of == name);
        if let Some((_, reason)) = reason {
            lines.push(wrong(&about, reason.clone()));
        }
        if offline {
            lines.push(Line { about, finding: Finding::Unchecked("not connected to (--offline)".to_owned()) });
        } else if reason.is_none() {
            let found = ask(guarded).await;
            lines.extend(found.into_iter().map(|finding| Line { about: about.clone(), finding }));
        }
    }
    lines
}

async fn ask(guarded: &GuardedTarget) -> Vec<Finding> {
    let Some(lane) = protocols::named(guarded.target.protocol) else {
        return vec![Finding::Wrong("its protocol is not in this binary".to_owned())];
    };
    let lending = &guarded.lending;
    let own = std::iter::once((&lending.user, lending.secret.as_ref()));
    let logins = own.chain(lending.logins.iter().map(|login| (&login.user, login.password.as_ref())));
    let mut findings = Vec::new();
    for (user, source) in logins {
        let secret = match source.map(SecretSource::read).transpose() {
            Ok(secret) => secret,
            Err(error) => return vec![Finding::Wrong(error.to_string())],
        };
        for found in lane.check(&guarded.half, Some(Credential::new(user.clone(), secret))).await {
            if !findings.contains(&found) {
                findings.push(found);
            }
        }
    }
    findings
}

fn print(lines: &[Line], output: Format) {
    for Line { about, finding } in lines {
        let (word, style, text) = match finding {
            Finding::Resolved(text) => ("ok", Style::Good, text),
            Finding::Unchecked(text) => ("unchecked", Style::Dim, text),
            Finding::Wrong(text) => ("wrong", Style::Bad, text),
        };
        match output {
            Format::Text => {
                let word = styled(format_args!("{word:<9}"), style, colours());
                out(format_args!("{word} {}: {}", one_line(about), one_line(text)));
            }
            Format::Json => out(json!({ "about": about, "state": word, "text": text })),
        }
    }
}
