#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;

use serde_json::json;
use sluice_model::ExposeSecret as _;

use super::*;

fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, SecretSource) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("secret");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (home, SecretSource::File(path))
}

#[test]
fn references_are_read_from_texts_and_maps_and_written_as_texts() {
    let env = SecretSource::Env("DB_PASSWORD".to_owned());
    let path = SecretSource::File("/run/secrets/db".into());
    for (written, source) in [
        (json!("env:DB_PASSWORD"), &env),
        (json!({ "env": "DB_PASSWORD" }), &env),
        (json!("file:/run/secrets/db"), &path),
        (json!({ "file": "/run/secrets/db" }), &path),
    ] {
        let read: SecretSource = serde_json::from_value(written).unwrap();
        assert_eq!(read, *source);
        assert_eq!(serde_json::from_value::<SecretSource>(serde_json::to_value(&read).unwrap()).unwrap(), read);
    }
}

#[test]
fn what_is_no_reference_is_refused_without_repeating_it() {
    for written in [
        json!("hunter2"),
        json!(""),
        json!("env:"),
        json!("env:hunter2 x"),
        json!("env:2hunter"),
        json!("env:HUNTER=2"),
        json!("file:hunter2"),
        json!("file:"),
        json!("ENV:HUNTER2"),
        json!("vault:hunter2"),
        json!(20_041_889),
        json!(-20_041_889),
        json!(20_041_889.5),
        json!({}),
        json!({ "env": 20_041_889 }),
        json!({ "file": "hunter2" }),
    ] {
        let error = serde_json::from_value::<SecretSource>(written.clone()).unwrap_err().to_string();
        assert!(!error.to_lowercase().contains("hunter"), "{error}");
        if written.is_number() {
            assert!(!error.contains("20041889"), "{error}");
        }
    }
}

#[test]
fn fields_in_maps_are_named_in_errors() {
    let unknown = serde_json::from_value::<SecretSource>(json!({ "vault": "kv/db" })).unwrap_err().to_string();
    assert!(unknown.contains("`vault`") && unknown.contains("`env`"), "{unknown}");
    let both = serde_json::from_value::<SecretSource>(json!({ "env": "A", "file": "/a" })).unwrap_err().to_string();
    assert!(both.contains("`env`") && both.contains("`file`"), "{both}");
}

#[test]
fn one_trailing_newline_is_taken_off() {
    for (content, secret) in [
        ("pw", "pw"),
        ("pw\n", "pw"),
        ("pw\r\n", "pw"),
        ("pw\n\n", "pw\n"),
        (" pw ", " pw "),
        ("p\nw\n", "p\nw"),
        ("pw\r", "pw\r"),
    ] {
        let (_home, source) = file(content.as_bytes(), 0o600);
        assert_eq!(source.read().unwrap().expose_secret(), secret, "{content:?}");
    }
}

#[test]
fn secrets_have_a_size_limit() {
    for (length, good) in [(MAX_BYTES - 1, true), (MAX_BYTES, true), (MAX_BYTES + 1, false), (MAX_BYTES * 100, false)] {
        let (_home, source) = file(&vec![b'x'; length], 0o600);
        assert_eq!(source.read().is_ok(), good, "{length}");
    }
    let (_home, source) = file(&vec![b'x'; MAX_BYTES + 1], 0o600);
    assert!(matches!(source.read(), Err(SecretError::TooLarge(_))));
}

#[test]
fn what_is_no_secret_is_refused_by_its_reference_only() {
    for content in [b"".as_slice(), b"\n", b"canary\0", b"canary\xff"] {
        let (_home, source) = file(content, 0o600);
        let error = source.read().unwrap_err();
        assert!(matches!(error, SecretError::Empty(_) | SecretError::NotText(_)), "{error}");
        let words = format!("{error} {error:?}");
        assert!(words.contains("/secret") && !words.contains("canary"), "{words}");
    }
}

#[test]
fn only_the_owner_and_roots_group_may_reach_a_secret() {
    for (mode, group, good) in [
        (0o600, 1000, true),
        (0o400, 1000, true),
        (0o700, 1000, true),
        (0o640, 1000, false),
        (0o440, 1000, false),
        (0o620, 1000, false),
        (0o610, 1000, false),
        (0o640, 0, true),
        (0o440, 0, true),
        (0o444, 0, false),
        (0o644, 1000, false),
        (0o602, 1000, false),
        (0o601, 0, false),
        (0o666, 0, false),
    ] {
        assert_eq!(private(mode, group), good, "{mode:o} {group}");
    }
    let (_home, source) = file(b"canary", 0o644);
    let error = source.read().unwrap_err().to_string();
    assert!(error.contains("0644") && error.contains("0600") && !error.contains("canary"), "{error}");
}

#[test]
fn a_link_is_followed_to_a_file_that_is_judged_itself() {
    let (home, source) = file(b"pw", 0o600);
    let SecretSource::File(path) = &source else { return };
    let link = home.path().join("link");
    symlink(path, &link).unwrap();
    let linked = SecretSource::File(link);
    assert_eq!(linked.read().unwrap().expose_secret(), "pw");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(linked.read(), Err(SecretError::Exposed { .. })));
}

#[test]
fn directories_and_devices_are_no_secrets() {
    for path in ["/", "/dev/null", "/dev/zero"] {
        assert!(matches!(SecretSource::File(path.into()).read(), Err(SecretError::NotAFile(_))), "{path}");
    }
}

#[test]
fn variables_are_read_and_missing_ones_named() {
    // Set by cargo for every test.
    let set = SecretSource::parse("env:CARGO_PKG_NAME").unwrap();
    assert_eq!(set.read().unwrap().expose_secret(), "sluice-vault");
    let unset = SecretSource::parse("env:SLUICE_VAULT_TEST_NEVER_SET").unwrap();
    assert_eq!(unset.read().unwrap_err().to_string(), "the secret `env:SLUICE_VAULT_TEST_NEVER_SET` is not set");
}

#[test]
fn a_secret_shows_nothing_when_printed() {
    let (_home, source) = file(b"canary", 0o600);
    assert!(!format!("{:?}", source.read().unwrap()).contains("canary"));
}

#[test]
fn the_schema_knows_every_form() {
    let schema = schemars::schema_for!(SecretSource).to_value();
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 4);
}
