//! The entry point: a text into an [`Analysis`].

use std::sync::Arc;

use crate::walk::Walk;
use crate::{Analysis, Catalog, Reason, Refused, Sensitive, Unreadable, read};

/// The prepared statements of a connection, made by `PREPARE` or by the protocol: they share one namespace.
pub trait Prepared {
    /// What the statement of this name does.
    fn lookup(&self, name: &str) -> Option<Arc<Analysis>>;
}

/// A connection without prepared statements.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrepared;

impl Prepared for NoPrepared {
    fn lookup(&self, _: &str) -> Option<Arc<Analysis>> {
        None
    }
}

/// Reads a text: what it does, which sensitive columns it uses, and what no policy can allow.
///
/// # Errors
/// When the text cannot be read with certainty; it must not be forwarded.
pub fn analyze(
    text: &str,
    catalog: &Catalog,
    sensitive: &Sensitive,
    prepared: &dyn Prepared,
) -> Result<Analysis, Unreadable> {
    let tree = read::parse(text)?;
    let mut analysis = Walk::new(catalog, sensitive, prepared, catalog.search_path()).run(&tree.stmts, text)?;
    if catalog.recodes()
        && let Some(at) = read::uncertain_name(text)?
    {
        analysis.refusals.insert(0, Refused { reason: Reason::UncertainName, at: u32::try_from(at).ok() });
    }
    Ok(analysis)
}
