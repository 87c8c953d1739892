//! What is changed in any document on its way to the client.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use sluice_mask::json::{Document, Edits, Kind, Limits, Node};

use crate::veil::{Strainer, Veil};

use super::{Fault, beside, words::quoted};

/// Of whole bodies, and of what is made here out of events; whoever reads a body has its own limit on the size.
pub(super) const LIMITS: Limits = Limits { size_bytes: 64 << 20, ..Limits::STANDARD };

/// The veil, what the API says in other ways than text, and the name of the model that the client used.
#[derive(Clone)]
pub(super) struct Cover {
    veil: Veil,
    alias: Option<String>,
}

impl Cover {
    pub(super) fn new(veil: Veil, alias: Option<String>) -> Self {
        Self { veil, alias }
    }

    pub(super) fn is_open(&self) -> bool {
        self.veil.is_open()
    }

    /// Whether members of JSON are covered by their names.
    pub(super) fn has_keys(&self) -> bool {
        self.veil.has_keys()
    }

    pub(super) fn strainer(&self) -> Strainer {
        self.veil.strainer()
    }

    pub(super) fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.veil.scrub(text)
    }

    /// Everything that is changed in a document whose texts are whole.
    pub(super) fn edits<'d>(&self, document: &'d Document) -> Result<Edits<'d>, Fault> {
        let mut edits = self.veiled(document)?;
        self.rename(document.root(), &mut edits)?;
        Ok(edits)
    }

    /// Everything that is changed in a document of which some strings may be pieces of texts.
    pub(super) fn edits_beside<'d>(&self, document: &'d Document) -> Result<Edits<'d>, Fault> {
        let mut edits = self.veiled_beside(document, &[])?;
        self.rename(document.root(), &mut edits)?;
        Ok(edits)
    }

    /// What is changed to hide something in such a document, but for texts that are joined, which stand at those places.
    pub(super) fn veiled_beside<'d>(&self, document: &'d Document, texts: &[Range<usize>]) -> Result<Edits<'d>, Fault> {
        if self.is_open() {
            return Ok(Edits::new(document));
        }
        let mut edits = self.veil.edits(document);
        beside::cover(document, texts, &mut edits)?;
        conceal(document.root(), &mut edits)?;
        Ok(edits)
    }

    /// What is changed to hide something.
    pub(super) fn veiled<'d>(&self, document: &'d Document) -> Result<Edits<'d>, Fault> {
        if self.is_open() {
            return Ok(Edits::new(document));
        }
        let mut edits = self.veil.edits(document);
        conceal(document.root(), &mut edits)?;
        Ok(edits)
    }

    /// Puts the client's name of the model where the server's is.
    pub(super) fn rename(&self, root: Node<'_>, edits: &mut Edits<'_>) -> Result<(), Fault> {
        if let Some(alias) = &self.alias {
            for path in [&["model"][..], &["response", "model"]] {
                if let Some(model) = root.at(path).filter(|model| model.kind() == Kind::String) {
                    edits.replace_text(model, alias)?;
                }
            }
        }
        Ok(())
    }

    /// The document as the client may see it.
    pub(super) fn apply(&self, json: impl Into<Bytes>) -> Result<Bytes, Fault> {
        let document = Document::parse(json, LIMITS)?;
        Ok(self.edits(&document)?.apply())
    }
}

/// Takes out what spells a text in other ways: probabilities of its tokens, their numbers, its sound, and its picture.
///
/// `INVARIANT:` a document has a limit on its depth, and so has this recursion.
fn conceal(node: Node<'_>, edits: &mut Edits<'_>) -> Result<(), Fault> {
    for item in node.items() {
        conceal(item, edits)?;
    }
    let kind = node.get("type").and_then(|kind| kind.text()).unwrap_or_default();
    let drawn = match &*kind {
        "image_generation_call" => "result",
        "computer_screenshot" => "image_url",
        _ => "partial_image_b64",
    };
    for (name, value) in node.members() {
        let picture = name == "partial_image_b64" || name == drawn;
        if picture || name.ends_with("logprobs") || name.ends_with("token_ids") {
            erase(value, edits)?;
        } else if name == "audio" || name == "input_audio" {
            if let Some(data) = value.get("data") {
                erase(data, edits)?;
            }
            conceal(value, edits)?;
        } else {
            conceal(value, edits)?;
        }
    }
    Ok(())
}

/// Puts the empty value of its kind in the place of a value.
pub(super) fn erase(node: Node<'_>, edits: &mut Edits<'_>) -> Result<(), Fault> {
    match node.kind() {
        Kind::String if node.raw() != b"\"\"" => edits.replace_raw(node, &quoted(""))?,
        Kind::Array if node.items().next().is_some() => edits.replace_raw(node, "[]")?,
        Kind::Object | Kind::Number => edits.replace_raw(node, "null")?,
        Kind::String | Kind::Array | Kind::Null | Kind::Bool | Kind::Name => {}
    }
    Ok(())
}
