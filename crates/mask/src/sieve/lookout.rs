//! A look at a text that is read in order, each byte once, for what values show before anybody looks for them.

use std::fmt;
use std::sync::Arc;

use crate::detect::{Detectors, Search, Watch};
use crate::fold::is_all_plain;

/// Tells which parts of a text there is a reason to look for values in.
///
/// **Invariant:** for each value that lies wholly in what was read, a part is suspected that holds a byte of it or of the
/// 320 bytes on either side, however the text is cut into parts.
pub struct Lookout {
    set: Arc<Detectors>,
    watch: Watch,
    /// How far the search for signs is; `None` if nothing was read.
    search: Option<Search>,
}

impl Lookout {
    /// A lookout for the watched values of a set, before the first part.
    #[must_use]
    pub const fn new(set: Arc<Detectors>, watch: Watch) -> Self {
        Self { set, watch, search: None }
    }

    /// Reads the next part; tells whether it is suspected.
    pub fn suspects(&mut self, part: &[u8]) -> bool {
        if self.watch.is_empty() {
            return false;
        }
        // Where there are no signs, only a look for the values themselves can tell.
        let Some(signs) = self.set.signs().filter(|signs| self.watch.0 & !signs.signed == 0) else {
            return true;
        };
        let mut shown = 0;
        let search = self.search.get_or_insert_with(|| signs.search());
        signs.read(search, part, |_, spot| shown |= spot.detectors);
        // What ends with this part counts for it: nothing may follow.
        signs.end(*search, |spot| shown |= spot.detectors);
        shown & self.watch.0 != 0 || !is_all_plain(part)
    }
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookout").finish_non_exhaustive()
    }
}
