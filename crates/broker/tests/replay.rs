//! `sluice replay` of a terminal's recording that spans hours.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sluice_model::{Digest, FlowId, OpId, SessionId, Stage, UnixMicros};
use sluice_recording::{Actor, Asked, Closed, Content, Event, Header, Opened, Passed, Toward, Writer};
use sluice_ssh::{Frame, Message, Size};
use sluice_wire::Frame as _;

const SECOND: u64 = 1_000_000_000;

/// A recording of one terminal: what it said at which second.
fn recording(folder: &Path, said: impl Iterator<Item = (u64, Vec<u8>)>) -> PathBuf {
    let session = SessionId::new("s-1").unwrap();
    let anchor = UnixMicros(1_800_000_000_000_000);
    let mut bytes = Vec::new();
    let (mut writer, _) = Writer::begin(&Header { session, anchor }, &mut bytes);
    let opened = Opened {
        session: "s-1".into(),
        principal: vec![Actor { name: "user:ana".into(), groups: vec![] }],
        token: "t-1".into(),
        target: "web".into(),
        environment: "dev".into(),
        protocol: "ssh".into(),
        schema_version: 1,
        client: "127.0.0.1:5000".into(),
        policy_epoch: "1".into(),
        anchor,
        broker_version: "0".into(),
        run: None,
        part: None,
    };
    let flow = FlowId(1);
    writer.append(FlowId(0), 0, &Event::Opened(opened)).unwrap();
    let asked = Asked {
        op: OpId(1),
        stage: Stage::Perform,
        action: "ssh.shell".into(),
        understood: true,
        facts: vec![],
        accesses: vec![],
        digest: Digest([0; 32]),
        text: Content(b""),
        bound: None,
        exposures: vec![],
    };
    writer.append(flow, 0, &Event::Asked(asked)).unwrap();
    let size = Size { columns: 80, rows: 24, width: 0, height: 0 };
    let pty = Frame::from(Message::Pty { term: "xterm".into(), size, modes: vec![] });
    let passed = |toward, frame: &Frame, at_ns, writer: &mut Writer| {
        let frame = Content(frame.wire());
        writer.append(flow, at_ns, &Event::Passed(Passed { op: OpId(1), toward, frame })).unwrap();
    };
    passed(Toward::Server, &pty, 0, &mut writer);
    for (at, said) in said {
        passed(Toward::Client, &Frame::data(&said), at * SECOND, &mut writer);
        // A segment is what was written within some time, not one event.
        if writer.pending_bytes() > 64 << 10 {
            writer.seal(&mut bytes);
        }
    }
    writer.append(flow, 0, &Event::Done(OpId(1))).unwrap();
    writer.append(FlowId(0), 0, &Event::Closed(Closed { reason: "client".into(), counters: vec![] })).unwrap();
    writer.seal(&mut bytes);
    let file = folder.join("s-1.rec");
    std::fs::write(&file, bytes).unwrap();
    file
}

fn replay(file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("replay").arg(file).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn hours_pass_as_fast_as_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording(folder.path(), [(0, b"one ".to_vec()), (3_600, b"two".to_vec())].into_iter());
    for arguments in [
        &["--terminal", "--no-wait"][..],
        &["--terminal", "--speed", "10000"],
        &["--terminal", "--at", "3600"],
        &["--lines", "--speed", "10000"],
    ] {
        let output = replay(&file, arguments);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("one two"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_jump_over_days_and_megabytes_shows_what_they_come_to_and_waits_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let line = |at: u64| format!("\x1b[3{}m{at:09} some output of a program that says much\x1b[0m\r\n", at % 8);
    let screen = |at: u64| (at, (0..200).map(|row| line(at * 200 + row)).collect::<String>().into_bytes());
    let said: Vec<(u64, Vec<u8>)> = (0..850).map(screen).chain([(900_000, b"the end".to_vec())]).collect();
    let file = recording(folder.path(), said.iter().cloned());
    let output = replay(&file, &["--terminal", "--at", "900000"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let rows = || shown.match_indices(" some output of a program that says much").count();
    assert!(shown.contains("000169999 some output") && shown.contains("the end") && rows() == 23, "{shown}");
    assert!(shown.len() < 10_000, "{} bytes", shown.len());
    // Who waits for nothing gets all of it.
    let output = replay(&file, &["--terminal", "--no-wait"]);
    let all: Vec<u8> = said.into_iter().flat_map(|(_, said)| said).collect();
    assert!(all.len() > 10_000_000 && output.stdout.starts_with(&all), "{} bytes", output.stdout.len());
}
