//! What counts as a protected value at a target: detectors, and members of JSON bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_mask::json::{BadRule, Document, KeyRules, Kind, Leaf, mask_strings};
use sluice_mask::{DetectorError, Detectors, Tokens};
use sluice_model::{Obligations, Resource, Tag, Transform};
use thiserror::Error;

use crate::dialects::openai;
use crate::dialects::rest::JSON_LIMITS;
use crate::target::{Dialect, Target};
use crate::veil::{Cloth, Shelf, Veil, Weave, begins_container, looked_at, notice, reads_as_object};

/// Tokens of one principal that are remembered.
const TOKENS: usize = 4_096;
/// Principals whose tokens are remembered.
const SHELVES: usize = 1_024;
/// Different sets of transforms that are remembered.
const CLOTHS: usize = 64;

/// The detectors and key rules of one target.
#[derive(Debug)]
pub(crate) struct Classes {
    detectors: Arc<Detectors>,
    tokens: Arc<Detectors>,
    rules: KeyRules,
    tags: BTreeSet<Tag>,
    /// Whether all strings are what programs put together. The prose of models and people is not.
    by_programs: bool,
}

/// What all detectors and key rules of a target make of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inside {
    /// None of them covers anything, so that no veil over protected values changes it.
    Clean,
    Unclear,
}

impl Inside {
    /// After texts in which these classes were found, and which were covered so many times. What outgrows every limit is
    /// covered too, and is of no class.
    fn of(tags: &BTreeSet<Tag>, covered: u64) -> Self {
        if tags.is_empty() && covered == 0 { Self::Clean } else { Self::Unclear }
    }

    /// Of both.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        if self == Self::Clean { other } else { self }
    }
}

/// Why they do not compile.
#[derive(Debug, Error)]
pub(crate) enum Unclassified {
    #[error(transparent)]
    Detector(#[from] DetectorError),
    #[error(transparent)]
    Key(#[from] BadRule),
}

impl Classes {
    /// What a target's configuration says.
    pub(crate) fn of(target: &Target) -> Result<Self, Unclassified> {
        let detectors = Detectors::chosen(target.detectors.as_deref())?;
        let keys = target.keys.iter().flat_map(|(pattern, tags)| tags.iter().map(move |tag| (pattern, tag.clone())));
        let rules = KeyRules::compile(&keys.collect::<Vec<_>>())?;
        let by_programs = target.dialect == Dialect::Rest;
        let tags = detectors.tags().chain(rules.tags()).cloned().collect();
        Ok(Self { detectors: Arc::new(detectors), tokens: Arc::new(Detectors::tokens()?), rules, tags, by_programs })
    }

    /// Every class that a value may be of.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter()
    }

    pub(crate) const fn detectors(&self) -> &Arc<Detectors> {
        &self.detectors
    }

    pub(crate) const fn tokens(&self) -> &Arc<Detectors> {
        &self.tokens
    }

    pub(crate) const fn rules(&self) -> &KeyRules {
        &self.rules
    }

    /// Whether members of JSON are covered by their names.
    pub(crate) fn has_keys(&self) -> bool {
        !self.rules.tags().is_empty()
    }

    /// The classes of the values in a text, which may be JSON although nothing says so, and whether anything at all
    /// would be covered.
    pub(crate) fn looked_in(&self, text: &str) -> (BTreeSet<Tag>, Inside) {
        let mut tags = BTreeSet::new();
        let mut inside = Inside::Clean;
        if begins_container(text) {
            let parsed = |text: &str| Document::parse(text.to_owned(), JSON_LIMITS).ok();
            let lines = || text.lines().filter(|line| !line.trim().is_empty()).map(parsed).collect();
            match parsed(text).map(|document| vec![document]).or_else(lines) {
                Some(documents) => {
                    for (found, within) in documents.iter().map(|document| self.looked_within(document)) {
                        tags.extend(found);
                        inside = inside.and(within);
                    }
                }
                None if reads_as_object(text) => tags.extend(self.rules.tags().iter().cloned()),
                None => {}
            }
        }
        let covered = notice(&self.detectors, text, &mut tags, &mut String::new());
        let inside = inside.and(Inside::of(&tags, covered));
        (tags, inside)
    }

    /// Whether a string reads like an object and could not be read as one: what could is masked by its leaves.
    pub(crate) fn is_unread(&self, leaf: &Leaf<'_>, text: &str) -> bool {
        leaf.node().kind() == Kind::String
            && leaf.tag().is_none()
            && reads_as_object(text)
            && (self.by_programs || openai::wrote(leaf, text))
    }

    /// The classes of the values in a document.
    pub(crate) fn found_within(&self, document: &Document) -> BTreeSet<Tag> {
        self.looked_within(document).0
    }

    /// The same, and whether anything at all would be covered.
    pub(crate) fn looked_within(&self, document: &Document) -> (BTreeSet<Tag>, Inside) {
        let (mut tags, mut scratch) = (BTreeSet::new(), String::new());
        let mut covered = 0_u64;
        let _no_edits = mask_strings(document, &self.rules, |leaf, text| {
            tags.extend(leaf.tag().cloned());
            if self.has_keys() && self.is_unread(leaf, text) {
                tags.extend(self.rules.tags().iter().cloned());
            }
            if let Some(text) = looked_at(leaf, text) {
                covered = covered.saturating_add(notice(&self.detectors, &text, &mut tags, &mut scratch));
            }
            None
        });
        let inside = Inside::of(&tags, covered);
        (tags, inside)
    }
}

/// The veils of one target: what its obligations come to.
pub(crate) struct Veils {
    classes: Arc<Classes>,
    key: [u8; 32],
    everything: Veil,
    /// By principal and what is masked for it: tokens are put back only for whoever had them made, and only while as
    /// much may be seen.
    shelves: Mutex<BTreeMap<String, Shelf>>,
    /// What veils were made of: most exchanges of a target have the same.
    cloths: Mutex<Vec<Arc<Cloth>>>,
}

impl Veils {
    pub(crate) fn new(classes: Classes, key: [u8; 32]) -> Self {
        let classes = Arc::new(classes);
        let transforms = classes.tags().map(|tag| (tag.clone(), Transform::Redact)).collect();
        let cloth = Arc::new(Cloth::new(&classes, transforms, &key));
        let everything = Veil::new(Weave { classes: Arc::clone(&classes), cloth, key, noted: None, restored: None });
        Self { classes, key, everything, shelves: Mutex::default(), cloths: Mutex::default() }
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.classes.tags()
    }

    /// The sets of detectors that texts are looked at with.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &Arc<Detectors>> {
        [self.classes.detectors(), self.classes.tokens()].into_iter()
    }

    pub(crate) fn found_in(&self, text: &str) -> BTreeSet<Tag> {
        self.looked_in(text).0
    }

    pub(crate) fn looked_in(&self, text: &str) -> (BTreeSet<Tag>, Inside) {
        self.classes.looked_in(text)
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.classes.has_keys()
    }

    pub(crate) fn found_within(&self, document: &Document) -> BTreeSet<Tag> {
        self.classes.found_within(document)
    }

    pub(crate) fn looked_within(&self, document: &Document) -> (BTreeSet<Tag>, Inside) {
        self.classes.looked_within(document)
    }

    /// Redacts whatever is found: for records and for people who approve.
    pub(crate) const fn everything(&self) -> &Veil {
        &self.everything
    }

    /// Over what goes to the server.
    pub(crate) fn toward_server(&self, obligations: &Obligations, who: &str) -> Veil {
        let transforms: Vec<(Tag, Transform)> =
            obligations.withheld.iter().map(|withheld| (withheld.tag.clone(), withheld.transform.clone())).collect();
        // A value goes back only to whoever may see it.
        let masked = |tag: &Tag| obligations.masks.iter().any(|mask| mask.resource == Resource::value(tag));
        let tokens = transforms.iter().any(|(tag, transform)| *transform == Transform::Token && !masked(tag));
        let noted = tokens.then(|| self.shelf(&shelf_name(who, obligations)));
        let cloth = self.cloth(transforms);
        Veil::new(Weave { classes: Arc::clone(&self.classes), cloth, key: self.key, noted, restored: None })
    }

    /// Over what goes to the client.
    pub(crate) fn toward_client(&self, obligations: &Obligations, who: &str) -> Veil {
        let masks = obligations.masks.iter().filter(|mask| mask.resource.kind == Resource::VALUE);
        let transforms = masks.filter_map(|mask| {
            let tag = Tag::new(mask.resource.path.first()?).ok()?;
            Some((tag, mask.transform.clone()))
        });
        let restored = self.known_shelf(who, obligations);
        let cloth = self.cloth(transforms.collect());
        Veil::new(Weave { classes: Arc::clone(&self.classes), cloth, key: self.key, noted: None, restored })
    }

    fn cloth(&self, transforms: Vec<(Tag, Transform)>) -> Arc<Cloth> {
        let mut cloths = self.cloths.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cloth) = cloths.iter().find(|cloth| cloth.is_of(&transforms)) {
            return Arc::clone(cloth);
        }
        if cloths.len() >= CLOTHS {
            cloths.clear();
        }
        let cloth = Arc::new(Cloth::new(&self.classes, transforms, &self.key));
        cloths.push(Arc::clone(&cloth));
        cloth
    }

    fn known_shelf(&self, who: &str, obligations: &Obligations) -> Option<Shelf> {
        let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if shelves.is_empty() { None } else { shelves.get(&shelf_name(who, obligations)).cloned() }
    }

    fn shelf(&self, name: &str) -> Shelf {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if shelves.len() >= SHELVES && !shelves.contains_key(name) {
            shelves.pop_first();
        }
        let new = || Arc::new(Mutex::new(Tokens::new(TOKENS)));
        Arc::clone(shelves.entry(name.to_owned()).or_insert_with(new))
    }
}

/// Whose tokens, made while what was masked.
fn shelf_name(who: &str, obligations: &Obligations) -> String {
    let masked = obligations.masks.iter().map(|mask| mask.resource.to_string());
    let masked: BTreeSet<String> = masked.collect();
    masked.into_iter().fold(who.to_owned(), |name, masked| format!("{name}\n{masked}"))
}
