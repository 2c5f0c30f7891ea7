//! `ps`: the processes of a container, read from `/proc`.

use super::args::Args;
use super::container::Container;
use super::{Global, Outcome, say};
use crate::error::{Context, Error};

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
    let options = args.rest();
    let container = Container::open(global, &id)?;
    let mut pids = container.own_cgroup()?.pids()?;
    pids.sort_unstable();
    if as_json {
        say(&format!("{}\n", serde_json::json!(pids)))?;
        return Ok(0);
    }
    // As in runc; a host without ps(1) gets a table of our own.
    let usual = ["-ef".to_owned()];
    match of_host(if options.is_empty() { &usual } else { &options }, &pids) {
        Err(_) if options.is_empty() => {}
        table => return say(&table?).map(|()| 0),
    }
    let mut text = format!("{:<8} {:>7} {:>7} CMD\n", "UID", "PID", "PPID");
    for Process { pid, uid, parent, command } in pids.into_iter().filter_map(Process::read) {
        text.push_str(&format!("{uid:<8} {pid:>7} {parent:>7} {command}\n"));
    }
    say(&text)?;
    Ok(0)
}

/// What the host's own ps(1) says about these processes: only it knows what its options mean.
fn of_host(options: &[String], pids: &[i32]) -> Result<String, Error> {
    let output = std::process::Command::new("ps").args(options).output().doing(|| "run ps".into())?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(Error::Failed(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&text).trim_end()
        )));
    }
    lines_of(&String::from_utf8_lossy(&output.stdout), pids)
}

/// The title, and the lines whose column `PID` is one of these.
fn lines_of(text: &str, pids: &[i32]) -> Result<String, Error> {
    let title = text.lines().next().unwrap_or_default();
    let column = title
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::Invalid("couldn't find PID field in ps output".into()))?;
    let wanted = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(title).chain(text.lines().skip(1).filter(wanted));
    Ok(lines.map(|line| format!("{line}\n")).collect())
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
    fn lines_of_the_hosts_ps_are_chosen_by_pid() {
        let text = "  PID CMD\n    1 init\n   17 sh\n  170 sh\n";
        assert_eq!(lines_of(text, &[17]).unwrap(), "  PID CMD\n   17 sh\n");
        assert!(lines_of("CMD\nsh\n", &[17]).is_err());
    }

    #[test]
    fn a_process_is_read_from_proc() {
        let own = Process::read(std::process::id() as i32).unwrap();
        assert!(own.parent > 0 && own.command.contains("runtime"), "{}", own.command);
    }
}
