//! The catalogue against the programs of this machine: whether they take values where the schemas say so, and nowhere else.
//!
//! Each flag is asked about with a word that no program knows, so that every one of them ends before it does anything.
#![expect(clippy::print_stdout, reason = "says what was compared")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::catalogue;
use crate::schema::{Flag, Schema, Takes};
use crate::sheet::Class;

/// Programs that are always there.
const NEEDED: [&str; 24] = [
    "cat", "chmod", "cp", "cut", "date", "df", "du", "env", "find", "git", "grep", "head", "ls", "mv", "nice", "rm",
    "sed", "sort", "stat", "stdbuf", "tail", "tar", "timeout", "wc",
];
/// How many flags of those must have been asked about.
const LEAST: usize = 250;

/// What does not say what it takes, and why that is as it should be.
const EXCUSED: &[(&str, &str, &str)] = &[
    ("echo", "-n", "takes what it does not know as text"),
    ("test", "*", "has a language instead of options, and reads the next word in any case"),
    ("kill", "*", "reads what begins with a dash as a signal"),
    ("pidof", "*", "says nothing about what it does not know"),
    ("iostat", "*", "takes the next word where that can be a device"),
    ("mpstat", "*", "shows its usage for all that it does not like"),
    ("pidstat", "*", "shows its usage for all that it does not like"),
    ("uptime", "*", "ends at its first flag"),
    ("git rev-parse", "*", "says again what it does not know"),
    ("egrep", "*", "is grep"),
    ("fgrep", "*", "is grep"),
    ("lsof", "-i", "takes the next word unless it begins with `-` or `+`, and what it may be then is listed"),
    ("rsync", "--sender", "is nothing without `--server`, which the schemas require"),
    ("rsync", "-N", "may be built without it"),
    ("service", "--status-all", "is a word like others to it"),
    ("ps", "-u", "is its own `u` at the end of a line; otherwise it takes the next word"),
    ("ps", "--no-headers", "calls it by another of its names"),
    ("journalctl", "-n", "takes the next word where it is a number, as the schema's value is"),
    ("journalctl", "--lines", "takes the next word where it is a number, as the schema's value is"),
];

const UNKNOWN: [&str; 9] = [
    "unrecognized",
    "unknown",
    "invalid option",
    "illegal option",
    "unsupported",
    "not understood",
    "does not support",
    "bad option",
    "conflicting",
];
const MISSING: [&str; 12] = [
    "requires an argument",
    "requires a value",
    "requires parameter",
    "needs an argument",
    "needs argument",
    "missing argument",
    "takes a value",
    "no directory given",
    "must follow",
    "missing -",
    "specified",
    "invalid argument `-",
];

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Answer {
    Agrees,
    /// The program is of another version, and refuses the flag.
    Stranger,
    Differs,
}

#[test]
fn programs_take_values_where_the_schemas_say_so() {
    let asker = Asker::new();
    let (book, mut asked, mut absent) = (catalogue(), BTreeMap::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for schema in book.schemas.iter().filter(|schema| schema.class != Class::Interpreter) {
        for program in schema.programs.iter().filter(|program| !program.contains('/')) {
            if !asker.has(program) {
                absent.insert(program.clone());
                continue;
            }
            let counted: &mut BTreeMap<Answer, usize> = asked.entry(program.clone()).or_default();
            asker.schema(schema, &[program], &BTreeSet::new(), &mut |words, flag, answer, text| {
                *counted.entry(answer).or_default() += 1;
                if answer == Answer::Differs {
                    wrong.push(format!("{} {flag}: {}", words.join(" "), text.lines().next().unwrap_or_default()));
                }
            });
        }
    }
    for (program, counted) in &asked {
        println!("{program}: {counted:?}");
    }
    println!("absent: {absent:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let agreed = |program: &&str| asked.get(*program).and_then(|counted| counted.get(&Answer::Agrees)).copied();
    let silent: Vec<&&str> = NEEDED.iter().filter(|program| agreed(program).is_none()).collect();
    assert!(silent.is_empty(), "nothing was asked of {silent:?}");
    let all: usize = NEEDED.iter().filter_map(agreed).sum();
    assert!(all >= LEAST, "only {all} flags were asked about");
}

/// The comparison has teeth: it finds a value where there is none, and none where there is one.
#[test]
fn the_comparison_finds_a_wrong_schema() {
    let wrong = [
        ("git", "subcommands: [{ name: log, options: { --pretty: text } }]", "--pretty"),
        ("sort", "flags: -k", "-k"),
        ("sort", "flags: --key", "--key"),
        ("date", "flags: -I", "-I"),
        ("head", "optional: { -n: number }", "-n"),
        ("ls", "options: { --all: text }", "--all"),
        ("od", "options: { -s: number }", "-s"),
        ("ls", "flags: --human", "--human"),
    ];
    let asker = Asker::new();
    for (program, fields, flag) in wrong {
        let text = format!("commands:\n  - name: {program}\n    effect: read\n    {fields}\n");
        let book = crate::Book::load(&[crate::File { name: "x", text: &text }]).unwrap();
        let mut found = Vec::new();
        let mut hear = |_: &[&str], flag: &str, answer, _: &str| found.push((flag.to_owned(), answer));
        asker.schema(&book.schemas[0], &[program], &BTreeSet::new(), &mut hear);
        assert_eq!(found, [(flag.to_owned(), Answer::Differs)], "{program} {fields}");
    }
}

struct Asker {
    folder: TempDir,
    folders: Vec<PathBuf>,
}

type Heard<'a> = dyn FnMut(&[&str], &str, Answer, &str) + 'a;

impl Asker {
    /// A repository with one commit: without one git says less.
    fn new() -> Self {
        let path = std::env::var_os("PATH").unwrap();
        let asker = Self { folder: tempfile::tempdir().unwrap(), folders: std::env::split_paths(&path).collect() };
        asker.ask(&["git", "init", "--quiet"]);
        let name = ["-c", "user.name=x", "-c", "user.email=x@x"];
        asker.ask(&[&["git"][..], &name, &["commit", "--quiet", "--allow-empty", "-m", "x"]].concat());
        asker
    }

    fn has(&self, program: &str) -> bool {
        self.folders.iter().any(|folder| folder.join(program).is_file())
    }

    /// What a program says, on both of its streams.
    fn ask(&self, words: &[&str]) -> String {
        let home: &Path = self.folder.path();
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "10"]).args(words).current_dir(home).stdin(Stdio::null());
        let output = command.env("LC_ALL", "C").env("HOME", home).env("TERM", "dumb").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Asks about each flag of a schema, but for those that the program has confirmed above.
    fn schema(&self, schema: &Schema, words: &[&str], above: &BTreeSet<&String>, heard: &mut Heard<'_>) {
        let mut confirmed = above.clone();
        let with = |more: &[&str]| self.ask(&[words, more].concat());
        let stranger = with(&["--sluice-nobody"]);
        for (name, flag) in &schema.flags {
            let excuse =
                |(program, flag, _): &&(&str, &str, &str)| *program == words.join(" ") && [name, "*"].contains(flag);
            // What is refused in any case may take what it wants.
            if flag.interpreter.is_some() || above.contains(name) || EXCUSED.iter().any(|excused| excuse(&excused)) {
                continue;
            }
            let (answer, text) = compare(name, flag, schema.clusters, &stranger, &with);
            if answer == Answer::Agrees {
                confirmed.insert(name);
            }
            heard(words, name, answer, &text);
        }
        for below in schema.subcommands.iter().filter(|below| below.class != Class::Interpreter) {
            for name in &below.names {
                self.schema(below, &[words, &[name]].concat(), &confirmed, heard);
            }
        }
    }
}

/// Asks about one flag: without the value that it must have, before a word that nobody knows, and with a letter behind it.
fn compare(
    name: &str,
    flag: &Flag,
    clusters: bool,
    stranger: &str,
    with: &dyn Fn(&[&str]) -> String,
) -> (Answer, String) {
    if let Takes::Value(_) = flag.takes {
        let text = with(&[name]);
        return (says(&text, &MISSING, name), text);
    }
    let text = with(&[name, "--sluice-nobody"]);
    let refuses = text == stranger || (text.contains("sluice-nobody") && has_any(&text, &UNKNOWN));
    if !refuses {
        return (says(&text, &[], name), text);
    }
    if name.starts_with("--") {
        // GNU's programs name the flag in full that they take an abbreviation for.
        let text = with(&[&format!("{name}=x")]);
        let full = text.split_once("option '").and_then(|(_, rest)| rest.split_once("' doesn't allow"));
        let same = full.is_none_or(|(full, _)| full == name);
        return (if same { Answer::Agrees } else { Answer::Differs }, text);
    }
    if !clusters || matches!(flag.takes, Takes::Attached(_)) {
        return (Answer::Agrees, text);
    }
    let text = with(&[&format!("{name}~")]);
    let refuses = (text.contains('~') || text.contains("unsupported SysV option")) && has_any(&text, &UNKNOWN);
    (if refuses || text == with(&["-~"]) { Answer::Agrees } else { says(&text, &[], name) }, text)
}

/// Whether a program says one of these things, or that it does not know the flag at all.
fn says(text: &str, wanted: &[&str], name: &str) -> Answer {
    let plain = name.trim_start_matches('-');
    match text.lines().find(|line| !line.is_empty()) {
        Some(_) if has_any(text, wanted) => Answer::Agrees,
        Some(first) if has_any(text, &UNKNOWN) && first.contains(plain) => Answer::Stranger,
        _ => Answer::Differs,
    }
}

fn has_any(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}
