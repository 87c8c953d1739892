//! What stands behind the broker: whatever the suite has started last.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::suite::SERVER;

/// Leads connections to a server until the process ends; gives the port for the broker.
pub(crate) fn open(folder: &Path, stays: u16) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    let port = listener.local_addr()?.port();
    let file = folder.join("behind");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let file = file.clone();
            thread::spawn(move || {
                if let Err(error) = lead(stream, &file, stays) {
                    crate::say(&format!("a connection of the broker's leads nowhere: {error:#}"));
                }
            });
        }
    });
    Ok(port)
}

/// One connection: to a server of its own, as `sshd -i` is, or to the one that stays.
fn lead(stream: TcpStream, file: &PathBuf, stays: u16) -> Result<()> {
    let text = fs::read_to_string(file).context("the suite has started no server")?;
    let mut lines = text.lines();
    match lines.next() {
        Some("once") => {
            let (input, output) = (OwnedFd::from(stream.try_clone()?), OwnedFd::from(stream));
            let mut serve = Command::new(SERVER);
            serve.args(lines).stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::null());
            let mut child = serve.spawn()?;
            // What it inherits is its own from here on.
            drop(serve);
            child.wait()?;
            Ok(())
        }
        Some("stays") => splice(stream, TcpStream::connect(("127.0.0.1", stays))?),
        _ => bail!("`{text}` is no server"),
    }
}

/// Copies both ways until both have ended.
fn splice(one: TcpStream, two: TcpStream) -> Result<()> {
    let (from, to) = (two.try_clone()?, one.try_clone()?);
    let back = thread::spawn(move || copy(from, to));
    copy(one, two);
    // A thread that only copies does not fail.
    let _copied = back.join();
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // Whichever side has gone, the other one is told.
    let _gone = io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
}
