//! Streams that a client goes on with: it has heard the events up to a number, and asks for those after it
//! ([retrieve a response](https://platform.openai.com/docs/api-reference/responses/get)).
//!
//! What a server says from some event on may begin in the middle of a value, or of a call. So it is asked from the
//! start, everything is looked at as it was the first time, and what the client has heard is left out then. The number
//! is one that the broker counted, which the server need not have.

use super::ask::Unfit;
use crate::outward::decoded;

/// The parameter with the number.
const PARAMETER: &str = "starting_after";

/// A query, and what of its answer is known to whoever asks.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Resumed {
    /// As it is sent.
    pub(super) query: String,
    /// The number of the last event that the client has heard.
    pub(super) after: Option<i64>,
}

impl Resumed {
    /// Takes the number out of a query.
    pub(super) fn of(query: &str) -> Result<Self, Unfit> {
        let mut after = None;
        let mut kept = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decoded(name) != PARAMETER {
                kept.push(pair);
                continue;
            }
            let number = decoded(value).parse().map_err(|_| Unfit::mistyped(PARAMETER))?;
            if after.replace(number).is_some() {
                return Err(Unfit::invalid(PARAMETER));
            }
        }
        Ok(Self { query: kept.join("&"), after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stays_with_the_broker() {
        for (query, sent, after) in [
            ("", "", None),
            ("stream=true&include[]=a", "stream=true&include[]=a", None),
            ("stream=true&starting_after=4&beta=x", "stream=true&beta=x", Some(4)),
            ("starting_after=-1", "", Some(-1)),
            ("starting%5fafter=%34&stream=true", "stream=true", Some(4)),
        ] {
            assert_eq!(Resumed::of(query).ok(), Some(Resumed { query: sent.to_owned(), after }), "{query}");
        }
        for query in ["starting_after", "starting_after=", "starting_after=4x", "starting_after=4&starting%5Fafter=9"] {
            assert!(Resumed::of(query).is_err(), "{query}");
        }
    }
}
