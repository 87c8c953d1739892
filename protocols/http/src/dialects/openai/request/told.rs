//! What a body tells policies and budgets.

use std::collections::BTreeSet;

use sluice_wire::{Object, Side};

use crate::dialects::openai::ask::{self, Asked, AskedForm, Mention, Usage, When};
use crate::dialects::openai::estimate::Bound;
use crate::dialects::openai::tools::{Kind as Runs, Offered};

/// What a body tells policies and budgets.
#[derive(Default)]
pub(super) struct Told {
    pub(super) model: Option<String>,
    pub(super) real_model: Option<String>,
    pub(super) stream: bool,
    pub(super) background: bool,
    pub(super) opaque: bool,
    pub(super) injected: bool,
    pub(super) tools: BTreeSet<String>,
    pub(super) hosted: BTreeSet<String>,
    pub(super) hosts: BTreeSet<String>,
    pub(super) messages: usize,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) results: Vec<String>,
    pub(super) objects: Vec<Object>,
    /// The answer cannot be asked for again.
    pub(super) passing: bool,
    pub(super) tier: Option<String>,
    /// How far what was reserved holds.
    pub(super) bound: Option<Bound>,
    pub(super) approves: usize,
    pub(super) credentials: usize,
}

impl Told {
    pub(super) fn of(asked: &Asked<'_>, opaque: bool, passing: bool) -> Self {
        Self {
            model: asked.model.clone(),
            real_model: asked.real_model.clone(),
            stream: asked.stream == ask::Stream::Events,
            background: asked.when == When::Later,
            opaque: opaque || asked.unread || asked.inline > 0,
            injected: asked.usage == Usage::Injected,
            tools: run_by(&asked.tools, Side::Client),
            hosted: run_by(&asked.tools, Side::Server),
            hosts: asked.fetched.iter().map(|fetched| fetched.host.clone()).collect(),
            messages: asked.messages,
            input_tokens: asked.estimate.input_tokens,
            output_tokens: asked.estimate.output_tokens,
            objects: objects(&asked.ids),
            passing,
            tier: asked.tier.clone(),
            bound: Some(asked.estimate.bound),
            approves: asked.approvals.iter().filter(|approval| approval.answer == ask::Answer::Approve).count(),
            credentials: asked.credentials,
            results: asked.outputs.iter().map(|output| output.call.clone()).collect(),
        }
    }

    pub(super) fn of_form(asked: &AskedForm, opaque: bool) -> Self {
        Self {
            model: asked.model.clone(),
            real_model: asked.real_model.clone(),
            stream: asked.stream == ask::Stream::Events,
            opaque: opaque || asked.inline > 0,
            tools: run_by(&asked.tools, Side::Client),
            hosted: run_by(&asked.tools, Side::Server),
            hosts: asked.fetched.iter().map(|fetched| fetched.host.clone()).collect(),
            input_tokens: asked.estimate.input_tokens,
            output_tokens: asked.estimate.output_tokens,
            objects: objects(&asked.ids),
            credentials: asked.credentials,
            bound: Some(asked.estimate.bound),
            ..Self::default()
        }
    }
}

/// The tools that a side runs.
fn run_by(tools: &BTreeSet<Offered>, side: Side) -> BTreeSet<String> {
    let runs = |tool: &&Offered| match tool.kind {
        Runs::Function | Runs::Custom => side == Side::Client,
        Runs::Hosted | Runs::Remote => side == Side::Server,
    };
    tools.iter().filter(runs).map(|tool| tool.family().to_owned()).collect()
}

fn objects(ids: &BTreeSet<Mention>) -> Vec<Object> {
    ids.iter().map(|id| Object { class: id.class.to_owned(), id: id.id.clone() }).collect()
}
