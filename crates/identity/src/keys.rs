//! The broker's signing key.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::error::KeysError;
use crate::keyset::Key;

const FILE: &str = "token-signing.pk8";
/// An Ed25519 PKCS#8 document has 48 to 85 bytes; anything longer is not one.
const MAX_FILE_BYTES: u64 = 1024;

/// The broker's Ed25519 key for Sluice tokens.
#[derive(Debug)]
pub struct Keys {
    pair: Ed25519KeyPair,
    id: String,
}

impl Keys {
    /// Loads the key of a data directory, or creates both on first use.
    ///
    /// Two brokers that start at once agree on one key: the file appears complete or not at all, and the second finds
    /// the first one's.
    ///
    /// # Errors
    /// When the key cannot be read or written, or others could have read it.
    pub fn open(directory: &Path) -> Result<Self, KeysError> {
        let path = directory.join(FILE);
        match Self::load(&path) {
            Err(KeysError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(directory, &path)?;
                Self::load(&path)
            }
            other => other,
        }
    }

    /// The id under which the public key is published: its RFC 7638 thumbprint.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half as a JWKS document (RFC 7517 §5, RFC 8037 §2).
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref()),
            "kid": self.id, "use": "sig", "alg": "EdDSA",
        }] })
    }

    /// Signs the signing input of a token.
    pub(crate) fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        self.pair.try_sign(input).ok().map(|signature| signature.as_ref().to_vec())
    }

    /// The public half, for the verifier.
    pub(crate) fn public(&self) -> Key {
        Key::new(DecodingKey::from_ed_der(self.pair.public_key().as_ref()), vec![Algorithm::EdDsa])
    }

    /// A secret that lives as long as the signing key, for one purpose.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, KeysError> {
        let seed = self.pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| KeysError::Generate)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref()), purpose.as_bytes());
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(tag.as_ref());
        Ok(secret)
    }

    fn load(path: &Path) -> Result<Self, KeysError> {
        let document = read(path)?;
        let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| KeysError::NotAKey(path.to_owned()))?;
        let id = thumbprint(pair.public_key().as_ref());
        Ok(Self { pair, id })
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> KeysError {
    move |source| KeysError::Io { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    // Asked before opening, because opening a pipe waits for its writer.
    if !fs::symlink_metadata(path).map_err(failed(path))?.is_file() {
        return Err(KeysError::NotAKey(path.to_owned()));
    }
    let file = File::open(path).map_err(failed(path))?;
    let mode = file.metadata().map_err(failed(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeysError::Exposed(path.to_owned()));
    }
    let mut document = Zeroizing::new(Vec::with_capacity(1024));
    file.take(MAX_FILE_BYTES).read_to_end(&mut document).map_err(failed(path))?;
    Ok(document)
}

/// Writes a new key beside its place and links it there: a link, unlike a rename, never replaces another broker's key.
fn create(directory: &Path, path: &Path) -> Result<(), KeysError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    let document = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8()).map_err(|_| KeysError::Generate)?;
    let draft = draft(directory)?;
    let written = write(&draft, document.as_ref()).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&draft);
    written.and(removed).and_then(|()| File::open(directory)?.sync_all()).map_err(failed(path))
}

fn draft(directory: &Path) -> Result<PathBuf, KeysError> {
    let mut name = [0; 16];
    rand::SecureRandom::fill(&SystemRandom::new(), &mut name).map_err(|_| KeysError::Generate)?;
    Ok(directory.join(format!(".{FILE}.{}", URL_SAFE_NO_PAD.encode(name))))
}

fn write(path: &Path, document: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A umask may take bits away from the mode of a new file but must not leave the owner without them.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(document)?;
    file.sync_all()
}

/// RFC 7638 §3: the digest of the required members, in lexical order, without white space.
fn thumbprint(public: &[u8]) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(public));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::thread;

    use super::{FILE, Keys, KeysError};

    #[test]
    fn the_key_is_created_once_and_loaded_afterwards() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        let first = Keys::open(&directory).unwrap();
        let second = Keys::open(&directory).unwrap();
        assert_eq!(first.id(), second.id());
        assert_eq!(first.jwks(), second.jwks());
        assert_eq!(*first.derive("a").unwrap(), *second.derive("a").unwrap());
        assert_ne!(*first.derive("a").unwrap(), *first.derive("b").unwrap());
        let mode = fs::metadata(directory.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn brokers_that_start_at_once_agree_on_one_key() {
        let home = tempfile::tempdir().unwrap();
        let ids: Vec<String> = thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Keys::open(home.path()).unwrap().id().to_owned())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_others_could_have_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o666, 0o601] {
            let home = tempfile::tempdir().unwrap();
            Keys::open(home.path()).unwrap();
            fs::set_permissions(home.path().join(FILE), fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(Keys::open(home.path()), Err(KeysError::Exposed(_))), "{mode:o}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_kept() {
        for content in [b"".as_slice(), b"-----BEGIN PRIVATE KEY-----", &[0x30; 4096]] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(FILE);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(Keys::open(home.path()), Err(KeysError::NotAKey(_))));
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_link_to_a_key_is_refused() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Keys::open(elsewhere.path()).unwrap();
        symlink(elsewhere.path().join(FILE), home.path().join(FILE)).unwrap();
        assert!(matches!(Keys::open(home.path()), Err(KeysError::NotAKey(_))));
    }

    #[test]
    fn the_published_document_has_no_private_member() {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::open(home.path()).unwrap().jwks();
        let key = keys["keys"][0].as_object().unwrap();
        let members: BTreeSet<_> = key.keys().map(String::as_str).collect();
        assert_eq!(members, BTreeSet::from(["alg", "crv", "kid", "kty", "use", "x"]));
    }
}
