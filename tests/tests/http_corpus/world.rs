//! A broker, a server behind it whose answers each attempt chooses, and the agent of the corpus.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use sluice_tests::api::Api;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::jwt::{AUDIENCE, ISSUER, Issuer};
use sluice_tests::mock::{Mock, Peer, Told};

/// How a request is answered.
pub(crate) type Script = Arc<dyn Fn(&Told, &mut Peer) + Send + Sync>;

/// What the agent and its owner may do.
const POLICY: &str = r#"
@id("agent-connects")
permit (principal in Group::"agents", action == Action::"http.connect", resource);
@id("agent-asks")
permit (principal in Group::"agents", action == Action::"llm.chat", resource)
when { ["/chat/completions", "/responses"].contains(context.llm.route) };
@id("agent-lists-models")
permit (principal in Group::"agents", action == Action::"llm.models", resource);
@id("agent-looks-orders-up")
permit (principal in Group::"agents", action in [Action::"tool.offer", Action::"tool.call"], resource)
when { resource == Tool::"openai/lookup_order" || resource == Tool::"hasty/lookup_order" };
"#;

/// A broker that lets everything through must be found out.
const OPEN: &str = r#"@id("everything") permit (principal, action, resource);"#;

/// Everything that an attempt needs.
pub(crate) struct World {
    pub(crate) mock: Mock,
    pub(crate) broker: Broker,
    pub(crate) token: String,
    pub(crate) issuer: Issuer,
    /// Where the issuer's keys are fetched from.
    pub(crate) keys: Mock,
    script: Arc<Mutex<Script>>,
}

impl World {
    /// The world of the corpus.
    pub(crate) fn guarded() -> Self {
        Self::make("{ gpt-small: {} }", "[{ name: email }, { name: us-ssn }]", POLICY)
    }

    /// A world in which everything is permitted and nothing is looked for.
    pub(crate) fn open() -> Self {
        Self::make("{}", "[]", OPEN)
    }

    fn make(models: &str, detectors: &str, policy: &str) -> Self {
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(|_: &Told, peer: &mut Peer| peer.json("{}"))));
        let chosen = Arc::clone(&script);
        let mock = Mock::start(move |told, peer| {
            let script = Arc::clone(&chosen.lock().unwrap_or_else(PoisonError::into_inner));
            script(told, peer);
        });
        let issuer = Issuer::new();
        let jwks = issuer.jwks();
        let keys = Mock::start(move |_, peer| peer.json(&jwks));
        let guarded = |name: &str, host: &str| {
            Api::openai(name, "prod", mock.port())
                .with(&format!("hosts: [{host}]"))
                .with(&format!("models: {models}"))
                .with(&format!("detectors: {detectors}"))
        };
        // The same with little patience.
        let hasty = guarded("hasty", "hasty").with("limits: { idle_seconds: 1, total_seconds: 3 }");
        let issuers = format!(
            "issuers:\n  - {{ name: corp, issuer: \"{ISSUER}\", audiences: [{AUDIENCE}], \
             jwks: \"http://127.0.0.1:{}/keys\", algorithms: [EdDSA], groups_claim: groups, kind: user }}",
            keys.port()
        );
        let setup = Setup::http(vec![guarded("openai", "broker, b"), hasty], policy).more(&issuers);
        let broker = Broker::start(&setup);
        let agent = ["--user", "kim", "--group", "agents", "--agent", "agent-1", "--agent-group", "agents"];
        let token = broker.mint(&agent);
        Self { mock, broker, token, issuer, keys, script }
    }

    /// What the server answers from here on.
    pub(crate) fn answers(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Everything that is kept of the agent's sessions, once they are over.
    pub(crate) fn recordings(&self) -> String {
        let ids = self.broker.json(&["sessions", "list", "--limit", "1000"]);
        let ids: Vec<String> = ids.iter().filter_map(|found| Some(found["id"].as_str()?.to_owned())).collect();
        let replay = |id: &String| self.broker.cli(&["replay", id, "--output", "json"]).said();
        ids.iter().map(replay).collect()
    }

    /// The bytes of every file that the broker keeps.
    pub(crate) fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let mut folders = vec![self.broker.folder().join("var")];
        let mut kept = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    kept.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap_or_default()));
                }
            }
        }
        kept
    }
}
