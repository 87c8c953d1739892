//! Ids that must not be guessable.

use sluice_model::{HoldId, SessionId};

/// Characters of a hold id: no vowels, so no words; no look-alikes.
const ALPHABET: &[u8; 32] = b"23456789bcdfghjkmnpqrstvwxyzBCDF";

/// An id could not be made.
#[derive(Debug)]
pub(crate) struct NoRandomness;

/// A time-ordered session id.
pub(crate) fn session_id() -> Result<SessionId, NoRandomness> {
    SessionId::new(uuid::Uuid::now_v7().to_string()).map_err(|_| NoRandomness)
}

/// A hold id that people can type: `h-` and ten characters (50 bits).
pub(crate) fn hold_id() -> Result<HoldId, NoRandomness> {
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).map_err(|_| NoRandomness)?;
    let letters = random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31)));
    let id: String = letters.map(|letter| char::from(*letter)).collect();
    HoldId::new(format!("h-{id}")).map_err(|_| NoRandomness)
}
