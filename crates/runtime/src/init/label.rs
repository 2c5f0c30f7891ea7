//! AppArmor profile and SELinux label of the process, which take effect at its `execve`.
//!
//! The attribute file is opened before the process leaves the host's mount namespace: what answers to `/proc` in the
//! container may be a fake that swallows the write (CVE-2019-16884). The kernel lets only the opener's own address space
//! write to it, so no other process can be labelled by a descriptor that leaks.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use linux::fs::{PROC_SUPER_MAGIC, is_on};
use types::spec::Process;

use crate::error::{Context, Error};

/// A label to be put on the next program that the caller executes.
#[derive(Debug)]
pub(crate) struct Label {
    file: File,
    text: String,
    what: String,
}

/// The labels that `process` asks for; validation has made sure that the kernel knows them.
pub(crate) fn open(process: &Process) -> Result<Vec<Label>, Error> {
    let mut labels = Vec::new();
    if !process.apparmor_profile.is_empty() {
        let what = format!("apply apparmor profile {}", process.apparmor_profile);
        // The second is that of kernels before 5.8, and of the first security module only.
        let paths = ["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"];
        labels.push(Label::open(&paths, format!("exec {}", process.apparmor_profile), what)?);
    }
    if !process.selinux_label.is_empty() {
        let what = format!("apply selinux label {}", process.selinux_label);
        let paths = ["/proc/self/attr/selinux/exec", "/proc/self/attr/exec"];
        labels.push(Label::open(&paths, process.selinux_label.clone(), what)?);
    }
    Ok(labels)
}

impl Label {
    fn open(paths: &[&str], text: String, what: String) -> Result<Self, Error> {
        let mut options = File::options();
        options.write(true);
        let opened = paths.iter().map(|path| options.open(path)).reduce(|first, next| first.or(next));
        let Some(opened) = opened else { return Err(Error::Failed(what)) };
        let file = opened.doing(|| what.clone())?;
        if !is_on(file.as_fd(), PROC_SUPER_MAGIC).doing(|| what.clone())? {
            return Err(Error::Failed(format!("{what}: /proc is not procfs")));
        }
        Ok(Label { file, text, what })
    }

    /// Tells the kernel; fails for a profile that is not loaded.
    pub(crate) fn apply(&mut self) -> Result<(), Error> {
        self.file.write_all(self.text.as_bytes()).doing(|| self.what.clone())
    }
}

/// The mount option that labels a file system which has no labels of its own, for those that runtimes label.
pub(crate) fn mount_option(kind: &str, label: &str) -> Option<String> {
    let labels_itself = matches!(kind, "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "bind");
    (!label.is_empty() && !labels_itself).then(|| format!("context=\"{label}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_without_labels_of_their_own_get_a_context() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        assert_eq!(
            mount_option("tmpfs", label).as_deref(),
            Some("context=\"system_u:object_r:container_file_t:s0:c1,c2\"")
        );
        assert_eq!(mount_option("proc", label), None);
        assert_eq!(mount_option("tmpfs", ""), None);
    }

    #[test]
    fn a_process_without_labels_opens_nothing() {
        assert!(open(&Process::default()).unwrap().is_empty());
    }
}
