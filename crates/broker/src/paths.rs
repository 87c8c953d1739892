//! What lies where in the data folder.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A broker's data folder.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Names the parts of a folder; makes nothing.
    pub(crate) fn of(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Makes the folder, readable by its owner only.
    pub(crate) fn make(&self) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .with_context(|| format!("the data folder `{}` cannot be made", self.root.display()))
    }

    /// The folder of the token-signing key.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The folder of the development certificate.
    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The folder of the SSH host key.
    pub(crate) fn ssh(&self) -> PathBuf {
        self.root.join("ssh")
    }

    /// The embedded store.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.sqlite")
    }

    /// The folder of recordings and of the node's log.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }

    /// The socket by which the command line talks to a running broker.
    pub(crate) fn control(&self) -> PathBuf {
        self.root.join("control.sock")
    }
}
