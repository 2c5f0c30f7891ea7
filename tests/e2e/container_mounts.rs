//! What containers mount besides volumes: images, `/dev/shm`, tmpfs; and containers that have no image at all.

use std::io::{Read, Write};

use crate::bed::Bed;
use crate::raw::{connect, must, parse};

#[test]
fn privileged_an_image_is_mounted_read_only_whole_and_in_part() {
    let bed = Bed::new();
    bed.docker(&["run", "--name", "made", "busybox", "sh", "-c", "mkdir /d && echo hi >/d/f"]).ok();
    bed.docker(&["commit", "made", "two:1"]).ok();
    let mount = |more: &str| format!("type=image,source=two:1,target=/x{more}");
    let run = |mount: &str, command: &str| {
        bed.docker(&["run", "--rm", "--network", "none", "--mount", mount, "busybox", "sh", "-c", command])
    };
    let whole = run(&mount(""), "cat /x/d/f; touch /x/y");
    assert!(whole.err.contains("Read-only file system"), "{whole:?}");
    assert_eq!(whole.fails(1).lines().count(), 2, "a warning, and what touch says");
    assert_eq!(run(&mount(",image-subpath=d"), "cat /x/f").ok(), "hi");
    assert_eq!(run(&mount(",image-subpath=d/f"), "cat /x; grep -c ' /x ' /proc/mounts").ok(), "hi\n1");
    assert!(run(&mount(",image-subpath=nosuch"), "true").err.contains("no such file or directory"));
    let missing = br#"{"Image":"busybox","Cmd":["x"],"HostConfig":{"Mounts":[{"Type":"image","Source":"nosuch","Target":"/x"}]}}"#;
    let heard = must(&bed, "POST", "/containers/create", missing);
    assert_eq!((heard.status, heard.text().as_str()), (404, r#"{"message":"No such image: nosuch:latest"}"#));
    // In use while there is a container, and still there for one that was made before it was removed by force.
    bed.docker(&["create", "--name", "user", "--mount", &mount(""), "busybox", "cat", "/x/d/f"]).ok();
    bed.docker(&["rm", "made"]).ok();
    let refused = bed.docker(&["rmi", "two:1"]).fails(1);
    assert!(refused.contains("is using its referenced image"), "{refused}");
    assert_eq!(
        bed.docker(&["inspect", "-f", "{{(index .Mounts 0).Type}} {{(index .Mounts 0).RW}}", "user"]).ok(),
        "image false"
    );
    bed.docker(&["rmi", "-f", "two:1"]).ok();
    assert_eq!(bed.docker(&["start", "-a", "user"]).ok(), "hi");
}

#[test]
fn privileged_a_container_needs_no_image() {
    let bed = Bed::new();
    let body = br#"{"Image":"","Cmd":["/x/bin/busybox","echo","hi"],"HostConfig":{"NetworkMode":"none",
        "Mounts":[{"Type":"image","Source":"busybox","Target":"/x"}]}}"#;
    assert_eq!(must(&bed, "POST", "/containers/create?name=none", body).status, 201);
    assert_eq!(bed.docker(&["start", "-a", "none"]).ok(), "hi");
    assert_eq!(bed.docker(&["inspect", "-f", "{{.Image}}|{{.Config.Image}}", "none"]).ok(), "|");
    assert_eq!(bed.docker(&["ps", "-a", "--format", "{{.Names}} {{.Image}}"]).ok(), "none <no image>");
    bed.docker(&["commit", "none", "three"]).ok();
    assert_eq!(
        must(&bed, "POST", "/containers/create", br#"{"Image":""}"#).text(),
        r#"{"message":"no command specified"}"#
    );
}

#[test]
fn privileged_a_shared_dev_shm_keeps_its_size_and_outlives_the_daemon() {
    let mut bed = Bed::new();
    let shareable = ["run", "-d", "--name", "donor", "--ipc", "shareable", "--shm-size", "1m", "busybox"];
    bed.docker(&[&shareable[..], &["sleep", "1000"]].concat()).ok();
    let join = |bed: &Bed, script: &str| {
        bed.docker(&["run", "--rm", "--ipc", "container:donor", "busybox", "sh", "-c", script])
    };
    let full = "head -c 2000000 /dev/zero >/dev/shm/big 2>/dev/null; wc -c </dev/shm/big; rm /dev/shm/big; echo one >/dev/shm/f";
    assert_eq!(join(&bed, full).ok(), (1 << 20).to_string());
    bed.crash();
    bed.start();
    assert_eq!(join(&bed, "cat /dev/shm/f; echo two >/dev/shm/f").ok(), "one");
    assert_eq!(bed.docker(&["exec", "donor", "cat", "/dev/shm/f"]).ok(), "two");
    bed.docker(&["run", "-d", "--name", "private", "busybox", "sleep", "1000"]).ok();
    let refused = bed.docker(&["run", "--rm", "--ipc", "container:private", "busybox", "true"]).fails(125);
    assert!(refused.contains("non-shareable IPC"), "{refused}");
}

#[test]
fn privileged_words_for_a_tmpfs_are_checked_and_the_last_one_counts() {
    let bed = Bed::new();
    let run = |options: &str| {
        let tmpfs = format!("/x:{options}");
        bed.docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--tmpfs",
            &tmpfs,
            "busybox",
            "grep",
            " /x ",
            "/proc/mounts",
        ])
    };
    let shown = run("exec,size=1m,size=2m,mode=700").ok();
    assert!(
        shown.contains("size=2048k") && shown.contains("mode=700") && !shown.contains("noexec"),
        "{shown}"
    );
    for (options, word) in [("bogus", "bogus"), ("size", "size"), ("huge=always", "huge")] {
        let refused = run(options).fails(125);
        assert!(refused.contains(&format!("invalid tmpfs option \"{word}\"")), "{refused}");
    }
}

#[test]
fn privileged_a_client_that_closes_its_sending_side_gets_its_answer() {
    let bed = Bed::new();
    bed.docker(&["create", "--name", "one", "busybox", "true"]).ok();
    let body = r#"{"Image":"nosuch.invalid/x"}"#;
    let create = format!(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for (request, status) in
        [("GET /containers/one/json HTTP/1.1\r\nHost: d\r\n\r\n", 200), (create.as_str(), 404)]
    {
        let mut stream = connect(&bed);
        stream.write_all(request.as_bytes()).expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("close the sending side");
        let mut whole = Vec::new();
        stream.read_to_end(&mut whole).expect("read");
        let heard = parse(&whole).unwrap_or_else(|| panic!("{request}: no answer"));
        assert!(heard.whole && heard.status == status, "{heard:?}");
    }
}
