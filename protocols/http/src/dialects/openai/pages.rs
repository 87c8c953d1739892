//! The next part of a list, where nothing of one part could be shown.
//!
//! Clients ask for a list part by part, after the last object of the one before
//! (<https://platform.openai.com/docs/api-reference/files/list>), and take an empty part for the end, whatever `has_more`
//! says. A part that holds nothing but objects of others is therefore gone past here.

use http::Method;
use sluice_mask::json::Node;

use super::ask::is_id;
use crate::frame::{Length, Request};
use crate::outward::decoded;

/// The most parts that are asked for in the place of one.
const MOST: u32 = 100;
/// How many objects are asked for at a time: the most that every list has.
const OBJECTS: u32 = 100;

/// The parts of one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    /// How the first one was asked for.
    head: Option<Request>,
    asked: u32,
}

/// What comes after a part.
#[derive(Debug)]
pub(super) enum After {
    /// It was the last one.
    Nothing,
    Ask(Box<Request>),
    /// There is more than is gone past.
    TooMuch,
}

impl Pages {
    /// The first part is asked for like that.
    pub(super) fn begin(&mut self, head: &Request) {
        self.head = (head.method == Method::GET && head.body == Length::None).then(|| head.clone());
    }

    /// What comes after this part, of which nothing is shown.
    pub(super) fn after(&mut self, part: Node<'_>) -> After {
        let (Some(head), Some(true)) = (&self.head, part.get("has_more").and_then(|more| more.as_bool())) else {
            return After::Nothing;
        };
        let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
        let mut limit = OBJECTS;
        let mut backward = false;
        let mut asked = String::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match &*decoded(name) {
                "after" => {}
                "before" => backward = true,
                "limit" => limit = limit.max(value.parse().unwrap_or(0)),
                _ => {
                    asked.push_str(pair);
                    asked.push('&');
                }
            }
        }
        let mut ids = part.get("data").into_iter().flat_map(|data| data.items()).filter_map(|item| item.get("id"));
        let (name, end) = if backward { ("before", ids.next()) } else { ("after", ids.last()) };
        let end = end.and_then(|id| id.text()).filter(|id| is_id(id));
        self.asked = self.asked.saturating_add(1);
        match end {
            Some(end) if self.asked <= MOST => {
                let path = format!("{path}?{asked}{name}={end}&limit={limit}");
                After::Ask(Box::new(Request::new(Method::GET, path, head.headers.clone(), Length::None)))
            }
            Some(_) | None => After::TooMuch,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use http::HeaderMap;
    use sluice_mask::json::{Document, Limits};

    use super::*;

    fn pages(path: &str) -> Pages {
        let mut pages = Pages::default();
        pages.begin(&Request::new(Method::GET, path.to_owned(), HeaderMap::new(), Length::None));
        pages
    }

    fn after(pages: &mut Pages, part: &str) -> String {
        let part = Document::parse(part.to_owned(), Limits::STANDARD).unwrap();
        match pages.after(part.root()) {
            After::Nothing => "nothing".to_owned(),
            After::TooMuch => "too much".to_owned(),
            After::Ask(request) => request.path,
        }
    }

    #[test]
    fn a_part_is_followed_by_what_comes_after_its_last_object() {
        let part = r#"{"data":[{"id":"a-1"},{"id":"b:2"}],"has_more":true}"#;
        for (asked, expected) in [
            ("/files", "/files?after=b:2&limit=100"),
            ("/files?limit=20&order=asc&after=x", "/files?order=asc&after=b:2&limit=100"),
            ("/files?limit=5000&%61fter=x&&purpose=", "/files?purpose=&after=b:2&limit=5000"),
            ("/files?before=x&order=asc", "/files?order=asc&before=a-1&limit=100"),
        ] {
            assert_eq!(after(&mut pages(asked), part), expected);
        }
    }

    #[test]
    fn a_list_has_an_end() {
        for part in [r#"{"data":[{"id":"a"}],"has_more":false}"#, r#"{"data":[{"id":"a"}]}"#, r#"{"has_more":1}"#] {
            assert_eq!(after(&mut pages("/files"), part), "nothing", "{part}");
        }
        for part in [
            r#"{"data":[{"id":"a&limit=1"}],"has_more":true}"#,
            r#"{"data":[{}],"has_more":true}"#,
            r#"{"data":[],"has_more":true}"#,
        ] {
            assert_eq!(after(&mut pages("/files"), part), "too much", "{part}");
        }
        let mut endless = pages("/files");
        let part = r#"{"data":[{"id":"a"}],"has_more":true}"#;
        let asked = (0..1_000).filter(|_| after(&mut endless, part) != "too much").count();
        assert_eq!(asked, MOST as usize);
    }
}
