//! `/exec` and `/containers/{id}/exec`.

use bytes::Bytes;
use engine::containers::request::{ExecCreateRequest, ExecStartRequest};
use futures_util::FutureExt;
use http::StatusCode;
use types::{Error, Frame, StreamKind};
use wire::exec as body;

use crate::call::Call;
use crate::containers::terminal_size;
use crate::go_json::{EXEC, EXEC_START};
use crate::hijack::{self, Content, Source};
use crate::reply::{self, Result};

/// `POST /containers/{id}/exec`
pub(crate) async fn create(mut call: Call) -> Result {
    let asked: body::ExecCreate = call.json(&EXEC).await?;
    if asked.cmd.is_empty() {
        return Err(Error::invalid("No exec command specified"));
    }
    let request = ExecCreateRequest {
        cmd: asked.cmd,
        attach_stdin: asked.attach_stdin,
        attach_stdout: asked.attach_stdout,
        attach_stderr: asked.attach_stderr,
        tty: asked.tty,
        env: asked.env,
        user: asked.user,
        working_dir: asked.working_dir,
        privileged: asked.privileged,
        detach_keys: Some(asked.detach_keys).filter(|keys| !keys.is_empty()),
        console_size: asked.console_size.filter(|_| call.version.since(42)),
    };
    let id = call.parts.containers.exec_create(&call.name, request).await?;
    reply::json_with(StatusCode::CREATED, &wire::IdResponse { id: id.into() })
}

/// `POST /exec/{id}/start`
pub(crate) async fn start(mut call: Call) -> Result {
    let asked: body::ExecStart = call.json(&EXEC_START).await?;
    let console_size = asked.console_size.filter(|_| call.version.since(42) && asked.tty);
    let details = call.parts.containers.exec_inspect(&call.name).await?;
    let request = ExecStartRequest { detach: asked.detach, tty: asked.tty, console_size };
    let content_type = hijack::content_type(call.version, asked.tty);
    let (containers, exec) = (call.parts.containers.clone(), call.name.clone());
    if asked.detach {
        containers.exec_start(&exec, request).await?;
        return Ok(reply::empty(StatusCode::OK));
    }
    containers.exec_may_start(&exec).await?;
    let start = async move {
        match containers.exec_start(&exec, request).await {
            Ok(Some(attached)) => Content::Attached(attached),
            Ok(None) => Content::Text(Bytes::new()),
            // The connection is hijacked by now: the reason goes where output would have gone.
            Err(error) => Content::Text(failure_text(&error.message, asked.tty)),
        }
    };
    Ok(hijack::hijack(call, details.open_stdin, content_type, Source::Later(start.boxed())))
}

fn failure_text(message: &str, is_tty: bool) -> Bytes {
    let text = format!("{message}\r\n");
    if is_tty {
        return text.into();
    }
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut framed = Frame { kind: StreamKind::Stdout, length }.encode().to_vec();
    framed.extend_from_slice(text.as_bytes());
    framed.into()
}

/// `GET /exec/{id}/json`
pub(crate) async fn inspect(call: Call) -> Result {
    let of = call.parts.containers.exec_inspect(&call.name).await?;
    reply::json(&body::ExecInspect {
        id: of.id.into(),
        running: of.running,
        exit_code: of.exit_code.map(i64::from),
        process_config: body::ProcessConfig {
            tty: of.tty,
            entrypoint: of.entrypoint,
            arguments: of.arguments,
            privileged: Some(of.privileged),
            user: of.user,
        },
        open_stdin: of.open_stdin,
        open_stderr: of.open_stderr,
        open_stdout: of.open_stdout,
        can_remove: of.can_remove,
        container_id: of.container_id.into(),
        detach_keys: of.detach_keys,
        pid: of.pid.into(),
    })
}

/// `POST /exec/{id}/resize`
pub(crate) async fn resize(call: Call) -> Result {
    let (height, width) = terminal_size(&call)?;
    call.parts.containers.exec_resize(&call.name, height, width).await?;
    Ok(reply::empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_framed_unless_there_is_a_terminal() {
        assert_eq!(failure_text("no", true), "no\r\n");
        assert_eq!(failure_text("no", false), b"\x01\0\0\0\0\0\0\x04no\r\n".as_slice());
    }
}
