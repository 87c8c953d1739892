//! What goes to the server besides the body, and what is seen in it: looked into once.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use sluice_model::Tag;

use crate::classes::Inside;
use crate::frame::Request;
use crate::served::Served;
use crate::veil::Veil;

/// A head as it goes out.
pub(crate) struct Outward {
    /// With the headers that may pass, and where it leads at the server.
    pub(crate) head: Request,
    /// The classes of the protected values in it.
    pub(crate) tags: BTreeSet<Tag>,
    /// Whether any veil could change or hide something of it.
    pub(crate) around: Inside,
}

impl Outward {
    /// Looks into what a head leads to at this path.
    pub(crate) fn of(head: &Request, path: &str, served: &Served) -> Self {
        let headers = served.headers.to_server(&head.headers);
        let mut address = readings(&head.path);
        if path != head.path {
            address.push('\n');
            address.push_str(&readings(path));
        }
        let (mut tags, mut around) = served.classes.looked_in(&address);
        let configured = served.headers.looked(&head.headers, &served.classes);
        let values = headers.values().filter_map(|value| value.to_str().ok());
        for (found, inside) in values.map(|text| served.classes.looked_in(text)).chain(configured) {
            tags.extend(found);
            around = around.and(inside);
        }
        Self { head: Request::new(head.method.clone(), path.to_owned(), headers, head.body), tags, around }
    }
}

/// A text without its escapes, and with a space for each plus.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// All that readers of an address can make of it, a line each: as it is, and with the escapes undone once or more
/// often; in its query, a plus is one or a space.
fn readings(address: &str) -> String {
    const LAYERS: usize = 4;
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let mut all = address.to_owned();
    for text in [path.to_owned(), query.to_owned(), query.replace('+', " ")] {
        let mut text = text;
        for _ in 0..LAYERS {
            let undone = percent_decode_str(&text).decode_utf8_lossy().into_owned();
            if undone == text {
                break;
            }
            all.push('\n');
            all.push_str(&undone);
            text = undone;
        }
        all.push('\n');
        all.push_str(&text);
    }
    all
}

/// An address is never rewritten: it would be another one.
pub(crate) fn has_protected(address: &str, withheld: &Veil) -> bool {
    let all = readings(address);
    *withheld.scrub(&all) != *all
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use http::{HeaderMap, HeaderName, Method};
    use sluice_model::TargetName;

    use crate::dial::Pools;
    use crate::frame::Length;
    use crate::target::Target;

    use super::*;

    /// What is clean is neither looked at again nor hidden, so no veil may change anything of it.
    #[test]
    fn only_a_head_that_no_veil_changes_is_clean() {
        let target = r#"{"url":"https://api.example.com","keys":{"**.api_key":["secret.key"]},
            "header_rules":{"request":{"pass":["x-a"]}},
            "detectors":[{"name":"email"},{"name":"run","tag":"own.run","pattern":"Q[a-z]+Z"}]}"#;
        let target: Target = serde_json::from_str(target).unwrap();
        let served =
            Served::new(&TargetName::new("api").unwrap(), &Arc::new(target), &Pools::default(), [7; 32]).unwrap();
        let long = format!("/Q{}", "a".repeat(100_000));
        for (path, sent, value, expect) in [
            ("/a/b?c=d", "/a/b?c=d", "plain", Inside::Clean),
            ("/a?q=zq7x.k1%2540leak.example.com", "/a", "plain", Inside::Unclear),
            ("/a", "/b/zq7x.k1@leak.example.com", "plain", Inside::Unclear),
            (&long, "/a", "plain", Inside::Unclear),
            ("/a", "/a", "zq7x.k1%40leak.example.com", Inside::Unclear),
            ("/a", "/a", r#"{"api_key":"RCAN1"}"#, Inside::Unclear),
            ("/a", "/a", r#"{"api_key":"RCAN1""#, Inside::Unclear),
        ] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("x-a"), value.parse().unwrap())]);
            let head = Request::new(Method::GET, path.to_owned(), headers, Length::None);
            let outward = Outward::of(&head, sent, &served);
            assert_eq!(outward.around, expect, "{sent} {value}");
            let everything = served.classes.everything();
            let hidden = served.headers.withheld(&outward.head.headers, everything);
            let touched = has_protected(path, everything) || has_protected(sent, everything) || !hidden.is_empty();
            assert_eq!(touched, expect == Inside::Unclear, "{sent} {value}");
            assert_eq!(outward.head.path, sent);
        }
    }
}
