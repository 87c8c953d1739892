//! What operations use up of a budget.

/// An amount of everything that budgets count.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Spend {
    pub requests: u64,
    /// Tokens of a language model, in and out together.
    pub tokens: u64,
    /// Millionths of the currency unit that prices are configured in.
    pub cost_micros: u64,
}

impl Spend {
    /// One request and nothing else.
    pub const REQUEST: Self = Self { requests: 1, tokens: 0, cost_micros: 0 };

    /// The larger amount of each.
    #[must_use]
    pub fn at_least(self, least: Self) -> Self {
        Self {
            requests: self.requests.max(least.requests),
            tokens: self.tokens.max(least.tokens),
            cost_micros: self.cost_micros.max(least.cost_micros),
        }
    }
}
