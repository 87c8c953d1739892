//! What programs write in this API, and neither a model nor a person: outputs of tools.
//!
//! A text that begins like a JSON object and is none that can be read in one way only is covered as a whole there. What
//! models and people write is prose: it may begin with a bracket and be no JSON at all.

use sluice_mask::json::{Kind, Leaf, Step};

use crate::veil::begins_object;

/// Members that hold what a tool gave: a text, parts of it, streams of a shell, logs, texts that were found.
const OUTPUTS: [&str; 3] = ["output", "outputs", "results"];

/// Roles of messages that are an output of a tool.
const ROLES: [&str; 2] = ["tool", "function"];

/// Tells whether a program wrote a text that reads like an object.
pub(crate) fn wrote(leaf: &Leaf<'_>, text: &str) -> bool {
    let steps: Vec<Step<'_>> = leaf.path().collect();
    leaf.outer().is_some_and(|outer| wrote(outer, text))
        || is_output(&steps)
        || is_message_of_tool(leaf, &steps)
        || is_bare_input(&steps) && leaf.outer().is_none() && begins_object(text)
}

fn is_output(steps: &[Step<'_>]) -> bool {
    match steps {
        [.., Step::Member(name)] if holds_outputs(name) => true,
        [.., Step::Member(name), Step::Item(_) | Step::Member(_)]
        | [.., Step::Member(name), Step::Item(_), Step::Member(_)] => holds_outputs(name),
        _ => false,
    }
}

fn holds_outputs(name: &str) -> bool {
    OUTPUTS.contains(&name)
}

/// The `input` of a request that is a text, or a list of texts: whatever the client was given.
fn is_bare_input(steps: &[Step<'_>]) -> bool {
    matches!(steps, [Step::Member(name)] | [Step::Member(name), Step::Item(_)] if name == "input")
}

fn is_message_of_tool(leaf: &Leaf<'_>, steps: &[Step<'_>]) -> bool {
    leaf.containers().zip(steps.iter().rev()).any(|(container, step)| {
        let role = container.get("role").filter(|role| role.kind() == Kind::String).and_then(|role| role.text());
        matches!(step, Step::Member(name) if name == "content") && role.is_some_and(|role| ROLES.contains(&&*role))
    })
}
