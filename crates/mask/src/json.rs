//! JSON bodies, checked strictly, read in place and edited by splicing, so that untouched bytes survive exactly.
//!
//! [`Document::parse`] refuses whatever two readers could read differently, [`Node`] reads values, [`KeyRules`] says
//! which members hold protected values, [`mask_strings`] masks text wherever it stands, and [`Edits`] makes the bytes
//! that are forwarded. No text is copied until it is changed.
//!
//! **Invariants:** no input panics, and nesting takes no stack; errors and the `Debug` of documents, nodes
//! and edits print no content.

mod document;
mod edit;
mod entry;
mod escape;
mod fault;
mod lex;
mod node;
mod parse;
mod pattern;
mod rules;
mod scrub;
mod splice;
mod trail;
mod unique;
mod walk;

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod parse_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod scrub_tests;
#[cfg(test)]
mod testing;

pub use document::{Document, Limits};
pub use edit::{Edits, Unedited};
pub use entry::Kind;
pub use escape::escape_into;
pub use fault::Fault;
pub use node::Node;
pub use rules::{BadRule, KeyRules};
pub use scrub::mask_strings;
pub use walk::{Leaf, Step};
