//! Any HTTP API: what its answers hold is masked by detectors and key rules, as far as it can be looked into.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use sluice_mask::json::{Document, Fault, Limits, escape_into};

use super::Sight;
use crate::answer::{Look, Seen, bad_answer};
use crate::body::Form;
use crate::media::Media;
use crate::refusal::Words;
use crate::request::Opaque;
use crate::sse::{Decoder, Event};
use crate::veil::{BLANK, Strainer, Veil, begins_container, reads_as_object};

/// JSON bodies of any API.
pub(crate) const JSON_LIMITS: Limits = Limits { size_bytes: 64 << 20, depth: 128, nodes: 4_000_000 };

/// How an answer of this dialect is to be looked at.
pub(crate) fn sight(media: Media, veil: &Veil, opaque: Option<Box<Opaque>>, event_bytes: usize) -> Look {
    if veil.is_open() {
        return Look::Verbatim;
    }
    let sheet = |of: Of| Sight::Rest(Box::new(Sheet { veil: veil.clone(), of, seen: VecDeque::new() }));
    match (media, opaque) {
        (Media::Json, _) => Look::Whole(sheet(Of::Json)),
        (Media::Lines, _) => Look::Pieces(sheet(Of::Lines {
            rest: BytesMut::new(),
            looked: 0,
            document: Box::new(Document::null(JSON_LIMITS)),
            limit: event_bytes,
        })),
        (Media::Events, _) => Look::Pieces(sheet(Of::Events(Box::new(Decoder::new(event_bytes))))),
        (Media::Form, _) => Look::Whole(sheet(Of::Form)),
        (Media::Text, _) if veil.has_keys() => {
            Look::Pieces(sheet(Of::Beginning { text: String::new(), blank: 0, half: Vec::new(), limit: event_bytes }))
        }
        (Media::Text, _) => Look::Pieces(sheet(Of::Text { strainer: veil.strainer(), half: Vec::new() })),
        (Media::Opaque, Some(opaque)) => Look::Opaque(Box::new(opaque.operation())),
        (Media::Opaque, None) => Look::Refuse(bad_answer("opaque-answer", "the server's answer cannot be looked into")),
    }
}

/// How an answer without a type is to be looked at that should have no body.
pub(crate) fn json_or_nothing(veil: &Veil) -> Look {
    Look::Whole(Sight::Rest(Box::new(Sheet { veil: veil.clone(), of: Of::Json, seen: VecDeque::new() })))
}

/// Looks at one body.
pub(crate) struct Sheet {
    veil: Veil,
    of: Of,
    seen: VecDeque<Seen>,
}

enum Of {
    Json,
    Form,
    /// No line ends in the first `looked` bytes of `rest`.
    Lines {
        rest: BytesMut,
        looked: usize,
        document: Box<Document>,
        limit: usize,
    },
    Events(Box<Decoder>),
    /// Text that may turn out to be JSON; its first `blank` bytes say nothing.
    Beginning {
        text: String,
        blank: usize,
        half: Vec<u8>,
        limit: usize,
    },
    /// `half` is the beginning of a character whose end has not come.
    Text {
        strainer: Strainer,
        half: Vec<u8>,
    },
    Over,
}

impl Sheet {
    pub(crate) fn whole(&mut self, body: Bytes) {
        if body.is_empty() {
            return self.release(body);
        }
        let is_json = |text: &[u8]| str::from_utf8(text).is_ok_and(reads_as_object);
        if matches!(self.of, Of::Form) && !is_json(&body) {
            return match Form::of(body) {
                Some(form) => self.release(form.covered(&self.veil)),
                None => {
                    self.refuse(bad_answer("answer-form", "the server's answer is not the form that it says it is"))
                }
            };
        }
        match Document::parse(body, JSON_LIMITS) {
            Ok(document) => {
                let masked = self.veil.edits(&document).apply();
                self.release(masked);
            }
            Err(fault) => self.refuse(unreadable(fault)),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match &mut self.of {
            Of::Lines { rest, .. } => {
                rest.extend_from_slice(bytes);
                self.lines();
            }
            Of::Events(decoder) => {
                decoder.push(bytes);
                self.events();
            }
            Of::Text { strainer, half } => {
                half.extend_from_slice(bytes);
                let mut out = String::new();
                match whole_characters(half) {
                    Some(text) => strainer.push(&text, &mut out),
                    None => return self.refuse(unreadable_text()),
                }
                self.release(Bytes::from(out));
            }
            Of::Beginning { text, blank, half, limit } => {
                half.extend_from_slice(bytes);
                match whole_characters(half) {
                    Some(piece) => text.push_str(&piece),
                    None => return self.refuse(unreadable_text()),
                }
                if text.len() > *limit {
                    return self.refuse(bad_answer("event-size", "a text that may be JSON is larger than the limit"));
                }
                let said = text.get(*blank..).unwrap_or_default().trim_start_matches(BLANK);
                *blank = text.len().saturating_sub(said.len());
                if !said.is_empty() && !begins_container(said) {
                    self.read_as_prose();
                }
            }
            Of::Json | Of::Form | Of::Over => {}
        }
    }

    /// It is no JSON, so it goes on piece by piece.
    fn read_as_prose(&mut self) {
        if let Of::Beginning { text, half, .. } = &mut self.of {
            let (text, half) = (std::mem::take(text), std::mem::take(half));
            let (mut strainer, mut out) = (self.veil.strainer(), String::new());
            strainer.push(&text, &mut out);
            self.of = Of::Text { strainer, half };
            self.release(Bytes::from(out));
        }
    }

    pub(crate) fn end(&mut self) {
        match std::mem::replace(&mut self.of, Of::Over) {
            Of::Lines { rest, mut document, .. } => {
                if !rest.is_empty() {
                    self.line(rest.freeze(), &mut document);
                }
            }
            Of::Text { mut strainer, half } => {
                if !half.is_empty() {
                    return self.refuse(unreadable_text());
                }
                let mut out = String::new();
                strainer.finish(&mut out);
                self.release(Bytes::from(out));
            }
            Of::Beginning { text, half, .. } => {
                if !half.is_empty() {
                    return self.refuse(unreadable_text());
                }
                let masked = self.veil.whole(&text).into_owned();
                self.release(Bytes::from(masked));
            }
            // An event that is not whole is dropped, as every reader of events does.
            Of::Events(_) | Of::Json | Of::Form | Of::Over => {}
        }
        self.seen.push_back(Seen::Over);
    }

    fn lines(&mut self) {
        loop {
            let Of::Lines { rest, looked, limit, .. } = &mut self.of else { return };
            let new = rest.get(*looked..).unwrap_or_default();
            let Some(at) = new.iter().position(|byte| *byte == b'\n') else {
                *looked = rest.len();
                if rest.len() > *limit {
                    self.refuse(bad_answer("event-size", "a line of the server's answer is larger than the limit"));
                }
                return;
            };
            let line = rest.split_to(looked.saturating_add(at).saturating_add(1)).freeze();
            *looked = 0;
            let Of::Lines { document, .. } = &mut self.of else { return };
            let mut taken = std::mem::replace(document, Box::new(Document::null(JSON_LIMITS)));
            self.line(line, &mut taken);
            if let Of::Lines { document, .. } = &mut self.of {
                *document = taken;
            }
        }
    }

    fn line(&mut self, line: Bytes, document: &mut Document) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return self.release(line);
        }
        let ends = line.ends_with(b"\n");
        match document.reparse(line) {
            Ok(()) => {
                let mut masked = BytesMut::from(&*self.veil.edits(document).apply());
                if ends && !masked.ends_with(b"\n") {
                    masked.extend_from_slice(b"\n");
                }
                self.release(masked.freeze());
            }
            Err(fault) => self.refuse(unreadable(fault)),
        }
    }

    fn events(&mut self) {
        loop {
            let Of::Events(decoder) = &mut self.of else { return };
            match decoder.next() {
                Ok(Some(event)) => {
                    let masked = self.event(event);
                    self.release(masked.encode());
                }
                Ok(None) => return,
                Err(_) => return self.refuse(bad_answer("event-stream", "the server's stream of events is malformed")),
            }
        }
    }

    /// The text of one event: JSON by its members, anything else as one text.
    fn event(&self, event: Event) -> Event {
        let name = event.name.map(|name| self.veil.scrub(&name).into());
        let data = match Document::parse(event.data.clone(), JSON_LIMITS) {
            Ok(document) => self.veil.edits(&document).apply(),
            Err(_) => Bytes::from(self.veil.whole(&String::from_utf8_lossy(&event.data)).into_owned()),
        };
        Event { name, data }
    }

    pub(crate) fn next(&mut self) -> Option<Seen> {
        self.seen.pop_front()
    }

    /// An event that says why, where the body is a stream of events.
    pub(crate) fn fail(&mut self, words: &Words) {
        if let Of::Events(_) = std::mem::replace(&mut self.of, Of::Over) {
            let mut data = String::from("{\"error\":{\"code\":\"");
            escape_into(&words.code, &mut data);
            data.push_str("\",\"message\":\"");
            escape_into(&words.message, &mut data);
            data.push_str("\"}}");
            let event = Event { name: Some("error".into()), data: Bytes::from(data) };
            self.seen.push_back(Seen::Bytes(event.encode()));
        }
    }

    fn release(&mut self, bytes: Bytes) {
        if !bytes.is_empty() || matches!(self.of, Of::Json | Of::Form) {
            self.seen.push_back(Seen::Bytes(bytes));
        }
    }

    fn refuse(&mut self, words: Words) {
        self.seen.push_back(Seen::Refuse(words));
    }
}

/// Takes the whole characters off the front; `None` where the bytes are no UTF-8.
fn whole_characters(half: &mut Vec<u8>) -> Option<String> {
    let whole = match std::str::from_utf8(half) {
        Ok(_) => half.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return None,
    };
    let rest = half.split_off(whole);
    // Text in UTF-16 can be text in UTF-8, with a NUL at every other place.
    String::from_utf8(std::mem::replace(half, rest)).ok().filter(|text| !text.contains('\0'))
}

pub(crate) fn unreadable(fault: Fault) -> Words {
    tracing::debug!(fault = %fault, "a server's answer is no JSON");
    bad_answer("answer-json", "the server's answer is not the JSON that it says it is")
}

fn unreadable_text() -> Words {
    bad_answer("answer-text", "the server's answer is not the text that it says it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes a text byte by byte, which takes minutes where each push looks at everything before it.
    fn dripped(of: Of, text: &[u8]) -> Vec<u8> {
        let mut sheet = Sheet { veil: Veil::open(), of, seen: VecDeque::new() };
        for byte in text.chunks(1) {
            sheet.push(byte);
        }
        sheet.end();
        let mut out = Vec::new();
        while let Some(seen) = sheet.next() {
            if let Seen::Bytes(bytes) = seen {
                out.extend_from_slice(&bytes);
            }
        }
        out
    }

    #[test]
    fn a_long_line_that_drips_is_looked_at_once() {
        let text = [b"[\"", "a".repeat(1 << 20).as_bytes(), b"\"]\n[1]\n"].concat();
        let document = Box::new(Document::null(JSON_LIMITS));
        let of = Of::Lines { rest: BytesMut::new(), looked: 0, document, limit: 2 << 20 };
        assert!(dripped(of, &text) == text);
    }

    #[test]
    fn blanks_that_drip_are_looked_at_once() {
        let text = [" ".repeat(1 << 20).as_bytes(), b"[1]"].concat();
        let of = Of::Beginning { text: String::new(), blank: 0, half: Vec::new(), limit: 2 << 20 };
        assert!(dripped(of, &text) == text);
    }
}
