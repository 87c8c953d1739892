//! Tests of the crate as its users see it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod calm;
mod catalogue;
mod corpus;
mod differential;
mod generate;
mod mutate;
mod programs;
mod reading;
mod shells;
mod templates;

use crate::{Book, File};

/// The catalogue that is shipped.
fn catalogue() -> Book {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/commands");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    let texts: Vec<(String, String)> = paths.iter().map(read).collect();
    assert!(texts.len() >= 8, "{} files of commands", texts.len());
    let files: Vec<File<'_>> = texts.iter().map(|(name, text)| File { name, text }).collect();
    Book::load(&files).unwrap_or_else(|error| panic!("{error}"))
}
