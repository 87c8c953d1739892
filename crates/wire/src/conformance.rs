//! The conformance kit: seven laws that every protocol keeps, played without sockets and without a clock.
//!
//! A protocol's tests implement [`Subject`] and write [`suite!`](suite) once:
//!
//! 1. *split*: any cutting of the bytes gives the same steps;
//! 2. *leave*: nothing reaches the server unruled, and nothing that a server asks for reaches the client unruled;
//! 3. *silence*: where all is allowed and nothing masked, the bytes that come out are the bytes that went in;
//! 4. *refusal*: a denial is a valid protocol error and the client's stream stays usable;
//! 5. *canary*: a masked value is in no frame to the client, in no question about an answer and in no note;
//! 6. *bound*: what a flow holds has a stated limit;
//! 7. *calm*: no input panics, and no input breaks the second law.
//!
//! What a client sends is one stream. It is one flow, or one flow after another where a flow is one exchange, which is
//! what [`Subject::phase`] tells: each has a machine, codecs and a server of its own and counts its operations anew.
//!
//! [`Rig`] is the kernel's order without the kernel; [`transcript`] compares whole conversations with readable files;
//! [`Fuzz`] is the body of a fuzz target, [`mutant`] what one feeds to a reader.

mod bound;
mod escape;
mod fuzz;
mod judge;
mod laws;
mod mutants;
mod play;
mod rig;
mod subject;
mod trace;
pub mod transcript;

pub use bound::bound;
pub use escape::{escape, unescape};
pub use fuzz::Fuzz;
pub use judge::{Judge, a_hold, a_refusal};
pub use laws::{Breach, Law, calm, canary, leave, refusal, silence, split};
pub use mutants::{mutant, scripts};
pub use rig::Rig;
pub use subject::{CANARY, Endless, Flood, Masked, Move, Phase, Server, Subject, Talk};
pub use trace::{Event, Trace};

/// Gives a protocol's tests the seven laws: `suite!(Subject)`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite {
    ($subject:ty) => {
        #[test]
        fn law_1_split() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::split::<$subject>()
        }

        #[test]
        fn law_2_leave() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::leave::<$subject>()
        }

        #[test]
        fn law_3_silence() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::silence::<$subject>()
        }

        #[test]
        fn law_4_refusal() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::refusal::<$subject>()
        }

        #[test]
        fn law_5_canary() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::canary::<$subject>()
        }

        #[test]
        fn law_6_bound() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::bound::<$subject>()
        }

        #[test]
        fn law_7_calm() -> Result<(), $crate::conformance::Breach> {
            $crate::conformance::calm::<$subject>()
        }
    };
}

pub use crate::__conformance_suite as suite;
