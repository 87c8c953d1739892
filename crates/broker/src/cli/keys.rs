//! The viewer's keyboard while a terminal is replayed.

use std::io::{IsTerminal as _, Read as _};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::replay::{Key, Keyboard};

/// Keys that wait to be heard; more are dropped.
const WAITING: usize = 16;

/// The terminal of stdin in raw mode; it is put back when this is dropped.
#[derive(Debug)]
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    fn begin() -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Flush, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// Listens to the keyboard, where there is one, and to what ends a process.
pub(super) fn listen() -> (Option<Raw>, mpsc::Receiver<Key>) {
    let (sender, keys) = mpsc::channel(WAITING);
    let ending = sender.clone();
    tokio::spawn(async move {
        let (terminate, hang_up) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let interrupt = signal(SignalKind::interrupt());
        let (Ok(mut terminate), Ok(mut hang_up), Ok(mut interrupt)) = (terminate, hang_up, interrupt) else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _over = ending.send(Key::Quit).await;
    });
    let raw = Raw::begin();
    if raw.is_some() {
        // A thread of its own: nothing waits for it when the process ends.
        std::thread::spawn(move || {
            let mut keyboard = Keyboard::default();
            for byte in std::io::stdin().lock().bytes() {
                let Ok(byte) = byte else { return };
                let pressed = keyboard.press(byte).map(|key| sender.try_send(key));
                if matches!(pressed, Some(Err(mpsc::error::TrySendError::Closed(_)))) {
                    return;
                }
            }
        });
    }
    (raw, keys)
}
