//! Images to a registry of Debian's and back, with and without a password.

use std::time::Instant;

use crate::bed::{Bed, Beside, PATIENCE};

/// `user:secret` for a registry with passwords.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// Debian's registry in the bed's network namespace, ready to answer.
fn registry(bed: &Bed, port: u16, passwords: bool) -> Beside {
    let file = |name: &str| bed.path(&format!("{name}-{port}")).display().to_string();
    let mut text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
        file("registry")
    );
    if passwords {
        std::fs::write(file("htpasswd"), HTPASSWD).expect("write the passwords");
        text += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file("htpasswd"));
    }
    std::fs::write(file("registry.yml"), text).expect("write the configuration");
    let running = bed.beside("docker-registry", &["serve", &file("registry.yml")]);
    let deadline = Instant::now() + PATIENCE;
    let connect = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
    while bed.in_namespace("python3", &["-c", &connect]).code != 0 {
        assert!(Instant::now() < deadline, "the registry does not answer");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    running
}

fn digest_line(said: &str) -> &str {
    said.lines().find_map(|line| line.split_once("digest: ").map(|(_, rest)| rest)).expect("a digest is told")
}

#[test]
fn privileged_what_is_pushed_comes_back_the_same() {
    let bed = Bed::new();
    let _registry = registry(&bed, 5000, false);
    let id = bed.docker(&["image", "inspect", "-f", "{{.Id}}", "busybox"]).ok();
    bed.docker(&["tag", "busybox", "127.0.0.1:5000/box:1"]).ok();
    let first = bed.docker(&["push", "127.0.0.1:5000/box:1"]).ok();
    assert!(first.starts_with("The push refers to repository [127.0.0.1:5000/box]\n"), "{first}");
    assert!(first.contains(": Pushed\n"), "{first}");
    let again = bed.docker(&["push", "127.0.0.1:5000/box:1"]).ok();
    assert!(again.contains(": Layer already exists\n"), "{again}");
    assert_eq!(digest_line(&first), digest_line(&again));
    bed.docker(&["tag", "busybox", "127.0.0.1:5000/a/b:1"]).ok();
    let mounted = bed.wharf(&["push", "127.0.0.1:5000/a/b:1"]).ok();
    assert!(mounted.contains(": Mounted from box\n"), "{mounted}");

    bed.docker(&["rmi", "127.0.0.1:5000/box:1", "127.0.0.1:5000/a/b:1", "busybox"]).ok();
    let pulled = bed.docker(&["pull", "127.0.0.1:5000/box:1"]).ok();
    let digest = digest_line(&first).split(' ').next().expect("it has words");
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    assert_eq!(bed.docker(&["image", "inspect", "-f", "{{.Id}}", "127.0.0.1:5000/box:1"]).ok(), id);
    let repushed = bed.docker(&["push", "127.0.0.1:5000/box:1"]).ok();
    assert_eq!(digest_line(&first), digest_line(&repushed));

    let missing = bed.docker(&["push", "127.0.0.1:5000/nosuch"]).fails(1);
    assert_eq!(missing, "An image does not exist locally with the tag: 127.0.0.1:5000/nosuch");
    let missing = bed.docker(&["push", "127.0.0.1:5000/box:nosuch"]).fails(1);
    assert_eq!(missing, "tag does not exist: 127.0.0.1:5000/box:nosuch");
}

#[test]
fn privileged_a_registry_with_passwords_wants_a_login() {
    let bed = Bed::new();
    let _registry = registry(&bed, 5001, true);
    let name = "127.0.0.1:5001/box:1";
    bed.docker(&["tag", "busybox", name]).ok();
    let refused = bed.docker(&["push", name]).fails(1);
    assert!(refused.ends_with("no basic auth credentials"), "{refused}");
    let wrong =
        bed.docker_with_input(&["login", "-u", "user", "--password-stdin", "127.0.0.1:5001"], b"wrong");
    let wrong = wrong.fails(1);
    assert!(wrong.contains("login attempt to"), "{wrong}");
    for program in ["docker", "wharf"] {
        let right = ["login", "-u", "user", "-p", "secret", "127.0.0.1:5001"];
        let run = |words: &[&str]| if program == "docker" { bed.docker(words) } else { bed.wharf(words) };
        let said = run(&right).ok();
        assert!(said.contains("Login Succeeded"), "{said}");
        let kept = std::fs::read_to_string(bed.path("config/config.json")).expect("it was kept");
        // Ours keeps passwords encrypted, elsewhere.
        assert_eq!(kept.contains("dXNlcjpzZWNyZXQ="), program == "docker", "{kept}");
        run(&["push", name]).ok();
        run(&["pull", name]).ok();
        run(&["logout", "127.0.0.1:5001"]).ok();
        run(&["pull", name]).fails(1);
    }
}
