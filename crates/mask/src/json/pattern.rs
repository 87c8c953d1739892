//! The text of a key rule.

/// One step of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// `name`: the member of that name, as [`folded`].
    Member(Vec<u8>),
    /// `*`: any member.
    AnyMember,
    /// `[3]`: the item with that index.
    Item(u32),
    /// `[*]`: any item.
    AnyItem,
    /// `**`: any steps, or none.
    Deep,
}

/// Reads a pattern; the error says what is wrong with it.
pub(super) fn parse(pattern: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = match (pattern.strip_prefix('$'), pattern.strip_prefix("**")) {
        (Some(rest), _) => rest,
        (None, Some(rest)) => {
            parts.push(Part::Deep);
            rest
        }
        (None, None) => return Err("it starts with neither `$` nor `**`"),
    };
    while !rest.is_empty() {
        let (part, after) = match (rest.strip_prefix('.'), rest.strip_prefix('[')) {
            (Some(rest), _) => member(rest)?,
            (None, Some(rest)) => item(rest)?,
            (None, None) => return Err("a step starts with neither `.` nor `[`"),
        };
        parts.push(part);
        rest = after;
    }
    match parts.last() {
        Some(Part::Deep) => Err("`**` is its last step, and a rule covers all below it without"),
        Some(_) | None => Ok(parts),
    }
}

/// A name as rules compare it: ASCII letters without case, and without `_` and `-`, so that `apiKey`, `api_key` and
/// `API-KEY` are one name.
pub(super) fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).map(|byte| byte.to_ascii_lowercase())
}

fn member(rest: &str) -> Result<(Part, &str), &'static str> {
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let Some((name, after)) = rest.split_at_checked(end) else { return Err("a name is cut") };
    let part = match name {
        "**" => Part::Deep,
        "*" => Part::AnyMember,
        _ if name.contains(|c: char| c == '*' || c == ']' || c.is_whitespace() || c.is_control()) => {
            return Err("a name has a `*`, a `]` or white space in it");
        }
        _ => Part::Member(folded(name).collect()),
    };
    if part == Part::Member(Vec::new()) { Err("a name has no letter") } else { Ok((part, after)) }
}

fn item(rest: &str) -> Result<(Part, &str), &'static str> {
    let Some((index, after)) = rest.split_once(']') else { return Err("a `[` has no `]`") };
    if index == "*" {
        return Ok((Part::AnyItem, after));
    }
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    match index.parse() {
        Ok(index) if digits => Ok((Part::Item(index), after)),
        Ok(_) | Err(_) => Err("an index is neither a number nor `*`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Part {
        Part::Member(name.bytes().collect())
    }

    #[test]
    fn patterns_are_steps() {
        for (pattern, parts) in [
            ("$", vec![]),
            ("$.user.e-mail", vec![name("user"), name("email")]),
            ("**.API_Key", vec![Part::Deep, name("apikey")]),
            ("$.rows[*].ssn", vec![name("rows"), Part::AnyItem, name("ssn")]),
            ("$[3][0].*", vec![Part::Item(3), Part::Item(0), Part::AnyMember]),
            ("$.a.**.$ref", vec![name("a"), Part::Deep, name("$ref")]),
            ("**[0]", vec![Part::Deep, Part::Item(0)]),
            ("**.größe", vec![Part::Deep, name("größe")]),
        ] {
            assert_eq!(parse(pattern), Ok(parts), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, reason) in [
            ("", "neither `$` nor"),
            ("api_key", "neither `$` nor"),
            ("*.a", "neither `$` nor"),
            ("$user", "neither `.` nor `[`"),
            ("$.", "no letter"),
            ("$._-", "no letter"),
            ("$.a..b", "no letter"),
            ("$.a b", "white space"),
            ("$.a*", "a `*`"),
            ("$.***", "a `*`"),
            ("$.a[", "no `]`"),
            ("$.a[]", "neither a number nor"),
            ("$.a[+1]", "neither a number nor"),
            ("$.a[x]", "neither a number nor"),
            ("$.a[99999999999]", "neither a number nor"),
            ("$.a[1]b", "neither `.` nor `[`"),
            ("**", "last step"),
            ("$.a.**", "last step"),
        ] {
            let refused = parse(pattern);
            assert!(refused.as_ref().is_err_and(|why| why.contains(reason)), "{pattern}: {refused:?}");
        }
    }
}
