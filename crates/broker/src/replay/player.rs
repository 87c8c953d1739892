//! The events of one session, as its protocol shows them.

use std::collections::BTreeMap;

use sluice_model::{FlowId, OpId};
use sluice_recording::{Event, Stored, Toward};

use super::text::Text;
use super::{Form, Replayer};
use crate::protocols::Lane;

/// Plays one session.
pub(super) struct Player {
    lane: Option<&'static dyn Lane>,
    flows: BTreeMap<FlowId, Box<dyn Replayer>>,
    text: Text,
}

/// What a protocol shows of one event.
#[derive(Debug, Default)]
pub(super) struct Shows {
    /// What was asked for, where it is not the exact text.
    pub(super) asked: Option<Vec<String>>,
    /// What the server was sent by it.
    pub(super) sent: Vec<String>,
    /// What the client saw by it.
    pub(super) seen: Vec<String>,
    /// What was written down besides, where it is not just that.
    pub(super) noted: Option<Vec<String>>,
}

impl Player {
    pub(super) fn new(form: Form) -> Self {
        let colours = matches!(form, Form::Text { colours: true });
        Self { lane: None, flows: BTreeMap::new(), text: Text::new(colours) }
    }

    /// Has the protocol read an event; each event once, in order.
    pub(super) fn shows(&mut self, stored: &Stored<'_>) -> Shows {
        let mut shows = Shows::default();
        match &stored.event {
            Event::Opened(opened) => self.lane = crate::protocols::named(&opened.protocol),
            Event::Asked(asked) => shows.asked = self.flow(stored.flow).asked(asked),
            Event::Passed(passed) => match passed.toward {
                Toward::Client => shows.seen = self.flow(stored.flow).to_client(passed.op, passed.frame.0),
                Toward::Server => shows.sent = self.flow(stored.flow).to_server(passed.op, passed.frame.0),
            },
            Event::Noted(noted) => shows.noted = self.flow(stored.flow).noted(noted),
            Event::Done(op) => shows.seen = self.flow(stored.flow).done(*op),
            Event::Closed(_) => shows.seen = self.flows.values_mut().flat_map(|flow| flow.ended()).collect(),
            Event::Ruled(_) | Event::Held(_) | Event::Settled(_) | Event::Cut(_) | Event::Gap(_) => {}
        }
        shows
    }

    /// Has one event said, as lines or as a document.
    pub(super) fn say(&mut self, stored: &Stored<'_>, form: Form, say: &mut impl FnMut(&str)) {
        let shows = self.shows(stored);
        match form {
            Form::Text { .. } => self.lines(stored, shows).iter().for_each(|line| say(line)),
            Form::Json => say(&super::json::line(stored, &shows).to_string()),
        }
    }

    /// An event as lines.
    pub(super) fn lines(&mut self, stored: &Stored<'_>, shows: Shows) -> Vec<String> {
        self.text.lines(stored, shows)
    }

    fn flow(&mut self, flow: FlowId) -> &mut dyn Replayer {
        let lane = self.lane;
        let new = || lane.map_or_else(|| Box::new(Opaque) as Box<dyn Replayer>, Lane::replayer);
        self.flows.entry(flow).or_insert_with(new).as_mut()
    }
}

/// Shows nothing, for a protocol that is not in this binary.
struct Opaque;

impl Replayer for Opaque {
    fn to_client(&mut self, _: OpId, bytes: &[u8]) -> Vec<String> {
        vec![format!("{} bytes of a protocol that is not in this binary", bytes.len())]
    }

    fn done(&mut self, _: OpId) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::testing::{Tape, reader};
    use super::super::{Pace, replay};
    use super::*;

    #[tokio::test]
    async fn equal_ids_in_different_flows_are_different_operations() {
        // `CommandComplete` of the PostgreSQL protocol, and one that comes in two pieces around it.
        let (first, rest) = b"C\0\0\0\x0dSELECT 1\0".split_at(7);
        let mut tape = Tape::open("s-1", "shop", "postgres", 0);
        tape.at(1, 0).ask(1, "sql.read", "select 1", &[]).seen(1, first);
        tape.at(2, 1).ask(1, "sql.read", "select 2", &[]).seen(1, b"C\0\0\0\x0dSELECT 2\0").done(1);
        tape.at(3, 0).seen(1, rest).done(1);
        let mut lines = Vec::new();
        let form = Form::Text { colours: false };
        replay(reader(&tape.close()), Pace::AtOnce, form, |line| lines.push(line.trim().to_owned())).await.unwrap();
        let tags: Vec<&String> = lines.iter().filter(|line| line.starts_with("SELECT")).collect();
        assert_eq!(tags, ["SELECT 2", "SELECT 1"]);
        assert!(lines.iter().all(|line| !line.contains("cut here")), "{lines:?}");
    }
}
