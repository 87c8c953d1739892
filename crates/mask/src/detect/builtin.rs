//! The detectors that ship with the product.
//!
//! Patterns are over folded text: `\x80` is a letter without an ASCII form, `\x81` one of a script that writes words
//! without spaces, `\x82` a symbol.

use super::Guard;
use super::signs::{Place, Sign};
use crate::recognise::{Check, address, card, iban, phone, ssn, standalone};

/// The stand-ins of this product itself; no class of values, so not among the public names.
pub(super) const TOKEN: &str = "token";

/// One row of the table.
#[derive(Debug)]
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) tag: &'static str,
    pub(super) pattern: &'static str,
    /// Of these every value shows one.
    pub(super) signs: &'static [Sign],
    pub(super) guard: Guard,
    pub(super) check: Check,
    /// The longest value, in folded bytes.
    pub(super) limit: usize,
}

impl Builtin {
    const fn new(name: &'static str, tag: &'static str, pattern: &'static str) -> Self {
        Self { name, tag, pattern, signs: &[], guard: Guard::Nothing, check: Check::Nothing, limit: 512 }
    }

    const fn key(name: &'static str, guard: Guard, pattern: &'static str) -> Self {
        Self { guard, ..Self::new(name, "secret.key", pattern) }
    }

    const fn showing(self, signs: &'static [Sign]) -> Self {
        Self { signs, ..self }
    }

    const fn guarded(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    const fn checked(self, check: Check) -> Self {
        Self { check, ..self }
    }

    const fn within(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// A sign whose end is that far behind the beginning of the value.
const fn before(least: usize, most: usize, pattern: &'static str) -> Sign {
    Sign { pattern, place: Place::Before { least, most } }
}

/// A sign that ends the local part of a mail address.
const fn local(most: usize, pattern: &'static str) -> Sign {
    Sign { pattern, place: Place::Local { most } }
}

/// A sign that stands before the value.
const fn after(most: usize, pattern: &'static str) -> Sign {
    Sign { pattern, place: Place::After { most } }
}

pub(super) fn find(name: &str) -> Option<&'static Builtin> {
    TABLE.iter().find(|builtin| builtin.name == name)
}

const TABLE: &[Builtin] = &[
    // RFC 5321, section 4.1.2, without addresses at hosts that have no domain.
    Builtin::new(
        "email",
        "pii.contact.email",
        concat!(
            r#"(?:[A-Za-z0-9_%+\x80][A-Za-z0-9_%+\-.'\x80]*|"[^"\s]{1,64}")@"#,
            r"(?:[A-Za-z0-9\x80\x81_\-]+\.)+(?:[A-Za-z\x80]{2,24}|xn--[A-Za-z0-9\-]{2,59})",
        ),
    )
    .checked(Check::Ending(address))
    .showing(&[local(321, "@")])
    .within(320),
    Builtin::new("us-ssn", "pii.ssn", r"[0-9](?:[^0-9A-Za-z\x80\x81]{0,4}[0-9]){8}")
        .guarded(Guard::Digit)
        .checked(Check::Whole(ssn))
        .showing(&[
            before(11, 17, r"[^0-9][0-9]{3}[ \t\r\n\-._/:|~()\[\]\x82]+[0-9]{2}[ \t\r\n\-._/:|~()\[\]\x82]+[0-9]{4}"),
            after(40, r"(?i:ssns?|s\.s\.n|itin)[^A-Za-z]|(?i:soc(?:ial)?[ \-_]sec)"),
        ])
        .within(48),
    // ISO/IEC 7812-1. Every group but the last has four digits or more: columns of numbers are no cards.
    Builtin::new("payment-card", "finance.pan", r"[0-9]{12,19}|(?:[0-9]{4,11}[ \t.\-_/]{1,2}){1,4}[0-9]{1,11}")
        .guarded(Guard::Digit)
        .checked(Check::Whole(card))
        .showing(&[before(
            9,
            14,
            r"[^0-9][2-68](?:[0-9]{11}|[0-9]{7}[0-9]*[ \t.\-_/]+[0-9]|[0-9]{3}[0-9]*[ \t.\-_/]+[0-9]{4})",
        )])
        .within(64),
    // ISO 13616-1.
    Builtin::new("iban", "finance.iban", r"[A-Za-z]{2}[0-9]{2}(?:[ \-.]{0,2}[A-Za-z0-9]){11,30}")
        .guarded(Guard::Word)
        .checked(Check::Whole(iban))
        .showing(&[before(
            5,
            7,
            concat!(
                r"[^0-9A-Za-z](?i:A[DELTZ]|B[AEGHIRY]|C[HRYZ]|D[EJKO]|E[EGS]|F[IKOR]|G[BEILRT]|H[NRU]|I[ELQRST]|JO|K[WZ]",
                r"|L[BCITUVY]|M[CDEKNRTU]|N[ILO]|OM|P[KLST]|QA|R[OSU]|S[ACDEIKMOTV]|T[LNR]|U[A]|V[AG]|XK|YE)",
                r"[0-9]{2}[ \-.]*[A-Za-z0-9]",
            ),
        )])
        .within(96),
    Builtin::new("phone", "pii.contact.phone", r"[+(]{0,2}[0-9](?:[ \t.\-()/]{0,3}[0-9]){6,14}")
        .guarded(Guard::Digit)
        .checked(Check::Whole(phone))
        .showing(&[
            before(2, 3, r"\+\(?[0-9]"),
            before(5, 20, r"[^0-9]00[1-9][0-9]*[ \t.\-()/]+[0-9]"),
            before(8, 16, r"[^0-9][2-9][0-9]{2}[ \t.\-()/]+[2-9][0-9]{2}[ \t.\-()/]"),
            before(9, 15, r"[^0-9]0[1-9](?:[ \t.\-()/]+[0-9]{2}){2}[ \t.\-()/]"),
            after(24, r"(?i:phones?|tel|telefon|mobile|fax|whatsapp|sms)[^A-Za-z]"),
        ])
        .within(64),
    // RFC 7515, section 3.1: a header is a JSON object, so it begins with `{"` in base64url.
    Builtin::new("jwt", "secret.token", r"eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]+){0,3}")
        .showing(&[before(3, 3, "eyJ")])
        .within(4096),
    // RFC 7468. What is cut off before its last line is a key all the same.
    Builtin::key(
        "private-key",
        Guard::Nothing,
        concat!(
            r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----",
            r"(?:\s*[A-Za-z][A-Za-z0-9\-]{1,30}: [^\n]{0,120}\n){0,5}",
            r#"(?:[\s"'+,>|]*[A-Za-z0-9/+=]{16,})+(?:[\r\n]+[A-Za-z0-9/+=]{1,15})?"#,
            r#"(?:(?:[\s"'+,>|]*[A-Za-z0-9/+=]+){0,2}[\s"'+,>|]*"#,
            r"-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----)?",
        ),
    )
    .showing(&[before(11, 11, "-----BEGIN ")])
    .within(16 << 10),
    Builtin::key(
        "aws-key",
        Guard::Word,
        concat!(
            r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|AROA)[A-Z0-9]{16}",
            r#"|(?i:aws_?secret_?(?:access_?)?key)["']?\s{0,3}(?:=>|[=:])\s{0,3}["']?[A-Za-z0-9/+=]{40}"#,
        ),
    )
    .showing(&[
        before(4, 4, r"A(?:KI|SI|BI|CC|GP|ID|IP|NP|NV|RO)A"),
        before(9, 10, r"(?i:aws_?secret)"),
    ]),
    // The second form wants a long run without separators, which names of style sheets do not have.
    Builtin::key(
        "openai-key",
        Guard::Word,
        concat!(
            r"sk-(?:(?:ant|proj|svcacct|admin|or|lf)-[A-Za-z0-9_\-]{20,}",
            r"|(?:[A-Za-z0-9]{1,12}[_\-]){0,3}[A-Za-z0-9]{16}[A-Za-z0-9_\-]{4,})",
        ),
    )
    .showing(&[before(3, 3, r"[^0-9A-Za-z]sk-")]),
    Builtin::key("github-token", Guard::Nothing, r"gh[oprsu]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}")
        .showing(&[before(4, 11, r"gh[oprsu]_|github_pat_")]),
    Builtin::key("gitlab-token", Guard::Nothing, r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_\-]{20,}")
        .showing(&[before(5, 7, r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-")]),
    Builtin::key(
        "slack-token",
        Guard::Nothing,
        concat!(
            r"xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-[0-9]-[A-Za-z0-9\-]{10,}",
            r"|https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,}",
        ),
    )
    .showing(&[before(5, 5, r"xox[abeoprs]-|xapp-"), before(23, 23, r"hooks\.slack\.com")]),
    Builtin::key(
        "google-key",
        Guard::Nothing,
        r"AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,}|GOCSPX-[A-Za-z0-9_\-]{28}",
    )
    .showing(&[before(4, 7, r"AIza|ya29\.|GOCSPX-")]),
    Builtin::key("stripe-key", Guard::Word, r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,}")
        .showing(&[before(6, 8, r"[rs]k_(?:live|test)_|whsec_")]),
    Builtin::key(
        "vendor-key",
        Guard::Word,
        concat!(
            r"hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{40,}|dop_v1_[a-f0-9]{64}",
            r"|SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|hvs\.[A-Za-z0-9_\-]{24,}",
            r"|AGE-SECRET-KEY-1[0-9A-Z]{58}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|SK[0-9a-f]{32}",
        ),
    )
    .showing(&[before(
        3,
        15,
        concat!(
            r"[^0-9A-Za-z](?:hf_|npm_|pypi-|dop_v1_|SG\.|SK[0-9a-f]|shp(?:at|ca|pa|ss)_)",
            r"|hvs\.|AGE-SECRET-KEY-",
        ),
    )]),
    Builtin::new(TOKEN, TOKEN, r"(?i:tok-[a-z0-9]{1,12}-[a-z2-7]{13})")
        .guarded(Guard::Word)
        .checked(Check::Ending(standalone))
        .showing(&[before(4, 4, "(?i:tok-)")])
        .within(40),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{BUILTINS, Detectors, Spec};

    #[test]
    fn the_public_names_are_those_of_the_table() {
        let names: Vec<&str> = TABLE.iter().map(|builtin| builtin.name).filter(|name| *name != TOKEN).collect();
        assert_eq!(names, BUILTINS);
    }

    /// Text that shows no sign.
    const PLAIN: &str = "the quick brown fox jumps over a lazy dog, and so on; then 12 more of them - as ever.\n";

    #[test]
    fn plain_text_shows_no_sign() {
        let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
        let set = Detectors::compile(&specs).unwrap();
        let signs = set.signs().unwrap();
        assert_eq!(signs.signed, set.everything().0);
        assert_eq!(signs.shown(PLAIN.repeat(16).as_bytes()), 0);
        for (text, name) in [("x@", "email"), ("(tel. ", "phone"), ("eyJ", "jwt"), ("5100 0000", "payment-card")] {
            let shown = signs.shown(text.as_bytes());
            let names = BUILTINS.iter().enumerate().filter(|(index, _)| shown & (1 << index) != 0);
            let names: Vec<&str> = names.map(|(_, name)| *name).collect();
            assert_eq!(names, [name], "{text}");
        }
    }

    #[test]
    fn every_country_of_the_registry_is_a_sign() {
        let set = Detectors::compile(&[Spec::builtin("iban").unwrap()]).unwrap();
        let shown = |country: &str| set.signs().unwrap().shown(format!("{country}12-a").as_bytes()) != 0;
        for (country, _) in crate::recognise::COUNTRIES {
            let country = str::from_utf8(&country).unwrap();
            assert!(shown(country) && shown(&country.to_ascii_lowercase()), "{country}");
        }
        assert!(!shown("ZZ") && !shown("AA"));
    }

    #[test]
    fn signs_miss_no_value() {
        use crate::{Mode, Terminal};
        use proptest::strategy::{Strategy as _, ValueTree as _};

        let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
        let set = std::sync::Arc::new(Detectors::compile(&specs).unwrap());
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let plain = PLAIN.repeat(16);
        let known = "tel 5550123 4|Hotel. SSN: 900550001 x|social-security no 900 55 0001|+1 212 555 0123|(212) 555-0123|\
            06 12 34 56 78|0033 1 42 68 53 00|4111 1111 1111 1111|378282246310005|DE89 3704 0044 0532 0130 00|\
            GB82WEST12345698765432|\"a b\"@x.example|Call a@b.example now|itin 900-70-0001|s.s.n 900550001";
        let mut found = 0;
        let mut check = |value: &str| {
            let stream = format!("{plain}({value}) {plain}{value}{plain}");
            let mut terminal = Terminal::new(std::sync::Arc::clone(&set), set.everything(), Mode::Pipe);
            let (mut whole, mut slow) = (Vec::new(), Vec::new());
            let mut findings = terminal.push(stream.as_bytes(), &mut whole);
            findings.absorb(terminal.finish(&mut whole));
            stream.as_bytes().chunks(1000).for_each(|piece| drop(terminal.push(piece, &mut slow)));
            terminal.finish(&mut slow);
            assert!(whole == slow, "{value:?}");
            found += findings.counts().count();
        };
        known.split('|').for_each(&mut check);
        for builtin in TABLE.iter().filter(|builtin| builtin.name != TOKEN) {
            let pattern = builtin.pattern.replace(r"\x80", "").replace(r"\x81", "");
            let values = proptest::string::string_regex(&pattern).unwrap();
            for _ in 0..24 {
                let value = values.new_tree(&mut runner).unwrap().current();
                let plain = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '-' };
                check(&value.chars().map(plain).collect::<String>());
            }
        }
        assert!(found > 150, "{found}");
    }

    #[test]
    fn every_row_compiles_with_its_tag() {
        let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
        let set = Detectors::compile(&specs).unwrap();
        let tags: Vec<&str> = set.tags().map(sluice_model::Tag::as_str).collect();
        assert_eq!(tags.len(), BUILTINS.len());
        assert!(tags.contains(&"pii.ssn") && tags.contains(&"finance.pan"), "{tags:?}");
        Detectors::tokens().unwrap();
    }
}
