//! Against the kernel: a relay in a thread, containers that are namespaces.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

use super::client::NameRecord;
use super::forward::{read_framed, write_framed};
use super::message::{self, TYPE_A};
use super::{Relay, Scope, server};
use crate::namespace::{Namespace, Sandbox, within};

const PATIENCE: Duration = Duration::from_secs(5);

fn query(name: &str) -> Vec<u8> {
    let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, u8::try_from(TYPE_A).unwrap(), 0, 1]);
    bytes
}

/// Asks 127.0.0.11:53 in a namespace: the code, and the last address of the answer.
fn ask(sandbox: &Sandbox, name: &str, over_udp: bool) -> (u8, Option<[u8; 4]>) {
    let query = query(name);
    let answer = within(&sandbox.namespace.fd, || {
        if over_udp {
            let socket = UdpSocket::bind(("127.0.0.1", 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(("127.0.0.11", 53))?;
            socket.send(&query)?;
            let mut buffer = vec![0; 512];
            let len = socket.recv(&mut buffer)?;
            buffer.truncate(len);
            Ok(buffer)
        } else {
            let mut stream = TcpStream::connect(("127.0.0.11", 53))?;
            write_framed(&mut stream, &query)?;
            read_framed(&mut stream)
        }
    })
    .unwrap();
    let address = (answer.len() > query.len()).then(|| answer[answer.len() - 4..].try_into().unwrap());
    (message::code(&answer), address)
}

#[test]
fn privileged_a_container_finds_names_of_its_networks_by_udp_and_tcp() {
    let dir = std::env::temp_dir().join(format!("wharf-relay-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let listener = server::listen(&dir.join("relay.sock")).unwrap();
    let running = std::thread::spawn(move || server::Server::new(listener).unwrap().run());

    let sandbox = Sandbox { namespace: Namespace::new().unwrap() };
    let relay = Relay::new(dir.clone());
    relay
        .serve(
            "c1",
            &sandbox,
            Scope { networks: vec!["front".to_owned()], servers: Vec::new(), ..Scope::default() },
        )
        .unwrap();
    let record = |endpoint: &str, network: &str, last, name: &str| NameRecord {
        endpoint: endpoint.to_owned(),
        network: network.to_owned(),
        address: Some(Ipv4Addr::new(10, 0, 0, last)),
        address6: None,
        names: vec![name.to_owned()],
    };
    relay.put(record("e1", "front", 2, "web")).unwrap();
    relay.put(record("e2", "back", 3, "db")).unwrap();
    for over_udp in [true, false] {
        assert_eq!(ask(&sandbox, "web", over_udp), (0, Some([10, 0, 0, 2])));
        assert_eq!(ask(&sandbox, "db", over_udp), (message::SERVER_FAILURE, None), "not its network");
    }
    // What was answered before is not answered when it has changed.
    for last in [9, 2] {
        relay.put(record("e1", "front", last, "web")).unwrap();
        assert_eq!(ask(&sandbox, "web", true), (0, Some([10, 0, 0, last])));
    }
    relay
        .change(
            "c1",
            Scope {
                networks: vec!["front".to_owned(), "back".to_owned()],
                servers: Vec::new(),
                ..Scope::default()
            },
        )
        .unwrap();
    assert_eq!(ask(&sandbox, "DB.back", true), (0, Some([10, 0, 0, 3])));

    // The daemon dies; its successor has forgotten nothing, and says what is still there.
    drop(relay);
    assert_eq!(ask(&sandbox, "web", true), (0, Some([10, 0, 0, 2])));
    let after = Relay::new(dir.clone());
    let scope = Scope { networks: vec!["front".to_owned()], ..Scope::default() };
    let container = ("c1".to_owned(), 1, scope);
    after.restore(vec![container], vec![record("e1", "front", 2, "web")], &[]).unwrap();
    assert_eq!(ask(&sandbox, "web", true), (0, Some([10, 0, 0, 2])));
    assert_eq!(ask(&sandbox, "db.back", true), (message::SERVER_FAILURE, None));

    after.leave("c1").unwrap();
    drop(after);
    running.join().unwrap().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn privileged_a_container_that_floods_the_name_server_harms_no_other() {
    let dir = std::env::temp_dir().join(format!("wharf-relay-flood-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let relay = super::for_tests(dir.clone());
    let scope = Scope { networks: vec!["front".to_owned()], servers: Vec::new(), ..Scope::default() };
    let [wild, calm] = [(); 2].map(|()| Sandbox { namespace: Namespace::new().unwrap() });
    relay.serve("wild", &wild, scope.clone()).unwrap();
    relay.serve("calm", &calm, scope).unwrap();
    let record = NameRecord {
        endpoint: "e1".to_owned(),
        network: "front".to_owned(),
        address: Some(Ipv4Addr::new(10, 0, 0, 2)),
        address6: None,
        names: vec!["web".to_owned()],
    };
    relay.put(record).unwrap();
    let floods = within(&wild.namespace.fd, || {
        (0..4).map(|_| UdpSocket::bind(("127.0.0.1", 0))).collect::<std::io::Result<Vec<_>>>()
    });
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flooding = floods.unwrap().into_iter().map(|socket| {
        let done = done.clone();
        std::thread::spawn(move || {
            let query = query("web");
            // Nobody reads the answers.
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _full = socket.send_to(&query, ("127.0.0.11", 53));
            }
        })
    });
    let flooding: Vec<_> = flooding.collect();
    for _ in 0..50 {
        assert_eq!(ask(&calm, "web", true), (0, Some([10, 0, 0, 2])));
    }
    assert_eq!(ask(&calm, "web", false), (0, Some([10, 0, 0, 2])));
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    flooding.into_iter().for_each(|thread| thread.join().unwrap());
    for container in ["wild", "calm"] {
        relay.leave(container).unwrap();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
