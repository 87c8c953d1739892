//! What a user at a terminal reads.

use sluice_model::{Code, Obligations, Refusal};
use sluice_wire::HoldNotice;

use crate::frame::Frame;

/// The exit status of a command that was found and could not be run (POSIX XCU 2.8.2).
pub(crate) const REFUSED: u32 = 126;
/// It took too long (`timeout` of coreutils).
const EXPIRED: u32 = 124;
/// `ssh` itself failed.
const LOST: u32 = 255;

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

/// The line about a request that was refused because it waits for people, and stands.
pub(crate) fn pending(notice: &HoldNotice, what: &str) -> String {
    let HoldNotice { id, message, approvers, wait_seconds, .. } = notice;
    let (message, what) = (printable(message), printable(what));
    format!(
        "sluice: {message} [{what} waits for {approvers}: sluice approvals approve {id}; ask for it again after that, \
         within {wait_seconds} s]"
    )
}

/// Lines for the error stream; a terminal in raw mode needs its carriage returns.
pub(crate) fn lines<'a>(lines: impl IntoIterator<Item = &'a String>) -> Frame {
    let text: String = lines.into_iter().map(|line| format!("{line}\r\n")).collect();
    Frame::stderr(text.as_bytes())
}

/// The exit status of a command that was refused.
pub(crate) const fn status(refusal: &Refusal) -> u32 {
    if matches!(refusal.code, Code::Expired) {
        EXPIRED
    } else if matches!(refusal.code, Code::Unavailable) {
        LOST
    } else {
        REFUSED
    }
}

/// It is not in the one form in which places are decided on.
pub(crate) fn unplaced() -> Refusal {
    Refusal::builtin(Code::NotUnderstood, "place", "it is no place, or written as places are not written here").with_hint(
        "Write a name in small letters, an address as `127.0.0.1` or `::1`, and the path of a socket whole, without \
         `.`, `..` and `//`.",
    )
}

/// Nobody looks into it.
pub(crate) fn unmaskable() -> Refusal {
    let why = "values are masked here, and what is sent here cannot be looked into";
    Refusal::builtin(Code::Unsupported, "unmaskable", why)
        .with_hint("It is for whoever a policy permits to `reveal` all values of this target.")
}

/// The same of a copy by a protocol that is not looked into.
pub(crate) fn unmaskable_copy() -> Refusal {
    unmaskable().with_hint(
        "Use sftp, or scp without -O; this is for whoever a policy permits to `reveal` all values of this target.",
    )
}

/// Nothing here counts rows or bytes of a result.
pub(crate) fn unlimitable(obligations: &Obligations) -> Option<Refusal> {
    let why = "a policy limits results, which SSH has not";
    obligations.controls.limits_results().then(|| Refusal::builtin(Code::Unsupported, "unlimitable", why))
}

/// Nothing that a terminal would take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}
