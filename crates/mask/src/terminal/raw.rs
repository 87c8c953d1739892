//! The bytes that are held, and what is hidden of them.

/// Bytes of the stream whose turn to leave has not come.
#[derive(Debug, Default)]
pub(super) struct Raw {
    bytes: Vec<u8>,
    /// The place of the first of them in the stream.
    base: usize,
    /// What is left out, as places in the stream.
    holes: Vec<(usize, usize)>,
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
        let index = from.saturating_sub(self.base);
        for byte in self.bytes.iter_mut().skip(index).take(length).filter(|byte| matches!(byte, b' '..=b'~' | 0x80..)) {
            *byte = b'*';
        }
    }

    /// Hides one character that takes so many cells; never more than it has bytes.
    pub(super) fn blot(&mut self, from: usize, length: usize, cells: usize) {
        let index = from.saturating_sub(self.base);
        self.bytes.iter_mut().skip(index).take(length.min(cells)).for_each(|byte| *byte = b'*');
        self.cut(from.saturating_add(cells), from.saturating_add(length));
    }

    /// Leaves bytes out.
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        if from < to {
            self.holes.push((from, to));
        }
    }

    /// Lets the bytes before a place leave.
    pub(super) fn leave(&mut self, to: usize, out: &mut Vec<u8>) {
        let count = to.saturating_sub(self.base).min(self.bytes.len());
        if count == 0 {
            return;
        }
        self.holes.sort_unstable();
        let end = self.base.saturating_add(count);
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

    /// The bytes between two places.
    pub(super) fn between(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from.saturating_sub(self.base)..to.saturating_sub(self.base)).unwrap_or_default()
    }
}
