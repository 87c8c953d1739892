//! Where a session is, and what each of its channels is served with.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sluice_model::{Principal, Refusal, TargetName, UnixMicros};
use sluice_wire::{Credential, Targets};

use crate::dial::Dial;
use crate::machine::Setup;
use crate::notice::{moved, no_such_login, unserved};
use crate::operation::Scene;
use crate::serve::{Served, Ssh};
use crate::shelf::Shelf;
use crate::target::Target;
use crate::welcome::Lobby;

/// A login at a target, which a session has for as long as it lasts.
pub(crate) struct Seat {
    name: TargetName,
    login: Box<str>,
    /// The target as it was when the session began.
    began: Arc<Target>,
    shelf: Shelf,
}

/// What one channel is served with: the target as it is when the channel begins.
pub(crate) struct Room {
    served: Arc<Served>,
    credential: Arc<Credential>,
    login: Box<str>,
    shelf: Shelf,
}

impl Seat {
    /// Somebody's login at a target; the credential's own where none is asked for.
    ///
    /// # Errors
    /// When the target is not served, or has no such login.
    pub(crate) fn take(
        ssh: &Ssh,
        targets: &Targets<Target>,
        (login, name): (Option<&str>, &TargetName),
        credential: &Arc<Credential>,
        who: &Principal,
    ) -> Result<Self, Refusal> {
        let began = targets.get(name).map(Arc::clone).ok_or_else(unserved)?;
        let login = login.unwrap_or(&credential.user).into();
        let seat = Self { name: name.clone(), login, began, shelf: ssh.depot().shelf(&who.owner()) };
        seat.room(ssh, targets, credential).map(|_| seat)
    }

    /// What a channel is served with by the targets that are in force. They are looked up after the credential was lent, as
    /// a reload changes targets first: a new credential is never shown to an old host.
    ///
    /// # Errors
    /// When the target is no longer the host that it was, or is gone, or has no such login any more.
    pub(crate) fn room(
        &self,
        ssh: &Ssh,
        targets: &Targets<Target>,
        credential: &Arc<Credential>,
    ) -> Result<Room, Refusal> {
        let served = targets.get(&self.name).and_then(|target| ssh.served(&self.name, target)).ok_or_else(unserved)?;
        if !served.target.is_reached_as(&self.began) {
            return Err(moved());
        }
        if *self.login != *credential.user && !served.target.logins.iter().any(|allowed| **allowed == *self.login) {
            return Err(no_such_login(&self.login));
        }
        let (credential, shelf) = (Arc::clone(credential), self.shelf.clone());
        Ok(Room { served, credential, login: self.login.clone(), shelf })
    }
}

impl Room {
    pub(crate) fn dial(&self, lobby: Lobby) -> Dial {
        Dial {
            target: Arc::clone(&self.served.target),
            keys: Arc::clone(&self.served.keys),
            credential: Arc::clone(&self.credential),
            login: self.login.clone(),
            lobby,
            shelf: self.shelf.clone(),
        }
    }

    pub(crate) fn setup(&self) -> Setup {
        let Served { target, commands, screens, files, tags, .. } = &*self.served;
        Setup {
            target: Arc::clone(target),
            commands: Arc::clone(commands),
            screens: Arc::clone(screens),
            files: Arc::clone(files),
            clock: now,
            scene: Scene { login: self.login.clone(), tags: Arc::clone(tags) },
        }
    }
}

fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
