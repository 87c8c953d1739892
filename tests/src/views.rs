//! Everything that a reader could put together from what was sent: texts of JSON, deltas in a row, tokens, base64.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::canary::{Scan, contains};

/// Parts of the first canaries that nobody writes by chance.
const FRAGMENTS: [&str; 7] = ["zq7x", "k1@leak", "leak.exa", "900-55", "55-0001", "9005500", "0-55-0"];

/// The shortest text that is tried as base64.
const SHORTEST_BASE64: usize = 6;

/// What of one event or document tells its parts from those of others.
const PLACES: [&str; 7] =
    ["type", "output_index", "content_index", "summary_index", "annotation_index", "item_id", "partial_image_index"];

/// The views of some bytes.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// Each with what it is.
    all: Vec<(String, Vec<u8>)>,
    /// The texts of one field in the order they came, by the field.
    rows: BTreeMap<String, Vec<u8>>,
}

impl Views {
    /// The views of a body, or of a whole message with its head.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut views = Self::default();
        views.all.push(("the bytes".to_owned(), bytes.to_vec()));
        let body = body(bytes);
        match serde_json::from_slice(body) {
            Ok(document) => views.document(&document),
            Err(_) => datas(body).iter().for_each(|data| views.data(data)),
        }
        let rows = std::mem::take(&mut views.rows);
        for (field, row) in rows {
            views.encoded(&field, &row);
            views.all.push((format!("{field} in a row"), row));
        }
        views
    }

    /// The canaries in any view, and telling parts of them.
    #[must_use]
    pub fn leaks(&self) -> Vec<String> {
        let scan = Scan::default();
        let mut found = Vec::new();
        for (name, view) in &self.all {
            found.extend(scan.find(view).into_iter().map(|canary| format!("{canary} in {name}")));
            let lower = view.to_ascii_lowercase();
            let parts = FRAGMENTS.iter().filter(|part| contains(&lower, part.as_bytes()));
            found.extend(parts.map(|part| format!("`{part}` in {name}")));
        }
        found.sort();
        found.dedup();
        found
    }

    fn data(&mut self, data: &[u8]) {
        match serde_json::from_slice::<Value>(data) {
            Ok(document) => self.document(&document),
            Err(_) => self.all.push(("an event".to_owned(), data.to_vec())),
        }
    }

    fn document(&mut self, document: &Value) {
        let place = document.as_object().map(place).unwrap_or_default();
        self.walk(document, &place);
    }

    fn walk(&mut self, value: &Value, path: &str) {
        match value {
            Value::String(text) => self.text(text, path),
            Value::Array(items) => {
                let byte = |item: &Value| item.as_u64().and_then(|number| u8::try_from(number).ok());
                let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
                if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                    self.add(&format!("{path}[bytes]"), &bytes);
                }
                for item in items {
                    let index = item.get("index").and_then(Value::as_u64);
                    self.walk(item, &index.map_or_else(|| format!("{path}[]"), |index| format!("{path}[{index}]")));
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.all.push(("a name".to_owned(), name.as_bytes().to_vec()));
                    self.walk(member, &format!("{path}.{name}"));
                }
            }
            Value::Number(number) => self.all.push((path.to_owned(), number.to_string().into_bytes())),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn text(&mut self, text: &str, path: &str) {
        self.add(path, text.as_bytes());
        self.encoded(path, text.as_bytes());
        if let Ok(inner @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text) {
            self.walk(&inner, &format!("{path}~"));
        }
    }

    fn add(&mut self, path: &str, bytes: &[u8]) {
        self.all.push((path.to_owned(), bytes.to_vec()));
        self.rows.entry(path.to_owned()).or_default().extend_from_slice(bytes);
    }

    /// What a text is if it is base64.
    fn encoded(&mut self, path: &str, text: &[u8]) {
        let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if dense.len() < SHORTEST_BASE64 {
            return;
        }
        let config = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        for alphabet in [STANDARD, URL_SAFE] {
            if let Ok(plain) = GeneralPurpose::new(&alphabet, config).decode(&dense) {
                self.all.push((format!("{path} as base64"), plain));
            }
        }
    }
}

/// What stands behind the head of a message; all of it where there is no head.
fn body(bytes: &[u8]) -> &[u8] {
    let has_head = bytes.starts_with(b"HTTP/1.") || bytes.windows(11).take(9_000).any(|part| part == b" HTTP/1.1\r\n");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    end.filter(|_| has_head).and_then(|end| bytes.get(end + 4..)).unwrap_or(bytes)
}

/// Where the texts of a document belong.
fn place(members: &Map<String, Value>) -> String {
    PLACES.iter().filter_map(|name| Some(format!("{name}={} ", members.get(*name)?))).collect()
}

/// What the events of a stream hold (<https://html.spec.whatwg.org/multipage/server-sent-events.html>); lines that are no
/// part of a stream stand for themselves, as those of a JSON Lines document do.
#[must_use]
pub fn datas(stream: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let mut datas = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    for line in text.split('\n') {
        match line.strip_prefix("data:") {
            Some(rest) => data.push(rest.strip_prefix(' ').unwrap_or(rest)),
            None if line.is_empty() && !data.is_empty() => {
                datas.push(std::mem::take(&mut data).join("\n").into_bytes())
            }
            None => datas.push(line.as_bytes().to_vec()),
        }
    }
    datas.push(data.join("\n").into_bytes());
    datas.retain(|data| !data.is_empty());
    datas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spread_out_is_found() {
        let leaking = [
            r#"{"a":"zq7x.k1@leak.example.com"}"#,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"90\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0-5\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"5-0001\"}}]}\n\n",
            r#"{"logprobs":[{"bytes":[57,48,48]},{"bytes":[45,53,53,45]},{"bytes":[48,48,48,49]}]}"#,
            r#"{"a":"{\"b\":\"zq7x.k1\\u0040leak.example.com\"}"}"#,
            r#"{"a":"enE3eC5rMUBsZWFrLmV4YW1wbGUuY29t"}"#,
            "data: {\"type\":\"x.delta\",\"delta\":\"enE3eC5r\"}\r\rdata: {\"type\":\"x.delta\",\"delta\":\"MUBsZWFr\"}\r\r",
            r#"{"a":"900\u00ad55\u00ad0001"}"#,
        ];
        for body in leaking {
            assert!(!Views::of(body.as_bytes()).leaks().is_empty(), "{body}");
        }
        let clean = r#"{"a":"***","b":[{"index":1,"text":"write to *** before noon"}],"c":900,"d":"k1 leak"}"#;
        assert_eq!(Views::of(clean.as_bytes()).leaks(), Vec::<String>::new());
    }

    #[test]
    fn interleaved_texts_are_kept_apart() {
        let events = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"900-\"}}]}\n\n\
                      data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"well\"}}]}\n\n\
                      data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"55-0001\"}}]}\n\n";
        let leaks = Views::of(events.as_bytes()).leaks();
        assert!(leaks.iter().any(|leak| leak.starts_with("900-55-0001 (plain)")), "{leaks:?}");
    }
}
