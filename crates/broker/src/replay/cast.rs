//! A terminal's recording as [asciicast v3](https://docs.asciinema.org/manual/asciicast/v3/).

use std::io::Read;

use anyhow::{Context as _, Result};
use serde_json::json;
use sluice_model::FlowId;
use sluice_recording::{Event, Reader, Shown};
use sluice_ssh::Size;

use super::inert::Inert;
use super::screen::{Sight, sight};

/// Gives the lines of a cast of one channel; `say` gets every line.
pub(crate) fn cast(mut reader: Reader<impl Read>, flow: FlowId, mut say: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let anchor = reader.header().anchor;
    let mut title = String::new();
    let mut cast: Option<Cast> = None;
    while let Some(stored) = reader.next_event().context("the recording cannot be read on")? {
        if let Event::Opened(opened) = &stored.event {
            title = Shown(format!("{} at {}", opened.session, opened.target).as_bytes()).to_string();
        }
        let Some(sight) = (stored.flow == flow).then(|| sight(&stored)).flatten() else { continue };
        let at_us = stored.at_ns / 1_000;
        match (&mut cast, sight) {
            (None, Sight::Began { term, size }) => {
                let began = anchor.0.saturating_add(i64::try_from(at_us).unwrap_or(i64::MAX));
                let term = json!({ "cols": size.columns, "rows": size.rows, "type": term });
                let timestamp = began.div_euclid(1_000_000);
                say(&json!({ "version": 3, "term": term, "timestamp": timestamp, "title": title }).to_string())?;
                cast = Some(Cast { last_us: at_us, inert: Inert::default(), open: Vec::new(), exit: None });
            }
            (Some(cast), sight) => {
                if let Some(line) = cast.line(at_us, &sight) {
                    say(&line)?;
                }
            }
            (None, _) => {}
        }
    }
    let Some(mut cast) = cast else { return Ok(()) };
    let open = std::mem::take(&mut cast.open);
    if !open.is_empty() {
        say(&cast.event(cast.last_us, "o", &String::from_utf8_lossy(&open)))?;
    }
    // A server may tell the status before its last output; a player ends with it.
    match cast.exit.take() {
        Some((at_us, status)) => say(&cast.event(at_us, "x", &status.to_string())),
        None => Ok(()),
    }
}

struct Cast {
    /// When the last event was, for intervals do not add up their roundings.
    last_us: u64,
    inert: Inert,
    /// The beginning of a character whose rest has not come.
    open: Vec<u8>,
    /// How the program ended, and when.
    exit: Option<(u64, u32)>,
}

impl Cast {
    fn line(&mut self, at_us: u64, sight: &Sight) -> Option<String> {
        match sight {
            Sight::Output(bytes) => {
                let passed = self.inert.pass(bytes);
                let text = self.text(&passed);
                (!text.is_empty()).then(|| self.event(at_us, "o", &text))
            }
            Sight::Began { size, .. } | Sight::Resized(size) => {
                let Size { columns, rows, .. } = size;
                Some(self.event(at_us, "r", &format!("{columns}x{rows}")))
            }
            Sight::Exited(status) => {
                self.exit = Some((at_us, *status));
                None
            }
        }
    }

    /// Whole characters; what is none is replaced.
    fn text(&mut self, bytes: &[u8]) -> String {
        self.open.extend_from_slice(bytes);
        let mut text = String::new();
        let all = std::mem::take(&mut self.open);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            // An end that may still become a character: an error without a length.
            let cut =
                chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if cut {
                self.open = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    fn event(&mut self, at_us: u64, code: &str, data: &str) -> String {
        let interval = at_us.saturating_sub(self.last_us);
        self.last_us = self.last_us.max(at_us);
        format!("[{}.{:06}, {}, {}]", interval / 1_000_000, interval % 1_000_000, json!(code), json!(data))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use expect_test::expect;
    use sluice_wire::Frame as _;

    use super::super::screen::{channels, choose};
    use super::super::testing::{Tape, reader};
    use super::*;
    use sluice_ssh::{Frame, Message};

    fn wire(frame: impl Into<Frame>) -> Vec<u8> {
        frame.into().wire().to_vec()
    }

    fn tape() -> Vec<u8> {
        let size = |columns, rows| Size { columns, rows, width: 0, height: 0 };
        let pty = Message::Pty { term: "xterm".into(), size: size(80, 24), modes: vec![] };
        let mut tape = Tape::open("s-1", "web", "ssh", 0);
        tape.at(100, 0).ask(1, "ssh.exec", "uptime", &[]).seen(1, &wire(Frame::data(b"up\n"))).done(1);
        tape.at(200, 1).ask(1, "ssh.pty", "pty xterm", &[]).sent(1, &wire(pty)).ask(2, "ssh.shell", "", &[]);
        tape.at(1_450, 1).seen(2, &wire(Frame::data(b"$ caf\xc3"))).at(1_451, 0).seen(1, &wire(Frame::data(b"no")));
        tape.at(1_500, 1).seen(2, &wire(Frame::data(b"\xa9\x1b]52;c;eA==\x07\xff\r\n")));
        tape.at(2_000, 1).sent(1, &wire(Message::Resized(size(100, 30))));
        tape.at(62_000, 1).seen(2, &wire(Frame::data(b"bye \xe6\xbc"))).seen(2, &wire(Message::ExitStatus(7)));
        tape.close()
    }

    #[test]
    fn a_cast_has_these_lines() {
        let bytes = tape();
        let flow = choose(&channels(reader(&bytes)).unwrap(), None).unwrap();
        let mut lines = Vec::new();
        cast(reader(&bytes), flow, |line| {
            lines.push(line.to_owned());
            Ok(())
        })
        .unwrap();
        expect![[r#"
            {"version":3,"term":{"cols":80,"rows":24,"type":"xterm"},"timestamp":1800000000,"title":"s-1 at web"}
            [1.250000, "o", "$ caf"]
            [0.050000, "o", "é\r\n"]
            [0.500000, "r", "100x30"]
            [60.000000, "o", "bye "]
            [0.000000, "o", "�"]
            [0.000000, "x", "7"]"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_channel_without_a_terminal_is_no_cast_and_the_channels_are_named() {
        let known = channels(reader(&tape())).unwrap();
        let error = choose(&known, Some(0)).unwrap_err().to_string();
        expect![[r#"
            channel 0 of this recording is none with a terminal; its channels are:
              0  no terminal  uptime
              1  terminal xterm  ssh.shell"#]]
        .assert_eq(&error);
        assert!(choose(&[], None).is_err());
    }
}
