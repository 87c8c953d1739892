//! The structure of a body (RFC 8259 §2): which value stands in which.
//!
//! Containers that are open are a chain of parents in the table itself, so nesting takes no stack.

use super::document::Limits;
use super::entry::{Entry, Kind, narrow, wide};
use super::fault::Fault;
use super::lex::Source;
use super::unique::{self, Names};

/// What another reader may read differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grammar {
    /// Refuses repeated names and halves of surrogate pairs: what is forwarded has one reading.
    Strict,
    /// Takes them: text inside a string is no message of its own, and a mask must reach whatever a lax reader finds.
    Lax,
}

/// The buffers of a parse: `entries` is its result, `names` is scratch.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    pub(super) entries: Vec<Entry>,
    names: Names,
}

/// Fills the table of entries from a body.
pub(super) fn parse(bytes: &[u8], limits: Limits, grammar: Grammar, buffers: &mut Buffers) -> Result<(), Fault> {
    buffers.entries.clear();
    let size = wide(limits.size_bytes);
    if bytes.len() > size {
        return Err(Fault::Size { at: size });
    }
    // RFC 8259 §8.1: "JSON text exchanged between systems that are not part of a closed ecosystem MUST be encoded
    // using UTF-8"; "Implementations MUST NOT add a byte order mark", and one is no value.
    if let Err(error) = str::from_utf8(bytes) {
        return Err(Fault::Utf8 { at: error.valid_up_to() });
    }
    Parser { source: Source::new(bytes, grammar), limits, grammar, buffers, open: None, depth: 0 }.run()
}

/// What comes next.
enum Next {
    Value,
    ItemOrEnd,
    Name,
    NameOrEnd,
    CommaOrEnd,
}

struct Parser<'a> {
    source: Source<'a>,
    limits: Limits,
    grammar: Grammar,
    buffers: &'a mut Buffers,
    /// The innermost container that is open.
    open: Option<u32>,
    depth: u32,
}

impl Parser<'_> {
    fn run(mut self) -> Result<(), Fault> {
        let mut next = Next::Value;
        loop {
            self.source.skip_space();
            next = match next {
                Next::ItemOrEnd if self.source.eat(b']') => self.close()?,
                Next::NameOrEnd if self.source.eat(b'}') => self.close()?,
                Next::ItemOrEnd | Next::Value => self.value()?,
                Next::NameOrEnd | Next::Name => self.name()?,
                Next::CommaOrEnd if self.open.is_some() => self.comma_or_end()?,
                Next::CommaOrEnd => return self.source.finish(),
            }
        }
    }

    fn value(&mut self) -> Result<Next, Fault> {
        let start = self.source.at();
        let (kind, escaped) = match self.source.peek() {
            Some(b'{') => return self.enter(Kind::Object, Next::NameOrEnd),
            Some(b'[') => return self.enter(Kind::Array, Next::ItemOrEnd),
            Some(b'"') => (Kind::String, self.source.string()?),
            Some(b'-' | b'0'..=b'9') => {
                self.source.number()?;
                (Kind::Number, false)
            }
            Some(b't') => (self.source.literal(b"true", Kind::Bool)?, false),
            Some(b'f') => (self.source.literal(b"false", Kind::Bool)?, false),
            Some(b'n') => (self.source.literal(b"null", Kind::Null)?, false),
            Some(_) | None => return Err(self.source.fault("a value")),
        };
        self.push(start, kind, escaped)?;
        Ok(Next::CommaOrEnd)
    }

    fn enter(&mut self, kind: Kind, next: Next) -> Result<Next, Fault> {
        let start = self.source.at();
        if self.depth >= self.limits.depth {
            return Err(Fault::Depth { at: start });
        }
        self.source.advance();
        let index = self.push(start, kind, false)?;
        self.depth += 1;
        self.open = Some(index);
        Ok(next)
    }

    fn name(&mut self) -> Result<Next, Fault> {
        let start = self.source.at();
        if self.source.peek() != Some(b'"') {
            return Err(self.source.fault("a member's name"));
        }
        let escaped = self.source.string()?;
        self.push(start, Kind::Name, escaped)?;
        self.source.skip_space();
        if !self.source.eat(b':') {
            return Err(self.source.fault("a colon"));
        }
        Ok(Next::Value)
    }

    fn comma_or_end(&mut self) -> Result<Next, Fault> {
        let array = self.innermost().is_some_and(|container| container.kind == Kind::Array);
        let (end, next, expected) =
            if array { (b']', Next::Value, "a comma or `]`") } else { (b'}', Next::Name, "a comma or `}`") };
        if self.source.eat(b',') {
            Ok(next)
        } else if self.source.eat(end) {
            self.close()
        } else {
            Err(self.source.fault(expected))
        }
    }

    /// Ends the innermost container, whose bracket is behind us.
    fn close(&mut self) -> Result<Next, Fault> {
        let end = narrow(self.source.at());
        let next = narrow(self.buffers.entries.len());
        let index = self.open.unwrap_or_default();
        if let Some(container) = self.innermost() {
            container.end = end;
            container.next = next;
            let (parent, kind) = (container.parent, container.kind);
            self.open = (index != 0).then_some(parent);
            self.depth = self.depth.saturating_sub(1);
            if kind == Kind::Object && self.grammar == Grammar::Strict {
                let Buffers { entries, names } = &mut *self.buffers;
                // RFC 8259 §4: "The names within an object SHOULD be unique", and receivers differ where they are not.
                if let Some(at) = unique::repeated(self.source.bytes(), entries, index, names) {
                    return Err(Fault::DuplicateKey { at });
                }
            }
        }
        Ok(Next::CommaOrEnd)
    }

    /// Adds what starts there and ends here.
    fn push(&mut self, start: usize, kind: Kind, escaped: bool) -> Result<u32, Fault> {
        let index = narrow(self.buffers.entries.len());
        if index >= self.limits.nodes {
            return Err(Fault::Nodes { at: start });
        }
        let (start, end) = (narrow(start), narrow(self.source.at()));
        let parent = self.open.unwrap_or_default();
        self.buffers.entries.push(Entry { start, end, next: index + 1, parent, kind, escaped });
        Ok(index)
    }

    fn innermost(&mut self) -> Option<&mut Entry> {
        self.buffers.entries.get_mut(wide(self.open?))
    }
}
