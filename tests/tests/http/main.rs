//! HTTP end to end: raw sockets and real SDKs, the real binary, servers that misbehave.

mod addresses;
mod background;
mod budgets;
mod bulk;
mod calls;
mod conversation;
mod crowd;
mod evasions;
mod faults;
mod framing;
mod headers;
mod holds;
mod keys;
mod limits;
mod masks;
mod owned;
mod owned_sdk;
mod resumed;
mod sdk;
mod sdk_errors;
mod secrets;
mod stand;
mod suite;
mod tls;
mod tokens;
mod uploads;
