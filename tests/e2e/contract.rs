//! The recorded answers of a real Docker 28.5.2 (`../shared/parity/api`): the same requests under seven API versions must
//! get the same status, content type and body, with the same keys in the same order, `null`, empty and absent as they are.
//!
//! Ids, times and host facts vary; they are replaced on both sides as the recorder did. What differs on purpose is listed
//! here with its reason.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, repository};

/// The recorder's replacements (`record_api.py`, VOLATILE).
const VOLATILE: [(&str, &str); 10] = [
    ("sha256:[0-9a-f]{64}", "sha256:<digest>"),
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{40}\b", "<sha1>"),
    (r#""[0-9a-f]{12}""#, "\"<id12>\""),
    // The recorder left this one out: an id in a message.
    (r#"id:\\"[0-9a-f]{12}\\""#, "id:<id12>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "<mac>"),
    (r"\b172\.1[6-9]\.\d+\.\d+", "<ip>"),
    (
        r#"("(?:Created|time|timeNano|Pid|Started|NEventsListener|NFd|NGoroutines|MemTotal|Size|SharedSize|VirtualSize|LayersSize|SizeRootFs)":)\s*(?:-?\d+|<number>)"#,
        "${1}\"<number>\"",
    ),
    (
        r#"("(?:KernelVersion|OperatingSystem|OSVersion|Name|ID|ServerVersion|GitCommit|BuildTime|GoVersion)":)\s*"(?:\d[^"]*|vm|Debian[^"]*|[0-9a-f-]{36}|go1[^"]*|[0-9a-f]{40})""#,
        "${1}\"<host>\"",
    ),
];

/// Requests that need what this version has not.
const SKIPPED: [(&str, &str); 3] = [
    ("auth-bad", "logins come with the registry part"),
    ("container-archive-missing", "docker cp is not built yet"),
    ("image-delete-used", "which of three containers is named in the message is chance"),
];

/// Bodies of which only the shape counts: keys, their order, and types.
const LOOSE_BODIES: [&str; 5] = ["container-stats-once", "container-top", "image-history", "info", "version"];

/// Members of which only the type counts, or (with `*`) nothing at all.
const LOOSE_MEMBERS: &[(&str, bool, &str)] = &[
    ("GraphDriver/Data", true, "the layout on disk is ours"),
    ("Platform/Name", false, "another product"),
    ("Components", true, "another product has other parts"),
    ("HostConfig/CgroupnsMode", false, "depends on the host's cgroup version"),
    (
        "Options/com.docker.network.bridge.name",
        false,
        "our bridge has a name of its own, so as not to take Docker's",
    ),
    ("NetworkSettings/SandboxKey", false, "network namespaces are not bind mounts here"),
    ("Runtimes", true, "there is one runtime here"),
    ("DriverStatus", true, "depends on the file system"),
    ("Plugins", true, "drivers that are not built yet"),
    ("Containerd", true, "there is no containerd here"),
    ("CDISpecDirs", true, "devices by CDI are not built yet"),
    ("memory_stats/stats", true, "depends on the kernel"),
    ("networks", true, "depends on the network"),
    ("percpu_usage", true, "depends on the host"),
];

/// What a daemon answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: String,
    pub(crate) body: String,
}

/// One request on a connection of its own.
pub(crate) fn ask(bed: &Bed, method: &str, target: &str, body: &str) -> Answer {
    let mut stream = UnixStream::connect(bed.socket()).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set the time-out");
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n{length}\r\n{body}"
    )
    .expect("send");
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).expect("receive");
    let whole = String::from_utf8_lossy(&whole).into_owned();
    let (head, rest) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {target}: {whole:?}"));
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim().to_owned())
    };
    let is_chunked = header("transfer-encoding").is_some_and(|coding| coding == "chunked");
    Answer {
        status: head[9..12].parse().expect("a status"),
        content_type: header("content-type").unwrap_or_default(),
        body: if is_chunked { unchunk(rest) } else { rest.to_owned() },
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        whole.push_str(&after[..size]);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}

fn recordings() -> Option<PathBuf> {
    let given = std::env::var_os("WHARF_PARITY").map(PathBuf::from);
    let parity = given.unwrap_or_else(|| repository().join("../shared/parity"));
    if !parity.join("api/1.51").is_dir() {
        eprintln!("skipped: no recordings beside this checkout; set WHARF_PARITY to the folder parity");
        return None;
    }
    Some(parity)
}

/// The image, the volume, the network and the three containers of the recorder; answers the exec's id.
fn set_up(bed: &Bed, parity: &Path) -> String {
    let tar = bed.path("busybox.tar");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let made = Command::new("python3")
        .arg(parity.join("mkimage.py"))
        .arg(&tar)
        .args(busybox)
        .output()
        .expect("run python");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    bed.docker(&["load", "-i", tar.to_str().expect("temporary paths are text")]).ok();
    let post = |target: &str, body: Value, want: u16| {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = ask(bed, "POST", target, &text);
        assert_eq!(answer.status, want, "{target}: {}", answer.body);
        answer.body
    };
    post("/volumes/create", json!({"Name": "rec-vol", "Labels": {"a": "b"}}), 201);
    let pool = json!({"Config": [{"Subnet": "10.91.0.0/24"}]});
    post("/networks/create", json!({"Name": "rec-net", "IPAM": pool, "Labels": {"a": "b"}}), 201);
    let spec = json!({
        "Image": "busybox", "Cmd": ["sleep", "600"], "Env": ["A=1"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 600_000_000_000_i64},
        "HostConfig": {
            "Binds": ["rec-vol:/data"], "NetworkMode": "rec-net", "Memory": 67_108_864, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18099"}]},
        },
    });
    post("/containers/create?name=rec-run", spec, 201);
    post("/containers/rec-run/start", Value::Null, 204);
    post("/containers/create?name=rec-new", json!({"Image": "busybox", "Cmd": ["true"]}), 201);
    let done = json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo out; exit 3"], "HostConfig": {"NetworkMode": "none"}});
    post("/containers/create?name=rec-done", done, 201);
    post("/containers/rec-done/start", Value::Null, 204);
    post("/containers/rec-done/wait", Value::Null, 200);
    let exec = json!({"Cmd": ["sh", "-c", "exit 4"], "AttachStdout": true, "Env": ["X=1"]});
    let made: Value = serde_json::from_str(&post("/containers/rec-run/exec", exec, 201)).expect("JSON");
    made["Id"].as_str().expect("an id").to_owned()
}

/// One recorded exchange.
struct Recorded {
    name: String,
    method: String,
    target: String,
    request: String,
    status: u16,
    content_type: String,
    body: String,
}

fn read(path: &Path) -> Recorded {
    let text = std::fs::read_to_string(path).expect("read a recording");
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (request_line, request, status_line, body) = (line(), line(), line(), line());
    let (method, target) = request_line.split_once(' ').expect("a request line");
    let (status, content_type) = status_line.split_once(' ').expect("a status line");
    Recorded {
        name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        request,
        status: status.parse().expect("a status"),
        content_type: content_type.to_owned(),
        body: body.trim_end().to_owned(),
    }
}

struct Steady(Vec<(Regex, &'static str)>);

impl Steady {
    fn new() -> Self {
        Self(VOLATILE.map(|(pattern, by)| (Regex::new(pattern).expect("a pattern"), by)).into())
    }

    fn apply(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, (pattern, by)| pattern.replace_all(&text, *by).into_owned())
    }
}

fn is_ours_too(image: &Value) -> bool {
    !image["RepoTags"].to_string().contains("hostile/")
}

/// Makes the recording what it would be on our host, and both comparable.
fn prepare(name: &str, value: &mut Value) {
    if name.starts_with("networks-predefined")
        && let Some(list) = value.as_array_mut()
    {
        list.sort_by_key(|network| network["Name"].to_string()); // by chance in Docker: it walks a map
    }
    if name.starts_with("images")
        && let Some(list) = value.as_array_mut()
    {
        list.retain(is_ours_too);
    }
    if let Some(list) = value.get_mut("Images").and_then(Value::as_array_mut) {
        list.retain(is_ours_too);
    }
    let status =
        Regex::new(r"(Up|Exited \(3\)) (Less than a second|\d+ seconds?|About a minute)").expect("a pattern");
    each_member(value, &mut |key, member| {
        if let ("Status" | "status", Some(text)) = (key, member.as_str()) {
            *member = status.replace(text, "$1 a while").into_owned().into();
        }
    });
}

fn each_member(value: &mut Value, act: &mut impl FnMut(&str, &mut Value)) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(key, member)| {
            act(key, member);
            each_member(member, act);
        }),
        Value::Array(list) => list.iter_mut().for_each(|member| each_member(member, act)),
        _ => {}
    }
}

fn rule_of(path: &str) -> Option<&'static (&'static str, bool, &'static str)> {
    LOOSE_MEMBERS.iter().find(|(suffix, ..)| path.ends_with(&format!("/{suffix}")))
}

/// Where `ours` differs from `theirs`.
fn differences(theirs: &Value, ours: &Value, path: &str, is_loose: bool, found: &mut Vec<String>) {
    let rule = rule_of(path);
    if rule.is_some_and(|(_, is_ignored, _)| *is_ignored) {
        return;
    }
    let is_loose = is_loose || rule.is_some();
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let counts = |key: &&String| {
                !rule_of(&format!("{path}/{key}")).is_some_and(|(_, is_ignored, _)| *is_ignored)
            };
            let a_keys: Vec<_> = a.keys().filter(counts).collect();
            let b_keys: Vec<_> = b.keys().filter(counts).collect();
            if a_keys != b_keys {
                found.push(format!("{path}: keys {a_keys:?}, ours {b_keys:?}"));
            }
            for (key, member) in a {
                if let Some(other) = b.get(key) {
                    differences(member, other, &format!("{path}/{key}"), is_loose, found);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if is_loose || a.len() == b.len() => {
            for (n, (one, other)) in a.iter().zip(b).enumerate() {
                differences(one, other, &format!("{path}/{n}"), is_loose, found);
            }
        }
        (a, b) if is_loose && std::mem::discriminant(a) == std::mem::discriminant(b) => {}
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a}, ours {b}")),
    }
}

fn compare(bed: &Bed, version: &str, recorded: &Recorded, exec: &str, steady: &Steady) -> Vec<String> {
    let target = format!("/v{version}{}", recorded.target.replace("<id>", exec));
    let answer = ask(bed, &recorded.method, &target, &recorded.request);
    let mut found = Vec::new();
    if (answer.status, &answer.content_type) != (recorded.status, &recorded.content_type) {
        found.push(format!(
            "{} {:?}, ours {} {:?} {}",
            recorded.status, recorded.content_type, answer.status, answer.content_type, answer.body
        ));
        return found;
    }
    let folder = bed.path("data").to_string_lossy().into_owned();
    let theirs = steady.apply(&recorded.body);
    let ours = steady.apply(answer.body.trim_end()).replace(&folder, "/var/lib/docker");
    match (serde_json::from_str::<Value>(&theirs), serde_json::from_str::<Value>(&ours)) {
        (Ok(mut theirs), Ok(mut ours)) => {
            prepare(&recorded.name, &mut theirs);
            prepare(&recorded.name, &mut ours);
            let is_loose = LOOSE_BODIES.contains(&recorded.name.as_str());
            differences(&theirs, &ours, "", is_loose, &mut found);
        }
        _ if theirs == ours => {}
        _ => found.push(format!("{theirs:?}, ours {ours:?}")),
    }
    found
}

#[test]
fn privileged_answers_are_those_of_docker() {
    let Some(parity) = recordings() else { return };
    let bed = Bed::empty(&[]);
    let exec = set_up(&bed, &parity);
    let steady = Steady::new();
    let mut failures = Vec::new();
    for version in ["1.24", "1.30", "1.40", "1.43", "1.44", "1.48", "1.51"] {
        let folder = std::fs::read_dir(parity.join("api").join(version)).expect("list the recordings");
        let mut paths: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
        // In the recorder's order as far as it matters: create before delete, inspect before update.
        paths.sort_by_key(|path| path.to_string_lossy().replace("delete-ok.", "create-ok.~"));
        for recorded in paths.iter().map(|path| read(path)) {
            if SKIPPED.iter().any(|(name, _)| *name == recorded.name) {
                continue;
            }
            for difference in compare(&bed, version, &recorded, &exec, &steady) {
                failures.push(format!("{version}/{}: {difference}", recorded.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}
