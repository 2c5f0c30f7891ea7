//! `ps`: the processes of a container, read from `/proc`.

use super::args::Args;
use super::container::Container;
use super::{Global, Outcome};
use crate::error::Error;

pub(super) fn ps(global: &Global, mut args: Args) -> Outcome {
    let mut as_json = false;
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "format" | "f" => {
                as_json = match args.value(&flag)?.as_str() {
                    "json" => true,
                    "table" => false,
                    _ => return Err(Error::Invalid("invalid format option".into())),
                }
            }
            _ => return Err(super::args::unknown(&flag)),
        }
    }
    let id = args.id()?;
    let container = Container::open(global, &id)?;
    let mut pids = container.own_cgroup()?.pids()?;
    pids.sort_unstable();
    if as_json {
        println!("{}", serde_json::json!(pids));
        return Ok(0);
    }
    println!("{:<8} {:>7} {:>7} CMD", "UID", "PID", "PPID");
    for process in pids.into_iter().filter_map(Process::read) {
        println!("{:<8} {:>7} {:>7} {}", process.uid, process.pid, process.parent, process.command);
    }
    Ok(0)
}

struct Process {
    pid: i32,
    uid: u32,
    parent: i32,
    command: String,
}

impl Process {
    /// `None` when it is gone meanwhile.
    fn read(pid: i32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next().map(str::to_owned)
        };
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut command = String::from_utf8_lossy(&arguments).replace('\0', " ").trim_end().to_owned();
        if command.is_empty() {
            command = format!("[{}]", field("Name")?);
        }
        Some(Process { pid, uid: field("Uid")?.parse().ok()?, parent: field("PPid")?.parse().ok()?, command })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_from_proc() {
        let own = Process::read(std::process::id() as i32).unwrap();
        assert!(own.parent > 0 && own.command.contains("runtime"), "{}", own.command);
    }
}
