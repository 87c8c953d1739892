//! Any command line: what is sent reads as what was read, and nothing in it is more than plain words.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice_shell::{Book, File, Judgement, MAX_BYTES, Script};

static BOOK: LazyLock<Book> = LazyLock::new(|| {
    let files = [
        File { name: "files.yaml", text: include_str!("../../policies/commands/files.yaml") },
        File { name: "interpreters.yaml", text: include_str!("../../policies/commands/interpreters.yaml") },
        File { name: "system.yaml", text: include_str!("../../policies/commands/system.yaml") },
        File { name: "wrappers.yaml", text: include_str!("../../policies/commands/wrappers.yaml") },
    ];
    Book::load(&files).expect("the catalogue reads")
});

fuzz_target!(|input: &[u8]| {
    let Ok(script) = Script::parse(input) else { return };
    let rendered = script.render();
    // Quotes make a text longer, and what is longer than the limit is not read.
    if rendered.len() > MAX_BYTES {
        return;
    }
    let again = Script::parse(rendered.as_bytes()).expect("what is rendered reads");
    let words = |script: &Script| -> Vec<Vec<String>> {
        let texts = |simple: &sluice_shell::Simple| simple.words.iter().map(|word| word.text.clone()).collect();
        script.commands.iter().map(texts).collect()
    };
    assert_eq!(words(&script), words(&again));
    if let Judgement::Structured { rendering, .. } = BOOK.judge(input) {
        let is_long = rendering.len() > MAX_BYTES;
        assert!(is_long || matches!(BOOK.judge(rendering.as_bytes()), Judgement::Structured { .. }), "{rendering}");
    }
});
