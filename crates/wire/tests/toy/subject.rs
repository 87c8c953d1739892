//! The toy, as the laws see it.

use sluice_model::{Mask, Obligations, Refusal, Resource, Transform};
use sluice_wire::Side;
use sluice_wire::conformance::{CANARY, Endless, Masked, Move, Server, Subject, Talk};

use crate::toy::{Codec, LINE_LIMIT, OWED_LIMIT, Toy};

/// The toy.
pub(crate) struct ToySubject;

/// Answers every line at once.
#[derive(Default)]
pub(crate) struct Items {
    unread: Vec<u8>,
}

impl Server for Items {
    fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut answer = String::new();
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            answer.push_str(&match String::from_utf8_lossy(&line).trim_end().split(' ').collect::<Vec<_>>()[..] {
                ["ping"] => "pong\n".to_owned(),
                ["ask", "person"] => format!("row name:ana secret:{CANARY}\nrow name:bob secret:none\nok\n"),
                ["ask", "nothing"] => format!("error no {CANARY} here\n"),
                ["ask", name] => format!("row name:{name}\nrow again\nok\n"),
                _ => "ok\n".to_owned(),
            });
        }
        answer.into_bytes()
    }
}

fn masks() -> Obligations {
    let mask = Mask { resource: Resource::new("Item", ["person"]), transform: Transform::Redact, filterable: false };
    Obligations { masks: vec![mask], ..Obligations::default() }
}

impl Subject for ToySubject {
    type Machine = Toy;
    type Codec = Codec;
    type Server = Items;

    fn machine() -> Toy {
        Toy::default()
    }

    fn codec() -> Codec {
        Codec
    }

    fn server() -> Items {
        Items::default()
    }

    fn talks() -> Vec<Talk> {
        let mut news = Talk::of("news between", ["ask apple\n"]);
        news.moves.push(Move::Server(b"news it rains\nnews still\n".to_vec()));
        vec![
            Talk::of("one at a time", ["ask apple\n", "put apple red and round\n", "ping\n"]),
            Talk::of("all at once", ["ask apple\nask person\nping\nput pear green\nask nothing\n"]),
            news,
        ]
    }

    fn carrying() -> Vec<Talk> {
        vec![
            Talk::of("alone", [format!("ask {CANARY}\n")]),
            Talk::of("among others", [format!("ask apple\nput pear {CANARY}\nping\nask pear\n")]),
        ]
    }

    fn follow_up() -> Talk {
        Talk::of("a follow-up", ["ask pear\nping\n"])
    }

    fn shows_refusal(read: &[u8], refusal: &Refusal) -> Result<(), String> {
        let wanted = format!("refused {} {}", refusal.rule, refusal.message);
        let text = String::from_utf8_lossy(read);
        if text.lines().any(|line| line == wanted) { Ok(()) } else { Err(format!("`{wanted}` is not there")) }
    }

    fn masked() -> Vec<Masked> {
        vec![
            Masked { talk: Talk::of("rows", ["ask person\n"]), obligations: masks() },
            Masked { talk: Talk::of("an error", ["ask nothing\n"]), obligations: masks() },
        ]
    }

    fn codec_limit_bytes() -> usize {
        LINE_LIMIT
    }

    fn endless() -> Vec<Endless> {
        [Side::Client, Side::Server]
            .map(|from| Endless { name: "a line without an end", from, begins: b"", goes_on: b'x' })
            .to_vec()
    }

    fn unanswered() -> Vec<u8> {
        b"ping\n".to_vec()
    }

    fn unanswered_limit() -> usize {
        OWED_LIMIT
    }

    fn show(_from: Side, bytes: &[u8]) -> Vec<String> {
        String::from_utf8_lossy(bytes).lines().map(ToOwned::to_owned).collect()
    }

    fn spell(_from: Side, line: &str) -> Result<Vec<u8>, String> {
        Ok(format!("{line}\n").into_bytes())
    }

    fn obligations(name: &str) -> Option<Obligations> {
        (name == "masks").then(masks)
    }
}
