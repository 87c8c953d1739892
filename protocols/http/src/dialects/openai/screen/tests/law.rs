//! The law of streams: whatever is released of a text in pieces is the whole text, masked.

use std::collections::VecDeque;

use super::*;

/// Random numbers that are the same on every run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 22] = [
            EMAIL,
            EMAIL,
            "zq7x",
            "@",
            "leak.example.com",
            ".",
            " ",
            "\n\n",
            "data: {}",
            "\"",
            "\\",
            "é",
            "😀",
            "\u{2028}",
            "{\"password\":\"hunter2\"}",
            "{",
            "[",
            "a",
            "4111 1111 1111 1111",
            "x@",
            "@y.example.org",
            "{\"to\":\"zq7x.k1\\u0040leak.example.com\"}",
        ];
        (0..self.below(8)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    /// Whether something happens that happens once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn cut<'t>(&mut self, text: &'t str) -> Vec<&'t str> {
        let longest = if self.once_in(2) { 9 } else { 40 };
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let wanted = 1 + self.below(longest);
            let (piece, tail) = rest.split_at(rest.char_indices().map(|(at, _)| at).nth(wanted).unwrap_or(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces
    }
}

fn check(run: &Run, texts: &[(String, String)]) {
    for (released, text) in texts {
        let expected = covered(text);
        assert_eq!(*released, expected, "{text:?}");
        if !text.trim_start().starts_with(['{', '[']) {
            assert_eq!(*released, closed().scrub(text), "{text:?}");
        }
    }
    let everything = run.unescaped();
    assert!(!everything.contains(EMAIL), "{everything}");
}

/// Merges lists into one, keeping the order of each.
fn interleave<T>(dice: &mut Dice, mut lists: Vec<VecDeque<T>>) -> Vec<T> {
    let mut merged = Vec::new();
    loop {
        lists.retain(|list| !list.is_empty());
        if lists.is_empty() {
            return merged;
        }
        let list = dice.below(lists.len());
        merged.extend(lists[list].pop_front());
    }
}

fn logprobs(piece: &str) -> Value {
    json!([{ "token": piece, "bytes": piece.as_bytes(), "logprob": -0.1, "top_logprobs": [{ "token": piece }] }])
}

/// One choice of a chat, and what is left to say of it.
struct Choice<'t> {
    index: usize,
    pieces: [VecDeque<&'t str>; FIELDS.len()],
    finished: bool,
}

const FIELDS: [&str; 3] = ["content", "refusal", "reasoning_content"];

impl Choice<'_> {
    /// What a chunk says of the choice, if it says anything: a piece of some of its texts, and whether they are over.
    fn turn(&mut self, dice: &mut Dice) -> Option<Value> {
        if self.finished || dice.once_in(3) {
            return None;
        }
        let mut delta = serde_json::Map::new();
        let mut said = "";
        for (field, pieces) in FIELDS.iter().zip(&mut self.pieces) {
            if let Some(piece) = pieces.pop_front_if(|_| !dice.once_in(3)) {
                said = piece;
                delta.insert((*field).to_owned(), piece.into());
            }
        }
        self.finished = self.pieces.iter().all(VecDeque::is_empty) && dice.once_in(2);
        let reason = self.finished.then_some("stop");
        let mut choice = json!({ "index": self.index, "delta": delta, "finish_reason": reason });
        if dice.once_in(4) {
            choice["logprobs"] = json!({ "content": logprobs(said) });
        }
        Some(choice)
    }
}

#[test]
fn chat_releases_what_a_whole_message_would_say() {
    let mut dice = Dice::new(1);
    for _ in 0..1_000 {
        let mut run = Run::masked(Shape::Chat);
        let choices = 1 + dice.below(3);
        let texts: Vec<[String; 3]> = (0..choices).map(|_| FIELDS.map(|_| dice.text())).collect();
        let mut lists: Vec<Choice<'_>> = Vec::new();
        for (index, texts) in texts.iter().enumerate() {
            let pieces = texts.each_ref().map(|text| dice.cut(text).into());
            lists.push(Choice { index, pieces, finished: false });
        }
        while lists.iter().any(|choice| !choice.finished) {
            let said: Vec<Value> = lists.iter_mut().filter_map(|choice| choice.turn(&mut dice)).collect();
            run.event(&json!({ "object": "chat.completion.chunk", "choices": said }).to_string());
        }
        run.event("[DONE]").end(End::Clean);
        assert_eq!(run.log.last().unwrap(), "end");
        let data = run.data();
        let released = |index: usize, field: &str| {
            let choices = data.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap());
            choices
                .filter(|choice| choice["index"] == index)
                .filter_map(|choice| choice["delta"][field].as_str())
                .collect()
        };
        let texts = texts.iter().enumerate().flat_map(|(index, texts)| {
            FIELDS.iter().zip(texts).map(move |(field, text)| (released(index, field), text.clone()))
        });
        check(&run, &texts.collect::<Vec<_>>());
    }
}

#[test]
fn completions_release_what_a_whole_text_would_say() {
    let mut dice = Dice::new(2);
    for _ in 0..1_500 {
        let text = dice.text();
        let mut run = Run::masked(Shape::Completions);
        let pieces = dice.cut(&text);
        for (at, piece) in pieces.iter().enumerate() {
            // The last piece may come together with the reason, or before it.
            let reason = (at + 1 == pieces.len() && dice.once_in(2)).then_some("stop");
            let choice =
                json!({ "index": 0, "text": piece, "logprobs": { "tokens": [piece] }, "finish_reason": reason });
            run.event(&json!({ "choices": [choice] }).to_string());
        }
        run.event("[DONE]").end(End::Clean);
        let data = run.data();
        let released = data.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
        check(&run, &[(released, text)]);
    }
}

#[test]
fn responses_release_what_their_copies_say() {
    let mut dice = Dice::new(3);
    for _ in 0..1_000 {
        let mut run = Run::masked(Shape::Responses);
        let mut lists = Vec::new();
        let mut texts = Vec::new();
        for output_index in 0..=dice.below(2) {
            for base in ["response.output_text", "response.reasoning_text", "response.mcp_call_arguments"] {
                let text = dice.text();
                let id = format!("item_{output_index}");
                let mut events = VecDeque::new();
                for piece in dice.cut(&text) {
                    let mut event = json!({ "type": format!("{base}.delta"), "item_id": id,
                        "output_index": output_index, "content_index": 0, "delta": piece });
                    if dice.once_in(4) {
                        event["logprobs"] = logprobs(piece);
                    }
                    events.push_back(event);
                }
                events.push_back(json!({ "type": format!("{base}.done"), "item_id": id, "output_index": output_index,
                    "content_index": 0, "text": text }));
                lists.push(events);
                texts.push((output_index, base, text));
            }
        }
        for (number, mut event) in interleave(&mut dice, lists).into_iter().enumerate() {
            event["sequence_number"] = number.into();
            run.event(&event.to_string());
        }
        let output: Vec<Value> = texts.iter().map(|(_, _, text)| json!({ "type": "message", "text": text })).collect();
        let done = json!({ "type": "response.completed", "sequence_number": 999, "response": { "output": output } });
        run.event(&done.to_string()).end(End::Clean);
        assert_eq!(run.log.last().unwrap(), "end");
        let data = run.data();
        let numbers: Vec<i64> = data.iter().map(|event| event["sequence_number"].as_i64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let of = |index: usize, kind: String, field: &str| -> String {
            let events = data.iter().filter(|event| event["type"] == kind && event["output_index"] == index);
            events.filter_map(|event| event[field].as_str()).collect()
        };
        let texts: Vec<_> = texts
            .iter()
            .map(|(index, base, text)| {
                let released = of(*index, format!("{base}.delta"), "delta");
                assert_eq!(released, of(*index, format!("{base}.done"), "text"), "the copy says the same");
                (released, text.clone())
            })
            .collect();
        check(&run, &texts);
    }
}

#[test]
fn deltas_that_are_objects_keep_each_text_apart() {
    let mut dice = Dice::new(4);
    for _ in 0..500 {
        let mut run = Run::masked(Shape::Other);
        let [first, second] = [dice.text(), dice.text()];
        let mut lists = Vec::new();
        for (index, text) in [&first, &second].into_iter().enumerate() {
            let event = |piece: &&str| {
                json!({ "id": "msg_1", "object": "thread.message.delta", "delta": { "content": [
                    { "index": index, "type": "text", "text": { "value": piece, "annotations": [] } },
                ]}})
            };
            lists.push(dice.cut(text).iter().map(event).collect());
        }
        for event in interleave(&mut dice, lists) {
            run.named(Some("thread.message.delta".into()), &event.to_string());
        }
        run.named(Some("thread.message.completed".into()), r#"{"id":"msg_1"}"#);
        run.named(Some("done".into()), "[DONE]").end(End::Clean);
        assert!(run.log.ends_with(&["done|[DONE]".to_owned(), "end".to_owned()]), "{:?}", run.log);
        let data = run.data();
        let released = |index: usize| {
            let parts = data.iter().filter_map(|event| event["delta"]["content"].as_array()).flatten();
            parts.filter(|part| part["index"] == index).filter_map(|part| part["text"]["value"].as_str()).collect()
        };
        check(&run, &[(released(0), first), (released(1), second)]);
    }
}

#[test]
fn calls_that_nobody_asks_about_are_masked_as_json() {
    let mut dice = Dice::new(5);
    let arguments = [r#"{"to":"zq7x.k1\u0040leak.example.com","password":"hunter2"}"#, r#"{"to":"a","n":[1,2]}"#];
    for _ in 0..500 {
        let mut run = Run::masked(Shape::Chat);
        let lists = arguments.iter().enumerate().map(|(index, arguments)| {
            let piece = |piece: &&str| {
                json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [
                    { "index": index, "id": "", "function": { "arguments": piece } },
                ]}}]})
            };
            dice.cut(arguments).iter().map(piece).collect()
        });
        let lists = lists.collect();
        for event in interleave(&mut dice, lists) {
            run.event(&event.to_string());
        }
        run.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#).event("[DONE]");
        let data = run.data();
        let released = |index: usize| {
            let calls = data.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
            let pieces =
                calls.filter(|call| call["index"] == index).filter_map(|call| call["function"]["arguments"].as_str());
            pieces.collect::<String>()
        };
        for (index, arguments) in arguments.iter().enumerate() {
            assert_eq!(released(index), covered(arguments));
        }
        let everything = run.unescaped();
        assert!(!everything.contains(EMAIL) && !everything.contains(PASSWORD), "{everything}");
    }
}
