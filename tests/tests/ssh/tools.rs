//! Programs that use SSH: scp, sftp, rsync, git, forwards, Python's libraries.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sluice_tests::broker::root;
use sluice_tests::run::{Running, run};
use sluice_tests::ssh::free_port;
use sluice_tests::wait::{SOON, until};

use crate::stand::Stand;

/// A program with some work to do.
const WORK: Duration = Duration::from_secs(60);

/// What a script prints, in the folder of the server, whose path is `$there`.
fn printed(stand: &Stand, text: &str) -> String {
    run(stand.script(text).env("there", stand.server.folder()), WORK).done().stdout
}

#[test]
fn scp_copies_both_ways_in_both_of_its_protocols() {
    let stand = Stand::open();
    for mode in ["", "-O"] {
        let text = format!(
            "rm -rf one two copy back; head -c 3M /dev/urandom >one; mkdir -p two/deep; cp one two/deep/three; chmod 640 one
            scp -F \"$config\" {mode} -q one web@broker:$there/copy && cmp one copy
            scp -F \"$config\" {mode} -q -r web@broker:$there/two back && cmp one back/deep/three
            scp -F \"$config\" {mode} -q -p web@broker:$there/one kept && stat -c %a kept
            scp -F \"$config\" {mode} -q web@broker:$there/missing . 2>&1 || echo failed"
        );
        let said = printed(&stand, &text);
        assert!(said.starts_with("640\n") && said.ends_with("failed\n"), "{mode}: {said}");
    }
    stand.broker.log_is_clean();
}

#[test]
fn sftp_runs_a_batch() {
    let stand = Stand::open();
    let text = "printf 'hello\\n' >one
        printf '%s\\n' \"cd $there\" 'mkdir made' 'put one made/two' 'rename made/two made/three' 'chmod 600 made/three' \\
            'get made/three back' 'ls -1 made' 'rm made/three' 'rmdir made' '-get missing' >batch
        sftp -F \"$config\" -q -o BatchMode=no -b batch web@broker 2>&1; cat back; ls -d made 2>&1 || true";
    let said = printed(&stand, text);
    assert!(said.contains("made/three") && said.contains("hello\n"), "{said}");
    assert!(said.contains("cannot access 'made'"), "{said}");
}

#[test]
fn rsync_synchronises_both_ways() {
    let stand = Stand::open();
    let text = "mkdir -p from/deep; head -c 2M /dev/urandom >from/one; echo two >from/deep/two
        export RSYNC_RSH=\"ssh -F $config\"
        rsync -a from/ web@broker:$there/to/ && diff -r from to && echo up
        echo more >>to/deep/two
        rsync -ac --delete web@broker:$there/to/ from/ && diff -r from to && echo down";
    assert_eq!(printed(&stand, text), "up\ndown\n");
}

#[test]
fn git_clones_and_pushes() {
    let stand = Stand::open();
    let text = "export GIT_SSH_COMMAND=\"ssh -F $config\" GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
        export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.com GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@example.com
        git init -q --bare -b main bare.git
        git clone -q ssh://web@broker$there/bare.git work 2>/dev/null
        cd work; git checkout -q -b main; echo one >file; git add file; git commit -q -m one
        git push -q origin main; cd ..
        git clone -q web@broker:$there/bare.git again; cat again/file
        git -C again log --format=%s; git -C again -c protocol.version=2 ls-remote origin | wc -l";
    assert_eq!(printed(&stand, text), "one\none\n2\n");
}

/// Serves one file by HTTP from the folder of the server, at the port that is returned.
fn web(stand: &Stand) -> (Running, u16) {
    let port = free_port();
    assert!(fs::write(stand.server.folder().join("page"), "through\n").is_ok());
    let mut serve = Command::new("python3");
    serve.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(stand.server.folder());
    let web = Running::start(&mut serve);
    until(SOON, "the web server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    (web, port)
}

#[test]
fn forwards_lead_through_the_server() {
    let stand = Stand::open();
    let (_web, port) = web(&stand);
    let request = format!("printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | x -W 127.0.0.1:{port} web@broker | tail -n 1");
    assert_eq!(printed(&stand, &request), "through\n");

    let (local, socks) = (free_port(), free_port());
    let text = format!(
        "x -o ExitOnForwardFailure=yes -M -N -f -L 127.0.0.1:{local}:127.0.0.1:{port} -D 127.0.0.1:{socks} web@broker
        get() {{ curl --silent --show-error --max-time 20 \"$@\"; }}
        get http://127.0.0.1:{local}/page
        get --socks5 127.0.0.1:{socks} http://127.0.0.1:{port}/page
        get --socks5-hostname 127.0.0.1:{socks} http://localhost:{port}/page
        for each in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do get http://127.0.0.1:{local}/page; done | sort | uniq -c
        get http://127.0.0.1:{local}/missing --output /dev/null --write-out '%{{http_code}}\\n'
        x -O exit web@broker 2>/dev/null"
    );
    let said = printed(&stand, &text);
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["through", "through", "through", "15", "through", "404"]);
    stand.broker.log_is_clean();
}

#[test]
fn a_forward_to_where_nobody_listens_fails_as_it_would() {
    let stand = Stand::open();
    let port = free_port();
    let said = stand.ssh(&["-o", "LogLevel=INFO", "-W", &format!("127.0.0.1:{port}"), "web@broker"]);
    assert_eq!(said.code, Some(255), "{}", said.said());
    assert!(said.stderr.contains("connect failed"), "{}", said.stderr);
}

#[test]
fn a_socket_of_the_server_is_reached() {
    let stand = Stand::open();
    let text = "python3 -u -c 'import socket
listener = socket.socket(socket.AF_UNIX); listener.bind(\"s\"); listener.listen(); print(\"up\")
peer, _ = listener.accept(); peer.sendall(b\"from-\" + peer.recv(10)); peer.close()' >up.log &
        x -M -N -f -L $there/l:$there/s web@broker
        until [ -s up.log ]; do :; done
        python3 -c 'import socket, sys
peer = socket.socket(socket.AF_UNIX); peer.connect(\"l\"); peer.sendall(b\"socket\"); print(peer.recv(20).decode())'
        x -O exit web@broker 2>/dev/null";
    assert_eq!(printed(&stand, text), "from-socket\n");
}

#[test]
fn the_broker_is_a_jump_host_where_policy_has_forwards() {
    let stand = Stand::open();
    // The inner connection ends at the server itself: its own key signs in.
    let text = format!(
        "ssh -F \"$config\" -J web@broker -i $there/user -o PreferredAuthentications=publickey \\
            -p {} {}@127.0.0.1 'echo jumped'",
        stand.server.port(),
        stand.server.user()
    );
    assert_eq!(printed(&stand, &text), "jumped\n");
}

/// What a script of `tests/python` prints, one JSON document, run by the tests' own Python.
pub(crate) fn python(stand: &Stand, script: &str) -> Value {
    let interpreter = root().join(".tools/venv/bin/python");
    assert!(interpreter.exists(), "Python's packages are not installed: run `make setup`");
    let mut command = stand.person.command(&interpreter.display().to_string());
    command.arg(root().join("tests/python").join(script)).current_dir(stand.server.folder());
    command.env("SLUICE_PORT", stand.broker.ssh_port().to_string()).env("SLUICE_TARGET", "web");
    command.env("SLUICE_TOKEN", &stand.token).env("PYTHONDONTWRITEBYTECODE", "1");
    let printed = run(&mut command, WORK);
    assert_eq!(printed.code, Some(0), "{script} failed (`make setup` installs what it needs):\n{}", printed.said());
    serde_json::from_str(&printed.stdout).unwrap_or_default()
}

#[test]
fn paramiko_and_asyncssh_run_commands_and_copy_files() {
    let stand = Stand::open();
    for script in ["paramiko_client.py", "asyncssh_client.py"] {
        let seen = python(&stand, script);
        assert_eq!(seen["exec"], serde_json::json!(["out\n", "err\n", 7]), "{script}: {seen}");
        assert_eq!(seen["stdin"], "typed", "{script}: {seen}");
        assert_eq!((&seen["same"], &seen["listed"]), (&Value::Bool(true), &Value::Bool(true)), "{script}: {seen}");
    }
}

#[test]
fn ssh_audit_finds_nothing_to_fail() {
    let stand = Stand::open();
    let program = root().join(".tools/venv/bin/ssh-audit");
    assert!(Path::new(&program).exists(), "ssh-audit is not installed: run `make setup`");
    let mut audit = Command::new(program);
    audit.args(["-n", "-p", &stand.broker.ssh_port().to_string(), "127.0.0.1"]);
    let said = run(&mut audit, WORK).said();
    assert!(said.contains("(kex)") && said.contains("(key)"), "{said}");
    assert!(!said.contains("[fail]"), "{said}");
}
