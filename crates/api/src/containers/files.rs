//! A container's files: archives out and in, export, commit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::containers::{CommitRequest, ExtractRequest, PathStat};
use engine::images::ImportRequest;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use types::Error;

use super::create::CreateBody;
use crate::call::Call;
use crate::go_json::CREATE;
use crate::images::{reader, tar_reply};
use crate::reply::{self, Reply, Result};

const STAT_HEADER: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// What is at a path, as Go's `os.FileInfo` would have it.
#[derive(Serialize)]
struct StatBody {
    name: String,
    size: i64,
    mode: u32,
    mtime: String,
    #[serde(rename = "linkTarget")]
    link_target: String,
}

/// Go's `os.FileMode` of a `st_mode`.
fn go_mode(mode: u32) -> u32 {
    const DIR: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const PIPE: u32 = 1 << 25;
    const SOCKET: u32 = 1 << 24;
    const CHAR_DEVICE: u32 = 1 << 21;
    let kind = match mode & 0o170_000 {
        0o040_000 => DIR,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHAR_DEVICE,
        0o010_000 => PIPE,
        0o140_000 => SOCKET,
        _ => 0,
    };
    let flags = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    flags.iter().filter(|(bit, _)| mode & bit != 0).fold(mode & 0o777 | kind, |mode, (_, go)| mode | go)
}

fn with_stat(mut reply: Reply, stat: PathStat) -> Result {
    let body = StatBody {
        name: stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: stat.changed.rfc3339(),
        link_target: stat.link_target,
    };
    let text = STANDARD.encode(serde_json::to_vec(&body).map_err(Error::internal)?);
    reply.headers_mut().insert(STAT_HEADER, HeaderValue::try_from(text).map_err(Error::internal)?);
    Ok(reply)
}

fn path(call: &Call) -> types::Result<String> {
    match call.query.text("path") {
        "" => Err(Error::invalid("bad parameter: 'path' cannot be empty")),
        path => Ok(path.to_owned()),
    }
}

/// `HEAD /containers/{id}/archive`
pub(crate) async fn archive_head(call: Call) -> Result {
    let stat = call.parts.containers.stat_path(&call.name, &path(&call)?).await?;
    with_stat(reply::empty(StatusCode::OK), stat)
}

/// `GET /containers/{id}/archive`
pub(crate) async fn archive_get(call: Call) -> Result {
    let (stat, chunks) = call.parts.containers.archive(&call.name, &path(&call)?).await?;
    with_stat(tar_reply(chunks).await?, stat)
}

/// `PUT /containers/{id}/archive`
pub(crate) async fn archive_put(call: Call) -> Result {
    let request = ExtractRequest {
        path: path(&call)?,
        keep_kinds: call.query.flag("noOverwriteDirNonDir"),
        take_owner: call.query.flag("copyUIDGID"),
    };
    call.parts.containers.extract(&call.name, request, reader(call.body)).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `GET /containers/{id}/export`
pub(crate) async fn export(call: Call) -> Result {
    let mut reply = tar_reply(call.parts.containers.export(&call.name).await?).await?;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(reply)
}

#[derive(Serialize)]
struct CommitBody {
    #[serde(rename = "Id")]
    id: String,
}

/// `POST /commit`
pub(crate) async fn commit(mut call: Call) -> Result {
    // Docker reads a body that is there, `null` and all.
    let mut body: CreateBody = call.json(&CREATE).await?;
    let config = body.take_config()?;
    let query = &call.query;
    let request = CommitRequest {
        container: query.text("container").to_owned(),
        reference: ImportRequest::name(query.text("repo"), query.text("tag"))?,
        pause: query.flag_or("pause", true),
        author: query.text("author").to_owned(),
        comment: query.text("comment").to_owned(),
        changes: query.all("changes").into_iter().map(str::to_owned).collect(),
        config,
    };
    let id = call.parts.containers.commit(request).await?;
    reply::json_with(StatusCode::CREATED, &CommitBody { id: id.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        for (mode, want) in [
            (0o100_644, 0o644),
            (0o040_755, 2_147_484_141),
            (0o120_777, 134_218_239),
            (0o041_777, 2_148_532_735),
            (0o020_666, (1 << 26) | (1 << 21) | 0o666),
            (0o104_755, (1 << 23) | 0o755),
        ] {
            assert_eq!(go_mode(mode), want, "{mode:o}");
        }
    }
}
