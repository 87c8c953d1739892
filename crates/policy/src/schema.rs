//! What policies may name, as a Cedar schema.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sluice_model::{Effect, FactGroup, FactType, Resource, Schema};

/// The verbs of the product itself that are about values.
pub(crate) const REVEAL: &str = "reveal";
pub(crate) const REVEAL_PARTIAL: &str = "reveal.partial";
pub(crate) const REVEAL_TOKEN: &str = "reveal.token";
pub(crate) const FILTER: &str = "filter";
pub(crate) const DISCLOSE: &str = "disclose";
pub(crate) const DISCLOSE_TOKEN: &str = "disclose.token";
/// The verbs of the product itself that are about sessions.
pub(crate) const APPROVE: &str = "approve";
pub(crate) const REPLAY: &str = "replay";
pub(crate) const KILL: &str = "kill";
pub(crate) const ADMIN: &str = "admin";

const EXPOSING: [&str; 4] = [REVEAL, REVEAL_PARTIAL, REVEAL_TOKEN, FILTER];
const DISCLOSING: [&str; 2] = [DISCLOSE, DISCLOSE_TOKEN];
const GOVERNING: [&str; 4] = [APPROVE, REPLAY, KILL, ADMIN];
/// Entity types that no protocol may declare.
pub(crate) const RESERVED: [&str; 9] =
    ["Action", "Agent", "Env", "Group", "Tag", "Target", "User", Resource::VALUE, "Workload"];
/// Whether a verb is one of the product itself.
pub(crate) fn is_own(action: &str) -> bool {
    EXPOSING.contains(&action) || DISCLOSING.contains(&action) || GOVERNING.contains(&action)
}

const PRINCIPALS: &str = "[User, Agent, Workload]";

/// The Cedar schema of a set of protocols, in Cedar's own syntax, as `sluice policy schema` prints it.
#[must_use]
pub fn schema_text(schemas: &[&'static Schema]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail; the results are those of `write!` only.
    let _ = write_schema(&mut text, schemas);
    text
}

fn write_schema(out: &mut String, schemas: &[&'static Schema]) -> std::fmt::Result {
    let versions: Vec<String> = schemas.iter().map(|s| format!("{} {}", s.protocol, s.version)).collect();
    writeln!(out, "// What Sluice policies may name. Protocols: {}.\n", versions.join(", "))?;
    out.push_str(PRELUDE);
    let leaves = write_resources(out, schemas)?;
    writeln!(out, "\n// Effects: groups that hold the actions of every protocol.")?;
    let groups: Vec<String> = Effect::ALL.iter().map(|effect| format!("{:?}", effect.name())).collect();
    writeln!(out, "action {};", groups.join(", "))?;
    for schema in schemas {
        write_protocol(out, schema)?;
    }
    writeln!(
        out,
        "\n// The product's own verbs: a permit must name them, an unconstrained `action` does not cover them."
    )?;
    let exposed: Vec<&str> = leaves.iter().copied().chain([Resource::VALUE]).collect();
    write_own(out, &EXPOSING, &exposed.join(", "))?;
    write_own(out, &DISCLOSING, Resource::VALUE)?;
    write_own(out, &GOVERNING, "Target, Env")
}

const PRELUDE: &str = "\
entity Group;
entity User in [Group];
// An agent acts for its owner; both need an allow.
entity Agent in [Group] { owner: User, purpose?: String };
entity Workload in [Group] { issuer: String };
entity Env;
entity Target in [Env];
// Dots make the hierarchy: Tag::\"pii.contact\" lies in Tag::\"pii\".
entity Tag in [Tag];
// Values of one class that were found at a target: Value::\"orders-db/pii.contact\". Nothing is asked about a tag
// itself, only about what lies in it.
entity Value in [Target, Tag];

type ApprovalGiven = { count: Long, expires: Long, digest_ok: Bool };
// now and expires: seconds since 1970. weekday: 1 is Monday, 7 is Sunday. minute: of the day, site time.
// part: of the target, such as the database of a server; empty where it has none.
type BaseContext = {
  now: Long, weekday: Long, minute: Long,
  part: String, session: String, stage: String,
  client?: ipaddr, approval?: ApprovalGiven,
};

// Ids below a target are paths: Column::\"orders-db/public/customers/email\"; a `/` or `%` inside a name is %2F or %25.
// Of a kind that lies in a target and in which nothing lies, the name is written as it is.
";

/// Writes every kind once; gives the kinds in which nothing lies: those may carry tags.
fn write_resources(out: &mut String, schemas: &[&'static Schema]) -> Result<BTreeSet<&'static str>, std::fmt::Error> {
    let all = || schemas.iter().flat_map(|schema| schema.resources);
    let parents: BTreeSet<&str> = all().map(|spec| spec.within).collect();
    let mut written = BTreeSet::new();
    let mut leaves = BTreeSet::new();
    for spec in all() {
        if !written.insert(spec.kind) {
            continue;
        }
        let leaf = !parents.contains(spec.kind);
        if leaf {
            leaves.insert(spec.kind);
        }
        write_doc(out, spec.doc)?;
        writeln!(out, "entity {} in [{}{}];", spec.kind, spec.within, if leaf { ", Tag" } else { "" })?;
    }
    Ok(leaves)
}

fn write_protocol(out: &mut String, schema: &Schema) -> std::fmt::Result {
    for group in schema.facts {
        write_group(out, schema, group)?;
    }
    for spec in schema.actions {
        write_doc(out, spec.doc)?;
        writeln!(
            out,
            "action {:?} in [{:?}] appliesTo {{ principal: {PRINCIPALS}, resource: [{}], context: {{ base: BaseContext, {}: {} }} }};",
            spec.action.name,
            spec.action.effect.name(),
            spec.on.join(", "),
            spec.facts,
            record(schema, spec.facts),
        )?;
    }
    Ok(())
}

fn write_group(out: &mut String, schema: &Schema, group: &FactGroup) -> std::fmt::Result {
    writeln!(out, "\n// {}: context.{}", schema.protocol, group.name)?;
    writeln!(out, "type {} = {{", record(schema, group.name))?;
    for fact in group.facts {
        let of = match fact.of {
            FactType::Bool => "Bool",
            FactType::Long => "Long",
            FactType::Text => "String",
            FactType::Set => "Set<String>",
        };
        write_doc(out, fact.doc)?;
        writeln!(out, "  {}: {of},", fact.name)?;
    }
    writeln!(out, "}};")
}

fn write_own(out: &mut String, verbs: &[&str], on: &str) -> std::fmt::Result {
    let verbs: Vec<String> = verbs.iter().map(|verb| format!("{verb:?}")).collect();
    writeln!(
        out,
        "action {} appliesTo {{ principal: {PRINCIPALS}, resource: [{on}], context: {{ base: BaseContext }} }};",
        verbs.join(", ")
    )
}

fn write_doc(out: &mut String, doc: &str) -> std::fmt::Result {
    doc.lines().filter(|line| !line.trim().is_empty()).try_for_each(|line| writeln!(out, "// {}", line.trim()))
}

/// The type of a group's record: `PostgresStmtFacts`.
fn record(schema: &Schema, group: &str) -> String {
    format!("{}{}Facts", capital(schema.protocol), capital(group))
}

/// `postgres` as part of a type's name.
fn capital(name: &str) -> String {
    let clean: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let mut letters = clean.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
}
