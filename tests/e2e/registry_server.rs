//! `wharf registry serve` with clients that we did not write, and with distribution's own folder.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bed::{Bed, Beside, PATIENCE, wharf_binary};

/// Waits until somebody listens on a port in the bed's network namespace.
fn wait_for(bed: &Bed, port: u16) {
    let deadline = Instant::now() + PATIENCE;
    let connect = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
    while bed.in_namespace("python3", &["-c", &connect]).code != 0 {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}

/// Our registry on a folder, beside the daemon.
pub(crate) fn ours(bed: &Bed, root: &Path, listen: &str, more: &[&str]) -> Beside {
    let (binary, root) = (text(&wharf_binary()), text(root));
    let words = [&["registry", "serve", "--root", &root, "--listen", listen], more].concat();
    let running = bed.beside(&binary, &words);
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("it has a port");
    wait_for(bed, port);
    running
}

/// distribution's registry on a folder.
fn theirs(bed: &Bed, root: &Path, port: u16) -> Beside {
    let configuration = bed.path(&format!("distribution-{port}.yml"));
    let root = text(root);
    let words = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    );
    std::fs::write(&configuration, words).expect("write the configuration");
    let running = bed.beside("docker-registry", &["serve", &text(&configuration)]);
    wait_for(bed, port);
    running
}

fn digest_line(said: &str) -> &str {
    said.lines().find_map(|line| line.split_once("digest: ").map(|(_, rest)| rest)).expect("a digest is told")
}

#[test]
fn privileged_docker_pushes_to_our_registry_and_pulls_from_it() {
    let bed = Bed::new();
    let root = bed.path("our-registry");
    let running = ours(&bed, &root, "127.0.0.1:5100", &[]);
    let id = bed.docker(&["image", "inspect", "-f", "{{.Id}}", "busybox"]).ok();
    bed.docker(&["tag", "busybox", "127.0.0.1:5100/team/box:1"]).ok();
    let pushed = bed.docker(&["push", "127.0.0.1:5100/team/box:1"]).ok();
    assert!(pushed.contains(": Pushed\n"), "{pushed}");
    let again = bed.docker(&["push", "127.0.0.1:5100/team/box:1"]).ok();
    assert!(again.contains(": Layer already exists\n"), "{again}");
    assert_eq!(digest_line(&pushed), digest_line(&again));
    // Killed and started again, it has what it acknowledged.
    drop(running);
    let _running = ours(&bed, &root, "127.0.0.1:5100", &[]);
    bed.docker(&["rmi", "127.0.0.1:5100/team/box:1", "busybox"]).ok();
    bed.docker(&["pull", "127.0.0.1:5100/team/box:1"]).ok();
    assert_eq!(bed.docker(&["image", "inspect", "-f", "{{.Id}}", "127.0.0.1:5100/team/box:1"]).ok(), id);
    assert_eq!(bed.docker(&["run", "--rm", "127.0.0.1:5100/team/box:1", "echo", "here"]).ok(), "here");
}

#[test]
fn privileged_users_log_in_to_our_registry() {
    let bed = Bed::new();
    let root = bed.path("our-registry");
    let admin = |words: &str, input: &str| {
        let (binary, root) = (text(&wharf_binary()), text(&root));
        let script = format!("printf '%s' '{input}' | '{binary}' registry {words} --root '{root}'");
        bed.in_namespace("sh", &["-c", &script]).ok()
    };
    admin("user add alice --password-stdin --grant team/**:pull,push", "secret");
    admin("user grant anonymous public/**:pull", "");
    let robot = admin("token create ci --grant team/box:pull --expires 1h", "");
    let _running = ours(&bed, &root, "127.0.0.1:5101", &[]);
    let name = "127.0.0.1:5101/team/box:1";
    bed.docker(&["tag", "busybox", name]).ok();
    bed.docker(&["push", name]).fails(1);
    bed.docker(&["login", "-u", "alice", "-p", "wrong", "127.0.0.1:5101"]).fails(1);
    let login = |user: &str, password: &str| {
        bed.docker(&["login", "-u", user, "-p", password, "127.0.0.1:5101"]).ok()
    };
    assert!(login("alice", "secret").contains("Login Succeeded"));
    bed.docker(&["push", name]).ok();
    bed.docker(&["tag", "busybox", "127.0.0.1:5101/other/box:1"]).ok();
    bed.docker(&["push", "127.0.0.1:5101/other/box:1"]).fails(1);
    login("robot", &robot);
    bed.docker(&["pull", name]).ok();
    bed.docker(&["tag", "busybox", "127.0.0.1:5101/team/box:2"]).ok();
    bed.docker(&["push", "127.0.0.1:5101/team/box:2"]).fails(1);
    bed.docker(&["logout", "127.0.0.1:5101"]).ok();
    bed.docker(&["pull", name]).fails(1);
}

#[test]
fn privileged_a_folder_moves_from_distribution_to_us_and_back() {
    let bed = Bed::new();
    let root = bed.path("moving");
    let name = |port: u16, tag: &str| format!("127.0.0.1:{port}/team/box:{tag}");
    let push = |port: u16, tag: &str| {
        bed.docker(&["tag", "busybox", &name(port, tag)]).ok();
        let said = bed.docker(&["push", &name(port, tag)]).ok();
        digest_line(&said).split(' ').next().expect("it has words").to_owned()
    };
    let old = theirs(&bed, &root, 5102);
    let digest = push(5102, "old");
    drop(old);
    let new = ours(&bed, &root, "127.0.0.1:5103", &[]);
    let pulled = bed.docker(&["pull", &name(5103, "old")]).ok();
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    assert_eq!(push(5103, "new"), digest);
    drop(new);
    let _back = theirs(&bed, &root, 5102);
    for tag in ["old", "new"] {
        let pulled = bed.docker(&["pull", &name(5102, tag)]).ok();
        assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    }
}
