//! Any statement text, masked at the source: what is written parses again, does no more, and shows nothing protected.
#![no_main]

#[path = "../../crates/sql/tests/surprises/laws.rs"]
#[allow(dead_code)]
mod laws;
#[path = "../../crates/sql/tests/surprises/text.rs"]
mod text;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static MADE: LazyLock<(laws::World, text::Texts)> = LazyLock::new(|| (laws::World::new(), text::Texts::new()));

fuzz_target!(|input: &[u8]| {
    let (world, texts) = &*MADE;
    world.mask(&texts.spell(input));
});
