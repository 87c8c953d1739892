//! The guard below hyper: HTTP/1.1 heads and body framing, held to the letter before hyper reads a byte of them.
//!
//! Hyper, as every parser of the open web, is lenient; what two parsers read differently is how requests are smuggled
//! (RFC 9112 §11.2). A head is released to hyper when all of it was checked. In the place of one that is refused hyper
//! gets a placeholder, so that the refusal is answered in turn, and nothing after it is ever read.

mod body;
mod head;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::door::Door;
use body::Chunks;
use head::Framing;

pub(crate) use head::MAX_HEAD_BYTES;

/// Bytes read from the transport at a time.
const READ_BYTES: usize = 16 * 1024;
/// Asks for nothing and ends the connection.
const PLACEHOLDER: &[u8] = b"GET / HTTP/1.1\r\nhost: placeholder\r\nconnection: close\r\n\r\n";

/// A byte stream whose requests are checked.
pub(crate) struct Strict<S> {
    stream: S,
    door: Arc<Door>,
    /// Read and not yet checked.
    raw: BytesMut,
    /// Checked and not yet taken by hyper.
    cleared: Bytes,
    at: At,
    /// An interim response that is being written.
    interim: Bytes,
}

/// Where in a request the next unchecked byte stands.
enum At {
    /// In a head, of which this many bytes were looked at.
    Head {
        seen: usize,
    },
    /// In a body of which this many bytes are left.
    Body {
        left: u64,
    },
    Chunked(Chunks),
    /// After a head that was refused: nothing is read any more.
    Refused,
    /// After a body that was refused.
    Broken(&'static str),
    /// The client sends no more.
    Ended,
}

impl<S> Strict<S> {
    /// Guards a stream; `read` holds bytes that were already read from it.
    pub(crate) fn new(stream: S, door: Arc<Door>, read: BytesMut) -> Self {
        Self { stream, door, raw: read, cleared: Bytes::new(), at: At::Head { seen: 0 }, interim: Bytes::new() }
    }

    /// Buffers are held only while there are bytes in them: most connections wait for their next request.
    fn let_go(&mut self) {
        if self.cleared.is_empty() {
            self.cleared = Bytes::new();
            if self.raw.is_empty() {
                self.raw = BytesMut::new();
            }
        }
    }

    /// Checks what was read, and clears what hyper may have of it.
    fn check(&mut self) {
        if self.raw.is_empty() || !self.cleared.is_empty() {
            return;
        }
        match &mut self.at {
            At::Head { seen } => match head::check(&self.raw, seen) {
                Ok(None) => {}
                Ok(Some((bytes, framing))) => {
                    self.cleared = self.raw.split_to(bytes).freeze();
                    self.at = match framing {
                        Framing::None => At::Head { seen: 0 },
                        Framing::Length(left) => At::Body { left },
                        Framing::Chunked => At::Chunked(Chunks::default()),
                    };
                    self.door.release();
                }
                Err(flaw) => {
                    self.cleared = Bytes::from_static(PLACEHOLDER);
                    self.at = At::Refused;
                    self.door.release_placeholder(flaw);
                }
            },
            At::Body { left } => {
                let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(self.raw.len());
                *left = left.saturating_sub(bytes as u64);
                let over = *left == 0;
                self.cleared = self.raw.split_to(bytes).freeze();
                if over {
                    self.at = At::Head { seen: 0 };
                }
            }
            At::Chunked(chunks) => match chunks.check(&self.raw) {
                Ok(bytes) => {
                    let over = chunks.is_over();
                    self.cleared = self.raw.split_to(bytes).freeze();
                    if over {
                        self.at = At::Head { seen: 0 };
                    }
                }
                Err(what) => self.at = At::Broken(what),
            },
            At::Refused | At::Broken(_) | At::Ended => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.check();
            if !this.cleared.is_empty() {
                let bytes = this.cleared.len().min(into.remaining());
                into.put_slice(&this.cleared.split_to(bytes));
                this.let_go();
                return Poll::Ready(Ok(()));
            }
            match this.at {
                // The answer ends the connection; the end of the stream would end it before the answer.
                At::Refused => return Poll::Pending,
                At::Broken(what) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what))),
                At::Ended => return Poll::Ready(Ok(())),
                At::Head { .. } | At::Body { .. } | At::Chunked(_) => {}
            }
            let mut chunk = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                this.at = At::Ended;
            }
            this.raw.extend_from_slice(buffer.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> Strict<S> {
    /// Writes an interim response out, if one waits.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            self.interim = self.door.take_interim().unwrap_or_default();
        }
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.door.set_clean(false);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.door.set_clean(false);
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Hyper flushes when all it had to say is written: here an interim response stands between two responses.
        self.door.set_clean(true);
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
