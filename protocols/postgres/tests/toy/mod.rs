//! A broker that knows one token, one login and one target, and a PostgreSQL server of its own.

use std::future::poll_fn;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use sluice_model::{
    Code, ExposeSecret as _, Part, Person, Principal, Refusal, Secret, SessionId, TargetName, TokenId, UnixMicros, Who,
};
use sluice_wire::{
    Authenticated, Broker, Claim, Credential, FlowError, Grant, Interrupt, Interrupted, Link, LinkError, Machine,
    NoObjects, Objects, Peer, ScramParameters,
};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "good-token";
pub(crate) const PASSWORD: &str = "pencil";
const SALT: &[u8] = b"salt";
const ITERATIONS: u32 = 4096;

/// What happened at the toy broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toy {
    pub(crate) credential: (String, Option<String>),
    pub(crate) events: Arc<Mutex<Vec<String>>>,
}

impl Toy {
    fn note(&self, event: impl Into<String>) {
        self.events.lock().unwrap().push(event.into());
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

pub(crate) struct ToyGrant {
    principal: Principal,
    target: TargetName,
    session: SessionId,
    credential: Arc<Credential>,
}

struct Idle;

impl Interrupt for Idle {
    fn withdraw(&self) -> Interrupted {
        Interrupted::Nothing
    }
}

impl Grant for ToyGrant {
    fn principal(&self) -> &Principal {
        &self.principal
    }
    fn target(&self) -> &TargetName {
        &self.target
    }
    fn session(&self) -> &SessionId {
        &self.session
    }
    fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }
    fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(NoObjects)
    }
    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Idle)
    }
}

pub(crate) fn alice() -> Principal {
    Principal {
        who: Who::User(Person { name: "alice".to_owned(), groups: [].into() }),
        token: TokenId::new("t-1").unwrap(),
        expires: UnixMicros(i64::MAX),
        targets: None,
        run: None,
    }
}

fn unknown() -> Refusal {
    Refusal::builtin(Code::Unauthenticated, "sign-in", "sign-in failed")
}

impl Broker for Toy {
    type Grant = ToyGrant;
    type Stem = TargetName;

    async fn challenge(&self, _user: &str) -> Result<ScramParameters, Refusal> {
        Ok(ScramParameters { salt: SALT.to_vec(), iterations: ITERATIONS })
    }

    async fn authenticate(&self, claim: Claim) -> Result<Authenticated, Refusal> {
        let server_signature = match claim {
            Claim::Token(token) if token.expose_secret() == TOKEN => None,
            Claim::Scram { user, auth_message, proof } if user == "alice" => {
                let salted = salted(PASSWORD.as_bytes());
                let client_key = mac(&salted, b"Client Key");
                let mut expected = mac(&Sha256::digest(client_key), &auth_message);
                expected.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
                if proof != expected {
                    return Err(unknown());
                }
                Some(mac(&mac(&salted, b"Server Key"), &auth_message))
            }
            Claim::Token(_)
            | Claim::Scram { .. }
            | Claim::Key { .. }
            | Claim::Certificate { .. }
            | Claim::Tls { .. } => {
                return Err(unknown());
            }
        };
        Ok(Authenticated { principal: alice(), server_signature })
    }

    async fn open(&self, who: &Principal, target: &TargetName, _: Option<Part>, _: Peer) -> Result<ToyGrant, Refusal> {
        self.note(format!("open {target}"));
        if !["shop", "other"].contains(&target.as_str()) {
            return Err(Refusal::builtin(Code::Policy, "no-such-target", "there is no such target"));
        }
        let (user, secret) = &self.credential;
        let credential = Arc::new(Credential::new(user.clone(), secret.clone().map(Secret::from)));
        let session = SessionId::new("s-1").unwrap();
        Ok(ToyGrant { principal: who.clone(), target: target.clone(), session, credential })
    }

    /// Passes frames on as they are: what is tested here is everything around the machine.
    async fn join(&self, who: &Principal, target: &TargetName, peer: Peer) -> Result<ToyGrant, Refusal> {
        self.open(who, target, None, peer).await
    }

    fn stem(&self, grant: &ToyGrant) -> TargetName {
        grant.target.clone()
    }

    async fn branch(&self, stem: &TargetName) -> Result<ToyGrant, Refusal> {
        self.open(&alice(), stem, None, Peer { address: ([127, 0, 0, 1], 0).into() }).await
    }

    fn admits(&self, _who: &Principal, _target: &TargetName, _peer: Peer) -> bool {
        true
    }

    async fn carry<M, C, S>(&self, _grant: ToyGrant, _machine: M, client: C, server: S) -> Result<(), FlowError>
    where
        M: Machine,
        C: Link<Frame = M::Frame>,
        S: Link<Frame = M::Frame>,
    {
        self.note("carry");
        let (mut client, mut server) = (client, server);
        poll_fn(|cx| {
            if pump(&mut client, &mut server, cx)? || pump(&mut server, &mut client, cx)? {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
        .map_err(FlowError::Server)
    }

    async fn abandon(&self, _grant: ToyGrant, reason: &Refusal) {
        self.note(format!("abandon {}", reason.rule));
    }
}

/// Moves what there is; true at the end of the stream.
fn pump<F: Link>(from: &mut F, to: &mut impl Link<Frame = F::Frame>, cx: &mut Context<'_>) -> Result<bool, LinkError> {
    let mut ended = false;
    while let Poll::Ready(next) = from.poll_next(cx) {
        match next? {
            Some(frame) => to.feed(frame),
            None => {
                ended = true;
                break;
            }
        }
    }
    let _ = to.poll_flush(cx)?;
    Ok(ended)
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn salted(password: &[u8]) -> [u8; 32] {
    let mut block = mac(password, &[SALT, &1_u32.to_be_bytes()].concat());
    let mut sum = block;
    for _ in 1..ITERATIONS {
        block = mac(password, &block);
        sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// A throw-away server on a Unix socket, stopped and deleted when dropped.
pub(crate) struct Server {
    dir: TempDir,
    bin: PathBuf,
}

impl Server {
    pub(crate) const PASSWORD: &'static str = "server-secret";

    /// Starts a server whose role `app` signs in with SCRAM and whose role `postgres` is trusted.
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("sluice-pg").tempdir().unwrap();
        let server = Self { dir, bin: binaries() };
        let data = server.socket_dir();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&data));
        }
        let data_dir = data.join("data");
        run(server.command("initdb").args(["-A", "trust", "-N", "-U", "postgres", "-E", "UTF8", "-D"]).arg(&data_dir));
        let options = format!("-c listen_addresses= -c fsync=off -k {}", data.display());
        let log = data.join("log");
        run(server
            .command("pg_ctl")
            .args(["-w", "-D"])
            .arg(&data_dir)
            .arg("-l")
            .arg(log)
            .args(["-o", &options, "start"]));
        server.sql(&format!(
            "CREATE ROLE app LOGIN PASSWORD '{}'; CREATE TABLE customers (id int, email text);
             GRANT SELECT ON customers TO app",
            Self::PASSWORD
        ));
        server.sql("CREATE DATABASE stock TEMPLATE postgres");
        std::fs::write(data_dir.join("pg_hba.conf"), "local all app scram-sha-256\nlocal all all trust\n").unwrap();
        server.sql("SELECT pg_reload_conf()");
        server
    }

    pub(crate) fn socket_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Runs statements as the superuser.
    pub(crate) fn sql(&self, text: &str) {
        run(self.command("psql").arg("-h").arg(self.dir.path()).args(["-q", "-U", "postgres", "-c", text]));
    }

    fn command(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.dir.path().join("data");
        let _ = self.command("pg_ctl").args(["-m", "immediate", "-D"]).arg(data).arg("stop").output();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
    let in_path =
        std::env::var_os("PATH").and_then(|path| std::env::split_paths(&path).find(|at| at.join("initdb").exists()));
    found.or(in_path).expect("these tests need the PostgreSQL server programs: run `make setup`")
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
