//! Which target and database a client asks for.

use sluice_model::{Code, Refusal};

/// What user and database name come to.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Route {
    /// The user name without a target; it grants nothing.
    pub(crate) user: String,
    pub(crate) target: String,
    /// `None` for the target's own database.
    pub(crate) database: Option<String>,
    /// The target is only the user name again, which is what clients send when they were told no database.
    pub(crate) guessed: bool,
}

impl Route {
    /// Reads `dbname=target`, `dbname=target/database`, or `user=name%target` with the database in `dbname`.
    pub(crate) fn parse(user: &str, database: Option<&str>) -> Result<Self, Refusal> {
        let database = database.unwrap_or_default();
        if let Some((name, target)) = user.rsplit_once('%') {
            let own = database.is_empty() || [user, name, target].contains(&database);
            let inner = database.strip_prefix(target).and_then(|rest| rest.strip_prefix('/'));
            let database = (!own).then(|| inner.unwrap_or(database).to_owned());
            return Ok(Self { user: name.to_owned(), target: target.to_owned(), database, guessed: false });
        }
        if database.is_empty() {
            return Err(unnamed());
        }
        let (target, inner) = match database.split_once('/') {
            Some((target, inner)) => (target, Some(inner.to_owned())),
            None => (database, None),
        };
        let guessed = database == user;
        Ok(Self { user: user.to_owned(), target: target.to_owned(), database: inner, guessed })
    }

    /// The refusal of opening the target, with help where the client did not name one.
    pub(crate) fn explain(&self, refusal: Refusal) -> Refusal {
        if self.guessed { refusal.with_hint(HOW) } else { refusal }
    }
}

const HOW: &str = "name the target as the database: `dbname=TARGET` or `dbname=TARGET/DATABASE`";

fn unnamed() -> Refusal {
    Refusal::builtin(Code::Policy, "no-target-named", "no target was named").with_hint(HOW)
}

/// What is said of a target that is missing, forbidden, or of another protocol.
pub(crate) fn no_such_target() -> Refusal {
    Refusal::builtin(Code::Policy, "no-such-target", "there is no such target, or you may not connect to it")
        .with_hint("Ask an administrator which targets your groups may use.")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::Route;

    #[test]
    fn names() {
        for (user, database, expected) in [
            ("alice", "shop", "alice shop -"),
            ("alice", "shop/stock", "alice shop stock"),
            ("alice", "shop/a/b", "alice shop a/b"),
            ("alice%shop", "", "alice shop -"),
            ("alice%shop", "alice%shop", "alice shop -"),
            ("alice%shop", "alice", "alice shop -"),
            ("alice%shop", "shop", "alice shop -"),
            ("alice%shop", "stock", "alice shop stock"),
            ("alice%shop", "shop/stock", "alice shop stock"),
            ("a%b%shop", "stock", "a%b shop stock"),
            ("alice", "alice", "alice alice -"),
        ] {
            let route = Route::parse(user, Some(database)).unwrap();
            let database_named = route.database.as_deref().unwrap_or("-");
            assert_eq!(format!("{} {} {database_named}", route.user, route.target), expected, "{user} {database}");
        }
        assert!(Route::parse("alice", None).is_err());
        assert!(Route::parse("alice", Some("")).is_err());
        assert!(Route::parse("alice", Some("alice")).unwrap().guessed);
    }
}
