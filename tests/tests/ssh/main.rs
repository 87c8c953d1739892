//! SSH end to end: OpenSSH at both ends, the real binary between them.

mod channels;
mod denied;
mod holds;
mod stand;
