//! Who made which objects at targets whose credential is shared.

use sluice_kernel::BoxFuture;
use sluice_model::{TargetName, UnixMicros};
use sluice_wire::{Made, Object};

use crate::StoreError;

/// Operations on owners of objects.
pub trait Owned: Send + Sync {
    /// Writes an owner down for each object that has none, and forgets those of what is over by now, a few at a time.
    fn claim_objects<'a>(
        &'a self,
        target: &'a TargetName,
        owner: &'a str,
        made: &'a [Made],
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The owner of each object, in the same order.
    fn object_owners<'a>(
        &'a self,
        target: &'a TargetName,
        objects: &'a [Object],
    ) -> BoxFuture<'a, Result<Vec<Option<String>>, StoreError>>;
}
