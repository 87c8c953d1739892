//! SSH end to end: OpenSSH at both ends, the real binary between them.

mod channels;
mod corpus;
mod denied;
mod files;
mod flow_control;
mod forwards;
mod holds;
mod hosts;
mod jumps;
mod kept;
mod programs;
mod regress;
mod reloads;
mod remote;
mod replay;
mod run;
mod sessions;
mod signin;
mod stand;
mod standstill;
mod tools;
