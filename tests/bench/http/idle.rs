//! What a keep-alive connection costs that has made one request and then waits.

use anyhow::{Context as _, Result};
use sluice_tests::keeper::memory_kib;
use sluice_tests::wait::pause;

use super::client::Client;
use super::stand::{Ask, Way};

/// How many connections are opened.
pub(super) const CONNECTIONS: u32 = 500;
/// How often the memory is the same before it is believed: what is under way comes to its end.
const SAME: u32 = 50;

/// Resident memory of the proxy for each idle connection, in kilobytes.
pub(super) fn idle_kb(way: &Way) -> Result<f64> {
    let request = way.request(Ask::Whole);
    // What the first connection brings to life is not what each one costs.
    Client::connect(way)?.exchange(&request)?;
    let before = settled(way)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(way)?;
        client.exchange(&request)?;
        clients.push(client);
    }
    let after = settled(way)?;
    drop(clients);
    Ok((after - before) * 1.024 / f64::from(CONNECTIONS))
}

/// The memory of all its processes once it has stopped changing, in KiB.
fn settled(way: &Way) -> Result<f64> {
    let mut last = 0;
    let mut same = 0;
    while same < SAME {
        let each = way.pids.iter().map(|pid| memory_kib(*pid, "VmRSS"));
        let now = each.sum::<Option<u64>>().with_context(|| format!("{} has ended", way.name))?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        pause();
    }
    Ok(f64::from(u32::try_from(last)?))
}
