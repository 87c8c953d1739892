//! What a word of a command may look like.

use serde::Deserialize;

use crate::pattern::{Pattern, component_matches, is_normal};

/// What a word stands for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A path in its normal form.
    Path,
    /// A path that may be written with a slash at its end.
    Folder,
    /// A path, or `-` for a standard stream.
    File,
    /// A path without `:`, or `-`; for programs that take `host:path` for another machine.
    Local,
    /// A unit of systemd.
    Unit,
    /// A host name or an address.
    Host,
    /// An `http` or `https` address.
    Url,
    /// A number, with a sign, a fraction and a unit of up to two letters.
    Number,
    /// The name of a user or a number.
    User,
    /// Letters, digits and `_@%+:,.-`, without a `/`.
    Word,
    /// As a word, and with `/`: images, branches, `kind/name`.
    Reference,
    /// `NAME=value` with a listed name and a plain value.
    Assignment,
    /// `10p` or `10,20p`: lines that `sed -n` prints.
    Lines,
    /// `.` and letters: what rsync's client says about itself.
    Capabilities,
    /// `+` and a text: how `date` writes the time.
    Format,
    /// A filter of `jq` without strings, so that it names no files.
    Filter,
    /// One of the listed words.
    Choice,
    /// Any printable text.
    Text,
}

impl Kind {
    const ALL: [(&'static str, Self); 18] = [
        ("path", Self::Path),
        ("folder", Self::Folder),
        ("file", Self::File),
        ("local", Self::Local),
        ("unit", Self::Unit),
        ("host", Self::Host),
        ("url", Self::Url),
        ("number", Self::Number),
        ("user", Self::User),
        ("word", Self::Word),
        ("reference", Self::Reference),
        ("assignment", Self::Assignment),
        ("lines", Self::Lines),
        ("capabilities", Self::Capabilities),
        ("format", Self::Format),
        ("filter", Self::Filter),
        ("choice", Self::Choice),
        ("text", Self::Text),
    ];

    /// Its name in a catalogue.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("text", |(name, _)| name)
    }

    /// Whether it names a file or a folder.
    #[must_use]
    pub const fn is_path(self) -> bool {
        matches!(self, Self::Path | Self::Folder | Self::File | Self::Local)
    }

    fn accepts(self, word: &str) -> bool {
        let all = |extra: &[u8]| is_made_of(word, extra);
        match self {
            Self::Path => is_normal(word),
            Self::Folder => is_normal(without_slash(word)),
            Self::File => word == "-" || is_normal(word),
            Self::Local => word == "-" || (is_normal(word) && !word.contains(':')),
            Self::Unit => all(b"@_.:-"),
            Self::Host => all(b"_.:%-"),
            Self::Url => is_url(word),
            Self::Number => is_number(word),
            Self::User => all(b"_.-"),
            Self::Word => all(b"_@%+:,.-"),
            Self::Reference => all(b"_@%+:,./-"),
            Self::Assignment => word.split_once('=').is_some_and(|(_, value)| is_plain_value(value)),
            Self::Lines => is_lines(word),
            Self::Capabilities => {
                word.strip_prefix('.').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphabetic()))
            }
            Self::Format => word.starts_with('+'),
            Self::Filter => !word.contains('"'),
            Self::Text | Self::Choice => true,
        }
    }
}

/// A kind and what bounds it; in a catalogue `path /var/log/** /srv/*`, `choice yes no`, `number -`, or a kind alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    /// Whether it may begin with `-` where it is a word of its own.
    pub(crate) dashed: bool,
    bounds: Bounds,
}

#[derive(Clone, Debug)]
enum Bounds {
    Any,
    Below(Vec<Pattern>),
    OneOf(Vec<String>),
}

impl TryFrom<String> for Shape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = text.split(' ').filter(|part| !part.is_empty());
        let name = parts.next().unwrap_or_default();
        let found = Kind::ALL.iter().find(|(known, _)| *known == name);
        let kind = found.map(|(_, kind)| *kind).ok_or_else(|| format!("there is no kind `{name}`"))?;
        let mut listed: Vec<String> = parts.map(str::to_owned).collect();
        let dashed = listed.first().is_some_and(|first| first == "-");
        if dashed {
            if !matches!(kind, Kind::Number | Kind::Text) {
                return Err(format!("`{name}` never begins with `-`"));
            }
            listed.remove(0);
        }
        let bounds = match kind {
            Kind::Choice | Kind::Assignment if listed.is_empty() => return Err(format!("`{name}` lists nothing")),
            _ if listed.is_empty() => Bounds::Any,
            _ if kind.is_path() => Bounds::Below(patterns(&listed)?),
            Kind::Choice | Kind::Assignment | Kind::Unit | Kind::Host | Kind::Word | Kind::Reference | Kind::User => {
                Bounds::OneOf(listed)
            }
            Kind::Url
            | Kind::Number
            | Kind::Lines
            | Kind::Capabilities
            | Kind::Format
            | Kind::Filter
            | Kind::Text
            | Kind::Path
            | Kind::Folder
            | Kind::File
            | Kind::Local => return Err(format!("`{name}` cannot be bounded")),
        };
        Ok(Self { kind, dashed, bounds })
    }
}

impl Shape {
    /// Whether a word of its own may stand here: one that begins with `-` might be an option to the program, which nobody
    /// has judged.
    pub(crate) fn accepts_word(&self, word: &str) -> bool {
        (self.dashed || word == "-" || !word.starts_with('-')) && self.accepts(word)
    }

    /// Whether a text may stand here.
    pub(crate) fn accepts(&self, word: &str) -> bool {
        self.kind.accepts(word)
            && match &self.bounds {
                Bounds::Any => true,
                Bounds::Below(patterns) => patterns.iter().any(|pattern| pattern.matches(without_slash(word))),
                Bounds::OneOf(listed) if self.kind == Kind::Choice => listed.iter().any(|known| known == word),
                Bounds::OneOf(listed) if self.kind == Kind::Assignment => {
                    let name = word.split('=').next().unwrap_or_default();
                    listed.iter().any(|known| component_matches(known, name))
                }
                Bounds::OneOf(listed) => listed.iter().any(|known| component_matches(known, word)),
            }
    }

    /// The word as it is reported: a folder without the slash at its end.
    pub(crate) fn normal<'a>(&self, word: &'a str) -> &'a str {
        if self.kind == Kind::Folder { without_slash(word) } else { word }
    }
}

/// Whether a value of a variable names no file: libraries load locales, catalogues of messages, time zones and descriptions
/// of terminals from where such values point, and believe what is in them. Letters, digits and `_.@:+=-`, without `..`.
#[must_use]
pub fn is_plain_value(value: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@:+=-".contains(&byte);
    value.bytes().all(known) && !value.contains("..")
}

fn patterns(listed: &[String]) -> Result<Vec<Pattern>, String> {
    listed.iter().map(|text| Pattern::parse(text).map_err(|error| error.to_string())).collect()
}

fn without_slash(word: &str) -> &str {
    match word.strip_suffix('/') {
        Some("") | None => word,
        Some(rest) => rest,
    }
}

/// Not empty, no leading `-`, not `.` or `..`, and only letters, digits and these.
fn is_made_of(word: &str, extra: &[u8]) -> bool {
    !matches!(word, "" | "." | "..")
        && !word.starts_with('-')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let number = digits.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = digits.len() - number.len();
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    unit <= 2 && number.split_once('.').map_or(plain(number), |(whole, part)| plain(whole) && plain(part))
}

fn is_lines(word: &str) -> bool {
    let plain = |part: &str| part == "$" || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    word.strip_suffix('p').is_some_and(|range| match range.split_once(',') {
        Some((from, to)) => plain(from) && plain(to),
        None => plain(range),
    })
}

fn is_url(word: &str) -> bool {
    let rest = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric())
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:/?&=%+,~-".contains(&byte))
    })
}
