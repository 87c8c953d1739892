//! What a request grants to what the vendor runs: hosts to reach, and the client's word that it may go on.

use sluice_mask::json::{Kind, Node};

use super::walk::Reader;
use super::{Answer, Approval, Unfit, parts};
use crate::dialects::openai::images::{self, Fetched, What};

/// Stands for every host that there is.
const EVERYWHERE: &str = "*";

/// Kinds of environments that the vendor does not host.
const NOT_HOSTED: [&str; 2] = ["none", "self_hosted"];

/// Modes of a network in which hosts are listed.
const LISTED: [&str; 2] = ["allowlist", "restricted"];

/// Kinds of what a client says in a session of an agent, besides its answers to requests for approval
/// (<https://platform.openai.com/docs/api-reference/agents>).
const SAID: [&str; 3] =
    ["agent.session.input.cancel", "agent.session.input.message", "agent.session.input.tool_result"];

/// Words that are a no. Any other is a yes, whatever it says besides.
const NO: [&str; 4] = ["cancel", "decline", "deny", "reject"];

/// Says whether something of this kind answers a request for approval.
fn answers(kind: &str) -> bool {
    kind.contains("approval") && !kind.ends_with("approval_request")
}

impl<'d> Reader<'_, 'd> {
    /// Reads what is said in a session.
    pub(super) fn said(&mut self, events: Node<'d>) -> Result<(), Unfit> {
        if events.kind() != Kind::Array {
            return Err(Unfit::mistyped("events"));
        }
        for event in events.items() {
            if event.kind() != Kind::Object {
                return Err(Unfit::mistyped("events"));
            }
            let kind = event.get("type").ok_or_else(|| Unfit::missing("type"))?;
            let kind = kind.text().ok_or_else(|| Unfit::mistyped("type"))?;
            if !SAID.contains(&&*kind) && !answers(&kind) {
                return Err(Unfit::new(400, "unknown_item", "the input has an event of an unknown type"));
            }
            self.visit(event)?;
        }
        Ok(())
    }

    /// Reads the network of a container or an environment.
    pub(super) fn network(&mut self, name: &str, network: Node<'d>) -> Result<(), Unfit> {
        match network.kind() {
            Kind::Null => return Ok(()),
            Kind::Object => {}
            Kind::Bool | Kind::Number | Kind::String | Kind::Name | Kind::Array => return Err(Unfit::mistyped(name)),
        }
        let domains = network.get("allowed_domains").filter(|domains| !domains.is_null());
        if domains.is_some_and(|domains| domains.kind() != Kind::Array) {
            return Err(Unfit::mistyped("allowed_domains"));
        }
        let mut listed = false;
        for domain in domains.into_iter().flat_map(|domains| domains.items()) {
            let host = domain.text().ok_or_else(|| Unfit::mistyped("allowed_domains"))?;
            if !images::is_name(host.strip_prefix("*.").unwrap_or(&host)) {
                return Err(Unfit::invalid("allowed_domains"));
            }
            listed = true;
            self.reach(&host)?;
        }
        if !is_limited(network, listed)? {
            self.reach(EVERYWHERE)?;
        }
        self.visit(network)
    }

    /// Reads the environment of an agent, which is the vendor's unless it says otherwise.
    pub(super) fn environment(&mut self, environment: Node<'d>) -> Result<(), Unfit> {
        let kind = environment.get("type").and_then(|kind| kind.text());
        let elsewhere = kind.is_some_and(|kind| NOT_HOSTED.contains(&&*kind));
        if elsewhere || environment.kind() != Kind::Object { Ok(()) } else { self.hosted(environment) }
    }

    /// Reads an environment that the vendor hosts. What one may reach that says nothing of it, the API does not tell, unless
    /// it has the network of a template or of an environment that is there.
    pub(super) fn hosted(&mut self, environment: Node<'d>) -> Result<(), Unfit> {
        let says = |name: &str| environment.get(name).is_some_and(|value| !value.is_null());
        let told = ["network", "environment_template_id", "environment_id"].into_iter().any(says);
        if told { Ok(()) } else { self.reach(EVERYWHERE) }
    }

    fn reach(&mut self, host: &str) -> Result<(), Unfit> {
        self.found.fetched(Fetched { what: What::Network, host: host.to_ascii_lowercase() })
    }

    /// The client's word that what the vendor runs may go on.
    pub(super) fn approval(&mut self, item: Node<'d>, kind: &str) -> Result<(), Unfit> {
        if !answers(kind) {
            return Ok(());
        }
        let is_response = kind.ends_with("_response");
        let answer = answer(item, if is_response { "approve" } else { "response" })?;
        let id = if is_response { "approval_request_id" } else { "request_id" };
        let request = item.get(id).and_then(|id| id.text()).filter(|id| parts::is_id(id));
        let request = request.ok_or_else(|| Unfit::invalid(id))?.into_owned();
        self.found.approval(Approval { request, answer })
    }
}

/// Says whether a network has a limit that is known: none at all, or listed hosts.
fn is_limited(network: Node<'_>, listed: bool) -> Result<bool, Unfit> {
    let mut modes = Vec::new();
    for name in ["access", "type"] {
        if let Some(mode) = network.get(name) {
            modes.push(mode.text().ok_or_else(|| Unfit::mistyped(name))?);
        }
    }
    let is_limit = |mode: &str| mode == "disabled" || listed && LISTED.contains(&mode);
    Ok(!modes.is_empty() && modes.iter().all(|mode| is_limit(mode)))
}

/// An answer says `approve`, or has a `response` with a decision or an action.
fn answer(item: Node<'_>, needed: &str) -> Result<Answer, Unfit> {
    let mut words = Vec::new();
    if let Some(approve) = item.get("approve") {
        words.push(approve.as_bool().ok_or_else(|| Unfit::mistyped("approve"))?);
    }
    if let Some(response) = item.get("response") {
        for name in ["decision", "action"] {
            if let Some(word) = response.get(name) {
                let word = word.text().ok_or_else(|| Unfit::mistyped(name))?;
                words.push(!NO.contains(&&*word));
            }
        }
        if words.is_empty() {
            return Err(Unfit::mistyped("decision"));
        }
    }
    match words.as_slice() {
        [] => Err(Unfit::mistyped(needed)),
        words if words.contains(&true) => Ok(Answer::Approve),
        _ => Ok(Answer::Decline),
    }
}
