//! The schema of the shared corpus, as a server would describe it.

use sluice_model::Transform;

use crate::{
    Analysis, Catalog, ColumnMask, ColumnRow, ForeignKeyRow, FunctionRow, NoPrepared, OperatorRow, RelationRow, Rows,
    RunRow, Sensitive, TypeRow, TypeRunRow, Unreadable, Usage, Verb, analyze, rewrite,
};

pub(super) const CUSTOMERS: u32 = 20_001;
pub(super) const ORDERS: u32 = 20_002;

/// What somebody may do who only reads.
pub(super) const READING: [Verb; 3] = [Verb::Read, Verb::Describe, Verb::Session];

/// A catalog and what is sensitive in it.
pub(super) struct World {
    pub(super) catalog: Catalog,
    pub(super) sensitive: Sensitive,
}

/// What a read-only principal is told.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Allowed,
    Rewritten(String),
    Refused(String),
}

struct Builder(Rows);

impl Builder {
    fn relation(&mut self, oid: u32, schema: &str, name: &str, kind: char, columns: &[(&str, u32, &str)]) {
        self.0.relations.push(RelationRow {
            oid,
            schema: schema.into(),
            name: name.into(),
            kind,
            has_rules: false,
            definition: None,
        });
        for (at, (column, type_oid, type_name)) in columns.iter().enumerate() {
            self.0.columns.push(ColumnRow {
                relation: oid,
                attnum: i16::try_from(at + 1).unwrap(),
                name: (*column).into(),
                type_oid: *type_oid,
                type_name: (*type_name).into(),
                generated: false,
            });
        }
    }

    fn defined(&mut self, definition: &str) {
        self.0.relations.last_mut().unwrap().definition = Some(definition.into());
    }

    fn functions(&mut self, schema: &str, safe: bool, names: &str) {
        let row =
            |name: &str| FunctionRow { schema: schema.into(), name: name.into(), safe, extension: safe, texts: safe };
        self.0.functions.extend(names.split(' ').map(row));
    }
}

const INT: (u32, &str) = (23, "integer");
/// A type of the user with operators of unknown behaviour.
const MOOD: u32 = 20_500;
const TEXT: (u32, &str) = (25, "text");

pub(super) fn catalog() -> Catalog {
    let mut rows = Builder(Rows { database: "demo".into(), search_path: vec!["public".into()], ..Rows::default() });
    let person = [
        ("id", INT.0, INT.1),
        ("name", TEXT.0, TEXT.1),
        ("email", TEXT.0, TEXT.1),
        ("ssn", TEXT.0, TEXT.1),
        ("notes", TEXT.0, TEXT.1),
    ];
    rows.relation(CUSTOMERS, "public", "customers", 'r', &person);
    let order = [("id", INT.0, INT.1), ("customer_id", INT.0, INT.1), ("total", 1700, "numeric")];
    rows.relation(ORDERS, "public", "orders", 'r', &order);
    let contact = [("id", INT.0, INT.1), ("contact", TEXT.0, TEXT.1)];
    rows.relation(20_003, "public", "v_contact", 'v', &contact);
    rows.defined(" SELECT customers.id,\n    customers.email AS contact\n   FROM public.customers;");
    rows.relation(20_004, "public", "mv_contact", 'm', &contact);
    rows.defined(" SELECT customers.id,\n    customers.email AS contact\n   FROM public.customers;");
    rows.relation(20_005, "public", "seq1", 'S', &[("last_value", 20, "bigint"), ("log_cnt", 20, "bigint")]);
    rows.relation(20_006, "archive", "customers", 'r', &person);
    rows.relation(20_007, "public", "customers_2024", 'r', &person);
    rows.0.inherits.push((20_007, CUSTOMERS));
    rows.relation(20_008, "public", "marker", 'r', &[("n", INT.0, INT.1)]);
    rows.relation(20_009, "public", "v_names", 'v', &[("id", INT.0, INT.1), ("shown", TEXT.0, TEXT.1)]);
    rows.defined(" SELECT v.id,\n    v.contact AS shown\n   FROM public.v_contact v;");
    rows.relation(20_010, "public", "v_orders", 'v', &[("id", INT.0, INT.1)]);
    rows.defined(" SELECT orders.id\n   FROM public.orders;");
    rows.relation(20_011, "public", "v_calls", 'v', &[("x", INT.0, INT.1)]);
    rows.defined(" SELECT public.purge_orders() AS x;");
    rows.relation(20_012, "public", "v_odd", 'v', &[("x", INT.0, INT.1)]);
    rows.relation(20_013, "public", "ruled", 'r', &[("n", INT.0, INT.1)]);
    rows.0.relations.last_mut().unwrap().has_rules = true;
    rows.relation(20_014, "public", "moods", 'r', &[("id", INT.0, INT.1), ("mood", MOOD, "public.mood")]);
    rows.relation(20_015, "public", "payments", 'r', &[("id", INT.0, INT.1), ("of_order", INT.0, INT.1)]);
    rows.relation(20_016, "public", "lines", 'r', &[("payment", INT.0, INT.1)]);
    rows.relation(20_017, "archive", "lines_old", 'r', &[("payment", INT.0, INT.1)]);
    rows.0.inherits.push((20_017, 20_016));
    let folded = [("id", INT.0, INT.1), ("email", TEXT.0, TEXT.1), ("folded", TEXT.0, TEXT.1), ("size", INT.0, INT.1)];
    rows.relation(20_018, "shop", "customers", 'r', &folded);
    rows.relation(20_019, "shop", "customers_old", 'r', &folded);
    rows.0.inherits.push((20_019, 20_018));
    // `folded` is made of `email`, and in the child `size` of `folded`.
    rows.0.generated.extend([(20_018, 3, 2), (20_019, 4, 3)]);
    // Whoever writes lines runs a trigger, and a default of its child.
    let runs =
        |relation, schema: &str, function: &str| RunRow { relation, schema: schema.into(), function: function.into() };
    rows.0.runs.extend([
        runs(20_016, "public", "note_ids"),
        runs(20_016, "public", "digest"),
        runs(20_016, "pg_catalog", "now"),
        runs(20_016, "pg_catalog", "nextval"),
        runs(20_017, "pg_catalog", "query_to_xml"),
        runs(20_008, "gone", "unknown"),
        runs(20_019, "pg_catalog", "set_config"),
    ]);
    rows.relation(20_020, "public", "v_lines", 'v', &[("payment", INT.0, INT.1)]);
    rows.defined(" SELECT lines.payment\n   FROM public.lines;");
    let checked = |name: &str, function: &str| TypeRunRow {
        of: TypeRow { schema: "public".into(), name: name.into() },
        schema: "pg_catalog".into(),
        function: function.into(),
    };
    rows.0.type_runs.extend([checked("probe", "pg_read_file"), checked("short", "length")]);
    let key = |relation, referenced, on_delete, on_update| ForeignKeyRow { relation, referenced, on_delete, on_update };
    rows.0.references.extend([
        key(20_015, ORDERS, 'a', 'r'),
        key(20_016, 20_015, 'a', 'a'),
        key(20_015, 20_015, 'a', 'a'),
        // Of a house its doors go, of a door its locks lose it; a lock follows the number of its door.
        key(20_022, 20_021, 'c', 'r'),
        key(20_023, 20_022, 'n', 'c'),
        key(20_021, 20_023, 'a', 'd'),
    ]);
    rows.relation(20_021, "public", "houses", 'r', &[("id", INT.0, INT.1)]);
    rows.relation(20_022, "public", "doors", 'r', &[("house", INT.0, INT.1)]);
    rows.relation(20_023, "public", "locks", 'r', &[("door", INT.0, INT.1)]);
    rows.0.runs.extend([runs(20_021, "of", "houses"), runs(20_022, "of", "doors"), runs(20_023, "of", "locks")]);
    rows.functions(
        "public",
        false,
        "customer_line get_customer purge_orders note_ids purge_proc crosstab get_raw_page dblink",
    );
    rows.functions("public", true, "digest encrypt similarity akeys");
    rows.functions("archive", false, "lower");
    rows.0.operators.push(OperatorRow {
        schema: "public".into(),
        name: "===".into(),
        safe: false,
        left: 25,
        right: 25,
    });
    rows.0.operators.push(OperatorRow { schema: "public".into(), name: "?".into(), safe: true, left: 3802, right: 25 });
    for name in ["=", "<", "<=", ">", ">="] {
        let (schema, name) = ("public".into(), name.into());
        rows.0.operators.push(OperatorRow { schema, name, safe: false, left: MOOD, right: MOOD });
    }
    Catalog::build(rows.0, 1).unwrap()
}

pub(super) fn world() -> World {
    let catalog = catalog();
    let sensitive = Sensitive::resolve(&catalog, &["*.customers.email", "*.customers.ssn"]).unwrap();
    World { catalog, sensitive }
}

impl World {
    pub(super) fn analyze(&self, text: &str) -> Result<Analysis, Unreadable> {
        analyze(text, &self.catalog, &self.sensitive, &NoPrepared)
    }

    pub(super) fn masks(&self) -> Vec<ColumnMask> {
        let mask = |column: &crate::SensitiveColumn| ColumnMask {
            oid: column.oid,
            attnum: column.attnum,
            transform: Transform::Redact,
            filterable: false,
        };
        self.sensitive.columns().iter().map(mask).collect()
    }

    /// A principal that may read, describe and steer its session, and sees sensitive columns masked.
    pub(super) fn ask(&self, text: &str) -> Outcome {
        self.ask_as(text, &READING)
    }

    /// A principal that may do this, and sees sensitive columns masked.
    pub(super) fn ask_as(&self, text: &str, verbs: &[Verb]) -> Outcome {
        let analysis = match self.analyze(text) {
            Ok(analysis) => analysis,
            Err(unreadable) => return Outcome::Refused(unreadable.to_string()),
        };
        if let Some(refused) = analysis.refusals.first() {
            return Outcome::Refused(format!("{:?}", refused.reason));
        }
        if let Some(access) = analysis.accesses.iter().find(|access| !verbs.contains(&access.verb)) {
            return Outcome::Refused(format!("{} {:?}", access.verb.name(), access.object));
        }
        if let Some(used) = analysis.uses.iter().find(|used| matches!(used.usage, Usage::Filter | Usage::Leave)) {
            return Outcome::Refused(format!("filter {}.{}", used.table, used.column));
        }
        match rewrite(text, &analysis, &self.catalog, &self.masks()) {
            Err(unmaskable) => Outcome::Refused(unmaskable.to_string()),
            Ok(result) if result.text == text => Outcome::Allowed,
            Ok(result) => Outcome::Rewritten(result.text),
        }
    }

    /// Whether a text that is forwarded as it stands shows a sensitive value.
    pub(super) fn shows(&self, text: &str) -> bool {
        !self.analyze(text).unwrap().uses.is_empty()
    }
}
