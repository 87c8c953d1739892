//! Our reading against that of real shells, on random lines.
#![expect(clippy::print_stdout, reason = "says what was compared")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::generate::{Dice, NAMES, line};
use super::shells::{Reading, Shell, expected};
use crate::Script;

const LINES: usize = 20_000;
/// Lines of one process of a shell.
const AT_ONCE: usize = 1_000;

/// Lines that we read, and how.
fn readable(dice: &mut Dice, count: usize) -> (Vec<(String, Script)>, usize) {
    let (mut read, mut refused) = (Vec::new(), 0);
    while read.len() < count {
        let line = line(dice);
        match Script::parse(line.as_bytes()) {
            // Where spice came into a quoted name there is nothing that could say what it got.
            Ok(script) if script.commands.iter().any(|c| !NAMES.contains(&c.words[0].text.as_str())) => {}
            Ok(script) => read.push((line, script)),
            Err(_) => refused += 1,
        }
    }
    (read, refused)
}

fn compare(shell: &Shell, lines: &[String], wanted: &[Reading]) -> Vec<String> {
    let found = shell.read_all(lines);
    let all = lines.iter().zip(wanted).zip(&found);
    let differing = all.filter(|((_, wanted), found)| wanted != found);
    differing
        .map(|((line, wanted), found)| format!("{}: {line}\n  we: {wanted:?}\n  it: {found:?}", shell.name))
        .collect()
}

#[test]
fn shells_read_what_we_read() {
    let shells = Shell::all();
    let (read, refused) = readable(&mut Dice::new(0x5eed_0002), LINES);
    let lines: Vec<String> = read.iter().map(|(line, _)| line.clone()).collect();
    let renderings: Vec<String> = read.iter().map(|(_, script)| script.render()).collect();
    let wanted: Vec<Reading> = read.iter().map(|(_, script)| expected(script)).collect();
    let one = |shell: &Shell| -> Vec<String> {
        let count = if shell.is_needed { LINES } else { LINES / 4 };
        let both = [&lines, &renderings].into_iter().flat_map(|texts| {
            let chunks = texts[..count].chunks(AT_ONCE).zip(wanted[..count].chunks(AT_ONCE));
            chunks.flat_map(|(texts, wanted)| compare(shell, texts, wanted))
        });
        let wrong: Vec<String> = both.collect();
        println!("{}: {count} lines and their renderings, {} read differently", shell.name, wrong.len());
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = shells.iter().map(|shell| scope.spawn(|| one(shell))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    println!("{refused} more lines were undecidable");
    assert!(
        wrong.is_empty(),
        "{} lines are read differently, such as:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
    assert!(refused > LINES / 20, "only {refused} lines were undecidable: the generator is too tame");
}

#[test]
fn a_rendering_is_read_again_as_the_same() {
    let (read, _) = readable(&mut Dice::new(0x5eed_0003), LINES);
    for (line, script) in read {
        let rendering = script.render();
        let again =
            Script::parse(rendering.as_bytes()).unwrap_or_else(|error| panic!("{line} as {rendering}: {error}"));
        assert_eq!(again.render(), rendering, "{line}");
        assert_eq!(expected(&again), expected(&script), "{line}");
    }
}

/// The comparison has teeth: a reading that is wrong in one byte, one join or one stream is found.
#[test]
fn the_comparison_finds_a_wrong_reading() {
    let shells = Shell::all();
    let wrong = [
        ("aye a b", "aye 'a b'"),
        ("aye a && nay", "aye a || nay"),
        ("aye 2>&1 >/dev/null", "aye >/dev/null 2>&1"),
        ("aye | c1 x", "aye; c1 x"),
        ("aye ''", "aye"),
        ("aye a", "aye A"),
    ];
    for shell in &shells {
        for (line, other) in wrong {
            let wanted = [expected(&Script::parse(other.as_bytes()).unwrap())];
            assert_eq!(compare(shell, &[line.to_owned()], &wanted).len(), 1, "{}: {line}", shell.name);
            let right = [expected(&Script::parse(line.as_bytes()).unwrap())];
            assert_eq!(compare(shell, &[line.to_owned()], &right), Vec::<String>::new());
        }
    }
}

/// As a server of SSH starts it: the line is one argument, the commands are programs.
#[test]
fn shells_read_an_argument_as_they_read_a_line() {
    let programs = tempfile::tempdir().unwrap();
    for name in NAMES {
        let path = programs.path().join(name);
        let status = i32::from(name == "nay");
        let text = format!(
            "#!/bin/sh\nwhile IFS= read -r x; do :; done\nl=\"<${{0##*/}}>\"\nfor a in \"$@\"; do l=\"$l<$a>\"; done\n\
             printf '%s\\n' \"$l\" >>\"$TRACE\"\nexit {status}\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (read, _) = readable(&mut Dice::new(0x5eed_0004), 120);
    for shell in Shell::all() {
        for (line, script) in &read {
            let wanted = expected(script).argv;
            assert_eq!(shell.read_argument(line, programs.path()), wanted, "{}: {line}", shell.name);
            assert_eq!(shell.read_argument(&script.render(), programs.path()), wanted, "{}: {line}", shell.name);
        }
    }
}
