//! Texts that come in pieces: what may be released, and when.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

use sluice_mask::json::{Document, Fault as Malformed, Kind, Node};

use crate::sse::Event;
use crate::veil::{BLANK, Strainer};

use super::beside::is_naming;
use super::cover::{Cover, LIMITS};
use super::words::{push_string, quoted};
use super::{Fault, QUEUE_BYTES};

/// Texts that are under way at once, and those of one stream that are over.
const MAX_OPEN: usize = 1024;
const MAX_CLOSED: usize = 65_536;

/// How far behind the end of unfinished JSON a parser can be: the longest token that it sees as one.
const TOKEN_BYTES: usize = 16;

/// One step from the root of a delta to a text in it.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Step<'a> {
    Member(Cow<'a, str>),
    /// Into a list of strings or lists.
    Entry,
    /// Into the item whose `index` and `type` say so.
    Item {
        index: Option<i64>,
        kind: Option<Cow<'a, str>>,
    },
}

/// A text of a stream. The scope is a list of lines that say what it is a part of.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) scope: &'a str,
    /// What stands around the root of the steps in an event.
    pub(super) frame: [&'static str; 2],
    pub(super) steps: &'a [Step<'a>],
}

/// The texts of a stream that are under way.
#[derive(Default)]
pub(super) struct Texts {
    open: HashMap<String, Entry>,
    closed: HashSet<u64>,
    /// Bytes that are gathered in all texts.
    gathered: usize,
    order: u64,
    key: String,
}

/// What was held when a text ended.
pub(super) struct Rest {
    pub(super) text: String,
    pub(super) steps: Vec<Step<'static>>,
    /// The last event that left with a piece of the text.
    pub(super) skeleton: Option<Event>,
}

impl Texts {
    /// Takes a piece and appends what may be released of its text.
    pub(super) fn push(&mut self, place: Place<'_>, piece: &str, cover: &Cover, out: &mut String) -> Result<(), Fault> {
        self.find(place, piece, cover)?;
        let Some(entry) = self.open.get_mut(&self.key) else { return Ok(()) };
        let before = entry.text.gathered();
        entry.text.push(piece, cover, out);
        self.gathered = self.gathered.saturating_sub(before).saturating_add(entry.text.gathered());
        if self.gathered > QUEUE_BYTES { Err(Fault::TooLarge) } else { Ok(()) }
    }

    /// Keeps the event that leaves with the last piece of a text, if something of the text is held.
    pub(super) fn keep(&mut self, event: &Event) {
        if let Some(entry) = self.open.get_mut(&self.key) {
            entry.skeleton = entry.text.holds().then(|| event.clone());
        }
    }

    /// Ends a text within the piece that was pushed last, and appends what was held.
    pub(super) fn finish(&mut self, cover: &Cover, out: &mut String) -> Result<(), Fault> {
        let key = std::mem::take(&mut self.key);
        if let Some(entry) = self.close(&key)? {
            entry.finish(cover, out)?;
        }
        Ok(())
    }

    /// Ends every text whose scope has all those lines, in the order in which they began.
    pub(super) fn end(&mut self, lines: &str, cover: &Cover) -> Result<Vec<Rest>, Fault> {
        let mut keys: Vec<(u64, String)> = self
            .open
            .iter()
            .filter(|(_, entry)| entry.is_inside(lines))
            .map(|(key, entry)| (entry.order, key.clone()))
            .collect();
        keys.sort_unstable();
        let mut rests = Vec::new();
        for (_, key) in keys {
            let Some(entry) = self.close(&key)? else { continue };
            let (steps, skeleton) = (entry.steps.clone(), entry.skeleton.clone());
            let mut text = String::new();
            entry.finish(cover, &mut text)?;
            if !text.is_empty() {
                rests.push(Rest { text, steps, skeleton });
            }
        }
        Ok(rests)
    }

    /// Forgets everything that is held.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Tells whether a text is under way whose scope has all those lines.
    pub(super) fn has(&self, lines: &str) -> bool {
        self.open.values().any(|entry| entry.is_inside(lines))
    }

    /// Tells whether something of any text is held.
    pub(super) fn holds(&self) -> bool {
        self.open.values().any(|entry| entry.text.holds())
    }

    /// Makes the key of a place and an entry for it. A text that goes on after its end would be two halves, each
    /// looked at alone.
    fn find(&mut self, place: Place<'_>, piece: &str, cover: &Cover) -> Result<(), Fault> {
        self.key.clear();
        self.key.push_str(place.scope);
        for step in place.steps {
            match step {
                Step::Member(name) => write!(self.key, "{}.{name}", name.len()),
                Step::Entry => write!(self.key, "[]"),
                Step::Item { index, kind } => write!(self.key, "[{index:?}{kind:?}]"),
            }
            .map_err(|_| Fault::TooLarge)?;
        }
        if piece.is_empty() || self.open.contains_key(&self.key) {
            return Ok(());
        }
        if self.closed.contains(&digest(&self.key)) {
            return Err(Fault::Late);
        }
        if self.open.len() >= MAX_OPEN {
            return Err(Fault::TooMany);
        }
        self.order = self.order.saturating_add(1);
        let entry = Entry {
            text: Text::new(place, cover)?,
            scope: place.scope.to_owned(),
            frame: place.frame,
            steps: place.steps.iter().map(|step| step.owned(cover)).collect(),
            skeleton: None,
            order: self.order,
        };
        self.open.insert(self.key.clone(), entry);
        Ok(())
    }

    fn close(&mut self, key: &str) -> Result<Option<Entry>, Fault> {
        let Some(entry) = self.open.remove(key) else { return Ok(None) };
        if self.closed.len() >= MAX_CLOSED {
            return Err(Fault::TooMany);
        }
        self.closed.insert(digest(key));
        self.gathered = self.gathered.saturating_sub(entry.text.gathered());
        Ok(Some(entry))
    }
}

impl Step<'_> {
    /// The step as it may be shown.
    fn owned(&self, cover: &Cover) -> Step<'static> {
        match self {
            Self::Member(name) => Step::Member(cover.scrub(name).into_owned().into()),
            Self::Entry => Step::Entry,
            Self::Item { index, kind } => {
                Step::Item { index: *index, kind: kind.as_ref().map(|kind| cover.scrub(kind).into_owned().into()) }
            }
        }
    }
}

/// A delta with nothing but one text in it. An item is found by its `index`.
pub(super) fn nest(steps: &[Step<'_>], text: &str) -> String {
    steps.iter().rev().fold(quoted(text), |inner, step| match step {
        Step::Member(name) => {
            let mut outer = String::from("{");
            push_string(name, &mut outer);
            outer.push(':');
            outer.push_str(&inner);
            outer.push('}');
            outer
        }
        Step::Entry => format!("[{inner}]"),
        Step::Item { index, kind } => {
            let mut outer = String::from("[{");
            if let Some(index) = index {
                outer.push_str(&format!(r#""index":{index},"#));
            }
            if let Some(kind) = kind {
                outer.push_str(&format!(r#""type":{},"#, quoted(kind)));
            }
            outer.push_str(inner.strip_prefix('{').unwrap_or(&inner));
            outer.push(']');
            outer
        }
    })
}

/// Visits the texts of a delta that clients may join to what they have: every string but names.
/// Items of a list are joined by their `index`, and without one by their `type`; only sources of a text are each a thing
/// of its own.
///
/// `INVARIANT:` a document has a limit on its depth, and so has this recursion.
pub(super) fn texts_of<'d, F>(node: Node<'d>, steps: &mut Vec<Step<'d>>, visit: &mut F) -> Result<(), Fault>
where
    F: FnMut(Node<'d>, &[Step<'d>]) -> Result<(), Fault>,
{
    match node.kind() {
        Kind::String => visit(node, steps),
        Kind::Object => {
            for (name, value) in node.members() {
                if name.ends_with("logprobs") || value.kind() == Kind::String && is_naming(&name) {
                    continue;
                }
                // Sound is no text.
                if name == "data" && steps.last() == Some(&Step::Member("audio".into())) {
                    continue;
                }
                steps.push(Step::Member(name));
                texts_of(value, steps, visit)?;
                steps.pop();
            }
            Ok(())
        }
        Kind::Array => {
            let whole = matches!(steps.last(), Some(Step::Member(name)) if name == "annotations");
            for item in node.items() {
                let index = item.get("index").and_then(|index| index.as_i64());
                if whole && index.is_none() {
                    continue;
                }
                steps.push(match item.kind() {
                    Kind::Object if index.is_some() => Step::Item { index, kind: None },
                    Kind::Object => Step::Item { index, kind: item.get("type").and_then(|kind| kind.text()) },
                    Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Name | Kind::Array => Step::Entry,
                });
                texts_of(item, steps, visit)?;
                steps.pop();
            }
            Ok(())
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Name => Ok(()),
    }
}

/// Adds where those texts stand.
pub(super) fn spans_of(node: Node<'_>, spans: &mut Vec<Range<usize>>) -> Result<(), Fault> {
    texts_of(node, &mut Vec::new(), &mut |text, _| {
        spans.push(text.span());
        Ok(())
    })
}

struct Entry {
    text: Text,
    scope: String,
    frame: [&'static str; 2],
    steps: Vec<Step<'static>>,
    skeleton: Option<Event>,
    order: u64,
}

impl Entry {
    fn is_inside(&self, lines: &str) -> bool {
        lines.lines().all(|line| self.scope.lines().any(|own| own == line))
    }

    fn finish(self, cover: &Cover, out: &mut String) -> Result<(), Fault> {
        match self.text {
            Text::Blank { text, .. } => out.push_str(&text),
            Text::Gather { text, .. } => {
                out.push_str(&in_place(self.frame, &self.steps, &text, cover)?);
            }
            Text::Strain(mut strainer) => strainer.finish(out),
        }
        Ok(())
    }
}

/// A text under way.
enum Text {
    /// White space so far.
    Blank {
        text: String,
        by: Author,
    },
    /// May be a JSON object or array, in which escapes and the names of members count; so it is looked at as a whole.
    Gather {
        text: String,
        check_at: usize,
    },
    Strain(Strainer),
}

/// Who writes a text, and so what one is that may not be JSON after all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Author {
    /// It is prose.
    Anybody,
    /// It is covered as a whole.
    Program,
}

impl Text {
    /// A text of which nothing is known but its place. What a key rule covers is covered as a whole.
    fn new(place: Place<'_>, cover: &Cover) -> Result<Self, Fault> {
        let shows = |text: &str| Ok::<_, Fault>(in_place(place.frame, place.steps, text, cover)? == text);
        Ok(if !shows(PROBE)? {
            Self::Gather { text: String::new(), check_at: usize::MAX }
        } else if cover.has_keys() && !shows(LAX)? {
            Self::Blank { text: String::new(), by: Author::Program }
        } else {
            Self::Blank { text: String::new(), by: Author::Anybody }
        })
    }

    fn push(&mut self, piece: &str, cover: &Cover, out: &mut String) {
        match self {
            Self::Blank { text, by } => {
                text.push_str(piece);
                if let Some(first) = text.trim_start_matches(BLANK).chars().next() {
                    let text = std::mem::take(text);
                    if matches!(first, '{' | '[') {
                        let check_at = if *by == Author::Program { usize::MAX } else { TOKEN_BYTES };
                        *self = Self::Gather { text, check_at };
                        self.push("", cover, out);
                    } else {
                        *self = Self::strain(&text, cover, out);
                    }
                }
            }
            Self::Gather { text, check_at } => {
                text.push_str(piece);
                if text.len() >= *check_at {
                    *check_at = text.len().saturating_mul(2);
                    if !may_become_json(text) {
                        *self = Self::strain(&std::mem::take(text), cover, out);
                    }
                }
            }
            Self::Strain(strainer) => strainer.push(piece, out),
        }
    }

    fn strain(text: &str, cover: &Cover, out: &mut String) -> Self {
        let mut strainer = cover.strainer();
        strainer.push(text, out);
        Self::Strain(strainer)
    }

    fn holds(&self) -> bool {
        match self {
            Self::Blank { text, .. } | Self::Gather { text, .. } => !text.is_empty(),
            Self::Strain(strainer) => strainer.held() > 0,
        }
    }

    fn gathered(&self) -> usize {
        match self {
            Self::Blank { text, .. } | Self::Gather { text, .. } => text.len(),
            Self::Strain(_) => 0,
        }
    }
}

/// Tells whether a text can be the start of a JSON document, or of several, one a line.
fn may_become_json(text: &str) -> bool {
    may_become_document(text)
        || text.rsplit_once('\n').is_some_and(|(lines, last)| {
            let is_blank = |line: &str| line.trim().is_empty();
            (is_blank(last) || may_become_document(last))
                && lines.lines().all(|line| is_blank(line) || is_document(line))
        })
}

/// Tells whether a parser gives up only near the end. A repeated name or half a surrogate pair stops strict parsers
/// only.
fn may_become_document(text: &str) -> bool {
    match Document::parse(text.to_owned(), LIMITS) {
        Err(Malformed::Syntax { at, .. }) => at.saturating_add(TOKEN_BYTES) > text.len(),
        Ok(_) | Err(_) => true,
    }
}

fn is_document(text: &str) -> bool {
    !matches!(Document::parse(text.to_owned(), LIMITS), Err(Malformed::Syntax { .. }))
}

/// A whole text as it would look in a document at that place.
fn in_place(frame: [&str; 2], steps: &[Step<'_>], text: &str, cover: &Cover) -> Result<String, Fault> {
    let [before, after] = frame;
    let covered = Document::parse(cover.apply(format!("{before}{}{after}", nest(steps, text)))?, LIMITS)?;
    let mut node = covered.root();
    while let Some(inner) = node.items().last().or_else(|| node.members().last().map(|(_, value)| value)) {
        node = inner;
    }
    Ok(node.text().unwrap_or_default().into_owned())
}

/// A text that is no protected value, and long enough that a part of it is not all of it.
const PROBE: &str = "a text that is no protected value by itself, of more characters than any stand-in of a value leaves as \
    they are at the end of it: whoever reads this reads the whole of it, and if it is not the same text any more, then \
    it was the place that made it a protected value, and everything that stands there is to be treated in that same way.";

/// A text that reads like an object and is no JSON.
const LAX: &str = "{'a': 'text that is no protected value either";

fn digest(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
