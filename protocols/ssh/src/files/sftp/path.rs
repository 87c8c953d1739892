//! Paths as they are decided on: absolute, without links, `.` or `..`.

use std::fmt;

use bytes::Bytes;

/// The longest path that is taken, in bytes.
const MAX_PATH: usize = 4096;

/// A path that names exactly one place: absolute, UTF-8, no empty part, no `.`, no `..`, no control characters.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Path(Box<str>);

impl Path {
    /// Checks a path; `None` if it is not in the one form.
    #[must_use]
    pub fn canonical(path: &[u8]) -> Option<Self> {
        let text = str::from_utf8(path).ok().filter(|text| text.len() <= MAX_PATH)?;
        let below = text.strip_prefix('/')?;
        (below.is_empty() || below.split('/').all(is_name)).then(|| Self(text.into()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path is a place or lies below it.
    #[must_use]
    pub fn is_within(&self, place: &Self) -> bool {
        let below = self.0.strip_prefix(place.0.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// The path of a name in this directory; `None` if it is too long.
    pub(super) fn join(&self, name: &str) -> Option<Self> {
        let directory = self.0.trim_end_matches('/');
        Self::canonical(format!("{directory}/{name}").as_bytes())
    }

    /// Every directory above it but the root.
    pub(super) fn above(&self) -> Vec<Self> {
        let ends = self.0.match_indices('/').map(|(end, _)| end).filter(|end| *end > 0);
        ends.filter_map(|end| Self::canonical(self.0.as_bytes().get(..end)?)).collect()
    }

    /// The directory in which it lies; the root lies in itself.
    pub(super) fn parent(&self) -> &str {
        self.0.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty()).unwrap_or("/")
    }

    pub(super) fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.as_bytes())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is the name of one file in a directory, and nothing that moves elsewhere or hides.
pub(crate) fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(|c: char| c == '/' || c.is_control())
}

/// How a client spelt a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Spelling {
    /// A name in a directory that the server has to resolve.
    Name { parent: String, name: String },
    /// It ends in `.`, `..` or `/`: the server resolves all of it.
    Whole(String),
}

/// Reads a client's path; `None` if it cannot be decided on.
pub(super) fn spelling(path: &[u8]) -> Option<Spelling> {
    let text = str::from_utf8(path).ok()?;
    if text.is_empty() || text.len() > MAX_PATH || text.contains(char::is_control) {
        return None;
    }
    let (parent, name) = match text.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(split) => split,
        None => (".", text),
    };
    if is_name(name) {
        return Some(Spelling::Name { parent: parent.to_owned(), name: name.to_owned() });
    }
    Some(Spelling::Whole(text.to_owned()))
}

/// Reads a client's path for something that is made, moved or removed: slashes at its end mean nothing, and it must end in
/// a name.
pub(super) fn spelling_of_entry(path: &[u8]) -> Option<Spelling> {
    let kept = path.len().saturating_sub(path.iter().rev().take_while(|byte| **byte == b'/').count());
    match spelling(path.get(..kept)?)? {
        named @ Spelling::Name { .. } => Some(named),
        Spelling::Whole(_) => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_canonical() {
        for path in ["/", "/a", "/a/b.c", "/..a/...", "/ä ö"] {
            assert_eq!(Path::canonical(path.as_bytes()).unwrap().as_str(), path);
        }
        for path in ["", "a", "./a", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a\n", "/a\0", "/\u{9b}m"]
        {
            assert_eq!(Path::canonical(path.as_bytes()), None, "{path:?}");
        }
        assert_eq!(Path::canonical(b"/\xff"), None);
        assert_eq!(Path::canonical(format!("/{}", "a".repeat(4096)).as_bytes()), None);
    }

    #[test]
    fn a_place_holds_itself_and_what_is_below_and_no_sibling() {
        let path = |text: &str| Path::canonical(text.as_bytes()).unwrap();
        let place = path("/srv/data");
        assert!(path("/srv/data").is_within(&place) && path("/srv/data/a").is_within(&place));
        assert!(!path("/srv/database").is_within(&place) && !path("/srv").is_within(&place));
        assert_eq!(path("/srv/data/a").above(), [path("/srv"), place]);
        assert!(path("/srv").above().is_empty() && path("/").above().is_empty());
        assert!(path("/srv").is_within(&path("/")) && path("/").is_within(&path("/")));
    }

    #[test]
    fn a_spelling_is_a_name_in_a_directory_or_a_whole() {
        let name = |parent: &str, name: &str| Some(Spelling::Name { parent: parent.into(), name: name.into() });
        assert_eq!(spelling(b"a"), name(".", "a"));
        assert_eq!(spelling(b"/a"), name("/", "a"));
        assert_eq!(spelling(b"../x//a"), name("../x/", "a"));
        assert_eq!(spelling(b"a/"), Some(Spelling::Whole("a/".into())));
        assert_eq!(spelling(b"/"), Some(Spelling::Whole("/".into())));
        assert_eq!(spelling(b"a/.."), Some(Spelling::Whole("a/..".into())));
        assert_eq!([spelling(b""), spelling(b"a\0b"), spelling(b"\xfe"), spelling(b"a\x1b[m")], [const { None }; 4]);
        assert_eq!(spelling_of_entry(b"a//"), name(".", "a"));
        assert_eq!([spelling_of_entry(b"a/."), spelling_of_entry(b".."), spelling_of_entry(b"/")], [const { None }; 3]);
    }
}
