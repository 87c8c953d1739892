//! openai-python's own tests of its resources, through the broker: what passes without it passes with it.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use sluice_tests::api::Api;
use sluice_tests::broker::{Broker, Setup, root};
use sluice_tests::keeper::{Keeping, Kept};
use sluice_tests::run::run;
use sluice_tests::sdk::folder;
use sluice_tests::wait::until;

/// About as many there are in openai-python 3.3.1; fewer means that the suite was not run.
const AT_LEAST: usize = 6_000;
/// How long they may take.
const SUITE: Duration = Duration::from_secs(900);

/// Everything is permitted, so that nothing is masked: the tests compare what comes with what was described.
const OPEN: &str = r#"@id("everything") permit (principal, action, resource);"#;

/// The mock of the whole API, on a port that was free a moment ago.
fn mock() -> (Kept, u16) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let port = listener.and_then(|socket| socket.local_addr()).map(|address| address.port()).unwrap_or_default();
    let place = tempfile::Builder::new().prefix("sluice-test-steady-").tempdir();
    let place = place.map(|place| place.keep()).unwrap_or_default();
    let log = place.join("log");
    let mut command = Command::new("bash");
    command.arg(folder().join("mock.sh")).arg(port.to_string());
    let keeping = Keeping { end_with: "TERM", log: &log, folder: Some(&place), before: "", after: "", run_as: None };
    let kept = Kept::start(&command, &keeping);
    until(Duration::from_secs(60), "the mock of the API to be ready", || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert!(kept.is_running(), "the mock did not start (`make setup` installs it):\n{said}");
        let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        client.write_all(b"GET /_x-steady/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut heard = String::new();
        let _heard = std::io::Read::read_to_string(&mut client, &mut heard);
        heard.starts_with("HTTP/1.1 200").then_some(())
    });
    (kept, port)
}

/// What became of the tests.
#[derive(Debug, Eq, PartialEq)]
struct Counts {
    passed: usize,
    skipped: usize,
    failed: usize,
}

/// Runs the tests against an address.
fn suite(url: &str, key: &str) -> (Counts, String) {
    let began = Instant::now();
    let mut suite = Command::new("bash");
    suite.arg(folder().join("suite.sh")).arg(url).args(["tests/api_resources", "--tb=line"]);
    let finished = run(suite.env("SLUICE_KEY", key).current_dir(root()), SUITE);
    let counts = Counts {
        passed: count(&finished.stdout, "passed"),
        skipped: count(&finished.stdout, "skipped"),
        failed: count(&finished.stdout, "failed") + count(&finished.stdout, "errors"),
    };
    let report = format!("\nopenai-python's own tests at {url}: {counts:?} in {:?}\n", began.elapsed());
    let _unseen = std::io::stderr().write_all(report.as_bytes());
    let tail: Vec<&str> = finished.stdout.lines().rev().take(60).collect();
    (counts, tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
}

/// A number in pytest's last line: `6247 passed, 24 skipped in 17.99s`.
fn count(said: &str, word: &str) -> usize {
    let words: Vec<&str> = said.split_whitespace().collect();
    let pair = words.windows(2).rev().find(|pair| pair.last().is_some_and(|last| last.trim_end_matches(',') == word));
    pair.and_then(|pair| pair.first()?.parse().ok()).unwrap_or(0)
}

#[test]
fn openai_pythons_own_tests_pass_as_they_do_without_the_broker() {
    let (steady, port) = mock();
    let direct = suite(&format!("http://127.0.0.1:{port}"), "");
    assert!(direct.0.passed > AT_LEAST && direct.0.failed == 0, "{}", direct.1);
    let target = Api { url: format!("http://127.0.0.1:{port}"), ..Api::openai("openai", "prod", port) };
    let broker = Broker::start(&Setup::http(vec![target.with("detectors: []")], OPEN));
    let url = format!("http://127.0.0.1:{}/openai", broker.http_port());
    let brokered = suite(&url, &broker.token("ann", "staff"));
    assert_eq!(brokered.0, direct.0, "{}", brokered.1);
    broker.log_is_clean();
    drop(steady);
}
