//! A stand-in for OpenAI's API in this process, for machines without a key: its answers follow a script.

mod ask;
mod brain;
mod chat;
mod desk;
mod fault;
mod lists;
mod pace;
mod responses;
mod route;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use desk::Desk;
pub(crate) use desk::Request;

/// A running stand-in.
pub(crate) struct FakeOpenAi {
    desk: Arc<Desk>,
    port: u16,
    serving: JoinHandle<()>,
}

impl FakeOpenAi {
    /// Starts one on a free port of the loopback interface; it answers whoever shows the key.
    pub(crate) async fn start(key: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("the built-in model finds no port to listen on")?;
        let port = listener.local_addr()?.port();
        let desk = Arc::new(Desk::new(key));
        let serving = tokio::spawn(serve(listener, Arc::clone(&desk)));
        Ok(Self { desk, port, serving })
    }

    /// Its port on the loopback interface.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The requests that have arrived, oldest first; only the last thousand are kept.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.desk.requests()
    }

    /// Ends it, and every connection to it.
    pub(crate) async fn stop(self) {
        self.serving.abort();
        let _cancelled = self.serving.await;
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&desk)));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, desk: Arc<Desk>) {
    // Small events go out one by one.
    let _or_gone = stream.set_nodelay(true);
    let service = service_fn(move |request| route::answer(Arc::clone(&desk), request));
    // How a connection ends is its client's concern.
    let _ended = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}
