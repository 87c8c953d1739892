//! The ids of resources: that what is written is what is asked about, and that what nothing can be called does not load.

use expect_test::expect;
use sluice_model::Resource;

use crate::world::{access, asks, faults, policies};

const PERMIT: &str = r#"@id("p") permit (principal, action, resource);"#;

/// What a rule that forbids one resource says about another.
fn told(forbidden: &str, verb: &'static str, kind: &'static str, path: &[&str]) -> String {
    let text = format!("{PERMIT} @id(\"f\") forbid (principal, action, resource == {forbidden});");
    asks(&[access(verb, Resource::new(kind, path.iter().copied()))]).told(&policies(&text))
}

#[test]
fn a_name_with_nothing_above_and_below_it_is_written_as_it_is() {
    let forbidden = r#"Endpoint::"orders-db//etc/motd""#;
    assert_eq!(told(forbidden, "http.get", "Endpoint", &["/etc/motd"]), "deny f");
    assert_eq!(told(forbidden, "http.get", "Endpoint", &["/etc/passwd"]), "allow");
    let odd = r#"Endpoint::"orders-db//a%b/%41""#;
    assert_eq!(told(odd, "http.get", "Endpoint", &["/a%b/%41"]), "deny f");
    assert_eq!(told(odd, "http.get", "Endpoint", &["/a%b/A"]), "allow");
    let model = r#"Model::"orders-db/meta/llama-3""#;
    assert_eq!(told(model, "llm.chat", "Model", &["meta/llama-3"]), "deny f");
    assert_eq!(told(model, "llm.chat", "Model", &["meta%2Fllama-3"]), "allow");
}

#[test]
fn names_with_others_above_or_below_them_are_escaped() {
    assert_eq!(told(r#"Table::"orders-db/a%2Fb/c""#, "sql.read", "Table", &["a/b", "c"]), "deny f");
    assert_eq!(told(r#"Schema::"orders-db/a%2Fb""#, "sql.define", "Schema", &["a/b"]), "deny f");
    assert_eq!(told(r#"Schema::"orders-db/a%25b""#, "sql.define", "Schema", &["a%b"]), "deny f");
}

/// A forbid that names what cannot be forbids nothing, and nobody would notice.
#[test]
fn what_nothing_can_be_called_does_not_load() {
    let heads = [
        r#"Table::"orders-db/public/customers/email""#,
        r#"Table::"orders-db/customers""#,
        r#"Table::"orders-db/public/""#,
        r#"Table::"orders-db/pub%lic/a""#,
        r#"Table::"orders-db/pub%2flic/a""#,
        r#"Schema::"orders-db""#,
        r#"Schema::"/public""#,
        r#"Endpoint::"orders-db/etc/motd""#,
        r#"Endpoint::"orders-db/%2Fetc%2Fmotd""#,
        r#"Model::"orders-db/meta%2Fllama""#,
        r#"Model::"orders-db/""#,
        r#"Model::"orders db/gpt""#,
        r#"Target::"orders db""#,
        r#"Env::"""#,
        r#"Value::"orders-db""#,
        r#"Value::"orders-db/pii//contact""#,
        r#"Tag::"a b""#,
    ];
    let rule = |(index, head): (usize, &&str)| {
        let head = match head.split_once("::").map_or(*head, |(kind, _)| kind) {
            "Value" | "Tag" => format!("action == Action::\"reveal\", resource in {head}"),
            _ => format!("action, resource in {head}"),
        };
        format!("@id(\"{index}\") forbid (principal, {head});")
    };
    let text: Vec<String> = heads.iter().enumerate().map(rule).collect();
    expect![[r#"
        a.cedar:1:49: nothing can be `Table::"orders-db/public/customers/email"` (it is `TARGET/NAME/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:2:49: nothing can be `Table::"orders-db/customers"` (it is `TARGET/NAME/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:3:49: nothing can be `Table::"orders-db/public/"` (it is `TARGET/NAME/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:4:49: nothing can be `Table::"orders-db/pub%lic/a"` (it is `TARGET/NAME/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:5:49: nothing can be `Table::"orders-db/pub%2flic/a"` (it is `TARGET/NAME/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:6:49: nothing can be `Schema::"orders-db"` (it is `TARGET/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:7:49: nothing can be `Schema::"/public"` (it is `TARGET/NAME`, with %2F for a `/` and %25 for a `%` inside of a name)
        a.cedar:8:49: nothing can be `Endpoint::"orders-db/etc/motd"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)
        a.cedar:9:49: nothing can be `Endpoint::"orders-db/%2Fetc%2Fmotd"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)
        a.cedar:10:49: nothing can be `Model::"orders-db/meta%2Fllama"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)
        a.cedar:11:50: nothing can be `Model::"orders-db/"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)
        a.cedar:12:50: nothing can be `Model::"orders db/gpt"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)
        a.cedar:13:50: nothing can be `Target::"orders db"` (it is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -)
        a.cedar:14:50: nothing can be `Env::""` (it is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -)
        a.cedar:15:70: nothing can be `Value::"orders-db"` (it is `TARGET/TAG`)
        a.cedar:16:70: nothing can be `Value::"orders-db/pii//contact"` (it is `TARGET/TAG`)
        a.cedar:17:70: nothing can be `Tag::"a b"` (it is the name of a class, such as `pii.contact`)"#]].assert_eq(&faults(&text.join("\n")));
}

#[test]
fn conditions_and_principals_are_looked_at_too() {
    let text = r#"@id("a") forbid (principal in Group::"on call", action, resource);
@id("b") forbid (principal, action == Action::"http.get", resource)
  when { resource == Endpoint::"orders-db/etc/motd" };
@id("c") forbid (principal, action == Action::"http.get", resource)
  unless { [Endpoint::"orders-db//fine", Endpoint::"orders-db/never"].contains(resource) };"#;
    expect![[r#"
        a.cedar:1:31: nothing can be `Group::"on call"` (it is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -)
        a.cedar:3:22: nothing can be `Endpoint::"orders-db/etc/motd"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)
        a.cedar:5:42: nothing can be `Endpoint::"orders-db/never"` (it is `TARGET/NAME`, the name as it is, without %2F and %25. A kind.)"#]].assert_eq(&faults(text));
}
