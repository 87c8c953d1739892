//! Recordings for tests.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Cursor;

use sluice_model::{Digest, FlowId, OpId, SessionId, Stage, UnixMicros};
use sluice_recording::{
    Actor, Asked, Closed, Content, Event, Header, Noted, Opened, Outcome, Pair, Passed, Reader, Ruled, Settled, Toward,
    Word, Writer,
};

/// When the runs of tests begin, in microseconds since 1970.
pub(super) const BEGIN: i64 = 1_800_000_000_000_000;

/// A recording that is being made; times are milliseconds since [`BEGIN`].
pub(super) struct Tape {
    session: SessionId,
    anchor: UnixMicros,
    writer: Writer,
    bytes: Vec<u8>,
    at_ns: u64,
    flow: FlowId,
}

impl Tape {
    /// A session that opens at a moment.
    pub(super) fn open(session: &str, target: &str, protocol: &str, opened_ms: i64) -> Self {
        let session = SessionId::new(session).unwrap();
        let anchor = UnixMicros(BEGIN + opened_ms * 1_000);
        let mut bytes = Vec::new();
        let (writer, _) = Writer::begin(&Header { session: session.clone(), anchor }, &mut bytes);
        let mut tape = Self { session, anchor, writer, bytes, at_ns: 0, flow: FlowId(0) };
        let opened = Opened {
            session: tape.session.as_str().to_owned().into(),
            principal: vec![Actor { name: "agent:robo".into(), groups: vec![] }],
            token: "t-1".into(),
            target: target.to_owned().into(),
            environment: "prod".into(),
            protocol: protocol.to_owned().into(),
            schema_version: 1,
            client: "127.0.0.1:5000".into(),
            policy_epoch: "1".into(),
            anchor,
            broker_version: "0".into(),
            run: Some("r-1".into()),
            part: None,
        };
        tape.write(&Event::Opened(opened));
        tape
    }

    /// From here on, events happen at this moment, in this flow.
    pub(super) fn at(&mut self, ms: i64, flow: u32) -> &mut Self {
        let since_us = BEGIN + ms * 1_000 - self.anchor.0;
        self.at_ns = u64::try_from(since_us).unwrap() * 1_000;
        self.flow = FlowId(flow);
        self
    }

    /// An operation that is asked for.
    pub(super) fn ask(&mut self, op: u64, action: &str, text: &str, facts: &[(&str, &str)]) -> &mut Self {
        self.write(&Event::Asked(Asked {
            op: OpId(op),
            stage: Stage::Perform,
            action: action.to_owned().into(),
            understood: true,
            facts: facts.iter().map(|(name, value)| Pair::new(*name, *value)).collect(),
            accesses: vec![],
            digest: Digest([0; 32]),
            text: Content(text.as_bytes()),
            bound: None,
            exposures: vec![],
        }))
    }

    /// A verdict.
    pub(super) fn rule(&mut self, op: u64, verdict: Word) -> &mut Self {
        self.write(&Event::Ruled(Ruled {
            op: OpId(op),
            verdict,
            rules: vec!["all".into()],
            masks: vec![],
            message: if verdict == Word::Allow { "".into() } else { "no".into() },
            decision: "d-1".into(),
            cached: false,
        }))
    }

    /// People said yes.
    pub(super) fn approve(&mut self, op: u64) -> &mut Self {
        let people = vec!["dana".into()];
        self.write(&Event::Settled(Settled { op: OpId(op), hold: "h-1".into(), outcome: Outcome::Approved, people }))
    }

    /// A note of the protocol.
    pub(super) fn note(&mut self, kind: &str, pairs: &[(&str, &str)]) -> &mut Self {
        let pairs = pairs.iter().map(|(name, value)| Pair::new(*name, *value)).collect();
        self.write(&Event::Noted(Noted { kind: kind.to_owned().into(), pairs }))
    }

    /// A turn of a model that is allowed; `results` are the calls whose results it brings.
    pub(super) fn turn(&mut self, op: u64, results: &str) -> &mut Self {
        self.ask(op, "llm.chat", "POST /responses\n{\"model\":\"m\",\"input\":\"hi\"}", &[]).rule(op, Word::Allow);
        if results.is_empty() { self } else { self.note("llm.results", &[("op", &op.to_string()), ("ids", results)]) }
    }

    /// A call of the tool `query` that nobody has ruled on yet.
    pub(super) fn call(&mut self, op: u64, id: &str, arguments: &str) -> &mut Self {
        self.note("llm.call", &[("op", &op.to_string()), ("id", id), ("name", "query")]);
        self.ask(op, "tool.call", &format!("query({arguments})"), &[("name", "query"), ("kind", "function")])
    }

    /// Bytes that the client got.
    pub(super) fn seen(&mut self, op: u64, bytes: &[u8]) -> &mut Self {
        self.write(&Event::Passed(Passed { op: OpId(op), toward: Toward::Client, frame: Content(bytes) }))
    }

    /// Bytes that the server got.
    pub(super) fn sent(&mut self, op: u64, bytes: &[u8]) -> &mut Self {
        self.write(&Event::Passed(Passed { op: OpId(op), toward: Toward::Server, frame: Content(bytes) }))
    }

    /// The end of an operation.
    pub(super) fn done(&mut self, op: u64) -> &mut Self {
        self.write(&Event::Done(OpId(op)))
    }

    /// The recording.
    pub(super) fn close(&mut self) -> Vec<u8> {
        self.flow = FlowId(0);
        self.write(&Event::Closed(Closed { reason: "client".into(), counters: vec![] }));
        let mut bytes = self.bytes.clone();
        self.writer.seal(&mut bytes);
        bytes
    }

    fn write(&mut self, event: &Event<'_>) -> &mut Self {
        self.writer.append(self.flow, self.at_ns, event).unwrap();
        self
    }
}

/// A reader of a recording.
pub(super) fn reader(bytes: &[u8]) -> Reader<Cursor<&[u8]>> {
    Reader::open(Cursor::new(bytes)).unwrap()
}
