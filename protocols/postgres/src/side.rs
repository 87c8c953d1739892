//! The side connection on which a catalog is read: dialled and signed in like every other, then driven by
//! `tokio-postgres`.
//!
//! `tokio-postgres` would show a password to any server that asks for it; so the sign-in is ours, and it is handed a
//! stream that has one behind it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use sluice_wire::{Credential, Stream};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls};

use crate::dial::{DialError, Dialer, Login};
use crate::target::Target;

/// `AuthenticationOk` and `ReadyForQuery`: what is left of a sign-in that is done.
const SIGNED_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// Settings of the side connection; its search path is empty.
const SETTINGS: [(&str, &str); 3] =
    [("application_name", "sluice catalog"), ("statement_timeout", "30s"), ("lock_timeout", "2s")];

/// Why a side connection does not answer.
#[derive(Debug, Error)]
pub(crate) enum SideError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the connection that reads the catalog failed")]
    Failed,
}

/// A side connection. Nothing drives it between two questions, so it needs no task.
pub(crate) struct Side {
    client: Client,
    connection: Connection<SignedIn, NoTlsStream>,
}

impl Side {
    /// Opens a side connection to a database.
    pub(crate) async fn open(
        dialer: &Dialer,
        target: &Target,
        database: &str,
        credential: &Credential,
    ) -> Result<Self, SideError> {
        let settings = SETTINGS.map(|(name, value)| (name, value.to_owned()));
        let dangerous_passwords = &target.dangerous_passwords;
        let login = Login { credential, database, settings: &settings, search_path: &[], dangerous_passwords };
        let server = dialer.dial(target, login).await?;
        let mut unread = BytesMut::from(SIGNED_IN);
        unread.extend_from_slice(&server.leftover);
        let stream = SignedIn { inner: server.stream, unread: unread.freeze(), startup: Startup::Length(0, 0) };
        let mut config = Config::new();
        config.user(&credential.user).dbname(database).ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|_| SideError::Failed)?;
        Ok(Self { client, connection })
    }

    /// Asks, driving the connection meanwhile. After an error, or when it is dropped before its end, the connection
    /// must not be used again.
    pub(crate) async fn ask<'a, T, E, F>(
        &'a mut self,
        question: impl FnOnce(&'a Client) -> F,
    ) -> Result<Result<T, E>, SideError>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Self { client, connection } = self;
        tokio::select! {
            biased;
            _ended = connection => Err(SideError::Failed),
            answer = question(client) => Ok(answer),
        }
    }
}

/// A stream whose startup packet is swallowed and answered here.
struct SignedIn {
    inner: Box<dyn Stream>,
    unread: Bytes,
    startup: Startup,
}

/// How much of the startup packet has been swallowed.
enum Startup {
    /// Bytes of the length read, and the length so far.
    Length(u8, u32),
    /// Bytes left.
    Body(usize),
}

impl Startup {
    /// Takes one byte; `false` once the packet is over.
    fn swallow(&mut self, byte: u8) -> bool {
        match self {
            Self::Length(read, length) => {
                *length = *length << 8 | u32::from(byte);
                *read += 1;
                if *read == 4 {
                    *self = Self::Body(usize::try_from(length.saturating_sub(4)).unwrap_or(usize::MAX));
                }
                true
            }
            Self::Body(0) => false,
            Self::Body(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl AsyncRead for SignedIn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        let now = self.unread.len().min(into.remaining());
        into.put_slice(self.unread.get(..now).unwrap_or_default());
        self.unread.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SignedIn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let swallowed = bytes.iter().take_while(|byte| self.startup.swallow(**byte)).count();
        if swallowed > 0 {
            return Poll::Ready(Ok(swallowed));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
