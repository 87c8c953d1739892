//! What one client has hosts listen on.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::call::{Call, Calls};
use crate::frame::Message;
use crate::origin::Bind;

/// Addresses of one connection at a time.
pub(crate) const LISTENS: usize = 10;

/// How long the connection of a client stands still for a host that is to listen, or to listen no longer: russh answers
/// a request of a connection (RFC 4254 §4) before it reads on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Nothing else is open in it: as long as connecting to a host may take.
    Alone,
    /// What passes in its channels would stand still, too.
    Beside,
}

impl Patience {
    const fn time(self) -> Duration {
        match self {
            Self::Alone => Duration::from_secs(25),
            Self::Beside => Duration::from_secs(1),
        }
    }
}

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
    pub(crate) async fn begin(&mut self, bind: Bind, calls: &Calls, patience: Patience) -> Result<u32, Box<str>> {
        self.0.retain(|_, asks| !asks.is_closed());
        if self.0.len() >= LISTENS {
            return Err("sluice: there are too many remote forwards already".into());
        }
        if self.0.contains_key(&bind) {
            return Err("sluice: this is listened on already".into());
        }
        let (asks, inbox) = mpsc::channel(1);
        if calls.make(Call::Listen(inbox)).await.is_err() {
            return Err(gone());
        }
        let picked = ask(&asks, Message::Listen(bind.clone()), patience).await.unwrap_or_else(|| Err(slow()))?;
        self.0.insert(bind.at(picked), asks);
        Ok(picked)
    }

    /// Ends it; with its connection, where the host does not say that it has.
    pub(crate) async fn end(&mut self, bind: &Bind, patience: Patience) -> Result<(), Box<str>> {
        let asks = self.0.get(bind).ok_or("sluice: this is not listened on")?;
        let answer = ask(asks, Message::Unlisten(bind.clone()), patience).await;
        if !matches!(answer, Some(Err(_))) {
            self.0.remove(bind);
        }
        answer.unwrap_or_else(|| Err(slow())).map(|_| ())
    }
}

/// Asks for something; nothing where that takes too long.
async fn ask(asks: &mpsc::Sender<Ask>, message: Message, patience: Patience) -> Option<Result<u32, Box<str>>> {
    let (answer, answered) = oneshot::channel();
    if asks.send(Ask { message, answer }).await.is_err() {
        return Some(Err(gone()));
    }
    timeout(patience.time(), answered).await.ok().map(|answer| answer.unwrap_or_else(|_| Err(gone())))
}

fn slow() -> Box<str> {
    "sluice: the host takes longer to listen than the other channels of the connection can wait. Ask when it begins."
        .into()
}

fn gone() -> Box<str> {
    "sluice: there is no session that could listen".into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use tokio::time::Instant;

    use super::*;

    fn bind() -> Bind {
        Bind::Tcp { host: "localhost".into(), port: 8080 }
    }

    /// What a flow is asked, one after the other; it answers the first so many, and nothing more.
    fn flow(mut inbox: mpsc::Receiver<Box<Call>>, answers: usize) -> tokio::task::JoinHandle<Vec<Message>> {
        tokio::spawn(async move {
            let Some(Call::Listen(mut asks)) = inbox.recv().await.map(|call| *call) else { panic!("nobody listens") };
            let (mut asked, mut unanswered) = (Vec::new(), Vec::new());
            while let Some(Ask { message, answer }) = asks.recv().await {
                asked.push(message);
                if asked.len() > answers {
                    unanswered.push(answer);
                } else {
                    answer.send(Ok(0)).unwrap();
                }
            }
            asked
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_has_a_second_where_channels_wait_and_as_long_as_connecting_takes_where_none_do() {
        for (patience, seconds) in [(Patience::Beside, 1), (Patience::Alone, 25)] {
            let (calls, inbox) = Calls::new(1);
            let (mut listens, flow, began) = (Listens::default(), flow(inbox, 0), Instant::now());
            let words = listens.begin(bind(), &calls, patience).await.unwrap_err();
            assert!(words.starts_with("sluice: the host takes longer"), "{words}");
            assert_eq!(began.elapsed().as_secs(), seconds);
            // Its flow has ended with that, and the same may be asked for again.
            assert_eq!(flow.await.unwrap(), [Message::Listen(bind())]);
            assert!(listens.0.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_say_that_it_stops_loses_its_connection() {
        let (calls, inbox) = Calls::new(1);
        let (mut listens, flow) = (Listens::default(), flow(inbox, 1));
        assert_eq!(listens.begin(bind(), &calls, Patience::Beside).await, Ok(0));
        assert_eq!(
            listens.begin(bind(), &calls, Patience::Beside).await.unwrap_err().as_ref(),
            "sluice: this is listened on already"
        );
        let began = Instant::now();
        assert!(listens.end(&bind(), Patience::Beside).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 1);
        assert_eq!(flow.await.unwrap(), [Message::Listen(bind()), Message::Unlisten(bind())]);
        assert!(listens.end(&bind(), Patience::Beside).await.unwrap_err().contains("not listened on"));
    }
}
