//! FROM: what each entry exposes, and to whom.

use std::borrow::Cow;
use std::rc::Rc;

use pg_query::protobuf::{JoinExpr, RangeFunction, RangeSubselect, RangeTableSample};
use pg_query::{Node, NodeEnum};

use super::mention::Name;
use super::query::unnamed;
use super::relation::alias_names;
use super::scope::{Entry, Field, Row, Scope};
use super::taint::Taint;
use super::{Walk, word, words};
use crate::analysis::Sample;

/// What a list or an item of FROM exposes.
#[derive(Clone, Debug, Default)]
pub(super) struct From<'a> {
    pub(super) entries: Vec<Rc<Entry<'a>>>,
    /// What `*` stands for.
    pub(super) row: Row<'a>,
}

impl<'a> From<'a> {
    fn single(entry: Entry<'a>) -> Self {
        let row = entry.row.clone();
        Self { entries: vec![Rc::new(entry)], row }
    }
}

impl<'a> Walk<'a> {
    /// A FROM list: each item sees those before it where it is LATERAL.
    pub(super) fn from(&mut self, items: &'a [Node], outer: &Scope<'_, 'a>) -> From<'a> {
        let mut all = From::default();
        for item in items {
            let item = self.item(item, &all.entries, outer);
            all.entries.extend(item.entries);
            all.row.append(item.row);
            if !self.may_hold(all.entries.len()) {
                return From::default();
            }
        }
        all
    }

    /// One item; `beside` is what LATERAL makes visible.
    pub(super) fn item(&mut self, item: &'a Node, beside: &[Rc<Entry<'a>>], outer: &Scope<'_, 'a>) -> From<'a> {
        if !self.step() {
            return From::default();
        }
        match item.node.as_ref() {
            Some(NodeEnum::RangeVar(var)) => From::single(self.range(var, outer)),
            Some(NodeEnum::RangeSubselect(subselect)) => From::single(self.subselect(subselect, beside, outer)),
            Some(NodeEnum::RangeFunction(function)) => From::single(self.function_range(function, beside, outer)),
            Some(NodeEnum::RangeTableSample(sample)) => self.sample(sample, beside, outer),
            Some(NodeEnum::JoinExpr(join)) => self.join(join, beside, outer),
            _ => {
                self.misunderstood();
                From::default()
            }
        }
    }

    fn subselect(&mut self, sub: &'a RangeSubselect, beside: &[Rc<Entry<'a>>], outer: &Scope<'_, 'a>) -> Entry<'a> {
        let visible = if sub.lateral { beside.to_vec() } else { Vec::new() };
        let row = self.subquery(sub.subquery.as_deref(), &outer.below(visible));
        match sub.alias.as_ref() {
            Some(alias) => Entry {
                name: Some(Cow::Borrowed(&*alias.aliasname)),
                relation: None,
                aliased: true,
                direct: false,
                row: row.renamed(alias_names(Some(alias))),
            },
            None => unnamed(row),
        }
    }

    fn sample(&mut self, sample: &'a RangeTableSample, beside: &[Rc<Entry<'a>>], outer: &Scope<'_, 'a>) -> From<'a> {
        let place = sample.relation.as_deref().and_then(|relation| match relation.node.as_ref() {
            Some(NodeEnum::RangeVar(var)) => usize::try_from(var.location).ok(),
            _ => None,
        });
        match (place, usize::try_from(sample.location)) {
            (Some(relation), Ok(method)) => drop(self.found.samples.insert(Sample { relation, method })),
            _ => drop(self.misunderstood()),
        }
        let scope = outer.below(beside.to_vec());
        for argument in sample.args.iter().chain(sample.repeatable.as_deref()) {
            self.judge(argument, &scope);
        }
        match words(&sample.method).as_deref() {
            Some(["system" | "bernoulli"] | ["pg_catalog", "system" | "bernoulli"]) => {}
            _ => drop(self.misunderstood()),
        }
        match sample.relation.as_deref() {
            Some(relation) => self.item(relation, beside, outer),
            None => {
                self.misunderstood();
                From::default()
            }
        }
    }

    /// A function in FROM sees what stands before it, as if it were LATERAL.
    fn function_range(
        &mut self,
        function: &'a RangeFunction,
        beside: &[Rc<Entry<'a>>],
        outer: &Scope<'_, 'a>,
    ) -> Entry<'a> {
        let scope = outer.below(beside.to_vec());
        let alias = function.alias.as_ref();
        let single = function.functions.len() == 1;
        let mut row = Row::default();
        let mut name = None;
        for item in &function.functions {
            let Some(NodeEnum::List(pair)) = item.node.as_ref() else {
                self.misunderstood();
                continue;
            };
            let Some((call, definitions)) = pair.items.split_first() else { continue };
            name = name.or_else(|| called(call));
            let own = if single { alias.map(|alias| &*alias.aliasname) } else { None };
            let mut columns = self.call_in_from(call, own, &scope);
            let listed = match definitions.first().and_then(|list| list.node.as_ref()) {
                Some(NodeEnum::List(list)) => &list.items[..],
                _ => &[],
            };
            self.define_columns(listed, &mut columns);
            row.append(columns);
        }
        self.define_columns(&function.coldeflist, &mut row);
        if function.ordinality {
            row.fields.push(Field { name: Some(Cow::Borrowed("ordinality")), taint: row.all() });
        }
        Entry {
            name: alias.map(|alias| &*alias.aliasname).or(name).map(Cow::Borrowed),
            relation: None,
            aliased: true,
            direct: false,
            row: row.renamed(alias_names(alias)),
        }
    }

    /// `AS t(a int, b text)`: the columns are exactly these.
    fn define_columns(&mut self, definitions: &'a [Node], row: &mut Row<'a>) {
        if definitions.is_empty() {
            return;
        }
        let taint = row.all();
        let mut fields = Vec::with_capacity(definitions.len());
        for definition in definitions {
            match definition.node.as_ref() {
                Some(NodeEnum::ColumnDef(column)) => {
                    column.type_name.iter().for_each(|name| {
                        let _ = self.type_name(name);
                    });
                    fields.push(Field { name: Some(Cow::Borrowed(&*column.colname)), taint: taint.clone() });
                }
                _ => drop(self.misunderstood()),
            }
        }
        *row = Row { fields, open: None };
    }

    /// The columns of a call in FROM; `alias` names the only column of a scalar function.
    fn call_in_from(&mut self, node: &'a Node, alias: Option<&'a str>, scope: &Scope<'_, 'a>) -> Row<'a> {
        let Some(NodeEnum::FuncCall(call)) = node.node.as_ref() else {
            // CURRENT_DATE and the like may stand here; so may nothing else that is known.
            let taint = self.expr(node, scope);
            self.filter(&taint);
            return Row { fields: vec![Field { name: alias.map(Cow::Borrowed), taint }], open: None };
        };
        let steady = self.is_steady(call, scope);
        let taint = self.expr(node, scope);
        if !steady {
            // How many rows there are depends on the arguments.
            self.filter(&taint);
        }
        let scalar = alias.or_else(|| call.funcname.last().and_then(word));
        let scalar = Field { name: scalar.map(Cow::Borrowed), taint: taint.clone() };
        match self.function_columns(call) {
            None => Row::unknown(taint),
            Some("") => Row { fields: vec![scalar], open: None },
            Some("*") => Row { fields: vec![scalar], open: Some(taint) },
            Some(names) => {
                let one = !names.contains(',');
                let field = |name: &'static str| Field { name: Some(Cow::Borrowed(name)), taint: taint.clone() };
                // A single OUT column of a function is named by the alias like a scalar.
                let fields: Vec<_> =
                    if one && alias.is_some() { vec![scalar] } else { names.split(',').map(field).collect() };
                Row { fields, open: one.then(Taint::default) }
            }
        }
    }

    fn join(&mut self, join: &'a JoinExpr, beside: &[Rc<Entry<'a>>], outer: &Scope<'_, 'a>) -> From<'a> {
        let (Some(left), Some(right)) = (join.larg.as_deref(), join.rarg.as_deref()) else {
            self.misunderstood();
            return From::default();
        };
        let left = self.item(left, beside, outer);
        let mut visible = beside.to_vec();
        visible.extend(left.entries.iter().cloned());
        let right = self.item(right, &visible, outer);
        let joined = left.entries.len();
        let mut entries = left.entries;
        entries.extend(right.entries);
        let width = left.row.fields.len() + right.row.fields.len();
        if !self.may_hold(entries.len()) || !self.charge(width * (1 + join.using_clause.len())) {
            return From::default();
        }
        let using = self.joined_columns(join, &left.row, &right.row);
        let (on_left, on_right) = entries.split_at(joined.min(entries.len()));
        let (on_left, on_right) = (outer.below(on_left.to_vec()), outer.below(on_right.to_vec()));
        for name in &using {
            self.implied(&["="], self.type_in(&on_left, None, name), self.type_in(&on_right, None, name));
        }
        if let Some(condition) = &join.quals {
            let scope = outer.below(entries.clone());
            self.judge(condition, &scope);
        }
        if let Some(alias) = &join.join_using_alias {
            // Exactly the columns of USING, each of which may come from either side.
            let fields = using.iter().map(|name| merged(name, &left.row, &right.row)).collect();
            let row = Row { fields, open: None };
            entries.push(Rc::new(alias_entry(&alias.aliasname, row)));
        }
        let row = join_row(left.row, right.row, &using);
        match &join.alias {
            None => From { entries, row },
            Some(alias) => {
                // It hides the relations that it joins: their columns can be had under its name.
                self.mentioned(None, Name::Star);
                From::single(alias_entry(&alias.aliasname, row.renamed(alias_names(Some(alias)))))
            }
        }
    }

    /// The columns that USING or NATURAL equates: they decide which rows match.
    fn joined_columns(&mut self, join: &'a JoinExpr, left: &Row<'a>, right: &Row<'a>) -> Vec<Cow<'a, str>> {
        let names: Vec<Cow<'a, str>> = if join.is_natural {
            let certain = left.open.is_none() && right.open.is_none();
            let all_named = left.fields.iter().chain(&right.fields).all(|field| field.name.is_some());
            if !certain || !all_named {
                self.filter(&left.all().with(&right.all()));
                self.mentioned(None, Name::Star);
            }
            let shared = |name: &Cow<'a, str>| right.fields.iter().any(|field| field.name.as_ref() == Some(name));
            left.fields.iter().filter_map(|field| field.name.clone()).filter(shared).collect()
        } else {
            words(&join.using_clause).unwrap_or_default().into_iter().map(Cow::Borrowed).collect()
        };
        for name in &names {
            self.mentioned(None, Name::Word(name));
            for side in [left, right] {
                self.filter(&side.named(name).any());
            }
        }
        names
    }
}

fn alias_entry<'a>(name: &'a str, row: Row<'a>) -> Entry<'a> {
    Entry { name: Some(Cow::Borrowed(name)), relation: None, aliased: true, direct: false, row }
}

/// The column that USING makes of one on either side.
fn merged<'a>(name: &Cow<'a, str>, left: &Row<'a>, right: &Row<'a>) -> Field<'a> {
    let taint = left.named(name).any().with(&right.named(name).any());
    Field { name: Some(name.clone()), taint }
}

/// `*` of a join: merged columns first, then what is left of either side.
fn join_row<'a>(left: Row<'a>, right: Row<'a>, using: &[Cow<'a, str>]) -> Row<'a> {
    // Which columns are merged, and so how many there are, is only certain where every name is.
    let is_certain = |side: &Row<'a>| side.open.is_none() && side.fields.iter().all(|field| field.name.is_some());
    let certain = using.is_empty() || is_certain(&left) && is_certain(&right);
    let everything = (!certain).then(|| left.all().with(&right.all()));
    let is_merged = |field: &Field<'a>| field.name.as_ref().is_some_and(|name| using.contains(name));
    let mut row = Row::default();
    row.fields.extend(using.iter().map(|name| merged(name, &left, &right)));
    for side in [left, right] {
        let open = side.open.clone();
        row.append(Row { fields: side.fields.into_iter().filter(|field| !is_merged(field)).collect(), open });
    }
    if let Some(everything) = everything {
        row.open.get_or_insert_default().add(&everything);
    }
    row
}

/// The name of a called function, which names its entry of FROM.
fn called(call: &Node) -> Option<&str> {
    match call.node.as_ref() {
        Some(NodeEnum::FuncCall(call)) => call.funcname.last().and_then(word),
        _ => None,
    }
}
