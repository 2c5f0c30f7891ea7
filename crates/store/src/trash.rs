//! Deleting trees without making anyone wait: a rename takes them out of sight, a thread deletes them.
//!
//! The thread lives while there is something to delete. What it leaves when the process ends, the next open goes on
//! with.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crate::{
    diff::remove_tree,
    error::{Error, Result},
};

/// The directory of what is to be deleted.
#[derive(Debug)]
pub(crate) struct Trash {
    dir: PathBuf,
    next: AtomicU64,
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// A thread is deleting.
    busy: bool,
    /// Something came since it last looked.
    more: bool,
}

impl Trash {
    pub(crate) fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { dir, next: AtomicU64::new(0), state: Mutex::default(), idle: Condvar::new() })
    }

    /// Takes a file or tree, which must lie on the same file system. Nothing there is fine.
    pub(crate) fn discard(self: &Arc<Self>, path: &Path) -> Result<()> {
        let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let name = format!("{nanos:x}-{:x}", self.next.fetch_add(1, Ordering::Relaxed));
        match fs::rename(path, self.dir.join(name)) {
            Ok(()) => {
                self.empty();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("moving to the trash", path, error)),
        }
    }

    /// Sees to it that what is in the trash is being deleted.
    pub(crate) fn empty(self: &Arc<Self>) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.busy, true) {
            state.more = true;
            return;
        }
        let trash = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("trash".to_owned()).spawn(move || trash.run());
        // Without a thread it stays for the next time.
        state.busy = spawned.is_ok();
    }

    /// Waits until everything is gone.
    pub(crate) fn wait(&self) {
        let mut state = self.lock();
        while state.busy {
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self) {
        loop {
            // Errors (a disk that fails) leave trees for the next open; there is nobody to tell who could do better.
            for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
                let _ = remove_tree(&entry.path());
            }
            let mut state = self.lock();
            if !std::mem::take(&mut state.more) {
                state.busy = false;
                self.idle.notify_all();
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_discarded_is_out_of_sight_at_once_and_gone_soon() {
        let dir = tempfile::tempdir().unwrap();
        let trash_dir = dir.path().join("trash");
        fs::create_dir(&trash_dir).unwrap();
        let trash = Trash::new(trash_dir.clone());
        for i in 0..20 {
            let tree = dir.path().join(format!("tree-{i}"));
            fs::create_dir_all(tree.join("a/b")).unwrap();
            fs::write(tree.join("a/b/c"), b"x").unwrap();
            trash.discard(&tree).unwrap();
            assert!(!tree.exists());
        }
        trash.discard(&dir.path().join("nothing")).unwrap();
        trash.wait();
        assert_eq!(fs::read_dir(&trash_dir).unwrap().count(), 0);
    }
}
