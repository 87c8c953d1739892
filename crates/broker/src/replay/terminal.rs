//! A channel's terminal shown again on the viewer's, with keys to go faster, slower, elsewhere, and to stop.

use std::io::{BufWriter, Read, Seek, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sluice_model::FlowId;
use sluice_recording::{Mark, Reader};
use tokio::sync::mpsc;

use super::inert::Inert;
use super::picture::{Keyframes, Picture};
use super::screen::{Sight, sight};

/// What the viewer wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    Pause,
    Faster,
    Slower,
    /// So much later, at once.
    Ahead(Duration),
    /// So much earlier.
    Back(Duration),
    /// From the beginning.
    Begin,
    /// What is shown next, at once.
    Next,
    Quit,
}

/// Jumps of the arrows, and of `<` and `>`.
const SHORT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

/// A terminal's keyboard, byte by byte.
#[derive(Debug, Default)]
pub(crate) struct Keyboard {
    /// How much of an arrow's sequence was read: an escape, and what follows it.
    arrow: Arrow,
}

#[derive(Debug, Default)]
enum Arrow {
    #[default]
    None,
    Escape,
    /// `ESC [` or, where a program has set the keypad so, `ESC O`.
    Bracket,
}

impl Keyboard {
    /// What a byte means, if a key ends with it.
    pub(crate) fn press(&mut self, byte: u8) -> Option<Key> {
        match (std::mem::take(&mut self.arrow), byte) {
            (_, 0x1b) => {
                self.arrow = Arrow::Escape;
                None
            }
            (Arrow::Escape, b'[' | b'O') => {
                self.arrow = Arrow::Bracket;
                None
            }
            (Arrow::Bracket, b'C') => Some(Key::Ahead(SHORT)),
            (Arrow::Bracket, b'D') => Some(Key::Back(SHORT)),
            // Another key's sequence: its parameters are no keys.
            (Arrow::Bracket, 0x20..=0x3f) => {
                self.arrow = Arrow::Bracket;
                None
            }
            (Arrow::Bracket, 0x40..=0x7e) => None,
            (_, b' ') => Some(Key::Pause),
            (_, b'+' | b'=') => Some(Key::Faster),
            (_, b'-') => Some(Key::Slower),
            (_, b'>') => Some(Key::Ahead(LONG)),
            (_, b'<') => Some(Key::Back(LONG)),
            (_, b'0') => Some(Key::Begin),
            (_, b'.') => Some(Key::Next),
            // Ctrl-C of a raw terminal.
            (_, b'q' | 0x03) => Some(Key::Quit),
            _ => None,
        }
    }
}

/// Speeds stay within these.
const SLOWEST: f64 = 0.01;
const FASTEST: f64 = 10_000.0;

/// Where in the recording the viewer is.
#[derive(Clone, Copy, Debug)]
struct Playhead {
    at: Duration,
    speed: f64,
    paused: bool,
}

impl Playhead {
    /// How long until a moment of the recording is due: nothing if it is.
    fn left(&self, moment: Duration) -> Duration {
        let ahead = moment.saturating_sub(self.at);
        match (ahead.is_zero(), self.paused) {
            (true, _) => Duration::ZERO,
            (false, true) => Duration::MAX,
            (false, false) => Duration::try_from_secs_f64(ahead.as_secs_f64() / self.speed).unwrap_or(Duration::MAX),
        }
    }

    /// Time goes by for the viewer.
    fn pass(&mut self, real: Duration) {
        if !self.paused {
            let more = Duration::try_from_secs_f64(real.as_secs_f64() * self.speed).unwrap_or(Duration::MAX);
            self.at = self.at.saturating_add(more);
        }
    }

    /// Takes a key while `next` is what is shown next; what cannot be done where it is, is to be done elsewhere.
    fn press(&mut self, key: Key, next: Duration) -> Option<Turn> {
        match key {
            Key::Pause => self.paused = !self.paused,
            Key::Faster => self.speed = (self.speed * 2.0).min(FASTEST),
            Key::Slower => self.speed = (self.speed / 2.0).max(SLOWEST),
            Key::Ahead(by) => self.at = self.at.saturating_add(by),
            Key::Next => self.at = self.at.max(next),
            Key::Back(by) => {
                self.at = self.at.saturating_sub(by);
                return Some(Turn::Again);
            }
            Key::Begin => {
                self.at = Duration::ZERO;
                return Some(Turn::Again);
            }
            Key::Quit => return Some(Turn::Quit),
        }
        None
    }
}

/// What becomes of a replay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    /// The moment has come.
    Show,
    /// What was shown is shown once more, up to where the viewer wants to be.
    Again,
    Quit,
}

/// How a terminal is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) flow: FlowId,
    /// How many times as fast as it happened; all at once if there is none.
    pub(crate) speed: Option<f64>,
    /// From which moment of the terminal on; what was before is shown at once.
    pub(crate) from: Duration,
}

/// Clears the screen for what is shown once more.
const BLANK: &str = "\x1b[H\x1b[2J";
/// Of so many bytes at once, only what they come to is shown.
const AT_ONCE: usize = 256 << 10;

/// Plays a channel's terminal to `screen` until its end or until the viewer quits.
pub(crate) async fn play<R: Read + Seek>(
    mut reader: Reader<R>,
    how: Play,
    mut keys: mpsc::Receiver<Key>,
    screen: &mut impl Write,
) -> Result<()> {
    let mut screen = BufWriter::new(screen);
    let mut head = Playhead { at: how.from, speed: how.speed.unwrap_or(1.0), paused: false };
    let begin = reader.mark();
    let mut showing = Showing::default();
    loop {
        let turn = showing.run(&mut reader, how, &mut head, &mut keys, &mut screen).await?;
        screen.write_all(showing.farewell().as_bytes())?;
        if turn != Turn::Again {
            break;
        }
        screen.write_all(BLANK.as_bytes())?;
        let from = showing.go_back(head.at).unwrap_or(begin);
        reader.go_to(&from).context("the recording cannot be read again")?;
    }
    if let Some(status) = showing.ended {
        write!(screen, "exit status {status}\r\n")?;
    }
    Ok(screen.flush()?)
}

/// What is on the screen.
#[derive(Default)]
struct Showing {
    /// The terminal, once it began, and when that was.
    terminal: Option<(Picture, u64)>,
    keyframes: Keyframes,
    /// What is to be written to the screen.
    due: Due,
    ended: Option<u32>,
}

/// What is to be written to the screen before the viewer waits.
enum Due {
    Bytes(Vec<u8>),
    /// Too much: what it comes to.
    Picture,
}

impl Default for Due {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Showing {
    /// Shows a recording from where it is on, as far as the viewer wants it.
    async fn run(
        &mut self,
        reader: &mut Reader<impl Read>,
        how: Play,
        head: &mut Playhead,
        keys: &mut mpsc::Receiver<Key>,
        screen: &mut impl Write,
    ) -> Result<Turn> {
        loop {
            let next = reader.mark();
            let Some(stored) = reader.next_event().context("the recording cannot be read on")? else { break };
            let Some(sight) = (stored.flow == how.flow).then(|| sight(&stored)).flatten() else { continue };
            if let (None, Sight::Began { size, .. }) = (&self.terminal, &sight) {
                self.terminal = Some((Picture::new(*size), stored.at_ns));
            }
            let Some((picture, began)) = &mut self.terminal else { continue };
            let moment = Duration::from_nanos(stored.at_ns.saturating_sub(*began));
            if how.speed.is_some() {
                self.keyframes.make(picture, moment, next);
                match wait(head, moment, keys, || write(&mut self.due, picture, screen)).await? {
                    Turn::Show => {}
                    turn @ (Turn::Again | Turn::Quit) => return Ok(turn),
                }
            }
            match sight {
                Sight::Output(bytes) if how.speed.is_none() => {
                    screen.write_all(&picture.pass(&bytes)).context("the terminal is gone")?;
                }
                Sight::Output(bytes) => {
                    self.due.add(&picture.show(&bytes));
                    self.keyframes.shown(bytes.len(), moment);
                }
                Sight::Resized(size) => picture.resize(size),
                Sight::Exited(status) => self.ended = Some(status),
                Sight::Began { .. } => {}
            }
        }
        if let Some((picture, _)) = &self.terminal {
            write(&mut self.due, picture, screen)?;
        }
        Ok(Turn::Show)
    }

    /// Shows a blank screen, or what was there at a moment; with what comes next then.
    fn go_back(&mut self, to: Duration) -> Option<Mark> {
        self.ended = None;
        self.due = Due::default();
        let (_, began) = self.terminal.take()?;
        let frame = self.keyframes.at(to)?;
        self.terminal = Some((frame.picture(), began));
        self.due = Due::Picture;
        Some(frame.next)
    }

    fn farewell(&self) -> &'static str {
        self.terminal.as_ref().map_or_else(|| Inert::default().farewell(), |(picture, _)| picture.farewell())
    }
}

impl Due {
    fn add(&mut self, bytes: &[u8]) {
        if let Self::Bytes(due) = self {
            due.extend_from_slice(bytes);
            if due.len() > AT_ONCE {
                *self = Self::Picture;
            }
        }
    }
}

/// Writes what is due; of too much, a picture in the place of what is on the screen.
fn write(due: &mut Due, picture: &Picture, screen: &mut impl Write) -> Result<()> {
    match std::mem::take(due) {
        Due::Bytes(bytes) => screen.write_all(&bytes),
        Due::Picture => screen
            .write_all(picture.farewell().as_bytes())
            .and_then(|()| screen.write_all(BLANK.as_bytes()))
            .and_then(|()| screen.write_all(&picture.drawn())),
    }
    .and_then(|()| screen.flush())
    .context("the terminal is gone")
}

/// Waits for a moment, with everything before it on the screen.
async fn wait(
    head: &mut Playhead,
    moment: Duration,
    keys: &mut mpsc::Receiver<Key>,
    mut write: impl FnMut() -> Result<()>,
) -> Result<Turn> {
    let mut open = true;
    loop {
        while let Ok(key) = keys.try_recv() {
            if let Some(turn) = head.press(key, moment) {
                return Ok(turn);
            }
        }
        let left = head.left(moment);
        if left.is_zero() {
            return Ok(Turn::Show);
        }
        write()?;
        let start = Instant::now();
        let key = tokio::select! {
            key = keys.recv(), if open => {
                open = key.is_some();
                key
            }
            () = tokio::time::sleep(left) => None,
        };
        head.pass(start.elapsed());
        // Nobody is left who could go on.
        head.paused &= open;
        if let Some(turn) = key.and_then(|key| head.press(key, moment)) {
            return Ok(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use sluice_ssh::{Frame, Message, Size};
    use sluice_wire::Frame as _;

    use super::super::testing::{Tape, reader};
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_goes_by_at_the_speed_that_was_chosen() {
        let mut head = Playhead { at: seconds(2), speed: 1.0, paused: false };
        assert_eq!((head.left(seconds(1)), head.left(seconds(2))), (Duration::ZERO, Duration::ZERO));
        assert_eq!(head.left(seconds(10)), seconds(8));
        let press = |head: &mut Playhead, key| assert_eq!(head.press(key, seconds(9)), None);
        press(&mut head, Key::Faster);
        assert_eq!(head.left(seconds(10)), seconds(4));
        head.pass(seconds(3));
        assert_eq!(head.left(seconds(10)), seconds(1));
        press(&mut head, Key::Pause);
        head.pass(seconds(100));
        assert_eq!(head.left(seconds(10)), Duration::MAX);
        press(&mut head, Key::Pause);
        press(&mut head, Key::Slower);
        press(&mut head, Key::Slower);
        assert_eq!(head.left(seconds(10)), seconds(4));
        (0..100).for_each(|_| press(&mut head, Key::Slower));
        assert!(head.speed >= SLOWEST);
        (0..100).for_each(|_| press(&mut head, Key::Faster));
        assert!(head.speed <= FASTEST);
    }

    #[test]
    fn jumps_lead_ahead_at_once_and_back_by_showing_everything_once_more() {
        let mut head = Playhead { at: seconds(20), speed: 1.0, paused: true };
        assert_eq!(head.press(Key::Next, seconds(90)), None);
        assert_eq!((head.at, head.left(seconds(90))), (seconds(90), Duration::ZERO));
        assert_eq!(head.press(Key::Ahead(LONG), seconds(91)), None);
        assert_eq!(head.press(Key::Next, seconds(100)), None);
        assert_eq!(head.at, seconds(150));
        assert_eq!(head.press(Key::Back(SHORT), seconds(200)), Some(Turn::Again));
        assert_eq!(head.at, seconds(145));
        assert_eq!(head.press(Key::Back(Duration::MAX), seconds(200)), Some(Turn::Again));
        assert_eq!((head.at, head.paused), (Duration::ZERO, true));
    }

    #[test]
    fn keys_are_read_in_whatever_form_a_terminal_sends_them() {
        for (typed, keys) in [
            (&b" +=-.0"[..], &[Key::Pause, Key::Faster, Key::Faster, Key::Slower, Key::Next, Key::Begin][..]),
            (b"\x1b[C\x1bOD<>", &[Key::Ahead(SHORT), Key::Back(SHORT), Key::Back(LONG), Key::Ahead(LONG)]),
            (b"\x1b[1;5Cx\x1b[15~\x1b[A", &[Key::Ahead(SHORT)]),
            (b"\x1bq\x1b\x1b[C\x03", &[Key::Quit, Key::Ahead(SHORT), Key::Quit]),
        ] {
            let mut keyboard = Keyboard::default();
            let read: Vec<Key> = typed.iter().filter_map(|byte| keyboard.press(*byte)).collect();
            assert_eq!(read, keys, "{typed:?}");
        }
    }

    fn tape() -> Vec<u8> {
        let wire = |frame: Frame| frame.wire().to_vec();
        let size = Size { columns: 80, rows: 24, width: 0, height: 0 };
        let pty = Frame::from(Message::Pty { term: "xterm".into(), size, modes: vec![] });
        let mut tape = Tape::open("s-1", "web", "ssh", 0);
        tape.at(5_000, 1).sent(1, &wire(pty)).seen(2, &wire(Frame::data(b"$ \x1b[6n")));
        tape.at(6_000, 2).seen(1, &wire(Frame::data(b"another channel")));
        tape.at(9_000_000, 1).seen(2, &wire(Frame::data(b"\x1b[?1049hvi")));
        tape.seen(2, &wire(Message::ExitStatus(3).into()));
        tape.close()
    }

    async fn played(how: Play, pressed: &[Key]) -> String {
        let (sender, keys) = mpsc::channel(8);
        for key in pressed {
            sender.send(*key).await.unwrap();
        }
        let mut screen = Vec::new();
        let tape = tape();
        play(reader(&tape), how, keys, &mut screen).await.unwrap();
        drop(sender);
        String::from_utf8(screen).unwrap()
    }

    #[tokio::test]
    async fn one_channel_is_shown_and_the_terminal_is_left_as_it_was() {
        let all = "$ \x1b[?1049hvi\x1b[?1049l\x1b[!p\x1b[?25h\x1b[0m\r\nexit status 3\r\n";
        let at_once = Play { flow: FlowId(1), speed: None, from: Duration::ZERO };
        assert_eq!(played(at_once, &[]).await, all);
        // Hours are jumped over.
        let late = Play { flow: FlowId(1), speed: Some(1.0), from: seconds(9_000) };
        assert_eq!(played(late, &[]).await, all);
    }

    #[tokio::test]
    async fn the_viewer_quits_in_the_middle_also_while_it_pauses() {
        for pressed in [&[Key::Quit][..], &[Key::Pause, Key::Faster, Key::Quit]] {
            let how = Play { flow: FlowId(1), speed: Some(1.0), from: seconds(1) };
            assert_eq!(played(how, pressed).await, "\x1b[!p\x1b[?25h\x1b[0m\r\n", "{pressed:?}");
        }
    }

    /// A viewer who presses a key each time that everything is on the screen.
    struct Viewer {
        screen: Vec<u8>,
        keys: mpsc::Sender<Key>,
        presses: std::vec::IntoIter<Key>,
    }

    impl Write for Viewer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.screen.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            let sent = self.presses.next().map(|key| self.keys.try_send(key));
            assert_ne!(sent.map(|sent| sent.is_ok()), Some(false));
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_jump_back_clears_the_screen_and_shows_what_was_there_before() {
        let (sender, keys) = mpsc::channel(8);
        let presses = vec![Key::Back(LONG), Key::Ahead(seconds(8_000)), Key::Begin, Key::Next].into_iter();
        let mut viewer = Viewer { screen: Vec::new(), keys: sender, presses };
        let tape = tape();
        let how = Play { flow: FlowId(1), speed: Some(1.0), from: seconds(1) };
        play(reader(&tape), how, keys, &mut viewer).await.unwrap();
        let again = format!("$ \x1b[!p\x1b[?25h\x1b[0m\r\n{BLANK}");
        let end = "$ \x1b[?1049hvi\x1b[?1049l\x1b[!p\x1b[?25h\x1b[0m\r\nexit status 3\r\n";
        assert_eq!(String::from_utf8(viewer.screen).unwrap(), format!("{again}{again}{end}"));
    }

    /// What a second of a long recording shows.
    fn line(number: u64) -> String {
        format!("\x1b[{}m{number:07} {}\x1b[0m\r\n", 31 + number % 6, "x".repeat(60)).repeat(400)
    }

    #[tokio::test]
    async fn a_jump_in_a_long_recording_shows_what_it_comes_to_and_no_more() {
        let wire = |frame: Frame| frame.wire().to_vec();
        let size = Size { columns: 80, rows: 24, width: 0, height: 0 };
        let mut tape = Tape::open("s-1", "web", "ssh", 0);
        tape.at(0, 1).sent(1, &wire(Message::Pty { term: "xterm".into(), size, modes: vec![] }.into()));
        for number in 1..=120 {
            tape.at(i64::try_from(number).unwrap() * 1_000, 1).seen(2, &wire(Frame::data(line(number).as_bytes())));
        }
        let tape = tape.close();
        // A picture each time that the viewer is waited for: ahead from nothing, back to a keyframe, ahead again.
        let visits =
            [(Key::Back(LONG), 100), (Key::Back(seconds(30)), 40), (Key::Ahead(seconds(80)), 10), (Key::Quit, 90)];
        let (sender, keys) = mpsc::channel(8);
        let presses: Vec<Key> = visits.iter().map(|(key, _)| *key).collect();
        let mut viewer = Viewer { screen: Vec::new(), keys: sender, presses: presses.into_iter() };
        let how = Play { flow: FlowId(1), speed: Some(1.0), from: Duration::from_millis(100_500) };
        play(reader(&tape), how, keys, &mut viewer).await.unwrap();
        assert!(viewer.screen.len() < 100_000, "{}", viewer.screen.len());
        let screen = String::from_utf8(viewer.screen).unwrap();
        for (_, second) in visits {
            assert!(screen.contains(&format!("{second:07} x")), "nothing of second {second}");
            assert!(!screen.contains(&format!("{:07} x", second + 1)), "more than second {second}");
        }
        assert!(!screen.contains("0000005 x"), "the way there");
    }
}
