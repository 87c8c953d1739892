//! Leases of target credentials from configured sources.
