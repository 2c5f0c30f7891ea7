//! What a configuration may ask for, checked before anything is changed.

use std::path::Path;

use types::spec::{Linux, NamespaceKind, Process, RuntimeSpec};

use crate::error::Error;
use crate::namespaces::Namespaces;

/// Checks the configuration of a container.
pub(crate) fn spec(spec: &RuntimeSpec, linux: &Linux, namespaces: &Namespaces<'_>) -> Result<(), Error> {
    let invalid = |text: &str| Err(Error::Invalid(text.into()));
    let has = |kind| namespaces.is_new(kind) || namespaces.joined(kind).is_some();
    let Some(init) = &spec.process else { return invalid("process property must not be empty") };
    process(init)?;
    if spec.root.as_ref().is_none_or(|root| root.path.is_empty()) {
        return invalid("root property must not be empty");
    }
    let named = !spec.hostname.is_empty() || !spec.domainname.is_empty();
    if named && !has(NamespaceKind::Uts) {
        return invalid("unable to set hostname without a private UTS namespace");
    }
    if !namespaces.is_new(NamespaceKind::Mount) {
        if !(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty()) {
            return invalid("unable to restrict sys entries without a private MNT namespace");
        }
        if !spec.mounts.is_empty() || spec.root.as_ref().is_some_and(|root| root.readonly) {
            return invalid("unable to mount without a private MNT namespace");
        }
    }
    let mapped = !(linux.uid_mappings.is_empty() && linux.gid_mappings.is_empty());
    if mapped && !has(NamespaceKind::User) {
        return invalid("user namespace mappings specified, but user namespace isn't enabled in the config");
    }
    if namespaces.is_new(NamespaceKind::User)
        && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty())
    {
        return invalid("user namespaces enabled, but no uid or gid mappings found");
    }
    if !linux.time_offsets.is_empty() && !namespaces.is_new(NamespaceKind::Time) {
        return invalid("timeOffsets needs a new time namespace");
    }
    for path in linux.masked_paths.iter().chain(&linux.readonly_paths) {
        if !path.starts_with('/') {
            return invalid(&format!("masked and read-only paths must be absolute: {path:?}"));
        }
    }
    hooks(spec)?;
    for name in linux.sysctl.keys() {
        sysctl(name, &has)?;
    }
    unsupported(linux)
}

/// Every hook has an absolute path, and a timeout that can be met (config.md, "POSIX-platform Hooks").
fn hooks(spec: &RuntimeSpec) -> Result<(), Error> {
    let Some(all) = &spec.hooks else { return Ok(()) };
    let kinds = [
        &all.prestart,
        &all.create_runtime,
        &all.create_container,
        &all.start_container,
        &all.poststart,
        &all.poststop,
    ];
    for hook in kinds.into_iter().flatten() {
        if !hook.path.starts_with('/') {
            return Err(Error::Invalid(format!("hook path must be absolute: {:?}", hook.path)));
        }
        if hook.timeout.is_some_and(|seconds| seconds <= 0) {
            return Err(Error::Invalid(format!("timeout of hook {} must be greater than zero", hook.path)));
        }
    }
    Ok(())
}

/// Checks one process.
pub(crate) fn process(process: &Process) -> Result<(), Error> {
    if process.args.is_empty() {
        return Err(Error::Invalid("args must not be empty".into()));
    }
    if !process.cwd.starts_with('/') {
        return Err(Error::Invalid("Cwd must be an absolute path".into()));
    }
    for (index, limit) in process.rlimits.iter().enumerate() {
        if process.rlimits.iter().take(index).any(|earlier| earlier.kind == limit.kind) {
            return Err(Error::Invalid(format!("duplicate rlimit: {}", limit.kind)));
        }
    }
    let enabled = |path: &str| std::fs::read(path).is_ok_and(|content| content.starts_with(b"Y"));
    if !process.apparmor_profile.is_empty() && !enabled("/sys/module/apparmor/parameters/enabled") {
        return Err(Error::NotImplemented(
            "apparmor profile is specified, but this kernel has no AppArmor".into(),
        ));
    }
    if !process.selinux_label.is_empty() && !Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(Error::NotImplemented(
            "selinux label is specified, but this kernel has no SELinux".into(),
        ));
    }
    Ok(())
}

/// A parameter that is not of a namespace of the container's would change the host.
fn sysctl(name: &str, has: &impl Fn(NamespaceKind) -> bool) -> Result<(), Error> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let dotted = name.replace('/', ".");
    let kind = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        NamespaceKind::Ipc
    } else if dotted.starts_with("net.") {
        NamespaceKind::Network
    } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
        NamespaceKind::Uts
    } else {
        return Err(Error::Invalid(format!("sysctl {name:?} is not in a separate kernel namespace")));
    };
    if has(kind) {
        return Ok(());
    }
    Err(Error::Invalid(format!("sysctl {name:?} is not allowed in the hosts {kind:?} namespace")))
}

/// What is refused rather than ignored.
fn unsupported(linux: &Linux) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::NotImplemented(format!("{what} is not supported")));
    if linux.intel_rdt.is_some() {
        return refuse("linux.intelRdt");
    }
    if linux.memory_policy.is_some() {
        return refuse("linux.memoryPolicy");
    }
    if !linux.net_devices.is_empty() {
        return refuse("linux.netDevices");
    }
    if !linux.mount_label.is_empty() && !Path::new("/sys/fs/selinux/enforce").exists() {
        return refuse("linux.mountLabel on a kernel without SELinux");
    }
    if linux.personality.as_ref().is_some_and(|personality| !personality.flags.is_empty()) {
        return refuse("linux.personality.flags");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: &str) {
        let parsed: RuntimeSpec = serde_json::from_str(json).unwrap();
        let linux = parsed.linux.clone().unwrap_or_default();
        let namespaces = Namespaces::of(Some(&linux), None).unwrap();
        let got = spec(&parsed, &linux, &namespaces).map_or_else(|error| error.to_string(), |()| "ok".into());
        assert_eq!(got, expect, "{json}");
    }

    #[test]
    fn what_is_missing_or_would_change_the_host_is_refused() {
        let base = r#""process":{"args":["x"],"cwd":"/"},"root":{"path":"r"}"#;
        check("{}", "process property must not be empty");
        check(r#"{"process":{"cwd":"/"}}"#, "args must not be empty");
        check(r#"{"process":{"args":["x"],"cwd":"a"}}"#, "Cwd must be an absolute path");
        check(r#"{"process":{"args":["x"],"cwd":"/"}}"#, "root property must not be empty");
        check(&format!("{{{base}}}"), "ok");
        check(
            &format!(r#"{{{base},"hostname":"h"}}"#),
            "unable to set hostname without a private UTS namespace",
        );
        let linux = |text: &str| format!(r#"{{{base},"linux":{text}}}"#);
        check(
            &linux(r#"{"maskedPaths":["/proc/kcore"]}"#),
            "unable to restrict sys entries without a private MNT namespace",
        );
        check(
            &linux(r#"{"namespaces":[{"type":"user"}]}"#),
            "user namespaces enabled, but no uid or gid mappings found",
        );
        check(&linux(r#"{"namespaces":[{"type":"network"}],"sysctl":{"net.ipv4.ip_forward":"1"}}"#), "ok");
        check(
            &linux(r#"{"sysctl":{"net.ipv4.ip_forward":"1"}}"#),
            r#"sysctl "net.ipv4.ip_forward" is not allowed in the hosts Network namespace"#,
        );
        check(
            &linux(r#"{"sysctl":{"vm.swappiness":"1"}}"#),
            r#"sysctl "vm.swappiness" is not in a separate kernel namespace"#,
        );
        check(&linux(r#"{"intelRdt":{"closID":"x"}}"#), "linux.intelRdt is not supported");
    }
}
