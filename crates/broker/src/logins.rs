//! What the command line wrote to the store about credentials, brought into memory where sign-in looks.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sluice_identity::{RevokedTokens, ScramLogin, ScramLogins, ScramVerifier, SshLogins};
use sluice_model::{Principal, Secret, UnixMicros};
use sluice_store::{ScramSecret, Sqlite, SshKeys as _, Tokens as _};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

/// Nudges that wait to be heard; whoever comes later waits to give one.
const NUDGES: usize = 16;

/// Has a broker read at once what the command line wrote, instead of at its next look.
#[derive(Clone, Debug)]
pub(crate) struct Nudge(mpsc::Sender<oneshot::Sender<()>>);

/// Where nudges are heard.
#[derive(Debug)]
pub(crate) struct Nudges(mpsc::Receiver<oneshot::Sender<()>>);

/// A nudge and where it is heard.
pub(crate) fn nudges() -> (Nudge, Nudges) {
    let (nudge, nudges) = mpsc::channel(NUDGES);
    (Nudge(nudge), Nudges(nudges))
}

impl Nudge {
    /// Waits until everything that was written before has been read; `false` where that failed.
    pub(crate) async fn read(&self) -> bool {
        let (done, read) = oneshot::channel();
        self.0.send(done).await.is_ok() && read.await.is_ok()
    }
}

impl Nudges {
    /// The next one, to be answered once everything has been read; `None` where nobody is left to nudge. Safe to abandon.
    pub(crate) async fn next(&mut self) -> Option<oneshot::Sender<()>> {
        self.0.recv().await
    }
}

/// How far each list has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursors {
    revoked: i64,
    scrams: i64,
    ssh_keys: i64,
}

/// Reads what was added since the last time.
pub(crate) async fn catch_up(
    store: &Sqlite,
    revoked: &RevokedTokens,
    logins: &ScramLogins,
    ssh_logins: &SshLogins,
    cursors: &mut Cursors,
) -> Result<()> {
    let (fresh, next) = store.revoked_since(cursors.revoked).await?;
    for found in fresh {
        // A token minted elsewhere may live as long as its issuer lets it: it is never forgotten.
        revoked.revoke(found.token, found.expires.unwrap_or(UnixMicros(i64::MAX)));
    }
    cursors.revoked = next;
    let (fresh, next) = store.scrams_since(cursors.scrams).await?;
    for secret in fresh {
        match login(&secret) {
            Some(login) => logins.put(secret.user, login),
            None => error!(user = secret.user, "a stored login cannot be read"),
        }
    }
    cursors.scrams = next;
    let (fresh, next) = store.ssh_keys_since(cursors.ssh_keys).await?;
    for row in fresh {
        ssh_logins.put(row.key.into(), row.principal);
    }
    cursors.ssh_keys = next;
    Ok(())
}

fn login(secret: &ScramSecret) -> Option<ScramLogin> {
    let encode = |bytes: &[u8]| BASE64.encode(bytes);
    let text = format!(
        "SCRAM-SHA-256${}:{}${}:{}",
        secret.iterations,
        encode(&secret.salt),
        encode(&secret.stored_key),
        encode(&secret.server_key)
    );
    Some(ScramLogin { verifier: ScramVerifier::parse(&text)?, principal: secret.principal.clone() })
}

/// What is stored of a minted login.
pub(crate) fn stored(user: &str, principal: &Principal, verifier: &ScramVerifier) -> Option<ScramSecret> {
    let text: Secret = verifier.to_text();
    let text = sluice_model::ExposeSecret::expose_secret(&text);
    let mut parts = text.split('$').skip(1);
    let (iterations, salt) = parts.next()?.split_once(':')?;
    let (stored_key, server_key) = parts.next()?.split_once(':')?;
    let key = |encoded: &str| <[u8; 32]>::try_from(BASE64.decode(encoded).ok()?).ok();
    Some(ScramSecret {
        user: user.to_owned(),
        principal: principal.clone(),
        salt: BASE64.decode(salt).ok()?,
        iterations: iterations.parse().ok()?,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
        expires: principal.expires,
        revoked: false,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use sluice_identity::Iterations;
    use sluice_model::{Person, TokenId, Who};

    use super::*;

    #[test]
    fn a_login_survives_the_store() {
        let (_, verifier) = ScramVerifier::mint(Iterations::STANDARD).unwrap();
        let principal = Principal {
            who: Who::User(Person { name: "alice".to_owned(), groups: BTreeSet::new() }),
            token: TokenId::new("t").unwrap(),
            expires: UnixMicros(1),
            targets: None,
            run: None,
        };
        let secret = stored("alice", &principal, &verifier).unwrap();
        let back = login(&secret).unwrap();
        let text = |verifier: &ScramVerifier| sluice_model::ExposeSecret::expose_secret(&verifier.to_text()).to_owned();
        assert_eq!(text(&back.verifier), text(&verifier));
        assert_eq!(back.principal, principal);
    }

    #[tokio::test]
    async fn a_key_of_the_command_line_is_taken_up_and_given_up() {
        use sluice_identity::{Revocations as _, SshKeys as _};
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("state.sqlite")).await.unwrap();
        let (revoked, scrams, keys) = (RevokedTokens::default(), ScramLogins::default(), SshLogins::default());
        let mut cursors = Cursors::default();
        catch_up(&store, &revoked, &scrams, &keys, &mut cursors).await.unwrap();
        assert!(keys.find(b"key").is_none());
        let principal = Principal {
            who: Who::User(Person { name: "alice".to_owned(), groups: BTreeSet::new() }),
            token: TokenId::new("k").unwrap(),
            expires: UnixMicros(10),
            targets: None,
            run: None,
        };
        let row = sluice_store::SshKeyRow {
            principal: principal.clone(),
            key: b"key".to_vec(),
            algorithm: "ssh-ed25519".to_owned(),
            fingerprint: "SHA256:x".to_owned(),
            comment: String::new(),
            created: UnixMicros(1),
            revoked: None,
        };
        store.insert_ssh_key(&row).await.unwrap();
        catch_up(&store, &revoked, &scrams, &keys, &mut cursors).await.unwrap();
        assert_eq!(keys.find(b"key").as_deref(), Some(&principal));
        assert!(!revoked.is_revoked(&principal.token));
        store.revoke_token(&principal.token, UnixMicros(2)).await.unwrap();
        catch_up(&store, &revoked, &scrams, &keys, &mut cursors).await.unwrap();
        assert!(revoked.is_revoked(&principal.token));
    }
}
