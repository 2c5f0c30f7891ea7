//! Cache and memory bandwidth control (Documentation/arch/x86/resctrl.rst): groups of the resctrl file system.

use std::io;
use std::path::{Path, PathBuf};

/// `f_type` of resctrl (linux/magic.h).
const RDTGROUP_SUPER_MAGIC: u64 = 0x0765_5821;
const DEFAULT: &str = "/sys/fs/resctrl";

/// Where resctrl is mounted: at its usual place, else wherever it is first in the mount table.
pub fn root() -> Option<PathBuf> {
    let is_mounted =
        |path: &Path| rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == RDTGROUP_SUPER_MAGIC);
    if is_mounted(Path::new(DEFAULT)) {
        return Some(PathBuf::from(DEFAULT));
    }
    if !Path::new(DEFAULT).exists() {
        return None; // the kernel or the processor has none
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let at = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next() == Some("resctrl")).then(|| PathBuf::from(point))
    };
    mounts.lines().find_map(at)
}

/// A group that a container is to be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    directory: PathBuf,
    /// Made if it is missing.
    make: bool,
    monitor: Option<PathBuf>,
}

impl Group {
    /// The group `class` (`/` is the default one), or one called after the container when there is no class. One with a class
    /// and without limits of its own (`limited`) must be there already. `monitor` asks for a monitoring group as well.
    pub fn new(root: &Path, id: &str, class: &str, limited: bool, monitor: bool) -> Self {
        let directory = match class {
            "" => root.join(id),
            "/" => root.to_owned(),
            class => root.join(class),
        };
        let monitor = monitor.then(|| directory.join("mon_groups").join(id));
        Group { directory, make: class.is_empty() || limited, monitor }
    }

    /// Makes the group and sets `schemata`, line by line; gives what was made, to be removed with the container. One that
    /// exists must have these limits already.
    pub fn prepare(&self, class_is_given: bool, schemata: &[&str]) -> io::Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let prepare = |made: &mut Vec<PathBuf>| -> io::Result<()> {
            let exists = self.directory.is_dir();
            if !exists && !self.make {
                let text = format!(
                    "clos dir {} not accessible (must be pre-created when schemata, l3CacheSchema and memBwSchema are empty)",
                    self.directory.display()
                );
                return Err(io::Error::new(io::ErrorKind::NotFound, text));
            }
            if !exists {
                std::fs::create_dir(&self.directory)?;
                if !class_is_given {
                    made.push(self.directory.clone());
                }
            }
            if exists && class_is_given && !schemata.is_empty() {
                let present = std::fs::read_to_string(self.directory.join("schemata"))?;
                if let Some(line) = schemata.iter().find(|line| !is_in_force(line, &present)) {
                    let text = format!(
                        "class {} exists with another schema than {line:?}",
                        self.directory.display()
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                }
            } else if !schemata.is_empty() {
                let text: String = schemata.iter().map(|line| format!("{line}\n")).collect();
                std::fs::write(self.directory.join("schemata"), text)?;
            }
            if let Some(monitor) = &self.monitor {
                match std::fs::create_dir(monitor) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => made.push(monitor.clone()),
                }
            }
            Ok(())
        };
        match prepare(&mut made) {
            Ok(()) => {
                made.reverse();
                Ok(made)
            }
            Err(error) => {
                for directory in made.iter().rev() {
                    // The first error is the one to tell.
                    let _ = std::fs::remove_dir(directory);
                }
                Err(error)
            }
        }
    }

    /// Puts a process into the group.
    pub fn join(&self, pid: i32) -> io::Result<()> {
        for directory in std::iter::once(&self.directory).chain(&self.monitor) {
            std::fs::write(directory.join("tasks"), pid.to_string())?;
        }
        Ok(())
    }
}

/// Whether each part of `line` (`L3:0=f0;1=0f`) stands in the group's `schemata` file, whatever its order and leading zeros.
fn is_in_force(line: &str, present: &str) -> bool {
    let parts = |line: &str| -> Option<(String, Vec<(String, String)>)> {
        let (resource, domains) = line.trim().split_once(':')?;
        let domain = |domain: &str| {
            let (id, value) = domain.trim().split_once('=')?;
            let plain = |text: &str| text.trim().trim_start_matches('0').to_ascii_lowercase();
            Some((plain(id), plain(value)))
        };
        Some((resource.trim().to_owned(), domains.split(';').map(domain).collect::<Option<_>>()?))
    };
    let Some((resource, wanted)) = parts(line) else { return false };
    let known: Vec<(String, String)> = present
        .lines()
        .filter_map(parts)
        .filter(|(name, _)| *name == resource)
        .flat_map(|(_, list)| list)
        .collect();
    wanted.iter().all(|domain| known.contains(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemata_are_compared_by_what_they_mean() {
        let present = "    MB:0=100;1= 70\n    L3:0=00f0;1=7f\n";
        for (line, expect) in [
            ("L3:0=f0;1=7f", true),
            ("L3:1=07F;0=f0", true),
            ("L3:0=f0", true),
            ("MB:1=70", true),
            ("L3:0=f", false),
            ("L2:0=f0", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_in_force(line, present), expect, "{line}");
        }
    }

    /// A directory in resctrl's place: files appear by writing instead of with the group.
    #[test]
    fn groups_are_made_and_only_our_own_are_to_be_removed() {
        let root = tempfile::tempdir().unwrap();
        let own = Group::new(root.path(), "c1", "", false, false);
        assert_eq!(own.prepare(false, &["L3:0=f"]).unwrap(), [root.path().join("c1")]);
        assert_eq!(std::fs::read_to_string(root.path().join("c1/schemata")).unwrap(), "L3:0=f\n");
        own.join(7).unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("c1/tasks")).unwrap(), "7");

        let class = Group::new(root.path(), "c2", "gold", false, false);
        assert!(class.prepare(true, &[]).unwrap_err().to_string().contains("must be pre-created"));
        let limited = Group::new(root.path(), "c2", "gold", true, false);
        assert!(limited.prepare(true, &["L3:0=f"]).unwrap().is_empty());
        assert!(class.prepare(true, &[]).unwrap().is_empty());
        assert!(limited.prepare(true, &["L3:0=ff"]).unwrap_err().to_string().contains("another schema"));
        std::fs::create_dir(root.path().join("gold/mon_groups")).unwrap();
        let watched = Group::new(root.path(), "c3", "gold", false, true);
        assert_eq!(watched.prepare(true, &[]).unwrap(), [root.path().join("gold/mon_groups/c3")]);
        assert_eq!(
            Group::new(root.path(), "c4", "/", false, false).prepare(true, &[]).unwrap(),
            [] as [PathBuf; 0]
        );
    }
}
