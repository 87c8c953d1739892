//! What loads and what does not: every fault at once, each with its place.

use expect_test::{Expect, expect};
use sluice_model::{Level, Tag, Transform};
use sluice_policy::{Policies, Settings, Source, schema_text};

use crate::world::{SHELL, SQL, faults};

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&faults(text));
}

/// The examples of the design, as they stand there.
const EXAMPLES: &str = r#"
@id("no-unbounded-dml") @message("UPDATE or DELETE without WHERE is refused everywhere.") @hint("Add a WHERE clause, or work in batches.")
forbid (principal, action == Action::"sql.write", resource)
when { ["update","delete"].contains(context.stmt.kind) && !context.stmt.has_where };

@id("prod-write-needs-approval") @approve("Group::dba-oncall") @approve_count("1") @approve_scope("statement") @approve_ttl("15m")
@message("Writes to production need one approval from the on-call DBA.")
forbid (principal, action in Action::"write", resource in Env::"prod")
unless { context.base has approval && context.base.approval.digest_ok && context.base.approval.count >= 1
         && context.base.now < context.base.approval.expires };

@id("support-sees-partial-contact")
permit (principal in Group::"support", action == Action::"reveal.partial", resource in Tag::"pii.contact");

@id("no-secrets-to-vendors")
forbid (principal, action == Action::"disclose", resource in Tag::"secret");

@id("sre-diagnostics")
permit (principal in Group::"sre", action == Action::"ssh.exec", resource in Env::"prod")
when { context.exec.parsed && context.exec.login != "root"
       && ["journalctl","systemctl","ls","cat","ss","grep"].containsAll(context.exec.programs) };
"#;

#[test]
fn the_examples_of_the_design_validate() {
    check(EXAMPLES, &expect!["compiles"]);
}

#[test]
fn unknown_names_do_not_load() {
    check(
        r#"@id("a") permit (principal, action == Action::"sql.listn", resource);
@id("b") permit (principal, action == Action::"sql.read", resource in Channe::"x");
@id("c") permit (principal, action == Action::"sql.read", resource) when { context.stmt.in_transactio };
@id("d") permit (principal, action == Action::"sql.read", resource) when { context.base.approval.digest_ok };"#,
        &expect![[r#"
            a.cedar:1:39: unrecognized action `Action::"sql.listn"` (did you mean `Action::"sql.listen"`?)
            a.cedar:2:71: unrecognized entity type `Channe` (did you mean `Channel`?)
            a.cedar:3:76: attribute `stmt.in_transactio` in context for Action::"sql.read" not found (did you mean `in_transaction`?)
            a.cedar:4:76: unable to guarantee safety of access to optional attribute `base.approval` in context for Action::"sql.read" (try testing for the attribute's presence with `context.base has approval && ..`)"#]],
    );
}

#[test]
fn annotations_are_typed() {
    check(
        r#"@id("a") @mesage("x") permit (principal, action in Action::"read", resource);
@id("b") @mode("maybe") permit (principal, action in Action::"read", resource);
@id("c") @approve("dba") forbid (principal, action in Action::"read", resource);
@id("d") @approve_count("2") forbid (principal, action in Action::"read", resource);
@id("e") @approve("Group::dba") permit (principal, action in Action::"read", resource);
@id("f") @approve("Group::dba") @approve_ttl("soon") @approve_count("0") forbid (principal, action in Action::"read", resource);
@id("g") @max_rows("many") permit (principal, action in Action::"read", resource);
@id("h") @timeout("5s") forbid (principal, action in Action::"read", resource);
@id("i") @message("") @approve_scope("once") @approve("Group::x") forbid (principal, action in Action::"read", resource);"#,
        &expect![[r#"
            a.cedar:1:10: @mesage: unknown annotation (known annotations: id, message, hint, approve, approve_count, approve_scope, approve_ttl, explain, mode, max_rows, max_bytes, timeout, requests, tokens, cost, per)
            a.cedar:2:10: @mode: `maybe` is none of shadow, enforce
            a.cedar:3:10: @approve: `dba` names no group (write it as Group::name)
            a.cedar:4:10: @approve_count: it says how to approve but not who (add @approve("Group::name"))
            a.cedar:5:10: @approve: approval lifts a forbid, and this is a permit (put it on a forbid with `unless`)
            a.cedar:6:33: @approve_ttl: `soon` is not a duration (write a number of ms, s, m, h or d)
            a.cedar:6:54: @approve_count: `0` is not a number from 1 to 20
            a.cedar:7:10: @max_rows: `many` is not a whole number
            a.cedar:8:10: @timeout: a limit belongs to a permit, and this is a forbid (write a permit that carries only limits)
            a.cedar:9:10: @message: it must be one line of 1 to 500 bytes
            a.cedar:9:23: @approve_scope: `once` is none of statement, session, window"#]],
    );
}

#[test]
fn ids_are_required_valid_unique_and_not_built_in() {
    check(
        r#"permit (principal, action in Action::"read", resource);
@id("a b") permit (principal, action in Action::"read", resource);
@id("default-deny") permit (principal, action in Action::"read", resource);
@id("x") permit (principal, action in Action::"read", resource);
@id("x") forbid (principal, action in Action::"read", resource);"#,
        &expect![[r#"
            a.cedar:1:1: this policy has no @id (start it with @id("name-of-the-rule"))
            a.cedar:2:1: @id: `a b` is no id (use 1 to 128 characters of A-Z a-z 0-9 . _ : @ -)
            a.cedar:3:1: @id: `default-deny` is the name of a built-in rule (choose another name)
            a.cedar:5:1: @id: `x` is taken by a policy in `a.cedar` (ids are unique)"#]],
    );
}

#[test]
fn a_syntax_error_does_not_hide_other_faults() {
    check(
        "@id(\"a\") permit (principal, action, resource;\n@id(\"b\") permit (principal == ?principal, action, resource);\n\
         permit (principal, action in Action::\"read\", resource);\n@id(\"c\") permit (principal, action, resource)",
        &expect![[r#"
            a.cedar:1:45: unexpected token `;`
            a.cedar:2:31: expected a static policy, got a template containing the slot ?principal (try removing the template slot(s) from this policy)
            a.cedar:3:1: this policy has no @id (start it with @id("name-of-the-rule"))
            a.cedar:4:46: unexpected end of input"#]],
    );
}

#[test]
fn a_policy_that_can_never_apply_does_not_load() {
    check(
        r#"@id("a") forbid (principal, action == Action::"sql.read", resource is Setting);
@id("b") forbid (principal, action == Action::"sql.read", resource) when { context has exec };"#,
        &expect![[r#"
            a.cedar:1:1: unable to find an applicable action given the policy scope constraints
            a.cedar:2:1: policy is impossible: the policy expression evaluates to false for all valid requests"#]],
    );
}

#[test]
fn protocols_that_contradict_each_other_do_not_load() {
    let faults = Policies::compile(&[], &[&SQL, &SQL], &Settings::default(), 1).unwrap_err();
    assert_eq!(faults.problems().len(), SQL.actions.len() + SQL.facts.len());
    let first = faults.problems().first().unwrap().to_string();
    assert!(first.starts_with("schema:1:1: action `postgres.connect`"), "{first}");
}

#[test]
fn faults_of_settings_and_policies_come_together() {
    let source = Source { name: "x.cedar".to_owned(), text: "permit (principal, action, resource);".to_owned() };
    let transforms = vec![(Tag::new("pii").unwrap(), Level::Full, Transform::Null)];
    let faults = Policies::compile(&[source], &[&SQL], &Settings { transforms }, 1).unwrap_err();
    let files: Vec<&str> = faults.problems().iter().map(|problem| problem.file.as_str()).collect();
    assert_eq!(files, ["settings", "x.cedar"]);
}

#[test]
fn the_schema_is_printed_in_cedars_own_syntax() {
    expect![[r#"
        // What Sluice policies may name. Protocols: ssh 1.

        entity Group;
        entity User in [Group];
        // An agent acts for its owner; both need an allow.
        entity Agent in [Group] { owner: User, purpose?: String };
        entity Workload in [Group] { issuer: String };
        entity Env;
        entity Target in [Env];
        // Dots make the hierarchy: Tag::"pii.contact" lies in Tag::"pii".
        entity Tag in [Tag];
        // Values of one class that were found at a target: Value::"orders-db/pii.contact". Nothing is asked about a tag
        // itself, only about what lies in it.
        entity Value in [Target, Tag];

        type ApprovalGiven = { count: Long, expires: Long, digest_ok: Bool };
        // now and expires: seconds since 1970. weekday: 1 is Monday, 7 is Sunday. minute: of the day, site time.
        // part: of the target, such as the database of a server; empty where it has none.
        type BaseContext = {
          now: Long, weekday: Long, minute: Long,
          part: String, session: String, stage: String,
          client?: ipaddr, approval?: ApprovalGiven,
        };

        // Ids below a target are paths: Column::"orders-db/public/customers/email"; a `/` or `%` inside a name is %2F or %25.
        // Of a kind that lies in a target and in which nothing lies, the name is written as it is.

        // Effects: groups that hold the actions of every protocol.
        action "connect", "read", "write", "define", "administer", "execute", "unknown";

        // ssh: context.exec
        type SshExecFacts = {
        // A fact.
          login: String,
        // A fact.
          programs: Set<String>,
        // A fact.
          parsed: Bool,
        // A fact.
          size: Long,
        };
        // A verb.
        action "ssh.exec" in ["execute"] appliesTo { principal: [User, Agent, Workload], resource: [Target], context: { base: BaseContext, exec: SshExecFacts } };
        // A verb.
        action "sftp.read" in ["read"] appliesTo { principal: [User, Agent, Workload], resource: [Target], context: { base: BaseContext, exec: SshExecFacts } };

        // The product's own verbs: a permit must name them, an unconstrained `action` does not cover them.
        action "reveal", "reveal.partial", "reveal.token", "filter" appliesTo { principal: [User, Agent, Workload], resource: [Value], context: { base: BaseContext } };
        action "disclose", "disclose.token" appliesTo { principal: [User, Agent, Workload], resource: [Value], context: { base: BaseContext } };
        action "approve", "replay", "kill", "admin" appliesTo { principal: [User, Agent, Workload], resource: [Target, Env], context: { base: BaseContext } };
    "#]]
    .assert_eq(&schema_text(&[&SHELL]));
}
