//! Which transform covers which class of values.

use std::collections::BTreeMap;
use std::fmt;

use sluice_model::{Tag, Transform};

use super::{Tokens, stand_in};
use crate::detect::{Detectors, Watch};
use crate::sieve::{Cover, Found, REDACTED};

/// The transforms of one principal's view, by tag; `None` shows the value. Shared by all texts of a session.
///
/// A tag without a rule has that of its nearest ancestor, and without any it is redacted. Where values of several
/// classes overlap, the text is redacted unless all of them have the same rule.
#[derive(Clone)]
pub struct Covers {
    key: [u8; 32],
    rules: BTreeMap<Box<str>, Option<Transform>>,
}

impl Covers {
    /// Covers with a key for digests and tokens.
    #[must_use]
    pub fn new(key: &[u8; 32], rules: impl IntoIterator<Item = (Tag, Option<Transform>)>) -> Self {
        let rules = rules.into_iter().map(|(tag, transform)| (tag.as_str().into(), transform));
        Self { key: *key, rules: rules.collect() }
    }

    /// The detectors that are worth running: those whose values are not shown.
    ///
    /// A value that may be seen cannot hide one that may not, because nobody looks for it.
    #[must_use]
    pub fn watch(&self, set: &Detectors) -> Watch {
        set.watch(|tag| self.rule(tag).is_some())
    }

    /// The same covers, with every token noted, so that its value can be put back.
    pub const fn noting<'a>(&'a self, tokens: &'a mut Tokens) -> Noting<'a> {
        Noting { covers: self, tokens }
    }

    /// What covers a class; `None` shows it.
    #[must_use]
    pub fn rule(&self, tag: &Tag) -> Option<&Transform> {
        let mut line = std::iter::once(tag.as_str()).chain(tag.ancestors());
        let rule = line.find_map(|tag| self.rules.get(tag));
        rule.map_or(Some(&Transform::Redact), Option::as_ref)
    }

    /// Appends what stands for a value, and tells the transform if one applied.
    fn apply(&self, found: &Found<'_>, out: &mut String) -> Option<&Transform> {
        let tag = found.tag();
        let rule = self.rule(tag);
        if !found.tags().all(|other| self.rule(other) == rule) {
            out.push_str(REDACTED);
            return None;
        }
        match rule {
            Some(transform) => stand_in(transform, tag, found.text(), &self.key, out),
            None => out.push_str(found.text()),
        }
        rule
    }
}

impl Cover for &Covers {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        self.apply(found, out);
    }
}

impl fmt::Debug for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Covers").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Covers that note each token they make.
#[derive(Debug)]
pub struct Noting<'a> {
    covers: &'a Covers,
    tokens: &'a mut Tokens,
}

impl Cover for Noting<'_> {
    fn cover(&mut self, found: &Found<'_>, out: &mut String) {
        let before = out.len();
        if self.covers.apply(found, out) == Some(&Transform::Token)
            && let Some(token) = out.get(before..)
        {
            self.tokens.note(token, found.text());
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Sieve, Spec, scrub};

    const TEXT: &str = "Ask zq7x.k1@leak.example.com (ssn 900-55-0001, card 4111 1111 1111 1111) at +1 212 555 0123.";

    fn set() -> Detectors {
        let names = ["email", "us-ssn", "payment-card", "phone"];
        Detectors::compile(&names.map(|name| Spec::builtin(name).unwrap())).unwrap()
    }

    fn covers(rules: &[(&str, Option<Transform>)]) -> Covers {
        Covers::new(&[7; 32], rules.iter().map(|(tag, rule)| (Tag::new(tag).unwrap(), rule.clone())))
    }

    fn covered(covers: &Covers, text: &str) -> String {
        let (set, mut out, mut by) = (set(), String::new(), covers);
        scrub(&set, covers.watch(&set), text, &mut by, &mut out);
        out
    }

    #[test]
    fn the_nearest_rule_covers_and_no_rule_redacts() {
        let four = Transform::Partial { keep_last: 4 };
        let rules = [("pii", Some(four)), ("pii.contact", None), ("pii.contact.email", Some(Transform::Null))];
        assert_eq!(covered(&covers(&rules), TEXT), "Ask  (ssn ***0001, card ***) at +1 212 555 0123.");
        assert_eq!(covered(&covers(&[]), TEXT), "Ask *** (ssn ***, card ***) at ***.");
    }

    #[test]
    fn values_of_several_classes_are_redacted_unless_they_agree() {
        let text = "+1 212 555 0123@x.example";
        let digest = |rule| covers(&[("pii.contact.email", Some(Transform::Hash)), ("pii.contact.phone", Some(rule))]);
        assert_eq!(covered(&digest(Transform::Null), "12125550123 tel 0123456@x.example"), "12125550123 tel ***");
        assert_eq!(covered(&digest(Transform::Hash), "tel 0123456@x.example").len(), "tel ".len() + 32);
        assert!(covered(&digest(Transform::Null), text).starts_with("***"));
    }

    #[test]
    fn tokens_go_out_and_values_come_back_however_the_answer_is_cut() {
        let (set, mut tokens) = (set(), Tokens::new(8));
        let covers = covers(&[("pii", Some(Transform::Token)), ("finance", Some(Transform::Redact))]);
        let mut sent = String::new();
        scrub(&set, covers.watch(&set), TEXT, &mut covers.noting(&mut tokens), &mut sent);
        assert!(!sent.contains("zq7x") && !sent.contains("900-55") && tokens.len() == 3, "{sent}");

        let mut sieve = Sieve::new(Arc::new(Detectors::tokens().unwrap()));
        let mut back = String::new();
        for letter in sent.chars() {
            sieve.push(letter.encode_utf8(&mut [0; 4]), &mut tokens.restore(), &mut back);
        }
        sieve.finish(&mut tokens.restore(), &mut back);
        assert_eq!(back, TEXT.replace("4111 1111 1111 1111", "***"));
    }

    #[test]
    fn a_token_is_no_value_to_any_detector() {
        let all: Vec<Spec> = crate::BUILTINS.iter().map(|name| Spec::builtin(name).unwrap()).collect();
        let all = Detectors::compile(&all).unwrap();
        for (index, tag) in ["pii.ssn", "pii.contact.phone", "secret.key"].iter().cycle().take(500).enumerate() {
            let mut token = String::from("ssn: ");
            let tag = Tag::new(tag).unwrap();
            stand_in(&Transform::Token, &tag, &index.to_string(), &[9; 32], &mut token);
            let (mut out, covers) = (String::new(), covers(&[]));
            scrub(&all, all.everything(), &token, &mut &covers, &mut out);
            assert_eq!(out, token);
        }
    }
}
