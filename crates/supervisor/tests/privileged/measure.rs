//! Numbers, not tests: `cargo test -p supervisor --test privileged -- measure`.

use std::time::{Duration, Instant};

use supervisor::log::LogDriver;
use supervisor::{Exec, RunRecord};
use types::StreamKind;

use crate::world::{World, each_frame, exit_of, process};

fn field(pid: i32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .unwrap_or(0)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Which mappings of a process are its own.
fn print_mappings(pid: i32) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut name = "";
    for line in text.lines() {
        match line.split_once(':') {
            Some(("Private_Dirty", size)) if size.trim() != "0 kB" => println!("{:>10} {name}", size.trim()),
            Some((start, _)) if start.contains('-') => name = line,
            _ => {}
        }
    }
}

pub(crate) fn main() {
    let world = World::new();
    let mut times = Vec::new();
    let spawns: Vec<_> = (0..50).map(|_| world.container(&["sleep", "1000"])).collect();
    for spawn in &spawns {
        let started = Instant::now();
        world.zygote.spawn(spawn, None, vec![]).unwrap();
        times.push(started.elapsed());
    }
    println!("spawn of 50: median {:?}, min {:?}", median(&mut times), times[0]);
    let pids: Vec<i32> =
        spawns.iter().map(|spawn| RunRecord::read(&spawn.dir).unwrap().supervisor_pid).collect();
    let total = |name| pids.iter().map(|pid| field(*pid, name)).sum::<u64>() / pids.len() as u64;
    println!(
        "supervisor: PSS {} kB, RSS {} kB, private dirty {} kB, shared dirty {} kB, PSS dirty {} kB",
        total("Pss"),
        total("Rss"),
        total("Private_Dirty"),
        total("Shared_Dirty"),
        total("Pss_Dirty"),
    );
    print_mappings(pids[25]);
    let wakes = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        text.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap_or_default().to_owned()
    };
    let before = wakes(pids[0]);
    std::thread::sleep(Duration::from_secs(2));
    println!("idle for 2 s: {} wake-ups", if wakes(pids[0]) == before { "no" } else { "some" });
    drop(world);
    let world = World::new();
    let mut times = Vec::new();
    for _ in 0..30 {
        let spawn = world.container(&["true"]);
        let started = Instant::now();
        world.zygote.spawn(&spawn, None, vec![]).unwrap();
        exit_of(&spawn);
        times.push(started.elapsed());
    }
    println!("spawn to exit record of true: median {:?}, min {:?}", median(&mut times), times[0]);
    measure_exec(&world);
    measure_throughput(&world);
}

fn measure_exec(world: &World) {
    let spawn = world.container(&["sleep", "1000"]);
    let client = world.start(&spawn);
    let run = RunRecord::read(&spawn.dir).unwrap();
    let private = || field(run.supervisor_pid, "Private_Dirty");
    // It trims itself after it has answered.
    client.status().unwrap();
    let before = private();
    let mut times = Vec::new();
    for number in 0..30 {
        let exec = Exec { id: format!("e{number}"), process: process(&["true"]), ..Exec::default() };
        let started = Instant::now();
        client.exec(&exec).unwrap();
        client.exec_wait(&exec.id).unwrap().join().unwrap();
        times.push(started.elapsed());
    }
    println!("exec of true and its code: median {:?}, min {:?}", median(&mut times), times[0]);
    println!("supervisor's private dirty memory, before and after 30 execs: {before} kB, {} kB", private());
    print_mappings(run.supervisor_pid);
}

fn measure_throughput(world: &World) {
    for driver in [LogDriver::None, LogDriver::Local, LogDriver::JsonFile] {
        let mut spawn = world.container(&["dd", "if=/dev/zero", "bs=1M", "count=256"]);
        spawn.log.driver = driver;
        spawn.log.options.insert("max-size".to_owned(), "100m".to_owned());
        spawn.log.options.insert("compress".to_owned(), "false".to_owned());
        let started = Instant::now();
        let mut stream = world.run(&spawn);
        let mut bytes = 0;
        each_frame(&mut stream, |kind, part| {
            bytes += if kind == StreamKind::Stdout { part.len() } else { 0 }
        });
        assert_eq!(bytes, 256 << 20);
        println!("256 MiB through stdout, {}: {:?}", driver.name(), started.elapsed());
        exit_of(&spawn);
    }
}
