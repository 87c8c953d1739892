//! Tokens that stopped to count before their time.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use sluice_model::{TokenId, UnixMicros};

/// Knows which tokens were revoked; asked at every sign-in and about every live session, so it must not block.
pub trait Revocations: Send + Sync {
    /// Whether a token was revoked.
    fn is_revoked(&self, token: &TokenId) -> bool;
}

/// The revoked tokens, in memory; the store feeds it.
#[derive(Debug, Default)]
pub struct RevokedTokens(RwLock<BTreeMap<TokenId, UnixMicros>>);

impl RevokedTokens {
    /// Revokes a token; `expires` says when it would have ended by itself.
    pub fn revoke(&self, token: TokenId, expires: UnixMicros) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token, expires);
    }

    /// Replaces the whole set, for another node's revocations.
    pub fn replace(&self, revoked: impl IntoIterator<Item = (TokenId, UnixMicros)>) {
        let fresh: BTreeMap<_, _> = revoked.into_iter().collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// Forgets tokens that ended by themselves more than a minute before a moment; those are refused as expired.
    pub fn forget_expired(&self, now: UnixMicros) {
        let limit = now.plus_seconds(-60);
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, expires| *expires >= limit);
    }
}

impl Revocations for RevokedTokens {
    fn is_revoked(&self, token: &TokenId) -> bool {
        // A set left by a panic is whole: every change to it is one call.
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(token)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use sluice_model::{TokenId, UnixMicros};

    use super::{Revocations as _, RevokedTokens};

    #[test]
    fn a_token_stays_revoked_until_it_would_be_refused_anyway() {
        let (set, token, other) = (RevokedTokens::default(), TokenId::new("t1").unwrap(), TokenId::new("t2").unwrap());
        let end = UnixMicros(0).plus_seconds(1000);
        set.revoke(token.clone(), end);
        assert!(set.is_revoked(&token) && !set.is_revoked(&other));
        set.forget_expired(end.plus_seconds(60));
        assert!(set.is_revoked(&token));
        set.forget_expired(end.plus_seconds(61));
        assert!(!set.is_revoked(&token));
        set.replace([(other.clone(), end)]);
        assert!(set.is_revoked(&other));
    }
}
