//! The command line's end of the control socket.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Answer, Ask, MAX_LINE_BYTES};

/// Asks the running broker.
pub(crate) async fn ask(socket: &Path, ask: &Ask) -> Result<Answer> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => bail!(
            "no broker is running on this data folder (`{}` does not answer); start one with `sluice serve`, or name \
             its configuration with `--config PATH`",
            socket.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("`{}` belongs to somebody else; run this as the user who runs the broker", socket.display())
        }
        Err(error) => return Err(error).with_context(|| format!("`{}` cannot be reached", socket.display())),
    };
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    write.write_all(&line).await.context("the broker went away")?;
    let mut answer = Vec::new();
    let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
    BufReader::new(read.take(limit)).read_until(b'\n', &mut answer).await.context("the broker went away")?;
    serde_json::from_slice(&answer).context("the broker's answer cannot be read; is it of another version?")
}
