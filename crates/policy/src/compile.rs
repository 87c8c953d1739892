//! Policy text into rules: parsed, annotated, identified, and validated against what the protocols declare.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Policy, PolicyId, PolicySet, Schema as CedarSchema, ValidationMode, ValidationResult,
    ValidationWarning, Validator,
};
use miette::Diagnostic;
use sluice_model::{RuleId, Schema};

use crate::annotation::{self, Notes};
use crate::ask::Compiled;
use crate::condition;
use crate::diagnostic::{Diagnostics, Problem};
use crate::naming;
use crate::refusal::BUILT_IN;
use crate::rule::{Rule, RuleSet};
use crate::schema::{is_own, schema_text};
use crate::scope::Scope;
use crate::settings::{Settings, Transforms};
use crate::source::{Source, Statement, statements};
use crate::vocabulary::Vocabulary;

/// What compiling gives: the rules that enforce, and these with the shadow rules.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) compiled: Compiled,
    pub(crate) enforced: RuleSet,
    pub(crate) shadowed: Option<RuleSet>,
}

/// Compiles policies; gives every fault at once.
pub(crate) fn compile(
    sources: &[Source],
    schemas: &[&'static Schema],
    settings: &Settings,
    epoch: u64,
) -> Result<Output, Diagnostics> {
    let mut problems = Vec::new();
    let vocabulary = Vocabulary::new(schemas).map_err(|mut faults| problems.append(&mut faults));
    let transforms = Transforms::new(settings).map_err(|mut faults| problems.append(&mut faults));
    let drafts = read(sources, &mut problems);
    if vocabulary.is_ok() {
        validate(sources, &drafts, &schema_text(schemas), &mut problems);
    }
    if let Ok(vocabulary) = &vocabulary {
        check_names(vocabulary, sources, &drafts, &mut problems);
    }
    let rules = identify(sources, drafts, &mut problems);
    let (Ok(vocabulary), Ok(transforms), true) = (vocabulary, transforms, problems.is_empty()) else {
        return Err(Diagnostics::new(problems));
    };
    let compiled = Compiled { vocabulary, transforms, authorizer: Authorizer::new(), epoch };
    let has_shadow = rules.iter().any(|rule| rule.notes.shadow);
    let enforced = RuleSet::new(rules.iter().filter(|rule| !rule.notes.shadow).cloned());
    let shadowed = if has_shadow { RuleSet::new(rules.iter().cloned()) } else { None };
    match enforced {
        Some(enforced) if has_shadow == shadowed.is_some() => Ok(Output { compiled, enforced, shadowed }),
        _ => Err(Diagnostics::new(vec![Problem::outside("policies", "two rules share an id")])),
    }
}

/// A policy that parsed, under an id that is unique among all files.
#[derive(Debug)]
struct Draft<'a> {
    source: usize,
    statement: Statement<'a>,
    policy: Policy,
}

fn read<'a>(sources: &'a [Source], problems: &mut Vec<Problem>) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for statement in statements(&source.text) {
            let id = PolicyId::new(format!("#{}", drafts.len()));
            match Policy::parse(Some(id), statement.text) {
                Ok(policy) => drafts.push(Draft { source: index, statement, policy }),
                Err(errors) => {
                    problems.extend(errors.iter().map(|error| problem(source, &statement, error)));
                }
            }
        }
    }
    drafts
}

fn problem(source: &Source, statement: &Statement<'_>, error: &dyn Diagnostic) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let span = label.map_or(0..statement.text.len(), |label| label.offset()..label.offset() + label.len());
    let span = statement.start + span.start..statement.start + span.end;
    let text = error.to_string();
    let message = text.split_once("`, ").filter(|(head, _)| head.starts_with("for policy `"));
    let help = error.help().map(|help| help.to_string());
    Problem::at(source, span, message.map_or(text.as_str(), |(_, message)| message)).with_help(help)
}

fn validate(sources: &[Source], drafts: &[Draft<'_>], schema: &str, problems: &mut Vec<Problem>) {
    let schema = match CedarSchema::from_cedarschema_str(schema) {
        Ok((schema, _)) => schema,
        Err(error) => return problems.push(Problem::outside("schema", error.to_string())),
    };
    let set = match PolicySet::from_policies(drafts.iter().map(|draft| draft.policy.clone())) {
        Ok(set) => set,
        Err(error) => return problems.push(Problem::outside("policies", error.to_string())),
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    for (id, fault) in faults(&result) {
        let draft = drafts.iter().find(|draft| draft.policy.id() == id);
        match draft.and_then(|draft| Some((draft, sources.get(draft.source)?))) {
            Some((draft, source)) => problems.push(problem(source, &draft.statement, fault)),
            None => problems.push(Problem::outside("policies", fault.to_string())),
        }
    }
}

/// Whether every entity that a policy names can be.
fn check_names(vocabulary: &Vocabulary, sources: &[Source], drafts: &[Draft<'_>], problems: &mut Vec<Problem>) {
    for draft in drafts {
        let Some(source) = sources.get(draft.source) else { continue };
        for uid in draft.policy.entity_literals() {
            if let Some((message, help)) = naming::fault(vocabulary, &uid) {
                let literal = uid.to_string();
                let span = draft.statement.text.find(&literal).map_or(0..0, |start| start..start + literal.len());
                let span = draft.statement.start + span.start..draft.statement.start + span.end;
                problems.push(Problem::at(source, span, message).with_help(Some(help)));
            }
        }
    }
}

/// Errors and warnings: a policy that can never apply is one that does not do what its author thinks. That it is
/// impossible is not said of a policy of which something says why.
fn faults(result: &ValidationResult) -> Vec<(&PolicyId, &dyn Diagnostic)> {
    let mut found: Vec<(&PolicyId, &dyn Diagnostic)> =
        result.validation_errors().map(|error| (error.policy_id(), error as &dyn Diagnostic)).collect();
    for stage in [false, true] {
        let told: BTreeSet<&PolicyId> = found.iter().map(|(id, _)| *id).collect();
        let is_consequence = |warning: &ValidationWarning| matches!(warning, ValidationWarning::ImpossiblePolicy(_));
        let warnings = result.validation_warnings().filter(|warning| is_consequence(warning) == stage);
        let fresh = warnings.filter(|warning| !told.contains(warning.policy_id()));
        found.extend(fresh.map(|warning| (warning.policy_id(), warning as &dyn Diagnostic)));
    }
    found
}

/// Turns drafts into rules under their own ids.
fn identify(sources: &[Source], drafts: Vec<Draft<'_>>, problems: &mut Vec<Problem>) -> Vec<Arc<Rule>> {
    let mut seen: BTreeMap<RuleId, String> = BTreeMap::new();
    let mut rules = Vec::new();
    for draft in drafts {
        let Some(source) = sources.get(draft.source) else { continue };
        let notes = annotation::notes(draft.policy.effect(), draft.policy.annotations());
        let notes = notes.map_err(|faults| {
            problems.extend(faults.into_iter().map(|fault| {
                let message = format!("@{}: {}", fault.key, fault.message);
                Problem::at(source, place(&draft.statement, &fault.key), message).with_help(fault.help)
            }));
        });
        let id = id(&draft, &seen).map_err(|(message, help)| {
            problems.push(Problem::at(source, place(&draft.statement, "id"), message).with_help(help));
        });
        let Ok(id) = id else { continue };
        seen.insert(id.clone(), source.name.clone());
        if let Ok(notes) = notes {
            match rule(id, source, &draft.policy, notes) {
                Ok(rule) => rules.push(Arc::new(rule)),
                Err(message) => problems.push(Problem::at(source, place(&draft.statement, "id"), message)),
            }
        }
    }
    rules
}

fn place(statement: &Statement<'_>, annotation: &str) -> Range<usize> {
    let start = statement.annotation(annotation);
    start..start + annotation.len() + 1
}

fn id(draft: &Draft<'_>, seen: &BTreeMap<RuleId, String>) -> Result<RuleId, (String, Option<&'static str>)> {
    let Some(text) = draft.policy.annotation("id") else {
        return Err(("this policy has no @id".to_owned(), Some("start it with @id(\"name-of-the-rule\")")));
    };
    let Ok(id) = RuleId::new(text) else {
        return Err((format!("@id: `{text}` is no id"), Some("use 1 to 128 characters of A-Z a-z 0-9 . _ : @ -")));
    };
    if BUILT_IN.contains(&text) {
        return Err((format!("@id: `{text}` is the name of a built-in rule"), Some("choose another name")));
    }
    match seen.get(&id) {
        Some(file) => Err((format!("@id: `{text}` is taken by a policy in `{file}`"), Some("ids are unique"))),
        None => Ok(id),
    }
}

fn rule(id: RuleId, source: &Source, policy: &Policy, notes: Notes) -> Result<Rule, String> {
    let no_form = || "this policy has no static form".to_owned();
    let tree = policy.to_pst().map_err(|_| no_form())?;
    let policy = policy.new_id(PolicyId::from_str(id.as_str()).map_err(|_| no_form())?);
    let scope = Scope::of(&policy);
    if notes.controls.is_some()
        && let Some(verb) = scope.actions().find(|verb| is_own(verb))
    {
        return Err(format!("a limit on `{verb}` would never apply: only operations of protocols are limited"));
    }
    Ok(Rule {
        source: source.name.as_str().into(),
        scope,
        volatile: condition::volatile(tree.body()),
        clauses: condition::clauses(tree.body()),
        id,
        policy,
        notes,
    })
}
