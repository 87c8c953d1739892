//! Budgets as text: what `@requests`, `@tokens` and `@cost` hold, and how tables of cases expect them.

use sluice_model::{Budget, Per, RuleId, Unit};

use crate::annotation::Wrong;

const DECIMALS: usize = 6;
/// What every store of counters can hold.
const MAX_AMOUNT: u64 = i64::MAX.unsigned_abs();
const MAX_WINDOW_SECONDS: u64 = 366 * 86_400;
const WINDOWS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// A budget that is not any rule's yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Quota {
    unit: Unit,
    amount: u64,
    window_seconds: u32,
}

impl Quota {
    /// Reads `60/1m`; a cost has decimals, `5.00/1d`.
    pub(crate) fn read(unit: Unit, text: &str) -> Result<Self, Wrong> {
        let Some((used, window)) = text.split_once('/') else {
            let help = match unit {
                Unit::Requests => "write AMOUNT/WINDOW, such as 60/1m",
                Unit::Tokens => "write AMOUNT/WINDOW, such as 200000/1d",
                Unit::Cost => "write AMOUNT/WINDOW, such as 5.00/1d",
            };
            return Err((format!("`{text}` is no budget"), Some(help)));
        };
        let amount = match unit {
            Unit::Requests | Unit::Tokens => whole(used)?,
            Unit::Cost => micros(used)?,
        };
        Ok(Self { unit, amount, window_seconds: seconds(window)? })
    }

    /// The budget of a rule.
    pub(crate) const fn budget(self, rule: RuleId, per: Per) -> Budget {
        Budget { rule, unit: self.unit, amount: self.amount, window_seconds: self.window_seconds, per }
    }
}

/// Reads `RULE=requests:60/1m` or `RULE=cost:5.00/1d/owner`, as a budget is shown.
pub(crate) fn budget(text: &str) -> Result<Budget, String> {
    let parts = text.split_once('=').and_then(|(rule, rest)| Some((rule, rest.split_once(':')?)));
    let (rule, (unit, quota)) = parts.ok_or_else(|| format!("`{text}` is not `RULE=UNIT:AMOUNT/WINDOW`"))?;
    let rule = RuleId::new(rule).map_err(|_| format!("`{rule}` is no rule"))?;
    let unit =
        Unit::ALL.into_iter().find(|known| known.name() == unit).ok_or_else(|| format!("`{unit}` is no unit"))?;
    let (quota, per) = match quota.rsplit_once('/') {
        Some((quota, per)) if quota.contains('/') => (quota, whose(per).map_err(|(message, _)| message)?),
        _ => (quota, Per::default()),
    };
    Ok(Quota::read(unit, quota).map_err(|(message, _)| message)?.budget(rule, per))
}

/// Whose counter a budget is, as `@per` says it.
pub(crate) fn whose(text: &str) -> Result<Per, Wrong> {
    let found = Per::ALL.into_iter().find(|per| per.name() == text);
    found.ok_or_else(|| (format!("`{text}` is none of {}", Per::ALL.map(Per::name).join(", ")), None))
}

fn whole(text: &str) -> Result<u64, Wrong> {
    let amount = digits(text).filter(|amount| (1..=MAX_AMOUNT).contains(amount));
    amount.ok_or_else(|| (format!("`{text}` is not a whole number of at least 1"), None))
}

fn micros(text: &str) -> Result<u64, Wrong> {
    let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.len() > DECIMALS {
        return Err((format!("`{text}` has more than {DECIMALS} decimals"), None));
    }
    let micros = || {
        let part = digits(&format!("{decimals:0<DECIMALS$}")).filter(|_| !decimals.is_empty())?;
        digits(units)?.checked_mul(Unit::MICROS)?.checked_add(part)
    };
    let amount = micros().filter(|amount| (1..=MAX_AMOUNT).contains(amount));
    amount
        .ok_or_else(|| (format!("`{text}` is not an amount of money"), Some("write units and decimals, such as 5.00")))
}

fn seconds(text: &str) -> Result<u32, Wrong> {
    let length = |unit: char| WINDOWS.into_iter().find(|(letter, _)| *letter == unit).map(|(_, length)| length);
    let mut letters = text.chars();
    let total = letters.next_back().and_then(length).zip(digits(letters.as_str()));
    let total = total.and_then(|(length, number)| number.checked_mul(length));
    let fits =
        total.filter(|total| (1..=MAX_WINDOW_SECONDS).contains(total)).and_then(|total| u32::try_from(total).ok());
    fits.ok_or_else(|| (format!("`{text}` is not a window"), Some("write a number of s, m, h or d, at most 366d")))
}

/// A number of digits only: no sign, no space.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_budget_reads_as_it_is_shown() {
        for (text, amount, window, per) in [
            ("r=requests:60/1m", 60, 60, Per::Principal),
            ("r=requests:1/90s/rule", 1, 90, Per::Rule),
            ("r=tokens:200000/1d/owner", 200_000, 86_400, Per::Owner),
            ("r=tokens:9223372036854775807/366d", MAX_AMOUNT, 31_622_400, Per::Principal),
            ("r=cost:5/1d", 5_000_000, 86_400, Per::Principal),
            ("r=cost:0.000001/2h", 1, 7_200, Per::Principal),
            ("r=cost:12.05/36h", 12_050_000, 129_600, Per::Principal),
        ] {
            let read = budget(text).unwrap();
            assert_eq!((read.amount, read.window_seconds, read.per), (amount, window, per), "{text}");
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(budget("r=requests:60/60s"), budget("r=requests:60/1m"));
        assert_eq!(budget("r=cost:5.00/24h/principal"), budget("r=cost:5/1d"));
    }

    #[test]
    fn what_is_no_budget_is_not_read() {
        for text in [
            "r",
            "r=60/1m",
            "r=requests:60",
            "r=requests:0/1m",
            "r=requests:+1/1m",
            "r=requests:1.5/1m",
            "r=requests:/1m",
            "r=requests:9223372036854775808/1m",
            "r=requests:1/0s",
            "r=requests:1/367d",
            "r=requests:1/1w",
            "r=requests:1/m",
            "r=requests:1/",
            "r=requests:1/1µ",
            "r=requests:1/18446744073709551616s",
            "r=requests:1/213503982334602d",
            "r=requests:1/1m/team",
            "r=money:1/1m",
            "r=cost:0/1d",
            "r=cost:0.0000001/1d",
            "r=cost:.5/1d",
            "r=cost:5./1d",
            "r=cost:1.2.3/1d",
            "r=cost:-1/1d",
            "r=cost:9223372036854.775808/1d",
            "r r=requests:1/1m",
        ] {
            assert!(budget(text).is_err(), "{text}");
        }
    }
}
