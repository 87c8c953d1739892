//! A request that may be sent once more, because a server may do twice what it asks for.
//!
//! RFC 9112 §9.3.1: "When an inbound connection is closed prematurely, a client MAY open a new connection and
//! automatically retransmit an aborted sequence of requests if all of those requests have idempotent methods". A server
//! closes connections that it has kept for long enough, at the very moment that another request is on its way.

use bytes::Bytes;
use http::Method;

use crate::frame::{Length, Request};
use crate::pipe::{Outlet, pipe};

/// The largest body that is kept to be sent again.
const MAX_BYTES: u64 = 1 << 20;

/// What is needed to send a request again: all of it.
pub(crate) struct Again {
    head: Request,
    body: Vec<Bytes>,
    whole: bool,
}

impl Again {
    /// `None` where the request is sent once at most: RFC 9110 §9.2.2 says which methods are idempotent.
    pub(crate) fn of(head: &Request) -> Option<Self> {
        let idempotent = matches!(head.method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE);
        let small = match head.body {
            Length::None => true,
            Length::Known(bytes) => bytes <= MAX_BYTES,
            Length::Unknown => false,
        };
        (idempotent && small).then(|| Self { head: head.clone(), body: Vec::new(), whole: false })
    }

    /// A piece of its body.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        self.body.push(bytes.clone());
    }

    /// Its body is whole.
    pub(crate) const fn end(&mut self) {
        self.whole = true;
    }

    /// The request once more; `None` where the rest of its body has yet to come.
    pub(crate) fn request(self) -> Option<(Request, Outlet)> {
        if !self.whole {
            return None;
        }
        let (inlet, outlet) = pipe(self.head.body);
        self.body.into_iter().for_each(|bytes| inlet.push(bytes));
        inlet.end();
        Some((self.head, outlet))
    }
}
