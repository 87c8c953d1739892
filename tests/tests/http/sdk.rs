//! Unmodified SDKs: through the broker they see what they see without it, but for what is masked and refused.
#![expect(clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_tests::api::Api as Target;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::canary::Scan;
use sluice_tests::demo::{self, Demo};
use sluice_tests::sdk::{Sdk, serve};

use crate::stand::STAFF;

/// What is seen and sent as it is.
const OPEN: &str = r#"
@id("all-is-open")
permit (principal, action in [Action::"reveal", Action::"disclose"], resource);
"#;

const PYTHON: [&str; 3] = ["chat.py", "responses.py", "agents_sdk.py"];
const NODE: [&str; 2] = ["chat.mjs", "responses.mjs"];

/// What no two runs have in common.
const OWN: [&str; 2] = ["headers", "seconds"];

/// A broker before a model API that wants to see a key.
fn broker(port: u16, key: &str, policies: &str) -> (Broker, Sdk) {
    let target = Target { key: key.to_owned(), ..Target::openai("openai", "prod", port) };
    let broker = Broker::start(&Setup::http(vec![target], &format!("{STAFF}{policies}")));
    let url = format!("http://127.0.0.1:{}/openai/v1", broker.http_port());
    let sdk = Sdk::new(&url, &broker.token("ann", "staff"));
    (broker, sdk)
}

fn alike(programs: &[&str]) {
    let demo = Demo::shared();
    let (broker, sdk) = broker(demo.port(), demo::KEY, OPEN);
    for program in programs {
        let direct = Sdk::new(&demo.url(), demo::KEY).run(program).comparable(&OWN);
        let brokered = sdk.run(program).comparable(&OWN);
        assert!(direct.len() >= 4, "{program} has {} steps", direct.len());
        for (step, said) in &direct {
            assert_eq!(brokered.get(step), Some(said), "{program}, {step}");
        }
        assert_eq!(direct.len(), brokered.len(), "{program}");
    }
    broker.log_is_clean();
}

#[test]
fn openai_python_and_the_agents_sdk_see_no_difference() {
    alike(&PYTHON);
}

#[test]
fn openai_node_sees_no_difference() {
    alike(&NODE);
}

/// Every text of a step.
fn text(said: &BTreeMap<String, Value>) -> String {
    json!(said).to_string()
}

#[test]
fn protected_values_reach_no_sdk() {
    let demo = Demo::shared();
    let (broker, sdk) = broker(demo.port(), demo::KEY, "");
    for program in PYTHON.iter().chain(&NODE) {
        let said = text(&sdk.run(program).comparable(&[]));
        Scan::default().none_in(program, said.as_bytes());
        assert!(program.starts_with("agents") || said.contains("***"), "{program}: {said}");
    }
    let ids = broker.json(&["sessions", "list"]);
    let id = ids.first().and_then(|session| session["id"].as_str().map(str::to_owned)).unwrap_or_default();
    let replayed = broker.cli(&["replay", &id, "--no-wait"]).done().stdout;
    broker.no_secret_in("the replay", &replayed);
    assert!(replayed.contains("POST /v1/responses") && replayed.contains("***"), "{replayed}");
    broker.log_is_clean();
}

#[test]
fn values_that_others_cut_over_deltas_are_masked() {
    let (open, port) = serve("aimock.mjs", &[]);
    let direct = Sdk::new(&format!("http://127.0.0.1:{port}/v1"), "sk-aimock");
    let (guarded, port) = serve("aimock.mjs", &[("AIMOCK_KEY", "sk-aimock")]);
    let (broker, sdk) = broker(port, "sk-aimock", "");
    for program in ["chat.py", "responses.py", "chat.mjs", "responses.mjs"] {
        let run = |sdk: &Sdk| sdk.clone().with("SLUICE_STEPS", "whole,stream,helper").run(program);
        let plain = text(&run(&direct).comparable(&[]));
        assert!(plain.contains("zq7x.k1@leak.example.com"), "{program} is told nothing: {plain}");
        let masked = run(&sdk);
        Scan::default().none_in(program, text(&masked.comparable(&[])).as_bytes());
        for step in ["whole", "stream", "helper"] {
            let text = masked.step(step)["text"].as_str().unwrap_or_default().to_owned();
            assert_eq!(text, "Write to ***; the number is ***, and again ***.", "{program}, {step}");
        }
    }
    // It says what it was told.
    let told = guarded.hear("\"path\"");
    assert!(told.contains("before noon") && told.contains("***"), "{told}");
    Scan::default().none_in("the model's server", told.as_bytes());
    broker.log_is_clean();
    drop(open);
}

#[test]
fn traces_are_recorded_and_go_nowhere() {
    let demo = Demo::shared();
    let (broker, sdk) = broker(demo.port(), demo::KEY, "");
    let steps = sdk.run("agents_sdk.py");
    assert_eq!(steps.step("traces")["complaints"], json!([]));
    let sessions = broker.json(&["sessions", "list"]);
    let id = sessions.first().and_then(|session| session["id"].as_str().map(str::to_owned)).unwrap_or_default();
    let recorded = Value::from(broker.json(&["replay", &id])).to_string();
    assert!(recorded.contains("/traces/ingest"), "no trace is recorded");
}
