//! The `limits:` section: every limit of the listeners and the kernel, with its documented value.

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_kernel::Limits as KernelLimits;
use sluice_store::Limits as DiskLimits;

/// Limits; each may be left out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Open client connections of the whole broker.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) connections: u32,
    /// Connections of one address that have not signed in yet.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) unauthenticated_per_address: u32,
    /// Open sessions of the whole broker.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) sessions: u32,
    /// Seconds that a hold waits at most, whatever its rule says.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) hold_seconds: u32,
    /// Seconds that a session of several HTTP exchanges may be without one before it ends.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) idle_seconds: u32,
    /// Seconds that an HTTP client may take for the head of a request, and be silent between two requests.
    #[schemars(range(min = 1, max = 3_600))]
    pub(crate) head_seconds: u32,
    /// Bytes of all HTTP bodies, of requests and of answers, that are read whole at one time.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub(crate) body_bytes: u64,
    /// Seconds after which an HTTP session asks for its target's credential again; 0 for every exchange.
    #[schemars(range(max = 3_600))]
    pub(crate) lend_seconds: u32,
    /// Bytes of one operation's frames that are recorded, each way; the rest is counted and hashed.
    #[schemars(range(max = 1_073_741_824))]
    pub(crate) recorded_bytes_per_operation: u64,
    /// The same of what nobody reads as text: files that are copied over SSH, repositories, forwards.
    #[schemars(range(max = 1_073_741_824))]
    pub(crate) recorded_bytes_per_copy: u64,
    /// Bytes in memory of what is sent over SSH and waits until the other side takes it, but for the first 256 KiB that
    /// each side of a channel sends.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub(crate) waiting_bytes: u64,
    /// Bytes of all files in which what is sent over SSH waits until the other side takes it.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub(crate) spilled_bytes: u64,
    /// Bytes that are enough of free space on the disk of the recordings for sessions to open, where it is less than 10 %.
    #[schemars(range(min = 67_108_864, max = 1_125_899_906_842_624_u64))]
    pub(crate) ample_disk_bytes: u64,
    /// Seconds that open sessions have to end when the broker is told to stop.
    #[schemars(range(max = 3_600))]
    pub(crate) drain_seconds: u32,
}

impl Limits {
    /// The documented values.
    pub(crate) const STANDARD: Self = Self {
        connections: 10_000,
        unauthenticated_per_address: 64,
        sessions: 10_000,
        hold_seconds: 3_600,
        idle_seconds: 60,
        head_seconds: 60,
        body_bytes: 1 << 30,
        lend_seconds: 5,
        recorded_bytes_per_operation: 1 << 20,
        recorded_bytes_per_copy: 64 << 10,
        waiting_bytes: 1 << 30,
        spilled_bytes: 8 << 30,
        ample_disk_bytes: DiskLimits::STANDARD.ample_bytes,
        drain_seconds: 10,
    };

    /// Values that are out of range, in words.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let ranges = [
            ("connections", u64::from(self.connections), 1, 100_000),
            ("unauthenticated_per_address", u64::from(self.unauthenticated_per_address), 1, 10_000),
            ("sessions", u64::from(self.sessions), 1, 100_000),
            ("hold_seconds", u64::from(self.hold_seconds), 1, 86_400),
            ("idle_seconds", u64::from(self.idle_seconds), 1, 86_400),
            ("head_seconds", u64::from(self.head_seconds), 1, 3_600),
            ("body_bytes", self.body_bytes, 1 << 20, 1 << 40),
            ("lend_seconds", u64::from(self.lend_seconds), 0, 3_600),
            ("recorded_bytes_per_operation", self.recorded_bytes_per_operation, 0, 1 << 30),
            ("recorded_bytes_per_copy", self.recorded_bytes_per_copy, 0, 1 << 30),
            ("waiting_bytes", self.waiting_bytes, 0, 1 << 40),
            ("spilled_bytes", self.spilled_bytes, 0, 1 << 40),
            ("ample_disk_bytes", self.ample_disk_bytes, 64 << 20, 1 << 50),
            ("drain_seconds", u64::from(self.drain_seconds), 0, 3_600),
        ];
        let outside = |&(_, value, least, most): &(&str, u64, u64, u64)| value < least || value > most;
        let words = |(name, _, least, most): (&str, u64, u64, u64)| format!("`{name}` is from {least} to {most}");
        ranges.into_iter().filter(outside).map(words).collect()
    }

    /// The part of the recordings.
    pub(crate) const fn disk(&self) -> DiskLimits {
        DiskLimits { ample_bytes: self.ample_disk_bytes, ..DiskLimits::STANDARD }
    }

    /// The kernel's half.
    pub(crate) fn kernel(&self) -> KernelLimits {
        KernelLimits {
            sessions: usize::try_from(self.sessions).unwrap_or(usize::MAX),
            hold_seconds: self.hold_seconds,
            idle_seconds: u64::from(self.idle_seconds),
            lend_seconds: u64::from(self.lend_seconds),
            recorded_bytes: self.recorded_bytes_per_operation,
            recorded_bulk_bytes: self.recorded_bytes_per_copy,
            ..KernelLimits::STANDARD
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::STANDARD
    }
}
