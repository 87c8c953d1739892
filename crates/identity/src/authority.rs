//! What authorities of certificates have in common, be they of SSH or of TLS.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sluice_model::{Group, Person, Who};

use crate::error::ConfigError;
use crate::issuer::Kind;
use crate::mint;

const MAX_NAME_BYTES: usize = 32;
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The field that is wrong, and why.
pub(crate) type Mistake = (&'static str, String);

/// An authority that a configuration describes.
pub(crate) trait Configured: Sized {
    type Config;

    /// Its name in the configuration.
    fn name(config: &Self::Config) -> &str;

    /// Checks a configuration and reads the files it names.
    fn open(config: &Self::Config) -> Result<Self, Mistake>;

    /// The field that says the same of both.
    fn twin(&self, other: &Self) -> Option<&'static str>;
}

/// All authorities of a configuration, or every mistake in it.
pub(crate) fn open_all<A: Configured>(configs: &[A::Config]) -> Result<Vec<A>, Vec<ConfigError>> {
    let (mut ready, mut mistakes) = (Vec::<A>::new(), Vec::new());
    for config in configs {
        let authority = A::open(config).and_then(|authority| {
            let twin = ready.iter().find_map(|other| authority.twin(other));
            twin.map_or(Ok(authority), |field| Err((field, "is the same as another authority's".to_owned())))
        });
        match authority {
            Ok(authority) => ready.push(authority),
            Err((field, reason)) => mistakes.push(ConfigError { issuer: A::name(config).to_owned(), field, reason }),
        }
    }
    if mistakes.is_empty() { Ok(ready) } else { Err(mistakes) }
}

/// Checks what every authority has: a name, and how long its certificates may last.
pub(crate) fn check(name: &str, max_lifetime: u32) -> Result<(), Mistake> {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(clean) {
        return Err(("name", "is 1 to 32 characters of A-Z a-z 0-9 . _ -".to_owned()));
    }
    if name == mint::ISSUER {
        return Err(("name", "is reserved for Sluice's own certificates".to_owned()));
    }
    if max_lifetime == 0 {
        return Err(("max_lifetime", "must be at least one second".to_owned()));
    }
    Ok(())
}

/// Who the principal of a certificate is here: `authority:principal`.
pub(crate) fn who(authority: &str, kind: Kind, principal: &str, groups: BTreeSet<Group>) -> Who {
    let name = format!("{authority}:{principal}");
    match kind {
        Kind::User => Who::User(Person { name, groups }),
        Kind::Workload => Who::Workload { name, issuer: authority.to_owned(), groups },
    }
}

/// Reads a file that a field names.
pub(crate) fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, Mistake> {
    let failed = |error: std::io::Error| (field, format!("cannot be read from `{}`: {error}", path.display()));
    let found = fs::metadata(path).map_err(failed)?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err((field, format!("cannot be read: `{}` is no file of at most 4 MiB", path.display())));
    }
    fs::read(path).map_err(failed)
}
