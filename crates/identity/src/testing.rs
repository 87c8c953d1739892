//! Issuers, keys and hostile servers for tests.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sluice_model::UnixMicros;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::algorithm::Algorithm;
use crate::issuer::{IssuerConfig, Kind};
use crate::keys::Keys;
use crate::mint::Lifetimes;
use crate::revocation::RevokedTokens;
use crate::scram::{Iterations, ScramLogins};
use crate::{Identity, ScramSecrets};

/// The moment tests happen at; nothing in them reads a clock.
pub(crate) const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);
/// [`NOW`] in seconds, for claims.
pub(crate) const NOW_SECONDS: i64 = 1_800_000_000;

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The private key of a test issuer.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// A public key, by an id.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                let (n, e) = (b64(n.big_endian_without_leading_zero()), b64(e.big_endian_without_leading_zero()));
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": b64(&point[1..33]), "y": b64(&point[33..]) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref()) })
            }
        }
    }

    /// A token of exactly these two texts.
    pub(crate) fn token(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", b64(header), b64(claims));
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(input.as_bytes()).as_ref().to_vec(),
        };
        format!("{input}.{}", b64(signature))
    }
}

/// The claims of a good token of the issuer of [`config`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://idp.example.com", "aud": "sluice-broker", "sub": "u-17", "groups": ["dev"],
        "iat": NOW_SECONDS - 10, "nbf": NOW_SECONDS - 10, "exp": NOW_SECONDS + 600,
    })
}

/// An issuer named `corp` whose keys are at a location.
pub(crate) fn config(jwks: impl Into<String>) -> IssuerConfig {
    IssuerConfig {
        name: "corp".to_owned(),
        issuer: "https://idp.example.com".to_owned(),
        audiences: BTreeSet::from(["sluice-broker".to_owned()]),
        jwks: jwks.into(),
        algorithms: BTreeSet::from([Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]),
        groups_claim: Some("groups".to_owned()),
        groups: Default::default(),
        subject_claim: "sub".to_owned(),
        types: vec!["JWT".to_owned(), "at+jwt".to_owned()],
        untyped: false,
        max_lifetime: 3600,
        kind: Kind::User,
    }
}

/// Everything an [`Identity`] needs, in a scratch directory.
pub(crate) struct Setup {
    pub(crate) home: tempfile::TempDir,
    pub(crate) keys: Keys,
    pub(crate) revoked: Arc<RevokedTokens>,
    pub(crate) logins: Arc<ScramLogins>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::open(home.path()).unwrap();
        Self { home, keys, revoked: Arc::default(), logins: Arc::default() }
    }

    /// A file of keys.
    pub(crate) fn publish(&self, keys: &[Value]) -> String {
        let path = self.home.path().join("jwks.json");
        publish(&path, keys);
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn identity(&self, issuers: Vec<IssuerConfig>) -> Identity {
        let scram: Arc<dyn ScramSecrets> = Arc::clone(&self.logins) as _;
        let revoked = Arc::clone(&self.revoked) as _;
        Identity::new(&self.keys, Lifetimes::STANDARD, issuers, Iterations::STANDARD, revoked, scram).unwrap()
    }
}

/// Puts a file of keys in place of another in one step, so that its inode tells them apart.
pub(crate) fn publish(path: &Path, keys: &[Value]) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, json!({ "keys": keys }).to_string()).unwrap();
    std::fs::rename(&draft, path).unwrap();
}

/// What a test server answers with; `Silence` never does.
#[derive(Clone)]
pub(crate) enum Reply {
    Say { status: &'static str, headers: String, body: Vec<u8> },
    Silence,
}

impl Reply {
    pub(crate) fn json(body: &Value) -> Self {
        Self::Say { status: "200 OK", headers: String::new(), body: body.to_string().into_bytes() }
    }
}

/// An HTTP server on this machine that counts its requests.
pub(crate) struct Server {
    pub(crate) url: String,
    hits: Arc<AtomicUsize>,
    reply: tokio::sync::watch::Sender<Reply>,
}

impl Server {
    pub(crate) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let hits = Arc::new(AtomicUsize::new(0));
        let (reply, current) = tokio::sync::watch::channel(reply);
        let counter = Arc::clone(&hits);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let reply = current.borrow().clone();
                let Reply::Say { status, headers, body } = reply else {
                    open.push(stream);
                    continue;
                };
                let mut request = [0; 2048];
                let _ = stream.read(&mut request).await;
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
                // A client that has seen enough closes: that is what the tests are about, not a failure of theirs.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            }
        });
        Self { url, hits, reply }
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn now_says(&self, reply: Reply) {
        self.reply.send(reply).unwrap();
    }
}
