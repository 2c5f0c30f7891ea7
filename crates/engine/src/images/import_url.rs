//! `docker import http://...`: the archive comes from a server (moby `daemon/images`, `remotecontext.GetWithStatusError`).

use futures_util::StreamExt as _;
use registry::Remote;
use tokio_util::io::StreamReader;
use types::{Error, ErrorKind, Result};

use super::Images;
use super::load::{self, ImportRequest};
use super::progress::{Detail, Progress, ProgressStream};

/// Of what a server says beside its refusal, as much is shown, in bytes.
const REFUSAL_MAX: usize = 8 << 10;
/// Progress is told after as many bytes.
const STEP: u64 = 1 << 20;

impl Images {
    /// As [`Images::import`], from a URL; one without a scheme is plain HTTP.
    pub fn import_url(&self, url: &str, request: ImportRequest) -> ProgressStream {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let (shared, client) = (self.0.clone(), self.0.client());
        ProgressStream::spawn(move |report| async move {
            let known = ["http://", "https://"].iter().any(|scheme| url.to_lowercase().starts_with(scheme));
            if !known {
                let scheme = url.split("://").next().unwrap_or_default();
                return Err(Error::internal(format!("Get {url:?}: unsupported protocol scheme {scheme:?}")));
            }
            let remote = client.fetch(&url).await.map_err(Error::internal)?;
            let remote = accepted(&url, remote).await?;
            report.say(Progress::message("", format!("Downloading from {url}"))).await;
            let total = remote.length.unwrap_or(0);
            let (mut current, mut told) = (0, 0);
            let progress = report.clone();
            let counted = remote.chunks.inspect(move |chunk| {
                current += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                if current >= told + STEP || current == total {
                    told = current;
                    progress.hint(importing(current, total));
                }
            });
            let archive = tokio_util::io::SyncIoBridge::new(StreamReader::new(counted));
            load::import(shared, archive, request, report).await
        })
    }
}

fn importing(current: u64, total: u64) -> Progress {
    Progress {
        status: "Importing".to_owned(),
        detail: Some(Detail { current, total }),
        ..Progress::default()
    }
}

/// The answer, unless it is a refusal: that is told as Docker does, with the beginning of what the server says.
async fn accepted(url: &str, mut remote: Remote) -> Result<Remote> {
    let status = remote.status;
    if status.as_u16() < 400 {
        return Ok(remote);
    }
    let mut said = Vec::new();
    while let Some(Ok(chunk)) = remote.chunks.next().await
        && said.len() < REFUSAL_MAX
    {
        said.extend_from_slice(&chunk);
    }
    said.truncate(REFUSAL_MAX);
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let kind = match status.as_u16() {
        400 => ErrorKind::InvalidArgument,
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        _ => ErrorKind::Internal,
    };
    Err(Error::new(kind, format!("failed to GET {url} with status {status}: {said}")))
}
