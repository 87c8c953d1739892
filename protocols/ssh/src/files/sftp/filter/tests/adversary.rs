//! A client that tries every way around a decision, on every tree of links.

use proptest::prelude::*;

use super::bench::*;
use crate::files::sftp::*;

/// Allows what lies in `/open`.
fn only_open(question: &Question) -> Option<Ruled> {
    let open = Path::canonical(b"/open").unwrap();
    if question.accesses().iter().all(|access| access.path.is_within(&open)) { allow() } else { deny() }
}

fn path() -> impl Strategy<Value = String> {
    let part = proptest::sample::select(vec!["open", "closed", "a", "b", "..", ".", "", "open/a", "../closed"]);
    (any::<bool>(), proptest::collection::vec(part, 1..5))
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")))
}

fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        2 => path().prop_map(Node::Link),
        1 => Just(Node::Directory),
        1 => Just(Node::File(b"content".to_vec())),
    ]
}

fn tree() -> impl Strategy<Value = Vec<(String, Node)>> {
    let place = proptest::sample::select(vec!["/open", "/closed", "/open/a", "/closed/a", "/home/u"]);
    let name = proptest::sample::select(vec!["a", "b", "open", "closed"]);
    proptest::collection::vec((place, name, node()), 0..10)
        .prop_map(|nodes| nodes.into_iter().map(|(place, name, node)| (format!("{place}/{name}"), node)).collect())
}

fn request() -> impl Strategy<Value = Request> {
    let flags = proptest::sample::select(vec![
        OpenFlags::READ,
        OpenFlags::WRITE.with(OpenFlags::CREATE),
        OpenFlags::WRITE.with(OpenFlags::CREATE).with(OpenFlags::EXCLUSIVE),
        OpenFlags::READ.with(OpenFlags::WRITE).with(OpenFlags::CREATE).with(OpenFlags::TRUNCATE),
    ]);
    let attrs = Attrs { size: Some(0), ..Attrs::default() };
    prop_oneof![
        3 => (path(), flags).prop_map(|(path, flags)| open(&path, flags)),
        1 => path().prop_map(|path| Request::Opendir { path: bytes(&path) }),
        1 => path().prop_map(|path| Request::Stat { path: bytes(&path) }),
        1 => path().prop_map(move |path| Request::Setstat { path: bytes(&path), attrs: attrs.clone() }),
        1 => path().prop_map(|path| Request::Remove { path: bytes(&path) }),
        1 => path().prop_map(|path| Request::Mkdir { path: bytes(&path), attrs: Attrs::default() }),
        2 => (path(), path()).prop_map(|(from, to)| rename(&from, &to)),
        2 => (path(), path()).prop_map(|(target, link)| Request::Symlink { target: bytes(&target), link: bytes(&link) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outside_of_what_is_allowed_is_ever_touched(
        tree in tree(),
        requests in proptest::collection::vec(request(), 1..12),
        tidies in any::<bool>(),
    ) {
        let mut toy = Toy::new(&[("/open", Node::Directory), ("/closed", Node::Directory)]);
        for (path, node) in tree {
            let parent = path.rsplit_once('/').unwrap().0;
            if toy.nodes.get(parent) == Some(&Node::Directory) {
                toy.nodes.entry(path).or_insert(node);
            }
        }
        toy.tidies = tidies;
        let mut bench = if tidies { Bench::unsure(only_open) } else { Bench::new(&[], only_open) };
        bench.greet(&mut toy);
        for (request, id) in requests.iter().zip(1..) {
            bench.client(request.encode(id));
            while let Some((_, packet)) = bench.to_server.pop_front() {
                let (_, forwarded) = Request::parse(&packet).unwrap();
                for place in toy.places(&forwarded) {
                    prop_assert!(place == "/open" || place.starts_with("/open/"), "{forwarded:?} touches {place}");
                }
                for answer in toy.take(&packet) {
                    bench.server(answer);
                }
            }
            prop_assert!(bench.take(id).is_some() && bench.sftp.wants_client());
        }
    }
}
