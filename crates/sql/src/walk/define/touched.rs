//! What a definition touches of the relations that it names: some only the columns that they name, others may take rows elsewhere,
//! or protection away.

use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, Constraint, CreateStmt, GrantStmt, GrantTargetType, IndexElem,
    IndexStmt, ObjectType, RangeVar, RenameStmt, VacuumStmt,
};
use pg_query::{Node, NodeEnum};

use crate::walk::word;

/// What a definition touches of one relation.
#[derive(Debug)]
pub(super) struct Touched<'a> {
    pub(super) relation: &'a RangeVar,
    /// `None` where it may be everything.
    pub(super) columns: Option<Vec<&'a str>>,
}

/// Everything that a definition of a known form touches; empty for any other form. Expressions are not among it.
#[expect(clippy::wildcard_enum_match_arm, reason = "of other forms nothing is known")]
pub(super) fn touched(node: &NodeEnum) -> Vec<Touched<'_>> {
    let mut found = Vec::new();
    match node {
        NodeEnum::CreateStmt(stmt) => created(stmt, &mut found),
        NodeEnum::AlterTableStmt(stmt) => altered(stmt, &mut found),
        NodeEnum::IndexStmt(stmt) => indexed(stmt, &mut found),
        NodeEnum::RenameStmt(stmt) => renamed(stmt, &mut found),
        NodeEnum::GrantStmt(stmt) => granted(stmt, &mut found),
        NodeEnum::VacuumStmt(stmt) => tended(stmt, &mut found),
        NodeEnum::ReindexStmt(stmt) => {
            found.extend(stmt.relation.iter().map(|relation| Touched { relation, columns: Some(Vec::new()) }));
        }
        _ => {}
    }
    found
}

/// The table is new; what it inherits from or is made like is touched as a whole.
fn created<'a>(stmt: &'a CreateStmt, found: &mut Vec<Touched<'a>>) {
    found.extend(stmt.relation.iter().map(|relation| Touched { relation, columns: None }));
    let mut own = Some(Vec::new());
    for part in stmt.table_elts.iter().chain(&stmt.constraints).chain(&stmt.nnconstraints) {
        part_of_table(part, &mut own, found);
    }
    for parent in &stmt.inh_relations {
        if let Some(NodeEnum::RangeVar(relation)) = parent.node.as_ref() {
            found.push(Touched { relation, columns: None });
        }
    }
}

fn altered<'a>(stmt: &'a AlterTableStmt, found: &mut Vec<Touched<'a>>) {
    let is_table = ObjectType::try_from(stmt.objtype) == Ok(ObjectType::ObjectTable);
    let mut own = is_table.then(Vec::new);
    for cmd in &stmt.cmds {
        match cmd.node.as_ref() {
            Some(NodeEnum::AlterTableCmd(cmd)) if touches_what_it_names(cmd) => {
                own.iter_mut().for_each(|own| own.push(cmd.name.as_str()));
                cmd.def.iter().for_each(|part| part_of_table(part, &mut own, found));
            }
            _ => own = None,
        }
    }
    found.extend(stmt.relation.iter().map(|relation| Touched { relation, columns: own.take() }));
}

fn touches_what_it_names(cmd: &AlterTableCmd) -> bool {
    matches!(
        AlterTableType::try_from(cmd.subtype),
        Ok(AlterTableType::AtAddColumn
            | AlterTableType::AtDropColumn
            | AlterTableType::AtAlterColumnType
            | AlterTableType::AtColumnDefault
            | AlterTableType::AtSetNotNull
            | AlterTableType::AtDropNotNull
            | AlterTableType::AtAddConstraint
            | AlterTableType::AtDropConstraint)
    )
}

/// A column or constraint: the columns of its own table that it names, and other tables that it refers to.
fn part_of_table<'a>(part: &'a Node, own: &mut Option<Vec<&'a str>>, found: &mut Vec<Touched<'a>>) {
    match part.node.as_ref() {
        Some(NodeEnum::ColumnDef(column)) => {
            column.constraints.iter().for_each(|constraint| part_of_table(constraint, own, found));
        }
        Some(NodeEnum::Constraint(constraint)) => constrained(constraint, own, found),
        Some(NodeEnum::TableLikeClause(like)) => {
            found.extend(like.relation.iter().map(|relation| Touched { relation, columns: None }));
        }
        _ => {}
    }
}

fn constrained<'a>(constraint: &'a Constraint, own: &mut Option<Vec<&'a str>>, found: &mut Vec<Touched<'a>>) {
    // An index that is there is of any columns.
    if !constraint.indexname.is_empty() {
        *own = None;
    }
    let named = [&constraint.keys, &constraint.including, &constraint.fk_attrs, &constraint.fk_del_set_cols];
    let named = named.into_iter().flatten().filter_map(word);
    let excluded = constraint.exclusions.iter().filter_map(|exclusion| match exclusion.node.as_ref() {
        Some(NodeEnum::List(pair)) => pair.items.first().and_then(element),
        _ => None,
    });
    let excluded = excluded.map(|element| element.name.as_str());
    own.iter_mut().for_each(|own| own.extend(named.clone().chain(excluded.clone())));
    if let Some(relation) = &constraint.pktable {
        // Without names it is the primary key, of whatever columns that is.
        let columns = (!constraint.pk_attrs.is_empty()).then(|| constraint.pk_attrs.iter().filter_map(word).collect());
        found.push(Touched { relation, columns });
    }
}

fn indexed<'a>(stmt: &'a IndexStmt, found: &mut Vec<Touched<'a>>) {
    let elements = stmt.index_params.iter().chain(&stmt.index_including_params).filter_map(element);
    let columns = Some(elements.map(|element| element.name.as_str()).collect());
    found.extend(stmt.relation.iter().map(|relation| Touched { relation, columns: columns.clone() }));
}

fn element(node: &Node) -> Option<&IndexElem> {
    match node.node.as_ref() {
        Some(NodeEnum::IndexElem(element)) => Some(element),
        _ => None,
    }
}

/// A table by another name has no tags.
fn renamed<'a>(stmt: &'a RenameStmt, found: &mut Vec<Touched<'a>>) {
    let of_table = ObjectType::try_from(stmt.relation_type) == Ok(ObjectType::ObjectTable);
    let columns = match ObjectType::try_from(stmt.rename_type) {
        Ok(ObjectType::ObjectColumn) if of_table => Some(vec![stmt.subname.as_str(), stmt.newname.as_str()]),
        Ok(ObjectType::ObjectTabconstraint) => Some(Vec::new()),
        _ => None,
    };
    found.extend(stmt.relation.iter().map(|relation| Touched { relation, columns: columns.clone() }));
}

/// Rights on columns are on those that are named, and what is revoked shows nothing.
fn granted<'a>(stmt: &'a GrantStmt, found: &mut Vec<Touched<'a>>) {
    let on_tables = GrantTargetType::try_from(stmt.targtype) == Ok(GrantTargetType::AclTargetObject)
        && ObjectType::try_from(stmt.objtype) == Ok(ObjectType::ObjectTable);
    let mut columns = (on_tables && (!stmt.is_grant || !stmt.privileges.is_empty())).then(Vec::new);
    for privilege in stmt.privileges.iter().filter(|_| stmt.is_grant) {
        match privilege.node.as_ref() {
            Some(NodeEnum::AccessPriv(privilege)) if !privilege.cols.is_empty() => {
                columns.iter_mut().for_each(|columns| columns.extend(privilege.cols.iter().filter_map(word)));
            }
            _ => columns = None,
        }
    }
    for object in &stmt.objects {
        if let Some(NodeEnum::RangeVar(relation)) = object.node.as_ref() {
            found.push(Touched { relation, columns: columns.clone() });
        }
    }
}

/// Statistics are made of values.
fn tended<'a>(stmt: &'a VacuumStmt, found: &mut Vec<Touched<'a>>) {
    let analyzes =
        |option: &Node| !matches!(&option.node, Some(NodeEnum::DefElem(option)) if option.defname != "analyze");
    let counts = !stmt.is_vacuumcmd || stmt.options.iter().any(analyzes);
    for of in &stmt.rels {
        if let Some(NodeEnum::VacuumRelation(of)) = of.node.as_ref() {
            let columns = || (!counts && of.va_cols.is_empty()).then(Vec::new);
            found.extend(of.relation.iter().map(|relation| Touched { relation, columns: columns() }));
        }
    }
}
