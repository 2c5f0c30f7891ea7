//! A registry in a bed's network namespace that keeps what is pushed, and does wrong what it is told to do wrong.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::archives::{config, digest};
use crate::bed::Bed;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What goes wrong with an answer.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// Other bytes of the same length.
    Garbage,
    /// So many bytes more than there are.
    Long(usize),
    /// Only so many, told as if they were all.
    Short(usize),
    /// A status with a body.
    Status(u16, &'static str),
    /// To itself.
    Loop,
    /// Promises so many bytes and sends zeros until nobody listens.
    Endless(u64),
    /// So long before the first byte, and between two kilobytes.
    Slow(Duration),
    /// The whole body later than every other request that waits: once so many requests for blobs have come.
    After(usize),
}

/// By path: the media type and the bytes.
type Content = HashMap<String, (String, Arc<Vec<u8>>)>;
type Rule = Box<dyn Fn(&str) -> Option<Lie> + Send>;

#[derive(Default)]
struct State {
    content: Mutex<Content>,
    rule: Mutex<Option<Rule>>,
    log: Mutex<Vec<String>>,
    /// Requests for blobs.
    blobs: AtomicUsize,
    /// Bytes of bodies that have gone out.
    sent: AtomicUsize,
    stopped: AtomicBool,
}

pub(crate) struct Liar {
    state: Arc<State>,
    port: u16,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Liar {
    pub(crate) fn new(bed: &Bed) -> Self {
        let listener = bed.listener();
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        listener.set_nonblocking(true).expect("change a socket");
        std::thread::spawn(move || accept(&listener, &shared));
        Self { state, port }
    }

    /// `127.0.0.1:port/rest`.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    /// What is wrong with the answer to a target, if anything; from now on.
    pub(crate) fn lie(&self, rule: impl Fn(&str) -> Option<Lie> + Send + 'static) {
        *lock(&self.state.rule) = Some(Box::new(rule));
    }

    /// Has nothing any more.
    pub(crate) fn forget(&self) {
        lock(&self.state.content).clear();
    }

    pub(crate) fn be_honest(&self) {
        *lock(&self.state.rule) = None;
    }

    /// Requests so far: `GET /v2/... bytes=5-`.
    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.state.log).clone()
    }

    /// Bytes of bodies that have gone out.
    pub(crate) fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn put(&self, path: &str, kind: &str, bytes: &[u8]) {
        lock(&self.state.content).insert(path.to_owned(), (kind.to_owned(), Arc::new(bytes.to_vec())));
    }

    /// A blob; its descriptor.
    pub(crate) fn blob(&self, repository: &str, kind: &str, bytes: &[u8]) -> serde_json::Value {
        self.put(&format!("/v2/{repository}/blobs/{}", digest(bytes)), "application/octet-stream", bytes);
        json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
    }

    /// A manifest under a tag and its digest; its descriptor.
    pub(crate) fn manifest(
        &self,
        repository: &str,
        tag: &str,
        kind: &str,
        bytes: &[u8],
    ) -> serde_json::Value {
        for name in [tag, &digest(bytes)] {
            self.put(&format!("/v2/{repository}/manifests/{name}"), kind, bytes);
        }
        json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
    }

    /// An honest image of these layers.
    pub(crate) fn image(&self, repository: &str, tag: &str, layers: &[Vec<u8>]) {
        let described: Vec<_> = layers.iter().map(|layer| self.blob(repository, LAYER, layer)).collect();
        let config = self.blob(repository, CONFIG, &config(layers));
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described});
        self.manifest(repository, tag, MANIFEST, manifest.to_string().as_bytes());
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    while !state.stopped.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => {
                let state = state.clone();
                std::thread::spawn(move || {
                    // A client that has heard enough hangs up.
                    let _gone = stream.set_nonblocking(false).and_then(|()| serve(&state, stream));
                });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn serve(state: &State, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(crate::bed::PATIENCE))?;
    let mut first = [0];
    stream.peek(&mut first)?;
    if first[0] == 0x16 {
        // A TLS client hello: answer as a plain server does.
        return stream
            .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
    }
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let header = |name: &str| headers.get(name).map_or("", String::as_str);
    let body = read_body(&mut reader, header("content-length"), header("transfer-encoding"))?;
    lock(&state.log).push(format!("{method} {target} {}", header("range")).trim_end().to_owned());
    if target.contains("/blobs/sha256") && method == "GET" {
        state.blobs.fetch_add(1, Ordering::SeqCst);
    }
    let lie = lock(&state.rule).as_ref().and_then(|rule| rule(&format!("{method} {target}")));
    match method.as_str() {
        "GET" | "HEAD" => give(state, &mut stream, &method, &target, header("range"), lie),
        _ => take(state, &mut stream, &method, &target, header("content-type"), body, lie),
    }
}

fn read_body(reader: &mut impl std::io::BufRead, length: &str, coding: &str) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if coding != "chunked" {
        reader.take(length.parse().unwrap_or(0)).read_to_end(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        reader.by_ref().take(size).read_to_end(&mut body)?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// The side that pushes.
fn take(
    state: &State,
    stream: &mut TcpStream,
    method: &str,
    target: &str,
    kind: &str,
    body: Vec<u8>,
    lie: Option<Lie>,
) -> std::io::Result<()> {
    if let Some(Lie::Status(status, text)) = lie {
        return answer(stream, status, "", "application/json", text.as_bytes());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if method == "PUT" && path.contains("/manifests/") {
        let (repository, _) = path.split_once("/manifests/").unwrap_or_default();
        let entry = (kind.to_owned(), Arc::new(body));
        let digest = digest(&entry.1);
        let mut content = lock(&state.content);
        content.insert(format!("{repository}/manifests/{digest}"), entry.clone());
        content.insert(path.to_owned(), entry);
        return answer(stream, 201, &format!("Docker-Content-Digest: {digest}\r\n"), "text/plain", b"");
    }
    let (repository, _) = path.split_once("/blobs/").unwrap_or_default();
    match method {
        "POST" => {
            let number = lock(&state.log).len();
            let location = format!("Location: {repository}/blobs/uploads/{number}\r\n");
            answer(stream, 202, &format!("{location}Range: 0-0\r\n"), "text/plain", b"")
        }
        "PATCH" => {
            let mut content = lock(&state.content);
            let (_, known) = content.entry(path.to_owned()).or_default();
            let grown = [known.as_slice(), &body].concat();
            let extra = format!("Location: {path}\r\nRange: 0-{}\r\n", grown.len().saturating_sub(1));
            *known = Arc::new(grown);
            drop(content);
            answer(stream, 202, &extra, "text/plain", b"")
        }
        _ => {
            let wanted = query.split('&').find_map(|pair| pair.strip_prefix("digest="));
            let wanted = wanted.unwrap_or_default().replace("%3A", ":");
            let mut content = lock(&state.content);
            let begun = content.remove(path).map(|(_, bytes)| bytes).unwrap_or_default();
            let whole = [begun.as_slice(), &body].concat();
            if digest(&whole) != wanted {
                drop(content);
                let words = br#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#;
                return answer(stream, 400, "", "application/json", words);
            }
            let entry = ("application/octet-stream".to_owned(), Arc::new(whole));
            content.insert(format!("{repository}/blobs/{wanted}"), entry);
            drop(content);
            answer(stream, 201, &format!("Docker-Content-Digest: {wanted}\r\n"), "text/plain", b"")
        }
    }
}

/// The side that pulls.
fn give(
    state: &State,
    stream: &mut TcpStream,
    method: &str,
    target: &str,
    range: &str,
    lie: Option<Lie>,
) -> std::io::Result<()> {
    match &lie {
        Some(Lie::Status(status, body)) => {
            return answer(stream, *status, "", "application/json", body.as_bytes());
        }
        Some(Lie::Loop) => return answer(stream, 307, &format!("Location: {target}\r\n"), "text/plain", b""),
        _ => {}
    }
    if target == "/v2/" {
        return answer(stream, 200, "", "application/json", b"{}");
    }
    let found = lock(&state.content).get(target).cloned();
    let Some((kind, bytes)) = found else {
        let (code, words) = match target.contains("/manifests/") {
            true => ("MANIFEST_UNKNOWN", "manifest unknown"),
            false => ("BLOB_UNKNOWN", "blob unknown to registry"),
        };
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{words}"}}]}}"#);
        return answer(stream, 404, "", "application/json", body.as_bytes());
    };
    let from = range.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse().ok());
    let from: usize = from.unwrap_or(0);
    if from > 0 && from >= bytes.len() {
        return answer(stream, 416, "", "text/plain", b"");
    }
    let mut extra = format!("Docker-Content-Digest: {}\r\n", digest(&bytes));
    if from > 0 {
        extra += &format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
    }
    let mut body = bytes[from..].to_vec();
    let mut length = body.len() as u64;
    let mut pause = None;
    match lie {
        Some(Lie::Cut(at)) => body.truncate(at),
        Some(Lie::Garbage) => body.iter_mut().for_each(|byte| *byte ^= 0x55),
        Some(Lie::Long(more)) => {
            body.resize(body.len() + more, 0);
            length = body.len() as u64;
        }
        Some(Lie::Short(only)) => {
            body.truncate(only);
            length = body.len() as u64;
        }
        Some(Lie::Endless(promised)) => length = promised,
        Some(Lie::Slow(between)) => pause = Some(between),
        Some(Lie::After(requests)) => {
            while state.blobs.load(Ordering::SeqCst) < requests && !state.stopped.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The others are on their way to the disk.
            std::thread::sleep(Duration::from_millis(500));
        }
        _ => {}
    }
    let status = if from > 0 { 206 } else { 200 };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n"
    )?;
    if method == "HEAD" {
        return Ok(());
    }
    for piece in body.chunks(if pause.is_some() { 1 << 10 } else { 64 << 10 }) {
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
        stream.write_all(piece)?;
        state.sent.fetch_add(piece.len(), Ordering::SeqCst);
    }
    while length > body.len() as u64 && matches!(lie, Some(Lie::Endless(_))) {
        stream.write_all(&[b' '; 64 << 10])?;
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, status: u16, extra: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n",
        body.len()
    )?;
    stream.write_all(body)
}
