//! The demo's database: PostgreSQL itself where it is installed, else a small stand-in in this process.

use std::path::Path;

use anyhow::Result;

use super::builtin::Builtin;
use super::server::Server;

/// A throw-away database.
pub(crate) enum Database {
    /// PostgreSQL's own programs, in a temporary folder.
    Real(Box<Server>),
    /// A few statements, answered from memory.
    Builtin(Builtin),
}

impl Database {
    /// Starts one, with the demo's data in it.
    pub(crate) async fn start(builtin: bool) -> Result<Self> {
        match Server::programs().filter(|_| !builtin) {
            Some(programs) => Ok(Self::Real(Box::new(Server::start(&programs).await?))),
            None => Ok(Self::Builtin(Builtin::start().await?)),
        }
    }

    /// Which one it is, in words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Real(server) => format!("{} from {}, on port {}", server.version(), server.folder(), server.port()),
            Self::Builtin(builtin) => format!(
                "the small built-in database on port {}: it answers the statements of the demo and no others",
                builtin.port()
            ),
        }
    }

    /// Its port on the loopback interface.
    pub(crate) const fn port(&self) -> u16 {
        match self {
            Self::Real(server) => server.port(),
            Self::Builtin(builtin) => builtin.port(),
        }
    }

    /// The password of the role `app`; `None` where everybody is let in.
    pub(crate) fn password(&self) -> Option<&str> {
        match self {
            Self::Real(server) => Some(server.password()),
            Self::Builtin(_) => None,
        }
    }

    /// The authority of its certificate; `None` where it has none.
    pub(crate) fn authority(&self) -> Option<&Path> {
        match self {
            Self::Real(server) => Some(server.authority()),
            Self::Builtin(_) => None,
        }
    }

    /// What one value is, asked behind the broker's back.
    pub(crate) async fn truth(&self, sql: &str) -> Result<String> {
        match self {
            Self::Real(server) => server.truth(sql).await,
            Self::Builtin(builtin) => builtin.truth(sql),
        }
    }

    /// Ends it and removes what it made.
    pub(crate) async fn stop(self) {
        match self {
            Self::Real(server) => server.stop().await,
            Self::Builtin(builtin) => builtin.stop().await,
        }
    }
}
