//! An address in the one form that policies and people are told, whatever its client escapes.

use percent_encoding::percent_decode_str;

use crate::classes::Inside;
use crate::outward::{decoded, has_protected};
use crate::validate::{is_plain_in_path, is_plain_in_query};
use crate::veil::Veil;

/// In the place of an address of which nothing can be told.
const HIDDEN: &str = "/… (an address with protected values)";
/// In the place of a part of one.
const COVER: &str = "***";
/// How many values are looked for that go over several parts.
const SPANNING: usize = 4;

/// Where in an address a part stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Of {
    Path,
    Query,
}

impl Of {
    /// Whether a byte means the same with and without an escape.
    fn is_plain(self, byte: u8) -> bool {
        match self {
            Self::Path => is_plain_in_path(byte),
            Self::Query => byte != b'=' && is_plain_in_query(byte),
        }
    }

    fn put(self, byte: u8, out: &mut String) {
        if self.is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }

    /// With escapes of what needs none undone, and capital digits in the others.
    fn normal(self, text: &str) -> String {
        let mut pieces = text.split('%');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            match octet(piece) {
                Some((byte, rest)) => {
                    self.put(byte, &mut out);
                    out.push_str(rest);
                }
                None => out.extend(["%", piece]),
            }
        }
        out
    }

    /// Without the protected values that are in it.
    fn covered(self, text: &str, everything: &Veil) -> String {
        let read = match self {
            Self::Path => percent_decode_str(text).decode_utf8_lossy().into_owned(),
            Self::Query => decoded(text),
        };
        let mut out = String::new();
        everything.scrub(&read).bytes().for_each(|byte| self.put(byte, &mut out));
        if self.holds(&out, everything) { COVER.to_owned() } else { out }
    }

    /// Whether protected values are in a part, however it is read.
    fn holds(self, text: &str, everything: &Veil) -> bool {
        match self {
            Self::Path => has_protected(text, everything),
            Self::Query => has_protected(&format!("?{text}"), everything),
        }
    }
}

/// One part, and the delimiter before it.
struct Part {
    of: Of,
    mark: Option<char>,
    text: String,
}

/// The address with what may not be seen covered; `None` where that leaves no part that it could be known by. `around` is
/// what was seen in it.
///
/// Escapes of what needs none are undone, and the others have capital digits (RFC 3986 §6.2.2): what servers read alike is
/// told alike. What is no plain character stays escaped, so that what differs is told differently.
pub(crate) fn told(address: &str, around: Inside, everything: &Veil) -> Option<String> {
    let hides = around != Inside::Clean && has_protected(address, everything);
    let mut parts = parts(address);
    for part in &mut parts {
        let hides = hides && part.of.holds(&part.text, everything);
        part.text = if hides { part.of.covered(&part.text, everything) } else { part.of.normal(&part.text) };
    }
    let mut rounds = 0..SPANNING;
    while hides && has_protected(&joined(&parts), everything) {
        rounds.next()?;
        cover_spanning(&mut parts, everything);
    }
    Some(joined(&parts))
}

/// An address as people and recordings are shown it.
pub(crate) fn shown(address: &str, around: Inside, everything: &Veil) -> String {
    told(address, around, everything).unwrap_or_else(|| HIDDEN.to_owned())
}

fn parts(address: &str) -> Vec<Part> {
    let mut of = Of::Path;
    let mut parts = vec![Part { of, mark: None, text: String::new() }];
    for letter in address.chars() {
        let parts_here = match of {
            Of::Path => matches!(letter, '/' | '?'),
            Of::Query => matches!(letter, '&' | '='),
        };
        if letter == '?' {
            of = Of::Query;
        }
        if parts_here {
            parts.push(Part { of, mark: Some(letter), text: String::new() });
        } else if let Some(part) = parts.last_mut() {
            part.text.push(letter);
        }
    }
    parts
}

fn joined(parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        out.extend(part.mark);
        out.push_str(&part.text);
    }
    out
}

/// The octet of the escape that a text goes on with after a percent sign, and what follows.
fn octet(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some((byte, rest))
}

/// Covers a part without which no value goes over the first parts: not the last of them, which can say what is asked for.
fn cover_spanning(parts: &mut [Part], everything: &Veil) {
    let (mut clean, mut protected) = (0, parts.len());
    while protected.saturating_sub(clean) > 1 {
        let middle = clean.midpoint(protected);
        let found = parts.get(..middle).is_some_and(|first| has_protected(&joined(first), everything));
        (clean, protected) = if found { (clean, middle) } else { (middle, protected) };
    }
    let first = parts.get_mut(..protected).unwrap_or_default();
    if let Some(part) = first.iter_mut().rev().skip(1).find(|part| part.text != COVER && !part.text.is_empty()) {
        COVER.clone_into(&mut part.text);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use sluice_model::TargetName;

    use crate::dial::Pools;
    use crate::served::Served;
    use crate::target::Target;

    use super::*;

    fn served() -> Served {
        let target: Target = serde_json::from_str(r#"{"url":"https://api.example.com"}"#).unwrap();
        Served::new(&TargetName::new("api").unwrap(), &Arc::new(target), &Pools::default(), [7; 32]).unwrap()
    }

    #[test]
    fn an_address_is_told_in_one_form() {
        let veil = Veil::open();
        for (address, expect) in [
            ("/", "/"),
            ("/v1/items/5%3Adelete", "/v1/items/5:delete"),
            ("/v1/items/5%3adelete", "/v1/items/5:delete"),
            ("/v1/%7Eroot/x", "/v1/~root/x"),
            ("/users%28'1'%29", "/users('1')"),
            ("/%21%24%26%27%28%29%2A%2B%2C%3D%3A%40", "/!$&'()*+,=:@"),
            // What is no plain character stays escaped, in capitals.
            ("/a%20b%5b1%5D", "/a%20b%5B1%5D"),
            ("/%c3%a9t%C3%A9", "/%C3%A9t%C3%A9"),
            ("/50%25-off", "/50%25-off"),
            ("/a?b%3ac=%7e&%3d=%26", "/a?b:c=~&%3D=%26"),
            ("/a?b=c=d?%3f/%2F", "/a?b=c=d??//"),
            ("/a?q=%2b+%2541%20", "/a?q=%2B+%2541%20"),
            ("/a?%5b%5D=", "/a?[]="),
        ] {
            for around in [Inside::Clean, Inside::Unclear] {
                assert_eq!(told(address, around, &veil).as_deref(), Some(expect), "{address}");
            }
        }
    }

    #[test]
    fn what_may_not_be_seen_hides_nothing_beside_it() {
        let served = served();
        for (address, expect) in [
            ("/v1/my%20own/zq7x.k1%40leak.example.com%3Adelete", "/v1/my%20own/***:delete"),
            ("/v1/admin/zq7x.k1@leak.example.com/a%20b", "/v1/admin/***/a%20b"),
            ("/v1/admin/4111%201111%201111%201111", "/v1/admin/***"),
            ("/v1/%7Eroot/4111/1111/1111/1111:delete", "/v1/~root/4111/1111/***/1111:delete"),
            ("/v1/5%3adelete?mail=zq7x.k1%2540leak.example.com&a=%41", "/v1/5:delete?mail=***&a=A"),
            ("/v1/a?card=4111+1111+1111+1111&b=%5b", "/v1/a?card=***&b=["),
        ] {
            let told = told(address, Inside::Unclear, served.classes.everything());
            assert_eq!(told.as_deref(), Some(expect), "{address}");
        }
    }

    #[test]
    fn an_address_of_many_hidden_values_is_told_or_is_not() {
        let served = served();
        let everything = served.classes.everything();
        for count in 0..20 {
            let address = format!("/v1{}", "/4111/1111/1111/1111/x".repeat(count));
            let told = told(&address, Inside::Unclear, everything);
            assert_eq!(told.is_some(), count <= SPANNING, "{count}");
            assert!(told.is_none_or(|told| !has_protected(&told, everything)), "{count}");
        }
    }
}
