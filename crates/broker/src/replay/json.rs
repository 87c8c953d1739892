//! Events as JSON, one document each.

use serde_json::{Value, json};
use sluice_recording::{Event, Stored};

use super::player::Shows;

/// One event, with what its protocol shows of it.
pub(super) fn line(stored: &Stored<'_>, shows: &Shows) -> Value {
    let mut value = event(&stored.event);
    if let Value::Object(fields) = &mut value {
        fields.insert("seq".to_owned(), json!(stored.seq));
        fields.insert("at_ns".to_owned(), json!(stored.at_ns));
        fields.insert("flow".to_owned(), json!(stored.flow.0));
        for (name, lines) in [("sent", &shows.sent), ("seen", &shows.seen)] {
            if !lines.is_empty() {
                fields.insert(name.to_owned(), json!(lines));
            }
        }
    }
    value
}

fn event(event: &Event<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Event::Opened(opened) => json!({
            "event": "opened", "session": opened.session, "token": opened.token, "target": opened.target,
            "principal": opened.principal.iter().map(|actor| json!({ "name": actor.name, "groups": actor.groups }))
                .collect::<Vec<_>>(),
            "environment": opened.environment, "protocol": opened.protocol, "schema_version": opened.schema_version,
            "client": opened.client, "policy_epoch": opened.policy_epoch, "anchor_us": opened.anchor.0,
            "broker_version": opened.broker_version, "run": opened.run, "part": opened.part,
        }),
        Event::Asked(asked) => json!({
            "event": "asked", "op": asked.op.0, "action": asked.action, "understood": asked.understood,
            "stage": match asked.stage {
                sluice_model::Stage::Prepare => "prepare",
                sluice_model::Stage::Perform => "perform",
            },
            "facts": asked.facts.iter().map(|pair| (pair.name.to_string(), json!(pair.value)))
                .collect::<serde_json::Map<_, _>>(),
            "accesses": asked.accesses.iter().map(|access| json!({
                "action": access.action, "kind": access.kind, "path": access.path,
            })).collect::<Vec<_>>(),
            "digest": asked.digest.hex(), "text": text(asked.text.0),
            "bound_bytes": asked.bound.map(|bound| bound.0.len()),
        }),
        Event::Ruled(ruled) => json!({
            "event": "ruled", "op": ruled.op.0, "verdict": ruled.verdict.name(), "rules": ruled.rules,
            "masks": ruled.masks, "message": ruled.message, "decision": ruled.decision, "cached": ruled.cached,
        }),
        Event::Held(held) => {
            json!({ "event": "held", "op": held.op.0, "hold": held.hold, "approvers": held.approvers })
        }
        Event::Settled(settled) => json!({
            "event": "settled", "op": settled.op.0, "hold": settled.hold, "outcome": settled.outcome.name(),
            "people": settled.people,
        }),
        Event::Passed(passed) => json!({
            "event": "passed", "op": passed.op.0, "toward": passed.toward.name(), "bytes": passed.frame.0.len(),
        }),
        Event::Cut(cut) => json!({
            "event": "cut", "op": cut.op.0, "toward": cut.toward.name(), "bytes": cut.bytes,
            "sha256": cut.digest.hex(),
        }),
        Event::Done(op) => json!({ "event": "done", "op": op.0 }),
        Event::Noted(noted) => json!({
            "event": "noted", "kind": noted.kind,
            "values": noted.pairs.iter().map(|pair| (pair.name.to_string(), json!(pair.value)))
                .collect::<serde_json::Map<_, _>>(),
        }),
        Event::Gap(gap) => json!({ "event": "gap", "reason": gap.reason, "bytes": gap.bytes }),
        Event::Closed(closed) => json!({
            "event": "closed", "reason": closed.reason,
            "counters": closed.counters.iter().map(|(name, count)| (name.to_string(), json!(count)))
                .collect::<serde_json::Map<_, _>>(),
        }),
    }
}
