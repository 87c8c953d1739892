//! Every limit of the kernel, each documented and tested at its edge (I7).

/// Limits of flows and sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes queued towards one side above which the other side is not read.
    pub high_water_bytes: usize,
    /// Open sessions of the whole broker.
    pub sessions: usize,
    /// Operations of one flow that may be allowed and not yet done.
    pub open_operations: usize,
    /// Cached rulings of one flow; the cache is emptied when it is full.
    pub cached_rulings: usize,
    /// Bytes of one operation's frames that are recorded, each way; the rest is counted and hashed.
    pub recorded_bytes: u64,
    /// The same of frames that nobody reads, such as those of copied files.
    pub recorded_bulk_bytes: u64,
    /// Seconds that a hold waits at most, whatever its rule says.
    pub hold_seconds: u32,
    /// Bytes of one operation that people can be shown: what nobody can read whole, nobody can approve.
    pub shown_bytes: usize,
    /// Seconds between two words to a client that waits for people.
    pub nudge_seconds: u64,
    /// Seconds that a session which several flows share may be without one before it ends.
    pub idle_seconds: u64,
    /// Seconds after which a shared session asks for its credential again; 0 for every flow.
    pub lend_seconds: u64,
    /// Seconds that a closing flow may take to hand its last bytes to its peers.
    pub linger_seconds: u64,
}

impl Limits {
    /// The documented values.
    pub const STANDARD: Self = Self {
        high_water_bytes: 256 * 1024,
        sessions: 10_000,
        open_operations: 16_384,
        cached_rulings: 1_024,
        recorded_bytes: 1 << 20,
        recorded_bulk_bytes: 64 << 10,
        hold_seconds: 3_600,
        shown_bytes: 1 << 20,
        nudge_seconds: 1,
        idle_seconds: 60,
        lend_seconds: 5,
        linger_seconds: 5,
    };
}
