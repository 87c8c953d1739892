//! What `sluice grants` prints: privileges for the login role that hold the masks even where the broker does not.

use sluice_sql::{Relation, RelationKind, Sensitive};
use sluice_wire::Credential;

use crate::check::read;
use crate::dial::Dialer;
use crate::serve::Deadlines;
use crate::target::Target;
use crate::view::View;

/// SQL that lets a target's login role read everything but its tagged columns, one statement a line, for each database of the target.
///
/// # Errors
/// Why the target cannot be read, in words.
pub async fn grants(target: &Target, credential: Credential) -> Result<Vec<String>, String> {
    let dialer = Dialer::new(Deadlines::STANDARD.dial);
    let mut lines = Vec::new();
    for database in std::iter::once(&target.database).chain(&target.databases) {
        let view = read(&dialer, target, database, &credential).await;
        let (view, _) = view.map_err(|error| format!("database `{database}`: {error}"))?;
        lines.push(format!("\\connect {}", quoted(database)));
        lines.extend(of_view(&view, &credential.user));
    }
    Ok(lines)
}

fn of_view(view: &View, role: &str) -> Vec<String> {
    let role = quoted(role);
    let readable = |relation: &&Relation| {
        matches!(
            relation.kind,
            RelationKind::Table
                | RelationKind::Partitioned
                | RelationKind::View
                | RelationKind::Materialized
                | RelationKind::Foreign
        )
    };
    let mut relations: Vec<&Relation> = view.catalog.relations().into_iter().filter(readable).collect();
    relations.sort_by_key(|relation| (&relation.schema, &relation.name));
    let mut schemas: Vec<&str> = relations.iter().map(|relation| &*relation.schema).collect();
    schemas.dedup();
    let usage = schemas.iter().map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {role};", quoted(schema)));
    usage.chain(relations.into_iter().flat_map(|relation| of_relation(relation, &view.sensitive, &role))).collect()
}

/// A privilege on the whole relation would cover every column, so it goes first.
fn of_relation(relation: &Relation, sensitive: &Sensitive, role: &str) -> Vec<String> {
    let name = format!("{}.{}", quoted(&relation.schema), quoted(&relation.name));
    let open: Vec<String> = relation
        .columns
        .iter()
        .filter(|column| sensitive.get(relation.oid, column.attnum).is_none())
        .map(|column| quoted(&column.name))
        .collect();
    if open.len() == relation.columns.len() {
        return vec![format!("GRANT SELECT ON {name} TO {role};")];
    }
    let revoke = format!("REVOKE SELECT ON {name} FROM {role}, PUBLIC;");
    let grant = (!open.is_empty()).then(|| format!("GRANT SELECT ({}) ON {name} TO {role};", open.join(", ")));
    std::iter::once(revoke).chain(grant).collect()
}

/// An identifier as SQL and psql read it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
