//! Requests as bytes: paths, hosts, framing, upgrades (HP, HF, and the heads of HJ and HX).

use sluice_tests::evasion::{Evasion, with_bytes};
use sluice_tests::openai::Api;

use crate::attempt::{Attempt, Closes};

/// A path that the agent may use, for what would be refused anyway.
const AIMED: &str = "/v1/chat/completions";

/// `HP-*`: a request line, with or without headers.
pub(crate) fn heads(case: &Evasion) -> Vec<Attempt> {
    let (line, headers) = case.snippet.split_once("\r\n").unwrap_or((&case.snippet, ""));
    // A notation of a raw character, as control characters are bytes here.
    let line = line.replace("\\u00e9", "\u{e9}");
    let mut head = format!("{line}\r\nAuthorization: TOKEN\r\n");
    if !headers.contains("Host:") {
        head.push_str("Host: broker\r\n");
    }
    if !headers.is_empty() {
        head.push_str(headers);
        head.push_str("\r\n");
    }
    let body = if line.starts_with("POST ") { Api::Chat.question("\"Hello.\"") } else { String::new() };
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    vec![Attempt::new("as it stands", format!("{head}\r\n{body}"))]
}

/// `HF-*`: a whole request, header lines, or a piece of a body.
pub(crate) fn framing(case: &Evasion) -> Vec<Attempt> {
    let closing = |attempt: Attempt| Attempt { closes: Closes::Must, ..attempt };
    match case.id.as_str() {
        "HF-06" => case.variants(" | ").map(|coding| closing(coded(coding))).collect(),
        "HF-09" => vec![closing(with_headers(&case.snippet))],
        "HF-15" => vec![with_headers(&case.snippet)],
        "HF-11" | "HF-12" => vec![closing(chunked(&case.snippet))],
        "HF-14" => whole(&case.snippet).into_iter().map(|attempt| Attempt { answers: 2, ..attempt }).collect(),
        _ => whole(&case.snippet).into_iter().map(closing).collect(),
    }
}

/// A whole request, as the agent: as it stands, and aimed at what the agent may use.
fn whole(snippet: &str) -> Vec<Attempt> {
    let ending = if snippet.contains("\r\n") { "\r\n" } else { "\n" };
    let (line, rest) = snippet.split_once(ending).unwrap_or((snippet, ""));
    let as_agent = |line: &str| format!("{line}{ending}Authorization: TOKEN{ending}{rest}");
    let aimed = if line.starts_with("GET") {
        line.replacen(" / ", " /v1/models ", 1)
    } else {
        line.replacen(" / ", &format!(" {AIMED} "), 1)
    };
    let mut attempts = vec![Attempt::new("as it stands", as_agent(line)), Attempt::new("aimed", as_agent(&aimed))];
    if ending == "\n" {
        // Most lines end as they should.
        let mixed = as_agent(&aimed).replacen('\n', "\r\n", 1).replace("\n\n", "\n\r\n");
        attempts.push(Attempt::new("aimed, in part", mixed));
    }
    attempts
}

/// A sound question whose body comes in chunks, under another transfer coding.
fn coded(coding: &str) -> Attempt {
    let coding = coding.strip_prefix("Transfer-Encoding: ").unwrap_or(coding);
    let body = Api::Chat.question("\"Hello.\"");
    let head =
        format!("POST {AIMED} HTTP/1.1\r\nHost: b\r\nAuthorization: TOKEN\r\nContent-Type: application/json\r\n");
    let line = [b"Transfer-Encoding: ", with_bytes(coding).as_slice(), b"\r\n\r\n"].concat();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    Attempt::new(coding, [head.as_bytes(), &line, chunks.as_bytes()].concat())
}

/// A request that would pass, with these header lines.
fn with_headers(lines: &str) -> Attempt {
    let head = format!("GET /v1/models HTTP/1.1\r\nHost: b\r\nAuthorization: TOKEN\r\n{lines}\r\n\r\n");
    Attempt::new("on a sound request", head)
}

/// A question whose body comes in these chunks.
fn chunked(chunks: &str) -> Attempt {
    let head = format!(
        "POST {AIMED} HTTP/1.1\r\nHost: b\r\nAuthorization: TOKEN\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}"
    );
    Attempt::new("as a body", head)
}

/// A request line of another group, with a sound body where it is a POST.
pub(crate) fn line(line: &str, more: &str) -> Attempt {
    let body = if line.starts_with("POST ") { Api::Chat.question("\"Hello.\"") } else { String::new() };
    let mut head = format!("{line} HTTP/1.1\r\nHost: broker\r\nAuthorization: TOKEN\r\n{more}");
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    Attempt::new(line, format!("{head}\r\n{body}"))
}
