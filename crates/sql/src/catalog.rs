//! An immutable snapshot of the names of one database.

use std::collections::{HashMap, HashSet};

use crate::dependents::Dependents;
use crate::known;

/// Functions of the server that do no more than rows that are written need.
const QUIET: [&str; 2] = ["nextval", "suppress_redundant_updates_trigger"];

/// What a server was asked for, as plain rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub database: String,
    /// The server keeps text in another encoding than UTF-8, and reads some names otherwise.
    pub recodes: bool,
    /// The schemas of the pinned `search_path`, in order, with `$user` already replaced.
    pub search_path: Vec<String>,
    pub relations: Vec<RelationRow>,
    pub columns: Vec<ColumnRow>,
    /// (child, parent) pairs of inheritance and partitioning.
    pub inherits: Vec<(u32, u32)>,
    /// (relation, generated column, column that it is made of), the columns by their numbers.
    pub generated: Vec<(u32, i16, i16)>,
    /// Functions that run when rows of a relation are written, by triggers, defaults and checks.
    pub runs: Vec<RunRow>,
    /// Functions that run when a value becomes one of a type, or is made of one; those of a type that it contains, too.
    pub type_runs: Vec<TypeRunRow>,
    pub references: Vec<ForeignKeyRow>,
    /// Functions, aggregates and procedures outside the server's own schemas.
    pub functions: Vec<FunctionRow>,
    /// Operators outside the server's own schemas.
    pub operators: Vec<OperatorRow>,
}

/// One relation outside the server's own schemas.
#[derive(Clone, Debug)]
pub struct RelationRow {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `pg_class.relkind`.
    pub kind: char,
    /// It has rewrite rules besides the one that makes a view.
    pub has_rules: bool,
    /// `pg_get_viewdef` under an empty search path, for views and materialised views.
    pub definition: Option<String>,
}

/// One column that is not dropped.
#[derive(Clone, Debug)]
pub struct ColumnRow {
    pub relation: u32,
    pub attnum: i16,
    pub name: String,
    pub type_oid: u32,
    /// As `format_type` prints it under an empty search path.
    pub type_name: String,
    /// Computed by the server, so that `COPY` of the whole relation leaves it out.
    pub generated: bool,
}

/// One function, aggregate or procedure.
#[derive(Clone, Debug)]
pub struct FunctionRow {
    pub schema: String,
    pub name: String,
    /// Part of an extension, and immutable or known to be harmless; or what the server made itself with a type.
    pub safe: bool,
    /// One of this name is part of an extension.
    pub extension: bool,
    /// Returns one text, bytes or JSON.
    pub texts: bool,
}

/// A user function, as analysis looks it up.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) schema: String,
    pub(crate) safe: bool,
    pub(crate) extension: bool,
    pub(crate) texts: bool,
}

/// One operator.
#[derive(Clone, Debug)]
pub struct OperatorRow {
    pub schema: String,
    pub name: String,
    /// Its function is part of an extension and immutable.
    pub safe: bool,
    /// The types of its operands; 0 on the side that has none.
    pub left: u32,
    pub right: u32,
}

/// One type.
#[derive(Clone, Debug)]
pub struct TypeRow {
    pub schema: String,
    pub name: String,
}

/// A function that runs when rows of a relation are written.
#[derive(Clone, Debug)]
pub struct RunRow {
    pub relation: u32,
    pub schema: String,
    pub function: String,
}

/// A foreign key, and what it does to the rows that refer to one that is deleted or changed.
#[derive(Clone, Copy, Debug)]
pub struct ForeignKeyRow {
    pub relation: u32,
    pub referenced: u32,
    /// `pg_constraint.confdeltype`.
    pub on_delete: char,
    /// `pg_constraint.confupdtype`.
    pub on_update: char,
}

/// A function that runs with a type: by the check or default of a domain, an input function, a cast, a range.
#[derive(Clone, Debug)]
pub struct TypeRunRow {
    pub of: TypeRow,
    pub schema: String,
    pub function: String,
}

/// A snapshot of names, immutable once built.
#[derive(Debug)]
pub struct Catalog {
    database: String,
    recodes: bool,
    search_path: Vec<String>,
    epoch: u64,
    relations: HashMap<u32, Relation>,
    by_name: HashMap<String, Vec<u32>>,
    functions: HashMap<String, Vec<Function>>,
    operators: HashMap<String, Vec<Operator>>,
    risky_types: HashMap<String, Vec<String>>,
    column_names: HashSet<String>,
    parents: HashMap<u32, Vec<u32>>,
    dependents: Dependents,
}

/// One user operator.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) schema: String,
    pub(crate) safe: bool,
    pub(crate) left: u32,
    pub(crate) right: u32,
}

/// One relation.
#[derive(Debug)]
pub struct Relation {
    pub oid: u32,
    pub schema: Box<str>,
    pub name: Box<str>,
    pub kind: RelationKind,
    pub has_rules: bool,
    pub definition: Option<Box<str>>,
    /// Columns in the order of their numbers, dropped ones left out.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    pub attnum: i16,
    pub name: Box<str>,
    pub type_oid: u32,
    pub type_name: Box<str>,
    pub generated: bool,
}

/// The kinds of relation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RelationKind {
    Table,
    Partitioned,
    View,
    Materialized,
    Foreign,
    Sequence,
    Composite,
}

/// Why rows do not make a catalog.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidCatalog {
    #[error("the search path names `$user`, which must be replaced by a schema")]
    UserInPath,
}

impl Catalog {
    /// Indexes rows. Columns of unknown relations and kinds that cannot be queried are left out.
    ///
    /// # Errors
    /// When the search path is not fixed.
    pub fn build(rows: Rows, epoch: u64) -> Result<Self, InvalidCatalog> {
        if rows.search_path.iter().any(|schema| schema == "$user") {
            return Err(InvalidCatalog::UserInPath);
        }
        let dependents = Dependents::of(&rows);
        let mut catalog = Self {
            database: rows.database,
            recodes: rows.recodes,
            search_path: rows.search_path,
            epoch,
            relations: HashMap::new(),
            by_name: HashMap::new(),
            functions: HashMap::new(),
            operators: HashMap::new(),
            risky_types: HashMap::new(),
            column_names: HashSet::new(),
            parents: HashMap::new(),
            dependents,
        };
        rows.relations.into_iter().for_each(|row| catalog.add_relation(row));
        rows.columns.into_iter().for_each(|row| catalog.add_column(row));
        for relation in catalog.relations.values_mut() {
            relation.columns.sort_by_key(|column| column.attnum);
        }
        for row in rows.functions {
            let FunctionRow { schema, name, safe, extension, texts } = row;
            catalog.functions.entry(name).or_default().push(Function { schema, safe, extension, texts });
        }
        for row in rows.operators {
            let OperatorRow { schema, name, safe, left, right } = row;
            catalog.operators.entry(name).or_default().push(Operator { schema, safe, left, right });
        }
        let checked = rows.type_runs.into_iter().filter(|row| !catalog.is_harmless(&row.schema, &row.function));
        let checked: Vec<TypeRow> = checked.map(|row| row.of).collect();
        for row in checked {
            catalog.risky_types.entry(row.name).or_default().push(row.schema);
        }
        let runs = rows.runs.into_iter().filter(|row| !catalog.is_harmless(&row.schema, &row.function)).collect();
        catalog.dependents.run(runs);
        for (child, parent) in rows.inherits {
            catalog.parents.entry(child).or_default().push(parent);
        }
        Ok(catalog)
    }

    /// The server keeps text in another encoding than UTF-8.
    #[must_use]
    pub const fn recodes(&self) -> bool {
        self.recodes
    }

    fn add_relation(&mut self, row: RelationRow) {
        let kind = match row.kind {
            'r' => RelationKind::Table,
            'p' => RelationKind::Partitioned,
            'v' => RelationKind::View,
            'm' => RelationKind::Materialized,
            'f' => RelationKind::Foreign,
            'S' => RelationKind::Sequence,
            'c' => RelationKind::Composite,
            _ => return,
        };
        if kind != RelationKind::Composite {
            self.by_name.entry(row.name.clone()).or_default().push(row.oid);
        }
        let relation = Relation {
            oid: row.oid,
            schema: row.schema.into(),
            name: row.name.into(),
            kind,
            has_rules: row.has_rules,
            definition: row.definition.map(Into::into),
            columns: Vec::new(),
        };
        self.relations.insert(row.oid, relation);
    }

    fn add_column(&mut self, row: ColumnRow) {
        let Some(relation) = self.relations.get_mut(&row.relation) else { return };
        if row.attnum <= 0 {
            return;
        }
        self.column_names.insert(row.name.clone());
        relation.columns.push(Column {
            attnum: row.attnum,
            name: row.name.into(),
            type_oid: row.type_oid,
            type_name: row.type_name.into(),
            generated: row.generated,
        });
    }

    /// The number of this snapshot; a larger one is newer.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The database it was taken of.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The pinned search path.
    #[must_use]
    pub fn search_path(&self) -> &[String] {
        &self.search_path
    }

    /// A relation by its oid.
    #[must_use]
    pub fn relation_by_oid(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// A relation by its schema and name.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        let oids = self.by_name.get(name)?;
        oids.iter().filter_map(|oid| self.relations.get(oid)).find(|relation| &*relation.schema == schema)
    }

    /// A column by its relation's oid and its number, as a `RowDescription` names it.
    #[must_use]
    pub fn column(&self, oid: u32, attnum: i16) -> Option<&Column> {
        let columns = &self.relations.get(&oid)?.columns;
        let at = columns.binary_search_by_key(&attnum, |column| column.attnum).ok()?;
        columns.get(at)
    }

    /// Every relation, in the order of their oids.
    #[must_use]
    pub fn relations(&self) -> Vec<&Relation> {
        let mut all: Vec<_> = self.relations.values().collect();
        all.sort_by_key(|relation| relation.oid);
        all
    }

    pub(crate) fn parents(&self, oid: u32) -> &[u32] {
        self.parents.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// What else is changed with a relation.
    pub(crate) const fn dependents(&self) -> &Dependents {
        &self.dependents
    }

    /// A function that may run whenever somebody writes: one that a query may call too, or that only advances a sequence.
    fn is_harmless(&self, schema: &str, function: &str) -> bool {
        let mut user = self.functions(function).iter().filter(|own| own.schema == schema).peekable();
        let known = || known::server_function(function).is_some_and(|known| known.safe);
        match schema {
            "pg_catalog" if user.peek().is_none() => known() || QUIET.contains(&function),
            _ => user.peek().is_some() && user.all(|own| own.safe),
        }
    }

    /// User functions of a name.
    pub(crate) fn functions(&self, name: &str) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of user functions of a schema.
    pub(crate) fn functions_of(&self, schema: &str) -> impl Iterator<Item = &str> {
        let all = self.functions.iter().filter(move |(_, own)| own.iter().any(|own| own.schema == schema));
        all.map(|(name, _)| name.as_str())
    }

    /// User operators of a name.
    pub(crate) fn operators(&self, name: &str) -> &[Operator] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    /// Schemas that hold a type of this name whose casts may run code.
    pub(crate) fn risky_types(&self, name: &str) -> &[String] {
        self.risky_types.get(name).map_or(&[], Vec::as_slice)
    }

    /// Some relation or composite type has a column of this name.
    pub(crate) fn has_column_named(&self, name: &str) -> bool {
        self.column_names.contains(name)
    }
}
