//! Chat completions: one document, or a stream of chunks (<https://platform.openai.com/docs/api-reference/chat>).

use serde_json::{Value, json};

use super::ask::{Ask, Form, Logprobs, words};
use super::brain::{Call, Ending};
use super::desk::{Desk, seconds};
use super::fault::Fault;
use super::pace::{Step, data, pieces};

/// What every document of one completion has in common.
pub(super) struct Completion<'a> {
    ask: &'a Ask,
    id: String,
    created: u64,
}

impl<'a> Completion<'a> {
    pub(super) fn new(ask: &'a Ask, desk: &Desk) -> Self {
        Self { ask, id: desk.id("chatcmpl"), created: seconds() }
    }

    /// A text, as one document.
    pub(super) fn said(&self, text: &str) -> Value {
        let message = json!({ "role": "assistant", "content": text, "refusal": null, "annotations": [] });
        self.document(&message, &self.logprobs(&pieces(text)), "stop", words(&json!(text)))
    }

    /// Calls, as one document.
    pub(super) fn called(&self, calls: &[Call], desk: &Desk) -> Value {
        let tools: Vec<Value> = calls.iter().map(|call| tool(call, &desk.id("call"))).collect();
        let spent = words(&json!(tools));
        let message = json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": tools });
        self.document(&message, &Value::Null, "tool_calls", spent)
    }

    fn document(&self, message: &Value, logprobs: &Value, finish: &str, spent: u64) -> Value {
        let choice =
            |index| json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish });
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.ask.model,
            "choices": (0..self.ask.choices).map(choice).collect::<Vec<_>>(), "usage": self.usage(spent),
            "service_tier": "default", "system_fingerprint": null,
        })
    }

    /// A text, as a stream; the choices take turns.
    pub(super) fn say(&self, text: &str, ending: Ending) -> Vec<Step> {
        let mut steps = self.each(&json!({ "role": "assistant", "content": "", "refusal": null }));
        let pieces = pieces(text);
        let told = if ending == Ending::Finish { pieces.len() } else { pieces.len().div_ceil(2) };
        for piece in pieces.iter().take(told) {
            for index in 0..self.ask.choices {
                let logprobs = self.logprobs(std::slice::from_ref(piece));
                let choice = choice(index, &json!({ "content": piece }), &logprobs, &Value::Null);
                steps.push(Step::Trickle(data(&self.chunk(&json!([choice]), Value::Null))));
            }
        }
        match ending {
            Ending::Finish => self.finish(&mut steps, "stop", words(&json!(text))),
            Ending::Fail => steps.push(Step::Trickle(data(&json!({ "error": Fault::staged(500).object() })))),
            Ending::HangUp => steps.push(Step::HangUp),
        }
        steps
    }

    /// Calls, as a stream.
    pub(super) fn call(&self, calls: &[Call], desk: &Desk) -> Vec<Step> {
        let mut steps = self.each(&json!({ "role": "assistant", "content": null, "refusal": null }));
        for (place, call) in calls.iter().enumerate() {
            let mut opened = tool(&Call { name: call.name, arguments: String::new() }, &desk.id("call"));
            if let Some(members) = opened.as_object_mut() {
                members.insert("index".to_owned(), json!(place));
            }
            steps.extend(self.each(&json!({ "tool_calls": [opened] })));
            for piece in pieces(&call.arguments) {
                let arguments = json!([{ "index": place, "function": { "arguments": piece } }]);
                let more = self.each(&json!({ "tool_calls": arguments })).into_iter().map(later);
                steps.extend(more);
            }
        }
        let spent: u64 = calls.iter().map(|call| words(&json!(call.arguments))).sum();
        self.finish(&mut steps, "tool_calls", spent);
        steps
    }

    /// The same delta for every choice.
    fn each(&self, delta: &Value) -> Vec<Step> {
        let chunk = |index| {
            let choice = choice(index, delta, &Value::Null, &Value::Null);
            Step::Send(data(&self.chunk(&json!([choice]), Value::Null)))
        };
        (0..self.ask.choices).map(chunk).collect()
    }

    fn finish(&self, steps: &mut Vec<Step>, reason: &str, spent: u64) {
        for index in 0..self.ask.choices {
            let choice = choice(index, &json!({}), &Value::Null, &json!(reason));
            steps.push(Step::Send(data(&self.chunk(&json!([choice]), Value::Null))));
        }
        if self.ask.form == Form::StreamWithUsage {
            steps.push(Step::Send(data(&self.chunk(&json!([]), self.usage(spent)))));
        }
        steps.push(Step::Send("data: [DONE]\n\n".into()));
    }

    fn chunk(&self, choices: &Value, usage: Value) -> Value {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.ask.model,
            "choices": choices, "service_tier": "default", "system_fingerprint": null,
        });
        // Only a stream that ends with the usage has the member, and null until then.
        if let (Form::StreamWithUsage, Some(members)) = (self.ask.form, chunk.as_object_mut()) {
            members.insert("usage".to_owned(), usage);
        }
        chunk
    }

    fn logprobs(&self, pieces: &[String]) -> Value {
        if self.ask.logprobs == Logprobs::Leave {
            return Value::Null;
        }
        let token =
            |piece: &String| json!({ "token": piece, "logprob": -0.25, "bytes": piece.as_bytes(), "top_logprobs": [] });
        json!({ "content": pieces.iter().map(token).collect::<Vec<_>>(), "refusal": null })
    }

    fn usage(&self, spent: u64) -> Value {
        let spent = spent.saturating_mul(self.ask.choices);
        json!({
            "prompt_tokens": self.ask.words, "completion_tokens": spent,
            "total_tokens": self.ask.words.saturating_add(spent),
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }
}

fn choice(index: u64, delta: &Value, logprobs: &Value, finish: &Value) -> Value {
    json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish })
}

fn tool(call: &Call, id: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
}

fn later(step: Step) -> Step {
    match step {
        Step::Send(bytes) | Step::Trickle(bytes) => Step::Trickle(bytes),
        Step::HangUp => Step::HangUp,
    }
}
