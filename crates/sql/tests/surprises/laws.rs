//! What holds of every text: PostgreSQL's parser has the last word, nothing protected leaves, and a rewritten text does no more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sluice_model::Transform;
use sluice_sql::{
    Analysis, Catalog, ColumnMask, ColumnRow, FunctionRow, Kind, NoPrepared, RelationRow, Rows, Sensitive, Usage,
    analyze, rewrite,
};

const INTEGER: (u32, &str) = (23, "integer");
const TEXT: (u32, &str) = (25, "text");

/// A fixed catalog, and what is protected in it.
pub(crate) struct World {
    catalog: Catalog,
    sensitive: Sensitive,
}

fn relation(
    rows: &mut Rows,
    name: (&str, &str),
    kind: char,
    columns: &[(&str, (u32, &str))],
    definition: Option<&str>,
) {
    let oid = 20_000 + u32::try_from(rows.relations.len()).unwrap();
    let (schema, name) = (name.0.to_owned(), name.1.to_owned());
    rows.relations.push(RelationRow {
        oid,
        schema,
        name,
        kind,
        has_rules: false,
        definition: definition.map(str::to_owned),
    });
    for (attnum, (name, (type_oid, type_name))) in (1..).zip(columns) {
        let (name, type_name) = ((*name).to_owned(), (*type_name).to_owned());
        rows.columns.push(ColumnRow { relation: oid, attnum, name, type_oid: *type_oid, type_name, generated: false });
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let mut rows = Rows { database: "demo".into(), search_path: vec!["public".into()], ..Rows::default() };
        let person = [("id", INTEGER), ("name", TEXT), ("email", TEXT), ("ssn", TEXT), ("notes", TEXT)];
        let contact = [("id", INTEGER), ("contact", TEXT)];
        relation(&mut rows, ("public", "customers"), 'r', &person, None);
        relation(&mut rows, ("archive", "customers"), 'r', &person, None);
        let order = [("id", INTEGER), ("customer_id", INTEGER), ("total", (1700, "numeric"))];
        relation(&mut rows, ("public", "orders"), 'r', &order, None);
        let of_customers = Some(" SELECT customers.id,\n    customers.email AS contact\n   FROM public.customers;");
        relation(&mut rows, ("public", "v_contact"), 'v', &contact, of_customers);
        relation(&mut rows, ("public", "mv_contact"), 'm', &contact, of_customers);
        let of_contact = Some(" SELECT v.id,\n    v.contact AS shown\n   FROM public.v_contact v;");
        relation(&mut rows, ("public", "v_names"), 'v', &[("id", INTEGER), ("shown", TEXT)], of_contact);
        relation(&mut rows, ("public", "marker"), 'r', &[("n", INTEGER)], None);
        for (name, safe) in
            [("customer_line", false), ("get_customer", false), ("purge_orders", false), ("digest", true)]
        {
            rows.functions.push(FunctionRow {
                schema: "public".into(),
                name: name.into(),
                safe,
                extension: safe,
                texts: safe,
            });
        }
        let catalog = Catalog::build(rows, 1).unwrap();
        let sensitive = Sensitive::resolve(&catalog, &["*.customers.email", "*.customers.ssn"]).unwrap();
        Self { catalog, sensitive }
    }

    /// Reads a text; whether it could be.
    pub(crate) fn understand(&self, text: &str) -> bool {
        let Ok(analysis) = self.analyze(text) else { return false };
        assert!(parses(text), "PostgreSQL does not read what was understood: {text:?}");
        assert_eq!(self.analyze(text).as_ref(), Ok(&analysis), "read once more it is something else: {text:?}");
        assert!(analysis.accesses.is_sorted() && analysis.uses.is_sorted(), "out of order: {text:?}");
        let known = |used: &sluice_sql::ColumnUse| self.sensitive.get(used.oid, used.attnum).is_some();
        assert!(analysis.uses.iter().all(known), "a column that is not protected: {text:?}");
        assert!(analysis.uses.is_empty() || analysis.touches_sensitive, "used and not touched: {text:?}");
        true
    }

    /// Masks what a text shows, in each way; whether anything had to be.
    pub(crate) fn mask(&self, text: &str) -> bool {
        let Ok(analysis) = self.analyze(text) else { return false };
        let decides = |usage| matches!(usage, Usage::Filter | Usage::Leave);
        // No policy gets to allow these.
        if !analysis.refusals.is_empty() || analysis.uses.iter().any(|used| decides(used.usage)) {
            return false;
        }
        let ways = [Transform::Redact, Transform::Null, Transform::Partial { keep_last: 4 }];
        ways.iter().filter(|way| self.mask_by(way, text, &analysis)).count() > 0
    }

    fn mask_by(&self, transform: &Transform, text: &str, analysis: &Analysis) -> bool {
        let mask = |oid, attnum| ColumnMask { oid, attnum, transform: transform.clone(), filterable: false };
        let masks: Vec<ColumnMask> =
            self.sensitive.columns().iter().map(|column| mask(column.oid, column.attnum)).collect();
        let Ok(result) = rewrite(text, analysis, &self.catalog, &masks) else { return false };
        let shows = |usage| matches!(usage, Usage::Project | Usage::Derive);
        if result.text == text {
            // What a statement returns of the rows that it writes is not in a plan of it.
            let planned = analysis.statements.iter().any(|one| one.kind == Kind::Explain);
            let open = !planned
                && analysis.uses.iter().any(|used| shows(used.usage))
                && result.wire.iter().flatten().all(Option::is_none);
            assert!(!open, "a protected column leaves unmasked: {text:?}");
            return false;
        }
        assert!(parses(&result.text), "PostgreSQL does not read what was written: {text:?}\n{}", result.text);
        let again = self.analyze(&result.text);
        let again = again.unwrap_or_else(|error| panic!("{error}: {text:?}\n{}", result.text));
        let wider = again.accesses.iter().find(|access| !analysis.accesses.contains(access));
        assert_eq!(wider, None, "a rewritten text does more: {text:?}\n{}", result.text);
        assert_eq!(again.relations, analysis.relations, "{text:?}\n{}", result.text);
        assert_eq!(again.refusals, [], "{text:?}\n{}", result.text);
        let kinds = |analysis: &Analysis| analysis.statements.iter().map(|one| one.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&again), kinds(analysis), "{text:?}\n{}", result.text);
        // Only these two say nothing of a value; whether there is one may still be counted, and a view is masked from outside.
        let quiet = matches!(transform, Transform::Redact | Transform::Null);
        let silent = quiet && !["IS NOT NULL THEN", "\"v_", "\"mv_"].iter().any(|mark| result.text.contains(mark));
        let shown = again.uses.iter().find(|used| silent && shows(used.usage));
        assert_eq!(shown, None, "a protected column leaves a rewritten text: {text:?}\n{}", result.text);
        true
    }

    fn analyze(&self, text: &str) -> Result<Analysis, sluice_sql::Unreadable> {
        analyze(text, &self.catalog, &self.sensitive, &NoPrepared)
    }
}

fn parses(text: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| pg_query::parse(text, pg_query::ParserOptions::default()).is_ok()))
        .unwrap_or(false)
}
