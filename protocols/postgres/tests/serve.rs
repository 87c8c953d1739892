//! Whole connections: client, protocol, a toy broker, and a PostgreSQL server.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod toy;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sluice_model::{Tag, TargetName};
use sluice_postgres::{Cleartext, Deadlines, MaskKey, Postgres, PostgresSettings, RoleEntry, ServerTls, Target, check};
use sluice_wire::{Credential, Finding, FlowError, HungUp, Io, Peer, Protocol as _, Targets};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_postgres::{Config, NoTls};

use toy::{PASSWORD, Server, TOKEN, Toy};

fn target(socket: &Path, columns: &[&str]) -> Target {
    Target {
        host: socket.to_str().unwrap().to_owned(),
        port: 5432,
        database: "postgres".to_owned(),
        databases: vec!["stock".to_owned(), "template1".to_owned()],
        tls: ServerTls::VerifyFull,
        certificate: None,
        dangerous_passwords: Vec::new(),
        roles: Vec::new(),
        function_calls: Vec::new(),
        search_path: vec!["public".to_owned()],
        columns: columns.iter().map(|name| ((*name).to_owned(), vec![Tag::new("pii.contact").unwrap()])).collect(),
    }
}

/// A protocol with one target.
#[derive(Clone)]
struct Stand {
    protocol: Arc<Postgres>,
    targets: Arc<ArcSwap<Targets<Target>>>,
    toy: Toy,
}

impl Stand {
    fn new(target: Target, credential: (&str, Option<&str>)) -> Self {
        let settings = PostgresSettings {
            tls: None,
            cleartext: Cleartext::DangerousLoopback,
            deadlines: Deadlines::STANDARD,
            bearer: None,
            mask_key: MaskKey([7; 32]),
        };
        let named = (TargetName::new("shop").unwrap(), Arc::new(target));
        let credential = (credential.0.to_owned(), credential.1.map(str::to_owned));
        let toy = Toy { credential, ..Toy::default() };
        let targets = Arc::new(ArcSwap::from_pointee(Targets::from_iter([named])));
        Self { protocol: Arc::new(Postgres::new(settings)), targets, toy }
    }

    /// A connection to the protocol, and its end.
    fn dial(&self) -> (DuplexStream, JoinHandle<Result<(), FlowError>>) {
        let (ours, theirs) = duplex(64 * 1024);
        let stand = self.clone();
        let peer = Peer { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 4)) };
        let serving = tokio::spawn(async move {
            let io = Io {
                stream: Box::new(theirs),
                peer,
                hung_up: HungUp::default(),
                ending: Box::pin(std::future::pending()),
            };
            stand.protocol.serve(io, &stand.targets, &stand.toy).await
        });
        (ours, serving)
    }

    async fn connect(&self, change: impl FnOnce(&mut Config) -> &mut Config) -> Result<tokio_postgres::Client, String> {
        let mut config = Config::new();
        config.user("alice").password(TOKEN).dbname("shop");
        change(&mut config);
        let (stream, _) = self.dial();
        match config.connect_raw(stream, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                Ok(client)
            }
            Err(error) => {
                let said = error.as_db_error().map(|said| format!("{} {}", said.code().code(), said.message()));
                Err(said.unwrap_or_else(|| error.to_string()))
            }
        }
    }
}

async fn one(client: &tokio_postgres::Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn sessions_at_a_server() {
    let server = Server::start();
    let good = ("app", Some(Server::PASSWORD));
    let stand = Stand::new(target(&server.socket_dir(), &["public.customers.email"]), good);
    a_session(&stand).await;
    a_cancel(&stand).await;
    refusals(&stand).await;
    credentials(&server).await;
    findings(&server).await;
    columns_that_are_gone(&server).await;
}

async fn a_session(stand: &Stand) {
    let client = stand.connect(|config| config.options("-c TimeZone=Asia/Tokyo")).await.unwrap();
    for (setting, value) in [
        ("TimeZone", "Asia/Tokyo"),
        ("search_path", "\"public\", pg_temp"),
        ("client_encoding", "UTF8"),
        ("application_name", "sluice alice s-1"),
    ] {
        assert_eq!(one(&client, &format!("SELECT current_setting('{setting}')")).await, value);
    }
    assert_eq!(one(&client, "SELECT session_user::text").await, "app");
    assert_eq!(stand.toy.events(), ["open shop", "carry"]);

    let scram = stand.connect(|config| config.password(PASSWORD).options("-c sluice.auth=scram-sha-256")).await;
    assert_eq!(one(&scram.unwrap(), "SELECT 'in'").await, "in");
    let other = stand.connect(|config| config.dbname("shop/stock")).await.unwrap();
    assert_eq!(one(&other, "SELECT current_database()::text").await, "stock");
    let percent = stand.connect(|config| config.user("alice%shop").dbname("alice%shop")).await.unwrap();
    assert_eq!(one(&percent, "SELECT current_database()::text").await, "postgres");
}

async fn a_cancel(stand: &Stand) {
    let client = stand.connect(|config| config).await.unwrap();
    let token = client.cancel_token();
    let sleeping = client.batch_execute("SELECT pg_sleep(3600)");
    let cancelling = async {
        // The server may take the request before the statement; then it has no effect and must be made again.
        loop {
            let (stream, serving) = stand.dial();
            token.cancel_query_raw(stream, NoTls).await.unwrap();
            serving.await.unwrap().unwrap();
        }
    };
    let ended = tokio::select! {
        ended = sleeping => ended,
        () = cancelling => panic!("the statement went on"),
    };
    assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
}

async fn refusals(stand: &Stand) {
    let scram = "-c sluice.auth=scram-sha-256";
    type Change = fn(&mut Config) -> &mut Config;
    let cases: [(&str, Change, &str); 7] = [
        ("a wrong token", |c| c.password("bad"), "28000 sign-in failed"),
        ("a target that is not there", |c| c.dbname("nowhere"), "42501 there is no such target"),
        ("a target of another protocol", |c| c.dbname("other"), "42501 there is no such target"),
        ("a name that no target can have", |c| c.dbname("no such; name"), "42501 there is no such target"),
        ("a database that is not served", |c| c.dbname("shop/postgres2"), "42501 the target does not serve"),
        ("a database without the tagged column", |c| c.dbname("shop/template1"), "08006 the target's protection"),
        ("another search path", |c| c.options("-c search_path=archive,public"), "42501 the startup setting"),
    ];
    for (name, change, expected) in cases {
        let said = stand.connect(change).await.map(drop).unwrap_err();
        assert!(said.starts_with(expected), "{name}: {said}");
    }
    for user in ["alice", "nobody"] {
        let said = stand.connect(|config| config.user(user).password("bad").options(scram)).await;
        assert_eq!(said.map(drop).unwrap_err(), "28000 sign-in failed", "{user}");
    }
    assert!(stand.toy.events().contains(&"abandon no-such-database".to_owned()));
}

async fn credentials(server: &Server) {
    let socket = server.socket_dir();
    for (socket, credential, expected) in [
        (socket.as_path(), ("app", Some("wrong")), "08006 the server refused the broker's credential (28P01)"),
        (socket.as_path(), ("app", None), "08006 the server asks for a password and none is configured"),
        (socket.as_path(), ("postgres", Some("x")), "08006 the server let the broker in without proving"),
        (socket.as_path(), ("nobody", None), "08006 the server refused the broker's credential (28000)"),
        (Path::new("/nowhere"), ("app", Some("x")), "08006 the server cannot be reached"),
    ] {
        let stand = Stand::new(target(socket, &[]), credential);
        let said = stand.connect(|config| config).await.map(drop).unwrap_err();
        assert!(said.starts_with(expected), "{credential:?}: {said}");
        assert_eq!(stand.toy.events(), ["open shop", "abandon server-unavailable"]);
    }
}

async fn findings(server: &Server) {
    let credential = || Some(Credential::new("app".to_owned(), Some(Server::PASSWORD.to_owned().into())));
    let mut one = target(&server.socket_dir(), &["public.customers.em*"]);
    one.databases.clear();
    let found = check(&one, credential()).await;
    let tagged = "`public.customers.email` in `postgres` is tagged pii.contact";
    assert!(found.contains(&Finding::Resolved(tagged.to_owned())), "{found:?}");
    assert!(!found.iter().any(|finding| matches!(finding, Finding::Wrong(_) | Finding::Unchecked(_))), "{found:?}");

    let roles = ["pg_monitor", "nobody"].map(str::to_owned);
    one.roles = roles.map(|role| RoleEntry { principal: None, group: None, role }).to_vec();
    let found = check(&one, credential()).await;
    let wrong: Vec<&Finding> = found.iter().filter(|finding| matches!(finding, Finding::Wrong(_))).collect();
    assert!(wrong.len() == 2 && format!("{wrong:?}").contains("may not become `nobody`"), "{found:?}");
    one.roles.clear();

    one.columns.insert("public.customers.phone".to_owned(), vec![]);
    let found = check(&one, credential()).await;
    let [Finding::Wrong(line)] = found.as_slice() else { panic!("{found:?}") };
    assert!(line.contains("`public.customers.phone`"), "{line}");
    assert!(matches!(check(&one, None).await.as_slice(), [Finding::Unchecked(_)]));
    one.host = "/nowhere".to_owned();
    assert!(matches!(check(&one, credential()).await.as_slice(), [Finding::Unchecked(_)]));
}

async fn columns_that_are_gone(server: &Server) {
    let columns = ["public.customers.email"];
    server.sql("ALTER TABLE customers RENAME COLUMN email TO mail");
    let stand = Stand::new(target(&server.socket_dir(), &columns), ("app", Some(Server::PASSWORD)));
    let said = stand.connect(|config| config).await.map(drop).unwrap_err();
    assert!(said.starts_with("08006 the target's protection cannot be enforced"), "{said}");
    assert!(!said.contains("email"), "{said}");
    assert_eq!(stand.toy.events(), ["open shop", "abandon catalog-unavailable"]);
    server.sql("ALTER TABLE customers RENAME COLUMN mail TO email");
    assert!(stand.connect(|config| config).await.is_ok(), "a failure is not remembered");
}
