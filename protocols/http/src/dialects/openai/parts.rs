//! A multipart body: which of its parts can be looked into, and what is covered in them.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluice_mask::json::Document;
use sluice_model::Tag;

use super::multipart::{Change, Form, Part};
use crate::dialects::rest::JSON_LIMITS;
use crate::refusal::Words;
use crate::served::Served;
use crate::veil::Veil;

/// A body in parts.
#[derive(Debug)]
pub(crate) struct Parts {
    form: Form,
    bytes: Bytes,
}

/// What a part is to whoever looks into it.
enum Look<'a> {
    Text(&'a str),
    /// A JSON document a line.
    Lines(&'a str),
    Opaque,
}

impl Parts {
    pub(super) const fn new(form: Form, bytes: Bytes) -> Self {
        Self { form, bytes }
    }

    pub(super) const fn form(&self) -> &Form {
        &self.form
    }

    /// The same with what makes it fit for the server.
    pub(super) fn changed(self, changes: &[Change]) -> Result<Self, Words> {
        if changes.is_empty() {
            return Ok(self);
        }
        let bytes = self.form.replace(changes).map_err(Words::of_flaw)?;
        let form = self.form.reread(bytes.clone()).map_err(Words::of_flaw)?;
        Ok(Self::new(form, bytes))
    }

    /// Whether there is a part that cannot be looked into.
    pub(super) fn is_opaque(&self) -> bool {
        self.form.parts().iter().any(|part| matches!(self.look(part), Look::Opaque))
    }

    fn look(&self, part: &Part) -> Look<'_> {
        let Some(text) = std::str::from_utf8(self.form.content(part)).ok() else { return Look::Opaque };
        let Some(file) = &part.file else { return Look::Text(text) };
        let lower = file.to_ascii_lowercase();
        let essence = part.media.as_ref().map_or("", |media| media.essence.as_str());
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| lower.ends_with(suffix));
        if essence.ends_with("json") || essence.ends_with("jsonl") || ends(&[".json", ".jsonl"]) {
            Look::Lines(text)
        } else if essence.starts_with("text/") || ends(&[".txt", ".md", ".csv"]) {
            Look::Text(text)
        } else {
            Look::Opaque
        }
    }

    /// The classes of protected values in the parts that can be looked into.
    pub(crate) fn tags(&self, served: &Served) -> BTreeSet<Tag> {
        let mut tags = BTreeSet::new();
        for part in self.form.parts() {
            match self.look(part) {
                Look::Text(text) => tags.extend(served.classes.found_in(text)),
                Look::Lines(text) => {
                    for line in text.split_inclusive('\n') {
                        tags.extend(match document(line) {
                            Some(document) => served.classes.found_within(&document),
                            None => served.classes.found_in(line),
                        });
                    }
                }
                Look::Opaque => {}
            }
        }
        tags
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The parts as people are shown them.
    pub(crate) fn shown(&self, everything: &Veil) -> String {
        let line = |part: &Part| match (&part.file, self.look(part)) {
            (None, Look::Text(text)) => format!("{}: {}", part.name, everything.scrub(text)),
            (file, _) => {
                let file = file.as_deref().map(|file| everything.scrub(file)).unwrap_or_default();
                format!("{}: file `{file}`, {} bytes", part.name, part.span.len())
            }
        };
        self.form.parts().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The body with what is withheld covered.
    pub(crate) fn covered(&self, veil: &Veil) -> Result<Bytes, Words> {
        if veil.is_open() {
            return Ok(self.bytes.clone());
        }
        let mut changes = Vec::new();
        for (index, part) in self.form.parts().iter().enumerate() {
            let content = match self.look(part) {
                Look::Text(text) => veil.scrub(text).into_owned(),
                Look::Lines(text) => text.split_inclusive('\n').map(|line| covered(line, veil)).collect(),
                Look::Opaque => continue,
            };
            if content.as_bytes() != self.form.content(part) {
                changes.push(Change { part: index, content: content.into_bytes() });
            }
        }
        self.form.replace(&changes).map_err(Words::of_flaw)
    }
}

fn document(line: &str) -> Option<Document> {
    Document::parse(Bytes::copy_from_slice(line.as_bytes()), JSON_LIMITS).ok()
}

fn covered(line: &str, veil: &Veil) -> String {
    match document(line) {
        Some(document) => String::from_utf8_lossy(&veil.edits(&document).apply()).into_owned(),
        None => veil.scrub(line).into_owned(),
    }
}
