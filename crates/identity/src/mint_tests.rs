#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use sluice_model::{ExposeSecret as _, Group, Person, RunId, TargetName, TokenId, Who};

use super::{Lifetimes, MintRequest, mint};
use crate::error::{MintError, TokenError};
use crate::testing::{NOW, Setup};

fn group(name: &str) -> BTreeSet<Group> {
    BTreeSet::from([Group::new(name).unwrap()])
}

fn alice() -> Person {
    Person { name: "corp:alice".to_owned(), groups: group("dev") }
}

fn agent() -> Who {
    let purpose = Some("fix the build".to_owned());
    Who::Agent { name: "claude".to_owned(), purpose, groups: group("agents"), owner: alice() }
}

fn request(who: Who) -> MintRequest {
    MintRequest { who, targets: None, ttl_seconds: None, id: TokenId::new("t-1").unwrap(), run: None }
}

#[tokio::test]
async fn every_kind_of_principal_comes_back_as_it_went_in() {
    let setup = Setup::new();
    let identity = setup.identity(vec![]);
    let workload = Who::Workload { name: "ci:42".to_owned(), issuer: "ci".to_owned(), groups: group("ci") };
    for who in [Who::User(alice()), agent(), workload] {
        let targets = Some(BTreeSet::from([TargetName::new("orders").unwrap()]));
        let run = Some(RunId::new("r-1").unwrap());
        let (targets_of, run_of) = (targets.clone(), run.clone());
        let request = MintRequest { targets: targets_of, ttl_seconds: Some(60), run: run_of, ..request(who.clone()) };
        let token = mint(&setup.keys, Lifetimes::STANDARD, request, NOW).unwrap();
        let principal = identity.check_token(&token, NOW).await.unwrap();
        assert_eq!(principal.who, who);
        assert_eq!((principal.targets, principal.run), (targets, run));
        assert_eq!(principal.token.as_str(), "t-1");
        assert_eq!(principal.expires, NOW.plus_seconds(60));
    }
}

#[tokio::test]
async fn a_token_counts_from_its_first_to_its_last_microsecond() {
    let setup = Setup::new();
    let identity = setup.identity(vec![]);
    let token = mint(&setup.keys, Lifetimes::STANDARD, request(Who::User(alice())), NOW).unwrap();
    let end = NOW.plus_seconds(3600);
    for (at, outcome) in [
        (NOW.plus_seconds(-31), Some(TokenError::NotYetValid)),
        (NOW.plus_seconds(-30), None),
        (NOW, None),
        (sluice_model::UnixMicros(end.0 - 1), None),
        (end, Some(TokenError::Expired)),
    ] {
        assert_eq!(identity.check_token(&token, at).await.err(), outcome, "{at:?}");
    }
}

#[tokio::test]
async fn another_brokers_token_and_a_revoked_one_are_refused() {
    let (setup, other) = (Setup::new(), Setup::new());
    let identity = setup.identity(vec![]);
    let foreign = mint(&other.keys, Lifetimes::STANDARD, request(agent()), NOW).unwrap();
    assert_eq!(identity.check_token(&foreign, NOW).await.unwrap_err(), TokenError::UnknownKey);
    let token = mint(&setup.keys, Lifetimes::STANDARD, request(agent()), NOW).unwrap();
    assert!(identity.check_token(&token, NOW).await.is_ok());
    setup.revoked.revoke(TokenId::new("t-1").unwrap(), NOW.plus_seconds(3600));
    assert_eq!(identity.check_token(&token, NOW).await.unwrap_err(), TokenError::Revoked);
}

#[tokio::test]
async fn a_lower_maximum_refuses_tokens_minted_under_a_higher_one() {
    let setup = Setup::new();
    let long = Lifetimes { default_seconds: 86_401, maximum_seconds: 90_000 };
    let token = mint(&setup.keys, long, request(agent()), NOW).unwrap();
    let error = setup.identity(vec![]).check_token(&token, NOW).await.unwrap_err();
    assert_eq!(error, TokenError::Lifetime);
}

#[test]
fn what_the_verifier_would_refuse_is_not_minted() {
    let setup = Setup::new();
    let try_mint = |request| mint(&setup.keys, Lifetimes::STANDARD, request, NOW).map(|_| ());
    for (ttl, good) in [(0, false), (1, true), (86_400, true), (86_401, false)] {
        let request = MintRequest { ttl_seconds: Some(ttl), ..request(agent()) };
        assert_eq!(try_mint(request).is_ok(), good, "{ttl}");
    }
    for (name, good) in [
        ("a".repeat(320), true),
        ("a".repeat(321), false),
        (String::new(), false),
        (" alice".to_owned(), false),
        ("alice\n".to_owned(), false),
        ("al\u{202e}ice".to_owned(), false),
        ("first last".to_owned(), true),
    ] {
        let person = Person { name: name.clone(), groups: BTreeSet::new() };
        let outcome = try_mint(request(Who::User(person)));
        assert_eq!(outcome.is_ok(), good, "{name}");
    }
    let purpose = |text: String| Who::Agent {
        name: "a".to_owned(),
        purpose: Some(text),
        groups: BTreeSet::new(),
        owner: alice(),
    };
    assert_eq!(try_mint(request(purpose("x".repeat(500)))), Ok(()));
    assert_eq!(try_mint(request(purpose("x".repeat(501)))), Err(MintError::Purpose));
    assert_eq!(try_mint(request(purpose("a\u{1b}[2J".to_owned()))), Err(MintError::Purpose));
    let empty = MintRequest { targets: Some(BTreeSet::new()), ..request(agent()) };
    assert_eq!(try_mint(empty), Err(MintError::EmptyScope));
    let groups = (0..200).map(|n| Group::new(format!("{n:0100}")).unwrap()).collect();
    let crowd = Person { name: "alice".to_owned(), groups };
    assert_eq!(try_mint(request(Who::User(crowd))), Err(MintError::TooLarge));
}

#[test]
fn a_minted_token_shows_nothing_when_printed() {
    let setup = Setup::new();
    let token = mint(&setup.keys, Lifetimes::STANDARD, request(agent()), NOW).unwrap();
    let printed = format!("{token:?}");
    assert!(!printed.contains(token.expose_secret()) && !printed.contains("eyJ"), "{printed}");
}
