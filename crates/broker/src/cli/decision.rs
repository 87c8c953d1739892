//! A decision that was made: who asked for what, what was decided, and what would be decided now.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sluice_model::{
    Access, Exposure, Fact, FactGroup, FactType, Facts, FlowId, Group, Meaning, OpId, Operation, Part, Person,
    Principal, Resource, Schema, SessionId, Shape, Spend, Stage, TargetName, Text, TokenId, UnixMicros, Usage, Who,
};
use sluice_policy::{Case, Explanation, Policies};
use sluice_recording::{Accessed, Event, Exposed, Opened, Pair, Ruled, Shown, Word};
use sluice_store::Archive;

use super::explain::{as_json, moment, print, tag};
use super::output::{Style, colours, one_line, shortened, styled, time};
use super::{DONE, Format, WRONG, out};
use crate::config::Config;
use crate::paths::Paths;
use crate::protocols;

/// How much of a text is shown to people.
const TEXT_CHARS: usize = 2_000;

/// A decision as it was recorded.
#[derive(Debug)]
struct Made {
    session: SessionId,
    id: String,
    at: UnixMicros,
    opened: Opening,
    asked: Question,
    verdict: Word,
    rules: Vec<String>,
    masks: Vec<String>,
    message: String,
}

/// Who opened the session, and where.
#[derive(Debug)]
struct Opening {
    /// The chain, outermost first, each with its groups.
    actors: Vec<(String, Vec<String>)>,
    target: String,
    part: Option<Part>,
    protocol: String,
    client: String,
}

/// What was asked.
#[derive(Debug)]
struct Question {
    stage: Stage,
    action: String,
    understood: bool,
    facts: Vec<(String, String)>,
    accesses: Vec<(String, String, Vec<String>)>,
    exposures: Vec<(Usage, String, Vec<String>, Vec<String>)>,
    text: Vec<u8>,
}

pub(super) fn explain(config: &Config, policies: &Policies, id: &str, output: Format) -> Result<u8> {
    let archive = Archive::at(Paths::of(&config.data_dir).recordings());
    let made = find(&archive, id)?;
    let now = again(config, policies, &made);
    match output {
        Format::Json => out(document(&made, &now)),
        Format::Text => tell(&made, &now),
    }
    Ok(if made.verdict == Word::Allow { DONE } else { WRONG })
}

/// The decision with this id: it ends with an operation's number, and before that stands the end of its session's id.
fn find(archive: &Archive, id: &str) -> Result<Made> {
    let tail = id.strip_prefix("d-").and_then(|rest| rest.split_once('-')).map(|(tail, _)| tail);
    let tail = tail
        .filter(|tail| !tail.is_empty())
        .with_context(|| format!("`{}` is not the id of a decision: those are like d-0a1b2c3d-7", one_line(id)))?;
    for session in archive.sessions()?.into_iter().filter(|session| session.as_str().ends_with(tail)) {
        if let Some(made) = within(archive, &session, id)? {
            return Ok(made);
        }
    }
    bail!("no recording has the decision `{}`: it was swept, or made by another broker", one_line(id))
}

fn within(archive: &Archive, session: &SessionId, id: &str) -> Result<Option<Made>> {
    let mut reader = archive.replay(session)?;
    let mut opening = None;
    let mut asked: Vec<((FlowId, OpId), Question)> = Vec::new();
    while let Some(stored) = reader.next_event()? {
        if let Event::Opened(opened) = &stored.event {
            opening = Some((Opening::of(opened), opened.anchor));
        } else if let Event::Asked(question) = &stored.event {
            // An operation is ruled on before another of its flow is asked for.
            asked.retain(|((flow, _), _)| *flow != stored.flow);
            asked.push(((stored.flow, question.op), Question::of(question)));
        } else if let Event::Ruled(ruled) = &stored.event
            && ruled.decision == id
        {
            let (opened, anchor) = opening.context("the recording does not say who opened the session")?;
            let place = asked.iter().position(|(of, _)| *of == (stored.flow, ruled.op));
            let (_, asked) = asked.swap_remove(place.context("the recording does not say what was asked")?);
            let at = UnixMicros(anchor.0.saturating_add(i64::try_from(stored.at_ns / 1_000).unwrap_or(i64::MAX)));
            return Ok(Some(Made::of(session, at, opened, asked, ruled)));
        }
    }
    Ok(None)
}

impl Made {
    fn of(session: &SessionId, at: UnixMicros, opened: Opening, asked: Question, ruled: &Ruled<'_>) -> Self {
        let owned = |texts: &[std::borrow::Cow<'_, str>]| texts.iter().map(ToString::to_string).collect();
        Self {
            session: session.clone(),
            id: ruled.decision.to_string(),
            at,
            opened,
            asked,
            verdict: ruled.verdict,
            rules: owned(&ruled.rules),
            masks: owned(&ruled.masks),
            message: ruled.message.to_string(),
        }
    }
}

impl Opening {
    fn of(opened: &Opened<'_>) -> Self {
        let groups = |actor: &sluice_recording::Actor<'_>| actor.groups.iter().map(ToString::to_string).collect();
        Self {
            actors: opened.principal.iter().map(|actor| (actor.name.to_string(), groups(actor))).collect(),
            target: opened.target.to_string(),
            part: opened.part.as_ref().map(|part| Part::new(&**part)),
            protocol: opened.protocol.to_string(),
            client: opened.client.to_string(),
        }
    }

    /// The target, and the part of it, as a client names them.
    fn place(&self) -> String {
        self.part.iter().fold(self.target.clone(), |target, part| format!("{target}/{}", one_line(part.as_str())))
    }

    /// Who it was, for the policies. Of a workload the issuer is not recorded, of an agent its purpose.
    fn who(&self) -> Result<Who> {
        let person = |(name, groups): &(String, Vec<String>)| -> Result<Person> {
            let name = name.strip_prefix("user:").context("a workload's issuer is not recorded")?.to_owned();
            Ok(Person { name, groups: self::groups(groups)? })
        };
        match &self.actors[..] {
            [one] => Ok(Who::User(person(one)?)),
            [(agent, own), owner] => {
                let name = agent.strip_prefix("agent:").context("the recording names no agent")?.to_owned();
                Ok(Who::Agent { name, purpose: None, groups: groups(own)?, owner: person(owner)? })
            }
            _ => bail!("the recording names nobody"),
        }
    }
}

fn groups(names: &[String]) -> Result<BTreeSet<Group>> {
    names.iter().map(|name| Group::new(name).context("the recording names a group that cannot be")).collect()
}

impl Question {
    fn of(asked: &sluice_recording::Asked<'_>) -> Self {
        let path = |path: &[std::borrow::Cow<'_, str>]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
        let access =
            |Accessed { action, kind, path: on }: &Accessed<'_>| (action.to_string(), kind.to_string(), path(on));
        let exposure =
            |Exposed { usage, kind, path: on, tags }: &Exposed<'_>| (*usage, kind.to_string(), path(on), path(tags));
        Self {
            stage: asked.stage,
            action: asked.action.to_string(),
            understood: asked.understood,
            facts: asked.facts.iter().map(|Pair { name, value }| (name.to_string(), value.to_string())).collect(),
            accesses: asked.accesses.iter().map(access).collect(),
            exposures: asked.exposures.iter().map(exposure).collect(),
            text: asked.text.0.to_vec(),
        }
    }

    /// The operation that policies are asked about, as far as it is recorded: all but a spend.
    fn operation(&self, schema: &'static Schema) -> Result<Operation> {
        let spec = schema.action(&self.action).context("its verb is not known any more")?;
        let access = |(action, kind, path): &(String, String, Vec<String>)| {
            let action = schema.action(action).context("one of its verbs is not known any more")?.action;
            Ok(Access { action, resource: resource(kind, path, schema)? })
        };
        let exposure = |(usage, kind, path, tags): &(Usage, String, Vec<String>, Vec<String>)| {
            let tags = tags.iter().map(|name| tag(name)).collect::<Result<_>>()?;
            Ok(Exposure { resource: resource(kind, path, schema)?, tags, usage: *usage })
        };
        let group = schema.group(spec.facts).context("its facts are not known any more")?;
        let meaning = Meaning {
            action: spec.action,
            accesses: self.accesses.iter().map(access).collect::<Result<_>>()?,
            exposures: self.exposures.iter().map(exposure).collect::<Result<_>>()?,
            facts: self.facts(group)?,
            understood: self.understood,
        };
        let (shape, text) = (Arc::new(Shape::new(meaning, [])), Text::new(self.text.clone()));
        Ok(Operation { shape, text, stage: self.stage, bound: None, spend: Spend::default() })
    }

    fn facts(&self, group: &'static FactGroup) -> Result<Facts> {
        let value = |spec: &sluice_model::FactSpec| {
            let text = self.facts.iter().find(|(name, _)| name == spec.name).map_or("", |(_, value)| value);
            let wrong = || format!("its fact `{}` cannot have the recorded value", spec.name);
            let fact = match spec.of {
                FactType::Bool => Fact::Bool(text == "true"),
                FactType::Long if text.is_empty() => Fact::Long(0),
                FactType::Long => Fact::Long(text.parse().with_context(wrong)?),
                FactType::Text => Fact::Text(text.into()),
                FactType::Set => Fact::Set(text.split(", ").filter(|part| !part.is_empty()).map(Box::from).collect()),
            };
            Ok((spec.name, fact))
        };
        Ok(Facts { group: group.name, values: group.facts.iter().map(value).collect::<Result<_>>()? })
    }
}

fn resource(kind: &str, path: &[String], schema: &'static Schema) -> Result<Resource> {
    let own = schema.resources.iter().map(|spec| spec.kind);
    let kind = own.chain([Resource::TARGET, Resource::VALUE]).find(|known| *known == kind);
    Ok(Resource::new(kind.context("one of its resources is not known any more")?, path.iter().map(String::as_str)))
}

/// The same question to the policies of the configuration, at the time it was asked; or why it cannot be put again.
fn again(config: &Config, policies: &Policies, made: &Made) -> Result<Explanation> {
    let Made { opened, asked, at, .. } = made;
    let name = TargetName::new(&opened.target).context("the recording names no target")?;
    let guarded = config.targets.get(&name).context("its target is not configured any more")?;
    ensure!(guarded.target.protocol == opened.protocol, "its target speaks another protocol now");
    let schema = protocols::named(&opened.protocol).context("its protocol is not in this binary")?.schema();
    let operation = asked.operation(schema)?;
    let who = opened.who()?;
    let token = TokenId::new("explain")?;
    let principal = Principal { who, token, expires: at.plus_seconds(60), targets: None, run: None };
    let client = opened.client.parse().ok();
    let at = moment(config, *at, client);
    let session = &made.session;
    let target = &guarded.target.at(opened.part.clone());
    Ok(policies.explain(&Case { who: &principal, target, operation: &operation, at, session, approval: None }))
}

fn tell(made: &Made, now: &Result<Explanation>) {
    let Made { session, id, at, opened, asked, verdict, rules, masks, message } = made;
    let style = if *verdict == Word::Allow { Style::Good } else { Style::Bad };
    let by = if rules.is_empty() { String::new() } else { format!(" by {}", one_line(&rules.join(", "))) };
    out(format_args!("{id}: {}{by}", styled(verdict.name(), style, colours())));
    if !message.is_empty() {
        out(format_args!("  {}", one_line(message)));
    }
    let groups =
        |groups: &[String]| if groups.is_empty() { String::new() } else { format!(" ({})", groups.join(", ")) };
    let actors = opened.actors.iter().map(|(name, of)| format!("{name}{}", groups(of)));
    let actors = actors.collect::<Vec<_>>().join(" for ");
    let mut rows = vec![
        ("when", time(*at)),
        ("session", session.to_string()),
        ("who", format!("{actors} from {}", opened.client)),
        ("target", format!("{} ({})", opened.place(), opened.protocol)),
        ("text", shortened(&Shown(&asked.text).to_string(), TEXT_CHARS)),
    ];
    let accesses =
        asked.accesses.iter().map(|(action, kind, path)| ("asked", format!("{action} {kind} {}", path.join("."))));
    rows.extend(accesses);
    let exposed = asked
        .exposures
        .iter()
        .map(|(usage, _, path, tags)| ("tagged", format!("{} {} [{}]", word(*usage), path.join("."), tags.join(", "))));
    rows.extend(exposed);
    rows.extend(masks.iter().map(|mask| ("mask", mask.clone())));
    for (name, text) in rows {
        out(format_args!("  {name:<8} {}", one_line(&text)));
    }
    match now {
        Ok(explanation) => {
            out("the same by the policies of the configuration now:");
            print(explanation);
        }
        Err(error) => out(format_args!("it cannot be decided again: {error:#}")),
    }
}

const fn word(usage: Usage) -> &'static str {
    match usage {
        Usage::Reveal => "reveal",
        Usage::Filter => "filter",
        Usage::Disclose => "disclose",
    }
}

fn document(made: &Made, now: &Result<Explanation>) -> Value {
    let Made { session, id, at, opened, asked, verdict, rules, masks, message } = made;
    let accesses =
        asked.accesses.iter().map(|(action, kind, path)| json!({ "action": action, "kind": kind, "path": path }));
    let exposures = asked
        .exposures
        .iter()
        .map(|(usage, kind, path, tags)| json!({ "usage": word(*usage), "kind": kind, "path": path, "tags": tags }));
    let principal = opened.actors.iter().map(|(name, groups)| json!({ "name": name, "groups": groups }));
    let facts: serde_json::Map<String, Value> =
        asked.facts.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let now = match now {
        Ok(explanation) => as_json(explanation),
        Err(error) => json!({ "error": format!("{error:#}") }),
    };
    json!({
        "decision": id, "session": session, "at": time(*at), "verdict": verdict.name(), "rules": rules,
        "message": message, "masks": masks,
        "principal": principal.collect::<Vec<_>>(), "client": opened.client, "target": opened.target, "part": opened.part,
        "protocol": opened.protocol, "action": asked.action, "understood": asked.understood,
        "text": String::from_utf8_lossy(&asked.text), "facts": facts,
        "accesses": accesses.collect::<Vec<_>>(), "exposures": exposures.collect::<Vec<_>>(),
        "now": now,
    })
}
