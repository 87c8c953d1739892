//! `ssh`, `scp` and `sftp` that find the targets of a run: OpenSSH has no environment variable for its configuration.

use std::env::split_paths;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::run::environment::quoted;

/// A program of OpenSSH.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// Its options, as `getopts` takes them.
    flags: &'static str,
    /// What follows its options.
    takes: Takes,
}

#[derive(Clone, Copy, Debug)]
enum Takes {
    /// A place, further options, and a command.
    Command,
    Place,
    /// Places and files.
    Places,
}

/// Sources: the synopses of ssh(1), scp(1) and sftp(1).
pub(super) const SSH: Program = Program {
    name: "ssh",
    flags: ":1246AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:",
    takes: Takes::Command,
};
pub(super) const OTHERS: [Program; 2] = [
    Program { name: "scp", flags: ":12346ABCdfOpqRrsTtvc:D:F:i:J:l:o:P:S:X:", takes: Takes::Places },
    Program { name: "sftp", flags: ":1246AafhNpqrvCb:B:c:D:F:i:J:l:o:P:R:S:s:X:", takes: Takes::Place },
];

const SCRIPT: &str = include_str!("wrapper.sh");

impl Program {
    /// Where it is, by a search path.
    pub(super) fn find(self, search: &str) -> Option<PathBuf> {
        let runs = |file: &PathBuf| {
            fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let found = split_paths(search).map(|folder| folder.join(self.name)).find(runs)?;
        std::path::absolute(found).ok()
    }

    /// The script that takes its place.
    pub(super) fn wrapper(self, program: &Path, config: &Path) -> String {
        let takes = match self.takes {
            Takes::Command => "command",
            Takes::Place => "place",
            Takes::Places => "places",
        };
        let set = [
            ("program", program.display().to_string()),
            ("config", config.display().to_string()),
            ("flags", self.flags.to_owned()),
            ("takes", takes.to_owned()),
        ];
        let set: String = set.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
        format!("#!/bin/sh\n{set}\n{SCRIPT}")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use super::*;

    /// What a program is called with by its wrapper, as `echo` says it.
    fn called(program: Program, arguments: &[&str]) -> String {
        let text = program.wrapper(Path::new("/bin/echo"), Path::new("/it's/config"));
        let output = Command::new("sh").args(["-c", &text, "wrapper"]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    #[test]
    fn a_wrapper_adds_the_configuration_where_a_target_is_named() {
        let [scp, sftp] = OTHERS;
        for (program, arguments) in [
            (SSH, &["web.sluice"][..]),
            (SSH, &["root@web.sluice", "cat", "-F", "a  b"]),
            (SSH, &["-vp", "22", "-oUser=x", "--", "web.sluice"]),
            (SSH, &["-l", "root", "web.sluice", "-t", "top"]),
            (SSH, &["ssh://root@web.sluice:22/"]),
            (SSH, &["-W", "web.sluice:22", "sluice-broker"]),
            (SSH, &["root+web@sluice-broker"]),
            (scp, &["-r", "one", "web.sluice:two"]),
            (scp, &["scp://root@web.sluice/two", "."]),
            (sftp, &["-b", "batch", "web.sluice:/srv"]),
            (sftp, &["root@web.sluice"]),
        ] {
            let expected = format!("-F /it's/config {}", arguments.join(" "));
            assert_eq!(called(program, arguments), expected, "{} {arguments:?}", program.name);
        }
    }

    #[test]
    fn everything_else_passes_as_it_is() {
        let [scp, sftp] = OTHERS;
        for (program, arguments) in [
            (SSH, &[][..]),
            (SSH, &["-V"]),
            (SSH, &["example.com", "echo", "web.sluice"]),
            (SSH, &["git@web.sluice.example.com"]),
            (SSH, &["-J", "web.sluice", "example.com"]),
            (SSH, &["-Fown", "web.sluice"]),
            (SSH, &["web.sluice", "-F", "own", "uptime"]),
            (SSH, &["-qF", "own", "-l", "x", "web.sluice"]),
            (scp, &["-F", "own", "web.sluice:one", "two"]),
            (scp, &["file.sluice", "example.com:"]),
            (scp, &["./file.sluice:1", "example.com:web.sluice:2"]),
            (sftp, &["example.com:web.sluice"]),
        ] {
            assert_eq!(called(program, arguments), arguments.join(" "), "{} {arguments:?}", program.name);
        }
    }
}
