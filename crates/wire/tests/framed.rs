//! The link over a byte stream: what it holds, when it is done, and what it may drop.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "toy/mod.rs"]
mod toy;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use sluice_wire::{Framed, Link, LinkError, Side};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use toy::{Codec, Line};

/// A stream whose peer a test plays.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    written: Vec<u8>,
    /// Bytes that can be written before it would block.
    room: usize,
    /// It holds back what was written, as TLS does.
    holds_back: bool,
    flushes: usize,
    unread: Vec<u8>,
    ended: bool,
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.unread.is_empty() && !state.ended {
            return Poll::Pending;
        }
        let unread = std::mem::take(&mut state.unread);
        into.put_slice(&unread);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        let now = bytes.len().min(state.room);
        if now == 0 {
            return Poll::Pending;
        }
        state.room -= now;
        state.written.extend(bytes.iter().take(now));
        Poll::Ready(Ok(now))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        state.flushes += 1;
        if state.holds_back { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Stand {
    pipe: Pipe,
    link: Framed<Pipe, Codec>,
}

impl Stand {
    fn new(room: usize) -> Self {
        let pipe = Pipe::default();
        pipe.0.lock().unwrap().room = room;
        Self { link: Framed::new(pipe.clone(), Codec, Side::Client, BytesMut::new()), pipe }
    }

    fn flush(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        self.link.poll_flush(cx).map(Result::unwrap).is_ready()
    }

    fn next(&mut self) -> Poll<Result<Option<Line>, LinkError>> {
        self.link.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.pipe.0.lock().unwrap())
    }

    fn written(&self) -> String {
        String::from_utf8(self.with(|state| state.written.clone())).unwrap()
    }
}

#[test]
fn nothing_is_written_before_it_is_flushed_and_a_batch_is_one_write() {
    let mut stand = Stand::new(usize::MAX);
    stand.link.feed(Line::of("one"));
    stand.link.feed(Line::of("two"));
    assert_eq!((stand.written().as_str(), stand.link.backlog()), ("", 8));
    assert!(stand.flush());
    assert_eq!((stand.written().as_str(), stand.link.backlog()), ("one\ntwo\n", 0));
    assert_eq!(stand.with(|state| state.flushes), 1);
    assert!(stand.flush());
    assert_eq!(stand.with(|state| state.flushes), 1, "there is nothing to flush");
}

#[test]
fn it_is_not_done_while_the_transport_holds_bytes_back() {
    let mut stand = Stand::new(usize::MAX);
    stand.with(|state| state.holds_back = true);
    stand.link.feed(Line::of("one"));
    assert!(!stand.flush());
    assert_eq!(stand.link.backlog(), 0);
    assert!(!stand.flush(), "it asks again although nothing is queued");
    stand.with(|state| state.holds_back = false);
    assert!(stand.flush());
}

#[test]
fn what_is_dropped_leaves_whole_frames_behind() {
    let mut stand = Stand::new(0);
    stand.link.feed(Line::of("one"));
    assert!(!stand.flush());
    stand.link.discard();
    assert_eq!(stand.link.backlog(), 0);
    stand.with(|state| state.room = 2);
    stand.link.feed(Line::of("two"));
    assert!(!stand.flush());
    stand.link.feed(Line::of("three"));
    stand.link.discard();
    assert_eq!(stand.link.backlog(), 2);
    stand.with(|state| state.room = usize::MAX);
    stand.link.feed(Line::of("four"));
    assert!(stand.flush());
    assert_eq!(stand.written(), "two\nfour\n");
}

#[test]
fn frames_come_out_whole_and_the_end_of_the_stream_once_all_are_read() {
    let mut stand = Stand::new(0);
    assert!(stand.next().is_pending());
    stand.with(|state| state.unread.extend(b"one\ntw"));
    assert!(matches!(stand.next(), Poll::Ready(Ok(Some(line))) if line == Line::of("one")));
    assert!(stand.next().is_pending());
    stand.with(|state| state.unread.extend(b"o\n"));
    stand.with(|state| state.ended = true);
    assert!(matches!(stand.next(), Poll::Ready(Ok(Some(line))) if line == Line::of("two")));
    assert!(matches!(stand.next(), Poll::Ready(Ok(None))));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let mut stand = Stand::new(0);
    stand.with(|state| state.unread.extend(b"on"));
    stand.with(|state| state.ended = true);
    assert!(matches!(stand.next(), Poll::Ready(Err(LinkError::Truncated))));
}
