//! HTTP exchanges and conversations, as lines.

use std::collections::HashMap;

use sluice_model::OpId;
use sluice_recording::{Asked, Shown};

use super::Replayer;
use super::trace::CALL;

/// Shows answers as they came: heads as they are, streamed text as text.
#[derive(Debug, Default)]
pub(crate) struct HttpReplay {
    answers: HashMap<OpId, sluice_http::Replay>,
}

impl Replayer for HttpReplay {
    fn asked(&mut self, asked: &Asked<'_>) -> Option<Vec<String>> {
        let request = asked.action != CALL && asked.op != OpId::CONNECT;
        request.then(|| shown(&sluice_http::replay_asked(&String::from_utf8_lossy(asked.text.0))))
    }

    fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<String> {
        answered(&self.answers.entry(op).or_default().to_client(bytes))
    }

    fn done(&mut self, op: OpId) -> Vec<String> {
        answered(&self.answers.remove(&op).map(sluice_http::Replay::done).unwrap_or_default())
    }
}

/// Lines of an answer, with a mark that what the broker says has not.
fn answered(lines: &[String]) -> Vec<String> {
    shown(lines).into_iter().map(|line| format!("| {line}")).collect()
}

/// Lines that are harmless for a terminal.
fn shown(lines: &[String]) -> Vec<String> {
    let lines = lines.iter().flat_map(|line| line.lines());
    lines.map(|line| Shown(line.as_bytes()).to_string()).collect()
}
