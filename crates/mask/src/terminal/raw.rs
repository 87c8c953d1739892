//! The bytes that are held, and what is hidden of them.

/// Bytes of the stream whose turn to leave has not come. They stay as they are until they leave, as several texts are
/// read from them.
#[derive(Debug, Default)]
pub(super) struct Raw {
    bytes: Vec<u8>,
    /// The place of the first of them in the stream.
    base: usize,
    /// What becomes stars, as places in the stream; controls stay.
    stars: Vec<(usize, usize)>,
    /// What is left out, as places in the stream.
    holes: Vec<(usize, usize)>,
    values: Vec<Value>,
}

/// A value that one text or several hold.
#[derive(Clone, Copy, Debug)]
struct Value {
    from: usize,
    to: usize,
    /// The detectors that found it.
    among: u64,
}

impl Raw {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The place after the last byte.
    pub(super) const fn end(&self) -> usize {
        self.base.saturating_add(self.bytes.len())
    }

    pub(super) const fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Hides what prints of a run of bytes; controls stay.
    pub(super) fn star(&mut self, from: usize, length: usize) {
        let to = from.saturating_add(length);
        match self.stars.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ if length > 0 => self.stars.push((from, to)),
            _ => {}
        }
    }

    /// Hides one character that takes so many cells; never more than it has bytes.
    pub(super) fn blot(&mut self, from: usize, length: usize, cells: usize) {
        self.star(from, length.min(cells));
        self.cut(from.saturating_add(cells), from.saturating_add(length));
    }

    /// Leaves bytes out.
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        if from < to {
            self.holes.push((from, to));
        }
    }

    /// Takes note of a value between two places, which is counted when it has left.
    pub(super) fn value(&mut self, from: usize, to: usize, among: u64) {
        self.values.push(Value { from, to, among });
    }

    /// Takes note of a value that has left before it was one.
    pub(super) fn late_value(&mut self, among: u64) {
        self.value(self.base, self.base, among);
    }

    /// Lets the bytes before a place leave.
    pub(super) fn leave(&mut self, to: usize, out: &mut Vec<u8>) {
        let count = to.saturating_sub(self.base).min(self.bytes.len());
        if count == 0 {
            return;
        }
        let end = self.base.saturating_add(count);
        self.blacken(end);
        self.holes.sort_unstable();
        let mut at = self.base;
        for (from, until) in self.holes.iter().filter(|(from, _)| *from < end) {
            let (from, until) = ((*from).max(at), (*until).clamp(at, end));
            out.extend_from_slice(self.between(at, from));
            at = until;
        }
        out.extend_from_slice(self.between(at, end));
        self.bytes.drain(..count);
        self.base = end;
        self.holes.retain(|(_, until)| *until > end);
    }

    /// Puts the stars before a place.
    fn blacken(&mut self, end: usize) {
        for (from, to) in &self.stars {
            let (from, to) = ((*from).max(self.base), (*to).min(end));
            let (index, count) = (from.saturating_sub(self.base), to.saturating_sub(from));
            let bytes = self.bytes.iter_mut().skip(index).take(count);
            bytes.filter(|byte| matches!(byte, b' '..=b'~' | 0x80..)).for_each(|byte| *byte = b'*');
        }
        self.stars.retain(|(_, to)| *to > end);
    }

    /// Tells the detectors of each value that has left; those that overlap are one.
    pub(super) fn count(&mut self, mut each: impl FnMut(u64)) {
        if self.values.is_empty() {
            return;
        }
        self.values.sort_unstable_by_key(|value| (value.from, value.to));
        let mut all: Vec<Value> = Vec::new();
        for value in self.values.drain(..) {
            match all.last_mut() {
                Some(last) if value.from < last.to || value.from == last.from => {
                    (last.to, last.among) = (last.to.max(value.to), last.among | value.among);
                }
                _ => all.push(value),
            }
        }
        let base = self.base;
        all.iter().filter(|value| value.to <= base).for_each(|value| each(value.among));
        all.retain(|value| value.to > base);
        self.values = all;
    }

    /// The bytes between two places.
    pub(super) fn between(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from.saturating_sub(self.base)..to.saturating_sub(self.base)).unwrap_or_default()
    }
}
