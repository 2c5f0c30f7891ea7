//! Engines that others wrote, with this runtime in the place of their own, wherever they are: run, exec, stats, update, pause,
//! kill, remove. `scripts/needs.sh test` unpacks containerd, dockerd and Podman into target/tools.

#![allow(clippy::unwrap_used)] // Tests; clippy sees only functions marked as such.

mod containerd;
mod docker;
mod podman;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the engines' programs are unpacked, before what is installed.
fn path_variable() -> String {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/engines/usr");
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{0}/bin:{0}/sbin:{own}:/usr/sbin:/sbin", unpacked.display())
}

/// A program by its name, or `None` with a word about what is skipped.
fn program(name: &str) -> Option<PathBuf> {
    let path = path_variable();
    let found = path.split(':').map(|dir| Path::new(dir).join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not there");
    }
    found
}

/// A daemon in mount and network namespaces of its own; ended with the test.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(program: &Path, args: &[&str], log: PathBuf) -> Daemon {
        let file = std::fs::File::create(&log).unwrap();
        // Each replaces itself with the next: what is spawned here becomes the daemon.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "unshare", "--mount", "--net", "--"]).arg(program).args(args);
        command.env("PATH", path_variable()).stdin(Stdio::null());
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Daemon { child, log }
    }

    /// Waits until `ready` says yes.
    fn until(&mut self, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !ready() {
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(!ended && Instant::now() < deadline, "{}", std::fs::read_to_string(&self.log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _reaped = self.child.wait();
    }
}
