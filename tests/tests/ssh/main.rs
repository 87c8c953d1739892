//! SSH end to end: OpenSSH at both ends, the real binary between them.

mod channels;
mod corpus;
mod denied;
mod holds;
mod stand;
