//! Functions, operators and types: what they may do, and what becomes of their arguments.

use pg_query::protobuf::{FuncCall, TypeName, a_const};
use pg_query::{Node, NodeEnum};

use super::implied::Type;
use super::mention::Name;
use super::scope::Scope;
use super::taint::Taint;
use super::{Walk, words};
use crate::access::{Object, Usage, Verb};
use crate::analysis::Reason;
use crate::catalog::Function;
use crate::known::{self, Total};

/// Operators that build a value out of values, rather than deciding something.
const BUILDING: [&str; 6] = ["||", "->", "->>", "#>", "#>>", "#-"];

/// Which texts become a value of a type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fits {
    /// Any, without an error.
    Any,
    /// A mask does, and shows.
    Shown,
    Some,
}

/// Types that any text turns into without an error.
const TEXT_TYPES: [&str; 4] = ["text", "varchar", "bpchar", "name"];

/// Settings whose value is nobody's secret, besides those a session may change freely.
const READABLE: [&str; 12] = [
    "server_version",
    "server_version_num",
    "server_encoding",
    "search_path",
    "max_identifier_length",
    "integer_datetimes",
    "client_encoding",
    "standard_conforming_strings",
    "transaction_read_only",
    "default_transaction_read_only",
    "block_size",
    "is_superuser",
];

/// What a call is taken to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    total: Total,
    counts: bool,
    set: bool,
    texts: bool,
    /// Nothing is known of it.
    opaque: bool,
}

impl Class {
    const UNKNOWN: Self = Self { total: Total::Never, counts: false, set: false, texts: false, opaque: true };

    /// Raises no error that depends on the values of these arguments.
    pub(super) fn is_total(self, arguments: &[Node]) -> bool {
        match self.total {
            Total::Never => false,
            Total::Alone => arguments.len() == 1,
            Total::Steered => {
                arguments.iter().skip(1).all(|argument| literal(argument).is_some_and(|of| !of.starts_with('-')))
            }
            Total::Always => true,
        }
    }
}

impl<'a> Walk<'a> {
    /// Judges a function by name; one that is not known to be harmless becomes an access.
    pub(super) fn function(&mut self, schema: Option<&str>, name: &str) -> Class {
        self.found.functions.insert(name.into());
        let is_meant = |own: &&Function| schema.map_or_else(|| self.is_in_path(&own.schema), |of| own.schema == of);
        let user: Vec<&Function> = self.catalog.functions(name).iter().filter(is_meant).collect();
        let mut class = Class { total: Total::Always, counts: true, set: false, texts: true, opaque: false };
        for own in &user {
            class.texts &= own.texts;
            if !own.safe {
                class = Class::UNKNOWN;
                self.access(Verb::Call, Object::Function(own.schema.as_str().into(), name.into()));
            }
        }
        let known = match schema {
            None | Some("pg_catalog") => known::server_function(name),
            Some("information_schema") => known::server_function(&format!("information_schema.{name}")),
            Some(_) => None,
        };
        match known {
            // It only advances a sequence when a row is added; asked for otherwise, as it changes something.
            _ if self.stored && name == "nextval" && user.is_empty() && known.is_some() => Class::UNKNOWN,
            Some(known) if known.safe => {
                let total = if class.total == Total::Always { known.total } else { class.total };
                let texts = class.texts && known.texts;
                Class { total, counts: class.counts && known.counts, set: known.set, texts, opaque: class.opaque }
            }
            // A name the server does not have either is the user's function alone.
            None if !user.is_empty() => Class { opaque: class.opaque, texts: class.texts, ..Class::UNKNOWN },
            _ => {
                self.access(Verb::Call, Object::Function(schema.unwrap_or("pg_catalog").into(), name.into()));
                Class::UNKNOWN
            }
        }
    }

    /// Unqualified names are looked up in this schema, `pg_catalog` always among them.
    pub(super) fn is_in_path(&self, schema: &str) -> bool {
        schema == "pg_catalog" || self.path.iter().any(|own| own == schema)
    }

    /// The columns of a function in FROM: `None` where they are not known.
    pub(super) fn function_columns(&self, call: &FuncCall) -> Option<&'static str> {
        let names = words(&call.funcname)?;
        let known = match *names.as_slice() {
            [name] if self.catalog.functions(name).is_empty() => known::server_function(name),
            ["pg_catalog", name] => known::server_function(name),
            ["information_schema", name] => known::server_function(&format!("information_schema.{name}")),
            _ => None,
        };
        known.filter(|known| known.safe).map(|known| known.columns)
    }

    /// A call, with its ordering, filter and window.
    pub(super) fn call(&mut self, call: &'a FuncCall, scope: &Scope<'_, 'a>) -> Taint {
        self.visited.call(call);
        let Some(names) = words(&call.funcname) else { return self.misunderstood() };
        if let Some(taint) = self.field_notation(call, &names, scope) {
            return taint;
        }
        let steady = self.is_steady(call, scope);
        let mut taint = Taint::default();
        for argument in &call.args {
            taint.add(&self.expr(argument, scope));
        }
        for part in &call.agg_order {
            let ordered = self.expr(part, scope);
            self.filter(&ordered);
            // An ordered-set aggregate answers with values of what it sorts by.
            if call.agg_within_group {
                taint.add(&ordered);
            }
        }
        call.agg_filter.iter().for_each(|condition| self.judge(condition, scope));
        if let Some(window) = call.over.as_deref() {
            self.window(window, scope);
        }
        let class = match *names.as_slice() {
            ["current_setting"] | ["pg_catalog", "current_setting"] => self.read_setting(call),
            ["set_config"] | ["pg_catalog", "set_config"] => self.write_setting(call),
            ["pg_notify"] | ["pg_catalog", "pg_notify"] if self.server_call(call).is_some() => self.notify(call),
            [name] => self.function(None, name),
            [schema, name] => self.function(Some(schema), name),
            _ => {
                self.misunderstood();
                Class::UNKNOWN
            }
        };
        let plain = !call.agg_distinct && !call.func_variadic && !call.agg_within_group;
        if matches!(names.last(), Some(&("min" | "max"))) {
            let of = self.type_of(call.args.first(), scope);
            self.compared_by_class(of);
        }
        if class.counts && plain && call.over.is_none() && taint.is_verbatim() {
            self.found.counted.extend(taint.marks().iter().map(|mark| mark.column));
            return Taint::default();
        }
        if class.counts || call.agg_distinct || call.agg_within_group {
            self.filter(&taint);
        } else if class.set && steady {
            self.used(&taint, Usage::Derive);
        } else if class.set {
            self.filter(&taint);
        } else {
            self.taken(class, &call.args, &taint);
        }
        taint
    }

    /// What it means that a function is given these values and no row depends on it.
    pub(super) fn taken(&mut self, class: Class, arguments: &[Node], taint: &Taint) {
        if class.opaque {
            self.leave(taint);
        } else if class.is_total(arguments) {
            // The mask goes through it like the value would.
        } else if class.texts {
            self.used(taint, Usage::Derive);
        } else {
            self.filter(taint);
        }
    }

    /// A call that returns rows, none of which hides what it was given: as many as a row has columns; or, where they go to the client
    /// as they are, at least one that shows the mask.
    pub(super) fn is_steady(&self, call: &'a FuncCall, scope: &Scope<'_, 'a>) -> bool {
        let (Some(name), [argument]) = (self.server_call(call), call.args.as_slice()) else { return false };
        let Some(NodeEnum::FuncCall(inner)) = argument.node.as_ref() else { return false };
        match (name, self.server_call(inner), inner.args.as_slice()) {
            (
                "json_each" | "json_each_text" | "jsonb_each" | "jsonb_each_text",
                Some("to_json" | "to_jsonb" | "row_to_json"),
                [row],
            ) => self.whole_row(row, scope).is_some_and(|entry| entry.relation.is_some()),
            ("unnest", Some("string_to_array"), _) => self.shown,
            _ => false,
        }
    }

    /// The name of a call that can only be one of the server's own.
    fn server_call(&self, call: &'a FuncCall) -> Option<&'a str> {
        match *words(&call.funcname)?.as_slice() {
            [name] if self.catalog.functions(name).is_empty() => Some(name),
            ["pg_catalog", name] => Some(name),
            _ => None,
        }
    }

    /// `email(c)` is `c.email` where the server has no function of that name.
    fn field_notation(&mut self, call: &'a FuncCall, names: &[&str], scope: &Scope<'_, 'a>) -> Option<Taint> {
        let ([name], [value]) = (names, call.args.as_slice()) else { return None };
        if known::server_function(name).is_some() || !self.catalog.functions(name).is_empty() {
            return None;
        }
        let entry = self.whole_row(value, scope)?;
        let field = entry.row.named(name).sure?;
        let Some(NodeEnum::ColumnRef(column)) = value.node.as_ref() else { return None };
        if call.over.is_some() || call.agg_filter.is_some() || !call.agg_order.is_empty() {
            return None;
        }
        self.visited.column(column);
        self.mentioned(None, Name::Word(entry.name.as_deref().unwrap_or_default()));
        Some(field)
    }

    /// `current_setting('x')` of a setting that may be shown.
    fn read_setting(&mut self, call: &FuncCall) -> Class {
        let readable = call.args.first().and_then(literal).is_some_and(|name| is_readable(&name.to_ascii_lowercase()));
        if readable {
            self.found.functions.insert("current_setting".into());
            return Class::UNKNOWN;
        }
        self.function(Some("pg_catalog"), "current_setting")
    }

    /// `set_config('x', 'v', _)` is `SET x = 'v'`, judged the same where both are literals. Whatever may be a pinned setting is
    /// taken for one.
    fn write_setting(&mut self, call: &FuncCall) -> Class {
        if self.stored {
            // It would run in somebody else's session, whenever.
            self.refuse(Reason::PinnedSetting, None);
        } else if let [name, value, _] = call.args.as_slice()
            && let (Some(name), Some(value)) = (literal(name), literal(value))
            && self.may_set(&name.to_ascii_lowercase(), &[value])
        {
            self.access(Verb::Session, Object::Target);
            return Class::UNKNOWN;
        }
        match call.args.first().and_then(literal) {
            Some(name) => self.refuse_pinned(&name.to_ascii_lowercase()),
            None => self.refuse(Reason::PinnedSetting, None),
        }
        self.function(Some("pg_catalog"), "set_config")
    }

    /// `pg_notify('x', _)` is `NOTIFY x`, whose payload leaves the statement for whoever listens.
    fn notify(&mut self, call: &FuncCall) -> Class {
        let class = match call.args.first().and_then(literal) {
            Some(channel) => {
                self.access(Verb::Listen, Object::Channel(channel.into()));
                self.found.functions.insert("pg_notify".into());
                Class::UNKNOWN
            }
            None => self.function(Some("pg_catalog"), "pg_notify"),
        };
        Class { opaque: true, ..class }
    }

    /// Judges an operator on operands of these types; `true` if it builds its value out of its operands.
    pub(super) fn operator(&mut self, name: &'a [Node], left: Type, right: Type) -> bool {
        let Some(names) = words(name) else {
            self.misunderstood();
            return false;
        };
        let (schema, name) = match *names.as_slice() {
            [name] => (None, name),
            [schema, name] => (Some(schema), name),
            _ => {
                self.misunderstood();
                return false;
            }
        };
        let known = schema.is_none_or(|schema| {
            schema == "pg_catalog" || self.catalog.operators(name).iter().any(|own| own.schema == schema)
        });
        if !known {
            self.access(Verb::Call, Object::Function(schema.unwrap_or_default().into(), name.into()));
        }
        let any_unsafe = self.named_operator(schema, name, left, right);
        !any_unsafe && BUILDING.contains(&name)
    }

    /// A constant, or a word that is taken for one, as in `geometry(Point, 4326)`.
    fn modifies(&mut self, typmod: &'a Node) -> bool {
        match typmod.node.as_ref() {
            Some(NodeEnum::AConst(_)) => true,
            Some(NodeEnum::ColumnRef(word)) if words(&word.fields).is_some_and(|names| names.len() == 1) => {
                self.visited.column(word);
                true
            }
            _ => false,
        }
    }

    /// Judges a type: what a cast to it makes of a text.
    pub(super) fn type_name(&mut self, name: &'a TypeName) -> Fits {
        let Some(names) = words(&name.names) else {
            self.misunderstood();
            return Fits::Some;
        };
        if name.setof || name.pct_type || !name.typmods.iter().all(|typmod| self.modifies(typmod)) {
            self.misunderstood();
        }
        let (schema, base) = match *names.as_slice() {
            [base] => (None, base),
            [schema, base] => (Some(schema), base),
            _ => {
                self.misunderstood();
                return Fits::Some;
            }
        };
        self.note_cast(schema, base);
        let risky: Vec<Box<str>> = self
            .catalog
            .risky_types(base)
            .iter()
            .filter(|own| schema.map_or_else(|| self.is_in_path(own), |schema| *own == schema))
            .map(|own| own.as_str().into())
            .collect();
        for own in risky {
            self.access(Verb::Call, Object::Function(own, base.into()));
        }
        let server = schema.is_none_or(|schema| schema == "pg_catalog") && name.array_bounds.is_empty();
        match base {
            _ if !server => Fits::Some,
            "bytea" => Fits::Shown,
            base if TEXT_TYPES.contains(&base) => Fits::Any,
            _ => Fits::Some,
        }
    }
}

/// A setting whose value may be shown.
pub(super) fn is_readable(name: &str) -> bool {
    READABLE.contains(&name) || matches!(known::setting(name), Some(known::Setting::Free | known::Setting::Limit))
}

/// The text of a literal, through casts.
pub(super) fn literal(node: &Node) -> Option<String> {
    match node.node.as_ref() {
        Some(NodeEnum::AConst(constant)) => match constant.val.as_ref()? {
            a_const::Val::Sval(text) => Some(text.sval.clone()),
            a_const::Val::Ival(number) => Some(number.ival.to_string()),
            a_const::Val::Fval(number) => Some(number.fval.clone()),
            a_const::Val::Boolval(truth) => Some(if truth.boolval { "true" } else { "false" }.into()),
            a_const::Val::Bsval(_) => None,
        },
        Some(NodeEnum::TypeCast(cast)) => literal(cast.arg.as_deref()?),
        _ => None,
    }
}
