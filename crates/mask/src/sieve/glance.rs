//! A look at a whole text that most texts need no more than: without copying any of it.

use crate::detect::{Detectors, Run, Watch};
use crate::fold::is_all_plain;

/// How many bytes a candidate is followed.
const STEPS: usize = 16;

/// The detectors that may find something in a whole text; none if it holds no value.
pub(super) fn glance(set: &Detectors, watch: Watch, text: &[u8]) -> Watch {
    if !is_all_plain(text) {
        return watch;
    }
    let able = set.signs().map_or(u64::MAX, |signs| signs.shown(text) | !signs.signed);
    let watch = Watch(watch.0 & able);
    if watch.is_empty() || is_clean(set, watch, text) { Watch(0) } else { watch }
}

/// Whether every candidate dies soon, and none was a value before.
fn is_clean(set: &Detectors, watch: Watch, text: &[u8]) -> bool {
    let mut before = None;
    for (at, byte) in text.iter().enumerate() {
        let mut mask = set.begin(before, *byte, watch);
        while let Ok(index) = usize::try_from(mask.trailing_zeros())
            && mask != 0
        {
            mask &= mask.wrapping_sub(1);
            if !dies(set, index, before, text.get(at..).unwrap_or_default()) {
                return false;
            }
        }
        before = Some(*byte);
    }
    true
}

fn dies(set: &Detectors, index: usize, before: Option<u8>, text: &[u8]) -> bool {
    let Some(detector) = set.detector(index) else { return false };
    let mut state = detector.automaton.start(before);
    for byte in text.iter().take(STEPS) {
        let (next, run) = detector.automaton.step(state, *byte);
        match run {
            Run::Dies => return true,
            Run::Ends => return false,
            Run::Lives => state = next,
        }
    }
    false
}
