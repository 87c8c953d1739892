//! Which requests pass, and as what.

use sluice_wire::Violation;

use super::bench::*;
use crate::files::sftp::*;

fn nodes() -> Toy {
    Toy::new(&[
        ("/data", Node::Directory),
        ("/data/a", Node::File(b"content".to_vec())),
        ("/secret", Node::Directory),
        ("/secret/key", Node::File(b"private".to_vec())),
        ("/data/out", Node::Link("/secret/key".into())),
        ("/data/up", Node::Link("../secret".into())),
        ("/data/new", Node::Link("/secret/fresh".into())),
    ])
}

fn only_data(question: &Question) -> Option<Ruled> {
    let data = Path::canonical(b"/data").unwrap();
    if question.accesses().iter().all(|access| access.path.is_within(&data)) { allow() } else { deny() }
}

fn bench() -> (Bench, Toy) {
    let (mut bench, mut toy) = (Bench::new(&["/data/strict"], only_data), nodes());
    bench.greet(&mut toy);
    (bench, toy)
}

/// What reached the server beyond the filter's own questions about paths.
fn effects(toy: &Toy) -> Vec<&Request> {
    let asks = |request: &&Request| {
        !matches!(request, Request::Realpath { .. } | Request::Lstat { .. } | Request::Init { .. })
    };
    toy.seen.iter().filter(asks).collect()
}

#[test]
fn the_greeting_announces_only_what_is_understood_in_its_version() {
    let (bench, _) = bench();
    let Reply::Version { extensions, .. } = bench.version() else { panic!("no version") };
    let names: Vec<&[u8]> = extensions.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, [&b"posix-rename@openssh.com"[..], b"hardlink@openssh.com"]);
}

#[test]
fn extensions_that_were_not_announced_are_unsupported() {
    let (mut bench, mut toy) = bench();
    let other = |name: &str| Request::Extended(Extended::Other { name: bytes(name), data: bytes("x") });
    for request in [
        other("copy-data"),
        other("expand-path@openssh.com"),
        other("check-file-handle"),
        Request::Extended(Extended::Statvfs { path: bytes("/data") }),
        Request::Extended(Extended::Limits),
    ] {
        assert_eq!(code(&bench.ask(&mut toy, 7, &request)), Code::Unsupported);
    }
    assert!(effects(&toy).is_empty());
}

#[test]
fn a_link_is_decided_on_by_where_it_leads() {
    let (mut bench, mut toy) = bench();
    for path in ["/data/out", "/data/up/key", "../../data/./out", "/data/../secret/key", "/data/new", "/data/up/."] {
        for flags in
            [OpenFlags::READ, OpenFlags::WRITE.with(OpenFlags::CREATE), OpenFlags::WRITE.with(OpenFlags::TRUNCATE)]
        {
            let reply = bench.ask(&mut toy, 1, &open(path, flags));
            assert_eq!(code(&reply), Code::PermissionDenied, "{path}");
        }
        assert_eq!(code(&bench.ask(&mut toy, 2, &Request::Stat { path: bytes(path) })), Code::PermissionDenied);
        let attrs = Attrs { permissions: Some(0o777), ..Attrs::default() };
        assert_eq!(
            code(&bench.ask(&mut toy, 3, &Request::Setstat { path: bytes(path), attrs })),
            Code::PermissionDenied
        );
    }
    assert!(effects(&toy).is_empty());
    assert!(bench.asked.iter().all(|(_, question)| question.path.as_str().starts_with("/secret")));
}

#[test]
fn a_server_that_only_tidies_paths_leads_nobody_through_a_link() {
    let (mut bench, mut toy) = (Bench::unsure(only_data), nodes());
    toy.tidies = true;
    bench.greet(&mut toy);
    for request in [
        open("/data/up/key", OpenFlags::READ),
        open("/data/out", OpenFlags::READ),
        Request::Remove { path: bytes("/data/up/key") },
        rename("/data/a", "/data/up/a"),
        Request::Opendir { path: bytes("/data/up/.") },
    ] {
        assert_eq!(code(&bench.ask(&mut toy, 1, &request)), Code::PermissionDenied, "{request:?}");
    }
    assert!(effects(&toy).is_empty() && bench.asked.is_empty());
    let deep = format!("/data{}", "/a".repeat(129));
    let seen = toy.seen.len();
    assert_eq!(code(&bench.ask(&mut toy, 1, &Request::Remove { path: bytes(&deep) })), Code::PermissionDenied);
    assert_eq!(toy.seen.len(), seen + 1);
    assert_eq!(code(&bench.ask(&mut toy, 1, &open("/data/none/a", OpenFlags::READ))), Code::NoSuchFile);
    assert!(matches!(bench.ask(&mut toy, 1, &open("/data/a", OpenFlags::READ)), Reply::Handle(_)));
    assert_eq!(bench.asked[0].1.path.as_str(), "/data/a");
}

#[test]
fn what_is_forwarded_is_the_place_and_not_the_spelling() {
    let (mut bench, mut toy) = bench();
    assert!(matches!(bench.ask(&mut toy, 5, &open("../../data//./a", OpenFlags::READ)), Reply::Handle(_)));
    assert_eq!(effects(&toy), [&open("/data/a", OpenFlags::READ)]);
    let link = Request::Lstat { path: bytes("/data/../data/out") };
    assert!(matches!(bench.ask(&mut toy, 6, &link), Reply::Attrs(_)));
    assert_eq!(toy.seen.last(), Some(&Request::Lstat { path: bytes("/data/out") }));
}

#[test]
fn a_name_that_cannot_be_decided_on_is_refused_before_the_server_hears_of_it() {
    let (mut bench, mut toy) = bench();
    let long = format!("/{}", "a".repeat(5000));
    for path in ["", "/data/a\0b", "/data/\x1b[2J", "/data/\u{85}", &long] {
        assert_eq!(code(&bench.ask(&mut toy, 1, &open(path, OpenFlags::READ))), Code::PermissionDenied, "{path:?}");
    }
    let raw = Request::Stat { path: bytes::Bytes::from_static(b"/data/\xff") };
    assert_eq!(code(&bench.ask(&mut toy, 1, &raw)), Code::PermissionDenied);
    for path in ["/data/..", ".", "/"] {
        assert_eq!(code(&bench.ask(&mut toy, 1, &Request::Remove { path: bytes(path) })), Code::PermissionDenied);
    }
    assert_eq!(toy.seen.len(), 1);
}

#[test]
fn flags_that_servers_read_differently_are_refused() {
    let (mut bench, mut toy) = bench();
    let none = OpenFlags::new(0).unwrap();
    for flags in [
        none,
        OpenFlags::CREATE,
        OpenFlags::READ.with(OpenFlags::TRUNCATE),
        OpenFlags::READ.with(OpenFlags::CREATE),
        OpenFlags::WRITE.with(OpenFlags::EXCLUSIVE),
    ] {
        assert_eq!(code(&bench.ask(&mut toy, 1, &open("/data/a", flags))), Code::BadMessage, "{flags:?}");
    }
    assert!(bench.asked.is_empty());
}

#[test]
fn opening_for_both_is_a_read_and_a_write_and_a_move_has_two_places() {
    let (mut bench, mut toy) = bench();
    bench.open(&mut toy, "/data/a", OpenFlags::READ.with(OpenFlags::WRITE));
    bench.ask(&mut toy, 2, &rename("/data/a", "/secret/a"));
    let shown: Vec<Vec<String>> = bench
        .asked
        .iter()
        .map(|(_, q)| q.accesses().iter().map(|access| format!("{} {}", access.verb.name(), access.path)).collect())
        .collect();
    assert_eq!(shown, [vec!["read /data/a", "write /data/a"], vec!["rename /data/a", "rename /secret/a"]]);
    assert!(toy.nodes.contains_key("/data/a"));
}

#[test]
fn governed_places_take_no_links_and_stay_where_they_are() {
    let (mut bench, mut toy) = (Bench::new(&["/data/strict"], |_| allow()), nodes());
    toy.nodes.insert("/data/strict".into(), Node::Directory);
    bench.greet(&mut toy);
    let symlink = |target: &str, link: &str| Request::Symlink { target: bytes(target), link: bytes(link) };
    let hardlink = |from: &str, to: &str| Request::Extended(Extended::Hardlink { from: bytes(from), to: bytes(to) });
    for request in [
        symlink("/secret/key", "/data/strict/x"),
        symlink("/data/strict/x", "/data/x"),
        symlink("strict", "/data/x"),
        hardlink("/secret/key", "/data/strict/x"),
        hardlink("/data/strict/x", "/data/x"),
        hardlink("/data/out", "/data/x"),
        rename("/data/strict", "/data/loose"),
        rename("/data", "/moved"),
        rename("/data/out", "/data/strict/out"),
        Request::Extended(Extended::PosixRename { from: bytes("/home"), to: bytes("/data/strict") }),
    ] {
        assert_eq!(code(&bench.ask(&mut toy, 1, &request)), Code::PermissionDenied, "{request:?}");
    }
    assert!(bench.asked.is_empty());
    assert_eq!(code(&bench.ask(&mut toy, 1, &symlink("../a", "/data/up/link"))), Code::Ok);
    assert_eq!(toy.seen.last(), Some(&symlink("/a", "/secret/link")));
}

#[test]
fn only_handles_that_were_given_out_mean_anything() {
    let (mut bench, mut toy) = bench();
    let handle = bench.open(&mut toy, "/data/a", OpenFlags::READ);
    let guess = bytes("\0\0\0\u{7}");
    assert_eq!(code(&bench.ask(&mut toy, 1, &read(&guess, 0, 9))), Code::Failure);
    assert_eq!(code(&bench.ask(&mut toy, 1, &write(&handle, 0, b"x"))), Code::Failure);
    assert_eq!(code(&bench.ask(&mut toy, 1, &Request::Readdir { handle: handle.clone() })), Code::Failure);
    bench.client(Request::Close { handle: handle.clone() }.encode(2));
    bench.client(read(&handle, 0, 9).encode(3));
    assert_eq!(bench.take(3).as_ref().map(code), Some(Code::Failure));
    bench.settle(&mut toy);
    assert_eq!(bench.take(2).as_ref().map(code), Some(Code::Ok));
}

#[test]
fn while_a_question_is_open_requests_wait_and_answers_pass() {
    let (mut bench, mut toy) = (Bench::new(&[], |_| allow()), nodes());
    bench.greet(&mut toy);
    let handle = bench.open(&mut toy, "/data/a", OpenFlags::READ);
    bench.policy = Box::new(|_| None);
    bench.client(read(&handle, 0, 4).encode(1));
    let read_under_way = bench.to_server.pop_front().unwrap();
    bench.client(Request::Remove { path: bytes("/data/a") }.encode(2));
    bench.settle(&mut toy);
    assert!(!bench.sftp.wants_client());
    let waiting = [read(&handle, 0, 2).encode(3), Request::Close { handle }.encode(4)].concat();
    bench.client(waiting.into());
    for answer in toy.take(&read_under_way.1) {
        bench.server(answer);
    }
    assert_eq!(bench.take(1), Some(Reply::Data(bytes("cont"))));
    assert!(bench.to_server.is_empty() && bench.replies.is_empty());
    let ask = bench.asked.last().unwrap().0;
    bench.rule(ask, Ruled::Deny("no".into()));
    bench.steps();
    bench.settle(&mut toy);
    assert_eq!(bench.take(2), Some(Reply::status(Code::PermissionDenied, "no")));
    assert_eq!((bench.take(3), bench.take(4).as_ref().map(code)), (Some(Reply::Data(bytes("co"))), Some(Code::Ok)));
    assert!(bench.sftp.wants_client() && toy.nodes.contains_key("/data/a"));
}

#[test]
fn what_waits_has_a_bound() {
    let (mut bench, mut toy) = (Bench::new(&[], |_| None), nodes());
    bench.greet(&mut toy);
    bench.client(open("/data/a", OpenFlags::READ).encode(1));
    let more = bytes::Bytes::from(vec![0; 1 << 20]);
    let ends: Vec<_> = (0..5).map(|_| bench.sftp.client(more.clone(), bench.now)).collect();
    assert_eq!(ends[3], Ok(()));
    assert_eq!(ends[4], Err(Violation::client("sent more than it was asked for")));
}

#[test]
fn an_allow_that_took_its_time_is_for_the_same_place_or_for_none() {
    for (swapped, expected) in [(true, Code::PermissionDenied), (false, Code::Ok)] {
        let (mut bench, mut toy) = (Bench::new(&[], |_| None), nodes());
        bench.greet(&mut toy);
        bench.client(open("/data/a", OpenFlags::READ).encode(1));
        bench.settle(&mut toy);
        if swapped {
            toy.nodes.insert("/data/a".into(), Node::Link("/secret/key".into()));
        }
        bench.now = bench.now.plus_seconds(60);
        let ask = bench.asked[0].0;
        bench.rule(ask, Ruled::Allow(Terms::default()));
        bench.steps();
        bench.settle(&mut toy);
        match bench.take(1).unwrap() {
            Reply::Handle(_) => assert_eq!(expected, Code::Ok),
            refused => assert_eq!((code(&refused), &bench.done[..]), (expected, &[ask][..])),
        }
    }
}

#[test]
fn a_path_is_looked_up_after_what_changes_it() {
    let (mut bench, mut toy) = (Bench::new(&[], only_data), nodes());
    bench.greet(&mut toy);
    toy.nodes.insert("/data/b".into(), Node::File(b"b".to_vec()));
    // The move is under way when the file is opened by its old name: it must not be looked up before the move.
    bench.client(rename("/data/out", "/data/b").encode(1));
    while bench.asked.is_empty() {
        let (_, packet) = bench.to_server.pop_front().unwrap();
        for answer in toy.take(&packet) {
            bench.server(answer);
        }
    }
    bench.client(open("/data/b", OpenFlags::READ).encode(2));
    assert_eq!(bench.to_server.len(), 1);
    bench.settle(&mut toy);
    assert_eq!(bench.take(2).as_ref().map(code), Some(Code::PermissionDenied));
}

#[test]
fn the_start_is_told_and_other_places_are_asked_about() {
    let (mut bench, mut toy) = bench();
    let place = |reply: Reply| match reply {
        Reply::Name(names) => String::from_utf8(names[0].name.to_vec()).unwrap(),
        other => panic!("{other:?} is no name"),
    };
    let realpath = |path: &str| Request::Realpath { path: bytes(path) };
    assert_eq!(place(bench.ask(&mut toy, 1, &realpath("."))), "/home/u");
    assert_eq!(place(bench.ask(&mut toy, 1, &realpath(""))), "/home/u");
    assert!(bench.asked.is_empty());
    assert_eq!(place(bench.ask(&mut toy, 1, &realpath("/data/../data"))), "/data");
    assert_eq!(code(&bench.ask(&mut toy, 1, &realpath("/data/up"))), Code::PermissionDenied);
}

#[test]
fn a_server_that_answers_what_does_not_fit_ends_the_channel() {
    let unfit = |id: u32, reply: Reply| {
        let (mut bench, mut toy) = bench();
        let handle = bench.open(&mut toy, "/data/a", OpenFlags::READ);
        bench.client(read(&handle, 0, 4).encode(9));
        let (_, packet) = bench.to_server.pop_front().unwrap();
        let wire = Request::parse(&packet).unwrap().0.unwrap();
        bench.sftp.server(reply.encode(wire.wrapping_add(id)), bench.now).unwrap_err().what
    };
    assert_eq!(unfit(0, Reply::Handle(bytes("h"))), "an answer that does not fit");
    assert_eq!(unfit(0, Reply::status(Code::Ok, "")), "an answer that does not fit");
    assert_eq!(unfit(0, Reply::Data(bytes("12345"))), "more data than was asked for");
    assert_eq!(unfit(1, Reply::Data(bytes("1"))), "an answer to nothing that was asked");
}

#[test]
fn a_listed_name_leads_nowhere_and_its_line_moves_no_cursor() {
    let (mut bench, mut toy) = bench();
    let list = |bench: &mut Bench, toy: &mut Toy, name: &str| {
        let Reply::Handle(handle) = bench.ask(toy, 1, &Request::Opendir { path: bytes("/data") }) else { panic!() };
        bench.client(Request::Readdir { handle }.encode(2));
        let (_, packet) = bench.to_server.pop_front().unwrap();
        let wire = Request::parse(&packet).unwrap().0.unwrap();
        let entry = Entry { name: bytes(name), long: bytes("-rw \u{1b}]0;x\u{7} \u{9b}1m"), attrs: Attrs::default() };
        bench.server(Reply::Name(vec![entry]).encode(wire));
        bench.take(2).unwrap()
    };
    for name in ["../x", "/etc/passwd", "", "a\0b"] {
        assert_eq!(code(&list(&mut bench, &mut toy, name)), Code::BadMessage, "{name:?}");
    }
    let Reply::Name(names) = list(&mut bench, &mut toy, "ok\n") else { panic!() };
    assert_eq!((&names[0].name[..], &names[0].long[..]), (&b"ok\n"[..], &b"-rw ?]0;x? ?1m"[..]));
}
