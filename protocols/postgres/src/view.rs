//! What is known of a database's schema at one moment, and how a machine comes by a newer one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sluice_model::{Refusal, Tag};
use sluice_sql::{Catalog, Sensitive};

use crate::operation::Statements;

/// One snapshot of a database: catalog, tagged columns, and the analyses made against it.
#[derive(Debug)]
pub struct View {
    pub catalog: Catalog,
    pub sensitive: Sensitive,
    /// Tags by the index of the configured pattern, as [`Sensitive`] reports it.
    pub tags: Vec<Vec<Tag>>,
    /// Principals have roles of their own at the server, which no statement may change.
    pub(crate) pins_role: bool,
    /// Analysed statements of this snapshot, shared by every connection to the database.
    pub(crate) statements: Statements,
    /// Why nothing is known of the database at the moment; statements that name a relation are refused with it.
    pub(crate) lost: Option<Refusal>,
}

/// The current view of one database.
pub trait Schemas: fmt::Debug + Send + Sync {
    /// The newest view.
    fn view(&self) -> Arc<View>;

    /// Loads a newer view; done when [`Schemas::view`] gives it. Used after the session's own DDL was committed.
    fn refresh(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Loads a newer view if the schema has changed; done when [`Schemas::view`] gives it. Used when a statement names what the view
    /// does not hold: another client may have made it.
    fn confirm(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl View {
    /// A snapshot of which no statement has been read yet.
    #[must_use]
    pub fn new(catalog: Catalog, sensitive: Sensitive, tags: Vec<Vec<Tag>>) -> Self {
        let statements = Statements::default();
        Self { catalog, sensitive, tags, pins_role: false, statements, lost: None }
    }

    /// The tags of a column; empty for one that is not tagged.
    #[must_use]
    pub fn tags_of(&self, oid: u32, attnum: i16) -> Vec<Tag> {
        let patterns = self.sensitive.get(oid, attnum).map_or(&[][..], |column| &column.patterns);
        let mut tags: Vec<Tag> = patterns.iter().filter_map(|index| self.tags.get(*index)).flatten().cloned().collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Whether a column is tagged, directly or by what it is made of.
    #[must_use]
    pub fn is_sensitive(&self, oid: u32, attnum: i16) -> bool {
        self.sensitive.get(oid, attnum).is_some()
    }

    /// Whether a statement that is not understood is refused whatever policy says.
    pub(crate) fn must_be_told(&self) -> bool {
        self.is_tagged() || self.pins_role
    }

    /// Whether names of cursors and prepared statements must be spelled so that every server reads them alike: much follows from
    /// them, or the server keeps text in another encoding than UTF-8.
    pub(crate) fn minds_spelling(&self) -> bool {
        self.is_tagged() || self.catalog.recodes()
    }

    /// Whether the database holds any tagged column.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        !self.tags.is_empty()
    }
}
