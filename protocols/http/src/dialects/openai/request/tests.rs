//! What a request becomes: an operation with its accesses, or a refusal.
#![expect(clippy::unwrap_used, reason = "tests")]

use http::HeaderValue;
use std::sync::LazyLock;

use http::header::CONTENT_TYPE;
use sluice_model::TargetName;

use super::*;
use crate::dial::Pools;
use crate::target::Target;

static OPEN: LazyLock<Arc<Served>> = LazyLock::new(|| served(""));
static OWNED: LazyLock<Arc<Served>> = LazyLock::new(|| served(r#","objects":"owned""#));
static LISTED: LazyLock<Arc<Served>> = LazyLock::new(|| served(r#","models":{"gpt-small":{}}"#));

/// A target with these settings.
fn served(settings: &str) -> Arc<Served> {
    let target = format!(r#"{{"url":"https://api.example.com","dialect":"openai"{settings}}}"#);
    let target: Target = serde_json::from_str(&target).unwrap();
    Served::new(&TargetName::new("api").unwrap(), &Arc::new(target), &Pools::default(), [7; 32]).unwrap().into()
}

/// Its accesses where it is asked about, and else why it is refused.
fn asked(served: &Arc<Served>, path: &str, media: &'static str, body: &str) -> Result<Vec<String>, String> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
    let prepared = prepare(&head, Bytes::from(body.to_owned()), served);
    let prepared = prepared.map_err(|words| words.code.to_string())?;
    let accesses = &prepared.operation.shape.meaning().accesses;
    Ok(accesses.iter().map(|access| access.action.name.to_owned()).collect())
}

const OPAQUE: &str = "llm.send_opaque";

fn is_opaque(asked: &Result<Vec<String>, String>) -> bool {
    asked.as_ref().is_ok_and(|accesses| accesses.iter().any(|action| action == OPAQUE))
}

fn json(served: &Arc<Served>, path: &str, body: &str) -> Result<Vec<String>, String> {
    asked(served, path, "application/json", body)
}

/// A form in which a bar stands for the end of a line.
fn form(served: &Arc<Served>, path: &str, parts: &[&str]) -> Result<Vec<String>, String> {
    let parts: String =
        parts.iter().map(|part| format!("--b0|Content-Disposition: form-data; {part}|")).collect::<Vec<_>>().concat();
    asked(served, path, "multipart/form-data; boundary=b0", &format!("{parts}--b0--|").replace('|', "\r\n"))
}

fn refused(code: &str) -> Result<Vec<String>, String> {
    Err(code.to_owned())
}

const BATCH: &str = r#"{"input_file_id":"file-1","endpoint":"/v1/responses","completion_window":"24h"}"#;

#[test]
fn a_batch_is_not_read_and_so_it_is_refused_or_opaque() {
    for (name, served) in [("owned", &*OWNED), ("listed", &*LISTED)] {
        assert_eq!(json(served, "/v1/batches", BATCH), refused("batch_not_allowed"), "{name}");
    }
    assert!(is_opaque(&json(&OPEN, "/batches", BATCH)));
}

#[test]
fn so_is_the_file_of_its_requests() {
    let file = r#"name="file"; filename="a.jsonl"|Content-Type: application/jsonl||{"custom_id":"1"}"#;
    let bare = r#"name="file"||{"custom_id":"1"}"#;
    for purpose in [
        r#"name="purpose"||batch"#,
        r#"name="purpose"||Batch"#,
        r#"name="purpose"||batch "#,
        r#"name="purpose"||"#,
        r#"name="purpose"||next"#,
        r#"name="purpose"; filename="a"||batch"#,
    ] {
        for file in [file, bare] {
            for (name, served) in [("owned", &*OWNED), ("listed", &*LISTED)] {
                let asked = form(served, "/files", &[purpose, file]);
                assert_eq!(asked, refused("batch_not_allowed"), "{name} {purpose} {file}");
            }
            assert!(is_opaque(&form(&OPEN, "/files", &[purpose, file])), "{purpose} {file}");
        }
    }
    let upload = |purpose: &str| {
        format!(r#"{{"bytes":1,"filename":"a.jsonl","mime_type":"application/jsonl","purpose":{purpose}}}"#)
    };
    for purpose in [r#""batch""#, r#""BATCH""#, "null", "1"] {
        assert_eq!(json(&OWNED, "/uploads", &upload(purpose)), refused("batch_not_allowed"), "{purpose}");
        assert!(is_opaque(&json(&OPEN, "/uploads", &upload(purpose))), "{purpose}");
    }
    for (name, served) in [("open", &*OPEN), ("owned", &*OWNED), ("listed", &*LISTED)] {
        let other = form(served, "/files", &[r#"name="purpose"||user_data"#, file]);
        assert!(other.is_ok(), "{name}: {other:?}");
        assert!(json(served, "/uploads", &upload(r#""assistants""#)).is_ok(), "{name}");
    }
}

#[test]
fn a_file_that_does_not_say_what_it_is_cannot_be_looked_into() {
    let of = |path, parts: &[&str]| is_opaque(&form(&OPEN, path, parts));
    let purpose = r#"name="purpose"||user_data"#;
    for file in [
        r#"name="file"||%PDF-1.7"#,
        r#"name="file"|Content-Type: text/plain||text"#,
        r#"name="file"|Content-Type: application/pdf||%PDF-1.7"#,
        r#"name="file"; filename="a.pdf"||%PDF-1.7"#,
        r#"name="file"; filename="a"||text"#,
    ] {
        assert!(of("/files", &[purpose, file]), "{file}");
    }
    let model = r#"name="model"||gpt-small"#;
    assert!(of("/images/edits", &[model, r#"name="image[]"||text"#]));
    assert!(of("/images/edits", &[model, r#"name="prompt"|Content-Type: application/pdf||%PDF-1.7"#]));
    assert!(!of("/images/edits", &[model, r#"name="prompt"|Content-Type: text/plain||A cat."#]));
}

#[test]
fn an_approval_is_for_what_the_server_is_told_in_headers_as_well() {
    let ask = |more: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        headers.extend(
            more.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
        let body = r#"{"model":"gpt-small","input":"x"}"#;
        let head = Request::new(Method::POST, "/responses".to_owned(), headers, Length::Known(body.len() as u64));
        prepare(&head, Bytes::from_static(body.as_bytes()), &OPEN).map_err(|words| words.code).unwrap().operation
    };
    let plain = ask(&[]);
    let digest = |operation: &Operation| operation.shape.digest().0;
    for header in [("openai-beta", "evil=v9"), ("accept", "text/event-stream")] {
        let other = ask(&[header]);
        assert_ne!(digest(&other), digest(&plain), "{header:?}");
        assert!(
            String::from_utf8_lossy(other.text.content()).contains(&format!("[{}: {}]", header.0, header.1)),
            "{header:?}"
        );
    }
    for header in [("user-agent", "x"), ("idempotency-key", "k"), ("accept", "*/*")] {
        assert_eq!(digest(&ask(&[header])), digest(&plain), "{header:?}");
    }
    let facts = |operation: &Operation| {
        let facts = operation.shape.meaning().facts.clone();
        facts.values.into_iter().find(|(name, _)| *name == "beta").map(|(_, fact)| fact)
    };
    let named = ask(&[("openai-beta", "a=v1, b=v2")]);
    assert_eq!(facts(&named), Some(Fact::Set(vec!["a=v1".into(), "b=v2".into()])));
    assert_eq!(facts(&plain), Some(Fact::Set(Vec::new())));
}

#[test]
fn what_no_route_leads_to_is_nobodys() {
    let classes = |path: &str, body: &str| {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let head = Request::new(Method::POST, path.to_owned(), headers, Length::Known(body.len() as u64));
        let prepared = prepare(&head, Bytes::from(body.to_owned()), &OWNED).map_err(|words| words.code).unwrap();
        let classes: Vec<&str> = prepared.expected.openai.unwrap().creates.iter().map(|made| made.class).collect();
        classes.join(" ")
    };
    let chat = |more: &str| classes("/chat/completions", &format!(r#"{{"model":"m","messages":[]{more}}}"#));
    assert_eq!(chat(r#","store":true"#), "completion");
    for more in ["", r#","store":false"#, r#","store":null"#] {
        assert_eq!(chat(more), "", "{more}");
    }
    let response = |more: &str| classes("/responses", &format!(r#"{{"model":"m","input":"x"{more}}}"#));
    for more in ["", r#","store":true"#, r#","store":null"#] {
        assert_eq!(response(more), "response container container", "{more}");
    }
    assert_eq!(response(r#","store":false"#), "container container");
    assert_eq!(classes("/conversations", "{}"), "conversation");
}
