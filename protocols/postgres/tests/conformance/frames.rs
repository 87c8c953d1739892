//! Frames that no peer should send: cut anywhere they are the same, and the machine takes them without a panic.

use bytes::BytesMut;
use sluice_postgres::Codec;
use sluice_wire::conformance::{Judge, Move, Rig, Subject as _, Talk, mutant};
use sluice_wire::{Codec as _, Frame as _, Side};

use crate::server::message;
use crate::subject::PostgresSubject;

/// Copying to and from the client has begun.
const TAKES: (&[u8], u8) = (b"copy orders from stdin\0", b'G');
const GIVES: (&[u8], u8) = (b"copy orders to stdout\0", b'H');

/// What real conversations say, to make others of.
pub(crate) struct Frames {
    client: Vec<Vec<u8>>,
    server: Vec<Vec<u8>>,
}

impl Frames {
    pub(crate) fn new() -> Self {
        let talks: Vec<Talk> = PostgresSubject::talks().into_iter().chain(PostgresSubject::carrying()).collect();
        let client = talks.into_iter().flat_map(|talk| talk.moves).filter_map(|said| match said {
            Move::Client(bytes) => Some(bytes),
            Move::Server(_) => None,
        });
        let row = [&[0, 1, 0, 0, 0, 2][..], b"42"].concat();
        let column =
            [&[0, 1][..], b"id\0", &20_001_u32.to_be_bytes(), &[0, 1, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]];
        let server = vec![
            [message(b'T', &column.concat()), message(b'D', &row), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")]
                .concat(),
            [message(b'1', b""), message(b'2', b""), message(b't', &[0, 0]), message(b'n', b""), message(b's', b"")]
                .concat(),
            [message(b'E', b"SERROR\0C22012\0Mno\0\0"), message(b'N', b"SNOTICE\0C00000\0Mx\0\0"), message(b'Z', b"E")]
                .concat(),
            [
                message(b'H', &[0, 0, 1, 0, 0]),
                message(b'd', b"1\tx\\n\n"),
                message(b'c', b""),
                message(b'C', b"COPY 1\0"),
            ]
            .concat(),
            [message(b'S', b"TimeZone\0UTC\0"), message(b'A', b"\0\0\0\x07news\0x\0"), message(b'I', b"")].concat(),
        ];
        Self { client: client.collect(), server }
    }

    /// A client says anything.
    pub(crate) fn of_client(&self, script: &[u8]) {
        let bytes = mutant(&self.client, script);
        cut_anywhere(Side::Client, &bytes, script);
        let mut rig = Rig::<PostgresSubject>::new(Judge::allow_all());
        rig.deliver(Side::Client, &bytes).unwrap();
        let mut rig = Rig::<PostgresSubject>::new(Judge::deny_all());
        rig.deliver(Side::Client, &bytes).unwrap();
    }

    /// A server answers anything.
    pub(crate) fn of_server(&self, script: &[u8]) {
        let bytes = mutant(&self.server, script);
        cut_anywhere(Side::Server, &bytes, script);
        for asked in &self.client {
            let mut rig = Rig::<PostgresSubject>::new(Judge::allow_all());
            rig.deliver(Side::Client, asked).unwrap();
            rig.deliver(Side::Server, &bytes).unwrap();
        }
    }

    /// What is copied is anything: where no mask is due it arrives as it was sent, both ways.
    pub(crate) fn copied(&self, script: &[u8]) {
        let piece = usize::from(script.first().copied().unwrap_or(0) % 9) + 1;
        let rows: Vec<u8> = script.chunks(7).flat_map(|rows| message(b'd', rows)).collect();
        for (from, (text, begins)) in [(Side::Client, TAKES), (Side::Server, GIVES)] {
            let mut rig = Rig::<PostgresSubject>::new(Judge::allow_all());
            rig.deliver(Side::Client, &message(b'Q', text)).unwrap();
            rig.deliver(Side::Server, &message(begins, &[0, 0, 2, 0, 0, 0, 0])).unwrap();
            let _begun = rig.take_sent(from.other());
            for part in rows.chunks(piece) {
                rig.deliver(from, part).unwrap();
            }
            assert_eq!(rig.take_sent(from.other()), rows, "what the {from} copies is not what arrives");
            assert!(!rig.is_over());
        }
    }
}

/// Bytes give the same frames, and the same end, however they are cut.
fn cut_anywhere(from: Side, bytes: &[u8], script: &[u8]) {
    let piece = usize::from(script.last().copied().unwrap_or(0) % 13) + 1;
    let (whole, cut) = (read(from, bytes.chunks(bytes.len().max(1))), read(from, bytes.chunks(piece)));
    assert_eq!(whole, cut, "in pieces of {piece} they are others");
    assert!(bytes.starts_with(&whole.0), "frames that are not what was sent");
}

/// The bytes of all frames, and how it ended.
fn read<'b>(from: Side, pieces: impl Iterator<Item = &'b [u8]>) -> (Vec<u8>, Option<&'static str>) {
    let (mut codec, mut unread, mut seen) = (Codec::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match codec.decode(from, &mut unread) {
                Ok(Some(frame)) => seen.extend_from_slice(frame.wire()),
                Ok(None) => break,
                Err(violation) => return (seen, Some(violation.what)),
            }
        }
    }
    (seen, None)
}
