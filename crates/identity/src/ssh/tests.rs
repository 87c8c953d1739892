#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sluice_kernel::Identify as _;
use sluice_model::{ExposeSecret as _, Group, Person, Principal, TokenId, UnixMicros, Who};
use sluice_wire::Claim;

use super::{
    Authorities, AuthorityConfig, CertificateError, HostKey, HostKeyError, KeyError, NewKey, PublicKey, SshKeys as _,
    SshLogins,
};
use crate::issuer::Kind;
use crate::revocation::Revocations as _;
use crate::testing::Setup;

const NOW_SECONDS: u64 = 1_800_000_000;
const HOUR: u64 = 3_600;

fn now() -> UnixMicros {
    UnixMicros(0).plus_seconds(NOW_SECONDS.try_into().unwrap())
}

fn client() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// An Ed25519 key in the encoding of RFC 8709 §4.
fn blob(pair: &Ed25519KeyPair) -> Vec<u8> {
    [string("ssh-ed25519"), string(pair.public_key().as_ref())].concat()
}

fn line(pair: &Ed25519KeyPair) -> String {
    format!("ssh-ed25519 {} someone", STANDARD.encode(blob(pair)))
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

/// A certificate, field by field. Source: OpenSSH's PROTOCOL.certkeys.
#[derive(Clone)]
struct Draft {
    serial: u64,
    kind: u32,
    principals: Vec<&'static str>,
    after: u64,
    before: u64,
    options: Vec<(&'static str, &'static str)>,
    extensions: Vec<(&'static str, &'static str)>,
    authority: Option<Vec<u8>>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            serial: 7,
            kind: 1,
            principals: vec!["alice"],
            after: NOW_SECONDS - 60,
            before: NOW_SECONDS + HOUR,
            options: Vec::new(),
            extensions: vec![("made-up@example.com", ""), ("permit-pty", "")],
            authority: None,
        }
    }
}

impl Draft {
    fn sign(&self, authority: &Ed25519KeyPair, key: &Ed25519KeyPair) -> Vec<u8> {
        let options = |list: &[(&str, &str)]| {
            let one = |(name, value): &(&str, &str)| {
                let data = if value.is_empty() { Vec::new() } else { string(value) };
                [string(name), string(data)].concat()
            };
            string(list.iter().map(one).collect::<Vec<_>>().concat())
        };
        let signed = [
            string("ssh-ed25519-cert-v01@openssh.com"),
            string([9; 32]),
            string(key.public_key().as_ref()),
            self.serial.to_be_bytes().to_vec(),
            self.kind.to_be_bytes().to_vec(),
            string("an id"),
            string(self.principals.iter().map(string).collect::<Vec<_>>().concat()),
            self.after.to_be_bytes().to_vec(),
            self.before.to_be_bytes().to_vec(),
            options(&self.options),
            options(&self.extensions),
            string(""),
            string(self.authority.clone().unwrap_or_else(|| blob(authority))),
        ]
        .concat();
        let signature = [string("ssh-ed25519"), string(authority.sign(&signed).as_ref())].concat();
        [signed, string(signature)].concat()
    }
}

fn config(key: impl Into<String>) -> AuthorityConfig {
    AuthorityConfig {
        name: "corp".to_owned(),
        key: key.into(),
        kind: Kind::User,
        groups: BTreeSet::from([Group::new("engineers").unwrap()]),
        max_lifetime: 86_400,
        revoked_serials: BTreeSet::from([13]),
        revoked_keys: None,
    }
}

fn authorities(configs: &[AuthorityConfig]) -> Authorities {
    Authorities::open(configs).unwrap()
}

fn alice(token: &str, expires: UnixMicros) -> Principal {
    Principal {
        who: Who::User(Person { name: "alice".to_owned(), groups: BTreeSet::new() }),
        token: TokenId::new(token).unwrap(),
        expires,
        targets: None,
        run: None,
    }
}

#[test]
fn a_certificate_names_its_principal() {
    let (ca, key) = (pair(), pair());
    let trusted = authorities(&[config(line(&ca))]);
    let principal = trusted.check(&Draft::default().sign(&ca, &key), client(), now()).unwrap();
    let groups = BTreeSet::from([Group::new("engineers").unwrap()]);
    assert_eq!(principal.who, Who::User(Person { name: "corp:alice".to_owned(), groups: groups.clone() }));
    assert_eq!(principal.token.as_str(), "cert:corp:7");
    assert_eq!(principal.expires, now().plus_seconds(3_600));

    let machines = authorities(&[AuthorityConfig { kind: Kind::Workload, ..config(line(&ca)) }]);
    let principal = machines.check(&Draft::default().sign(&ca, &key), client(), now()).unwrap();
    let who = Who::Workload { name: "corp:alice".to_owned(), issuer: "corp".to_owned(), groups };
    assert_eq!(principal.who, who);
}

#[test]
fn an_unnumbered_certificate_has_a_handle_of_its_own() {
    let (ca, key) = (pair(), pair());
    let trusted = authorities(&[config(line(&ca))]);
    let draft = Draft { serial: 0, ..Draft::default() };
    let handle = |draft: &Draft| trusted.check(&draft.sign(&ca, &key), client(), now()).unwrap().token;
    assert_eq!(handle(&draft), handle(&draft));
    assert!(handle(&draft).as_str().starts_with("cert:corp:0:"));
    assert_ne!(handle(&draft), handle(&Draft { before: NOW_SECONDS + 60, ..draft.clone() }));
}

#[test]
fn every_rule_of_a_certificate_is_kept() {
    use CertificateError as Is;
    let at = |after: u64, before: u64| Draft { after, before, ..Draft::default() };
    let of = |principals: &[&'static str]| Draft { principals: principals.to_vec(), ..Draft::default() };
    let with = |name, value| Draft { options: vec![(name, value)], ..Draft::default() };
    for (name, draft, expected) in [
        ("a host's", Draft { kind: 2, ..Draft::default() }, Err(Is::Kind)),
        ("of no kind", Draft { kind: 3, ..Draft::default() }, Err(Is::Malformed)),
        ("from now on", at(NOW_SECONDS, NOW_SECONDS + 1), Ok(())),
        ("from later on", at(NOW_SECONDS + 1, NOW_SECONDS + 60), Err(Is::NotYetValid)),
        ("until now", at(NOW_SECONDS - 60, NOW_SECONDS), Err(Is::Expired)),
        ("a day", at(NOW_SECONDS, NOW_SECONDS + 86_400), Ok(())),
        ("a day and a second", at(NOW_SECONDS, NOW_SECONDS + 86_401), Err(Is::Lifetime)),
        ("for ever", at(0, u64::MAX), Err(Is::Lifetime)),
        ("backwards", at(NOW_SECONDS + 60, NOW_SECONDS - 60), Err(Is::NotYetValid)),
        ("anybody's", of(&[]), Err(Is::Principals)),
        ("two people's", of(&["alice", "bob"]), Err(Is::Principals)),
        ("nobody's", of(&[""]), Err(Is::Principals)),
        ("with a comma", of(&["alice,root"]), Err(Is::Principals)),
        ("with a colon", of(&["corp:root"]), Err(Is::Principals)),
        ("with a space", of(&["alice "]), Err(Is::Principals)),
        ("with an address", of(&["a.l-i_ce@example.com"]), Ok(())),
        ("with a command", with("force-command", "id"), Err(Is::CriticalOption)),
        ("with presence", with("verify-required", ""), Err(Is::CriticalOption)),
        ("with the unknown", with("made-up@example.com", "1"), Err(Is::CriticalOption)),
        ("from here", with("source-address", "10.0.0.0/8,192.0.2.0/24"), Ok(())),
        ("from elsewhere", with("source-address", "10.0.0.0/8"), Err(Is::SourceAddress)),
        ("from nowhere", with("source-address", ""), Err(Is::CriticalOption)),
        ("from nonsense", with("source-address", "192.0.2.7/24"), Err(Is::CriticalOption)),
        ("withdrawn", Draft { serial: 13, ..Draft::default() }, Err(Is::Revoked)),
    ] {
        let (ca, key) = (pair(), pair());
        let trusted = authorities(&[config(line(&ca))]);
        let checked = trusted.check(&draft.sign(&ca, &key), client(), now());
        assert_eq!(checked.map(drop), expected, "a certificate {name}");
    }
}

#[test]
fn only_the_very_key_of_an_authority_counts() {
    let (ca, other, key) = (pair(), pair(), pair());
    let trusted = authorities(&[config(line(&ca))]);
    let check = |certificate: &[u8]| trusted.check(certificate, client(), now()).map(drop);
    assert_eq!(check(&Draft::default().sign(&other, &key)), Err(CertificateError::UnknownAuthority));
    // Says it is of the authority, but was signed by somebody else.
    let posing = Draft { authority: Some(blob(&ca)), ..Draft::default() };
    assert_eq!(check(&posing.sign(&other, &key)), Err(CertificateError::Signature));
    // CVE-2025-49825: a certificate in the place of the authority's key, of which the authority's is a part.
    let nested = Draft { authority: Some(Draft::default().sign(&ca, &other)), ..Draft::default() };
    assert!(matches!(
        check(&nested.sign(&other, &key)),
        Err(CertificateError::UnknownAuthority | CertificateError::Malformed)
    ));
    let good = Draft::default().sign(&ca, &key);
    assert_eq!(check(&good), Ok(()));
    for at in 0..good.len() {
        let mut flipped = good.clone();
        *flipped.get_mut(at).unwrap() ^= 1;
        assert!(check(&flipped).is_err(), "byte {at}");
        assert!(check(good.get(..at).unwrap()).is_err(), "{at} bytes");
    }
    assert_eq!(check(&[good, vec![0]].concat()), Err(CertificateError::Malformed));
}

#[test]
fn keys_and_serials_are_withdrawn_by_the_configuration() {
    let (ca, key, other) = (pair(), pair(), pair());
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("revoked.pub");
    fs::write(&file, format!("# lost\n\n{}\n", line(&key))).unwrap();
    let trusted = authorities(&[AuthorityConfig { revoked_keys: Some(file.clone()), ..config(line(&ca)) }]);
    let check = |key| trusted.check(&Draft::default().sign(&ca, key), client(), now()).map(drop);
    assert_eq!((check(&key), check(&other)), (Err(CertificateError::Revoked), Ok(())));
    fs::write(&file, "nonsense\n").unwrap();
    let wrong = Authorities::open(&[AuthorityConfig { revoked_keys: Some(file), ..config(line(&ca)) }]).unwrap_err();
    assert_eq!(wrong.first().map(|wrong| wrong.field), Some("revoked_keys"));
}

#[test]
fn every_mistake_of_authorities_is_reported() {
    let (ca, other) = (pair(), pair());
    let wrong = Authorities::open(&[
        config(line(&ca)),
        config(line(&other)),
        AuthorityConfig { name: "b".to_owned(), ..config(line(&ca)) },
        AuthorityConfig { name: "a,b".to_owned(), ..config(line(&other)) },
        AuthorityConfig { name: "sluice".to_owned(), ..config(line(&other)) },
        AuthorityConfig { name: "c".to_owned(), max_lifetime: 0, ..config(line(&other)) },
        AuthorityConfig { name: "d".to_owned(), ..config("/nowhere/ca.pub") },
        AuthorityConfig { name: "e".to_owned(), ..config("ssh-ed25519 AAAA") },
    ])
    .unwrap_err();
    let fields: Vec<&str> = wrong.iter().map(|wrong| wrong.field).collect();
    assert_eq!(fields, ["name", "key", "name", "name", "max_lifetime", "key", "key"]);
}

fn keygen(dir: &Path, arguments: &[&str]) {
    let output = Command::new("ssh-keygen").current_dir(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn generate(dir: &Path, name: &str, kind: &str, bits: &str) -> PathBuf {
    keygen(dir, &["-q", "-t", kind, "-b", bits, "-N", "", "-f", name]);
    dir.join(format!("{name}.pub"))
}

#[test]
fn certificates_of_openssh_count_whatever_the_type_of_the_authority() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let times = format!("{:#x}:{:#x}", NOW_SECONDS - 60, NOW_SECONDS + HOUR);
    generate(dir, "user", "ecdsa", "256");
    for (name, kind, bits, how, expected) in [
        ("ed", "ed25519", "256", None, Ok(())),
        ("p256", "ecdsa", "256", None, Ok(())),
        ("p384", "ecdsa", "384", None, Ok(())),
        ("p521", "ecdsa", "521", None, Ok(())),
        ("rsa512", "rsa", "2048", Some("rsa-sha2-512"), Ok(())),
        ("rsa256", "rsa", "2048", Some("rsa-sha2-256"), Ok(())),
        ("rsa1", "rsa", "2048", Some("ssh-rsa"), Err(CertificateError::Signature)),
    ] {
        let public = generate(dir, name, kind, bits);
        let mut arguments = vec!["-q", "-s", name, "-I", "id", "-n", "alice", "-z", "7", "-V", &times];
        arguments.extend(how.iter().flat_map(|how| ["-t", *how]));
        arguments.push("user.pub");
        keygen(dir, &arguments);
        let text = fs::read_to_string(dir.join("user-cert.pub")).unwrap();
        let bytes = STANDARD.decode(text.split(' ').nth(1).unwrap()).unwrap();
        let trusted = authorities(&[config(public.to_str().unwrap())]);
        assert_eq!(trusted.check(&bytes, client(), now()).map(drop), expected, "{name}");
    }
}

#[test]
fn keys_are_read_and_those_too_weak_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    for (kind, bits, expected) in [
        ("ed25519", "256", Ok("ssh-ed25519")),
        ("ecdsa", "256", Ok("ecdsa-sha2-nistp256")),
        ("ecdsa", "384", Ok("ecdsa-sha2-nistp384")),
        ("ecdsa", "521", Ok("ecdsa-sha2-nistp521")),
        ("rsa", "2048", Ok("ssh-rsa")),
        ("rsa", "1024", Err(KeyError::RsaSize(1024))),
        ("rsa", "2040", Err(KeyError::RsaSize(2040))),
    ] {
        let text = fs::read_to_string(generate(dir, &format!("{kind}{bits}"), kind, bits)).unwrap();
        let algorithm = PublicKey::parse(&text).map(|key| key.algorithm());
        assert_eq!(algorithm, expected.map(str::to_owned), "{kind} {bits}");
    }
    let sk = [string("sk-ssh-ed25519@openssh.com"), string([5; 32]), string("ssh:")].concat();
    let sk = format!("sk-ssh-ed25519@openssh.com {}", STANDARD.encode(sk));
    assert_eq!(PublicKey::parse(&sk).unwrap().algorithm(), "sk-ssh-ed25519@openssh.com");
    let number = |byte: u8| string([1, byte]);
    let dsa = [string("ssh-dss"), number(1), number(2), number(3), number(4)].concat();
    let dsa = format!("ssh-dss {}", STANDARD.encode(dsa));
    let private = fs::read_to_string(dir.join("ed25519256")).unwrap();
    let good = line(&pair());
    let ed = blob(&pair());
    for (text, expected) in [
        (dsa, KeyError::Dsa),
        (private, KeyError::Private),
        (String::new(), KeyError::Malformed),
        ("alice".to_owned(), KeyError::Malformed),
        (format!("{good}\n{good}"), KeyError::Malformed),
        (format!("no-pty {good}"), KeyError::Malformed),
        (good.replace("ssh-ed25519 ", "ssh-rsa "), KeyError::Malformed),
        (format!("ssh-ed25519 {}", STANDARD.encode([ed, vec![0]].concat())), KeyError::Malformed),
        (format!("ssh-ed25519-cert-v01@openssh.com {}", STANDARD.encode("x")), KeyError::Certificate),
        (format!("{good}{}", "x".repeat(9_000)), KeyError::Malformed),
    ] {
        assert_eq!(PublicKey::parse(&text), Err(expected), "{text}");
    }
}

#[tokio::test]
async fn a_key_signs_in_until_it_ends_or_is_revoked() {
    let setup = Setup::new();
    let logins = Arc::new(SshLogins::default());
    let identity = setup.identity(Vec::new()).with_ssh_keys(Arc::clone(&logins) as _);
    let key: Bytes = blob(&pair()).into();
    let claim = || Claim::Key { key: key.clone() };
    let unknown = identity.authenticate(claim(), now()).await.unwrap_err();
    logins.put(key.clone(), alice("k-1", now().plus_seconds(60)));
    assert_eq!(identity.authenticate(claim(), now()).await.unwrap().principal.name(), "alice");

    let late = now().plus_seconds(60);
    assert_eq!(identity.check_key(&key, late), Err(CertificateError::Expired));
    let expired = identity.authenticate(claim(), late).await.unwrap_err();
    setup.revoked.revoke(TokenId::new("k-1").unwrap(), late);
    assert_eq!(identity.check_key(&key, now()), Err(CertificateError::Revoked));
    let revoked = identity.authenticate(claim(), now()).await.unwrap_err();
    assert_eq!((&expired, &revoked), (&unknown, &unknown), "clients are not told apart");
    logins.put(key.clone(), alice("k-2", late));
    assert!(identity.authenticate(claim(), now()).await.is_ok(), "added again");
}

#[tokio::test]
async fn a_certificate_signs_in_until_its_handle_is_revoked_or_its_authority_goes() {
    let setup = Setup::new();
    let identity = setup.identity(Vec::new());
    let (ca, key) = (pair(), pair());
    let certificate: Bytes = Draft::default().sign(&ca, &key).into();
    let claim = || Claim::Certificate { certificate: certificate.clone(), client: client() };
    let untrusted = identity.authenticate(claim(), now()).await.unwrap_err();
    identity.trust(authorities(&[config(line(&ca))]));
    let principal = identity.authenticate(claim(), now()).await.unwrap().principal;
    assert_eq!(principal.name(), "corp:alice");
    setup.revoked.revoke(principal.token.clone(), principal.expires);
    assert!(setup.revoked.is_revoked(&principal.token) && identity.is_revoked(&principal.token));
    assert_eq!(identity.authenticate(claim(), now()).await.unwrap_err(), untrusted);
    assert_eq!(identity.check_certificate(&certificate, client(), now()), Err(CertificateError::Revoked));
    identity.trust(Authorities::default());
    assert_eq!(identity.check_certificate(&certificate, client(), now()), Err(CertificateError::UnknownAuthority));
}

#[tokio::test]
async fn a_certificate_is_looked_at_again_under_every_configuration() {
    let home = tempfile::tempdir().unwrap();
    let (ca, key) = (pair(), pair());
    let certificate: Bytes = Draft::default().sign(&ca, &key).into();
    let lost = home.path().join("lost.pub");
    fs::write(&lost, line(&key)).unwrap();
    let good = || config(line(&ca));
    for (name, other, holds) in [
        ("as it was", Some(good()), true),
        ("another serial", Some(AuthorityConfig { revoked_serials: [8].into(), ..good() }), true),
        ("its serial", Some(AuthorityConfig { revoked_serials: [7].into(), ..good() }), false),
        ("its key", Some(AuthorityConfig { revoked_keys: Some(lost.clone()), ..good() }), false),
        ("too long for now", Some(AuthorityConfig { max_lifetime: 60, ..good() }), false),
        ("somebody else", Some(AuthorityConfig { name: "other".to_owned(), ..good() }), false),
        ("in other groups", Some(AuthorityConfig { groups: BTreeSet::new(), ..good() }), false),
        ("another authority", Some(config(line(&pair()))), false),
        ("no authority", None, false),
    ] {
        let identity = Setup::new().identity(Vec::new());
        identity.trust(authorities(&[good()]));
        let claim = Claim::Certificate { certificate: certificate.clone(), client: client() };
        let who = identity.authenticate(claim, now()).await.unwrap().principal;
        assert!(identity.still_holds(&who, now()), "{name}: nothing has changed");
        identity.trust(other.map_or_else(Authorities::default, |other| authorities(&[other])));
        assert_eq!(identity.still_holds(&who, now()), holds, "{name}");
        identity.trust(authorities(&[good()]));
        assert!(identity.still_holds(&who, now()), "{name}: what was is again");
    }
}

#[test]
fn the_host_key_is_made_once_and_openssh_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ssh");
    let first = HostKey::open(&dir).unwrap();
    let again = HostKey::open(&dir).unwrap();
    assert_eq!(first.private().expose_secret(), again.private().expose_secret());
    let file = dir.join("host_ed25519");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no draft is left behind");

    let told = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").current_dir(&dir).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(told(&["-y", "-f", "host_ed25519"]).trim(), first.public());
    let public = format!("{}\n", first.public());
    fs::write(dir.join("host.pub"), public).unwrap();
    let records = told(&["-r", "broker", "-f", "host.pub"]);
    let ours: Vec<String> = first.sshfp().iter().map(|data| format!("broker IN SSHFP {data}")).collect();
    assert_eq!(records.lines().collect::<Vec<_>>(), ours);
}

#[test]
fn a_new_key_is_one_that_openssh_reads_and_nobody_elses() {
    let (key, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
    assert_ne!(key.public().blob(), other.public().blob());
    assert!(!format!("{key:?}").contains("PRIVATE"), "{key:?}");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("key");
    fs::write(&file, key.private().expose_secret()).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let told = Command::new("ssh-keygen").args(["-y", "-f"]).arg(&file).output().unwrap();
    let public = PublicKey::parse(&String::from_utf8(told.stdout).unwrap()).unwrap();
    assert_eq!(public.blob(), key.public().blob());
    assert_eq!(key.public().algorithm(), "ssh-ed25519");
}

#[test]
fn keys_are_forgotten_once_they_are_refused_anyway() {
    let logins = SshLogins::default();
    let end = now().plus_seconds(60);
    logins.put(Bytes::from_static(b"key"), alice("k-1", end));
    logins.put(Bytes::from_static(b"other"), alice("k-2", end.plus_seconds(1)));
    logins.forget_expired(end.plus_seconds(-1));
    assert!(logins.find(b"key").is_some());
    logins.forget_expired(end);
    assert!(logins.find(b"key").is_none() && logins.find(b"other").is_some());
}

#[test]
fn a_host_key_that_is_exposed_or_none_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("host_ed25519");
    HostKey::open(home.path()).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(HostKey::open(home.path()), Err(HostKeyError::Exposed(_))));
    let whole = fs::read(&file).unwrap();
    for content in [&b""[..], b"nonsense", whole.get(..whole.len() / 2).unwrap()] {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(HostKey::open(home.path()), Err(HostKeyError::NotAKey(_))));
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(HostKey::open(home.path()), Err(HostKeyError::NotAKey(_))));
}
