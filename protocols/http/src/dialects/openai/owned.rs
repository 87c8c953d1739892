//! Whose the objects are that a request names: in its path, and in its body.

use std::collections::BTreeSet;

use sluice_model::Effect;
use sluice_wire::Object;

use super::routes::{Found, Routes};
use crate::flaw::Flaw;
use crate::schema::ADMINISTER;
use crate::target::Objects as Whose;

/// Classes of ids that lead to nothing of anybody's: what they name is in the body itself, or is part of what the path
/// names.
const OF_NOBODY: [&str; 2] = ["item", "part"];
/// Classes of ids in paths that are there for all to look at.
const OF_ALL: [&str; 1] = ["model"];
const FOREIGN: Flaw = Flaw::new(
    403,
    "unowned_reference",
    "the request refers to something of which it is not known whose it is, by its id or by what it is like; send the \
     thing itself, or name what you made by its id",
);

/// The objects of a request that belong to whoever made them: those in its path, and those in its body.
///
/// Where objects are owned, nothing else may be referred to: whose it is, is not known.
pub(super) fn objects(
    found: &Found<'_>,
    mentioned: Vec<Object>,
    routes: &Routes,
    whose: Whose,
) -> Result<Vec<Object>, Flaw> {
    let Found::Route { route, ids } = found else { return Ok(Vec::new()) };
    let is_foreign = |object: &Object| !routes.is_owned(&object.class) && !OF_NOBODY.contains(&&*object.class);
    // What follows in a path is a part of what is first in it. An administrator looks after everything.
    let is_for_all = |class: &str| OF_ALL.contains(&class) && route.action().effect == Effect::Read;
    let first = ids.iter().next().filter(|first| route.action() != ADMINISTER && !is_for_all(first.class));
    let strange = first.is_some_and(|first| !routes.is_owned(first.class));
    if whose == Whose::Owned && (strange || mentioned.iter().any(is_foreign)) {
        return Err(FOREIGN);
    }
    let ids = ids.iter().map(|id| Object { class: id.class.to_owned(), id: id.value.to_owned() });
    let all: BTreeSet<Object> = ids.chain(mentioned).collect();
    Ok(all.into_iter().filter(|object| routes.is_owned(&object.class)).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn object(class: &str, id: &str) -> Object {
        Object { class: class.to_owned(), id: id.to_owned() }
    }

    fn verdict(method: &str, path: &str, whose: Whose) -> Result<Vec<Object>, Flaw> {
        let routes = Routes::published();
        objects(&routes.find(method, path), Vec::new(), &routes, whose)
    }

    #[test]
    fn a_path_leads_to_what_has_an_owner() {
        let of = |method, path| verdict(method, path, Whose::Owned);
        assert_eq!(of("GET", "/responses/resp_1").unwrap(), [object("response", "resp_1")]);
        assert_eq!(of("GET", "/conversations/conv_1/items/msg_1").unwrap(), [object("conversation", "conv_1")]);
        // Models are there for all, and administrators look after everything.
        for (method, path) in [("GET", "/models/gpt-4o"), ("GET", "/organization/users/user_1"), ("GET", "/models")] {
            assert_eq!(of(method, path).unwrap(), [], "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_to_what_nobody_is_known_to_have_made_is_refused() {
        for (method, path) in [
            ("GET", "/safety/alerts/alert_1"),
            ("GET", "/safety/cases/case_1"),
            ("POST", "/realtime/calls/rtc_1/accept"),
            ("POST", "/realtime/calls/rtc_1/hangup"),
            ("POST", "/realtime/calls/rtc_1/refer"),
            ("POST", "/realtime/calls/rtc_1/reject"),
            // Whoever had a model tuned is not known: it may be looked at, and no more.
            ("DELETE", "/models/ft:gpt:alice::1"),
        ] {
            assert_eq!(verdict(method, path, Whose::Owned).unwrap_err().code, "unowned_reference", "{path}");
            assert_eq!(verdict(method, path, Whose::Shared).unwrap(), [], "{path}");
        }
    }

    #[test]
    fn a_body_refers_to_what_has_an_owner() {
        let routes = Routes::published();
        let of = |class, whose| objects(&routes.find("POST", "/responses"), vec![object(class, "x_1")], &routes, whose);
        for class in ["file", "item_reference"] {
            assert_eq!(of(class, Whose::Owned).unwrap(), [object(class, "x_1")]);
        }
        for class in ["item", "part"] {
            assert_eq!(of(class, Whose::Owned).unwrap(), [], "{class}");
        }
        for class in ["query", "prompt", "run", "other", "audio", "workflow"] {
            assert_eq!(of(class, Whose::Owned).unwrap_err().code, "unowned_reference", "{class}");
            assert_eq!(of(class, Whose::Shared).unwrap(), [], "{class}");
        }
    }
}
