//! Seccomp profiles in Docker's own format, rendered for a container (moby `profiles/seccomp`).
//!
//! The format is the OCI one plus conditions: a rule may depend on the architecture, on capabilities of the container
//! and on the kernel's version.

use serde::Deserialize;
use types::spec::{Seccomp, SeccompAction, SeccompArg, SeccompRule};
use types::{Error, Result};

/// The profile containers get by default: Docker's.
pub(crate) const BUILTIN: &str = include_str!("seccomp-default.json");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: SeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: String,
    #[serde(default)]
    listener_metadata: String,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: SeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<SeccompArg>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// What conditions are checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    /// Go's name of the architecture.
    pub(crate) arch: &'a str,
    /// Version of the kernel.
    pub(crate) kernel: (u32, u32),
    /// Capabilities of the container.
    pub(crate) caps: &'a [String],
}

/// A profile as the runtime takes it.
pub(crate) fn render(json: &str, host: Host<'_>) -> Result<Seccomp> {
    let decode = |e: &dyn std::fmt::Display| Error::invalid(format!("decoding seccomp profile failed: {e}"));
    let profile: Profile = serde_json::from_str(json).map_err(|e| decode(&e))?;
    let architectures = match (profile.architectures, profile.arch_map) {
        (Some(list), Some(map)) if !list.is_empty() && !map.is_empty() => {
            return Err(Error::invalid(
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
            ));
        }
        (Some(list), _) if !list.is_empty() => list,
        (_, map) => {
            let native = native_arch(host.arch);
            map.unwrap_or_default()
                .into_iter()
                .find(|m| m.architecture == native)
                .map(|m| {
                    std::iter::once(m.architecture).chain(m.sub_architectures.unwrap_or_default()).collect()
                })
                .unwrap_or_default()
        }
    };
    let mut syscalls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        let names = match (rule.name.is_empty(), rule.names.unwrap_or_default()) {
            (false, names) if !names.is_empty() => {
                return Err(Error::invalid(
                    "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
                ));
            }
            (false, _) => vec![rule.name],
            (true, names) => names,
        };
        if rule.excludes.as_ref().is_some_and(|c| excluded(c, host))
            || !rule.includes.as_ref().is_none_or(|c| included(c, host))
        {
            continue;
        }
        syscalls.push(SeccompRule {
            names,
            action: rule.action,
            errno_ret: rule.errno_ret,
            args: rule.args.unwrap_or_default(),
        });
    }
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags.unwrap_or_default(),
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls,
    })
}

/// A rule is left out as soon as one exclusion applies.
fn excluded(condition: &Condition, host: Host<'_>) -> bool {
    let list = |l: &Option<Vec<String>>, has: &dyn Fn(&String) -> bool| {
        l.as_ref().is_some_and(|l| l.iter().any(has))
    };
    list(&condition.arches, &|a| a == host.arch)
        || list(&condition.caps, &|c| host.caps.contains(c))
        || condition.min_kernel.as_deref().and_then(version).is_some_and(|v| host.kernel >= v)
}

/// A rule is taken when all inclusions apply.
fn included(condition: &Condition, host: Host<'_>) -> bool {
    condition.arches.as_ref().is_none_or(|l| l.is_empty() || l.iter().any(|a| a == host.arch))
        && condition.caps.as_ref().is_none_or(|l| l.iter().all(|c| host.caps.contains(c)))
        && condition.min_kernel.as_deref().is_none_or(|v| version(v).is_some_and(|v| host.kernel >= v))
}

/// The first two numbers of a kernel version.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn native_arch(go_arch: &str) -> &'static str {
    match go_arch {
        "amd64" => "SCMP_ARCH_X86_64",
        "arm64" => "SCMP_ARCH_AARCH64",
        "386" => "SCMP_ARCH_X86",
        "arm" => "SCMP_ARCH_ARM",
        "riscv64" => "SCMP_ARCH_RISCV64",
        "s390x" => "SCMP_ARCH_S390X",
        "ppc64le" => "SCMP_ARCH_PPC64LE",
        "loong64" => "SCMP_ARCH_LOONGARCH64",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(seccomp: &Seccomp, name: &str) -> bool {
        seccomp.syscalls.iter().any(|r| {
            r.action == SeccompAction::Allow && r.args.is_empty() && r.names.iter().any(|n| n == name)
        })
    }

    #[test]
    fn the_builtin_profile_depends_on_capabilities_and_kernel() {
        let caps = ["CAP_SYS_ADMIN".to_owned()];
        let host = |caps, kernel| Host { arch: "amd64", kernel, caps };
        let plain = render(BUILTIN, host(&[], (6, 1))).unwrap();
        assert_eq!(plain.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
        assert!(allows(&plain, "read") && !allows(&plain, "mount") && allows(&plain, "ptrace"));
        assert!(allows(&plain, "arch_prctl") && !allows(&plain, "s390_pci_mmio_read"));
        let admin = render(BUILTIN, host(&caps, (6, 1))).unwrap();
        assert!(allows(&admin, "mount"));
        let old = render(BUILTIN, host(&[], (4, 4))).unwrap();
        assert!(!allows(&old, "ptrace"));
    }

    #[test]
    fn a_users_profile_is_checked() {
        let host = Host { arch: "amd64", kernel: (6, 1), caps: &[] };
        let own =
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"}]}"#;
        assert_eq!(render(own, host).unwrap().syscalls[0].names, ["chmod"]);
        assert!(render("{", host).unwrap_err().message.starts_with("decoding seccomp profile failed: "));
    }

    #[test]
    fn kernel_versions_are_read() {
        for (text, want) in [("6.18.0-rc1", Some((6, 18))), ("4.8", Some((4, 8))), ("x", None)] {
            assert_eq!(version(text), want, "{text}");
        }
    }
}
