//! How long a client waits while people are asked, and how it is kept waiting.

use http::HeaderMap;
use sluice_wire::HoldNotice;

/// An SDK is answered this long before it gives up by itself.
const MARGIN_SECONDS: u32 = 10;
/// A client that says nothing and cannot be kept waiting is answered after this long.
const SILENT_SECONDS: u32 = 50;

/// The timeout of Node's SDK where its program sets none.
const NODE_SECONDS: u32 = 600;

/// A waiting client hears something this often.
const SOOTHE_SECONDS: u32 = 5;

/// The patience of one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Patience {
    /// When the client has to be answered; `None` where it waits as long as it is kept waiting.
    budget_seconds: Option<u32>,
    interim: Interims,
    asked: Option<u32>,
}

/// Whether interim responses reach the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interims {
    /// HTTP/1.1, where they can be slipped in.
    Sent,
    Never,
}

/// What to do after some seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    Wait,
    /// Keep the client waiting.
    Soothe,
    /// Answer now: the request stands.
    Leave,
}

impl Patience {
    /// What a request says of its client's patience. OpenAI's SDKs announce their timeouts in seconds.
    pub(crate) fn of(headers: &HeaderMap, interim: Interims) -> Self {
        let seconds = |name: &str| {
            let text = headers.get(name)?.to_str().ok()?;
            let whole = text.split('.').next().unwrap_or_default();
            whole.parse::<u32>().ok()
        };
        // The whole budget of Node's SDK; Python's counts from the last byte, which interim responses renew.
        let whole = seconds("x-stainless-timeout");
        let read = seconds("x-stainless-read-timeout").filter(|_| interim == Interims::Never);
        let announced = match (whole, read) {
            (Some(whole), Some(read)) => Some(whole.min(read)),
            (one, other) => one.or(other),
        };
        // Node's SDK announces no timeout that it takes from its client, and interim responses do not renew it.
        let is_node = headers.get("x-stainless-lang").is_some_and(|lang| lang == "js");
        let announced = announced.or(is_node.then_some(NODE_SECONDS));
        let silent = (interim == Interims::Never).then_some(SILENT_SECONDS.saturating_add(MARGIN_SECONDS));
        let budget_seconds = announced.or(silent).map(|seconds| seconds.saturating_sub(MARGIN_SECONDS).max(1));
        Self { budget_seconds, interim, asked: None }
    }

    pub(crate) const fn has_interim(&self) -> bool {
        matches!(self.interim, Interims::Sent)
    }

    /// People are asked from here on. A request that stood before has been waiting already.
    pub(crate) fn begin(&mut self, _notice: &HoldNotice) {
        self.asked = None;
    }

    /// Nobody is asked any more.
    pub(crate) fn rest(&mut self) {
        self.asked = None;
    }

    /// What to do `seconds` after people were asked; told every second.
    pub(crate) fn turn(&mut self, seconds: u32) -> Turn {
        // The client's own wait began a second before the first word of it.
        let began = *self.asked.get_or_insert(seconds.saturating_sub(1));
        let waited = seconds.saturating_sub(began);
        match self.budget_seconds {
            Some(budget) if waited >= budget => Turn::Leave,
            Some(_) | None if waited.is_multiple_of(SOOTHE_SECONDS) => Turn::Soothe,
            Some(_) | None => Turn::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn patience(interim: Interims, headers: &[(&'static str, &'static str)]) -> Patience {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Patience::of(&headers.collect(), interim)
    }

    fn left_after(mut patience: Patience) -> Option<u32> {
        (1..10_000).find(|seconds| patience.turn(*seconds) == Turn::Leave)
    }

    #[test]
    fn sdks_are_answered_before_they_give_up() {
        let node = [("x-stainless-timeout", "60")];
        let python = [("x-stainless-read-timeout", "600.0")];
        assert_eq!(left_after(patience(Interims::Sent, &node)), Some(50));
        assert_eq!(left_after(patience(Interims::Sent, &[("x-stainless-lang", "js")])), Some(590));
        assert_eq!(left_after(patience(Interims::Sent, &python)), None);
        assert_eq!(left_after(patience(Interims::Never, &python)), Some(590));
        assert_eq!(left_after(patience(Interims::Never, &[])), Some(50));
        assert_eq!(left_after(patience(Interims::Sent, &[])), None);
        assert_eq!(left_after(patience(Interims::Sent, &[("x-stainless-timeout", "5")])), Some(1));
    }

    #[test]
    fn a_request_that_stood_before_does_not_shorten_the_wait() {
        let mut patience = patience(Interims::Sent, &[("x-stainless-timeout", "60")]);
        assert_eq!(patience.turn(301), Turn::Wait);
        assert_eq!(patience.turn(305), Turn::Soothe);
        assert_eq!(patience.turn(349), Turn::Wait);
        assert_eq!(patience.turn(350), Turn::Leave);
    }
}
