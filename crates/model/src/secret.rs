//! Values that no log, error or recording may show.

pub use secrecy::ExposeSecret;

/// A credential: no `Display`, no `Serialize`, no `PartialEq`; wiped when dropped.
pub type Secret = secrecy::SecretString;
