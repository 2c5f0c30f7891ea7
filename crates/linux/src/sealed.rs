//! Running from a copy of the own executable that nobody can write.
//!
//! A container's process can reach the runtime's executable through `/proc/<pid>/exe` while the runtime is inside the
//! container's namespaces, or by making the runtime execute `/proc/self/exe` (directly, as `#!` interpreter or as ELF
//! interpreter), and overwrite the file once it no longer runs (CVE-2019-5736). So before entering a container, the
//! process replaces itself by the same executable, seen through a detached read-only mount that exists in no namespace:
//! writes fail for everybody, no byte is copied.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

use crate::mount::{self, MountAttr, attr};
use crate::process;

const SELF: &str = "/proc/self/exe";
/// Tells the sealed process where its executable is: `/proc/self/exe` leads to a mount without a path.
const VARIABLE: &str = "WHARF_EXECUTABLE";

/// The path of the own executable, as it was before sealing.
pub fn executable() -> io::Result<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(path) => Ok(PathBuf::from(path)),
        None => std::env::current_exe(),
    }
}

/// Whether the running executable cannot be written through its mount, or is a sealed memory file.
pub fn is_sealed() -> io::Result<bool> {
    if rustix::fs::statvfs(SELF)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let file = rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

/// Makes sure that the process runs from a sealed executable: returns at once if it does, else replaces the process by
/// itself, with the arguments and environment it was started with. Call it before anything else.
pub fn ensure() -> io::Result<()> {
    if is_sealed()? || crate::weakened("seal") {
        if let Some(name) = std::env::var_os(VARIABLE).map(PathBuf::from) {
            // Executed by descriptor, the process is called by its number.
            let name = name.file_name().unwrap_or_default().as_bytes().to_vec();
            rustix::thread::set_name(&CString::new(name)?)?;
        }
        return Ok(());
    }
    let path = std::fs::read_link(SELF)?;
    let executable = read_only_view().or_else(|_| sealed_copy())?;
    let strings = |items: &mut dyn Iterator<Item = OsString>| -> io::Result<Vec<CString>> {
        items
            .map(|item| CString::new(item.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into()))
            .collect()
    };
    let argv = strings(&mut std::env::args_os())?;
    let own = (OsString::from(VARIABLE), path.into_os_string());
    let inherited = std::env::vars_os().filter(|(name, _)| *name != own.0);
    let env = strings(&mut inherited.chain([own.clone()]).map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    }))?;
    Err(process::execve(Some(executable.as_fd()), c"", &argv, &env))
}

/// The executable through a detached read-only mount: needs `CAP_SYS_ADMIN`.
fn read_only_view() -> io::Result<OwnedFd> {
    let tree = mount::clone_path(SELF)?;
    let change = MountAttr { set: attr::RDONLY | attr::NODEV, ..MountAttr::default() };
    mount::set_attr(tree.as_fd(), false, &change)?;
    Ok(tree)
}

/// The executable copied to a sealed memory file: for the unprivileged.
fn sealed_copy() -> io::Result<OwnedFd> {
    // MFD_EXEC is unknown to kernels before 6.3.
    let name = "wharf";
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create(name, base | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(name, base))?;
    let mut target = std::fs::File::from(copy);
    io::copy(&mut std::fs::File::open(SELF)?, &mut target)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&target, seals)?;
    Ok(target.into())
}
