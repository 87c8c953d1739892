//! Machines without a listener: what tests of the protocol by itself begin with.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use sluice_model::TargetName;
use sluice_wire::Objects;

use crate::dial::Pools;
use crate::dialects::openai::Asker;
use crate::machine::HttpMachine;
use crate::patience::{Interims, Patience};
use crate::served::Served;
use crate::target::Target;

/// A target as machines need it, compiled once.
#[derive(Clone)]
pub struct Setup(Arc<Served>);

impl Setup {
    /// Compiles a target; stable stand-ins are made with the key. The error says in words why it cannot be served.
    pub fn new(name: &TargetName, target: &Target, mask_key: [u8; 32]) -> Result<Self, String> {
        let served = Served::new(name, target, &Pools::default(), mask_key).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(served)))
    }

    /// The machine of an exchange over HTTP/1.1 whose request has these headers.
    #[must_use]
    pub fn machine(&self, who: &str, objects: Arc<dyn Objects>, headers: &HeaderMap) -> HttpMachine {
        let asker = Asker { who: who.to_owned(), person: who.into(), ..Asker::default() };
        HttpMachine::new(Arc::clone(&self.0), asker, objects, Patience::of(headers, Interims::Sent))
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setup({})", self.0.name)
    }
}
