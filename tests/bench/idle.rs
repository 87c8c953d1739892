//! What a connection costs that has run one query and then waits.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sluice_tests::keeper::memory_kib;
use sluice_tests::run::{Running, run};
use sluice_tests::wait::pause;

use crate::stand::{Way, pgbench};

/// How many connections are opened.
pub(crate) const CONNECTIONS: u32 = 200;
/// How long opening them may take.
const OPENING: Duration = Duration::from_secs(60);

/// Anonymous memory of the proxy for each idle connection, in KiB.
pub(crate) fn idle_kib(way: &Way, tls: &str, folder: &Path) -> Result<f64> {
    let query = "SELECT abalance FROM pgbench_accounts WHERE aid = 4242;\n";
    let script = folder.join("idle.sql");
    // What the first connection brings to life is not what each one costs.
    fs::write(&script, query)?;
    let mut first = pgbench(way.port, way.user, way.password, way.database);
    let _first = run(first.env("PGSSLMODE", tls).args(["-n", "-t", "1", "-f"]).arg(&script), OPENING).done();
    fs::write(&script, format!("{query}\\sleep 600 s\n"))?;
    let mut command = pgbench(way.port, way.user, way.password, way.database);
    command.env("PGSSLMODE", tls).args(["-n", "-c", &CONNECTIONS.to_string(), "-T", "600", "-f"]).arg(&script);
    let before = settled(way)?;
    let sockets = sockets(way);
    let mut running = Running::start(&mut command);
    let end = Instant::now() + OPENING;
    // Each connection has two ends in the proxy: the client's and the server's. One of the proxy's own may go meanwhile.
    let wanted = usize::try_from(CONNECTIONS)?.saturating_mul(2).saturating_sub(1);
    while self::sockets(way).saturating_sub(sockets) < wanted {
        if running.has_ended() || Instant::now() > end {
            bail!("{CONNECTIONS} connections through {} did not open:\n{}", way.name, running.said());
        }
        pause();
    }
    let after = settled(way)?;
    drop(running);
    while self::sockets(way) > sockets && Instant::now() < end {
        pause();
    }
    Ok((after - before) / f64::from(CONNECTIONS))
}

/// The anonymous memory once it has stopped changing: queries that are under way come to their end.
fn settled(way: &Way) -> Result<f64> {
    let mut last = 0;
    let mut same = 0;
    loop {
        let Some(now) = memory_kib(way.pid, "RssAnon") else { bail!("{} has ended", way.name) };
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == 50 {
            return Ok(f64::from(u32::try_from(now)?));
        }
        pause();
    }
}

/// Open sockets of the proxy.
fn sockets(way: &Way) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", way.pid)).into_iter().flatten().flatten();
    let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}
