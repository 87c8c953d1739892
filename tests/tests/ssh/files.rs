//! Files with OpenSSH's own `sftp` and `scp`: what is closed stays closed, what is covered stays as long as it was, and
//! what was read and written is told.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sluice_tests::run::{Finished, run};
use sluice_tests::ssh::Sshd;
use sluice_tests::wait::SOON;

use crate::stand::{OPERATORS, Stand, text};
use crate::tools::python;

/// A folder that nobody uses, whatever else they may. What is in it may be asked about: a client that hears of nothing
/// there would not even try.
const CLOSED: &str = r#"
@id("that-folder-is-closed")
@message("That folder is closed.")
forbid (
  principal,
  action in [
    Action::"sftp.read", Action::"sftp.list", Action::"sftp.write", Action::"sftp.remove", Action::"sftp.rename",
    Action::"sftp.mkdir", Action::"sftp.setstat", Action::"sftp.link"
  ],
  resource
)
when {
  context.sftp.path like "*/closed" || context.sftp.path like "*/closed/*" ||
  context.sftp.other like "*/closed" || context.sftp.other like "*/closed/*"
};
"#;

/// Everything but seeing values.
fn blind() -> String {
    OPERATORS.split("@id(\"operators-see\")").next().unwrap_or_default().to_owned()
}

/// A server with a folder that is open, one that is closed, and links that were there before.
fn server() -> Sshd {
    let server = Sshd::start();
    let at = |name: &str| server.folder().join(name);
    for name in ["open", "closed", "governed", "other"] {
        assert!(fs::create_dir(at(name)).is_ok());
    }
    for (name, content) in [("open/file", "fine\n"), ("closed/key", "private\n"), ("other/file", "other\n")] {
        assert!(fs::write(at(name), content).is_ok());
    }
    for (to, link) in [("../closed/key", "open/key"), ("../closed", "open/folder"), ("../other", "open/other")] {
        assert!(symlink(to, at(link)).is_ok());
    }
    server
}

/// Runs requests of `sftp` in the server's folder, each whatever became of the one before.
fn batch(stand: &Stand, requests: &[&str]) -> Finished {
    let lines: String = requests.iter().map(|request| format!("-{request}\n")).collect();
    assert!(
        fs::write(stand.server.folder().join("batch"), format!("cd {}\n{lines}", stand.server.folder().display()))
            .is_ok()
    );
    let text = "mkdir -p got; sftp -F \"$config\" -q -o BatchMode=no -b batch web@broker 2>&1";
    run(&mut stand.script(text), SOON)
}

/// Every name and content in a folder, sorted.
fn inside(folder: &Path) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let content = fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_policy_closes_stays_closed_by_every_way_to_it() {
    stays_closed("links: followed");
}

#[test]
fn it_does_too_where_nobody_knows_whether_the_server_follows_links() {
    stays_closed("links: unsure");
}

fn stays_closed(links: &str) {
    let policies = format!("{OPERATORS}{CLOSED}");
    let stand = Stand::at(server(), &policies, |host, _| host.with(links), |setup| setup);
    let at = |name: &str| stand.server.folder().join(name);
    let (open, closed) = (inside(&at("open")), inside(&at("closed")));
    let absolute = format!("get {} got/absolute", at("closed/key").display());
    let target = format!("ln -s {} open/absolute-link", at("closed/key").display());
    let said = batch(
        &stand,
        &[
            "get closed/key got/plain",
            &absolute,
            "get open/key got/link",
            "get open/folder/key got/folder",
            "get open/../closed/key got/dots",
            "get open//..//closed///key got/slashes",
            "get ./closed/./key got/dot",
            "get open/other/../closed/key got/behind",
            "put open/file closed/fresh",
            "put open/file open/folder/fresh",
            "rename open/file closed/file",
            "rename open/file open/folder/file",
            "rename closed/key open/stolen",
            "rename closed open/moved",
            "rename open/file closed/key",
            "ln -s ../closed/key open/new-link",
            &target,
            "ln closed/key open/hard",
            "ln open/file closed/hard",
            "rm closed/key",
            "rm open/folder/key",
            "chmod 777 closed/key",
            "mkdir closed/new",
            "rmdir closed",
            "ls closed",
            "ls open/folder",
            // What is open works all the time, also over a link.
            "get open/file got/fine",
            "get open/other/file got/other",
        ],
    );
    assert!(!said.stdout.contains("private"), "{}", said.stdout);
    let got = [("fine".to_owned(), "fine\n".to_owned()), ("other".to_owned(), "other\n".to_owned())];
    assert_eq!(inside(&at("got")), got, "{}", said.stdout);
    assert_eq!((inside(&at("open")), inside(&at("closed"))), (open, closed), "{}", said.stdout);
    assert!(said.stdout.to_lowercase().matches("permission denied").count() >= 24, "{}", said.stdout);
    // The other program, and both of its protocols: the old one is a command, and not decided by this policy's facts.
    let scp = "scp -F \"$config\" -q web@broker:$there/open/../closed/key got/scp 2>&1 || echo refused";
    let refused = run(stand.script(scp).env("there", stand.server.folder()), SOON).done().stdout;
    assert!(refused.ends_with("refused\n"), "{refused}");
    let replay = replays(&stand);
    assert!(replay.contains("refused by that-folder-is-closed: That folder is closed."), "{replay}");
    stand.broker.log_is_clean();
}

/// Every session's replay.
fn replays(stand: &Stand) -> String {
    let sessions = stand.broker.closed_sessions();
    let ids = sessions.iter().filter_map(|session| text(session, "id"));
    ids.map(|id| stand.broker.cli(&["replay", &id, "--no-wait"]).done().stdout).collect()
}

#[test]
fn where_nobody_is_permitted_files_there_are_none() {
    let policies = OPERATORS.replace("Action::\"sftp.read\", ", "").replace("Action::\"sftp.remove\", ", "");
    let stand = Stand::at(server(), &policies, |host, _| host, |setup| setup);
    let said = batch(&stand, &["get open/file got/file", "rm open/file", "ls open/file"]);
    let at = |name: &str| stand.server.folder().join(name);
    assert!(inside(&at("got")).is_empty() && at("open/file").exists(), "{}", said.stdout);
    // What is permitted goes on in the same session.
    assert!(said.stdout.lines().any(|line| line.trim() == "open/file"), "{}", said.stdout);
}

#[test]
fn a_governed_folder_takes_no_links_and_stays_where_it_is() {
    let governed = |host: sluice_tests::ssh::Host, folder: &Path| {
        host.with("links: followed").with(&format!("governed: [{}/governed]", folder.display()))
    };
    let stand = Stand::at(server(), OPERATORS, governed, |setup| setup);
    let at = |name: &str| stand.server.folder().join(name);
    let said = batch(
        &stand,
        &[
            "ln -s /etc/passwd governed/out",
            "ln -s ../other governed/folder",
            "ln open/file governed/hard",
            "ln -s ../governed open/in",
            "rename open/key governed/key",
            "rename governed elsewhere",
            "put open/file governed/file",
        ],
    );
    assert_eq!(inside(&at("governed")), [("file".to_owned(), "fine\n".to_owned())], "{}", said.stdout);
    assert!(!at("open/in").exists() && !at("elsewhere").exists(), "{}", said.stdout);
}

/// A file in which every line has a value, and the same with the value covered.
fn people() -> (String, String) {
    let line = |at: usize| format!("{at:06},ada.winters@example.com,and some more text that is in every line of it\n");
    let plain: String = (0..6_000).map(line).collect();
    let covered = plain.replace("ada.winters@example.com", &"*".repeat("ada.winters@example.com".len()));
    (plain, covered)
}

#[test]
fn values_in_a_file_are_covered_in_place_however_it_is_read() {
    let stand = Stand::at(server(), &blind(), |host, _| host.with("links: followed"), |setup| setup);
    let at = |name: &str| stand.server.folder().join(name);
    let (plain, covered) = people();
    assert!(fs::write(at("people.csv"), &plain).is_ok());
    // Half of it is there already, up to the middle of a value.
    let middle = covered.find("003000,").unwrap_or_default() + 15;
    assert!(
        fs::create_dir(at("got")).is_ok()
            && fs::write(at("got/resumed"), covered.get(..middle).unwrap_or_default()).is_ok()
    );
    let said = batch(
        &stand,
        &[
            "get people.csv got/whole",
            "reget people.csv got/resumed",
            "put open/file people.csv.new",
            "get open/key got/key",
        ],
    );
    for name in ["got/whole", "got/resumed"] {
        assert!(fs::read_to_string(at(name)).unwrap_or_default() == covered, "{name}: {}", said.stdout);
    }
    assert!(said.stdout.contains("they are stars in what you got"), "{}", said.stdout);
    let scp =
        "scp -F \"$config\" -q web@broker:$there/people.csv got/copied; sha256sum <got/whole; sha256sum <open/file";
    let copied = run(stand.script(scp).env("there", stand.server.folder()), SOON).done();
    assert!(fs::read_to_string(at("got/copied")).unwrap_or_default() == covered && copied.stderr.contains("stars"));
    let sums: Vec<&str> = copied.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();

    let seen = python(&stand, "sftp_reads.py");
    assert_eq!((&seen["same"], &seen["length"]), (&true.into(), &plain.len().into()), "{seen}");

    let replay = replays(&stand);
    let folder = stand.server.folder().display();
    for line in [
        format!("read {folder}/people.csv: {} bytes, sha256:{}", covered.len(), sums[0]),
        format!("read {folder}/people.csv: {} bytes, partial {middle}-{}", covered.len() - middle, covered.len()),
        format!("wrote {folder}/people.csv.new: 5 bytes, sha256:{}", sums[1]),
        "values covered in it: pii.contact".to_owned(),
        seen["told"].as_str().unwrap_or_default().replace("FILE", &format!("{folder}/people.csv")),
    ] {
        assert!(replay.contains(&line), "no `{line}` in:\n{replay}");
    }
    assert!(!replay.contains("ada.winters"), "{replay}");
}

#[test]
fn values_in_what_a_command_says_are_covered_on_pipes_and_terminals() {
    let stand = Stand::at(server(), &blind(), |host, _| host, |setup| setup);
    let file = stand.server.folder().join("app.env");
    let content = "LOG_LEVEL=info\nADMIN=ada.winters@example.com\nAWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n";
    assert!(fs::write(&file, content).is_ok());
    let show = format!("cat {0}; cat {0} >&2", file.display());
    let piped = stand.exec(&show).done();
    let drawn = run(&mut stand.person.terminal(&["-tt", "web@broker", &show]), SOON).done();
    let stars = format!("AWS_ACCESS_KEY_ID={}", "*".repeat("AKIAIOSFODNN7EXAMPLE".len()));
    for said in [&piped.stdout, &piped.stderr, &drawn.stdout] {
        assert!(said.contains("LOG_LEVEL=info") && said.contains(&stars), "{said}");
    }
    let replay = replays(&stand);
    assert!(replay.contains(&stars), "{replay}");
    for text in [piped.said(), drawn.said(), replay] {
        assert!(!text.contains("ada.winters") && !text.contains("IOSFODNN7"), "{text}");
    }
}
