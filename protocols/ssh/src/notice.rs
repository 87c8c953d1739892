//! Channels that lead nowhere: they say why, or what there is instead.

use std::future::poll_fn;

use russh::ChannelOpenFailure;
use sluice_model::{Code, Refusal};
use sluice_wire::Side;

use crate::call::Opened;
use crate::frame::{Frame, Message};
use crate::refusal;

/// What is said instead of running anything.
#[derive(Debug)]
pub(crate) struct Notice {
    words: Frame,
    /// Why a forward is not opened.
    reason: String,
    /// The exit status of a shell that was asked for.
    shell: u32,
    /// The exit status of a command, which has not run.
    command: u32,
}

impl Notice {
    /// Why there is no session.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let (status, reason) = (refusal::status(refusal), refusal::line(refusal));
        Self { words: refusal::lines([&reason]), reason, shell: status, command: status }
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
        let reason = "sluice: the connection is to no host".to_owned();
        Self { words: Frame::data(text.as_bytes()), reason, shell: 0, command: refusal::REFUSED }
    }

    /// Everything that is said to a shell or a command.
    fn said_to(&self, message: &Message) -> [Frame; 4] {
        let status = if matches!(message, Message::Exec(_)) { self.command } else { self.shell };
        let [exit, eof, close] = [Message::ExitStatus(status), Message::Eof, Message::Close].map(Frame::from);
        [self.words.clone(), exit, eof, close]
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

/// The target is another host by now than the one that the session is at, or is signed in to in another way.
pub(crate) fn moved() -> Refusal {
    Refusal::builtin(Code::Unavailable, "target-changed", "the target has changed since this connection began")
        .with_hint("Connect again.")
}

/// Says it to whoever asks for a command, a shell or a forward.
pub(crate) async fn show(notice: &Notice, opened: Opened) {
    let Opened { pair, wire, opening } = opened;
    if let Some(opening) = opening {
        let reason = notice.reason.clone();
        opening.reject(ChannelOpenFailure::Other { code: Message::PROHIBITED, reason }).await;
        return pair.end(Side::Client);
    }
    let mut told = false;
    while let Ok(Some(item)) = poll_fn(|cx| pair.poll_next(Side::Client, cx)).await {
        let Frame::Message(message, _) = item.frame else { continue };
        if message == Message::Close {
            break;
        }
        let starts = matches!(message, Message::Shell | Message::Exec(_));
        if !starts && !matches!(message, Message::Pty { .. }) {
            continue;
        }
        if let Some(reply) = item.reply {
            reply.accept();
        }
        if told || !starts {
            continue;
        }
        told = true;
        for frame in notice.said_to(&message) {
            if let Some(sending) = wire.send(frame)
                && sending.await.is_err()
            {
                break;
            }
        }
    }
    pair.end(Side::Client);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(notice: &Notice, message: &Message) -> u32 {
        let said = notice.said_to(message);
        let status = said.iter().find_map(|frame| {
            if let Frame::Message(Message::ExitStatus(status), _) = frame { Some(*status) } else { None }
        });
        status.unwrap_or(u32::MAX)
    }

    #[test]
    fn a_command_that_meets_a_list_has_not_gone_well() {
        let list = Notice::targets(["web", "db"].into_iter());
        assert_eq!(status(&list, &Message::Shell), 0);
        assert_eq!(status(&list, &Message::Exec("reboot".into())), 126);
        let refused = Notice::refused(&unserved());
        assert_eq!(status(&refused, &Message::Shell), 255);
        assert_eq!(status(&refused, &Message::Exec("reboot".into())), 255);
    }
}
