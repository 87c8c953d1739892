//! What a masked value looks like, and the net that checks results before the first row.

mod chosen;
mod detect;
mod fold;
pub mod json;
mod plan;
mod recognise;
mod sieve;
mod terminal;
mod transform;

pub use chosen::Detector;
pub use detect::{BUILTINS, DetectorError, Detectors, Spec, Watch};
pub use plan::{Plan, Unmaskable};
pub use sieve::{Cover, Found, Lookout, Sieve, blot, is_clear, scrub};
pub use terminal::{Findings, Kind, Kinds, Mode, Terminal};
pub use transform::{Covers, Keyed, Noting, Restore, Tokens, stand_in};
