//! Channels as lines: what was asked for, what was typed and shown, and what became of files.

use std::collections::HashMap;

use bytes::Bytes;
use sluice_model::OpId;
use sluice_recording::{Asked, Noted, Pair, Shown};
use sluice_ssh::{Frame, Message};

use super::Replayer;

/// Shows streams by the line, files by their events, and how programs ended.
///
/// Each line says by its first character which stream it is of, so that none can pass for one of another.
#[derive(Debug, Default)]
pub(crate) struct SshReplay {
    open: HashMap<OpId, Says>,
}

/// How what passes under an operation is shown.
#[derive(Debug)]
enum Says {
    Streams(Streams),
    /// Packets of sftp and git, of which questions and notes tell.
    Nothing,
}

impl Default for Says {
    fn default() -> Self {
        Self::Streams(Streams { stdout: Stream::new('|'), stderr: Stream::new('!'), stdin: Stream::new('<') })
    }
}

#[derive(Debug)]
struct Streams {
    stdout: Stream,
    stderr: Stream,
    stdin: Stream,
}

/// One stream: by the line while it is text.
#[derive(Debug)]
struct Stream {
    mark: char,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// A line that went on for long: the next piece goes on with it.
    goes_on: bool,
    /// Bytes since one was found that is in no text.
    binary: Option<u64>,
}

/// The longest line that is waited for, in bytes.
const LINE: usize = 64 << 10;

impl Replayer for SshReplay {
    fn asked(&mut self, asked: &Asked<'_>) -> Option<Vec<String>> {
        let packets = ["sftp.", "git."].iter().any(|group| asked.action.starts_with(group));
        if packets {
            self.open.insert(asked.op, Says::Nothing);
        }
        None
    }

    fn to_server(&mut self, op: OpId, bytes: &[u8]) -> Vec<String> {
        match (self.open.entry(op).or_default(), Frame::recorded(&Bytes::copy_from_slice(bytes))) {
            (Says::Streams(streams), Some(Frame::Data(payload))) => streams.stdin.lines(&payload.bytes()),
            _ => Vec::new(),
        }
    }

    fn to_client(&mut self, op: OpId, bytes: &[u8]) -> Vec<String> {
        match (self.open.entry(op).or_default(), Frame::recorded(&Bytes::copy_from_slice(bytes))) {
            (Says::Streams(streams), Some(Frame::Data(payload))) => streams.stdout.lines(&payload.bytes()),
            (Says::Streams(streams), Some(Frame::Stderr(payload))) => streams.stderr.lines(&payload.bytes()),
            // The broker's own words: servers of sftp and git say nothing here that is looked into.
            (Says::Nothing, Some(Frame::Stderr(payload))) => Stream::new('!').lines(&payload.bytes()),
            (_, Some(Frame::Message(Message::ExitStatus(status), _))) => vec![format!("exit status {status}")],
            (_, Some(Frame::Message(Message::ExitSignal { name, .. }, _))) => {
                vec![format!("ended by signal {}", Shown(name.as_bytes()))]
            }
            (Says::Nothing, Some(Frame::Data(_))) | (_, Some(Frame::Message(..) | Frame::Quiet) | None) => Vec::new(),
        }
    }

    fn noted(&mut self, noted: &Noted<'_>) -> Option<Vec<String>> {
        (noted.kind == "file").then(|| file(&noted.pairs))
    }

    fn done(&mut self, op: OpId) -> Vec<String> {
        match self.open.remove(&op) {
            Some(Says::Streams(Streams { stdout, stderr, stdin })) => {
                [stdin, stdout, stderr].into_iter().filter_map(Stream::end).collect()
            }
            Some(Says::Nothing) | None => Vec::new(),
        }
    }

    fn ended(&mut self) -> Vec<String> {
        let mut left: Vec<OpId> = self.open.keys().copied().collect();
        left.sort_unstable();
        left.into_iter().flat_map(|op| self.done(op)).collect()
    }
}

impl Stream {
    const fn new(mark: char) -> Self {
        Self { mark, line: Vec::new(), goes_on: false, binary: None }
    }

    /// The lines that are whole with these bytes.
    fn lines(&mut self, bytes: &[u8]) -> Vec<String> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(binary) = &mut self.binary {
            *binary = binary.saturating_add(length);
            return Vec::new();
        }
        if bytes.contains(&0) {
            self.binary = Some(length);
            return self.rest().into_iter().collect();
        }
        self.line.extend_from_slice(bytes);
        let end = match self.line.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end.saturating_add(1),
            None if self.line.len() > LINE => self.line.len(),
            None => return Vec::new(),
        };
        let rest = self.line.split_off(end);
        let whole = std::mem::replace(&mut self.line, rest);
        whole.split_inclusive(|byte| *byte == b'\n').map(|line| self.shown(line)).collect()
    }

    /// What is left, once nothing more comes.
    fn end(mut self) -> Option<String> {
        match self.binary {
            Some(bytes) => Some(format!("{} ({bytes} bytes that are no text)", self.mark)),
            None => self.rest(),
        }
    }

    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.line);
        (!rest.is_empty()).then(|| self.shown(&rest))
    }

    /// A line that is harmless for a terminal.
    fn shown(&mut self, line: &[u8]) -> String {
        let (mark, more) = (self.mark, if self.goes_on { "…" } else { "" });
        self.goes_on = !line.ends_with(b"\n");
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        format!("{mark} {more}{}", Shown(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// What became of a file, from its opening to its end.
fn file(pairs: &[Pair<'_>]) -> Vec<String> {
    let value = |name: &str| pairs.iter().find(|pair| pair.name == name).map(|pair| &*pair.value);
    let shown = |text: &str| Shown(text.as_bytes()).to_string();
    let path = shown(value("path").unwrap_or_default());
    let mut after = String::new();
    if let Some(millis) = value("micros").and_then(|micros| micros.parse::<u64>().ok()).map(|micros| micros / 1_000) {
        after.push_str(&format!(", in {millis} ms"));
    }
    if value("end").is_some() {
        after.push_str(", cut off");
    }
    let passed = [("read", "read_bytes", "read"), ("wrote", "written_bytes", "written")];
    let mut lines: Vec<String> = passed
        .iter()
        .filter_map(|(verb, bytes, content)| {
            let content = value(content).map_or_else(String::new, |content| format!(", {}", shown(content)));
            Some(format!("{verb} {path}: {} bytes{content}{after}", shown(value(bytes)?)))
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!("opened {path}: nothing passed{after}"));
    }
    lines.extend(value("covered").map(|tags| format!("values covered in it: {}", shown(tags))));
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use sluice_model::Digest;
    use sluice_wire::Frame as _;

    use super::super::testing::{Tape, reader};
    use super::super::{Form, replay_now};
    use super::*;

    fn wire(frame: impl Into<Frame>) -> Vec<u8> {
        frame.into().wire().to_vec()
    }

    fn replayed(mut tape: Tape) -> String {
        let mut lines = Vec::new();
        let done = replay_now(reader(&tape.close()), Form::Text { colours: false }, |line| lines.push(line.to_owned()));
        assert!(done.is_ok(), "{done:?}");
        lines.join("\n")
    }

    #[test]
    fn streams_are_told_apart_whatever_they_say() {
        let mut tape = Tape::open("s-1", "web", "ssh", 0);
        tape.at(1, 0).ask(1, "ssh.script", "make", &[]);
        tape.seen(1, &wire(Frame::data(b"one\n! not an err"))).seen(1, &wire(Frame::stderr(b"warn\x1b[m\r\n")));
        tape.sent(1, &wire(Frame::data(b"yes\n"))).seen(1, &wire(Frame::data(b"or\nexit status 0")));
        tape.seen(1, &wire(Message::ExitStatus(2))).done(1);
        tape.at(2, 1).ask(1, "ssh.exec", "tar c .", &[]).seen(1, &wire(Frame::data(b"a\n./\0\0")));
        tape.seen(1, &wire(Frame::data(b"\xff\n"))).done(1);
        expect![[r#"
            session s-1
            agent:robo at prod/web from 127.0.0.1:5000, 2027-01-15T08:00:00Z, in r-1
            000:00.001 robo> make
                       | one
                       ! warn\x1b[m
                       < yes
                       | ! not an error
                       exit status 2
                       | exit status 0
            000:00.002 robo> tar c .
                       | (8 bytes that are no text)
            000:00.002 ended (client) "#]]
        .assert_eq(&replayed(tape));
    }

    #[test]
    fn what_a_crash_left_without_an_end_is_shown() {
        let mut tape = Tape::open("s-1", "web", "ssh", 0);
        tape.at(1, 2).ask(1, "ssh.exec", "cat", &[]).seen(1, &wire(Frame::data(b"two")));
        tape.at(2, 1).ask(1, "ssh.exec", "cat", &[]).seen(1, &wire(Frame::stderr(b"one")));
        let replayed = replayed(tape);
        assert!(replayed.contains(" ! one\n           | two\n000:00.002 ended (client)"), "{replayed}");
    }

    #[test]
    fn files_are_told_by_what_became_of_them_and_their_packets_are_not() {
        let whole = format!("sha256:{}", Digest([7; 32]).hex());
        let mut tape = Tape::open("s-1", "web", "ssh", 0);
        tape.at(1, 0).ask(1, "sftp.use", "sftp", &[]).ask(2, "sftp.read", "read /etc/motd  read", &[]);
        tape.sent(2, &wire(Frame::data(b"\0\0\0\x05abcde"))).seen(1, &wire(Frame::data(b"\0\0\0\x05abcde")));
        let read = [("path", "/etc/m\x1botd"), ("read_bytes", "5"), ("read", &whole), ("micros", "12345")];
        tape.note("file", &[&read[..], &[("covered", "pii.contact")]].concat()).done(2);
        let both = [("path", "/a"), ("read_bytes", "1"), ("read", "partial 0-1"), ("written_bytes", "2")];
        tape.note("file", &[&both[..], &[("written", "partial 1-3"), ("end", "cut")]].concat());
        tape.note("file", &[("path", "/b"), ("micros", "0")]).seen(1, &wire(Frame::stderr(b"sluice: stars\n"))).done(1);
        expect![[r#"
            session s-1
            agent:robo at prod/web from 127.0.0.1:5000, 2027-01-15T08:00:00Z, in r-1
            000:00.001 robo> sftp
            000:00.001 robo> read /etc/motd  read
            000:00.001 read /etc/m\x1botd: 5 bytes, sha256:0707070707070707070707070707070707070707070707070707070707070707, in 12 ms
                       values covered in it: pii.contact
            000:00.001 read /a: 1 bytes, partial 0-1, cut off
                       wrote /a: 2 bytes, partial 1-3, cut off
            000:00.001 opened /b: nothing passed, in 0 ms
                       ! sluice: stars
            000:00.001 ended (client) "#]].assert_eq(&replayed(tape));
    }
}
