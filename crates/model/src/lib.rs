//! The nouns every other crate speaks: principals, targets, operations, verdicts.
//!
//! **Invariant:** nothing here does I/O, reads a clock, or knows a protocol by name.

mod effect;
mod id;
mod obligation;
mod operation;
mod principal;
mod schema;
mod secret;
mod spend;
mod tag;
mod target;
mod text;
mod verdict;

pub use effect::{Action, Effect};
pub use id::{DecisionId, Digest, FlowId, HoldId, InvalidId, OpId, RuleId, RunId, SessionId, TokenId, UnixMicros};
pub use obligation::{Budget, Controls, Level, Mask, Obligations, Per, Transform, Unit, Withheld};
pub use operation::{Access, Exposure, Fact, Facts, Meaning, Operation, Resource, Shape, Stage, Usage};
pub use principal::{Group, Person, Principal, Who};
pub use schema::{ActionSpec, FactGroup, FactSpec, FactType, ResourceSpec, Schema, fact};
pub use secret::{ExposeSecret, Secret};
pub use spend::Spend;
pub use tag::Tag;
pub use target::{Environment, Part, Target, TargetName};
pub use text::Text;
pub use verdict::{Approval, Code, Grounds, Hold, Nearest, Refusal, Ruling, Scope, Span, Verdict};
