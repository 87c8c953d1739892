//! One client connection: sign-in, one session, a flow for each channel; or a host behind it, reached through it.

use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use russh::server::{self, Handle};
use russh::{ChannelOpenFailure, Disconnect};
use sluice_model::{Principal, Refusal, TargetName};
use sluice_wire::{Broker, FlowError, Grant, HungUp, Io, Peer, Stranger, Targets};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::arrival::ArrivalMachine;
use crate::call::{Call, Calls, Jump, Jumps, Opened};
use crate::cut::cuttable;
use crate::door::Door;
use crate::hub::{Hub, Nowhere, Presence};
use crate::link::{Asker, Caller, ClientLink, Landing, Listener, ServerLink};
use crate::listen::ListenMachine;
use crate::listens::Ask;
use crate::machine::ChannelMachine;
use crate::notice::{Notice, show};
use crate::porter::{self, Berth, Errand};
use crate::refusal;
use crate::seat::{Room, Seat};
use crate::serve::Ssh;
use crate::target::Target;
use crate::welcome::{Arrival, Lobby, Welcome};

/// Calls of a connection that wait.
const CALLS: usize = 16;

/// How long a connection may take.
mod deadline {
    use std::time::Duration;

    /// From the accepted connection to a proven identity.
    pub(super) const SIGN_IN: Duration = Duration::from_secs(60);
    /// For flows that end with their connection; each is bounded by itself.
    pub(super) const FLOWS: Duration = Duration::from_secs(30);
    /// For the last words.
    pub(super) const FAREWELL: Duration = Duration::from_secs(2);
}

/// A connection that comes through another one.
pub(crate) struct Behind {
    /// The target that it has asked for already.
    host: TargetName,
    stranger: Stranger,
}

/// Serves one connection, which may be behind another one.
pub(crate) fn visit<'a, B: Broker>(
    ssh: &'a Ssh,
    io: Io,
    targets: &'a ArcSwap<Targets<Target>>,
    broker: &'a B,
    behind: Option<Behind>,
) -> BoxFuture<'a, Result<(), FlowError>> {
    let Io { stream, peer, hung_up, mut ending } = io;
    Box::pin(async move {
        let (stream, cutter) = cuttable(stream);
        let (calls, mut inbox) = Calls::new(CALLS);
        let (host, mut stranger) = behind.map(|Behind { host, stranger }| (host, stranger)).unzip();
        let jumps = if host.is_none() { Jumps::Let } else { Jumps::Refused };
        let berth = Berth::default();
        let shelf = ssh.depot().shelf("");
        let hung_up = Arc::clone(shelf.stalls()).hide(hung_up);
        let door = Door::new(calls, peer.address.ip(), jumps, berth.clone(), shelf);
        let starting = server::run_stream(Arc::clone(ssh.config()), stream, door);
        let Ok(Ok(running)) = timeout(deadline::SIGN_IN, starting).await else { return Ok(()) };
        let (lobby, mut arrivals) = Lobby::new();
        let (errands, wanted) = porter::errands();
        let mut porter = pin!(porter::serve(running.handle(), berth, wanted));
        let visit = Visit { ssh, targets, broker, peer, hung_up, host, handle: running.handle(), lobby, errands };
        let mut stay = None;
        let mut flows = FuturesUnordered::new();
        let mut sign_in = pin!(tokio::time::sleep(deadline::SIGN_IN));
        let (mut stopping, mut session_over) = (false, false);
        let result = loop {
            tokio::select! {
                call = inbox.recv() => match (call.map(|call| *call), stay.as_ref().map(Stay::place)) {
                    (None, _) | (Some(Call::Channel(_) | Call::Listen(_) | Call::Jump(_)), None) => break Ok(()),
                    (Some(Call::Claim(claim, answer)), _) => {
                        let _gone = answer.send(visit.identify(claim).await);
                    }
                    (Some(Call::SignedIn { user, who }), _) => {
                        let entered = visit.enter(&user, &who).await;
                        if matches!(entered, Stay::At { .. }) {
                            drop(stranger.take());
                        }
                        stay = Some(entered);
                    }
                    (Some(Call::Channel(opened)), Some(place)) => flows.push(visit.carry(place, opened)),
                    (Some(Call::Listen(asks)), Some(place)) => flows.push(visit.listen(place, asks)),
                    (Some(Call::Jump(jump)), Some(_)) => flows.push(visit.jump(jump)),
                },
                Some(arrival) = arrivals.recv() => if let Some(stay) = &stay {
                    flows.push(visit.arrive(stay.place(), arrival));
                },
                () = &mut porter => break Ok(()),
                Some(()) = flows.next(), if !flows.is_empty() => {
                    if stopping && flows.is_empty() {
                        break Ok(());
                    }
                }
                result = hub(&mut stay) => {
                    session_over = true;
                    break result;
                }
                () = &mut sign_in, if stay.is_none() => break Ok(()),
                () = &mut ending, if !stopping => {
                    stopping = true;
                    if flows.is_empty() {
                        break Ok(());
                    }
                }
            }
        };
        // Flows that a revoked session has ended still tell their clients why.
        let mut cutter = Some(cutter);
        let mut last_words = Box::pin(async {
            tokio::select! {
                () = async { while flows.next().await.is_some() {} } => {}
                () = porter => {}
            }
        });
        if timeout(deadline::FLOWS, &mut last_words).await.is_err() {
            // A flow whose client has left ends by itself, and what it did is written down.
            drop(cutter.take());
            let _in_time = timeout(deadline::FLOWS, &mut last_words).await;
        }
        drop(last_words);
        drop(flows);
        if let Some(Stay::At { hub, presence, .. }) = stay
            && !session_over
        {
            drop(presence);
            let _ended = hub.await;
        }
        let _in_time = timeout(deadline::FAREWELL, visit.leave(&result)).await;
        drop(cutter);
        result
    })
}

/// One connection of a client.
struct Visit<'a, B> {
    ssh: &'a Ssh,
    targets: &'a ArcSwap<Targets<Target>>,
    broker: &'a B,
    peer: Peer,
    hung_up: HungUp,
    /// The target that was asked for before anybody signed in.
    host: Option<TargetName>,
    handle: Handle,
    lobby: Lobby,
    errands: mpsc::Sender<Box<Errand>>,
}

/// Where somebody who has signed in is.
enum Stay<'a, S> {
    At {
        place: Arc<At<S>>,
        /// The connection's own flow; it ends with the session.
        hub: BoxFuture<'a, Result<(), FlowError>>,
        presence: oneshot::Sender<()>,
    },
    /// Nowhere, for this reason.
    Told(Arc<Notice>),
}

/// A session at a target.
struct At<S> {
    stem: S,
    seat: Seat,
}

/// Where a channel is to be carried.
enum Whereto<S> {
    At(Arc<At<S>>),
    Told(Arc<Notice>),
}

impl<S> Stay<'_, S> {
    fn place(&self) -> Whereto<S> {
        match self {
            Stay::At { place, .. } => Whereto::At(Arc::clone(place)),
            Stay::Told(notice) => Whereto::Told(Arc::clone(notice)),
        }
    }
}

/// Ends with the session, if there is one.
async fn hub<S>(stay: &mut Option<Stay<'_, S>>) -> Result<(), FlowError> {
    match stay {
        Some(Stay::At { hub, .. }) => hub.await,
        Some(Stay::Told(_)) | None => std::future::pending().await,
    }
}

impl<'a, B: Broker> Visit<'a, B> {
    async fn identify(&self, claim: sluice_wire::Claim) -> Option<Principal> {
        self.broker.authenticate(claim).await.ok().map(|authenticated| authenticated.principal)
    }

    /// Opens the session that the user name asks for.
    async fn enter(&self, user: &str, who: &Principal) -> Stay<'a, B::Stem> {
        if let Some(host) = &self.host {
            return self.open(Some(user), host, who).await.unwrap_or_else(|refusal| told(&refusal));
        }
        let Some((login, name)) = address(user) else { return Stay::Told(Arc::new(self.list(who))) };
        // Without a login, a target that may not be used is told apart from none at all by nothing.
        let asked = |name: &TargetName| login.is_some() || self.broker.admits(who, name, self.peer);
        let Some(name) = TargetName::new(name).ok().filter(asked) else {
            return Stay::Told(Arc::new(self.list(who)));
        };
        self.open(login, &name, who).await.unwrap_or_else(|refusal| told(&refusal))
    }

    async fn open(
        &self,
        login: Option<&str>,
        name: &TargetName,
        who: &Principal,
    ) -> Result<Stay<'a, B::Stem>, Refusal> {
        let grant = self.broker.open(who, name, None, self.peer).await?;
        let seat = Seat::take(self.ssh, &self.targets.load(), (login, name), grant.credential(), who);
        let seat = match seat {
            Ok(seat) => seat,
            Err(refusal) => {
                self.broker.abandon(grant, &refusal).await;
                return Err(refusal);
            }
        };
        let place = Arc::new(At { stem: self.broker.stem(&grant), seat });
        let (presence, gone) = oneshot::channel();
        let broker = self.broker;
        let hub = Box::pin(async move { broker.carry(grant, Hub, Presence::new(gone), Nowhere).await });
        Ok(Stay::At { place, hub, presence })
    }

    /// What somebody may connect to.
    fn list(&self, who: &Principal) -> Notice {
        let targets = self.targets.load();
        let reachable = targets.iter().map(|(name, _)| name).filter(|name| self.broker.admits(who, name, self.peer));
        Notice::targets(reachable.map(TargetName::as_str))
    }

    /// Serves a host that a client reaches through this connection: it signs in there anew, and until then it is one more
    /// of its address that has not.
    fn jump(&self, jump: Jump) -> BoxFuture<'a, ()> {
        let Jump { stream, host, reply, place } = jump;
        let Some(stranger) = self.broker.stranger(self.peer) else {
            tracing::warn!(client = %self.peer.address, "a connection through another one was refused");
            return Box::pin(async move { reply.reject(ChannelOpenFailure::ResourceShortage).await });
        };
        let ending = Box::pin(std::future::pending());
        let io = Io { stream, peer: self.peer, hung_up: self.hung_up.clone(), ending };
        let inner = visit(self.ssh, io, self.targets, self.broker, Some(Behind { host, stranger }));
        Box::pin(async move {
            reply.accept().await;
            if let Err(error) = inner.await {
                tracing::debug!(error = %error, "a connection through another one ended");
            }
            drop(place);
        })
    }

    /// Carries one channel to its end.
    fn carry(&self, whereto: Whereto<B::Stem>, opened: Opened) -> BoxFuture<'a, ()> {
        let (desk, lobby, hung_up) = (self.desk(), self.lobby.clone(), self.hung_up.clone());
        Box::pin(async move {
            let at = match whereto {
                Whereto::At(at) => at,
                Whereto::Told(notice) => return show(&notice, opened).await,
            };
            match desk.branch(&at).await {
                Ok((grant, room)) => ended(channel(desk.broker, &room, grant, (opened, hung_up), lobby).await),
                Err(refusal) => show(&Notice::refused(&refusal), opened).await,
            }
        })
    }

    /// Has a host listen for as long as the client wants.
    fn listen(&self, whereto: Whereto<B::Stem>, mut asks: mpsc::Receiver<Ask>) -> BoxFuture<'a, ()> {
        let (desk, lobby) = (self.desk(), self.lobby.clone());
        Box::pin(async move {
            // Where there is no session, the requests are refused by dropping them.
            let Whereto::At(at) = whereto else { return };
            match desk.branch(&at).await {
                Ok((grant, room)) => {
                    let listener = Listener::new(room.dial(lobby));
                    let machine = ListenMachine::new(room.setup());
                    ended(desk.broker.carry(grant, machine, Asker::new(asks), listener).await);
                }
                Err(refusal) => {
                    let Some(ask) = asks.recv().await else { return };
                    let _gone = ask.answer.send(Err(refusal::line(&refusal).into()));
                }
            }
        })
    }

    /// Carries a channel that a host has opened.
    fn arrive(&self, whereto: Whereto<B::Stem>, arrival: Box<Arrival>) -> BoxFuture<'a, ()> {
        let (desk, errands) = (self.desk(), self.errands.clone());
        Box::pin(async move {
            let landing = Landing::new(Arc::clone(&arrival.pair), errands);
            let Whereto::At(at) = whereto else { return };
            let Ok((grant, room)) = desk.branch(&at).await else { return };
            ended(desk.broker.carry(grant, ArrivalMachine::new(room.setup()), landing, Caller::new(*arrival)).await);
        })
    }

    const fn desk(&self) -> Desk<'a, B> {
        Desk { ssh: self.ssh, targets: self.targets, broker: self.broker }
    }

    async fn leave(&self, result: &Result<(), FlowError>) {
        let (reason, words) = match result {
            Err(FlowError::Revoked) => (Disconnect::ByApplication, "the session was ended"),
            Err(_) | Ok(()) => (Disconnect::ByApplication, "goodbye"),
        };
        let _gone = self.handle.disconnect(reason, words.to_owned(), String::new()).await;
    }
}

fn told<'a, S>(refusal: &Refusal) -> Stay<'a, S> {
    Stay::Told(Arc::new(Notice::refused(refusal)))
}

fn ended(result: Result<(), FlowError>) {
    if let Err(error) = result {
        tracing::debug!(error = %error, "a channel ended");
    }
}

/// Who gives channels of a session what they are served with.
struct Desk<'a, B> {
    ssh: &'a Ssh,
    targets: &'a ArcSwap<Targets<Target>>,
    broker: &'a B,
}

impl<B: Broker> Desk<'_, B> {
    /// One more flow of a session, with what is in force when it begins.
    async fn branch(&self, at: &At<B::Stem>) -> Result<(B::Grant, Room), Refusal> {
        let grant = self.broker.branch(&at.stem).await?;
        let room = at.seat.room(self.ssh, &self.targets.load(), grant.credential());
        match room {
            Ok(room) => Ok((grant, room)),
            Err(refusal) => {
                self.broker.abandon(grant, &refusal).await;
                Err(refusal)
            }
        }
    }
}

async fn channel<B: Broker>(
    broker: &B,
    room: &Room,
    grant: B::Grant,
    (opened, hung_up): (Opened, HungUp),
    lobby: Lobby,
) -> Result<(), FlowError> {
    let Opened { pair, wire, opening } = opened;
    let dialler = room.dial(lobby.clone()).dialler();
    let client = ClientLink::new(Arc::clone(&pair), wire, opening, grant.interrupt(), hung_up);
    let server = ServerLink::new(pair, dialler, Welcome::new(lobby));
    broker.carry(grant, ChannelMachine::new(room.setup()), client, server).await
}

/// A login and a target, of a user name such as `root+web`; of one without a mark the whole is a target.
fn address(user: &str) -> Option<(Option<&str>, &str)> {
    match user.rsplit_once(['+', '%', '@', '#', ':']) {
        Some((login, target)) => Some((Some(login).filter(|login| !login.is_empty()), target)),
        None => (!user.is_empty()).then_some((None, user)),
    }
}
