#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sluice_wire::{Side, Violation};

use super::*;

fn string() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn attrs() -> impl Strategy<Value = Attrs> {
    let pair = (any::<u32>(), any::<u32>());
    let extended = proptest::collection::vec((string(), string()), 0..3);
    let all =
        (any::<Option<u64>>(), proptest::option::of(pair), any::<Option<u32>>(), any::<Option<(u32, u32)>>(), extended);
    all.prop_map(|(size, owner, permissions, times, extended)| Attrs { size, owner, permissions, times, extended })
}

fn extended() -> impl Strategy<Value = Extended> {
    prop_oneof![
        (string(), string()).prop_map(|(from, to)| Extended::PosixRename { from, to }),
        string().prop_map(|path| Extended::Statvfs { path }),
        string().prop_map(|handle| Extended::Fstatvfs { handle }),
        (string(), string()).prop_map(|(from, to)| Extended::Hardlink { from, to }),
        string().prop_map(|handle| Extended::Fsync { handle }),
        (string(), attrs()).prop_map(|(path, attrs)| Extended::Lsetstat { path, attrs }),
        Just(Extended::Limits),
        (string(), string()).prop_map(|(name, data)| Extended::Other { name, data }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let pairs = proptest::collection::vec((string(), string()), 0..3);
    let flags = (0u32..64).prop_map(|bits| OpenFlags::new(bits).unwrap());
    prop_oneof![
        (any::<u32>(), pairs).prop_map(|(version, extensions)| Request::Init { version, extensions }),
        (string(), flags, attrs()).prop_map(|(path, flags, attrs)| Request::Open { path, flags, attrs }),
        string().prop_map(|handle| Request::Close { handle }),
        (string(), any::<u64>(), any::<u32>()).prop_map(|(handle, offset, length)| Request::Read {
            handle,
            offset,
            length
        }),
        (string(), any::<u64>(), string()).prop_map(|(handle, offset, data)| Request::Write { handle, offset, data }),
        string().prop_map(|path| Request::Lstat { path }),
        string().prop_map(|handle| Request::Fstat { handle }),
        (string(), attrs()).prop_map(|(path, attrs)| Request::Setstat { path, attrs }),
        (string(), attrs()).prop_map(|(handle, attrs)| Request::Fsetstat { handle, attrs }),
        string().prop_map(|path| Request::Opendir { path }),
        string().prop_map(|handle| Request::Readdir { handle }),
        string().prop_map(|path| Request::Remove { path }),
        (string(), attrs()).prop_map(|(path, attrs)| Request::Mkdir { path, attrs }),
        string().prop_map(|path| Request::Rmdir { path }),
        string().prop_map(|path| Request::Realpath { path }),
        string().prop_map(|path| Request::Stat { path }),
        (string(), string()).prop_map(|(from, to)| Request::Rename { from, to }),
        string().prop_map(|path| Request::Readlink { path }),
        (string(), string()).prop_map(|(target, link)| Request::Symlink { target, link }),
        extended().prop_map(Request::Extended),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    let pairs = proptest::collection::vec((string(), string()), 0..3);
    let entry = (string(), string(), attrs()).prop_map(|(name, long, attrs)| Entry { name, long, attrs });
    let codes = [Code::Ok, Code::Eof, Code::NoSuchFile, Code::PermissionDenied, Code::Failure, Code::Unsupported];
    prop_oneof![
        (any::<u32>(), pairs).prop_map(|(version, extensions)| Reply::Version { version, extensions }),
        (proptest::sample::select(codes.to_vec()), string(), string())
            .prop_map(|(code, message, language)| Reply::Status { code, message, language }),
        string().prop_map(Reply::Handle),
        string().prop_map(Reply::Data),
        proptest::collection::vec(entry, 0..4).prop_map(Reply::Name),
        attrs().prop_map(Reply::Attrs),
        string().prop_map(Reply::Extended),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(id in any::<u32>(), request in request(), reply in reply()) {
        let (read_id, read) = Request::parse(&request.encode(id)).unwrap();
        prop_assert_eq!(read_id, (!matches!(request, Request::Init { .. })).then_some(id));
        prop_assert_eq!(read, request);
        let (read_id, read) = Reply::parse(&reply.encode(id)).unwrap();
        prop_assert_eq!(read_id, (!matches!(reply, Reply::Version { .. })).then_some(id));
        prop_assert_eq!(read, reply);
    }

    /// So a packet that was read can be forwarded as it is.
    #[test]
    fn what_can_be_read_has_one_form(request in request(), reply in reply(), place in 5usize..60, byte in any::<u8>()) {
        let damage = |packet: Bytes| {
            let mut packet = packet.to_vec();
            packet.get_mut(place).into_iter().for_each(|damaged| *damaged = byte);
            Bytes::from(packet)
        };
        let packet = damage(request.encode(7));
        if let Ok((id, request)) = Request::parse(&packet) {
            prop_assert_eq!(request.encode(id.unwrap_or_default()), packet);
        }
        let packet = damage(reply.encode(7));
        if let Ok((id, reply)) = Reply::parse(&packet) {
            prop_assert_eq!(reply.encode(id.unwrap_or_default()), packet);
        }
    }

    #[test]
    fn bytes_behind_or_missing_are_an_error(request in request(), cut in 1usize..8) {
        let open_ended = matches!(request, Request::Init { .. } | Request::Extended(Extended::Other { .. }));
        let packet = request.encode(7);
        let longer: Bytes = [&packet[..], &[0]].concat().into();
        prop_assert!(open_ended || Request::parse(&longer).is_err());
        let shorter = packet.slice(..packet.len() - cut.min(packet.len() - 5));
        prop_assert!(open_ended || Request::parse(&shorter).is_err());
    }
}

#[test]
fn packets_have_a_limit_and_a_type() {
    let limit = u32::try_from(MAX_PACKET).unwrap();
    let too_long = packet(Side::Client, &mut BytesMut::from(&(limit + 1).to_be_bytes()[..]));
    assert_eq!(too_long, Err(Violation::client("packet is larger than its limit")));
    assert_eq!(packet(Side::Client, &mut BytesMut::from(&limit.to_be_bytes()[..])), Ok(None));
    assert_eq!(packet(Side::Server, &mut BytesMut::from(&[0; 4][..])), Err(Violation::server("empty packet")));
    for kind in [0u8, 2, 21, 99, 101, 199, 201, 255] {
        let bytes = Bytes::from(vec![0, 0, 0, 5, kind, 0, 0, 0, 1]);
        assert!(Request::parse(&bytes).is_err(), "{kind}");
    }
    for kind in [0u8, 1, 3, 100, 106, 200, 202] {
        let bytes = Bytes::from(vec![0, 0, 0, 5, kind, 0, 0, 0, 1]);
        assert!(Reply::parse(&bytes).is_err(), "{kind}");
    }
}

#[test]
fn unknown_flags_are_an_error() {
    let mut open =
        Request::Open { path: Bytes::new(), flags: OpenFlags::READ, attrs: Attrs::default() }.encode(1).to_vec();
    assert!(Request::parse(&open.clone().into()).is_ok());
    open.iter_mut().skip(16).take(1).for_each(|byte| *byte = 0x41);
    assert_eq!(Request::parse(&open.into()).unwrap_err().what, "unknown open flags");
    let mut attrs = Reply::Attrs(Attrs::default()).encode(1).to_vec();
    attrs.iter_mut().skip(12).take(1).for_each(|byte| *byte = 0x10);
    assert_eq!(Reply::parse(&attrs.into()).unwrap_err().what, "unknown attribute flags");
}
