//! Processes that end, and folders that go, when the test process ends, even if that is killed.
//!
//! A shell in a process group of its own starts the program and then reads its own input, which nobody ever writes: it
//! ends with whoever holds the other end of the pipe.
#![expect(clippy::expect_used, reason = "test support: what cannot be run fails the test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::signal;
use crate::wait::{SOON, pause, until};

/// `$1` how the program is ended, `$2` its log, `$3` a folder that goes with it, `$4` what to do before and after.
const CARETAKER: &str = r#"
how=$1 log=$2 folder=$3 before=$4 after=$5
shift 5
eval "$before"
"$@" </dev/null >>"$log" 2>&1 &
pid=$!
echo "$pid"
exec >/dev/null
cat
kill "-$how" "$pid" 2>/dev/null
wait "$pid"
eval "$after"
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// How long ending may take before the shell itself is killed.
const ENDING: Duration = Duration::from_secs(20);

/// A user to run as.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    pub user: u32,
    pub group: u32,
}

/// How a program is kept.
#[derive(Clone, Debug)]
pub struct Keeping<'a> {
    /// The signal that ends it.
    pub end_with: &'a str,
    /// Where its output goes.
    pub log: &'a Path,
    /// Removed after it.
    pub folder: Option<&'a Path>,
    /// Shell commands before it starts and after it has ended.
    pub before: &'a str,
    pub after: &'a str,
    pub run_as: Option<Ids>,
}

/// A program that is kept.
#[derive(Debug)]
pub struct Kept {
    shell: Child,
    stdin: Option<ChildStdin>,
    pid: u32,
}

impl Kept {
    /// Starts a program.
    ///
    /// # Panics
    /// When there is no shell.
    #[must_use]
    pub fn start(command: &Command, keeping: &Keeping<'_>) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(CARETAKER).arg("caretaker").arg(keeping.end_with).arg(keeping.log);
        shell.arg(keeping.folder.unwrap_or(Path::new(""))).arg(keeping.before).arg(keeping.after);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(Ids { user, group }) = keeping.run_as {
            shell.uid(user).gid(group);
        }
        shell.current_dir("/").process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("there is a shell");
        let stdin = shell.stdin.take();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("it is piped")).read_line(&mut line).expect("the shell talks");
        let pid = line.trim().parse().expect("the shell says the process id");
        Self { shell, stdin, pid }
    }

    /// The program's process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the program runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        is_running(self.pid)
    }

    /// Sends the program a signal.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Waits until the program has ended.
    pub fn ended(&self) {
        until(SOON, "a process to end", || (!self.is_running()).then_some(()));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stdin = None;
        let end = Instant::now() + ENDING;
        while Instant::now() < end && matches!(self.shell.try_wait(), Ok(None)) {
            pause();
        }
        // It has ended, or never will.
        let _gone = self.shell.kill();
        let _reaped = self.shell.wait();
    }
}

/// Whether a process is there and not a zombie.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// A size in KiB from a process's status, such as `VmHWM`.
#[must_use]
pub fn memory_kib(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Lets `VmHWM` of a process begin anew (`man 5 proc_pid_clear_refs`).
///
/// # Panics
/// When the process is not ours.
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
}

/// Whether this process is root's.
#[must_use]
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}
