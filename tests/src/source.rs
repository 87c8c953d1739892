//! Rust source as the repository rules see it: without the content of comments and literals.
#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test support: an index that is wrong fails the test that uses it"
)]

/// A source text whose comments and literals are blank; lines and columns are those of the original.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stripped(String);

/// One function and the lines it stands on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    pub name: String,
    /// From 1.
    pub line: usize,
    /// From the line of `fn` to the closing brace.
    pub lines: usize,
}

impl Stripped {
    /// Blanks comments, strings and characters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while at < chars.len() {
            let end = literal_or_comment(&chars, at);
            if end == at {
                out.push(chars[at]);
                at += 1;
                continue;
            }
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
        Self(out)
    }

    /// The text that is left.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Lines with code on them, before the tests of the file and in all of it.
    #[must_use]
    pub fn code_lines(&self) -> (usize, usize) {
        let code = |lines: &[&str]| lines.iter().filter(|line| !line.trim().is_empty()).count();
        let lines: Vec<&str> = self.0.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].ends_with('{'));
        (code(&lines[..tests.unwrap_or(lines.len())]), code(&lines))
    }

    /// Every function with a body.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let bytes = self.0.as_bytes();
        let mut found = Vec::new();
        for (start, _) in self.0.match_indices("fn ") {
            let whole_word = start == 0 || !is_word(bytes[start - 1]);
            let name: String = self.0[start + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !whole_word || name.is_empty() {
                continue;
            }
            if let Some(end) = body_end(&bytes[start..]) {
                let line = self.0[..start].matches('\n').count() + 1;
                let lines = self.0[start..start + end].matches('\n').count() + 1;
                found.push(Function { name, line, lines });
            }
        }
        found
    }

    /// Lines, from 1, on which a needle stands.
    pub fn lines_with<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.0.lines().enumerate().filter(move |(_, line)| line.contains(needle)).map(|(index, _)| index + 1)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the body of a function that starts here ends; `None` for one without a body.
fn body_end(bytes: &[u8]) -> Option<usize> {
    let mut brackets = 0_i32;
    let mut depth = 0_i32;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if depth == 0 && brackets == 0 => return None,
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The end of the comment or literal that starts here; `at` itself where none does.
fn literal_or_comment(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => at + block_comment(rest),
        ['"', ..] => at + string(rest),
        ['r' | 'b' | 'c', ..] if at == 0 || !is_word_char(chars[at - 1]) => at + prefixed(rest),
        ['\'', '\\', ..] => at + 3 + rest[3.min(rest.len())..].iter().position(|c| *c == '\'').map_or(0, |end| end + 1),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `b'…'`, `c"…"`; 0 for an identifier.
fn prefixed(rest: &[char]) -> usize {
    let letters = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count().min(2);
    let hashes = rest[letters..].iter().take_while(|c| **c == '#').count();
    let open = letters + hashes;
    let raw = rest[..letters].contains(&'r');
    match rest.get(open) {
        Some('"') if raw => {
            let close: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let tail: String = rest[open + 1..].iter().collect();
            let end = tail.find(&close).map_or(tail.chars().count(), |byte| tail[..byte].chars().count() + close.len());
            open + 1 + end
        }
        Some('"') if hashes == 0 => open + string(&rest[open..]),
        Some('\'') if letters == 1 && rest[0] == 'b' => {
            let escaped = usize::from(rest.get(2) == Some(&'\\'));
            let from = (3 + escaped).min(rest.len());
            from + rest[from..].iter().position(|c| *c == '\'').map_or(0, |end| end + 1)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_become_blank() {
        let check = |text: &str, expect: &str| assert_eq!(Stripped::new(text).text(), expect, "{text}");
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ */ d", "a                 d");
        check(r#"x("\" // y") z"#, "x(         ) z");
        check("r#\"fn \" x\"# y", "            y");
        check("let a: &'static str = 'x'; '\\''", "let a: &'static str =    ;     ");
        check("b\"q\" b'{' br\"{\" or", "                or");
        check("for word in work", "for word in work");
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text =
            "trait T { fn a(&self); fn b(&self) -> [u8; 3]; }\nfn c() {\n  if x { y(\"}\") }\n}\nconst fn d() {}\n";
        let found = Stripped::new(text).functions();
        let shown: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(shown, [("c", 2, 3), ("d", 5, 1)]);
    }

    #[test]
    fn code_lines_count_code_and_end_at_the_tests() {
        let text = "//! doc\n\nuse a;\n// why\nfn b() {}\n\n#[cfg(test)]\nmod tests {\n    use c;\n}\n";
        assert_eq!(Stripped::new(text).code_lines(), (2, 6));
        assert_eq!(Stripped::new("fn b() {}\n#[cfg(test)]\nmod tests;\n").code_lines(), (3, 3));
    }
}
