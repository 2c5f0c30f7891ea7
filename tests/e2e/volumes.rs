//! Volumes that are more than a directory: with a file system of their own, with a part mounted, kept by a plugin.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bed::Bed;

/// In a mount namespace of its own: what is mounted on the host there never meets the machine.
fn bed() -> Bed {
    Bed::on_disk("size=64m")
}

#[test]
fn privileged_a_volume_with_a_file_system_is_one_for_all_its_users_and_mounted_while_there_are_any() {
    let mut bed = bed();
    let options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,mode=0750", "scratch"];
    bed.docker(&[&["volume", "create"], &options[..]].concat()).ok();
    let mounted =
        |bed: &Bed| bed.leftover_mounts().iter().filter(|line| line.contains("/scratch/_data")).count();
    assert_eq!(mounted(&bed), 0, "nobody uses it yet");
    let write = "echo shared > /x/f; sleep 1000";
    bed.docker(&["run", "-d", "--name", "first", "-v", "scratch:/x", "busybox", "sh", "-c", write]).ok();
    bed.until(&["exec", "first", "cat", "/x/f"], "shared");
    let read = [
        "run",
        "--rm",
        "-v",
        "scratch:/y:ro",
        "busybox",
        "sh",
        "-c",
        "cat /y/f; stat -c %a /y; grep -c ' /y tmpfs' /proc/mounts",
    ];
    assert_eq!(bed.docker(&read).ok(), "shared\n750\n1");
    assert_eq!(mounted(&bed), 1, "one user has gone, the other is there");
    // Its size holds (busybox does not say why it cannot write).
    let too_much = "head -c 2m /dev/zero > /x/g";
    bed.docker(&["run", "--rm", "-v", "scratch:/x", "busybox", "sh", "-c", too_much]).fails(1);

    // A new daemon knows who uses it, and takes off what nobody uses any more.
    bed.crash();
    bed.start();
    assert_eq!(mounted(&bed), 1);
    assert_eq!(bed.docker(&["exec", "first", "cat", "/x/f"]).ok(), "shared");
    bed.docker(&["rm", "-f", "first"]).ok();
    assert_eq!(mounted(&bed), 0, "the last user has gone");
    assert_eq!(bed.docker(&["run", "--rm", "-v", "scratch:/x", "busybox", "ls", "/x"]).ok(), "");
    bed.docker(&["volume", "prune", "-af"]).ok();
    assert_eq!(bed.docker(&["volume", "ls", "-q"]).ok(), "scratch", "what has options is not pruned");
    bed.docker(&["volume", "rm", "scratch"]).ok();
}

#[test]
fn privileged_an_empty_volume_gets_the_images_content_wherever_it_lies_and_bad_devices_are_told() {
    let bed = bed();
    let outside = bed.path("outside");
    std::fs::create_dir(&outside).unwrap();
    let device = format!("device={}", outside.display());
    bed.docker(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, "there"])
        .ok();
    bed.docker(&["run", "--rm", "-v", "there:/etc", "busybox", "true"]).ok();
    assert!(outside.join("passwd").exists(), "/etc of the image was copied into what is bound");
    bed.docker(&["volume", "rm", "there"]).ok();
    assert!(outside.join("passwd").exists(), "only the volume is gone");

    for (options, code, want) in [
        (["type=none", "o=bind", "device=/nosuch/device"], 127, "flags: 0x1000: no such file or directory"),
        (["type=nosuchfs", "o=ro,x=y", "device=d"], 125, "flags: 0x1, data: x=y: no such device"),
        (
            ["type=nosuchfs", "o=username=a,password=b", "device=d"],
            125,
            "data: username=a,password=********: no such device",
        ),
        (
            ["type=nfs", "o=addr=no.such.invalid", "device=:/x"],
            125,
            "error resolving passed in network volume address",
        ),
    ] {
        let options: Vec<&str> = options.iter().flat_map(|option| ["--opt", option]).collect();
        bed.docker(&[&["volume", "create"], &options[..], &["bad"]].concat()).ok();
        let said = bed.docker(&["run", "--rm", "-v", "bad:/x", "busybox", "true"]).fails(code);
        assert!(said.contains("error while mounting volume '") && said.contains(want), "{said}");
        bed.docker(&["volume", "rm", "bad"]).ok();
    }
    for (option, want) in [
        ("o=size=1m", r#"missing required option: "device""#),
        ("colour=red", r#"invalid option: "colour""#),
        ("size=1m", "quota size requested but no quota support"),
    ] {
        let said = bed.docker(&["volume", "create", "--opt", option, "bad"]).fails(1);
        assert!(said.contains(want), "{said}");
    }
    assert_eq!(bed.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn privileged_a_part_of_a_volume_is_mounted_and_never_what_lies_outside() {
    let bed = bed();
    let fill = "mkdir -p /x/d/e; echo deep > /x/d/e/f; ln -s /etc /x/out; ln -s d/e /x/in";
    bed.docker(&["run", "--rm", "-v", "whole:/x", "busybox", "sh", "-c", fill]).ok();
    let part = |path: &str, command: &[&str]| {
        let mount = format!("type=volume,src=whole,dst=/y,volume-subpath={path}");
        bed.docker(&[&["run", "--rm", "--mount", &mount, "busybox"], command].concat())
    };
    assert_eq!(part("d/e", &["cat", "/y/f"]).ok(), "deep");
    assert_eq!(part("d/e/f", &["cat", "/y"]).ok(), "deep");
    assert_eq!(part("in", &["cat", "/y/f"]).ok(), "deep");
    // Docker's client tells by its words what could not be found: 127.
    for (path, code, want) in [
        ("out", 125, "path concatenation escapes the base directory, base: "),
        ("nosuch", 127, "/whole/_data/nosuch: no such file or directory"),
        ("d/../../x", 125, "subpath must be a relative path within the volume"),
    ] {
        let said = part(path, &["true"]).fails(code);
        assert!(said.contains(want), "{path}: {said}");
    }
    bed.docker(&["volume", "rm", "whole"]).ok();
}

#[test]
fn privileged_a_plugin_keeps_volumes() {
    let mut bed = bed();
    let (sockets, root) = (bed.path("run").join("plugins"), bed.path("plugin"));
    std::fs::create_dir_all(&sockets).unwrap();
    std::fs::create_dir(&root).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/volume_plugin.py");
    let socket = sockets.join("depot.sock");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "python3", script]).arg(&socket).arg(&root);
    let mut plugin = command.stdin(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !socket.exists() {
        assert!(Instant::now() < deadline, "the plugin does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }

    let said = bed.docker(&["volume", "create", "-d", "nosuch", "vault"]).fails(1);
    assert!(
        said.contains(r#"create vault: error looking up volume plugin nosuch: plugin "nosuch" not found"#),
        "{said}"
    );
    let said = bed.docker(&["volume", "create", "-d", "depot", "--opt", "refuse=no", "vault"]).fails(1);
    assert!(said.contains("create vault: VolumeDriver.Create: refused: no"), "{said}");
    bed.docker(&["volume", "create", "-d", "depot", "--label", "a=b", "vault"]).ok();
    let format = "{{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Labels}} {{.Status}}";
    let shown = bed.docker(&["volume", "inspect", "-f", format, "vault"]).ok();
    let want = format!("depot global {}/volumes/vault map[a:b] map[kind:directory]", root.display());
    assert_eq!(shown, want);
    assert!(bed.docker(&["info", "-f", "{{.Plugins.Volume}}"]).ok().contains("depot"));

    let write = "echo kept > /x/f; sleep 1000";
    bed.docker(&["run", "-d", "--name", "one", "-v", "vault:/x", "busybox", "sh", "-c", write]).ok();
    bed.until(&["exec", "one", "cat", "/x/f"], "kept");
    assert_eq!(std::fs::read_to_string(root.join("volumes/vault/f")).unwrap(), "kept\n");
    let said = bed.docker(&["volume", "rm", "vault"]).fails(1);
    assert!(said.contains("volume is in use"), "{said}");
    bed.crash();
    bed.start();
    bed.docker(&["rm", "-f", "one"]).ok();
    let calls = std::fs::read_to_string(root.join("calls")).unwrap();
    let count = |method: &str| calls.lines().filter(|line| line.starts_with(method)).count();
    assert_eq!(count("VolumeDriver.Mount"), count("VolumeDriver.Unmount"), "{calls}");

    // What the plugin has besides is listed, and taken over by a create of its name.
    std::fs::create_dir(root.join("volumes/old")).unwrap();
    assert!(bed.docker(&["volume", "ls", "--format", "{{.Driver}} {{.Name}}"]).ok().contains("depot old"));
    bed.docker(&["run", "--rm", "--volume-driver", "depot", "-v", "old:/x", "busybox", "true"]).ok();
    bed.docker(&["volume", "rm", "vault", "old"]).ok();
    assert_eq!(std::fs::read_dir(root.join("volumes")).unwrap().count(), 0);
    assert_eq!(bed.docker(&["volume", "ls", "-q"]).ok(), "");
    plugin.kill().unwrap();
    plugin.wait().unwrap();
}

/// Export, import and clone: not Docker's. What comes back is what went out, or nothing.
#[test]
fn privileged_volumes_are_exported_imported_and_cloned_exactly() {
    let bed = Bed::new();
    let fill = "cd /d && mkdir -m 1770 dir && echo hello >dir/a && ln dir/a hard && ln -s dir/a soft && chmod 4711 hard \
                && chown -R 123:456 dir && mkfifo pipe && dd if=/dev/zero of=big bs=1k count=3 seek=4096 2>/dev/null \
                && touch -d '2001-02-03 04:05:06' big && chown 7:8 . && chmod 711 .";
    bed.docker(&["run", "--rm", "-v", "from:/d", "busybox", "sh", "-c", fill]).ok();
    let look = |name: &str| {
        let mount = format!("{name}:/d:ro");
        let show = "cd /d && find . | sort | xargs stat -c '%n %F %a %u %g %s %h %Y' && cat dir/a && readlink soft && md5sum big";
        let said = bed.docker(&["run", "--rm", "-v", &mount, "busybox", "sh", "-c", show]).ok();
        // A directory's size is its file system's business.
        let lines = said.lines().map(|line| {
            if line.contains(" directory ") {
                &line[..line.find(" directory ").unwrap_or(0) + 20]
            } else {
                line
            }
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let want = look("from");
    assert!(want.len() > 8, "{want:?}");
    let file = bed.path("volume.tar");
    let file = file.to_str().expect("temporary paths are text");
    bed.wharf(&["volume", "export", "-o", file, "from"]).ok();
    assert_eq!(bed.wharf(&["volume", "import", "--label", "a=b", "to", file]).ok(), "to");
    assert_eq!(bed.wharf(&["volume", "clone", "from", "copy"]).ok(), "copy");
    assert_eq!(bed.docker(&["volume", "inspect", "-f", "{{.Labels}}", "to"]).ok(), "map[a:b]");
    for name in ["to", "copy"] {
        assert_eq!(look(name), want, "{name}");
    }
    for (words, expect) in [
        (&["import", "to", file][..], "volume to already exists"),
        (&["clone", "from", "to"], "volume to already exists"),
        (&["clone", "nosuch", "new"], "get nosuch: no such volume"),
        (&["export", "-o", "/dev/null", "nosuch"], "get nosuch: no such volume"),
        (&["clone", "from", "no/good"], "includes invalid characters for a local volume name"),
    ] {
        let error = bed.wharf(&[&["volume"], words].concat()).fails(1);
        assert!(error.contains(expect), "{words:?}: {error}");
    }
    // An archive that is cut makes no volume.
    let whole = std::fs::read(file).expect("read the archive");
    let cut = bed.path("cut.tar");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("write");
    bed.wharf(&["volume", "import", "cut", cut.to_str().expect("temporary paths are text")]).fails(1);
    assert_eq!(bed.docker(&["volume", "ls", "-q"]).ok(), "copy\nfrom\nto");
    // One that is mounted only while it is used.
    bed.docker(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory"]).ok();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "user",
        "-v",
        "memory:/d",
        "busybox",
        "sh",
        "-c",
        "echo 1 >/d/f; exec sleep 1000",
    ])
    .ok();
    bed.until(&["exec", "user", "cat", "/d/f"], "1");
    bed.wharf(&["volume", "clone", "memory", "kept"]).ok();
    assert_eq!(bed.docker(&["run", "--rm", "-v", "kept:/d", "busybox", "cat", "/d/f"]).ok(), "1");
    assert_eq!(bed.docker(&["exec", "user", "cat", "/d/f"]).ok(), "1", "it is still mounted");
}

/// `owner=me`, not Docker's: what a container writes belongs to whom the directory belongs to.
#[test]
fn privileged_a_bind_mount_with_owner_me_writes_as_the_directorys_owner() {
    use std::os::unix::fs::MetadataExt as _;

    let bed = bed();
    let work = bed.path("work");
    std::fs::create_dir(&work).expect("make a folder");
    std::fs::write(work.join("old"), "x").expect("write");
    std::fs::write(work.join("roots"), "x").expect("write");
    for name in ["", "old"] {
        std::os::unix::fs::chown(work.join(name), Some(1234), Some(1235)).expect("change the owner");
    }
    let mount = format!("type=bind,source={},target=/work,owner=me", work.display());
    let script = "touch /work/new$(id -u); stat -c %u:%g /work /work/old /work/roots /work/new$(id -u)";
    // The test image's top is closed to all but root.
    for (user, own) in [("", "0:0"), ("0:8", "0:8")] {
        let said = bed
            .wharf(&["run", "--rm", "--user", user, "--mount", &mount, "busybox", "sh", "-c", script])
            .ok();
        assert_eq!(said, format!("{own}\n{own}\n65534:65534\n{own}"), "as {user}");
    }
    let found = std::fs::metadata(work.join("new0")).expect("it is there");
    assert_eq!((found.uid(), found.gid()), (1234, 1235));
    let error =
        bed.wharf(&["run", "--rm", "--user", "daemon", "--mount", &mount, "busybox", "true"]).fails(125);
    assert!(
        error.contains("a mount with owner=me needs a user of numbers (uid[:gid]): \"daemon\""),
        "{error}"
    );
    let other = mount.replace("owner=me", "owner=you");
    let error = bed.wharf(&["run", "--rm", "--mount", &other, "busybox", "true"]).fails(125);
    assert!(error.contains("invalid owner: you (must be \"me\")"), "{error}");
}
