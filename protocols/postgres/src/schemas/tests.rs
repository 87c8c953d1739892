#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use sluice_model::TargetName;
use sluice_sql::{Catalog, RelationRow, Rows};
use sluice_wire::{Credential, Targets};
use tokio::task::consume_budget;
use tokio::time::{Instant, advance, timeout};

use super::{Database, Databases, MAX_AGE, POLL, Place, SchemaError, Shared, tag};
use crate::dial::Dialer;
use crate::target::Target;
use crate::view::Schemas as _;

/// A target whose server is not there.
fn target(columns: &str) -> Arc<Target> {
    let text = format!(r#"{{"host":"/nowhere","database":"shop","columns":{columns}}}"#);
    Arc::new(serde_json::from_str(&text).unwrap())
}

fn place(target: &Arc<Target>) -> Place {
    Place {
        name: TargetName::new("shop").unwrap(),
        target: Arc::clone(target),
        database: "shop".to_owned(),
        dialer: Arc::new(Dialer::new(Duration::from_secs(1))),
    }
}

fn catalog() -> Catalog {
    let relation = RelationRow {
        oid: 20_000,
        schema: "public".to_owned(),
        name: "customers".to_owned(),
        kind: 'r',
        has_rules: false,
        definition: None,
    };
    Catalog::build(Rows { relations: vec![relation], ..Rows::default() }, 1).unwrap()
}

/// A database with a view that was confirmed just now.
async fn known() -> Database {
    let target = target("{}");
    let database = Database::new(place(&target));
    *database.view.write().unwrap() = Arc::new(tag(catalog(), &target).unwrap());
    let mut loader = database.loader.lock().await;
    loader.fingerprint = Some("1".to_owned());
    loader.confirmed = Some(Instant::now());
    loader.epoch = 1;
    drop(loader);
    database
}

fn relations(database: &Database) -> usize {
    database.view().catalog.relations().len()
}

#[tokio::test(start_paused = true)]
async fn a_database_that_was_never_reached_has_an_empty_view() {
    let database = Database::new(place(&target("{}")));
    assert!(matches!(database.arrive().await, Err(SchemaError::Side(_))));
    assert_eq!(relations(&database), 0);
}

#[tokio::test(start_paused = true)]
async fn a_view_is_kept_for_a_while_and_then_given_up() {
    let database = known().await;
    assert!(timeout(MAX_AGE - POLL, database.watch()).await.is_err());
    assert_eq!(relations(&database), 1);
    assert!(database.arrive().await.is_err(), "who comes new is not served from it");
    assert_eq!(relations(&database), 1);
    assert!(timeout(POLL + POLL, database.watch()).await.is_err());
    assert_eq!(relations(&database), 0);
    assert!(database.view().catalog.epoch() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_never_idle_does_not_keep_its_view_from_being_confirmed() {
    let database = known().await;
    let busy = async {
        for moment in 0..10_000 {
            // Takes all that its task may do before others have a turn.
            consume_budget().await;
            if moment == 5_000 {
                advance(POLL + POLL).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = busy => {}
        never = database.watch() => match never {},
    }
    assert!(database.loader.lock().await.tried.is_some());
}

#[tokio::test(start_paused = true)]
async fn own_changes_that_cannot_be_read_back_are_not_served_from_the_old_view() {
    let database = Arc::new(known().await);
    Shared(Arc::clone(&database)).refresh().await;
    assert_eq!(relations(&database), 0);
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait_share_one_load() {
    let database = known().await;
    let busy = database.loader.lock().await;
    let waiting = async { tokio::join!(database.renew(), database.renew(), database.renew()) };
    let release = async { drop(busy) };
    tokio::join!(waiting, release);
    assert_eq!(database.view().catalog.epoch(), 2);
    database.renew().await;
    assert_eq!(database.view().catalog.epoch(), 3, "a later call is not served by an earlier load");
}

#[test]
fn a_pattern_without_a_column_is_an_error() {
    let target = target(r#"{"public.customers.email":["pii"]}"#);
    let error = tag(catalog(), &target).map(drop).unwrap_err();
    assert!(error.to_string().contains("`public.customers.email`"), "{error}");
    assert!(!error.refusal().message.contains("email"));
}

#[test]
fn a_replaced_target_is_a_new_database() {
    let databases = Databases::default();
    let credential = Credential::new("app".to_owned(), None);
    let open = |target: &Arc<Target>| {
        let targets = Targets::from_iter([(TargetName::new("shop").unwrap(), Arc::clone(target))]);
        databases.open(&targets, place(target), &credential)
    };
    let (old, new) = (target("{}"), target("{}"));
    let first = open(&old);
    assert!(Arc::ptr_eq(&first, &open(&old)));
    assert!(!Arc::ptr_eq(&first, &open(&new)));
    assert_eq!(databases.0.lock().unwrap().len(), 1);
}
