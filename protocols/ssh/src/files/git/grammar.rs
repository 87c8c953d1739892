//! The lines of a client, read into what they ask for.

use std::collections::BTreeSet;

use sluice_wire::Violation;

use super::Service;
use super::line::{Packet, object, reference, text};
use super::question::{Fetch, Push, Question, Update};

/// What a packet does to the conversation.
#[derive(Debug)]
pub(super) enum Turn {
    /// It belongs to what is asked for.
    More,
    /// With it a question is complete.
    Ask(Question),
    /// With it a request is complete that asks for nothing.
    Nothing,
    /// It goes on under what was allowed.
    Pass,
}

/// Where in the conversation a client is.
#[derive(Debug)]
pub(super) enum Grammar {
    /// `git-upload-pack`, nothing said.
    Upload,
    /// Version 0 or 1: `want` lines up to a flush.
    Wants(Fetch),
    /// Version 0 or 1: what the client has, up to `done`.
    Haves,
    /// Version 2: a command's lines up to a flush.
    Command { question: Question, part: Part },
    /// Version 2: between commands.
    Commands,
    /// `git-receive-pack`: updates up to a flush.
    Updates { push: Push, options: Options },
    /// Options for hooks up to a flush.
    PushOptions(Push),
    /// Nothing more is said in lines.
    Silent,
}

/// The part of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Capabilities,
    Arguments,
}

/// Whether options follow the updates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Options {
    Follow,
    None,
}

const UNKNOWN: Violation = Violation::client("no line of git");

impl Grammar {
    pub(super) fn new(service: Service) -> Self {
        match service {
            Service::UploadPack => Self::Upload,
            Service::ReceivePack => Self::Updates { push: Push::default(), options: Options::None },
        }
    }

    /// Takes the next packet.
    pub(super) fn take(&mut self, packet: &Packet) -> Result<Turn, Violation> {
        let (next, turn) = match std::mem::replace(self, Self::Silent) {
            Self::Upload => upload(packet)?,
            Self::Wants(fetch) => wants(fetch, packet)?,
            Self::Haves => haves(packet)?,
            Self::Commands => commands(packet)?,
            Self::Command { question, part } => command(question, part, packet)?,
            Self::Updates { push, options } => updates(push, options, packet)?,
            Self::PushOptions(push) => push_options(push, packet)?,
            Self::Silent => return Err(Violation::client("a line after the last one")),
        };
        *self = next;
        Ok(turn)
    }
}

/// The first packet tells the version (<https://git-scm.com/docs/gitprotocol-pack>, <https://git-scm.com/docs/gitprotocol-v2>).
fn upload(packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    match packet {
        Packet::Flush => Ok((Grammar::Silent, Turn::Nothing)),
        Packet::Line(line) if line.starts_with(b"command=") => commands(packet),
        Packet::Line(_) => wants(Fetch::default(), packet),
        Packet::Delimiter => Err(UNKNOWN),
    }
}

fn wants(mut fetch: Fetch, packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    let line = match packet {
        Packet::Line(line) => text(line).ok_or(UNKNOWN)?,
        Packet::Flush if fetch.objects.is_empty() => return Err(UNKNOWN),
        Packet::Flush => return Ok((Grammar::Haves, Turn::Ask(Question::Fetch(fetch)))),
        Packet::Delimiter => return Err(UNKNOWN),
    };
    let (kind, rest) = line.split_once(' ').ok_or(UNKNOWN)?;
    match kind {
        "want" => {
            // The first one has the client's capabilities behind it.
            let (name, capabilities) = rest.split_once(' ').unwrap_or((rest, ""));
            if !capabilities.is_empty() && !fetch.objects.is_empty() {
                return Err(UNKNOWN);
            }
            fetch.objects.insert(object(name).ok_or(UNKNOWN)?);
        }
        "shallow" if !fetch.objects.is_empty() => drop(object(rest).ok_or(UNKNOWN)?),
        "deepen" | "deepen-since" | "deepen-not" | "filter" if !fetch.objects.is_empty() => {}
        _ => return Err(UNKNOWN),
    }
    Ok((Grammar::Wants(fetch), Turn::More))
}

fn haves(packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    match packet {
        Packet::Flush => Ok((Grammar::Haves, Turn::Pass)),
        Packet::Line(line) => match text(line).ok_or(UNKNOWN)?.split_once(' ') {
            None if text(line) == Some("done") => Ok((Grammar::Silent, Turn::Pass)),
            Some(("have", name)) if object(name).is_some() => Ok((Grammar::Haves, Turn::Pass)),
            Some(_) | None => Err(UNKNOWN),
        },
        Packet::Delimiter => Err(UNKNOWN),
    }
}

fn commands(packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    let question = match packet {
        Packet::Flush => return Ok((Grammar::Silent, Turn::Nothing)),
        Packet::Delimiter => return Err(UNKNOWN),
        Packet::Line(line) => match text(line) {
            Some("command=ls-refs") => Question::EMPTY,
            Some("command=fetch") => Question::Fetch(Fetch::default()),
            Some("command=object-info") => Question::Sizes { objects: BTreeSet::new() },
            Some(_) | None => return Err(Violation::client("no command of git that is known")),
        },
    };
    Ok((Grammar::Command { question, part: Part::Capabilities }, Turn::More))
}

fn command(mut question: Question, part: Part, packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    match (packet, part) {
        (Packet::Flush, _) => return Ok((Grammar::Commands, Turn::Ask(question))),
        (Packet::Delimiter, Part::Capabilities) => {
            return Ok((Grammar::Command { question, part: Part::Arguments }, Turn::More));
        }
        (Packet::Delimiter, Part::Arguments) => return Err(UNKNOWN),
        (Packet::Line(line), part) => {
            let line = text(line).ok_or(UNKNOWN)?;
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match part {
                Part::Capabilities => capability(line)?,
                Part::Arguments => argument(&mut question, kind, rest).ok_or(UNKNOWN)?,
            }
        }
    }
    Ok((Grammar::Command { question, part }, Turn::More))
}

fn capability(line: &str) -> Result<(), Violation> {
    let known = ["agent=", "object-format=", "session-id=", "server-option="];
    if known.iter().any(|known| line.starts_with(known)) { Ok(()) } else { Err(UNKNOWN) }
}

fn argument(question: &mut Question, kind: &str, rest: &str) -> Option<()> {
    match (question, kind) {
        (Question::List { .. }, "peel" | "symrefs" | "unborn") => rest.is_empty().then_some(()),
        (Question::List { prefixes }, "ref-prefix") => {
            prefixes.insert(rest.to_owned());
            Some(())
        }
        (Question::Fetch(fetch), "want") => {
            fetch.objects.insert(object(rest)?);
            Some(())
        }
        (Question::Fetch(fetch), "want-ref") => {
            let head = (rest == "HEAD").then(|| rest.to_owned());
            fetch.references.insert(reference(rest).or(head)?);
            Some(())
        }
        (Question::Fetch(_), "have" | "shallow") => object(rest).map(drop),
        (
            Question::Fetch(_),
            "done" | "thin-pack" | "no-progress" | "include-tag" | "ofs-delta" | "deepen-relative" | "sideband-all"
            | "wait-for-done",
        ) => rest.is_empty().then_some(()),
        (Question::Fetch(_), "deepen" | "deepen-since" | "deepen-not" | "filter") => (!rest.is_empty()).then_some(()),
        (Question::Sizes { .. }, "size") => rest.is_empty().then_some(()),
        (Question::Sizes { objects }, "oid") => {
            objects.insert(object(rest)?);
            Some(())
        }
        (Question::List { .. } | Question::Fetch(_) | Question::Sizes { .. } | Question::Push(_), _) => None,
    }
}

/// Updates (<https://git-scm.com/docs/gitprotocol-pack#_reference_update_request_and_packfile_transfer>). Signed ones are
/// not taken.
fn updates(mut push: Push, mut options: Options, packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    let line = match packet {
        Packet::Line(line) => line,
        Packet::Flush if push.updates.is_empty() => return Ok((Grammar::Silent, Turn::Nothing)),
        Packet::Flush if changes_twice(&push.updates) => {
            return Err(Violation::client("one reference is changed twice"));
        }
        Packet::Flush if options == Options::Follow => return Ok((Grammar::PushOptions(push), Turn::More)),
        Packet::Flush => return Ok((Grammar::Silent, Turn::Ask(Question::Push(push)))),
        Packet::Delimiter => return Err(UNKNOWN),
    };
    if let Some(name) = text(line).and_then(|line| line.strip_prefix("shallow ")) {
        return match object(name) {
            Some(_) if push.updates.is_empty() => Ok((Grammar::Updates { push, options }, Turn::More)),
            Some(_) | None => Err(UNKNOWN),
        };
    }
    let mut update = &line[..];
    if push.updates.is_empty() {
        let mut parts = line.splitn(2, |byte| *byte == 0);
        update = parts.next().unwrap_or_default();
        let capabilities = text(parts.next().unwrap_or_default()).ok_or(UNKNOWN)?;
        let has = |name: &str| capabilities.split(' ').any(|capability| capability == name);
        push.atomic = has("atomic");
        options = if has("push-options") { Options::Follow } else { Options::None };
    }
    let update = text(update).and_then(Update::parse).ok_or(UNKNOWN)?;
    push.updates.push(update);
    Ok((Grammar::Updates { push, options }, Turn::More))
}

fn changes_twice(updates: &[Update]) -> bool {
    let mut names = BTreeSet::new();
    !updates.iter().all(|update| names.insert(update.reference.as_str()))
}

fn push_options(mut push: Push, packet: &Packet) -> Result<(Grammar, Turn), Violation> {
    match packet {
        Packet::Line(line) => {
            push.options.push(text(line).ok_or(UNKNOWN)?.to_owned());
            Ok((Grammar::PushOptions(push), Turn::More))
        }
        Packet::Flush => Ok((Grammar::Silent, Turn::Ask(Question::Push(push)))),
        Packet::Delimiter => Err(UNKNOWN),
    }
}
