//! Settings and transactions: what a session may steer.

use pg_query::protobuf::{
    DefElem, DiscardMode, TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt, VariableShowStmt,
};
use pg_query::{Node, NodeEnum};

use super::Walk;
use super::call::{is_readable, literal};
use crate::access::{Object, Verb};
use crate::analysis::{Change, Reason, Transaction};
use crate::known::{Setting, setting};

/// Settings under which text is read; the server reports them, and the session ends where they change.
const READING: [&str; 2] = ["client_encoding", "standard_conforming_strings"];

/// The longest time limit that a session may give itself.
const MAX_LIMIT_MS: u64 = 3_600_000;
/// What the broker begins application names with.
const NAMED: &str = "sluice";

impl<'a> Walk<'a> {
    /// SET and RESET in all their forms.
    pub(super) fn set(&mut self, set: &'a VariableSetStmt) {
        let name = set.name.to_ascii_lowercase();
        match VariableSetKind::try_from(set.kind) {
            Ok(VariableSetKind::VarSetValue) => {
                let values: Option<Vec<String>> = set.args.iter().map(literal).collect();
                let judged = values.map(|values| self.may_set(&name, &values));
                self.judged(&name, judged.unwrap_or(false));
            }
            Ok(VariableSetKind::VarSetMulti) => self.set_transaction(&name, &set.args),
            Ok(VariableSetKind::VarSetDefault | VariableSetKind::VarReset) => {
                self.judged(&name, setting(&name) == Some(Setting::Free));
            }
            Ok(VariableSetKind::VarSetCurrent) => self.judged(&name, false),
            // What is pinned is what the session began with, and `RESET ALL` leaves the role alone
            // (<https://www.postgresql.org/docs/current/sql-reset.html>).
            Ok(VariableSetKind::VarResetAll) => self.access(Verb::Session, Object::Target),
            Ok(VariableSetKind::Undefined) | Err(_) => drop(self.misunderstood()),
        }
    }

    fn judged(&mut self, name: &str, allowed: bool) {
        if allowed {
            self.access(Verb::Session, Object::Target);
        } else if is_pinned(name) {
            self.refuse_pinned(name);
        } else {
            self.access(Verb::Set, Object::Setting(name.into()));
        }
    }

    /// Refuses to change a setting that is pinned.
    pub(super) fn refuse_pinned(&mut self, name: &str) {
        if READING.contains(&name) {
            self.refuse(Reason::PinnedReading, None);
        } else if is_pinned(name) {
            self.refuse(Reason::PinnedSetting, None);
        }
    }

    /// Whether a setting may take a literal value without a permission of its own.
    pub(super) fn may_set(&self, name: &str, values: &[String]) -> bool {
        let single = match values {
            [value] => Some(value.as_str()),
            _ => None,
        };
        match (setting(name), single) {
            (Some(Setting::Free), single) => name != "application_name" || single.is_some_and(|value| !imitates(value)),
            (Some(Setting::Limit), Some(value)) => within_limit(value),
            (Some(Setting::On), Some(value)) => is_on(value),
            (Some(Setting::Pinned), _) => self.is_pinned_value(name, values),
            (Some(Setting::Limit | Setting::On), None) | (None, _) => false,
        }
    }

    /// Drivers set what is pinned to the value it has.
    fn is_pinned_value(&self, name: &str, values: &[String]) -> bool {
        match (name, values) {
            ("client_encoding", [value]) => {
                matches!(value.to_ascii_uppercase().as_str(), "UTF8" | "UTF-8" | "UNICODE")
            }
            ("standard_conforming_strings", [value]) => is_on(value),
            ("search_path", values) => values == self.catalog.search_path(),
            _ => false,
        }
    }

    fn set_transaction(&mut self, name: &str, options: &'a [Node]) {
        if name == "transaction snapshot" {
            self.access(Verb::Set, Object::Setting("transaction_snapshot".into()));
            return;
        }
        self.modes(options, name != "transaction");
    }

    /// Transaction modes. Read-write takes a protection away, for one transaction or for the session.
    fn modes(&mut self, options: &'a [Node], for_session: bool) {
        self.access(Verb::Session, Object::Target);
        for option in options {
            let Some(NodeEnum::DefElem(option)) = option.node.as_ref() else {
                self.misunderstood();
                continue;
            };
            match option.defname.as_str() {
                "transaction_isolation" | "transaction_deferrable" => {}
                "transaction_read_only" if is_true(option) => {}
                "transaction_read_only" if for_session => self.refuse(Reason::PinnedSetting, None),
                "transaction_read_only" => self.access(Verb::Set, Object::Setting("transaction_read_only".into())),
                _ => drop(self.misunderstood()),
            }
        }
    }

    pub(super) fn transaction(&mut self, stmt: &'a TransactionStmt) -> Option<Transaction> {
        let (verb, kind) = match TransactionStmtKind::try_from(stmt.kind) {
            Ok(TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart) => {
                (Verb::Session, Transaction::Begin)
            }
            Ok(TransactionStmtKind::TransStmtCommit) => (Verb::Session, Transaction::Commit),
            Ok(TransactionStmtKind::TransStmtRollback) => (Verb::Session, Transaction::Rollback),
            Ok(TransactionStmtKind::TransStmtSavepoint) => (Verb::Session, Transaction::Savepoint),
            Ok(TransactionStmtKind::TransStmtRelease) => (Verb::Session, Transaction::Release),
            Ok(TransactionStmtKind::TransStmtRollbackTo) => (Verb::Session, Transaction::RollbackTo),
            Ok(TransactionStmtKind::TransStmtPrepare) => (Verb::Administer, Transaction::Prepare),
            Ok(TransactionStmtKind::TransStmtCommitPrepared | TransactionStmtKind::TransStmtRollbackPrepared) => {
                self.access(Verb::Administer, Object::Target);
                return None;
            }
            Ok(TransactionStmtKind::Undefined) | Err(_) => {
                self.misunderstood();
                return None;
            }
        };
        self.access(verb, Object::Target);
        self.modes(&stmt.options, false);
        Some(kind)
    }

    /// SHOW: settings can hold credentials.
    pub(super) fn show(&mut self, show: &VariableShowStmt) {
        let name = show.name.to_ascii_lowercase();
        if is_readable(&name) || matches!(name.as_str(), "session_authorization" | "role") {
            self.access(Verb::Session, Object::Target);
        } else {
            self.access(Verb::Inspect, Object::Setting(name.into()));
        }
    }

    pub(super) fn discard(&mut self, mode: i32) -> Option<Change> {
        match DiscardMode::try_from(mode) {
            Ok(DiscardMode::DiscardPlans) => self.access(Verb::Session, Object::Target),
            Ok(DiscardMode::DiscardTemp | DiscardMode::DiscardSequences) => {
                self.found.changes_catalog = true;
                self.access(Verb::Define, Object::Target);
            }
            Ok(DiscardMode::DiscardAll) => {
                self.access(Verb::Session, Object::Target);
                self.refuse(Reason::PinnedRole, None);
                self.local.clear();
                self.forgot_all = true;
                return Some(Change::DeallocateAll);
            }
            Ok(DiscardMode::Undefined) | Err(_) => drop(self.misunderstood()),
        }
        None
    }
}

/// Whether an application name begins as those by which the broker tells a server who is there; what servers do not print they
/// replace.
fn imitates(value: &str) -> bool {
    let begins = value.trim_start().get(..NAMED.len());
    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(NAMED))
}

fn is_pinned(name: &str) -> bool {
    setting(name) == Some(Setting::Pinned) || name == "default_transaction_read_only"
}

fn is_true(option: &DefElem) -> bool {
    option.arg.as_deref().and_then(literal).is_some_and(|value| value == "1" || is_on(&value))
}

fn is_on(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t" | "y")
}

/// A time above zero and at most [`MAX_LIMIT_MS`]; a bare number is milliseconds.
fn within_limit(value: &str) -> bool {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let Some((number, unit)) = value.split_at_checked(digits) else { return false };
    let scale = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return false,
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    milliseconds.is_some_and(|milliseconds| (1..=MAX_LIMIT_MS).contains(&milliseconds))
}
