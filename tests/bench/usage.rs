//! What a process has used of the processors and of memory.

use std::collections::HashMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The processor time of a process at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Wall clock, in microseconds since 1970.
    pub(crate) at_us: u64,
    /// In all its threads since the meter was made, in nanoseconds.
    pub(crate) cpu_ns: u64,
}

/// Reads the scheduler's own account of each thread, which is exact where `/proc/PID/stat` counts ticks of 10 ms.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    threads: HashMap<String, u64>,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, threads: HashMap::new() }
    }

    /// The time used so far. What a thread used after it was last looked at is lost when it ends.
    pub(crate) fn read(&mut self) -> Reading {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        for task in tasks {
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
