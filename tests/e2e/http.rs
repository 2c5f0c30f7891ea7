//! HTTP itself, below what clients show: versions, routes, keep-alive, hijacked connections with and without `Upgrade`.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::bed::{Bed, PATIENCE};
use crate::contract::ask;

fn connect(bed: &Bed) -> UnixStream {
    let stream = UnixStream::connect(bed.socket()).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set the time-out");
    stream
}

/// Reads until `end` has come.
fn read_until(stream: &mut UnixStream, end: &[u8]) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(end) {
        assert_eq!(stream.read(&mut byte).expect("receive"), 1, "{}", String::from_utf8_lossy(&all));
        all.push(byte[0]);
    }
    String::from_utf8(all).expect("text")
}

#[test]
fn privileged_versions_and_routes_are_checked() {
    let bed = Bed::empty(&[]);
    for (method, target, status, body) in [
        ("GET", "/_ping", 200, "OK"),
        ("GET", "/v1.24/_ping", 200, "OK"),
        ("HEAD", "/_ping", 200, ""),
        ("GET", "/nosuch", 404, r#"{"message":"page not found"}"#),
        ("PUT", "/v1.51/info", 404, r#"{"message":"page not found"}"#),
        (
            "GET",
            "/v1.52/info",
            400,
            r#"{"message":"client version 1.52 is too new. Maximum supported API version is 1.51"}"#,
        ),
        (
            "GET",
            "/v1.23/info",
            400,
            // As text: a client that old knows no JSON errors.
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
        ),
        ("GET", "//info", 301, ""),
        ("GET", "/v1.050.7/_ping", 200, "OK"),
        ("POST", "/images/nosuch/tag?tag=x", 200, ""),
        (
            "POST",
            "/containers/create",
            400,
            r#"{"message":"invalid JSON: got EOF while reading request body"}"#,
        ),
        ("POST", "/containers/nosuch/attach", 404, "No such container: nosuch"),
        ("GET", "/containers/nosuch/attach/ws", 404, r#"{"message":"No such container: nosuch"}"#),
        (
            "GET",
            "/containers/nosuch/logs?stdout=1&since=x",
            404,
            r#"{"message":"No such container: nosuch"}"#,
        ),
        (
            "GET",
            "/events?since=1&until=0",
            400,
            r#"{"message":"`since` time (1) cannot be after `until` time (0)"}"#,
        ),
        ("GET", "/events?until=0", 200, ""),
        (
            "POST",
            "/v1.51/session",
            501,
            r#"{"message":"POST /session is not implemented by this version of wharf yet"}"#,
        ),
    ] {
        let answer = ask(&bed, method, target, "");
        assert_eq!((answer.status, answer.body.trim_end()), (status, body), "{method} {target}");
    }
}

#[test]
fn privileged_an_early_answer_reaches_a_client_that_still_writes_and_the_connection_lives_on() {
    let bed = Bed::empty(&[]);
    let mut stream = connect(&bed);
    for length in [10, 1000, 200_000] {
        write!(stream, "POST /build HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n").expect("send");
        stream.write_all(&vec![b'x'; length]).expect("send the body");
        let head = read_until(&mut stream, b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 501 "), "{head}");
        read_until(&mut stream, b"}\n");
        write!(stream, "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").expect("send");
        assert!(read_until(&mut stream, b"\r\n\r\nOK").contains("Api-Version: 1.51\r\n"));
    }
}

/// Makes a container that copies its input, attaches to it, starts it, sends a word; what comes back.
fn echo(version: &str, name: &str, upgrade: &str, bed: &Bed) -> (String, Vec<u8>) {
    let spec = r#"{"Image":"busybox","Cmd":["cat"],"OpenStdin":true,"StdinOnce":true}"#;
    let made = ask(bed, "POST", &format!("/containers/create?name={name}"), spec);
    assert_eq!(made.status, 201, "{}", made.body);
    let mut stream = connect(bed);
    let target = format!("/v{version}/containers/{name}/attach?stream=1&stdin=1&stdout=1");
    write!(stream, "POST {target} HTTP/1.1\r\nHost: d\r\n{upgrade}\r\n").expect("send");
    let head = read_until(&mut stream, b"\r\n\r\n");
    assert_eq!(ask(bed, "POST", &format!("/containers/{name}/start"), "").status, 204);
    if upgrade.starts_with("Transfer-Encoding") {
        stream.write_all(b"6\r\nhello\n\r\n0\r\n\r\n").expect("send");
    } else {
        stream.write_all(b"hello\n").expect("send");
        stream.shutdown(Shutdown::Write).expect("half-close");
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("receive");
    assert_eq!(ask(bed, "DELETE", &format!("/containers/{name}?force=1"), "").status, 204);
    (head, rest)
}

#[test]
fn privileged_streams_are_hijacked_with_and_without_upgrade() {
    let bed = Bed::new();
    let framed = b"\x01\0\0\0\0\0\0\x06hello\n".to_vec();
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
    let (head, rest) = echo("1.51", "new", upgrade, &bed);
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    assert!(head.contains("Content-Type: application/vnd.docker.multiplexed-stream\r\n"), "{head}");
    assert!(head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: tcp\r\n"), "{head}");
    assert_eq!(rest, framed);
    let (head, rest) = echo("1.41", "old", upgrade, &bed);
    assert!(head.contains("Content-Type: application/vnd.docker.raw-stream\r\n"), "{head}");
    assert_eq!(rest, framed);
    let (head, rest) = echo("1.51", "plain", "Transfer-Encoding: chunked\r\n", &bed);
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert_eq!(rest, framed);
}

#[test]
fn privileged_bodies_are_read_and_refused_as_by_go() {
    let bed = Bed::new();
    for (body, status, message) in [
        ("null", 400, "config cannot be empty in order to create a container"),
        (r#"{"image":"busybox","hostconfig":{"MEMORY":1}}"#, 400, "Minimum memory limit allowed is 6MB"),
        (
            r#"{"Image":"busybox","HostConfig":{"Memory":"x"}}"#,
            400,
            "invalid JSON: json: cannot unmarshal string into Go struct field .HostConfig.Memory of type int64",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"Binds":["a:b:c:d"]}}"#,
            500,
            "invalid volume specification: 'a:b:c:d'",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"SecurityOpt":["bad"]}}"#,
            500,
            r#"invalid --security-opt 1: "bad""#,
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"StorageOpt":{"size":"1g"}}}"#,
            500,
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ),
        (
            r#"{"Image":"busybox","HostConfig":{"PidMode":"container:nosuch"}}"#,
            400,
            "No such container: nosuch",
        ),
    ] {
        let answer = ask(&bed, "POST", "/containers/create", body);
        let want = serde_json::json!({ "message": message }).to_string();
        assert_eq!((answer.status, answer.body.trim_end()), (status, want.as_str()), "{body}");
    }
}

#[test]
fn privileged_a_websocket_carries_bytes_both_ways() {
    let bed = Bed::new();
    let spec =
        r#"{"Image":"busybox","Cmd":["sh","-c","cat; echo done >&2"],"OpenStdin":true,"StdinOnce":true}"#;
    assert_eq!(ask(&bed, "POST", "/containers/create?name=socket", spec).status, 201);
    let mut stream = connect(&bed);
    write!(
        stream,
        "GET /containers/socket/attach/ws?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("send");
    let head = read_until(&mut stream, b"\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert_eq!(ask(&bed, "POST", "/containers/socket/start", "").status, 204);
    // Masked with zeros: text, and a ping.
    stream.write_all(b"\x81\x86\0\0\0\0typed\n").expect("send");
    let mut echoed = [0; 8];
    stream.read_exact(&mut echoed).expect("receive");
    assert_eq!(&echoed, b"\x82\x06typed\n");
    stream.write_all(b"\x89\x82\0\0\0\0hi").expect("send");
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).expect("receive");
    assert_eq!(&pong, b"\x8a\x02hi");
    assert_eq!(ask(&bed, "POST", "/containers/socket/kill", "").status, 204);
    let mut end = Vec::new();
    stream.read_to_end(&mut end).expect("receive");
    assert!(end.ends_with(b"\x88\x02\x03\xe8"), "{end:?}");
}

#[test]
fn privileged_a_wait_sends_its_status_before_it_is_over() {
    let bed = Bed::new();
    let spec = r#"{"Image":"busybox","Cmd":["sh","-c","exit 5"]}"#;
    assert_eq!(ask(&bed, "POST", "/containers/create?name=waited", spec).status, 201);
    let mut stream = connect(&bed);
    write!(stream, "POST /containers/waited/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n")
        .expect("send");
    assert!(read_until(&mut stream, b"\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(ask(&bed, "POST", "/containers/waited/start", "").status, 204);
    assert!(read_until(&mut stream, b"}\n").ends_with("{\"StatusCode\":5}\n"));
}

#[test]
fn privileged_the_daemon_stops_while_clients_listen() {
    let mut bed = Bed::empty(&[]);
    let mut stream = connect(&bed);
    write!(stream, "GET /events HTTP/1.1\r\nHost: d\r\n\r\n").expect("send");
    read_until(&mut stream, b"\r\n\r\n");
    bed.stop();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an end in good order");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    assert!(!bed.socket().exists(), "the socket is still there");
}
