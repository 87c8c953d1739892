//! What a command is compared by, and the commands for hosts that stand in what tools are called with.
//!
//! A tool is called with the command itself (`uptime`), with a line for a shell (`ssh web.sluice uptime`), or with an argument
//! vector. A host is sent the one way a command is written, if it can be told; both sides are compared in that.

use sluice_model::Digest;
use sluice_shell::Script;

use super::trace::meat;
use super::words;

/// The actions whose text is a command.
pub(super) const COMMANDS: [&str; 3] = ["ssh.inspect", "ssh.exec", "ssh.script"];
/// Options of ssh(1) that take a word.
const WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";
/// Shells in shells that are looked into.
const DEPTH: u32 = 3;

/// A command, wherever it runs.
pub(super) fn anywhere(text: &str) -> Digest {
    Digest::of_parts([&b"command"[..], written(text).as_bytes()])
}

/// A command at one target.
pub(super) fn at(target: &str, text: &str) -> Digest {
    Digest::of_parts([&b"command at"[..], target.as_bytes(), written(text).as_bytes()])
}

/// What an argument that is text may have a host run.
pub(super) fn in_text(text: &str) -> Vec<Digest> {
    let mut found = vec![anywhere(text)];
    lines(text, DEPTH, &mut found);
    found
}

/// What an argument that is a list of words may have a host run.
pub(super) fn in_words(words: &[&str]) -> Vec<Digest> {
    let mut found = vec![anywhere(&words.join(" "))];
    found.extend(remote(words));
    found
}

/// The one way a command is written; as it is, where shells could read it differently.
fn written(text: &str) -> String {
    let text = meat(text);
    Script::parse(text.as_bytes()).map_or_else(|_| text.to_owned(), |script| script.render())
}

/// Commands for hosts in lines for a shell, and in those of shells that they start.
fn lines(text: &str, depth: u32, found: &mut Vec<Digest>) {
    for command in words::commands(text) {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        found.extend(remote(&words));
        let inner = words.iter().skip_while(|word| !is_command_flag(word)).nth(1);
        if let (Some(inner), Some(less)) = (inner, depth.checked_sub(1)) {
            lines(inner, less, found);
        }
    }
}

/// `-c` of a shell, as in `bash -lc`.
fn is_command_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| !flags.starts_with('-') && flags.ends_with('c'))
}

/// The command that an argument vector of ssh(1) has a host run, whatever stands before its name.
fn remote(words: &[&str]) -> Option<Digest> {
    let mut words = words.iter().copied();
    words.find(|word| word.rsplit('/').next() == Some("ssh"))?;
    let place = operand(&mut words)?;
    let first = operand(&mut words)?;
    let command = std::iter::once(first).chain(words).collect::<Vec<_>>().join(" ");
    Some(target(place).map_or_else(|| anywhere(&command), |target| at(target, &command)))
}

/// The next word that is neither an option nor an option's value.
fn operand<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<&'a str> {
    loop {
        let word = words.next()?;
        if word == "--" {
            return words.next();
        }
        let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else { return Some(word) };
        if flags.find(|flag| WITH_VALUE.contains(flag)) == flags.char_indices().next_back().map(|(at, _)| at) {
            words.next()?;
        }
    }
}

/// The target that a place names: `LOGIN@TARGET.sluice`, or `LOGIN+TARGET@BROKER`.
fn target(place: &str) -> Option<&str> {
    let place = place.split_once("://").map_or(place, |(_, place)| place.split(['/', ':']).next().unwrap_or_default());
    let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
    host.strip_suffix(".sluice").or_else(|| user?.rsplit_once(['+', '%', '@', '#', ':']).map(|(_, target)| target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_compared_as_it_is_written() {
        for (one, other) in [
            ("cat /etc/motd", "'cat' '/etc/motd'"),
            (" cat   /etc/motd ;", "'cat' \"/etc/motd\""),
            ("df -h|grep /dev", "'df' '-h' | 'grep' '/dev'"),
            ("git-upload-pack '/srv/a b'", "git-upload-pack '/srv/a b'"),
            ("echo $HOME", " echo $HOME\n"),
        ] {
            assert_eq!(anywhere(one), anywhere(other), "{one}");
        }
        for (one, other) in [("cat a", "cat b"), ("cat 'a b'", "cat a b"), ("echo $HOME", "echo  $HOME")] {
            assert_ne!(anywhere(one), anywhere(other), "{one}");
        }
        assert_ne!(anywhere("uptime"), at("web", "uptime"));
        assert_ne!(at("web", "uptime"), at("db", "uptime"));
    }

    #[test]
    fn commands_for_hosts_are_found_in_lines_of_a_shell() {
        for (text, expected) in [
            ("uptime -p", anywhere("uptime -p")),
            ("ssh web.sluice uptime -p", at("web", "uptime -p")),
            ("ssh -qt -p 22 -o BatchMode=yes root@web.sluice 'df -h | head'", at("web", "df -h | head")),
            ("ssh -p22 web.sluice -l root -- uptime", at("web", "uptime")),
            ("timeout 9 /usr/bin/ssh ssh://root@web.sluice:22/ uptime", at("web", "uptime")),
            ("ssh root+web@broker.example.com uptime", at("web", "uptime")),
            ("ssh root@example.com uptime", anywhere("uptime")),
            ("cd /tmp && ssh web.sluice uptime | sort", at("web", "uptime")),
            ("set -e\nssh db.sluice id\nssh web.sluice uptime", at("web", "uptime")),
            ("bash -lc \"ssh web.sluice 'cat /etc/motd'\"", at("web", "cat /etc/motd")),
            (
                "ssh web.sluice 'for x in a b; do\n echo $x\ndone' >log 2>&1",
                at("web", "for x in a b; do\n echo $x\ndone"),
            ),
            ("cd $(mktemp -d) && ssh web.sluice \"echo \\$HOME\"", at("web", "echo $HOME")),
        ] {
            assert!(in_text(text).contains(&expected), "{text}");
        }
        for text in ["ssh web.sluice", "ssh -N -L 1:a:2 web.sluice", "sshd web.sluice uptime", "ssh"] {
            assert_eq!(in_text(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn commands_for_hosts_are_found_in_argument_vectors() {
        assert!(in_words(&["ssh", "-l", "root", "web.sluice", "uptime", "-p"]).contains(&at("web", "uptime -p")));
        assert!(in_words(&["uptime", "-p"]).contains(&anywhere("uptime -p")));
        assert_eq!(in_words(&["ls", "-l"]).len(), 1);
    }

    #[test]
    fn shells_in_shells_come_to_an_end() {
        let nested = |depth: usize| {
            let one = |inner: String, _| format!("sh -c '{}'", inner.replace('\'', r"'\''"));
            (0..depth).fold("ssh web.sluice uptime".to_owned(), one)
        };
        let reach = usize::try_from(DEPTH).unwrap_or_default();
        assert!(in_text(&nested(reach)).contains(&at("web", "uptime")));
        assert_eq!(in_text(&nested(reach + 1)).len(), 1);
    }
}
