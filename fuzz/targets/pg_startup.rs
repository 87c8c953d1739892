//! A client of PostgreSQL begins with anything: nobody gets in without TLS or a name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| sluice_postgres::surprises::startup(input));
