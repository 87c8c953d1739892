//! Streams that no server sends: nothing panics, and no canary leaves.

use super::law::Dice;
use super::*;

const KINDS: [&str; 16] = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.shell_call_command.delta",
    "response.mcp_call_arguments.delta",
    "response.mcp_call_arguments.done",
    "response.audio.delta",
    "response.unheard_of.delta",
    "keepalive",
    "response.completed",
    "error",
];

const OF_AGENTS: [&str; 9] = [
    "agent.output.command_execution_output.delta",
    "agent.session.environment.failed",
    "agent.session.idle",
    "agent.session.news",
    "agent.session.turn.failed",
    "agent.session.turn.item.added",
    "agent.session.turn.item.done",
    "agent.session.turn.output_text.delta",
    "agent.session.turn.output_text.done",
];

const MEMBERS: [&str; 24] = [
    "item",
    "output_index",
    "content_index",
    "item_id",
    "delta",
    "text",
    "arguments",
    "response",
    "output",
    "logprobs",
    "audio",
    "data",
    "content",
    "tool_calls",
    "function",
    "name",
    "id",
    "index",
    "type",
    "usage",
    "finish_reason",
    "sequence_number",
    "obfuscation",
    "status",
];

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth == 0 { 9 } else { 12 }) {
        0 => json!(EMAIL),
        1 => json!(format!("to {EMAIL}, and")),
        2 => json!(format!("{{\"mail\":\"{EMAIL}\",\"password\":\"{PASSWORD}\"}}")),
        3 => json!(dice.below(3)),
        4 => Value::Null,
        5 => json!(["function_call", "message", "shell_call", "mcp_call", "function", "custom", "stop"][dice.below(7)]),
        6 => json!("Hi. "),
        7 => json!("a"),
        8 => json!(-1),
        9 => Value::Array((0..dice.below(3)).map(|_| value(dice, depth - 1)).collect()),
        _ => object(dice, depth - 1),
    }
}

fn object(dice: &mut Dice, depth: usize) -> Value {
    let members = (0..dice.below(5)).map(|_| (MEMBERS[dice.below(MEMBERS.len())].to_owned(), value(dice, depth)));
    Value::Object(members.collect())
}

fn event(dice: &mut Dice, shape: Shape) -> Value {
    let mut event = object(dice, 3);
    match shape {
        Shape::Chat | Shape::Completions => {
            let choices = (0..dice.below(3)).map(|index| {
                let mut choice = object(dice, 3);
                choice["index"] = json!(index);
                choice["delta"] = object(dice, 3);
                if dice.below(2) == 0 {
                    let function = json!({ "name": "f", "arguments": value(dice, 1) });
                    choice["delta"]["tool_calls"] =
                        json!([{ "index": dice.below(2), "id": EMAIL, "function": function }]);
                }
                choice["finish_reason"] = if dice.below(6) == 0 { json!("tool_calls") } else { Value::Null };
                choice
            });
            event["choices"] = choices.collect();
        }
        Shape::Responses | Shape::Other | Shape::Agents => {
            // The last two end a stream, so they are rare.
            let kinds = if dice.below(8) == 0 { KINDS.len() } else { KINDS.len() - 2 };
            let kind =
                if shape == Shape::Agents { OF_AGENTS[dice.below(OF_AGENTS.len())] } else { KINDS[dice.below(kinds)] };
            event["type"] = json!(kind);
            event["output_index"] = json!(dice.below(3));
            if dice.below(2) == 0 {
                event["item"] = object(dice, 2);
                event["item"]["type"] = json!(["function_call", "shell_call", "message"][dice.below(3)]);
            }
        }
    }
    event
}

#[test]
fn no_stream_of_events_lets_a_canary_out() {
    let mut dice = Dice::new(6);
    let (mut faults, mut asked) = (0, 0);
    for round in 0..2_500 {
        let shape = [Shape::Chat, Shape::Completions, Shape::Responses, Shape::Other, Shape::Agents][round % 5];
        let firewall = if dice.below(2) == 0 { Firewall::On } else { Firewall::Off };
        let mut run = Run::new(closed(), shape, options(firewall));
        for _ in 0..dice.below(12) {
            run.event(&event(&mut dice, shape).to_string());
        }
        run.event("[DONE]").end(End::Clean);
        faults += usize::from(!run.fault_free());
        let questions = |line: &&String| line.starts_with("ask ");
        asked += run.log.iter().filter(questions).count();
        let everything = run.unescaped();
        assert!(!everything.contains(EMAIL), "{:#?}", run.log);
        assert_eq!(run.log.last().unwrap(), "end");
        assert_eq!(run.log.iter().filter(|line| *line == "end").count(), 1);
    }
    assert!(faults < 1_900 && asked > 250, "{faults} faults, {asked} questions: the test tests something");
}

#[test]
fn no_body_lets_a_canary_out() {
    let mut dice = Dice::new(7);
    let mut shown = 0;
    for _ in 0..2_000 {
        let mut body = object(&mut dice, 5);
        body["choices"] =
            json!([{ "message": object(&mut dice, 4), "finish_reason": "tool_calls" }, value(&mut dice, 3)]);
        body["output"] = json!([object(&mut dice, 3), object(&mut dice, 3)]);
        let mut run = Run::new(closed(), Shape::Other, options(Firewall::On));
        let fault = run.screen.body(body.to_string().into()).err();
        run.drain();
        assert_eq!(run.log.pop().unwrap(), "end");
        if fault.or(run.screen.fault()).is_some() {
            assert!(run.raw.is_empty());
            continue;
        }
        shown += 1;
        let out: Value = serde_json::from_str(run.log.last().unwrap()).unwrap();
        let mut texts = String::new();
        push_texts(&out, &mut texts);
        assert!(!texts.contains(EMAIL) && !texts.contains("\"password\":\"hunter2\""), "{texts}");
    }
    assert!(shown > 500, "{shown} were shown: the test tests something");
}

#[test]
fn an_event_like_the_last_one_is_not_trusted_for_it() {
    let chunk = |id: &str, padding: &str, number: &str| {
        format!(
            r#"{{"id":"{id}","obfuscation":"{padding}","choices":[{{"index":0,"delta":{{"content":"Hi. "}}}}],"sequence_number":{number}}}"#
        )
    };
    let mut run = Run::masked(Shape::Chat);
    run.event(&chunk("a", "b", "1")).event(&chunk("a", "c", "2"));
    for event in [
        chunk(EMAIL, "b", "1"),
        chunk("a", EMAIL, "1"),
        chunk("a", "b", &format!("\"{EMAIL}\"")),
        chunk("a", "b", "4111111111111111"),
    ] {
        run.event(&event).event(&chunk("a", "b", "3"));
    }
    assert_eq!(run.log.iter().filter(|line| line.contains("***")).count(), 4, "{:#?}", run.log);
    assert!(!run.unescaped().contains("zq7x") && !run.unescaped().contains("4111111111111111"));
}
