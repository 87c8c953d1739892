//! The API that everything leads to: a hyper server in a process of its own that answers at once.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::stamp::{now_ns, stamp};

/// Chunks of a stream that carry text.
pub(super) const CHUNKS: usize = 50;
/// From one chunk to the next.
pub(super) const CHUNK_EVERY: Duration = Duration::from_millis(10);
/// An address that is protected; one chunk ends in the middle of it.
pub(super) const EMAIL: &str = "lena.maro@customers.example.com";
/// The chunk that ends there.
const EMAIL_CHUNK: usize = 24;
const EMAIL_CUT: usize = 8;

/// Where the text of a stream is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cutting {
    /// After punctuation: no detector waits for what follows.
    AfterWords,
    /// Before the space, as models do: whether a word is the beginning of a protected value is known with the next chunk.
    BeforeSpaces,
}

impl Cutting {
    /// The model that streams like this.
    pub(super) const fn model(self) -> &'static str {
        match self {
            Self::AfterWords => "bench-after-words",
            Self::BeforeSpaces => "bench-before-spaces",
        }
    }
}

/// Serves until it is killed; says its port first.
pub(crate) fn serve() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(accept())
}

async fn accept() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    let (completion, models) = (Bytes::from(completion().to_string()), Bytes::from(models().to_string()));
    loop {
        let (client, _) = listener.accept().await.context("a connection could not be accepted")?;
        client.set_nodelay(true)?;
        let (completion, models) = (completion.clone(), models.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, completion.clone(), models.clone()));
            // A connection that fails is seen by its client.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
        });
    }
}

/// What is looked at of a request.
#[derive(Deserialize)]
struct Asked {
    model: String,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

type Answer = Either<Full<Bytes>, Chunks>;

async fn answer(request: Request<Incoming>, completion: Bytes, models: Bytes) -> Result<Response<Answer>> {
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/v1/models") => whole(StatusCode::OK, models),
        (&Method::POST, "/v1/chat/completions") => {
            let body = body.collect().await?.to_bytes();
            match serde_json::from_slice::<Asked>(&body) {
                Ok(asked) if asked.stream => stream(&asked),
                Ok(_) => whole(StatusCode::OK, completion),
                Err(_) => whole(StatusCode::BAD_REQUEST, Bytes::from_static(b"{}")),
            }
        }
        _ => whole(StatusCode::NOT_FOUND, Bytes::from_static(b"{}")),
    }
}

fn whole(status: StatusCode, body: Bytes) -> Result<Response<Answer>> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Either::Left(Full::new(body)))?)
}

fn stream(asked: &Asked) -> Result<Response<Answer>> {
    let mut ticks = interval_at(Instant::now() + CHUNK_EVERY, CHUNK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let before_spaces = asked.model == Cutting::BeforeSpaces.model();
    let chunks = Chunks {
        ticks,
        next: 0,
        cutting: if before_spaces { Cutting::BeforeSpaces } else { Cutting::AfterWords },
        usage: asked.stream_options.as_ref().is_some_and(|options| options.include_usage),
    };
    let response = Response::builder().header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8");
    Ok(response.header(header::CACHE_CONTROL, "no-cache").body(Either::Right(chunks))?)
}

/// A streamed completion, each chunk made when it is due.
struct Chunks {
    ticks: Interval,
    next: usize,
    cutting: Cutting,
    usage: bool,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next == CHUNKS {
            return Poll::Ready(None);
        }
        // The first comes at once: a timer would round it to a millisecond.
        if self.next > 0 {
            ready!(self.ticks.poll_tick(context));
        }
        let events = self.events();
        self.next += 1;
        Poll::Ready(Some(Ok(Frame::data(events.into()))))
    }
}

impl Chunks {
    /// The events that are due: the role before the first text, and the end after the last.
    fn events(&self) -> String {
        let delta = |delta: &Value| {
            chunk(&json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]), &Value::Null)
        };
        let mut events = String::new();
        if self.next == 0 {
            events.push_str(&delta(&json!({ "role": "assistant", "content": "" })));
        }
        events.push_str(&delta(&json!({ "content": self.text() })));
        if self.next + 1 == CHUNKS {
            events.push_str(&chunk(&json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]), &Value::Null));
            if self.usage {
                events.push_str(&chunk(&json!([]), &usage()));
            }
            events.push_str("data: [DONE]\n\n");
        }
        events
    }

    fn text(&self) -> String {
        let word = stamp(now_ns());
        let (begun, rest) = EMAIL.split_at_checked(EMAIL_CUT).unwrap_or_default();
        let (before, after) = match self.cutting {
            Cutting::AfterWords => ("", ", "),
            Cutting::BeforeSpaces => (" ", ""),
        };
        if self.next == EMAIL_CHUNK {
            format!("{before}{word} {begun}")
        } else if self.next == EMAIL_CHUNK + 1 {
            format!("{rest} {word}{after}")
        } else {
            format!("{before}{word}{after}")
        }
    }
}

fn chunk(choices: &Value, usage: &Value) -> String {
    let body = json!({
        "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_764_000_000, "model": "bench",
        "service_tier": "default", "choices": choices, "usage": usage,
    });
    format!("data: {body}\n\n")
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 61, "completion_tokens": 120, "total_tokens": 181,
        "prompt_tokens_details": { "cached_tokens": 0 }, "completion_tokens_details": { "reasoning_tokens": 0 },
    })
}

/// About a kilobyte.
fn completion() -> Value {
    let content = format!(
        "The order was placed on Monday and left the warehouse on Tuesday morning. Two of the three parcels have been \
         delivered; the third was held at the depot because nobody was at home, and the carrier will try again \
         tomorrow between nine and eleven. The confirmation went to {EMAIL}. If the customer would rather collect it, \
         the depot keeps it for seven days, and any document with the name on the label will do. Nothing else is open \
         on this account: the refund of last month was paid out, and the loyalty points were added when the second \
         parcel arrived.",
    );
    json!({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_764_000_000, "model": "bench",
        "choices": [{
            "index": 0, "message": { "role": "assistant", "content": content, "refusal": null },
            "logprobs": null, "finish_reason": "stop",
        }],
        "usage": usage(), "service_tier": "default",
    })
}

fn models() -> Value {
    json!({ "object": "list", "data": [{ "id": "bench", "object": "model", "created": 1_764_000_000, "owned_by": "bench" }] })
}
