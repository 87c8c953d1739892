//! SFTP version 3 (<https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02>) with OpenSSH's extensions
//! (<https://github.com/openssh/openssh-portable/blob/master/PROTOCOL>).

mod attrs;
#[cfg(test)]
mod codec_tests;
mod filter;
mod frame;
mod path;
mod question;
mod reply;
mod request;

pub use attrs::{Attrs, Kind};
pub use filter::{Links, Settings, Sftp, Step, Under};
pub use frame::{MAX_PACKET, packet};
pub use path::Path;
pub(crate) use path::is_name;
pub use question::{Access, AskId, Inspect, Open, Question, Ruled, Terms, Verb};
pub use reply::{Code, Entry, Reply};
pub use request::{Extended, OpenFlags, Request};
