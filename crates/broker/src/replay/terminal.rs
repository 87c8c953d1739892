//! A channel's terminal shown again on the viewer's, with keys to go faster, slower, and to stop.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sluice_model::FlowId;
use sluice_recording::Reader;
use tokio::sync::mpsc;

use super::inert::Inert;
use super::screen::{Sight, sight};

/// What the viewer wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    Pause,
    Faster,
    Slower,
    Quit,
}

impl Key {
    /// What a byte from the keyboard means.
    pub(crate) const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b' ' => Self::Pause,
            b'+' | b'=' => Self::Faster,
            b'-' => Self::Slower,
            // Ctrl-C of a raw terminal.
            b'q' | 0x03 => Self::Quit,
            _ => return None,
        })
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

    fn press(&mut self, key: Key) {
        match key {
            Key::Pause => self.paused = !self.paused,
            Key::Faster => self.speed = (self.speed * 2.0).min(FASTEST),
            Key::Slower => self.speed = (self.speed / 2.0).max(SLOWEST),
            Key::Quit => {}
        }
    }
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

/// Plays a channel's terminal to `screen` until its end or until the viewer quits.
pub(crate) async fn play(
    mut reader: Reader<impl Read>,
    how: Play,
    mut keys: mpsc::Receiver<Key>,
    screen: &mut impl Write,
) -> Result<()> {
    let mut inert = Inert::default();
    let mut head = Playhead { at: how.from, speed: how.speed.unwrap_or(1.0), paused: false };
    let mut began: Option<u64> = None;
    let mut ended = None;
    while let Some(stored) = reader.next_event().context("the recording cannot be read on")? {
        let Some(sight) = (stored.flow == how.flow).then(|| sight(&stored)).flatten() else { continue };
        let since = match (began, &sight) {
            (Some(began), _) => began,
            (None, Sight::Began { .. }) => *began.insert(stored.at_ns),
            (None, _) => continue,
        };
        let moment = Duration::from_nanos(stored.at_ns.saturating_sub(since));
        if how.speed.is_some() && !wait(&mut head, moment, &mut keys).await {
            break;
        }
        match sight {
            Sight::Output(bytes) => {
                screen.write_all(&inert.pass(&bytes)).and_then(|()| screen.flush()).context("the terminal is gone")?;
            }
            Sight::Exited(status) => ended = Some(status),
            Sight::Began { .. } | Sight::Resized(_) => {}
        }
    }
    screen.write_all(inert.farewell().as_bytes())?;
    if let Some(status) = ended {
        write!(screen, "exit status {status}\r\n")?;
    }
    Ok(screen.flush()?)
}

/// Waits for a moment; `false` if the viewer quits.
async fn wait(head: &mut Playhead, moment: Duration, keys: &mut mpsc::Receiver<Key>) -> bool {
    let mut open = true;
    loop {
        while let Ok(key) = keys.try_recv() {
            head.press(key);
            if key == Key::Quit {
                return false;
            }
        }
        let left = head.left(moment);
        if left.is_zero() {
            return true;
        }
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
        if let Some(key) = key {
            head.press(key);
            if key == Key::Quit {
                return false;
            }
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
        head.press(Key::Faster);
        assert_eq!(head.left(seconds(10)), seconds(4));
        head.pass(seconds(3));
        assert_eq!(head.left(seconds(10)), seconds(1));
        head.press(Key::Pause);
        head.pass(seconds(100));
        assert_eq!(head.left(seconds(10)), Duration::MAX);
        head.press(Key::Pause);
        head.press(Key::Slower);
        head.press(Key::Slower);
        assert_eq!(head.left(seconds(10)), seconds(4));
        (0..100).for_each(|_| head.press(Key::Slower));
        assert!(head.speed >= SLOWEST);
        (0..100).for_each(|_| head.press(Key::Faster));
        assert!(head.speed <= FASTEST);
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
        play(reader(&tape()), how, keys, &mut screen).await.unwrap();
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
}
