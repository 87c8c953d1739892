//! A client's connection of which others can see whether the client has hung up, whatever is still to be read of it.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use sluice_wire::HungUp;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection whose socket is looked at from elsewhere, too.
#[derive(Debug)]
pub(crate) struct Watched {
    read: OwnedReadHalf,
    /// `None` once this side has ended. Whoever looks never keeps it.
    write: Option<Arc<OwnedWriteHalf>>,
}

/// The connection, and the look at it.
pub(crate) fn watched(stream: TcpStream) -> (Watched, HungUp) {
    let (read, write) = stream.into_split();
    let write = Arc::new(write);
    let seen = Arc::downgrade(&write);
    let hung_up = HungUp::new(move || seen.upgrade().is_some_and(|half| is_read_closed(&half)));
    (Watched { read, write: Some(write) }, hung_up)
}

/// Whether the end of what the peer sends has come in, read or not: readiness tells both at once.
fn is_read_closed(half: &OwnedWriteHalf) -> bool {
    match pin!(half.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

impl Watched {
    /// Writes as soon as the socket has room.
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Some(half) = &self.write else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let socket: &TcpStream = half.as_ref().as_ref();
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match write(half) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |half| half.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |half| half.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Half a socket that is dropped shuts its side down.
        self.write = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Watched, HungUp) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, hung_up) = watched(listener.accept().await.unwrap().0);
        (client, stream, hung_up)
    }

    async fn until_hung_up(hung_up: &HungUp) {
        let seen = async {
            while !hung_up.look() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_is_seen_before_what_it_sent_is_read() {
        for whole in [false, true] {
            let (mut client, mut stream, hung_up) = pair().await;
            client.write_all(b"hello").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'h');
            assert!(!hung_up.look());
            if whole {
                drop(client);
            } else {
                client.shutdown().await.unwrap();
            }
            until_hung_up(&hung_up).await;
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "ello");
            assert!(hung_up.look());
        }
    }

    #[tokio::test]
    async fn what_is_written_arrives_up_to_the_end() {
        let (mut client, mut stream, hung_up) = pair().await;
        let sent = vec![7; 4 << 20];
        let sending = tokio::spawn(async move {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
            assert!(stream.write_all(b"more").await.is_err());
            stream
        });
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert!(read == vec![7; 4 << 20] && !hung_up.look());
        drop(sending.await.unwrap());
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
