//! Channels as lines: what was asked for, and what was shown.

use std::collections::HashMap;

use bytes::Bytes;
use sluice_model::OpId;
use sluice_recording::Shown;
use sluice_ssh::{Frame, Message};

use super::Replayer;

/// Shows output by the line, and how programs ended.
#[derive(Debug, Default)]
pub(crate) struct SshReplay {
    open: HashMap<OpId, Streams>,
}

/// Lines that have not ended yet.
#[derive(Debug, Default)]
struct Streams {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Replayer for SshReplay {
    fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<String> {
        let streams = self.open.entry(op).or_default();
        match Frame::recorded(&Bytes::copy_from_slice(bytes)) {
            Some(Frame::Data(payload)) => lines(&mut streams.stdout, &payload.bytes()),
            Some(Frame::Stderr(payload)) => lines(&mut streams.stderr, &payload.bytes()),
            Some(Frame::Message(Message::ExitStatus(status), _)) => vec![format!("exit status {status}")],
            Some(Frame::Message(Message::ExitSignal { name, .. }, _)) => vec![format!("ended by signal {name}")],
            Some(Frame::Message(..) | Frame::Quiet) | None => Vec::new(),
        }
    }

    fn done(&mut self, op: OpId) -> Vec<String> {
        let Some(streams) = self.open.remove(&op) else { return Vec::new() };
        [streams.stdout, streams.stderr].into_iter().filter(|rest| !rest.is_empty()).map(|rest| shown(&rest)).collect()
    }
}

/// Takes whole lines out.
fn lines(open: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    open.extend_from_slice(bytes);
    let Some(end) = open.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let rest = open.split_off(end.saturating_add(1));
    let whole = std::mem::replace(open, rest);
    whole.split_inclusive(|byte| *byte == b'\n').map(shown).collect()
}

/// A line that is harmless for a terminal.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Shown(line.strip_suffix(b"\r").unwrap_or(line)).to_string()
}
