#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sluice_model::{ExposeSecret as _, Person, TokenId, UnixMicros, Who};

use super::*;

fn name(target: &str) -> TargetName {
    TargetName::new(target).unwrap()
}

fn write(path: &Path, secret: &str) {
    fs::write(path, secret).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn lending(reference: Option<&str>) -> Lending {
    Lending {
        user: "broker".to_owned(),
        secret: reference.map(|text| SecretSource::parse(text).unwrap()),
        more: Vec::new(),
        logins: Vec::new(),
    }
}

fn who(user: &str, group: &str) -> Principal {
    let groups = [Group::new(group).unwrap()].into();
    Principal {
        who: Who::User(Person { name: user.to_owned(), groups }),
        token: TokenId::new("t-1").unwrap(),
        expires: UnixMicros(i64::MAX),
        targets: None,
        run: None,
    }
}

fn vault(lendings: &[(&str, Option<&str>)]) -> Vault {
    Vault::new(lendings.iter().map(|(target, reference)| (name(target), lending(*reference))).collect())
}

#[tokio::test]
async fn every_lease_reads_the_secret_anew() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    let reference = format!("file:{}", path.display());
    let vault = vault(&[("orders", Some(&reference))]);
    assert_eq!(vault.lend(&name("orders"), &who("alice", "dba")).await.unwrap_err().code, Code::Unavailable);
    for secret in ["first", "second"] {
        write(&path, secret);
        let credential = vault.lend(&name("orders"), &who("alice", "dba")).await.unwrap();
        assert_eq!(credential.user, "broker");
        assert_eq!(credential.secret.unwrap().expose_secret(), secret);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(vault.lend(&name("orders"), &who("alice", "dba")).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn a_target_may_need_no_secret_but_must_be_known() {
    let vault = vault(&[("local", None)]);
    assert!(vault.lend(&name("local"), &who("alice", "dba")).await.unwrap().secret.is_none());
    assert_eq!(vault.lend(&name("other"), &who("alice", "dba")).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn a_refusal_names_neither_the_reference_nor_the_content() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("canary-path");
    fs::write(&path, "canary-content").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let reference = format!("file:{}", path.display());
    let vault = vault(&[("orders", Some(&reference))]);
    let refusal = vault.lend(&name("orders"), &who("alice", "dba")).await.unwrap_err();
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let credential = vault.lend(&name("orders"), &who("alice", "dba")).await.unwrap();
    assert!(!format!("{credential:?}").contains("canary-content"));
}

#[test]
fn check_reports_everything_that_is_missing_at_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("db");
    write(&path, "pw");
    let reference = format!("file:{}", path.display());
    let vault = vault(&[
        ("a", Some("env:SLUICE_VAULT_TEST_NEVER_SET")),
        ("b", Some(&reference)),
        ("c", None),
        ("d", Some("file:/nonexistent/secret")),
    ]);
    let missing = vault.check().unwrap_err();
    assert_eq!(missing.0.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>(), ["a", "d"]);
    let expected = "target `a`: the secret `env:SLUICE_VAULT_TEST_NEVER_SET` is not set\n\
                    target `d`: the secret `file:/nonexistent/secret` is not set";
    assert_eq!(missing.to_string(), expected);
    vault.reload(BTreeMap::from([(name("b"), lending(Some(&reference)))]));
    assert!(vault.check().is_ok());
}

#[test]
fn unknown_fields_are_refused_by_name() {
    let error = serde_json::from_str::<Lending>(r#"{"user":"u","password":"env:A"}"#).unwrap_err().to_string();
    assert!(error.contains("`password`"), "{error}");
    assert!(serde_json::from_str::<Lending>(r#"{"secret":"env:A"}"#).unwrap_err().to_string().contains("`user`"));
}

#[tokio::test]
async fn some_principals_have_logins_of_their_own() {
    let login = |principal: Option<&str>, group: Option<&str>, user: &str| Login {
        principal: principal.map(str::to_owned),
        group: group.map(|group| Group::new(group).unwrap()),
        user: user.to_owned(),
        password: None,
    };
    let logins = vec![
        login(Some("user:alice"), Some("dba"), "alice_dba"),
        login(Some("user:alice"), None, "alice"),
        login(None, Some("dba"), "dba"),
    ];
    let vault = Vault::new([(name("orders"), Lending { logins, ..lending(None) })].into());
    let agent = |owner: Principal| Principal {
        who: Who::Agent {
            name: "alice".to_owned(),
            purpose: None,
            groups: [].into(),
            owner: owner.person().cloned().unwrap(),
        },
        ..owner
    };
    for (principal, expected) in [
        (who("alice", "dba"), "alice_dba"),
        (who("alice", "staff"), "alice"),
        (who("bob", "dba"), "dba"),
        (who("bob", "staff"), "broker"),
        // Neither an agent of that name nor one of that owner is the user.
        (agent(who("alice", "dba")), "broker"),
    ] {
        assert_eq!(vault.lend(&name("orders"), &principal).await.unwrap().user, expected, "{principal}");
    }
}

#[tokio::test]
async fn what_a_command_printed_is_kept_as_long_as_it_may_be() {
    let home = tempfile::tempdir().unwrap();
    let script = format!("echo x >>'{0}'; wc -l <'{0}'", home.path().join("runs").display());
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
    let lending = |keep| Lending {
        secret: Some(SecretSource::Command(TokenCommand::new(argv.clone(), 10, keep).unwrap())),
        ..lending(None)
    };
    let vault = Vault::new([(name("orders"), lending(3_600))].into());
    let (alice, bob) = (who("alice", "dba"), who("bob", "dba"));
    let orders = name("orders");
    let (one, two) = tokio::join!(vault.lend(&orders, &alice), vault.lend(&orders, &bob));
    for lent in [one, two, vault.lend(&orders, &alice).await] {
        assert_eq!(lent.unwrap().secret.unwrap().expose_secret(), "1", "one run serves all");
    }
    // Another command in its place is another secret, and one that may not be kept is asked for each time.
    vault.reload([(name("orders"), lending(0))].into());
    for count in ["2", "3"] {
        assert_eq!(vault.lend(&orders, &alice).await.unwrap().secret.unwrap().expose_secret(), count);
    }
}

#[tokio::test]
async fn a_secret_that_the_target_turned_down_is_lent_only_where_there_is_no_other() {
    let home = tempfile::tempdir().unwrap();
    let sources: Vec<SecretSource> = ["one", "two"]
        .into_iter()
        .map(|secret| {
            write(&home.path().join(secret), secret);
            SecretSource::parse(&format!("file:{}", home.path().join(secret).display())).unwrap()
        })
        .collect();
    let [first, second] = sources.try_into().unwrap();
    let lending = Lending { secret: Some(first), more: vec![second], ..lending(None) };
    let vault = Vault::new([(name("api"), lending.clone()), (name("other"), lending)].into());
    let lent = async |target: &str| vault.lend(&name(target), &who("alice", "dba")).await.unwrap();
    let secret = |credential: &Credential| credential.secret.as_ref().unwrap().expose_secret().to_owned();
    let turned_down = lent("api").await;
    turned_down.turned_down.set();
    for _ in 0..4 {
        assert_ne!(secret(&lent("api").await), secret(&turned_down));
    }
    // It is the same at no other target, and an old lease says nothing of a later one.
    let elsewhere = [secret(&lent("other").await), secret(&lent("other").await)];
    assert!(elsewhere.contains(&secret(&turned_down)), "{elsewhere:?}");
    // With none left that is taken, all are lent again.
    lent("api").await.turned_down.set();
    let all = [secret(&lent("api").await), secret(&lent("api").await)];
    assert!(all.contains(&"one".to_owned()) && all.contains(&"two".to_owned()), "{all:?}");
}

#[tokio::test]
async fn a_command_is_run_again_once_its_secret_is_turned_down() {
    let home = tempfile::tempdir().unwrap();
    let count = home.path().join("count");
    let script = format!("echo x >> {0}; wc -l < {0}", count.display());
    let command = serde_json::json!({ "command": ["/bin/sh", "-c", script], "keep_seconds": 3600 });
    let lending = Lending { secret: Some(serde_json::from_value(command).unwrap()), ..lending(None) };
    let vault = Vault::new([(name("api"), lending)].into());
    let lent = async || vault.lend(&name("api"), &who("alice", "dba")).await.unwrap();
    let secret = |credential: &Credential| credential.secret.as_ref().unwrap().expose_secret().to_owned();
    let first = lent().await;
    assert_eq!((secret(&first).as_str(), secret(&lent().await).as_str()), ("1", "1"));
    first.turned_down.set();
    let second = lent().await;
    assert_eq!(secret(&second), "2");
    // Not for every refusal: a server that refuses everything does not make it run all the time.
    second.turned_down.set();
    assert_eq!(secret(&lent().await), "2");
}
