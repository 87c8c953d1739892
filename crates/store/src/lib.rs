//! Sessions, tokens, approvals in SQLite; recordings on disk.
