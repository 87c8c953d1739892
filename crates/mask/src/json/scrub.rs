//! Masks on the text of a document, also where that text is itself JSON.

use std::borrow::Cow;

use bytes::Bytes;

use super::document::Document;
use super::edit::Edits;
use super::entry::{Kind, text};
use super::rules::KeyRules;
use super::trail::Trail;
use super::walk::{Leaf, traverse};

/// How many strings within strings are read as JSON.
const NESTED: u8 = 3;

/// Masks a document: the edits are what `mask` wants replaced, by a string.
///
/// `mask` sees every string, every number as its source text, every member name (kind [`Kind::Name`]), and every
/// boolean that a rule covers; [`Leaf::tag`] is the class of the rule, which covers the names below its place too. `None`
/// leaves a leaf as it is, even if it has a tag: whether a class is masked is for the caller to say. Names that come out
/// alike get numbers, so that an object has as many members as before.
///
/// A string that is a JSON object or array, or several of them, one a line, is masked inside, at most three levels deep,
/// and keeps the other bytes of its text. Rules go on into it as if it were the object or array itself, and `$` is its root as well. Repeated names
/// and halves of surrogate pairs do not stop that. A string that a rule covers is one value first, and is masked inside
/// if `mask` leaves it. One that is no JSON within the document's limits, and one below the third level, is text: `mask`
/// sees all of it.
pub fn mask_strings<'a, F>(document: &'a Document, rules: &KeyRules, mut mask: F) -> Edits<'a>
where
    F: FnMut(&Leaf<'_>, &str) -> Option<String>,
{
    scrub(document, None, Trail::new(rules), NESTED, &mut mask)
}

fn scrub<'a, F>(
    document: &'a Document,
    outer: Option<&Leaf<'_>>,
    trail: Trail<'_>,
    nested: u8,
    mask: &mut F,
) -> Edits<'a>
where
    F: FnMut(&Leaf<'_>, &str) -> Option<String>,
{
    let mut edits = Edits::new(document);
    traverse(document, outer, trail, |leaf, trail| {
        let node = leaf.node();
        let masked = match node.kind() {
            Kind::String => string(leaf, trail, nested, mask),
            Kind::Name => node.text().and_then(|name| changed(&name, mask(leaf, &name))),
            Kind::Number => mask(leaf, text(node.raw())),
            Kind::Bool if leaf.tag().is_some() => mask(leaf, text(node.raw())),
            Kind::Bool | Kind::Null | Kind::Array | Kind::Object => None,
        };
        if let Some(masked) = masked {
            edits.write(node, &masked);
        }
    });
    edits
}

fn string<F>(leaf: &Leaf<'_>, trail: &Trail<'_>, nested: u8, mask: &mut F) -> Option<String>
where
    F: FnMut(&Leaf<'_>, &str) -> Option<String>,
{
    let whole = leaf.node().text()?;
    if nested == 0 || !may_be_container(&whole) {
        return changed(&whole, mask(leaf, &whole));
    }
    if leaf.tag().is_some()
        && let Some(masked) = mask(leaf, &whole)
    {
        return changed(&whole, Some(masked));
    }
    match Document::parse_lax(whole, leaf.node().document().limits()) {
        Ok(inner) => {
            let edits = scrub(&inner, Some(leaf), trail.inside(), nested - 1, mask);
            (!edits.is_empty()).then(|| String::from_utf8_lossy(&edits.apply()).into_owned())
        }
        Err(_) if leaf.tag().is_some() => None,
        Err(whole) => match lines(&whole, leaf) {
            Some(lines) => {
                let masked = lines.iter().map(|line| match line {
                    Line::Json(inner) => scrub(inner, Some(leaf), trail.inside(), nested - 1, mask).apply(),
                    Line::Blank(text) => Bytes::copy_from_slice(text.as_bytes()),
                });
                let masked: Vec<u8> = masked.collect::<Vec<Bytes>>().concat();
                changed(&whole, Some(String::from_utf8_lossy(&masked).into_owned()))
            }
            None => changed(&whole, mask(leaf, &whole)),
        },
    }
}

/// A line of a text, with its end.
enum Line<'t> {
    Json(Document),
    Blank(&'t str),
}

/// A text of which each line is a document, and none goes over more than one.
fn lines<'t>(text: &'t str, leaf: &Leaf<'_>) -> Option<Vec<Line<'t>>> {
    text.contains('\n').then_some(())?;
    let line = |line: &'t str| {
        if line.trim().is_empty() {
            return Some(Line::Blank(line));
        }
        Document::parse_lax(Cow::Borrowed(line), leaf.node().document().limits()).ok().map(Line::Json)
    };
    text.split_inclusive('\n').map(line).collect()
}

fn changed(text: &str, masked: Option<String>) -> Option<String> {
    masked.filter(|masked| masked != text)
}

fn may_be_container(text: &str) -> bool {
    text.trim_start_matches([' ', '\n', '\r', '\t']).starts_with(['{', '['])
}
