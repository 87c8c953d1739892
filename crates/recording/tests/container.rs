//! What a recording must never do: lose, change or invent an event without saying so.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use sluice_model::{Digest, FlowId, OpId, SessionId, Stage, UnixMicros, Usage};
use sluice_recording::*;

fn header() -> Header {
    Header { session: SessionId::new("s-1").unwrap(), anchor: UnixMicros(1_700_000_000_000_000) }
}

fn passed(op: u64, frame: &[u8]) -> Event<'_> {
    Event::Passed(Passed { op: OpId(op), toward: Toward::Client, frame: Content(frame) })
}

/// A recording of events of these lengths, with a segment after each that is marked.
fn sealed(lengths: &[(usize, bool)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut writer, _) = Writer::begin(&header(), &mut bytes);
    for (number, (length, seal)) in (0_u64..).zip(lengths) {
        let content: Vec<u8> = (0..251).cycle().take(*length).collect();
        writer.append(FlowId(1), number, &passed(number, &content)).unwrap();
        if *seal {
            writer.seal(&mut bytes);
        }
    }
    let _root = writer.finish(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_reader_goes_back_and_ahead_to_where_it_was(
        lengths in prop::collection::vec((prop_oneof![0_usize..5_000, (1_usize << 20)..(3 << 20)], any::<bool>()), 1..12),
        jumps in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let bytes = sealed(&lengths);
        let mut reader = Reader::open(std::io::Cursor::new(&bytes)).unwrap();
        let mut marks = vec![reader.mark()];
        while reader.next_event().unwrap().is_some() {
            marks.push(reader.mark());
        }
        let verified = reader.verified().unwrap();
        for jump in jumps {
            let to = jump.index(marks.len());
            reader.go_to(&marks[to]).unwrap();
            let mut next = to as u64;
            while let Some(stored) = reader.next_event().unwrap() {
                prop_assert_eq!((stored.seq, stored.at_ns), (next, next));
                next += 1;
            }
            prop_assert_eq!(next, lengths.len() as u64);
            prop_assert_eq!(reader.verified().unwrap(), verified.clone());
        }
    }
}

#[test]
fn where_a_reader_goes_to_must_still_be_what_was_there() {
    let bytes = sealed(&[(10, true), (10, true), (10, true)]);
    let mut other = sealed(&[(10, true), (11, true), (10, true)]);
    other.resize(bytes.len(), 0);
    let file = std::rc::Rc::new(std::cell::RefCell::new(std::io::Cursor::new(bytes)));
    let mut reader = Reader::open(Changing(std::rc::Rc::clone(&file))).unwrap();
    let mut marks = vec![reader.mark()];
    while reader.next_event().unwrap().is_some() {
        marks.push(reader.mark());
    }
    *file.borrow_mut() = std::io::Cursor::new(other);
    reader.go_to(&marks[0]).unwrap();
    assert!(reader.next_event().is_ok() && reader.next_event().is_ok());
    assert!(reader.go_to(&marks[3]).is_err());
    assert!(matches!(reader.next_event(), Err(Unreadable::Stopped)), "nothing comes after an error");
}

/// A file that somebody changes while it is read.
struct Changing(std::rc::Rc<std::cell::RefCell<std::io::Cursor<Vec<u8>>>>);

impl std::io::Read for Changing {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(into)
    }
}

impl std::io::Seek for Changing {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

/// How a session begins, in a run and at a part of its target, or not.
fn opened(run: Option<&'static str>, part: Option<&'static str>) -> Opened<'static> {
    Opened {
        session: "s-1".into(),
        principal: vec![
            Actor { name: "agent:triage".into(), groups: vec!["agents".into()] },
            Actor { name: "user:ana".into(), groups: vec![] },
        ],
        token: "t-1".into(),
        target: "shop".into(),
        environment: "prod".into(),
        protocol: "postgres".into(),
        schema_version: 3,
        client: "127.0.0.1:5000".into(),
        policy_epoch: "7".into(),
        anchor: UnixMicros(-5),
        broker_version: "0.0.0".into(),
        run: run.map(Into::into),
        part: part.map(Into::into),
    }
}

/// One of each kind.
fn samples() -> Vec<Event<'static>> {
    vec![
        Event::Opened(opened(Some("r-1"), Some("stock"))),
        Event::Opened(opened(None, Some("stock"))),
        Event::Opened(opened(Some("r-1"), None)),
        Event::Opened(opened(None, None)),
        Event::Asked(Asked {
            op: OpId(1),
            stage: Stage::Perform,
            action: "sql.read".into(),
            understood: true,
            facts: vec![Pair::new("kind", "select")],
            accesses: vec![Accessed {
                action: "sql.read".into(),
                kind: "Table".into(),
                path: vec!["public".into(), "customers".into()],
            }],
            digest: Digest([3; 32]),
            text: Content(b"select \x1b[31m1"),
            bound: Some(Content(b"")),
            exposures: vec![Exposed {
                usage: Usage::Filter,
                kind: "Column".into(),
                path: vec!["public".into(), "customers".into(), "email".into()],
                tags: vec!["pii.contact".into()],
            }],
        }),
        Event::Ruled(Ruled {
            op: OpId(1),
            verdict: Word::Hold,
            rules: vec!["prod-write".into()],
            masks: vec!["Column public.customers.email partial(keep_last=4)".into()],
            message: "writes need approval".into(),
            decision: "d-1".into(),
            cached: true,
        }),
        Event::Held(Held { op: OpId(1), hold: "h-1".into(), approvers: vec!["dba".into()] }),
        Event::Settled(Settled {
            op: OpId(1),
            hold: "h-1".into(),
            outcome: Outcome::Approved,
            people: vec!["bob".into()],
        }),
        passed(u64::MAX, b"D\0\0\0\x04"),
        Event::Cut(Cut { op: OpId(1), toward: Toward::Server, bytes: 12, digest: Digest([4; 32]) }),
        Event::Done(OpId(1)),
        Event::Noted(Noted { kind: "notice".into(), pairs: vec![Pair::new("a", "b")] }),
        Event::Gap(Gap { reason: "crash".into(), bytes: 3 }),
        Event::Closed(Closed { reason: "client".into(), counters: vec![("operations".into(), 1)] }),
    ]
}

/// Each group of events becomes one commit.
fn recorded(groups: &[Vec<Event<'_>>]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut writer, _) = Writer::begin(&header(), &mut out);
    let mut at_ns = 0;
    for group in groups {
        for event in group {
            at_ns += 1_000;
            writer.append(FlowId(0), at_ns, event).unwrap();
        }
        writer.seal(&mut out);
    }
    let _root = writer.finish(&mut out);
    out
}

/// Everything that comes out before the end or an error, as comparable text.
fn read(bytes: &[u8]) -> (Vec<String>, Result<Verified, Unreadable>) {
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return (vec![], Err(error)),
    };
    let mut events = Vec::new();
    loop {
        match reader.next_event() {
            Ok(Some(stored)) => events.push(told(&stored)),
            Ok(None) => return (events, Ok(reader.verified().unwrap())),
            Err(error) => {
                assert!(matches!(reader.next_event(), Err(Unreadable::Stopped)));
                return (events, Err(error));
            }
        }
    }
}

/// All of an event, content included, which `Debug` leaves out.
fn told(stored: &Stored<'_>) -> String {
    let mut transcript = Transcript::new(String::new(), Quoted);
    transcript.event(stored).unwrap();
    format!("{stored:?} {}", transcript.into_inner())
}

#[test]
fn batches_of_flows_become_the_recording_that_their_events_would() {
    let samples = samples();
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    let (mut one, _) = Writer::begin(&header(), &mut apart);
    let (mut other, _) = Writer::begin(&header(), &mut together);
    let mut batch = Batch::default();
    for (flow, events) in (0..).zip(samples.chunks(2)) {
        for event in events {
            one.append(FlowId(flow), 7, event).unwrap();
            batch.add(FlowId(flow), 7, event).unwrap();
        }
        let held: Vec<_> = batch.events().map(|stored| (stored.flow, stored.at_ns, stored.event)).collect();
        let put: Vec<_> = events.iter().map(|event| (FlowId(flow), 7, event.clone())).collect();
        assert_eq!(held, put);
        other.take(&mut batch);
        assert!(batch.is_empty() && batch.events().next().is_none());
        // Every other one waits for the next.
        if flow % 2 == 0 {
            one.seal(&mut apart);
            other.seal(&mut together);
        }
    }
    assert_eq!(one.finish(&mut apart), other.finish(&mut together));
    assert_eq!(apart, together);
}

#[test]
fn every_kind_of_event_comes_back() {
    let samples = samples();
    let mut out = Vec::new();
    let (mut writer, head) = Writer::begin(&header(), &mut out);
    for (at, event) in samples.iter().enumerate() {
        assert_eq!(writer.append(FlowId(2), at as u64, event).unwrap(), at as u64);
    }
    let root = writer.finish(&mut out);
    let mut reader = Reader::open(out.as_slice()).unwrap();
    for (seq, event) in samples.into_iter().enumerate() {
        let seq = seq as u64;
        let expected = Stored { seq, flow: FlowId(2), at_ns: seq, event };
        assert_eq!(reader.next_event().unwrap(), Some(expected));
    }
    assert_eq!(reader.next_event().unwrap(), None);
    let verified = reader.verified().unwrap();
    assert_eq!(verified.header, header());
    assert_eq!((verified.head, verified.root), (head, root.digest));
    assert_eq!((verified.events, verified.segments), (14, 1));
    assert_eq!(verified.end, End::Clean);
}

#[test]
fn a_truncated_recording_is_verified_up_to_the_cut_and_never_clean() {
    let groups: Vec<_> = samples().into_iter().map(|event| vec![event]).collect();
    let whole = recorded(&groups);
    let (all, _) = read(&whole);
    let header_len = {
        let mut out = Vec::new();
        let _writer = Writer::begin(&header(), &mut out);
        out.len()
    };
    let mut kept = 0;
    for cut in 0..whole.len() {
        let (events, result) = read(&whole[..cut]);
        if cut < header_len {
            assert!(matches!(result, Err(Unreadable::NotARecording)), "{cut}");
            continue;
        }
        let verified = result.unwrap();
        assert_eq!(events, all[..events.len()], "{cut}");
        assert!(events.len() >= kept, "{cut}");
        kept = events.len();
        let End::Torn { at_byte, last_seq } = verified.end else { panic!("clean at {cut}") };
        assert!(at_byte <= cut as u64);
        assert_eq!(last_seq, (events.len() as u64).checked_sub(1));
        // What is before the place it names is the same recording, without a torn byte.
        let (again, result) = read(&whole[..usize::try_from(at_byte).unwrap()]);
        assert_eq!(again, events);
        assert_eq!(result.unwrap().root, verified.root);
    }
    assert_eq!(kept, all.len());
}

#[test]
fn every_flipped_byte_is_found_and_everything_before_it_is_still_read() {
    let groups: Vec<_> = samples().chunks(3).map(<[_]>::to_vec).collect();
    let mut big = vec![vec![passed(1, &[b'x'; 3000])]];
    big.extend(groups);
    let whole = recorded(&big);
    let (all, _) = read(&whole);
    for at in 0..whole.len() {
        for bit in [0x01, 0x80] {
            let mut bad = whole.clone();
            bad[at] ^= bit;
            let (events, result) = read(&bad);
            assert_eq!(events, all[..events.len()], "byte {at}");
            match result {
                Err(Unreadable::Damaged { byte, first_seq, .. }) => {
                    assert!(byte <= at as u64, "byte {at} was blamed on {byte}");
                    assert_eq!(first_seq, events.len() as u64);
                }
                Err(Unreadable::NotARecording) => assert!(events.is_empty()),
                Err(Unreadable::Unsupported { .. }) | Ok(_) => panic!("byte {at} was accepted"),
                Err(Unreadable::Io(_) | Unreadable::Stopped) => panic!("byte {at}"),
            }
        }
    }
}

#[test]
fn segments_cannot_be_removed_swapped_or_brought_from_elsewhere() {
    let groups: Vec<_> = samples().into_iter().map(|event| vec![event]).collect();
    let whole = recorded(&groups);
    let starts: Vec<usize> = (0..whole.len() - 4).filter(|at| whole[*at..].starts_with(b"SEGM")).collect();
    assert_eq!(starts.len(), groups.len());
    for pair in starts.windows(2) {
        let gone = [&whole[..pair[0]], &whole[pair[1]..]].concat();
        assert!(matches!(read(&gone).1, Err(Unreadable::Damaged { .. })));
        let doubled = [&whole[..pair[1]], &whole[pair[0]..]].concat();
        assert!(matches!(read(&doubled).1, Err(Unreadable::Damaged { .. })));
    }
    let swapped =
        [&whole[..starts[0]], &whole[starts[1]..starts[2]], &whole[starts[0]..starts[1]], &whole[starts[2]..]];
    assert!(matches!(read(&swapped.concat()).1, Err(Unreadable::Damaged { .. })));
    let longer = [&whole[..], b"x"].concat();
    assert!(matches!(read(&longer).1, Err(Unreadable::Damaged { .. })));
}

#[test]
fn zeros_after_the_last_segment_are_a_torn_tail() {
    let mut out = Vec::new();
    let (mut writer, _) = Writer::begin(&header(), &mut out);
    writer.append(FlowId(0), 1, &passed(1, b"x")).unwrap();
    writer.seal(&mut out);
    let good = out.len() as u64;
    out.resize(out.len() + 10_000, 0);
    let torn = End::Torn { at_byte: good, last_seq: Some(0) };
    assert_eq!(verify(out.as_slice()).unwrap().end, torn);
    out.push(1);
    assert!(matches!(verify(out.as_slice()), Err(Unreadable::Damaged { .. })));
}

#[test]
fn a_torn_recording_goes_on_from_where_it_was_cut() {
    let mut out = Vec::new();
    let (mut writer, _) = Writer::begin(&header(), &mut out);
    writer.append(FlowId(0), 10, &passed(1, b"first")).unwrap();
    writer.seal(&mut out);
    // A large event, of whose segments only the first was written.
    let before = out.len();
    writer.append(FlowId(0), 20, &passed(1, &incompressible(3 * SEGMENT_BYTES))).unwrap();
    writer.seal(&mut out);
    out.truncate(before + SEGMENT_BYTES + 200);

    let torn = verify(out.as_slice()).unwrap();
    let end = End::Torn { at_byte: before as u64, last_seq: Some(0) };
    assert_eq!(torn.end, end);
    assert_eq!(torn.resume.at_ns, 10);
    out.truncate(before);
    let mut writer = Writer::resume(&torn.resume);
    writer.append(FlowId(0), 30, &passed(1, b"second")).unwrap();
    let root = writer.finish(&mut out);
    let whole = verify(out.as_slice()).unwrap();
    assert_eq!((whole.end, whole.events, whole.root), (End::Clean, 2, root.digest));
}

fn incompressible(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn large_events_are_split_and_small_ones_share_a_segment() {
    let large = incompressible(2 * SEGMENT_BYTES + 17);
    let text = vec![b'a'; 5 * SEGMENT_BYTES];
    let group = vec![passed(1, b"small"), passed(2, &large), passed(3, &text), passed(4, b"small")];
    let whole = recorded(std::slice::from_ref(&group));
    let mut reader = Reader::open(whole.as_slice()).unwrap();
    for expected in group {
        assert_eq!(reader.next_event().unwrap().unwrap().event, expected);
    }
    assert!(reader.next_event().unwrap().is_none());
    let verified = reader.verified().unwrap();
    assert_eq!((verified.segments, verified.end), (1 + 3 + 6 + 1, End::Clean));
    // 5 MiB of one letter take next to nothing, the incompressible event its own size.
    assert!(whole.len() < large.len() + 20_000, "{}", whole.len());
}

#[test]
fn one_commit_is_one_segment_up_to_its_limit() {
    for (over, segments) in [(-1_i64, 1), (0, 1), (1, 2)] {
        // `len u32 · kind · flow · at_ns · op · toward · length varint[3]` are 12 bytes around a frame of this size.
        let len = usize::try_from(i64::try_from(SEGMENT_BYTES).unwrap() - 12 + over).unwrap();
        let mut out = Vec::new();
        let (mut writer, _) = Writer::begin(&header(), &mut out);
        writer.append(FlowId(0), 1, &passed(1, &vec![0; len])).unwrap();
        let pending = i64::try_from(writer.pending_bytes()).unwrap();
        assert_eq!(pending, i64::try_from(SEGMENT_BYTES).unwrap() + over);
        let root = writer.finish(&mut out);
        assert_eq!(root.segments, segments);
        assert_eq!(verify(out.as_slice()).unwrap().segments, segments);
    }
}

#[test]
fn an_event_above_the_limit_is_refused_and_changes_nothing() {
    let mut out = Vec::new();
    let (mut writer, _) = Writer::begin(&header(), &mut out);
    let largest = MAX_EVENT_BYTES - 13;
    let frame = vec![0; largest + 1];
    assert!(writer.append(FlowId(0), 1, &passed(1, &frame)).is_err());
    assert_eq!(writer.pending_bytes(), 0);
    assert_eq!(writer.append(FlowId(0), 1, &passed(1, &frame[..largest])).unwrap(), 0);
    let _root = writer.finish(&mut out);
    assert_eq!(verify(out.as_slice()).unwrap().events, 1);
}

#[test]
fn the_transcript_is_inert_and_complete() {
    let whole = recorded(&[samples()]);
    let mut reader = Reader::open(whole.as_slice()).unwrap();
    let mut transcript = Transcript::new(String::new(), Quoted);
    while let Some(stored) = reader.next_event().unwrap() {
        transcript.event(&stored).unwrap();
    }
    let text = transcript.into_inner();
    let expected = "\
0.000001 #0 opened session=s-1 principal=\"agent:triage for user:ana\" token=t-1 target=shop environment=prod \
protocol=postgres schema=3 client=127.0.0.1:5000 policies=7 anchor_us=-5 broker=0.0.0 part=stock run=r-1
0.000002 #1 opened session=s-1 principal=\"agent:triage for user:ana\" token=t-1 target=shop environment=prod \
protocol=postgres schema=3 client=127.0.0.1:5000 policies=7 anchor_us=-5 broker=0.0.0 part=stock
0.000003 #2 opened session=s-1 principal=\"agent:triage for user:ana\" token=t-1 target=shop environment=prod \
protocol=postgres schema=3 client=127.0.0.1:5000 policies=7 anchor_us=-5 broker=0.0.0 run=r-1
0.000004 #3 opened session=s-1 principal=\"agent:triage for user:ana\" token=t-1 target=shop environment=prod \
protocol=postgres schema=3 client=127.0.0.1:5000 policies=7 anchor_us=-5 broker=0.0.0
0.000005 #4 asked op=1 perform sql.read \"select \\x1b[31m1\" bound=\"\" kind=\"select\" \
[sql.read Table public.customers]
0.000006 #5 ruled op=1 hold rules=[prod-write] masks=[Column public.customers.email partial(keep_last=4)] \
\"writes need approval\" decision=d-1 cached
0.000007 #6 held op=1 hold=h-1 approvers=[dba]
0.000008 #7 settled op=1 hold=h-1 approved by=[bob]
0.000009 #8 passed op=18446744073709551615 to=client bytes=5
    \"D\\x00\\x00\\x00\\x04\"
";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(text.lines().count(), 15);
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let text = "[ -~é\u{1f600}]{0,20}";
    let content = prop::collection::vec(any::<u8>(), 0..4000).prop_map(|bytes| Content(bytes.leak()));
    prop_oneof![
        (any::<u64>(), any::<bool>(), content.clone()).prop_map(|(op, up, frame)| {
            Event::Passed(Passed { op: OpId(op), toward: if up { Toward::Server } else { Toward::Client }, frame })
        }),
        (any::<u64>(), prop::option::of(content.clone()), content, text).prop_map(|(op, bound, text, action)| {
            Event::Asked(Asked {
                op: OpId(op),
                stage: Stage::Prepare,
                action: action.into(),
                understood: op % 2 == 0,
                facts: vec![],
                accesses: vec![],
                digest: Digest([7; 32]),
                text,
                bound,
                exposures: vec![
                    Exposed { usage: Usage::Reveal, kind: "Value".into(), path: vec![], tags: vec![] };
                    (op % 3) as usize
                ],
            })
        }),
        (text, prop::collection::vec((text, any::<u64>()), 0..5)).prop_map(|(reason, counters)| {
            Event::Closed(Closed {
                reason: reason.into(),
                counters: counters.into_iter().map(|(name, count)| (name.into(), count)).collect(),
            })
        }),
        any::<u64>().prop_map(|op| Event::Done(OpId(op))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_was_written_is_read(
        groups in prop::collection::vec(prop::collection::vec((any_event(), any::<u64>(), any::<u32>()), 0..8), 0..6),
    ) {
        let mut out = Vec::new();
        let (mut writer, _) = Writer::begin(&header(), &mut out);
        for group in &groups {
            for (event, at_ns, flow) in group {
                writer.append(FlowId(*flow), *at_ns, event).unwrap();
            }
            writer.seal(&mut out);
        }
        let root = writer.finish(&mut out);
        let mut reader = Reader::open(out.as_slice()).unwrap();
        for (event, at_ns, flow) in groups.iter().flatten() {
            let stored = reader.next_event().unwrap().unwrap();
            prop_assert_eq!(&stored.event, event);
            prop_assert_eq!((stored.at_ns, stored.flow), (*at_ns, FlowId(*flow)));
        }
        prop_assert!(reader.next_event().unwrap().is_none());
        let verified = reader.verified().unwrap();
        prop_assert_eq!(verified.root, root.digest);
        prop_assert_eq!(verified.end, End::Clean);
    }

    #[test]
    fn no_bytes_disturb_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = verify(bytes.as_slice());
        let mut header_bytes = Vec::new();
        let _writer = Writer::begin(&header(), &mut header_bytes);
        header_bytes.append(&mut bytes);
        let result = verify(header_bytes.as_slice());
        let clean = matches!(result, Ok(Verified { end: End::Clean, .. }));
        prop_assert!(!clean);
    }
}

/// A recording of a program that knew no runs, byte for byte.
const WITHOUT_RUNS: &str = "\
    736c7569637265630100000000401e18240a06000300732d31275c5dea5345474d0000000062000000620000000000000000000000000000\
    00000000000100000000000000228e8893406d6f1cf3ea57307c600c4967880439ff04ea0e01bf739b207aeeec0000000010d6f8f54f0000\
    0001000003732d310108757365723a616e610105737461666603742d310473686f700470726f6408706f737467726573030e3132372e302e\
    302e313a35303030013700401e18240a060005302e302e300b0000000b000906636c69656e7400c6d4de799177ee3f1a15ac19f396573b2b\
    35ae2f5080df0f6099a5ca330ef4c38cd57721464f4f540000000001000000000000000200000000000000c6d4de799177ee3f1a15ac19f3\
    96573b2b35ae2f5080df0f6099a5ca330ef4c39c838168687f4904d0848ed3fa4d390608c406307e6a6b2cc1f66ab4937c29d5fd384681";

#[test]
fn recordings_of_before_there_were_runs_are_read_and_written_as_they_were() {
    let digits: Vec<u32> = WITHOUT_RUNS.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect();
    let mut reader = Reader::open(bytes.as_slice()).unwrap();
    let Some(Stored { event: Event::Opened(opened), .. }) = reader.next_event().unwrap() else {
        panic!("the first event opens the session")
    };
    assert_eq!((&*opened.target, &*opened.broker_version, &opened.run, &opened.part), ("shop", "0.0.0", &None, &None));
    let mut again = Vec::new();
    let (mut writer, _) = Writer::begin(&header(), &mut again);
    writer.append(FlowId(0), 0, &Event::Opened(opened)).unwrap();
    let closed = Closed { reason: "client".into(), counters: vec![] };
    writer.append(FlowId(0), 9, &Event::Closed(closed)).unwrap();
    let _root = writer.finish(&mut again);
    assert!(again == bytes, "a session without a run is written as before");
    while reader.next_event().unwrap().is_some() {}
    assert_eq!(reader.verified().unwrap().end, End::Clean);
}
