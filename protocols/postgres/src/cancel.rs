//! Cancel keys that the broker mints, and what a `CancelRequest` with one of them does.
//!
//! The request comes over a connection of its own, without sign-in: the key is all it shows. It is never answered
//! (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS>).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};
use sluice_wire::{Interrupt, Interrupted};
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::dial::Dialer;
use crate::frame::Frame;
use crate::login::ServerKey;
use crate::startup::Version;
use crate::target::Target;

/// Wrong secrets for one process id within [`WINDOW`]; after that none for it is listened to until the window ends. Of the
/// 32 bits of a secret, years are needed to guess half of them at this pace. It is counted by process id and not by address,
/// because anybody at an address that others use too could keep them from cancelling.
const MAX_MISSES: u32 = 1_000;
const WINDOW: Duration = Duration::from_secs(60);
/// How long a server may take to act on a request; it closes the connection when it has.
const DEADLINE: Duration = Duration::from_secs(10);
/// Tries to find a process id that is free.
const MINT_TRIES: usize = 16;
/// `CancelRequest`: its code, after its length.
const CANCEL_REQUEST: u32 = 80_877_102;

/// Process id and secret of a `BackendKeyData` or `CancelRequest`.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Key {
    pub(crate) process: u32,
    pub(crate) secret: Vec<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// `BackendKeyData`.
    pub(crate) fn frame(&self) -> Frame {
        Frame::build(b'K', |out| {
            out.put_u32(self.process);
            out.put_slice(&self.secret);
        })
    }
}

/// What a key reaches.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) interrupt: Arc<dyn Interrupt>,
    pub(crate) target: Arc<Target>,
    pub(crate) server: Option<ServerKey>,
}

/// The keys of all flows.
#[derive(Default)]
pub(crate) struct Cancels {
    flows: Mutex<HashMap<u32, Held>>,
}

/// What is held of a key.
struct Held {
    secret: Vec<u8>,
    reach: Reach,
    /// Wrong secrets, and since when they are counted.
    misses: (Option<Instant>, u32),
}

impl fmt::Debug for Cancels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancels")
    }
}

/// A key's place among the flows; dropped when its flow ends.
pub(crate) struct Place {
    cancels: Arc<Cancels>,
    pub(crate) key: Key,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.cancels.flows.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key.process);
    }
}

/// No key could be minted.
#[derive(Debug, thiserror::Error)]
#[error("no cancel key could be made")]
pub(crate) struct Unminted;

impl Cancels {
    /// Mints a key for a flow: the server's own process id, which clients compare with what `pg_backend_pid()` and
    /// notifications say, or 31 random bits where it is taken; and a secret of 4 bytes, or 32 where the protocol has room.
    pub(crate) fn mint(self: &Arc<Self>, version: Version, reach: Reach) -> Result<Place, Unminted> {
        let mut secret = match version {
            Version::V3_0 => vec![0; 4],
            Version::V3_2 => vec![0; 32],
        };
        getrandom::fill(&mut secret).map_err(|_| Unminted)?;
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = reach.server.as_ref().and_then(ServerKey::process);
        for _ in 0..MINT_TRIES {
            // Drivers keep process ids in signed integers and take zero for none.
            let process = match own.take() {
                Some(own) => own & (u32::MAX >> 1),
                None => getrandom::u32().map_err(|_| Unminted)? >> 1,
            };
            if process != 0 && !flows.contains_key(&process) {
                flows.insert(process, Held { secret: secret.clone(), reach, misses: (None, 0) });
                return Ok(Place { cancels: Arc::clone(self), key: Key { process, secret } });
            }
        }
        Err(Unminted)
    }

    /// The flow that a key belongs to.
    pub(crate) fn find(&self, key: &Key, now: Instant) -> Option<Reach> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let held = flows.get_mut(&key.process);
        let unknown = vec![0; key.secret.len()];
        // A process id that is free is compared too, so that time does not tell it from one in use.
        let fits: bool = held.as_ref().map_or(&unknown, |held| &held.secret).ct_eq(&key.secret).into();
        let held = held?;
        let (since, count) = &mut held.misses;
        if since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (*since, *count) = (Some(now), 0);
        }
        if *count >= MAX_MISSES {
            return None;
        }
        if !fits {
            *count = count.saturating_add(1);
            return None;
        }
        Some(held.reach.clone())
    }
}

/// Withdraws what the flow waits for; where it waits for nothing, asks its server to cancel.
pub(crate) async fn cancel(reach: &Reach, dialer: &Dialer) {
    if reach.interrupt.withdraw() == Interrupted::Hold {
        return;
    }
    interrupt(reach, dialer).await;
}

/// Asks a server to cancel what it is at.
pub(crate) async fn interrupt(reach: &Reach, dialer: &Dialer) {
    let Some(ServerKey(key)) = &reach.server else { return };
    let mut request = BytesMut::new();
    request.put_u32(u32::try_from(key.len().saturating_add(8)).unwrap_or(u32::MAX));
    request.put_u32(CANCEL_REQUEST);
    request.put_slice(key);
    let sending = async {
        let mut stream = dialer.reach(&reach.target).await.ok()?;
        stream.write_all(&request).await.ok()?;
        stream.flush().await.ok()?;
        // The server has acted once it closes; nothing it says is of interest.
        stream.read(&mut [0; 1]).await.ok()
    };
    if !matches!(timeout(DEADLINE, sending).await, Ok(Some(_))) {
        tracing::debug!("a cancel request did not reach its server");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

    use super::*;

    struct Nobody;

    impl Interrupt for Nobody {
        fn withdraw(&self) -> Interrupted {
            Interrupted::Nothing
        }
    }

    fn reach() -> Reach {
        let target = serde_json::from_str(r#"{"host":"db","database":"shop"}"#).unwrap();
        Reach { interrupt: Arc::new(Nobody), target: Arc::new(target), server: None }
    }

    fn wrong(place: &Place) -> Key {
        let mut key = place.key.clone();
        key.secret[0] ^= 1;
        key
    }

    #[test]
    fn a_key_is_good_while_its_flow_lasts() {
        let cancels = Arc::new(Cancels::default());
        let now = Instant::now();
        for (version, bytes) in [(Version::V3_0, 4), (Version::V3_2, 32)] {
            let place = cancels.mint(version, reach()).unwrap();
            assert_eq!(place.key.secret.len(), bytes);
            assert!(place.key.process > 0 && place.key.process <= i32::MAX.unsigned_abs());
            assert!(cancels.find(&place.key, now).is_some());
            assert!(cancels.find(&wrong(&place), now).is_none());
            let mut longer = place.key.clone();
            longer.secret.push(0);
            assert!(cancels.find(&longer, now).is_none());
            let key = place.key.clone();
            drop(place);
            assert!(cancels.find(&key, now).is_none());
        }
    }

    #[test]
    fn a_key_has_the_process_id_of_the_server_unless_that_is_taken() {
        let cancels = Arc::new(Cancels::default());
        let server = || Some(ServerKey(bytes::Bytes::from_static(&[0, 0, 0x30, 0x39, 1, 2, 3, 4])));
        let first = cancels.mint(Version::V3_0, Reach { server: server(), ..reach() }).unwrap();
        let second = cancels.mint(Version::V3_0, Reach { server: server(), ..reach() }).unwrap();
        assert_eq!(first.key.process, 12_345);
        assert_ne!(second.key.process, 12_345);
        assert_ne!(first.key.secret, [1, 2, 3, 4], "the server's secret stays with the broker");
    }

    #[test]
    fn guesses_are_limited_by_process_id() {
        let cancels = Arc::new(Cancels::default());
        let (place, other) =
            (cancels.mint(Version::V3_0, reach()).unwrap(), cancels.mint(Version::V3_0, reach()).unwrap());
        let now = Instant::now();
        for _ in 0..MAX_MISSES - 1 {
            assert!(cancels.find(&wrong(&place), now).is_none());
        }
        assert!(cancels.find(&place.key, now).is_some(), "one below the limit");
        assert!(cancels.find(&wrong(&place), now).is_none());
        assert!(cancels.find(&place.key, now).is_none(), "at the limit");
        assert!(cancels.find(&other.key, now).is_some(), "another flow");
        assert!(cancels.find(&place.key, now + WINDOW).is_some(), "a window later");
    }
}
