//! Files over SSH: SFTP, the old `scp` and git, each a pure filter between a client and a server.

pub mod event;
pub mod git;
pub mod mask;
pub mod scp;
pub mod sftp;
