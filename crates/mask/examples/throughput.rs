//! How fast text passes a terminal and a sieve with every built-in class on:
//! `cargo run --release -p sluice-mask --example throughput`, with the names of texts behind it to measure only those.
//!
//! Beside it one automaton looks for `@` with a letter on both sides in the same text, which is the least that any
//! search of text with one table costs. All take turns, and the time is the thread's own (`/proc/thread-self/schedstat`).

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::{Anchored, util::start};
use sluice_mask::{BUILTINS, Cover, Detectors, Found, Mode, Sieve, Spec, Terminal};

/// The size of a text.
const SIZE: usize = 4 << 20;
/// What a stream hands over at once.
const PIECE: usize = 32 << 10;
const ROUNDS: usize = 5;
/// The least that is measured, in nanoseconds: the account of a thread is only kept up to a few milliseconds.
const LEAST: u64 = 100_000_000;
const WORDS: &str = "the request was served from cache after a worker joined its pool and retried with backoff because \
    another one closed the connection before it had sent headers";

fn main() -> Result<(), Box<dyn Error>> {
    let specs: Result<Vec<Spec>, _> = BUILTINS.iter().map(|name| Spec::builtin(name)).collect();
    let set = Arc::new(Detectors::compile(&specs?)?);
    let table = dense::DFA::new(r"(?-u)[a-z]@[a-z]")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "MiB per second of processor time; medians of {ROUNDS} interleaved rounds of {} MiB\n", SIZE >> 20)?;
    writeln!(out, "{:<12}{:>10}{:>10}{:>10}{:>12}", "", "automaton", "pipe", "terminal", "sieve")?;
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for (name, text) in texts().into_iter().filter(|(name, _)| asked(name)) {
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            let [walk, pipe, screen, sieve] = &mut times;
            walk.push(timed(&text, || walked(&table, &text))?);
            pipe.push(timed(&text, || printed(&set, &text, Mode::Pipe))?);
            screen.push(timed(&text, || printed(&set, &text, Mode::Pty { columns: 80 }))?);
            sieve.push(timed(&text, || sieved(&set, &text))?);
        }
        let [walk, pipe, screen, sieve] = times.map(median);
        writeln!(out, "{name:<12}{walk:>10.0}{pipe:>10.0}{screen:>10.0}{sieve:>12.0}")?;
    }
    Ok(())
}

fn walked(table: &dense::DFA<Vec<u32>>, text: &[u8]) -> usize {
    let Ok(mut state) = table.start_state(&start::Config::new().anchored(Anchored::No)) else { return 0 };
    let matches = |byte: &&u8| {
        state = table.next_state(state, **byte);
        table.is_match_state(state)
    };
    text.iter().filter(matches).count()
}

fn printed(set: &Arc<Detectors>, text: &[u8], mode: Mode) -> usize {
    let mut terminal = Terminal::new(Arc::clone(set), set.everything(), mode);
    let mut out = Vec::with_capacity(text.len());
    for piece in text.chunks(PIECE) {
        let _counted = terminal.push(piece, &mut out);
    }
    let _counted = terminal.finish(&mut out);
    out.len()
}

fn sieved(set: &Arc<Detectors>, text: &[u8]) -> usize {
    let mut sieve = Sieve::new(Arc::clone(set));
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        sieve.push(chunk.valid(), &mut Nothing, &mut out);
    }
    sieve.finish(&mut Nothing, &mut out);
    out.len()
}

/// Leaves nothing of a value.
struct Nothing;

impl Cover for Nothing {
    fn cover(&mut self, _: &Found<'_>, _: &mut String) {}
}

/// MiB per second, of as many turns as it takes.
fn timed(text: &[u8], work: impl Fn() -> usize) -> Result<f64, Box<dyn Error>> {
    let (from, mut bytes, mut time) = (used()?, 0.0, 0);
    while time < LEAST {
        std::hint::black_box(work());
        bytes += f64::from(u32::try_from(text.len())?);
        time = used()?.saturating_sub(from);
    }
    Ok(bytes / f64::from(1 << 20) * 1e9 / f64::from(u32::try_from(time)?))
}

/// The processor time of this thread, in nanoseconds.
fn used() -> Result<u64, Box<dyn Error>> {
    let account = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(account.split_ascii_whitespace().next().unwrap_or_default().parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Numbers that are the same every time (Marsaglia, "Xorshift RNGs", 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn words(&mut self, count: u64) -> String {
        let words: Vec<&str> = WORDS.split(' ').collect();
        let mut text = String::new();
        for _ in 0..count {
            let at = self.below(words.len().try_into().unwrap_or(1));
            text.push_str(usize::try_from(at).ok().and_then(|at| words.get(at)).unwrap_or(&""));
            text.push(' ');
        }
        text
    }

    /// Lines until there is enough.
    fn text(&mut self, mut line: impl FnMut(&mut Self, &mut String)) -> Vec<u8> {
        let mut text = String::new();
        while text.len() < SIZE {
            line(self, &mut text);
        }
        let mut text = text.into_bytes();
        text.truncate(SIZE);
        text
    }
}

fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Numbers(0x1234_5678_9abc_def1);
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let base64 = |all: &mut Numbers, text: &mut String| {
        text.extend((0..76).filter_map(|_| letters.get(usize::try_from(all.below(64)).unwrap_or_default())));
        text.push('\n');
    };
    let program = std::env::current_exe().and_then(fs::read).unwrap_or_default();
    vec![
        ("accounts", "DE89-".repeat(SIZE / 5).into_bytes()),
        ("log", all.text(log)),
        ("access log", all.text(access)),
        ("requests", requests(&mut all)),
        ("json", all.text(json)),
        ("prose", all.text(|all, text| *text += &(all.words(12) + "and so on.\n"))),
        (
            "source",
            include_str!("../src/detect.rs").repeat(SIZE / include_str!("../src/detect.rs").len() + 1).into_bytes(),
        ),
        ("base64", all.text(base64)),
        (
            "hex",
            all.text(|all, text| {
                _ = writeln!(text, "{:04x} {:04x} {:08x}", all.below(65536), all.below(65536), all.below(1 << 32))
            }),
        ),
        (
            "csv",
            all.text(|all, text| {
                _ = writeln!(
                    text,
                    "{},{},{},{}",
                    all.below(1 << 30),
                    all.below(10_000),
                    all.below(1 << 40),
                    all.below(100)
                )
            }),
        ),
        (
            "columns",
            all.text(|all, text| {
                _ = writeln!(
                    text,
                    "{} {} {} {}",
                    all.below(1 << 20),
                    all.below(10_000),
                    all.below(1000),
                    all.below(100_000)
                )
            }),
        ),
        (
            "addresses",
            all.text(|all, text| _ = writeln!(text, "{},{}.k@corp.example", all.below(10_000), all.words(1).trim())),
        ),
        (
            "german",
            "Größere Übertragungen müssen künftig außerhalb des üblichen Weges laufen.\n"
                .repeat(SIZE / 70)
                .into_bytes(),
        ),
        (
            "japanese",
            "あなたのコンピュータで動くプログラムを、ほかの人が書いた文章とくらべる。\n"
                .repeat(SIZE / 100)
                .into_bytes(),
        ),
        ("xxd", xxd(&program)),
        ("program", program),
        ("random", (0..SIZE).map(|_| u8::try_from(all.below(256)).unwrap_or_default()).collect()),
        ("zeros", vec![0; SIZE]),
    ]
    .into_iter()
    .map(|(name, mut text)| {
        text.truncate(SIZE);
        (name, text)
    })
    .collect()
}

/// What `sluice-bench --ssh` transfers.
fn requests(all: &mut Numbers) -> Vec<u8> {
    let mut line = 0;
    all.text(|_, text| {
        line += 1;
        let (time, worker) = (line % 97, line % 7);
        _ = writeln!(text, "GET /orders/{line} 200 in {time} ms by worker {worker} at the usual place, cached");
    })
}

fn json(all: &mut Numbers, text: &mut String) {
    let (id, words, took) = (all.below(1 << 40), all.words(5), all.below(10_000));
    _ = writeln!(text, "{{\"id\":{id},\"level\":\"info\",\"message\":\"{words}\",\"took_ms\":{took},\"ok\":true}}");
}

/// A hex dump, as `xxd` prints it.
fn xxd(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    for (index, line) in bytes.chunks(16).enumerate().take(SIZE / 67) {
        _ = write!(text, "{:08x}:", index * 16);
        line.chunks(2).for_each(|pair| pair.iter().fold(text.push(' '), |(), byte| _ = write!(text, "{byte:02x}")));
        text.push_str("  ");
        text.extend(line.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }));
        text.push('\n');
    }
    text.into_bytes()
}

fn log(all: &mut Numbers, text: &mut String) {
    let (hour, minute, second, milli) = (all.below(24), all.below(60), all.below(60), all.below(1000));
    let words = all.words(8);
    let _ = writeln!(
        text,
        "2026-11-05T{hour:02}:{minute:02}:{second:02}.{milli:03}Z INFO [worker-{}] {words}id={:08x} bytes={} peer=10.0.{}.{}:{}",
        all.below(32),
        all.below(1 << 32),
        all.below(1 << 20),
        all.below(256),
        all.below(256),
        all.below(65_536),
    );
}

fn access(all: &mut Numbers, text: &mut String) {
    let _ = writeln!(
        text,
        "203.0.113.{} - - [05/Nov/2026:12:{:02}:{:02} +0000] \"GET /items/{}?q=a%20b HTTP/1.1\" 200 {} \"-\" \"Agent/5.0 (X11)\"",
        all.below(256),
        all.below(60),
        all.below(60),
        all.below(100_000),
        all.below(100_000),
    );
}
