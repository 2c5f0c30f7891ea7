//! The file that names the running daemon.

use std::io;
use std::path::{Path, PathBuf};

/// Our process id in a file; removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes our process id, unless the file names a process that lives.
    pub(crate) fn write(path: &Path) -> io::Result<Self> {
        if let Some(pid) = read(path).filter(|pid| is_alive(*pid)) {
            let text = format!("process with PID {pid} is still running: {} exists", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // A reader must never see half a number.
        let new = path.with_extension("pid.new");
        std::fs::write(&new, std::process::id().to_string())?;
        std::fs::rename(&new, path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.0) == Some(std::process::id()) {
            // Nobody can be told any more; a stale file is handled at the next start.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn read(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether a daemon has this id: another program may have got the number of a daemon that was killed.
fn is_alive(pid: u32) -> bool {
    let program = |link: String| std::fs::read_link(link).ok();
    pid != std::process::id()
        && program(format!("/proc/{pid}/exe"))
            .is_some_and(|exe| Some(exe) == program("/proc/self/exe".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_written_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/wharf.pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(read(&path), Some(std::process::id()));
        drop(file);
        assert!(!path.exists());
        // The first process runs, but is no daemon of ours.
        std::fs::write(&path, "1").unwrap();
        drop(PidFile::write(&path).unwrap());
    }
}
