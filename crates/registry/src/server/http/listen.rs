//! Accepts connections until it is told to stop, then waits for what is under way.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::body::Segments;
use super::connection::{Connection, Stream};
use super::{Peer, answer};
use crate::server::Server;

/// For how long a connection may say nothing, or part of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections at once; others wait to be accepted.
const CONNECTIONS_MAX: usize = 8192;
/// After a refusal of the kernel (no descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts a connection for as long as it lives.
struct Counted(Arc<Server>);

impl Counted {
    fn new(server: Arc<Server>) -> Self {
        server.metrics.connections.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves until `stop` says so.
pub(crate) async fn run(server: Arc<Server>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (finished, mut all_finished) = tokio::sync::mpsc::channel::<Infallible>(1);
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let (server, stop, finished) = (server.clone(), stop.clone(), finished.clone());
        tokio::spawn(async move {
            let _counted = Counted::new(server.clone());
            if let Err(error) = serve(server, stream, address, stop).await {
                tracing::debug!(%error, %address, "a connection ended early");
            }
            drop((place, finished));
        });
    }
    drop((listener, finished));
    if tokio::time::timeout(server.config.drain, all_finished.recv()).await.is_err() {
        tracing::warn!("requests were still under way when the time to finish them was over");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address.ip(), place)),
        Err(error) => {
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn serve(
    server: Arc<Server>,
    stream: tokio::net::TcpStream,
    address: IpAddr,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    let segments = Segments::default();
    let (stream, peer) = match &server.tls {
        None => {
            let peer = Peer { address: Some(address), is_tls: false, segments: Some(segments.clone()) };
            (Stream::Plain(stream), peer)
        }
        Some(tls) => {
            let accepting = TlsAcceptor::from(tls.config()).accept(stream);
            let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await??;
            (Stream::Tls(Box::new(stream)), Peer { address: Some(address), is_tls: true, segments: None })
        }
    };
    let is_tls = peer.is_tls;
    let connection = TokioIo::new(Connection::new(stream, segments));
    let service = service_fn(move |request| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(server, request, peer).await) }
    });
    let stopping = async move {
        // The sender lives as long as the process.
        let _gone = stop.wait_for(|stop| *stop).await;
    };
    if is_tls {
        let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
        let serving = builder.serve_connection(connection, service);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            ended = serving.as_mut() => return ended,
            () = stopping => serving.as_mut().graceful_shutdown(),
        }
        return serving.await;
    }
    let mut builder = hyper::server::conn::http1::Builder::new();
    // Markers must reach the connection as they are, not copied into one buffer.
    builder.writev(true).timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let serving = builder.serve_connection(connection, service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => return ended.map_err(Into::into),
        () = stopping => serving.as_mut().graceful_shutdown(),
    }
    serving.await.map_err(Into::into)
}

/// Binds `host:port`, where no host is all addresses.
pub(crate) fn bind(address: &str) -> io::Result<std::net::TcpListener> {
    let address = match address.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => address.to_owned(),
    };
    let listener = match std::net::TcpListener::bind(&address) {
        // A host without IPv6.
        Err(error) if address.starts_with("[::]") && error.kind() != io::ErrorKind::AddrInUse => {
            std::net::TcpListener::bind(address.replacen("[::]", "0.0.0.0", 1))
        }
        other => other,
    }?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
