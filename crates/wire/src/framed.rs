//! A [`Link`] over a byte stream and a [`Codec`].

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Codec, Frame as _, Gone, HungUp, Link, LinkError, Side};

/// Bytes asked of the transport at a time.
const READ_BYTES: usize = 32 * 1024;
/// Frames up to this size are copied together, so that a batch is one write.
const COALESCE_BYTES: usize = 8 * 1024;

/// Frames over a byte stream.
#[derive(Debug)]
pub struct Framed<S, C> {
    stream: S,
    codec: C,
    side: Side,
    inbound: BytesMut,
    ended: bool,
    outbound: VecDeque<Bytes>,
    tail: BytesMut,
    backlog: usize,
    /// The first of `outbound` is partly written.
    begun: bool,
    /// The transport may hold bytes back that were written to it (TLS does).
    unflushed: bool,
    hung_up: HungUp,
}

impl<S, C> Framed<S, C> {
    /// Wraps the stream to the peer on `side`; `inbound` holds bytes already read from it.
    pub fn new(stream: S, codec: C, side: Side, inbound: BytesMut) -> Self {
        Self {
            stream,
            codec,
            side,
            inbound,
            ended: false,
            outbound: VecDeque::new(),
            tail: BytesMut::new(),
            backlog: 0,
            begun: false,
            unflushed: false,
            hung_up: HungUp::default(),
        }
    }

    /// Looks there whether the peer sends nothing more.
    #[must_use]
    pub fn watched(mut self, hung_up: HungUp) -> Self {
        self.hung_up = hung_up;
        self
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.outbound.push_back(self.tail.split().freeze());
        }
    }
}

impl<S: AsyncRead + Unpin, C> Framed<S, C> {
    /// Reads once; `Ok(0)` at the end of the stream. The buffer is only held while there are bytes in it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut into = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
        self.inbound.extend_from_slice(into.filled());
        Poll::Ready(Ok(into.filled().len()))
    }
}

impl<S, C> Link for Framed<S, C>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    C: Codec + Unpin,
{
    type Frame = C::Frame;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Frame>, LinkError>> {
        loop {
            if let Some(frame) = self.codec.decode(self.side, &mut self.inbound)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if self.ended {
                let whole = self.inbound.is_empty();
                return Poll::Ready(if whole { Ok(None) } else { Err(LinkError::Truncated) });
            }
            self.ended = ready!(self.poll_read(cx))? == 0;
        }
    }

    fn gone(&self) -> Option<Gone> {
        self.hung_up.gone(Gone::Silent)
    }

    fn feed(&mut self, frame: Self::Frame) {
        self.backlog = self.backlog.saturating_add(frame.wire().len());
        let bytes = self.codec.encode(frame);
        if bytes.len() <= COALESCE_BYTES {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.seal_tail();
            self.outbound.push_back(bytes);
        }
    }

    fn discard(&mut self) {
        self.tail.clear();
        self.outbound.truncate(usize::from(self.begun));
        self.backlog = self.outbound.front().map_or(0, Bytes::len);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.seal_tail();
        while let Some(front) = self.outbound.front_mut() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            front.advance(written);
            self.backlog = self.backlog.saturating_sub(written);
            self.begun = !front.is_empty();
            self.unflushed = true;
            if !self.begun {
                self.outbound.pop_front();
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn backlog(&self) -> usize {
        self.backlog
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx).map_err(LinkError::from)
    }
}
