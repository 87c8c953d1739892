//! What `sluice check` finds out about a target.

use sluice_wire::{Credential, Finding};

use crate::catalog::{self, LoadError};
use crate::dial::{DialError, Dialer};
use crate::schemas::{SchemaError, tag};
use crate::serve::Deadlines;
use crate::side::{Side, SideError};
use crate::target::Target;
use crate::view::View;

const MISSING_ROLES: &str = "
SELECT DISTINCT wanted.name FROM pg_catalog.unnest($1::pg_catalog.text[]) AS wanted (name)
WHERE NOT EXISTS (
  SELECT FROM pg_catalog.pg_roles r
  WHERE r.rolname = wanted.name AND pg_catalog.pg_has_role(CURRENT_USER, r.oid, 'MEMBER'))";

/// Connects to a target's databases and resolves its tagged columns in each of them.
pub async fn check(target: &Target, credential: Option<Credential>) -> Vec<Finding> {
    let Some(credential) = credential else {
        return vec![Finding::Unchecked("there is no credential to connect with".to_owned())];
    };
    let dialer = Dialer::new(Deadlines::STANDARD.dial);
    let mut findings = Vec::new();
    for database in std::iter::once(&target.database).chain(&target.databases) {
        match read(&dialer, target, database, &credential).await {
            Ok((view, missing)) => {
                findings.extend(resolved(database, &view));
                let said =
                    |role| format!("the login role may not become `{role}` in `{database}`, or there is no such role");
                findings.extend(missing.into_iter().map(|role| Finding::Wrong(said(role))));
            }
            Err(error) => findings.push(unresolved(database, &error)),
        }
    }
    findings
}

/// The view of a database, and the configured roles that the login cannot have there.
pub(crate) async fn read(
    dialer: &Dialer,
    target: &Target,
    database: &str,
    credential: &Credential,
) -> Result<(View, Vec<String>), SchemaError> {
    let mut side = Side::open(dialer, target, database, credential).await?;
    let path = target.search_path.as_slice();
    let catalog = side.ask(async |client| catalog::load(client, path, 1).await).await??;
    let roles: Vec<&str> = target.roles.iter().map(|entry| entry.role.as_str()).collect();
    let missing =
        side.ask(async |client| client.query(MISSING_ROLES, &[&roles]).await).await?.map_err(LoadError::Query)?;
    let missing = missing.iter().filter_map(|row| row.try_get(0).ok()).collect();
    Ok((tag(catalog, target)?, missing))
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
