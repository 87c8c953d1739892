//! What is on a terminal, and keyframes of it: a viewer goes to a moment without what came before it.
//!
//! A keyframe is made of the bytes that were recorded, when they are read, and never stored: what is shown is what the
//! recording proves. Following the bytes costs many times what writing them down does, and a screen for each terminal that
//! is open, so it is the viewer who pays.

use std::time::Duration;

use avt::Terminal;
use sluice_recording::Mark;
use sluice_ssh::Size;

use super::inert::Inert;

/// No terminal is larger than this: a recording may claim any size.
const COLUMNS: u32 = 1000;
const ROWS: u32 = 500;
/// There is a keyframe after so many bytes that were shown, or so much time.
const EVERY_BYTES: usize = 256 << 10;
const EVERY: Duration = Duration::from_secs(10);
/// Memory for keyframes, about; of more, every other one goes.
const MEMORY: usize = 64 << 20;

/// A terminal, followed byte by byte.
pub(super) struct Picture {
    inert: Inert,
    terminal: Terminal,
    /// A character that is not whole yet.
    rest: Vec<u8>,
}

/// A terminal at a moment.
pub(super) struct Keyframe {
    /// Everything up to this moment of the terminal is on it.
    moment: Duration,
    /// What comes next in the recording.
    pub(super) next: Mark,
    inert: Inert,
    size: (usize, usize),
    /// What draws it on a terminal of its size.
    drawn: String,
    rest: Vec<u8>,
}

/// The keyframes of one terminal, by their moments.
pub(super) struct Keyframes {
    all: Vec<Keyframe>,
    memory: usize,
    /// How much is between two of them; more once there were many.
    every_bytes: usize,
    every: Duration,
    /// What was shown since the newest place that was asked about, and until when.
    bytes: usize,
    shown: Duration,
}

impl Picture {
    pub(super) fn new(size: Size) -> Self {
        let (columns, rows) = within(size);
        Self { inert: Inert::default(), terminal: terminal(columns, rows), rest: Vec::new() }
    }

    /// Shows bytes; with what of them may be shown elsewhere, too.
    pub(super) fn show(&mut self, bytes: &[u8]) -> Vec<u8> {
        let passed = self.inert.pass(bytes);
        self.rest.extend_from_slice(&passed);
        let mut left = self.rest.as_slice();
        while !left.is_empty() {
            let (text, after) = match std::str::from_utf8(left) {
                Ok(text) => (text, left.len()),
                Err(error) => {
                    let (text, rest) = left.split_at(error.valid_up_to());
                    let text = std::str::from_utf8(text).unwrap_or_default();
                    let Some(wrong) = error.error_len() else {
                        self.terminal.feed(text);
                        left = rest;
                        break;
                    };
                    self.terminal.feed(text);
                    ("\u{fffd}", error.valid_up_to().saturating_add(wrong))
                }
            };
            self.terminal.feed(text);
            left = left.get(after..).unwrap_or_default();
        }
        self.rest = left.to_vec();
        passed
    }

    /// What of bytes may be shown elsewhere; here they are not followed.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.inert.pass(bytes)
    }

    pub(super) fn resize(&mut self, size: Size) {
        let (columns, rows) = within(size);
        self.terminal.resize(columns, rows);
    }

    /// What draws it on a blank terminal.
    pub(super) fn drawn(&self) -> Vec<u8> {
        Inert::default().pass(self.terminal.dump().as_bytes())
    }

    /// What leaves the viewer's terminal as it was.
    pub(super) const fn farewell(&self) -> &'static str {
        self.inert.farewell()
    }
}

impl Keyframe {
    /// The terminal as it was.
    pub(super) fn picture(&self) -> Picture {
        let mut terminal = terminal(self.size.0, self.size.1);
        terminal.feed(self.drawn.as_str());
        Picture { inert: self.inert.clone(), terminal, rest: self.rest.clone() }
    }

    fn of(picture: &Picture, moment: Duration, next: Mark) -> Self {
        let Picture { inert, terminal, rest } = picture;
        Self { moment, next, inert: inert.clone(), size: terminal.size(), drawn: terminal.dump(), rest: rest.clone() }
    }

    const fn memory(&self) -> usize {
        size_of::<Self>().saturating_add(self.drawn.len())
    }
}

impl Default for Keyframes {
    fn default() -> Self {
        Self { all: Vec::new(), memory: 0, every_bytes: EVERY_BYTES, every: EVERY, bytes: 0, shown: Duration::ZERO }
    }
}

impl Keyframes {
    /// So many bytes are on the picture, the last at this moment.
    pub(super) fn shown(&mut self, bytes: usize, moment: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.shown = moment;
    }

    /// Makes one if there should be one before what comes next, at a later moment.
    pub(super) fn make(&mut self, picture: &Picture, moment: Duration, next: Mark) {
        let newest = self.all.last().map_or(Duration::ZERO, |frame| frame.moment);
        let due = self.bytes >= self.every_bytes || moment.saturating_sub(newest) >= self.every && self.bytes > 0;
        if !due || self.shown <= newest || self.shown == moment {
            return;
        }
        self.bytes = 0;
        let frame = Keyframe::of(picture, self.shown, next);
        self.memory = self.memory.saturating_add(frame.memory());
        self.all.push(frame);
        if self.memory > MEMORY {
            self.thin_out();
        }
    }

    /// The newest that is not after a moment.
    pub(super) fn at(&mut self, moment: Duration) -> Option<&Keyframe> {
        let after = self.all.partition_point(|frame| frame.moment <= moment);
        (self.bytes, self.shown) = (0, Duration::ZERO);
        self.all.get(after.checked_sub(1)?)
    }

    fn thin_out(&mut self) {
        let mut keep = false;
        self.all.retain(|_| {
            keep = !keep;
            keep
        });
        self.memory = self.all.iter().map(Keyframe::memory).sum();
        self.every_bytes = self.every_bytes.saturating_mul(2);
        self.every = self.every.saturating_mul(2);
    }
}

fn within(size: Size) -> (usize, usize) {
    let [columns, rows] = [(size.columns, COLUMNS), (size.rows, ROWS)].map(|(is, most)| is.clamp(1, most) as usize);
    (columns, rows)
}

fn terminal(columns: usize, rows: usize) -> Terminal {
    #[expect(clippy::expect_used, reason = "INVARIANT: neither is zero, see `within`")]
    Terminal::new(columns, rows).expect("a terminal")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::super::testing::{Tape, reader};
    use super::*;

    fn size(columns: u32, rows: u32) -> Size {
        Size { columns, rows, width: 0, height: 0 }
    }

    fn mark() -> Mark {
        reader(&Tape::open("s-1", "web", "ssh", 0).close()).mark()
    }

    /// What programs say to a terminal: text, colours, movement, editing, modes, screens, and what is none of it.
    fn said() -> impl Strategy<Value = Vec<u8>> {
        let sequence = (
            prop::sample::select(vec![
                "", "?25", "?7", "?6", "?5", "?1", "?1049", "?47", "?1047", "?1048", "4", "20", "?69", "?2026", "!",
                ">",
            ]),
            prop::collection::vec(0_u32..130, 0..4),
            prop::sample::select(b"@ABCDEFGHIJKLMPSTXZ`abdefghlmrsuqpn".to_vec()),
        );
        prop_oneof![
            4 => "[ -~]{0,40}".prop_map(String::into_bytes),
            1 => "[é漢字🙂ü\u{301}]{0,8}".prop_map(String::into_bytes),
            2 => prop::sample::select(vec!["\r\n", "\n", "\r", "\t", "\x08", "\x0e", "\x0f", "\x07"])
                .prop_map(|text| text.as_bytes().to_vec()),
            6 => sequence.prop_map(|(private, numbers, last)| {
                let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
                let text = numbers.join(";");
                let between = if private.is_empty() || text.is_empty() || private == "!" { "" } else { ";" };
                format!("\x1b[{private}{between}{text}{}", char::from(last)).into_bytes()
            }),
            2 => prop::sample::select(vec![
                "\x1b7", "\x1b8", "\x1bD", "\x1bE", "\x1bH", "\x1bM", "\x1bc", "\x1b(0", "\x1b(B", "\x1b)0", "\x1b#8",
                "\x1b]0;title\x07", "\x1b[38;5;196m", "\x1b[48;2;1;2;3m", "\x1b[3;9r", "\x1b[!p",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Going on from a keyframe shows what going on from the beginning does, wherever the bytes are cut.
        #[test]
        fn a_keyframe_leads_to_the_same_picture(
            said in prop::collection::vec(said(), 0..60),
            (columns, rows, later) in (1_u32..100, 1_u32..40, 1_u32..100),
            (cut, piece) in (any::<prop::sample::Index>(), 1_usize..50),
            resizes in any::<bool>(),
        ) {
            let bytes = said.concat();
            let cut = if bytes.is_empty() { 0 } else { cut.index(bytes.len()) };
            let (before, after) = bytes.split_at(cut);
            let mut whole = Picture::new(size(columns, rows));
            for piece in before.chunks(piece) {
                drop(whole.show(piece));
            }
            let mut resumed = Keyframe::of(&whole, Duration::ZERO, mark()).picture();
            prop_assert_eq!(resumed.terminal.dump(), whole.terminal.dump());
            if resizes {
                whole.resize(size(later, rows));
                resumed.resize(size(later, rows));
            }
            for piece in after.chunks(piece) {
                prop_assert_eq!(whole.show(piece), resumed.show(piece));
            }
            prop_assert_eq!(resumed.terminal.screen().text(), whole.terminal.screen().text());
            prop_assert_eq!(resumed.terminal.cursor(), whole.terminal.cursor());
            prop_assert_eq!(resumed.terminal.dump(), whole.terminal.dump());
            prop_assert_eq!(resumed.drawn(), whole.drawn());
            prop_assert_eq!(resumed.farewell(), whole.farewell());
        }
    }

    #[test]
    fn keyframes_come_by_bytes_and_by_time_and_none_is_after_its_moment() {
        let picture = Picture::new(size(80, 24));
        let mut frames = Keyframes::default();
        let second = Duration::from_secs;
        let mut step = |bytes, shown, next| {
            frames.shown(bytes, shown);
            let before = frames.all.len();
            frames.make(&picture, next, mark());
            frames.all.len() > before
        };
        assert!(!step(10, second(1), second(2)), "too early");
        assert!(step(EVERY_BYTES, second(2), second(3)));
        assert!(!step(10, second(3), second(11)), "a second too early");
        assert!(step(10, second(11), second(13)));
        assert!(!step(EVERY_BYTES, second(14), second(14)), "more of the same moment follows");
        assert!(step(0, second(14), second(15)));
        let found = [0, 1, 2, 10, 11, 13, 14, 99].map(|at| frames.at(second(at)).map(|frame| frame.moment.as_secs()));
        assert_eq!(found, [None, None, Some(2), Some(2), Some(11), Some(11), Some(14), Some(14)]);
        // What is passed again makes none again.
        frames.shown(EVERY_BYTES, second(5));
        frames.make(&picture, second(6), mark());
        assert_eq!(frames.all.len(), 3);
    }

    #[test]
    fn however_long_a_recording_is_its_keyframes_have_an_end() {
        let mut picture = Picture::new(size(u32::MAX, u32::MAX));
        assert_eq!(picture.terminal.size(), (COLUMNS as usize, ROWS as usize));
        let colours: String = (0..COLUMNS).map(|column| format!("\x1b[38;2;1;2;{}mx", column % 256)).collect();
        drop(picture.show(colours.repeat(ROWS as usize).as_bytes()));
        let mut frames = Keyframes::default();
        for at in 1..40 {
            frames.shown(usize::MAX, Duration::from_secs(at * 100_000));
            frames.make(&picture, Duration::from_secs(at * 100_000 + 1), mark());
            assert!(frames.memory <= MEMORY.max(2 * frames.all.last().unwrap().memory()), "{}", frames.memory);
        }
        assert!(frames.all.len() > 1 && frames.every > EVERY);
        let first = frames.at(Duration::MAX).unwrap().picture();
        assert_eq!(first.terminal.dump(), picture.terminal.dump());
    }
}
