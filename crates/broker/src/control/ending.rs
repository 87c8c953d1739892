//! Sessions that an operator ends.

use sluice_model::{Code, Refusal, SessionId};
use sluice_recording::Shown;
use tracing::info;

use super::Answer;
use super::server::{Caller, Desk};

/// The longest reason, in characters.
const REASON: usize = 200;

impl Desk {
    /// Ends a session; its client is told, and its recording says so.
    pub(super) async fn end(&self, session: &SessionId, reason: Option<&str>, caller: Caller) -> Answer {
        let reason = reason.map(|reason| Shown(reason.as_bytes()).to_string()).filter(|reason| !reason.is_empty());
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON) {
            return Answer::refused(format!("a reason has at most {REASON} characters"));
        }
        let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let message = format!("{} ended this session{why}", caller.name());
        let refusal = Refusal::builtin(Code::Revoked, "ended-by-operator", message);
        if !self.kernel.end(session, &refusal).await {
            return Answer::Refused {
                message: format!("no session `{session}` is open"),
                hint: Some("`sluice sessions list --open` shows those that are".to_owned()),
                rule: None,
            };
        }
        info!(session = %session, rule = %refusal.rule, principal = %caller.name(), "an operator ended a session");
        Answer::Ended { session: session.to_string(), message: refusal.message }
    }
}
