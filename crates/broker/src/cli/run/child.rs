//! The command itself: started, told of signals, waited for.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::task::Poll;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::environment::Variables;
use crate::cli::output::hint;

/// As shells say it: the command is there and cannot be run, or is not there.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The signals that are passed on.
const PASSED_ON: [(SignalKind, Signal); 6] = [
    (SignalKind::interrupt(), Signal::INT),
    (SignalKind::terminate(), Signal::TERM),
    (SignalKind::hangup(), Signal::HUP),
    (SignalKind::quit(), Signal::QUIT),
    (SignalKind::user_defined1(), Signal::USR1),
    (SignalKind::user_defined2(), Signal::USR2),
];

/// Signals that were listened for since before the token was minted.
pub(super) struct Signals(Vec<(tokio::signal::unix::Signal, Signal)>);

impl Signals {
    /// Starts to listen: from here on they no longer kill this process.
    pub(super) fn listen() -> io::Result<Self> {
        let listened = PASSED_ON.into_iter().map(|(kind, passed)| Ok((signal(kind)?, passed)));
        Ok(Self(listened.collect::<io::Result<_>>()?))
    }

    /// The next one. Safe to abandon.
    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            let mut all = self.0.iter_mut();
            let ready = all.find_map(|(signal, passed)| signal.poll_recv(cx).is_ready().then_some(*passed));
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Runs a command to its end; its exit code, or 128 and the signal that ended it.
pub(super) async fn run(
    program: &OsString,
    arguments: &[OsString],
    variables: &Variables,
    mut signals: Signals,
) -> Result<u8> {
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in variables.iter() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            hint(format_args!("sluice: `{}` cannot be run: {error}", program.display()));
            return Ok(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    loop {
        tokio::select! {
            status = child.wait() => return Ok(code(status.context("the command cannot be waited for")?)),
            signal = signals.next() => pass_on(&child, signal),
        }
    }
}

fn pass_on(child: &Child, signal: Signal) {
    // A terminal has told the command itself, and being told twice is something else for many programs.
    let typed = matches!(signal, Signal::INT | Signal::QUIT) && in_foreground();
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let (false, Some(id)) = (typed, id) {
        // It has not been waited for, so that its id is nobody else's.
        let _gone = kill_process(id, signal);
    }
}

/// Whether what is typed at the terminal goes to this process and its command.
fn in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

fn code(status: ExitStatus) -> u8 {
    let signalled = || status.signal().map(|signal| signal.saturating_add(128));
    status.code().or_else(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
