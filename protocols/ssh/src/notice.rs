//! Channels that lead nowhere: they say why, or what there is instead.

use std::future::poll_fn;

use sluice_model::{Code, Refusal};
use sluice_wire::Side;

use crate::door::Opened;
use crate::frame::{Frame, Message};
use crate::refusal;

/// What is said instead of running anything.
#[derive(Debug)]
pub(crate) struct Notice {
    frames: Vec<Frame>,
}

impl Notice {
    /// Why there is no session.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        Self { frames: vec![refusal::lines([&refusal::line(refusal)]), refusal::exit(refusal).into()] }
    }

    /// The names of targets.
    pub(crate) fn targets<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut list: Vec<&str> = names.collect();
        list.sort_unstable();
        let text = if list.is_empty() {
            "There is no host that you may use.\r\n".to_owned()
        } else {
            let lines: String = list.iter().map(|name| format!("  {name}\r\n")).collect();
            format!("Hosts that you may use, as ssh LOGIN+HOST@BROKER:\r\n{lines}")
        };
        Self { frames: vec![Frame::data(text.as_bytes()), Message::ExitStatus(0).into()] }
    }
}

/// The target is not configured as one that speaks SSH.
pub(crate) fn unserved() -> Refusal {
    Refusal::builtin(Code::Unavailable, "target", "the target cannot be reached by SSH at the moment")
}

/// The credential signs in as somebody else.
pub(crate) fn no_such_login(login: &str) -> Refusal {
    Refusal::builtin(Code::Policy, "no-such-login", format!("there is no login `{login}` at this target"))
        .with_hint("Leave the login out, or ask an administrator which ones there are.")
}

/// Says it to whoever asks for a command or a shell; a forward is refused by dropping it.
pub(crate) async fn show(notice: &Notice, opened: Opened) {
    let Opened { pair, wire, opening } = opened;
    if opening.is_some() {
        return;
    }
    let mut told = false;
    while let Ok(Some(item)) = poll_fn(|cx| pair.poll_next(Side::Client, cx)).await {
        let Frame::Message(message, _) = item.frame else { continue };
        if matches!(message, Message::Close) {
            break;
        }
        let terminal = matches!(message, Message::Pty { .. });
        if !terminal && !matches!(message, Message::Shell | Message::Exec(_)) {
            continue;
        }
        if let Some(reply) = item.reply {
            reply.accept();
        }
        if terminal || told {
            continue;
        }
        told = true;
        let ends = [Message::Eof, Message::Close].map(Frame::from);
        for frame in notice.frames.iter().cloned().chain(ends) {
            if let Some(sending) = wire.send(frame)
                && sending.await.is_err()
            {
                return;
            }
        }
    }
    pair.end(Side::Client);
}
