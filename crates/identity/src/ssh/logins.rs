//! Whose a public key is.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use sluice_model::{Principal, UnixMicros};

/// Knows whose keys are; asked at every sign-in, so it must not block.
pub trait SshKeys: Send + Sync {
    /// The principal of a key in the encoding of RFC 4253 §6.6.
    fn find(&self, key: &[u8]) -> Option<Arc<Principal>>;
}

/// The keys, in memory; the store feeds it.
#[derive(Debug, Default)]
pub struct SshLogins(RwLock<BTreeMap<Bytes, Arc<Principal>>>);

impl SshLogins {
    /// Adds a key, or gives it to somebody else.
    pub fn put(&self, key: Bytes, principal: Principal) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::new(principal));
    }

    /// Forgets keys that ended by themselves before a moment; those are refused either way.
    pub fn forget_expired(&self, now: UnixMicros) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, principal| now < principal.expires);
    }
}

impl SshKeys for SshLogins {
    fn find(&self, key: &[u8]) -> Option<Arc<Principal>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)
    }
}
