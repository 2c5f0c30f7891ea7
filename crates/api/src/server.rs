//! Connections: accepted, served with keep-alive, closed in good order.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::half_close::{Turn, UnixClient};
use crate::listen::Listener;
use crate::router;

/// The domain, as handlers use it. Cheap to clone.
pub type Parts = engine::Engine;

/// Connections at once over all listeners; further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// How long a request may go on after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long the head of a request, the next one on the connection included, may take: Docker's. A client that says
/// nothing does not keep its place for ever.
const HEADER_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Pause after a failed accept (out of descriptors), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves all listeners until `stop` becomes true; then takes no new connection, lets the running requests end for a
/// while, and returns. Streams that never end by themselves (events, followed logs) are cut.
pub async fn serve(listeners: Vec<Listener>, parts: Parts, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, parts.clone(), slots.clone(), stop.clone()));
    }
    stopped(&mut stop).await;
    while accepting.join_next().await.is_some() {}
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    if tokio::time::timeout(GRACE, slots.acquire_many(all)).await.is_err() {
        tracing::info!("cutting connections that are still open");
    }
}

async fn accept(listener: Listener, parts: Parts, slots: Arc<Semaphore>, mut stop: watch::Receiver<bool>) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        let (parts, stop) = (parts.clone(), stop.clone());
        let connection = match accepted {
            Ok(connection) => connection,
            Err(e) => {
                tracing::warn!("accept on {listener}: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tokio::spawn(async move {
            match connection {
                crate::listen::Connection::Unix(stream) => {
                    let turn = Turn::default();
                    let client = UnixClient::new(stream, turn.clone());
                    connection_task(client, parts, stop, turn).await;
                }
                crate::listen::Connection::Tcp(stream) => {
                    connection_task(stream, parts, stop, Turn::default()).await;
                }
                crate::listen::Connection::Tls(stream, acceptor) => {
                    match crate::listen::shake_hands(stream, &acceptor).await {
                        Ok(stream) => connection_task(stream, parts, stop, Turn::default()).await,
                        Err(e) => tracing::info!("http: TLS handshake error: {e}"),
                    }
                }
            }
            drop(slot);
        });
    }
}

async fn connection_task<S>(stream: S, parts: Parts, mut stop: watch::Receiver<bool>, turn: Turn)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stopping = stop.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        // At once: the answer's future may first be polled after hyper has looked for the end of what comes.
        turn.begin(!request.body().is_end_stream());
        let answer = router::answer(parts.clone(), stopping.clone(), turn.clone(), request);
        let turn = turn.clone();
        async move { Ok::<_, Infallible>(answer.await.map(|body| turn.until_sent(body))) }
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            let Ok(ended) = tokio::time::timeout(GRACE, connection).await else { return };
            ended
        }
    };
    if let Err(e) = ended {
        // Clients that hang up in the middle of something are everyday life.
        tracing::debug!("connection: {e}");
    }
}

/// Completes when the daemon stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
