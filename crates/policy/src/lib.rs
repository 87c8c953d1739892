//! Cedar policies and protocol schemas, compiled into one pure decision function.
//!
//! [`Policies::compile`] checks policy text against what protocols declare; [`Policies::decide`] answers one
//! [`Case`]. **Invariant:** nothing here does I/O or reads a clock, and no protocol is named.

mod annotation;
mod ask;
mod budget;
mod case;
pub mod cases;
mod compile;
mod condition;
mod context;
mod decide;
mod diagnostic;
mod entity;
mod explain;
mod naming;
mod policies;
mod refusal;
mod rule;
mod scene;
mod schema;
mod scope;
mod settings;
mod source;
mod verb;
mod vocabulary;

pub use case::{Approved, Case, Decision, Moment};
pub use diagnostic::{Diagnostics, Problem};
pub use explain::{Asked, Explanation, NearMiss, Outcome};
pub use policies::{Named, Policies, Slice};
pub use schema::schema_text;
pub use settings::Settings;
pub use source::Source;
pub use verb::{Place, Verb};
