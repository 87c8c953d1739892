//! The demo's data and configuration.

use std::net::SocketAddr;
use std::path::Path;

use super::database::Database;
use super::host::Host;

/// One customer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Customer {
    pub(crate) id: i32,
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) ssn: &'static str,
    pub(crate) notes: Option<&'static str>,
}

/// One order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) id: i32,
    pub(crate) customer: i32,
    pub(crate) item: &'static str,
    pub(crate) total: &'static str,
}

const fn customer(
    id: i32,
    name: &'static str,
    email: &'static str,
    ssn: &'static str,
    notes: Option<&'static str>,
) -> Customer {
    Customer { id, name, email, ssn, notes }
}

const fn order(id: i32, customer: i32, item: &'static str, total: &'static str) -> Order {
    Order { id, customer, item, total }
}

/// Invented people; the numbers are from a range that is never issued.
pub(crate) const CUSTOMERS: [Customer; 6] = [
    customer(1, "Ada Winters", "ada.winters@example.com", "900-11-0001", Some("prefers calls in the morning")),
    customer(2, "Bao Tran", "bao.tran@example.net", "900-11-0002", None),
    customer(3, "Carmen Ruiz", "carmen.ruiz@example.org", "900-11-0003", Some("disputed an invoice in May")),
    customer(4, "Dele Okafor", "dele.okafor@example.com", "900-11-0004", Some("moving to Lagos")),
    customer(5, "Elif Kaya", "elif.kaya@example.net", "900-11-0005", None),
    customer(6, "Finn Larsen", "finn.larsen@example.org", "900-11-0006", Some("VIP")),
];

/// What they bought.
pub(crate) const ORDERS: [Order; 8] = [
    order(10, 1, "walnut desk", "899.00"),
    order(11, 1, "desk lamp", "49.50"),
    order(12, 2, "office chair", "329.00"),
    order(13, 3, "bookshelf", "210.00"),
    order(14, 4, "monitor arm", "119.90"),
    order(15, 4, "standing mat", "59.00"),
    order(16, 6, "walnut desk", "899.00"),
    order(17, 6, "cable tray", "24.90"),
];

/// The statements that make the tables, owned by the role that the broker signs in as.
pub(crate) fn sql() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let customers = CUSTOMERS.iter().map(|c| {
        let notes = c.notes.map_or_else(|| "NULL".to_owned(), quoted);
        format!("({}, {}, {}, {}, {notes})", c.id, quoted(c.name), quoted(c.email), quoted(c.ssn))
    });
    let orders = ORDERS.iter().map(|o| format!("({}, {}, {}, {})", o.id, o.customer, quoted(o.item), o.total));
    format!(
        "CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, ssn text NOT NULL, notes text);\n\
         CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers (id), item text NOT NULL, \
         total numeric(10,2) NOT NULL);\n\
         INSERT INTO customers VALUES {};\nINSERT INTO orders VALUES {};\nANALYZE;\n",
        customers.collect::<Vec<_>>().join(", "),
        orders.collect::<Vec<_>>().join(", ")
    )
}

/// Where the demo listens, and the port of its model API.
#[derive(Debug)]
pub(crate) struct Listens {
    pub(crate) postgres: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) ssh: SocketAddr,
    pub(crate) model: u16,
}

/// The demo's configuration file.
pub(crate) fn configuration(database: &Database, secret: Option<&Path>, key: &Path, listens: &Listens) -> String {
    let tls = database
        .authority()
        .map_or_else(|| "dangerous_plaintext".to_owned(), |authority| format!("{{ ca: {} }}", quoted(authority)));
    let password = secret
        .map_or_else(String::new, |file| format!(", password: {}", quoted_text(&format!("file:{}", file.display()))));
    format!(
        "# The demo's configuration; it goes when the demo ends.\n\
         listen: {{ postgres: \"{}\", http: \"{}\", ssh: \"{}\" }}\n\
         data_dir: ./var\n\
         policies: ./policies\n\
         limits: {{ idle_seconds: 5 }}\n\
         classification:\n\
         \x20 - {{ tag: pii, redact: redact }}\n\
         \x20 - {{ tag: pii.contact, partial: {{ partial: {{ keep_last: 4 }} }} }}\n\
         targets:\n\
         \x20 shop:\n\
         \x20   protocol: postgres\n\
         \x20   environment: prod\n\
         \x20   credential: {{ user: app{password} }}\n\
         \x20   host: localhost\n\
         \x20   port: {}\n\
         \x20   database: shop\n\
         \x20   tls: {tls}\n\
         \x20   columns:\n\
         \x20     public.customers.email: [pii.contact]\n\
         \x20     public.customers.ssn: [pii]\n\
         \x20     public.customers.notes: [pii]\n\
         \x20 openai:\n\
         \x20   protocol: http\n\
         \x20   environment: prod\n\
         \x20   credential: {{ password: {} }}\n\
         \x20   url: http://127.0.0.1:{}/v1\n\
         \x20   tls: dangerous_plaintext\n\
         \x20   dialect: openai\n\
         \x20   models: {{ gpt-demo: {{ input_price: 2.0, output_price: 8.0 }} }}\n\
         \x20   destructive_tools: [\"delete_*\", \"drop_*\"]\n",
        listens.postgres,
        listens.http,
        listens.ssh,
        database.port(),
        quoted_text(&format!("file:{}", key.display())),
        listens.model,
    )
}

/// The host's part of it, where there is a host.
pub(crate) fn host(host: Option<&Host>) -> String {
    let Some(host) = host else { return String::new() };
    format!(
        "\x20 web:\n\
         \x20   protocol: ssh\n\
         \x20   environment: prod\n\
         \x20   credential: {{ user: {}, password: {} }}\n\
         \x20   host: 127.0.0.1\n\
         \x20   port: {}\n\
         \x20   host_keys: [{}]\n\
         \x20   links: followed\n",
        quoted_text(host.user()),
        quoted_text(&format!("file:{}", host.login_key().display())),
        host.port(),
        quoted_text(host.host_key()),
    )
}

fn quoted(path: &Path) -> String {
    quoted_text(&path.display().to_string())
}

/// A YAML string in double quotes, which has JSON's escapes.
fn quoted_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
