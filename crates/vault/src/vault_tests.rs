#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sluice_model::ExposeSecret as _;

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
    assert_eq!(vault.lend(&name("orders")).await.unwrap_err().code, Code::Unavailable);
    for secret in ["first", "second"] {
        write(&path, secret);
        let credential = vault.lend(&name("orders")).await.unwrap();
        assert_eq!(credential.user, "broker");
        assert_eq!(credential.secret.unwrap().expose_secret(), secret);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(vault.lend(&name("orders")).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn a_target_may_need_no_secret_but_must_be_known() {
    let vault = vault(&[("local", None)]);
    assert!(vault.lend(&name("local")).await.unwrap().secret.is_none());
    assert_eq!(vault.lend(&name("other")).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn a_refusal_names_neither_the_reference_nor_the_content() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("canary-path");
    fs::write(&path, "canary-content").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let reference = format!("file:{}", path.display());
    let vault = vault(&[("orders", Some(&reference))]);
    let refusal = vault.lend(&name("orders")).await.unwrap_err();
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let credential = vault.lend(&name("orders")).await.unwrap();
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
