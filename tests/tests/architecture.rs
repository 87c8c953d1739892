//! The repository's rules: the crate graph, budgets, words. Every offender is printed.
#![expect(clippy::expect_used, clippy::string_slice, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};
use sluice_tests::source::Stripped;

const FILE_CODE_LINES: usize = 400;
const FILE_LINES_WITH_TESTS: usize = 800;
const FUNCTION_LINES: usize = 100;
const LIB_LINES: usize = 80;

/// Which of our crates each may depend on: arrows only downwards, adapters and protocols never on each other.
const GRAPH: &[(&str, &[&str])] = &[
    ("sluice-model", &[]),
    ("sluice-policy", &["sluice-model"]),
    ("sluice-recording", &["sluice-model"]),
    ("sluice-wire", &["sluice-model"]),
    ("sluice-mask", &["sluice-model"]),
    ("sluice-sql", &["sluice-model"]),
    ("sluice-shell", &["sluice-model"]),
    ("sluice-kernel", &["sluice-model", "sluice-policy", "sluice-recording", "sluice-wire"]),
    ("sluice-identity", ADAPTER),
    ("sluice-vault", ADAPTER),
    ("sluice-store", ADAPTER),
    ("sluice-postgres", &["sluice-model", "sluice-wire", "sluice-mask", "sluice-sql"]),
    ("sluice-http", &["sluice-model", "sluice-wire", "sluice-mask"]),
    ("sluice-ssh", &["sluice-model", "sluice-wire", "sluice-mask", "sluice-shell"]),
];

/// What fills the kernel's ports; the ports speak in nouns of `wire`.
const ADAPTER: &[&str] = &["sluice-kernel", "sluice-model", "sluice-recording", "sluice-wire"];
/// Depends on all.
const BROKER: &str = "sluice-broker";
/// Stands outside: nothing depends on it.
const TESTS: &str = "sluice-tests";
/// Crates that know no runtime.
const PURE: &[&str] =
    &["sluice-model", "sluice-policy", "sluice-recording", "sluice-mask", "sluice-sql", "sluice-shell"];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("`cargo metadata` works")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_path_buf()
}

fn none_of(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

/// Every file below the source folders with an ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["crates", "protocols", "tests", "policies"] {
        walk(&root().join(folder), ending, &mut found);
    }
    found.sort();
    found
}

fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, ending, found);
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn sources() -> Vec<(PathBuf, String, Stripped)> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file is text");
        let stripped = Stripped::new(&text);
        (path, text, stripped)
    };
    files("rs").into_iter().map(read).collect()
}

#[test]
fn dependencies_point_downwards() {
    let graph: BTreeMap<&str, &[&str]> = GRAPH.iter().copied().collect();
    let mut offenders = Vec::new();
    for package in metadata().packages {
        let name = package.name.as_str();
        let ours = package.dependencies.iter().map(|d| d.name.as_str()).filter(|d| d.starts_with("sluice-"));
        let ours: BTreeSet<&str> = ours.filter(|dependency| *dependency != name).collect();
        for dependency in &ours {
            let allowed = match name {
                TESTS => true,
                BROKER => *dependency != TESTS,
                _ => graph.get(name).is_some_and(|allowed| allowed.contains(dependency)),
            };
            if !allowed {
                offenders.push(format!("{name} depends on {dependency}"));
            }
        }
        if ![TESTS, BROKER].contains(&name) && !graph.contains_key(name) {
            offenders.push(format!("{name} has no place in the graph: add it to GRAPH and to ARCHITECTURE.md"));
        }
    }
    none_of("a dependency points upwards or sideways", &offenders);
}

#[test]
fn pure_crates_know_no_runtime() {
    let mut offenders = Vec::new();
    for package in metadata().packages.iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let runtimes =
            package.dependencies.iter().filter(|d| ["tokio", "tracing", "hyper", "sqlx"].contains(&d.name.as_str()));
        offenders.extend(runtimes.map(|d| format!("{} depends on {}", package.name, d.name)));
    }
    none_of("a pure crate knows a runtime", &offenders);
}

#[test]
fn a_crate_is_named_as_its_folder() {
    let mut offenders = Vec::new();
    for package in metadata().packages {
        let folder = package.manifest_path.parent().and_then(|parent| parent.file_name()).unwrap_or_default();
        if package.name.as_str() != format!("sluice-{folder}") {
            offenders.push(format!("{} lies in `{folder}`", package.name));
        }
    }
    none_of("a crate is not named as its folder", &offenders);
}

#[test]
fn files_and_functions_keep_their_budgets() {
    let mut offenders = Vec::new();
    for (path, text, source) in sources() {
        let name = shown(&path);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let of_tests = stem.ends_with("tests") || path.components().any(|part| part.as_os_str() == "tests");
        let (code, all) = source.code_lines();
        if !of_tests && code > FILE_CODE_LINES {
            offenders.push(format!("{name}: {code} lines of code, at most {FILE_CODE_LINES}"));
        }
        if all > FILE_LINES_WITH_TESTS {
            offenders.push(format!("{name}: {all} lines with tests, at most {FILE_LINES_WITH_TESTS}"));
        }
        if stem == "lib" && text.lines().count() > LIB_LINES {
            offenders.push(format!(
                "{name}: {} lines, at most {LIB_LINES}: it is a table of contents",
                text.lines().count()
            ));
        }
        for function in source.functions().into_iter().filter(|function| function.lines > FUNCTION_LINES) {
            offenders.push(format!(
                "{name}:{}: `{}` has {} lines, at most {FUNCTION_LINES}",
                function.line, function.name, function.lines
            ));
        }
    }
    none_of("a budget is exceeded", &offenders);
}

#[test]
fn nothing_is_left_undone() {
    let undone = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore", "#[should_panic", "thread::sleep("];
    let mut offenders = Vec::new();
    for (path, _, source) in sources() {
        for mark in undone {
            offenders.extend(source.lines_with(mark).map(|line| format!("{}:{line}: {mark}", shown(&path))));
        }
    }
    none_of("something is left undone", &offenders);
}

#[test]
fn unsafe_is_nowhere() {
    let mut offenders = Vec::new();
    for (path, _, source) in sources() {
        for mark in ["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe extern "] {
            offenders.extend(source.lines_with(mark).map(|line| format!("{}:{line}", shown(&path))));
        }
    }
    none_of("unsafe code", &offenders);
}

#[test]
fn the_two_sides_have_one_name_each() {
    let banned = ["upstream", "downstream", "frontend", "backend"];
    let mut offenders = Vec::new();
    for (path, text, _) in sources().into_iter().filter(|(path, ..)| !path.ends_with("tests/architecture.rs")) {
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let hits = banned.iter().filter(|word| is_our_word(&lower, word));
            offenders.extend(hits.map(|word| format!("{}:{}: {word}", shown(&path), index + 1)));
        }
    }
    none_of("the sides of a flow are `client` and `server`", &offenders);
}

/// A whole word that is not part of a library's path, such as `postgres_protocol::message::frontend`.
fn is_our_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let joined = |c: char| c.is_alphanumeric() || c == '_';
        let whole = !before.ends_with(joined) && !after.starts_with(joined);
        whole && !before.ends_with("::") && !after.starts_with("::")
    })
}

#[test]
fn every_policy_pack_has_cases() {
    let packs = files("cedar");
    assert!(packs.len() >= 4, "there are {} policy packs, expected at least four", packs.len());
    let lonely = packs.iter().filter(|pack| !pack.with_extension("cases").exists());
    let offenders: Vec<String> = lonely.map(|pack| shown(pack)).collect();
    none_of("a policy pack has no `.cases` beside it", &offenders);
}

#[test]
fn every_module_says_what_it_is() {
    let mut offenders = Vec::new();
    for (path, text, _) in sources() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let documented = text.lines().next().is_some_and(|line| line.starts_with("//!"));
        if !documented && !stem.ends_with("tests") && stem != "testing" {
            offenders.push(shown(&path));
        }
    }
    none_of("a module has no first sentence", &offenders);
}

#[test]
fn the_map_names_every_crate() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md exists");
    assert!(map.lines().count() <= 200, "ARCHITECTURE.md has {} lines, at most 200", map.lines().count());
    let unnamed = metadata().packages.into_iter().map(|package| package.name.to_string());
    let offenders: Vec<String> =
        unnamed.filter(|name| !map.contains(&format!("`{}`", name.trim_start_matches("sluice-")))).collect();
    none_of("a crate is not in ARCHITECTURE.md", &offenders);
}
