//! A multipart body: which of its parts can be looked into, and what is covered in them.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluice_model::Tag;

use super::multipart::{Change, Form, Part};
use crate::flaw::Flaw;
use crate::refusal::Words;
use crate::served::Served;
use crate::veil::Veil;

const PROTECTED: Flaw =
    Flaw::new(403, "protected_part", "a protected value that may not be sent stands in the header lines of a part");

/// A body in parts.
#[derive(Debug)]
pub(crate) struct Parts {
    form: Form,
    bytes: Bytes,
}

/// Fields that the API takes for files, whether or not a part says that it is one.
const FILES: [&str; 9] =
    ["audio_sample", "data", "file", "files", "image", "input_reference", "mask", "recording", "video"];

/// What a part is to whoever looks into it.
enum Look<'a> {
    Text(&'a str),
    /// A JSON document a line.
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
        self.form.parts().iter().any(|part| is_unmarked_file(part) || matches!(self.look(part), Look::Opaque))
    }

    /// The parts that can be looked into.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.form.parts().iter().filter_map(|part| match self.look(part) {
            Look::Text(text) => Some(text),
            Look::Opaque => None,
        })
    }

    fn look(&self, part: &Part) -> Look<'_> {
        let Some(text) = std::str::from_utf8(self.form.content(part)).ok() else { return Look::Opaque };
        let Some(file) = &part.file else { return Look::Text(text) };
        let lower = file.to_ascii_lowercase();
        let essence = part.media.as_ref().map_or("", |media| media.essence.as_str());
        let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| lower.ends_with(suffix));
        let json = essence.ends_with("json") || essence.ends_with("jsonl") || ends(&[".json", ".jsonl"]);
        if json || essence.starts_with("text/") || ends(&[".txt", ".md", ".csv"]) {
            Look::Text(text)
        } else {
            Look::Opaque
        }
    }

    /// The classes of protected values in the parts that can be looked into.
    pub(crate) fn tags(&self, served: &Served) -> BTreeSet<Tag> {
        let mut tags = BTreeSet::new();
        for part in self.form.parts() {
            tags.extend(served.classes.found_in(&part.head));
            if let Look::Text(text) = self.look(part) {
                tags.extend(served.classes.found_in(text));
            }
        }
        tags
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// How many bytes it has.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// The parts as people are shown them.
    pub(crate) fn shown(&self, everything: &Veil) -> String {
        let line = |part: &Part| match (&part.file, self.look(part)) {
            (None, Look::Text(text)) => format!("{}: {}", everything.scrub(&part.name), everything.whole(text)),
            (file, _) => {
                let file = file.as_deref().map(|file| everything.scrub(file)).unwrap_or_default();
                format!("{}: file `{file}`, {} bytes", everything.scrub(&part.name), part.span.len())
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
            if *veil.scrub(&part.head) != *part.head {
                return Err(Words::of_flaw(PROTECTED));
            }
            let Look::Text(text) = self.look(part) else { continue };
            let content = veil.whole(text).into_owned();
            if content.as_bytes() != self.form.content(part) {
                changes.push(Change { part: index, content: content.into_bytes() });
            }
        }
        self.form.replace(&changes).map_err(Words::of_flaw)
    }
}

/// Says whether a server would take a part for a file that does not say so, or says that it is something else than text:
/// it is covered as text, and what it is to its reader is not known.
fn is_unmarked_file(part: &Part) -> bool {
    let field = part.name.strip_suffix("[]").unwrap_or(&part.name);
    let strange = part.media.as_ref().is_some_and(|media| {
        let essence = media.essence.as_str();
        !essence.starts_with("text/") && essence != "application/json" && essence != "application/sdp"
    });
    part.file.is_none() && (strange || FILES.contains(&field))
}
