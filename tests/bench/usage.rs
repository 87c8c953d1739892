//! What a process has used of the processors and of memory.

use std::collections::HashMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The processor time of one program at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Wall clock, in microseconds since 1970.
    pub(crate) at_us: u64,
    /// In all threads of its processes since the meter was made, in nanoseconds.
    pub(crate) cpu_ns: u64,
}

/// Reads the scheduler's own account of each thread, which is exact where `/proc/PID/stat` counts ticks of 10 ms.
#[derive(Debug)]
pub(crate) struct Meter {
    pids: Vec<u32>,
    threads: HashMap<String, u64>,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        Self::of(&[pid])
    }

    /// A meter for a program of several processes.
    pub(crate) fn of(pids: &[u32]) -> Self {
        Self { pids: pids.to_vec(), threads: HashMap::new() }
    }

    /// The time used so far. What a thread used after it was last looked at is lost when it ends.
    pub(crate) fn read(&mut self) -> Reading {
        let folders = self.pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        for task in folders.flatten().flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let on_cpu = stat.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
            let name = task.file_name().to_string_lossy().into_owned();
            if let Some(ns) = on_cpu {
                self.threads.insert(name, ns);
            }
        }
        Reading { at_us: now_us(), cpu_ns: self.threads.values().sum() }
    }
}

/// The wall clock.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
