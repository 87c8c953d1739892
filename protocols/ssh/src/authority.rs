//! Certificates that the broker issues to itself, one for each connection to a server.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Certificate, PrivateKey};

/// Seconds that a certificate is valid before it was issued: clocks differ.
const SKEW: u64 = 60;
/// Seconds that a certificate is valid: it is used once, at once.
const LIFETIME: u64 = 120;

/// A key of its own for one connection, and a certificate for it with exactly one principal, the login
/// (OpenSSH's PROTOCOL.certkeys).
///
/// # Errors
/// When the login is no principal that every version of OpenSSH reads as one, or the authority cannot sign.
pub(crate) fn issue(authority: &PrivateKey, login: &str) -> Result<(PrivateKey, Certificate), &'static str> {
    if !is_principal(login) {
        return Err("the login has characters that no principal may have");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?.as_secs();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| "there is no randomness")?;
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|_| "there is no randomness")?;
    let failed = |_| "the authority cannot sign";
    let mut builder =
        Builder::new(nonce.to_vec(), key.public_key(), now.saturating_sub(SKEW), now + LIFETIME).map_err(failed)?;
    builder.cert_type(CertType::User).map_err(failed)?;
    builder.key_id(format!("sluice {login}")).map_err(failed)?;
    builder.valid_principal(login).map_err(failed)?;
    for extension in ["permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty"] {
        builder.extension(extension, "").map_err(failed)?;
    }
    let certificate = builder.sign(authority).map_err(failed)?;
    Ok((key, certificate))
}

/// Commas split principals in OpenSSH up to 10.2 (CVE-2026-35414): nothing but plain names is signed.
fn is_principal(login: &str) -> bool {
    !login.is_empty() && login.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte))
}
