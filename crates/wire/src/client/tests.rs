use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use super::*;

/// Serves the answers one after the other, closing after those that say so, and returns the requests' heads.
fn serve(answers: &'static [&'static str]) -> (tempfile::TempDir, Client, thread::JoinHandle<Vec<String>>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let mut heads = Vec::new();
        let mut answers = answers.iter();
        'connection: loop {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            loop {
                let mut head = String::new();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() == 0 {
                        continue 'connection;
                    }
                    if let Some(value) = line.strip_prefix("Content-Length: ") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                    if line == "\r\n" {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                heads.push(head + &String::from_utf8(body).unwrap());
                let Some(answer) = answers.next() else { return heads };
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
                if answers.len() == 0 {
                    return heads;
                }
                if answer.contains("Connection: close") {
                    continue 'connection;
                }
            }
        }
    });
    let client = Client::new(Host::Unix(path), vec![("User-Agent".into(), "test".into())], None);
    (dir, client, server)
}

const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.48\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n";

#[test]
fn negotiates_the_older_of_both_versions_and_reuses_the_connection() {
    let (_dir, client, server) = serve(&[
        PING,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
    ]);
    let value = client.get("/info", &Query::new().with("a b", "c&d").flag("no", false)).unwrap();
    assert_eq!(value["a"], 1);
    assert_eq!(client.version().unwrap(), "1.48");
    client.post("/x", &Query::new(), Some(&value)).unwrap();
    let heads = server.join().unwrap();
    assert!(heads[0].starts_with("HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: test\r\n"));
    assert!(heads[1].starts_with("GET /v1.48/info?a%20b=c%26d HTTP/1.1\r\n"), "{}", heads[1]);
    assert!(
        heads[2].ends_with("Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}"),
        "{}",
        heads[2]
    );
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let (_dir, client, server) = serve(&[
        PING,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\n\r\n{}",
    ]);
    for _ in 0..3 {
        client.get("/info", &Query::new()).unwrap();
    }
    assert_eq!(server.join().unwrap().len(), 4);
}

#[test]
fn errors_carry_the_daemons_message() {
    let (_dir, client, _server) =
        serve(&[PING, "HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{\"message\":\"No such thing\"}"]);
    let error = client.get("/x", &Query::new()).unwrap_err();
    assert_eq!(error.to_string(), "Error response from daemon: No such thing");
    assert!(error.is_not_found());
}

#[test]
fn nobody_listening_is_said_in_dockers_words() {
    let client = Client::new(Host::parse("unix:///no/such.sock", None).unwrap(), Vec::new(), None);
    assert_eq!(
        client.get("/x", &Query::new()).unwrap_err().to_string(),
        "Cannot connect to the Docker daemon at unix:///no/such.sock. Is the docker daemon running?"
    );
}

#[test]
fn a_hijacked_connection_keeps_what_came_early() {
    let (_dir, client, _server) = serve(&[
        PING,
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly",
    ]);
    let mut hijacked = client.hijack("/attach", &Query::new(), None).unwrap();
    let mut all = std::mem::take(&mut hijacked.buffered);
    hijacked.stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"early");
    assert!(!hijacked.multiplexed);
}

#[test]
fn hosts_are_read_as_docker_reads_them() {
    let check = |text: &str, expect: &str| match Host::parse(text, None) {
        Ok(host) => assert_eq!(host.to_string(), expect),
        Err(error) => assert_eq!(error.to_string(), expect),
    };
    check("unix:///run/x.sock", "unix:///run/x.sock");
    check("unix://", "unix:///var/run/docker.sock");
    check("tcp://", "tcp://localhost:2375");
    check("tcp://10.0.0.1:99/x", "tcp://10.0.0.1:99");
    check("[::1]:99", "tcp://[::1]:99");
    check("host", "tcp://host:2375");
    check("bad://x", "invalid bind address format: bad://x");
    check("tcp://h:x", "invalid bind address format: tcp://h:x");
    check("ssh://me@far:2222/run/x.sock", "ssh://me@far:2222/run/x.sock");
    let encrypted = Host::parse("tcp://h", Some(&Arc::default())).unwrap();
    assert_eq!(encrypted.to_string(), "tcp://h:2376");
    assert_eq!(Host::parse("unix:///x", Some(&Arc::default())).unwrap().to_string(), "unix:///x");
}
