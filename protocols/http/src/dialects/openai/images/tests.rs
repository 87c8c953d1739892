//! Addresses that are read, and hosts that are reached.

use proptest::prelude::*;

use super::*;

fn at(host: &str) -> Result<Address, Flaw> {
    Ok(Address::Host(host.to_owned()))
}

#[test]
fn addresses_that_are_read() {
    let rows = [
        ("https://cdn.example.com", "cdn.example.com"),
        ("https://CDN.Example.com/a?b=c#d", "cdn.example.com"),
        ("https://cdn.example.com:443/a", "cdn.example.com"),
        ("https://cdn.example.com:8443/a", "cdn.example.com:8443"),
        ("https://cdn.example.com?x", "cdn.example.com"),
        ("https://cdn.example.com/%2e%2e/@x:y", "cdn.example.com"),
        ("https://127.0.0.1/", "127.0.0.1"),
        ("https://[::1]:443/", "[::1]"),
        ("https://[2001:DB8::1]:1/", "[2001:db8::1]:1"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
    ];
    for (text, host) in rows {
        assert_eq!(read(What::Image, text), at(host), "{text}");
    }
}

#[test]
fn addresses_that_are_not_read() {
    let rows = [
        "",
        "http://cdn.example.com/",
        "HTTPS://cdn.example.com/",
        "https:cdn.example.com",
        "https:/cdn.example.com",
        "https:///cdn.example.com",
        "https://",
        "https:///",
        "https://?x",
        "https://a@cdn.example.com/",
        "https://a:b@cdn.example.com/",
        "https://cdn.example.com\\@evil.com/",
        "https://cdn.example.com\\.evil.com/",
        "https://cdn.example.com /",
        " https://cdn.example.com/",
        "https://cdn.exa\tmple.com/",
        "https://cdn.example.com\n/",
        "https://cdn.example.com%2f@evil.com/",
        "https://cdn%2eexample.com/",
        "https://cdn.example.com./",
        "https://.cdn.example.com/",
        "https://cdn..example.com/",
        "https://cdn.example.com:/",
        "https://cdn.example.com:0443/",
        "https://cdn.example.com:+443/",
        "https://cdn.example.com:65536/",
        "https://cdn.example.com:80:80/",
        "https://[::1/",
        "https://::1/",
        "https://[::1%25eth0]/",
        "https://[127.0.0.1]/",
        "https://bücher.example/",
        "https://cdn。example.com/",
        "https://ⓒdn.example.com/",
        "https://cdn.example.com/\u{0}",
        "https://cdn.example.com/é",
        "javascript:x",
        "file:///etc/passwd",
        "//cdn.example.com/",
        "cdn.example.com",
        "https://cdn.example.com/<x>",
        "https://a,b/",
        "https://cdn.example.com;x/",
    ];
    for text in rows {
        assert!(read(What::Image, text).is_err(), "{text}");
    }
    assert!(read(What::Image, &format!("https://a.bc/{}", "a".repeat(MAX_URL_BYTES))).is_err());
}

#[test]
fn data() {
    for text in ["data:image/png;base64,iVBORw0KGgo=", "data:image/jpeg;base64,", "data:image/webp;base64,AA=="] {
        assert_eq!(read(What::Image, text), Ok(Address::Data), "{text}");
    }
    let wrong = [
        "data:text/plain,hello",
        "data:,x",
        "data:image/png,x",
        "data:image/png;charset=utf-8;base64,AA",
        "data:image/svg+xml;base64,AA",
        "data:text/html;base64,AA",
        "data:IMAGE/PNG;base64,AA",
        "data:image/png;base64,A A",
        "data:image/png;base64,AA%3D",
        "data:image/png;base64,A=A",
        "data:image/png;BASE64,AA",
        "data:image/png;base64",
        "DATA:image/png;base64,AA",
        "data:image/png;base64,AA\n",
        "data:image/png;base64,A-_",
    ];
    for text in wrong {
        assert!(read(What::Image, text).is_err(), "{text}");
    }
    assert_eq!(read(What::File, "data:application/pdf;base64,AA"), Ok(Address::Data));
    assert_eq!(read(What::Media, "data:audio/wav;base64,AA"), Ok(Address::Data));
    for what in [What::Mcp, What::Network, What::Other] {
        assert!(read(what, "data:image/png;base64,AA").is_err(), "{what:?}");
    }
    let long = format!("data:image/png;base64,{}", "A".repeat(MAX_DATA_BYTES));
    assert!(read(What::Image, &long).is_err());
}

#[test]
fn credentials_of_services() {
    for query in ["api_key=x", "a=b&token=x", "%61pi_key=x", "a=b;access_token=x"] {
        let text = format!("https://mcp.example.com/sse?{query}");
        assert!(read(What::Mcp, &text).is_err(), "{query}");
        assert!(read(What::Image, &text).is_ok(), "{query}");
    }
    assert!(read(What::Mcp, "https://mcp.example.com/sse?team=a&key_style=b").is_ok());
}

#[test]
fn lists() {
    let listed = |host: &str, entries: &[&str]| {
        is_listed(host, &entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    };
    assert!(listed("cdn.example.com", &["a.b", "CDN.example.com"]));
    assert!(listed("127.0.0.1", &["127.0.0.1"]) && listed("a.bc:8443", &["a.bc:8443"]) && listed("[::1]", &["[::1]"]));
    assert!(listed("x.example.com", &["*.example.com"]) && listed("x.y.example.com", &["*.example.com"]));
    assert!(listed("example.com", &["*"]) && listed("xn--a.xn--b", &["*"]));
    for host in ["example.com", "xexample.com", "x.example.com.evil.org", "x.example.com:8443", "x.example.org"] {
        assert!(!listed(host, &["*.example.com"]), "{host}");
    }
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "localhost",
        "a.localhost",
        "db",
        "metadata.google.internal",
        "printer.local",
        "a.b:8443",
        "a.test",
        "1.2.3.4.5",
        "a.0x1",
        "example.c0m",
    ] {
        assert!(!listed(host, &["*"]), "{host}");
    }
    assert!(!listed("a.b", &[]));
}

proptest! {
    #[test]
    fn no_address_panics_and_hosts_are_plain(text in "(https://|data:)?[a-z0-9.:@/\\\\?#%\\[\\]é;,=+ -]{0,30}") {
        for what in [What::Image, What::Mcp, What::Other] {
            if let Ok(Address::Host(host)) = read(what, &text) {
                prop_assert!(!host.is_empty() && !host.contains(['/', '@', '\\', '?', '#', '%', ' ']) && host.is_ascii());
                let _listed = is_listed(&host, &["*".to_owned(), "*.a".to_owned()]);
            }
        }
    }
}
