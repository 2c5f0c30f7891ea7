//! `spec`: a first `config.json`.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use types::spec::VERSION;

use super::Outcome;
use super::args::{Args, unknown};
use crate::error::{Context, Error};

pub(super) fn spec(mut args: Args) -> Outcome {
    let (mut bundle, mut rootless) = (PathBuf::from("."), false);
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "bundle" | "b" => bundle = args.value(&flag)?.into(),
            "rootless" => rootless = args.boolean()?,
            _ => return Err(unknown(&flag)),
        }
    }
    args.end()?;
    let path = bundle.join("config.json");
    if path.exists() {
        return Err(Error::State("File config.json exists. Remove it first".into()));
    }
    let mut text = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(
        &mut text,
        serde_json::ser::PrettyFormatter::with_indent(b"\t"),
    );
    example(rootless).serialize(&mut writer).map_err(|error| Error::Failed(error.to_string()))?;
    linux::fs::write_atomic(&path, &text, 0o666, false).doing(|| format!("write {}", path.display()))?;
    Ok(0)
}

/// A shell in a root file system called `rootfs`, as runc's example.
pub(super) fn example(rootless: bool) -> Value {
    let caps = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mut spec = json!({
        "ociVersion": VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "wharf",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    if rootless {
        let id = |outside: u32| json!([{ "containerID": 0, "hostID": outside, "size": 1 }]);
        spec["linux"]["uidMappings"] = id(rustix::process::geteuid().as_raw());
        spec["linux"]["gidMappings"] = id(rustix::process::getegid().as_raw());
        spec["linux"]["resources"] = Value::Null;
        let user = json!({ "type": "user" });
        if let Some(list) = spec["linux"]["namespaces"].as_array_mut() {
            list.retain(|namespace| namespace["type"] != "network");
            list.push(user);
        }
        if let Some(list) = spec["mounts"].as_array_mut() {
            // Only one group is mapped, and a sysfs of its own needs a network namespace of its own.
            list[2]["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
            list[5] = json!({ "destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] });
            list.pop();
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::spec::RuntimeSpec;

    #[test]
    fn the_example_follows_the_specification() {
        for rootless in [false, true] {
            let spec: RuntimeSpec = serde_json::from_value(example(rootless)).unwrap();
            assert_eq!(spec.process.unwrap().args, ["sh"]);
            assert_eq!(spec.linux.unwrap().resources.is_none(), rootless);
        }
    }
}
