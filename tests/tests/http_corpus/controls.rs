//! What must come through unchanged, in both directions and however it comes (HZ).

use serde_json::{Value, json};
use sluice_tests::evasion::Evasion;
use sluice_tests::openai::Api;

use crate::attempt::{Attempt, questions};

/// The attempts of a case.
pub(crate) fn attempts(case: &Evasion) -> Vec<Attempt> {
    case.values().iter().flat_map(|value| [questions(case, value), answers(value)].concat()).collect()
}

/// The text as an answer, whole and in pieces.
fn answers(value: &str) -> Vec<Attempt> {
    let text: String =
        serde_json::from_str::<Value>(value).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
    let mut attempts = Vec::new();
    for api in Api::BOTH {
        let whole = api.answer(value);
        let question = api.question("\"Hello.\"");
        let attempt = Attempt::post(format!("{value} from {api:?}"), api, question);
        let answered = Some((api, whole.clone().into_bytes()));
        attempts.push(Attempt { answered, ..attempt.script(move |_, peer| peer.json(&whole)) });

        let pieces: Vec<String> = text.chars().map(String::from).collect();
        let events = api.events(&pieces);
        let attempt = Attempt::post(format!("{value} from {api:?}, streamed"), api, api.streamed("\"Hello.\""));
        let answered = Some((api, events.concat().into_bytes()));
        attempts.push(Attempt { answered, ..attempt.streaming(&events) });
    }
    let arguments = json!({ "to": text }).to_string();
    for api in Api::BOTH {
        let whole = api.calling("lookup_order", &arguments).to_string();
        let attempt =
            Attempt::post(format!("{value} in a call of {api:?}"), api, api.offering("\"Hello.\"", &["lookup_order"]));
        let answered = Some((api, whole.clone().into_bytes()));
        attempts.push(Attempt { answered, ..attempt.script(move |_, peer| peer.json(&whole)) });
    }
    attempts
}
