//! Lines of a table into cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluice_model::{
    Access, ActionSpec, Environment, Exposure, Fact, FactGroup, FactSpec, FactType, Facts, Group, Meaning, Operation,
    Part, Person, Principal, Resource, Schema, Shape, Spend, Stage, Tag, Target, TargetName, Text, TokenId, UnixMicros,
    Usage, Who,
};

use crate::case::{Approved, Moment};
use crate::schema::{ADMIN, APPROVE, KILL, REPLAY};
use crate::vocabulary::Vocabulary;

/// 2025-06-18T10:00:00Z, a Wednesday.
const NOW: UnixMicros = UnixMicros(1_750_240_800_000_000);
const WEEKDAY: u8 = 3;
const MINUTE: u16 = 600;
const APPROVAL_SECONDS: i64 = 600;

/// What comes before the cases.
#[derive(Debug, Default)]
pub(super) struct Head {
    facts: Given,
    tags: BTreeMap<String, Vec<Tag>>,
}

/// One line that asks.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) who: Principal,
    pub(super) target: Target,
    pub(super) at: Moment,
    pub(super) approval: Option<Approved>,
    pub(super) what: What,
    pub(super) expected: String,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum What {
    Operation(Operation),
    /// One of the product's own verbs at the target.
    Verb(&'static str),
}

impl Head {
    /// Reads a line if it is one of the head's; gives whether it was.
    pub(super) fn read(&mut self, line: &str, vocabulary: &Vocabulary) -> Result<bool, String> {
        if let Some(facts) = line.strip_prefix("facts:") {
            self.facts.read(facts)?;
            if let Some(name) = self.facts.names().find(|name| !vocabulary.groups().any(|group| is_of(name, group))) {
                return Err(format!("`{name}` is no fact of any protocol"));
            }
        } else if let Some(tagged) = line.strip_prefix("tag:") {
            let (path, names) = tagged.trim().split_once(' ').ok_or("a tag line is `tag: PATH TAGS`")?;
            self.tags.insert(path.to_owned(), tags(names)?);
        } else {
            return Ok(line.starts_with("packs:"));
        }
        Ok(true)
    }
}

/// Reads one case.
pub(super) fn asking(line: &str, head: &Head, vocabulary: &Vocabulary) -> Result<Asking, String> {
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[place, operation, expected] = parts.as_slice() else {
        return Err("a case is `WHO @ ENV/TARGET | OPERATION | RULING`".to_owned());
    };
    let (who, place) = place.rsplit_once(" @ ").ok_or("the principal and the target are joined by ` @ `")?;
    let (environment, name) = place.trim().split_once('/').ok_or("a target is `ENV/TARGET`")?;
    let (name, part) = name.split_once('/').map_or((name, None), |(name, part)| (name, Some(Part::new(part))));
    let mut target = Target {
        name: TargetName::new(name).map_err(|_| format!("`{name}` is no target name"))?,
        environment: Environment::new(environment).map_err(|_| format!("`{environment}` is no environment"))?,
        protocol: "",
        part,
    };
    let mut draft = Draft::new(head, vocabulary);
    let mut segments = operation.split(';').map(str::trim);
    let accesses = segments.next().unwrap_or_default();
    let verb = [APPROVE, REPLAY, KILL, ADMIN].into_iter().find(|verb| *verb == accesses);
    let carries = if verb.is_none() { Some(draft.accesses(accesses)?) } else { None };
    for segment in segments {
        draft.segment(segment)?;
    }
    let (at, approval) = (draft.at, draft.approval);
    let what = match (verb, carries) {
        (Some(verb), _) => What::Verb(verb),
        (None, Some((schema, group))) => {
            target.protocol = schema.protocol;
            What::Operation(draft.operation(group, line)?)
        }
        (None, None) => return Err("no verb is asked for".to_owned()),
    };
    Ok(Asking { who: principal(who.trim())?, target, at, approval, what, expected: expected.to_owned() })
}

/// Facts as they are written: `kind=delete` for every group that has such a fact, `stmt.kind=delete` for one.
#[derive(Debug, Default)]
struct Given(BTreeMap<String, String>);

impl Given {
    fn read(&mut self, pairs: &str) -> Result<(), String> {
        for pair in pairs.split_whitespace() {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not NAME=VALUE"))?;
            self.0.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is written of a fact; what is written of its group alone comes first.
    fn of(&self, group: &FactGroup, name: &str) -> Option<&str> {
        let value = self.0.get(&format!("{}.{name}", group.name)).or_else(|| self.0.get(name));
        value.map(String::as_str)
    }
}

/// Whether a fact, as it is written, is one of a group.
fn is_of(name: &str, group: &FactGroup) -> bool {
    let plain = name.strip_prefix(group.name).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
    group.facts.iter().any(|spec| spec.name == plain)
}

#[derive(Debug)]
struct Draft<'a> {
    head: &'a Head,
    vocabulary: &'a Vocabulary,
    accesses: Vec<Access>,
    exposures: Vec<Exposure>,
    facts: Given,
    at: Moment,
    approval: Option<Approved>,
    stage: Stage,
    understood: bool,
}

impl<'a> Draft<'a> {
    fn new(head: &'a Head, vocabulary: &'a Vocabulary) -> Self {
        Self {
            head,
            vocabulary,
            accesses: Vec::new(),
            exposures: Vec::new(),
            facts: Given::default(),
            at: Moment { now: NOW, weekday: WEEKDAY, minute: MINUTE, client: None },
            approval: None,
            stage: Stage::Perform,
            understood: true,
        }
    }

    /// Reads `sql.read public.customers, sql.call public.f`; gives the protocol of the first verb, and the facts that
    /// all of them carry.
    fn accesses(&mut self, text: &str) -> Result<(&'static Schema, &'static FactGroup), String> {
        let mut first: Option<(&'static Schema, &'static str)> = None;
        for access in text.split(',') {
            let mut words = access.split_whitespace();
            let verb = words.next().ok_or("an access is `VERB [PATH]`")?;
            let (schema, spec) = find_verb(self.vocabulary, verb)?;
            let resource = match words.next() {
                None => Resource::target(),
                Some(path) => resource(self.vocabulary, path, spec.on.iter().copied())?,
            };
            if let Some(extra) = words.next() {
                return Err(format!("`{extra}` is too much: accesses are separated by commas"));
            }
            self.accesses.push(Access { action: spec.action, resource });
            let (_, group) = first.get_or_insert((schema, spec.facts));
            if *group != spec.facts {
                return Err(format!("`{verb}` carries `{}` and not `{group}`: ask for it by itself", spec.facts));
            }
        }
        let carries = first.and_then(|(schema, group)| Some((schema, self.vocabulary.group(group)?)));
        carries.ok_or_else(|| "no verb is asked for".to_owned())
    }

    fn segment(&mut self, segment: &str) -> Result<(), String> {
        let mut words = segment.split_whitespace();
        match words.next().unwrap_or_default() {
            "reveal" => self.expose(Usage::Reveal, words)?,
            "filter" => self.expose(Usage::Filter, words)?,
            "disclose" => {
                let tags = tags(words.next().unwrap_or_default())?;
                self.exposures.extend(tags.into_iter().map(|tag| Exposure::found(tag, Usage::Disclose)));
            }
            "approved" => self.approval = Some(approved(words)?),
            "at" => {
                for word in words {
                    match word.split_once('=') {
                        Some(("weekday", day)) => self.at.weekday = number(day)?,
                        Some(("minute", minute)) => self.at.minute = number(minute)?,
                        _ => return Err(format!("`{word}` is neither weekday=N nor minute=N")),
                    }
                }
            }
            "client" => {
                let address = words.next().unwrap_or_default();
                self.at.client = Some(address.parse().map_err(|_| format!("`{address}` is no address"))?);
            }
            "prepare" => self.stage = Stage::Prepare,
            "unparsed" => self.understood = false,
            _ => self.facts.read(segment)?,
        }
        Ok(())
    }

    fn expose<'w>(&mut self, usage: Usage, mut words: impl Iterator<Item = &'w str>) -> Result<(), String> {
        let path = words.next().ok_or("a path must follow `reveal` or `filter`")?;
        if let Some(name) = path.split_once(':').filter(|(kind, _)| *kind == Resource::VALUE).map(|(_, name)| name) {
            let tag = Tag::new(name).map_err(|_| format!("`{name}` is no tag"))?;
            self.exposures.push(Exposure::found(tag, usage));
            return Ok(());
        }
        let tags = match words.next() {
            Some(names) => tags(names)?,
            None => self.head.tags.get(path).cloned().ok_or_else(|| format!("`{path}` has no tags"))?,
        };
        let schemas = self.vocabulary.schemas();
        let kinds = schemas.iter().flat_map(|schema| schema.resources).map(|spec| spec.kind);
        let leaves =
            kinds.filter(|kind| !schemas.iter().flat_map(|schema| schema.resources).any(|spec| spec.within == *kind));
        self.exposures.push(Exposure { resource: resource(self.vocabulary, path, leaves)?, tags, usage });
        Ok(())
    }

    fn operation(self, group: &'static FactGroup, line: &str) -> Result<Operation, String> {
        if let Some(name) = self.facts.names().find(|name| !is_of(name, group)) {
            return Err(format!("`{name}` is no fact of `{}`", group.name));
        }
        let mut values = Vec::with_capacity(group.facts.len());
        for spec in group.facts {
            let given = self.facts.of(group, spec.name).or_else(|| self.head.facts.of(group, spec.name));
            values.push((spec.name, fact(spec, given.unwrap_or_default())?));
        }
        let action = self.accesses.first().map(|access| access.action).ok_or("no verb is asked for")?;
        let meaning = Meaning {
            action,
            accesses: self.accesses.into_iter().collect(),
            exposures: self.exposures,
            facts: Facts { group: group.name, values },
            understood: self.understood,
        };
        let shape = Shape::new(meaning, [line.as_bytes()]);
        Ok(Operation {
            shape: Arc::new(shape),
            text: Text::new(Vec::new()),
            stage: self.stage,
            bound: None,
            spend: Spend::default(),
        })
    }
}

fn find_verb(vocabulary: &Vocabulary, verb: &str) -> Result<(&'static Schema, &'static ActionSpec), String> {
    let found = vocabulary.schemas().iter().find_map(|schema| Some((*schema, schema.action(verb)?)));
    found.ok_or_else(|| format!("`{verb}` is no verb of any protocol"))
}

/// Reads `[Kind:]a.b.c` as the first of these kinds that lies as deep as the path is long. What stands alone below its
/// target may have dots in its name, behind its kind.
fn resource(
    vocabulary: &Vocabulary,
    path: &str,
    mut kinds: impl Iterator<Item = &'static str>,
) -> Result<Resource, String> {
    let (named, path) = path.split_once(':').map_or((None, path), |(kind, path)| (Some(kind), path));
    let alone = named.and_then(|named| vocabulary.kind(named)).is_some_and(|known| known.alone);
    let steps: Vec<&str> = if alone { vec![path] } else { path.split('.').collect() };
    let fits = |kind: &&'static str| {
        let deep = vocabulary.kind(kind).is_some_and(|known| known.depth == steps.len());
        deep && named.is_none_or(|named| named == *kind)
    };
    let kind = kinds.find(fits).ok_or_else(|| format!("`{path}` is nothing that this can be done to"))?;
    Ok(Resource::new(kind, steps.iter().copied()))
}

fn fact(spec: &FactSpec, value: &str) -> Result<Fact, String> {
    Ok(match spec.of {
        FactType::Bool => Fact::Bool(match value {
            "true" => true,
            "" | "false" => false,
            _ => return Err(format!("`{}` is true or false, not `{value}`", spec.name)),
        }),
        FactType::Long if value.is_empty() => Fact::Long(0),
        FactType::Long => Fact::Long(number(value)?),
        FactType::Text => Fact::Text(value.into()),
        FactType::Set => Fact::Set(value.split(',').filter(|item| !item.is_empty()).map(Box::from).collect()),
    })
}

fn approved<'w>(words: impl Iterator<Item = &'w str>) -> Result<Approved, String> {
    let mut approval = Approved { count: 1, expires: NOW.plus_seconds(APPROVAL_SECONDS), digest_ok: true };
    for word in words {
        match word.split_once('=') {
            Some(("count", count)) => approval.count = number(count)?,
            None if word == "expired" => approval.expires = NOW,
            None if word == "changed" => approval.digest_ok = false,
            _ => return Err(format!("`{word}` says nothing about an approval")),
        }
    }
    Ok(approval)
}

fn principal(text: &str) -> Result<Principal, String> {
    let (own, owner) = match text.split_once(" for ") {
        Some((own, owner)) => (own, Some(owner)),
        None => (text, None),
    };
    let (kind, name, groups) = member(own)?;
    let who = match (kind, owner) {
        ("user", None) => Who::User(Person { name, groups }),
        ("workload", None) => Who::Workload { name, issuer: "test".to_owned(), groups },
        ("agent", Some(owner)) => {
            let ("user", name_of_owner, groups_of_owner) = member(owner)? else {
                return Err("an agent acts for a user".to_owned());
            };
            let owner = Person { name: name_of_owner, groups: groups_of_owner };
            Who::Agent { name, purpose: None, groups, owner }
        }
        _ => return Err(format!("`{text}` is none of user:NAME, workload:NAME, agent:NAME for user:NAME")),
    };
    let token = TokenId::new("cases").map_err(|error| error.to_string())?;
    Ok(Principal { who, token, expires: NOW.plus_seconds(APPROVAL_SECONDS), targets: None, run: None })
}

/// Reads `user:alice in analysts,staff`.
fn member(text: &str) -> Result<(&str, String, BTreeSet<Group>), String> {
    let (name, groups) = text.split_once(" in ").unwrap_or((text, ""));
    let (kind, name) = name.trim().split_once(':').ok_or_else(|| format!("`{name}` is no principal"))?;
    let group = |name: &str| Group::new(name.trim()).map_err(|_| format!("`{name}` is no group"));
    let groups = groups.split(',').filter(|name| !name.trim().is_empty()).map(group).collect::<Result<_, _>>()?;
    Ok((kind, name.to_owned(), groups))
}

fn tags(names: &str) -> Result<Vec<Tag>, String> {
    names.split(',').map(|name| Tag::new(name.trim()).map_err(|_| format!("`{name}` is no tag"))).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}
