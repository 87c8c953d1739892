//! Owners of objects in SQLite.

use sluice_kernel::BoxFuture;
use sluice_model::{TargetName, UnixMicros};
use sluice_wire::Object;
use sqlx::Row as _;

use super::{Sqlite, boxed};
use crate::{Owned, StoreError};

impl Owned for Sqlite {
    fn claim_objects<'a>(
        &'a self,
        target: &'a TargetName,
        owner: &'a str,
        objects: &'a [Object],
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            for object in objects {
                // Whoever made it first keeps it: a server that reuses an id gives nothing away.
                sqlx::query(
                    "insert into objects (target, class, id, owner, made) values (?, ?, ?, ?, ?) \
                     on conflict (target, class, id) do nothing",
                )
                .bind(target.as_str())
                .bind(&object.class)
                .bind(&object.id)
                .bind(owner)
                .bind(now.0)
                .execute(&mut *change)
                .await?;
            }
            change.commit().await?;
            Ok(())
        })
    }

    fn object_owners<'a>(
        &'a self,
        target: &'a TargetName,
        objects: &'a [Object],
    ) -> BoxFuture<'a, Result<Vec<Option<String>>, StoreError>> {
        boxed(async move {
            let mut owners = Vec::with_capacity(objects.len());
            for object in objects {
                let query = sqlx::query("select owner from objects where target = ? and class = ? and id = ?");
                let row =
                    query.bind(target.as_str()).bind(&object.class).bind(&object.id).fetch_optional(&self.read).await?;
                owners.push(row.map(|row| row.try_get("owner")).transpose()?);
            }
            Ok(owners)
        })
    }
}
