//! What a member of a request means, by its name.

use crate::dialects::openai::images::What;

/// What a member holds, wherever in a request it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Anything: the API hands it on as it is, and neither names nor values mean anything to it.
    Opaque,
    /// Values of the API under names that the client chooses.
    Map,
    /// A list of tools.
    Tools,
    /// Which tools are forced or allowed.
    Choice,
    /// The settings of a web search, which thereby is offered.
    Search,
    Model,
    /// The content of a message: text or parts.
    Content,
    /// One id of a class.
    Id(&'static str),
    /// A list of ids.
    Ids(&'static str),
    /// An object with an `id` of a class, or that id itself.
    Holder(&'static str),
    /// An object with an `id` of a class, or a text of another meaning.
    Named(&'static str),
    /// An address to fetch from, by itself or as `url` in an object.
    Url(What),
    /// The name of a service behind which a host stands.
    Service,
    /// Hosts that a container or an environment may reach.
    Network,
    /// A file, an image or sound in Base64; in another type of value it is opaque.
    Inline(What),
    /// Sound in Base64, or an object: an earlier answer by its id, or what is wished of the next one.
    Audio,
    /// A credential for a third party.
    Credential,
    /// Nothing of its own.
    Plain,
}

/// Ids that lead to no stored object: the two ends of a call, of an event, of a request.
const NO_OBJECTS: [&str; 8] = [
    "call_id",
    "caller_id",
    "continuation_id",
    "event_id",
    "request_id",
    "stream_id",
    "tool_call_id",
    "approval_request_id",
];

/// Tells what a member holds. A name that nobody knows yet but looks like an id or an address is taken for one.
pub(super) fn place(name: &str) -> Place {
    match name {
        "annotations" | "arguments" | "attribute_matchers" | "attributes" | "env" | "filter" | "filters"
        | "input_schema" | "item" | "item_schema" | "jwks" | "logit_bias" | "logprobs" | "metadata"
        | "output_schema" | "parameters" | "request_metadata" | "sample" | "schema" | "state_variables"
        | "svg_usage" | "usage" => Place::Opaque,
        "graders" | "variables" => Place::Map,
        "functions" | "tools" => Place::Tools,
        "function_call" | "tool_choice" => Place::Choice,
        "web_search_options" => Place::Search,
        "model" => Place::Model,
        "content" => Place::Content,
        "authorization" | "domain_secrets" | "headers" => Place::Credential,
        "connector_id" | "tunnel_id" => Place::Service,
        "network" | "network_policy" => Place::Network,
        _ => id(name).or_else(|| fetched(name)).unwrap_or(Place::Plain),
    }
}

fn id(name: &str) -> Option<Place> {
    Some(match name {
        "comparison_response_id" | "previous_response_id" | "response_id" => Place::Id("response"),
        "conversation_id" => Place::Id("conversation"),
        "error_file_id" | "file_id" | "input_file_id" | "output_file_id" | "training_file" | "validation_file" => {
            Place::Id("file")
        }
        "file_ids" => Place::Ids("file"),
        "vector_store_id" => Place::Id("vector_store"),
        "vector_store_ids" => Place::Ids("vector_store"),
        "container_id" => Place::Id("container"),
        "assistant_id" => Place::Id("assistant"),
        "thread_id" => Place::Id("thread"),
        "run_id" => Place::Id("run"),
        "batch_id" => Place::Id("batch"),
        "eval_id" => Place::Id("eval"),
        "skill_id" => Place::Id("skill"),
        "agent_id" => Place::Id("agent"),
        "session_id" => Place::Id("agent_session"),
        "environment_id" => Place::Id("environment"),
        "environment_template_id" => Place::Id("environment_template"),
        "vault_ids" => Place::Ids("vault"),
        "credential_id" => Place::Id("vault_credential"),
        "part_ids" => Place::Ids("part"),
        "item_id" | "previous_item_id" => Place::Id("item"),
        "consent" => Place::Id("voice_consent"),
        "container" => Place::Holder("container"),
        "conversation" => Place::Holder("conversation"),
        "agent" => Place::Named("agent"),
        "environment" => Place::Named("environment"),
        "prompt" => Place::Named("prompt"),
        "video" => Place::Named("video"),
        "voice" => Place::Named("voice"),
        "workflow" => Place::Named("workflow"),
        _ if NO_OBJECTS.contains(&name) => return None,
        _ if name.ends_with("_id") => Place::Id("other"),
        _ if name.ends_with("_ids") => Place::Ids("other"),
        _ => return None,
    })
}

fn fetched(name: &str) -> Option<Place> {
    Some(match name {
        "image_url" => Place::Url(What::Image),
        "file_url" => Place::Url(What::File),
        "audio_url" | "video_url" => Place::Url(What::Media),
        "server_url" => Place::Url(What::Mcp),
        "url" => Place::Url(What::Other),
        "b64_json" => Place::Inline(What::Image),
        "file_data" => Place::Inline(What::File),
        "data" => Place::Inline(What::Media),
        "audio" => Place::Audio,
        _ if name.ends_with("_url") => Place::Url(What::Other),
        _ => return None,
    })
}
