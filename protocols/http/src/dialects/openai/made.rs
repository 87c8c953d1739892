//! Objects that an answer tells of: made by the request, or listed.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluice_mask::json::{Document, Edits, Kind, Node};
use sluice_wire::{Object, Owner};

use super::pages::{After, Pages};
use super::routes::{Pointer, Route, Yield};
use crate::dialects::rest::JSON_LIMITS;
use crate::frame::Request;
use crate::target::Objects;

/// The objects of one answer, where objects belong to whoever made them.
#[derive(Debug, Default)]
pub(super) struct Made {
    owned: bool,
    creates: Vec<Yield>,
    lists: Option<&'static str>,
    /// Not yet written down.
    unclaimed: Vec<Object>,
    /// The models that may be named, where the answer is the list of models.
    models: Option<BTreeSet<String>>,
    /// A list that waits for its owners, and what it lists.
    list: Option<Document>,
    /// The further parts of the list, and how many objects the first one had.
    pages: Pages,
    most: Option<usize>,
    asked: Option<Vec<Object>>,
}

impl Made {
    pub(super) fn new(whose: Objects, creates: &[Yield], lists: Option<&'static str>) -> Self {
        match whose {
            Objects::Owned => Self { owned: true, creates: creates.to_vec(), lists, ..Self::default() },
            Objects::Shared => Self::default(),
        }
    }

    /// A list goes on past what is not shown.
    pub(super) fn going_on(mut self, pages: Option<Pages>) -> Self {
        self.pages = pages.unwrap_or_default();
        self
    }

    /// The list of models shows those only that may be named.
    pub(super) fn showing_models(mut self, models: Option<BTreeSet<String>>) -> Self {
        self.models = models;
        self
    }

    /// Reads a whole body; gives it back unless it is a list whose owners have to be known first.
    pub(super) fn read(&mut self, body: Bytes) -> Option<Bytes> {
        if let Some(models) = &self.models {
            return Some(only_these(body, models));
        }
        if !self.owned {
            return Some(body);
        }
        // What is no JSON is refused by whoever looks at it next.
        let Ok(document) = Document::parse(body.clone(), JSON_LIMITS) else { return Some(body) };
        let Some(class) = self.lists else {
            self.unclaimed
                .extend(self.creates.iter().flat_map(|made| told_of(document.root(), made.class, made.at.steps())));
            return Some(body);
        };
        let listed: Vec<Object> =
            items(document.root()).map(|item| Object { class: class.to_owned(), id: id(item) }).collect();
        if listed.is_empty() {
            return Some(body);
        }
        self.asked = Some(listed);
        self.list = Some(document);
        None
    }

    /// The objects whose owners have to be known.
    pub(super) fn question(&mut self) -> Option<Vec<Object>> {
        self.asked.take()
    }

    /// The list without what is not the client's own; what its own items tell of is the client's as well.
    pub(super) fn only_own(&mut self, owners: &[Owner]) -> Option<Listed> {
        let document = self.list.take()?;
        let root = document.root();
        let most = *self.most.get_or_insert(owners.len());
        if !owners.contains(&Owner::Own) {
            match self.pages.after(root) {
                After::Nothing => {}
                After::Ask(request) => return Some(Listed::More(request)),
                After::TooMuch => return Some(Listed::TooMuch),
            }
        }
        let mut edits = Edits::new(&document);
        let mut shown = Vec::new();
        let mut more = false;
        for (index, item) in items(root).enumerate() {
            let own = owners.get(index) == Some(&Owner::Own);
            if own && shown.len() < most {
                self.unclaimed.extend(self.creates.iter().flat_map(|made| listed(item, *made)));
                shown.push(id(item));
            } else {
                more |= own;
                edits.remove(item).ok()?;
            }
        }
        if let Some(node) = root.get("has_more").filter(|_| more) {
            edits.replace_raw(node, "true").ok()?;
        }
        // The ends of a part name objects as well.
        for (name, end) in [("first_id", shown.first()), ("last_id", shown.last())] {
            let Some(node) = root.get(name).filter(|node| node.text().as_deref() != end.map(String::as_str)) else {
                continue;
            };
            match end {
                Some(end) if node.kind() == Kind::String => edits.replace_text(node, end).ok()?,
                Some(_) | None => edits.replace_raw(node, "null").ok()?,
            }
        }
        Some(Listed::Shown(edits.apply()))
    }

    /// What the events of a stream make known.
    pub(super) fn yields(&self) -> Vec<Yield> {
        self.creates.clone()
    }

    /// The objects to write down before anything more is released.
    pub(super) fn claim(&mut self) -> Option<Vec<Object>> {
        (!self.unclaimed.is_empty()).then(|| std::mem::take(&mut self.unclaimed))
    }
}

/// What becomes of a part of a list.
#[derive(Debug)]
pub(super) enum Listed {
    Shown(Bytes),
    /// Nothing of it is the client's; what comes next may be.
    More(Box<Request>),
    /// The same, and so far nobody looks.
    TooMuch,
}

/// Whether an answer cannot be asked for again (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-store>,
/// <https://platform.openai.com/docs/api-reference/responses/create#responses-create-store>): no route leads to it.
pub(super) fn passes(route: &Route, request: Node<'_>) -> bool {
    let store = request.get("store").and_then(|store| store.as_bool());
    match route.template() {
        "/chat/completions" => store != Some(true),
        "/responses" => store == Some(false),
        _ => false,
    }
}

/// What a success of an operation makes known: of an answer that passes, what it tells of only.
pub(super) fn created(route: &Route, passing: bool) -> Vec<Yield> {
    let stays = |made: &&Yield| !passing || !matches!(made.class, "completion" | "item_reference" | "response");
    route.creates().iter().filter(stays).copied().collect()
}

/// The id of the object that a body is.
pub(super) fn id_of(body: &Bytes) -> Option<String> {
    let document = Document::parse(body.clone(), JSON_LIMITS).ok()?;
    Some(id(document.root())).filter(|id| !id.is_empty())
}

/// A list without the items of other names.
fn only_these(body: Bytes, names: &BTreeSet<String>) -> Bytes {
    let Ok(document) = Document::parse(body.clone(), JSON_LIMITS) else { return body };
    let mut edits = Edits::new(&document);
    for item in items(document.root()).filter(|item| !names.contains(&id(*item))) {
        // INVARIANT: an item of a list of this document can be removed.
        let _removed = edits.remove(item);
    }
    edits.apply()
}

fn items(root: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    root.get("data").into_iter().flat_map(|data| data.items())
}

fn id(item: Node<'_>) -> String {
    item.get("id").and_then(|id| id.text()).unwrap_or_default().into_owned()
}

/// The objects that an answer tells of in one place.
pub(super) fn told_of<'s>(node: Node<'_>, class: &str, steps: impl Iterator<Item = &'s str>) -> Vec<Object> {
    let mut ids = Vec::new();
    collect(node, &steps.collect::<Vec<_>>(), &mut ids);
    ids.into_iter().map(|id| Object { class: class.to_owned(), id }).collect()
}

/// The same of one item of a list: what stands beside the items belongs to none of them.
fn listed(item: Node<'_>, made: Yield) -> Vec<Object> {
    made.at.within_data().map_or_else(Vec::new, |steps| told_of(item, made.class, steps))
}

/// Every text at a pointer.
fn collect(node: Node<'_>, steps: &[&str], found: &mut Vec<String>) {
    match steps.split_first() {
        None => found.extend(node.text().filter(|id| !id.is_empty()).map(|id| id.into_owned())),
        Some((&Pointer::EVERY, rest)) => {
            node.items().for_each(|item| collect(item, rest, found));
            node.members().for_each(|(_, member)| collect(member, rest, found));
        }
        Some((name, rest)) => {
            if let Some(member) = node.get(name) {
                collect(member, rest, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use http::{HeaderMap, Method};

    use super::super::routes::{Found, Routes};
    use super::*;
    use crate::frame::Length;

    fn object(class: &str, id: &str) -> Object {
        Object { class: class.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn lists_keep_what_is_the_clients_own() {
        let mut made = Made { owned: true, lists: Some("file"), ..Made::default() };
        let body = Bytes::from_static(
            br#"{"data":[{"id":"a"},{"id":"b"}, {"id":"c"}],"first_id":"a","last_id":"c","has_more":false}"#,
        );
        assert_eq!(made.read(body), None);
        assert_eq!(made.question().unwrap(), [object("file", "a"), object("file", "b"), object("file", "c")]);
        let Some(Listed::Shown(own)) = made.only_own(&[Owner::Other, Owner::Own, Owner::Nobody]) else {
            panic!("something is shown")
        };
        assert_eq!(own, r#"{"data":[{"id":"b"}],"first_id":"b","last_id":"b","has_more":false}"#.as_bytes());
    }

    #[test]
    fn a_list_goes_on_past_what_others_made() {
        let mut pages = Pages::default();
        pages.begin(&Request::new(Method::GET, "/files?limit=2".to_owned(), HeaderMap::new(), Length::None));
        let mut made = Made::new(Objects::Owned, &[], Some("file")).going_on(Some(pages));
        assert_eq!(made.read(Bytes::from_static(br#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true}"#)), None);
        let Some(Listed::More(next)) = made.only_own(&[Owner::Other, Owner::Other]) else { panic!("it goes on") };
        assert_eq!(next.path, "/files?after=b&limit=100");
        // No more than the client asked for.
        let more =
            br#"{"data":[{"id":"c"},{"id":"d"},{"id":"e"},{"id":"f"}],"first_id":"c","last_id":"f","has_more":false}"#;
        assert_eq!(made.read(Bytes::from_static(more)), None);
        let owners = [Owner::Own, Owner::Nobody, Owner::Own, Owner::Own];
        let Some(Listed::Shown(own)) = made.only_own(&owners) else { panic!("something is shown") };
        let expected = r#"{"data":[{"id":"c"},{"id":"e"}],"first_id":"c","last_id":"e","has_more":true}"#;
        assert_eq!(own, expected.as_bytes());
    }

    #[test]
    fn a_list_makes_known_what_ones_own_items_tell_of() {
        let routes = Routes::published();
        let list = |path: &str, class: &str, items: [&str; 3]| {
            let Found::Route { route, .. } = routes.find("GET", path) else { panic!("{path}") };
            assert_eq!(route.lists(), Some(class));
            let mut made = Made::new(Objects::Owned, route.creates(), route.lists());
            let body = format!(r#"{{"data":[{}],"output_file_id":"file-beside"}}"#, items.join(","));
            assert_eq!(made.read(body.into()), None);
            assert_eq!(made.claim(), None, "{path}: before anybody knows whose the items are");
            assert!(made.only_own(&[Owner::Other, Owner::Own, Owner::Nobody]).is_some());
            made.claim()
        };
        let batches = [
            r#"{"id":"b1","output_file_id":"file-others","error_file_id":"file-others-too"}"#,
            r#"{"id":"b2","output_file_id":"file-own","error_file_id":null}"#,
            r#"{"id":"b3","output_file_id":"file-nobodys"}"#,
        ];
        assert_eq!(list("/batches", "batch", batches), Some(vec![object("file", "file-own")]));
        let jobs = [
            r#"{"id":"j1","result_files":["file-others"]}"#,
            r#"{"id":"j2","result_files":["file-own","file-own-too"]}"#,
            r#"{"id":"j3","result_files":["file-nobodys"]}"#,
        ];
        let own = vec![object("file", "file-own"), object("file", "file-own-too")];
        assert_eq!(list("/fine_tuning/jobs", "fine_tuning_job", jobs), Some(own));
    }

    #[test]
    fn the_list_of_models_shows_those_that_may_be_named() {
        let mut made = Made::default().showing_models(Some(BTreeSet::from(["b".to_owned()])));
        let body = Bytes::from_static(br#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#);
        assert_eq!(made.read(body).unwrap(), r#"{"object":"list","data":[{"id":"b"}]}"#.as_bytes());
    }

    #[test]
    fn where_objects_are_shared_nothing_is_read() {
        let mut made = Made::new(Objects::Shared, &[], Some("file"));
        let body = Bytes::from_static(br#"{"data":[{"id":"a"}]}"#);
        assert_eq!(made.read(body.clone()), Some(body));
        assert_eq!((made.question(), made.claim()), (None, None));
    }
}
