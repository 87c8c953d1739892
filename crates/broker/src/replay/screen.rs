//! What a recorded channel of SSH showed on its terminal.

use std::io::Read;

use anyhow::{Result, bail};
use bytes::Bytes;
use sluice_model::FlowId;
use sluice_recording::{Event, Reader, Shown, Stored, Toward};
use sluice_ssh::{Frame, Message, Size};

/// One thing that a terminal saw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Sight {
    /// The terminal began.
    Began {
        term: String,
        size: Size,
    },
    Output(Bytes),
    Resized(Size),
    Exited(u32),
}

/// A channel of a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Channel {
    pub(crate) flow: FlowId,
    /// The type of its terminal, if it has one.
    pub(crate) terminal: Option<String>,
    /// What was run in it last.
    pub(crate) ran: String,
}

/// What an event showed, in whatever channel it happened.
pub(crate) fn sight(stored: &Stored<'_>) -> Option<Sight> {
    let Event::Passed(passed) = &stored.event else { return None };
    let frame = Frame::recorded(&Bytes::copy_from_slice(passed.frame.0))?;
    match (passed.toward, frame) {
        (Toward::Server, Frame::Message(Message::Pty { term, size, .. }, _)) => {
            Some(Sight::Began { term: term.into(), size: usual(size) })
        }
        (Toward::Server, Frame::Message(Message::Resized(size), _)) => Some(Sight::Resized(usual(size))),
        (Toward::Client, Frame::Data(payload) | Frame::Stderr(payload)) => Some(Sight::Output(payload.bytes())),
        (Toward::Client, Frame::Message(Message::ExitStatus(status), _)) => Some(Sight::Exited(status)),
        _ => None,
    }
}

/// A terminal whose size nobody said is as large as they were (RFC 4254 §6.2 ignores zeros).
const fn usual(size: Size) -> Size {
    let columns = if size.columns == 0 { 80 } else { size.columns };
    let rows = if size.rows == 0 { 24 } else { size.rows };
    Size { columns, rows, ..size }
}

/// The channels of a recording; none if it is not one of SSH.
pub(crate) fn channels(mut reader: Reader<impl Read>) -> Result<Vec<Channel>> {
    let mut channels: Vec<Channel> = Vec::new();
    while let Some(stored) = reader.next_event()? {
        let flow = stored.flow;
        if let Event::Opened(opened) = &stored.event
            && opened.protocol != "ssh"
        {
            return Ok(Vec::new());
        }
        if let Event::Asked(asked) = &stored.event
            && asked.action.starts_with("ssh.")
            && asked.op != sluice_model::OpId::CONNECT
        {
            let ran = Shown(asked.text.0).to_string();
            let ran = if ran.is_empty() { asked.action.to_string() } else { ran };
            match channels.iter_mut().find(|channel| channel.flow == flow) {
                Some(channel) => channel.ran = ran,
                None => channels.push(Channel { flow, terminal: None, ran }),
            }
        } else if let Some(Sight::Began { term, .. }) = sight(&stored)
            && let Some(channel) = channels.iter_mut().find(|channel| channel.flow == flow)
        {
            channel.terminal = Some(Shown(term.as_bytes()).to_string());
        }
    }
    Ok(channels)
}

/// The channel that is meant: the one that is named, or the first with a terminal.
pub(crate) fn choose(channels: &[Channel], named: Option<u32>) -> Result<FlowId> {
    let mut terminals = channels.iter().filter(|channel| channel.terminal.is_some());
    let found = match named {
        Some(flow) => terminals.find(|channel| channel.flow.0 == flow),
        None => terminals.next(),
    };
    if let Some(channel) = found {
        return Ok(channel.flow);
    }
    let what = named.map_or_else(
        || "no channel of this recording has a terminal".to_owned(),
        |flow| format!("channel {flow} of this recording is none with a terminal"),
    );
    if channels.is_empty() {
        bail!("{what}; it is no recording of SSH with a channel");
    }
    let line = |channel: &Channel| {
        let terminal =
            channel.terminal.as_ref().map_or_else(|| "no terminal".to_owned(), |term| format!("terminal {term}"));
        format!("\n  {}  {terminal}  {}", channel.flow.0, channel.ran)
    };
    bail!("{what}; its channels are:{}", channels.iter().map(line).collect::<String>());
}
