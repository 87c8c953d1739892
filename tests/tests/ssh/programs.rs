//! Programs that draw on the whole screen, through a broker that masks every class and without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sluice_tests::run::run;
use sluice_tests::ssh::Person;
use sluice_tests::wait::{SOON, pause, until};

use crate::stand::{OPERATORS, Stand};

const EMAIL: &str = "zq7x.k1@leak.example";
const CARD: &str = "4111 1111 1111 1111";
const SSN: &str = "900-55-0001";
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// Keys, and what the screen shows once they have been read.
type Step = (&'static [&'static str], &'static str);

const VIM: &str = "env LC_ALL=C vim -u NONE -i NONE -N -n";
const LESS: &str = "env LC_ALL=C LESS= LESSHISTFILE=- less";

/// The same program in two terminals of the same size.
struct Twins {
    direct: Pane,
    through: Pane,
}

/// A terminal that nobody sees.
struct Pane {
    person: Person,
    socket: PathBuf,
}

impl Pane {
    /// Runs a command, as a shell reads it.
    fn open(person: &Person, socket: PathBuf, command: &str) -> Self {
        let pane = Self { person: person.clone(), socket };
        let _begun = pane.tmux(&["new-session", "-d", "-x", "90", "-y", "24", command]);
        pane
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = self.person.command("tmux");
        tmux.args(["-f", "/dev/null", "-S"]).arg(&self.socket).args(arguments).env_remove("TMUX");
        run(&mut tmux, SOON).done().stdout
    }

    /// The cells of the screen, and where the cursor is.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", ";", "display-message", "-p", "cursor #{cursor_x} #{cursor_y}"])
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let mut tmux = self.person.command("tmux");
        let _or_gone = tmux.arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

impl Twins {
    fn open(stand: &Stand, name: &str, command: &str) -> Self {
        let (person, folder) = (&stand.person, stand.server.folder());
        let ssh = format!("ssh -F '{}' -tt web@broker '{command}'", person.config().display());
        let socket = |way: &str| folder.join(format!("{name}.{way}"));
        Self {
            direct: Pane::open(person, socket("direct"), command),
            through: Pane::open(person, socket("through"), &ssh),
        }
    }

    fn types(&self, keys: &[&str]) {
        if !keys.is_empty() {
            let arguments = [&["send-keys", "--"], keys].concat();
            let _typed = [self.direct.tmux(&arguments), self.through.tmux(&arguments)];
        }
    }

    /// The screen of each once the one without a broker shows something, and the other one all that it should.
    fn settle(&self, shows: &str, covered: impl Fn(&str) -> String) {
        let expected = until(SOON, &format!("`{shows}` without a broker"), || {
            let screen = self.direct.screen();
            screen.contains(shows).then(|| covered(&screen))
        });
        let end = Instant::now() + SOON;
        let mut last = self.through.screen();
        while last != expected && Instant::now() < end {
            pause();
            last = self.through.screen();
        }
        assert_eq!(last, expected, "the screen with `{shows}`");
    }
}

/// A broker that masks every class, and a file of so many lines.
fn masking() -> Stand {
    let (policies, _) = OPERATORS.split_once("@id(\"operators-see\")").unwrap_or((OPERATORS, ""));
    Stand::under(policies)
}

fn file(folder: &Path, line: impl Fn(usize) -> String) -> String {
    let path = folder.join("book.txt");
    let text: String = (0..120).map(|number| line(number) + "\n").collect();
    assert!(fs::write(&path, text).is_ok());
    path.display().to_string()
}

fn follow(line: fn(usize) -> String, covered: impl Fn(&str) -> String, programs: &[(&str, &str, &[Step])]) {
    let stand = masking();
    let file = file(stand.server.folder(), line);
    for (name, program, steps) in programs {
        let twins = Twins::open(&stand, name, &format!("{program} {file}"));
        for (keys, shows) in *steps {
            twins.types(keys);
            twins.settle(shows, &covered);
        }
    }
    stand.broker.log_is_clean();
}

#[test]
fn an_editor_and_a_pager_look_as_they_do_without_a_broker() {
    let line = |number| format!("line {number:03} of the book, in plain words: the quick brown fox, 12 times.");
    let edit: &[Step] = &[
        (&[], "line 004"),
        (&[":set number", "Enter"], " 12 line 011"),
        (&["G"], "line 119"),
        (&["gg", "3dd", "O", "added by hand", "Escape"], "added by hand"),
        (&[":%s/plain/fancy/g", "Enter", "gg"], "in fancy words"),
        (&[":vsplit", "Enter", ":set nowrap", "Enter", "25G"], "line 024"),
        (&[":only", "Enter", "60G", "yyp", "xx"], "line 060"),
    ];
    let read: &[Step] = &[
        (&[], "line 004"),
        (&["Space"], "line 030"),
        (&["/line 077", "Enter"], "line 077"),
        (&["-N", "Enter", "Enter"], " 79 line 078"),
        (&["G"], "line 119"),
        (&["g", "j", "j"], "line 002"),
    ];
    follow(line, str::to_owned, &[("vim", VIM, edit), ("less", LESS, read)]);
}

#[test]
fn values_in_an_editor_and_a_pager_are_stars_in_the_same_cells() {
    let line = |number: usize| match number % 10 {
        3 => format!("{number:03} write to {EMAIL} about it |"),
        5 => format!("{number:03} card {CARD}, person {SSN} |"),
        8 => format!("{number:03} key={KEY}; the end |"),
        _ => format!("{number:03} nothing to see in this line |"),
    };
    let covered = |screen: &str| {
        let cover = |screen: String, value: &&str| screen.replace(*value, &"*".repeat(value.len()));
        let covered = [EMAIL, CARD, SSN, KEY].iter().fold(screen.to_owned(), cover);
        assert!(covered.contains("****") && !covered.contains("leak"), "{covered}");
        covered
    };
    let edit: &[Step] = &[
        (&[], "003 write"),
        (&[":set number", "Enter"], "  6 005 card"),
        (&["G"], "118 key"),
        (&["gg", "C-f"], "025 card"),
    ];
    let read: &[Step] = &[(&[], "003 write"), (&["Space"], "035 card"), (&["G"], "118 key"), (&["g"], "008 key")];
    follow(line, covered, &[("vim", VIM, edit), ("less", LESS, read)]);
}

#[test]
fn a_table_that_is_drawn_again_and_again_keeps_its_columns() {
    let stand = masking();
    let twins = Twins::open(&stand, "top", "env LC_ALL=C HOME=/nonexistent top -d 1 -p 1");
    let drawn = |pane: &Pane| {
        until(SOON, "the table", || {
            let screen = pane.screen();
            let row = screen.lines().position(|line| line.trim_start().starts_with("PID USER"))?;
            let line = |index: usize| screen.lines().nth(index).map(str::to_owned);
            let letters = |line: String| line.chars().filter(char::is_ascii_alphabetic).collect::<String>();
            let process = line(row + 1).filter(|line| line.trim_start().starts_with("1 "))?;
            let summary: Vec<String> = (1..row).filter_map(line).map(letters).collect();
            Some((row, line(row)?, process.get(..24)?.to_owned(), summary))
        })
    };
    assert_eq!(drawn(&twins.through), drawn(&twins.direct));
    // The names of processes become their commands.
    twins.types(&["c"]);
    assert_eq!(drawn(&twins.through), drawn(&twins.direct));
    twins.types(&["q"]);
    until(SOON, "the client to end", || {
        let mut tmux = stand.person.command("tmux");
        let ended = run(tmux.arg("-S").arg(&twins.through.socket).arg("list-sessions"), SOON);
        (ended.code != Some(0)).then_some(())
    });
    stand.broker.log_is_clean();
}
