//! A program whose output is a secret, such as the token commands of cloud databases.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::{self, MapAccess};
use serde::{Serialize, Serializer};
use std::io;
use zeroize::Zeroizing;

use crate::source::{InvalidSource, MAX_BYTES};

const DEFAULT_TIMEOUT_SECONDS: u32 = 10;
const MAX_TIMEOUT_SECONDS: u32 = 60;
const MAX_KEEP_SECONDS: u32 = 86_400;

/// A program by its absolute path, with its arguments. No shell is asked; it inherits the broker's environment, reads
/// nothing, and what it says on stderr is thrown away.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenCommand {
    argv: Vec<String>,
    timeout_seconds: u32,
    keep_seconds: u32,
}

/// Why a command gave no secret.
#[derive(Debug)]
pub(crate) enum Unprinted {
    NotStarted(io::Error),
    Late,
    /// It ended with an error, or was ended.
    Failed,
    TooLarge,
}

impl TokenCommand {
    /// Checks a command; what it prints may be used for `keep_seconds` from when it was started.
    ///
    /// # Errors
    /// When there is no program, its path is not absolute, or a time is out of bounds.
    pub fn new(argv: Vec<String>, timeout_seconds: u32, keep_seconds: u32) -> Result<Self, InvalidSource> {
        let absolute = argv.first().is_some_and(|program| program.starts_with('/'));
        if !absolute || argv.iter().any(|argument| argument.contains('\0')) {
            return Err(InvalidSource::Command);
        }
        if !(1..=MAX_TIMEOUT_SECONDS).contains(&timeout_seconds) || keep_seconds > MAX_KEEP_SECONDS {
            return Err(InvalidSource::Seconds);
        }
        Ok(Self { argv, timeout_seconds, keep_seconds })
    }

    /// How long what it prints may be used.
    pub(crate) const fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_seconds as u64)
    }

    /// The program's path.
    pub(crate) fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Reads the rest of a mapping whose first key is `field`.
    pub(crate) fn read<'de, A: MapAccess<'de>>(field: &str, mut entries: A) -> Result<Self, A::Error> {
        let (mut argv, mut timeout, mut keep) = (None, None, None);
        let mut field = field.to_owned();
        loop {
            let twice = match field.as_str() {
                "command" => argv.replace(entries.next_value::<Vec<String>>()?).is_some(),
                "timeout_seconds" => timeout.replace(entries.next_value::<u32>()?).is_some(),
                "keep_seconds" => keep.replace(entries.next_value::<u32>()?).is_some(),
                other => {
                    return Err(de::Error::unknown_field(other, &["command", "timeout_seconds", "keep_seconds"]));
                }
            };
            if twice {
                return Err(de::Error::custom(InvalidSource::Command));
            }
            match entries.next_key::<String>()? {
                Some(next) => field = next,
                None => break,
            }
        }
        let argv = argv.ok_or_else(|| de::Error::missing_field("command"))?;
        Self::new(argv, timeout.unwrap_or(DEFAULT_TIMEOUT_SECONDS), keep.unwrap_or(0)).map_err(de::Error::custom)
    }

    /// Runs it and gives what it printed. Whatever it started with it ends with it.
    pub(crate) fn run(&self) -> Result<Zeroizing<Vec<u8>>, Unprinted> {
        let deadline = Instant::now() + Duration::from_secs(self.timeout_seconds.into());
        let (program, arguments) = self.argv.split_first().ok_or(Unprinted::Failed)?;
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(Unprinted::NotStarted)?;
        let printed = output(&mut child, deadline);
        end(&mut child);
        let printed = printed?;
        if printed.len() > MAX_BYTES { Err(Unprinted::TooLarge) } else { Ok(printed) }
    }
}

/// What a child prints until it ends well.
fn output(child: &mut Child, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Unprinted> {
    let Some(stdout) = child.stdout.take() else { return Err(Unprinted::Failed) };
    let (send, receive) = mpsc::channel();
    // A thread of its own: a pipe has no time limit. It ends with the last process that holds the pipe.
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let read = stdout.take(limit).read_to_end(&mut bytes);
        // Nobody waits any more once it is late.
        let _ = send.send(read.map(|_| bytes));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let printed = match receive.recv_timeout(left) {
        Ok(Ok(printed)) => printed,
        Ok(Err(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Unprinted::Failed),
        Err(mpsc::RecvTimeoutError::Timeout) => return Err(Unprinted::Late),
    };
    if printed.len() > MAX_BYTES {
        return Err(Unprinted::TooLarge);
    }
    match ended(child, deadline)? {
        true => Ok(printed),
        false => Err(Unprinted::Failed),
    }
}

/// Whether a child that has closed its output ended well.
fn ended(child: &mut Child, deadline: Instant) -> Result<bool, Unprinted> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() >= deadline => return Err(Unprinted::Late),
            // It has closed its output and is about to end; nothing tells of that within a time.
            Ok(None) => std::thread::park_timeout(Duration::from_millis(2)),
            Err(_) => return Err(Unprinted::Failed),
        }
    }
}

/// Ends whatever of a child's group still runs, and reaps the child.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // There may be nobody left.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

impl Serialize for TokenCommand {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("command", &self.argv)?;
        map.serialize_entry("timeout_seconds", &self.timeout_seconds)?;
        map.serialize_entry("keep_seconds", &self.keep_seconds)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;
    use sluice_model::ExposeSecret as _;

    use super::*;
    use crate::source::{SecretError, SecretSource};

    fn shell(script: &str) -> SecretSource {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        SecretSource::Command(TokenCommand::new(argv, 5, 0).unwrap())
    }

    #[test]
    fn what_a_program_prints_is_the_secret() {
        assert_eq!(shell("echo to$((40+2))ken").read().unwrap().expose_secret(), "to42ken");
        assert_eq!(shell("printf '%s' \"$CARGO_PKG_NAME\"").read().unwrap().expose_secret(), "sluice-vault");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        for (script, expected) in [
            ("echo canary; exit 1", "failed"),
            ("echo canary; kill -9 $$", "failed"),
            ("true", "is empty"),
            ("echo canary >&2", "is empty"),
            ("printf 'can\\000ary'", "not text"),
            ("head -c 70000 /dev/zero | tr '\\0' x", "larger than"),
            ("cat", "is empty"),
        ] {
            let error = shell(script).read().unwrap_err();
            let words = format!("{error} {error}");
            assert!(words.contains(expected), "{script}: {words}");
            assert!(!words.contains("canary") && words.contains("command:/bin/sh"), "{script}: {words}");
        }
        let nothing = TokenCommand::new(vec!["/nowhere/token".to_owned()], 5, 0).unwrap();
        assert!(matches!(SecretSource::Command(nothing).read(), Err(SecretError::Io { .. })));
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_what_it_started() {
        let home = tempfile::tempdir().unwrap();
        let mark = home.path().join("pid");
        let script = format!("sleep 3600 & echo $! >'{}'; sleep 3600", mark.display());
        let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        let source = SecretSource::Command(TokenCommand::new(argv, 1, 0).unwrap());
        assert!(matches!(source.read(), Err(SecretError::Late(_))));
        let pid = std::fs::read_to_string(&mark).unwrap();
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < patience, "the program's child still runs: {state}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn commands_are_read_and_checked() {
        let read = |value| serde_json::from_value::<SecretSource>(value);
        let full = json!({ "command": ["/bin/token", "--now"], "timeout_seconds": 3, "keep_seconds": 600 });
        let source = read(full.clone()).unwrap();
        assert_eq!(serde_json::to_value(&source).unwrap(), full);
        assert_eq!(source.to_string(), "command:/bin/token");
        assert!(read(json!({ "keep_seconds": 5, "command": ["/bin/token"] })).is_ok());
        for wrong in [
            json!({ "command": [] }),
            json!({ "command": ["token"] }),
            json!({ "command": "/bin/token" }),
            json!({ "command": ["/bin/to\0ken"] }),
            json!({ "command": ["/bin/token"], "timeout_seconds": 0 }),
            json!({ "command": ["/bin/token"], "timeout_seconds": 61 }),
            json!({ "command": ["/bin/token"], "keep_seconds": 86_401 }),
            json!({ "command": ["/bin/token"], "env": "A" }),
            json!({ "timeout_seconds": 5 }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
