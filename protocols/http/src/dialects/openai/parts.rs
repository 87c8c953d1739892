//! A multipart body: which of its parts can be looked into, and what is covered in them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sluice_model::Tag;

use super::multipart::{Change, Form, Part};
use crate::body::quoted;
use crate::field::Field;
use crate::flaw::Flaw;
use crate::refusal::Words;
use crate::request::TEXT_BYTES;
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
            let Look::Text(text) = self.look(part) else { continue };
            tags.extend(served.classes.found_in(text));
            if served.classes.has_keys() {
                let field = Field::new(part.name.clone(), text.to_owned());
                let documents = field.iter().flat_map(Field::documents);
                tags.extend(documents.flat_map(|document| served.classes.found_within(&document)));
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

    /// The parts as people are shown them, each on a line.
    pub(crate) fn shown(&self, everything: &Veil) -> String {
        self.form.parts().iter().map(|part| self.line(part, everything)).collect::<Vec<_>>().join("\n")
    }

    fn line(&self, part: &Part, everything: &Veil) -> String {
        let told = |text: &str| quoted(&everything.scrub(text));
        let file = part.file.as_deref().map(|file| format!("file {}", told(file)));
        let kind = part.media.as_ref().map(|media| everything.scrub(&media.essence).into_owned());
        let what = [file, kind].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let what = if what.is_empty() { what } else { format!(" ({what})") };
        let content = self.form.content(part);
        let is_long = content.len() > TEXT_BYTES;
        let value = match self.look(part) {
            Look::Text(text) if part.file.is_none() || !is_long => quoted(&seen(part, text, everything)),
            // A form with it is too long to be approved.
            Look::Text(_) | Look::Opaque if is_long => format!("{} bytes that are not shown", content.len()),
            Look::Text(_) | Look::Opaque => {
                let hash = hex(&Sha256::digest(content));
                format!("{} bytes that are not shown, SHA-256 {hash}", content.len())
            }
        };
        format!("{}{what}: {value}", told(&name_of(part, everything)))
    }

    /// The body with what is withheld covered.
    pub(crate) fn covered(&self, veil: &Veil) -> Result<Bytes, Words> {
        if veil.is_open() {
            return Ok(self.bytes.clone());
        }
        let mut changes = Vec::new();
        for (index, part) in self.form.parts().iter().enumerate() {
            if *veil.scrub(&part.head) != *part.head || name_of(part, veil) != part.name {
                return Err(Words::of_flaw(PROTECTED));
            }
            let Look::Text(text) = self.look(part) else { continue };
            let content = seen(part, text, veil).into_owned();
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

/// The name of a part, without what stands in it below a member that is covered.
fn name_of(part: &Part, veil: &Veil) -> String {
    Field::new(part.name.clone(), "x".to_owned()).map_or_else(String::new, |field| field.covered_name(veil))
}

/// What is seen of a part: all of it is covered where a member of its name is.
fn seen<'t>(part: &Part, text: &'t str, veil: &Veil) -> Cow<'t, str> {
    let field = veil.has_keys().then(|| Field::new(part.name.clone(), text.to_owned())).flatten();
    field.and_then(|field| field.hidden(veil)).map_or_else(|| veil.whole(text), Cow::Owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
