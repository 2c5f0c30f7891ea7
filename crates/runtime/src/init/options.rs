//! Mount options as in fstab, and the specification's own, read into flags (config.md, "Linux mount options"). Pure.

use linux::mount::{MountAttr, attr};
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::error::Error;

/// What a list of mount options asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// `bind` or `rbind`.
    pub(crate) bind: bool,
    /// `rbind`.
    pub(crate) recursive: bool,
    /// Flags of mount(2) to set.
    pub(crate) set: MountFlags,
    /// Flags of mount(2) that were taken back, such as by `rw`: what a bind mount must clear.
    pub(crate) clear: MountFlags,
    /// Attributes for the mount and all below it (`rro`, `rnosuid`, ...).
    pub(crate) tree: Option<MountAttr>,
    /// Propagation, in order.
    pub(crate) propagation: Vec<MountPropagationFlags>,
    /// Everything else, for the file system.
    pub(crate) data: Vec<String>,
    /// Fill a tmpfs with what it covers.
    pub(crate) copy_up: bool,
    /// Map ids; `Some(true)` also below.
    pub(crate) idmap: Option<bool>,
    /// Change a mount that is there.
    pub(crate) remount: bool,
    /// Show what is there below the source, from wherever links in it lead without leaving it ([`SUBPATH`]).
    pub(crate) subpath: Option<String>,
    /// Bind what this process has at the source, in its own mount namespace ([`PROCESS`]).
    pub(crate) process: Option<i32>,
}

/// Options of ours: `x-` marks what is not for the kernel (mount(8)).
pub const SUBPATH: &str = "x-wharf.subpath=";
/// A process id follows.
pub const PROCESS: &str = "x-wharf.process=";

impl Default for Options {
    fn default() -> Self {
        Options {
            bind: false,
            recursive: false,
            set: MountFlags::empty(),
            clear: MountFlags::empty(),
            tree: None,
            propagation: Vec::new(),
            data: Vec::new(),
            copy_up: false,
            idmap: None,
            remount: false,
            subpath: None,
            process: None,
        }
    }
}

/// Flags by name, and whether the name sets or clears.
fn flag(name: &str) -> Option<(bool, MountFlags)> {
    const STRICTATIME: MountFlags = MountFlags::STRICTATIME;
    Some(match name {
        "async" => (false, MountFlags::SYNCHRONOUS),
        "atime" => (false, MountFlags::NOATIME),
        "dev" => (false, MountFlags::NODEV),
        "diratime" => (false, MountFlags::NODIRATIME),
        "dirsync" => (true, MountFlags::DIRSYNC),
        "exec" => (false, MountFlags::NOEXEC),
        "iversion" => (true, MountFlags::from_bits_retain(1 << 23)),
        "lazytime" => (true, MountFlags::LAZYTIME),
        "loud" => (false, MountFlags::SILENT),
        "mand" => (true, MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
        "noatime" => (true, MountFlags::NOATIME),
        "nodev" => (true, MountFlags::NODEV),
        "nodiratime" => (true, MountFlags::NODIRATIME),
        "noexec" => (true, MountFlags::NOEXEC),
        "noiversion" => (false, MountFlags::from_bits_retain(1 << 23)),
        "nolazytime" => (false, MountFlags::LAZYTIME),
        "nomand" => (false, MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
        "norelatime" => (false, MountFlags::RELATIME),
        "nostrictatime" => (false, STRICTATIME),
        "nosuid" => (true, MountFlags::NOSUID),
        "nosymfollow" => (true, MountFlags::from_bits_retain(256)),
        "relatime" => (true, MountFlags::RELATIME),
        "ro" => (true, MountFlags::RDONLY),
        "rw" => (false, MountFlags::RDONLY),
        "silent" => (true, MountFlags::SILENT),
        "strictatime" => (true, STRICTATIME),
        "suid" => (false, MountFlags::NOSUID),
        "symfollow" => (false, MountFlags::from_bits_retain(256)),
        "sync" => (true, MountFlags::SYNCHRONOUS),
        _ => return None,
    })
}

fn propagation(name: &str) -> Option<MountPropagationFlags> {
    let recursive = MountPropagationFlags::REC;
    Some(match name {
        "private" => MountPropagationFlags::PRIVATE,
        "rprivate" => MountPropagationFlags::PRIVATE | recursive,
        "shared" => MountPropagationFlags::SHARED,
        "rshared" => MountPropagationFlags::SHARED | recursive,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "rslave" => MountPropagationFlags::DOWNSTREAM | recursive,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        "runbindable" => MountPropagationFlags::UNBINDABLE | recursive,
        _ => return None,
    })
}

/// Attributes to set and to clear for a name that starts with `r`.
fn tree_attr(name: &str) -> Option<(u64, u64)> {
    Some(match name {
        "rro" => (attr::RDONLY, 0),
        "rrw" => (0, attr::RDONLY),
        "rnosuid" => (attr::NOSUID, 0),
        "rsuid" => (0, attr::NOSUID),
        "rnodev" => (attr::NODEV, 0),
        "rdev" => (0, attr::NODEV),
        "rnoexec" => (attr::NOEXEC, 0),
        "rexec" => (0, attr::NOEXEC),
        "rnodiratime" => (attr::NODIRATIME, 0),
        "rdiratime" => (0, attr::NODIRATIME),
        "rrelatime" => (attr::RELATIME, attr::ATIME),
        "rnorelatime" => (0, attr::ATIME),
        "rnoatime" => (attr::NOATIME, attr::ATIME),
        "ratime" => (0, attr::ATIME),
        "rstrictatime" => (attr::STRICTATIME, attr::ATIME),
        "rnostrictatime" => (0, attr::ATIME),
        "rnosymfollow" => (attr::NOSYMFOLLOW, 0),
        "rsymfollow" => (0, attr::NOSYMFOLLOW),
        _ => return None,
    })
}

/// All names understood, for `features`.
pub(crate) const NAMES: [&str; 62] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

impl Options {
    /// Reads the options of one mount of type `kind`.
    pub(crate) fn parse(kind: &str, list: &[String]) -> Result<Options, Error> {
        let mut options = Options { bind: kind == "bind", ..Options::default() };
        for name in list {
            match name.as_str() {
                "bind" => options.bind = true,
                "rbind" => (options.bind, options.recursive) = (true, true),
                "remount" => options.remount = true,
                "defaults" | "" => {}
                "tmpcopyup" => options.copy_up = true,
                "idmap" => options.idmap = Some(false),
                "ridmap" => options.idmap = Some(true),
                other => match (other.strip_prefix(SUBPATH), other.strip_prefix(PROCESS)) {
                    (Some(path), _) => options.subpath = Some(path.to_owned()),
                    (_, Some(pid)) => {
                        let invalid = |_| Error::Invalid(format!("mount option {other}: not a process id"));
                        options.process = Some(pid.parse().map_err(invalid)?);
                    }
                    (None, None) => options.add(other),
                },
            }
        }
        if options.copy_up && kind != "tmpfs" {
            return Err(Error::Invalid(format!("mount option tmpcopyup is for tmpfs, not for {kind:?}")));
        }
        if options.bind && !options.data.is_empty() {
            let data = options.data.join(",");
            return Err(Error::Invalid(format!(
                "bind mounts cannot have any filesystem-specific options: {data}"
            )));
        }
        Ok(options)
    }

    fn add(&mut self, name: &str) {
        if let Some((on, bits)) = flag(name) {
            let (to, from) =
                if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
            to.insert(bits);
            from.remove(bits);
        } else if let Some(how) = propagation(name) {
            self.propagation.push(how);
        } else if let Some((set, clear)) = tree_attr(name) {
            let tree = self.tree.get_or_insert_with(MountAttr::default);
            tree.clear |= clear;
            tree.set &= !clear;
            tree.set |= set;
            if clear & attr::ATIME == 0 {
                tree.clear &= !set;
            }
        } else {
            self.data.push(name.to_owned());
        }
    }

    /// The flags as attributes to set and clear on one mount, as a bind mount needs them; `None` if there are none.
    pub(crate) fn mount_attr(&self) -> Option<MountAttr> {
        const PAIRS: [(MountFlags, u64); 6] = [
            (MountFlags::RDONLY, attr::RDONLY),
            (MountFlags::NOSUID, attr::NOSUID),
            (MountFlags::NODEV, attr::NODEV),
            (MountFlags::NOEXEC, attr::NOEXEC),
            (MountFlags::NODIRATIME, attr::NODIRATIME),
            (MountFlags::from_bits_retain(256), attr::NOSYMFOLLOW),
        ];
        let mut change = MountAttr::default();
        for (flag, bit) in PAIRS {
            if self.set.contains(flag) {
                change.set |= bit;
            }
            if self.clear.contains(flag) {
                change.clear |= bit;
            }
        }
        for (flag, bit) in [
            (MountFlags::RELATIME, attr::RELATIME),
            (MountFlags::NOATIME, attr::NOATIME),
            (MountFlags::STRICTATIME, attr::STRICTATIME),
        ] {
            if self.set.contains(flag) {
                change.clear |= attr::ATIME;
                change.set = change.set & !attr::ATIME | bit;
            }
        }
        (change != MountAttr::default()).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, list: &str) -> Options {
        let list: Vec<String> = list.split(',').map(String::from).collect();
        Options::parse(kind, &list).unwrap_or_else(|error| panic!("{list:?}: {error}"))
    }

    #[test]
    fn later_options_override_earlier_ones() {
        let options = parse("tmpfs", "ro,nosuid,rw,size=64k,mode=755");
        assert_eq!((options.set, options.clear), (MountFlags::NOSUID, MountFlags::RDONLY));
        assert_eq!(options.data, ["size=64k", "mode=755"]);
        let options = parse("bind", "rbind,rw,ro,rprivate,slave");
        assert!(options.bind && options.recursive && options.set == MountFlags::RDONLY);
        assert_eq!(options.propagation.len(), 2);
    }

    #[test]
    fn bind_mounts_change_only_what_is_named() {
        assert_eq!(parse("bind", "rbind,rprivate").mount_attr(), None);
        assert_eq!(
            parse("bind", "ro,suid").mount_attr(),
            Some(MountAttr { set: attr::RDONLY, clear: attr::NOSUID, ..MountAttr::default() })
        );
        assert_eq!(
            parse("bind", "noatime").mount_attr(),
            Some(MountAttr { set: attr::NOATIME, clear: attr::ATIME, ..MountAttr::default() })
        );
    }

    #[test]
    fn recursive_attributes_are_gathered() {
        let tree = parse("bind", "rro,rnosuid,rsuid,rnoatime").tree.unwrap();
        assert_eq!(tree.set, attr::RDONLY | attr::NOATIME);
        assert_eq!(tree.clear, attr::NOSUID | attr::ATIME);
    }

    #[test]
    fn impossible_options_are_refused() {
        for (kind, option) in [("bind", "size=1"), ("proc", "tmpcopyup")] {
            assert!(Options::parse(kind, &[option.to_owned()]).is_err(), "{kind} {option}");
        }
    }

    #[test]
    fn every_name_that_features_lists_is_understood() {
        for name in NAMES {
            let kind = if name == "tmpcopyup" { "tmpfs" } else { "proc" };
            let options = Options::parse(kind, &[name.to_owned()]).unwrap();
            assert!(options.data.is_empty(), "{name}");
        }
    }
}
