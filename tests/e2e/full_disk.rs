//! Disks that are full, read-only, or gone: a clear word, and whatever does not need them goes on.

use crate::archives;
use crate::bed::Bed;
use crate::inventory;
use crate::liar::Liar;
use crate::raw::must;

const FULL: &str = "no space left on device";

/// Takes all that is left of the data root's disk: bytes, or files.
fn fill(bed: &Bed, how: &str) {
    let script = match how {
        "bytes" => "cat /dev/zero > filler",
        _ => "mkdir filler; i=0; while : > filler/$i; do i=$((i+1)); done",
    };
    let script = format!("cd '{}' && {{ {script}; }} 2>/dev/null; true", bed.path("data").display());
    bed.in_namespace("bash", &["-c", &script]).ok();
}

fn empty(bed: &Bed) {
    let filler = bed.path("data/filler");
    bed.in_namespace("rm", &["-rf", filler.to_str().expect("temporary paths are text")]).ok();
}

#[test]
fn privileged_a_full_disk_is_told_and_can_be_emptied() {
    for how in ["bytes", "files"] {
        let mut bed = Bed::on_disk("size=32m,nr_inodes=4k");
        for name in ["c1", "c2", "c3"] {
            bed.docker(&["create", "--name", name, "busybox", "sleep", "1000"]).ok();
        }
        bed.docker(&["start", "c1", "c2", "c3"]).ok();
        bed.docker(&["stop", "-t", "0", "c3"]).ok();
        // More than what is set aside for removals.
        let change =
            "dd if=/dev/zero of=/changed bs=1M count=3; for i in $(seq 100); do : > /changed$i; done";
        bed.docker(&["exec", "c1", "sh", "-c", change]).ok();
        let registry = Liar::new(&bed);
        registry.image("a", "1", &[archives::layer("one")]);
        let pulled = registry.name("a:1");
        let image = archives::image("other:1", &[archives::layer("two")]);
        let large = archives::Tar::default().file("large", &vec![7; 4 << 20]);
        let large = (0..200).fold(large, |tar, n| tar.file(&format!("many{n}"), b"x")).done();
        fill(&bed, how);
        let full = inventory::take(&bed);
        let pull = format!("/images/create?fromImage={pulled}");
        for (method, target, body) in [
            ("POST", "/images/load", &image[..]),
            ("POST", "/images/create?fromSrc=-&repo=other", &image),
            ("POST", &pull, b""),
            ("POST", "/commit?container=c1&repo=other", b"{}"),
            ("PUT", "/containers/c1/archive?path=/", &large),
        ] {
            let said = must(&bed, method, target, body);
            let text = said.text().to_lowercase();
            assert!(!said.is_done() && text.contains(FULL), "{how}, {target}: {} {text}", said.status);
        }
        // What is small may find room in what was set aside for removals.
        for (target, body, undo) in [
            (
                "/containers/create?name=new",
                &br#"{"Image":"busybox","Cmd":["true"]}"#[..],
                "DELETE /containers/new",
            ),
            ("/containers/c3/start", b"", "POST /containers/c3/stop?t=0"),
            ("/volumes/create", br#"{"Name":"new"}"#, "DELETE /volumes/new"),
        ] {
            let said = must(&bed, "POST", target, body);
            let text = said.text().to_lowercase();
            assert!(said.is_done() || text.contains(FULL), "{how}, {target}: {} {text}", said.status);
            if said.is_done() {
                let (method, target) = undo.split_once(' ').expect("two words");
                assert!(must(&bed, method, target, b"").is_done(), "{how}, {undo}");
            }
        }
        // What the container itself has taken is its own.
        bed.docker(&["exec", "c1", "sh", "-c", "rm -rf /large /many*"]).ok();
        inventory::wait_for(&bed, &full, how);
        // What runs goes on, and can be looked at and ended.
        assert_eq!(bed.docker(&["exec", "c1", "echo", "alive"]).ok(), "alive");
        bed.docker(&["stop", "-t", "0", "c2"]).ok();
        bed.crash();
        bed.start();
        let states = bed.docker(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]).ok();
        for expect in ["c1 running", "c2 exited", "c3 "] {
            assert!(states.contains(expect), "{how}: {states}");
        }
        bed.docker(&["rm", "-f", "c1", "c2", "c3"]).ok();
        bed.docker(&["rmi", "busybox"]).ok();
        empty(&bed);
        assert_eq!(bed.docker(&["images", "-aq"]).ok(), "", "nothing is half done");
        bed.import_busybox();
        assert_eq!(bed.docker(&["run", "--rm", "busybox", "echo", "fine"]).ok(), "fine");
        assert!(must(&bed, "POST", "/images/load", &image).is_done());
        assert!(!bed.log().contains("panicked"), "{}", bed.log());
    }
}

#[test]
fn privileged_a_log_on_a_full_disk_does_not_stop_its_container() {
    let bed = Bed::on_disk("size=32m");
    let script = "while [ ! -e /tmp/go ]; do sleep 0.02; done; yes | head -n 100000; echo done > /tmp/done; sleep 1000";
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "talks",
        "--tmpfs",
        "/tmp",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        script,
    ])
    .ok();
    fill(&bed, "bytes");
    bed.docker(&["exec", "talks", "touch", "/tmp/go"]).ok();
    bed.until(&["exec", "talks", "cat", "/tmp/done"], "done");
    // What could be written can be read.
    bed.docker(&["logs", "talks"]).ok();
    empty(&bed);
    bed.docker(&["rm", "-f", "talks"]).ok();
}

#[test]
fn privileged_a_layer_that_is_larger_than_the_disk_is_refused_and_leaves_room() {
    let bed = Bed::on_disk("size=24m");
    let before = inventory::take(&bed);
    // A bomb: a kilobyte for each megabyte.
    let bomb = archives::Tar::default().file("zeros", &vec![0; 64 << 20]).done();
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zip, &bomb).expect("compress");
    let zipped = zip.finish().expect("compress");
    assert!(zipped.len() < 1 << 20);
    let config = archives::config(std::slice::from_ref(&bomb));
    let archive = archives::docker_archive("bomb:1", &config, std::slice::from_ref(&zipped));
    for (target, body) in [("/images/load", &archive), ("/images/create?fromSrc=-&repo=bomb", &zipped)] {
        let said = must(&bed, "POST", target, body);
        assert!(said.text().contains(FULL), "{target}: {}", said.text());
        inventory::wait_for(&bed, &before, target);
    }
    assert_eq!(bed.docker(&["run", "--rm", "busybox", "echo", "fine"]).ok(), "fine");
}

#[test]
fn privileged_a_full_or_read_only_root_is_told() {
    let mut bed = Bed::on_disk("size=32m");
    let (run, data) = (bed.path("run"), bed.path("data"));
    let (run, data) = (run.to_str().expect("text"), data.to_str().expect("text"));
    let mount = |bed: &Bed, words: &[&str]| drop(bed.in_namespace("mount", words).ok());
    let umount = |bed: &Bed, path: &str| drop(bed.in_namespace("umount", &["-l", path]).ok());
    bed.stop();
    mount(&bed, &["-t", "tmpfs", "-o", "size=128k,nr_inodes=100", "tmpfs", run]);
    bed.start();
    bed.docker(&["run", "-d", "--name", "before", "busybox", "sleep", "1000"]).ok();
    bed.docker(&["create", "--name", "later", "busybox", "sleep", "1000"]).ok();
    for script in ["cat /dev/zero > filler", "i=0; while : > f$i; do i=$((i+1)); done"] {
        bed.in_namespace("bash", &["-c", &format!("cd {run} && {{ {script}; }} 2>/dev/null; true")]).ok();
        let said = bed.docker(&["start", "later"]);
        if said.code == 0 {
            // A socket and an empty directory may still fit; then it runs.
            bed.docker(&["exec", "later", "echo", "alive"]).ok();
            bed.docker(&["stop", "-t", "0", "later"]).ok();
        } else {
            assert!(said.err.to_lowercase().contains(FULL), "{said:?}");
        }
        assert_eq!(bed.docker(&["exec", "before", "echo", "alive"]).ok(), "alive");
        bed.docker(&["restart", "-t", "0", "before"]);
        bed.in_namespace("bash", &["-c", &format!("cd {run} && rm -f filler f[0-9]*")]).ok();
        bed.docker(&["start", "before", "later"]).ok();
        bed.docker(&["stop", "-t", "0", "later"]).ok();
    }
    bed.docker(&["rm", "-f", "before", "later"]).ok();

    bed.docker(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]).ok();
    bed.docker(&["create", "--name", "made", "busybox", "true"]).ok();
    mount(&bed, &["--bind", data, data]);
    mount(&bed, &["-o", "remount,ro,bind", data]);
    let image = archives::image("other:1", &[archives::layer("two")]);
    for (target, body) in [
        ("/images/load", &image[..]),
        ("/containers/create?name=new", br#"{"Image":"busybox","Cmd":["true"]}"#),
        ("/containers/made/start", b""),
        ("/volumes/create", br#"{"Name":"new"}"#),
        ("/commit?container=runs&repo=other", b"{}"),
    ] {
        let said = must(&bed, "POST", target, body);
        assert!(
            !said.is_done() && said.text().to_lowercase().contains("read-only file system"),
            "{target}: {}",
            said.text()
        );
    }
    assert_eq!(bed.docker(&["exec", "runs", "echo", "alive"]).ok(), "alive");
    bed.docker(&["kill", "runs"]).ok();
    umount(&bed, data);
    assert_eq!(bed.docker(&["run", "--rm", "busybox", "echo", "fine"]).ok(), "fine");
    bed.docker(&["start", "made", "runs"]).ok();
    bed.docker(&["rm", "-f", "made", "runs"]).ok();
    // The exec-root's own mount goes with the namespace; the daemon is at its end.
    bed.stop();
    umount(&bed, run);
}

#[test]
fn privileged_a_data_root_that_vanishes_or_is_damaged_is_told() {
    let mut bed = Bed::new();
    bed.docker(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]).ok();
    let (data, away) = (bed.path("data"), bed.path("away"));
    std::fs::rename(&data, &away).expect("move the data root");
    for target in ["/images/load", "/images/create?fromSrc=-&repo=other"] {
        let said = must(&bed, "POST", target, &archives::image("other:1", &[archives::layer("one")]));
        assert!(said.text().contains("No such file or directory"), "{target}: {}", said.text());
    }
    // Layers that are held open can still be used; then it runs, or it says why not.
    let said = bed.docker(&["run", "--rm", "busybox", "true"]);
    assert!(said.code == 0 || !said.err.trim().is_empty(), "{said:?}");
    assert_eq!(bed.docker(&["exec", "runs", "echo", "alive"]).ok(), "alive");
    bed.docker(&["info"]).ok();
    let _made = std::fs::remove_dir_all(&data);
    std::fs::rename(&away, &data).expect("move the data root back");
    assert_eq!(bed.docker(&["run", "--rm", "busybox", "echo", "fine"]).ok(), "fine");

    bed.stop();
    let database = bed.path("data/wharf.db");
    let whole = std::fs::read(&database).expect("read the database");
    for (damaged, what) in [(vec![b'x'; whole.len()], "garbage"), (whole[..whole.len() / 2].to_vec(), "half")]
    {
        std::fs::write(&database, damaged).expect("damage the database");
        let said = bed.daemon_fails();
        assert!(said.contains("database") && !said.contains("panicked"), "{what}: {said}");
    }
    std::fs::write(&database, whole).expect("mend the database");
    bed.start();
    assert_eq!(bed.docker(&["exec", "runs", "echo", "alive"]).ok(), "alive");
}
