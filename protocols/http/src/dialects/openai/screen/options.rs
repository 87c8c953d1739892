//! How one answer is screened.

use crate::dialects::openai::routes::Yield;

/// How an answer is built, by its route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// `/chat/completions`.
    Chat,
    /// `/completions`.
    Completions,
    /// `/responses`.
    Responses,
    /// `/agents`.
    Agents,
    /// Everything else: images, audio, Assistants, embeddings, files.
    Other,
}

/// What is done with the chunk that holds nothing but the usage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum UsageChunk {
    Pass,
    /// The client did not ask for it.
    Swallow,
}

/// Whether calls of tools are operations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Firewall {
    On,
    Off,
}

/// How one answer is screened.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) usage_chunk: UsageChunk,
    /// The number of the last event that the client has heard already; none up to that one leaves again.
    pub(crate) after: Option<i64>,
    pub(crate) firewall: Firewall,
    /// Bytes of the arguments of one call.
    pub(crate) max_call_bytes: usize,
    /// Bytes of the data of one event.
    pub(crate) max_event_bytes: usize,
    /// What stands in `model`, if the client knows the model by another name than the server.
    pub(crate) model_alias: Option<String>,
    /// What the events of the answer make known, where that matters.
    pub(crate) yields: Vec<Yield>,
}

impl Options {
    /// The default of [`Options::max_call_bytes`] and of [`Options::max_event_bytes`].
    pub(crate) const MAX_BYTES: usize = 1 << 20;
}
