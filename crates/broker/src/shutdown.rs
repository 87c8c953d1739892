//! Being told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells everybody to stop.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// Is told to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// The two ends of a stop.
pub(crate) fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Tells.
    pub(crate) fn tell(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Ends once told, or once nobody is left who could tell. Safe to abandon.
    pub(crate) async fn told(&mut self) {
        let _either = self.0.wait_for(|told| *told).await;
    }
}

/// The signals that end a broker.
#[derive(Debug)]
pub(crate) struct Endings {
    terminate: Signal,
    interrupt: Signal,
    /// For what runs on a terminal and ends with it; a server reloads instead.
    hangup: Option<Signal>,
}

impl Endings {
    /// Starts to listen: from here on the signals no longer kill the process.
    pub(crate) fn listen() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: None })
    }

    /// The same, and the end of the terminal too.
    pub(crate) fn listen_on_a_terminal() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::listen()? })
    }

    /// The name of the next one. Safe to abandon.
    pub(crate) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hangup => "SIGHUP",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
