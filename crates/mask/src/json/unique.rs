//! Names that stand twice in one object.

use super::entry::{Entry, inside, narrow, text, wide};
use super::escape::unescape;

/// Up to so many names are compared each with each other; more are sorted.
const FEW: usize = 16;

/// Buffers of a search.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    list: Vec<Name>,
    /// The text of names with escapes.
    decoded: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    /// Its first byte in the source.
    at: u32,
    /// Its text, in `decoded` or else in the source.
    start: u32,
    end: u32,
    escaped: bool,
}

/// Where the first name starts that an object, the last of the entries, has had before.
///
/// Costs `O(n log n)` comparisons whatever the names are, since a peer picks them.
pub(super) fn repeated(source: &[u8], entries: &[Entry], object: u32, names: &mut Names) -> Option<usize> {
    let Names { list, decoded } = names;
    list.clear();
    decoded.clear();
    let mut index = object + 1;
    while let (Some(name), Some(value)) = (entries.get(wide(index)), entries.get(wide(index) + 1)) {
        list.push(Name::new(source, name, decoded));
        index = value.next;
    }
    let text = |name: &Name| name.text(source, decoded);
    let later = if list.len() <= FEW { among_few(list, text) } else { among_many(list, text) };
    later.map(|name| wide(name.at))
}

impl Name {
    fn new(source: &[u8], entry: &Entry, decoded: &mut Vec<u8>) -> Self {
        let (at, escaped) = (entry.start, entry.escaped);
        if !escaped {
            return Self { at, start: at + 1, end: entry.end.saturating_sub(1), escaped };
        }
        let start = narrow(decoded.len());
        decoded.extend_from_slice(unescape(text(inside(source, entry))).as_bytes());
        Self { at, start, end: narrow(decoded.len()), escaped }
    }

    fn text<'a>(&self, source: &'a [u8], decoded: &'a [u8]) -> &'a [u8] {
        let bytes = if self.escaped { decoded } else { source };
        bytes.get(wide(self.start)..wide(self.end)).unwrap_or_default()
    }
}

/// Compares a name with those before it if one of them may be equal.
fn among_few<'a>(list: &[Name], text: impl Fn(&Name) -> &'a [u8]) -> Option<Name> {
    let mut seen = 0_u64;
    list.iter().enumerate().find_map(|(index, name)| {
        let bytes = text(name);
        let bit = 1 << outline(bytes);
        let fresh = seen & bit == 0;
        seen |= bit;
        let mut earlier = list.iter().take(index);
        (!fresh && earlier.any(|earlier| text(earlier) == bytes)).then_some(*name)
    })
}

fn among_many<'a>(list: &mut [Name], text: impl Fn(&Name) -> &'a [u8]) -> Option<Name> {
    list.sort_unstable_by(|a, b| text(a).cmp(text(b)).then(a.at.cmp(&b.at)));
    let pairs = list.array_windows::<2>().filter(|[a, b]| text(a) == text(b));
    pairs.map(|[_, later]| *later).min_by_key(|later| later.at)
}

/// A number below 64 that is the same for equal names, and seldom for others.
fn outline(name: &[u8]) -> u8 {
    let byte = |byte: Option<&u8>| byte.copied().unwrap_or_default();
    let length = name.len().to_le_bytes()[0];
    (length.wrapping_mul(7) ^ byte(name.first()).wrapping_mul(3) ^ byte(name.last())) % 64
}
