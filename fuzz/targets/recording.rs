//! Anything is read back from disk as a recording: an error, never a panic, and no endless event.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_recording::Reader;

fuzz_target!(|input: &[u8]| {
    let Ok(mut reader) = Reader::open(input) else { return };
    let mut events = 0_usize;
    while let Ok(Some(_)) = reader.next_event() {
        events += 1;
        assert!(events <= input.len().saturating_mul(4096));
    }
});
