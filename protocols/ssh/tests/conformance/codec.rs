//! The messages of one channel as bytes: what stands for SSH's transport in the tests.
//!
//! Bytes of the main stream stand for themselves, behind `\x10` where they are one of the marks. A byte of the error
//! stream stands behind `\x0e`. A message stands behind `\x11` and its length; one of no length is the moment in which
//! a server says nothing. So streams may be cut anywhere, as SSH's are, and messages are whole.

use bytes::{Buf as _, Bytes, BytesMut};
use sluice_ssh::{Frame, Message};
use sluice_wire::conformance::Phase;
use sluice_wire::{Frame as _, Side, Violation};

const STDERR: u8 = 0x0e;
const LITERAL: u8 = 0x10;
const MESSAGE: u8 = 0x11;

/// The most bytes of a message, with its mark and its length.
pub(crate) const MESSAGE_BYTES: usize = 3 + u16::MAX as usize;

/// One side of one channel.
#[derive(Debug, Default)]
pub(crate) struct Codec {
    /// The channel is over for its client: it was closed by it, or never opened.
    over: bool,
}

impl Codec {
    pub(crate) fn phase(&self) -> Phase {
        if self.over { Phase::Over } else { Phase::Open }
    }
}

impl sluice_wire::Codec for Codec {
    type Frame = Frame;

    fn decode(&mut self, from: Side, buf: &mut BytesMut) -> Result<Option<Frame>, Violation> {
        if self.over {
            return Ok(None);
        }
        let frame = next(buf).map_err(|what| Violation { side: from, what })?;
        self.over |= from == Side::Client && matches!(frame, Some(Frame::Message(Message::Close, _)));
        Ok(frame)
    }

    fn encode(&mut self, frame: Frame) -> Bytes {
        self.over |= matches!(frame, Frame::Message(Message::OpenFailed { .. }, _));
        encoded(&frame).into()
    }
}

/// The frame at the front; of a stream as much as there is.
fn next(buf: &mut BytesMut) -> Result<Option<Frame>, &'static str> {
    match buf.first() {
        None => Ok(None),
        Some(&MESSAGE) => message(buf),
        Some(&STDERR) => {
            let mut content = Vec::new();
            while let [STDERR, byte, ..] = **buf {
                content.push(byte);
                buf.advance(2);
            }
            Ok((!content.is_empty()).then(|| Frame::stderr(&content)))
        }
        Some(_) => {
            let mut content = Vec::new();
            loop {
                match **buf {
                    [LITERAL, byte, ..] => {
                        content.push(byte);
                        buf.advance(2);
                    }
                    [LITERAL | MESSAGE | STDERR, ..] | [] => break,
                    [byte, ..] => {
                        content.push(byte);
                        buf.advance(1);
                    }
                }
            }
            Ok((!content.is_empty()).then(|| Frame::data(&content)))
        }
    }
}

fn message(buf: &mut BytesMut) -> Result<Option<Frame>, &'static str> {
    let [_, high, low, ..] = **buf else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if buf.len() < length + 3 {
        return Ok(None);
    }
    let wire = buf.split_to(length + 3).split_off(3).freeze();
    match Frame::recorded(&wire) {
        None if wire.is_empty() => Ok(Some(Frame::Quiet)),
        Some(frame @ Frame::Message(..)) => Ok(Some(frame)),
        None | Some(Frame::Data(_) | Frame::Stderr(_) | Frame::Quiet) => Err("it is no message"),
    }
}

/// A frame as bytes.
pub(crate) fn encoded(frame: &Frame) -> Vec<u8> {
    match frame {
        Frame::Data(payload) => {
            let mark = |byte: u8| [STDERR, LITERAL, MESSAGE].contains(&byte).then_some(LITERAL);
            payload.bytes().iter().flat_map(|byte| mark(*byte).into_iter().chain([*byte])).collect()
        }
        Frame::Stderr(payload) => payload.bytes().iter().flat_map(|byte| [STDERR, *byte]).collect(),
        Frame::Message(..) | Frame::Quiet => {
            let wire = frame.wire();
            let length = u16::try_from(wire.len()).expect("a message of a test is short").to_be_bytes();
            [&[MESSAGE], &length[..], wire].concat()
        }
    }
}

/// Every whole frame of some bytes.
pub(crate) fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut unread = BytesMut::from(bytes);
    std::iter::from_fn(|| next(&mut unread).ok().flatten()).collect()
}
