//! The verbs, resources and facts of HTTP and of the LLM APIs, as policies see them.

use sluice_model::{FactGroup, FactSpec, FactType, Resource, ResourceSpec, Schema, fact};

const TARGET: &str = Resource::TARGET;

/// A language model, by the name that clients use.
pub(crate) const MODEL: &str = "Model";
/// A tool, by its name; hosted tools by their type.
pub(crate) const TOOL: &str = "Tool";

/// Facts of a plain HTTP request.
pub(crate) const HTTP: &str = "http";
/// Facts of a request to an LLM API.
pub(crate) const LLM: &str = "llm";
/// Facts of a call that a model asks a tool for.
pub(crate) const CALL: &str = "tool";

sluice_model::actions! {
    CONNECT = "http.connect" Connect HTTP on [TARGET] "Use the target at all.";
    READ = "http.read" Read HTTP on [TARGET] "GET and HEAD.";
    WRITE = "http.write" Write HTTP on [TARGET] "POST, PUT and PATCH.";
    DELETE = "http.delete" Write HTTP on [TARGET] "DELETE.";
    SEND_OPAQUE = "http.send_opaque" Write HTTP on [TARGET] "Send a body that is not looked into: files, audio, archives.";
    TAKE_OPAQUE = "http.take_opaque" Read HTTP on [TARGET] "Take an answer that is not looked into although some values are masked here.";
    SEND_LLM_OPAQUE = "llm.send_opaque" Write LLM on [TARGET] "Send parts that are not looked into: files, images, sound.";
    TAKE_LLM_OPAQUE = "llm.take_opaque" Read LLM on [TARGET] "Take an answer that is not looked into although some values are masked here.";
    CHAT = "llm.chat" Execute LLM on [TARGET, MODEL] "Ask a model for an answer: chat, completions, responses.";
    EMBED = "llm.embed" Execute LLM on [TARGET, MODEL] "Embeddings.";
    MODERATE = "llm.moderate" Execute LLM on [TARGET, MODEL] "Moderations.";
    IMAGE = "llm.image" Execute LLM on [TARGET, MODEL] "Make or change images.";
    AUDIO = "llm.audio" Execute LLM on [TARGET, MODEL] "Speech, transcriptions, translations.";
    VIDEO = "llm.video" Execute LLM on [TARGET, MODEL] "Make or change videos.";
    MODELS = "llm.models" Read LLM on [TARGET] "List models.";
    STORED = "llm.read" Read LLM on [TARGET, MODEL] "Read what is stored at the target.";
    FILE = "llm.file" Write LLM on [TARGET] "Store files.";
    STORE = "llm.store" Write LLM on [TARGET, MODEL] "Store conversations, vector stores, assistants, evaluations.";
    RUN = "llm.run" Execute LLM on [TARGET, MODEL] "Batches, fine-tuning, runs.";
    REALTIME = "llm.realtime" Execute LLM on [TARGET, MODEL] "Realtime sessions.";
    REMOVE = "llm.delete" Write LLM on [TARGET] "Delete or cancel what is stored at the target.";
    ADMINISTER = "llm.admin" Administer LLM on [TARGET] "The organization, its projects, keys and users.";
    TRACE = "llm.trace" Execute LLM on [TARGET] "Hand traces of an agent in; they are recorded and go nowhere else.";
    OFFER = "tool.offer" Execute LLM on [TOOL] "Offer a tool to a model, or have the target run one of its own.";
    CALL_TOOL = "tool.call" Execute CALL on [TOOL] "A call that a model asks for and the client would make.";
}

/// What policies may name.
pub const SCHEMA: Schema = Schema {
    protocol: "http",
    version: 1,
    actions: ACTIONS,
    resources: &[
        ResourceSpec {
            kind: MODEL,
            within: TARGET,
            can_be: ResourceSpec::ANY,
            doc: "A model: Model::\"openai/gpt-5\".",
        },
        ResourceSpec {
            kind: TOOL,
            within: TARGET,
            can_be: ResourceSpec::ANY,
            doc: "A tool: Tool::\"openai/lookup_order\"; hosted ones by their type. A call of one of a namespace or of a server \
                  of tools is asked about by both names: Tool::\"openai/crm.lookup_order\" too.",
        },
    ],
    facts: &[
        FactGroup { name: HTTP, facts: HTTP_FACTS },
        FactGroup { name: LLM, facts: LLM_FACTS },
        FactGroup { name: CALL, facts: TOOL_FACTS },
    ],
};

const HTTP_FACTS: &[FactSpec] = &[
    fact("method", FactType::Text, "GET, POST, …"),
    fact(
        "path",
        FactType::Text,
        "Below the target, beginning with a slash, without the query; with escapes of what needs one only.",
    ),
    fact("query", FactType::Set, "The names of the query's parameters."),
    fact("content_type", FactType::Text, "Of the body, without parameters; empty where there is none."),
    fact("body_bytes", FactType::Long, "The size of the body; -1 where it is not known."),
    fact("opaque", FactType::Bool, "The body is not looked into."),
    fact("tags", FactType::Set, "Classes of protected values that were found in the body."),
];

const LLM_FACTS: &[FactSpec] = &[
    fact("method", FactType::Text, "GET, POST, …"),
    fact("route", FactType::Text, "The operation as the API describes it: /responses/{response_id}."),
    fact("model", FactType::Text, "The model that the client names; empty where there is none."),
    fact("stream", FactType::Bool, "The answer is asked for as a stream."),
    fact("background", FactType::Bool, "The answer is asked for later."),
    fact("tools", FactType::Set, "Tools that are offered to the model and run by the client."),
    fact("hosted_tools", FactType::Set, "Tools that the target itself would run, by type."),
    fact(
        "hosts",
        FactType::Set,
        "Hosts that the target is told to reach: for images, files, sound, MCP servers, networks; `*` is any.",
    ),
    fact("messages", FactType::Long, "How many messages or items the input has."),
    fact("input_tokens", FactType::Long, "At most this many, by an estimate."),
    fact("output_tokens", FactType::Long, "At most this many."),
    fact("body_bytes", FactType::Long, "The size of the body; -1 where it is not known."),
    fact("opaque", FactType::Bool, "The body has parts that are not looked into."),
    fact("mints", FactType::Bool, "The answer holds a credential that works past the broker."),
    fact("tier", FactType::Text, "The service tier that is asked for; some cost more than the listed prices."),
    fact("approves", FactType::Long, "How many requests for approval it answers with anything but a no."),
    fact("beta", FactType::Set, "Features under trial that the header OpenAI-Beta asks for: assistants=v2."),
    fact("credentials", FactType::Long, "How many credentials were in the body; they are taken out."),
    fact("tags", FactType::Set, "Classes of protected values that were found in the body."),
];

const TOOL_FACTS: &[FactSpec] = &[
    fact("name", FactType::Text, "The tool's name, as the client runs it."),
    fact("scope", FactType::Text, "The namespace or the server of tools that it is one of; empty where there is none."),
    fact("kind", FactType::Text, "function, custom, shell, apply_patch, computer, mcp_approval or approval."),
    fact("parsed", FactType::Bool, "The arguments are JSON; only then `args` and `keys` say anything."),
    fact(
        "args",
        FactType::Set,
        "Every argument as PATH=VALUE: to=bob, items[0].id=7; in names `.`, `[`, `]`, `=` and `\\` follow a `\\`.",
    ),
    fact("keys", FactType::Set, "The path of every argument."),
    fact("destructive", FactType::Bool, "The configuration says that the tool destroys something."),
    fact("model", FactType::Text, "The model that asks for it."),
    fact("tags", FactType::Set, "Classes of protected values that were found in the arguments."),
];
