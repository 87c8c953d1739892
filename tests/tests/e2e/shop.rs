//! The data that most tests share the shape of, and brokers in front of it.

use std::fs;

use sluice_tests::broker::{Broker, Setup, Target};
use sluice_tests::database::{Database, Server};

/// Customers with protected columns, and orders without.
pub(crate) const DATA: &str = "\
    CREATE TABLE customers(id int PRIMARY KEY, name text, email text, ssn text, notes text);\
    CREATE TABLE orders(id int PRIMARY KEY, customer_id int REFERENCES customers(id), total numeric);\
    INSERT INTO customers VALUES\
     (1,'Alice','zq7x.k1@leak.example.com','900-55-0001','vip'),\
     (2,'Bob','zq7x.k2@leak.example.com','900-55-0002',NULL),\
     (3,'Carol','zq7x.k3@leak.example.com','900-55-0003','late payer');\
    INSERT INTO orders VALUES (10,1,99.50),(11,1,12.00),(12,3,7.25)";

/// People in this group may let the server sleep.
pub(crate) const SLEEPERS: &str = "\
    @id(\"sleepers-read\") permit (principal in Group::\"sleepers\", action in [Action::\"connect\", Action::\"read\"], resource);\n\
    @id(\"sleepers-sleep\") permit (principal in Group::\"sleepers\", action == Action::\"sql.call\",\
    resource == Function::\"shop/pg_catalog/pg_sleep\");\n";

/// A fresh database and a broker: `shop` is staging, `shop-prod` is production.
pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) broker: Broker,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::with(|setup| setup)
    }

    pub(crate) fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let database = Server::shared().database(DATA);
        let targets = vec![Target::new("shop", "staging", &database), Target::new("shop-prod", "prod", &database)];
        let setup = Setup::new(targets).policy("sleepers.cedar", SLEEPERS);
        let broker = Broker::start(&change(setup));
        Self { database, broker }
    }

    /// The same with a changed configuration file.
    pub(crate) fn configured(change: impl FnOnce(Setup) -> Setup, file: impl FnOnce(&str) -> String) -> Self {
        let database = Server::shared().database(DATA);
        let setup = Setup::new(vec![Target::new("shop", "staging", &database)]).policy("sleepers.cedar", SLEEPERS);
        let broker = Broker::start_with(&change(setup), file);
        Self { database, broker }
    }

    /// Changes the broker's configuration, and waits until it is in force.
    pub(crate) fn reload(&self, change: impl FnOnce(&str) -> String) {
        let file = self.broker.folder().join("sluice.yaml");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let from = self.broker.log().len();
        let changed = change(&text);
        assert!(changed != text, "nothing changes in:\n{text}");
        assert!(fs::write(&file, changed).is_ok(), "our folder");
        self.broker.logs(from, "the configuration was reloaded");
    }

    /// The statements of a table, as one text, to compare before and after.
    pub(crate) fn contents(&self) -> String {
        self.database.truth(
            "SELECT (SELECT string_agg(o::text, ';' ORDER BY id) FROM orders o)\
             || (SELECT string_agg(c::text, ';' ORDER BY id) FROM customers c)\
             || (SELECT string_agg(relname, ';' ORDER BY oid) FROM pg_class WHERE oid >= 16384)",
        )
    }
}
