#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::testing::config;

fn minimal() -> Value {
    json!({
        "name": "corp", "issuer": "https://idp.example.com", "audiences": ["sluice"],
        "jwks": "https://idp.example.com/jwks", "algorithms": ["RS256"], "kind": "user",
    })
}

fn read(changes: &Value) -> Result<IssuerConfig, String> {
    let mut config = minimal();
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    serde_json::from_value(config).map_err(|error| error.to_string())
}

fn issuer(config: IssuerConfig) -> Result<Issuer, ConfigError> {
    Issuer::new(config, &Fetcher::new().unwrap())
}

fn who(config: IssuerConfig, claims: &Value) -> Result<Who, TokenError> {
    issuer(config).unwrap().who(claims.as_object().unwrap())
}

#[test]
fn unknown_fields_and_symmetric_algorithms_cannot_be_written() {
    assert!(read(&json!({})).is_ok());
    assert!(read(&json!({ "audience": "sluice" })).unwrap_err().contains("audience"));
    for algorithm in ["HS256", "HS384", "HS512", "none", "rs256", "ES512"] {
        assert!(read(&json!({ "algorithms": [algorithm] })).is_err(), "{algorithm}");
    }
    for field in ["name", "issuer", "audiences", "jwks", "algorithms", "kind"] {
        let mut config = minimal();
        config.as_object_mut().unwrap().remove(field);
        let error = serde_json::from_value::<IssuerConfig>(config).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn every_mistake_names_its_field() {
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("a:b")),
        ("name", json!("sluice")),
        ("name", json!("n".repeat(49))),
        ("issuer", json!("")),
        ("issuer", json!("sluice")),
        ("audiences", json!([])),
        ("audiences", json!([""])),
        ("jwks", json!("http://idp.example.com/jwks")),
        ("jwks", json!("relative.json")),
        ("algorithms", json!([])),
        ("types", json!([])),
        ("subject_claim", json!("email")),
        ("subject_claim", json!("preferred_username")),
        ("subject_claim", json!("")),
        ("groups", json!({ "Domain Users": "dev" })),
        ("groups_claim", json!("")),
        ("max_lifetime", json!(0)),
    ] {
        let error = issuer(read(&json!({ field: value })).unwrap()).unwrap_err();
        assert_eq!(error.field, field, "{value}");
        assert!(error.to_string().contains(field), "{error}");
    }
    assert!(issuer(read(&json!({ "name": "n".repeat(48) })).unwrap()).is_ok());
}

#[test]
fn principals_are_named_by_issuer_and_subject() {
    let claims = json!({ "sub": "u-17", "email": "root@example.com", "groups": "dev", "repository_id": "99" });
    let dev = || BTreeSet::from([Group::new("dev").unwrap()]);
    let user = who(config("/jwks"), &claims).unwrap();
    assert_eq!(user, Who::User(Person { name: "corp:u-17".to_owned(), groups: dev() }));
    let jobs = IssuerConfig {
        kind: Kind::Workload,
        subject_claim: "repository_id".to_owned(),
        groups_claim: None,
        ..config("/jwks")
    };
    let workload = who(jobs, &claims).unwrap();
    let (name, issuer) = ("corp:99".to_owned(), "corp".to_owned());
    assert_eq!(workload, Who::Workload { name, issuer, groups: BTreeSet::new() });
}

#[test]
fn groups_are_found_by_pointer_and_renamed_by_the_map() {
    let claims = json!({ "sub": "u", "realm_access": { "roles": ["Domain Users", "/admins", "other"] } });
    let nested = IssuerConfig { groups_claim: Some("/realm_access/roles".to_owned()), ..config("/jwks") };
    assert_eq!(who(nested.clone(), &claims).unwrap_err(), TokenError::Groups);
    let dev = Group::new("dev").unwrap();
    let mapped = IssuerConfig { groups: BTreeMap::from([("Domain Users".to_owned(), dev.clone())]), ..nested };
    let who = who(mapped, &claims).unwrap();
    assert_eq!(who, Who::User(Person { name: "corp:u".to_owned(), groups: BTreeSet::from([dev]) }));
}

#[test]
fn the_configuration_has_a_schema() {
    let schema = schemars::schema_for!(IssuerConfig).to_value();
    assert_eq!(schema["additionalProperties"], json!(false));
    assert!(schema["properties"]["jwks"]["description"].is_string());
}
