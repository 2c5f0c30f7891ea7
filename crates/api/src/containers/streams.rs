//! What goes on for a while: attach, logs, stats, wait.

use std::io;

use engine::containers::request::{AttachRequest, LogsRequest, WaitCondition};
use futures_util::{StreamExt, stream};
use http::header::HeaderValue;
use types::Error;
use wire::container::{WaitError, WaitResponse};

use crate::call::Call;
use crate::hijack::{self, Content, Source};
use crate::render;
use crate::reply::{self, Result};

/// `POST /containers/{id}/attach`. An error comes in the form of the stream, as from Docker.
pub(crate) async fn attach(call: Call) -> Result {
    Ok(try_attach(call).await.unwrap_or_else(|error| hijack::refused(&error)))
}

async fn try_attach(call: Call) -> Result {
    let query = &call.query;
    let request = AttachRequest {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: query.optional("detachKeys"),
    };
    let is_stdin = request.stdin;
    let attached = call.parts.containers.attach(&call.name, request).await?;
    let content_type = hijack::content_type(call.version, attached.tty);
    Ok(hijack::hijack(call, is_stdin, content_type, Source::Now(Content::Attached(attached))))
}

/// `GET /containers/{id}/logs`
pub(crate) async fn logs(call: Call) -> Result {
    let query = &call.query;
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    // Before the times, which may be wrong, too.
    call.parts.containers.must_exist(&call.name)?;
    let request = LogsRequest {
        stdout,
        stderr,
        follow: query.flag("follow"),
        since: query.time("since")?,
        until: query.time("until")?,
        timestamps: query.flag("timestamps"),
        // `all`, and anything else that is not a number, is everything.
        tail: query.text("tail").parse().ok(),
        details: query.flag("details"),
    };
    let log = call.parts.containers.logs(&call.name, request).await?;
    let content_type = hijack::content_type(call.version, log.tty);
    Ok(reply::stream(content_type, hijack::log_stream(log).take_until(call.stopped())))
}

/// `GET /containers/{id}/stats`
pub(crate) async fn stats(call: Call) -> Result {
    let is_stream = call.query.flag_or("stream", true);
    let is_one_shot = call.version.since(41) && call.query.flag("one-shot");
    if is_stream && is_one_shot {
        return Err(Error::invalid("cannot have stream=true and one-shot=true"));
    }
    let mut samples = call.parts.containers.stats(&call.name, is_stream, is_one_shot).await?;
    let is_named = !is_one_shot;
    if !is_stream {
        let sample = samples
            .next()
            .await
            .ok_or_else(|| Error::not_found(format!("No such container: {}", call.name)))?;
        // A stopped container is named in any case.
        let is_named = is_named || sample.now.is_none();
        return reply::json(&render::stats(sample, is_named));
    }
    let lines = stream::unfold(samples, move |mut samples| async move {
        let sample = samples.next().await?;
        Some((render::stats(sample, true), samples))
    });
    let mut reply = reply::json_stream(lines.take_until(call.stopped()));
    // Docker does not say what a stream of them is.
    reply.headers_mut().remove(http::header::CONTENT_TYPE);
    Ok(reply)
}

/// `POST /containers/{id}/wait`: the status line goes out when the wait is registered, the body when it is over.
pub(crate) async fn wait(call: Call) -> Result {
    let condition = match call.version.since(30) {
        true => call.query.text("condition").parse()?,
        false => WaitCondition::NotRunning,
    };
    let waiting = call.parts.containers.wait(&call.name, condition).await?;
    if call.version.before(30) {
        // Older clients take the status line for the end of the wait.
        let ended = tokio::select! {
            ended = waiting.done() => ended?,
            () = call.stopped() => return Err(Error::internal("the daemon stops")),
        };
        return reply::json(&WaitResponse { error: None, status_code: ended.exit_code });
    }
    let answer = stream::once(async move {
        let answer = waiting.done().await.map_err(io::Error::other)?;
        let error = answer.error.map(|message| WaitError { message });
        reply::line(&WaitResponse { error, status_code: answer.exit_code }).map_err(io::Error::other)
    });
    Ok(reply::stream(HeaderValue::from_static("application/json"), answer.take_until(call.stopped())))
}
