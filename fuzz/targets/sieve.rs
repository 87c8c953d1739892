//! A peer writes any text, cut anywhere: the same leaves, and no value that is looked for is in it.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sluice_mask::{BUILTINS, Cover, Detectors, Found, Sieve, Spec, scrub};

const CANARY: &str = "AKIAIOSFODNN7EXAMPLE";

static DETECTORS: LazyLock<Arc<Detectors>> = LazyLock::new(|| {
    let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).expect("it is built in")).collect();
    Arc::new(Detectors::compile(&specs).expect("they compile"))
});

struct Stars;

impl Cover for Stars {
    fn cover(&mut self, _: &Found<'_>, out: &mut String) {
        out.push_str("***");
    }
}

fn cut(text: &str, piece: usize) -> String {
    let mut sieve = Sieve::new(Arc::clone(&DETECTORS));
    let (mut out, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(piece).max(first));
        sieve.push(piece, &mut Stars, &mut out);
        rest = tail;
    }
    sieve.finish(&mut Stars, &mut out);
    out
}

fuzz_target!(|input: &[u8]| {
    let text = format!("{} key {CANARY} .", String::from_utf8_lossy(input));
    let piece = usize::from(input.first().copied().unwrap_or(3)).max(1);
    let mut whole = String::new();
    scrub(&DETECTORS, DETECTORS.everything(), &text, &mut Stars, &mut whole);
    assert_eq!(whole, cut(&text, piece));
    assert_eq!(whole, cut(&text, text.len()));
    // The input may hold the same letters, within a longer word that is no value.
    assert!(!whole.ends_with(&format!("{CANARY} .")));
});
