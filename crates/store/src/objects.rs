//! Who made which objects at targets whose credential is shared.

use sluice_kernel::BoxFuture;
use sluice_model::{TargetName, UnixMicros};
use sluice_wire::Object;

use crate::StoreError;

/// Operations on owners of objects.
pub trait Owned: Send + Sync {
    /// Writes an owner down for each object that has none.
    fn claim_objects<'a>(
        &'a self,
        target: &'a TargetName,
        owner: &'a str,
        objects: &'a [Object],
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The owner of each object, in the same order.
    fn object_owners<'a>(
        &'a self,
        target: &'a TargetName,
        objects: &'a [Object],
    ) -> BoxFuture<'a, Result<Vec<Option<String>>, StoreError>>;
}
