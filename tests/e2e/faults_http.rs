//! Requests that no honest client sends: always an answer or an end, never a panic.

use std::io::{Read, Write};
use std::net::Shutdown;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::faults::Dice;
use crate::raw::{connect, parse, send};

/// What comes back for these bytes. A client that is not `patient` says that it has no more to say, and hears what comes
/// until the daemon hangs up.
fn say(bed: &Bed, bytes: &[u8], patient: bool) -> Vec<u8> {
    let mut stream = connect(bed);
    // A daemon that has seen enough closes its end.
    let _closed = stream.write_all(bytes);
    if !patient {
        let _closed = stream.shutdown(Shutdown::Write);
    }
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return heard,
            Ok(count) => heard.extend_from_slice(&piece[..count]),
            Err(error) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no answer to {shown:?}");
                return heard;
            }
        }
        if patient && parse(&heard).is_some_and(|heard| heard.whole) {
            return heard;
        }
    }
}

#[track_caller]
fn is_well(bed: &Bed) {
    assert!(send(bed, "GET", "/_ping", b"").is_some_and(|heard| heard.status == 200));
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
}

#[test]
fn privileged_malformed_requests_are_answered_or_cut_off() {
    let bed = Bed::empty(&[]);
    let host = "Host: d\r\n";
    let many: String = (0..2000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let long = "x".repeat(1 << 20);
    for (request, status) in [
        ("\r\n\r\n\r\n".to_owned(), None),
        ("GET\r\n\r\n".to_owned(), Some(400)),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), Some(400)),
        ("\0\0\0\0\r\n\r\n".to_owned(), Some(400)),
        ("\u{16}\u{3}\u{1}\u{2}\0".to_owned(), None),
        (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), None),
        (format!("GET /_ping HTTP/1.1\r\n{host}X: {long}\r\n\r\n"), Some(431)),
        (format!("GET /_ping HTTP/1.1\r\n{host}{many}\r\n"), Some(431)),
        (format!("GET /%zz%00%ff/..//%2e%2e/json HTTP/1.1\r\n{host}\r\n"), Some(301)),
        (format!("GET /containers/%00/json HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), Some(404)),
        (format!("GET /containers/json?filters=%7b HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), Some(400)),
        (
            format!(
                "GET /containers/json?limit=99999999999999999999 HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
            ),
            None,
        ),
        (format!("POST /containers/create HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"), Some(400)),
        (
            format!(
                "POST /containers/create HTTP/1.1\r\n{host}Content-Length: 99999999999999999999999\r\n\r\n"
            ),
            Some(400),
        ),
        (
            format!(
                "POST /containers/create HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
            ),
            Some(400),
        ),
        (
            format!(
                "POST /containers/create HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
            ),
            None,
        ),
        (
            format!(
                "POST /containers/create HTTP/1.1\r\n{host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
            ),
            None,
        ),
        (
            format!(
                "POST /containers/create HTTP/1.1\r\n{host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"
            ),
            None,
        ),
        (format!("POST /images/load HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n5\r\nabc"), None),
        (format!("POST /images/load HTTP/1.1\r\n{host}Content-Length: 1000\r\n\r\nabc"), None),
        (
            format!("POST /images/create?fromSrc=-&repo=x HTTP/1.1\r\n{host}Content-Length: 1000\r\n\r\nabc"),
            None,
        ),
        (
            format!(
                "POST /auth HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"
            ),
            None,
        ),
        (format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{host}"), None),
        (
            format!(
                "POST /containers/x/attach HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            ),
            Some(404),
        ),
        (format!("CONNECT d:80 HTTP/1.1\r\n{host}\r\n"), None),
        (format!("BREW /pot HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), Some(404)),
    ] {
        let heard = say(&bed, request.as_bytes(), status.is_some());
        let shown = &request[..request.len().min(120)];
        if let Some(status) = status {
            let heard = parse(&heard).unwrap_or_else(|| panic!("no answer to {shown:?}"));
            assert_eq!(heard.status, status, "{shown:?}: {}", heard.text());
        }
    }
    is_well(&bed);
}

#[test]
fn privileged_a_request_may_end_at_any_byte() {
    let bed = Bed::empty(&[]);
    let body = r#"{"Name":"cut","Labels":{"a":"b"}}"#;
    let whole = format!(
        "POST /v1.51/volumes/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for end in 0..whole.len() {
        say(&bed, &whole.as_bytes()[..end], false);
    }
    is_well(&bed);
    assert_eq!(bed.docker(&["volume", "ls", "-q"]).ok(), "", "half a request makes nothing");
    assert!(parse(&say(&bed, whole.as_bytes(), true)).is_some_and(|heard| heard.status == 201));
    bed.docker(&["volume", "rm", "cut"]).ok();
}

/// Values of every kind, with the numbers and texts on which parsers stumble.
fn values() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(i64::MIN)),
        Just(json!(u64::MAX)),
        Just(json!(1e308)),
        Just(json!(0.5)),
        any::<i32>().prop_map(|n| json!(n)),
    ];
    let texts = prop_oneof![
        Just(String::new()),
        Just("busybox".to_owned()),
        Just("/".to_owned()),
        Just("../../etc".to_owned()),
        Just("a\0b".to_owned()),
        Just("host".to_owned()),
        Just("container:x".to_owned()),
        Just("80/tcp".to_owned()),
        Just("1:2:3:4:5".to_owned()),
        Just("💥".repeat(50)),
        Just("x".repeat(5000)),
        "[ -~]{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers,
        texts.prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z/0-9]{0,8}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Members that the daemon reads, by request.
const REQUESTS: &[(&str, &[&str])] = &[
    (
        "/containers/create",
        &[
            "Image",
            "Cmd",
            "Entrypoint",
            "Env",
            "Labels",
            "User",
            "WorkingDir",
            "Hostname",
            "Domainname",
            "Tty",
            "OpenStdin",
            "Volumes",
            "ExposedPorts",
            "Healthcheck",
            "StopSignal",
            "StopTimeout",
            "Shell",
            "HostConfig",
            "NetworkingConfig",
            "MacAddress",
            "OnBuild",
            "ArgsEscaped",
            "NetworkDisabled",
        ],
    ),
    (
        "/networks/create",
        &["Name", "Driver", "IPAM", "Options", "Labels", "Internal", "EnableIPv6", "ConfigFrom", "Scope"],
    ),
    ("/volumes/create", &["Name", "Driver", "DriverOpts", "Labels", "ClusterVolumeSpec"]),
    (
        "/containers/victim/exec",
        &["Cmd", "Env", "User", "Tty", "WorkingDir", "Privileged", "DetachKeys", "ConsoleSize"],
    ),
    (
        "/containers/victim/update",
        &["Memory", "CpuShares", "RestartPolicy", "PidsLimit", "NanoCpus", "CpusetCpus", "BlkioWeight"],
    ),
    ("/networks/bridge/connect", &["Container", "EndpointConfig"]),
    (
        "/commit?container=victim&repo=fuzzed",
        &["Cmd", "Env", "Labels", "Healthcheck", "Volumes", "ExposedPorts", "User"],
    ),
    ("/auth", &["username", "password", "serveraddress", "identitytoken"]),
];
const HOST_CONFIG: &[&str] = &[
    "Binds",
    "Mounts",
    "Tmpfs",
    "PortBindings",
    "NetworkMode",
    "RestartPolicy",
    "LogConfig",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "CpuShares",
    "CpusetCpus",
    "Devices",
    "DeviceRequests",
    "DeviceCgroupRules",
    "Ulimits",
    "CapAdd",
    "CapDrop",
    "Dns",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "PidMode",
    "UTSMode",
    "UsernsMode",
    "ShmSize",
    "Sysctls",
    "SecurityOpt",
    "StorageOpt",
    "VolumesFrom",
    "Links",
    "OomScoreAdj",
    "PidsLimit",
    "BlkioWeight",
    "BlkioDeviceReadBps",
    "CgroupParent",
    "MaskedPaths",
    "ReadonlyPaths",
    "Runtime",
    "Isolation",
    "ConsoleSize",
    "Annotations",
    "ContainerIDFile",
    "Cgroup",
    "VolumeDriver",
    "Init",
];

#[test]
fn privileged_random_json_is_answered_and_never_panics() {
    let bed = Bed::new();
    bed.docker(&["create", "--name", "victim", "busybox", "sleep", "1000"]).ok();
    let cases = if std::env::var_os("WHARF_TEST_LONG").is_some() { 20_000 } else { 600 };
    let mut dice = Dice(11);
    let mut runner = TestRunner::deterministic();
    let strategy = values();
    let value = |runner: &mut TestRunner| strategy.new_tree(runner).expect("a value").current();
    for case in 0..cases {
        let (target, members) = REQUESTS[case % REQUESTS.len()];
        let mut body = json!({});
        let host_member = HOST_CONFIG[dice.below(HOST_CONFIG.len() as u64) as usize];
        for _ in 0..1 + case % 3 {
            let member = members[dice.below(members.len() as u64) as usize];
            body[member] = value(&mut runner);
        }
        if target == "/containers/create" {
            body["Image"] = json!("busybox");
            body["HostConfig"] = json!({ host_member: value(&mut runner) });
        }
        let heard = send(&bed, "POST", target, body.to_string().as_bytes());
        let heard = heard.unwrap_or_else(|| panic!("no answer to {target} {body}\n{}", bed.log()));
        assert!((200..=503).contains(&heard.status), "{target} {body}: {}", heard.status);
        assert!(!heard.text().contains("panicked"), "{target} {body}");
        // What was taken must be shown and go away again.
        if target == "/containers/create" && heard.status == 201 {
            let made: Value = serde_json::from_slice(&heard.body).expect("an id");
            let id = made["Id"].as_str().expect("an id");
            let shown = send(&bed, "GET", &format!("/containers/{id}/json"), b"").expect("an answer");
            assert_eq!(shown.status, 200, "{body}: {}", shown.text());
            // It may fail, but in words. What would change the host outside of the bed is only made.
            let starts = !matches!(host_member, "CgroupParent" | "Binds" | "Mounts" | "Devices");
            assert!(
                !starts || send(&bed, "POST", &format!("/containers/{id}/start"), b"").is_some(),
                "{body}"
            );
            let removed =
                send(&bed, "DELETE", &format!("/containers/{id}?force=1&v=1"), b"").expect("an answer");
            assert_eq!(removed.status, 204, "{body}: {}", removed.text());
        }
    }
    is_well(&bed);
    for network in bed.docker(&["network", "ls", "-q", "--filter", "type=custom"]).ok().lines() {
        bed.docker(&["network", "rm", network]).ok();
    }
}
