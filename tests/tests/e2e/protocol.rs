//! How a connection begins: versions, TLS, and keys to cancel with.
#![expect(clippy::indexing_slicing, reason = "tests")]

use sluice_tests::clients::python;
use sluice_tests::wire::{Wire, say};

use crate::shop::{SLEEPERS, Shop};

const V3_2: u32 = 196_610;

#[test]
fn a_current_libpq_speaks_every_version_and_cancels_over_tls() {
    let policy = SLEEPERS.replace("shop/", "shop-prod/");
    let shop = Shop::with(|setup| setup.policy("more.cedar", &policy.replace("sleepers-", "prod-sleepers-")));
    let token = shop.broker.token("sam", "sleepers");
    let seen = python(&shop.broker, "protocol.py", "sam", "shop", &token);
    for (how, version) in [("old", 30_000), ("new", 30_002), ("latest", 30_002)] {
        let seen = &seen[how];
        assert_eq!(seen["version"], version, "{how}: {seen}");
        assert_eq!(seen["sqlstate"], "57014", "{how}: {seen}");
        assert_eq!(seen["after"], 1, "{how}: {seen}");
    }
    shop.broker.log_is_clean();
}

/// The frames of a sign-in with some version and further parameters, up to `ReadyForQuery`.
fn begun(shop: &Shop, version: u32, more: &[(&str, &str)]) -> (Wire, Vec<(char, Vec<u8>)>) {
    let token = shop.broker.token("alice", "analysts");
    let mut wire = Wire::tcp(shop.broker.port());
    wire.send(&say::startup(version, &[&[("user", "alice"), ("database", "shop")], more].concat()));
    let mut heard = Vec::new();
    loop {
        let Some(frame) = wire.frame() else { return (wire, heard) };
        if frame.tag == 'R' && frame.body == [0, 0, 0, 3] {
            wire.send(&say::message('p', &[token.as_bytes(), b"\0"].concat()));
        }
        let last = frame.tag == 'Z';
        heard.push((frame.tag, frame.body));
        if last {
            return (wire, heard);
        }
    }
}

#[test]
fn versions_and_options_are_negotiated_before_anything_else_is_said() {
    let shop = Shop::open();
    let negotiated =
        |heard: &[(char, Vec<u8>)]| heard.first().filter(|(tag, _)| *tag == 'v').map(|(_, body)| body.clone());
    let key = |heard: &[(char, Vec<u8>)]| heard.iter().find(|(tag, _)| *tag == 'K').map_or(0, |(_, body)| body.len());
    let (_, heard) = begun(&shop, 196_608, &[]);
    assert_eq!((negotiated(&heard), key(&heard)), (None, 8));
    let (_, heard) = begun(&shop, V3_2, &[]);
    assert_eq!((negotiated(&heard), key(&heard)), (None, 36));
    // A version to come, with an option of its own: the newest that is spoken, and the option by its name.
    let (mut wire, heard) = begun(&shop, 196_608 | 9_999, &[("_pq_.grease", "1")]);
    let told = [&V3_2.to_be_bytes()[..], &1_u32.to_be_bytes(), b"_pq_.grease\0"].concat();
    assert_eq!((negotiated(&heard), key(&heard)), (Some(told), 36));
    assert_eq!(wire.query("SELECT 1").ok().status(), Some('I'));
    // What is no 3 is not spoken at all.
    let (_, heard) = begun(&shop, 4 << 16, &[]);
    assert_eq!(heard.iter().map(|(tag, _)| *tag).collect::<String>(), "E");
}

#[test]
fn encryption_is_asked_for_at_most_once_each_way() {
    let shop = Shop::open();
    let (ssl, gss) = ([0, 0, 0, 8, 4, 210, 22, 47], [0, 0, 0, 8, 4, 210, 22, 48]);
    let mut wire = Wire::tcp(shop.broker.port());
    wire.send(&gss);
    let mut heard = wire.raw(std::time::Duration::from_secs(5));
    assert_eq!(heard.remove(0), b'N');
    let mut wire = Wire::tcp(shop.broker.port());
    wire.send(&[gss, gss].concat());
    let heard = wire.raw(std::time::Duration::from_secs(10));
    assert!(heard.starts_with(b"NE") && String::from_utf8_lossy(&heard).contains("08P01"), "{heard:?}");
    let mut wire = Wire::tcp(shop.broker.port());
    wire.send(&[gss, ssl].concat());
    assert!(wire.raw(std::time::Duration::from_secs(10)).starts_with(b"NS"));
    shop.broker.log_is_clean();
}
