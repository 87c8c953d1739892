//! What the kernel hands out: leave for a flow, and what more flows of its session are given by.

use std::fmt;
use std::sync::Arc;

use sluice_model::{FlowId, Principal, SessionId, TargetName};
use sluice_wire::{Credential, Interrupt, Objects};

use crate::ownership::Ownership;
use crate::ports::Keep;
use crate::register::{Place, Sharing};
use crate::stay::Stay;
use crate::tape::Tape;

/// Leave for one flow at a target, and everything that flow needs.
pub struct Grant {
    pub(crate) stay: Arc<Stay>,
    pub(crate) flow: FlowId,
    pub(crate) place: Place,
    pub(crate) tape: Tape,
    pub(crate) credential: Arc<Credential>,
    pub(crate) sharing: Sharing,
    pub(crate) keep: Arc<dyn Keep>,
}

/// A session that may be given more flows.
#[derive(Clone)]
pub struct Stem {
    pub(crate) stay: Arc<Stay>,
    pub(crate) sharing: Sharing,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("session", &self.stay.asker.session)
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stem").field("session", &self.stay.asker.session).finish_non_exhaustive()
    }
}

impl sluice_wire::Grant for Grant {
    fn principal(&self) -> &Principal {
        &self.stay.asker.who
    }

    fn target(&self) -> &TargetName {
        &self.stay.asker.target.name
    }

    fn session(&self) -> &SessionId {
        &self.stay.asker.session
    }

    fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    fn objects(&self) -> Arc<dyn Objects> {
        let asker = &self.stay.asker;
        let (target, who) = (asker.target.name.clone(), asker.who.to_string());
        Arc::new(Ownership { keep: Arc::clone(&self.keep), target, who })
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.place.holding) as Arc<dyn Interrupt>
    }
}
