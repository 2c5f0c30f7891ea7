//! What becomes of images, volumes, networks and containers when the daemon is killed at any system call (`sweep.rs`).

use crate::archives;
use crate::bed::Bed;
use crate::liar::Liar;
use crate::raw::{must, send};
use crate::sweep::{Operation, sweep};

/// A bed on which everything that appears with first use is there already.
fn settled() -> Bed {
    let mut bed = Bed::new();
    bed.docker(&["network", "create", "warm"]).ok();
    bed.docker(&["run", "--rm", "--network", "warm", "-p", "18080:80", "busybox", "true"]).ok();
    bed.docker(&["run", "--rm", "-p", "18080:80", "busybox", "true"]).ok();
    bed.docker(&["network", "rm", "warm"]).ok();
    bed.stop();
    bed.start();
    bed
}

fn done(bed: &Bed, method: &str, target: &str, body: &[u8]) -> bool {
    send(bed, method, target, body).is_some_and(|heard| heard.is_done())
}

fn exists(bed: &Bed, target: &str) -> bool {
    let heard = must(bed, "GET", target, b"");
    assert!(matches!(heard.status, 200 | 404), "{target}: {} {}", heard.status, heard.text());
    heard.status == 200
}

/// Removes, if it is there.
fn gone(bed: &Bed, target: &str) {
    let heard = must(bed, "DELETE", target, b"");
    assert!(matches!(heard.status, 200 | 204 | 404), "{target}: {} {}", heard.status, heard.text());
}

fn nothing(_: &Bed) {}

/// An image is there wholly or not at all; if not, it can be had.
fn check_image(bed: &Bed, name: &str, acknowledged: bool, again: &dyn Fn(&Bed) -> bool) {
    let target = format!("/images/{name}/json");
    assert!(exists(bed, &target) || !acknowledged, "{name} was acknowledged and is lost");
    assert!(again(bed), "{name} cannot be had after a kill: {}", bed.log());
    assert!(exists(bed, &target));
    // Its layers are there: a container's tree can be read.
    let body = format!(r#"{{"Image":"{name}","Cmd":["x"]}}"#);
    let made = must(bed, "POST", "/containers/create?name=reader", body.as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    let tree = must(bed, "GET", "/containers/reader/export", b"");
    assert!(tree.status == 200 && tree.body.len() > 1024, "{}", tree.text());
    gone(bed, "/containers/reader?force=1");
}

fn remove_images(bed: &Bed, names: &[&str]) {
    for name in names {
        gone(bed, &format!("/images/{name}?force=1"));
    }
    // What a broken pull left for the next one.
    must(bed, "POST", "/images/prune", b"");
}

#[test]
fn privileged_images_survive_kills_at_any_system_call() {
    let mut bed = settled();
    let layers = [archives::layer("one"), archives::layer("two")];
    let archive = archives::image("killed:1", &layers);
    let load = |bed: &Bed| done(bed, "POST", "/images/load", &archive);
    let operation = Operation {
        name: "load",
        prepare: &nothing,
        act: &load,
        check: &|bed, acknowledged| check_image(bed, "killed:1", acknowledged, &load),
        remove: &|bed| remove_images(bed, &["killed:1"]),
    };
    sweep(&mut bed, &operation);
    let import = |bed: &Bed| done(bed, "POST", "/images/create?fromSrc=-&repo=killed&tag=2", &layers[0]);
    let operation = Operation {
        name: "import",
        act: &import,
        check: &|bed, acknowledged| {
            check_image(bed, "killed:2", acknowledged, &import);
        },
        // Each import is another image: it has another time.
        remove: &|bed| remove_images(bed, &["killed:2"]),
        ..operation
    };
    sweep(&mut bed, &operation);
    let registry = Liar::new(&bed);
    registry.image("killed", "3", &[archives::layer("three"), archives::layer("four")]);
    let name = registry.name("killed:3");
    let pull = |bed: &Bed| done(bed, "POST", &format!("/images/create?fromImage={name}"), b"");
    let operation = Operation {
        name: "pull",
        act: &pull,
        check: &|bed, acknowledged| check_image(bed, &name, acknowledged, &pull),
        remove: &|bed| remove_images(bed, &[&name]),
        ..operation
    };
    sweep(&mut bed, &operation);
}

#[test]
fn privileged_commits_and_pushes_survive_kills_at_any_system_call() {
    let mut bed = settled();
    bed.docker(&[
        "run",
        "-d",
        "--name",
        "changed",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "date > /x; sleep 1000",
    ])
    .ok();
    bed.until(&["diff", "changed"], "A /x");
    let commit = |bed: &Bed| done(bed, "POST", "/commit?container=changed&repo=killed&tag=1", b"{}");
    let operation = Operation {
        name: "commit",
        prepare: &nothing,
        act: &commit,
        check: &|bed, acknowledged| {
            check_image(bed, "killed:1", acknowledged, &commit);
            // Its processes were frozen meanwhile.
            assert_eq!(bed.docker(&["exec", "changed", "echo", "alive"]).ok(), "alive");
        },
        remove: &|bed| remove_images(bed, &["killed:1"]),
    };
    sweep(&mut bed, &operation);
    let registry = Liar::new(&bed);
    let name = registry.name("pushed");
    bed.docker(&["tag", "busybox", &format!("{name}:1")]).ok();
    let push = |bed: &Bed| done(bed, "POST", &format!("/images/{name}/push?tag=1"), b"");
    let save = |bed: &Bed| done(bed, "GET", "/images/busybox/get", b"");
    // The first push makes a manifest and compresses the layer; both are the image's from then on.
    assert!(push(&bed));
    registry.forget();
    sweep(
        &mut bed,
        &Operation {
            name: "push",
            act: &push,
            check: &|bed, _| assert!(push(bed), "a push cannot be repeated"),
            remove: &nothing,
            ..operation
        },
    );
    sweep(
        &mut bed,
        &Operation {
            name: "tag and untag",
            act: &|bed| {
                done(bed, "POST", "/images/busybox/tag?repo=killed&tag=4", b"")
                    && done(bed, "DELETE", "/images/killed:4", b"")
            },
            check: &|bed, _| assert!(save(bed), "an image cannot be saved"),
            remove: &|bed| gone(bed, "/images/killed:4"),
            ..operation
        },
    );
}

#[test]
fn privileged_volumes_and_networks_survive_kills_at_any_system_call() {
    let mut bed = settled();
    for (name, create, target, body) in [
        ("volume", "/volumes/create", "/volumes/killed", r#"{"Name":"killed"}"#),
        ("network", "/networks/create", "/networks/killed", r#"{"Name":"killed"}"#),
    ] {
        let make = |bed: &Bed| done(bed, "POST", create, body.as_bytes());
        let operation = Operation {
            name: &format!("{name} create"),
            prepare: &nothing,
            act: &make,
            check: &|bed, acknowledged| {
                assert!(exists(bed, target) || !acknowledged, "{name} was acknowledged and is lost");
                assert!(exists(bed, target) || make(bed), "{name} cannot be made again");
            },
            remove: &|bed| gone(bed, target),
        };
        sweep(&mut bed, &operation);
        sweep(
            &mut bed,
            &Operation {
                name: &format!("{name} rm"),
                prepare: &|bed| assert!(exists(bed, target) || make(bed)),
                act: &|bed| done(bed, "DELETE", target, b""),
                check: &|bed, acknowledged| {
                    assert!(!exists(bed, target) || !acknowledged, "{name} was removed and is there");
                },
                remove: &|bed| gone(bed, target),
            },
        );
    }
}

const SLEEPER: &str = r#"{"Image":"busybox","Cmd":["sleep","1000"],"Volumes":{"/anonymous":{}},
    "HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"18080"}]}},"ExposedPorts":{"80/tcp":{}}}"#;

fn create(bed: &Bed) -> bool {
    done(bed, "POST", "/containers/create?name=killed", SLEEPER.as_bytes())
}

fn start(bed: &Bed) -> bool {
    done(bed, "POST", "/containers/killed/start", b"")
}

fn state(bed: &Bed) -> String {
    bed.docker(&["inspect", "-f", "{{.State.Status}}", "killed"]).ok()
}

/// A container that says that it runs works: its processes, and its network.
fn check_running(bed: &Bed) {
    assert_eq!(bed.docker(&["exec", "killed", "echo", "alive"]).ok(), "alive");
    let networks = "{{with .NetworkSettings.Networks.bridge}}{{.IPAddress}} {{.Gateway}}{{end}}";
    let addresses = bed.docker(&["inspect", "-f", networks, "killed"]).ok();
    let (own, gateway) = addresses.split_once(' ').unwrap_or_else(|| panic!("no addresses: {addresses:?}"));
    let shown = bed.docker(&["exec", "killed", "ip", "-o", "addr", "show", "eth0"]).ok();
    assert!(shown.contains(&format!(" {own}/")), "{own} is not in {shown}");
    bed.docker(&["exec", "killed", "ping", "-c", "1", "-W", "20", gateway]).ok();
}

fn remove_container(bed: &Bed) {
    gone(bed, "/containers/killed?force=1&v=1");
}

#[test]
fn privileged_containers_survive_kills_at_any_system_call() {
    let mut bed = settled();
    let run = |bed: &Bed| assert!(create(bed) && start(bed), "{}", bed.log());
    let operation = Operation {
        name: "create",
        prepare: &nothing,
        act: &create,
        check: &|bed, acknowledged| {
            assert!(
                exists(bed, "/containers/killed/json") || !acknowledged,
                "it was acknowledged and is lost"
            );
            assert!(exists(bed, "/containers/killed/json") || create(bed), "it cannot be made again");
            assert_eq!(state(bed), "created");
        },
        remove: &remove_container,
    };
    sweep(&mut bed, &operation);
    let start_again = Operation {
        name: "start",
        prepare: &|bed| assert!(create(bed)),
        act: &start,
        check: &|bed, acknowledged| {
            let now = state(bed);
            assert!(now == "running" || !acknowledged && now == "created", "{now}");
            assert!(now == "running" || start(bed), "it cannot be started again");
            check_running(bed);
        },
        remove: &remove_container,
    };
    sweep(&mut bed, &start_again);
    for (name, target, over) in [
        ("stop", "/containers/killed/stop?t=0", "exited"),
        ("kill", "/containers/killed/kill", "exited"),
        ("pause", "/containers/killed/pause", "paused"),
        ("restart", "/containers/killed/restart?t=0", "running"),
    ] {
        sweep(
            &mut bed,
            &Operation {
                name,
                prepare: &run,
                act: &|bed| done(bed, "POST", target, b""),
                check: &|bed, acknowledged| {
                    if acknowledged {
                        bed.until(&["inspect", "-f", "{{.State.Status}}", "killed"], over);
                    }
                    match state(bed).as_str() {
                        // The signal may have been sent; its end has not been seen yet.
                        "running" if name != "pause" && !acknowledged => {}
                        "running" => check_running(bed),
                        "paused" => drop(bed.docker(&["unpause", "killed"]).ok()),
                        "exited" => assert!(start(bed), "it cannot be started again"),
                        other => panic!("{name}: {other}"),
                    }
                },
                remove: &remove_container,
            },
        );
    }
    sweep(
        &mut bed,
        &Operation {
            name: "remove",
            prepare: &run,
            act: &|bed| done(bed, "DELETE", "/containers/killed?force=1&v=1", b""),
            check: &|bed, acknowledged| {
                assert!(
                    !exists(bed, "/containers/killed/json") || !acknowledged,
                    "it was removed and is there"
                );
            },
            remove: &|bed| {
                remove_container(bed);
                // Not acknowledged, so the wish to remove its volume may be unknown.
                bed.docker(&["volume", "prune", "-f"]).ok();
            },
        },
    );
}

#[test]
fn privileged_work_in_containers_survives_kills_at_any_system_call() {
    let mut bed = settled();
    bed.docker(&["network", "create", "other"]).ok();
    assert!(create(&bed) && start(&bed));
    let check = |bed: &Bed, _: bool| check_running(bed);
    let connected = |bed: &Bed| {
        let names = bed.docker(&[
            "inspect",
            "-f",
            "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}",
            "killed",
        ]);
        names.ok().contains("other")
    };
    let connect = |bed: &Bed| done(bed, "POST", "/networks/other/connect", br#"{"Container":"killed"}"#);
    let disconnect =
        |bed: &Bed| done(bed, "POST", "/networks/other/disconnect", br#"{"Container":"killed"}"#);
    let leave = |bed: &Bed| assert!(!connected(bed) || disconnect(bed), "it cannot leave a network");
    let operation = Operation {
        name: "connect",
        prepare: &nothing,
        act: &connect,
        check: &|bed, acknowledged| {
            assert!(connected(bed) || !acknowledged, "acknowledged and lost");
            assert!(connected(bed) || connect(bed), "it cannot be connected again: {}", bed.log());
            check_running(bed);
            bed.docker(&["exec", "killed", "ip", "addr", "show", "eth1"]).ok();
        },
        remove: &leave,
    };
    sweep(&mut bed, &operation);
    sweep(
        &mut bed,
        &Operation {
            name: "disconnect",
            prepare: &|bed| assert!(connect(bed)),
            act: &disconnect,
            check: &|bed, acknowledged| {
                assert!(!connected(bed) || !acknowledged);
                leave(bed);
                bed.docker(&["exec", "killed", "ip", "addr", "show", "eth1"]).fails(1);
                check_running(bed);
            },
            remove: &nothing,
        },
    );
    let exec = |bed: &Bed| {
        let made = send(bed, "POST", "/containers/killed/exec", br#"{"Cmd":["true"]}"#);
        let id = made.and_then(|made| serde_json::from_slice::<serde_json::Value>(&made.body).ok());
        let id = id.and_then(|made| Some(made["Id"].as_str()?.to_owned()));
        id.is_some_and(|id| done(bed, "POST", &format!("/exec/{id}/start"), br#"{"Detach":true}"#))
    };
    sweep(
        &mut bed,
        &Operation { name: "exec", prepare: &nothing, act: &exec, check: &check, remove: &nothing },
    );
    let files = archives::Tar::default().file("copied", b"text").done();
    sweep(
        &mut bed,
        &Operation {
            name: "cp",
            prepare: &nothing,
            act: &|bed| done(bed, "PUT", "/containers/killed/archive?path=/tmp", &files),
            check: &|bed, acknowledged| {
                let found = bed.docker(&["exec", "killed", "cat", "/tmp/copied"]);
                assert!(!acknowledged || found.out == "text", "{found:?}");
                check_running(bed);
            },
            remove: &nothing,
        },
    );
    sweep(
        &mut bed,
        &Operation {
            name: "rename",
            prepare: &nothing,
            act: &|bed| done(bed, "POST", "/containers/killed/rename?name=renamed", b""),
            check: &|bed, acknowledged| {
                let renamed = exists(bed, "/containers/renamed/json");
                assert_ne!(renamed, exists(bed, "/containers/killed/json"), "it has one name");
                assert!(renamed || !acknowledged);
                assert!(!renamed || done(bed, "POST", "/containers/renamed/rename?name=killed", b""));
                check_running(bed);
            },
            remove: &nothing,
        },
    );
}
