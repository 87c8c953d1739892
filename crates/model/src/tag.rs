//! Classes of sensitive data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InvalidId, text_id};

text_id! {
    /// A class of sensitive data such as `pii.contact`; dots make the hierarchy.
    Tag
}

impl Tag {
    /// The classes this one lies in, nearest first: `pii.contact.email` gives `pii.contact`, `pii`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(parent(self.as_str()), |tag| parent(tag))
    }
}

fn parent(tag: &str) -> Option<&str> {
    tag.rsplit_once('.').map(|(parent, _)| parent)
}
