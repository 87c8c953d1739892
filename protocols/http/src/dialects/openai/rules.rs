//! What the configuration of a target says about this dialect.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{self, Model, Models};
use super::contexts::Contexts;
use super::routes::Routes;
use crate::target::{Model as Configured, Target};

/// Tokens that are reserved for an answer where neither request nor configuration says more.
const DEFAULT_OUTPUT_TOKENS: u64 = 4_096;

/// Routes, models, hosts and tools of one target.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(super) routes: Routes,
    pub(super) models: Models,
    hosts: Vec<String>,
    destructive: Vec<String>,
    pub(super) contexts: Contexts,
}

impl Rules {
    /// Reads a target's configuration.
    pub(crate) fn of(target: &Target) -> Self {
        let models = if target.models.is_empty() {
            Models::Any
        } else {
            let listed = target.models.iter().map(|(name, model)| (name.clone(), priced(model)));
            Models::Listed(listed.collect::<BTreeMap<_, _>>())
        };
        Self {
            routes: Routes::published(),
            models,
            hosts: target.image_hosts.clone(),
            destructive: target.destructive_tools.clone(),
            contexts: Contexts::default(),
        }
    }

    pub(super) fn for_bodies(&self) -> ask::Rules<'_> {
        ask::Rules { models: &self.models, hosts: &self.hosts, destructive: &self.destructive }
    }

    /// The names and the real names of the models that may be named, where not every one may.
    pub(super) fn named_models(&self) -> Option<BTreeSet<String>> {
        match &self.models {
            Models::Any => None,
            Models::Listed(listed) => {
                let reals = listed.values().filter_map(|model| model.real.clone());
                Some(listed.keys().cloned().chain(reals).collect())
            }
        }
    }

    /// Whether only some models may be named.
    pub(super) const fn names_models(&self) -> bool {
        matches!(self.models, Models::Listed(_))
    }

    /// Whether the configuration says that a tool destroys something.
    pub(super) fn destroys(&self, tool: &str) -> bool {
        self.destructive.iter().any(|pattern| super::tools::matches(pattern, tool))
    }
}

fn priced(model: &Configured) -> Model {
    Model {
        real: model.real.clone(),
        input_micros: micros(model.input_price),
        cached_micros: micros(model.cached_price.unwrap_or(model.input_price)),
        output_micros: micros(model.output_price),
        default_output_tokens: model.default_output_tokens.map_or(DEFAULT_OUTPUT_TOKENS, u64::from),
        context_tokens: model.context_tokens.map(u64::from),
    }
}

/// A price in millionths of the currency's unit; one that is no price is none.
fn micros(price: f64) -> u64 {
    let micros = (price * 1_000_000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "INVARIANT: it is clamped to what a u64 holds"
    )]
    if micros.is_finite() { micros.clamp(0.0, 1e15) as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_kept_in_millionths() {
        let model = priced(&Configured {
            input_price: 2.0,
            cached_price: Some(0.5),
            output_price: 8.0,
            ..Configured::default()
        });
        let prices = (model.input_micros, model.cached_micros, model.output_micros);
        assert_eq!(prices, (2_000_000, 500_000, 8_000_000));
        assert_eq!(priced(&Configured { input_price: 2.0, ..Configured::default() }).cached_micros, 2_000_000);
        assert_eq!(micros(f64::NAN), 0);
        assert_eq!(micros(-1.0), 0);
        assert_eq!(micros(f64::INFINITY), 0);
    }
}
