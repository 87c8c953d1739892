//! What `sluice check` can find out about a target without a client.

use sluice_wire::{Credential, Finding};

use crate::dial::Pools;
use crate::served::wrong;
use crate::target::{Auth, Target};

/// Everything that can be said of a target; nothing is sent to its server.
#[must_use]
pub fn check(target: &Target, credential: Option<&Credential>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wrong(target).into_iter().map(|wrong| Finding::Wrong(wrong.to_string())).collect();
    if !findings.is_empty() {
        return findings;
    }
    match Pools::default().origin(target) {
        Ok(_) => findings.push(Finding::Resolved(format!("server {}", target.url))),
        Err(error) => findings.push(Finding::Wrong(error.to_string())),
    }
    let keyless = credential.is_none_or(|credential| credential.secret.is_none());
    if keyless && target.auth != Auth::None {
        findings.push(Finding::Unchecked("no key is lent: requests go out without one".to_owned()));
    }
    findings
}
