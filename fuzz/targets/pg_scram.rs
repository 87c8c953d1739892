//! Either end of a SCRAM exchange says anything: nothing is proven that was not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_postgres::surprises::{scram_of_clients, scram_of_servers};

fuzz_target!(|input: &[u8]| {
    scram_of_clients(input);
    scram_of_servers(input);
});
