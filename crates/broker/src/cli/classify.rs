//! `sluice classify` and `sluice grants`: a database's columns, before and beside the masks.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use sluice_model::{Tag, TargetName};
use sluice_postgres::{Proposal, Samples};
use sluice_wire::Credential;

use super::output::one_line;
use super::{DONE, Format, Global, WRONG, hint, out};
use crate::config::{Config, GuardedTarget};
use crate::protocols::{self, Lane};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The target, as the configuration names it.
    target: String,
    /// Write the proposal to a new file, to be reviewed and copied into the configuration.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Judge by names, comments and security labels only, and read no value.
    #[arg(long)]
    no_samples: bool,
    #[arg(long, default_value = "text")]
    output: Format,
}

#[derive(Args, Debug)]
pub(crate) struct GrantArguments {
    /// The target, as the configuration names it.
    target: String,
    #[arg(long, default_value = "text")]
    output: Format,
}

pub(crate) async fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let (guarded, lane, credential) = found(&config, &arguments.target)?;
    let samples = if arguments.no_samples { Samples::None } else { Samples::Taken };
    let Some(proposing) = lane.classify(&guarded.half, credential, samples) else {
        bail!("the target `{}` has no columns to classify", arguments.target);
    };
    let proposals = match proposing.await {
        Ok(proposals) => proposals,
        Err(why) => return Ok(unread(&arguments.target, &why)),
    };
    if let Some(file) = &arguments.write {
        let text = yaml(&arguments.target, &proposals);
        let new = fs::OpenOptions::new().write(true).create_new(true).open(file);
        let mut new = new.with_context(|| format!("`{}` cannot be made", file.display()))?;
        std::io::Write::write_all(&mut new, text.as_bytes())
            .with_context(|| format!("`{}` cannot be written", file.display()))?;
        hint(format_args!("{} proposals in {}: review them", proposals.len(), file.display()));
        return Ok(DONE);
    }
    match arguments.output {
        Format::Text => out(yaml(&arguments.target, &proposals).trim_end()),
        Format::Json => proposals.iter().for_each(|proposal| out(document(proposal))),
    }
    Ok(DONE)
}

pub(crate) async fn grants(global: &Global, arguments: &GrantArguments) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let (guarded, lane, credential) = found(&config, &arguments.target)?;
    let Some(granting) = lane.grants(&guarded.half, credential) else {
        bail!("the target `{}` has no privileges of columns", arguments.target);
    };
    let lines = match granting.await {
        Ok(lines) => lines,
        Err(why) => return Ok(unread(&arguments.target, &why)),
    };
    match arguments.output {
        Format::Text => {
            out(
                "-- For the owner of the tables to run. A column that is not granted can only be masked by redact, null or constant,",
            );
            out("-- and cannot be shown, counted or filtered for anybody.");
            lines.iter().for_each(out);
        }
        Format::Json => lines.iter().for_each(|line| out(json!({ "sql": line }))),
    }
    Ok(DONE)
}

fn unread(target: &str, why: &str) -> u8 {
    hint(format_args!("sluice: the target `{}` cannot be read: {}", one_line(target), one_line(why)));
    WRONG
}

/// A target with its protocol and its credential.
fn found<'a>(config: &'a Config, name: &str) -> Result<(&'a GuardedTarget, &'static dyn Lane, Credential)> {
    let known = TargetName::new(name).ok().and_then(|name| config.targets.get(&name));
    let Some(guarded) = known else { bail!("no target is called `{name}`: see `sluice check --offline`") };
    let lane = protocols::named(guarded.target.protocol).context("its protocol is not in this binary")?;
    let secret = guarded.lending.secret.clone().map(|source| source.read()).transpose()?;
    Ok((guarded, lane, Credential::new(guarded.lending.user.clone(), secret)))
}

/// The section `columns` of a target, to be reviewed.
fn yaml(target: &str, proposals: &[Proposal]) -> String {
    let mut text = format!(
        "# Proposed tags for the target {}. Review each line, then copy them into its section.\ncolumns:",
        one_line(target)
    );
    let proposed: Vec<&Proposal> = proposals.iter().filter(|proposal| !proposal.tags.is_empty()).collect();
    if proposed.is_empty() {
        text.push_str(" {}");
    }
    text.push('\n');
    for proposal in proposed {
        let pattern = format!("{}.{}.{}", proposal.schema, proposal.table, proposal.column);
        let pattern = serde_json::to_string(&pattern).unwrap_or_default();
        let tags: Vec<&str> = proposal.tags.iter().map(Tag::as_str).collect();
        let because: Vec<&str> = proposal.because.iter().copied().collect();
        let counted = if proposal.sampled > 0 {
            format!("; {} of {} values", proposal.matched, proposal.sampled)
        } else {
            String::new()
        };
        let known = if proposal.is_tagged { "; tagged already" } else { "" };
        text.push_str(&format!("  {pattern}: [{}]   # {}{counted}{known}\n", tags.join(", "), because.join(", ")));
    }
    text
}

fn document(proposal: &Proposal) -> serde_json::Value {
    let Proposal { schema, table, column, tags, because, sampled, matched, is_tagged } = proposal;
    json!({
        "column": format!("{schema}.{table}.{column}"),
        "tags": tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
        "because": because,
        "sampled": sampled,
        "matched": matched,
        "tagged": is_tagged,
    })
}
