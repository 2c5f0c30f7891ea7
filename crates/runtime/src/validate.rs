//! What a configuration may ask for, checked before anything is changed.

use std::path::Path;

use types::spec::{Linux, NamespaceKind, Process, RuntimeSpec, Seccomp, SeccompAction};

use crate::domains;
use crate::error::Error;
use crate::limits;
use crate::namespaces::Namespaces;

/// Checks the configuration of a container.
pub(crate) fn spec(spec: &RuntimeSpec, linux: &Linux, namespaces: &Namespaces<'_>) -> Result<(), Error> {
    let invalid = |text: &str| Err(Error::Invalid(text.into()));
    let has = |kind| namespaces.is_new(kind) || namespaces.joined(kind).is_some();
    version(&spec.oci_version)?;
    // Without a process there is something to create, but nothing to start (config.md, "Process").
    spec.process.as_ref().map_or(Ok(()), process)?;
    if spec.root.as_ref().is_none_or(|root| root.path.is_empty()) {
        return invalid("root property must not be empty");
    }
    let named = !spec.hostname.is_empty() || !spec.domainname.is_empty();
    if named && !has(NamespaceKind::Uts) {
        return invalid("unable to set hostname without a private UTS namespace");
    }
    let restricts = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
    if restricts && !namespaces.is_new(NamespaceKind::Mount) {
        return invalid("unable to restrict sys entries without a private MNT namespace");
    }
    if namespaces.joined(NamespaceKind::Mount).is_some() && wants_mounts(spec) {
        return invalid("unable to mount in a mount namespace that is joined");
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
    // Read-only paths must be absolute, too, but other runtimes take relative ones as from the root.
    if let Some(path) = linux.masked_paths.iter().find(|path| !path.starts_with('/')) {
        return invalid(&format!("masked paths must be absolute: {path:?}"));
    }
    hooks(spec)?;
    for name in linux.sysctl.keys() {
        sysctl(name, &has)?;
    }
    network_devices(linux, &has)?;
    linux.seccomp.as_ref().map_or(Ok(()), seccomp)?;
    domains::validate(linux)?;
    unsupported(linux)
}

/// Whether there is anything to mount but the root itself.
fn wants_mounts(spec: &RuntimeSpec) -> bool {
    !spec.mounts.is_empty() || spec.root.as_ref().is_some_and(|root| root.readonly)
}

/// Whether the container's mounts are made where the caller lives, below its root file system: in no mount namespace of its own,
/// or that it joins. They do not go with its processes.
pub(crate) fn mounts_on_host(spec: &RuntimeSpec) -> bool {
    let own = |linux: &Linux| linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Mount);
    wants_mounts(spec) && !spec.linux.as_ref().is_some_and(own)
}

/// Versions are semantic ones, of which the major number tells what is compatible. Other runtimes ask for none.
fn version(text: &str) -> Result<(), Error> {
    let mut numbers = text.splitn(3, '.');
    let major = numbers.next().and_then(|major| major.parse::<u64>().ok());
    let is_number = |word: &str| word.parse::<u64>().is_ok();
    let minor = numbers.next().is_some_and(is_number);
    let patch = numbers.next().and_then(|rest| rest.split(['-', '+']).next()).is_some_and(is_number);
    match major {
        _ if text.is_empty() => Ok(()),
        Some(0 | 1) if minor && patch => Ok(()),
        Some(_) if minor && patch => {
            Err(Error::NotImplemented(format!("ociVersion {text} is not supported")))
        }
        _ => Err(Error::Invalid(format!("invalid ociVersion {text:?}"))),
    }
}

/// What a profile says that can have no effect is a mistake (config-linux.md, "Seccomp").
fn seccomp(profile: &Seccomp) -> Result<(), Error> {
    let returns = |action: SeccompAction| matches!(action, SeccompAction::Errno | SeccompAction::Trace);
    let invalid = |text: &str| Err(Error::Invalid(format!("seccomp: {text}")));
    if profile.default_errno_ret.is_some() && !returns(profile.default_action) {
        return invalid("defaultErrnoRet is set for an action that returns no error");
    }
    // Whoever asks an agent about these cannot even hand it the listener. In runc's words.
    if profile.default_action == SeccompAction::Notify {
        return invalid("SCMP_ACT_NOTIFY cannot be used as default action");
    }
    for rule in &profile.syscalls {
        if rule.action == SeccompAction::Notify && rule.names.iter().any(|name| name == "write") {
            return invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall");
        }
        if rule.names.is_empty() {
            return invalid("a rule names no system call");
        }
        if rule.errno_ret.is_some() && !returns(rule.action) {
            return invalid("errnoRet is set for an action that returns no error");
        }
    }
    if !profile.listener_metadata.is_empty() && profile.listener_path.is_empty() {
        return invalid("listenerMetadata is set without listenerPath");
    }
    Ok(())
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
    limits::validate(process)?;
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

/// Interfaces are moved into a network namespace that is not ours, each under a name of its own.
fn network_devices(linux: &Linux, has: &impl Fn(NamespaceKind) -> bool) -> Result<(), Error> {
    let invalid = |text: String| Err(Error::Invalid(text));
    if !linux.net_devices.is_empty() && !has(NamespaceKind::Network) {
        return invalid("unable to move network devices without a NET namespace".into());
    }
    let mut names = std::collections::BTreeSet::new();
    for (name, device) in &linux.net_devices {
        let inside = if device.name.is_empty() { name } else { &device.name };
        for word in [name, inside] {
            // As the kernel's dev_valid_name.
            let odd = |c: char| c == '/' || c == ':' || c.is_whitespace();
            if word.is_empty() || word.len() > 15 || matches!(word.as_str(), "." | "..") || word.contains(odd)
            {
                return invalid(format!("invalid network device name {word:?}"));
            }
        }
        if !inside.contains("%d") && !names.insert(inside) {
            return invalid(format!("duplicate network device name {inside:?}"));
        }
    }
    Ok(())
}

/// What is refused rather than ignored.
fn unsupported(linux: &Linux) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::NotImplemented(format!("{what} is not supported")));
    if !linux.mount_label.is_empty() && !Path::new("/sys/fs/selinux/enforce").exists() {
        return refuse("linux.mountLabel on a kernel without SELinux");
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
        check(r#"{"root":{"path":"r"}}"#, "ok");
        check(r#"{"process":{"cwd":"/"}}"#, "args must not be empty");
        check(r#"{"process":{"args":["x"],"cwd":"a"}}"#, "Cwd must be an absolute path");
        check(r#"{"process":{"args":["x"],"cwd":"/"}}"#, "root property must not be empty");
        check(&format!("{{{base}}}"), "ok");
        for (version, expect) in [
            ("1.0.2-dev", "ok"),
            ("1.3.0", "ok"),
            ("2.0.0", "ociVersion 2.0.0 is not supported"),
            ("one", r#"invalid ociVersion "one""#),
            ("1.0", r#"invalid ociVersion "1.0""#),
        ] {
            check(&format!(r#"{{"ociVersion":"{version}",{base}}}"#), expect);
        }
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
        check(
            &linux(r#"{"netDevices":{"eth0":{}}}"#),
            "unable to move network devices without a NET namespace",
        );
        let devices =
            |text: &str| linux(&format!(r#"{{"namespaces":[{{"type":"network"}}],"netDevices":{text}}}"#));
        check(&devices(r#"{"eth0":{"name":"e%d"},"eth1":{"name":"e%d"}}"#), "ok");
        check(&devices(r#"{"eth0":{"name":"a"},"a":{}}"#), r#"duplicate network device name "a""#);
        check(&devices(r#"{"eth0":{"name":"a/b"}}"#), r#"invalid network device name "a/b""#);
    }
}
