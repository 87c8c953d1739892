//! What leaves towards the client, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use sluice_mask::json::{Edits, Node};
use sluice_wire::Object;

use crate::sse::Event;

use super::{Fault, Next, ToolCall};

/// The queue towards the client, and the numbers of the events in it.
#[derive(Default)]
pub(super) struct Outlet {
    queue: VecDeque<Next>,
    /// The last `sequence_number` that left.
    last: Option<i64>,
    /// An event was dropped, put in or overtaken, so that the server's numbers have gaps or do not ascend.
    disturbed: bool,
    /// The number of the last event that the client has heard already.
    heard: Option<i64>,
}

impl Outlet {
    /// An outlet for a client that has heard the events up to that number.
    pub(super) fn beginning_after(heard: Option<i64>) -> Self {
        Self { heard, ..Self::default() }
    }

    pub(super) fn pop(&mut self) -> Option<Next> {
        self.queue.pop_front()
    }

    /// Sends an event whose data is JSON, or the end mark.
    pub(super) fn send(&mut self, name: Option<Box<str>>, data: Bytes) {
        let event = Event { name, data: one_line(data) };
        self.queue.push_back(Next::Bytes(event.encode()));
    }

    /// Sends an event of the server with its edits and the number it has here.
    pub(super) fn relay(&mut self, name: Option<Box<str>>, root: Node<'_>, mut edits: Edits<'_>) -> Result<(), Fault> {
        if let Some(number) = root.get("sequence_number")
            && let Some(given) = number.as_i64()
            && let Some(other) = self.number(given)
        {
            edits.replace_raw(number, &other.to_string())?;
        }
        self.send_numbered(name, root, &edits);
        Ok(())
    }

    /// Sends an event that was made from one of the server's.
    pub(super) fn insert(&mut self, name: Option<Box<str>>, root: Node<'_>, mut edits: Edits<'_>) -> Result<(), Fault> {
        if let Some(number) = root.get("sequence_number")
            && let Some(other) = self.number_new()
        {
            edits.replace_raw(number, &other.to_string())?;
        }
        self.send_numbered(name, root, &edits);
        Ok(())
    }

    /// Sends an event that has its number, unless the client has heard it.
    fn send_numbered(&mut self, name: Option<Box<str>>, root: Node<'_>, edits: &Edits<'_>) {
        if root.get("sequence_number").and_then(|number| number.as_i64()).is_none() || !self.was_heard() {
            self.send(name, edits.apply());
        }
    }

    /// Tells whether the client has heard the event whose number was given out last.
    pub(super) fn was_heard(&self) -> bool {
        self.heard.is_some() && self.last <= self.heard
    }

    /// Sends a body.
    pub(super) fn send_body(&mut self, body: Bytes) {
        self.queue.push_back(Next::Bytes(body));
    }

    pub(super) fn ask(&mut self, call: ToolCall) {
        self.queue.push_back(Next::Ask(call));
    }

    pub(super) fn finish(&mut self) {
        self.queue.push_back(Next::Finished);
    }

    /// Takes back a question that was not read.
    pub(super) fn retract(&mut self) {
        self.queue.retain(|next| !matches!(next, Next::Ask(_)));
    }

    /// Nothing leaves after this before somebody knows of these objects.
    pub(super) fn tell(&mut self, objects: Vec<Object>) {
        self.queue.push_back(Next::Told(objects));
    }

    /// Forgets what has not left.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Forgets what nobody knows of.
    pub(super) fn forget_told(&mut self) {
        let told = self.queue.iter().position(|next| matches!(next, Next::Told(_)));
        self.queue.truncate(told.unwrap_or(self.queue.len()));
    }

    /// From here on events are counted anew.
    pub(super) fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// The number for an event of the server, if it needs another one than it has.
    pub(super) fn number(&mut self, given: i64) -> Option<i64> {
        let number = match self.last {
            Some(last) if self.disturbed => last.saturating_add(1),
            Some(_) | None => given,
        };
        self.last = Some(number);
        (number != given).then_some(number)
    }

    /// The number for an event that is put in, in a stream of numbered events.
    pub(super) fn number_new(&mut self) -> Option<i64> {
        self.disturb();
        self.last = Some(self.last?.saturating_add(1));
        self.last
    }
}

/// JSON in which nothing ends a line for readers that split text at every line end of Unicode. NEL, U+2028 and U+2029
/// may stand unescaped in strings (RFC 8259 §7), and nowhere else in JSON.
fn one_line(json: Bytes) -> Bytes {
    if json.is_ascii() {
        return json;
    }
    match str::from_utf8(&json) {
        Ok(text) if text.contains(SEPARATORS) => {
            let escaped = text.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028");
            escaped.replace('\u{2029}', "\\u2029").into()
        }
        Ok(_) | Err(_) => json,
    }
}

const SEPARATORS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_separator_of_lines_is_left_in_a_string() {
        let json = Bytes::from("{\"a\":\"x\u{2028}data: {}\u{2029}\u{85}é\"}");
        assert_eq!(one_line(json), "{\"a\":\"x\\u2028data: {}\\u2029\\u0085é\"}");
        assert_eq!(one_line(Bytes::from("{\"a\":\"é\"}")), "{\"a\":\"é\"}");
    }

    #[test]
    fn numbers_are_kept_until_something_moves() {
        let mut outlet = Outlet::default();
        assert_eq!(outlet.number(4), None);
        assert_eq!(outlet.number(9), None, "gaps of the server stay");
        assert_eq!(outlet.number_new(), Some(10));
        assert_eq!(outlet.number(10), Some(11));
        assert_eq!(outlet.number(12), None);
        assert_eq!(outlet.number(14), Some(13));
        assert_eq!(Outlet::default().number_new(), None);
    }
}
