//! What `sluice check` finds out about a host.

use std::sync::Arc;

use sluice_wire::{Credential, Finding};

use crate::dial::{Dial, Unreachable};
use crate::hostkeys::HostKeys;
use crate::shelf::Shelf;
use crate::target::Target;
use crate::welcome::Lobby;

/// Signs in once, where there is a credential to do it with.
pub async fn check(target: &Target, credential: Option<Credential>) -> Vec<Finding> {
    let Some(credential) = credential else {
        return vec![Finding::Unchecked("the host was not asked".to_owned())];
    };
    let keys = match HostKeys::of(target) {
        Ok(keys) => Arc::new(keys),
        Err(wrong) => return vec![Finding::Wrong(wrong)],
    };
    let login = credential.user.as_str().into();
    let (lobby, _nobody_arrives) = Lobby::new();
    let (target, credential) = (Arc::new(target.clone()), Arc::new(credential));
    let dial = Dial { target, keys, credential, login, lobby, shelf: Shelf::none() };
    vec![match dial.try_out().await {
        Ok(()) => Finding::Resolved(format!(
            "{}:{} takes the credential of {}",
            dial.target.host, dial.target.port, dial.login
        )),
        Err(error @ (Unreachable::Connect(_) | Unreachable::Slow | Unreachable::Protocol(_))) => {
            Finding::Unchecked(error.to_string())
        }
        Err(error) => Finding::Wrong(error.to_string()),
    }]
}
