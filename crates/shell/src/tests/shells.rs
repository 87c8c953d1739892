//! The shells of this machine, which say how they read a line without running anything of it.
//!
//! Every command of a line is a function that writes its argument vector down, drains its input, and says one line on each of
//! its two streams; nothing else can run, because no program can be found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::generate::NAMES;
use crate::{Join, Redirect, Script, Simple};

/// A shell of this machine.
pub(super) struct Shell {
    pub(super) name: &'static str,
    /// Whether it is one of those that must be there.
    pub(super) is_needed: bool,
    program: PathBuf,
    arguments: &'static [&'static str],
    say: &'static str,
}

const PRINTF: &str = "printf '%s\\n' \"$1\"";

const NEEDED: [&str; 2] = ["dash", "bash"];

/// The shells that can be compared with; only those in `NEEDED` must be there.
const KNOWN: &[(&str, &str, &[&str], &str)] = &[
    ("dash", "dash", &[], PRINTF),
    ("bash", "bash", &["--norc", "--noprofile"], PRINTF),
    ("bash --posix", "bash", &["--norc", "--noprofile", "--posix"], PRINTF),
    ("busybox sh", "busybox", &["sh"], PRINTF),
    ("zsh", "zsh", &["-f"], PRINTF),
    ("ksh", "ksh", &[], PRINTF),
    ("mksh", "mksh", &[], "print -r -- \"$1\""),
];

impl Shell {
    pub(super) fn all() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let found = KNOWN.iter().filter_map(|&(name, program, arguments, say)| {
            let program = folders.iter().map(|folder| folder.join(program)).find(|program| program.is_file())?;
            Some(Self { name, is_needed: NEEDED.contains(&name), program, arguments, say })
        });
        let found: Vec<Self> = found.collect();
        for needed in NEEDED {
            assert!(found.iter().any(|shell| shell.name == needed), "{needed} is not installed");
        }
        found
    }

    fn start(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments).env_clear().env("PATH", "/nowhere").stdin(Stdio::null());
        command
    }

    /// How it reads each line, in one process. A line that stops the shell leaves the rest empty.
    pub(super) fn read_all(&self, lines: &[String]) -> Vec<Reading> {
        let scratch = tempfile::tempdir().unwrap();
        let (work, at) = (scratch.path().join("work"), |name: &str| scratch.path().join(name));
        fs::create_dir(&work).unwrap();
        let mut text = format!(
            "say() {{ {}; }}\nrun() {{ while IFS= read -r x; do :; done; l=; for a in \"$@\"; do l=\"$l<$a>\"; done\n\
             say \"$l\" >&3; say \"o $1\"; say \"e $1\" >&2; }}\nmark() {{ say \"$1\" >&3; say \"$1\"; say \"$1\" >&2; }}\n\
             exec 3>>'{}'\n",
            self.say,
            at("trace").display()
        );
        for name in NAMES {
            let status = i32::from(name == "nay");
            text.push_str(&format!("{name}() {{ run {name} \"$@\"; return {status}; }}\n"));
        }
        for line in lines {
            text.push_str(&format!("eval '{}'\nmark :::::\n", line.replace('\'', "'\\''")));
        }
        fs::write(at("script"), text).unwrap();
        let file = |name: &str| fs::OpenOptions::new().create(true).append(true).open(at(name)).unwrap();
        let status =
            self.start().arg(at("script")).current_dir(&work).stdout(file("out")).stderr(file("err")).status().unwrap();
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0, "{}: a line made a file ({status})", self.name);
        let [trace, out, err] = ["trace", "out", "err"].map(|name| parts(&at(name), lines.len()));
        let readings = trace.into_iter().zip(out).zip(err);
        readings.map(|((argv, out), err)| Reading { argv, out, err }).collect()
    }

    /// The argument vectors of a line that it is given as a server of SSH gives it, with programs that write them down.
    pub(super) fn read_argument(&self, line: &str, programs: &Path) -> Vec<String> {
        let scratch = tempfile::tempdir().unwrap();
        let trace = scratch.path().join("trace");
        fs::write(&trace, "").unwrap();
        let mut command = self.start();
        command.arg("-c").arg(line).env("PATH", programs).env("TRACE", &trace).current_dir(programs);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        fs::read_to_string(&trace).unwrap().lines().map(str::to_owned).collect()
    }
}

/// What a line did: the argument vectors in their order, and what was said on the two streams of the whole.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Reading {
    pub(super) argv: Vec<String>,
    out: Vec<String>,
    err: Vec<String>,
}

fn parts(path: &Path, count: usize) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let mut parts: Vec<Vec<String>> =
        text.split(":::::\n").map(|part| part.lines().map(str::to_owned).collect()).collect();
    parts.resize(count, vec!["the shell stopped".to_owned()]);
    parts
}

#[derive(Clone, Copy, PartialEq)]
enum Sink {
    Out,
    Err,
    Lost,
}

/// What our reading says a shell does: which commands run, with which words, and where their streams end.
pub(super) fn expected(script: &Script) -> Reading {
    let mut reading = Reading::default();
    let (mut runs, mut joined) = (true, None);
    for simple in &script.commands {
        if runs {
            run(simple, &mut reading);
        }
        if simple.join == Some(Join::Pipe) {
            continue;
        }
        let failed = if runs { simple.words[0].text == "nay" } else { joined == Some(true) };
        joined = Some(failed);
        runs = match simple.join {
            Some(Join::And) => !failed,
            Some(Join::Or) => failed,
            _ => true,
        };
    }
    reading
}

fn run(simple: &Simple, reading: &mut Reading) {
    reading.argv.push(simple.words.iter().map(|word| format!("<{}>", word.text)).collect());
    let mut out = if simple.join == Some(Join::Pipe) { Sink::Lost } else { Sink::Out };
    let mut err = Sink::Err;
    for redirect in &simple.redirects {
        match redirect {
            Redirect::JoinErrors => err = out,
            Redirect::DropOutput => out = Sink::Lost,
            Redirect::DropErrors => err = Sink::Lost,
        }
    }
    let name = &simple.words[0].text;
    for (sink, line) in [(out, format!("o {name}")), (err, format!("e {name}"))] {
        match sink {
            Sink::Out => reading.out.push(line),
            Sink::Err => reading.err.push(line),
            Sink::Lost => {}
        }
    }
}
