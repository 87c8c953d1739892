//! What `sluice classify` proposes: tags for columns, from their names, comments, security labels and some of their values.
//!
//! **Invariant:** no value and no comment leaves this module; a proposal holds names, tags and counts.

use std::collections::{BTreeMap, BTreeSet};

use sluice_mask::{BUILTINS, Cover, Detectors, Found, Spec, scrub};
use sluice_model::Tag;
use sluice_sql::{Catalog, Column, Relation, RelationKind};
use sluice_wire::Credential;
use tokio_postgres::Client;

use crate::catalog::{self, LoadError};
use crate::dial::Dialer;
use crate::serve::Deadlines;
use crate::side::Side;
use crate::target::Target;

/// Values that are looked at in each column.
const SAMPLED: i64 = 200;
/// Characters that are looked at in each value.
const SAMPLED_CHARACTERS: i32 = 1_000;
/// A class is proposed where at least one in so many sampled values is of it.
const ONE_IN: usize = 10;

/// Comments and security labels outside the server's own schemas, each with the column it is of.
const NOTES: &str = "
SELECT d.objoid, d.objsubid::int4, d.description, NULL FROM pg_catalog.pg_description d
WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid > 0 AND d.objoid >= 16384
UNION ALL SELECT l.objoid, l.objsubid::int4, l.label, l.provider FROM pg_catalog.pg_seclabel l
WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND l.objsubid > 0 AND l.objoid >= 16384";

/// Words of names and the classes that they speak of.
const NAMES: &[(&[&str], &str)] = &[
    (&["email", "mail", "emails"], "pii.contact.email"),
    (&["phone", "mobile", "telephone", "tel", "fax", "cell"], "pii.contact.phone"),
    (&["address", "street", "zip", "zipcode", "postcode", "postal"], "pii.contact.address"),
    (&["ssn", "sin", "nino"], "pii.ssn"),
    (&["passport", "license", "licence"], "pii.document"),
    (&["firstname", "lastname", "surname", "forename", "fullname"], "pii.name"),
    (&["birth", "birthday", "birthdate", "dob", "born"], "pii.birth"),
    (&["iban"], "finance.iban"),
    (&["pan", "cardnumber", "creditcard"], "finance.pan"),
    (&["salary", "income", "wage"], "pii.income"),
    (&["password", "passwd", "pwd", "secret", "token", "apikey"], "secret"),
];

/// Words of comments that speak of protection.
const NOTED: [&str; 6] = ["pii", "personal", "sensitive", "confidential", "private", "gdpr"];

/// A tag for a column, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    pub schema: String,
    pub table: String,
    pub column: String,
    pub tags: BTreeSet<Tag>,
    /// What speaks for it: `name`, `comment`, `security label`, `values`.
    pub because: BTreeSet<&'static str>,
    /// Values looked at, and how many of them are of a proposed class; nothing where none could be read.
    pub sampled: usize,
    pub matched: usize,
    /// The configuration tags the column already.
    pub is_tagged: bool,
}

/// Whether values are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Samples {
    Taken,
    None,
}

/// Proposes tags for the columns of a target's database.
///
/// # Errors
/// Why the target cannot be read, in words.
pub async fn classify(target: &Target, credential: Credential, samples: Samples) -> Result<Vec<Proposal>, String> {
    let dialer = Dialer::new(Deadlines::STANDARD.dial);
    let side = Side::open(&dialer, target, &target.database, &credential).await;
    let mut side = side.map_err(|error| error.to_string())?;
    let path = target.search_path.as_slice();
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let catalog = side.ask(async |client| catalog::load(client, path, 1).await).await;
    let catalog = catalog.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let notes = side.ask(async |client| notes(client).await).await;
    let notes = notes.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let patterns: Vec<&String> = target.columns.keys().collect();
    let known = patterns.iter().filter_map(|pattern| sluice_sql::Sensitive::resolve(&catalog, &[pattern]).ok());
    let known: Vec<sluice_sql::Sensitive> = known.collect();
    let specs: Result<Vec<Spec>, _> = BUILTINS.iter().map(|name| Spec::builtin(name)).collect();
    let detectors = specs.and_then(|specs| Detectors::compile(&specs)).map_err(|error| failed(&error))?;
    let mut proposals = Vec::new();
    for (relation, column) in columns(&catalog) {
        let mut proposal = named(relation, column, notes.get(&(relation.oid, i32::from(column.attnum))));
        proposal.is_tagged = known.iter().any(|known| known.get(relation.oid, column.attnum).is_some());
        if samples == Samples::Taken && holds_text(column) {
            let values = side.ask(async |client| sample(client, relation, column).await).await;
            // A column that the role may not read is judged by its name.
            let values = values.map_err(|error| failed(&error))?.unwrap_or_default();
            look_at(&values, &detectors, &mut proposal);
        }
        if !proposal.tags.is_empty() || proposal.is_tagged {
            proposals.push(proposal);
        }
    }
    Ok(proposals)
}

fn columns(catalog: &Catalog) -> impl Iterator<Item = (&Relation, &Column)> {
    let holds = |relation: &&Relation| {
        matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign)
    };
    let mut relations: Vec<&Relation> = catalog.relations().into_iter().filter(holds).collect();
    relations.sort_by_key(|relation| (&relation.schema, &relation.name));
    relations.into_iter().flat_map(|relation| relation.columns.iter().map(move |column| (relation, column)))
}

/// Comments and labels by column: the text, and the provider of a label.
type Notes = BTreeMap<(u32, i32), Vec<(String, Option<String>)>>;

async fn notes(client: &Client) -> Result<Notes, LoadError> {
    let mut notes = Notes::new();
    for row in client.query(NOTES, &[]).await? {
        notes.entry((row.try_get(0)?, row.try_get(1)?)).or_default().push((row.try_get(2)?, row.try_get(3)?));
    }
    Ok(notes)
}

async fn sample(client: &Client, relation: &Relation, column: &Column) -> Result<Vec<String>, LoadError> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (name, schema, table) = (quoted(&column.name), quoted(&relation.schema), quoted(&relation.name));
    let sql = format!(
        "SELECT pg_catalog.left({name}::pg_catalog.text, {SAMPLED_CHARACTERS}) FROM {schema}.{table} \
         WHERE {name} IS NOT NULL LIMIT {SAMPLED}"
    );
    let rows = client.query(&sql, &[]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Text, JSON and whole numbers, in which the detectors find something.
fn holds_text(column: &Column) -> bool {
    matches!(column.type_oid, 20 | 25 | 114 | 1042 | 1043 | 1700 | 3802) || column.type_name.ends_with(".citext")
}

/// What a column's name and notes say.
fn named(relation: &Relation, column: &Column, notes: Option<&Vec<(String, Option<String>)>>) -> Proposal {
    let mut tags = BTreeSet::new();
    let mut because = BTreeSet::new();
    let words = words(&column.name);
    let speaks = |wanted: &&str| words.iter().any(|word| word == wanted);
    for (wanted, tag) in NAMES {
        if wanted.iter().any(speaks) && tags_with(&mut tags, tag) {
            because.insert("name");
        }
    }
    for (text, provider) in notes.into_iter().flatten() {
        let lower = text.to_ascii_lowercase();
        let mut said = lower.split(|letter: char| !letter.is_ascii_alphanumeric());
        match provider.as_deref() {
            // A label of ours is a tag.
            Some("sluice") if tags_with(&mut tags, text) => drop(because.insert("security label")),
            Some(_) if tags_with(&mut tags, "pii") => drop(because.insert("security label")),
            None if said.any(|word| NOTED.contains(&word)) && tags_with(&mut tags, "pii") => {
                because.insert("comment");
            }
            Some(_) | None => {}
        }
    }
    Proposal {
        schema: relation.schema.to_string(),
        table: relation.name.to_string(),
        column: column.name.to_string(),
        tags,
        because,
        sampled: 0,
        matched: 0,
        is_tagged: false,
    }
}

fn tags_with(tags: &mut BTreeSet<Tag>, name: &str) -> bool {
    Tag::new(name).is_ok_and(|tag| {
        tags.insert(tag);
        true
    })
}

/// The words of a name, in lower case: `eMail_address` is `e`, `mail`, `email`, `address`, and neighbours together.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_lower = false;
    for letter in name.chars() {
        let begins = letter.is_uppercase() && was_lower || words.is_empty();
        was_lower = letter.is_lowercase();
        if !letter.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        if begins {
            words.push(String::new());
        }
        words.last_mut().into_iter().for_each(|word| word.extend(letter.to_lowercase()));
    }
    words.retain(|word| !word.is_empty());
    let pairs: Vec<String> = words.windows(2).map(<[String]>::concat).collect();
    words.extend(pairs);
    words
}

/// The classes that are found in a value.
#[derive(Default)]
struct Classes(BTreeSet<Tag>);

impl Cover for Classes {
    fn cover(&mut self, found: &Found<'_>, _: &mut String) {
        self.0.extend(found.tags().cloned());
    }
}

fn look_at(values: &[String], detectors: &Detectors, proposal: &mut Proposal) {
    let mut counts: BTreeMap<Tag, usize> = BTreeMap::new();
    for value in values {
        let mut classes = Classes::default();
        scrub(detectors, detectors.everything(), value, &mut classes, &mut String::new());
        for class in classes.0 {
            let count = counts.entry(class).or_default();
            *count = count.saturating_add(1);
        }
    }
    proposal.sampled = values.len();
    for (class, count) in counts {
        if count.saturating_mul(ONE_IN) >= values.len() {
            proposal.matched = proposal.matched.max(count);
            proposal.tags.insert(class);
            proposal.because.insert("values");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(words("eMail"), ["e", "mail", "email"]);
        assert_eq!(words("first_name"), ["first", "name", "firstname"]);
        assert_eq!(words("SSN"), ["ssn"]);
        assert_eq!(words("homePhone2"), ["home", "phone2", "homephone2"]);
        assert_eq!(words("_"), [""; 0]);
    }

    #[test]
    fn a_class_needs_one_value_in_ten() {
        let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
        let detectors = Detectors::compile(&specs).unwrap();
        let with = |emails: usize, others: usize| {
            let mut values = vec!["someone@example.com".to_owned(); emails];
            values.extend(vec!["nothing".to_owned(); others]);
            let mut proposal = Proposal {
                schema: String::new(),
                table: String::new(),
                column: String::new(),
                tags: BTreeSet::new(),
                because: BTreeSet::new(),
                sampled: 0,
                matched: 0,
                is_tagged: false,
            };
            look_at(&values, &detectors, &mut proposal);
            (proposal.tags.len(), proposal.matched, proposal.sampled)
        };
        assert_eq!(with(1, 9), (1, 1, 10));
        assert_eq!(with(1, 10), (0, 0, 11));
        assert_eq!(with(0, 0), (0, 0, 0));
    }
}
