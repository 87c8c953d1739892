//! What is put over protected values on their way to one side.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_mask::json::{Document, Edits, Kind, Leaf, mask_strings};
use sluice_mask::{Cover, Covers, Detectors, Sieve, Tokens, Watch, scrub, stand_in};
use sluice_model::{Tag, Transform};

use crate::classes::Classes;
use crate::dialects::rest::JSON_LIMITS;

/// Integers of fewer digits are counts and times, and no numbers of cards or accounts.
const NUMBER_DIGITS: usize = 13;
/// The most digits of a number before its point: readers take larger ones for infinite (IEEE 754, binary64).
const DOUBLE_DIGITS: usize = 309;

/// What readers of JSON skip, and the mark of a byte order.
pub(crate) const BLANK: [char; 5] = ['\u{feff}', ' ', '\n', '\r', '\t'];

/// The values behind the tokens that one principal's texts were given.
pub(crate) type Shelf = Arc<Mutex<Tokens>>;

/// Covers protected values in texts; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Veil(Option<Arc<Inner>>);

struct Inner {
    classes: Arc<Classes>,
    cloth: Arc<Cloth>,
    key: [u8; 32],
    /// Where tokens are noted, so that their values can be put back.
    noted: Option<Shelf>,
    /// Where values are put back from.
    restored: Option<Shelf>,
}

/// What a veil does, as policy asks for it.
pub(crate) struct Weave {
    pub(crate) classes: Arc<Classes>,
    pub(crate) cloth: Arc<Cloth>,
    pub(crate) key: [u8; 32],
    pub(crate) noted: Option<Shelf>,
    pub(crate) restored: Option<Shelf>,
}

/// What covers which class; the same for many exchanges.
pub(crate) struct Cloth {
    /// The transforms of classes; a class that is not here is shown.
    transforms: Vec<(Tag, Transform)>,
    covers: Covers,
    watch: Watch,
}

impl Cloth {
    pub(crate) fn new(classes: &Classes, transforms: Vec<(Tag, Transform)>, key: &[u8; 32]) -> Self {
        let shown = classes.tags().map(|tag| (tag.clone(), None));
        let rules = shown.chain(transforms.iter().map(|(tag, transform)| (tag.clone(), Some(transform.clone()))));
        let covers = Covers::new(key, rules);
        let watch = covers.watch(classes.detectors());
        Self { transforms, covers, watch }
    }

    /// Whether it is made of these.
    pub(crate) fn is_of(&self, transforms: &[(Tag, Transform)]) -> bool {
        self.transforms == transforms
    }
}

impl Veil {
    /// Covers nothing.
    pub(crate) const fn open() -> Self {
        Self(None)
    }

    /// Covers what is to be covered.
    pub(crate) fn new(weave: Weave) -> Self {
        let Weave { classes, cloth, key, noted, restored } = weave;
        let restored = restored.filter(|shelf| !lock(shelf).is_empty());
        if cloth.transforms.is_empty() && restored.is_none() {
            return Self::open();
        }
        Self(Some(Arc::new(Inner { classes, cloth, key, noted, restored })))
    }

    /// Whether no text is ever changed.
    pub(crate) const fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether tokens are put back, which are no protected values.
    pub(crate) fn restores(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.restored.is_some())
    }

    /// A whole text.
    pub(crate) fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(inner) = &self.0 else { return Cow::Borrowed(text) };
        match inner.scrub(text) {
            Some(changed) => Cow::Owned(changed),
            None => Cow::Borrowed(text),
        }
    }

    /// Whether members of JSON are covered by their names.
    pub(crate) fn has_keys(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.by_name().is_some())
    }

    /// Whether a document has members that are covered by their names.
    pub(crate) fn hides_by_name(&self, document: &Document) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut hides = false;
        inner
            .classes
            .rules()
            .walk(document, |leaf| hides |= leaf.tag().is_some_and(|tag| inner.cloth.covers.rule(tag).is_some()));
        hides
    }

    /// A whole text, which may be JSON although nothing says so. One that reads like an object and is none that can be
    /// read in one way only is covered as a whole, where members are covered by their names.
    pub(crate) fn whole<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(inner) = &self.0 else { return Cow::Borrowed(text) };
        if !begins_container(text) {
            return self.scrub(text);
        }
        let masked = self.json(text).or_else(|| text.split_inclusive('\n').map(|line| self.json(line)).collect());
        let masked = masked.or_else(|| inner.unread(text).filter(|_| reads_as_object(text)));
        masked.map_or_else(|| self.scrub(text), Cow::Owned)
    }

    fn json(&self, text: &str) -> Option<String> {
        if text.trim().is_empty() {
            return Some(text.to_owned());
        }
        let document = Document::parse(text.to_owned(), JSON_LIMITS).ok()?;
        Some(String::from_utf8_lossy(&self.edits(&document).apply()).into_owned())
    }

    /// Puts back what was given a token, and covers nothing.
    pub(crate) fn restoring(&self) -> Self {
        let Some(inner) = &self.0 else { return Self::open() };
        let Some(restored) = inner.restored.clone() else { return Self::open() };
        let cloth = Arc::new(Cloth::new(&inner.classes, Vec::new(), &inner.key));
        let classes = Arc::clone(&inner.classes);
        Self::new(Weave { classes, cloth, key: inner.key, noted: None, restored: Some(restored) })
    }

    /// The headers that hold something which may not be seen; those cannot be changed, only left out.
    pub(crate) fn found_in(&self, headers: &HeaderMap) -> Vec<HeaderName> {
        let is_shown = |value: &HeaderValue| value.to_str().is_ok_and(|text| *self.scrub(text) == *text);
        let hidden = headers.iter().filter(|(_, value)| !self.is_open() && !is_shown(value));
        hidden.map(|(name, _)| name.clone()).collect()
    }

    /// A text that arrives in pieces.
    pub(crate) fn strainer(&self) -> Strainer {
        Strainer(self.0.as_ref().map(|inner| {
            let restore = inner.restored.as_ref().map(|_| Sieve::new(Arc::clone(inner.classes.tokens())));
            let sieve = Sieve::watching(Arc::clone(inner.classes.detectors()), inner.cloth.watch);
            Box::new(Straining { inner: Arc::clone(inner), sieve, restore, between: String::new() })
        }))
    }

    /// Every text of a document, whatever a key rule covers, and JSON inside of texts.
    pub(crate) fn edits<'d>(&self, document: &'d Document) -> Edits<'d> {
        match &self.0 {
            Some(inner) => mask_strings(document, inner.classes.rules(), |leaf, text| inner.leaf(leaf, text)),
            None => Edits::new(document),
        }
    }
}

impl Inner {
    /// The text as it may be seen; `None` where nothing of it changes.
    fn scrub(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut changed = false;
        if !self.cloth.watch.is_empty() {
            changed = self.cover(text, &mut out);
        }
        if let Some(shelf) = &self.restored {
            let source = if changed { std::mem::take(&mut out) } else { text.to_owned() };
            out.clear();
            let tokens = lock(shelf);
            scrub(self.classes.tokens(), self.classes.tokens().everything(), &source, &mut tokens.restore(), &mut out);
            changed |= out != source;
            if changed { Some(out) } else { None }
        } else {
            changed.then_some(out)
        }
    }

    /// Covers values, and tells whether there was one.
    fn cover(&self, text: &str, out: &mut String) -> bool {
        self.with_cover(|cover| scrub(self.classes.detectors(), self.cloth.watch, text, cover, out) > 0)
    }

    fn with_cover<T>(&self, act: impl FnOnce(&mut dyn Cover) -> T) -> T {
        match &self.noted {
            Some(shelf) => act(&mut self.cloth.covers.noting(&mut lock(shelf))),
            None => act(&mut &self.cloth.covers),
        }
    }

    fn leaf(&self, leaf: &Leaf<'_>, text: &str) -> Option<String> {
        if let Some(tag) = leaf.tag()
            && let Some(transform) = self.cloth.covers.rule(tag)
        {
            let mut out = String::new();
            stand_in(transform, tag, text, &self.key, &mut out);
            if *transform == Transform::Token
                && let Some(shelf) = &self.noted
            {
                lock(shelf).note(&out, text);
            }
            return Some(out);
        }
        if self.classes.is_unread(leaf, text)
            && let Some(covered) = self.unread(text)
        {
            return Some(covered);
        }
        self.scrub(&looked_at(leaf, text)?)
    }

    /// The first class whose members are covered by their names.
    fn by_name(&self) -> Option<(&Tag, &Transform)> {
        self.classes.rules().tags().iter().find_map(|tag| Some((tag, self.cloth.covers.rule(tag)?)))
    }

    /// What stands for a text in which members that are to be covered cannot be told.
    fn unread(&self, text: &str) -> Option<String> {
        let (tag, transform) = self.by_name()?;
        let mut out = String::new();
        stand_in(transform, tag, text, &self.key, &mut out);
        Some(out)
    }
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "Veil(open)" } else { "Veil" })
    }
}

/// Covers one text that arrives in pieces.
pub(crate) struct Strainer(Option<Box<Straining>>);

struct Straining {
    inner: Arc<Inner>,
    sieve: Sieve,
    restore: Option<Sieve>,
    between: String,
}

impl Strainer {
    /// Takes a piece and appends what may be released.
    pub(crate) fn push(&mut self, piece: &str, out: &mut String) {
        let Some(straining) = &mut self.0 else { return out.push_str(piece) };
        straining.step(out, |sieve, cover, between| sieve.push(piece, cover, between));
        straining.restore(out, false);
    }

    /// Appends what is left.
    pub(crate) fn finish(&mut self, out: &mut String) {
        let Some(straining) = &mut self.0 else { return };
        straining.step(out, |sieve, cover, between| sieve.finish(cover, between));
        straining.restore(out, true);
    }

    /// Bytes that are held back.
    pub(crate) fn held(&self) -> usize {
        let Some(straining) = &self.0 else { return 0 };
        straining.sieve.held().saturating_add(straining.restore.as_ref().map_or(0, Sieve::held))
    }
}

impl Straining {
    /// Runs the first sieve; its text goes out, or waits for the second.
    fn step(&mut self, out: &mut String, act: impl FnOnce(&mut Sieve, &mut dyn Cover, &mut String)) {
        let Self { inner, sieve, restore, between } = self;
        let into = if restore.is_some() { between } else { out };
        inner.with_cover(|cover| act(sieve, cover, into));
    }

    fn restore(&mut self, out: &mut String, ends: bool) {
        let (Some(sieve), Some(shelf)) = (&mut self.restore, &self.inner.restored) else { return };
        let tokens = lock(shelf);
        sieve.push(&self.between, &mut tokens.restore(), out);
        self.between.clear();
        if ends {
            sieve.finish(&mut tokens.restore(), out);
        }
    }
}

impl fmt::Debug for Strainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Strainer({} bytes held)", self.held())
    }
}

fn lock(shelf: &Shelf) -> std::sync::MutexGuard<'_, Tokens> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn begins_container(text: &str) -> bool {
    text.trim_start_matches(BLANK).starts_with(['{', '['])
}

/// Whether a text begins like an object, or like a list of them.
pub(crate) fn begins_object(text: &str) -> bool {
    let text = text.trim_start_matches(BLANK);
    text.strip_prefix('[').map_or(text, |text| text.trim_start_matches(BLANK)).starts_with('{')
}

/// Whether a text reads like JSON with members, to a reader that is not strict.
pub(crate) fn reads_as_object(text: &str) -> bool {
    begins_container(text) && text.contains('{') && text.contains(':')
}

/// The text of a leaf as detectors see it: of numbers the digits before the point, if they are many.
pub(crate) fn looked_at<'t>(leaf: &Leaf<'_>, text: &'t str) -> Option<Cow<'t, str>> {
    if leaf.node().kind() == Kind::Number { digits(text) } else { Some(Cow::Borrowed(text)) }
}

/// The whole part of a JSON number, in decimal: `4.1e3` is `4100`.
fn digits(number: &str) -> Option<Cow<'_, str>> {
    let number = number.strip_prefix('-').unwrap_or(number);
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        return (number.len() >= NUMBER_DIGITS).then_some(Cow::Borrowed(number));
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shift: isize = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let all = || whole.bytes().chain(fraction.bytes());
    // Zeros that lead say nothing, however many there are.
    let zeros = all().position(|digit| digit != b'0')?;
    let point = isize::try_from(whole.len()).ok()?.checked_add(shift)?.checked_sub_unsigned(zeros)?;
    let point = usize::try_from(point).ok().filter(|point| (NUMBER_DIGITS..=DOUBLE_DIGITS).contains(point))?;
    Some(Cow::Owned(all().skip(zeros).chain(std::iter::repeat(b'0')).take(point).map(char::from).collect()))
}

/// Which classes a text holds; shows it as it is.
pub(crate) struct Noticing<'a>(pub(crate) &'a mut std::collections::BTreeSet<Tag>);

impl Cover for Noticing<'_> {
    fn cover(&mut self, found: &sluice_mask::Found<'_>, out: &mut String) {
        self.0.extend(found.tags().cloned());
        out.push_str(found.text());
    }
}

/// Runs every detector of a set over a text; tells how many times it was covered.
pub(crate) fn notice(
    detectors: &Detectors,
    text: &str,
    tags: &mut std::collections::BTreeSet<Tag>,
    out: &mut String,
) -> u64 {
    out.clear();
    scrub(detectors, detectors.everything(), text, &mut Noticing(tags), out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use crate::classes::Veils;
    use crate::target::Target;

    use super::*;

    fn veil(dialect: &str) -> (Veils, Veil) {
        let target = format!(
            r#"{{"url":"https://api.example.com","dialect":"{dialect}","keys":{{"**.api_key":["secret.key"]}}}}"#
        );
        let target: Target = serde_json::from_str(&target).unwrap();
        let veils = Veils::new(Classes::of(&target).unwrap(), [7; 32]);
        let everything = veils.everything().clone();
        (veils, everything)
    }

    #[test]
    fn numbers_are_looked_at_as_they_read() {
        for (number, expect) in [
            ("4111111111111111", Some("4111111111111111")),
            ("-4111111111111111", Some("4111111111111111")),
            ("4111111111111111.0", Some("4111111111111111")),
            ("4.111111111111111e15", Some("4111111111111111")),
            ("4111111111111111000E-3", Some("4111111111111111")),
            ("0.04111111111111111e+17", Some("4111111111111111")),
            (
                "4111111111111111000000000000000000000000000000.0",
                Some("4111111111111111000000000000000000000000000000"),
            ),
            ("0.000000000000000000000000000000000000000000000004111111111111111e63", Some("4111111111111111")),
            ("000.04111111111111111e+17", Some("4111111111111111")),
            ("411111", None),
            ("0e20", None),
            ("0e60", None),
            ("1e400", None),
            ("-1.5", None),
            ("1e-9999999999999999999999", None),
        ] {
            assert_eq!(digits(number).as_deref(), expect, "{number}");
        }
    }

    #[test]
    fn members_are_covered_in_texts_that_are_json_or_that_lax_readers_take_for_it() {
        let (veils, everything) = veil("rest");
        for (text, expect) in [
            (r#"{"api_key":"RCAN1"}"#, r#"{"api_key":"***"}"#),
            ("\u{feff} {\"api_key\":\"RCAN1\"}", "***"),
            (r#"{"score":NaN,"api_key":"RCAN1"}"#, "***"),
            (r#"{"api_key":"RCAN1","api_key":"RCAN2"}"#, "***"),
            ("{\"api_key\":\"RCAN1\"}\n\n{\"a\":1}\n", "{\"api_key\":\"***\"}\n\n{\"a\":1}\n"),
            ("[INFO] ready", "[INFO] ready"),
            ("nothing {to: see}", "nothing {to: see}"),
        ] {
            assert_eq!(everything.whole(text), expect, "{text}");
            assert_eq!(veils.found_in(text).is_empty(), *text == *expect, "{text}");
        }
        let nested = Document::parse(r#"{"t":"{\"score\": NaN, \"api_key\":\"RCAN1\"}"}"#, JSON_LIMITS).unwrap();
        assert_eq!(&everything.edits(&nested).apply()[..], br#"{"t":"***"}"#);
        assert!(!veils.found_within(&nested).is_empty());
    }

    #[test]
    fn outputs_of_tools_are_what_programs_write() {
        let (veils, everything) = veil("openai");
        let lax = [
            "{'api_key': 'RCAN1'}",
            r#"{"api_key":"RCAN1"} ok"#,
            r#"{"x": NaN, "api_key":"RCAN1"}"#,
            "\u{feff}{\"api_key\":\"RCAN1\"}",
            r#"[{api_key: "RCAN1"}]"#,
        ];
        let lines = "{\"a\":1}\n{\"api_key\":\"RCAN1\"}";
        for place in [
            r#"{"input":TEXT}"#,
            r#"{"input":[TEXT]}"#,
            r#"{"input":[{"type":"function_call_output","call_id":"c","output":TEXT}]}"#,
            r#"{"input":[{"type":"custom_tool_call_output","call_id":"c","output":[{"type":"input_text","text":TEXT}]}]}"#,
            r#"{"output":[{"type":"mcp_call","output":TEXT}]}"#,
            r#"{"output":[{"type":"shell_call_output","output":[{"stdout":TEXT}]}]}"#,
            r#"{"output":[{"type":"code_interpreter_call","outputs":[{"type":"logs","logs":TEXT}]}]}"#,
            r#"{"output":[{"type":"file_search_call","results":[{"text":TEXT}]}]}"#,
            r#"{"type":"response.output_item.done","item":{"type":"mcp_call","output":TEXT}}"#,
            r#"{"messages":[{"role":"tool","tool_call_id":"c","content":TEXT}]}"#,
            r#"{"messages":[{"role":"tool","content":[{"type":"text","text":TEXT}]}]}"#,
            r#"{"messages":[{"role":"function","name":"f","content":TEXT}]}"#,
            r#"{"tool_outputs":[{"tool_call_id":"c","output":TEXT}]}"#,
        ] {
            for text in lax.iter().copied().chain([lines]) {
                let body = place.replace("TEXT", &serde_json::Value::from(text).to_string());
                let body = Document::parse(body, JSON_LIMITS).unwrap();
                let shown = String::from_utf8(everything.edits(&body).apply().to_vec()).unwrap();
                assert!(!shown.contains("RCAN1") && shown.contains("***"), "{shown}");
                assert_eq!(shown.contains("\\\"a\\\":1"), text == lines, "{shown}");
                assert!(!veils.found_within(&body).is_empty(), "{shown}");
            }
            let plain = Document::parse(place.replace("TEXT", r#""[INFO] all {is: fine""#), JSON_LIMITS).unwrap();
            let is_input = place.starts_with(r#"{"input":T"#) || place.starts_with(r#"{"input":[T"#);
            assert_eq!(everything.edits(&plain).is_empty(), is_input, "{place}");
        }
        for place in [
            r#"{"output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":TEXT}]}]}"#,
            r#"{"choices":[{"message":{"role":"assistant","content":TEXT}}]}"#,
            r#"{"messages":[{"role":"user","content":TEXT}]}"#,
        ] {
            let body = place.replace("TEXT", &serde_json::Value::from(lax[0]).to_string());
            let body = Document::parse(body, JSON_LIMITS).unwrap();
            assert!(everything.edits(&body).is_empty(), "prose: {place}");
            let body = Document::parse(place.replace("TEXT", &serde_json::Value::from(lines).to_string()), JSON_LIMITS);
            assert!(!everything.edits(&body.unwrap()).is_empty(), "lines: {place}");
        }
    }
}
