//! Words of lines for a shell, as far as they can be told without running anything.
//!
//! Nothing is decided by it: what is read wrongly matches no operation. Source:
//! [XCU §2.2, §2.3](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html).

use std::iter::Peekable;
use std::str::Chars;

/// The simple commands of a text, each as its words; quotes are taken off, and what a shell would expand stays as it is.
pub(super) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut reading = Reading { rest: text.chars().peekable(), word: None, words: Vec::new(), commands: Vec::new() };
    reading.read();
    reading.commands
}

struct Reading<'a> {
    rest: Peekable<Chars<'a>>,
    /// The word that has begun.
    word: Option<Word>,
    words: Vec<String>,
    commands: Vec<Vec<String>>,
}

/// A word, and whether it only says where something goes to.
#[derive(Default)]
struct Word {
    text: String,
    redirects: bool,
}

impl Reading<'_> {
    fn read(&mut self) {
        while let Some(c) = self.rest.next() {
            match c {
                '\'' => self.quoted('\''),
                '"' => self.quoted('"'),
                '\\' => match self.rest.next() {
                    Some('\n') | None => {}
                    Some(escaped) => self.push(escaped),
                },
                '#' if self.word.is_none() => while self.rest.next_if(|c| *c != '\n').is_some() {},
                ' ' | '\t' => self.end_word(),
                '\n' | ';' | '|' | '(' | ')' => self.end_command(),
                // `>&` and `&>` are redirections.
                '&' if self.rest.peek() == Some(&'>') => {}
                '&' => self.end_command(),
                '<' | '>' => self.redirection(),
                _ => self.push(c),
            }
        }
        self.end_command();
    }

    fn quoted(&mut self, quote: char) {
        let word = self.word.get_or_insert_default();
        while let Some(c) = self.rest.next() {
            match c {
                _ if c == quote => return,
                '\\' if quote == '"' => match self.rest.next() {
                    Some(escaped @ ('$' | '`' | '"' | '\\')) => word.text.push(escaped),
                    Some('\n') | None => {}
                    Some(other) => word.text.extend(['\\', other]),
                },
                _ => word.text.push(c),
            }
        }
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().text.push(c);
    }

    /// What follows names a file or a descriptor; the digits before it name the stream.
    fn redirection(&mut self) {
        if self.word.as_ref().is_some_and(|word| word.text.bytes().all(|byte| byte.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        while self.rest.next_if(|c| matches!(c, '<' | '>' | '&' | '|' | '-')).is_some() {}
        while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        self.word = Some(Word { text: String::new(), redirects: true });
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take().filter(|word| !word.redirects).map(|word| word.text));
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.commands.push(std::mem::take(&mut self.words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_a_shell_makes_of_them() {
        for (text, expected) in [
            ("", &[][..]),
            (" ls  -l ", &[&["ls", "-l"][..]]),
            (r#"echo 'a  b'"c d"e "" ''"#, &[&["echo", "a  bc de", "", ""]]),
            (r#"echo "\"\$x\n\\" a\ b \'"#, &[&["echo", "\"$x\\n\\", "a b", "'"]]),
            ("a|b||c&&d;e&f\ng", &[&["a"], &["b"], &["c"], &["d"], &["e"], &["f"], &["g"]]),
            ("(cd /x; ls $HOME) # c; d\ne#f", &[&["cd", "/x"], &["ls", "$HOME"], &["e#f"]]),
            ("ls >out 2>&1 <in x2>y 2>/dev/null z", &[&["ls", "x2", "z"]]),
            ("ls &>out -l >| \"a b\"", &[&["ls", "-l"]]),
            ("a \\\n b 'c\nd'", &[&["a", "b", "c\nd"]]),
            ("a 'b", &[&["a", "b"]]),
            ("a \\", &[&["a"]]),
        ] {
            assert_eq!(commands(text), expected, "{text}");
        }
    }
}
