//! `state`, `list`, `features`: what there is.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use linux::capabilities;
use serde_json::{Value, json};
use types::spec::{
    self, Features, FeaturesCgroup, FeaturesEnabled, FeaturesIntelRdt, FeaturesLinux, FeaturesMemoryPolicy,
    FeaturesMountExtensions, FeaturesSeccomp, Status,
};

use super::args::{Args, unknown};
use super::container::{Container, all};
use super::{Global, Outcome, say};
use crate::domains::{MEMORY_FLAGS, MEMORY_MODES};
use crate::error::Error;
use crate::init::options;

/// RFC 3339 in UTC, with what there is of nanoseconds, as Go writes it.
pub(super) fn rfc3339_nano(time: SystemTime) -> String {
    let nanoseconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let whole = rfc3339(time);
    let fraction = format!("{nanoseconds:09}");
    match fraction.trim_end_matches('0') {
        "" => whole,
        fraction => whole.replace('Z', &format!(".{fraction}Z")),
    }
}

/// RFC 3339 in UTC, to the second.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = ((seconds / 86400) as i64, seconds % 86400);
    // Days to civil date, by the proleptic Gregorian calendar in eras of 400 years that start in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

pub(super) fn version() -> String {
    format!("wharf runtime version {}\nspec: {}\n", env!("CARGO_PKG_VERSION"), spec::VERSION)
}

fn describe(container: &Container) -> Value {
    let state = container.state();
    let mut value = json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": state.pid,
        "status": state.status.to_string(),
        "bundle": state.bundle,
        "rootfs": container.record.rootfs,
        "created": container.record.created,
    });
    if !state.annotations.is_empty() {
        value["annotations"] = json!(state.annotations);
    }
    value["owner"] = json!(container.record.owner);
    value
}

fn print(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Failed(error.to_string()))?;
    say(&format!("{text}\n"))
}

pub(super) fn state(global: &Global, mut args: Args) -> Outcome {
    if let Some(flag) = args.flag()? {
        return Err(unknown(&flag));
    }
    let id = args.id()?;
    args.end()?;
    print(&describe(&Container::open(global, &id)?))?;
    Ok(0)
}

pub(super) fn list(global: &Global, mut args: Args) -> Outcome {
    let (mut as_json, mut quiet) = (false, false);
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "format" | "f" => {
                as_json = match args.value(&flag)?.as_str() {
                    "json" => true,
                    "table" => false,
                    _ => return Err(Error::Invalid("invalid format option".into())),
                }
            }
            "quiet" | "q" => quiet = args.boolean()?,
            _ => return Err(unknown(&flag)),
        }
    }
    let mut containers = all(global)?;
    for container in &mut containers {
        container.record.owner = owner(&container.dir);
    }
    say(&if quiet {
        containers.iter().map(|container| format!("{}\n", container.record.id)).collect()
    } else if as_json {
        format!("{}\n", Value::Array(containers.iter().map(describe).collect()))
    } else {
        table(&containers)
    })?;
    Ok(0)
}

/// Name of the user whose state directory this is, or `#` and the number.
fn owner(directory: &Path) -> String {
    let Ok(metadata) = std::fs::metadata(directory) else { return String::new() };
    let uid = metadata.uid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

/// Columns at least 12 wide, three spaces apart, as Go's tabwriter makes them for runc.
fn table(containers: &[Container]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from);
    let row = |container: &Container| {
        let status = container.status();
        let pid = if status == Status::Stopped { 0 } else { container.record.init_process_pid };
        [
            container.record.id.clone(),
            pid.to_string(),
            status.to_string(),
            container.record.bundle.to_string_lossy().into_owned(),
            container.record.created.clone(),
            container.record.owner.clone(),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(containers.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len() + 3).max().unwrap_or(0).max(12);
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            if column == 5 {
                text.push_str(cell);
            } else {
                text.push_str(&format!("{cell:<width$}", width = width(column)));
            }
        }
        text.push('\n');
    }
    text
}

pub(super) fn features(mut args: Args) -> Outcome {
    args.end()?;
    print(&all_features())?;
    Ok(0)
}

fn all_features() -> Features {
    let list = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    Features {
        oci_version_min: "1.0.0".into(),
        oci_version_max: spec::VERSION.into(),
        hooks: list(&[
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ]),
        mount_options: list(&options::NAMES),
        linux: Some(FeaturesLinux {
            namespaces: list(&["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]),
            capabilities: capabilities::NAMES.iter().map(|name| format!("CAP_{name}")).collect(),
            cgroup: FeaturesCgroup { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
            seccomp: FeaturesSeccomp {
                enabled: true,
                actions: list(&[
                    "SCMP_ACT_ALLOW",
                    "SCMP_ACT_ERRNO",
                    "SCMP_ACT_KILL",
                    "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_LOG",
                    "SCMP_ACT_NOTIFY",
                    "SCMP_ACT_TRACE",
                    "SCMP_ACT_TRAP",
                ]),
                operators: list(&[
                    "SCMP_CMP_EQ",
                    "SCMP_CMP_GE",
                    "SCMP_CMP_GT",
                    "SCMP_CMP_LE",
                    "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE",
                ]),
                archs: list(&[
                    "SCMP_ARCH_AARCH64",
                    "SCMP_ARCH_ARM",
                    "SCMP_ARCH_X32",
                    "SCMP_ARCH_X86",
                    "SCMP_ARCH_X86_64",
                ]),
                known_flags: list(&SECCOMP_FLAGS),
                supported_flags: list(&SECCOMP_FLAGS),
            },
            apparmor: FeaturesEnabled { enabled: true },
            selinux: FeaturesEnabled { enabled: true },
            mount_extensions: FeaturesMountExtensions { idmap: FeaturesEnabled { enabled: true } },
            intel_rdt: FeaturesIntelRdt { enabled: true, schemata: true, monitoring: true },
            memory_policy: FeaturesMemoryPolicy {
                modes: list(&MEMORY_MODES),
                flags: MEMORY_FLAGS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            },
            net_devices: FeaturesEnabled { enabled: true },
        }),
        annotations: BTreeMap::from([("dev.wharf.runtime.version".into(), env!("CARGO_PKG_VERSION").into())]),
        potentially_unsafe_config_annotations: list(&["org.systemd.property."]),
    }
}

const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expect) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expect);
        }
        let nano = |since| rfc3339_nano(SystemTime::UNIX_EPOCH + since);
        assert_eq!(nano(Duration::from_millis(1500)), "1970-01-01T00:00:01.5Z");
        assert_eq!(nano(Duration::from_secs(1)), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn features_name_every_namespace_and_hook() {
        let features = all_features();
        assert_eq!((features.hooks.len(), features.linux.unwrap().namespaces.len()), (6, 8));
    }
}
