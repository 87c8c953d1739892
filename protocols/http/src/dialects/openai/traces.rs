//! Traces of an agent: recorded with its session, and sent to nobody.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sluice_model::{Access, Fact, Facts, Meaning, Operation, Resource, Shape, Spend, Stage};

use crate::body::{Body, document};
use crate::classes::Inside;
use crate::dialects::Expected;
use crate::frame::{Request, Response};
use crate::gathered::Share;
use crate::refusal::Words;
use crate::request::{Metered, Prepared, Question, tag_fact};
use crate::schema::{self, LLM, TRACE};
use crate::served::Served;

/// Where agents hand their traces in.
pub(super) const PATH: &str = "/traces/ingest";

/// Makes the operation that hands traces in.
pub(super) fn prepare(head: &Request, bytes: Bytes, served: &Arc<Served>, mut share: Share) -> Result<Prepared, Words> {
    share.read(&bytes)?;
    let body = Body::Json(Box::new(document(bytes)?));
    let (tags, inside) = body.tags(served);
    let mut facts = schema::SCHEMA.neutral_facts(TRACE.name).unwrap_or(Facts { group: LLM, values: Vec::new() });
    for (name, fact) in &mut facts.values {
        match *name {
            "method" => *fact = Fact::Text("POST".into()),
            "route" => *fact = Fact::Text(PATH.into()),
            "body_bytes" => *fact = Fact::Long(body.length(head)),
            "tags" => *fact = tag_fact(&tags),
            _ => {}
        }
    }
    let around = Inside::Unclear;
    let question = Question { head, around, body: &body, inside, served, action: TRACE, tags: &tags, facts };
    let mut operation =
        question.operation(vec![Access { action: TRACE, resource: Resource::target() }], Spend::REQUEST);
    // Nothing flows to the server, whatever the traces hold.
    let meaning = Meaning { exposures: Vec::new(), ..operation.shape.meaning().clone() };
    let shape = Shape::new(meaning, [&operation.shape.digest().0[..]]);
    operation = Operation { shape: shape.into(), text: operation.text.clone(), stage: Stage::Perform, ..operation };
    let own = (Response::new(StatusCode::NO_CONTENT, HeaderMap::new()), Bytes::new());
    Ok(Prepared {
        operation,
        metered: Metered::ByAnswer,
        head: head.clone(),
        around,
        body,
        share,
        inside,
        expected: Expected::nothing(),
        own: Some(own),
        objects: Vec::new(),
        results: Vec::new(),
        later: None,
    })
}
