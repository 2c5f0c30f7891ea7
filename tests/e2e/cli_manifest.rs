//! `manifest`: both clients make, show and push the same lists, in the same words, and keep them in the same files.

use std::collections::BTreeMap;

use crate::bed::{Bed, Said};
use crate::registry_server::ours;

/// An address that is not a loopback one, so that neither client takes it for a place where plain HTTP is usual.
const OUTSIDE: &str = "10.93.0.1";

/// One client with a folder of its own, in the bed's network namespace.
fn run(bed: &Bed, program: &str, arguments: &[&str]) -> Said {
    let folder = if program == "docker" { "config-docker" } else { "config-wharf" };
    let config = format!("DOCKER_CONFIG={}", bed.path(folder).display());
    let binary = crate::bed::wharf_binary();
    let program = if program == "docker" { "docker" } else { binary.to_str().expect("it is text") };
    bed.in_namespace("env", &[&[&config, program, "manifest"], arguments].concat())
}

/// The files of a client's lists, by name.
fn files(bed: &Bed, folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for list in std::fs::read_dir(bed.path(folder).join("manifests")).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(list.path()).into_iter().flatten().flatten() {
            let name = format!("{:?}/{:?}", list.file_name(), file.file_name());
            found.insert(name, std::fs::read_to_string(file.path()).expect("read a manifest"));
        }
    }
    found
}

#[test]
fn privileged_both_clients_make_and_push_the_same_manifest_lists() {
    let bed = Bed::new();
    let _registry = ours(&bed, &bed.path("registry"), "0.0.0.0:5110", &[]);
    bed.in_namespace("ip", &["address", "add", &format!("{OUTSIDE}/32"), "dev", "lo"]).ok();
    let tar = crate::bed::rootfs_tar().to_str().expect("it is text");
    bed.docker(&["import", "--platform", "linux/arm64", "--change", "CMD [\"<&>\"]", tar, "other"]).ok();
    for (image, name) in [("busybox", "team/box:amd64"), ("other", "team/box:arm64"), ("other", "else/box:1")]
    {
        let name = format!("127.0.0.1:5110/{name}");
        bed.docker(&["tag", image, &name]).ok();
        bed.docker(&["push", &name]).ok();
    }
    let (amd64, arm64) = ("127.0.0.1:5110/team/box:amd64", "127.0.0.1:5110/team/box:arm64");
    let (list, elsewhere) = ("127.0.0.1:5110/team/box:all", "127.0.0.1:5110/else/box:1");
    let plain = format!("{OUTSIDE}:5110/team/box:amd64");
    for arguments in [
        &["--help"][..],
        &[],
        &["annotate", "--help"],
        &["create", "--help"],
        &["inspect", "--help"],
        &["push", "--help"],
        &["rm", "--help"],
        &["inspect"],
        &["create", list],
        &["nosuch"],
        &["inspect", "--insecure", amd64],
        &["inspect", "--insecure", "-v", arm64],
        &["inspect", "--insecure", "127.0.0.1:5110/team/box:nosuch"],
        &["inspect", "127.0.0.1:1/team/box"],
        &["inspect", amd64],
        &["create", list, amd64],
        &["inspect", "Wrong"],
        &["inspect", &plain],
        &["inspect", "--insecure", &plain],
        &["create", "Wrong", amd64],
        &["create", "--insecure", list, "127.0.0.1:5110/team/box:nosuch"],
        &["create", "--insecure", list, amd64, arm64],
        &["create", list, elsewhere],
        &["create", "--insecure", "-a", list, elsewhere],
        &["inspect", list],
        &["inspect", "-v", list],
        &["inspect", list, arm64],
        &["inspect", "-v", list, elsewhere],
        &["inspect", list, "nosuch"],
        &["annotate", list, "nosuch"],
        &["annotate", list, arm64, "--os", "linux", "--arch", "z80"],
        &[
            "annotate",
            list,
            arm64,
            "--arch",
            "arm",
            "--variant",
            "v7",
            "--os-features",
            "a,b",
            "--os-version",
            "9",
        ],
        &["inspect", list],
        &["push", "127.0.0.1:5110/team/nosuch"],
        &["push", list],
        &["inspect", "-v", list],
        &["push", "--purge", list],
        &["inspect", "--insecure", list],
        &["inspect", "--insecure", "-v", list],
        &["create", "--insecure", "127.0.0.1:5110/team/box:again", list],
        &["create", "--insecure", "127.0.0.1:5110/team/far", elsewhere, amd64],
        &["create", "--insecure", "nosuch.example/far", amd64],
        &["push", "nosuch.example/far"],
        &["inspect", "nosuch.example/far"],
        &["rm", "nosuch.example/far", "nosuch", "Wrong"],
    ] {
        let (docker, wharf) = (run(&bed, "docker", arguments), run(&bed, "wharf", arguments));
        assert_eq!(
            (docker.code, &docker.out, &docker.err),
            (wharf.code, &wharf.out, &wharf.err),
            "{arguments:?}"
        );
        assert_eq!(files(&bed, "config-docker"), files(&bed, "config-wharf"), "{arguments:?}");
    }
    // What was pushed is an image for whoever pulls it.
    bed.docker(&["pull", list]).ok();
}
