//! `top`: Docker runs `ps` on the host; we read `/proc` ourselves and know the common columns.

use std::collections::HashMap;

use types::{Error, Result};

use super::driver::is_restarting;
use super::inspect::cgroup_of;
use super::state::Status;
use super::view::Top;
use super::{Containers, start};
use crate::{Timestamp, blocking};

/// Ticks a second in `/proc/PID/stat` (`USER_HZ`).
const TICKS: u64 = 100;

const FULL: [Column; 8] = [
    Column::Uid,
    Column::Pid,
    Column::Ppid,
    Column::C,
    Column::Stime,
    Column::Tty,
    Column::Time,
    Column::Cmd,
];
const AUX: [(&str, Column); 11] = [
    ("USER", Column::User),
    ("PID", Column::Pid),
    ("%CPU", Column::Pcpu),
    ("%MEM", Column::Pmem),
    ("VSZ", Column::Vsz),
    ("RSS", Column::Rss),
    ("TTY", Column::Tty),
    ("STAT", Column::Stat),
    ("START", Column::Stime),
    ("TIME", Column::ShortTime),
    ("COMMAND", Column::Cmd),
];

const BSD: [(&str, Column); 5] = [
    ("PID", Column::Pid),
    ("TTY", Column::Tty),
    ("STAT", Column::Stat),
    ("TIME", Column::ShortTime),
    ("COMMAND", Column::Cmd),
];

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Uid,
    User,
    UidNumber,
    Group,
    Gid,
    Pid,
    Ppid,
    Pgid,
    Sid,
    C,
    Pcpu,
    Pmem,
    Vsz,
    Rss,
    Stime,
    Elapsed,
    Tty,
    Time,
    ShortTime,
    Stat,
    S,
    Ni,
    Pri,
    Threads,
    Comm,
    Cmd,
}

/// procps' names of columns with their titles.
const NAMES: [(&str, &str, Column); 40] = [
    ("pid", "PID", Column::Pid),
    ("ppid", "PPID", Column::Ppid),
    ("pgid", "PGID", Column::Pgid),
    ("pgrp", "PGRP", Column::Pgid),
    ("sid", "SID", Column::Sid),
    ("sess", "SESS", Column::Sid),
    ("user", "USER", Column::User),
    ("euser", "EUSER", Column::User),
    ("uname", "USER", Column::User),
    ("uid", "UID", Column::UidNumber),
    ("euid", "EUID", Column::UidNumber),
    ("ruser", "RUSER", Column::User),
    ("ruid", "RUID", Column::UidNumber),
    ("group", "GROUP", Column::Group),
    ("egroup", "EGROUP", Column::Group),
    ("rgroup", "RGROUP", Column::Group),
    ("nice", "NI", Column::Ni),
    ("gid", "GID", Column::Gid),
    ("egid", "EGID", Column::Gid),
    ("c", "C", Column::C),
    ("pcpu", "%CPU", Column::Pcpu),
    ("%cpu", "%CPU", Column::Pcpu),
    ("pmem", "%MEM", Column::Pmem),
    ("%mem", "%MEM", Column::Pmem),
    ("vsz", "VSZ", Column::Vsz),
    ("vsize", "VSZ", Column::Vsz),
    ("rss", "RSS", Column::Rss),
    ("stime", "STIME", Column::Stime),
    ("etime", "ELAPSED", Column::Elapsed),
    ("tty", "TT", Column::Tty),
    ("tname", "TTY", Column::Tty),
    ("time", "TIME", Column::Time),
    ("stat", "STAT", Column::Stat),
    ("s", "S", Column::S),
    ("ni", "NI", Column::Ni),
    ("pri", "PRI", Column::Pri),
    ("nlwp", "NLWP", Column::Threads),
    ("comm", "COMMAND", Column::Comm),
    ("args", "COMMAND", Column::Cmd),
    ("cmd", "CMD", Column::Cmd),
];

impl Containers {
    /// Its processes, in the columns of `ps` with these arguments (empty is `-ef`).
    pub async fn top(&self, name: &str, ps_args: &str) -> Result<Top> {
        let handle = self.find(name)?;
        let record = handle.record();
        let record_of_event = record.clone();
        if record.state.status() == Status::Restarting {
            return Err(is_restarting(&record));
        }
        start::must_run(&record)?;
        let columns = columns(ps_args)?;
        let shared = self.0.clone();
        blocking(move || {
            let cgroup = cgroup_of(&shared, &handle).ok_or_else(|| crate::error::not_running(&record.id))?;
            let mut pids = cgroup.pids().map_err(Error::internal)?;
            pids.sort_unstable();
            let host = Host::read();
            let processes = pids
                .into_iter()
                .filter_map(Entry::read)
                .map(|entry| columns.iter().map(|(_, column)| entry.show(*column, &host)).collect())
                .collect();
            Ok(Top { titles: columns.iter().map(|(title, _)| title.clone()).collect(), processes })
        })
        .await
        .inspect(|_| self.0.publish(&record_of_event, "top", []))
    }
}

/// Reads the arguments of `ps`: `-ef`, `aux`, `-o a,b=TITLE`.
fn columns(ps_args: &str) -> Result<Vec<(String, Column)>> {
    let full = || {
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
        titles.iter().map(|t| (*t).to_owned()).zip(FULL).collect::<Vec<_>>()
    };
    let mut chosen: Vec<(String, Column)> = Vec::new();
    let mut plain = Vec::new();
    let mut words = ps_args.split_whitespace();
    while let Some(word) = words.next() {
        let list = match word {
            "-o" | "o" | "--format" => words.next(),
            word => word.strip_prefix("-o").or_else(|| word.strip_prefix("--format=")).or_else(|| {
                // `-eo pid,args`
                let flags = word.trim_start_matches('-').strip_suffix('o')?;
                flags.chars().all(|c| c.is_ascii_alphabetic()).then(|| words.next()).flatten()
            }),
        };
        match list {
            Some(list) => {
                for name in list.split(',').filter(|name| !name.is_empty()) {
                    chosen.push(column(name)?);
                }
            }
            None => plain.push(word.trim_start_matches('-')),
        }
    }
    // Those that change order or width change nothing here.
    const LONG: [&str; 7] = ["--format", "--sort", "--forest", "--cols", "--columns", "--width", "--headers"];
    let is_known = |word: &str| LONG.contains(&word.split('=').next().unwrap_or_default());
    if ps_args.split_whitespace().any(|word| word.starts_with("--") && !is_known(word)) {
        return Err(Error::internal("ps: error: unknown gnu long option"));
    }
    if chosen.is_empty() {
        return Ok(match plain.join("").as_str() {
            "" | "e" | "ef" | "f" | "eF" | "A" | "Af" => full(),
            flags if flags.contains('u') && !flags.starts_with('u') => {
                AUX.iter().map(|(title, column)| ((*title).to_owned(), *column)).collect()
            }
            "x" | "ax" => BSD.iter().map(|(title, column)| ((*title).to_owned(), *column)).collect(),
            _ => {
                return Err(Error::invalid(format!(
                    "ps: unsupported arguments {ps_args:?}: use -ef, aux or -o"
                )));
            }
        });
    }
    // Docker looks for the word among the titles.
    if !chosen.iter().any(|(title, _)| title == "PID") {
        return Err(Error::internal("Couldn't find PID field in ps output"));
    }
    Ok(chosen)
}

fn column(text: &str) -> Result<(String, Column)> {
    let (name, title) = text.split_once('=').map_or((text, None), |(name, title)| (name, Some(title)));
    let name = if name == "command" { "args" } else { name };
    let found = NAMES.iter().find(|(known, _, _)| *known == name);
    let (_, default, column) = found.ok_or_else(|| {
        Error::internal(format!("ps: error: unknown user-defined format specifier \"{name}\""))
    })?;
    Ok((title.unwrap_or(default).to_owned(), *column))
}

/// What is needed of the host to show a process.
struct Host {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    boot_s: u64,
    now_s: u64,
    memory_kib: u64,
}

impl Host {
    fn read() -> Self {
        // Both files have the number in the third field.
        let names_in = |path: &str| -> HashMap<u32, String> {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let name_of = |line: &str| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
            };
            text.lines().filter_map(name_of).collect()
        };
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot_s =
            stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0);
        let info = rustix::system::sysinfo();
        Self {
            users: names_in("/etc/passwd"),
            groups: names_in("/etc/group"),
            boot_s,
            now_s: u64::try_from(Timestamp::now().seconds()).unwrap_or(0),
            memory_kib: info.totalram as u64 * u64::from(info.mem_unit) / 1024,
        }
    }
}

/// One process.
#[derive(Debug, Default)]
struct Entry {
    pid: i32,
    uid: u32,
    gid: u32,
    comm: String,
    command_line: String,
    /// `/proc/PID/stat` from field 3 (state) on.
    fields: Vec<String>,
}

impl Entry {
    /// `None` when it has gone.
    fn read(pid: i32) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let owner = std::fs::metadata(format!("/proc/{pid}")).ok()?;
        let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Self::parse(pid, &stat, &command_line).map(|entry| Self {
            uid: owner.uid(),
            gid: owner.gid(),
            ..entry
        })
    }

    fn parse(pid: i32, stat: &str, command_line: &[u8]) -> Option<Self> {
        let comm = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
        let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().map(str::to_owned).collect();
        let text = String::from_utf8_lossy(command_line);
        let words: Vec<&str> = text.split('\0').collect();
        let joined = words.join(" ").trim_end().to_owned();
        let command_line = if joined.is_empty() { format!("[{comm}]") } else { joined };
        Some(Self { pid, comm, command_line, fields, ..Self::default() })
    }

    /// A numbered field of proc(5), counted from 1.
    fn field(&self, number: usize) -> u64 {
        self.fields
            .get(number - 3)
            .and_then(|text| text.parse::<i64>().ok())
            .map_or(0, |n| u64::try_from(n).unwrap_or(0))
    }

    fn show(&self, column: Column, host: &Host) -> String {
        let cpu_s = (self.field(14) + self.field(15)) / TICKS;
        let started_s = host.boot_s + self.field(22) / TICKS;
        let lives_s = host.now_s.saturating_sub(started_s);
        let percent =
            |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
        let rss_kib = self.field(24) * (rustix::param::page_size() as u64 / 1024);
        let state = self.fields.first().cloned().unwrap_or_default();
        match column {
            Column::Uid | Column::User => {
                host.users.get(&self.uid).cloned().unwrap_or_else(|| self.uid.to_string())
            }
            Column::Group => host.groups.get(&self.gid).cloned().unwrap_or_else(|| self.gid.to_string()),
            Column::UidNumber => self.uid.to_string(),
            Column::Gid => self.gid.to_string(),
            Column::Pid => self.pid.to_string(),
            Column::Ppid => self.field(4).to_string(),
            Column::Pgid => self.field(5).to_string(),
            Column::Sid => self.field(6).to_string(),
            Column::C => (percent(cpu_s, lives_s) as u64).min(99).to_string(),
            Column::Pcpu => format!("{:.1}", percent(cpu_s, lives_s)),
            Column::Pmem => format!("{:.1}", percent(rss_kib, host.memory_kib)),
            Column::Vsz => (self.field(23) / 1024).to_string(),
            Column::Rss => rss_kib.to_string(),
            Column::Stime => start_text(started_s, host.now_s),
            Column::Elapsed => elapsed(lives_s),
            Column::Tty => tty(self.field(7)),
            Column::Time => format!("{:02}:{:02}:{:02}", cpu_s / 3600, cpu_s / 60 % 60, cpu_s % 60),
            Column::ShortTime => format!("{}:{:02}", cpu_s / 60, cpu_s % 60),
            Column::Stat => {
                let leader = if self.field(6) == u64::from(self.pid.unsigned_abs()) { "s" } else { "" };
                let threads = if self.field(20) > 1 { "l" } else { "" };
                format!("{state}{leader}{threads}")
            }
            Column::S => state,
            Column::Ni => self.fields.get(16).cloned().unwrap_or_default(),
            Column::Pri => (39 - i64::try_from(self.field(18)).unwrap_or(0)).to_string(),
            Column::Threads => self.field(20).to_string(),
            Column::Comm => self.comm.clone(),
            Column::Cmd => self.command_line.clone(),
        }
    }
}

/// `HH:MM` today, `MonDD` before, UTC.
fn start_text(started_s: u64, now_s: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = i64::try_from(started_s).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    match at {
        Some(at) if now_s.saturating_sub(started_s) < 86400 => format!("{:02}:{:02}", at.hour(), at.minute()),
        Some(at) => format!("{}{:02}", MONTHS[usize::from(u8::from(at.month())) - 1], at.day()),
        None => "?".to_owned(),
    }
}

/// `[[DD-]hh:]mm:ss`
fn elapsed(seconds: u64) -> String {
    let (days, hours, minutes, rest) =
        (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes:02}:{rest:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{rest:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// The name of a terminal by its device number.
fn tty(number: u64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        4 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_columns() {
        let titles = |args: &str| match columns(args) {
            Ok(columns) => columns.into_iter().map(|(title, _)| title).collect::<Vec<_>>().join(" "),
            Err(error) => error.message,
        };
        for (args, want) in [
            ("", "UID PID PPID C STIME TTY TIME CMD"),
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("-o pid,args", "PID COMMAND"),
            ("-eo pid,comm=X", "PID X"),
            ("-o args", "Couldn't find PID field in ps output"),
            ("-o pid,nosuch", "ps: error: unknown user-defined format specifier \"nosuch\""),
        ] {
            assert_eq!(titles(args), want, "{args}");
        }
    }

    #[test]
    fn a_process_is_shown() {
        let stat = "7 (a (b) c) S 1 7 7 34816 7 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1000 4096000 200 18446744073709551615";
        let entry = Entry::parse(7, stat, b"sleep\x00300\x00").unwrap();
        let host = Host {
            users: HashMap::new(),
            groups: HashMap::new(),
            boot_s: 1000,
            now_s: 1110,
            memory_kib: 1000,
        };
        let show = |column| entry.show(column, &host);
        assert_eq!(show(Column::Comm), "a (b) c");
        assert_eq!(show(Column::Cmd), "sleep 300");
        assert_eq!(show(Column::Time), "00:00:03");
        assert_eq!(show(Column::Tty), "pts/0");
        assert_eq!(show(Column::Elapsed), "01:40");
        assert_eq!(show(Column::Stat), "Ss");
        assert_eq!(show(Column::C), "3");
    }
}
