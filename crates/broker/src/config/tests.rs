#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use sluice_model::{Level, Tag, TargetName, Transform};

use super::{Config, EXAMPLE, Faults, json_schema, parse};

const FILE: &str = "conf/sluice.yaml";

fn load(text: &str) -> Result<Config, Faults> {
    parse(Path::new(FILE), text)
}

fn lines(text: &str) -> Vec<String> {
    load(text).expect_err("the configuration is wrong").lines().collect()
}

const GOOD: &str = r"listen: { postgres: 127.0.0.1:6432 }
data_dir: ./var
policies: policies
targets:
  shop:
    protocol: postgres
    environment: prod
    credential: { user: app, password: env:SHOP_PASSWORD }
    host: db
    database: shop
    columns: { public.customers.email: [pii.contact.email] }
";

#[test]
fn the_example_is_a_configuration() {
    let config = load(EXAMPLE).unwrap();
    assert_eq!(config.targets.len(), 3);
    assert_eq!(config.data_dir, Path::new("conf/./var"));
    assert_eq!(config.limits, super::Limits::STANDARD);
}

#[test]
fn paths_are_relative_to_the_file() {
    let text = GOOD
        .replace("6432 }", "6432, tls: { cert: c.pem, key: /k.pem } }")
        .replace("    host", "    tls: { ca: ca.pem }\n    host");
    let config = load(&text).unwrap();
    assert_eq!(config.policies, Path::new("conf/policies"));
    let tls = config.listen.tls.unwrap();
    assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("conf/c.pem"), Path::new("/k.pem")));
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let text = r"listen: { postgres: nowhere, tsl: {} }
data_dir: 7
polices: ./policies
classification:
  - { tag: pii, redact: { bucket: { width: 0 } } }
  - { tag: pii }
limits: { connections: 0, drain: 3 }
targets:
  sh op: {}
  one: { protocol: mysql, environment: prod, credential: { user: app } }
  two: { protocol: postgres, environment: prod, credential: { user: app, passwort: x }, host: db, database: d, prot: 1 }
";
    let found = lines(text);
    let expected = [
        "conf/sluice.yaml:1:1: missing section `policies`",
        "conf/sluice.yaml:1:21: expected an address and a port, such as `127.0.0.1:6432`",
        "conf/sluice.yaml:2:11: expected a text, found a whole number",
        "conf/sluice.yaml:3:1: unknown section `polices`",
        "conf/sluice.yaml:5:5: `bucket` needs a `width` of at least 1",
        "conf/sluice.yaml:6:5: the tag `pii` is classified twice",
        "conf/sluice.yaml:7:1: `connections` is from 1 to 100000",
        "conf/sluice.yaml:7:27: unknown key `drain`",
        "conf/sluice.yaml:9:3: a target's name is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -",
        "conf/sluice.yaml:10:20: no protocol is called `mysql`",
        "conf/sluice.yaml:11:74: unknown key `passwort`",
        "conf/sluice.yaml:11:112: unknown key `prot`",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn stable_stand_ins_are_for_protocols_that_make_them() {
    for kind in ["hash", "token", "fpe"] {
        let classified = format!("classification: [{{ tag: pii.contact, token: {kind} }}]\ntargets:");
        load(&GOOD.replace("targets:", &classified)).unwrap();
        // An SSH host finds values of this class, and has nothing to put in their place.
        let found = lines(&EXAMPLE.replace("  - tag: secret\n", &format!("  - tag: secret\n    token: {kind}\n")));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found.concat().contains(&format!("`{kind}` for `secret` cannot be enforced")), "{found:#?}");
    }
}

#[test]
fn a_database_needs_a_login_role_and_an_api_does_not() {
    let found = lines(&GOOD.replace("user: app, ", ""));
    assert_eq!(found, ["conf/sluice.yaml:8:17: missing key `user`"], "{found:#?}");
    let api = "  api: { protocol: http, environment: prod, credential: { password: env:KEY }, url: https://api.example.com }\n";
    load(&format!("{GOOD}{api}")).unwrap();
}

#[test]
fn mistakes_of_an_api_have_their_places() {
    let api = |rest: &str| format!("{GOOD}  api: {{ protocol: http, environment: prod, credential: {{}}, {rest} }}\n");
    let check = |rest: &str, message: &str| {
        let found = lines(&api(rest));
        assert!(found.len() == 1 && found.concat().ends_with(message), "{rest}: {found:#?}");
    };
    check("url: http://x.example.com", "`url` begins with `http:`, which needs `tls: dangerous_plaintext`");
    check(
        "url: 'http://169.254.169.254/', tls: dangerous_plaintext",
        "`url` leads to an address that no target may be at",
    );
    check("url: nowhere", "`url` is not an address like `https://api.example.com/v1`");
    check(
        "url: 'https://x.example.com', headers: { authorization: x }",
        "`authorization` cannot be a header that is added",
    );
    check(
        "url: 'https://x.example.com', detectors: [{ name: emial }]",
        "there is no detector `emial` among the built-in ones",
    );
    check("url: 'https://x.example.com', limits: { idle_seconds: 0 }", "the limit `idle_seconds` is at least 1");
    check(
        "url: 'https://x.example.com', header_rules: { request: { pass: [Host] } }",
        "`header_rules.request.pass`: `Host` says how or where a message is sent",
    );
    check("url: 'https://x.example.com', modles: {}", "unknown key `modles`");
}

#[test]
fn advice_names_the_nearest_key() {
    let faults = load(&GOOD.replace("data_dir", "data_dirs")).unwrap_err();
    let report = faults.report(false);
    assert!(report.contains("did you mean `data_dir`?"), "{report}");
    assert!(report.contains("conf/sluice.yaml:2:1"), "{report}");
}

#[test]
fn a_secret_in_the_wrong_place_is_never_shown() {
    for written in ["hunter2", "'hunter2'", "|\n        hunter2", "[hunter2]", "{ value: hunter2 }"] {
        let text = GOOD.replace(
            "{ user: app, password: env:SHOP_PASSWORD }",
            &format!("\n      user: app\n      password: {written}"),
        );
        let faults = load(&text).unwrap_err();
        let shown = format!("{faults}{}", faults.report(false));
        assert!(!shown.contains("hunter2"), "{written}: {shown}");
    }
    for number in ["password: 112233", "password: true112233"] {
        let faults = load(&GOOD.replace("password: env:SHOP_PASSWORD", number)).unwrap_err();
        let shown = format!("{faults}{}", faults.report(false));
        assert!(!shown.contains("112233"), "{shown}");
    }
}

#[test]
fn a_secret_in_a_file_that_cannot_be_parsed_is_never_shown() {
    let text = "targets:\n  shop:\n    credential:\n      password: hunter2\n    host: [unclosed\n    api_key: |\n      hunter2\n      hunter2\n";
    let faults = load(text).unwrap_err();
    let shown = format!("{faults}{}", faults.report(false));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("conf/sluice.yaml:"), "{shown}");
}

#[test]
fn twice_the_same_key_is_a_mistake() {
    let found = lines(&format!("{GOOD}data_dir: ./other\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found.iter().all(|line| line.starts_with("conf/sluice.yaml:12:1: duplicate")), "{found:?}");
}

#[test]
fn an_empty_file_names_what_is_missing() {
    for text in ["", "# nothing\n", "just text", "[]"] {
        let found = lines(text);
        assert!(!found.is_empty(), "{text:?}");
    }
    let found = lines("{}");
    let missing = ["listen", "data_dir", "policies", "targets"];
    assert_eq!(found, missing.map(|section| format!("conf/sluice.yaml:1:1: missing section `{section}`")));
}

#[test]
fn stand_ins_that_do_not_exist_yet_are_redacted() {
    assert!(load(GOOD).unwrap().transforms.is_empty());
    let redacted = load(EXAMPLE).unwrap().transforms;
    let tag = Tag::new("pii.contact.email").unwrap();
    assert!(redacted.contains(&(tag, Level::Token, Transform::Redact)), "{redacted:?}");
    let classified = load(&format!("{GOOD}classification: [ {{ tag: pii, token: {{ constant: x }} }} ]\n")).unwrap();
    let tag = Tag::new("pii").unwrap();
    assert_eq!(classified.transforms, [(tag, Level::Token, Transform::Constant("x".to_owned()))]);
}

#[test]
fn a_target_has_its_halves() {
    let config = load(GOOD).unwrap();
    let shop = config.targets.get(&TargetName::new("shop").unwrap()).unwrap();
    assert_eq!(shop.target.environment.as_str(), "prod");
    assert_eq!(shop.lending.user, "app");
    assert_eq!(shop.tags.len(), 1);
}

#[test]
fn limits_hold_at_their_edges() {
    let with = |limit: &str| load(&format!("{GOOD}limits: {{ {limit} }}\n")).is_ok();
    for (name, least, most) in [
        ("connections", 1_u64, 100_000_u64),
        ("unauthenticated_per_address", 1, 10_000),
        ("sessions", 1, 100_000),
        ("hold_seconds", 1, 86_400),
        ("idle_seconds", 1, 86_400),
        ("head_seconds", 1, 3_600),
        ("body_bytes", 1 << 20, 1 << 40),
        ("lend_seconds", 0, 3_600),
        ("recorded_bytes_per_operation", 0, 1 << 30),
        ("recorded_bytes_per_copy", 0, 1 << 30),
        ("waiting_bytes", 0, 1 << 40),
        ("spilled_bytes", 0, 1 << 40),
        ("ample_disk_bytes", 64 << 20, 1 << 50),
        ("drain_seconds", 0, 3_600),
    ] {
        assert!(with(&format!("{name}: {least}")), "{name} at its least");
        assert!(with(&format!("{name}: {most}")), "{name} at its most");
        assert!(!with(&format!("{name}: {}", most + 1)), "{name} above its most");
        if let Some(below) = least.checked_sub(1) {
            assert!(!with(&format!("{name}: {below}")), "{name} below its least");
        }
    }
}

#[test]
fn the_json_schema_names_every_section_and_joins_the_halves_of_a_target() {
    let schema = json_schema();
    let properties = schema.pointer("/$defs/Document/properties").unwrap().as_object().unwrap();
    let mut named: Vec<&str> = properties.keys().map(String::as_str).collect();
    let mut sections = super::document::SECTIONS.to_vec();
    named.sort_unstable();
    sections.sort_unstable();
    assert_eq!(named, sections);
    let target = schema.pointer("/$defs/TargetEntry/oneOf/0/properties").unwrap();
    for key in ["protocol", "environment", "credential", "host", "columns", "tls"] {
        assert!(target.get(key).is_some(), "`{key}` is not in the schema of a target");
    }
}
