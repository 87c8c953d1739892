//! What a walk over a request has found, in bounds: each thing is a question to policy, an edit or a look-up of its owner.

use std::collections::BTreeSet;

use super::{Approval, Mention, Unfit, parts};
use crate::dialects::openai::estimate::{Holds, Reach};
use crate::dialects::openai::images::{Fetched, Media, What};
use crate::dialects::openai::tools::{Kind, Offered};

/// The most tools of one request; the API itself has a limit of 128 for those that are not loaded later.
const MAX_TOOLS: usize = 1024;
/// The most entries of all lists of tools, in which a conversation has the same ones time and again.
const MAX_ENTRIES: usize = 16_384;
/// The most models, and the most hosts.
const MAX_NAMES: usize = 256;
/// The most ids: each item of a long conversation has one.
const MAX_IDS: usize = 16_384;
/// The most ids of what is not in the request itself; the API takes 2000 files at once.
const MAX_REFERENCES: usize = 2_048;

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) models: BTreeSet<String>,
    pub(super) tools: BTreeSet<Offered>,
    pub(super) fetched: BTreeSet<Fetched>,
    pub(super) ids: BTreeSet<Mention>,
    pub(super) approvals: Vec<Approval>,
    pub(super) media: Media,
    pub(super) credentials: usize,
    /// Entries of lists of tools.
    entries: usize,
    /// Ids of what is elsewhere.
    references: usize,
}

impl Found {
    /// Counts an entry of a list of tools.
    pub(super) fn entry(&mut self) -> Result<(), Unfit> {
        self.entries = self.entries.saturating_add(1);
        bounded(self.entries, MAX_ENTRIES)
    }

    pub(super) fn tool(&mut self, tool: Offered) -> Result<(), Unfit> {
        self.tools.insert(tool);
        bounded(self.tools.len(), MAX_TOOLS)
    }

    pub(super) fn model(&mut self, name: &str) -> Result<(), Unfit> {
        if !self.models.contains(name) {
            self.models.insert(name.to_owned());
        }
        bounded(self.models.len(), MAX_NAMES)
    }

    pub(super) fn fetched(&mut self, fetched: Fetched) -> Result<(), Unfit> {
        self.fetched.insert(fetched);
        bounded(self.fetched.len(), MAX_NAMES)
    }

    pub(super) fn id(&mut self, mention: Mention) -> Result<(), Unfit> {
        let refers = mention.class != parts::QUOTED;
        if self.ids.insert(mention) && refers {
            self.references = self.references.saturating_add(1);
        }
        bounded(self.ids.len(), MAX_IDS)?;
        bounded(self.references, MAX_REFERENCES)
    }

    pub(super) fn approval(&mut self, approval: Approval) -> Result<(), Unfit> {
        self.approvals.push(approval);
        bounded(self.approvals.len(), MAX_TOOLS)
    }

    /// Adds what was found elsewhere in the same request.
    pub(super) fn absorb(&mut self, other: Self) -> Result<(), Unfit> {
        other.models.iter().try_for_each(|name| self.model(name))?;
        other.tools.into_iter().try_for_each(|tool| self.tool(tool))?;
        other.fetched.into_iter().try_for_each(|fetched| self.fetched(fetched))?;
        other.ids.into_iter().try_for_each(|id| self.id(id))?;
        other.approvals.into_iter().try_for_each(|approval| self.approval(approval))?;
        self.media.absorb(other.media);
        self.credentials = self.credentials.saturating_add(other.credentials);
        self.entries = self.entries.saturating_add(other.entries);
        bounded(self.entries, MAX_ENTRIES)
    }

    /// What an estimate goes by.
    pub(super) fn holds(&self) -> Holds {
        let hosted = self.tools.iter().any(|tool| matches!(tool.kind, Kind::Hosted | Kind::Remote));
        let files = self.fetched.iter().any(|fetched| fetched.what != What::Image);
        let prompt = self.ids.iter().any(|id| id.class == "prompt");
        let reach = match (hosted || prompt, self.references > 0 || files) {
            (true, _) => Reach::Again,
            (false, true) => Reach::Further,
            (false, false) => Reach::Itself,
        };
        Holds { media: self.media, reach }
    }
}

fn bounded(count: usize, most: usize) -> Result<(), Unfit> {
    if count <= most {
        return Ok(());
    }
    Err(Unfit::new(400, "too_many", "the request names too many tools, models, hosts or objects"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use sluice_mask::json::{Document, Limits};

    use super::super::walk::Reader;
    use super::super::{Models, Rules, Shape};
    use super::*;

    /// Reads a list of 50,000 in place of the bar, and hands over what was found until it was too much.
    fn read(shape: Shape, around: &str, one: impl Fn(usize) -> String) -> Found {
        let list: Vec<String> = (0..50_000).map(one).collect();
        let body = around.replace('|', &list.join(","));
        let document = Document::parse(body, Limits::STANDARD).unwrap();
        let rules = Rules { models: &Models::Any, hosts: &["*".to_owned()], destructive: &[] };
        let mut reader = Reader::new(&document, &rules, shape);
        assert_eq!(reader.top(document.root()).unwrap_err().flaw.code, "too_many", "{around}");
        reader.found
    }

    #[test]
    fn a_walk_stops_at_what_is_too_much() {
        let tools = read(Shape::Items, r#"{"tools":[|]}"#, |_| r#"{"type":"mcp"}"#.to_owned());
        assert_eq!((tools.entries, tools.tools.len()), (MAX_ENTRIES + 1, 1));
        let groups = r#"{"tools":[{"type":"namespace","tools":[|]}]}"#;
        let tools = read(Shape::Items, groups, |n| format!(r#"{{"type":"function","name":"f{n}"}}"#));
        assert_eq!(tools.tools.len(), MAX_TOOLS + 1);
        let names = r#"{"tools":[{"type":"mcp","allowed_tools":[|]}]}"#;
        assert_eq!(read(Shape::Items, names, |n| format!(r#""f{n}""#)).tools.len(), MAX_TOOLS + 1);
        let choice = r#"{"tool_choice":{"type":"allowed_tools","tools":[|]}}"#;
        let choice = read(Shape::Items, choice, |n| format!(r#"{{"type":"custom","name":"f{n}"}}"#));
        assert_eq!(choice.tools.len(), MAX_TOOLS + 1);

        let models = read(Shape::Other, r#"{"graders":{|}}"#, |n| format!(r#""g{n}":{{"model":"m{n}"}}"#));
        assert_eq!(models.models.len(), MAX_NAMES + 1);
        let hosts =
            read(Shape::Other, r#"{"images":[|]}"#, |n| format!(r#"{{"image_url":"https://h{n}.example.org/"}}"#));
        assert_eq!(hosts.fetched.len(), MAX_NAMES + 1);

        let files = read(Shape::Other, r#"{"file_ids":[|]}"#, |n| format!(r#""file-{n}""#));
        assert_eq!(files.references, MAX_REFERENCES + 1);
        let parts = r#"{"messages":[{"role":"user","content":[|]}]}"#;
        let parts = read(Shape::Chat, parts, |n| format!(r#"{{"type":"file","file":{{"file_id":"file-{n}"}}}}"#));
        assert_eq!(parts.references, MAX_REFERENCES + 1);
        let items =
            read(Shape::Items, r#"{"input":[|]}"#, |n| format!(r#"{{"role":"user","content":"","id":"msg_{n}"}}"#));
        assert_eq!(items.ids.len(), MAX_IDS + 1);
        let approval = |_| r#"{"type":"mcp_approval_response","approval_request_id":"a","approve":true}"#.to_owned();
        assert_eq!(read(Shape::Items, r#"{"input":[|]}"#, approval).approvals.len(), MAX_TOOLS + 1);
    }
}
