//! Forms that are read, forms that are not, and contents that are replaced.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// A body with lines that end with CR LF where the text has a bar, and the boundary `b0`.
fn read(text: &str) -> Result<Form, Flaw> {
    Form::read(Bytes::from(text.replace('|', "\r\n")), "b0")
}

/// One part after its disposition.
fn with(lines: &str) -> Result<Form, Flaw> {
    read(&format!("--b0|Content-Disposition: form-data; name=\"a\"{lines}|--b0--|"))
}

#[test]
fn forms_that_are_read() {
    let form = read(
        "--b0|Content-Disposition: form-data; name=\"model\"||whisper-1|--b0|content-disposition: form-data; name=\"file\"; filename=\"a b.wav\"|Content-Type: audio/wav||RI\nFF-\r-|--b0|Content-Type: application/json|Content-Disposition: form-data;name=meta||{}|--b0--",
    )
    .unwrap();
    let [model, file, meta] = form.parts() else { unreachable!("three parts") };
    assert_eq!((model.name.as_str(), form.text(model)), ("model", Some("whisper-1")));
    assert_eq!((file.name.as_str(), file.file.as_deref(), form.text(file)), ("file", Some("a b.wav"), None));
    assert_eq!(form.content(file), b"RI\nFF-\r-");
    assert_eq!(file.media.as_ref().unwrap().essence, "audio/wav");
    assert_eq!(meta.media.as_ref().unwrap().essence, "application/json");
    assert_eq!(form.part("meta"), Some(meta));
    assert_eq!(form.part("nothing"), None);
    assert_eq!(format!("{form:?}"), format!("Form({} bytes, 3 parts)", form.body.len()));
    for empty in ["--b0--", "--b0--|"] {
        assert!(read(empty).unwrap().parts().is_empty(), "{empty}");
    }
    let empty = with("||").unwrap();
    assert_eq!(empty.text(empty.part("a").unwrap()), Some(""));
    for fine in [
        "|Content-Transfer-Encoding: binary||x",
        "|Content-Length: 1||x",
        "|Content-Type: text/plain; charset=utf-8||é",
        "; filename=\"\"||x",
        "; filename=\"Ünïcode %22.txt\"||x",
        "||- -b0",
        "||--b",
        "|Content-Type:text/plain||x",
        "||x\n--b\n",
    ] {
        assert!(with(fine).is_ok(), "{fine}");
    }
}

#[test]
fn forms_that_are_not_read() {
    let part = "Content-Disposition: form-data; name=\"a\"||x";
    let rows = [
        String::new(),
        "--b0".to_owned(),
        "x--b0--".to_owned(),
        "|--b0--|".to_owned(),
        format!("preamble|--b0|{part}|--b0--|"),
        format!("|--b0|{part}|--b0--|"),
        format!("--b0|{part}|--b0--|epilogue"),
        format!("--b0|{part}|--b0--||"),
        format!("--b0|{part}|--b0-- "),
        format!("--b0|{part}|--b0--\n"),
        format!("--b0|{part}|--b0|"),
        format!("--b0|{part}|"),
        format!("--b0|{part}"),
        format!("--b0 |{part}|--b0--|"),
        format!("--b0\n{part}|--b0--|"),
        format!("--b0\r{part}|--b0--|"),
        format!("--b0|{part}\n--b0--|"),
        format!("--b0|{part}\r--b0--|"),
        format!("--b0|{part}--b0--|"),
        format!("--b0|{part}|--b0x|y|--b0--|"),
        format!("--b0|{part} --b0 |--b0--|"),
        format!("--b0|{part}|--b0--|--b0|{part}|--b0--|"),
        "--b0|--b0--|".to_owned(),
        "--b0||--b0--|".to_owned(),
        "--b0|||x|--b0--|".to_owned(),
        "--b0|Content-Disposition: form-data; name=\"a\"|x|--b0--|".to_owned(),
        "--b0|Content-Disposition: form-data; name=\"a\"\n\nx|--b0--|".to_owned(),
        "--b1|Content-Disposition: form-data; name=\"a\"||x|--b1--|".to_owned(),
        "--B0|Content-Disposition: form-data; name=\"a\"||x|--B0--|".to_owned(),
    ];
    for text in rows {
        assert_eq!(read(&text).map(drop).map_err(|flaw| flaw.code), Err("invalid_multipart"), "{text:?}");
    }
}

#[test]
fn heads_that_are_not_read() {
    let rows = [
        "; name=\"b\"||x",
        "; filename=\"a\"; filename=\"b\"||x",
        "; filename*=UTF-8''b||x",
        "; filename=\"a\"; filename*=UTF-8''b||x",
        "; name*=UTF-8''b||x",
        "; size=3||x",
        ";||x",
        "; filename=\"a\\\"b\"||x",
        "; filename=\"a||x",
        "; filename=a b||x",
        "; filename=\"a\"b||x",
        "|Content-Disposition: form-data; name=\"b\"||x",
        "|Content-Type: multipart/mixed; boundary=b1||x",
        "|Content-Type: message/rfc822||x",
        "|Content-Type: text/plain|Content-Type: text/html||x",
        "|Content-Type: ||x",
        "|Content-Type: nonsense||x",
        "|X-Other: 1||x",
        "|Content-Transfer-Encoding: base64||eA==",
        "|Content-Transfer-Encoding: quoted-printable||x",
        "|Content-Transfer-Encoding: binary|Content-Transfer-Encoding: base64||x",
        "|Content-Encoding: gzip||x",
        "|Content-Length: 2||x",
        "|Content-Length: +1||x",
        "|Content-Length: 1|Content-Length: 1||x",
        "|Content-Length:||x",
        "| folded||x",
        "|Content-Type : text/plain||x",
        "|nonsense||x",
        "|Content-Type: text/\u{0}||x",
        "|Content-Type: a/b\rX: y||x",
        "|Content_Type: a/b||x",
    ];
    for row in rows {
        assert!(with(row).is_err(), "{row:?}");
    }
    assert_eq!(with("|Content-Type: text/plain; charset=utf-16||x").map(drop).map_err(|flaw| flaw.status), Err(415));
    for disposition in [
        "attachment; name=\"a\"",
        "form-data",
        "form-data; filename=\"a\"",
        "name=\"a\"",
        "form-data name=\"a\"",
        "form-data; name=\"\"",
        "form-data; name=\"_charset_\"",
        "form-data; name=\"a%22b\"",
        "form-data; name=\"a\tb\"",
    ] {
        assert!(read(&format!("--b0|Content-Disposition: {disposition}||x|--b0--|")).is_err(), "{disposition}");
    }
    assert!(with(&format!("; filename=\"{}\"||x", "a".repeat(256))).is_ok());
    assert!(with(&format!("; filename=\"{}\"||x", "a".repeat(257))).is_err());
    assert!(with(&format!("|Content-Type: a/b; c={}||x", "a".repeat(5000))).is_err());
}

#[test]
fn fields_that_are_there_twice() {
    let twice = |first: &str, second: &str| {
        let part = |name: &str| format!("--b0|Content-Disposition: form-data; name=\"{name}\"||x|");
        read(&format!("{}{}--b0--|", part(first), part(second)))
            .map(|form| form.parts().len())
            .map_err(|flaw| flaw.code)
    };
    assert_eq!(twice("model", "model"), Err("duplicate_field"));
    assert_eq!(twice("image[]", "image[]"), Ok(2));
    assert_eq!(twice("a[b]", "a[b]"), Err("duplicate_field"));
    assert_eq!(twice("model", "Model"), Ok(2));
}

#[test]
fn limits() {
    let part = |n: usize| format!("--b0|Content-Disposition: form-data; name=\"a{n}\"||x|");
    let parts = |count: usize| {
        read(&format!("{}--b0--|", (0..count).map(part).collect::<String>())).map(drop).map_err(|flaw| flaw.message)
    };
    assert_eq!(parts(MAX_PARTS), Ok(()));
    assert_eq!(parts(MAX_PARTS + 1), Err(TOO_MANY.message));
    for boundary in ["", &"a".repeat(71), "a b", "a\"b", "a\r\n", "é", "a;b"] {
        assert!(Form::read(Bytes::from(format!("--{boundary}--")), boundary).is_err(), "{boundary}");
    }
    let long = "a".repeat(70);
    assert!(Form::read(Bytes::from(format!("--{long}--")), &long).is_ok());
    let field = Bytes::from(
        [&b"--b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"[..], b"\xff\xfe", b"\r\n--b0--"].concat(),
    );
    assert_eq!(Form::read(field, "b0").map(drop).map_err(|flaw| flaw.code), Err("invalid_utf8"));
}

#[test]
fn contents_are_replaced() {
    let form = read("--b0|Content-Disposition: form-data; name=\"a\"|Content-Length: 3||one|--b0|Content-Disposition: form-data; name=\"b\"||two|--b0|Content-Disposition: form-data; name=\"c\"|content-length:  5||three|--b0--|").unwrap();
    assert_eq!(form.replace(&[]).unwrap(), form.body);
    let change = |part, content: &str| Change { part, content: content.as_bytes().to_vec() };
    let sent = form.replace(&[change(0, "a longer one"), change(2, "")]).unwrap();
    let expected = "--b0|Content-Disposition: form-data; name=\"a\"|Content-Length: 12||a longer one|--b0|Content-Disposition: form-data; name=\"b\"||two|--b0|Content-Disposition: form-data; name=\"c\"|content-length:  0|||--b0--|";
    assert_eq!(str::from_utf8(&sent).unwrap(), expected.replace('|', "\r\n"));
    let again = Form::read(sent, "b0").unwrap();
    assert_eq!(
        again.parts().iter().map(|part| again.text(part).unwrap()).collect::<Vec<_>>(),
        ["a longer one", "two", ""]
    );
    assert!(form.replace(&[change(1, "x\r\n--b0--")]).is_err());
    assert!(form.replace(&[change(3, "x")]).is_err());
    assert!(form.replace(&[change(1, "x"), change(0, "y")]).is_err());
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(prop_oneof![Just(b"--b0".to_vec()), Just(b"\r\n".to_vec()), Just(b"--".to_vec()), Just(b"Content-Disposition: form-data; name=\"a\"".to_vec()), prop::collection::vec(any::<u8>(), 0..4)], 0..12)) {
        let _form = Form::read(body.concat().into(), "b0");
    }

    #[test]
    fn what_is_written_is_read(fields in prop::collection::vec("[ -~é]{0,20}", 0..5), files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3)) {
        let boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
        let mut body = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"a{index}\"\r\n\r\n{field}\r\n").into_bytes());
        }
        for file in &files {
            body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"f[]\"; filename=\"x\"\r\nContent-Type: application/octet-stream\r\n\r\n").into_bytes());
            body.extend(file);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{boundary}--\r\n").into_bytes());
        let form = Form::read(body.into(), boundary).unwrap();
        let contents: Vec<&[u8]> = form.parts().iter().map(|part| form.content(part)).collect();
        let expected: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).chain(files.iter().map(Vec::as_slice)).collect();
        prop_assert_eq!(contents, expected);
        let change = Change { part: 0, content: b"changed".to_vec() };
        if !fields.is_empty() {
            let sent = Form::read(form.replace(&[change]).unwrap(), boundary).unwrap();
            prop_assert_eq!(sent.parts().len(), form.parts().len());
        }
    }

    #[test]
    fn the_search_finds_what_a_plain_one_finds(body in "[ab-]{0,40}", text in "[ab-]{1,4}", from in 0_usize..45) {
        let plain = body.as_bytes().get(from..).and_then(|rest| rest.windows(text.len()).position(|window| window == text.as_bytes())).map(|at| at + from);
        prop_assert_eq!(find(body.as_bytes(), text.as_bytes(), from), plain);
    }
}
