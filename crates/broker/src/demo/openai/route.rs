//! From a request to its answer.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, SET_COOKIE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::ask::{Ask, Form};
use super::brain::{Ending, Thought, think};
use super::chat::Completion;
use super::desk::{Desk, Request};
use super::fault::Fault;
use super::lists;
use super::pace::{Body, Step, paced, whole};
use super::responses::Reply;

/// The longest body that is read.
const BODY_BYTES: usize = 16 << 20;

/// What is answered.
enum Answer {
    Document(Value),
    Stream(Vec<Step>),
    Nothing,
}

/// Answers one request.
pub(super) async fn answer(desk: Arc<Desk>, request: hyper::Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES).collect().await.map(|body| body.to_bytes());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        body: body.as_deref().map(text).unwrap_or_default(),
        authorization: head.headers.get(AUTHORIZATION).map(|value| text(value.as_bytes())),
    };
    let is_whole = body.is_ok();
    let answered = if !desk.admit(request.clone()) {
        Err(Fault::stranger())
    } else if is_whole {
        route(&desk, &request)
    } else {
        Err(Fault::too_large())
    };
    Ok(response(&desk, answered))
}

fn route(desk: &Desk, request: &Request) -> Result<Answer, Fault> {
    let path = request.path.split('?').next().unwrap_or_default();
    let body = || serde_json::from_str::<Value>(&request.body).map_err(|_| Fault::wrong("The body is not JSON."));
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("POST", ["v1", "chat", "completions"]) => chat(desk, &body()?),
        ("POST", ["v1", "responses"]) => respond(desk, &body()?),
        ("POST", ["v1", "embeddings"]) => lists::embeddings(&body()?).map(Answer::Document),
        ("POST", ["v1", "traces", "ingest"]) => Ok(Answer::Nothing),
        ("GET", ["v1", "models"]) => Ok(Answer::Document(lists::models())),
        ("GET", ["v1", "models", name]) => lists::named(name).map(Answer::Document),
        ("GET", ["v1", "responses", id]) => {
            desk.kept(id).map(Answer::Document).ok_or_else(|| Fault::unknown("That response"))
        }
        ("DELETE", ["v1", "responses", id]) if desk.forget(id) => {
            Ok(Answer::Document(json!({ "id": id, "object": "response", "deleted": true })))
        }
        _ => Err(Fault::unknown("That address")),
    }
}

fn chat(desk: &Desk, body: &Value) -> Result<Answer, Fault> {
    let ask = Ask::of_chat(body)?;
    let completion = Completion::new(&ask, desk);
    let is_whole = ask.form == Form::Whole;
    Ok(match think(&ask) {
        Thought::Fail(status) => return Err(Fault::staged(status)),
        Thought::Call(calls) if is_whole => Answer::Document(completion.called(&calls, desk)),
        Thought::Call(calls) => Answer::Stream(completion.call(&calls, desk)),
        Thought::Say { ending, .. } if ending != Ending::Finish && is_whole => return Err(Fault::staged(500)),
        Thought::Say { text, .. } if is_whole => Answer::Document(completion.said(&text)),
        Thought::Say { text, ending } => Answer::Stream(completion.say(&text, ending)),
    })
}

fn respond(desk: &Desk, body: &Value) -> Result<Answer, Fault> {
    let ask = Ask::of_responses(body)?;
    let is_whole = ask.form == Form::Whole;
    let mut reply = Reply::new(&ask, body, desk);
    reply.begin();
    match think(&ask) {
        Thought::Fail(status) => return Err(Fault::staged(status)),
        Thought::Call(calls) => calls.iter().for_each(|call| reply.call(call, desk)),
        Thought::Say { ending, .. } if ending != Ending::Finish && is_whole => return Err(Fault::staged(500)),
        Thought::Say { text, ending } => {
            reply.say(&text, ending, desk);
            if ending != Ending::Finish {
                return Ok(Answer::Stream(reply.into_steps()));
            }
        }
    }
    let response = reply.finish();
    if reply.is_kept() {
        desk.keep(reply.id(), response.clone());
    }
    Ok(if is_whole { Answer::Document(response) } else { Answer::Stream(reply.into_steps()) })
}

fn response(desk: &Desk, answered: Result<Answer, Fault>) -> Response<Body> {
    let (status, media, body) = match answered {
        Ok(Answer::Document(document)) => (StatusCode::OK, "application/json", whole(document.to_string())),
        Ok(Answer::Stream(steps)) => (StatusCode::OK, "text/event-stream; charset=utf-8", paced(steps)),
        Ok(Answer::Nothing) => (StatusCode::NO_CONTENT, "application/json", whole("")),
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, "application/json", whole(json!({ "error": fault.object() }).to_string()))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    // As the real API does: an id of its own, and a cookie that is nobody's business behind a broker.
    headers.insert(SET_COOKIE, HeaderValue::from_static("demo_cookie=1; path=/; HttpOnly"));
    headers.insert("openai-processing-ms", HeaderValue::from_static("1"));
    if let Ok(id) = HeaderValue::from_str(&desk.id("req")) {
        headers.insert("x-request-id", id);
    }
    response
}
