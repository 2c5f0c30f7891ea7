//! The side door: a socket below the root (`wharf/admin.sock`, its owner's only) through which `wharf registry gc`
//! asks the process that serves the folder. One line of JSON each way.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Server, collect};

const LINE_BYTES_MAX: u64 = 1 << 20;

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase")]
pub enum Request {
    /// Collect what nobody names.
    Collect {
        /// Only tell.
        dry_run: bool,
        /// Do not leave what was touched lately.
        now: bool,
    },
}

fn path(root: &Path) -> PathBuf {
    root.join("wharf/admin.sock")
}

/// Asks the process that serves `root`; `None` if there is none.
pub async fn ask(root: &Path, request: &Request) -> Option<Result<Value, String>> {
    let mut stream = UnixStream::connect(path(root)).await.ok()?;
    let exchange = async {
        let line = format!("{}\n", serde_json::to_string(request).map_err(|error| error.to_string())?);
        stream.write_all(line.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.take(LINE_BYTES_MAX).read_to_string(&mut text).await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    };
    Some(exchange.await)
}

/// Answers until the process ends.
pub(super) async fn run(server: Arc<Server>) {
    let path = path(&server.config.root);
    clean_up(&server.config.root);
    let listener = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "wharf registry gc cannot ask this process");
            return;
        }
    };
    loop {
        // One at a time: what can be asked is never wanted twice at once.
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = answer(&server, stream).await {
                    tracing::debug!(%error, "an administrator's connection ended early");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the side door is stuck");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(server: &Arc<Server>, mut stream: UnixStream) -> std::io::Result<()> {
    let mut line = String::new();
    let (reader, mut writer) = stream.split();
    let reading = BufReader::new(reader.take(LINE_BYTES_MAX));
    let mut reading = reading;
    let read = tokio::time::timeout(std::time::Duration::from_secs(10), reading.read_line(&mut line));
    read.await.map_err(|_| std::io::ErrorKind::TimedOut)??;
    let answer = match serde_json::from_str(&line) {
        Err(error) => json!({ "error": error.to_string() }),
        Ok(Request::Collect { dry_run, now }) => match collect::collect(server, dry_run, now).await {
            Ok(report) => json!({ "ok": report }),
            Err(fault) => json!({ "error": fault.message }),
        },
    };
    writer.write_all(answer.to_string().as_bytes()).await
}

/// Removes the socket of a process that is gone. The caller holds the lock of the folder.
pub(super) fn clean_up(root: &Path) {
    // There may be none.
    let _absent = std::fs::remove_file(path(root));
}
