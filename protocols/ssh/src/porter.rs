//! Opens channels at a client, one at a time.
//!
//! The first bytes of a channel may follow its confirmation at once, and only the callback that hears of that knows its
//! number before them. So whoever opens says first which pair the next confirmation is for; and nobody who opens is ever
//! dropped half-way, or that would be another's.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::{mpsc, oneshot};

use crate::frame::Message;
use crate::link::Wire;
use crate::origin::Origin;
use crate::pair::Pair;
use crate::welcome::ARRIVALS;

/// A channel to be opened.
pub(crate) struct Errand {
    pub(crate) origin: Origin,
    pub(crate) pair: Arc<Pair>,
    pub(crate) answer: oneshot::Sender<Result<Wire, Unopened>>,
}

/// Why a client has not taken a channel: a code of RFC 4254 §5.1, and words.
pub(crate) struct Unopened {
    pub(crate) code: u32,
    pub(crate) reason: Box<str>,
}

/// The pair that the next confirmation is for, and whoever waits until it has been taken.
#[derive(Clone, Default)]
pub(crate) struct Berth(Arc<Mutex<Option<Moored>>>);

struct Moored {
    pair: Arc<Pair>,
    _taken: oneshot::Sender<Infallible>,
}

impl Berth {
    /// The pair of a channel that was confirmed. Called at the end of a connection as well, after which none is.
    pub(crate) fn take(&self) -> Option<Arc<Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(|moored| moored.pair)
    }

    /// Leaves a pair; what is returned is ready once it has been taken.
    fn put(&self, pair: Arc<Pair>) -> oneshot::Receiver<Infallible> {
        let (taken, taking) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Moored { pair, _taken: taken });
        taking
    }
}

/// Where errands are brought to, and where they are done.
pub(crate) fn errands() -> (mpsc::Sender<Box<Errand>>, mpsc::Receiver<Box<Errand>>) {
    mpsc::channel(ARRIVALS)
}

/// Does every errand of one client.
pub(crate) async fn serve(handle: Handle, berth: Berth, mut errands: mpsc::Receiver<Box<Errand>>) {
    while let Some(errand) = errands.recv().await {
        let Errand { origin, pair, answer } = *errand;
        let taken = berth.put(pair);
        let opened = open(&handle, origin).await;
        if opened.is_ok() {
            // This may be heard of before the callback is called.
            let _taken = taken.await;
        } else {
            let _unconfirmed = berth.take();
        }
        let opened = opened.map(|channel| {
            // The reading half is a bounded queue that nobody would read: bytes come by the callbacks.
            let (_, write) = channel.split();
            Wire { handle: handle.clone(), write: Arc::new(write) }
        });
        if let Err(Ok(wire)) = answer.send(opened) {
            // Whoever wanted it has gone meanwhile.
            let _gone = wire.write.close().await;
        }
    }
}

async fn open(handle: &Handle, origin: Origin) -> Result<Channel<Msg>, Unopened> {
    let opened = match origin {
        Origin::Tcp { host, port, from, from_port } => {
            handle.channel_open_forwarded_tcpip(host, port, from, from_port).await
        }
        Origin::Socket { path } => handle.channel_open_forwarded_streamlocal(path).await,
        Origin::Agent => handle.channel_open_agent().await,
        Origin::X11 { from, from_port } => handle.channel_open_x11(from, from_port).await,
    };
    opened.map_err(|error| {
        if let russh::Error::ChannelOpenFailure(reason) = error {
            return Unopened { code: reason.code(), reason: told(&reason).into() };
        }
        Unopened { code: Message::CONNECT_FAILED, reason: "the client is gone".into() }
    })
}

const fn told(reason: &ChannelOpenFailure) -> &'static str {
    match reason {
        ChannelOpenFailure::ConnectFailed => "the client cannot connect to it",
        ChannelOpenFailure::AdministrativelyProhibited
        | ChannelOpenFailure::UnknownChannelType
        | ChannelOpenFailure::ResourceShortage
        | ChannelOpenFailure::Other { .. } => "the client does not take it",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::private::Ed25519Keypair;
    use russh::{ChannelId, client, server};

    use super::*;

    /// Notes which pair each confirmation is for, later than it could.
    struct Slow {
        berth: Berth,
        confirmed: mpsc::Sender<(ChannelId, Option<Arc<Pair>>)>,
    }

    impl server::Handler for Slow {
        type Error = russh::Error;

        async fn auth_none(&mut self, _: &str) -> Result<server::Auth, russh::Error> {
            Ok(server::Auth::Accept)
        }

        async fn channel_open_confirmation(
            &mut self,
            channel: ChannelId,
            _: u32,
            _: u32,
            _: &mut server::Session,
        ) -> Result<(), russh::Error> {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let _over = self.confirmed.send((channel, self.berth.take())).await;
            Ok(())
        }
    }

    /// Takes everything but displays.
    struct Client;

    impl client::Handler for Client {
        type Error = russh::Error;

        async fn check_server_key(&mut self, _: &russh::keys::PublicKeyOrCertificate) -> Result<bool, russh::Error> {
            Ok(true)
        }

        async fn server_channel_open_x11(
            &mut self,
            _: Channel<client::Msg>,
            _: &str,
            _: u32,
            _: client::ChannelOpenHandle,
            _: &mut client::Session,
        ) -> Result<(), russh::Error> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_channel_gets_the_pair_that_it_was_opened_for() {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let keys = vec![PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]))];
        let config = Arc::new(server::Config { keys, ..server::Config::default() });
        let (berth, (confirmed, mut confirmations)) = (Berth::default(), mpsc::channel(1));
        let serving = tokio::spawn(server::run_stream(config, ours, Slow { berth: berth.clone(), confirmed }));
        let mut client = client::connect_stream(Arc::default(), theirs, Client).await.unwrap();
        let handle = serving.await.unwrap().unwrap().handle();
        assert!(client.authenticate_none("root").await.unwrap().success());
        let (errands, wanted) = errands();
        tokio::spawn(serve(handle, berth, wanted));
        for _ in 0..3 {
            for (origin, taken) in [(Origin::Agent, true), (Origin::X11 { from: "a".into(), from_port: 1 }, false)] {
                let (pair, (answer, answered)) = (Arc::new(Pair::default()), oneshot::channel());
                errands.send(Box::new(Errand { origin, pair: Arc::clone(&pair), answer })).await.unwrap();
                let opened = answered.await.unwrap();
                assert_eq!(opened.is_ok(), taken);
                let Ok(wire) = opened else { continue };
                let (channel, berthed) = confirmations.recv().await.unwrap();
                assert_eq!(channel, wire.write.id());
                assert!(berthed.is_some_and(|berthed| Arc::ptr_eq(&berthed, &pair)));
            }
        }
    }
}
