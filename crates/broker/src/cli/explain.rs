//! `sluice policy explain`: one operation, recorded or described by arguments, decided with its reasons.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, Args};
use serde_json::json;
use sluice_kernel::clock;
use sluice_model::{
    Access, ActionSpec, Exposure, Fact, FactGroup, FactType, Facts, Meaning, Obligations, Operation, Part, Principal,
    Resource, Schema, SessionId, Shape, Spend, Stage, Tag, TargetName, Text, TokenId, UnixMicros, Usage, Verdict,
};
use sluice_policy::{Asked, Case, Explanation, Moment, NearMiss, Outcome};

use super::decision;
use super::output::{Style, colours, one_line, styled};
use super::token::Subject;
use super::{DONE, Format, Global, WRONG, out, report_mistakes};
use crate::config::Config;
use crate::{policies, protocols};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A decision that was made, by the id in its error or in a replay: who asked for what, why it was decided so, and
    /// how it would be decided now.
    #[arg(value_name = "DECISION", conflicts_with_all = ["Subject", "Described"])]
    decision: Option<String>,
    #[command(flatten)]
    who: Option<Subject>,
    #[command(flatten)]
    described: Option<Described>,
    #[arg(long, default_value = "text")]
    output: Format,
}

/// An operation that nobody need have asked for.
#[derive(Args, Debug)]
#[group(id = "Described")]
struct Described {
    /// The target, or `TARGET/DATABASE`.
    #[arg(long, value_name = "NAME")]
    target: String,
    /// The verb, such as `sql.write`; `sluice policy schema` lists them.
    #[arg(long, value_name = "VERB")]
    action: String,
    /// What the verb is done to, `Kind:path`; may be repeated. The whole target where none is given.
    #[arg(long = "on", value_name = "KIND:PATH")]
    on: Vec<String>,
    /// A fact of the operation; may be repeated. Facts that are left out are false, 0, empty; `parsed` is true.
    #[arg(long = "fact", value_name = "NAME=VALUE")]
    facts: Vec<String>,
    /// A tagged column that the result shows, `schema.table.column=tag`, or a class of values found in it, `tag`; may be
    /// repeated.
    #[arg(long = "reveal", value_name = "[PATH=]TAG")]
    reveals: Vec<String>,
    /// A tagged column that decides a condition, `schema.table.column=tag`; may be repeated.
    #[arg(long = "filter", value_name = "PATH=TAG")]
    filters: Vec<String>,
    /// A class of values that the target would be sent; may be repeated.
    #[arg(long = "disclose", value_name = "TAG")]
    disclosed: Vec<String>,
}

/// What describes an operation need not be said of one that was decided.
pub(super) fn unless_decided(argument: Arg) -> Arg {
    if argument.is_required_set() { argument.required(false).required_unless_present("decision") } else { argument }
}

pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let compiled = match policies::compile(&config, 0) {
        Ok(compiled) => compiled,
        Err(mistakes) => return Ok(report_mistakes(&mistakes)),
    };
    let (who, described, output) = match arguments {
        Arguments { decision: Some(id), output, .. } => return decision::explain(&config, &compiled, &id, output),
        Arguments { who: Some(who), described: Some(described), output, .. } => (who, described, output),
        Arguments { .. } => bail!("name a decision, or describe an operation"),
    };
    let (name, part) =
        described.target.split_once('/').map_or((&*described.target, None), |(name, part)| (name, Some(part)));
    let name = TargetName::new(name).context("that is not the name of a target")?;
    let Some(guarded) = config.targets.get(&name) else {
        let known: Vec<&str> = config.targets.keys().map(TargetName::as_str).collect();
        bail!("no target `{name}` is configured; there are: {}", known.join(", "));
    };
    let schema =
        protocols::named(guarded.target.protocol).context("the target's protocol is not in this binary")?.schema();
    let operation = operation(&described, schema)?;
    let now = clock::now();
    let principal = Principal {
        who: who.who()?,
        token: TokenId::new("explain")?,
        expires: now.plus_seconds(60),
        targets: None,
        run: None,
    };
    let at = moment(&config, now, None);
    let session = SessionId::new("explain")?;
    let target = guarded.target.at(part.map(Part::new));
    let case = Case { who: &principal, target: &target, operation: &operation, at, session: &session, approval: None };
    let explanation = compiled.explain(&case);
    match output {
        Format::Text => print(&explanation),
        Format::Json => out(as_json(&explanation)),
    }
    Ok(if matches!(explanation.decision.verdict, Verdict::Allow(_)) { DONE } else { WRONG })
}

/// A time in the calendar of the configuration.
pub(super) fn moment(config: &Config, now: UnixMicros, client: Option<IpAddr>) -> Moment {
    let (weekday, minute) = sluice_kernel::Zone { utc_offset_minutes: config.utc_offset_minutes }.calendar(now);
    Moment { now, weekday, minute, client }
}

fn operation(arguments: &Described, schema: &'static Schema) -> Result<Operation> {
    let Some(spec) = schema.action(&arguments.action) else {
        let known: Vec<&str> = schema.actions.iter().map(|spec| spec.action.name).collect();
        bail!("no verb is called `{}`; there are: {}", arguments.action, known.join(", "));
    };
    let resources: Vec<Resource> = if arguments.on.is_empty() {
        vec![Resource::target()]
    } else {
        arguments.on.iter().map(|text| resource(text, spec, schema)).collect::<Result<_>>()?
    };
    let accesses = resources.into_iter().map(|resource| Access { action: spec.action, resource }).collect();
    let mut exposures = Vec::new();
    for (texts, usage) in [(&arguments.reveals, Usage::Reveal), (&arguments.filters, Usage::Filter)] {
        for text in texts {
            exposures.push(exposure(text, usage, schema)?);
        }
    }
    for name in &arguments.disclosed {
        exposures.push(Exposure::found(tag(name)?, Usage::Disclose));
    }
    let meaning = Meaning {
        action: spec.action,
        accesses,
        exposures,
        facts: facts(&arguments.facts, schema.group(spec.facts).context("the verb has no facts")?)?,
        understood: true,
    };
    Ok(Operation {
        shape: Arc::new(Shape::new(meaning, [])),
        text: Text::new(""),
        stage: Stage::Perform,
        bound: None,
        spend: Spend::default(),
    })
}

fn resource(text: &str, spec: &ActionSpec, schema: &'static Schema) -> Result<Resource> {
    let kinds = || spec.on.join(", ");
    if text == Resource::TARGET {
        return Ok(Resource::target());
    }
    let Some((kind, path)) = text.split_once(':') else { bail!("`{text}` is not KIND:PATH; kinds here: {}", kinds()) };
    let Some(kind) = spec.on.iter().copied().find(|known| *known == kind) else {
        bail!("`{}` is not done to a `{kind}`; kinds here: {}", spec.action, kinds());
    };
    at_depth(kind, path, schema)
}

/// A resource whose path has as many parts as its kind lies deep; the last takes what is left.
fn at_depth(kind: &'static str, path: &str, schema: &'static Schema) -> Result<Resource> {
    let within = |kind: &&'static str| {
        let outer = schema.resources.iter().find(|spec| spec.kind == *kind)?.within;
        (outer != Resource::TARGET).then_some(outer)
    };
    let depth = std::iter::successors(Some(kind), within).count();
    let parts: Vec<&str> = path.splitn(depth, '.').collect();
    if parts.len() != depth || parts.iter().any(|part| part.is_empty()) {
        bail!("a {kind} is named by {depth} parts with dots between them, not `{path}`");
    }
    Ok(Resource::new(kind, parts))
}

pub(super) fn tag(name: &str) -> Result<Tag> {
    Tag::new(name).with_context(|| format!("`{name}` is not a tag"))
}

/// The innermost kind of the protocol is what carries tags; a value that was found has no path.
fn exposure(text: &str, usage: Usage, schema: &'static Schema) -> Result<Exposure> {
    let Some((path, name)) = text.split_once('=') else { return Ok(Exposure::found(tag(text)?, usage)) };
    let outer = |spec: &&sluice_model::ResourceSpec| {
        let depth = |kind: &'static str| {
            std::iter::successors(Some(kind), |kind| {
                schema.resources.iter().find(|spec| spec.kind == *kind).map(|spec| spec.within)
            })
            .count()
        };
        depth(spec.kind)
    };
    let kind = schema.resources.iter().max_by_key(outer).context("the protocol has no resources")?.kind;
    Ok(Exposure { resource: at_depth(kind, path, schema)?, tags: vec![tag(name)?], usage })
}

fn facts(given: &[String], group: &'static FactGroup) -> Result<Facts> {
    let mut values = Vec::new();
    for spec in group.facts {
        let text = given.iter().find_map(|fact| fact.strip_prefix(spec.name)?.strip_prefix('='));
        let wrong = || format!("the fact `{}` cannot have that value", spec.name);
        let fact = match (spec.of, text) {
            (FactType::Bool, None) => Fact::Bool(spec.name == "parsed"),
            (FactType::Bool, Some(text)) => Fact::Bool(text.parse().with_context(wrong)?),
            (FactType::Long, None) => Fact::Long(0),
            (FactType::Long, Some(text)) => Fact::Long(text.parse().with_context(wrong)?),
            (FactType::Text, text) => Fact::Text(text.unwrap_or_default().into()),
            (FactType::Set, text) => {
                Fact::Set(text.unwrap_or_default().split(',').filter(|part| !part.is_empty()).map(Box::from).collect())
            }
        };
        values.push((spec.name, fact));
    }
    let known = |fact: &&String| {
        !group.facts.iter().any(|spec| fact.strip_prefix(spec.name).is_some_and(|rest| rest.starts_with('=')))
    };
    if let Some(unknown) = given.iter().find(known) {
        let names: Vec<&str> = group.facts.iter().map(|spec| spec.name).collect();
        bail!("`{unknown}` is not NAME=VALUE of a known fact; there are: {}", names.join(", "));
    }
    Ok(Facts { group: group.name, values })
}

pub(super) fn print(explanation: &Explanation) {
    out(headline(&explanation.decision.verdict));
    for asked in &explanation.asked {
        out(format_args!("  {}", question(asked)));
        for line in reasons(&asked.outcome) {
            out(format_args!("      {line}"));
        }
    }
    if let Some(verdict) = &explanation.with_shadow {
        out(format_args!("with the rules in shadow mode enforced: {}", headline(verdict)));
    }
    let cached = if explanation.decision.cacheable { "is" } else { "is not" };
    out(format_args!("the ruling {cached} the same for every equal operation until the policies change"));
}

fn headline(verdict: &Verdict) -> String {
    let style = |word: &str, style| styled(word, style, colours());
    match verdict {
        Verdict::Allow(obligations) => format!("{}{}", style("allow", Style::Good), terms(obligations)),
        Verdict::Deny(refusal) => {
            let hint = refusal.hint.as_ref().map_or_else(String::new, |hint| format!(" ({})", one_line(hint)));
            format!("{} by `{}`: {}{hint}", style("deny", Style::Bad), refusal.rule, one_line(&refusal.message))
        }
        Verdict::Hold(hold) => {
            let groups: Vec<String> =
                hold.approvals.iter().map(|approval| format!("{} of {}", approval.count, approval.approvers)).collect();
            format!(
                "{} by `{}` until approved by {}: {}",
                style("hold", Style::Strong),
                hold.refusal.rule,
                groups.join(" and "),
                one_line(&hold.refusal.message)
            )
        }
    }
}

/// What an allow asks for.
fn terms(obligations: &Obligations) -> String {
    let masks = obligations.masks.iter().map(|mask| format!("{}={}", mask.resource, mask.transform));
    let withheld = obligations.withheld.iter().map(|withheld| format!("{}={}", withheld.tag, withheld.transform));
    let budgets = obligations.controls.budgets.iter().map(ToString::to_string);
    let lists: [(&str, Vec<String>); 3] =
        [("masked", masks.collect()), ("withheld from the target", withheld.collect()), ("budgets", budgets.collect())];
    let told = lists.into_iter().filter(|(_, list)| !list.is_empty());
    told.map(|(what, list)| format!(", {what}: {}", list.join(", "))).collect()
}

fn question(asked: &Asked) -> String {
    format!("{} {} {}", one_line(&asked.principal), asked.action, one_line(&asked.resource))
}

fn reasons(outcome: &Outcome) -> Vec<String> {
    let ids = |word: &str, rules: &[sluice_model::RuleId]| {
        rules.iter().map(|rule| format!("{word} `{rule}`")).collect::<Vec<_>>()
    };
    match outcome {
        Outcome::Permit(rules) => ids("permitted by", rules),
        Outcome::Forbid(rules) => ids("forbidden by", rules),
        Outcome::Fault(rules) => ids("could not be evaluated:", rules),
        Outcome::Silent(near) => {
            let miss = |near: &NearMiss| {
                format!("nearest permit `{}`, not met: {}", near.rule, one_line(&near.unmet.join(" and ")))
            };
            let misses: Vec<String> = near.iter().map(miss).collect();
            if misses.is_empty() { vec!["permitted by nothing".to_owned()] } else { misses }
        }
    }
}

pub(super) fn as_json(explanation: &Explanation) -> serde_json::Value {
    let verdict = |verdict: &Verdict| match verdict {
        Verdict::Allow(obligations) => json!({
            "verdict": "allow", "rules": obligations.rules,
            "masks": obligations.masks.iter().map(|mask| json!({
                "path": mask.resource.to_string(), "transform": mask.transform.to_string(),
                "filterable": mask.filterable,
            })).collect::<Vec<_>>(),
            "withheld": obligations.withheld.iter().map(|withheld| json!({
                "tag": withheld.tag, "transform": withheld.transform.to_string(),
            })).collect::<Vec<_>>(),
            "budgets": obligations.controls.budgets.iter().map(|budget| json!({
                "rule": budget.rule, "unit": budget.unit, "amount": budget.amount,
                "window_seconds": budget.window_seconds, "per": budget.per,
            })).collect::<Vec<_>>(),
        }),
        Verdict::Deny(refusal) => {
            json!({ "verdict": "deny", "rule": refusal.rule, "message": refusal.message, "hint": refusal.hint })
        }
        Verdict::Hold(hold) => json!({
            "verdict": "hold", "rule": hold.refusal.rule, "message": hold.refusal.message,
            "approvals": hold.approvals,
        }),
    };
    let asked = explanation.asked.iter().map(|asked| {
        json!({
            "principal": asked.principal, "action": asked.action, "resource": asked.resource,
            "reasons": reasons(&asked.outcome),
        })
    });
    json!({
        "decision": verdict(&explanation.decision.verdict),
        "cacheable": explanation.decision.cacheable,
        "asked": asked.collect::<Vec<_>>(),
        "with_shadow": explanation.with_shadow.as_ref().map(verdict),
    })
}
