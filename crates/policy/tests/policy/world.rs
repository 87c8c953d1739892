//! A protocol shaped like SQL, and short ways to ask about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use sluice_model::{
    Access, Action, ActionSpec, Effect, Environment, Exposure, Fact, FactGroup, FactSpec, FactType, Facts, Group,
    Meaning, Operation, Person, Principal, Resource, ResourceSpec, Schema, SessionId, Shape, Spend, Stage, Tag, Target,
    TargetName, Text, TokenId, UnixMicros, Usage, Verdict, Who,
};
use sluice_policy::{Approved, Case, Decision, Moment, Policies, Settings, Source};

const TARGET: &str = Resource::TARGET;

const fn verb(name: &'static str, effect: Effect, on: &'static [&'static str], facts: &'static str) -> ActionSpec {
    ActionSpec { action: Action { name, effect }, on, facts, doc: "A verb." }
}

const fn kind(kind: &'static str, within: &'static str) -> ResourceSpec {
    ResourceSpec { kind, within, can_be: ResourceSpec::ANY, doc: "A kind." }
}

const fn fact(name: &'static str, of: FactType) -> FactSpec {
    FactSpec { name, of, doc: "A fact." }
}

const fn group(name: &'static str, facts: &'static [FactSpec]) -> FactGroup {
    FactGroup { name, facts }
}

/// The PostgreSQL protocol's declarations, by their shape.
pub(crate) static SQL: Schema = Schema {
    protocol: "postgres",
    version: 1,
    actions: &[
        verb("postgres.connect", Effect::Connect, &[TARGET], "stmt"),
        verb("sql.read", Effect::Read, &["Table"], "stmt"),
        verb("sql.describe", Effect::Read, &["Table", TARGET], "stmt"),
        verb("sql.session", Effect::Read, &[TARGET], "stmt"),
        verb("sql.write", Effect::Write, &["Table"], "stmt"),
        verb("sql.copy_in", Effect::Write, &["Table"], "stmt"),
        verb("sql.copy_out", Effect::Read, &["Table", TARGET], "stmt"),
        verb("sql.define", Effect::Define, &[TARGET, "Schema", "Table", "Function"], "stmt"),
        verb("sql.administer", Effect::Administer, &[TARGET, "Table", "Schema", "Function"], "stmt"),
        verb("sql.inspect", Effect::Administer, &["Table", TARGET], "stmt"),
        verb("sql.call", Effect::Execute, &["Function"], "stmt"),
        verb("sql.set", Effect::Administer, &["Setting"], "stmt"),
        verb("sql.listen", Effect::Execute, &["Channel", TARGET], "stmt"),
        verb("sql.unknown", Effect::Unknown, &[TARGET], "stmt"),
    ],
    resources: &[
        kind("Schema", TARGET),
        kind("Table", "Schema"),
        kind("Column", "Table"),
        kind("Function", "Schema"),
        kind("Setting", TARGET),
        kind("Channel", TARGET),
    ],
    facts: &[group(
        "stmt",
        &[
            fact("kind", FactType::Text),
            fact("kinds", FactType::Set),
            fact("has_where", FactType::Bool),
            fact("row_changing", FactType::Bool),
            fact("multi", FactType::Bool),
            fact("in_transaction", FactType::Bool),
            fact("functions", FactType::Set),
            fact("relations", FactType::Set),
            fact("parsed", FactType::Bool),
        ],
    )],
};

/// A protocol with facts of its own and one verb in the same effect group.
pub(crate) static SHELL: Schema = Schema {
    protocol: "ssh",
    version: 1,
    actions: &[
        verb("ssh.exec", Effect::Execute, &[TARGET], "exec"),
        verb("sftp.read", Effect::Read, &[TARGET], "exec"),
    ],
    resources: &[],
    facts: &[group(
        "exec",
        &[
            fact("login", FactType::Text),
            fact("programs", FactType::Set),
            fact("parsed", FactType::Bool),
            fact("size", FactType::Long),
        ],
    )],
};

/// A protocol whose operations are of several kinds, each with facts of its own.
pub(crate) static WEB: Schema = Schema {
    protocol: "http",
    version: 1,
    actions: &[
        verb("http.connect", Effect::Connect, &[TARGET], "http"),
        verb("http.get", Effect::Read, &["Endpoint"], "http"),
        verb("llm.chat", Effect::Execute, &["Model"], "llm"),
        verb("llm.embed", Effect::Execute, &["Model"], "llm"),
        verb("tool.call", Effect::Execute, &["Tool"], "tool"),
    ],
    resources: &[
        ResourceSpec { kind: "Endpoint", within: TARGET, can_be: |name| name.starts_with('/'), doc: "A kind." },
        kind("Model", TARGET),
        kind("Tool", TARGET),
    ],
    facts: &[
        group("http", &[fact("path", FactType::Text), fact("parsed", FactType::Bool)]),
        group("llm", &[fact("stream", FactType::Bool), fact("tags", FactType::Set), fact("parsed", FactType::Bool)]),
        group("tool", &[fact("name", FactType::Text), fact("size", FactType::Long)]),
    ],
};

pub(crate) const NOW: UnixMicros = UnixMicros(1_750_240_800_000_000);

pub(crate) fn at() -> Moment {
    Moment { now: NOW, weekday: 3, minute: 600, client: None }
}

pub(crate) fn sources(text: &str) -> Vec<Source> {
    vec![Source { name: "a.cedar".to_owned(), text: text.to_owned() }]
}

pub(crate) fn policies(text: &str) -> Policies {
    Policies::compile(&sources(text), &[&SQL, &SHELL, &WEB], &Settings::default(), 7)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// What keeps a text from compiling, one fault a line.
pub(crate) fn faults(text: &str) -> String {
    match Policies::compile(&sources(text), &[&SQL, &SHELL, &WEB], &Settings::default(), 7) {
        Ok(_) => "compiles".to_owned(),
        Err(faults) => faults.to_string(),
    }
}

pub(crate) fn groups(names: &[&str]) -> BTreeSet<Group> {
    names.iter().map(|name| Group::new(name).unwrap()).collect()
}

pub(crate) fn principal(who: Who) -> Principal {
    Principal { who, token: TokenId::new("t").unwrap(), expires: NOW.plus_seconds(60), targets: None, run: None }
}

pub(crate) fn user(name: &str, of: &[&str]) -> Principal {
    principal(Who::User(Person { name: name.to_owned(), groups: groups(of) }))
}

pub(crate) fn agent(name: &str, of: &[&str], owner: &str, owner_of: &[&str]) -> Principal {
    let owner = Person { name: owner.to_owned(), groups: groups(owner_of) };
    principal(Who::Agent { name: name.to_owned(), purpose: None, groups: groups(of), owner })
}

pub(crate) fn target(environment: &str, name: &str) -> Target {
    Target {
        name: TargetName::new(name).unwrap(),
        environment: Environment::new(environment).unwrap(),
        protocol: "postgres",
        part: None,
    }
}

pub(crate) fn table(name: &str) -> Resource {
    Resource::new("Table", ["public", name])
}

pub(crate) fn column(name: &str) -> Resource {
    Resource::new("Column", ["public", "customers", name])
}

pub(crate) fn access(verb: &'static str, resource: Resource) -> Access {
    let spec = [&SQL, &SHELL, &WEB].into_iter().find_map(|schema| schema.action(verb)).unwrap();
    Access { action: spec.action, resource }
}

pub(crate) fn exposure(usage: Usage, resource: Resource, tags: &[&str]) -> Exposure {
    Exposure { resource, tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(), usage }
}

/// The facts of a verb's operations: as given, and otherwise those of a plain `select` that was parsed.
pub(crate) fn facts_of(verb: &str, given: &[(&'static str, Fact)]) -> Facts {
    let mut facts = [&SQL, &SHELL, &WEB].into_iter().find_map(|schema| schema.neutral_facts(verb)).unwrap();
    for (name, fact) in &mut facts.values {
        match fact {
            Fact::Bool(value) => *value = *name == "parsed",
            Fact::Text(value) => *value = "select".into(),
            Fact::Long(_) | Fact::Set(_) => {}
        }
        if let Some((_, given)) = given.iter().find(|(of, _)| of == name) {
            *fact = given.clone();
        }
    }
    facts
}

/// Everything of one asking, with what most tests do not care about filled in.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) who: Principal,
    pub(crate) target: Target,
    pub(crate) shape: Meaning,
    pub(crate) at: Moment,
    pub(crate) approval: Option<Approved>,
    pub(crate) session: SessionId,
}

/// A person of `analysts` does something to the production database.
pub(crate) fn asks(accesses: &[Access]) -> Asking {
    let action = accesses.first().unwrap().action;
    let shape = Meaning {
        action,
        accesses: accesses.iter().cloned().collect(),
        exposures: Vec::new(),
        facts: facts_of(action.name, &[]),
        understood: true,
    };
    Asking {
        who: user("alice", &["analysts"]),
        target: target("prod", "orders-db"),
        shape,
        at: at(),
        approval: None,
        session: SessionId::new("s1").unwrap(),
    }
}

pub(crate) fn reads() -> Asking {
    asks(&[access("sql.read", table("customers"))])
}

impl Asking {
    pub(crate) fn by(mut self, who: Principal) -> Self {
        self.who = who;
        self
    }

    pub(crate) fn facts(mut self, given: &[(&'static str, Fact)]) -> Self {
        self.shape.facts = facts_of(self.shape.action.name, given);
        self
    }

    pub(crate) fn uses(mut self, exposures: &[Exposure]) -> Self {
        self.shape.exposures = exposures.to_vec();
        self
    }

    pub(crate) fn approved(mut self, count: u32) -> Self {
        self.approval = Some(Approved { count, expires: self.at.now.plus_seconds(60), digest_ok: true });
        self
    }

    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Case<'_>) -> T) -> T {
        let operation = Operation {
            shape: Arc::new(Shape::new(self.shape.clone(), [])),
            text: Text::new(Vec::new()),
            stage: Stage::Perform,
            bound: None,
            spend: Spend::default(),
        };
        ask(&Case {
            who: &self.who,
            target: &self.target,
            operation: &operation,
            at: self.at,
            session: &self.session,
            approval: self.approval,
        })
    }

    pub(crate) fn decided(&self, policies: &Policies) -> Decision {
        self.with(|case| policies.decide(case))
    }

    /// The verdict in a few words.
    pub(crate) fn told(&self, policies: &Policies) -> String {
        tell(&self.decided(policies).verdict)
    }
}

pub(crate) fn tell(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(obligations) => {
            let masks = obligations.masks.iter().map(|mask| {
                let filter = if mask.filterable { "+filter" } else { "" };
                format!(" {}={}{filter}", mask.resource, mask.transform)
            });
            let withheld = obligations.withheld.iter().map(|held| format!(" -{}={}", held.tag, held.transform));
            std::iter::once("allow".to_owned()).chain(masks).chain(withheld).collect()
        }
        Verdict::Deny(refusal) => format!("deny {}", refusal.rule),
        Verdict::Hold(hold) => format!("hold {} for {}", hold.refusal.rule, hold.approvals.len()),
    }
}
