//! What has been used up of budgets: reserved when an operation is allowed, settled by what it used in truth.
//!
//! A window begins at a whole multiple of its length since 1970: a budget of `60/1m` is full again at every minute.

use dashmap::DashMap;
use sluice_model::{Budget, Code, Per, Principal, Refusal, RuleId, Spend, Unit, UnixMicros};

use crate::ports::Spent;

/// Counters of every budget.
#[derive(Debug, Default)]
pub(crate) struct Ledger(DashMap<Key, Counter>);

/// Whose counter of which rule.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    rule: RuleId,
    unit: Unit,
    window_seconds: u32,
    whose: Box<str>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    /// The number of the window since 1970.
    window: i64,
    used: u64,
    /// What was last given out to be written down.
    kept: u64,
}

/// What one operation has reserved.
#[derive(Debug, Default)]
pub(crate) struct Reservation(Vec<(Key, Share)>);

#[derive(Clone, Copy, Debug)]
struct Share {
    window: i64,
    reserved: u64,
}

impl Ledger {
    /// Reserves what an operation uses at most; nothing is reserved if one of the budgets has no room for it.
    pub(crate) fn reserve(
        &self,
        budgets: &[Budget],
        who: &Principal,
        spend: Spend,
        now: UnixMicros,
    ) -> Result<Reservation, Refusal> {
        let mut reservation = Reservation::default();
        for budget in budgets {
            let amount = of(spend, budget.unit);
            let key = Key::new(budget, who);
            let window = window(budget.window_seconds, now);
            let mut counter = self.0.entry(key.clone()).or_default();
            counter.turn(window);
            let used = counter.used.saturating_add(amount);
            if used > budget.amount {
                drop(counter);
                self.give_back(&reservation);
                return Err(used_up(budget, amount, now));
            }
            counter.used = used;
            reservation.0.push((key, Share { window, reserved: amount }));
        }
        Ok(reservation)
    }

    /// Puts what was used in truth in the place of what was reserved. Where the window has passed, what was used beyond
    /// that counts in the present one, in which it becomes known.
    pub(crate) fn settle(&self, reservation: &Reservation, spent: Spend, now: UnixMicros) {
        for (key, share) in &reservation.0 {
            let (window, used) = (window(key.window_seconds, now), of(spent, key.unit));
            let mut counter = self.0.entry(key.clone()).or_default();
            counter.turn(window);
            if window == share.window {
                counter.used = counter.used.saturating_sub(share.reserved).saturating_add(used);
            } else {
                counter.used = counter.used.saturating_add(used.saturating_sub(share.reserved));
            }
        }
    }

    fn give_back(&self, reservation: &Reservation) {
        for (key, share) in &reservation.0 {
            if let Some(mut counter) = self.0.get_mut(key)
                && counter.window == share.window
            {
                counter.used = counter.used.saturating_sub(share.reserved);
            }
        }
    }

    /// Goes on with counters that an earlier run left.
    pub(crate) fn resume(&self, spent: Vec<Spent>) {
        for Spent { rule, unit, window_seconds, whose, window, used } in spent {
            let key = Key { rule, unit, window_seconds, whose: whose.into_boxed_str() };
            self.0.insert(key, Counter { window, used, kept: used });
        }
    }

    /// Every counter that has changed since it was last asked for.
    pub(crate) fn changed(&self) -> Vec<Spent> {
        let mut changed = Vec::new();
        for mut entry in self.0.iter_mut() {
            let (key, counter) = entry.pair_mut();
            if counter.used == counter.kept {
                continue;
            }
            counter.kept = counter.used;
            changed.push(Spent {
                rule: key.rule.clone(),
                unit: key.unit,
                window_seconds: key.window_seconds,
                whose: key.whose.to_string(),
                window: counter.window,
                used: counter.used,
            });
        }
        changed
    }

    /// Forgets counters whose window has passed.
    pub(crate) fn forget_passed(&self, now: UnixMicros) {
        self.0.retain(|key, counter| counter.window >= window(key.window_seconds, now));
    }
}

impl Key {
    fn new(budget: &Budget, who: &Principal) -> Self {
        let whose = match budget.per {
            Per::Principal => who.to_string(),
            Per::Owner => who.owner(),
            Per::Rule => String::new(),
        };
        Self {
            rule: budget.rule.clone(),
            unit: budget.unit,
            window_seconds: budget.window_seconds,
            whose: whose.into_boxed_str(),
        }
    }
}

impl Counter {
    fn turn(&mut self, window: i64) {
        if self.window != window {
            *self = Self { window, used: 0, kept: 0 };
        }
    }
}

fn window(seconds: u32, now: UnixMicros) -> i64 {
    now.seconds().div_euclid(i64::from(seconds.max(1)))
}

const fn of(spend: Spend, unit: Unit) -> u64 {
    match unit {
        Unit::Requests => spend.requests,
        Unit::Tokens => spend.tokens,
        Unit::Cost => spend.cost_micros,
    }
}

fn used_up(budget: &Budget, amount: u64, now: UnixMicros) -> Refusal {
    let length = i64::from(budget.window_seconds.max(1));
    let left = length.saturating_sub(now.seconds().rem_euclid(length));
    let message = match budget.unit {
        Unit::Requests => "the rate of requests is used up",
        Unit::Tokens => "the budget of tokens is used up, or this request may need more than is left",
        Unit::Cost => "the budget of money is used up, or this request may cost more than is left",
    };
    let mut refusal = Refusal::builtin(Code::Budget, "budget", message);
    refusal.rule = budget.rule.clone();
    if amount > budget.amount {
        return refusal.with_hint("It never fits: ask for fewer tokens at once.");
    }
    refusal.with_retry_after(u32::try_from(left).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
