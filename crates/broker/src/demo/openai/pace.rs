//! Texts in pieces, and bodies whose pieces come one after another.

use std::io;
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::Value;

/// The body of an answer; an error hangs up.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Before a piece of text, so that a replay has a pace to keep.
const PAUSE: Duration = Duration::from_millis(6);
/// How many characters the pieces have, over and over; no address fits into one.
const LENGTHS: [usize; 7] = [3, 5, 2, 7, 4, 1, 6];

/// One step of a stream.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Bytes),
    /// After a pause.
    Trickle(Bytes),
    /// The connection breaks off.
    HangUp,
}

/// A whole body.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of steps.
pub(super) fn paced(steps: Vec<Step>) -> Body {
    let steps = stream::unfold(steps.into_iter(), |mut steps| async move {
        let frame = match steps.next()? {
            Step::Send(bytes) => Ok(Frame::data(bytes)),
            Step::Trickle(bytes) => {
                tokio::time::sleep(PAUSE).await;
                Ok(Frame::data(bytes))
            }
            Step::HangUp => {
                tokio::time::sleep(PAUSE).await;
                Err(io::Error::from(io::ErrorKind::ConnectionAborted))
            }
        };
        Some((frame, steps))
    });
    StreamBody::new(steps).boxed_unsync()
}

/// A text in pieces, which together are the text.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let mut chars = text.chars();
    let pieces = LENGTHS.iter().cycle().map(|length| chars.by_ref().take(*length).collect::<String>());
    pieces.take_while(|piece| !piece.is_empty()).collect()
}

/// `data: {…}` (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
pub(super) fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// `event: …` and `data: {…}`
pub(super) fn event(name: &str, value: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}
