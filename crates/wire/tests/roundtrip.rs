//! What Docker 28.5.2 sent, read into our bodies and written again, is the same text: no field lost, moved,
//! renamed, nulled or omitted. The recordings are those of `parity/api` in the shared folder, or in `WHARF_PARITY`.

use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};

fn recordings() -> Option<PathBuf> {
    let given = std::env::var_os("WHARF_PARITY").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity/api");
    let found = given.or(Some(beside)).filter(|dir| dir.join("1.51").is_dir());
    if found.is_none() {
        eprintln!("skipped: no recordings; set WHARF_PARITY to the folder parity/api");
    }
    found
}

fn check<T: Serialize + DeserializeOwned>(names: &[&str]) {
    let Some(root) = recordings() else { return };
    for name in names {
        let text = std::fs::read_to_string(root.join(format!("1.51/{name}.http"))).expect("read a recording");
        let body = text.lines().nth(3).expect("a body").replace("<number>", "7");
        let read: T = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{name}: {e}: {body}"));
        assert_eq!(serde_json::to_string(&read).expect("JSON"), body, "{name}");
    }
}

#[test]
fn containers_come_out_as_docker_sent_them() {
    check::<wire::ContainerInspect>(&[
        "container-inspect-created",
        "container-inspect-exited",
        "container-inspect-running",
        "container-inspect-size",
    ]);
    check::<Vec<wire::ContainerSummary>>(&["containers-all", "containers-size", "containers-none"]);
    check::<wire::container::ContainerCreated>(&["create-ok"]);
    check::<wire::container::WaitResponse>(&["container-wait-exited"]);
    check::<wire::container::Top>(&["container-top"]);
    check::<wire::container::ContainerUpdated>(&["container-update"]);
    check::<wire::ExecInspect>(&["exec-inspect"]);
    check::<wire::StatsResponse>(&["container-stats-once", "container-stats-stopped"]);
}

#[test]
fn images_come_out_as_docker_sent_them() {
    check::<wire::ImageInspect>(&["image-inspect"]);
    check::<Vec<wire::ImageSummary>>(&["images", "images-shared-size"]);
    check::<Vec<wire::image::HistoryItem>>(&["image-history"]);
    check::<wire::image::BuildCachePruned>(&["build-cache-prune"]);
}

#[test]
fn networks_and_volumes_come_out_as_docker_sent_them() {
    check::<wire::NetworkResource>(&["network-inspect", "network-inspect-verbose"]);
    check::<Vec<wire::NetworkResource>>(&["networks", "networks-predefined"]);
    check::<wire::Volume>(&["volume-inspect"]);
    check::<wire::volume::VolumeList>(&["volumes"]);
}

#[test]
fn system_answers_come_out_as_docker_sent_them() {
    check::<wire::Version>(&["version"]);
    check::<wire::Info>(&["info"]);
    check::<wire::system::DiskUsage>(&["system-df"]);
    check::<wire::ErrorBody>(&["container-not-found", "not-a-route", "create-bad-json"]);
}
