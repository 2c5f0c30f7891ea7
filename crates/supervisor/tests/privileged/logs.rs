//! The log as the supervisor keeps it.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use supervisor::log::{LogDriver, Next, Reader, Select};

use crate::Test;
use crate::world::{World, assert_clean, eventually, exit_of, log_lines};

pub(crate) const TESTS: &[Test] = &[
    ("privileged_rotated_logs_are_compressed_and_readable", rotated_logs_are_compressed_and_readable),
    ("privileged_a_follower_sees_every_line", a_follower_sees_every_line),
    ("privileged_a_log_that_takes_nothing_does_not_hold_up_the_container", a_stuck_log_holds_nobody_up),
    ("privileged_a_log_written_aside_is_complete_and_rotated", a_log_written_aside_is_complete),
    ("privileged_log_is_complete_when_the_exit_is_announced", log_is_complete_when_the_exit_is_announced),
];

fn rotated_logs_are_compressed_and_readable() {
    let world = World::new();
    let mut spawn = world.container(&["seq", "1", "40000"]);
    for (key, value) in [("max-size", "200k"), ("max-file", "4"), ("compress", "true")] {
        spawn.log.options.insert(key.to_owned(), value.to_owned());
    }
    world.zygote.spawn(&spawn, None, vec![]).unwrap();
    exit_of(&spawn);
    let exists = |name: &str| spawn.dir.join(name).exists();
    eventually("compressed", || {
        exists("log.1.gz") && exists("log.3.gz") && !exists("log.1") && !exists("log.1.gz.tmp")
    });
    assert!(!exists("log.4.gz"));
    let lines: Vec<String> = log_lines(&spawn, Select::default()).into_iter().map(|(_, line)| line).collect();
    assert!(lines.len() > 2000 && lines.len() < 12_000, "{}", lines.len());
    let expect: Vec<String> = (40_001 - lines.len()..=40_000).map(|n| format!("{n}\n")).collect();
    assert!(lines == expect);
    let tail = log_lines(&spawn, Select { tail: Some(3000), ..Select::default() });
    assert_eq!(tail.len(), 3000);
    assert_clean(&spawn);
}

fn a_follower_sees_every_line() {
    let world = World::new();
    let command = "n=0; while [ $n -lt 500 ]; do n=$((n+1)); echo $n; done; sleep 0.1; echo last";
    for driver in [LogDriver::JsonFile, LogDriver::Local] {
        let mut spawn = world.container(&["sh", "-c", command]);
        spawn.log.driver = driver;
        let client = world.start(&spawn);
        let waiting = client.wait().unwrap().into_stream();
        let mut reader = Reader::open(&spawn.log, Select { follow: true, ..Select::default() }).unwrap();
        let mut lines = Vec::new();
        loop {
            match reader.next().unwrap() {
                Next::Entry(entry) => lines.push(String::from_utf8(entry.line).unwrap()),
                Next::End => break,
                Next::Pending => {
                    let mut fds = [
                        PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN),
                        PollFd::new(&waiting, PollFlags::IN),
                    ];
                    let ready = poll(&mut fds, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })).unwrap();
                    assert!(ready > 0, "{} lines so far", lines.len());
                    if !fds[1].revents().is_empty() {
                        reader.finish();
                    }
                }
            }
        }
        let mut expect: Vec<String> = (1..=500).map(|n| format!("{n}\n")).collect();
        expect.push("last\n".to_owned());
        assert_eq!(lines, expect);
    }
}

fn non_blocking(spawn: &mut supervisor::Spawn, more: &[(&str, &str)]) {
    for (key, value) in [("mode", "non-blocking")].iter().chain(more) {
        spawn.log.options.insert((*key).to_owned(), (*value).to_owned());
    }
}

/// A pipe with a reader that never reads stands for a disk that does not answer.
fn a_stuck_log_holds_nobody_up() {
    use rustix::fs::{CWD, FileType, Mode, OFlags};
    let world = World::new();
    let mut spawn = world.container(&["seq", "1", "200000"]);
    non_blocking(&mut spawn, &[("max-buffer-size", "64k")]);
    rustix::fs::mknodat(CWD, &spawn.log.path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let stuck = rustix::fs::open(&spawn.log.path, OFlags::RDWR, Mode::empty()).unwrap();
    world.zygote.spawn(&spawn, None, vec![]).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 0);
    let told = std::fs::read_to_string(spawn.dir.join("supervisor.err")).unwrap();
    assert!(told.contains("log entries were not written"), "{told}");
    drop(stuck);
}

fn a_log_written_aside_is_complete() {
    let world = World::new();
    for driver in [LogDriver::JsonFile, LogDriver::Local] {
        let mut spawn = world.container(&["sh", "-c", "seq 1 6000; printf end"]);
        spawn.log.driver = driver;
        non_blocking(&mut spawn, &[("max-size", "100k"), ("max-file", "3"), ("compress", "false")]);
        world.zygote.spawn(&spawn, None, vec![]).unwrap();
        exit_of(&spawn);
        let lines = log_lines(&spawn, Select::default());
        let last: Vec<&str> = lines.iter().rev().take(3).map(|(_, line)| line.as_str()).collect();
        assert_eq!(last, ["end", "6000\n", "5999\n"], "{driver:?}");
        assert!(spawn.dir.join("log.1").exists(), "{driver:?}");
        assert_clean(&spawn);
    }
}

fn log_is_complete_when_the_exit_is_announced() {
    let world = World::new();
    for _ in 0..20 {
        let spawn = world.container(&["sh", "-c", "seq 1 2000; printf end"]);
        world.zygote.spawn(&spawn, None, vec![]).unwrap();
        exit_of(&spawn);
        let lines = log_lines(&spawn, Select::default());
        assert_eq!((lines.len(), lines[2000].1.as_str()), (2001, "end"));
    }
}
