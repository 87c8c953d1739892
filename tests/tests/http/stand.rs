//! What most tests need: a server that answers as it is told, and a broker in front of it.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use sluice_tests::api::Api;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::http::{Request, Response};
use sluice_tests::mock::{Answer, Mock, Peer, Told};
use sluice_tests::openai;

/// Whoever is of the staff may do what a program does; nobody sees or sends protected values.
pub(crate) const STAFF: &str = r#"
@id("staff-works")
permit (
  principal in Group::"staff",
  action in [Action::"connect", Action::"read", Action::"write", Action::"execute"],
  resource
);
"#;

/// A broker with two targets on one server: `openai`, and `files` without any detectors.
pub(crate) struct Stand {
    pub(crate) mock: Mock,
    pub(crate) broker: Broker,
    pub(crate) token: String,
}

impl Stand {
    /// Under the policy for the staff.
    pub(crate) fn open(answer: impl Answer) -> Self {
        Self::with(answer, "", |api| api, |setup| setup)
    }

    /// In front of this server.
    pub(crate) fn before(mock: Mock) -> Self {
        Self::make(mock, "", |api| api, |setup| setup)
    }

    /// With further policies, a changed target and a changed setup.
    pub(crate) fn with(
        answer: impl Answer,
        policies: &str,
        target: impl FnOnce(Api) -> Api,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        Self::make(Mock::start(answer), policies, target, change)
    }

    fn make(mock: Mock, policies: &str, target: impl FnOnce(Api) -> Api, change: impl FnOnce(Setup) -> Setup) -> Self {
        let api = target(Api::openai("openai", "prod", mock.port()));
        let files = Api::rest("files", "prod", mock.port()).with("detectors: []");
        let setup = Setup::http(vec![api, files], &format!("{STAFF}{policies}"));
        Self::started(mock, &change(setup), str::to_owned)
    }

    /// With further policies and a changed configuration file.
    pub(crate) fn configured(answer: impl Answer, policies: &str, change: impl FnOnce(&str) -> String) -> Self {
        let mock = Mock::start(answer);
        let api = Api::openai("openai", "prod", mock.port());
        let setup = Setup::http(vec![api], &format!("{STAFF}{policies}"));
        Self::started(mock, &setup, change)
    }

    fn started(mock: Mock, setup: &Setup, change: impl FnOnce(&str) -> String) -> Self {
        let broker = Broker::start_with(setup, change);
        let token = broker.token("ann", "staff");
        Self { mock, broker, token }
    }

    /// Asks once, on a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        self.broker.http().ask(request)
    }

    /// A question of the staff's.
    pub(crate) fn post(&self, path: &str, body: &str) -> Request {
        Request::post(path, &self.token, body)
    }

    /// A question without a body.
    pub(crate) fn get(&self, path: &str) -> Request {
        Request::get(path, &self.token)
    }

    /// A chat, whole or streamed, about a text.
    pub(crate) fn chat(&self, text: &str) -> Request {
        self.post("/openai/v1/chat/completions", &openai::Api::Chat.question(&Value::from(text).to_string()))
    }

    pub(crate) fn streamed_chat(&self, text: &str) -> Request {
        self.post("/openai/v1/chat/completions", &openai::Api::Chat.streamed(&Value::from(text).to_string()))
    }

    /// The id of the newest session.
    pub(crate) fn session(&self) -> String {
        let sessions = self.broker.json(&["sessions", "list"]);
        let id = sessions.first().and_then(|session| session["id"].as_str().map(str::to_owned));
        id.unwrap_or_default()
    }

    /// What is recorded of the newest session; nothing where there is none.
    pub(crate) fn recorded(&self) -> Vec<Value> {
        let session = self.session();
        if session.is_empty() { Vec::new() } else { self.broker.json(&["replay", &session]) }
    }
}

/// Answers every request with its own path and the number of its connection.
pub(crate) fn echo(told: &Told, peer: &mut Peer) {
    let path = told.line().split(' ').nth(1).unwrap_or_default();
    peer.json(&format!(r#"{{"path":"{path}","connection":{},"bytes":{}}}"#, told.connection, told.body_bytes));
}

/// Answers as OpenAI's API would: with one short text.
pub(crate) fn model(told: &Told, peer: &mut Peer) {
    let api = if told.line().ends_with("/responses") { openai::Api::Responses } else { openai::Api::Chat };
    if told.line().starts_with("GET ") {
        peer.json(r#"{"object":"list","data":[]}"#);
    } else if told.json()["stream"] == true {
        peer.events(&api.events(&["It is ", "fine."]));
    } else {
        peer.json(&api.answer("\"It is fine.\""));
    }
}
