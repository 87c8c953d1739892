//! What was believed, kept so that it can be checked again once the configuration is another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sluice_model::{Principal, UnixMicros};

use crate::issuer::Issuer;

/// As many principals are kept before those whose credentials have ended are looked for.
const ROOM: usize = 1024;

/// What somebody signed in with, as far as a configuration decides on it. No secret is among it.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// Something of the broker's own: no configuration decides on it.
    Own,
    /// A token of an issuer, as it was configured then.
    Token(Arc<Issuer>),
    /// An SSH certificate, and where it came from.
    Certificate(Bytes, IpAddr),
    /// The certificates of a TLS client, its own first.
    Chain(Vec<Bytes>),
}

impl Shown {
    /// Whether it is the same credential: one that is shown again takes the place of the one before.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            // The handle of a token is one of its own.
            (Self::Own, Self::Own) | (Self::Token(_), Self::Token(_)) => true,
            (Self::Certificate(one, _), Self::Certificate(other, _)) => one == other,
            (Self::Chain(one), Self::Chain(other)) => one.first() == other.first(),
            (Self::Own | Self::Token(_) | Self::Certificate(..) | Self::Chain(_), _) => false,
        }
    }
}

/// Everything that was believed and has not ended by itself.
#[derive(Debug, Default)]
pub(crate) struct Vouchers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Mostly one for each: an authority may number several certificates alike.
    vouchers: HashMap<Principal, Vec<Voucher>>,
    /// Those whose credentials have ended are looked for once there are more.
    room: usize,
}

#[derive(Debug)]
struct Voucher {
    shown: Shown,
    /// The configuration under which it was looked at.
    revision: u64,
    holds: bool,
}

impl Vouchers {
    /// Keeps what somebody was believed by, under a configuration.
    pub(crate) fn keep(&self, who: &Principal, shown: Shown, revision: u64, now: UnixMicros) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let voucher = Voucher { shown, revision, holds: true };
        let Some(all) = known.vouchers.get_mut(who) else {
            known.make_room(now);
            known.vouchers.insert(who.clone(), vec![voucher]);
            return;
        };
        match all.iter_mut().find(|other| other.shown.is_same(&voucher.shown)) {
            Some(same) => *same = voucher,
            None => all.push(voucher),
        }
    }

    /// Whether everything that somebody was believed by holds under a configuration; `check` looks, once for each
    /// configuration. Somebody of whom nothing is known has nothing that holds.
    pub(crate) fn hold(&self, who: &Principal, revision: u64, check: impl Fn(&Shown) -> bool) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(all) = known.vouchers.get_mut(who) else { return false };
        all.iter_mut().all(|voucher| {
            if voucher.revision != revision {
                voucher.holds = check(&voucher.shown);
                voucher.revision = revision;
            }
            voucher.holds
        })
    }
}

impl Known {
    fn make_room(&mut self, now: UnixMicros) {
        if self.vouchers.len() >= self.room {
            self.vouchers.retain(|who, _| now < who.expires);
            self.room = self.vouchers.len().saturating_mul(2).max(ROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use sluice_model::{Person, TokenId, Who};

    use super::*;

    fn somebody(token: &str, expires: i64) -> Principal {
        Principal {
            who: Who::User(Person { name: "ann".to_owned(), groups: [].into() }),
            token: TokenId::new(token).unwrap(),
            expires: UnixMicros(expires),
            targets: None,
            run: None,
        }
    }

    fn certificate(bytes: &'static [u8]) -> Shown {
        Shown::Certificate(Bytes::from_static(bytes), [127, 0, 0, 1].into())
    }

    #[test]
    fn everything_that_was_shown_must_hold() {
        let (vouchers, ann) = (Vouchers::default(), somebody("cert:corp:1", 9));
        assert!(!vouchers.hold(&ann, 1, |_| true), "nothing is known of her");
        vouchers.keep(&ann, certificate(b"one"), 1, UnixMicros(0));
        vouchers.keep(&ann, certificate(b"two"), 1, UnixMicros(0));
        assert!(vouchers.hold(&ann, 1, |_| false), "nothing has changed");
        let but_two = |shown: &Shown| !shown.is_same(&certificate(b"two"));
        assert!(!vouchers.hold(&ann, 2, but_two));
        assert!(!vouchers.hold(&ann, 2, |_| true), "it was looked at");
        vouchers.keep(&ann, certificate(b"two"), 3, UnixMicros(0));
        assert!(vouchers.hold(&ann, 3, |_| true), "it was shown again, and believed");
    }

    #[test]
    fn what_has_ended_is_forgotten_in_time() {
        let vouchers = Vouchers::default();
        for number in 0..ROOM {
            vouchers.keep(&somebody(&number.to_string(), 9), Shown::Own, 1, UnixMicros(0));
        }
        let (early, late) = (somebody("0", 9), somebody("late", 99));
        assert!(vouchers.hold(&early, 1, |_| true));
        vouchers.keep(&late, Shown::Own, 1, UnixMicros(9));
        assert!(!vouchers.hold(&early, 1, |_| true) && vouchers.hold(&late, 1, |_| true));
    }
}
