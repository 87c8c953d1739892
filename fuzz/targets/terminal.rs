//! A host prints anything, cut anywhere: the same leaves, and no value that is watched for is in it.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sluice_mask::{BUILTINS, Detectors, Mode, Spec, Terminal};

const CANARY: &str = "AKIAIOSFODNN7EXAMPLE";

static DETECTORS: LazyLock<Arc<Detectors>> = LazyLock::new(|| {
    let specs: Vec<Spec> = BUILTINS.iter().map(|name| Spec::builtin(name).expect("it is built in")).collect();
    Arc::new(Detectors::compile(&specs).expect("they compile"))
});

fn shown(input: &[u8], mode: Mode, piece: usize) -> Vec<u8> {
    let mut terminal = Terminal::new(Arc::clone(&DETECTORS), DETECTORS.everything(), mode);
    let mut out = Vec::new();
    for piece in input.chunks(piece) {
        terminal.push(piece, &mut out);
        assert!(terminal.held() <= Terminal::HELD);
    }
    terminal.finish(&mut out);
    out
}

fuzz_target!(|input: &[u8]| {
    let mut text = input.to_vec();
    text.extend_from_slice(b"\r\nkey ");
    text.extend_from_slice(CANARY.as_bytes());
    text.extend_from_slice(b" \r\n");
    for mode in [Mode::Pipe, Mode::Pty { columns: 80 }] {
        let piece = usize::from(input.first().copied().unwrap_or(3)).max(1);
        let (whole, cut) = (shown(&text, mode, usize::MAX >> 1), shown(&text, mode, piece));
        assert_eq!(whole, cut);
        // The input may hold the same letters, within a longer word that is no value.
        assert!(!whole.ends_with(format!("{CANARY} \r\n").as_bytes()));
    }
});
