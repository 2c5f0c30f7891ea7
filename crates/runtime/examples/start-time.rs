//! How long a container takes in-process, as the supervisor makes it: create, start, wait, remove; and an exec.
//!
//! usage: start-time BUNDLE [COUNT]   (root; the bundle's process should be `true`)

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use runtime::{CgroupMode, CreateRequest, Error, ExecRequest};
use types::spec::RuntimeSpec;

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let bundle = Path::new(args.get(1).map_or(".", String::as_str));
    let count = args.get(2).and_then(|count| count.parse().ok()).unwrap_or(50);
    let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
    let text = std::fs::read(bundle.join("config.json")).map_err(|error| failed(&error))?;
    let mut spec: RuntimeSpec = serde_json::from_slice(&text).map_err(|error| failed(&error))?;

    let mut steps: [Vec<Duration>; 4] = Default::default();
    for index in 0..count {
        let (id, path) = (format!("time-{index}"), format!("/time-{index}"));
        let mut request = CreateRequest::new(&id, &spec, bundle);
        request.cgroup = CgroupMode::Path(&path);
        let start = Instant::now();
        let created = runtime::create(&request)?;
        let made = start.elapsed();
        let running = created.start()?;
        let started = start.elapsed();
        linux::pidfd::wait(running.pidfd.as_fd()).map_err(|error| failed(&error))?;
        if let Some(cgroup) = running.cgroup {
            cgroup.remove()?;
        }
        let all = start.elapsed();
        for (list, time) in steps.iter_mut().zip([made, started - made, all - started, all]) {
            list.push(time);
        }
    }
    for (name, list) in ["create", "start", "wait and remove", "all"].iter().zip(&mut steps) {
        report(name, list);
    }

    let process = spec.process.clone().unwrap_or_default();
    if let Some(process) = &mut spec.process {
        process.args = ["sleep", "1000"].map(String::from).to_vec();
    }
    let mut request = CreateRequest::new("time-exec", &spec, bundle);
    request.cgroup = CgroupMode::Path("/time-exec");
    let init = runtime::create(&request)?.start()?;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..count {
        let start = Instant::now();
        let running = runtime::exec(&ExecRequest {
            id: "time-exec",
            process: &process,
            target: init.pidfd.as_fd(),
            target_pid: init.pid,
            linux: None,
            cgroup: init.cgroup.as_ref(),
            stdio: runtime::Stdio::Inherit,
            user: None,
            groups: &[],
            seccomp: None,
            seccomp_flags: 0,
            agent: None,
            no_new_keyring: false,
            preserve_fds: 0,
        })?;
        times[0].push(start.elapsed());
        linux::pidfd::wait(running.pidfd.as_fd()).map_err(|error| failed(&error))?;
        times[1].push(start.elapsed());
    }
    report("exec", &mut times[0]);
    report("exec and wait", &mut times[1]);
    linux::pidfd::send_signal(init.pidfd.as_fd(), 9).map_err(|error| failed(&error))?;
    linux::pidfd::wait(init.pidfd.as_fd()).map_err(|error| failed(&error))?;
    init.cgroup.map_or(Ok(()), |cgroup| cgroup.remove())?;
    Ok(())
}

fn report(name: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 10).copied().unwrap_or_default();
    println!("{name:16} min {:>9.2?}  median {:>9.2?}  p90 {:>9.2?}", at(0), at(5), at(9));
}
