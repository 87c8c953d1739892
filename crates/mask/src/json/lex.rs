//! Strings, numbers and literals of a body (RFC 8259 §3, §6, §7).

use super::entry::Kind;
use super::escape::{code_unit, is_high_surrogate, is_low_surrogate, plain_bytes};
use super::fault::Fault;
use super::parse::Grammar;

/// A body and how far it is read.
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    grammar: Grammar,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8], grammar: Grammar) -> Self {
        Self { bytes, at: 0, grammar }
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.advance();
        }
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Moves past a byte if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    pub(super) fn literal(&mut self, word: &[u8], kind: Kind) -> Result<Kind, Fault> {
        for byte in word {
            if !self.eat(*byte) {
                return Err(self.fault("a value"));
            }
        }
        Ok(kind)
    }

    /// Moves past a number: `-? (0 | 1-9 digit*) (. digit+)? ([eE] [+-]? digit+)?`.
    pub(super) fn number(&mut self) -> Result<(), Fault> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _signed = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// Moves past a string, at whose quote we stand, and tells whether it has an escape.
    pub(super) fn string(&mut self) -> Result<bool, Fault> {
        self.advance();
        let mut escaped = false;
        loop {
            self.at += plain_bytes(self.rest());
            match self.peek() {
                Some(b'"') => {
                    self.advance();
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.escape()?;
                    escaped = true;
                }
                Some(_) => return Err(self.fault("a control character that is escaped")),
                None => return Err(self.fault("the end of a string")),
            }
        }
    }

    /// Checks that nothing follows.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("the end of the document")) }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn fault(&self, expected: &'static str) -> Fault {
        Fault::Syntax { at: self.at, expected }
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.advance();
        }
        if self.at == start { Err(self.fault("a digit")) } else { Ok(()) }
    }

    /// Moves past an escape, at whose backslash we stand.
    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.advance();
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.advance(),
            Some(b'u') => {
                let unit = self.unit()?;
                let half = is_low_surrogate(unit) || is_high_surrogate(unit) && !self.second_half();
                if half && self.grammar == Grammar::Strict {
                    return Err(Fault::Surrogate { at: start });
                }
            }
            Some(_) | None => return Err(self.fault("an escape")),
        }
        Ok(())
    }

    /// Moves past a `u` and its four digits.
    fn unit(&mut self) -> Result<u32, Fault> {
        self.advance();
        match self.rest().first_chunk().copied().and_then(code_unit) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => Err(self.fault("four hexadecimal digits")),
        }
    }

    /// Moves past the escape of a low surrogate, if there is one.
    fn second_half(&mut self) -> bool {
        let digits = self.rest().strip_prefix(b"\\u").and_then(<[u8]>::first_chunk).copied();
        let low = digits.and_then(code_unit).is_some_and(is_low_surrogate);
        self.at += if low { 6 } else { 0 };
        low
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}
