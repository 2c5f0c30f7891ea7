//! What a process is born into beside its namespaces: execution domain, NUMA memory policy, and its class of cache and
//! memory bandwidth (config-linux.md, "Personality", "Memory policy", "IntelRdt").

use std::path::{Path, PathBuf};

use linux::process;
use linux::resctrl::{self, Group};
use types::spec::{IntelRdt, Linux, MemoryPolicy};

use crate::error::{Context, Error};

/// Modes of a memory policy, in the order of the kernel's numbers (linux/mempolicy.h).
pub(crate) const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];
/// Flags of a memory policy, with their bits.
pub(crate) const MEMORY_FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];
/// Memory nodes that Linux can have (`MAX_NUMNODES`).
const NODES_MAX: usize = 1024;

/// Checks what can be checked without changing anything.
pub(crate) fn validate(linux: &Linux) -> Result<(), Error> {
    personality(linux)?;
    if let Some(policy) = &linux.memory_policy {
        memory_policy(policy)?;
    }
    if let Some(wanted) = &linux.intel_rdt {
        intel_rdt(wanted, resctrl::root().as_deref())?;
    }
    Ok(())
}

/// Puts the calling process into the domains of the container.
pub(crate) fn enter(linux: &Linux) -> Result<(), Error> {
    if let Some(domain) = personality(linux)? {
        process::set_personality(domain).doing(|| "set personality".into())?;
    }
    if let Some(policy) = &linux.memory_policy {
        let (mode, nodes) = memory_policy(policy)?;
        process::set_memory_policy(mode, &nodes).doing(|| format!("set memory policy {}", policy.mode))?;
    }
    Ok(())
}

fn personality(linux: &Linux) -> Result<Option<u64>, Error> {
    let Some(wanted) = &linux.personality else { return Ok(None) };
    if !wanted.flags.is_empty() {
        return Err(Error::Invalid("additional personality flags are not supported".into()));
    }
    match wanted.domain.as_str() {
        "LINUX" => Ok(Some(0)),
        "LINUX32" => Ok(Some(8)),
        other => Err(Error::Invalid(format!("invalid personality domain {other:?}"))),
    }
}

/// Mode with flags, and nodes.
fn memory_policy(policy: &MemoryPolicy) -> Result<(u32, Vec<usize>), Error> {
    let invalid = |what: &str, word: &str| Error::Invalid(format!("invalid memory policy {what} {word:?}"));
    let mode = MEMORY_MODES.iter().position(|mode| *mode == policy.mode);
    let mut bits = mode.ok_or_else(|| invalid("mode", &policy.mode))? as u32;
    for word in &policy.flags {
        let known = MEMORY_FLAGS.iter().find(|(name, _)| name == word);
        bits |= known.ok_or_else(|| invalid("flag", word))?.1;
    }
    let nodes = numbers(&policy.nodes, NODES_MAX).ok_or_else(|| invalid("nodes", &policy.nodes))?;
    match (policy.mode.as_str(), nodes.is_empty()) {
        ("MPOL_DEFAULT" | "MPOL_LOCAL", false) => {
            Err(Error::Invalid(format!("invalid memory policy: {} takes no nodes", policy.mode)))
        }
        ("MPOL_DEFAULT" | "MPOL_LOCAL" | "MPOL_PREFERRED", _) | (_, false) => Ok((bits, nodes)),
        (_, true) => Err(Error::Invalid(format!("invalid memory policy: {} needs nodes", policy.mode))),
    }
}

/// `0-3,7` as numbers below `most`; nothing is no number.
pub(crate) fn numbers(list: &str, most: usize) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    for part in list.split(',').map(str::trim).filter(|_| !list.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= most {
            return None;
        }
        found.extend(first..=last);
    }
    Some(found)
}

fn schemata(wanted: &IntelRdt) -> Vec<&str> {
    // The order is the specification's.
    let all = [&wanted.l3_cache_schema, &wanted.mem_bw_schema].into_iter().chain(&wanted.schemata);
    all.map(String::as_str).filter(|line| !line.is_empty()).collect()
}

/// The root of resctrl, when the configuration makes sense on this host.
fn intel_rdt<'a>(wanted: &IntelRdt, root: Option<&'a Path>) -> Result<&'a Path, Error> {
    let invalid = |text: &str| Err(Error::Invalid(text.into()));
    let Some(root) = root else {
        return invalid("intelRdt is specified in config, but Intel RDT is not enabled");
    };
    let class = wanted.clos_id.as_str();
    if matches!(class, "." | "..") || (class.contains('/') && class != "/") {
        return Err(Error::Invalid(format!("invalid intelRdt.ClosID {class:?}")));
    }
    if schemata(wanted).iter().any(|line| line.contains('\n')) {
        return invalid("intelRdt: a schema must not contain newlines");
    }
    if !wanted.mem_bw_schema.is_empty() && !wanted.mem_bw_schema.starts_with("MB:") {
        return invalid("intelRdt.memBwSchema must start with MB:");
    }
    Ok(root)
}

fn group(id: &str, wanted: &IntelRdt, root: &Path) -> Group {
    Group::new(root, id, &wanted.clos_id, !schemata(wanted).is_empty(), wanted.enable_monitoring)
}

/// Puts a container's first process into its class; gives the directories to be removed with the container.
pub(crate) fn enter_class(id: &str, linux: &Linux, pid: i32) -> Result<Vec<PathBuf>, Error> {
    let Some(wanted) = &linux.intel_rdt else { return Ok(Vec::new()) };
    let root = resctrl::root();
    let group = group(id, wanted, intel_rdt(wanted, root.as_deref())?);
    let made = group
        .prepare(!wanted.clos_id.is_empty(), &schemata(wanted))
        .doing(|| format!("intelRdt: make class of container {id}"))?;
    match group.join(pid).doing(|| format!("intelRdt: add process {pid} to class")) {
        Ok(()) => Ok(made),
        Err(error) => {
            leave_class(&made);
            Err(error)
        }
    }
}

/// Puts one more process into the container's class.
pub(crate) fn join_class(id: &str, linux: &Linux, pid: i32) -> Result<(), Error> {
    let Some(wanted) = &linux.intel_rdt else { return Ok(()) };
    let root = resctrl::root();
    let group = group(id, wanted, intel_rdt(wanted, root.as_deref())?);
    group.join(pid).doing(|| format!("intelRdt: add process {pid} to class"))
}

/// Removes what [`enter_class`] made. A group that is gone needs no removing.
pub(crate) fn leave_class(made: &[PathBuf]) {
    for directory in made {
        let _ = std::fs::remove_dir(directory);
    }
}

/// New limits of a container's class (`update --l3-cache-schema`, `--mem-bw-schema`).
pub(crate) fn update_class(id: &str, wanted: &IntelRdt) -> Result<(), Error> {
    let root = resctrl::root();
    let root = intel_rdt(wanted, root.as_deref())?;
    let class = if wanted.clos_id.is_empty() { id } else { wanted.clos_id.trim_start_matches('/') };
    let path = root.join(class).join("schemata");
    let text: String = schemata(wanted).iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).doing(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: &str, nodes: &str, flags: &[&str]) -> Result<(u32, Vec<usize>), String> {
        let flags = flags.iter().map(ToString::to_string).collect();
        memory_policy(&MemoryPolicy { mode: mode.into(), nodes: nodes.into(), flags })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn memory_policies_are_the_kernels_numbers() {
        assert_eq!(policy("MPOL_BIND", "0-1,3", &[]), Ok((2, vec![0, 1, 3])));
        assert_eq!(policy("MPOL_INTERLEAVE", "0", &["MPOL_F_STATIC_NODES"]), Ok((3 | 1 << 15, vec![0])));
        assert_eq!(policy("MPOL_LOCAL", "", &[]), Ok((4, vec![])));
        assert_eq!(policy("MPOL_PREFERRED", "", &[]), Ok((1, vec![])));
        assert_eq!(
            policy("MPOL_LOCAL", "0", &[]).unwrap_err(),
            "invalid memory policy: MPOL_LOCAL takes no nodes"
        );
        assert_eq!(policy("MPOL_BIND", "", &[]).unwrap_err(), "invalid memory policy: MPOL_BIND needs nodes");
        for (mode, nodes, flag) in
            [("", "", None), ("MPOL_BIND", "9999", None), ("MPOL_BIND", "0", Some("MPOL_X"))]
        {
            assert!(policy(mode, nodes, flag.as_slice()).is_err(), "{mode} {nodes}");
        }
    }

    #[test]
    fn a_class_is_refused_where_there_are_none() {
        let root = Path::new("/sys/fs/resctrl");
        let check = |json: &str, root| {
            let wanted: IntelRdt = serde_json::from_str(json).unwrap();
            intel_rdt(&wanted, root).map(drop).map_err(|error| error.to_string())
        };
        let none = "intelRdt is specified in config, but Intel RDT is not enabled";
        assert_eq!(check("{}", None), Err(none.into()));
        assert_eq!(check(r#"{"closID":"/"}"#, Some(root)), Ok(()));
        for wrong in [
            r#"{"closID":".."}"#,
            r#"{"closID":"a/b"}"#,
            r#"{"memBwSchema":"L3:0=1"}"#,
            r#"{"schemata":["a\nb"]}"#,
        ] {
            assert!(check(wrong, Some(root)).is_err(), "{wrong}");
        }
    }
}
