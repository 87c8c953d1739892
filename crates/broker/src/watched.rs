//! A client's connection of which others can see whether the client has hung up, whatever is still to be read of it.
//!
//! The end of what a client sends comes in behind all that it sent before, which waits on its machine while nobody reads.
//! So whoever looks takes out of the socket what there is, and keeps it for whoever reads next.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use sluice_wire::{HungUp, Share, Sight, Terms};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What may be kept of all clients that were looked behind, in bytes, shared fairly by address.
pub(crate) const ALL_AHEAD: u64 = 256 << 20;
/// The same of one client: more than its machine and this one keep of what it has sent and nobody has read.
const AHEAD: usize = 16 << 20;
/// Bytes of each client that need no room.
const FREE: usize = 64 << 10;
/// How long nothing may come for all of it to have come.
const QUIET: Duration = Duration::from_millis(900);
/// How much room is taken at once, and read.
const PIECE: usize = 64 << 10;

/// A connection whose socket is looked at from elsewhere, too.
#[derive(Debug)]
pub(crate) struct Watched {
    read: OwnedReadHalf,
    /// `None` once this side has ended. Whoever looks never keeps it.
    write: Option<Arc<OwnedWriteHalf>>,
    ahead: Arc<Mutex<Ahead>>,
}

/// What was taken out of the socket to look behind it. Whoever holds the lock is the only one that reads.
#[derive(Debug)]
struct Ahead {
    bytes: BytesMut,
    share: Share<IpAddr>,
    /// Whoever reads has come to the end.
    is_over: bool,
    /// Somebody has read since the last look.
    is_read: bool,
    /// When something came at last that nobody had read.
    came: Option<Instant>,
}

/// The connection, and the look at it.
pub(crate) fn watched(stream: TcpStream, share: Share<IpAddr>) -> (Watched, HungUp) {
    let (read, write) = stream.into_split();
    let write = Arc::new(write);
    let ahead =
        Arc::new(Mutex::new(Ahead { bytes: BytesMut::new(), share, is_over: false, is_read: false, came: None }));
    let seen = (Arc::downgrade(&write), Arc::downgrade(&ahead));
    (Watched { read, write: Some(write), ahead }, HungUp::new(move || look(&seen.0, &seen.1)))
}

fn look(half: &Weak<OwnedWriteHalf>, ahead: &Weak<Mutex<Ahead>>) -> Sight {
    let (Some(half), Some(ahead)) = (half.upgrade(), ahead.upgrade()) else { return Sight::There };
    if is_read_closed(&half) {
        return Sight::Gone;
    }
    let mut ahead = match ahead.try_lock() {
        Ok(ahead) => ahead,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // It is being read.
        Err(TryLockError::WouldBlock) => return Sight::There,
    };
    ahead.fill(half.as_ref().as_ref())
}

/// Whether the end of what the peer sends has come in, read or not: readiness tells both at once.
fn is_read_closed(half: &OwnedWriteHalf) -> bool {
    match pin!(half.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

impl Ahead {
    /// Takes what there is, unless whoever reads comes to the end by itself. Where that is anything, more may have room to
    /// come now.
    fn fill(&mut self, socket: &TcpStream) -> Sight {
        if self.is_over {
            return Sight::Gone;
        }
        if std::mem::take(&mut self.is_read) && self.bytes.is_empty() {
            self.came = None;
            return Sight::There;
        }
        let before = self.bytes.len();
        loop {
            if self.bytes.len() >= AHEAD || !self.has_room() {
                return Sight::Hidden;
            }
            self.bytes.reserve(PIECE);
            match socket.try_read_buf(&mut self.bytes) {
                Ok(0) => return Sight::Gone,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Sight::Gone,
            }
        }
        if self.bytes.len() > before {
            self.came = Some(Instant::now());
        }
        if self.came.is_some_and(|came| came.elapsed() < QUIET) { Sight::Hidden } else { Sight::There }
    }

    /// Whether another piece may be read. Its room is taken then.
    fn has_room(&mut self) -> bool {
        let next = self.bytes.len().saturating_add(PIECE);
        self.share.reach(next.saturating_sub(FREE) as u64, Terms::STANDARD).is_ok()
    }

    /// Gives what was taken to whoever reads.
    fn read(&mut self, into: &mut ReadBuf<'_>) {
        let (now, _) = self.bytes.split_at(self.bytes.len().min(into.remaining()));
        into.put_slice(now);
        let length = now.len();
        self.bytes.advance(length);
        self.share.shrink(self.bytes.len() as u64);
        if self.bytes.is_empty() {
            // The room of what was looked behind once is not kept.
            self.bytes = BytesMut::new();
        }
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
        let this = &mut *self;
        let mut ahead = lock(&this.ahead);
        if ahead.bytes.is_empty() {
            let (before, room) = (into.filled().len(), into.remaining());
            let read = Pin::new(&mut this.read).poll_read(cx, into);
            ahead.is_over |= room > 0 && read.is_ready() && into.filled().len() == before;
            ahead.is_read |= into.filled().len() > before;
            return read;
        }
        ahead.is_read = true;
        ahead.read(into);
        Poll::Ready(Ok(()))
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

fn lock(ahead: &Mutex<Ahead>) -> MutexGuard<'_, Ahead> {
    ahead.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use sluice_wire::Room;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Watched, HungUp) {
        pair_in(&Arc::new(Room::new(ALL_AHEAD))).await
    }

    async fn pair_in(room: &Arc<Room<IpAddr>>) -> (TcpStream, Watched, HungUp) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, hung_up) = watched(listener.accept().await.unwrap().0, room.share(Ipv4Addr::LOCALHOST.into()));
        (client, stream, hung_up)
    }

    async fn until_hung_up(hung_up: &HungUp) {
        let seen = async {
            while hung_up.look() != Sight::Gone {
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
            assert_ne!(hung_up.look(), Sight::Gone);
            if whole {
                drop(client);
            } else {
                client.shutdown().await.unwrap();
            }
            until_hung_up(&hung_up).await;
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "ello");
            assert_eq!(hung_up.look(), Sight::Gone);
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_behind_more_than_a_socket_holds_is_seen_all_the_same() {
        let room = Arc::new(Room::new(ALL_AHEAD));
        let (mut client, mut stream, hung_up) = pair_in(&room).await;
        // As much as the machine takes of a client whose peer does not read.
        let mut sent = 0;
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), client.write(&[7; 65_536])).await {
            sent += written.unwrap();
        }
        assert!(sent > 2 * FREE, "{sent}");
        drop(client);
        until_hung_up(&hung_up).await;
        assert!(room.taken_bytes() > 0);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest == vec![7; sent], "{} of {sent}", rest.len());
        assert_eq!(room.taken_bytes(), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_looked_behind_is_said_to_be_hidden() {
        for limit in [0, ALL_AHEAD] {
            let (mut client, mut stream, hung_up) = pair_in(&Arc::new(Room::new(limit))).await;
            let sending = tokio::spawn(async move {
                client.write_all(&vec![7; 2 * AHEAD]).await.unwrap();
                client
            });
            let seen = async {
                while hung_up.look() != Sight::Hidden || lock(&stream.ahead).bytes.len() < FREE / 2 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
            let mut rest = vec![0; 2 * AHEAD];
            stream.read_exact(&mut rest).await.unwrap();
            assert!(rest == vec![7; 2 * AHEAD]);
            // There is nothing any more that it could be behind, for whoever reads.
            let client = sending.await.unwrap();
            assert_eq!(hung_up.look(), Sight::There);
            drop(client);
            until_hung_up(&hung_up).await;
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
        assert!(read == vec![7; 4 << 20] && hung_up.look() == Sight::There);
        drop(sending.await.unwrap());
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
