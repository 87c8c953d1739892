//! Owners of objects in SQLite.

use sluice_kernel::BoxFuture;
use sluice_model::{TargetName, UnixMicros};
use sluice_wire::{Made, Object};
use sqlx::Row as _;

use super::{Sqlite, boxed};
use crate::{Owned, StoreError};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// How many more are forgotten than are written down.
const FORGOTTEN_BESIDES: i64 = 16;

impl Owned for Sqlite {
    fn claim_objects<'a>(
        &'a self,
        target: &'a TargetName,
        owner: &'a str,
        made: &'a [Made],
        now: UnixMicros,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            for Made { object, days } in made {
                let until = days.map(|days| now.plus_seconds(i64::from(days).saturating_mul(DAY_SECONDS)).0);
                // Whoever made it first keeps it: a server that reuses an id gives nothing away.
                sqlx::query(
                    "insert into objects (target, class, id, owner, made, until) values (?, ?, ?, ?, ?, ?) \
                     on conflict (target, class, id) do update set until = excluded.until where owner = excluded.owner",
                )
                .bind(target.as_str())
                .bind(&object.class)
                .bind(&object.id)
                .bind(owner)
                .bind(now.0)
                .bind(until)
                .execute(&mut *change)
                .await?;
            }
            // More than are written down at once, so that they do not heap up.
            let over = "delete from objects where (target, class, id) in \
                        (select target, class, id from objects where until < ? limit ?)";
            let most = i64::try_from(made.len()).unwrap_or(i64::MAX).saturating_add(FORGOTTEN_BESIDES);
            sqlx::query(over).bind(now.0).bind(most).execute(&mut *change).await?;
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
