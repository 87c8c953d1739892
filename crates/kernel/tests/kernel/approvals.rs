//! People who answer when a test tells them to.

use std::collections::HashMap;
use std::sync::Mutex;

use sluice_kernel::{ApprovalRequest, Approve, BoxFuture, Settlement};
use sluice_model::{Code, Digest, HoldId, Refusal, UnixMicros};
use tokio::sync::{mpsc, watch};

use crate::recorder::Log;

/// An approval that does not run out while a test runs.
const LATER: UnixMicros = UnixMicros(i64::MAX / 2);

#[derive(Debug)]
struct Request {
    digest: Digest,
    settlement: watch::Sender<Option<Settlement>>,
    used: bool,
}

/// The port, and what the test hears of it.
#[derive(Debug)]
pub(crate) struct People {
    requests: Mutex<HashMap<HoldId, Request>>,
    filed: mpsc::Sender<ApprovalRequest>,
    withdrawn: mpsc::Sender<HoldId>,
    /// No request can be filed.
    away: bool,
    log: Log,
    /// What had been written down when the first request was filed.
    at_filing: Mutex<Vec<String>>,
}

#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) filed: mpsc::Receiver<ApprovalRequest>,
    pub(crate) withdrawn: mpsc::Receiver<HoldId>,
}

impl People {
    pub(crate) fn new(away: bool, log: Log) -> (Self, Desk) {
        let ((filed, filings), (withdrawn, withdrawals)) = (mpsc::channel(16), mpsc::channel(16));
        let people = Self { requests: Mutex::default(), filed, withdrawn, away, log, at_filing: Mutex::default() };
        (people, Desk { filed: filings, withdrawn: withdrawals })
    }

    pub(crate) fn settle(&self, id: &HoldId, settlement: Settlement) {
        self.requests.lock().unwrap()[id].settlement.send_replace(Some(settlement));
    }

    pub(crate) fn approve(&self, id: &HoldId) {
        self.settle(id, Settlement::Approved { by: vec!["dan".to_owned()], expires: LATER });
    }

    pub(crate) fn story_at_filing(&self) -> Vec<String> {
        self.at_filing.lock().unwrap().clone()
    }

    /// How often approvals were used up.
    pub(crate) fn used(&self) -> usize {
        self.requests.lock().unwrap().values().filter(|request| request.used).count()
    }

    /// Somebody else uses an approval up.
    pub(crate) fn use_up(&self, id: &HoldId) {
        self.requests.lock().unwrap().get_mut(id).unwrap().used = true;
    }
}

impl Approve for People {
    fn request(&self, request: ApprovalRequest) -> BoxFuture<'_, Result<(), Refusal>> {
        if self.away {
            let refusal = Refusal::builtin(Code::Unavailable, "nobody-home", "nobody can be asked");
            return Box::pin(std::future::ready(Err(refusal)));
        }
        self.at_filing.lock().unwrap().extend(self.log.story());
        let filed = Request { digest: request.digest, settlement: watch::Sender::new(None), used: false };
        self.requests.lock().unwrap().insert(request.id.clone(), filed);
        self.filed.try_send(request).unwrap();
        Box::pin(std::future::ready(Ok(())))
    }

    fn settled(&self, id: HoldId) -> BoxFuture<'_, Settlement> {
        let mut settlement = self.requests.lock().unwrap()[&id].settlement.subscribe();
        Box::pin(async move { settlement.wait_for(Option::is_some).await.unwrap().clone().unwrap() })
    }

    fn settlement(&self, id: HoldId) -> BoxFuture<'_, Option<Settlement>> {
        let settlement = self.requests.lock().unwrap()[&id].settlement.borrow().clone();
        Box::pin(std::future::ready(settlement))
    }

    fn withdraw(&self, id: HoldId, _now: UnixMicros) -> BoxFuture<'_, ()> {
        self.withdrawn.try_send(id).unwrap();
        Box::pin(std::future::ready(()))
    }

    fn consume(&self, id: HoldId, digest: Digest, _now: UnixMicros) -> BoxFuture<'_, bool> {
        let mut requests = self.requests.lock().unwrap();
        let request = requests.get_mut(&id).unwrap();
        let usable = !request.used && request.digest == digest;
        request.used = true;
        Box::pin(std::future::ready(usable))
    }
}
