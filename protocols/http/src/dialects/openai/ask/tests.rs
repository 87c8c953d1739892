//! What requests are understood as, and which are not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod agents;
mod form;
mod hidden;
mod plain;

use sluice_mask::json::Limits;

use super::*;
use crate::dialects::openai::routes::{Found as Way, Routes};

/// A target with two models and one host.
struct World {
    routes: Routes,
    models: Models,
    hosts: Vec<String>,
    destructive: Vec<String>,
}

impl World {
    fn new() -> Self {
        let small = Model { default_output_tokens: 1000, ..Model::default() };
        let fast = Model { real: Some("gpt-small-2026".to_owned()), context_tokens: Some(500), ..small.clone() };
        let listed = [("gpt-small", small), ("fast", fast)].map(|(name, model)| (name.to_owned(), model));
        Self {
            routes: Routes::published(),
            models: Models::Listed(listed.into()),
            hosts: vec!["cdn.example.com".to_owned()],
            destructive: vec!["delete_*".to_owned()],
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules { models: &self.models, hosts: &self.hosts, destructive: &self.destructive }
    }

    fn route<'r>(&'r self, path: &'r str) -> &'r Route {
        match self.routes.find("POST", path) {
            Way::Route { route, .. } => route,
            other @ (Way::MethodNotAllowed(_) | Way::UnknownPath) => panic!("{path}: {other:?}"),
        }
    }

    /// Reads a body and hands what was understood over.
    fn with<T>(&self, path: &str, body: &str, then: impl FnOnce(Result<Asked<'_>, Unfit>) -> T) -> T {
        let document = Document::parse(body.to_owned(), Limits::STANDARD).unwrap();
        then(read(self.route(path), &document, &self.rules()))
    }

    fn asked<T>(&self, path: &str, body: &str, then: impl FnOnce(Asked<'_>) -> T) -> T {
        self.with(path, body, |asked| then(asked.unwrap_or_else(|unfit| panic!("{body}: {unfit:?}"))))
    }

    /// `ok`, or status, code and parameter.
    fn verdict(&self, path: &str, body: &str) -> String {
        self.with(path, body, |asked| match asked {
            Ok(_) => "ok".to_owned(),
            Err(Unfit { flaw, param }) => format!("{} {} {}", flaw.status, flaw.code, param.unwrap_or_default()),
        })
    }

    fn table(&self, path: &str, rows: &[(&str, &str)]) {
        for (body, expected) in rows {
            assert_eq!(self.verdict(path, body).trim_end(), *expected, "{body}");
        }
    }

    fn sent(&self, path: &str, body: &str) -> String {
        self.asked(path, body, |asked| String::from_utf8(asked.edits.apply().to_vec()).unwrap())
    }

    /// `kind name`, destructive ones with a mark.
    fn tools(&self, path: &str, body: &str) -> Vec<String> {
        let show = |tool: &Offered| {
            let mark = if tool.harm == crate::dialects::openai::tools::Harm::Destroys { "!" } else { "" };
            format!("{:?} {}{mark}", tool.kind, tool.name)
        };
        self.asked(path, body, |asked| asked.tools.iter().map(show).collect())
    }

    fn ids(&self, path: &str, body: &str) -> Vec<String> {
        self.asked(path, body, |asked| asked.ids.iter().map(|id| format!("{} {}", id.class, id.id)).collect())
    }

    fn hosts(&self, path: &str, body: &str) -> Vec<String> {
        self.asked(path, body, |asked| asked.fetched.iter().map(|f| format!("{:?} {}", f.what, f.host)).collect())
    }
}

const CHAT: &str = "/chat/completions";
const RESPONSES: &str = "/responses";

/// A chat request with more members.
fn chat(more: &str) -> String {
    format!(r#"{{"model":"gpt-small","messages":[{{"role":"user","content":"hi"}}]{more}}}"#)
}

fn response(more: &str) -> String {
    format!(r#"{{"model":"gpt-small","input":"hi"{more}}}"#)
}

/// A response of which the input has these items.
fn items(items: &str) -> String {
    format!(r#"{{"model":"gpt-small","input":[{items}]}}"#)
}

/// A chat request with one part.
fn part(part: &str) -> String {
    format!(r#"{{"model":"gpt-small","messages":[{{"role":"user","content":[{part}]}}]}}"#)
}
