//! A request of this dialect: led to its route, read, and made an operation.

mod told;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use sluice_model::{Access, Action, Effect, Fact, Facts, Resource, Spend};
use sluice_wire::Object;

use super::ask::{self, Chosen, Unfit};
use super::batch;
use super::contexts::CONVERSATION;
use super::deferred::Later;
use super::estimate::Bound;
use super::expect::{Expectation, firewall, shape};
use super::made;
use super::multipart::Form;
use super::owned;
use super::pages::Pages;
use super::parts::Parts;
use super::resume::Resumed;
use super::routes::{Answer, Body as Kind, Found, Route};
use super::rules::Rules;
use super::screen::UsageChunk;
use super::tools::Offered;
use super::traces;
use crate::body::{Body, document, text};
use crate::dialects::Expected;
use crate::flaw::Flaw;
use crate::frame::{Length, Request};
use crate::gathered::Share;
use crate::machine::Turned;
use crate::outward::{Outward, decoded};
use crate::refusal::Words;
use crate::request::{Metered, Opaque, Prepared, Question, Reading, tag_fact};
use crate::schema::{
    ADMINISTER, CHAT, LLM, MODEL, OFFER, REALTIME, RUN, SEND_LLM_OPAQUE, TAKE_LLM_OPAQUE, TOOL, VIDEO,
};
use crate::served::Served;
use crate::target::{Dialect, Objects};
use crate::validate::Media;
use crate::veil::begins_container;
use told::Told;

/// Reads a head.
pub(crate) fn read(head: &Request, served: &Arc<Served>, share: Share) -> Result<Turned, Words> {
    let (path, query) = address(head);
    if path == traces::PATH && head.method == Method::POST {
        return Ok(Turned::Read(Reading::new(head, served, share)));
    }
    let route = find(head, path, served)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = decoded(pair.split('=').next().unwrap_or(pair));
        if !route.allows_query(&name) {
            return Err(unfit(Unfit::unknown(&name)));
        }
    }
    if head.body == Length::None {
        return Ok(Turned::Ask(Box::new(prepare(head, Bytes::new(), served, share)?)));
    }
    if !route.takes_body() {
        return Err(Words::of_flaw(Flaw::malformed("this operation takes no body")));
    }
    Ok(Turned::Read(Reading::new(head, served, share)))
}

/// Reads a whole request.
pub(crate) fn prepare(head: &Request, bytes: Bytes, served: &Arc<Served>, mut share: Share) -> Result<Prepared, Words> {
    let (path, _) = address(head);
    if path == traces::PATH {
        return traces::prepare(head, bytes, served, share);
    }
    let route = find(head, path, served)?;
    let media = head.headers.get(http::header::CONTENT_TYPE).map(Media::read).transpose().map_err(Words::of_flaw)?;
    let essence = media.as_ref().map_or("", |media| media.essence.as_str());
    match essence {
        _ if bytes.is_empty() => without_body(head, route, served, share),
        "application/json" if route.takes(Kind::Json) => json(head, route, &bytes, served, share),
        "multipart/form-data" if route.takes(Kind::Multipart) => {
            let boundary = media.and_then(|media| media.boundary).unwrap_or_default();
            let form = Form::read(bytes.clone(), &boundary).map_err(Words::of_flaw)?;
            multipart(head, route, Parts::new(form, bytes), served, share)
        }
        "application/sdp" if route.takes(Kind::Sdp) => {
            share.read(&bytes)?;
            session_description(head, route, text(bytes)?, served, share)
        }
        _ => Err(Words::of_flaw(Flaw::new(
            415,
            "content_type",
            "the body is of a type that this operation does not take",
        ))),
    }
}

/// Path and query below the base; the version may be named or left out.
fn address(head: &Request) -> (&str, &str) {
    let (path, query) = head.path.split_once('?').unwrap_or((&head.path, ""));
    (path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path), query)
}

fn find<'a>(head: &Request, path: &'a str, served: &'a Served) -> Result<&'a Route, Words> {
    let Some(rules) = &served.openai else { return Err(no_such_route()) };
    match rules.routes.find(read_as(&head.method), path) {
        Found::Route { route, .. } => Ok(route),
        Found::UnknownPath => Err(no_such_route()),
        Found::MethodNotAllowed(allowed) => {
            let flaw = Flaw::new(405, "method_not_allowed", "the operation has no such method");
            Err(Words::of_flaw(flaw).with_allow(allowed.to_string()))
        }
    }
}

/// What may be read may be asked for its head.
fn read_as(method: &Method) -> &str {
    if *method == Method::HEAD { "GET" } else { method.as_str() }
}

fn no_such_route() -> Words {
    Words::of_flaw(Flaw::new(404, "unknown_operation", "the API has no such operation, or it is not served here"))
}

fn unfit(unfit: Unfit) -> Words {
    Words::of_flaw(unfit.flaw).with_param(unfit.param)
}

fn without_body(head: &Request, route: &Route, served: &Arc<Served>, share: Share) -> Result<Prepared, Words> {
    Call { head, route, served, body: Body::None, share }.prepared(vec![whole(route.action())], Told::default())
}

fn json(
    head: &Request,
    route: &Route,
    bytes: &Bytes,
    served: &Arc<Served>,
    mut share: Share,
) -> Result<Prepared, Words> {
    share.read(bytes)?;
    let document = &document(bytes.clone())?;
    let Some(rules) = &served.openai else { return Err(no_such_route()) };
    let purpose = document.root().get("purpose").map(|purpose| purpose.text().unwrap_or_default());
    let is_batch = is_batch(route, purpose.as_deref(), served)?;
    let asked = ask::read(route, document, &rules.for_bodies()).map_err(unfit)?;
    let told = Told::of(&asked, is_batch, made::passes(route, document.root()));
    let accesses = accesses((route.action(), asked.chosen), &asked.models, &asked.tools, told.opaque);
    let edited = if asked.edits.is_empty() { None } else { Some(asked.edits.apply()) };
    let body = match edited {
        Some(bytes) => self::document(bytes)?,
        None => document.clone(),
    };
    drop(asked);
    let is_later = told.background && !told.stream && route.template() == "/responses";
    let later = if is_later { Later::fresh(head, bytes, told.model.as_deref()) } else { None };
    let call = Call { head, route, served, body: Body::Json(Box::new(body)), share };
    Ok(Prepared { later, ..call.prepared(accesses, told)? })
}

fn multipart(
    head: &Request,
    route: &Route,
    parts: Parts,
    served: &Arc<Served>,
    mut share: Share,
) -> Result<Prepared, Words> {
    parts.texts().filter(|text| begins_container(text)).try_for_each(|text| share.read(text.as_bytes()))?;
    let Some(rules) = &served.openai else { return Err(no_such_route()) };
    let form = parts.form();
    let purpose = form.part("purpose").map(|purpose| form.text(purpose).unwrap_or_default());
    let is_batch = is_batch(route, purpose, served)?;
    let asked = ask::read_form(route, form, &rules.for_bodies()).map_err(unfit)?;
    let parts = parts.changed(&asked.changes)?;
    let told = Told::of_form(&asked, is_batch || parts.is_opaque());
    let accesses = accesses((route.action(), asked.chosen), &asked.models, &asked.tools, told.opaque);
    Call { head, route, served, body: Body::Multipart(Box::new(parts)), share }.prepared(accesses, told)
}

/// Whether it is about requests in a file; where these may not be, it is refused.
fn is_batch(route: &Route, purpose: Option<&str>, served: &Served) -> Result<bool, Words> {
    let Some(rules) = &served.openai else { return Err(no_such_route()) };
    let is_batch = batch::is_part_of_one(route, purpose);
    if is_batch {
        batch::permit(rules, served.objects).map_err(Words::of_flaw)?;
    }
    Ok(is_batch)
}

/// A bare session description names no model, so it cannot be told whether it may be used.
fn session_description(
    head: &Request,
    route: &Route,
    text: String,
    served: &Arc<Served>,
    share: Share,
) -> Result<Prepared, Words> {
    match &served.openai {
        Some(rules) if rules.names_models() => Err(Words::of_flaw(Flaw::new(
            403,
            "model_not_allowed",
            "the request names no model, and only some may be used here",
        ))),
        Some(_) | None => Call { head, route, served, body: Body::Text(text), share }
            .prepared(vec![whole(route.action())], Told::default()),
    }
}

/// What is asked for of each thing: the models, or the target where the server chooses one or there is none; the tools
/// that they are offered; what cannot be looked into.
fn accesses(
    (action, chosen): (Action, Chosen),
    models: &BTreeSet<String>,
    tools: &BTreeSet<Offered>,
    opaque: bool,
) -> Vec<Access> {
    let target = (chosen == Chosen::ByServer).then(|| whole(action)).into_iter();
    let models = models.iter().map(|name| Access { action, resource: Resource::new(MODEL, [name.as_str()]) });
    let tools = tools.iter().map(|tool| Access { action: OFFER, resource: Resource::new(TOOL, [tool.family()]) });
    target.chain(models).chain(tools).chain(opaque.then(|| whole(SEND_LLM_OPAQUE))).collect()
}

/// Something that is done to the target as a whole.
fn whole(action: Action) -> Access {
    Access { action, resource: Resource::target() }
}

/// A request and where it is led.
struct Call<'a> {
    head: &'a Request,
    route: &'a Route,
    served: &'a Arc<Served>,
    body: Body,
    share: Share,
}

impl Call<'_> {
    /// The operation, and what is sent and expected under it.
    fn prepared(self, accesses: Vec<Access>, told: Told) -> Result<Prepared, Words> {
        let Self { head, route, served, body, share } = self;
        let action = route.action();
        let mut told = told;
        let goes_on_with = told.objects.iter().filter(|object| object.class == CONVERSATION).cloned().collect();
        let rules = served.openai.as_ref().filter(|_| told.bound == Some(Bound::Open));
        let stored = rules.map_or(0, |rules| rules.contexts.tokens(&told.objects));
        let input_tokens = told.input_tokens.saturating_add(stored);
        told.objects = owned(head, told.objects, served)?;
        let (mut tags, inside) = body.tags(served);
        let (path, query) = address(head);
        let Resumed { query, after } = Resumed::of(query).map_err(unfit)?;
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let outward = Outward::of(head, &path, served);
        tags.extend(outward.tags);
        let facts = facts(head, route, &told, &body, tag_fact(&tags), beta(head, served));
        let named = told.model.is_some() || action.effect == Effect::Execute;
        let rules = served.openai.as_ref().filter(|_| named);
        let priced = rules.map(|rules| rules.models.charged(told.model.as_deref())).unwrap_or_default();
        let spend = Spend {
            requests: 1,
            tokens: input_tokens.saturating_add(told.output_tokens),
            cost_micros: priced.cost_micros(input_tokens, 0, told.output_tokens),
        };
        let around = outward.around;
        let (stream, background, bound) = (told.stream, told.background, told.bound);
        let question = Question { head, around, body: &body, inside, served, action, tags: &tags, facts };
        let operation = question.operation(accesses, spend);
        let opaque = Box::new(Opaque::new(TAKE_LLM_OPAQUE, head, &operation, served));
        let expectation = Expectation {
            served: Arc::clone(served),
            shape: shape(route),
            answers: Answer::KINDS.into_iter().filter(|answer| route.answers(*answer)).collect(),
            firewall: firewall(route.action()),
            usage_chunk: if told.injected { UsageChunk::Swallow } else { UsageChunk::Pass },
            after,
            model: told.model,
            real_model: told.real_model,
            priced,
            input_tokens,
            goes_on_with,
            open: bound == Some(Bound::Open),
            creates: made::created(route, told.passing),
            lists: route.lists(),
            models: (route.template() == "/models").then(|| served.openai.as_ref()?.named_models()).flatten(),
            pages: may_go_on(route, served).then(Pages::default),
            ticket: None,
        };
        let expected = Expected {
            dialect: Dialect::Openai,
            method: head.method.clone(),
            opaque: Some(opaque),
            openai: Some(Box::new(expectation)),
            spent: None,
            reserved: spend,
            event_bytes: usize::try_from(served.limits.event_bytes).unwrap_or(usize::MAX),
        };
        let metered = match action {
            CHAT if background && bound != Some(Bound::Firm) => Metered::Never,
            CHAT => Metered::ByAnswer,
            _ => metered(route, stream),
        };
        Ok(Prepared {
            operation,
            metered,
            head: outward.head,
            around,
            body,
            share,
            inside,
            expected,
            own: None,
            objects: told.objects,
            results: told.results,
            later: None,
        })
    }
}

/// What works on after its answer tells nobody here what it used, unless its answer is a stream that lasts as long as the
/// work; what ends such work uses nothing. The stream of a session of an agent is left as one likes, and films are made
/// later.
fn metered(route: &Route, stream: bool) -> Metered {
    let ends = ["/hangup", "/reject", "/pause"].iter().any(|end| route.template().ends_with(end));
    let tells = stream && route.answers(Answer::Sse) && route.template().starts_with("/threads/");
    match route.action() {
        RUN | REALTIME if tells || ends => Metered::ByAnswer,
        RUN | REALTIME | VIDEO => Metered::Never,
        _ => Metered::ByAnswer,
    }
}

/// Whether a list shows some of its objects only, and may be asked for in parts.
fn may_go_on(route: &Route, served: &Served) -> bool {
    route.lists().is_some()
        && served.objects == Objects::Owned
        && ["after", "limit"].iter().all(|name| route.allows_query(name))
}

/// The objects of a request that belong to whoever made them.
fn owned(head: &Request, mentioned: Vec<Object>, served: &Served) -> Result<Vec<Object>, Words> {
    let Some(rules) = &served.openai else { return Ok(Vec::new()) };
    let (path, _) = address(head);
    let found = rules.routes.find(read_as(&head.method), path);
    named(&found, rules).map_err(unfit)?;
    owned::objects(&found, mentioned, &rules.routes, served.objects).map_err(Words::of_flaw)
}

/// Refuses a path to a model that may not be named, unless an administrator goes it.
fn named(found: &Found<'_>, rules: &Rules) -> Result<(), Unfit> {
    let Found::Route { route, ids } = found else { return Ok(()) };
    let named = ids.iter().find(|id| id.class == "model").filter(|_| route.action() != ADMINISTER);
    let Some((model, listed)) = named.zip(rules.named_models()) else { return Ok(()) };
    if listed.contains(model.value) { Ok(()) } else { Err(Unfit::not_allowed()) }
}

fn facts(head: &Request, route: &Route, told: &Told, body: &Body, tags: Fact, beta: Fact) -> Facts {
    let long = |number: u64| Fact::Long(i64::try_from(number).unwrap_or(i64::MAX));
    let set = |names: &BTreeSet<String>| Fact::Set(names.iter().map(|name| name.as_str().into()).collect());
    Facts {
        group: LLM,
        values: vec![
            ("method", Fact::Text(head.method.as_str().into())),
            ("route", Fact::Text(route.template().into())),
            ("model", Fact::Text(told.model.as_deref().unwrap_or_default().into())),
            ("stream", Fact::Bool(told.stream)),
            ("background", Fact::Bool(told.background)),
            ("tools", set(&told.tools)),
            ("hosted_tools", set(&told.hosted)),
            ("hosts", set(&told.hosts)),
            ("messages", long(told.messages as u64)),
            ("input_tokens", long(told.input_tokens)),
            ("output_tokens", long(told.output_tokens)),
            ("body_bytes", Fact::Long(body.length(head))),
            ("opaque", Fact::Bool(told.opaque)),
            ("mints", Fact::Bool(route.mints())),
            ("tier", Fact::Text(told.tier.as_deref().unwrap_or_default().into())),
            ("approves", long(told.approves as u64)),
            ("beta", beta),
            ("credentials", long(told.credentials as u64)),
            ("tags", tags),
        ],
    }
}

/// Features under trial: what they do is not known.
fn beta(head: &Request, served: &Served) -> Fact {
    let everything = served.classes.everything();
    Fact::Set(served.headers.betas(&head.headers).map(|name| everything.scrub(name).into()).collect())
}

#[cfg(test)]
mod tests;
