//! How much stored responses and conversations held when they were last answered, so that it is reserved for whatever
//! goes on with one. It is known of those that were answered lately, here.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use sluice_wire::Object;

/// Objects that are remembered at least; twice as many at most.
const MANY: usize = 1 << 16;

/// Classes of objects that a request can go on with.
pub(super) const RESPONSE: &str = "response";
pub(super) const CONVERSATION: &str = "conversation";

/// What is known of the objects of one target.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    keys: RandomState,
    known: Mutex<Known>,
}

/// Tokens by the hash of an object: what was told lately, and what was told before that.
#[derive(Debug, Default)]
struct Known {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl Contexts {
    /// Takes down how many tokens an object holds.
    pub(super) fn remember(&self, object: &Object, tokens: u64) {
        let key = self.keys.hash_one(object);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.young.len() >= MANY {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.insert(key, tokens);
    }

    /// How many tokens these hold together, as far as it is known.
    pub(super) fn tokens(&self, objects: &[Object]) -> u64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |object: &&Object| [RESPONSE, CONVERSATION].contains(&&*object.class);
        let tokens = objects.iter().filter(goes_on).filter_map(|object| {
            let key = self.keys.hash_one(object);
            known.young.get(&key).or_else(|| known.old.get(&key)).copied()
        });
        tokens.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: &str, id: &str) -> Object {
        Object { class: class.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn what_was_told_lately_is_known() {
        let contexts = Contexts::default();
        let (response, conversation) = (object(RESPONSE, "a"), object(CONVERSATION, "a"));
        contexts.remember(&response, 5);
        contexts.remember(&conversation, 7);
        contexts.remember(&object("file", "a"), 90);
        assert_eq!(contexts.tokens(std::slice::from_ref(&response)), 5);
        let all = [response.clone(), conversation, object("file", "a"), object(RESPONSE, "b")];
        assert_eq!(contexts.tokens(&all), 12);
        contexts.remember(&response, u64::MAX);
        assert_eq!(contexts.tokens(&all), u64::MAX);
        for id in 0..MANY {
            contexts.remember(&object(RESPONSE, &format!("r{id}")), 1);
        }
        assert_eq!(contexts.tokens(std::slice::from_ref(&response)), u64::MAX, "as many others are known besides");
        for id in 0..3 * MANY {
            contexts.remember(&object(RESPONSE, &format!("s{id}")), 1);
        }
        assert_eq!(contexts.tokens(&[response]), 0);
    }
}
