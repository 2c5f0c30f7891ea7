//! `wharf registry serve` that is killed or has no room left, and the clients of others where they are installed.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::archives::Tar;
use crate::bed::{Bed, wharf_binary};
use crate::registry_server::ours;

/// An image of twelve megabytes that do not compress.
fn heavy(bed: &Bed, name: &str) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(12 << 17).flatten().collect();
    let path = bed.path("heavy.tar");
    std::fs::write(&path, Tar::default().entry(b'0', b"heavy", b"", &bytes).done()).expect("write a tar");
    bed.docker(&["import", &path.display().to_string(), name]).ok();
    bed.docker(&["image", "inspect", "-f", "{{.Id}}", name]).ok()
}

#[test]
fn privileged_a_registry_that_is_killed_keeps_what_it_acknowledged_and_takes_the_rest() {
    let bed = Bed::empty(&[]);
    let name = "127.0.0.1:5130/team/heavy:1";
    let id = heavy(&bed, name);
    for round in 0..4_u32 {
        let root = bed.path(&format!("registry-{round}"));
        let first = ours(&bed, &root, "127.0.0.1:5130", &[]);
        let mut pushing = bed.docker_command(&["push", name]);
        let mut pushing = pushing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run docker");
        std::thread::sleep(Duration::from_millis(150) * round);
        drop(first);
        let _second = ours(&bed, &root, "127.0.0.1:5130", &[]);
        // The daemon may have gone on by itself, or given up.
        let first_time = pushing.wait().expect("wait for docker").success();
        if !first_time {
            bed.docker(&["push", name]).ok();
        }
        let (binary, root) = (wharf_binary(), root.display().to_string());
        let binary = binary.to_str().expect("it is text");
        bed.in_namespace(binary, &["registry", "gc", "--now", "--root", &root]).ok();
        bed.docker(&["rmi", name]).ok();
        bed.docker(&["pull", name]).ok();
        assert_eq!(bed.docker(&["image", "inspect", "-f", "{{.Id}}", name]).ok(), id, "round {round}");
    }
}

/// Pushes a blob of so many bytes, prints the status, and what the registry says of the repository's tags.
const UPLOAD: &str = r#"
import hashlib, http.client, sys
body = b'x' * int(sys.argv[1])
def ask(method, path, body=None):
    connection = http.client.HTTPConnection('127.0.0.1', 5131, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.getheader('Location'), answer.read()
status, place, _ = ask('POST', '/v2/a/blobs/uploads/', b'')
if status == 202:
    status, _, text = ask('PUT', place + '?digest=sha256:' + hashlib.sha256(body).hexdigest(), body)
print(status, ask('GET', '/v2/a/blobs/sha256:' + hashlib.sha256(b'x' * 10).hexdigest())[0])
"#;

#[test]
fn privileged_a_registry_without_room_says_so_and_goes_on_when_there_is_some() {
    let bed = Bed::on_disk("size=48m");
    let root = bed.path("data/registry-root");
    let _registry = ours(&bed, &root, "127.0.0.1:5131", &[]);
    let push = |bytes: &str| bed.in_namespace("python3", &["-c", UPLOAD, bytes]).ok();
    assert_eq!(push("10"), "201 200");
    let fill = bed.path("data/fill").display().to_string();
    let script = format!("head -c 64M /dev/zero > '{fill}' 2>/dev/null; truncate -s -600K '{fill}'; sync");
    bed.in_namespace("sh", &["-c", &script]).ok();
    let refused = push("4000000");
    assert!(refused.starts_with('5') && refused.ends_with(" 200"), "{refused}");
    let blobs = bed.inside("data/registry-root/docker/registry/v2/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).expect("list the blobs").count(), 1, "nothing half is a blob");
    bed.in_namespace("rm", &[&fill]).ok();
    assert_eq!(push("4000000"), "201 200");
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn privileged_the_clients_of_others_push_to_our_registry_and_pull_from_it() {
    let bed = Bed::new();
    let _registry = ours(&bed, &bed.path("registry"), "127.0.0.1:5132", &[]);
    let source = "127.0.0.1:5132/team/box:1";
    bed.docker(&["tag", "busybox", source]).ok();
    bed.docker(&["push", source]).ok();
    let id = bed.docker(&["image", "inspect", "-f", "{{.Id}}", source]).ok();
    let mut pushed = Vec::new();
    if is_installed("skopeo") {
        let (from, name) = (format!("docker://{source}"), "127.0.0.1:5132/skopeo/box:1");
        let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        bed.in_namespace("skopeo", &[&["copy", &from, &format!("docker://{name}")], &insecure[..]].concat())
            .ok();
        let as_oci =
            [&["copy", "--format", "oci", &from, "docker://127.0.0.1:5132/oci/box:1"], &insecure[..]];
        bed.in_namespace("skopeo", &as_oci.concat()).ok();
        pushed.push(name);
    }
    for (program, name) in
        [("podman", "127.0.0.1:5132/podman/box:1"), ("buildah", "127.0.0.1:5132/buildah/box:1")]
    {
        if is_installed(program) {
            let folder = |name: &str| bed.path(&format!("{program}-{name}")).display().to_string();
            let storage = ["--root", &folder("root"), "--runroot", &folder("run"), "--storage-driver", "vfs"];
            let run = |words: &[&str]| bed.in_namespace(program, &[&storage[..], words].concat()).ok();
            run(&["pull", "--tls-verify=false", source]);
            run(&["push", "--tls-verify=false", source, &format!("docker://{name}")]);
            pushed.push(name);
        }
    }
    for name in pushed {
        bed.docker(&["pull", name]).ok();
        // Some write the config anew; what is in the image is the same.
        let layers = |name: &str| bed.docker(&["image", "inspect", "-f", "{{.RootFS.Layers}}", name]).ok();
        assert_eq!(layers(name), layers(source), "{name}");
    }
    assert_eq!(bed.docker(&["image", "inspect", "-f", "{{.Id}}", source]).ok(), id);
}
