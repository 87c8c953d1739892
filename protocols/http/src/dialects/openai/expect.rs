//! What is expected of an answer, and how it is looked at.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::StatusCode;
use sluice_model::{Action, Code, Refusal, Ruling, Spend};
use sluice_wire::{Object, Owner};
use std::sync::Arc;

use super::ask::Prices;
use super::called;
use super::contexts::RESPONSE;
use super::deferred::Ticket;
use super::made::{self, Listed, Made};
use super::pages::Pages;
use super::routes::{Answer, Route, Yield};
use super::screen::{CallRuling, End, Fault, Firewall, Next, Options, Screen, Shape, UsageChunk};
use crate::answer::{Look, Seen, bad_answer};
use crate::dialects::{Sight, rest};
use crate::frame::Request;
use crate::media::Media;
use crate::refusal::Words;
use crate::request::Opaque;
use crate::schema;
use crate::served::Served;
use crate::sse::Decoder;
use crate::veil::Veil;

/// Comments of one stream: they keep it alive and say nothing.
const MOST_COMMENTS: u64 = 100_000;

/// What a request leads to.
pub(crate) struct Expectation {
    pub(super) served: Arc<Served>,
    pub(super) shape: Shape,
    /// Kinds of bodies that a success may have.
    pub(super) answers: Vec<Answer>,
    pub(super) firewall: Firewall,
    pub(super) usage_chunk: UsageChunk,
    /// The number of the last event that the client has heard already.
    pub(super) after: Option<i64>,
    /// The model as the client names it, and what the server calls it.
    pub(super) model: Option<String>,
    pub(super) real_model: Option<String>,
    pub(super) priced: Prices,
    /// The most that the request brings.
    pub(super) input_tokens: u64,
    /// The conversations that the answer becomes a part of.
    pub(super) goes_on_with: Vec<Object>,
    /// The server may read any amount besides, which nothing but the end of its answer tells.
    pub(crate) open: bool,
    /// Objects that a success makes known, and the class of those that it lists.
    pub(super) creates: Vec<Yield>,
    pub(super) lists: Option<&'static str>,
    /// The models that may be named, where the answer is the list of models.
    pub(super) models: Option<BTreeSet<String>>,
    /// The further parts of such a list.
    pub(super) pages: Option<Pages>,
    /// Of a request that waited for people while nobody waited for it: what the server makes of it.
    pub(crate) ticket: Option<Ticket>,
}

impl Expectation {
    /// This is sent.
    pub(crate) fn sent(&mut self, head: &Request) {
        if let Some(pages) = &mut self.pages {
            pages.begin(head);
        }
    }

    /// How an answer of that kind is to be looked at.
    pub(crate) fn sight(&mut self, status: StatusCode, media: Media, veil: &Veil, opaque: Option<Box<Opaque>>) -> Look {
        if !status.is_success() {
            // What a server says of its own failure is JSON in this API; anything else is not shown. It makes nothing.
            return match media {
                Media::Json => Look::Whole(self.glass(veil, None, &[])),
                Media::Lines | Media::Events | Media::Text | Media::Form | Media::Opaque => {
                    Look::Refuse(unreadable_error(status))
                }
            };
        }
        let fits = |answer| self.answers.contains(&answer);
        match media {
            Media::Json if fits(Answer::Json) || fits(Answer::Empty) => {
                let ticket = self.ticket.take();
                Look::Whole(self.glass(veil, ticket, &self.creates))
            }
            Media::Events if fits(Answer::Sse) => Look::Pieces(self.glass(veil, None, &self.creates)),
            // Files may be of any kind.
            Media::Json | Media::Lines | Media::Text | Media::Form | Media::Events if fits(Answer::Binary) => {
                rest::sight(media, veil, opaque, Options::MAX_BYTES)
            }
            Media::Text | Media::Lines if fits(Answer::Text) => {
                rest::sight(Media::Text, veil, opaque, Options::MAX_BYTES)
            }
            Media::Opaque if fits(Answer::Binary) => rest::sight(media, veil, opaque, Options::MAX_BYTES),
            Media::Opaque if fits(Answer::Empty) => rest::json_or_nothing(veil),
            Media::Json | Media::Lines | Media::Text | Media::Form | Media::Events | Media::Opaque => Look::Refuse(
                bad_answer("answer-type", "the server's answer is of a kind that this operation does not have"),
            ),
        }
    }

    fn glass(&self, veil: &Veil, ticket: Option<Ticket>, creates: &[Yield]) -> Sight {
        let alias = self.model.clone().filter(|model| self.real_model.as_ref().is_some_and(|real| real != model));
        let event_bytes = usize::try_from(self.served.limits.event_bytes).unwrap_or(usize::MAX);
        let made = Made::new(self.served.objects, creates, self.lists);
        let made = made.going_on(self.pages.clone()).showing_models(self.models.clone());
        let options = Options {
            usage_chunk: self.usage_chunk,
            after: self.after,
            firewall: self.firewall,
            max_call_bytes: Options::MAX_BYTES.min(event_bytes),
            max_event_bytes: event_bytes.max(usize::try_from(self.served.limits.response_bytes).unwrap_or(usize::MAX)),
            model_alias: alias,
            yields: made.yields(),
        };
        Sight::Openai(Box::new(Glass {
            served: Arc::clone(&self.served),
            model: self.model.clone().unwrap_or_default(),
            priced: self.priced.clone(),
            input_tokens: self.input_tokens,
            holds: if self.shape == Shape::Responses { Some(self.goes_on_with.clone()) } else { None },
            streamed: Streamed::default(),
            restoring: veil.restoring(),
            screen: Screen::new(veil.clone(), self.shape, options),
            decoder: Decoder::new(event_bytes),
            broken: false,
            whole: false,
            over: false,
            ticket,
            made_id: None,
            made,
            instead: None,
            claiming: false,
        }))
    }
}

/// Whether an answer can hold calls of tools.
pub(super) fn firewall(action: Action) -> Firewall {
    const SILENT: [Action; 6] =
        [schema::EMBED, schema::MODERATE, schema::MODELS, schema::IMAGE, schema::AUDIO, schema::FILE];
    if SILENT.contains(&action) { Firewall::Off } else { Firewall::On }
}

pub(super) fn shape(route: &Route) -> Shape {
    match route.template() {
        "/chat/completions" => Shape::Chat,
        "/completions" => Shape::Completions,
        path if path.starts_with("/responses") => Shape::Responses,
        path if path.starts_with("/agents") => Shape::Agents,
        _ => Shape::Other,
    }
}

fn refused_call() -> Words {
    let message = "the answer has a call to a tool that a policy refuses";
    Words::of(&Refusal::builtin(Code::Policy, "call-refused", message))
}

fn unreadable_error(status: StatusCode) -> Words {
    let mut words = bad_answer("server-error", "the server answered with an error that is not shown");
    if status.is_client_error() || status.is_server_error() {
        words.status = status;
    }
    words
}

/// Looks at one answer.
pub(crate) struct Glass {
    served: Arc<Served>,
    model: String,
    priced: Prices,
    input_tokens: u64,
    /// The conversations that hold as much as it says, as its own response does.
    holds: Option<Vec<Object>>,
    streamed: Streamed,
    /// What is released is asked about: with the values that tokens stand for.
    restoring: Veil,
    screen: Screen,
    decoder: Decoder,
    /// The stream could not be read on.
    broken: bool,
    whole: bool,
    over: bool,
    ticket: Option<Ticket>,
    made_id: Option<String>,
    made: Made,
    /// What comes instead of a list.
    instead: Option<Seen>,
    /// It is being written down whose the objects are that what comes next tells of.
    claiming: bool,
}

impl Glass {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        if self.decoder.comments() > MOST_COMMENTS && !self.broken {
            self.broken = true;
            self.screen.fail(&bad_answer("event-stream", "the server's stream has more comments than the limit"));
        }
        while !self.broken {
            match self.decoder.next() {
                // What is wrong with an event, the screen says to the client itself.
                Ok(Some(event)) => {
                    self.streamed.count(event.data.len());
                    self.broken = self.screen.event(event).is_err();
                }
                Ok(None) => return,
                Err(_) => {
                    self.broken = true;
                    self.screen.fail(&bad_answer("event-stream", "the server's stream of events is malformed"));
                }
            }
        }
    }

    /// A piece of a stream that is read for its usage alone.
    pub(crate) fn count(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Ok(Some(event)) = self.decoder.next() {
            self.streamed.count(event.data.len());
            self.screen.count(event.data);
        }
    }

    /// A whole body that is read for its usage alone.
    pub(crate) fn count_whole(&mut self, body: Bytes) {
        self.screen.count(body);
    }

    pub(crate) fn whole(&mut self, body: Bytes) {
        self.whole = true;
        self.made_id = self.ticket.is_some().then(|| made::id_of(&body)).flatten();
        if let Some(body) = self.made.read(body) {
            self.show(body);
        }
    }

    /// Whose the listed objects are.
    pub(crate) fn told(&mut self, owners: &[Owner]) {
        match self.made.only_own(owners) {
            Some(Listed::Shown(body)) => self.show(body),
            Some(Listed::More(request)) => self.instead = Some(Seen::More(request)),
            Some(Listed::TooMuch) => {
                let message =
                    "nothing that is listed so far is yours, and the list goes on: ask for what comes after it";
                self.instead = Some(Seen::Refuse(bad_answer("list-too-long", message)));
            }
            None => {}
        }
    }

    fn show(&mut self, body: Bytes) {
        if let Err(fault) = self.screen.body(body) {
            tracing::debug!(fault = %fault, "a server's answer cannot be shown");
        }
    }

    pub(crate) fn end(&mut self) {
        let torn = self.decoder.finish();
        self.screen.end(if torn { End::Broken } else { End::Clean });
    }

    pub(crate) fn ruled(&mut self, ruling: &Ruling) {
        self.screen.ruled(match ruling {
            Ruling::Allow(_) => CallRuling::Allow,
            Ruling::Deny(refusal) => {
                CallRuling::Refuse { message: refusal.message.clone(), rule: refusal.rule.to_string() }
            }
        });
    }

    pub(crate) fn next(&mut self) -> Option<Seen> {
        if self.over {
            return None;
        }
        if let Some(instead) = self.instead.take() {
            return Some(instead);
        }
        if let Some(objects) = self.made.question() {
            return Some(Seen::Whose(objects));
        }
        self.claiming = false;
        if let Some(objects) = self.made.claim() {
            self.claiming = true;
            return Some(Seen::Claim(objects));
        }
        Some(match self.screen.next()? {
            Next::Told(objects) => {
                self.claiming = true;
                Seen::Claim(objects)
            }
            Next::Bytes(bytes) => {
                // Once it is known to be the client's.
                if let (Some(ticket), Some(id)) = (self.ticket.take(), self.made_id.take()) {
                    ticket.made(&id);
                }
                Seen::Bytes(bytes)
            }
            Next::Ask(call) => {
                let rules = self.served.openai.as_ref()?;
                let call = called::restored(call, &self.restoring);
                let operation = called::operation(&call, &self.model, rules, &self.served.classes);
                let everything = self.served.classes.everything();
                let shown = |text: &str| everything.scrub(text).into_owned();
                Seen::Ask(Box::new(operation), vec![("id", shown(&call.id)), ("name", shown(&call.name))])
            }
            Next::Finished => {
                self.over = true;
                match self.screen.fault().filter(|_| self.whole) {
                    Some(Fault::Refused) => Seen::Refuse(refused_call()),
                    Some(fault) => Seen::Refuse(bad_answer(fault.code(), "the server's answer cannot be shown")),
                    None => Seen::Over,
                }
            }
        })
    }

    pub(crate) fn fail(&mut self, words: &Words) {
        if self.claiming { self.screen.fail_at_once(words) } else { self.screen.fail_untold(words) }
    }

    /// Takes down how much there is to go on with.
    pub(crate) fn remember(&self) {
        let (Some(usage), Some(rules), Some(holds)) = (self.screen.usage(), &self.served.openai, &self.holds) else {
            return;
        };
        let made = self.screen.object().map(|id| Object { class: RESPONSE.to_owned(), id: id.to_owned() });
        made.iter().chain(holds).for_each(|object| rules.contexts.remember(object, usage.total_tokens));
    }

    /// What the answer says that it used up.
    pub(crate) fn spent(&self) -> Option<Spend> {
        let usage = self.screen.usage()?;
        let cost_micros = self.priced.cost_micros(usage.input_tokens, usage.cached_tokens, usage.output_tokens);
        let tokens = usage.total_tokens.max(usage.input_tokens.saturating_add(usage.output_tokens));
        Some(Spend { requests: 1, tokens, cost_micros })
    }

    /// What an answer that does not say it has used up at least.
    pub(crate) fn seen(&self) -> Spend {
        let (input, output) = (self.input_tokens, self.streamed.tokens());
        let cost_micros = self.priced.cost_micros(input, 0, output);
        Spend { requests: 1, tokens: input.saturating_add(output), cost_micros }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.screen.has_room()
    }
}

/// The events of a stream, as far as they came.
#[derive(Debug, Default)]
struct Streamed {
    events: u64,
    bytes: u64,
    /// The bytes of the shortest one, which hardly holds more than what stands around the text.
    least: Option<u64>,
}

impl Streamed {
    fn count(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.least = Some(self.least.map_or(bytes, |least| least.min(bytes)));
    }

    /// About as many tokens as were streamed: at least one an event, and one for four bytes that it has beyond the
    /// shortest.
    fn tokens(&self) -> u64 {
        let around = self.least.unwrap_or(0).saturating_mul(self.events);
        self.events.saturating_add(self.bytes.saturating_sub(around) / 4)
    }
}
