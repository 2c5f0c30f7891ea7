//! Beginnings and ends: of containers, supervisors, daemons and inits.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use supervisor::log::Select;
use supervisor::{Client, ClientError, Exec, ExitRecord, Found, RunRecord, find};
use types::spec::{Memory, NamespaceKind};

use crate::Test;
use crate::world::{
    World, assert_clean, cgroups, container, eventually, exit_of, log_lines, process, read_frames,
};

pub(crate) const TESTS: &[Test] = &[
    ("privileged_a_container_that_cannot_start_leaves_nothing", a_container_that_cannot_start_leaves_nothing),
    ("privileged_containers_survive_their_daemon", containers_survive_their_daemon),
    ("privileged_a_killed_zygote_is_replaced", a_killed_zygote_is_replaced),
    ("privileged_a_killed_supervisor_can_be_cleaned_up", a_killed_supervisor_can_be_cleaned_up),
    ("privileged_supervisors_ignore_signals", supervisors_ignore_signals),
    ("privileged_pause_signal_resume", pause_signal_resume),
    ("privileged_many_spawns_at_once", many_spawns_at_once),
    ("privileged_a_container_can_start_again", a_container_can_start_again),
    (
        "privileged_nothing_outlives_an_init_without_pid_namespace",
        nothing_outlives_an_init_without_pid_namespace,
    ),
    ("privileged_out_of_memory_is_noticed", out_of_memory_is_noticed),
    ("privileged_the_process_gets_a_clean_start", the_process_gets_a_clean_start),
    ("privileged_a_network_namespace_can_be_given", a_network_namespace_can_be_given),
    ("privileged_a_running_container_is_not_started_twice", a_running_container_is_not_started_twice),
    ("privileged_init_behaves_like_tini", init_behaves_like_tini),
];

fn a_container_that_cannot_start_leaves_nothing() {
    let world = World::new();
    for (command, code, text) in [
        ("nosuch", 127, "exec: \"nosuch\": executable file not found in $PATH"),
        ("/etc/passwd", 126, "exec: \"/etc/passwd\": permission denied"),
    ] {
        let spawn = world.container(&[command]);
        let error = world.zygote.spawn(&spawn, None, vec![]).unwrap_err();
        assert_eq!(error.exit_code, code, "{error}");
        assert!(error.message.contains(text), "{error}");
        assert!(matches!(find(&spawn.dir), Found::Gone));
        assert_clean(&spawn);
    }
    let mut spawn = world.container(&["true"]);
    spawn.log.options.insert("max-file".to_owned(), "0".to_owned());
    let error = world.zygote.spawn(&spawn, None, vec![]).unwrap_err();
    assert_eq!(error.to_string(), "failed to initialize logging driver: max-file cannot be less than 1");
    assert_clean(&spawn);
}

/// Plays a daemon: starts a container in `root`, says so, and waits to be killed.
pub(crate) fn daemon(root: &OsStr) -> ! {
    let zygote = supervisor::Zygote::launch().unwrap();
    let command = ["sh", "-c", "trap 'exit 8' USR1; n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done"];
    let spawn = container(Path::new(root), &command);
    zygote.spawn(&spawn, None, vec![]).unwrap();
    println!("{}", spawn.dir.display());
    std::thread::sleep(Duration::from_secs(1000));
    std::process::exit(0)
}

fn containers_survive_their_daemon() {
    let world = World::new();
    // A pipe that the daemon's caller has forgotten to close.
    let leak = rustix::pipe::pipe().unwrap();
    let mut daemon = Command::new("/proc/self/exe")
        .arg("daemon")
        .arg(world.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let dir = PathBuf::from(line.trim());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let Found::Live(client) = find(&dir) else { panic!("not found") };
    let pid = RunRecord::read(&dir).unwrap().supervisor_pid;
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mine =
        std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&leak.1))).unwrap();
    // One that is gone by now is not it.
    assert!(
        links.into_iter().all(|link| std::fs::read_link(link.path()).map_or(true, |target| target != mine))
    );
    let status = client.status().unwrap();
    assert!(status.pid > 1 && !status.paused);
    let mut spawn = world.container(&["true"]);
    spawn.log.path = dir.join("log");
    let lines = || -> Vec<String> {
        log_lines(&spawn, Select::default()).into_iter().map(|(_, line)| line).collect()
    };
    eventually("it goes on to print", || lines().len() > 80);
    client.signal(10, false).unwrap();
    let record = client.wait().unwrap().join().unwrap();
    assert_eq!(record.exit_code, 8);
    assert_eq!(ExitRecord::read(&dir).unwrap(), record);
    assert!(matches!(find(&dir), Found::Exited(found) if found == record));
    let expect: Vec<String> = (1..=lines().len()).map(|n| format!("{n}\n")).collect();
    assert_eq!(lines(), expect, "each line is there once");
    let run = RunRecord::read(&dir).unwrap();
    eventually("supervisor ends", || !Path::new(&format!("/proc/{}", run.supervisor_pid)).exists());
}

fn zygotes() -> Vec<i32> {
    let me = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"wharf-zygote"))
                && std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
                    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some(&me))
                })
        })
        .collect()
}

fn kill(pid: i32, signal: i32) {
    let pidfd = linux::pidfd::open(pid).unwrap();
    linux::pidfd::send_signal(std::os::fd::AsFd::as_fd(&pidfd), signal).unwrap();
}

fn a_killed_zygote_is_replaced() {
    let world = World::new();
    let live = world.container(&["sleep", "1000"]);
    let client = world.start(&live);
    eventually("a zygote", || !zygotes().is_empty());
    zygotes().into_iter().for_each(|pid| kill(pid, 9));
    let spawn = world.container(&["true"]);
    // The first may still reach the dying one.
    eventually("a new zygote", || world.zygote.spawn(&spawn, None, vec![]).is_ok());
    assert_eq!(exit_of(&spawn).exit_code, 0);
    assert!(client.status().is_ok());
}

fn a_killed_supervisor_can_be_cleaned_up() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    world.start(&spawn);
    let run = RunRecord::read(&spawn.dir).unwrap();
    kill(run.supervisor_pid, 9);
    eventually("the socket is dead", || matches!(find(&spawn.dir), Found::Gone));
    supervisor::clean_up(&spawn.dir).unwrap();
    eventually("the container is gone", || !run.is_alive());
    assert!(cgroups(&spawn).is_empty());
    supervisor::clean_up(&spawn.dir).unwrap();
}

fn supervisors_ignore_signals() {
    let world = World::new();
    let spawn = world.container(&[
        "sh",
        "-c",
        "trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.02; done",
    ]);
    let client = world.start(&spawn);
    eventually("it is up", || !log_lines(&spawn, Select::default()).is_empty());
    let run = RunRecord::read(&spawn.dir).unwrap();
    for signal in [1, 2, 3, 10, 13, 15] {
        kill(run.supervisor_pid, signal);
    }
    assert!(client.status().is_ok());
    // The container's own dispositions are those of a fresh process.
    client.signal(15, false).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 3);
    assert_eq!(log_lines(&spawn, Select::default()).last().unwrap().1, "term\n");
}

fn pause_signal_resume() {
    let world = World::new();
    let spawn = world.container(&["sh", "-c", "while :; do echo x; sleep 0.01; done"]);
    let client = world.start(&spawn);
    client.pause().unwrap();
    assert!(client.status().unwrap().paused);
    let lines = || log_lines(&spawn, Select::default()).len();
    let before = lines();
    std::thread::sleep(Duration::from_millis(100));
    assert!(lines() <= before + 1);
    client.resume().unwrap();
    eventually("it goes on", || lines() > before + 1);
    client.pause().unwrap();
    client.signal(9, false).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 137);
    assert_clean(&spawn);
}

fn many_spawns_at_once() {
    let world = World::new();
    let spawns: Vec<_> = (0..16).map(|n| world.container(&["sh", "-c", &format!("exit {n}")])).collect();
    std::thread::scope(|scope| {
        for spawn in &spawns {
            scope.spawn(|| world.zygote.spawn(spawn, None, vec![]).unwrap());
        }
    });
    for (number, spawn) in spawns.iter().enumerate() {
        assert_eq!(exit_of(spawn).exit_code, number as i32);
        assert_clean(spawn);
    }
    assert!(Client::connect(&spawns[0].dir).is_err());
}

fn a_container_can_start_again() {
    let world = World::new();
    let mut spawn = world.container(&["sh", "-c", "echo one; exit 1"]);
    world.zygote.spawn(&spawn, None, vec![]).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 1);
    spawn.spec.process.as_mut().unwrap().args[2] = "echo two; sleep 1000".to_owned();
    let client = world.start(&spawn);
    assert!(matches!(find(&spawn.dir), Found::Live(_)), "the old record is gone");
    eventually("its output", || log_lines(&spawn, Select::default()).len() == 2);
    client.signal(9, true).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 137);
    assert_clean(&spawn);
}

fn nothing_outlives_an_init_without_pid_namespace() {
    let world = World::new();
    let mut spawn = world.container(&["sh", "-c", "sleep 1000 & echo $!; exit 2"]);
    spawn.spec.linux.as_mut().unwrap().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Pid);
    let started = Instant::now();
    world.zygote.spawn(&spawn, None, vec![]).unwrap();
    assert_eq!(exit_of(&spawn).exit_code, 2);
    assert!(started.elapsed() < Duration::from_secs(500), "it waited for the grandchild's pipe");
    let pid = log_lines(&spawn, Select::default())[0].1.trim().to_owned();
    eventually("the grandchild ends", || !Path::new("/proc").join(&pid).exists());
    assert_clean(&spawn);
}

fn out_of_memory_is_noticed() {
    let world = World::new();
    let mut spawn = world.container(&["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]);
    let resources = spawn.spec.linux.as_mut().unwrap().resources.as_mut().unwrap();
    resources.memory = Some(Memory { limit: Some(20 << 20), swap: Some(20 << 20), ..Memory::default() });
    world.zygote.spawn(&spawn, None, vec![]).unwrap();
    let exit = exit_of(&spawn);
    assert_eq!((exit.exit_code, exit.oom_killed), (137, true));
    assert_clean(&spawn);
}

/// Nothing of ours shows: descriptors, signals, umask, session.
fn the_process_gets_a_clean_start() {
    let world = World::new();
    let spawn = world.container(&["cat", "/proc/self/status"]);
    let (status, _) = read_frames(&mut world.run(&spawn));
    let status = String::from_utf8(status).unwrap();
    for name in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
        let mask = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap();
        assert_eq!(u64::from_str_radix(mask, 16), Ok(0), "{name}");
    }
    let spawn = world.container(&["sh", "-c", "ls /proc/self/fd | wc -w; umask"]);
    let (out, err) = read_frames(&mut world.run(&spawn));
    assert_eq!(String::from_utf8_lossy(&err), "");
    let out = String::from_utf8(out).unwrap();
    let mut lines = out.lines();
    // 0, 1, 2 and the one that ls reads the directory with.
    assert_eq!(lines.next(), Some("4"));
    assert_eq!(lines.next(), Some("0022"));
}

fn a_network_namespace_can_be_given() {
    let world = World::new();
    let spawn = world.container(&["readlink", "/proc/self/ns/net"]);
    let netns = std::fs::File::open("/proc/self/ns/net").unwrap();
    world.zygote.spawn(&spawn, Some(netns.into()), vec![]).unwrap();
    exit_of(&spawn);
    let mine = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(log_lines(&spawn, Select::default())[0].1.trim(), mine.to_str().unwrap());
}

fn a_running_container_is_not_started_twice() {
    let world = World::new();
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let error = world.zygote.spawn(&spawn, None, vec![]).unwrap_err();
    assert!(error.message.contains("running already"), "{error}");
    let status = client.status().unwrap();
    assert_eq!(RunRecord::read(&spawn.dir).unwrap().pid, status.pid);
    client.pause().unwrap();
    let exec = Exec { id: "e".to_owned(), process: process(&["true"]), ..Exec::default() };
    assert!(matches!(client.exec(&exec), Err(ClientError::Refused(_))), "an exec would freeze, too");
}

fn init_behaves_like_tini() {
    let init = |command: &[&str]| {
        let mut init = Command::new("/proc/self/exe");
        init.arg("init").arg("--").args(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        init
    };
    let code = |command: &[&str]| init(command).stderr(Stdio::null()).status().unwrap().code();
    assert_eq!(code(&["sh", "-c", "exit 7"]), Some(7));
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]), Some(137));
    assert_eq!(code(&["/nosuch/program"]), Some(127));
    assert_eq!(code(&["/etc/passwd"]), Some(126));
    // Signals are passed on; the init itself does not die of them.
    let mut child =
        init(&["sh", "-c", "trap 'echo got; exit 5' TERM; echo up; while :; do sleep 0.02; done"])
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    kill(child.id() as i32, 15);
    assert_eq!(lines.next().unwrap().unwrap(), "got");
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(5), None));
    // Standard streams are the command's.
    let mut child = init(&["cat"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");
}
