//! What a protocol shows the laws.

use sluice_model::{Obligations, Refusal};

use super::escape::{escape, unescape};
use super::judge::Judge;
use crate::{Codec, Machine, Side};

/// A word that must stay where it is: in a request that is denied, or in an answer that is masked.
pub const CANARY: &str = "canary4711";

/// A protocol under test.
pub trait Subject {
    /// Its grammar.
    type Machine: Machine;
    /// Its framing.
    type Codec: Codec<Frame = <Self::Machine as Machine>::Frame>;
    /// A server of it.
    type Server: Server;

    /// The machine of a new flow.
    fn machine() -> Self::Machine;

    /// The codec of a new link.
    fn codec() -> Self::Codec;

    /// The server of a new flow.
    fn server() -> Self::Server;

    /// Conversations that pass byte for byte where everything is allowed, and leave no operation open.
    fn talks() -> Vec<Talk>;

    /// Conversations with [`CANARY`] in the text or the values of an operation, in every way a client can ask for one.
    fn carrying() -> Vec<Talk>;

    /// Conversations in whose answers the server asks for an operation with [`CANARY`] in it that the client would carry
    /// out; none where servers do not ask.
    fn returning() -> Vec<Talk> {
        Vec::new()
    }

    /// A conversation that works on any stream of a client that is still usable.
    fn follow_up() -> Talk;

    /// Whether what a client read holds a valid error with the words of a refusal.
    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String>;

    /// Conversations whose answers hold [`CANARY`] where it is not masked.
    fn masked() -> Vec<Masked>;

    /// What a client makes of the bytes that it read, beside the bytes themselves: escapes undone, pieces put together.
    fn understood(_read: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    /// Most bytes that a codec leaves unread before it takes a frame or refuses.
    fn codec_limit_bytes() -> usize;

    /// Beginnings after which a peer could go on for ever.
    fn endless() -> Vec<Endless>;

    /// Conversations after which a side goes on for ever.
    fn floods() -> Vec<Flood> {
        Vec::new()
    }

    /// A message that the server has to answer.
    fn unanswered() -> Vec<u8>;

    /// What is said before it; nothing where any stream begins with such a message.
    fn before_unanswered() -> Talk {
        Talk::of::<Vec<u8>>("nothing", [])
    }

    /// Most such messages that are taken while no answer comes.
    fn unanswered_limit() -> usize;

    /// How the codec of the tests sends what a frame shows the recorder. The same bytes, where a protocol's frames are
    /// pieces of one stream; where they are messages of another transport, whatever stands for that transport.
    fn sent(wire: &[u8]) -> Vec<u8> {
        wire.to_vec()
    }

    /// What the transport adds behind a frame that no record shows, such as the end of a body. Nothing where a frame's
    /// bytes are all that is sent.
    fn framing() -> &'static [&'static [u8]] {
        &[]
    }

    /// Where a flow is after what its client's codec has read and written. A flow that is a whole connection stays open
    /// until a side ends it.
    fn phase(_client: &Self::Codec) -> Phase {
        Phase::Open
    }

    /// Bytes of one message or more from a side, as lines of a transcript.
    fn show(_from: Side, bytes: &[u8]) -> Vec<String> {
        vec![escape(bytes)]
    }

    /// The bytes of a line of a transcript.
    fn spell(_from: Side, line: &str) -> Result<Vec<u8>, String> {
        unescape(line)
    }

    /// Named conditions of an allow, for transcripts.
    fn obligations(_name: &str) -> Option<Obligations> {
        None
    }
}

/// A server in memory; every flow has one of its own.
pub trait Server {
    /// Takes bytes and gives the bytes that it answers.
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8>;
}

/// A conversation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Talk {
    pub name: &'static str,
    pub moves: Vec<Move>,
}

/// One turn of a conversation. The server answers each before the next begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Move {
    /// The client sends.
    Client(Vec<u8>),
    /// The server sends by itself.
    Server(Vec<u8>),
}

impl Talk {
    /// A conversation in which only the client takes turns.
    #[must_use]
    pub fn of<B: Into<Vec<u8>>>(name: &'static str, sends: impl IntoIterator<Item = B>) -> Self {
        Self { name, moves: sends.into_iter().map(|bytes| Move::Client(bytes.into())).collect() }
    }
}

/// A conversation whose answers are masked.
#[derive(Clone, Debug)]
pub struct Masked {
    pub talk: Talk,
    /// What its operations are allowed with.
    pub obligations: Obligations,
}

/// Where a flow is, as the link of its client sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It goes on.
    Open,
    /// It was one exchange and is over; what the client sends next begins another flow.
    Over,
    /// It is over in the middle of an answer, and with it the client's stream.
    Torn,
}

/// A conversation after which a side sends the same over and over.
#[derive(Clone, Debug)]
pub struct Flood {
    pub name: &'static str,
    pub talk: Talk,
    pub judge: fn() -> Judge,
    pub from: Side,
    pub goes_on: Vec<u8>,
    /// Most bytes that the flow takes before it passes something on, refuses, or reads no further.
    pub limit_bytes: usize,
}

/// The beginning of something without an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endless {
    pub name: &'static str,
    pub from: Side,
    pub begins: &'static [u8],
    /// What follows, over and over.
    pub goes_on: u8,
}
