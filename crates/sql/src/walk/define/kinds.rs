//! Which definitions stay within a database and its schemas, and which are an administrator's.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableCmd, AlterTableType, ObjectType, RangeVar};

/// Where a definition happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// In a schema by its name; empty for the first of the path.
    Schema(&'a str),
    /// Where the relation is that it names.
    Relation(&'a RangeVar),
}

/// The place that a definition names.
#[expect(clippy::wildcard_enum_match_arm, reason = "other definitions name no place")]
pub(super) fn place(node: &NodeEnum) -> Option<Place<'_>> {
    let (new, known) = match node {
        NodeEnum::CreateStmt(stmt) => (stmt.relation.as_ref(), None),
        NodeEnum::CreateSeqStmt(stmt) => (stmt.sequence.as_ref(), None),
        NodeEnum::CompositeTypeStmt(stmt) => (stmt.typevar.as_ref(), None),
        NodeEnum::AlterTableStmt(stmt) => (None, stmt.relation.as_ref()),
        NodeEnum::IndexStmt(stmt) => (None, stmt.relation.as_ref()),
        NodeEnum::RuleStmt(stmt) => (None, stmt.relation.as_ref()),
        NodeEnum::CreateTrigStmt(stmt) => (None, stmt.relation.as_ref()),
        NodeEnum::CreatePolicyStmt(stmt) => (None, stmt.table.as_ref()),
        NodeEnum::AlterPolicyStmt(stmt) => (None, stmt.table.as_ref()),
        NodeEnum::AlterSeqStmt(stmt) => (None, stmt.sequence.as_ref()),
        NodeEnum::RenameStmt(stmt) => (None, stmt.relation.as_ref()),
        NodeEnum::RefreshMatViewStmt(stmt) => (None, stmt.relation.as_ref()),
        NodeEnum::CreateSchemaStmt(stmt) if !stmt.schemaname.is_empty() => {
            return Some(Place::Schema(&stmt.schemaname));
        }
        _ => (None, None),
    };
    let new = new.map(|relation| Place::Schema(&relation.schemaname));
    new.or(known.map(Place::Relation))
}

/// A definition that is an administrator's for what it is done to.
#[expect(clippy::wildcard_enum_match_arm, reason = "other definitions are told by their node")]
pub(super) fn is_of_the_server(node: &NodeEnum) -> bool {
    let of = match node {
        NodeEnum::RenameStmt(stmt) => stmt.rename_type,
        NodeEnum::DropStmt(stmt) => stmt.remove_type,
        NodeEnum::AlterObjectSchemaStmt(stmt) => stmt.object_type,
        // A base type is made of functions that read and write memory.
        NodeEnum::DefineStmt(stmt) => {
            let of = ObjectType::try_from(stmt.kind);
            let is_base = of == Ok(ObjectType::ObjectType) && !stmt.definition.is_empty();
            return is_base || matches!(of, Ok(ObjectType::ObjectTsparser | ObjectType::ObjectTstemplate));
        }
        NodeEnum::AlterTableStmt(stmt) => {
            let of =
                |cmd: &pg_query::Node| matches!(&cmd.node, Some(NodeEnum::AlterTableCmd(cmd)) if administers_by(cmd));
            return stmt.cmds.iter().any(of);
        }
        _ => return false,
    };
    matches!(
        ObjectType::try_from(of),
        Err(_)
            | Ok(ObjectType::ObjectAccessMethod
                | ObjectType::ObjectConversion
                | ObjectType::ObjectDatabase
                | ObjectType::ObjectEventTrigger
                | ObjectType::ObjectExtension
                | ObjectType::ObjectFdw
                | ObjectType::ObjectForeignServer
                | ObjectType::ObjectLanguage
                | ObjectType::ObjectOpclass
                | ObjectType::ObjectOpfamily
                | ObjectType::ObjectPublication
                | ObjectType::ObjectRole
                | ObjectType::ObjectSubscription
                | ObjectType::ObjectTablespace
                | ObjectType::ObjectTransform
                | ObjectType::ObjectTsparser
                | ObjectType::ObjectTstemplate
                | ObjectType::ObjectUserMapping)
    )
}

/// Gives the table to somebody else, or points a foreign one elsewhere.
fn administers_by(cmd: &AlterTableCmd) -> bool {
    matches!(
        AlterTableType::try_from(cmd.subtype),
        Err(_)
            | Ok(AlterTableType::AtChangeOwner
                | AlterTableType::AtGenericOptions
                | AlterTableType::AtAlterColumnGenericOptions)
    )
}

pub(super) const fn defines(node: &NodeEnum) -> bool {
    matches!(
        node,
        NodeEnum::CreateStmt(_)
            | NodeEnum::CreateSchemaStmt(_)
            | NodeEnum::AlterTableStmt(_)
            | NodeEnum::AlterDomainStmt(_)
            | NodeEnum::AlterCollationStmt(_)
            | NodeEnum::AlterEnumStmt(_)
            | NodeEnum::AlterFunctionStmt(_)
            | NodeEnum::AlterOperatorStmt(_)
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
            | NodeEnum::CreateDomainStmt(_)
            | NodeEnum::CreateEnumStmt(_)
            | NodeEnum::CreateFunctionStmt(_)
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
    )
}

pub(super) const fn administers(node: &NodeEnum) -> bool {
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
            | NodeEnum::AlterOpFamilyStmt(_)
            | NodeEnum::AlterOwnerStmt(_)
            | NodeEnum::AlterPublicationStmt(_)
            | NodeEnum::AlterRoleSetStmt(_)
            | NodeEnum::AlterRoleStmt(_)
            | NodeEnum::AlterSubscriptionStmt(_)
            | NodeEnum::AlterSystemStmt(_)
            | NodeEnum::AlterTableMoveAllStmt(_)
            | NodeEnum::AlterTableSpaceOptionsStmt(_)
            | NodeEnum::AlterTypeStmt(_)
            | NodeEnum::AlterUserMappingStmt(_)
            | NodeEnum::CheckPointStmt(_)
            | NodeEnum::ClusterStmt(_)
            | NodeEnum::CreateAmStmt(_)
            | NodeEnum::CreateConversionStmt(_)
            | NodeEnum::CreateEventTrigStmt(_)
            | NodeEnum::CreateExtensionStmt(_)
            | NodeEnum::CreateFdwStmt(_)
            | NodeEnum::CreateForeignServerStmt(_)
            | NodeEnum::CreateForeignTableStmt(_)
            | NodeEnum::CreateOpClassStmt(_)
            | NodeEnum::CreateOpFamilyStmt(_)
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
            | NodeEnum::SecLabelStmt(_)
            | NodeEnum::VacuumStmt(_)
    )
}
