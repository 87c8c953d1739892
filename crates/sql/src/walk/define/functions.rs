//! Definitions that change what a function's name stands for, or name functions that run later.

use pg_query::protobuf::{
    AlterFunctionStmt, AlterObjectSchemaStmt, CreateFunctionStmt, CreateRangeStmt, DefElem, DefineStmt, DropStmt,
    ObjectType, RenameStmt,
};
use pg_query::{Node, NodeEnum};

use crate::access::{Object, Verb};
use crate::catalog::Function;
use crate::known;
use crate::walk::scope::Scope;
use crate::walk::{Walk, word, words};

/// Options of a definition that name a function.
const PROCEDURES: [&str; 6] = ["procedure", "function", "restrict", "join", "subtype_diff", "canonical"];

impl<'a> Walk<'a> {
    /// What the body does is asked of whoever calls it; the defaults of its parameters run with the call.
    pub(super) fn new_function(&mut self, stmt: &'a CreateFunctionStmt) {
        for parameter in &stmt.parameters {
            match parameter.node.as_ref() {
                Some(NodeEnum::FunctionParameter(parameter)) => {
                    parameter.defexpr.iter().for_each(|value| self.judge(value, &Scope::default()));
                }
                _ => drop(self.misunderstood()),
            }
        }
        match words(&stmt.funcname).as_deref() {
            Some([name]) => self.takes(None, name, stmt.replace),
            Some([schema, name]) => self.takes(Some(schema), name, stmt.replace),
            _ => drop(self.misunderstood()),
        }
        if let Some(body) = stmt.sql_body.as_deref() {
            self.unheard(|walk| walk.body(body));
        }
    }

    /// A function of an extension counts as harmless where it is immutable.
    pub(super) fn changes_function(&mut self, stmt: &'a AlterFunctionStmt) {
        let names = stmt.func.as_ref().map(|function| function.objname.as_slice()).unwrap_or_default();
        let name = names.last().and_then(word).unwrap_or_default();
        let of_extension = self.catalog.functions(name).iter().any(|own| own.extension);
        if of_extension && sets(&stmt.actions, "volatility") {
            self.access(Verb::Administer, Object::Target);
        }
        self.changed_by_name(names);
    }

    pub(super) fn renames(&mut self, stmt: &'a RenameStmt) {
        match kind(stmt.rename_type) {
            Kind::Function => {
                let names = stmt.object.as_deref().map(object_name).unwrap_or_default();
                self.changed_by_name(names);
                let schema = names.split_last().and_then(|(_, before)| before.last()).and_then(word);
                self.takes(schema, &stmt.newname, false);
            }
            Kind::Schema => self.changed_in(&stmt.subname),
            Kind::Other => {}
        }
    }

    pub(super) fn moves(&mut self, stmt: &'a AlterObjectSchemaStmt) {
        if kind(stmt.object_type) == Kind::Function {
            let names = stmt.object.as_deref().map(object_name).unwrap_or_default();
            self.changed_by_name(names);
            self.takes(Some(&stmt.newschema), names.last().and_then(word).unwrap_or_default(), false);
        }
    }

    /// Another may be made in the place of what is dropped.
    pub(super) fn drops(&mut self, stmt: &'a DropStmt) {
        for object in &stmt.objects {
            match kind(stmt.remove_type) {
                Kind::Function => self.changed_by_name(object_name(object)),
                Kind::Schema => self.changed_in(word(object).unwrap_or_default()),
                Kind::Other => {}
            }
        }
    }

    /// An aggregate is called like a function; an operator finds its function by the types of its operands.
    pub(super) fn defines_by_functions(&mut self, stmt: &'a DefineStmt) {
        match ObjectType::try_from(stmt.kind) {
            Ok(ObjectType::ObjectAggregate) => match words(&stmt.defnames).as_deref() {
                Some([name]) => self.takes(None, name, stmt.replace),
                Some([schema, name]) => self.takes(Some(schema), name, stmt.replace),
                _ => drop(self.misunderstood()),
            },
            Ok(ObjectType::ObjectOperator) if !self.sensitive.is_empty() => self.named_procedures(&stmt.definition),
            _ => {}
        }
    }

    /// Its values are compared and put in order by what it names.
    pub(super) fn new_range(&mut self, stmt: &'a CreateRangeStmt) {
        self.named_procedures(&stmt.params);
        for option in options(&stmt.params).filter(|option| option.defname == "subtype") {
            if let Some(NodeEnum::TypeName(name)) = option.arg.as_deref().and_then(|arg| arg.node.as_ref()) {
                let _ = self.type_name(name);
            }
        }
    }

    fn named_procedures(&mut self, definition: &'a [Node]) {
        for option in options(definition).filter(|option| PROCEDURES.contains(&option.defname.as_str())) {
            match option.arg.as_deref().and_then(|arg| arg.node.as_ref()) {
                Some(NodeEnum::TypeName(name)) => self.procedure(&name.names),
                Some(NodeEnum::List(list)) => self.procedure(&list.items),
                _ => drop(self.misunderstood()),
            }
        }
    }

    fn procedure(&mut self, names: &'a [Node]) {
        match words(names).as_deref() {
            Some([name]) => drop(self.function(None, name)),
            Some([schema, name]) => drop(self.function(Some(schema), name)),
            _ => drop(self.misunderstood()),
        }
    }

    /// A function gets a name. Whoever calls one of that name may run it from now on, whatever it does: where columns are tagged, who
    /// defines it is asked for the call. One that takes the place of an extension's would count as harmless.
    fn takes(&mut self, schema: Option<&str>, name: &'a str, replaces: bool) {
        let of = schema.or(self.creating).or_else(|| self.path.first().map(String::as_str)).unwrap_or_default();
        let known = self.catalog.functions(name);
        let is_meant =
            |own: &&Function| of.is_empty() || own.schema == of || self.is_in_path(of) && self.is_in_path(&own.schema);
        let meant: Vec<&Function> = known.iter().filter(is_meant).collect();
        if replaces && meant.iter().any(|own| own.extension) {
            self.access(Verb::Administer, Object::Target);
        }
        let taken = !meant.is_empty() || known::server_function(name).is_some();
        if taken && !self.sensitive.is_empty() {
            self.access(Verb::Call, Object::Function(of.into(), name.into()));
        }
    }

    /// A function that others may run does something else from now on, or another may take its name.
    fn changed_by_name(&mut self, names: &'a [Node]) {
        if self.sensitive.is_empty() {
            return;
        }
        let (schema, name) = match words(names).as_deref() {
            Some([name]) => (None, *name),
            Some([schema, name]) => (Some(*schema), *name),
            _ => return drop(self.misunderstood()),
        };
        let is_meant = |own: &&Function| schema.map_or_else(|| self.is_in_path(&own.schema), |of| own.schema == of);
        let own: Vec<_> = self.catalog.functions(name).iter().filter(is_meant).map(|own| own.schema.as_str()).collect();
        let server = schema.is_none_or(|schema| schema == "pg_catalog") && known::server_function(name).is_some();
        for of in own.into_iter().chain(server.then_some("pg_catalog")) {
            self.access(Verb::Call, Object::Function(of.into(), name.into()));
        }
    }

    /// Every function of a schema.
    fn changed_in(&mut self, schema: &str) {
        if self.sensitive.is_empty() {
            return;
        }
        for name in self.catalog.functions_of(schema) {
            self.access(Verb::Call, Object::Function(schema.into(), name.into()));
        }
    }

    /// A function that will be called by what is defined.
    pub(super) fn called_by_name(&mut self, name: &'a [Node]) {
        match words(name).as_deref() {
            Some([name]) => self.called_in_path(name),
            Some([schema, name]) => self.access(Verb::Call, Object::Function((*schema).into(), (*name).into())),
            _ => drop(self.misunderstood()),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Function,
    Schema,
    Other,
}

fn kind(of: i32) -> Kind {
    match ObjectType::try_from(of) {
        Ok(
            ObjectType::ObjectFunction
            | ObjectType::ObjectProcedure
            | ObjectType::ObjectRoutine
            | ObjectType::ObjectAggregate,
        ) => Kind::Function,
        Ok(ObjectType::ObjectSchema) => Kind::Schema,
        _ => Kind::Other,
    }
}

/// The name of a function that comes with its arguments.
fn object_name(object: &Node) -> &[Node] {
    match object.node.as_ref() {
        Some(NodeEnum::ObjectWithArgs(function)) => &function.objname,
        _ => &[],
    }
}

fn options(definition: &[Node]) -> impl Iterator<Item = &DefElem> {
    definition.iter().filter_map(|option| match option.node.as_ref() {
        Some(NodeEnum::DefElem(option)) => Some(&**option),
        _ => None,
    })
}

/// An option of this name is among them.
fn sets(definition: &[Node], name: &str) -> bool {
    options(definition).any(|option| option.defname == name)
}
