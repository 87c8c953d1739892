//! What one client has hosts listen on.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use crate::call::Call;
use crate::frame::Message;
use crate::origin::Bind;

/// Addresses of one connection at a time.
const LISTENS: usize = 10;

/// A request, and where its answer goes: the port that was picked, or why nobody listens.
pub(crate) struct Ask {
    pub(crate) message: Message,
    pub(crate) answer: oneshot::Sender<Result<u32, Box<str>>>,
}

/// Where the flow of each address is asked; it ends when its requests can come no more.
#[derive(Default)]
pub(crate) struct Listens(HashMap<Bind, mpsc::Sender<Ask>>);

impl Listens {
    /// Begins to listen; with the port that was picked, if one was.
    pub(crate) async fn begin(&mut self, bind: Bind, calls: &mpsc::Sender<Call>) -> Result<u32, Box<str>> {
        self.0.retain(|_, asks| !asks.is_closed());
        if self.0.len() >= LISTENS {
            return Err("sluice: there are too many remote forwards already".into());
        }
        if self.0.contains_key(&bind) {
            return Err("sluice: this is listened on already".into());
        }
        let (asks, inbox) = mpsc::channel(1);
        if calls.send(Call::Listen(inbox)).await.is_err() {
            return Err(gone());
        }
        let picked = ask(&asks, Message::Listen(bind.clone())).await?;
        self.0.insert(bind.at(picked), asks);
        Ok(picked)
    }

    /// Ends it.
    pub(crate) async fn end(&mut self, bind: &Bind) -> Result<(), Box<str>> {
        let asks = self.0.get(bind).ok_or("sluice: this is not listened on")?;
        ask(asks, Message::Unlisten(bind.clone())).await?;
        self.0.remove(bind);
        Ok(())
    }
}

async fn ask(asks: &mpsc::Sender<Ask>, message: Message) -> Result<u32, Box<str>> {
    let (answer, answered) = oneshot::channel();
    asks.send(Ask { message, answer }).await.map_err(|_| gone())?;
    answered.await.unwrap_or_else(|_| Err(gone()))
}

fn gone() -> Box<str> {
    "sluice: there is no session that could listen".into()
}
