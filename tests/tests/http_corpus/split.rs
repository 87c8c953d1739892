//! However a stream is cut, it is masked alike: random texts in random pieces, through the real broker.
//!
//! Ten thousand cuttings of every stream are a test of the sieve itself; these are the ones with sockets in between.
#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};
use sluice_tests::corpus::Expect;
use sluice_tests::evasion::Evasions;
use sluice_tests::http::Request;
use sluice_tests::openai::{self, Api, chunk};
use sluice_tests::views::Views;

use crate::attempt::{Attempt, with_token};
use crate::attempts;
use crate::world::World;

/// How often each stream is cut.
const CUTTINGS: u64 = 200;
/// What is sent, and what may be seen of it.
const TEXT: &str = "Hi, mail zq7x.k1@leak.example.com, zq7x.k2@leak.example.com or 900-55-0001 \u{1f600} by noon.";
const MASKED: &str = "Hi, mail ***, *** or *** \u{1f600} by noon.";

/// Random numbers of a seed.
struct Dice(u64);

impl Dice {
    const fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    const fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % most.max(1) as u64).unwrap_or(0)
    }

    /// A text in pieces of one to so many characters.
    fn cut(&mut self, text: &str, most: usize) -> Vec<String> {
        let characters: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let mut rest = characters.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + self.below(most)).min(rest.len()));
            pieces.push(piece.iter().collect());
            rest = after;
        }
        pieces
    }

    /// Bytes in pieces, anywhere.
    fn cut_bytes(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let most = [3, 17, 120, 900][self.below(4)];
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + self.below(most)).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        pieces
    }
}

/// Every stream of the corpus that must be masked, cut anywhere: what comes out is always the same.
#[test]
fn streams_of_the_corpus_are_masked_alike_however_they_are_cut() {
    let world = World::guarded();
    let corpus = Evasions::load();
    let mut streams = 0;
    for case in corpus.cases.iter().filter(|case| case.expect == Expect::Masked) {
        let attempts = attempts(case, &world);
        let attempts: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.stream.is_some()).collect();
        streams += attempts.len();
        for attempt in &attempts {
            let cuttings = CUTTINGS.div_ceil(attempts.len() as u64);
            cut_anywhere(&world, &format!("{} [{}]", case.id, attempt.what), attempt, cuttings);
        }
    }
    assert!(streams > 20, "the corpus has {streams} streams");
}

fn cut_anywhere(world: &World, what: &str, attempt: &Attempt, cuttings: u64) {
    let request = with_token(&attempt.bytes, &world.token);
    let mut first = None;
    for seed in 1..=cuttings {
        let pieces = Dice::of(seed).cut_bytes(attempt.stream.as_deref().unwrap_or_default().as_bytes());
        world.answers(std::sync::Arc::new(move |_, peer| peer.events(&pieces)));
        let mut client = world.broker.http();
        client.send(&request);
        let body = client.response().with(200).body;
        assert_eq!(Views::of(&body).leaks(), Vec::<String>::new(), "{what}, seed {seed}");
        let said = (Api::Chat.text(&body), Api::Responses.text(&body), arguments_of(&body), openai::error(&body));
        assert_eq!(*first.get_or_insert_with(|| said.clone()), said, "{what}, seed {seed}");
    }
}

/// Asks for a stream and takes what comes.
fn streamed(world: &World, api: Api, body: &str, events: &str, dice: &mut Dice) -> Vec<u8> {
    let pieces = dice.cut_bytes(events.as_bytes());
    world.answers(std::sync::Arc::new(move |_, peer| peer.events(&pieces)));
    let mut client = world.broker.http();
    let response = client.ask(&Request::post(api.path(), &world.token, body)).with(200);
    assert_eq!(Views::of(&response.body).leaks(), Vec::<String>::new(), "{}", response.text());
    response.body
}

#[test]
fn texts_are_masked_alike_however_they_are_cut() {
    let world = World::guarded();
    for seed in 1..=CUTTINGS {
        let mut dice = Dice::of(seed);
        for api in Api::BOTH {
            let deltas = dice.cut(TEXT, 9);
            let body = streamed(&world, api, &api.streamed("\"Hello.\""), &api.events(&deltas).concat(), &mut dice);
            assert_eq!(api.text(&body), MASKED, "seed {seed}, {api:?}: {}", String::from_utf8_lossy(&body));
            assert!(openai::error(&body).is_none(), "seed {seed}: {}", String::from_utf8_lossy(&body));
        }
    }
}

#[test]
fn choices_and_calls_are_masked_alike_however_they_are_cut() {
    let world = World::guarded();
    for seed in 1..=CUTTINGS {
        let mut dice = Dice::of(seed);
        let body = streamed(&world, Api::Chat, &Api::Chat.streamed("\"Hello.\""), &two_choices(&mut dice), &mut dice);
        for choice in [0, 1] {
            assert_eq!(choice_text(&body, choice), MASKED, "seed {seed}: {}", String::from_utf8_lossy(&body));
        }
        for api in Api::BOTH {
            let arguments = json!({ "to": TEXT }).to_string();
            let pieces = dice.cut(&arguments, 9);
            let ask = api.offering("\"Hello.\"", &["lookup_order"]).replacen('{', "{\"stream\":true,", 1);
            let body = streamed(&world, api, &ask, &api.call("lookup_order", &pieces).concat(), &mut dice);
            let told: Value = serde_json::from_str(&arguments_of(&body)).unwrap_or_default();
            assert_eq!(told["to"], MASKED, "seed {seed}, {api:?}: {}", String::from_utf8_lossy(&body));
        }
    }
}

/// Two answers, of which now one goes on and now the other.
fn two_choices(dice: &mut Dice) -> String {
    let mut left = [dice.cut(TEXT, 6), dice.cut(TEXT, 6)].map(Vec::into_iter);
    let mut events = String::new();
    let mut idle = 0;
    while idle < 2 {
        idle = 0;
        for choice in [0, 1] {
            let run = dice.below(3);
            let Some(pieces) = left.get_mut(choice) else { continue };
            idle += usize::from(pieces.len() == 0);
            for piece in pieces.take(run) {
                let choice = u32::try_from(choice).unwrap_or_default();
                events.push_str(&chunk(choice, &json!({ "content": piece }), None));
            }
        }
    }
    for choice in [0, 1] {
        events.push_str(&chunk(choice, &json!({}), Some("stop")));
    }
    events + "data: [DONE]\n\n"
}

fn choice_text(body: &[u8], choice: u64) -> String {
    let of = |event: &Value| {
        let choices = event["choices"].as_array().cloned().unwrap_or_default();
        let ours = choices.into_iter().find(|found| found["index"] == choice)?;
        ours["delta"]["content"].as_str().map(str::to_owned)
    };
    openai::events(body).iter().filter_map(of).collect()
}

fn arguments_of(body: &[u8]) -> String {
    let of = |event: &Value| {
        let chat = event.pointer("/choices/0/delta/tool_calls/0/function/arguments");
        let responses = (event["type"] == "response.function_call_arguments.delta").then(|| &event["delta"]);
        chat.or(responses).and_then(Value::as_str).map(str::to_owned)
    };
    openai::events(body).iter().filter_map(of).collect()
}
