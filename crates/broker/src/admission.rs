//! Who may hold a connection: a cap over all, and a smaller one per address for those who have not signed in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use sluice_kernel::{Grant, Kernel, Stem};
use sluice_model::{Part, Principal, Refusal, TargetName};
use sluice_wire::{Authenticated, Broker, Claim, FlowError, Link, Machine, Peer, ScramParameters};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Admission {
    connections: Arc<Semaphore>,
    strangers: Arc<Strangers>,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    /// The broker has as many connections as it may.
    Connections,
    /// This address has too many that have not signed in.
    Address,
}

/// Connections that have not signed in, by address.
#[derive(Debug)]
struct Strangers {
    most: u32,
    counts: Mutex<BTreeMap<IpAddr, u32>>,
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _connection: OwnedSemaphorePermit,
    stranger: Stranger,
}

/// A place among those who have not signed in; given back when dropped.
#[derive(Debug)]
struct Stranger {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

impl Admission {
    /// Admission under the configured limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        let connections = usize::try_from(limits.connections).unwrap_or(Semaphore::MAX_PERMITS);
        let strangers = Strangers { most: limits.unauthenticated_per_address, counts: Mutex::default() };
        Self { connections: Arc::new(Semaphore::new(connections)), strangers: Arc::new(strangers) }
    }

    /// Takes a place for a connection, if there is one.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Place, Full> {
        let connection = Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Full::Connections)?;
        let stranger = Stranger::enter(&self.strangers, address).ok_or(Full::Address)?;
        Ok(Place { _connection: connection, stranger })
    }
}

impl Stranger {
    /// Takes a place among those of an address, if there is one.
    fn enter(strangers: &Arc<Strangers>, address: IpAddr) -> Option<Self> {
        let address = neighbourhood(address);
        let mut counts = strangers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= strangers.most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Self { strangers: Arc::clone(strangers), address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The unit that one client controls: an IPv4 address, an IPv6 /64.
const fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !0xffff_ffff_ffff_ffff)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The broker as one connection sees it: opening a session ends its time as a stranger.
pub(crate) struct Guest {
    kernel: Arc<Kernel>,
    _connection: OwnedSemaphorePermit,
    strangers: Arc<Strangers>,
    stranger: Mutex<Option<Stranger>>,
}

impl Guest {
    /// The broker for one admitted connection.
    pub(crate) fn new(kernel: Arc<Kernel>, place: Place) -> Self {
        let Place { _connection, stranger } = place;
        let strangers = Arc::clone(&stranger.strangers);
        Self { kernel, _connection, strangers, stranger: Mutex::new(Some(stranger)) }
    }

    fn welcome(&self) {
        drop(self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Broker for Guest {
    type Grant = Grant;
    type Stem = Stem;

    async fn challenge(&self, user: &str) -> Result<ScramParameters, Refusal> {
        self.kernel.challenge(user).await
    }

    async fn authenticate(&self, claim: Claim) -> Result<Authenticated, Refusal> {
        self.kernel.authenticate(claim).await
    }

    async fn open(
        &self,
        who: &Principal,
        target: &TargetName,
        part: Option<Part>,
        peer: Peer,
    ) -> Result<Grant, Refusal> {
        let grant = self.kernel.open(who, target, part, peer).await?;
        self.welcome();
        Ok(grant)
    }

    async fn join(&self, who: &Principal, target: &TargetName, peer: Peer) -> Result<Grant, Refusal> {
        let grant = self.kernel.join(who, target, peer).await?;
        self.welcome();
        Ok(grant)
    }

    fn stem(&self, grant: &Grant) -> Stem {
        self.kernel.stem(grant)
    }

    async fn branch(&self, stem: &Stem) -> Result<Grant, Refusal> {
        self.kernel.branch(stem).await
    }

    fn admits(&self, who: &Principal, target: &TargetName, peer: Peer) -> bool {
        self.kernel.admits(who, target, peer)
    }

    fn stranger(&self, peer: Peer) -> Option<sluice_wire::Stranger> {
        let place = Stranger::enter(&self.strangers, peer.address.ip())?;
        Some(sluice_wire::Stranger(Box::new(place)))
    }

    async fn carry<M, C, S>(&self, grant: Grant, machine: M, client: C, server: S) -> Result<(), FlowError>
    where
        M: Machine,
        C: Link<Frame = M::Frame>,
        S: Link<Frame = M::Frame>,
    {
        self.kernel.carry(grant, machine, client, server).await
    }

    async fn abandon(&self, grant: Grant, reason: &Refusal) {
        self.kernel.abandon(grant, reason).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn admission(connections: u32, unauthenticated_per_address: u32) -> Admission {
        Admission::new(&Limits { connections, unauthenticated_per_address, ..Limits::STANDARD })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_cap_over_all_holds_at_its_edge() {
        let admission = admission(2, 8);
        let one = admission.admit(ip("192.0.2.1")).unwrap();
        let _two = admission.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3")).unwrap_err(), Full::Connections);
        drop(one);
        admission.admit(ip("192.0.2.3")).unwrap();
    }

    #[test]
    fn strangers_are_counted_per_address_and_leave_no_trace() {
        let admission = admission(8, 2);
        let one = admission.admit(ip("192.0.2.1")).unwrap();
        let two = admission.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), Full::Address);
        admission.admit(ip("192.0.2.2")).unwrap();
        drop((one, two));
        assert!(admission.strangers.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn signing_in_frees_the_place_of_a_stranger_but_not_of_a_connection() {
        let admission = admission(2, 1);
        let Place { _connection, stranger } = admission.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8::2")).unwrap_err(), Full::Address);
        drop(stranger);
        let _second = admission.admit(ip("2001:db8::2")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8:1::")).unwrap_err(), Full::Connections);
    }
}
