//! A list of simple commands, and the one way it is written.

use std::fmt::Write as _;

/// A text that was read: simple commands and what joins them.
///
/// The shape is that of [XCU §2.9.3](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_09_03)
/// without compound commands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Script {
    /// The commands in their order; at least one.
    pub commands: Vec<Simple>,
}

/// One simple command
/// ([XCU §2.9.1](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_09_01)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Simple {
    /// The argument vector; at least the command's name.
    pub words: Vec<Word>,
    /// The redirections in their order.
    pub redirects: Vec<Redirect>,
    /// What joins it with the next command; `None` for the last.
    pub join: Option<Join>,
}

/// One word after quote removal
/// ([XCU §2.6.7](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_06_07)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// Its text: printable ASCII, possibly empty.
    pub text: String,
    /// Where it started, in bytes.
    pub at: usize,
}

/// A redirection that reaches no file but `/dev/null`
/// ([XCU §2.7](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_07)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Redirect {
    /// `2>&1`
    JoinErrors,
    /// `>/dev/null`
    DropOutput,
    /// `2>/dev/null`
    DropErrors,
}

/// What stands between two commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Join {
    /// `|`
    Pipe,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `;`
    Then,
}

impl Redirect {
    /// How it is written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::JoinErrors => "2>&1",
            Self::DropOutput => ">/dev/null",
            Self::DropErrors => "2>/dev/null",
        }
    }

    /// Whether it takes standard error, not standard output.
    pub(crate) const fn is_of_errors(self) -> bool {
        matches!(self, Self::JoinErrors | Self::DropErrors)
    }
}

impl Join {
    /// How it is written.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pipe => " | ",
            Self::And => " && ",
            Self::Or => " || ",
            Self::Then => "; ",
        }
    }
}

impl Script {
    /// The canonical text: every word quoted, so that no alias, reserved word or pattern of the target can mean something else.
    ///
    /// It parses to an equal argument vector here and in every shell that this crate speaks about.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_with(|_| false)
    }

    /// As [`Script::render`], but the name and the flags of the commands that `bare` names are not quoted: programs that stand
    /// in for a shell, such as `git-shell`, look for `git-upload-pack '/path'` letter by letter.
    pub(crate) fn render_with(&self, bare: impl Fn(usize) -> bool) -> String {
        let mut text = String::new();
        for (index, command) in self.commands.iter().enumerate() {
            let bare = bare(index);
            for (place, word) in command.words.iter().enumerate() {
                if place > 0 {
                    text.push(' ');
                }
                let plain = bare && is_plain(&word.text) && (place == 0 || word.text.starts_with('-'));
                if plain {
                    text.push_str(&word.text);
                } else {
                    quote(&word.text, &mut text);
                }
            }
            for redirect in &command.redirects {
                // Writing to a string cannot fail.
                let _ = write!(text, " {}", redirect.text());
            }
            text.push_str(command.join.map_or("", Join::text));
        }
        text
    }
}

/// Whether a word needs no quotes in any shell; `=` is left out because zsh expands it.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@%+,./-".contains(&byte))
}

/// Single quotes around everything but single quotes, which stand in double quotes. Two single quotes are never adjacent
/// inside a word, which zsh can be told to read as one.
fn quote(word: &str, text: &mut String) {
    if word.is_empty() {
        text.push_str("''");
    }
    let mut open = None;
    for c in word.chars() {
        let needed = if c == '\'' { '"' } else { '\'' };
        if open != Some(needed) {
            text.extend(open);
            text.push(needed);
            open = Some(needed);
        }
        text.push(c);
    }
    text.extend(open);
}
