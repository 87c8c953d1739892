//! Forms in parts.

use super::*;
use crate::dialects::openai::multipart::Form;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A form of fields, and of files whose names have a bar and a file name.
fn form(fields: Fields<'_>) -> Form {
    let mut body = String::new();
    for (name, value) in fields {
        let (name, rest) =
            name.split_once('|').map_or((*name, String::new()), |(name, file)| match file.split_once('|') {
                Some(("", media)) => (name, format!("\r\nContent-Type: {media}")),
                Some((file, media)) => (name, format!("; filename=\"{file}\"\r\nContent-Type: {media}")),
                None => (name, format!("; filename=\"{file}\"")),
            });
        body.push_str(&format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"{rest}\r\n\r\n{value}\r\n"));
    }
    body.push_str("--b0--\r\n");
    Form::read(body.into(), "b0").unwrap()
}

fn asked(path: &str, fields: Fields<'_>) -> Result<AskedForm, Unfit> {
    let world = World::new();
    read_form(world.route(path), &form(fields), &world.rules())
}

fn verdict(path: &str, fields: Fields<'_>) -> String {
    match asked(path, fields) {
        Ok(_) => "ok".to_owned(),
        Err(Unfit { flaw, param }) => {
            format!("{} {} {}", flaw.status, flaw.code, param.unwrap_or_default()).trim_end().to_owned()
        }
    }
}

const TRANSCRIBE: &str = "/audio/transcriptions";

#[test]
fn what_a_form_asks_for() {
    let fields = [("file|a.wav", "RIFF"), ("model", "fast"), ("stream", "true"), ("prompt", "model=gpt-huge")];
    let asked = asked(TRANSCRIBE, &fields).unwrap();
    assert_eq!((asked.model.as_deref(), asked.real_model.as_deref()), (Some("fast"), Some("gpt-small-2026")));
    assert_eq!((asked.stream, asked.inline), (Stream::Events, 1));
    let sent = form(&fields).replace(&asked.changes).unwrap();
    let sent = Form::read(sent, "b0").unwrap();
    assert_eq!(sent.text(sent.part("model").unwrap()), Some("gpt-small-2026"));
    assert_eq!(sent.text(sent.part("prompt").unwrap()), Some("model=gpt-huge"));
    assert_eq!(sent.content(sent.part("file").unwrap()), b"RIFF");
}

#[test]
fn forms_that_do_not_pass() {
    let rows: [(&str, Fields<'_>, &str); 22] = [
        (TRANSCRIBE, &[("file|a", "x"), ("model", "gpt-small")], "ok"),
        (TRANSCRIBE, &[("file|a", "x"), ("model", "gpt-huge")], "403 model_not_allowed model"),
        (TRANSCRIBE, &[("file|a", "x"), ("model", "gpt-small ")], "403 model_not_allowed model"),
        (TRANSCRIBE, &[("file|a", "x"), ("model", "gpt-small\r\n")], "403 model_not_allowed model"),
        (TRANSCRIBE, &[("file|a", "x"), ("model|m", "gpt-small")], "400 invalid_type model"),
        (TRANSCRIBE, &[("file|a", "x")], "400 missing_required_parameter model"),
        (TRANSCRIBE, &[("file|a", "x"), ("Model", "gpt-huge"), ("model", "gpt-small")], "400 unknown_parameter Model"),
        (TRANSCRIBE, &[("file|a", "x"), ("model[]", "gpt-huge"), ("model", "gpt-small")], "400 unknown_parameter"),
        (TRANSCRIBE, &[("file|a", "x"), ("model", "gpt-small"), ("stream", "TRUE")], "400 invalid_type stream"),
        (TRANSCRIBE, &[("file|a", "x"), ("model", "gpt-small"), ("stream|s", "true")], "400 invalid_type stream"),
        (
            TRANSCRIBE,
            &[("file|a", "x"), ("model", "gpt-small"), ("known_speaker_references[]", "http://169.254.169.254/")],
            "400 invalid_url known_speaker_references",
        ),
        (
            TRANSCRIBE,
            &[("file|a", "x"), ("model", "gpt-small"), ("known_speaker_references[]", "data:audio/wav;base64,AAAA")],
            "ok",
        ),
        (
            "/files",
            &[
                ("file|a.json|application/json", "{\"Model\":1}"),
                ("purpose", "batch"),
                ("expires_after[anchor]", "created_at"),
            ],
            "ok",
        ),
        ("/files", &[("file|a.json", "{}"), ("purpose", "batch"), ("model", "x")], "400 unknown_parameter model"),
        ("/videos", &[("model", "gpt-small"), ("prompt", "x"), ("input_reference[file_id]", "file-1")], "ok"),
        (
            "/videos",
            &[("model", "gpt-small"), ("prompt", "x"), ("input_reference[image_url]", "https://evil.com/")],
            "403 host_not_allowed image_url",
        ),
        (
            "/videos",
            &[("model", "gpt-small"), ("prompt", "x"), ("input_reference[Image_Url]", "https://evil.com/")],
            "400 unknown_parameter Image_Url",
        ),
        (
            "/realtime/calls",
            &[("sdp", "v=0"), ("session", "{\"type\":\"realtime\",\"model\":\"gpt-huge\"}")],
            "403 model_not_allowed model",
        ),
        ("/realtime/calls", &[("sdp", "v=0"), ("session", "[]")], "400 invalid_type session"),
        (
            "/realtime/calls",
            &[("sdp", "v=0"), ("session", "{\"model\":\"gpt-small\",\"model\":\"gpt-huge\"}")],
            "400 duplicate_key",
        ),
        ("/realtime/calls", &[("sdp", "v=0"), ("session[model]", "gpt-huge")], "403 model_not_allowed model"),
        (
            "/realtime/calls",
            &[("sdp", "v=0"), ("session[model]", "gpt-small"), ("session[tools][][name]", "delete_user")],
            "400 unknown_parameter tools",
        ),
    ];
    for (path, fields, expected) in rows {
        assert_eq!(verdict(path, fields), expected, "{path} {fields:?}");
    }
}

#[test]
fn a_session_within_a_form() {
    let session = r#"{"type":"realtime","model":"fast","tools":[{"type":"mcp","server_label":"a","server_url":"https://mcp.example.com","authorization":"s3cret"},{"type":"function","name":"delete_user"}]}"#;
    for name in ["session", "session|s.json", "session|s.json|application/json", "session||application/json"] {
        let fields = [("sdp", "v=0"), (name, session)];
        let asked = asked("/realtime/calls", &fields).unwrap();
        assert_eq!(asked.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["delete_user", "mcp"]);
        assert_eq!(asked.credentials, 1);
        let sent = form(&fields).replace(&asked.changes).unwrap();
        let sent = String::from_utf8(sent.to_vec()).unwrap();
        assert!(
            sent.contains("\"gpt-small-2026\"") && sent.contains("\"always\"") && !sent.contains("s3cret"),
            "{sent}"
        );
    }
}

/// A part that begins like an object or a list is one to some servers, whatever it says that it is.
#[test]
fn json_within_forms_is_read_by_the_name_of_its_part() {
    let foreign = r#"{"id":"video_1"}"#;
    let rows: [(&str, &str, &str, &str); 22] = [
        ("/videos/edits", "video", foreign, "video video_1"),
        ("/videos/extensions", "video", foreign, "video video_1"),
        ("/videos/edits", "video", " \r\n{\"id\":\"video_1\"}", "video video_1"),
        ("/videos/edits", "video[0]", foreign, "video video_1"),
        ("/videos/edits", "video[id]", foreign, "400 invalid_type id"),
        ("/videos/edits", "video", "{\"id\":\"video_1\",\"id\":\"video_2\"}", "400 duplicate_key"),
        ("/videos/edits", "video", "\u{feff}{\"id\":\"video_1\"}", "400 invalid_json"),
        ("/videos/edits", "video", "{id: video_1}", "400 invalid_json"),
        ("/videos", "input_reference", r#"{"file_id":"file-1"}"#, "file file-1"),
        ("/videos", "input_reference", r#"{"image_url":"https://evil.com/x"}"#, "403 host_not_allowed image_url"),
        ("/images/edits", "svg", r#"{"model":"gpt-huge"}"#, "403 model_not_allowed model"),
        ("/images/edits", "image[]", r#"{"file_id":"file-1"}"#, "file file-1"),
        ("/images/edits", "image[]", r#"[{"file_id":"file-1"}]"#, "file file-1"),
        ("/images/edits", "mask", r#"{"Image_Url":"https://evil.com/x"}"#, "400 unknown_parameter Image_Url"),
        ("/audio/voices", "consent", r#"{"id":"cons_1"}"#, "400 invalid_type id"),
        (
            TRANSCRIBE,
            "known_speaker_references[]",
            r#"["https://evil.com/"]"#,
            "400 invalid_type known_speaker_references",
        ),
        (TRANSCRIBE, "prompt", r#"{"id":"pmpt_1"}"#, "prompt pmpt_1"),
        ("/realtime/calls", "session[prompt]", r#"{"id":"pmpt_1"}"#, "prompt pmpt_1"),
        (
            "/realtime/calls",
            "session[audio]",
            r#"{"input":{"transcription":{"model":"gpt-huge"}}}"#,
            "403 model_not_allowed model",
        ),
        ("/realtime/calls", "session[tools]", "[]", "400 unknown_parameter tools"),
        ("/skills", "files[]", r#"{"file_id":"file-1"}"#, "file file-1"),
        ("/containers/x_1/files", "file", r#"{"file_id":"file-1"}"#, "file file-1"),
    ];
    for (path, name, text, expected) in rows {
        for kind in ["", "||application/json", "||text/plain", "|a.png", "|a.json|application/json"] {
            let is_file = !kind.starts_with("||") && !kind.is_empty();
            if is_file && matches!(name, "files[]" | "file" | "prompt") {
                continue;
            }
            let part = format!("{name}{kind}");
            let model = if path.starts_with("/realtime") { "session[model]" } else { "model" };
            let mut fields = vec![(part.as_str(), text)];
            if !["/videos/", "/skills", "/containers"].iter().any(|without| path.starts_with(without)) {
                fields.push((model, "gpt-small"));
            }
            let told = match asked(path, &fields) {
                Ok(asked) => asked.ids.iter().map(|id| format!("{} {}", id.class, id.id)).collect::<String>(),
                Err(_) => verdict(path, &fields),
            };
            assert_eq!(told, expected, "{path} {fields:?}");
        }
    }
}

/// Prose that begins like JSON is prose, and a file of JSON is a file.
#[test]
fn what_is_no_json_to_any_server_stays_what_it_is() {
    let prompts = [r#"{"Scene":"a cat","model":"noir"}"#, "[a cat]", "{a cat}", r#"{"a":1,"a":2}"#];
    for prompt in prompts {
        for path in ["/images/edits", TRANSCRIBE] {
            assert_eq!(verdict(path, &[("prompt", prompt), ("model", "gpt-small")]), "ok", "{path} {prompt}");
        }
    }
    for (path, name) in
        [("/files", "file|a.json|application/json"), ("/files", "file|a"), ("/skills", "files[]|a.json")]
    {
        let asked = asked(path, &[(name, r#"{"file_id":"file-1","Model":[}"#)]).unwrap();
        assert_eq!((asked.ids.len(), asked.inline), (0, 1), "{path} {name}");
    }
    let fields = [("model", "fast"), ("svg||application/json", r#"{"model":"fast"}"#)];
    let sent = form(&fields).replace(&asked("/images/edits", &fields).unwrap().changes).unwrap();
    assert!(String::from_utf8(sent.to_vec()).unwrap().contains(r#"{"model":"gpt-small-2026"}"#));
}

#[test]
fn ids_in_forms() {
    let fields = [("prompt", "x"), ("seconds", "4"), ("video[id]", "video_1")];
    let asked = asked("/videos/extensions", &fields).unwrap();
    assert_eq!(asked.ids.iter().map(|id| format!("{} {}", id.class, id.id)).collect::<Vec<_>>(), ["video video_1"]);
}

#[test]
fn estimates_of_forms() {
    let fields = [("image[]|a.png", "x"), ("model", "gpt-small"), ("prompt", "abc"), ("n", "2")];
    let estimate = asked("/images/edits", &fields).unwrap().estimate;
    assert_eq!((estimate.input_tokens, estimate.output_tokens), (50_000 + "gpt-smallabc2".len() as u64, 2000));
    assert_eq!(verdict("/images/edits", &[("model", "gpt-small"), ("n", "all")]), "400 invalid_value n");
}
