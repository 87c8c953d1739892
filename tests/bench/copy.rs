//! The plain proxy that everything is measured against: bytes from one socket to the other, and nothing else.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// What the broker asks of a socket at a time too.
const BUFFER_BYTES: usize = 32 * 1024;

/// Serves until it is killed; says its port first.
pub(crate) fn serve(server: SocketAddr) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(accept(server))
}

async fn accept(server: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    loop {
        let (client, _) = listener.accept().await.context("a connection could not be accepted")?;
        tokio::spawn(async move {
            // A connection that fails is seen by its client.
            let _ended = relay(client, server).await;
        });
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr) -> Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}
