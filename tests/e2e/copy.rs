//! Files in and out of containers, exports, commits.

use std::fs;

use crate::bed::Bed;

#[test]
fn privileged_files_are_copied_in_and_out_running_or_not() {
    let bed = Bed::new();
    let source = bed.path("source");
    fs::create_dir_all(source.join("sub")).expect("make a folder");
    fs::write(source.join("sub/file"), "content\n").expect("write a file");
    let from = source.to_str().expect("temporary paths are text").to_owned();
    for (name, running) in [("up", true), ("down", false)] {
        let verb: &[&str] = if running { &["run", "-d"] } else { &["create"] };
        let rest = ["--name", name, "-v", "shared:/volume", "busybox", "sleep", "1000"];
        bed.docker(&[verb, &rest].concat()).ok();
        bed.docker(&["cp", &from, &format!("{name}:/new")]).ok();
        bed.docker(&["cp", &format!("{from}/."), &format!("{name}:/volume")]).ok();
        let out = bed.path(&format!("out-{name}"));
        let out = out.to_str().expect("temporary paths are text").to_owned();
        bed.docker(&["cp", &format!("{name}:/new"), &out]).ok();
        assert_eq!(fs::read_to_string(format!("{out}/sub/file")).expect("it came"), "content\n");
        let refused = bed.docker(&["cp", &format!("{name}:/nosuch"), "."]).fails(1);
        assert_eq!(
            refused,
            format!("Error response from daemon: Could not find the file /nosuch in container {name}")
        );
    }
    assert_eq!(
        bed.docker(&["exec", "up", "cat", "/volume/sub/file", "/new/sub/file"]).ok(),
        "content\ncontent"
    );
    bed.docker(&["start", "down"]).ok();
    assert_eq!(bed.docker(&["exec", "down", "cat", "/new/sub/file"]).ok(), "content");
}

#[test]
fn privileged_links_in_a_container_never_lead_to_the_host() {
    let bed = Bed::new();
    let secret = bed.path("secret");
    fs::write(&secret, "of the host").expect("write a file");
    let secret = secret.to_str().expect("temporary paths are text").to_owned();
    let folder = secret.rsplit_once('/').map(|(folder, _)| folder.to_owned()).expect("it is absolute");
    let script = format!(
        "ln -s {secret} /file; ln -s {folder} /dir; ln -s ../../../../../../{folder} /up; sleep 1000"
    );
    bed.docker(&["run", "-d", "--name", "evil", "busybox", "sh", "-c", &script]).ok();
    bed.until(&["exec", "evil", "sh", "-c", "test -L /up && echo there"], "there");
    bed.docker(&["cp", "-L", "evil:/file", &format!("{secret}.copy")]).fails(1);
    for link in ["dir", "up"] {
        bed.docker(&["cp", "-L", &format!("evil:/{link}/secret"), &format!("{secret}.copy")]).fails(1);
        bed.docker(&["cp", &secret, &format!("evil:/{link}/written")]).fails(1);
    }
    assert!(!std::path::Path::new(&format!("{folder}/written")).exists(), "it wrote to the host");
    assert!(!std::path::Path::new(&format!("{secret}.copy")).exists(), "it read from the host");
}

#[test]
fn privileged_what_is_read_only_stays_so() {
    let bed = Bed::new();
    let file = bed.path("file");
    fs::write(&file, "x").expect("write a file");
    let file = file.to_str().expect("temporary paths are text").to_owned();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "ro",
        "--read-only",
        "-v",
        "data:/data:ro",
        "busybox",
        "sleep",
        "1000",
    ])
    .ok();
    let refused = bed.docker(&["cp", &file, "ro:/x"]).fails(1);
    assert!(refused.contains("container rootfs is marked read-only"), "{refused}");
    let refused = bed.docker(&["cp", &file, "ro:/data/x"]).fails(1);
    assert!(refused.contains("mounted volume is marked read-only"), "{refused}");
}

#[test]
fn privileged_a_commit_is_an_image_and_nothing_changed_is_no_layer() {
    let bed = Bed::new();
    bed.docker(&["run", "--name", "box", "busybox", "sh", "-c", "echo data > /file; rm /etc/group"]).ok();
    let id = bed
        .docker(&["commit", "-a", "me", "-m", "why", "-c", "ENV X=1", "-c", "CMD cat /file", "box", "made:1"])
        .ok();
    assert_eq!(
        bed.docker(&["image", "inspect", "-f", "{{.Id}} {{.Author}} {{.Comment}}", "made:1"]).ok(),
        format!("{id} me why")
    );
    assert_eq!(bed.docker(&["run", "--rm", "made:1"]).ok(), "data");
    bed.docker(&["run", "--rm", "made:1", "test", "-e", "/etc/group"]).fails(1);
    let history =
        bed.docker(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1"]).ok();
    assert!(history.starts_with("sh -c echo data > /file; rm /etc/group|why\n"), "{history}");
    bed.docker(&["create", "--name", "same", "made:1"]).ok();
    bed.docker(&["commit", "same", "made:2"]).ok();
    let layers = |name: &str| bed.docker(&["image", "inspect", "-f", "{{.RootFS.Layers}}", name]).ok();
    assert_eq!(layers("made:1"), layers("made:2"));
    // A running container is frozen meanwhile, and goes on.
    bed.docker(&["run", "-d", "--name", "up", "busybox", "sleep", "1000"]).ok();
    bed.docker(&["commit", "up", "made:3"]).ok();
    assert_eq!(bed.docker(&["inspect", "-f", "{{.State.Status}}", "up"]).ok(), "running");
}

#[test]
fn privileged_an_export_is_the_whole_tree_and_comes_back_by_import() {
    let bed = Bed::new();
    bed.docker(&["run", "--name", "box", "busybox", "sh", "-c", "echo data > /file; rm /etc/group"]).ok();
    let tar = bed.path("export.tar");
    let tar = tar.to_str().expect("temporary paths are text");
    bed.docker(&["export", "-o", tar, "box"]).ok();
    bed.docker(&["import", tar, "back:1"]).ok();
    assert_eq!(bed.docker(&["run", "--rm", "back:1", "cat", "/file"]).ok(), "data");
    bed.docker(&["run", "--rm", "back:1", "test", "-e", "/etc/group"]).fails(1);
}
