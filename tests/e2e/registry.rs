//! Debian's own registry serves a Debian root file system; containers of it work.

use std::time::{Duration, Instant};

use crate::bed::{Bed, PATIENCE, repository};

#[test]
fn privileged_an_image_pulled_from_a_real_registry_runs() {
    let rootfs = repository().join("target/debian/rootfs");
    assert!(rootfs.exists(), "{} is missing: scripts/test.sh makes it", rootfs.display());
    let bed = Bed::empty(&[]);
    let configuration = bed.path("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:5000}}\n",
        bed.path("registry").display()
    );
    std::fs::write(&configuration, text).expect("write the registry's configuration");
    let configuration = configuration.to_str().expect("temporary paths are text").to_owned();
    let _registry = bed.beside("docker-registry", &["serve", &configuration]);
    let push = repository().join("tests/fixtures/push_image.py");
    let words = [push.to_str(), rootfs.to_str()].map(|path| path.expect("paths here are text").to_owned());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pushed =
            bed.in_namespace("python3", &[&words[0], &words[1], "127.0.0.1:5000/debian:1", "--layers", "4"]);
        if pushed.code == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the registry does not take the image: {pushed:?}");
        std::thread::sleep(Duration::from_millis(100));
    }

    let image = "127.0.0.1:5000/debian:1";
    let pulled = bed.docker(&["pull", image]).ok();
    assert!(pulled.contains(&format!("Status: Downloaded newer image for {image}")), "{pulled}");
    assert!(bed.docker(&["pull", image]).ok().contains("Image is up to date"));
    assert!(bed.docker(&["run", "--rm", image, "apt-get", "--version"]).ok().starts_with("apt "));
    let pipeline = "cat /etc/passwd | cut -d: -f1 | sort | head -n 2 | tr '\\n' ' '";
    assert_eq!(bed.docker(&["run", "--rm", image, "sh", "-c", pipeline]).ok(), "_apt backup");
    let who = bed.docker(&["run", "--rm", "-u", "games:mail", image, "id"]).ok();
    assert!(who.starts_with("uid=5(games) gid=8(mail)"), "{who}");
    let missing = bed.docker(&["pull", "127.0.0.1:5000/debian:nosuch"]).fails(1);
    assert!(missing.contains("manifest for 127.0.0.1:5000/debian:nosuch not found"), "{missing}");
}
