//! Accepting connections: the loop never does a handshake and never ends before it is told to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_kernel::Kernel;
use sluice_wire::{FlowError, Io, Peer, Room};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::admission::{Admission, Guest};
use crate::protocols::Server;
use crate::shutdown::Stop;
use crate::watched::{ALL_AHEAD, watched};

/// The first pause after an accept that failed; doubled up to [`LONGEST_PAUSE`] while it goes on failing.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One listening socket and the protocol spoken on it.
pub(crate) struct Listener {
    socket: TcpListener,
    name: &'static str,
    server: Arc<dyn Server>,
    kernel: Arc<Kernel>,
    admission: Arc<Admission>,
    /// For what is read of clients to see whether they are there.
    ahead: Arc<Room<IpAddr>>,
}

impl Listener {
    /// Binds an address.
    pub(crate) async fn bind(
        address: SocketAddr,
        name: &'static str,
        server: Arc<dyn Server>,
        kernel: Arc<Kernel>,
        admission: Arc<Admission>,
    ) -> Result<Self> {
        let help = "is another broker running, or is the address not of this machine?";
        let socket = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}: {help}"))?;
        Ok(Self { socket, name, server, kernel, admission, ahead: Arc::new(Room::new(ALL_AHEAD)) })
    }

    /// The protocol that is spoken on it.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The address that was bound.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Accepts until told to stop, then waits for the connections that are left.
    pub(crate) async fn run(self, mut stop: Stop) {
        let mut connections = JoinSet::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = tokio::select! {
                () = stop.told() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    pause = FIRST_PAUSE;
                    self.take(stream, address, &stop, &mut connections);
                }
                Err(error) => {
                    // EMFILE and ENOBUFS last until somebody lets go: trying again at once would spin.
                    error!(protocol = self.name, error = %error, "a connection could not be accepted");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }

    fn take(&self, stream: TcpStream, address: SocketAddr, stop: &Stop, connections: &mut JoinSet<()>) {
        let place = match self.admission.admit(address.ip()) {
            Ok(place) => place,
            Err(full) => {
                return warn!(protocol = self.name, client = %address, reason = ?full, "a connection was refused");
            }
        };
        let guest = Guest::new(Arc::clone(&self.kernel), place);
        let server = Arc::clone(&self.server);
        let name = self.name;
        let ahead = self.ahead.share(address.ip());
        let mut stop = stop.clone();
        connections.spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                return debug!(protocol = name, client = %address, error = %error, "the connection is gone");
            }
            let ending = Box::pin(async move { stop.told().await });
            let (stream, hung_up) = watched(stream, ahead);
            let io = Io { stream: Box::new(stream), peer: Peer { address }, hung_up, ending };
            report(name, address, server.serve(io, &guest).await);
        });
    }
}

/// Says how a flow ended; refusals of sign-in and sessions have been logged where they were decided.
fn report(protocol: &'static str, client: SocketAddr, ended: Result<(), FlowError>) {
    match ended {
        Ok(()) => debug!(protocol, %client, "the connection ended"),
        Err(FlowError::Refused(refusal)) => {
            info!(protocol, %client, rule = %refusal.rule, reason = %refusal.message, "the connection was refused");
        }
        Err(FlowError::Revoked) => info!(protocol, %client, "the session was revoked"),
        Err(FlowError::Violation(violation)) => {
            warn!(protocol, %client, error = %violation, "the peer broke the protocol")
        }
        Err(FlowError::Client(error)) => debug!(protocol, %client, error = %error, "the client went away"),
        Err(FlowError::Server(error)) => warn!(protocol, %client, error = %error, "the server went away"),
        Err(error @ (FlowError::Unruled | FlowError::AskedTwice | FlowError::Unrecorded)) => {
            error!(protocol, %client, error = %error, "the session was ended by the broker");
        }
    }
}
