//! What a user at a terminal reads.

use sluice_model::{Code, Refusal};
use sluice_wire::HoldNotice;

use crate::frame::{Frame, Message};

/// Exit statuses as shells use them (POSIX XCU 2.8.2; `timeout` of coreutils).
mod status {
    /// A command was found and could not be run.
    pub(super) const REFUSED: u32 = 126;
    /// It took too long.
    pub(super) const EXPIRED: u32 = 124;
    /// `ssh` itself failed.
    pub(super) const LOST: u32 = 255;
}

/// One line about a refusal.
pub(crate) fn line(refusal: &Refusal) -> String {
    let mut line = format!("sluice: {}", printable(&refusal.message));
    if let Some(hint) = &refusal.hint {
        let stop = if line.ends_with(['.', '?', '!']) { "" } else { "." };
        line.push_str(&format!("{stop} {}", printable(hint)));
    }
    line.push_str(&format!(" [rule {}", refusal.rule));
    if let Some(decision) = &refusal.decision {
        line.push_str(&format!(", decision {decision}"));
    }
    line.push(']');
    line
}

/// The lines while people are asked.
pub(crate) fn waiting(notice: &HoldNotice) -> Vec<String> {
    let HoldNotice { id, message, approvers, wait_seconds, .. } = notice;
    let message = printable(message);
    vec![
        format!("sluice: {message} [waiting for {approvers}, {wait_seconds} s at most; Ctrl-C takes it back]"),
        format!("sluice: sluice approvals approve {id}"),
    ]
}

/// Lines for the error stream; a terminal in raw mode needs its carriage returns.
pub(crate) fn lines<'a>(lines: impl IntoIterator<Item = &'a String>) -> Frame {
    let text: String = lines.into_iter().map(|line| format!("{line}\r\n")).collect();
    Frame::stderr(text.as_bytes())
}

/// How a command that was refused ends.
pub(crate) const fn exit(refusal: &Refusal) -> Message {
    let status = if matches!(refusal.code, Code::Expired) {
        status::EXPIRED
    } else if matches!(refusal.code, Code::Unavailable) {
        status::LOST
    } else {
        status::REFUSED
    };
    Message::ExitStatus(status)
}

/// Nothing that a terminal would take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}
