//! Two databases that are equal but for the protected values, and a broker in front of both.

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, OWNER, Server};
use sluice_tests::wait::until;
use sluice_tests::wire::{Wire, say};
use std::time::Duration;

/// The corpus wants COPY refused; who may copy gets masks as well, which `e2e/wire_masks.rs` shows.
const POLICY: &str = "\
    @id(\"analysts-read\")\n\
    permit (principal in Group::\"analysts\", action in [Action::\"connect\", Action::\"read\"], resource);\n\
    @id(\"analysts-take-nothing-along\")\n\
    forbid (principal, action == Action::\"sql.copy_out\", resource);\n";

/// What stands in the second world in the place of each protected value.
const OTHERS: [(&str, &str); 6] = [
    ("'zq7x.k1@leak.example.com'", "'someone.else@other.example.org'"),
    ("'zq7x.k2@leak.example.com'", "NULL"),
    ("'zq7x.k3@leak.example.com'", "'b@x.example'"),
    ("'900-55-0001'", "'123-45-6789'"),
    ("'900-55-0002'", "'11-222-333344'"),
    ("'900-55-0003'", "'z'"),
];

/// What must not change: rows, relations, the sequence.
const STATE: &str = "\
    SELECT md5(concat_ws('|',\
     (SELECT string_agg(o::text, ';' ORDER BY o::text) FROM orders o),\
     (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM customers c),\
     (SELECT string_agg(a::text, ';' ORDER BY a::text) FROM archive.customers a),\
     (SELECT string_agg(m::text, ';' ORDER BY m::text) FROM marker m),\
     (SELECT string_agg(relname || relnamespace::regnamespace || coalesce(relacl::text, ''), ';' ORDER BY oid)\
        FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'),\
     (SELECT string_agg(proname || prosrc, ';' ORDER BY oid) FROM pg_proc WHERE oid >= 16384),\
     (SELECT string_agg(rolname, ';' ORDER BY oid) FROM pg_roles),\
     (SELECT last_value::text || is_called FROM seq1),\
     (SELECT count(*) FROM pg_largeobject_metadata)))";

/// A world's databases and target names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) target: &'static str,
    pub(crate) database: &'static str,
}

/// The policy that lets everything through, to see that the checks see it.
const OPEN: &str = "\
    @id(\"everything\") permit (principal, action, resource);\n";

/// Both worlds.
pub(crate) struct Worlds {
    pub(crate) server: &'static Server,
    pub(crate) broker: Broker,
    pub(crate) token: String,
    pub(crate) user: &'static str,
    /// The world of the corpus, and the one that differs.
    pub(crate) first: World,
    pub(crate) second: World,
    schema: String,
}

impl Worlds {
    /// Worlds whose analyst may only read, with masks.
    pub(crate) fn guarded(schema: &str) -> Self {
        let first = World { target: "corpus", database: "demo" };
        let second = World { target: "corpus2", database: "demo2" };
        Self::make(schema, "analyst", [first, second], POLICY)
    }

    /// Worlds in which everything is permitted.
    pub(crate) fn open(schema: &str) -> Self {
        let first = World { target: "open", database: "open" };
        let second = World { target: "open2", database: "open2" };
        Self::make(schema, "anybody", [first, second], OPEN)
    }

    fn make(schema: &str, user: &'static str, [first, second]: [World; 2], policy: &str) -> Self {
        let server = Server::shared();
        let role = "DO $$ BEGIN CREATE ROLE app_ro; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$";
        let _role = server.admin("postgres").query(role).ok();
        make(server, first, schema);
        make(server, second, &in_other_words(schema));
        // Where everything is permitted, nothing is tagged either.
        let tagged: &[&str] = if policy == OPEN { &[] } else { &["email", "ssn"] };
        let target = |world: World| {
            let database = Database { server, name: world.database.to_owned() };
            let columns = tagged.iter().map(|column| (format!("*.customers*.{column}"), "pii".to_owned())).collect();
            Target { user: OWNER.to_owned(), columns, ..Target::new(world.target, "staging", &database) }
        };
        let mut setup = Setup::new(vec![target(first), target(second)]);
        setup.policies = vec![("read.cedar".to_owned(), policy.to_owned())];
        let broker = Broker::start(&setup);
        let token = broker.token(user, "analysts");
        Self { server, broker, token, user, first, second, schema: schema.to_owned() }
    }

    /// How the server knows the sessions of the analyst.
    pub(crate) fn application(&self) -> String {
        format!("sluice {}", self.user)
    }

    /// What a world holds.
    pub(crate) fn state(&self, world: World) -> String {
        Database { server: self.server, name: world.database.to_owned() }.truth(STATE)
    }

    /// Makes a world again.
    pub(crate) fn remake(&self, world: World) {
        let _dropped = self.server.admin("postgres").query(&format!("DROP DATABASE {} (FORCE)", world.database)).ok();
        let schema =
            if world.database == self.second.database { in_other_words(&self.schema) } else { self.schema.clone() };
        make(self.server, world, &schema);
        // The broker reads a catalog anew for who connects a second after it did: until then it knows the one before.
        until(Duration::from_secs(20), "the broker to know the database that was made anew", || {
            let mut wire = Wire::tcp(self.broker.port());
            wire.sign_in(&[("user", self.user), ("database", world.target)], &self.token).ok()?;
            let reply = wire.query("SELECT id FROM orders");
            wire.send(&say::terminate());
            reply.error().is_none().then_some(())
        });
        self.settle();
    }

    /// Waits until no client's connection to the server is left.
    pub(crate) fn settle(&self) {
        let mut admin = self.server.admin("postgres");
        until(Duration::from_secs(20), "the client's server connection to end", || {
            let left = admin.query(&format!(
                "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE '{}%'",
                self.application()
            ));
            let left = left.ok();
            left.rows().is_empty().then_some(())
        });
    }
}

fn make(server: &Server, world: World, schema: &str) {
    let _made = server.admin("postgres").query(&format!("CREATE DATABASE {}", world.database)).ok();
    let _filled = server.admin(world.database).query(schema).ok();
}

/// The data with other protected values.
fn in_other_words(schema: &str) -> String {
    OTHERS.iter().fold(schema.to_owned(), |text, (from, to)| text.replace(from, to))
}
