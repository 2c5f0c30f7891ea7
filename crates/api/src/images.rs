//! `/images`.

use std::io;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use engine::images::{
    Credentials, ImportRequest, ListRequest, Progress, ProgressStream, PullRequest, PushRequest, Removed,
};
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use http::header::HeaderValue;
use tokio_util::io::StreamReader;
use types::{Error, ErrorKind, Platform};
use wire::ProgressLine;
use wire::image as body;
use wire::progress::ProgressDetail;
use wire::system::AuthConfig;

use crate::call::Call;
use crate::go_json::AUTH;
use crate::render;
use crate::reply::{self, Result};
use crate::request_body::RequestBody;

/// `GET /images/json`
pub(crate) async fn list(call: Call) -> Result {
    let request = ListRequest {
        all: call.query.flag("all"),
        filters: call.query.filters()?,
        shared_size: call.version.since(42) && call.query.flag("shared-size"),
        container_count: call.version.since(51),
    };
    let images = call.parts.images.list(request).await?;
    reply::json(
        &images
            .into_iter()
            .map(|image| render::image_summary(image, call.version, false))
            .collect::<Vec<_>>(),
    )
}

/// `GET /images/{name}/json`
pub(crate) async fn inspect(call: Call) -> Result {
    reply::json(&render::image_inspect(call.parts.images.inspect(&call.name).await?, call.version))
}

/// `GET /images/{name}/history`
pub(crate) async fn history(call: Call) -> Result {
    let steps = call.parts.images.history(&call.name).await?;
    let item = |of: engine::images::HistoryEntry| body::HistoryItem {
        comment: of.comment,
        created: of.created,
        created_by: of.created_by,
        id: of.id,
        size: i64::try_from(of.size_bytes).unwrap_or(i64::MAX),
        tags: Some(of.tags).filter(|tags| !tags.is_empty()),
    };
    reply::json(&steps.into_iter().map(item).collect::<Vec<_>>())
}

/// `POST /images/{name}/tag`
pub(crate) async fn tag(call: Call) -> Result {
    if call.query.text("repo").is_empty() {
        // No name: Docker does nothing, and says that it went well.
        return Ok(reply::empty(StatusCode::OK));
    }
    call.parts.images.tag(&call.name, call.query.text("repo"), call.query.text("tag")).await?;
    Ok(reply::empty(StatusCode::CREATED))
}

fn delete_item(of: Removed) -> body::DeleteItem {
    match of {
        Removed::Untagged(untagged) => body::DeleteItem { untagged, ..Default::default() },
        Removed::Deleted(deleted) => body::DeleteItem { deleted, ..Default::default() },
    }
}

/// `DELETE /images/{name}`
pub(crate) async fn remove(call: Call) -> Result {
    let (force, prune) = (call.query.flag("force"), !call.query.flag("noprune"));
    let removed = call.parts.images.remove(&call.name, force, prune).await?;
    reply::json(&removed.into_iter().map(delete_item).collect::<Vec<_>>())
}

/// `POST /images/prune`
pub(crate) async fn prune(call: Call) -> Result {
    let pruned = call.parts.images.prune(call.query.filters()?).await?;
    let deleted: Vec<_> = pruned.removed.into_iter().map(delete_item).collect();
    reply::json(&body::ImagesPruned {
        images_deleted: Some(deleted).filter(|deleted| !deleted.is_empty()),
        space_reclaimed: pruned.space_reclaimed_bytes,
    })
}

/// `POST /images/create`: a pull (`fromImage`) or an import (`fromSrc`).
pub(crate) async fn create(call: Call) -> Result {
    let from_image = call.query.text("fromImage");
    if from_image.is_empty() {
        return import(call).await;
    }
    let platform = if call.version.since(32) { call.query.text("platform") } else { "" };
    let credentials = credentials(&call);
    let request = PullRequest::parse(from_image, call.query.text("tag"), platform, credentials)?;
    progress_reply(call.parts.images.pull(request)).await
}

async fn import(call: Call) -> Result {
    let reference = ImportRequest::name(call.query.text("repo"), call.query.text("tag"))?;
    let platform = match call.query.text("platform") {
        text if text.is_empty() || call.version.before(32) => None,
        text => Some(text.parse().map_err(Error::invalid)?),
    };
    let request = ImportRequest {
        reference,
        changes: call.query.all("changes").into_iter().map(str::to_owned).collect(),
        message: call.query.text("message").to_owned(),
        platform,
    };
    match call.query.text("fromSrc") {
        "-" => progress_reply(call.parts.images.import(reader(call.body), request)).await,
        url => progress_reply(call.parts.images.import_url(url, request)).await,
    }
}

/// `POST /images/load`
pub(crate) async fn load(call: Call) -> Result {
    let quiet = call.query.flag_or("quiet", true);
    let platform = platform(&call)?;
    // Unlike a pull, a load has always begun: whatever fails is a line.
    let mut events = call.parts.images.load(reader(call.body), platform, quiet);
    // An archive without images is no error, and leaves one empty line.
    let first = events.next().await.unwrap_or_else(|| Ok(Progress::default()));
    Ok(progress_lines(stream::iter([first]).chain(events)))
}

/// `POST /images/{name}/push`
pub(crate) async fn push(call: Call) -> Result {
    let platform = platform(&call)?;
    let request = PushRequest::parse(&call.name, call.query.text("tag"), platform, credentials(&call))?;
    // Its first line comes before anything can fail, unless the platform is the wrong one.
    progress_reply(call.parts.images.push(request)).await
}

/// `POST /auth`
pub(crate) async fn auth(mut call: Call) -> Result {
    // Unlike the others, Docker decodes this one by itself, and calls a bad one an error of its own.
    let auth: AuthConfig = call.required_json(&AUTH).await.map_err(|error| {
        let words = error.message.strip_prefix("invalid JSON: ").unwrap_or(&error.message);
        Error { kind: ErrorKind::Internal, message: words.to_owned(), source: error.source }
    })?;
    let server = auth.server_address.clone();
    let token = call.parts.images.log_in(&server, credentials_of(auth)).await?;
    reply::json(&serde_json::json!({ "Status": "Login Succeeded", "IdentityToken": token }))
}

/// `GET /distribution/{name}/json`
pub(crate) async fn distribution(call: Call) -> Result {
    let found = call.parts.images.distribution(&call.name, credentials(&call)).await?;
    let platforms: Vec<_> = found.platforms;
    reply::json(&serde_json::json!({
        "Descriptor": { "mediaType": found.media_type, "digest": found.digest, "size": found.size },
        "Platforms": platforms,
    }))
}

/// `GET /images/search`
pub(crate) async fn search(call: Call) -> Result {
    if call.query.text("term").is_empty() {
        return Err(Error::invalid("search term is required"));
    }
    let limit = call.query.number("limit")?.unwrap_or(0);
    let filters = call.query.filters()?;
    let found =
        call.parts.images.search(call.query.text("term"), limit, &filters, credentials(&call)).await?;
    reply::json(&found)
}

/// Since 1.48 some requests name a platform as JSON of its parts.
fn platform(call: &Call) -> types::Result<Option<Platform>> {
    match call.query.text("platform") {
        text if text.is_empty() || call.version.before(48) => Ok(None),
        text => {
            let invalid = |e: serde_json::Error| Error::invalid("failed to parse platform").with_source(e);
            serde_json::from_str(text).map(Some).map_err(invalid)
        }
    }
}

/// `GET /images/{name}/get`
pub(crate) async fn save(call: Call) -> Result {
    let name = call.name.clone();
    archive(call, vec![name]).await
}

/// `GET /images/get`: all that `names` name, in one archive.
pub(crate) async fn save_all(call: Call) -> Result {
    let names = call.query.all("names").into_iter().map(str::to_owned).collect();
    archive(call, names).await
}

/// What fails before the first byte has a status; later the connection breaks, so that nobody takes half for the whole.
async fn archive(call: Call, names: Vec<String>) -> Result {
    let platform = platform(&call)?;
    let chunks = call.parts.images.save(names, platform).await?;
    tar_reply(chunks).await
}

/// An archive as it is made.
pub(crate) async fn tar_reply(mut chunks: engine::images::ArchiveStream) -> Result {
    let first = match chunks.next().await {
        Some(Err(error)) => return Err(error),
        first => first,
    };
    let chunks = stream::iter(first).chain(chunks).map(|chunk| chunk.map_err(io::Error::other));
    Ok(reply::stream(HeaderValue::from_static("application/x-tar"), chunks))
}

pub(crate) fn reader(body: RequestBody) -> impl tokio::io::AsyncRead + Send + Unpin + 'static {
    StreamReader::new(body)
}

/// An error before the first line has a status; a later one is a line of its own.
async fn progress_reply(mut progress: ProgressStream) -> Result {
    let first = match progress.next().await {
        Some(Err(error)) => return Err(error),
        Some(Ok(first)) => Some(Ok(first)),
        None => None,
    };
    Ok(progress_lines(stream::iter(first).chain(progress)))
}

fn progress_lines(events: impl Stream<Item = types::Result<Progress>> + Send + 'static) -> reply::Reply {
    let lines = events.map(|event| match event {
        Ok(event) => progress_line(event),
        Err(error) => ProgressLine::error(error.message),
    });
    reply::stream(HeaderValue::from_static("application/json"), encode(lines))
}

/// Docker ends these lines with CR LF.
fn encode(
    lines: impl Stream<Item = ProgressLine> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    lines.map(|line| {
        let mut text = serde_json::to_vec(&line).map_err(io::Error::other)?;
        text.extend_from_slice(b"\r\n");
        Ok(text.into())
    })
}

fn progress_line(of: Progress) -> ProgressLine {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let detail = of.detail.map(|detail| (number(detail.current), number(detail.total)));
    ProgressLine {
        stream: of.stream,
        status: of.status,
        progress: detail.map(|(current, total)| bar(current, total)).unwrap_or_default(),
        progress_detail: detail.map(|(current, total)| ProgressDetail {
            current,
            total,
            ..Default::default()
        }),
        id: of.id,
        aux: of.aux.map(|aux| serde_json::json!({ "Tag": aux.tag, "Digest": aux.digest, "Size": aux.size })),
        ..ProgressLine::default()
    }
}

/// The bar that Docker draws for clients that cannot (moby `jsonmessage.JSONProgress.String`).
fn bar(current: i64, total: i64) -> String {
    if current <= 0 && total <= 0 {
        return String::new();
    }
    if total <= 0 {
        return format!("{:>8}", human_size(current));
    }
    let done = usize::try_from((i128::from(current) * 50 / i128::from(total)).clamp(0, 50)).unwrap_or(0);
    let counts = match current > total {
        true => format!("{:>8}", human_size(current)),
        false => format!("{:>8}/{}", human_size(current), human_size(total)),
    };
    format!("[{}>{}] {counts}", "=".repeat(done), " ".repeat(50 - done))
}

/// Four significant digits in powers of 1000 (go-units `HumanSize`).
fn human_size(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = if size >= 999.95 {
        0
    } else if size >= 99.995 {
        1
    } else if size >= 9.9995 {
        2
    } else {
        3
    };
    let text = format!("{size:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// Base64 for URLs, with or without padding, as clients have sent it over the years.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who the client says it is, from `X-Registry-Auth`. What cannot be read is nobody, as in Docker.
fn credentials(call: &Call) -> Credentials {
    let header = call.headers.get("x-registry-auth").map(HeaderValue::as_bytes).unwrap_or_default();
    let auth: AuthConfig =
        BASE64.decode(header).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    credentials_of(auth)
}

fn credentials_of(auth: AuthConfig) -> Credentials {
    Credentials {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_dockers() {
        for (current, total, want) in [
            (0, 0, "".to_owned()),
            (1000, 0, "     1kB".to_owned()),
            (1, 2, format!("[{}>{}]       1B/2B", "=".repeat(25), " ".repeat(25))),
            (5_300_000, 5_300_000, format!("[{}>]    5.3MB/5.3MB", "=".repeat(50))),
        ] {
            assert_eq!(bar(current, total), want);
        }
        for (bytes, want) in [(999, "999B"), (1234, "1.234kB"), (12_345_678, "12.35MB"), (123_456, "123.5kB")]
        {
            assert_eq!(human_size(bytes), want);
        }
    }

    #[test]
    fn auth_is_read_with_and_without_padding() {
        for text in ["eyJ1c2VybmFtZSI6InUifQ==", "eyJ1c2VybmFtZSI6InUifQ"] {
            let auth: AuthConfig = serde_json::from_slice(&BASE64.decode(text).unwrap()).unwrap();
            assert_eq!(auth.username, "u");
        }
    }
}
