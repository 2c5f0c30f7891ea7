//! The daemon is killed just before system calls that change something, in any of its threads.
//!
//! strace(1) writes down which there are in an operation, and then kills at one after the other; the daemon under test is
//! the one that users get. After each kill: what was acknowledged is there, what was not is there wholly or not at all and
//! can be asked for again, and when all is removed the host is as it was before.
//!
//! A few points for each operation by default; with `WHARF_TEST_LONG` set every one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::inventory;
use crate::raw::send;

/// System calls after which the host is another than before, and messages to helpers.
const CHANGES: &str = "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,pwrite64,fsync,fdatasync,ftruncate,\
                       fallocate,link,linkat,symlinkat,mknodat,fchmod,fchown,fchownat,setxattr,fsetxattr,sendmsg,sendto,\
                       unshare,setns,clone3,copy_file_range,kill,pidfd_send_signal";
/// How many points of an operation the short form kills at, evenly apart.
const POINTS: usize = 5;

/// An operation that is killed.
pub(crate) struct Operation<'a> {
    pub(crate) name: &'a str,
    /// What must be there before. Run before each kill.
    pub(crate) prepare: &'a dyn Fn(&Bed),
    /// Whether it was acknowledged.
    pub(crate) act: &'a dyn Fn(&Bed) -> bool,
    /// Looks at what became of it; the argument says whether it was acknowledged.
    pub(crate) check: &'a dyn Fn(&Bed, bool),
    /// Removes all of it, whatever there is.
    pub(crate) remove: &'a dyn Fn(&Bed),
}

/// strace on the daemon, which has begun to look when this returns.
fn strace(bed: &Bed, arguments: &[&str]) -> Child {
    let mut command = Command::new("strace");
    command.args(["-f", "-p", &bed.pid().to_string()]).args(arguments);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("run strace");
    let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        assert_ne!(said.read_line(&mut line).expect("read from strace"), 0, "strace does not attach");
    }
    // It says more when it lets go.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    child
}

/// Makes it let go of the daemon.
fn end(strace: Child) {
    let stopped = Command::new("kill").args(["-TERM", &strace.id().to_string()]).status();
    assert!(stopped.expect("run kill").success());
    reap(strace);
}

/// Waits for its end. When all its threads die at once it sometimes waits for the first of them for ever: then it is
/// killed, which lets go of what is dead.
fn reap(mut strace: Child) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while strace.try_wait().expect("wait for strace").is_none() {
        if Instant::now() > deadline {
            strace.kill().expect("kill strace");
            strace.wait().expect("reap strace");
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Removes what there is, and looks whether the host is as it was.
fn clean(bed: &Bed, operation: &Operation<'_>, acknowledged: bool, before: &BTreeSet<String>, point: &str) {
    (operation.check)(bed, acknowledged);
    (operation.remove)(bed);
    inventory::wait_for(bed, before, &format!("{} killed at {point}", operation.name));
}

/// The changes of one undisturbed run: a system call, and how many of it its thread has made by then.
fn points(bed: &Bed, operation: &Operation<'_>, before: &BTreeSet<String>) -> Vec<(String, usize)> {
    let trace = bed.path("trace");
    (operation.prepare)(bed);
    let file = trace.to_str().expect("temporary paths are text");
    let recorder = strace(bed, &["-o", file, "-e", &format!("trace={CHANGES}")]);
    assert!((operation.act)(bed), "{} fails although nobody was killed", operation.name);
    end(recorder);
    clean(bed, operation, true, before, "no point");
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in std::fs::read_to_string(&trace).expect("read the trace").lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let count = counts.entry((thread.to_owned(), name.to_owned())).or_default();
            *count += 1;
            points.push((name.to_owned(), *count));
        }
    }
    // Two threads may make the same call as often as each other: the first of them is killed.
    let mut known = BTreeSet::new();
    points.retain(|point| known.insert(point.clone()));
    assert!(!points.is_empty(), "{} changes nothing", operation.name);
    points
}

/// Kills once before the `nth` such call of a thread. An operation may come to its end before.
fn kill_once(
    bed: &mut Bed,
    operation: &Operation<'_>,
    (call, nth): &(String, usize),
    before: &BTreeSet<String>,
) {
    (operation.prepare)(bed);
    let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
    let killer = strace(bed, &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    let acknowledged = (operation.act)(bed);
    let is_dead = |bed: &Bed| send(bed, "GET", "/_ping", b"").is_none();
    let mut died = is_dead(bed);
    if died {
        reap(killer);
    } else {
        assert!(acknowledged, "{} fails although nobody was killed", operation.name);
        end(killer);
        // What is done in the background may have come to the point only now.
        died = is_dead(bed);
    }
    if died {
        bed.reap();
        bed.start();
    }
    clean(bed, operation, acknowledged, before, &format!("{call} {nth}"));
}

/// Kills the operation at its points.
pub(crate) fn sweep(bed: &mut Bed, operation: &Operation<'_>) {
    let before = inventory::take(bed);
    let points = points(bed, operation, &before);
    let is_long = std::env::var_os("WHARF_TEST_LONG").is_some();
    let chosen = if is_long { points.len() } else { POINTS.min(points.len()) };
    for number in 0..chosen {
        kill_once(bed, operation, &points[number * points.len() / chosen], &before);
    }
    if is_long {
        eprintln!("{}: {} points", operation.name, points.len());
    }
    let log = bed.log();
    assert!(!log.contains("panicked"), "{}:\n{log}", operation.name);
}
