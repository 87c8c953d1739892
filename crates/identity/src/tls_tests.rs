#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};

use sluice_kernel::Identify as _;
use sluice_wire::Claim;

use crate::mint;
use crate::testing::Setup;

use super::*;

/// The middle of 2030.
const NOW: UnixMicros = UnixMicros(1_909_000_000_000_000);

struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    home: tempfile::TempDir,
}

impl Ca {
    fn new() -> Self {
        Self::named("clients")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, home: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn config(&self) -> ClientAuthorityConfig {
        let ca = self.file("ca.pem", &self.issuer.pem());
        serde_json::from_value(serde_json::json!({ "name": "corp", "ca": ca, "groups": ["staff"] })).unwrap()
    }

    /// The certificates of a client, by what is changed of a good one.
    fn shown(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<Bytes> {
        let mut params = good();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        vec![Bytes::copy_from_slice(params.signed_by(&key, &self.issuer).unwrap().der())]
    }
}

fn good() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "ann");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xbc]));
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2030, 12, 31);
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn checked(config: ClientAuthorityConfig, chain: &[Bytes]) -> Result<String, CertificateError> {
    let principal = ClientAuthorities::open(&[config]).unwrap().check(chain, NOW)?;
    Ok(principal.to_string())
}

#[test]
fn a_certificate_of_an_authority_is_somebodys() {
    let ca = Ca::new();
    let principal = ClientAuthorities::open(&[ca.config()]).unwrap().check(&ca.shown(|_| {}), NOW).unwrap();
    assert_eq!(principal.to_string(), "user:corp:ann");
    assert_eq!(principal.token.as_str(), "tls:corp:abc");
    assert_eq!(principal.groups().iter().map(Group::as_str).collect::<Vec<_>>(), ["staff"]);
    assert_eq!(principal.expires, UnixMicros(1_924_905_600_000_000));
    let workload = ClientAuthorityConfig { kind: Kind::Workload, ..ca.config() };
    assert_eq!(checked(workload, &ca.shown(|_| {})), Ok("workload:corp:ann".to_owned()));
}

#[test]
fn certificates_that_are_nobodys() {
    use CertificateError as E;
    let (ca, other, twin) = (Ca::new(), Ca::named("others"), Ca::new());
    for (name, chain, expected) in [
        ("none", vec![], E::Malformed),
        ("of somebody else", other.shown(|_| {}), E::UnknownAuthority),
        ("of somebody who says to be the authority", twin.shown(|_| {}), E::Signature),
        ("torn", vec![ca.shown(|_| {})[0].slice(..100)], E::Malformed),
        ("of too long a chain", ca.shown(|_| {}).into_iter().cycle().take(MAX_CHAIN + 1).collect(), E::Malformed),
        ("expired", ca.shown(|params| params.not_after = date_time_ymd(2030, 2, 1)), E::Expired),
        ("of the future", ca.shown(|params| params.not_before = date_time_ymd(2030, 12, 1)), E::NotYetValid),
        ("for two years", ca.shown(|params| params.not_after = date_time_ymd(2032, 1, 1)), E::Lifetime),
        (
            "of a server",
            ca.shown(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            E::Kind,
        ),
        (
            "without a name",
            ca.shown(|params| params.distinguished_name = rcgen::DistinguishedName::new()),
            E::Principals,
        ),
        (
            "with a name of lines",
            ca.shown(|params| params.distinguished_name.push(DnType::CommonName, "ann\nbob")),
            E::Principals,
        ),
        (
            "with a name of commas",
            ca.shown(|params| params.distinguished_name.push(DnType::CommonName, "ann,bob")),
            E::Principals,
        ),
        (
            "with an empty name",
            ca.shown(|params| params.distinguished_name.push(DnType::CommonName, "")),
            E::Principals,
        ),
    ] {
        assert_eq!(checked(ca.config(), &chain), Err(expected), "{name}");
    }
}

#[test]
fn names_stand_where_the_configuration_says() {
    let ca = Ca::new();
    let both = ca.shown(|params| params.subject_alt_names = vec![dns("ci.example.com"), uri("spiffe://example/ci")]);
    for (subject, chain, expected) in [
        (Subject::CommonName, &both, Ok("user:corp:ann")),
        (Subject::Dns, &both, Ok("user:corp:ci.example.com")),
        (Subject::Uri, &both, Ok("user:corp:spiffe://example/ci")),
        (Subject::Dns, &ca.shown(|_| {}), Err(CertificateError::Principals)),
        (Subject::Uri, &ca.shown(|_| {}), Err(CertificateError::Principals)),
        (
            Subject::Dns,
            &ca.shown(|params| params.subject_alt_names = vec![dns("a.example.com"), dns("b.example.com")]),
            Err(CertificateError::Principals),
        ),
    ] {
        let config = ClientAuthorityConfig { subject, ..ca.config() };
        assert_eq!(checked(config, chain).as_deref(), expected.as_deref(), "{subject:?}");
    }
}

#[test]
fn an_intermediate_authority_is_followed_and_no_other_certificate_is_one() {
    let ca = Ca::new();
    let between = |is_ca: IsCa| {
        let mut params = good();
        params.is_ca = is_ca;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages.clear();
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &ca.issuer).unwrap();
        let own = good().signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        vec![Bytes::copy_from_slice(own.der()), Bytes::copy_from_slice(issuer.der())]
    };
    let chain = between(IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(checked(ca.config(), &chain), Ok("user:corp:ann".to_owned()));
    assert!(checked(ca.config(), &chain[..1]).is_err());
    assert!(
        checked(ca.config(), &between(IsCa::ExplicitNoCa)).is_err(),
        "anybody with a certificate could make others"
    );
}

#[test]
fn revoked_certificates() {
    let ca = Ca::new();
    let revoked = |serials: &[&str]| ClientAuthorityConfig {
        revoked_serials: serials.iter().map(|serial| (*serial).to_owned()).collect(),
        ..ca.config()
    };
    let chain = ca.shown(|_| {});
    assert_eq!(checked(revoked(&["abc"]), &chain), Err(CertificateError::Revoked));
    assert!(checked(revoked(&["abd"]), &chain).is_ok());

    let list = |serial: Vec<u8>, until: i32| {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(until - 1, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(vec![1]),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2030, 1, 2),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&ca.issuer).unwrap().pem().unwrap()
    };
    for (name, list, good) in [
        ("it", list(vec![0x0a, 0xbc], 2031), false),
        ("another", list(vec![0x0a, 0xbd], 2031), true),
        ("an old list", list(vec![0x0a, 0xbd], 2030), false),
    ] {
        let config = ClientAuthorityConfig { crl: Some(ca.file("crl.pem", &list)), ..ca.config() };
        assert_eq!(checked(config, &chain).is_ok(), good, "{name}");
    }
}

#[test]
fn mistakes_are_reported_by_field() {
    let ca = Ca::new();
    let wrong = |change: &dyn Fn(&mut ClientAuthorityConfig)| {
        let mut config = ca.config();
        change(&mut config);
        ClientAuthorities::open(&[config]).map(drop).unwrap_err().remove(0).field
    };
    assert_eq!(wrong(&|config| config.name = "a b".to_owned()), "name");
    assert_eq!(wrong(&|config| config.name = mint::ISSUER.to_owned()), "name");
    assert_eq!(wrong(&|config| config.max_lifetime = 0), "max_lifetime");
    assert_eq!(wrong(&|config| config.revoked_serials = ["0A".to_owned()].into()), "revoked_serials");
    assert_eq!(wrong(&|config| config.ca = "/nowhere".into()), "ca");
    assert_eq!(wrong(&|config| config.ca = ca.file("empty", "")), "ca");
    assert_eq!(wrong(&|config| config.crl = Some(ca.file("empty", ""))), "crl");
    let twice = [ca.config(), ClientAuthorityConfig { name: "other".to_owned(), ..ca.config() }];
    let mistakes = ClientAuthorities::open(&twice).map(drop).unwrap_err();
    assert_eq!((mistakes.len(), mistakes[0].field), (1, "ca"));
}

#[tokio::test]
async fn a_certificate_is_looked_at_again_under_every_configuration() {
    let ca = Ca::new();
    let identity = Setup::new().identity(Vec::new());
    let trust = |config: Option<ClientAuthorityConfig>| {
        identity.trust_clients(ClientAuthorities::open(&Vec::from_iter(config)).unwrap());
    };
    trust(Some(ca.config()));
    let claim = Claim::Tls { chain: ca.shown(|_| {}) };
    let who = identity.authenticate(claim, NOW).await.unwrap().principal;
    for (name, other, holds) in [
        ("as it was", Some(ca.config()), true),
        (
            "its serial",
            Some(ClientAuthorityConfig { revoked_serials: ["abc".to_owned()].into(), ..ca.config() }),
            false,
        ),
        (
            "another serial",
            Some(ClientAuthorityConfig { revoked_serials: ["abd".to_owned()].into(), ..ca.config() }),
            true,
        ),
        ("as a program", Some(ClientAuthorityConfig { kind: Kind::Workload, ..ca.config() }), false),
        ("by another name", Some(ClientAuthorityConfig { subject: Subject::Dns, ..ca.config() }), false),
        ("another authority", Some(Ca::named("others").config()), false),
        ("no authority", None, false),
    ] {
        trust(other);
        assert_eq!(identity.still_holds(&who, NOW), holds, "{name}");
    }
}
