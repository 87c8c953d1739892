//! The HTTP protocol's declarations, by their shape: what the packs name of them.

use sluice_model::{Action, ActionSpec, Effect, FactGroup, FactSpec, FactType, Resource, ResourceSpec, Schema};

const fn verb(name: &'static str, effect: Effect, on: &'static [&'static str], facts: &'static str) -> ActionSpec {
    ActionSpec { action: Action { name, effect }, on, facts, doc: "" }
}

const fn fact(name: &'static str, of: FactType) -> FactSpec {
    FactSpec { name, of, doc: "" }
}

const MODELS: &[&str] = &[Resource::TARGET, "Model"];

pub(crate) static API: Schema = Schema {
    protocol: "http",
    version: 1,
    actions: &[
        verb("http.connect", Effect::Connect, &[Resource::TARGET], "http"),
        verb("llm.chat", Effect::Execute, MODELS, "llm"),
        verb("llm.embed", Effect::Execute, MODELS, "llm"),
        verb("llm.run", Effect::Execute, MODELS, "llm"),
        verb("llm.send_opaque", Effect::Write, &[Resource::TARGET], "llm"),
        verb("llm.models", Effect::Read, &[Resource::TARGET], "llm"),
        verb("llm.file", Effect::Write, &[Resource::TARGET], "llm"),
        verb("llm.trace", Effect::Execute, &[Resource::TARGET], "llm"),
        verb("tool.offer", Effect::Execute, &["Tool"], "llm"),
        verb("tool.call", Effect::Execute, &["Tool"], "tool"),
    ],
    resources: &[
        ResourceSpec { kind: "Model", within: Resource::TARGET, can_be: ResourceSpec::ANY, doc: "" },
        ResourceSpec { kind: "Tool", within: Resource::TARGET, can_be: ResourceSpec::ANY, doc: "" },
    ],
    facts: &[
        FactGroup { name: "http", facts: &[fact("method", FactType::Text)] },
        FactGroup {
            name: "llm",
            facts: &[
                fact("method", FactType::Text),
                fact("route", FactType::Text),
                fact("model", FactType::Text),
                fact("tools", FactType::Set),
                fact("hosted_tools", FactType::Set),
                fact("mints", FactType::Bool),
            ],
        },
        FactGroup {
            name: "tool",
            facts: &[
                fact("name", FactType::Text),
                fact("kind", FactType::Text),
                fact("parsed", FactType::Bool),
                fact("destructive", FactType::Bool),
            ],
        },
    ],
};
