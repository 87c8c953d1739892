//! What the fuzz targets of this crate run, with as many surprises as fit into a test, the same each time.
#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "surprises/laws.rs"]
mod laws;
#[path = "surprises/text.rs"]
mod text;

use laws::World;
use text::Texts;

/// How many texts are made up for each law.
const TEXTS: usize = 20_000;
/// Longest script of a text, in bytes.
const SCRIPT_BYTES: usize = 24;

/// Scripts that look random.
fn scripts(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = seed;
    let mut byte = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(move || (0..usize::from(byte()) % SCRIPT_BYTES).map(|_| byte()).collect())
}

#[test]
fn what_is_made_up_is_understood_or_refused() {
    let (world, texts) = (World::new(), Texts::new());
    let read = scripts(7).take(TEXTS).filter(|script| world.understand(&texts.spell(script))).count();
    // Texts that do not parse show little.
    assert!(read > TEXTS / 4, "only {read} of {TEXTS} parse");
}

#[test]
fn what_is_rewritten_reads_again_and_no_wider() {
    let (world, texts) = (World::new(), Texts::new());
    let masked = scripts(11).take(TEXTS).filter(|script| world.mask(&texts.spell(script))).count();
    assert!(masked > TEXTS / 50, "only {masked} of {TEXTS} are rewritten");
}
