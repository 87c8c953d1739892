//! Recorded frames as lines that people read: what the client saw, statement by statement.

use std::collections::HashMap;

use bytes::BytesMut;
use sluice_model::OpId;
use sluice_wire::{Codec as _, Frame as _, Side};

use crate::codec::Codec;
use crate::frame::{Fields, Frame};

/// One line of a replay. Values are exactly what was recorded; whoever prints them makes them harmless first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// The names of a result's columns.
    Columns(Vec<String>),
    /// One row; `None` is NULL.
    Row(Vec<Option<Vec<u8>>>),
    /// Data of a COPY to the client.
    Copied(Vec<u8>),
    /// A command tag such as `SELECT 3`.
    Complete(String),
    /// An error or notice: severity, SQLSTATE, message, hint.
    Report { severity: String, sqlstate: String, message: String, hint: Option<String> },
    /// What follows could not be read: the recording was cut here, or a server sent it so.
    Unreadable,
}

/// Turns recorded frames to lines. Frames of one operation may be recorded in pieces, and cut at its cap.
#[derive(Debug, Default)]
pub struct Replay {
    pieces: HashMap<OpId, (Codec, BytesMut)>,
}

impl Replay {
    /// Takes bytes that went to the client under an operation.
    pub fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<Line> {
        let (codec, buffer) = self.pieces.entry(op).or_default();
        buffer.extend_from_slice(bytes);
        let mut lines = Vec::new();
        loop {
            match codec.decode(Side::Server, buffer) {
                Ok(Some(frame)) => lines.extend(read(&frame)),
                Ok(None) => return lines,
                Err(_) => {
                    self.pieces.remove(&op);
                    lines.push(Line::Unreadable);
                    return lines;
                }
            }
        }
    }

    /// An operation is done: what is left of it was cut off.
    pub fn done(&mut self, op: OpId) -> Option<Line> {
        let (_, rest) = self.pieces.remove(&op)?;
        (!rest.is_empty()).then_some(Line::Unreadable)
    }
}

fn read(frame: &Frame) -> Vec<Line> {
    match frame.tag() {
        b'D' => run(frame, row),
        b'd' => run(frame, |body| Some(Line::Copied(body.to_vec()))),
        b'T' => vec![columns(frame.body()).unwrap_or(Line::Unreadable)],
        b'C' => vec![Line::Complete(text(frame.body().strip_suffix(&[0]).unwrap_or_default()))],
        b'E' | b'N' => vec![report(frame.body()).unwrap_or(Line::Unreadable)],
        _ => Vec::new(),
    }
}

/// The bodies of a run of frames; a piece of a very large row is not shown.
fn run(frame: &Frame, show: impl Fn(&[u8]) -> Option<Line>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = frame.wire();
    while let Some((header, after)) = rest.split_at_checked(Frame::HEADER) {
        let length = header.get(1..).and_then(|length| length.try_into().ok()).map_or(0, u32::from_be_bytes);
        let body = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(4);
        let Some((body, next)) = after.split_at_checked(body) else { break };
        lines.push(show(body).unwrap_or(Line::Unreadable));
        rest = next;
    }
    if !rest.is_empty() {
        lines.push(Line::Unreadable);
    }
    lines
}

fn row(body: &[u8]) -> Option<Line> {
    let mut fields = Fields::of_server(body);
    let count = fields.u16().ok()?;
    let values = (0..count).map(|_| Some(fields.value().ok()?.map(<[u8]>::to_vec))).collect::<Option<Vec<_>>>()?;
    Some(Line::Row(values))
}

fn columns(body: &[u8]) -> Option<Line> {
    let mut fields = Fields::of_server(body);
    let count = fields.u16().ok()?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(text(fields.cstr().ok()?));
        let _origin_and_type: [u8; 18] = fields.bytes().ok()?;
    }
    Some(Line::Columns(names))
}

fn report(body: &[u8]) -> Option<Line> {
    let mut fields = Fields::of_server(body);
    let (mut severity, mut sqlstate, mut message, mut hint) = (String::new(), String::new(), String::new(), None);
    loop {
        let code = fields.u8().ok()?;
        if code == 0 {
            return Some(Line::Report { severity, sqlstate, message, hint });
        }
        let value = text(fields.cstr().ok()?);
        match code {
            b'S' => severity = value,
            b'C' => sqlstate = value,
            b'M' => message = value,
            b'H' => hint = Some(value),
            _ => {}
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::message::{Report, query};
    use bytes::BufMut;

    fn row_of(value: &'static [u8]) -> Frame {
        Frame::build(b'D', |out| {
            out.put_u16(2);
            out.put_i32(-1);
            out.put_u32(3);
            out.put_slice(value);
        })
    }

    #[test]
    fn rows_are_read_whatever_the_pieces() {
        let bytes = [row_of(b"abc").wire(), row_of(b"def").wire()].concat();
        let expect = [b"abc", b"def"].map(|value| Line::Row(vec![None, Some(value.to_vec())]));
        for cut in 0..bytes.len() {
            let (mut replay, mut lines) = (Replay::default(), Vec::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                lines.extend(replay.to_client(OpId(1), piece));
            }
            assert_eq!(lines, expect, "cut at {cut}");
            assert_eq!(replay.done(OpId(1)), None);
        }
    }

    #[test]
    fn a_cut_recording_says_so() {
        let mut replay = Replay::default();
        let bytes = row_of(b"abc");
        assert_eq!(replay.to_client(OpId(1), &bytes.wire()[..9]), []);
        assert_eq!(replay.done(OpId(1)), Some(Line::Unreadable));
        assert_eq!(replay.to_client(OpId(2), query(b"x").wire()), [Line::Unreadable]);
    }

    #[test]
    fn an_error_shows_its_fields() {
        let report = Report {
            severity: "ERROR",
            sqlstate: "42501",
            message: "no",
            detail: None,
            hint: Some("ask"),
            position: None,
        };
        let lines = Replay::default().to_client(OpId(1), report.error().wire());
        let expect = Line::Report {
            severity: "ERROR".into(),
            sqlstate: "42501".into(),
            message: "no".into(),
            hint: Some("ask".into()),
        };
        assert_eq!(lines, [expect]);
    }
}
