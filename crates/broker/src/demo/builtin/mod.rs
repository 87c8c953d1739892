//! A database of a few statements, answered from memory, for machines without PostgreSQL.

mod catalog;
mod engine;
mod parse;
mod wire;

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use pgwire::tokio::process_socket;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use engine::Engine;
use wire::Handlers;

/// A running stand-in.
pub(crate) struct Builtin {
    engine: Arc<Engine>,
    port: u16,
    serving: JoinHandle<()>,
}

impl Builtin {
    /// Starts one on a free port of the loopback interface.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let engine = Arc::new(Engine::new());
        let handlers = Arc::new(Handlers::new(Arc::clone(&engine)));
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(process_socket(stream, None, Arc::clone(&handlers)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { engine, port, serving })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// One value, asked of the engine itself.
    pub(crate) fn truth(&self, sql: &str) -> Result<String> {
        let statement = parse::statement(sql).map_err(|sorry| anyhow!("{}", sorry.0))?;
        let answer = self.engine.run(&statement).map_err(|sorry| anyhow!("{}", sorry.0))?;
        Ok(answer.rows.into_iter().flatten().next().and_then(|cell| cell.text()).unwrap_or_default())
    }

    pub(crate) async fn stop(self) {
        self.serving.abort();
        let _cancelled = self.serving.await;
    }
}
