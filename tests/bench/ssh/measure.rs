//! One round of each kind, through one way.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sluice_tests::keeper::memory_kib;
use sluice_tests::wait::pause;

use super::stand::{Stand, Way};
use crate::stats::percentile;
use crate::usage::Meter;

/// How many sessions are held open.
pub(super) const IDLE: u32 = 100;
/// Echoes of one round.
const ECHOES: u32 = 1000;
/// Echoes before they count.
const WARM: u32 = 50;
/// How often the memory is the same before it is believed.
const SAME: u32 = 20;

/// Percentiles of a round of echoes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo {
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// A transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bulk {
    pub(super) mib_per_second: f64,
    /// Of what stands between, where that is Sluice.
    pub(super) cpu_per_gib: f64,
}

/// What is transferred, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Zeros,
    Text,
    Up,
    ScpDown,
    ScpUp,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Zeros, Self::Text, Self::Up, Self::ScpDown, Self::ScpUp];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zeros => "`cat` of zeros",
            Self::Text => "`cat` of text",
            Self::Up => "text into `cat`",
            Self::ScpDown => "scp from the host",
            Self::ScpUp => "scp to the host",
        }
    }

    pub(super) const fn is_exec(self) -> bool {
        matches!(self, Self::Zeros | Self::Text | Self::Up)
    }
}

/// The time of one cold connection.
pub(super) fn connect_ms(stand: &Stand, way: &Way) -> Result<f64> {
    let began = Instant::now();
    done(stand.ssh(way, "true").stdin(Stdio::null()).spawn()?)?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// One byte there and back, again and again, in one channel.
pub(super) fn echo(stand: &Stand, way: &Way) -> Result<Echo> {
    let mut child = stand.ssh(way, "cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut stdin, mut stdout) = (child.stdin.take().context("piped")?, child.stdout.take().context("piped")?);
    let mut times = Vec::new();
    for turn in 0..WARM + ECHOES {
        let began = Instant::now();
        stdin.write_all(b"\n")?;
        stdout.read_exact(&mut [0])?;
        if turn >= WARM {
            times.push(u32::try_from(began.elapsed().as_micros())?);
        }
    }
    drop(stdin);
    done(child)?;
    times.sort_unstable();
    Ok(Echo { p50_us: percentile(&times, 50), p99_us: percentile(&times, 99) })
}

/// One transfer, with the time that connecting takes.
pub(super) fn bulk(stand: &Stand, way: &Way, kind: Kind) -> Result<Bulk> {
    let mut meter = Meter::of(way.pid.as_slice());
    let before = meter.read();
    let began = Instant::now();
    match kind {
        Kind::Zeros => down(stand, way, &stand.zeros())?,
        Kind::Text => down(stand, way, &stand.text())?,
        Kind::Up => done(stand.ssh(way, "cat >/dev/null").stdin(File::open(stand.text())?).spawn()?)?,
        Kind::ScpDown => {
            copied(stand, stand.scp().arg(format!("{}:{}", way.host, stand.text())).arg(stand.landed()))?;
        }
        Kind::ScpUp => {
            copied(stand, stand.scp().arg(stand.text()).arg(format!("{}:{}", way.host, stand.landed())))?;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let used = u32::try_from(meter.read().cpu_ns.saturating_sub(before.cpu_ns) / 1000)?;
    let mib = f64::from(stand.mib);
    Ok(Bulk { mib_per_second: mib / seconds, cpu_per_gib: f64::from(used) / 1e6 / (mib / 1024.0) })
}

/// Takes a file of the stand's size from a command, and counts it.
fn down(stand: &Stand, way: &Way, file: &str) -> Result<()> {
    let mut child = stand.ssh(way, &format!("cat {file}")).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("piped")?;
    let mut buffer = vec![0; 256 << 10];
    let mut taken: u64 = 0;
    loop {
        let read = stdout.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        taken = taken.saturating_add(u64::try_from(read)?);
    }
    done(child)?;
    same(stand, taken)
}

fn copied(stand: &Stand, scp: &mut Command) -> Result<()> {
    done(scp.stdin(Stdio::null()).spawn()?)?;
    let size = fs::metadata(stand.landed())?.len();
    fs::remove_file(stand.landed())?;
    same(stand, size)
}

fn same(stand: &Stand, taken: u64) -> Result<()> {
    if taken != u64::from(stand.mib) << 20 {
        bail!("{taken} bytes came instead of {} MiB", stand.mib);
    }
    Ok(())
}

fn done(mut child: Child) -> Result<()> {
    let status = child.wait()?;
    if !status.success() {
        bail!("the client ended with {status}");
    }
    Ok(())
}

/// Resident memory of a fresh broker for each session whose command waits, in KiB.
pub(super) fn idle_kib(stand: &Stand) -> Result<f64> {
    let pid = stand.sluice_pid;
    let (_first, before) = (held(stand)?, settled(pid)?);
    let sessions: Vec<Session> = (0..IDLE).map(|_| held(stand)).collect::<Result<_>>()?;
    let after = settled(pid)?;
    drop(sessions);
    Ok((after - before) / f64::from(IDLE))
}

/// A client whose command waits until this is dropped.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _or_gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn held(stand: &Stand) -> Result<Session> {
    let way = stand.ways.get(2).context("there are four ways")?;
    let command = stand.ssh(way, "cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut session = Session(command);
    session.0.stdin.as_mut().context("piped")?.write_all(b"\n")?;
    session.0.stdout.as_mut().context("piped")?.read_exact(&mut [0])?;
    Ok(session)
}

/// The memory once it has stopped changing, in KiB.
fn settled(pid: u32) -> Result<f64> {
    let (mut last, mut count) = (0, 0);
    while count < SAME {
        let now = memory_kib(pid, "VmRSS").context("Sluice has ended")?;
        count = if now == last { count + 1 } else { 0 };
        last = now;
        pause();
    }
    Ok(f64::from(u32::try_from(last)?))
}
