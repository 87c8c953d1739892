//! OpenSSH's own client before the filter, and its own server behind it.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{fs, thread};

use sluice_wire::Side;

use super::bench::*;
use super::real::{noise, server_program, sha256};
use crate::files::event::Content;
use crate::files::sftp::*;

fn listen<R: Read>(open: impl FnOnce() -> R + Send + 'static, side: Side, sender: Sender<(Side, Vec<u8>)>) {
    thread::spawn(move || {
        let mut output = open();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let got = output.read(&mut buffer).unwrap_or(0);
            if sender.send((side, buffer[..got].to_vec())).is_err() || got == 0 {
                break;
            }
        }
    });
}

/// Runs a batch of commands, and tells what it printed and whether all of it went well.
fn batch(folder: &Path, commands: &str, bench: &mut Bench) -> (bool, String) {
    let (into, out) = (folder.join("into"), folder.join("out"));
    for pipe in [&into, &out] {
        let _old = fs::remove_file(pipe);
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    fs::write(folder.join("relay"), "cat \"$1\" & exec cat > \"$2\"\n").unwrap();
    fs::write(folder.join("batch"), commands).unwrap();
    let relay = format!("/bin/sh {0}/relay {0}/into {0}/out", folder.display());
    let mut command = Command::new("sftp");
    command.current_dir(folder.join("local")).args(["-q", "-b", "../batch", "-D", &relay]);
    let client = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut command = Command::new(server_program());
    command.current_dir(folder.join("remote")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let (sender, receiver) = channel();
    // Opened for both, because that waits for nobody.
    let mut to_client = Some(File::options().read(true).write(true).open(&into).unwrap());
    let mut to_server = server.stdin.take();
    listen(move || File::open(out).unwrap(), Side::Client, sender.clone());
    let output = server.stdout.take().unwrap();
    listen(move || output, Side::Server, sender);
    bench.raw = Some(Vec::new());
    let mut open = 2;
    while open > 0 {
        match receiver.recv_timeout(Duration::from_secs(20)).unwrap() {
            (Side::Client, bytes) if bytes.is_empty() => {
                to_server = None;
                open -= 1;
            }
            (Side::Server, bytes) if bytes.is_empty() => {
                to_client = None;
                open -= 1;
            }
            (Side::Client, bytes) => bench.client(bytes.into()),
            (Side::Server, bytes) => bench.server(bytes.into()),
        }
        while let Some((_, packet)) = bench.to_server.pop_front() {
            to_server.iter_mut().for_each(|pipe| pipe.write_all(&packet).unwrap());
        }
        let answers = bench.raw.replace(Vec::new()).unwrap();
        to_client.iter_mut().for_each(|pipe| pipe.write_all(&answers).unwrap());
    }
    bench.sftp.end(bench.now);
    bench.steps();
    let _status = server.wait().unwrap();
    let output = client.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn folders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["local/tree/sub", "remote/open", "remote/closed"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    folder
}

/// Refuses what lies in `closed`.
fn not_closed(question: &Question) -> Option<Ruled> {
    let closed = question.accesses().iter().any(|access| access.path.as_str().contains("/closed"));
    if closed { deny() } else { allow() }
}

#[test]
fn a_session_of_the_real_client_goes_well() {
    let folder = folders();
    let folder = folder.path();
    let content = noise(20 << 20);
    fs::write(folder.join("local/large"), &content).unwrap();
    fs::write(folder.join("local/tree/sub/small"), "small").unwrap();
    let commands = "cd open\nput -p large\nget -p large back\nput -r tree\nget -R tree tree2\nls -l\nrename large moved\n\
        ln -s moved link\nln moved hard\nget link linked\nchmod 600 moved\nmkdir made\nrmdir made\nrm hard\ndf -h .\npwd\n";
    let mut bench = Bench::unsure(not_closed);
    let (fine, shown) = batch(folder, commands, &mut bench);
    assert!(fine, "{shown}");
    assert!(fs::read(folder.join("local/back")).unwrap() == content);
    assert!(fs::read(folder.join("local/linked")).unwrap() == content);
    assert!(fs::read(folder.join("remote/open/moved")).unwrap() == content);
    assert_eq!(fs::read(folder.join("local/tree2/sub/small")).unwrap(), b"small");
    let whole: Vec<(&str, &Content, &Content)> = bench
        .events
        .iter()
        .map(|event| (event.path.rsplit_once("/open/").unwrap().1, &event.read.content, &event.written.content))
        .collect();
    let (large, small) = (sha256(&content), sha256(b"small"));
    let nothing = Content::Nothing;
    let expected = [
        ("large", &nothing, &large),
        ("large", &large, &nothing),
        ("tree/sub/small", &nothing, &small),
        ("tree/sub/small", &small, &nothing),
        ("moved", &large, &nothing),
    ];
    assert_eq!(whole, expected);
    assert!(bench.allowed.is_empty());
}

#[test]
fn the_real_client_is_told_what_is_refused_and_goes_on() {
    let folder = folders();
    let folder = folder.path();
    fs::write(folder.join("remote/closed/key"), "private").unwrap();
    fs::write(folder.join("remote/open/fine"), "fine").unwrap();
    std::os::unix::fs::symlink("../closed/key", folder.join("remote/open/link")).unwrap();
    let commands = "-get closed/key\n-get open/link\n-rm closed/key\n-rename closed open/c\n-ls closed\n-cd closed\n\
        -ln -s ../closed open/c\n-put ../batch closed/new\nget open/fine\n";
    let mut bench = Bench::unsure(not_closed);
    let (fine, shown) = batch(folder, commands, &mut bench);
    assert!(fine, "{shown}");
    assert_eq!(fs::read(folder.join("local/fine")).unwrap(), b"fine");
    assert!(!fs::exists(folder.join("local/key")).unwrap() && !fs::exists(folder.join("local/link")).unwrap());
    assert!(
        fs::exists(folder.join("remote/closed/key")).unwrap() && !fs::exists(folder.join("remote/open/c")).unwrap()
    );
    assert!(!fs::exists(folder.join("remote/closed/new")).unwrap());
    let (denied, paths): (Vec<_>, Vec<_>) =
        bench.asked.iter().partition(|(_, q)| not_closed(q).is_some_and(|ruled| matches!(ruled, Ruled::Deny(_))));
    assert!(denied.len() >= 8 && !paths.is_empty(), "{denied:?}");
}
