#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{Cover, Found, scrub};

struct Stars;

impl Cover for Stars {
    fn cover(&mut self, _: &Found<'_>, out: &mut String) {
        out.push('*');
    }
}

fn spec(pattern: &str) -> Spec {
    Spec::custom("employee", Tag::new("corp.employee").unwrap(), pattern)
}

#[test]
fn configured_patterns_see_the_folded_text() {
    for (pattern, text, expected) in [
        (r"EMP-\d{6}", "id EMP-123456, ＥＭＰ－１２３４５６", "id *, *"),
        (r"(?i)\bproject falcon\b", "Project\u{a0}Fal\u{ad}con!", "*!"),
        (r"Müller-\d+", "Muller-1 müller-2 Müller-3", "* müller-2 *"),
        (r"[äöü]x", "ox äx", "* *"),
        (r"Ж{2}\d", "ЩЖ7 Ж7", "* Ж7"),
        (r"a–b", "a-b a—b", "* *"),
        (r"(?m)^\d+$", "12\nx3\n45", "*\nx3\n*"),
    ] {
        let set = Detectors::compile(&[spec(pattern)]).unwrap();
        let mut out = String::new();
        scrub(&set, set.everything(), text, &mut Stars, &mut out);
        assert_eq!(out, expected, "{pattern}");
    }
}

#[test]
fn what_does_not_compile_names_the_detector() {
    let name = || "employee".to_owned();
    for (pattern, expected) in [
        ("", DetectorError::Empty { name: name() }),
        ("a*", DetectorError::Empty { name: name() }),
        ("[a&&b]", DetectorError::Barren { name: name() }),
        ("(?:[a-z]{1,200}[0-9]{1,200}){1,200}", DetectorError::Large { name: name() }),
        ("(?:a|b)*a(?:a|b){20}", DetectorError::Large { name: name() }),
        (&"a".repeat(5000), DetectorError::Large { name: name() }),
        ("x…", DetectorError::Unfoldable { name: name(), character: '…' }),
    ] {
        assert_eq!(Detectors::compile(&[spec(pattern)]).unwrap_err(), expected, "{pattern}");
    }
    let error = Detectors::compile(&[spec("(a")]).unwrap_err().to_string();
    assert_eq!(error, "the pattern of detector `employee` cannot be read: unclosed group");
    let error = Detectors::compile(&[spec(r"\p{Greek}")]).unwrap_err().to_string();
    assert!(error.starts_with("the pattern of detector `employee` cannot be read: "), "{error}");
}

#[test]
fn sets_have_unique_names_and_a_bound() {
    let repeated = Detectors::compile(&[spec("a"), spec("b")]).unwrap_err();
    assert_eq!(repeated, DetectorError::Repeated { name: "employee".to_owned() });
    assert_eq!(Detectors::compile(&vec![spec("a"); 65]).unwrap_err(), DetectorError::Crowded);
    let unknown = Spec::builtin("passport").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no detector `passport` among the built-in ones");
}

#[test]
fn a_tag_can_be_chosen() {
    let tag = Tag::new("corp.mail").unwrap();
    let set = Detectors::compile(&[Spec::builtin("email").unwrap().tagged(tag.clone())]).unwrap();
    assert_eq!(set.tags().collect::<Vec<_>>(), [&tag]);
    assert!(set.watch(|tag| tag.as_str() == "pii.contact.email").is_empty());
}
