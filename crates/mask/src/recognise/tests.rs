#![expect(clippy::unwrap_used, reason = "tests")]

use crate::{Cover, Detectors, Found, Spec, scrub};

struct Stars;

impl Cover for Stars {
    fn cover(&mut self, _: &Found<'_>, out: &mut String) {
        out.push('*');
    }
}

fn check(name: &str, cases: &[(&str, &str)]) {
    let set = Detectors::compile(&[Spec::builtin(name).unwrap()]).unwrap();
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let mut out = String::new();
        scrub(&set, set.everything(), text, &mut Stars, &mut out);
        if out != *expected {
            wrong.push(format!("{text:?} became {out:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

/// Texts in which this detector finds nothing.
fn check_clean(name: &str, texts: &[&str]) {
    let cases: Vec<(&str, &str)> = texts.iter().map(|text| (*text, *text)).collect();
    check(name, &cases);
}

#[test]
fn email_addresses() {
    check(
        "email",
        &[
            ("mail zq7x.k1@leak.example.com", "mail *"),
            ("<zq7x.k1@leak.example.com>, (a+b@c.de).", "<*>, (*)."),
            ("mailto:zq7x.k1@leak.example.com?subject=x", "mailto:*?subject=x"),
            ("\"zq7x.k1@leak.example.com\"", "\"*\""),
            ("'zq7x.k1@leak.example.com'", "'*'"),
            ("\"zq7x..k1\"@leak.example.com", "*"),
            ("o'brien@leak.example.com", "*"),
            ("zq7x.k1＠leak.example.com", "*"),
            ("zq7x.k1﹫leak．example。com", "*"),
            ("ｚｑ７ｘ.ｋ１@ｌｅａｋ.example.com", "*"),
            ("𝔷𝔮𝟟𝔵.k1@𝗅𝖾𝖺𝗄.example.com", "*"),
            ("ⓩⓠ7ⓧ.k1@leak.example.com", "*"),
            ("zq7\u{200b}x.k1\u{2060}@le\u{ad}ak.exa\u{200d}mple.com", "*"),
            ("zq7x.k1@\u{202e}leak.example.com", "*"),
            ("z\u{301}q7x.k1@leak\u{34f}.example.com", "*"),
            ("zq7х.k1@lеak.example.com", "*"),
            ("josé@leak.example.com, ж@пример.рф", "*, *"),
            ("zq7x.k1\\u0040leak\\u002eexample.com", "*"),
            ("zq7x.k1\\\\u0040leak.example.com", "*"),
            ("zq7x.k1%40leak.example.com", "*"),
            ("zq7x.k1&#64;leak&period;example.com", "*"),
            ("zq7x.k1&#x40;leak.example.com", "*"),
            ("zq7x\\.k1\\@leak\\.example\\.com", "*"),
            ("line\\nzq7x.k1@leak.example.com\\nline", "line\\n*\\nline"),
            ("请联系 zq7x.k1@leak.example.com。谢谢", "请联系 *。谢谢"),
            ("请联系zq7x.k1@leak.example.com谢谢", "请联系*谢谢"),
            ("zq7x.k1@leak.example.com으로", "*으로"),
            ("user@例え.example", "*"),
            ("a@xn--80ak6aa92e.xn--p1ai", "*"),
            ("a@b.co2", "*2"),
            ("https://user:pass@host.example/x", "https://user:*/x"),
        ],
    );
    check_clean(
        "email",
        &[
            "user@localhost",
            "user@localhost.",
            "root@10.0.0.1",
            "@handle and a@ b",
            "a@b",
            "a@b.c",
            "npm i pkg@1.2.3",
            "import x from '@scope/pkg'",
            "git@github.com:org/repo.git",
            "git clone git@host.example:group/project",
            "zq7x dot k1 at leak dot example",
            "moc.elpmaxe.kael@1k.x7qz",
            "x = a@b.T",
        ],
    );
    check("email", &[("digit@host.example:22 agit@host.example", "*:22 *")]);
}

#[test]
fn social_security_numbers() {
    check(
        "us-ssn",
        &[
            ("900-55-0001", "*"),
            ("(900-55-0001)", "(*)"),
            ("id_900-55-0001_x", "id_*_x"),
            ("x900-55-0001x", "x*x"),
            ("900 55 0001", "*"),
            ("900.55.0001", "*"),
            ("900/55/0001", "*"),
            ("900_55_0001", "*"),
            ("900-55 0001", "*"),
            ("900 - 55 - 0001", "*"),
            ("900--55--0001", "*"),
            ("900-\n55-0001", "*"),
            ("(900) 55 0001", "(*"),
            ("900:55:0001", "*"),
            ("900–55–0001", "*"),
            ("900‑55—0001", "*"),
            ("900−55⁃0001", "*"),
            ("900·55·0001", "*"),
            ("900•55•0001", "*"),
            ("900ー55ー0001", "*"),
            ("900😀55😀0001", "*"),
            ("900\u{a0}55\u{2009}0001", "*"),
            ("900\u{3000}55\u{3000}0001", "*"),
            ("900\u{ad}55\u{ad}0001", "*"),
            ("900\u{200b}55\u{200b}0001", "*"),
            ("9\u{200b}0\u{200b}0-55-0001", "*"),
            ("9\u{304}0\u{304}0-55-0001", "*"),
            ("９００-５５-０００１", "*"),
            ("９００－５５－０００１", "*"),
            ("٩٠٠-٥٥-٠٠٠١", "*"),
            ("९००-५५-०००१", "*"),
            ("𝟗𝟎𝟎-𝟓𝟓-𝟎𝟎𝟎𝟏", "*"),
            ("⁹⁰⁰-⁵⁵-⁰⁰⁰¹", "*"),
            ("⑨⓪⓪-⑤⑤-⓪⓪⓪①", "*"),
            ("9️⃣0️⃣0️⃣-5️⃣5️⃣-0️⃣0️⃣0️⃣1️⃣", "*"),
            ("900\\u002d55\\u002d0001", "*"),
            ("900\\u00ad55\\u00ad0001", "*"),
            ("900%2D55%2d0001", "*"),
            ("900%E2%80%9355%E2%80%930001", "*"),
            ("900&#45;55&shy;&dash;0001", "*"),
            ("900\\-55\\-0001", "*"),
            ("ssn 900550001", "ssn *"),
            ("SSN: 900-550001", "SSN: *"),
            ("Social Security number is 900550001.", "Social Security number is *."),
            ("his social-security-no. 9 0 0 5 5 0 0 0 1", "his social-security-no. *"),
            ("{\"ssn\":900550001}", "{\"ssn\":*}"),
            ("ssn=900,55,0001", "ssn=*"),
        ],
    );
    check_clean(
        "us-ssn",
        &[
            "version 1.2.3-55-0001",
            "order 900-5-0001",
            "900550001",
            "90055-0001",
            "1900-55-0001",
            "900-55-00012",
            "000-55-0001",
            "666-55-0001",
            "900-00-0001",
            "900-55-0000",
            "900,55,0001",
            "900\n55\n0001",
            "lessnoise 900550001",
            "ssn is in the next letter, which reaches you by post soon 900550001",
            "900a55b0001",
            "365 * 24 * 3600",
            "2026-11-22 10:15",
            "emoji 1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8️⃣9️⃣",
        ],
    );
}

#[test]
fn payment_cards() {
    check(
        "payment-card",
        &[
            ("4111111111111111", "*"),
            ("4111 1111 1111 1111", "*"),
            ("4111-1111-1111-1111 12/30", "* 12/30"),
            ("4111.1111.1111.1111", "*"),
            ("x4111-1111-1111-1111x", "x*x"),
            ("card:4111111111111111;", "card:*;"),
            ("5500 0055 5555 5559", "*"),
            ("2221 0000 0000 0009", "*"),
            ("3782 822463 10005", "*"),
            ("6011 1111 1111 1117", "*"),
            ("3056 930902 5904", "*"),
            ("3530 1113 3330 0000", "*"),
            ("4222222222222", "*"),
            ("４１１１　１１１１　１１１１　１１１１", "*"),
            ("4111–1111–1111–1111", "*"),
            ("4111\u{200b}111111111111", "*"),
            ("4111 1111 1111 1111 123", "* 123"),
        ],
    );
    check_clean(
        "payment-card",
        &[
            "4111 1111 1111 1112",
            "1234567890123452",
            "0000000000000000",
            "41111111111111111111",
            "94111111111111111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "1763806530123",
            "4111 1111 1111",
            "300.02  300.99  272.10",
            "30 388 27 129 13 321",
            "8ec5560024178275899f",
            "a4111111111111111b",
        ],
    );
}

#[test]
fn bank_accounts() {
    check(
        "iban",
        &[
            ("DE89 3704 0044 0532 0130 00", "*"),
            ("DE89370400440532013000", "*"),
            ("iban:de89370400440532013000.", "iban:*."),
            ("GB82 WEST 1234 5698 7654 32 please", "* please"),
            ("FR14-2004-1010-0505-0001-3M02-606", "*"),
            ("NO93 8601 1117 947", "*"),
            ("ＤＥ８９ 3704 0044 0532 0130 00", "*"),
            ("DE89\u{200b}370400440532013000", "*"),
        ],
    );
    check_clean(
        "iban",
        &[
            "DE88 3704 0044 0532 0130 00",
            "XX89 3704 0044 0532 0130 00",
            "DE89 3704 0044 0532 0130",
            "xDE89370400440532013000",
        ],
    );
}

#[test]
fn telephone_numbers() {
    check(
        "phone",
        &[
            ("+1 212 555 0123", "*"),
            ("call +12125550123!", "call *!"),
            ("(212) 555-0123", "*"),
            ("212-555-0123, 1-212-555-0123", "*, *"),
            ("212.555.0123", "*"),
            ("+49 (30) 901820", "*"),
            ("+44 20 7946 0958", "*"),
            ("0049 30 901820", "*"),
            ("06 12 34 56 78, 01.23.45.67.89", "*, *"),
            ("tel: 030/901820", "tel: *"),
            ("Phone number 5550123", "Phone number *"),
            ("＋１ ２１２ ５５５ ０１２３", "*"),
            ("212–555–0123", "*"),
            ("+1\u{200b}2125550123", "*"),
        ],
    );
    check_clean(
        "phone",
        &[
            "2125550123",
            "version 1.2.3-55-0001",
            "order 900-5-0001",
            "2026-11-22 10:15:30",
            "192.168.100.200",
            "978-3-16-148410-0",
            "3.14159265358979",
            "112-555-0123",
            "212-155-0123",
            "hotel 5550123",
            "+1 212 555 012",
            "2+12345678",
            "phone hours 2026-11-22",
            "0x2125550123",
            "0.02  594.59  120.80",
            "1.00  103.15  37.53",
            "01  29.75  69.56",
            "01 02 03 04 05 06 07 08 09 10",
        ],
    );
}

#[test]
fn tokens_and_keys() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n".repeat(3);
    let pem = |kind: &str, end: &str| format!("-----BEGIN {kind}-----\n{body}AbCd12==\n{end}");
    let whole = pem("PRIVATE KEY", "-----END PRIVATE KEY-----");
    let openssh = pem("OPENSSH PRIVATE KEY", "-----END OPENSSH PRIVATE KEY-----");
    let cut = pem("RSA PRIVATE KEY", "");
    let quoted = whole.replace('\n', "\\n");
    let flat = whole.replace('\n', " ");
    let locked = format!(
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,01020304\n\n{body}-----END RSA PRIVATE KEY-----"
    );
    check(
        "private-key",
        &[
            (&format!("key:\n{whole}\nbye"), "key:\n*\nbye"),
            (&openssh, "*"),
            (&cut, "*\n"),
            (&format!("\"{quoted}\", 1"), "\"*\", 1"),
            (&flat, "*"),
            (&locked, "*"),
        ],
    );
    check_clean(
        "private-key",
        &[
            "a file begins with -----BEGIN PRIVATE KEY----- and so on",
            "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        ],
    );
    let jwt =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
    check("jwt", &[(&format!("Bearer {jwt}."), "Bearer *."), (&jwt.replace('.', "\u{200b}."), "*")]);
    check_clean("jwt", &["eyJhbGciOi", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "keyJ.eyJ.x"]);
}

#[test]
fn keys_of_vendors() {
    let long = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0";
    let hex = "0123456789abcdef0123456789abcdef";
    for (name, keys) in [
        ("aws-key", vec!["AKIAIOSFODNN7EXAMPLE".to_owned(), format!("aws_secret_access_key = {long}")]),
        (
            "openai-key",
            vec![format!("sk-{long}"), format!("sk-proj-{long}"), format!("sk-ant-api03-{long}"), format!("sk-{hex}")],
        ),
        ("github-token", vec![format!("ghp_{long}"), format!("gho_{long}"), format!("github_pat_11ABCDEFG0_{long}")]),
        ("gitlab-token", vec!["glpat-a1B2c3D4e5F6g7H8i9J0".to_owned()]),
        (
            "slack-token",
            vec![
                "xoxb-123456789012-abcdefGHIJKL".to_owned(),
                "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX".to_owned(),
            ],
        ),
        ("google-key", vec!["AIzaSyA1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q".to_owned(), format!("ya29.{long}")]),
        ("stripe-key", vec![format!("sk_live_{long}"), format!("rk_test_{long}"), format!("whsec_{long}")]),
        (
            "vendor-key",
            vec![
                format!("hf_{long}"),
                format!("npm_{}", long.trim_end_matches("s9T0")),
                format!("SG.{long}.{long}"),
                format!("SK{hex}"),
            ],
        ),
    ] {
        for key in keys {
            check(name, &[(&format!("key=\"{key}\"; x"), "key=\"*\"; x"), (&format!("({key})"), "(*)")]);
        }
    }
    check_clean(
        "openai-key",
        &[
            "task-management-system-for-the-team",
            "sk-loading-indicator-container-wide",
            "sk-short",
            "risk-abcdefghijklmnopqrstuvwxyz",
        ],
    );
    check_clean("stripe-key", &["pk_live_a1B2c3D4e5F6g7H8", "sk_live_short", "task_live_a1B2c3D4e5F6g7H8"]);
    check_clean("aws-key", &["AKIA", "AKIAIOSFODNN7EXAMPL", "xAKIAIOSFODNN7EXAMPLE"]);
    check_clean("github-token", &["ghp_short", "ghx_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"]);
}
