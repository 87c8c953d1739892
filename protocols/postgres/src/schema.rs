//! The verbs, resources and facts of SQL, as policies see them.

use sluice_model::{FactGroup, FactSpec, FactType, Resource, ResourceSpec, Schema, fact};

const TARGET: &str = Resource::TARGET;

/// Kinds of resource below a target.
pub(crate) const SCHEMA_KIND: &str = "Schema";
/// A table, view, materialised view or foreign table.
pub(crate) const TABLE: &str = "Table";
/// A column of a [`TABLE`].
pub(crate) const COLUMN: &str = "Column";
/// A function or procedure, all overloads of a name.
pub(crate) const FUNCTION: &str = "Function";
/// A run-time setting.
pub(crate) const SETTING: &str = "Setting";
/// A notification channel.
pub(crate) const CHANNEL: &str = "Channel";

/// The one group of facts: every operation is a statement.
pub(crate) const STMT: &str = "stmt";

sluice_model::actions! {
    CONNECT = "postgres.connect" Connect STMT on [TARGET] "Open a connection.";
    READ = "sql.read" Read STMT on [TABLE] "Read rows of a table or view.";
    DESCRIBE = "sql.describe" Read STMT on [TABLE, TARGET] "Read harmless catalog relations, as `\\d` does.";
    SESSION = "sql.session" Read STMT on [TARGET] "Transactions, cursors, SHOW, harmless SET.";
    WRITE = "sql.write" Write STMT on [TABLE] "Insert, update, delete, merge, truncate, or lock rows.";
    COPY_IN = "sql.copy_in" Write STMT on [TABLE] "COPY … FROM STDIN.";
    COPY_OUT = "sql.copy_out" Read STMT on [TABLE, TARGET] "COPY … TO STDOUT.";
    DEFINE = "sql.define" Define STMT on [TARGET, SCHEMA_KIND, TABLE, FUNCTION] "Create, alter, drop, comment.";
    ADMINISTER = "sql.administer" Administer STMT on [TARGET, TABLE, SCHEMA_KIND, FUNCTION] "Grants, roles, maintenance, extensions, server files.";
    INSPECT = "sql.inspect" Administer STMT on [TABLE, SETTING, TARGET] "Read catalogs that carry data: statistics, activity, passwords.";
    CALL = "sql.call" Execute STMT on [FUNCTION] "Call a function or procedure that is not on the safe list.";
    SET = "sql.set" Administer STMT on [SETTING] "Change a setting that is not on the safe list.";
    LISTEN = "sql.listen" Execute STMT on [CHANNEL] "LISTEN and NOTIFY on a channel, `pg_notify` of one that is named by a constant.";
    REPLICATE = "postgres.replicate" Administer STMT on [TARGET] "Each command of a replication connection: whole databases pass it, past every other rule.";
    UNKNOWN = "sql.unknown" Unknown STMT on [TARGET] "What could not be told: DO, and in a database without tagged columns every statement that is not understood.";
}

/// What the PostgreSQL protocol declares.
pub const SCHEMA: Schema = Schema {
    protocol: "postgres",
    version: 1,
    actions: ACTIONS,
    resources: &[
        ResourceSpec { kind: SCHEMA_KIND, within: TARGET, can_be: ResourceSpec::ANY, doc: "A schema." },
        ResourceSpec {
            kind: TABLE,
            within: SCHEMA_KIND,
            can_be: ResourceSpec::ANY,
            doc: "A table, view, materialised view or foreign table.",
        },
        ResourceSpec { kind: COLUMN, within: TABLE, can_be: ResourceSpec::ANY, doc: "A column." },
        ResourceSpec {
            kind: FUNCTION,
            within: SCHEMA_KIND,
            can_be: ResourceSpec::ANY,
            doc: "A function or procedure, all its overloads.",
        },
        ResourceSpec { kind: SETTING, within: TARGET, can_be: ResourceSpec::ANY, doc: "A run-time setting." },
        ResourceSpec { kind: CHANNEL, within: TARGET, can_be: ResourceSpec::ANY, doc: "A notification channel." },
    ],
    facts: &[FactGroup { name: STMT, facts: FACTS }],
};

const FACTS: &[FactSpec] = &[
    fact("kind", FactType::Text, "The headline statement: `select`, `update`, `drop`, …"),
    fact("kinds", FactType::Set, "Every kind of statement in the text, nested ones included."),
    fact("has_where", FactType::Bool, "Every UPDATE and DELETE has a WHERE, and there is no TRUNCATE."),
    fact("row_changing", FactType::Bool, "Rows may be inserted, updated or deleted."),
    fact("multi", FactType::Bool, "The text holds more than one statement."),
    fact("functions", FactType::Set, "Functions called, as `schema.name`; complete only if `parsed`."),
    fact("relations", FactType::Set, "Relations named, as `schema.name`; complete only if `parsed`."),
    fact(
        "parsed",
        FactType::Bool,
        "The text was understood; otherwise it is refused, or `sql.unknown` where no column of the database is tagged.",
    ),
];
