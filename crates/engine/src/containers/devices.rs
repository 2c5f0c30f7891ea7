//! Devices of the host that a container gets: what `--device` names, or everything for `--privileged`.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use types::config::HostConfig;
use types::spec::{Device, DeviceRule};
use types::{Error, Result};

use super::spec::limited_devices;

/// More than any host has; a bound for the walk over `/dev`.
const DEVICES_MAX: usize = 4096;

/// The devices and the rule that allows each (none when privileged: everything is allowed there).
pub(crate) fn gather(host: &HostConfig) -> Result<Vec<(Device, Option<DeviceRule>)>> {
    if let Some(request) = host.resources.device_requests.iter().flatten().next() {
        let sets: Vec<String> =
            request.capabilities.iter().flatten().map(|set| format!("[{}]", set.join(" "))).collect();
        return Err(Error::internal(format!(
            "could not select device driver {:?} with capabilities: [{}]",
            request.driver,
            sets.join(" ")
        )));
    }
    let mut all = Vec::new();
    if host.privileged {
        walk(Path::new("/dev"), "/dev", &mut |device| all.push((device, None)));
    }
    for mapping in host.resources.devices.iter().flatten() {
        let inside = if mapping.path_in_container.is_empty() {
            &mapping.path_on_host
        } else {
            &mapping.path_in_container
        };
        if host.privileged && *inside == mapping.path_on_host {
            continue;
        }
        let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
        let allowed = |device: Device| {
            let rule = DeviceRule {
                allow: true,
                kind: device.kind.clone(),
                major: Some(device.major),
                minor: Some(device.minor),
                access: access.to_owned(),
            };
            (device, (!host.privileged).then_some(rule))
        };
        let fail = |why: &str| {
            let path = &mapping.path_on_host;
            Error::internal(format!(
                "error gathering device information while adding custom device {path:?}: {why}"
            ))
        };
        let path = Path::new(&mapping.path_on_host);
        let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => fail("no such file or directory"),
            _ => fail(&error.to_string()),
        })?;
        if metadata.is_dir() {
            let before = all.len();
            walk(path, inside, &mut |device| all.push(allowed(device)));
            if all.len() == before {
                return Err(fail("not a device node"));
            }
        } else {
            all.push(allowed(device(&metadata, inside).ok_or_else(|| fail("not a device node"))?));
        }
    }
    Ok(all)
}

/// Every device below `dir`, without those a container has of its own.
fn walk(dir: &Path, inside: &str, found: &mut impl FnMut(Device)) {
    let mut waiting = vec![(dir.to_owned(), inside.to_owned())];
    let mut seen = 0;
    while let Some((dir, inside)) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > DEVICES_MAX {
                return;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let target = format!("{inside}/{name}");
            // A link is no device of its own.
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            if metadata.is_dir() {
                if !matches!(
                    name.as_str(),
                    "pts" | "shm" | "fd" | "mqueue" | ".lxc" | ".lxd-mounts" | ".udev"
                ) {
                    waiting.push((entry.path(), target));
                }
            } else if name != "console"
                && let Some(device) = device(&metadata, &target)
            {
                found(device);
            }
        }
    }
}

fn device(metadata: &std::fs::Metadata, path: &str) -> Option<Device> {
    let kind = if metadata.file_type().is_block_device() {
        "b"
    } else if metadata.file_type().is_char_device() {
        "c"
    } else {
        return None;
    };
    let (major, minor) = numbers(metadata);
    Some(Device {
        path: path.to_owned(),
        kind: kind.to_owned(),
        major,
        minor,
        file_mode: Some(metadata.mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

fn numbers(metadata: &std::fs::Metadata) -> (i64, i64) {
    let number = metadata.rdev();
    (i64::from(rustix::fs::major(number)), i64::from(rustix::fs::minor(number)))
}

/// Numbers of the block devices that limits name.
pub(crate) fn block_devices(host: &HostConfig) -> Result<BTreeMap<String, (i64, i64)>> {
    limited_devices(&host.resources)
        .into_iter()
        .map(|path| {
            let metadata = std::fs::metadata(path).map_err(|error| {
                let why = match error.kind() {
                    std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    _ => error.to_string(),
                };
                Error::internal(format!("stat {path}: {why}"))
            })?;
            Ok((path.to_owned(), numbers(&metadata)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::config::DeviceMapping;

    fn host(path: &str, inside: &str) -> HostConfig {
        let mut host = HostConfig::default();
        host.resources.devices = Some(vec![DeviceMapping {
            path_on_host: path.to_owned(),
            path_in_container: inside.to_owned(),
            cgroup_permissions: "r".to_owned(),
        }]);
        host
    }

    #[test]
    fn a_device_is_found_by_its_host_path() {
        let all = gather(&host("/dev/null", "/dev/void")).unwrap();
        let (device, rule) = &all[0];
        assert_eq!((device.path.as_str(), device.major, device.minor), ("/dev/void", 1, 3));
        assert_eq!(rule.as_ref().unwrap().access, "r");
    }

    #[test]
    fn devices_by_capability_are_refused_in_dockers_words() {
        let gpus = r#"{"DeviceRequests":[{"Driver":"","Count":-1,"Capabilities":[["gpu"]]}]}"#;
        let host: HostConfig = serde_json::from_str(gpus).unwrap();
        assert_eq!(
            gather(&host).unwrap_err().message,
            "could not select device driver \"\" with capabilities: [[gpu]]"
        );
    }

    #[test]
    fn a_missing_device_is_refused_in_dockers_words() {
        assert_eq!(
            gather(&host("/dev/nosuch", "")).unwrap_err().message,
            "error gathering device information while adding custom device \"/dev/nosuch\": no such file or directory"
        );
    }
}
