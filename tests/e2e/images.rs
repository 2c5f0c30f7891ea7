//! Images: loaded, listed, tagged, removed; hostile ones refused.

use std::process::Command;

use crate::bed::Bed;

#[test]
fn privileged_tags_come_and_go_and_the_last_one_takes_the_image() {
    let bed = Bed::new();
    bed.docker(&["tag", "busybox", "example.test/a/b:1"]).ok();
    let id = bed.docker(&["image", "inspect", "-f", "{{.Id}}", "busybox"]).ok();
    assert_eq!(bed.docker(&["image", "inspect", "-f", "{{.Id}}", "example.test/a/b:1"]).ok(), id);
    assert_eq!(bed.docker(&["rmi", "example.test/a/b:1"]).ok(), "Untagged: example.test/a/b:1");
    bed.docker(&["create", "--name", "user", "busybox", "true"]).ok();
    let refused = bed.docker(&["rmi", "busybox"]).fails(1);
    assert!(
        refused.contains("conflict: unable to remove repository reference \"busybox\" (must force)"),
        "{refused}"
    );
    bed.docker(&["rm", "user"]).ok();
    let removed = bed.docker(&["rmi", "busybox"]).ok();
    assert!(removed.starts_with("Untagged: busybox:latest\nDeleted: sha256:"), "{removed}");
    assert_eq!(bed.docker(&["images", "-aq"]).ok(), "");
}

/// Archives that try to write outside, or are not what they say; Python writes them, for we did not.
const HOSTILE: &str = r#"
import hashlib, io, json, sys, tarfile
def image(members, wrong_digest=False, cut=0):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode='w') as tar:
        for info, data in members: tar.addfile(info, io.BytesIO(data) if data is not None else None)
    blob = layer.getvalue()
    diff = 'sha256:' + hashlib.sha256(b'other' if wrong_digest else blob).hexdigest()
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'rootfs': {'type': 'layers', 'diff_ids': [diff]}}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        for name, data in (('layer.tar', blob), ('config.json', config), ('manifest.json', json.dumps([{'Config': 'config.json', 'RepoTags': ['hostile:1'], 'Layers': ['layer.tar']}]).encode())):
            info = tarfile.TarInfo(name); info.size = len(data); tar.addfile(info, io.BytesIO(data))
    bytes = out.getvalue()
    return bytes[:len(bytes) - cut] if cut else bytes
def entry(name, data=None, **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items(): setattr(info, key, value)
    if data is not None: info.size = len(data)
    return info, data
target = sys.argv[2]
cases = {
    'dotdot': lambda: image([entry('../../../../../../..' + target, b'x')]),
    'symlink': lambda: image([entry('out', type=tarfile.SYMTYPE, linkname='/'), entry('out' + target, b'x')]),
    'hardlink': lambda: image([entry('link', type=tarfile.LNKTYPE, linkname='../../../../../../../etc/passwd')]),
    'digest': lambda: image([entry('file', b'x')], wrong_digest=True),
    'truncated': lambda: image([entry('file', b'x' * 100000)], cut=60000),
    'junk': lambda: b'this is no archive at all' * 100,
}
sys.stdout.buffer.write(cases[sys.argv[1]]())
"#;

#[test]
fn privileged_hostile_archives_change_nothing() {
    let bed = Bed::new();
    let target = bed.path("escaped");
    for case in ["dotdot", "symlink", "hardlink", "digest", "truncated", "junk"] {
        let made =
            Command::new("python3").args(["-c", HOSTILE, case]).arg(&target).output().expect("run python3");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = bed.docker_with_input(&["load"], &made.stdout);
        assert!(!target.exists(), "{case} wrote outside");
        if case == "symlink" {
            // Docker confines a link that points outside to the layer itself.
            bed.docker(&["rmi", "-f", "hostile:1"]);
            continue;
        }
        assert_ne!(said.code, 0, "{case} was accepted: {}", said.out);
        assert_eq!(bed.docker(&["images", "-q", "hostile"]).ok(), "", "{case}");
    }
    assert_eq!(bed.docker(&["run", "--rm", "busybox", "echo", "fine"]).ok(), "fine");
}
