//! Chunks that are made, in the form of one that the server sent.

use bytes::Bytes;
use sluice_mask::json::{Document, Node};

use super::Fault;
use super::cover::{Cover, LIMITS};
use super::words::push_string;

/// What all chunks of a stream have in common: everything but their choices.
pub(super) struct Frame(Vec<u8>);

impl Frame {
    /// The frame of a chunk, as the client may see it.
    pub(super) fn of(root: Node<'_>, cover: &Cover) -> Result<Self, Fault> {
        let mut json = String::from("{");
        for (name, value) in root.members().filter(|(name, _)| !OF_ONE.contains(&&**name)) {
            push_string(&name, &mut json);
            json.push(':');
            json.push_str(str::from_utf8(value.raw()).unwrap_or("null"));
            json.push(',');
        }
        if json.ends_with(',') {
            json.pop();
        }
        json.push('}');
        let document = Document::parse(json, LIMITS)?;
        let mut covered = cover.edits_beside(&document)?.apply().to_vec();
        covered.pop();
        if covered.len() > 1 {
            covered.push(b',');
        }
        Ok(Self(covered))
    }

    /// A chunk with these members in its one choice, which the client may see as they are.
    pub(super) fn chunk(&self, index: i64, members: &str) -> Bytes {
        let mut chunk = self.0.clone();
        let choice = format!(r#""choices":[{{"index":{index},{members},"logprobs":null,"finish_reason":null}}]}}"#);
        chunk.extend_from_slice(choice.as_bytes());
        chunk.into()
    }

    /// A chunk with a delta as the server made it.
    pub(super) fn delta(&self, index: i64, delta: &str, cover: &Cover) -> Result<Bytes, Fault> {
        let json = format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
        let document = Document::parse(cover.apply(json)?, LIMITS)?;
        let covered = document.root().at(&["choices", "0", "delta"]).map(|delta| delta.raw()).unwrap_or(b"{}");
        Ok(self.chunk(index, &format!(r#""delta":{}"#, String::from_utf8_lossy(covered))))
    }
}

/// Members of a chunk that say something of that chunk only.
const OF_ONE: [&str; 3] = ["choices", "obfuscation", "usage"];
