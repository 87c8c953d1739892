//! Statements that create, change or drop objects, or look after the server.

use pg_query::{Node, NodeEnum};

use super::Walk;
use super::statement::Done;
use super::taint::Taint;
use crate::access::{Object, Verb};
use crate::analysis::Kind;
use crate::{Relation, census};

impl<'a> Walk<'a> {
    /// DDL and upkeep; what is in neither list is unknown.
    pub(super) fn definition(&mut self, inner: &'a NodeEnum, node: &'a Node) -> Done {
        self.found.changes_catalog = true;
        let kind = if let Some(schema) = defined_in(inner) {
            self.define_in(schema);
            Kind::Define
        } else if defines(inner) {
            self.access(Verb::Define, Object::Target);
            Kind::Define
        } else if administers(inner) {
            self.access(Verb::Administer, Object::Target);
            Kind::Administer
        } else {
            self.access(Verb::Unknown, Object::Target);
            self.misunderstood();
            Kind::Other
        };
        self.guard_sensitive(node);
        Done::opaque(kind)
    }

    /// Something is created in a schema, or in the first of the path.
    pub(super) fn define_in(&mut self, schema: &str) {
        self.found.changes_catalog = true;
        let schema = if schema.is_empty() { self.path.first().map(String::as_str) } else { Some(schema) };
        match schema {
            Some(schema) => self.access(Verb::Define, Object::Schema(schema.into())),
            None => self.access(Verb::Define, Object::Target),
        }
    }

    /// DDL that names a relation can copy a protected column into another (`ALTER TABLE … USING`, generated columns, triggers), or
    /// take its protection away (`RENAME`): it counts as a use of every sensitive column there.
    fn guard_sensitive(&mut self, node: &'a Node) {
        let Some(names) = census::relations(node) else {
            self.misunderstood();
            return;
        };
        for (schema, name) in names {
            let found: Vec<&Relation> = if schema.is_empty() {
                self.path.iter().filter_map(|schema| self.catalog.relation(schema, &name)).collect()
            } else {
                self.catalog.relation(&schema, &name).into_iter().collect()
            };
            for relation in found {
                self.guard(relation);
            }
        }
    }

    fn guard(&mut self, relation: &Relation) {
        let columns: Taint =
            self.sensitive.in_relation(relation.oid).fold(Taint::default(), |t, id| t.with(&Taint::of(id)));
        self.leave(&columns);
        self.found.touches_sensitive |= !columns.is_empty();
        if let Some(view) = self.sensitive.view(relation.oid) {
            let all = view.columns.iter().chain([&view.decides]).collect();
            self.leave(&all);
        }
    }
}

/// The schema that a definition names by a relation; empty where it is the first of the path.
#[expect(clippy::wildcard_enum_match_arm, reason = "other definitions name no relation")]
fn defined_in(node: &NodeEnum) -> Option<&str> {
    let relation = match node {
        NodeEnum::CreateStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::CreateForeignTableStmt(stmt) => stmt.base_stmt.as_ref().and_then(|base| base.relation.as_ref()),
        NodeEnum::AlterTableStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::IndexStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::RuleStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::CreateTrigStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::CreatePolicyStmt(stmt) => stmt.table.as_ref(),
        NodeEnum::AlterPolicyStmt(stmt) => stmt.table.as_ref(),
        NodeEnum::CreateSeqStmt(stmt) => stmt.sequence.as_ref(),
        NodeEnum::AlterSeqStmt(stmt) => stmt.sequence.as_ref(),
        NodeEnum::RenameStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::RefreshMatViewStmt(stmt) => stmt.relation.as_ref(),
        NodeEnum::CompositeTypeStmt(stmt) => stmt.typevar.as_ref(),
        NodeEnum::CreateSchemaStmt(stmt) if !stmt.schemaname.is_empty() => return Some(&stmt.schemaname),
        _ => None,
    };
    relation.map(|relation| relation.schemaname.as_str())
}

const fn defines(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::CreateStmt(_)
            | NodeEnum::CreateSchemaStmt(_)
            | NodeEnum::CreateForeignTableStmt(_)
            | NodeEnum::AlterTableStmt(_)
            | NodeEnum::AlterDomainStmt(_)
            | NodeEnum::AlterCollationStmt(_)
            | NodeEnum::AlterTypeStmt(_)
            | NodeEnum::AlterEnumStmt(_)
            | NodeEnum::AlterFunctionStmt(_)
            | NodeEnum::AlterOperatorStmt(_)
            | NodeEnum::AlterOpFamilyStmt(_)
            | NodeEnum::AlterStatsStmt(_)
            | NodeEnum::AlterSeqStmt(_)
            | NodeEnum::AlterPolicyStmt(_)
            | NodeEnum::AlterObjectSchemaStmt(_)
            | NodeEnum::AlterObjectDependsStmt(_)
            | NodeEnum::AlterTsdictionaryStmt(_)
            | NodeEnum::AlterTsconfigurationStmt(_)
            | NodeEnum::CommentStmt(_)
            | NodeEnum::CompositeTypeStmt(_)
            | NodeEnum::CreateCastStmt(_)
            | NodeEnum::CreateConversionStmt(_)
            | NodeEnum::CreateDomainStmt(_)
            | NodeEnum::CreateEnumStmt(_)
            | NodeEnum::CreateFunctionStmt(_)
            | NodeEnum::CreateOpClassStmt(_)
            | NodeEnum::CreateOpFamilyStmt(_)
            | NodeEnum::CreatePolicyStmt(_)
            | NodeEnum::CreateRangeStmt(_)
            | NodeEnum::CreateSeqStmt(_)
            | NodeEnum::CreateStatsStmt(_)
            | NodeEnum::CreateTransformStmt(_)
            | NodeEnum::CreateTrigStmt(_)
            | NodeEnum::DefineStmt(_)
            | NodeEnum::DropStmt(_)
            | NodeEnum::IndexStmt(_)
            | NodeEnum::RefreshMatViewStmt(_)
            | NodeEnum::RenameStmt(_)
            | NodeEnum::RuleStmt(_)
            | NodeEnum::SecLabelStmt(_)
    )
}

const fn administers(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::AlterDatabaseStmt(_)
            | NodeEnum::AlterDatabaseRefreshCollStmt(_)
            | NodeEnum::AlterDatabaseSetStmt(_)
            | NodeEnum::AlterDefaultPrivilegesStmt(_)
            | NodeEnum::AlterEventTrigStmt(_)
            | NodeEnum::AlterExtensionContentsStmt(_)
            | NodeEnum::AlterExtensionStmt(_)
            | NodeEnum::AlterFdwStmt(_)
            | NodeEnum::AlterForeignServerStmt(_)
            | NodeEnum::AlterOwnerStmt(_)
            | NodeEnum::AlterPublicationStmt(_)
            | NodeEnum::AlterRoleSetStmt(_)
            | NodeEnum::AlterRoleStmt(_)
            | NodeEnum::AlterSubscriptionStmt(_)
            | NodeEnum::AlterSystemStmt(_)
            | NodeEnum::AlterTableMoveAllStmt(_)
            | NodeEnum::AlterTableSpaceOptionsStmt(_)
            | NodeEnum::AlterUserMappingStmt(_)
            | NodeEnum::CheckPointStmt(_)
            | NodeEnum::ClusterStmt(_)
            | NodeEnum::CreateAmStmt(_)
            | NodeEnum::CreateEventTrigStmt(_)
            | NodeEnum::CreateExtensionStmt(_)
            | NodeEnum::CreateFdwStmt(_)
            | NodeEnum::CreateForeignServerStmt(_)
            | NodeEnum::CreatePlangStmt(_)
            | NodeEnum::CreatePublicationStmt(_)
            | NodeEnum::CreateRoleStmt(_)
            | NodeEnum::CreateSubscriptionStmt(_)
            | NodeEnum::CreateTableSpaceStmt(_)
            | NodeEnum::CreateUserMappingStmt(_)
            | NodeEnum::CreatedbStmt(_)
            | NodeEnum::DropOwnedStmt(_)
            | NodeEnum::DropRoleStmt(_)
            | NodeEnum::DropSubscriptionStmt(_)
            | NodeEnum::DropTableSpaceStmt(_)
            | NodeEnum::DropUserMappingStmt(_)
            | NodeEnum::DropdbStmt(_)
            | NodeEnum::GrantRoleStmt(_)
            | NodeEnum::GrantStmt(_)
            | NodeEnum::ImportForeignSchemaStmt(_)
            | NodeEnum::LoadStmt(_)
            | NodeEnum::ReassignOwnedStmt(_)
            | NodeEnum::ReindexStmt(_)
            | NodeEnum::VacuumStmt(_)
    )
}
