//! Who made what at a target, on behalf of one principal.

use std::sync::Arc;

use sluice_model::TargetName;
use sluice_wire::{Looking, Made, Object, Objects, Owner, Unknown};

use crate::ports::Keep;

/// The objects of one target, as one principal asks for them.
pub(crate) struct Ownership {
    pub(crate) keep: Arc<dyn Keep>,
    pub(crate) target: TargetName,
    /// The principal, with the person it acts for.
    pub(crate) who: String,
}

impl Objects for Ownership {
    fn claim(&self, made: Vec<Made>) -> Looking<()> {
        let (keep, target, who) = (Arc::clone(&self.keep), self.target.clone(), self.who.clone());
        Box::pin(async move {
            keep.claim(target, who, made).await.map_err(|error| {
                tracing::error!(error = %error, "the owner of an object could not be written down");
                Unknown
            })
        })
    }

    fn owners(&self, objects: Vec<Object>) -> Looking<Vec<Owner>> {
        let (keep, target, who) = (Arc::clone(&self.keep), self.target.clone(), self.who.clone());
        Box::pin(async move {
            let owners = keep.owners(target, objects).await.map_err(|error| {
                tracing::error!(error = %error, "the owners of objects could not be looked up");
                Unknown
            })?;
            let told = owners.into_iter().map(|owner| match owner {
                Some(owner) if owner == who => Owner::Own,
                Some(_) => Owner::Other,
                None => Owner::Nobody,
            });
            Ok(told.collect())
        })
    }
}
