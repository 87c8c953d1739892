//! Bytes into a [`Script`]: one pass, no recursion, no backtracking.
//!
//! Sources: token recognition
//! ([XCU §2.3](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_03)), quoting
//! ([§2.2](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02)), reserved words
//! ([§2.4](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_04)), redirection
//! ([§2.7](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_07)) and lists
//! ([§2.9.3](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_09_03)); zsh's own expansions
//! ([zshexpn](https://zsh.sourceforge.io/Doc/Release/Expansion.html)) and its double redirections
//! ([zshmisc, Multios](https://zsh.sourceforge.io/Doc/Release/Redirection.html#Multios)) are kept out.

use crate::script::{Join, Redirect, Script, Simple, Word};
use crate::undecidable::{MAX_BYTES, MAX_WORDS, Reason, Undecidable};

/// Words that are part of the language of some shell, or an alias that it starts with, where a command is expected.
const RESERVED: &[&str] = &[
    "!",
    "{",
    "}",
    "[[",
    "]]",
    "((",
    "case",
    "do",
    "done",
    "elif",
    "else",
    "esac",
    "fi",
    "for",
    "if",
    "in",
    "then",
    "until",
    "while",
    "function",
    "select",
    "time",
    "coproc",
    "foreach",
    "end",
    "repeat",
    "nocorrect",
    "noglob",
    "always",
    "namespace",
    "enum",
    "declare",
    "typeset",
    "local",
    "readonly",
    "export",
    "float",
    "integer",
    "nameref",
    "compound",
    "autoload",
    "functions",
    "history",
    "r",
    "redirect",
    "stop",
    "suspend",
    "type",
    "-",
];

/// The only file that a redirection may name.
const NOWHERE: &[u8] = b"/dev/null";

impl Script {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// The first thing that shells could read differently, or that is not a list of simple commands. Takes time linear in the
    /// text, which is at most [`MAX_BYTES`] long.
    pub fn parse(text: &[u8]) -> Result<Self, Undecidable> {
        if text.len() > MAX_BYTES {
            return Err(Reason::Long.at(MAX_BYTES));
        }
        if let Some(at) = text.iter().position(|byte| !(b' '..=b'~').contains(byte)) {
            return Err(Reason::Unprintable.at(at));
        }
        Reader::new(text).script()
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    commands: Vec<Simple>,
    words: Vec<Word>,
    redirects: Vec<Redirect>,
    /// Words of all commands.
    count: usize,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, commands: Vec::new(), words: Vec::new(), redirects: Vec::new(), count: 0 }
    }

    fn script(mut self) -> Result<Script, Undecidable> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' => self.at += 1,
                b'|' | b'&' | b';' => self.join()?,
                b'>' => self.redirect(1)?,
                b'2' if self.peek(1) == Some(b'>') => self.redirect(2)?,
                _ => self.word()?,
            }
        }
        if !self.words.is_empty() {
            self.finish(None)?;
        } else if self.commands.is_empty() && self.redirects.is_empty() {
            return Err(Reason::Nothing.at(0));
        } else if !self.redirects.is_empty() || self.commands.last().is_some_and(|last| last.join != Some(Join::Then)) {
            return Err(Reason::Missing.at(self.at));
        }
        // A `;` at the end separates nothing.
        if let Some(last) = self.commands.last_mut() {
            last.join = None;
        }
        Ok(Script { commands: self.commands })
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn join(&mut self) -> Result<(), Undecidable> {
        let doubled = self.peek(1) == self.peek(0);
        let join = match (self.peek(0), doubled) {
            (Some(b'|'), false) if self.peek(1) == Some(b'&') => return Err(Reason::Redirect.at(self.at)),
            (Some(b'|'), false) => Join::Pipe,
            (Some(b'|'), true) => Join::Or,
            (Some(b'&'), true) => Join::And,
            (Some(b'&'), false) => return Err(Reason::Background.at(self.at)),
            (_, true) => return Err(Reason::Missing.at(self.at)),
            (_, false) => Join::Then,
        };
        self.finish(Some(join))?;
        self.at += if doubled { 2 } else { 1 };
        Ok(())
    }

    /// Ends the command that was being read.
    fn finish(&mut self, join: Option<Join>) -> Result<(), Undecidable> {
        let (words, redirects) = (std::mem::take(&mut self.words), std::mem::take(&mut self.redirects));
        // zsh runs `cat` for a redirection without a command.
        if words.is_empty() {
            return Err(Reason::Missing.at(self.at));
        }
        let outputs = redirects.iter().filter(|redirect| !redirect.is_of_errors()).count();
        let errors = redirects.len() - outputs;
        if outputs + usize::from(join == Some(Join::Pipe)) > 1 || errors > 1 {
            return Err(Reason::Twice.at(self.at));
        }
        self.commands.push(Simple { words, redirects, join });
        Ok(())
    }

    /// Reads a redirection whose operator is `length` bytes long.
    fn redirect(&mut self, length: usize) -> Result<(), Undecidable> {
        let start = self.at;
        let refused = Reason::Redirect.at(start);
        self.at += length;
        let redirect = if length == 2 && self.peek(0) == Some(b'&') {
            self.at += 1;
            self.exactly(b"1").then_some(Redirect::JoinErrors)
        } else {
            while self.peek(0) == Some(b' ') {
                self.at += 1;
            }
            let dropped = if length == 2 { Redirect::DropErrors } else { Redirect::DropOutput };
            self.exactly(NOWHERE).then_some(dropped)
        };
        self.redirects.push(redirect.ok_or(refused)?);
        Ok(())
    }

    /// Whether exactly this word stands here; goes past it.
    fn exactly(&mut self, word: &[u8]) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += word.len();
        found && self.is_at_end_of_word()
    }

    fn is_at_end_of_word(&self) -> bool {
        matches!(self.peek(0), None | Some(b' ' | b'|' | b'&' | b';'))
    }

    fn word(&mut self) -> Result<(), Undecidable> {
        let start = self.at;
        let mut text = String::new();
        while !self.is_at_end_of_word() {
            let Some(byte) = self.peek(0) else { break };
            match byte {
                // zsh expands it behind empty quotes too.
                b'=' if text.is_empty() => return Err(Reason::Equals.at(self.at)),
                b'\'' | b'"' => self.quoted(byte, &mut text)?,
                _ if is_bare(byte) => {
                    text.push(char::from(byte));
                    self.at += 1;
                }
                _ => return Err(special(byte).at(self.at)),
            }
        }
        if self.words.is_empty() {
            check_name(&text, start)?;
        }
        self.count += 1;
        if self.count > MAX_WORDS {
            return Err(Reason::Wordy.at(start));
        }
        self.words.push(Word { text, at: start });
        Ok(())
    }

    /// Reads up to the end of a quote. In double quotes nothing that any shell expands may stand.
    fn quoted(&mut self, quote: u8, text: &mut String) -> Result<(), Undecidable> {
        let start = self.at;
        self.at += 1;
        loop {
            let byte = self.peek(0).ok_or(Reason::Unclosed.at(start))?;
            match byte {
                _ if byte == quote => break,
                b'$' | b'`' | b'\\' | b'!' if quote == b'"' => return Err(special(byte).at(self.at)),
                _ => text.push(char::from(byte)),
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(())
    }
}

/// Whether a byte means itself outside quotes, in every shell and at every place but those that are checked.
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'%' | b'+' | b'=' | b':' | b',' | b'.' | b'/' | b'-')
}

/// Why a byte may not stand outside quotes.
const fn special(byte: u8) -> Reason {
    match byte {
        b'$' | b'`' => Reason::Expansion,
        b'\\' => Reason::Backslash,
        b'*' | b'?' | b'[' | b']' => Reason::Glob,
        b'{' | b'}' => Reason::Braces,
        b'(' | b')' => Reason::Parentheses,
        b'~' => Reason::Tilde,
        b'#' => Reason::Comment,
        b'!' | b'^' => Reason::History,
        _ => Reason::Redirect,
    }
}

/// A command's name: not an assignment, no word of the language; quoted or not, since nobody names a program so.
fn check_name(text: &str, at: usize) -> Result<(), Undecidable> {
    if text.is_empty() {
        return Err(Reason::Nothing.at(at));
    }
    if text.contains('=') {
        return Err(Reason::Assignment.at(at));
    }
    if RESERVED.contains(&text) {
        return Err(Reason::Reserved.at(at));
    }
    Ok(())
}
