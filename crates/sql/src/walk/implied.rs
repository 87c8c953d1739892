//! Which operator stands behind a construct: `CASE x WHEN y` looks `=` up by name, ORDER BY asks the type for its order.
//!
//! A user's operator only counts where the types of the operands may lead the server to it: `=` of a user's type does not make every
//! `=` of the database one.

use pg_query::protobuf::{AExpr, ColumnRef, a_const};
use pg_query::{Node, NodeEnum};

use super::scope::Scope;
use super::{Walk, words};
use crate::Relation;
use crate::access::{Object, Verb};
use crate::catalog::Operator;

/// Types of the server that have `=` and `<` of their own.
const ORDERED: [u32; 23] =
    [16, 17, 18, 19, 20, 21, 23, 25, 26, 27, 700, 701, 829, 869, 1042, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950];

/// Types of the server that have comparisons with each other.
const FAMILIES: [&[u32]; 3] = [&[20, 21, 23], &[700, 701], &[1082, 1114, 1184]];

/// What is known of the type of an operand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Known(u32),
    /// A literal takes the type of the other operand.
    Adapts,
    /// The client may have declared it to be of any type.
    Parameter,
    Unknown,
}

/// Types below this belong to the server and are the same in every database.
const FIRST_USER_TYPE: u32 = 16_384;

/// What the server calls its types besides the names that the grammar makes of keywords, which it qualifies.
const SERVER_TYPES: [&str; 45] = [
    "text",
    "name",
    "oid",
    "date",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "xml",
    "inet",
    "cidr",
    "macaddr",
    "money",
    "point",
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regnamespace",
    "regrole",
    "regconfig",
    "regdictionary",
    "regcollation",
    "tsvector",
    "tsquery",
    "xid",
    "xid8",
    "tid",
    "pg_lsn",
    "record",
    "int4range",
    "char",
    "bool",
    "bpchar",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "numeric",
    "timestamptz",
    "timetz",
    "varchar",
];

impl Type {
    /// The server finds an operator of its own, and takes it before any other.
    fn has_own(self, other: Self) -> bool {
        match (self, other) {
            (Self::Known(left), Self::Known(right)) => {
                let related = || FAMILIES.iter().any(|family| family.contains(&left) && family.contains(&right));
                left == right && ORDERED.contains(&left) || related()
            }
            (Self::Known(of), Self::Adapts) | (Self::Adapts, Self::Known(of)) => ORDERED.contains(&of),
            (Self::Adapts, Self::Adapts) => true,
            (Self::Unknown | Self::Parameter, _) | (_, Self::Unknown | Self::Parameter) => false,
        }
    }
}

impl<'a> Walk<'a> {
    /// Operators that a construct looks up by name, for operands of these types.
    pub(super) fn implied(&mut self, names: &[&str], left: Type, right: Type) {
        for name in names {
            self.named_operator(None, name, left, right);
        }
    }

    /// Judges a user's operators of a name; `true` if one that is not harmless may be meant.
    pub(super) fn named_operator(&mut self, schema: Option<&str>, name: &str, left: Type, right: Type) -> bool {
        // The server's own operators of its own types come first, unless the path says otherwise.
        let server_first = is_comparison(name) && !self.path.iter().any(|schema| schema == "pg_catalog");
        if schema.is_none() && server_first && left.has_own(right) {
            return false;
        }
        let mine = |own: &&Operator| match schema {
            None => {
                let hidden = server_first && Type::Known(own.left).has_own(Type::Known(own.right));
                !hidden && self.is_in_path(&own.schema) && self.may_be(left, own.left) && self.may_be(right, own.right)
            }
            Some(schema) => *own.schema == *schema,
        };
        let called: Vec<Box<str>> = self
            .catalog
            .operators(name)
            .iter()
            .filter(|own| !own.safe)
            .filter(mine)
            .map(|own| own.schema.as_str().into())
            .collect();
        for own in &called {
            self.access(Verb::Call, Object::Function(own.clone(), name.into()));
        }
        !called.is_empty()
    }

    /// Whether an operand may be of a type, or turn into it on its own.
    fn may_be(&self, operand: Type, of: u32) -> bool {
        match operand {
            Type::Known(known) => known == of || known >= FIRST_USER_TYPE || of < FIRST_USER_TYPE,
            Type::Adapts | Type::Parameter => true,
            Type::Unknown => of < FIRST_USER_TYPE || self.user_types,
        }
    }

    /// Notes the types of a relation's columns: a value of a user's type comes from one, or from a cast.
    pub(super) fn note_types(&mut self, relation: &Relation) {
        self.user_types |= relation.columns.iter().any(|column| column.type_oid >= FIRST_USER_TYPE);
    }

    /// Notes the type of a cast.
    pub(super) fn note_cast(&mut self, schema: Option<&str>, name: &str) {
        self.user_types |= match schema {
            Some(schema) => schema != "pg_catalog",
            None => !SERVER_TYPES.contains(&name),
        };
    }

    /// Sorting and grouping use what the type's own operator class says, whatever the path.
    pub(super) fn compared_by_class(&mut self, of: Type) {
        for name in ["=", "<"] {
            let calls = |own: &&Operator| {
                let same = own.left == own.right && !ORDERED.contains(&own.left);
                !own.safe && same && of != Type::Adapts && self.may_be(of, own.left)
            };
            let called: Vec<Box<str>> =
                self.catalog.operators(name).iter().filter(calls).map(|own| own.schema.as_str().into()).collect();
            for own in called {
                self.access(Verb::Call, Object::Function(own, name.into()));
            }
        }
    }

    /// The comparisons that an expression looks up besides, or instead of, the operator it spells.
    pub(super) fn compared(&mut self, expr: &'a AExpr, names: &[&str], scope: &Scope<'_, 'a>) {
        let left = self.type_of(expr.lexpr.as_deref(), scope);
        for right in self.types_within(expr.rexpr.as_deref(), scope) {
            self.implied(names, left, right);
        }
    }

    /// The types of the items of a list or array; of the value itself where it is neither.
    pub(super) fn types_within(&self, node: Option<&Node>, scope: &Scope<'_, 'a>) -> Vec<Type> {
        match node.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::List(list)) => list.items.iter().map(|item| self.type_of(Some(item), scope)).collect(),
            Some(NodeEnum::AArrayExpr(array)) => {
                array.elements.iter().map(|item| self.type_of(Some(item), scope)).collect()
            }
            Some(NodeEnum::TypeCast(cast)) if let Some(name) = &cast.type_name => {
                vec![words(&name.names).map_or(Type::Unknown, |names| builtin(&names))]
            }
            _ => vec![self.type_of(node, scope)],
        }
    }

    /// The type of a constant, a cast or a column of a table.
    pub(super) fn type_of(&self, node: Option<&Node>, scope: &Scope<'_, 'a>) -> Type {
        match node.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::ParamRef(_)) => Type::Parameter,
            Some(NodeEnum::AConst(constant)) => match &constant.val {
                None | Some(a_const::Val::Sval(_)) => Type::Adapts,
                Some(a_const::Val::Ival(_)) => Type::Known(23),
                Some(a_const::Val::Fval(_)) => Type::Known(1700),
                Some(a_const::Val::Boolval(_)) => Type::Known(16),
                Some(a_const::Val::Bsval(_)) => Type::Unknown,
            },
            Some(NodeEnum::TypeCast(cast)) => match &cast.type_name {
                Some(name) if name.array_bounds.is_empty() => {
                    words(&name.names).map_or(Type::Unknown, |names| builtin(&names))
                }
                _ => Type::Unknown,
            },
            Some(NodeEnum::ColumnRef(column)) => self.type_of_column(column, scope),
            _ => Type::Unknown,
        }
    }

    fn type_of_column(&self, column: &ColumnRef, scope: &Scope<'_, 'a>) -> Type {
        match words(&column.fields).as_deref() {
            Some([name]) => self.type_in(scope, None, name),
            Some([table, name]) => self.type_in(scope, Some(table), name),
            _ => Type::Unknown,
        }
    }

    /// The type of the one column of a name, where it is certain that it is a table's.
    pub(super) fn type_in(&self, scope: &Scope<'_, 'a>, table: Option<&str>, name: &str) -> Type {
        for level in scope.levels() {
            let in_table = level.entries.iter().filter(|entry| table.is_none_or(|table| entry.is_named(table)));
            let mut holders = in_table.filter(|entry| {
                let found = entry.row.named(name);
                found.sure.is_some() || found.maybe.is_some()
            });
            let Some(holder) = holders.next() else { continue };
            let at = holder.row.fields.iter().position(|field| field.name.as_deref() == Some(name));
            let column = holder.relation.zip(at).and_then(|(relation, at)| relation.columns.get(at));
            return match (column, holders.next()) {
                (Some(column), None) => Type::Known(column.type_oid),
                _ => Type::Unknown,
            };
        }
        Type::Unknown
    }
}

/// Operators that every type in [`ORDERED`] has.
fn is_comparison(name: &str) -> bool {
    matches!(name, "=" | "<>" | "<" | "<=" | ">" | ">=")
}

/// The server's own type of a name that the grammar or a person gives it.
fn builtin(names: &[&str]) -> Type {
    let name = match *names {
        ["pg_catalog", name] | [name] => name,
        _ => return Type::Unknown,
    };
    match name {
        "bool" => Type::Known(16),
        "int8" => Type::Known(20),
        "int2" => Type::Known(21),
        "int4" => Type::Known(23),
        "text" => Type::Known(25),
        "numeric" => Type::Known(1700),
        "date" => Type::Known(1082),
        "timestamp" => Type::Known(1114),
        "timestamptz" => Type::Known(1184),
        "uuid" => Type::Known(2950),
        _ => Type::Unknown,
    }
}
