//! What is compared, on loopback: the mock itself, nginx before it, and Sluice before it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use sluice_tests::keeper::Kept;
use tempfile::TempDir;

use super::client::Client;
use super::mock::{Cutting, EMAIL};
use crate::stand::{broker, free_port, keep, listens, place, ready, tool, unprivileged};

/// The group that the bench's own policy lets in.
const GROUP: &str = "bench";
/// It chats, and nobody reveals anything to it: what a detector finds is masked.
const POLICY: &str = r#"
@id("bench-chats")
permit (
  principal in Group::"bench",
  action in [Action::"connect", Action::"read", Action::"execute"],
  resource in Env::"prod"
);
"#;

/// One way from a client to the mock.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// The processes between client and mock.
    pub(super) pids: Vec<u32>,
    /// What stands before the paths of the API.
    base: &'static str,
    token: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    /// An answer of about a kilobyte.
    Whole,
    /// The chunks of a stream.
    Stream(Cutting),
}

/// Everything that runs. The ways end before the mock they lead to.
#[derive(Debug)]
pub(super) struct Stand {
    /// The direct way first and Sluice last.
    pub(super) ways: Vec<Way>,
    mock_port: u16,
    _processes: Vec<Kept>,
    folder: TempDir,
}

/// One way whose process has carried nothing yet; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) way: Way,
    _process: Kept,
}

impl Way {
    /// A request as it is sent.
    pub(super) fn request(&self, ask: Ask) -> Vec<u8> {
        let (model, stream) = match ask {
            Ask::Whole => ("bench", false),
            Ask::Stream(cutting) => (cutting.model(), true),
        };
        let body = json!({
            "model": model,
            "messages": [
                { "role": "system", "content": "You answer questions about orders. Be brief and name no other customer." },
                { "role": "user", "content": "Where are my three parcels, and can I collect the last one myself?" },
            ],
            "temperature": 0.2, "max_completion_tokens": 400, "stream": stream,
        })
        .to_string();
        let Self { port, base, token, .. } = self;
        format!(
            "POST {base}/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: sluice-bench\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// A request for the list of models.
    fn request_models(&self) -> Vec<u8> {
        let Self { port, base, token, .. } = self;
        let head = format!("GET {base}/v1/models HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}");
        format!("{head}\r\nAccept: application/json\r\n\r\n").into_bytes()
    }

    /// Whether what comes through is what should: protected values only where nobody masks them.
    fn check(&self) -> Result<()> {
        let mut client = Client::connect(self)?;
        client.exchange(&self.request_models())?;
        for ask in [Ask::Whole, Ask::Stream(Cutting::AfterWords), Ask::Stream(Cutting::BeforeSpaces)] {
            let text = client.ask(&self.request(ask))?.text()?;
            let masked = text.contains("***");
            if masked == self.base.is_empty() || (masked && text.contains(EMAIL)) {
                bail!("what came through {} for {ask:?} is not what should:\n{text}", self.name);
            }
        }
        Ok(())
    }
}

impl Stand {
    /// Starts everything; it all ends with this process.
    pub(super) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sluice-bench-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let (mock, mock_port) = mock(folder.path())?;
        let direct = Way { name: "direct", port: mock_port, pids: Vec::new(), base: "", token: "direct".to_owned() };
        let mut stand = Self { ways: vec![direct], mock_port, _processes: vec![mock], folder };
        let others = [stand.fresh_nginx("nginx")?, Some(stand.fresh_sluice("broker")?)];
        for Fresh { way, _process } in others.into_iter().flatten() {
            stand.ways.push(way);
            stand._processes.insert(0, _process);
        }
        stand.ways.iter().try_for_each(Way::check)?;
        Ok(stand)
    }

    /// Another nginx to the same mock, unless none is installed.
    pub(super) fn fresh_nginx(&self, name: &str) -> Result<Option<Fresh>> {
        installed_nginx().map(|program| nginx(&program, self.folder.path(), name, self.mock_port)).transpose()
    }

    /// Another broker to the same mock, with a folder of its own.
    pub(super) fn fresh_sluice(&self, name: &str) -> Result<Fresh> {
        sluice(self.folder.path(), name, self.mock_port)
    }
}

/// nginx, where it is installed or was unpacked by `make setup`.
fn installed_nginx() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/nginx/usr/sbin/nginx");
    tool("nginx").ok().or_else(|| unpacked.is_file().then_some(unpacked))
}

fn mock(folder: &Path) -> Result<(Kept, u16)> {
    let log = folder.join("mock.log");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("mock");
    let kept = keep(&command, &log, None, "TERM");
    let port = ready("the mock", &kept, &log, || fs::read_to_string(&log).ok()?.trim().parse().ok())?;
    Ok((kept, port))
}

fn nginx(program: &Path, folder: &Path, name: &str, server: u16) -> Result<Fresh> {
    let ids = unprivileged()?;
    let home = place(folder, name, ids)?;
    let port = free_port()?;
    let text = include_str!("nginx.conf").replace("@folder@", &home.display().to_string());
    let file = home.join("nginx.conf");
    fs::write(&file, text.replace("@server@", &server.to_string()).replace("@port@", &port.to_string()))?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&home).args(["-e", "stderr", "-c"]).arg(&file);
    let log = home.join("log");
    let kept = keep(&command, &log, ids, "TERM");
    ready("nginx", &kept, &log, || listens(port).then_some(()))?;
    let pids = std::iter::once(kept.pid()).chain(children(kept.pid())).collect();
    let way = Way { name: "nginx", port, pids, base: "", token: "nginx".to_owned() };
    Ok(Fresh { way, _process: kept })
}

/// The broker under the repository's policies and the bench's own.
fn sluice(folder: &Path, name: &str, server: u16) -> Result<Fresh> {
    let home = place(folder, name, None)?;
    let policies = place(&home, "policies", None)?;
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    for entry in fs::read_dir(&packs).with_context(|| packs.display().to_string())? {
        let path = entry?.path();
        if let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|ending| ending == "cedar")) {
            fs::copy(&path, policies.join(name))?;
        }
    }
    fs::write(policies.join("bench.cedar"), POLICY)?;
    let key = home.join("key");
    fs::write(&key, "sk-of-the-mock\n")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let file = home.join("sluice.yaml");
    fs::write(
        &file,
        format!(
            "listen:\n  postgres: 127.0.0.1:0\n  http: 127.0.0.1:0\n  dangerous_cleartext_loopback: true\n\
             data_dir: ./var\npolicies: ./policies\nlimits: {{ unauthenticated_per_address: 2048 }}\ntargets:\n  \
             openai:\n    protocol: http\n    environment: prod\n    credential: {{ password: \"file:{}\" }}\n    \
             url: http://127.0.0.1:{server}/v1\n    dialect: openai\n    tls: dangerous_plaintext\n",
            key.display()
        ),
    )?;
    let (kept, port, token) = broker(&file, "http", GROUP)?;
    let way = Way { name: "Sluice", port, pids: vec![kept.pid()], base: "/openai", token };
    Ok(Fresh { way, _process: kept })
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}
