//! The daemon as a client of registries: through a proxy, for one platform, with a token in place of a password.

use crate::bed::{Bed, wharf_binary};
use crate::registry_server::ours;

/// A name that nobody resolves: only a proxy can lead there.
const FAR: &str = "registry.test";

#[test]
fn privileged_images_come_and_go_through_a_proxy_for_one_platform() {
    // A registry takes requests as proxies get them, and is one for itself.
    let mut bed =
        Bed::empty(&["--http-proxy", "http://me:secret@127.0.0.1:5120", "--insecure-registry", FAR]);
    bed.import_busybox();
    let _registry = ours(&bed, &bed.path("registry"), "127.0.0.1:5120", &[]);
    let info = bed.docker(&["info", "-f", "{{.HTTPProxy}} {{.HTTPSProxy}} {{.NoProxy}}"]).ok();
    assert_eq!(info, "http://xxxxx:xxxxx@127.0.0.1:5120");
    let name = format!("{FAR}/team/box:1");
    bed.docker(&["tag", "busybox", &name]).ok();

    let here = bed.docker(&["version", "-f", "{{.Server.Os}}/{{.Server.Arch}}"]).ok();
    let other = if here == "linux/arm64" { "linux/amd64" } else { "linux/arm64" };
    let refused = format!(
        "Error response from daemon: image with reference {name} was found but its platform ({here}) does not match the specified platform ({other})"
    );
    assert!(bed.docker(&["push", "--platform", other, &name]).fails(1).ends_with(&refused));
    let archive = bed.path("box.tar").display().to_string();
    assert_eq!(
        bed.docker(&["save", "--platform", other, "-o", &archive, &name]).fails(1),
        format!("Error response from daemon: no suitable export target found for platform {other}")
    );
    bed.docker(&["push", "--platform", &here, &name]).ok();
    bed.docker(&["save", "--platform", &here, "-o", &archive, &name]).ok();

    bed.docker(&["rmi", &name]).ok();
    bed.docker(&["pull", &name]).ok();
    bed.docker(&["rmi", &name]).ok();
    // An image for others is passed over, which is no error.
    assert_eq!(bed.docker(&["load", "--platform", other, "-i", &archive]).ok(), "");
    assert_eq!(bed.docker(&["image", "ls", "-q", &name]).ok(), "");
    assert_eq!(
        bed.docker(&["load", "--platform", &here, "-i", &archive]).ok(),
        format!("Loaded image: {name}")
    );
    // Without the proxy there is no way.
    bed.stop();
    bed.add_arguments(&["--no-proxy", "other.test,.test"]);
    bed.start();
    let lost = bed.docker(&["pull", &name]).fails(1);
    assert!(lost.contains("http://registry.test/v2/"), "{lost}");
}

#[test]
fn privileged_a_login_keeps_a_token_instead_of_the_password() {
    let bed = Bed::new();
    let root = bed.path("registry");
    let (binary, folder) = (wharf_binary(), root.display().to_string());
    let add = |password: &str| {
        let script = format!(
            "echo {password} | '{}' registry user add alice --password-stdin --grant 'team/**:pull,push' --root '{folder}'",
            binary.display()
        );
        bed.in_namespace("sh", &["-c", &script]).ok()
    };
    add("secret");
    let _registry = ours(&bed, &root, "127.0.0.1:5121", &[]);
    bed.docker(&["login", "-u", "alice", "-p", "secret", "127.0.0.1:5121"]).ok();
    let config = std::fs::read_to_string(bed.path("config/config.json")).expect("docker keeps a file");
    let kept: serde_json::Value = serde_json::from_str(&config).expect("it is JSON");
    let entry = &kept["auths"]["127.0.0.1:5121"];
    assert!(entry["identitytoken"].as_str().is_some_and(|token| !token.is_empty()), "{config}");
    let name = "127.0.0.1:5121/team/box:1";
    bed.docker(&["tag", "busybox", name]).ok();
    for client in [Bed::docker, Bed::wharf] {
        client(&bed, &["push", name]).ok();
        client(&bed, &["pull", name]).ok();
    }
    // These ask the registry themselves.
    let config = format!("DOCKER_CONFIG={}", bed.path("config").display());
    let ours = binary.to_str().expect("it is text");
    for client in ["docker", ours] {
        bed.in_namespace("env", &[&config, client, "manifest", "inspect", "--insecure", name]).ok();
    }
}
