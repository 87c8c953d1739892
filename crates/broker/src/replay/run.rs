//! A run: the recordings of its sessions on one timeline, with what caused what.

use std::collections::HashMap;
use std::io::Read;
use std::time::Instant;

use anyhow::{Error, Result};
use serde_json::{Value, json};
use sluice_model::{OpId, SessionId};
use sluice_recording::{Event, Reader, Shown, Stored};
use sluice_store::{Edge, Place, Tie};

use super::player::Player;
use super::text::INDENT;
use super::trace::{CALL, wall_ns};
use super::{Form, Pace, json, wait};

/// One session of a run.
pub(crate) struct Part<R> {
    pub(crate) session: SessionId,
    /// What its lines begin with: its target.
    pub(crate) name: String,
    pub(crate) reader: Reader<R>,
}

/// Columns by which an operation stands below what called it.
const STEP: &str = "    ";

/// Replays the sessions of a run by the clock on the wall; `say` gets every line. What cannot be read of one session
/// does not keep the others back; it is the error in the end.
pub(crate) async fn replay_run<R: Read>(
    parts: Vec<Part<R>>,
    edges: &[Edge],
    pace: Pace,
    form: Form,
    mut say: impl FnMut(&str),
) -> Result<()> {
    let started = Instant::now();
    let mut story = Story::new(edges, &parts);
    let begin = parts.iter().map(|part| wall_ns(part.reader.header().anchor.0, 0)).min().unwrap_or(0);
    let mut reels: Vec<Reel<R>> = parts.into_iter().map(|part| Reel::new(part, form, begin)).collect();
    // Of what happened at the same moment, the session that opened first goes first.
    while let Some(reel) = reels.iter_mut().filter(|reel| reel.next.is_some()).min_by_key(|reel| reel.at_ns) {
        wait(started, reel.at_ns, pace).await;
        let Some(scene) = reel.next.take() else { break };
        story.tell(&reel.name, &reel.session, scene).iter().for_each(|line| say(line));
        reel.turn();
    }
    match reels.into_iter().find_map(|reel| reel.torn) {
        Some(torn) => Err(torn),
        None => Ok(()),
    }
}

/// The recording of one session, one event ahead.
struct Reel<R> {
    session: SessionId,
    name: String,
    reader: Reader<R>,
    player: Player,
    form: Form,
    /// How much later than the run the session began.
    offset_ns: u64,
    /// When the next event happened, since the run began; never earlier than the one before.
    at_ns: u64,
    next: Option<Scene>,
    /// Why there is no next one.
    torn: Option<Error>,
}

/// One event, ready to be shown.
struct Scene {
    /// The operation it belongs to.
    place: Option<Place>,
    /// Whether it asks for the operation, and for what.
    asks: Asks,
    told: Told,
}

/// What an event asks for.
enum Asks {
    Nothing,
    /// That a tool is called, by its name.
    Call(String),
    Deed,
}

/// An event, as it is printed.
enum Told {
    Lines(Vec<String>),
    Document(Value),
}

impl<R: Read> Reel<R> {
    fn new(part: Part<R>, form: Form, begin: i64) -> Self {
        let offset = wall_ns(part.reader.header().anchor.0, 0).saturating_sub(begin);
        let mut reel = Self {
            session: part.session,
            name: part.name,
            reader: part.reader,
            player: Player::new(form),
            form,
            offset_ns: u64::try_from(offset).unwrap_or(0),
            at_ns: 0,
            next: None,
            torn: None,
        };
        reel.turn();
        reel
    }

    /// Goes on to the next event.
    fn turn(&mut self) {
        let stored = match self.reader.next_event() {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => {
                let what = format!("the recording of the session {} cannot be read on", self.session);
                self.torn = Some(Error::new(error).context(what));
                return;
            }
        };
        let stored = Stored { at_ns: self.offset_ns.saturating_add(stored.at_ns), ..stored };
        self.at_ns = self.at_ns.max(stored.at_ns);
        let place = op_of(&stored.event).map(|op| Place { session: self.session.clone(), flow: stored.flow, op });
        let shows = self.player.shows(&stored);
        let told = match self.form {
            Form::Text { .. } => Told::Lines(self.player.lines(&stored, shows)),
            Form::Json => Told::Document(json::line(&stored, &shows)),
        };
        self.next = Some(Scene { place, asks: asks(&stored.event), told });
    }
}

/// What is known of a run while it is told.
struct Story<'a> {
    /// What led to an operation.
    causes: HashMap<&'a Place, Vec<&'a Edge>>,
    /// Names of the tools that calls are of.
    calls: HashMap<Place, String>,
    /// Operations that stand below others, and by how many steps.
    depths: HashMap<Place, usize>,
    /// The width of the longest target.
    width: usize,
}

impl<'a> Story<'a> {
    fn new<R>(edges: &'a [Edge], parts: &[Part<R>]) -> Self {
        let mut causes: HashMap<&Place, Vec<&Edge>> = HashMap::new();
        for edge in edges {
            causes.entry(&edge.to).or_default().push(edge);
        }
        let width = parts.iter().map(|part| part.name.chars().count()).max().unwrap_or(0);
        Self { causes, calls: HashMap::new(), depths: HashMap::new(), width }
    }

    /// The lines of one event.
    fn tell(&mut self, name: &str, session: &SessionId, scene: Scene) -> Vec<String> {
        let Scene { place, asks, told } = scene;
        let causes = match (&place, &asks) {
            (Some(place), Asks::Call(_) | Asks::Deed) => self.causes.get(place).cloned().unwrap_or_default(),
            (_, Asks::Call(_) | Asks::Deed | Asks::Nothing) => Vec::new(),
        };
        if let Some(place) = &place {
            match asks {
                Asks::Call(tool) => {
                    self.depths.insert(place.clone(), 1);
                    self.calls.insert(place.clone(), tool);
                }
                Asks::Deed if causes.iter().any(|edge| edge.tie == Tie::Causes) => {
                    self.depths.insert(place.clone(), 2);
                }
                Asks::Deed | Asks::Nothing => {}
            }
        }
        match told {
            Told::Lines(mut lines) => {
                lines.extend(causes.iter().filter_map(|edge| self.because(edge)));
                let depth = place.and_then(|place| self.depths.get(&place).copied()).unwrap_or(0);
                let (width, indent) = (self.width, STEP.repeat(depth));
                lines.into_iter().map(|line| format!("{name:width$} | {indent}{line}").trim_end().to_owned()).collect()
            }
            Told::Document(mut document) => {
                if let Value::Object(fields) = &mut document {
                    fields.insert("session".to_owned(), json!(session));
                    fields.insert("target".to_owned(), json!(name));
                    if !causes.is_empty() {
                        fields.insert("causes".to_owned(), causes.iter().map(|edge| cause(edge)).collect());
                    }
                }
                vec![document.to_string()]
            }
        }
    }

    /// How a person is told of an edge; a call stands below its turn, which says enough.
    fn because(&self, edge: &Edge) -> Option<String> {
        let tool = self.calls.get(&edge.from).map_or("a tool", String::as_str);
        let tool = Shown(tool.as_bytes());
        match edge.tie {
            Tie::Calls => None,
            Tie::Causes => Some(format!("{INDENT}called by {tool} ({})", edge.confidence.name())),
            Tie::Returns => Some(format!("{INDENT}with the result of {tool} ({})", edge.confidence.name())),
        }
    }
}

/// The end of an edge that an operation came from.
fn cause(edge: &Edge) -> Value {
    json!({
        "tie": edge.tie.name(), "confidence": edge.confidence.name(), "session": edge.from.session,
        "flow": edge.from.flow.0, "op": edge.from.op.0,
    })
}

fn asks(event: &Event<'_>) -> Asks {
    let Event::Asked(asked) = event else { return Asks::Nothing };
    if asked.action != CALL {
        return Asks::Deed;
    }
    let name = asked.facts.iter().find(|pair| pair.name == "name");
    Asks::Call(name.map_or_else(String::new, |pair| pair.value.clone().into_owned()))
}

/// The operation that an event belongs to.
fn op_of(event: &Event<'_>) -> Option<OpId> {
    match event {
        Event::Asked(asked) => Some(asked.op),
        Event::Ruled(ruled) => Some(ruled.op),
        Event::Held(held) => Some(held.op),
        Event::Settled(settled) => Some(settled.op),
        Event::Passed(passed) => Some(passed.op),
        Event::Cut(cut) => Some(cut.op),
        Event::Done(op) => Some(*op),
        Event::Opened(_) | Event::Noted(_) | Event::Gap(_) | Event::Closed(_) => None,
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
