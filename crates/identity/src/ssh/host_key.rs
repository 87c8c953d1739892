//! The broker's own SSH host key, by which clients know it again.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::Ed25519KeyPair;
use sluice_model::Secret;
use ssh_key::PrivateKey;
use thiserror::Error;
use zeroize::Zeroizing;

use super::pair;

const FILE: &str = "host_ed25519";
/// An unencrypted Ed25519 key has some 400 bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// Why the host key cannot be used.
#[derive(Debug, Error)]
pub enum HostKeyError {
    #[error("the SSH host key `{}` cannot be read or written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the SSH host key `{}` can be read by others; make it readable by its owner only (mode 0600)", .0.display())]
    Exposed(PathBuf),
    #[error("`{}` is not an Ed25519 key without a passphrase in OpenSSH's form", .0.display())]
    NotAKey(PathBuf),
    #[error("no key could be generated")]
    Generate,
}

/// An Ed25519 host key.
pub struct HostKey {
    private: Secret,
    public: String,
    blob: Vec<u8>,
}

impl HostKey {
    /// Loads the key of a folder, or makes both on first use. Brokers that start at once agree on one key: the file
    /// appears complete or not at all.
    ///
    /// # Errors
    /// When the key cannot be read or written, is none, or others could have read it.
    pub fn open(directory: &Path) -> Result<Self, HostKeyError> {
        let path = directory.join(FILE);
        match Self::load(&path) {
            Err(HostKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(directory, &path)?;
                Self::load(&path)
            }
            other => other,
        }
    }

    /// The private key in OpenSSH's form, a PEM text. Source: OpenSSH's PROTOCOL.key.
    #[must_use]
    pub const fn private(&self) -> &Secret {
        &self.private
    }

    /// The public key as in a known_hosts line: `ssh-ed25519 AAAA…`.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The data of its SSHFP records: algorithm 4 (RFC 7479) with SHA-1 (RFC 4255) and SHA-256 (RFC 6594).
    #[must_use]
    pub fn sshfp(&self) -> Vec<String> {
        let hex = |by| digest::digest(by, &self.blob).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let (sha1, sha256): (String, String) = (hex(&digest::SHA1_FOR_LEGACY_USE_ONLY), hex(&digest::SHA256));
        vec![format!("4 1 {sha1}"), format!("4 2 {sha256}")]
    }

    fn load(path: &Path) -> Result<Self, HostKeyError> {
        let not_a_key = || HostKeyError::NotAKey(path.to_owned());
        let document = read(path)?;
        let key = PrivateKey::from_openssh(document.as_slice()).map_err(|_| not_a_key())?;
        let pair = key.key_data().ed25519().ok_or_else(not_a_key)?;
        Ed25519KeyPair::from_seed_and_public_key(&pair.private.to_bytes(), pair.public.as_ref())
            .map_err(|_| not_a_key())?;
        let mut public = key.public_key().clone();
        public.set_comment("");
        let (line, blob) = (public.to_openssh().map_err(|_| not_a_key())?, public.to_bytes().map_err(|_| not_a_key())?);
        let private = String::from_utf8(document.to_vec()).map_err(|_| not_a_key())?;
        Ok(Self { private: Secret::from(private), public: line.trim().to_owned(), blob })
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> HostKeyError {
    move |source| HostKeyError::Io { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, HostKeyError> {
    // Asked before opening, because opening a pipe waits for its writer.
    if !fs::symlink_metadata(path).map_err(failed(path))?.is_file() {
        return Err(HostKeyError::NotAKey(path.to_owned()));
    }
    let file = File::open(path).map_err(failed(path))?;
    let mode = file.metadata().map_err(failed(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(HostKeyError::Exposed(path.to_owned()));
    }
    let mut document = Zeroizing::new(Vec::with_capacity(4096));
    file.take(MAX_FILE_BYTES).read_to_end(&mut document).map_err(failed(path))?;
    Ok(document)
}

/// Writes a new key beside its place and links it there: a link, unlike a rename, never replaces another broker's key.
fn create(directory: &Path, path: &Path) -> Result<(), HostKeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    let document = pair::generate().and_then(|key| pair::document(&key)).ok_or(HostKeyError::Generate)?;
    let mut name = [0; 8];
    rand::SecureRandom::fill(&SystemRandom::new(), &mut name).map_err(|_| HostKeyError::Generate)?;
    let draft = directory.join(format!(".{FILE}.{:016x}", u64::from_be_bytes(name)));
    let written = write(&draft, document.as_bytes()).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&draft);
    written.and(removed).and_then(|()| File::open(directory)?.sync_all()).map_err(failed(path))
}

fn write(path: &Path, document: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A umask may take bits away from the mode of a new file but must not leave the owner without them.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(document)?;
    file.sync_all()
}
