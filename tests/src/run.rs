//! Running a program, with its output and a deadline.
#![expect(clippy::expect_used, reason = "test support: what cannot be run fails the test")]

use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wait::{SOON, until};

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Standard output and standard error together.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Itself, if the program ended with 0.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "it failed:\n{}", self.said());
        self
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Heard,
    stderr: Heard,
}

impl Running {
    /// Starts a program whose output is collected.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| cannot(command, &error));
        let stdin = child.stdin.take();
        let stdout = Heard::listen(child.stdout.take().expect("it is piped"));
        let stderr = Heard::listen(child.stderr.take().expect("it is piped"));
        Self { child, stdin, stdout, stderr }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types something.
    ///
    /// # Panics
    /// When nobody reads it.
    pub fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("it reads its input");
    }

    /// Everything it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// Waits for it to say something.
    pub fn hear(&self, needle: &str) -> String {
        until(SOON, &format!("`{needle}` in:\n{}", self.said()), || {
            let said = self.said();
            said.contains(needle).then_some(said)
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    /// When the time is over.
    #[must_use]
    pub fn finish(mut self, limit: Duration) -> Finished {
        self.stdin = None;
        let mut ended = None;
        let end = std::time::Instant::now() + limit;
        while ended.is_none() && std::time::Instant::now() < end {
            ended = self.child.try_wait().expect("it is our child");
            crate::wait::pause();
        }
        let Some(status) = ended else {
            let said = self.said();
            drop(self);
            let said: String = said.chars().take(4_000).collect();
            unended(limit, &said)
        };
        Finished { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Runs a program to its end.
#[must_use]
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    Running::start(command).finish(limit)
}

/// Sends a signal to a process that a test has started.
///
/// # Panics
/// When the process is not there.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "no process {pid} takes a {name}");
}

/// One stream of output, as far as it has been heard.
#[derive(Debug)]
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

impl Heard {
    fn listen(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let listener = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut heard = into.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend(buffer.iter().take(count));
            }
        });
        Self { bytes, listener: Some(listener) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Everything; only after the process has ended.
    fn whole(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            listener.join().expect("listening does not fail");
        }
        self.text()
    }
}

#[expect(clippy::panic, reason = "test support")]
fn cannot(command: &Command, error: &std::io::Error) -> ! {
    let program = command.get_program().display();
    panic!("`{program}` cannot be run ({error}): `make setup` installs what the tests need")
}

#[expect(clippy::panic, reason = "test support")]
fn unended(limit: Duration, said: &str) -> ! {
    panic!("it did not end within {limit:?}; it said:\n{said}")
}
