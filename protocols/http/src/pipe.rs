//! A body in the making: the link pushes, hyper takes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::frame::Length;
use crate::gathered::weight;

/// The end that is pushed into.
pub(crate) struct Inlet(Arc<Mutex<Pipe>>);

/// The end that hyper takes from.
pub(crate) struct Outlet {
    pipe: Arc<Mutex<Pipe>>,
    length: Length,
}

/// A body that ended before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was broken off")
    }
}

impl std::error::Error for BrokenOff {}

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[derive(Default)]
struct Pipe {
    queue: VecDeque<Bytes>,
    /// What the queue takes.
    bytes: usize,
    end: Option<End>,
    /// Hyper has let go of its end.
    gone: bool,
    taker: Option<Waker>,
    pusher: Option<Waker>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Whole,
    Broken,
}

/// A pipe for a body.
pub(crate) fn pipe(length: Length) -> (Inlet, Outlet) {
    let pipe = Arc::new(Mutex::new(Pipe::default()));
    (Inlet(Arc::clone(&pipe)), Outlet { pipe, length })
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inlet {
    pub(crate) fn push(&self, bytes: Bytes) {
        let mut pipe = lock(&self.0);
        if bytes.is_empty() || pipe.gone {
            return;
        }
        pipe.bytes = pipe.bytes.saturating_add(weight(&bytes));
        pipe.queue.push_back(bytes);
        pipe.wake_taker();
    }

    /// Ends the body as whole.
    pub(crate) fn end(&self) {
        self.close(End::Whole);
    }

    /// Ends the body as broken; one that has ended stays as it is.
    pub(crate) fn break_off(&self) {
        self.close(End::Broken);
    }

    fn close(&self, end: End) {
        let mut pipe = lock(&self.0);
        pipe.end.get_or_insert(end);
        pipe.wake_taker();
    }

    /// Forgets what hyper has not taken; the body will not be whole.
    pub(crate) fn discard(&self) {
        let mut pipe = lock(&self.0);
        pipe.queue.clear();
        pipe.bytes = 0;
        pipe.end = Some(End::Broken);
        pipe.wake_taker();
    }

    pub(crate) fn backlog(&self) -> usize {
        lock(&self.0).bytes
    }

    /// Ready once hyper has taken everything.
    pub(crate) fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = lock(&self.0);
        if pipe.gone || pipe.queue.is_empty() {
            return Poll::Ready(());
        }
        pipe.pusher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether hyper has let go of its end.
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.0).gone
    }

    /// Ready once hyper has let go of its end: the body was taken whole, or nobody wants it any more.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = lock(&self.0);
        if pipe.gone {
            return Poll::Ready(());
        }
        pipe.pusher = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.break_off();
    }
}

impl Pipe {
    fn wake_taker(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }

    fn wake_pusher(&mut self) {
        if let Some(pusher) = self.pusher.take() {
            pusher.wake();
        }
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let mut pipe = lock(&self.pipe);
        if let Some(bytes) = pipe.queue.pop_front() {
            pipe.bytes = pipe.bytes.saturating_sub(weight(&bytes));
            if pipe.queue.is_empty() {
                pipe.wake_pusher();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match pipe.end {
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Broken) => Poll::Ready(Some(Err(BrokenOff))),
            None => {
                pipe.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let pipe = lock(&self.pipe);
        self.length == Length::None || (pipe.queue.is_empty() && pipe.end == Some(End::Whole))
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Length::None => SizeHint::with_exact(0),
            Length::Known(bytes) => SizeHint::with_exact(bytes),
            Length::Unknown => SizeHint::default(),
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut pipe = lock(&self.pipe);
        pipe.gone = true;
        pipe.queue.clear();
        pipe.bytes = 0;
        pipe.wake_pusher();
    }
}
