//! Screens against tables of tiny streams.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::needless_pass_by_value, reason = "tests")]

mod agents;
mod assistants;
mod beside;
mod bodies;
mod chaos;
mod chat;
mod endings;
mod firewall;
mod law;
mod programs;
mod responses;
mod shapes;

use std::sync::LazyLock;

use serde_json::{Value, json};
use sluice_mask::json::{Document, Limits};

use crate::classes::{Classes, Veils};
use crate::sse::Decoder;
use crate::target::Target;

use super::*;

/// Canaries: none of them may come out, in whatever spelling.
const EMAIL: &str = "zq7x.k1@leak.example.com";
const PASSWORD: &str = "hunter2";

/// Over e-mail addresses, and over whatever is called a password.
static CLOSED: LazyLock<Veil> = LazyLock::new(|| {
    let target = r#"{"url":"https://api.example.com/v1","dialect":"openai","keys":{"**.password":["secret"]}}"#;
    let target: Target = serde_json::from_str(target).unwrap();
    Veils::new(Classes::of(&target).unwrap(), [7; 32]).everything().clone()
});

fn closed() -> Veil {
    CLOSED.clone()
}

fn options(firewall: Firewall) -> Options {
    Options {
        usage_chunk: UsageChunk::Pass,
        after: None,
        firewall,
        max_call_bytes: Options::MAX_BYTES,
        max_event_bytes: Options::MAX_BYTES,
        model_alias: None,
        yields: Vec::new(),
    }
}

/// A text as it has to look when all of it is released.
fn covered(text: &str) -> String {
    let document = Document::parse(json!({ "text": text }).to_string(), Limits::STANDARD).unwrap();
    let value: Value = serde_json::from_slice(&closed().edits(&document).apply()).unwrap();
    value["text"].as_str().unwrap().to_owned()
}

/// A screen and everything that came out of it.
struct Run {
    screen: Screen,
    shape: Shape,
    /// `name|data` for an event, `ask …`, `fault …`, `end`.
    log: Vec<String>,
    /// What came out for the client, byte for byte.
    raw: Vec<u8>,
    /// Calls whose name starts with that are refused.
    refused: &'static str,
}

impl Run {
    fn new(veil: Veil, shape: Shape, options: Options) -> Self {
        Self { screen: Screen::new(veil, shape, options), shape, log: Vec::new(), raw: Vec::new(), refused: "bad" }
    }

    /// Masked, calls are no operations.
    fn masked(shape: Shape) -> Self {
        Self::new(closed(), shape, options(Firewall::Off))
    }

    /// Masked, calls are operations.
    fn guarded(shape: Shape) -> Self {
        Self::new(closed(), shape, options(Firewall::On))
    }

    /// Takes one event and whatever comes out at once; rules on calls.
    fn event(&mut self, data: &str) -> &mut Self {
        let kind = serde_json::from_str::<Value>(data).ok().and_then(|data| Some(data["type"].as_str()?.to_owned()));
        let name = kind.filter(|_| self.shape == Shape::Responses).map(Into::into);
        self.named(name, data)
    }

    fn named(&mut self, name: Option<Box<str>>, data: &str) -> &mut Self {
        if let Err(fault) = self.screen.event(Event { name, data: Bytes::copy_from_slice(data.as_bytes()) }) {
            self.log.push(format!("fault {}", fault.code()));
        }
        self.drain()
    }

    fn events<T: AsRef<str>>(&mut self, events: &[T]) -> &mut Self {
        for event in events {
            self.event(event.as_ref());
        }
        self
    }

    fn end(&mut self, how: End) -> &mut Self {
        self.screen.end(how);
        self.drain()
    }

    fn drain(&mut self) -> &mut Self {
        while let Some(next) = self.screen.next() {
            match next {
                Next::Bytes(bytes) => self.take(&bytes),
                Next::Ask(call) => {
                    assert!(self.screen.next().is_none(), "nothing comes behind a question");
                    let arguments = String::from_utf8_lossy(&call.arguments);
                    self.log.push(format!("ask {:?} {} {} {arguments}", call.kind, call.id, call.name));
                    let ruling = if call.name.starts_with(self.refused) {
                        CallRuling::Refuse { message: "not here".to_owned(), rule: "no-tools".to_owned() }
                    } else {
                        CallRuling::Allow
                    };
                    self.screen.ruled(ruling);
                }
                Next::Told(objects) => {
                    let told = objects.iter().map(|object| format!(" {}={}", object.class, object.id));
                    self.log.push(format!("told{}", told.collect::<String>()));
                }
                Next::Finished => self.log.push("end".to_owned()),
            }
        }
        self
    }

    fn take(&mut self, bytes: &Bytes) {
        self.raw.extend_from_slice(bytes);
        if self.screen.whole {
            self.log.push(String::from_utf8_lossy(bytes).into_owned());
            return;
        }
        let mut decoder = Decoder::new(Options::MAX_BYTES * 4);
        decoder.push(bytes);
        let event = decoder.next().unwrap().unwrap();
        assert_eq!(event.encode(), *bytes, "one event in the one way");
        assert_eq!((decoder.next(), decoder.finish()), (Ok(None), false));
        let data = String::from_utf8_lossy(&event.data);
        self.log.push(format!("{}|{data}", event.name.unwrap_or_default()));
    }

    fn fault_free(&self) -> bool {
        self.screen.fault().is_none()
    }

    /// The data of every event that is JSON.
    fn data(&self) -> Vec<Value> {
        self.log.iter().filter_map(|line| serde_json::from_str(line.split_once('|')?.1).ok()).collect()
    }

    /// Everything that came out, with escapes undone.
    fn unescaped(&self) -> String {
        let mut texts = String::from_utf8(self.raw.clone()).unwrap();
        for value in self.data() {
            push_texts(&value, &mut texts);
        }
        texts
    }
}

/// Appends every text in a value, also those of JSON in texts.
fn push_texts(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push('\n');
            out.push_str(text);
            if let Ok(inner) = serde_json::from_str::<Value>(text)
                && (inner.is_object() || inner.is_array())
            {
                push_texts(&inner, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| push_texts(item, out)),
        Value::Object(members) => members.values().for_each(|member| push_texts(member, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
