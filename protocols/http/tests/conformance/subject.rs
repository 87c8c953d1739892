//! HTTP, as the laws see it: an API that is spoken over it, and one machine for each of its exchanges.

use std::marker::PhantomData;
use std::sync::Arc;

use http::HeaderMap;
use sluice_http::{Frame, HttpMachine, Setup, Target};
use sluice_model::{Obligations, Refusal, TargetName};
use sluice_wire::conformance::{Endless, Flood, Masked, Phase, Subject, Talk};
use sluice_wire::{Input, Looking, Machine, Made, Object, Objects, Outbox, Owner, Side, Unknown, Violation, Wants};

use crate::codec::{Codec, HEAD_BYTES, TORN, WHOLE};
use crate::{reader, text};

/// An API and how it is spoken.
pub(crate) trait Api: 'static {
    /// A server of it.
    type Server: sluice_wire::conformance::Server;

    /// Its target, compiled once.
    fn setup() -> &'static Setup;
    fn server() -> Self::Server;
    fn talks() -> Vec<Talk>;
    fn carrying() -> Vec<Talk>;
    fn returning() -> Vec<Talk>;
    fn follow_up() -> Talk;
    fn shows_refusal(answer: &reader::Answer, refusal: &Refusal) -> Result<(), String>;
    fn masked() -> Vec<Masked>;
    fn floods() -> Vec<Flood>;
    fn unanswered() -> Vec<u8>;
    fn obligations(name: &str) -> Option<Obligations>;
}

/// A target as its configuration would say it.
pub(crate) fn compiled(target: &str) -> Setup {
    let target: Target = serde_json::from_str(target).unwrap();
    Setup::new(&TargetName::new("api").unwrap(), &target, [7; 32]).unwrap()
}

/// Who made what: `…other…` is somebody else's, `…found…` was not made here, nothing can be told of `…lost…`, and the
/// rest is the client's own.
struct Everybody;

impl Objects for Everybody {
    fn claim(&self, made: Vec<Made>) -> Looking<()> {
        let lost = made.iter().any(|made| made.object.id.contains("lost"));
        Box::pin(std::future::ready(if lost { Err(Unknown) } else { Ok(()) }))
    }

    fn owners(&self, objects: Vec<Object>) -> Looking<Vec<Owner>> {
        let owner = |object: &Object| match &*object.id {
            id if id.contains("lost") => Err(Unknown),
            id if id.contains("other") => Ok(Owner::Other),
            id if id.contains("found") => Ok(Owner::Nobody),
            _ => Ok(Owner::Own),
        };
        Box::pin(std::future::ready(objects.iter().map(owner).collect()))
    }
}

/// An API through the broker.
pub(crate) struct HttpSubject<A>(PhantomData<A>);

/// The machine of an exchange, which begins with the head of its request.
pub(crate) enum Exchange<A> {
    Awaited(PhantomData<fn() -> A>),
    Begun(Box<HttpMachine>),
}

impl<A: Api> Exchange<A> {
    fn begun(&mut self, headers: &HeaderMap) -> &mut HttpMachine {
        if let Self::Awaited(_) = self {
            *self = Self::Begun(Box::new(A::setup().machine("agent:tester", Arc::new(Everybody), headers)));
        }
        match self {
            Self::Begun(machine) => machine,
            Self::Awaited(_) => unreachable!("it has just begun"),
        }
    }
}

impl<A: Api> Machine for Exchange<A> {
    type Frame = Frame;

    fn handle(&mut self, input: Input<Frame>, out: &mut Outbox<Frame>) -> Result<(), Violation> {
        let mut headers = HeaderMap::new();
        if let Input::FromClient(Frame::Request(head)) = &input {
            headers = head.headers.clone();
        }
        self.begun(&headers).handle(input, out)
    }

    fn wants(&self) -> Wants {
        match self {
            Self::Awaited(_) => Wants { client: true, server: true },
            Self::Begun(machine) => machine.wants(),
        }
    }
}

impl<A: Api> Subject for HttpSubject<A> {
    type Machine = Exchange<A>;
    type Codec = Codec;
    type Server = A::Server;

    fn machine() -> Exchange<A> {
        Exchange::Awaited(PhantomData)
    }

    fn codec() -> Codec {
        Codec::default()
    }

    fn server() -> A::Server {
        A::server()
    }

    fn talks() -> Vec<Talk> {
        A::talks()
    }

    fn carrying() -> Vec<Talk> {
        A::carrying()
    }

    fn returning() -> Vec<Talk> {
        A::returning()
    }

    fn follow_up() -> Talk {
        A::follow_up()
    }

    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String> {
        let mut why = "there is no answer".to_owned();
        for answer in reader::answers(read)?.iter().filter(|answer| !answer.status.is_informational()) {
            match A::shows_refusal(answer, refusal) {
                Ok(()) => return Ok(()),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    fn masked() -> Vec<Masked> {
        A::masked()
    }

    fn understood(read: &[u8]) -> Vec<u8> {
        reader::texts(read)
    }

    fn codec_limit_bytes() -> usize {
        HEAD_BYTES
    }

    fn endless() -> Vec<Endless> {
        let of = |name, from, begins| Endless { name, from, begins, goes_on: b'x' };
        vec![
            of("a request head without an end", Side::Client, b"GET /"),
            of("a request body without an end", Side::Client, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"),
            of("a response head without an end", Side::Server, b"HTTP/1.1 200 OK\r\nx: "),
            of("a response body without an end", Side::Server, b"HTTP/1.1 200 OK\r\n\r\n"),
        ]
    }

    fn floods() -> Vec<Flood> {
        A::floods()
    }

    fn unanswered() -> Vec<u8> {
        A::unanswered()
    }

    fn unanswered_limit() -> usize {
        1
    }

    fn framing() -> &'static [&'static [u8]] {
        &[WHOLE, TORN]
    }

    fn phase(client: &Codec) -> Phase {
        client.phase()
    }

    fn show(_: Side, bytes: &[u8]) -> Vec<String> {
        text::show(bytes)
    }

    fn spell(from: Side, line: &str) -> Result<Vec<u8>, String> {
        text::spell(from, line)
    }

    fn obligations(name: &str) -> Option<Obligations> {
        A::obligations(name)
    }
}
