//! What is put over protected values on their way to one side.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_mask::json::{Document, Edits, Kind, Leaf, mask_strings};
use sluice_mask::{Cover, Covers, Detectors, Sieve, Tokens, Watch, scrub, stand_in};
use sluice_model::{Tag, Transform};

use crate::classes::Classes;

/// Integers of fewer digits are counts and times, and no numbers of cards or accounts.
const NUMBER_DIGITS: usize = 13;

/// The values behind the tokens that one principal's texts were given.
pub(crate) type Shelf = Arc<Mutex<Tokens>>;

/// Covers protected values in texts; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Veil(Option<Arc<Inner>>);

struct Inner {
    classes: Arc<Classes>,
    covers: Covers,
    watch: Watch,
    key: [u8; 32],
    /// Where tokens are noted, so that their values can be put back.
    noted: Option<Shelf>,
    /// Where values are put back from.
    restored: Option<Shelf>,
}

/// What a veil does, as policy asks for it.
pub(crate) struct Weave {
    pub(crate) classes: Arc<Classes>,
    /// The transforms of classes; a class that is not here is shown.
    pub(crate) transforms: Vec<(Tag, Transform)>,
    pub(crate) key: [u8; 32],
    pub(crate) noted: Option<Shelf>,
    pub(crate) restored: Option<Shelf>,
}

impl Veil {
    /// Covers nothing.
    pub(crate) const fn open() -> Self {
        Self(None)
    }

    /// Covers what is to be covered.
    pub(crate) fn new(weave: Weave) -> Self {
        let Weave { classes, transforms, key, noted, restored } = weave;
        let restored = restored.filter(|shelf| !lock(shelf).is_empty());
        if transforms.is_empty() && restored.is_none() {
            return Self::open();
        }
        let shown = classes.tags().map(|tag| (tag.clone(), None));
        let rules = shown.chain(transforms.into_iter().map(|(tag, transform)| (tag, Some(transform))));
        let covers = Covers::new(&key, rules);
        let watch = covers.watch(classes.detectors());
        Self(Some(Arc::new(Inner { classes, covers, watch, key, noted, restored })))
    }

    /// Whether no text is ever changed.
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// A whole text.
    pub(crate) fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(inner) = &self.0 else { return Cow::Borrowed(text) };
        match inner.scrub(text) {
            Some(changed) => Cow::Owned(changed),
            None => Cow::Borrowed(text),
        }
    }

    /// The headers that hold something which may not be seen; those cannot be changed, only left out.
    pub(crate) fn found_in(&self, headers: &HeaderMap) -> Vec<HeaderName> {
        let is_shown = |value: &HeaderValue| value.to_str().is_ok_and(|text| *self.scrub(text) == *text);
        let hidden = headers.iter().filter(|(_, value)| !self.is_open() && !is_shown(value));
        hidden.map(|(name, _)| name.clone()).collect()
    }

    /// A text that arrives in pieces.
    pub(crate) fn strainer(&self) -> Strainer {
        Strainer(self.0.as_ref().map(|inner| {
            let restore = inner.restored.as_ref().map(|_| Sieve::new(Arc::clone(inner.classes.tokens())));
            let sieve = Sieve::watching(Arc::clone(inner.classes.detectors()), inner.watch);
            Box::new(Straining { inner: Arc::clone(inner), sieve, restore, between: String::new() })
        }))
    }

    /// Every text of a document, whatever a key rule covers, and JSON inside of texts.
    pub(crate) fn edits<'d>(&self, document: &'d Document) -> Edits<'d> {
        match &self.0 {
            Some(inner) => mask_strings(document, inner.classes.rules(), |leaf, text| inner.leaf(leaf, text)),
            None => Edits::new(document),
        }
    }
}

impl Inner {
    /// The text as it may be seen; `None` where nothing of it changes.
    fn scrub(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut changed = false;
        if !self.watch.is_empty() {
            changed = self.cover(text, &mut out);
        }
        if let Some(shelf) = &self.restored {
            let source = if changed { std::mem::take(&mut out) } else { text.to_owned() };
            out.clear();
            let tokens = lock(shelf);
            scrub(self.classes.tokens(), self.classes.tokens().everything(), &source, &mut tokens.restore(), &mut out);
            changed |= out != source;
            if changed { Some(out) } else { None }
        } else {
            changed.then_some(out)
        }
    }

    /// Covers values, and tells whether there was one.
    fn cover(&self, text: &str, out: &mut String) -> bool {
        self.with_cover(|cover| scrub(self.classes.detectors(), self.watch, text, cover, out) > 0)
    }

    fn with_cover<T>(&self, act: impl FnOnce(&mut dyn Cover) -> T) -> T {
        match &self.noted {
            Some(shelf) => act(&mut self.covers.noting(&mut lock(shelf))),
            None => act(&mut &self.covers),
        }
    }

    fn leaf(&self, leaf: &Leaf<'_>, text: &str) -> Option<String> {
        if let Some(tag) = leaf.tag()
            && let Some(transform) = self.covers.rule(tag)
        {
            let mut out = String::new();
            stand_in(transform, tag, text, &self.key, &mut out);
            if *transform == Transform::Token
                && let Some(shelf) = &self.noted
            {
                lock(shelf).note(&out, text);
            }
            return Some(out);
        }
        let counts = text.len() < NUMBER_DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit());
        if leaf.node().kind() == Kind::Number && counts { None } else { self.scrub(text) }
    }
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "Veil(open)" } else { "Veil" })
    }
}

/// Covers one text that arrives in pieces.
pub(crate) struct Strainer(Option<Box<Straining>>);

struct Straining {
    inner: Arc<Inner>,
    sieve: Sieve,
    restore: Option<Sieve>,
    between: String,
}

impl Strainer {
    /// Takes a piece and appends what may be released.
    pub(crate) fn push(&mut self, piece: &str, out: &mut String) {
        let Some(straining) = &mut self.0 else { return out.push_str(piece) };
        straining.step(out, |sieve, cover, between| sieve.push(piece, cover, between));
        straining.restore(out, false);
    }

    /// Appends what is left.
    pub(crate) fn finish(&mut self, out: &mut String) {
        let Some(straining) = &mut self.0 else { return };
        straining.step(out, |sieve, cover, between| sieve.finish(cover, between));
        straining.restore(out, true);
    }

    /// Bytes that are held back.
    pub(crate) fn held(&self) -> usize {
        let Some(straining) = &self.0 else { return 0 };
        straining.sieve.held().saturating_add(straining.restore.as_ref().map_or(0, Sieve::held))
    }
}

impl Straining {
    /// Runs the first sieve; its text goes out, or waits for the second.
    fn step(&mut self, out: &mut String, act: impl FnOnce(&mut Sieve, &mut dyn Cover, &mut String)) {
        let Self { inner, sieve, restore, between } = self;
        let into = if restore.is_some() { between } else { out };
        inner.with_cover(|cover| act(sieve, cover, into));
    }

    fn restore(&mut self, out: &mut String, ends: bool) {
        let (Some(sieve), Some(shelf)) = (&mut self.restore, &self.inner.restored) else { return };
        let tokens = lock(shelf);
        sieve.push(&self.between, &mut tokens.restore(), out);
        self.between.clear();
        if ends {
            sieve.finish(&mut tokens.restore(), out);
        }
    }
}

impl fmt::Debug for Strainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Strainer({} bytes held)", self.held())
    }
}

fn lock(shelf: &Shelf) -> std::sync::MutexGuard<'_, Tokens> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which classes a text holds; shows it as it is.
pub(crate) struct Noticing<'a>(pub(crate) &'a mut std::collections::BTreeSet<Tag>);

impl Cover for Noticing<'_> {
    fn cover(&mut self, found: &sluice_mask::Found<'_>, out: &mut String) {
        self.0.extend(found.tags().cloned());
        out.push_str(found.text());
    }
}

/// Runs every detector of a set over a text.
pub(crate) fn notice(detectors: &Detectors, text: &str, tags: &mut std::collections::BTreeSet<Tag>, out: &mut String) {
    out.clear();
    scrub(detectors, detectors.everything(), text, &mut Noticing(tags), out);
}
