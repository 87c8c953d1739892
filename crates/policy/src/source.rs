//! Policy text, cut into statements so that every fault can be reported with its own place.

/// One policy file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name, as diagnostics show it.
    pub name: String,
    /// Cedar policy text.
    pub text: String,
}

/// One policy: the text from its first annotation or keyword to its semicolon.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    /// Where the statement starts in the file, in bytes.
    pub(crate) start: usize,
    pub(crate) text: &'a str,
    /// Where each `@` of an annotation stands in the statement, in bytes.
    ats: Vec<usize>,
}

impl Statement<'_> {
    /// The place of an annotation in the file, in bytes; the statement's start where it has none.
    pub(crate) fn annotation(&self, name: &str) -> usize {
        let here = |at: &usize| {
            let rest = self.text.get(at + 1..).unwrap_or_default();
            rest.strip_prefix(name).is_some_and(|tail| !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        self.start + self.ats.iter().copied().find(here).unwrap_or(0)
    }
}

/// Cuts a file at the semicolons that end its policies. Strings and comments are the only places where Cedar text may
/// hold a semicolon otherwise; a wrong cut could only make Cedar refuse the pieces.
pub(crate) fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, Vec<usize>)> = None;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'/' if bytes.peek().is_some_and(|(_, next)| *next == b'/') => {
                while bytes.next_if(|(_, byte)| *byte != b'\n').is_some() {}
                continue;
            }
            _ if byte.is_ascii_whitespace() => continue,
            _ => {}
        }
        let (start, ats) = open.get_or_insert_with(|| (at, Vec::new()));
        match byte {
            b'"' => skip_string(&mut bytes),
            b'@' => ats.push(at - *start),
            b';' => {
                let (start, ats) = (*start, std::mem::take(ats));
                found.push(Statement { start, text: text.get(start..=at).unwrap_or_default(), ats });
                open = None;
            }
            _ => {}
        }
    }
    if let Some((start, ats)) = open {
        found.push(Statement { start, text: text.get(start..).unwrap_or_default(), ats });
    }
    found
}

fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) {
    while let Some((_, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_and_comments_do_not_cut() {
        let text =
            "// a; b\n@id(\"x\\\";\") permit(principal, action, resource); forbid(principal, // ;\n action, resource);";
        let found: Vec<&str> = statements(text).iter().map(|statement| statement.text).collect();
        assert_eq!(
            found,
            ["@id(\"x\\\";\") permit(principal, action, resource);", "forbid(principal, // ;\n action, resource);"]
        );
    }

    #[test]
    fn an_unfinished_policy_is_kept_for_cedar_to_refuse() {
        let found = statements("permit(principal, action, resource)  ");
        assert_eq!(found.len(), 1);
        assert!(statements(" // nothing\n").is_empty());
    }

    #[test]
    fn an_annotation_is_found_by_its_whole_name() {
        let found = statements("\n@approve_count(\"1\") @approve(\"x\") permit(principal, action, resource);");
        let places: Vec<usize> = found.iter().map(|statement| statement.annotation("approve")).collect();
        assert_eq!(places, [21]);
    }
}
