//! What `sluice check` finds out about a target.

use sluice_wire::{Credential, Finding};

use crate::catalog;
use crate::dial::{DialError, Dialer};
use crate::schemas::{SchemaError, tag};
use crate::serve::Deadlines;
use crate::side::{Side, SideError};
use crate::target::Target;
use crate::view::View;

/// Connects to a target's databases and resolves its tagged columns in each of them.
pub async fn check(target: &Target, credential: Option<Credential>) -> Vec<Finding> {
    let Some(credential) = credential else {
        return vec![Finding::Unchecked("there is no credential to connect with".to_owned())];
    };
    let dialer = Dialer::new(Deadlines::STANDARD.dial);
    let mut findings = Vec::new();
    for database in std::iter::once(&target.database).chain(&target.databases) {
        match read(&dialer, target, database, &credential).await {
            Ok(view) => findings.extend(resolved(database, &view)),
            Err(error) => findings.push(unresolved(database, &error)),
        }
    }
    findings
}

pub(crate) async fn read(
    dialer: &Dialer,
    target: &Target,
    database: &str,
    credential: &Credential,
) -> Result<View, SchemaError> {
    let mut side = Side::open(dialer, target, database, credential).await?;
    let path = target.search_path.as_slice();
    let catalog = side.ask(async |client| catalog::load(client, path, 1).await).await??;
    tag(catalog, target)
}

fn resolved(database: &str, view: &View) -> Vec<Finding> {
    let relations = view.catalog.relations().len();
    let reached = Finding::Resolved(format!("database `{database}` has {relations} relations"));
    let tagged = view.sensitive.columns().iter().map(|column| {
        let tags = column.patterns.iter().filter_map(|pattern| view.tags.get(*pattern)).flatten();
        let mut tags: Vec<&str> = tags.map(sluice_model::Tag::as_str).collect();
        tags.sort_unstable();
        tags.dedup();
        let (schema, table, column) = (&column.schema, &column.table, &column.column);
        Finding::Resolved(format!("`{schema}.{table}.{column}` in `{database}` is tagged {}", tags.join(", ")))
    });
    std::iter::once(reached).chain(tagged).collect()
}

fn unresolved(database: &str, error: &SchemaError) -> Finding {
    let line = format!("database `{database}`: {error}");
    match error {
        // A server that is down or slow says nothing about the configuration.
        SchemaError::Side(SideError::Failed)
        | SchemaError::Side(SideError::Dial(DialError::Unreachable | DialError::Late | DialError::Closed))
        | SchemaError::Late => Finding::Unchecked(line),
        SchemaError::Side(SideError::Dial(_)) | SchemaError::Load(_) | SchemaError::Missing(_) => Finding::Wrong(line),
    }
}
