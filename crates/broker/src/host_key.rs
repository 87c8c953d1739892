//! The SSH host key of a broker, in its data folder.

use anyhow::Result;
use sluice_identity::HostKey;

use crate::paths::Paths;

/// Loads the host key, or makes it on first use.
pub(crate) fn open(paths: &Paths) -> Result<HostKey> {
    paths.make()?;
    Ok(HostKey::open(&paths.ssh())?)
}
