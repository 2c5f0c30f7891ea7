//! Space set aside, so that a full disk can still be told what goes away.
//!
//! To forget a container, the database must write. Without a reserve, a disk that is full to the last block could not
//! even be emptied: the file gives its blocks back when a change that frees something finds none, and takes them
//! again once other changes succeed.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

/// Enough for the write-ahead log of some dozens of removals, which themselves free more than they write.
const BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: AtomicBool,
}

impl Reserve {
    /// The reserve beside the database `path`; taken if there is room.
    pub(super) fn beside(path: &std::path::Path) -> Self {
        let path = path.with_extension("reserve");
        let held = fs::metadata(&path).is_ok_and(|file| file.len() == BYTES);
        Self { path, held: AtomicBool::new(held) }
    }

    /// Gives the blocks back; whether there were any.
    pub(super) fn spend(&self) -> bool {
        self.held.swap(false, Ordering::AcqRel) && fs::remove_file(&self.path).is_ok()
    }

    /// Takes the blocks again, if there are enough and the file system can. Does nothing while they are held.
    pub(super) fn refill(&self) {
        if self.held.load(Ordering::Acquire) {
            return;
        }
        let taken = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&self.path)
            .is_ok_and(|file| fallocate(&file, FallocateFlags::empty(), 0, BYTES).is_ok());
        if !taken {
            // Full still: half a reserve would only be in the way.
            let _absent = fs::remove_file(&self.path);
        }
        self.held.store(taken, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_taken_again_and_found_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.db");
        let reserve = Reserve::beside(&path);
        assert!(!reserve.spend(), "there is none yet");
        reserve.refill();
        assert!(Reserve::beside(&path).held.load(Ordering::Acquire));
        assert!(reserve.spend());
        assert!(!dir.path().join("wharf.reserve").exists());
        assert!(!reserve.spend(), "it can be spent once");
    }
}
