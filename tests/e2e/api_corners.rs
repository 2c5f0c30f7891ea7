//! Corners of the API that a real Docker was asked about, request by request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use crate::bed::{Bed, rootfs_tar};
use crate::raw;

/// Serves the test image's archive at `/rootfs.tar`, and nothing else, to `requests` clients.
fn serve_archive(listener: std::net::TcpListener, requests: usize) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let archive = std::fs::read(rootfs_tar()).expect("read the archive");
        for _ in 0..requests {
            let (mut client, _) = listener.accept().expect("accept");
            let mut lines = BufReader::new(client.try_clone().expect("clone")).lines();
            let first = lines.next().expect("a request").expect("read");
            while lines.next().is_some_and(|line| !line.expect("read").is_empty()) {}
            let (status, body) = match first.starts_with("GET /rootfs.tar ") {
                true => ("200 OK", archive.as_slice()),
                false => ("404 Not Found", b"there is none\n".as_slice()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            client.write_all(head.as_bytes()).and_then(|()| client.write_all(body)).expect("answer");
        }
    })
}

#[test]
fn privileged_an_image_is_imported_from_a_server() {
    let bed = Bed::empty(&[]);
    let listener = bed.listener();
    let port = listener.local_addr().expect("it is bound").port();
    let server = serve_archive(listener, 2);
    let url = format!("http://127.0.0.1:{port}/rootfs.tar");
    let said = bed.docker(&["import", "--change", r#"CMD ["sh"]"#, &url, "remote:1"]).ok();
    assert!(said.contains(&format!("Downloading from {url}")) && said.contains("sha256:"), "{said}");
    assert_eq!(bed.docker(&["run", "--rm", "--network", "none", "remote:1", "echo", "hi"]).ok(), "hi");
    let said = bed.docker(&["import", &format!("http://127.0.0.1:{port}/none")]).fails(1);
    let want = format!("failed to GET http://127.0.0.1:{port}/none with status 404 Not Found: there is none");
    assert!(said.ends_with(&want), "{said}");
    server.join().expect("the server ends");
}

#[test]
fn privileged_a_client_before_1_30_hears_nothing_until_the_wait_is_over() {
    let bed = Bed::new();
    bed.docker(&[
        "run",
        "-d",
        "-i",
        "--name",
        "waited",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "read x; exit 3",
    ])
    .ok();
    let ask = |version: &str| {
        let mut stream = raw::connect(&bed);
        let head = format!(
            "POST /v{version}/containers/waited/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("ask");
        stream
    };
    let (mut old, mut new) = (ask("1.29"), ask("1.30"));
    let mut byte = [0];
    new.read_exact(&mut byte).expect("the newer one has its headers");
    old.set_nonblocking(true).expect("change a socket");
    let early = old.read(&mut byte).expect_err("the older one has none");
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    old.set_nonblocking(false).expect("change a socket");
    bed.docker(&["kill", "waited"]).ok();
    let mut text = vec![0; 12];
    old.read_exact(&mut text).expect("its answer comes at the end");
    assert_eq!(text, b"HTTP/1.1 200");
}

#[test]
fn privileged_who_starts_an_exec_says_how_its_output_is_framed() {
    let bed = Bed::new();
    bed.docker(&["run", "-d", "--name", "framed", "--network", "none", "busybox", "sleep", "600"]).ok();
    for (made, started, want) in [
        (false, false, &b"\x01\0\0\0\0\0\0\x02hi"[..]),
        (false, true, b"hi"),
        (true, false, b"\x01\0\0\0\0\0\0\x02hi"),
        (true, true, b"hi"),
    ] {
        let body = format!(r#"{{"Cmd":["printf","hi"],"AttachStdout":true,"Tty":{made}}}"#);
        let made_id = raw::must(&bed, "POST", "/v1.51/containers/framed/exec", body.as_bytes()).text();
        let id = made_id.split('"').nth(3).expect("an id").to_owned();
        let body = format!(r#"{{"Detach":false,"Tty":{started}}}"#);
        let heard = raw::must(&bed, "POST", &format!("/v1.51/exec/{id}/start"), body.as_bytes());
        assert_eq!(heard.body, want, "made with {made}, started with {started}");
    }
}

#[test]
fn privileged_ports_are_filtered_as_shown_and_a_signal_thaws() {
    let bed = Bed::new();
    let run = ["run", "-d", "--network", "bridge", "-p", "127.0.0.1:4080:80", "--expose", "90", "--name"];
    bed.docker(&[&run[..], &["ports", "busybox", "sleep", "600"]].concat()).ok();
    bed.docker(&["create", "--expose", "90", "--expose", "any", "--name", "idle", "busybox"]).fails(125);
    bed.docker(&["create", "--expose", "90", "--name", "idle", "busybox"]).ok();
    let listed = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
        let words: Vec<&str> = ["ps", "-a", "--format", "{{.Names}}"].into_iter().chain(filters).collect();
        bed.docker(&words).ok()
    };
    for (filters, want) in [
        (&["publish=4080"][..], "ports"),
        (&["publish=80"], ""),
        (&["expose=80-89"], "ports"),
        (&["expose=90"], "ports"),
        (&["expose=90/udp"], ""),
        // One of the two is enough.
        (&["publish=1", "expose=90/tcp"], "ports"),
    ] {
        assert_eq!(listed(filters), want, "{filters:?}");
    }
    bed.docker(&["pause", "ports"]).ok();
    bed.docker(&["kill", "--signal", "WINCH", "ports"]).ok();
    bed.until(&["inspect", "-f", "{{.State.Status}}", "ports"], "running");
    // An image may expose what is no port.
    let body = br#"{"Image":"busybox","ExposedPorts":{"any":{}}}"#;
    assert_eq!(raw::must(&bed, "POST", "/v1.51/containers/create?name=odd", body).status, 201);
    assert_eq!(bed.docker(&["start", "odd"]).ok(), "odd");
}
