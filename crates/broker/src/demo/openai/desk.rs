//! What the stand-in remembers: its key, the requests it has had, the responses it has given.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// How many requests and responses are remembered.
const KEPT: usize = 1_000;

/// One request, as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: String,
    /// The whole header, such as `Bearer sk-demo-1`.
    pub(crate) authorization: Option<String>,
}

pub(super) struct Desk {
    authorization: String,
    issued: AtomicU64,
    requests: Mutex<VecDeque<Request>>,
    responses: Mutex<VecDeque<(String, Value)>>,
}

impl Desk {
    pub(super) fn new(key: &str) -> Self {
        Self {
            authorization: format!("Bearer {key}"),
            issued: AtomicU64::new(0),
            requests: Mutex::default(),
            responses: Mutex::default(),
        }
    }

    /// Writes a request down; whether it showed the key.
    pub(super) fn admit(&self, request: Request) -> bool {
        let known = request.authorization.as_deref() == Some(&self.authorization);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == KEPT {
            requests.pop_front();
        }
        requests.push_back(request);
        known
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// An id that was never given out, in the API's form: `resp_…`.
    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{:032x}", self.issued.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps a response for whoever asks for it later.
    pub(super) fn keep(&self, id: &str, response: Value) {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        if responses.len() == KEPT {
            responses.pop_front();
        }
        responses.push_back((id.to_owned(), response));
    }

    pub(super) fn kept(&self, id: &str) -> Option<Value> {
        let responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        responses.iter().find(|(known, _)| known == id).map(|(_, response)| response.clone())
    }

    /// Forgets a response; whether it was there.
    pub(super) fn forget(&self, id: &str) -> bool {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        let before = responses.len();
        responses.retain(|(known, _)| known != id);
        responses.len() < before
    }
}

/// Seconds since 1970.
pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
