//! Request bodies (HJ): what a model is asked, and how it is written.

use sluice_tests::evasion::{Evasion, with_bytes};
use sluice_tests::openai::{Api, MODEL};

use crate::attempt::{Attempt, questions};
use crate::requests::line;

/// A small gzip stream of nothing.
const GZIP: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Fields that a broker has no opinion on, in a form that a careless parser changes.
const ODD: &str = r#"{ "model" : "gpt-small","messages":[ {"role":"user","content":"a\/b \u00e9 é \ud83d\ude00"} ],
 "temperature":1.0,"top_p":1e-1,"seed":9007199254740993,"max_completion_tokens": 16,"stop":["\n","\u0000"],
 "metadata":{"z":"1","a":"2"},"logit_bias":{"50256":-100},"presence_penalty":-0.0 }"#;

/// The attempts of a case.
pub(crate) fn attempts(case: &Evasion) -> Vec<Attempt> {
    match case.id.as_str() {
        "HJ-04" => vec![line(&case.snippet, "")],
        "HJ-05" => headers(case),
        "HJ-07" => models(case),
        "HJ-34" => coded(&["gzip, gzip", "gzip"]),
        "HJ-35" => {
            let names: Vec<&str> = case.snippet.split(": ").skip(1).flat_map(|list| list.split(" | ")).collect();
            coded(&names)
        }
        "HJ-42" => vec![Attempt { said: Some(ODD.to_owned()), ..Attempt::post("odd", Api::Chat, ODD) }],
        _ => case.values().iter().flat_map(|value| placed(case, value)).collect(),
    }
}

/// A value where it belongs: a body, a message, a part of one, or a text.
fn placed(case: &Evasion, value: &str) -> Vec<Attempt> {
    let has = |name: &str| value.starts_with(&format!("{{\"{name}\":"));
    let chat = |body: String| vec![Attempt::post(value, Api::Chat, with_bytes(&body))];
    if has("content") {
        return chat(format!(r#"{{"model":"{MODEL}","messages":[{}]}}"#, value.replacen('{', r#"{"role":"user","#, 1)));
    }
    if has("type") {
        return [chat(Api::Chat.question(&format!("[{value}]"))), image(value)].concat();
    }
    if value.starts_with('{') {
        let mut attempts = chat(completed(value, r#""messages":[{"role":"user","content":"Hello."}]"#, "messages"));
        attempts.extend(for_responses(value));
        return attempts;
    }
    // Nine digits are a number of many kinds; these are to be one of a person.
    let bare = value.trim_matches('"').bytes().all(|byte| byte.is_ascii_digit());
    let value = if bare { format!("\"my SSN is {}", value.trim_start_matches('"')) } else { value.to_owned() };
    questions(case, &value)
}

/// A body with the members that it lacks to be a question.
fn completed(body: &str, asked: &str, member: &str) -> String {
    let mut more = String::new();
    if !body.contains("\"model\"") && !body.contains("\"Model\"") {
        more.push_str(&format!("\"model\":\"{MODEL}\","));
    }
    if !body.contains(&format!("\"{member}\"")) {
        more.push_str(&format!("{asked},"));
    }
    body.replacen('{', &format!("{{{more}"), 1)
}

/// The same in the words of the other API, as far as it has them.
fn for_responses(body: &str) -> Option<Attempt> {
    let body = body
        .replace(r#""type":"function","function":{"name":"delete_user"}"#, r#""type":"function","name":"delete_user""#);
    let body = completed(&body.replace("\"messages\"", "\"input\""), r#""input":"Hello.""#, "input");
    Some(Attempt::post(format!("{body} in Responses"), Api::Responses, with_bytes(&body)))
}

/// A remote image in the words of the other API.
fn image(part: &str) -> Vec<Attempt> {
    let url = part.rsplit("\"url\":\"").next().and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let input = format!(r#"[{{"role":"user","content":[{{"type":"input_image","image_url":"{url}"}}]}}]"#);
    vec![Attempt::post(format!("{url} in Responses"), Api::Responses, Api::Responses.question(&input))]
}

fn models(case: &Evasion) -> Vec<Attempt> {
    let ask = |value: String| {
        let model = value.strip_prefix("{\"model\":").and_then(|rest| rest.strip_suffix('}')).unwrap_or(&value);
        Api::BOTH.map(|api| {
            let body = api.question("\"Hello.\"").replacen(&format!("\"{MODEL}\""), model, 1);
            Attempt::post(format!("{model} in {api:?}"), api, body)
        })
    };
    case.values().into_iter().flat_map(ask).collect()
}

/// Each name as a header; where only a beginning is given, with some end.
fn headers(case: &Evasion) -> Vec<Attempt> {
    let named = |part: &str| {
        let (name, value) = part.split_once(": ").unwrap_or((part, "gpt-huge"));
        let name = name.trim().replace('*', "Target-Url");
        let more = format!("{name}: {value}\r\n");
        Attempt { what: name, ..line("POST /v1/chat/completions", &more) }
    };
    case.variants(" / ").map(named).collect()
}

fn coded(names: &[&str]) -> Vec<Attempt> {
    let body = |name: &&str| {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: broker\r\nAuthorization: TOKEN\r\n\
             Content-Type: application/json\r\nContent-Encoding: {name}\r\nContent-Length: {}\r\n\r\n",
            GZIP.len()
        );
        Attempt::new(*name, [head.as_bytes(), GZIP].concat())
    };
    names.iter().map(body).collect()
}
