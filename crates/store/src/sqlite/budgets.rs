//! Counters of budgets in SQLite.

use sluice_kernel::{BoxFuture, Spent};
use sluice_model::{RuleId, Unit, UnixMicros};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Sqlite, boxed, signed, unsigned};
use crate::{Budgets, StoreError};

impl Budgets for Sqlite {
    fn spent(&self, now: UnixMicros) -> BoxFuture<'_, Result<Vec<Spent>, StoreError>> {
        boxed(async move {
            let rows = sqlx::query(
                "select * from budgets where (window + 1) * window_seconds > ? \
                 order by rule, unit, window_seconds, whose",
            )
            .bind(now.seconds())
            .fetch_all(&self.read)
            .await?;
            rows.iter().map(spent).collect()
        })
    }

    fn keep_spent<'a>(&'a self, spent: &'a [Spent], now: UnixMicros) -> BoxFuture<'a, Result<(), StoreError>> {
        boxed(async move {
            let mut change = self.write.begin_with("begin immediate").await?;
            for one in spent {
                sqlx::query(
                    "insert into budgets (rule, unit, window_seconds, whose, window, used) values (?, ?, ?, ?, ?, ?) \
                     on conflict (rule, unit, window_seconds, whose) \
                     do update set window = excluded.window, used = excluded.used",
                )
                .bind(one.rule.as_str())
                .bind(one.unit.name())
                .bind(one.window_seconds)
                .bind(&one.whose)
                .bind(one.window)
                .bind(signed(one.used))
                .execute(&mut *change)
                .await?;
            }
            let passed = sqlx::query("delete from budgets where (window + 1) * window_seconds <= ?");
            passed.bind(now.seconds()).execute(&mut *change).await?;
            change.commit().await?;
            Ok(())
        })
    }
}

fn spent(row: &SqliteRow) -> Result<Spent, StoreError> {
    let unreadable = || StoreError::Unreadable("budget");
    let unit: &str = row.try_get("unit")?;
    Ok(Spent {
        rule: RuleId::new(row.try_get::<&str, _>("rule")?).map_err(|_| unreadable())?,
        unit: Unit::ALL.into_iter().find(|known| known.name() == unit).ok_or_else(unreadable)?,
        window_seconds: u32::try_from(row.try_get::<i64, _>("window_seconds")?).map_err(|_| unreadable())?,
        whose: row.try_get("whose")?,
        window: row.try_get("window")?,
        used: unsigned(row.try_get("used")?, "budget")?,
    })
}
