//! The commands and their flags, as `--help` tells them: the layout is runc's, which scripts and tests look at.

use std::fmt::Write as _;
use std::path::Path;

/// How many words beside flags a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Exactly(usize),
    AtLeast(usize),
}

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Without dashes; a second one is its short form.
    names: &'static [&'static str],
    takes_value: bool,
    about: &'static str,
}

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    summary: &'static str,
    /// What follows the flags.
    words: &'static str,
    pub(super) count: Count,
    /// The first word ends the flags: what follows may have flags of its own.
    pub(super) words_end_flags: bool,
    flags: &'static [Flag],
}

const fn value(names: &'static [&'static str], about: &'static str) -> Flag {
    Flag { names, takes_value: true, about }
}

const fn switch(names: &'static [&'static str], about: &'static str) -> Flag {
    Flag { names, takes_value: false, about }
}

const ID: &str = "<container-id>";

const BUNDLE: Flag = value(&["bundle", "b"], "directory of the bundle (default: the current directory)");
const CONSOLE_SOCKET: Flag =
    value(&["console-socket"], "unix socket that receives the descriptor of the terminal's master");
const PIDFD_SOCKET: Flag = value(&["pidfd-socket"], "unix socket that receives a pidfd of the process");
const PID_FILE: Flag = value(&["pid-file"], "file to write the process id to");
const NO_PIVOT: Flag =
    switch(&["no-pivot"], "move the root instead of pivot_root, for a root file system in an initramfs");
const NO_NEW_KEYRING: Flag = switch(&["no-new-keyring"], "keep the caller's session keyring");
const PRESERVE_FDS: Flag = value(
    &["preserve-fds"],
    "pass this many descriptors more to the process (stdio + $LISTEN_FDS + N in total) (default: 0)",
);
const DETACH: Flag = switch(&["detach", "d"], "do not wait for the process");
const NO_SUBREAPER: Flag = switch(&["no-subreaper"], "accepted; this process never adopts others");
const FORMAT: Flag = value(&["format", "f"], "table or json (default: \"table\")");
const IMAGE_PATH: Flag = value(&["image-path"], "directory of criu's image files");
const WORK_PATH: Flag = value(&["work-path"], "directory for criu's work files and logs");
const TCP_ESTABLISHED: Flag = switch(&["tcp-established"], "allow open TCP connections");
const EXT_UNIX_SK: Flag = switch(&["ext-unix-sk"], "allow unix sockets to the outside");
const SHELL_JOB: Flag = switch(&["shell-job"], "allow jobs of a shell");
const FILE_LOCKS: Flag = switch(&["file-locks"], "keep file locks");
const CGROUPS_MODE: Flag =
    value(&["manage-cgroups-mode"], "soft, full, strict or ignore (default: \"soft\")");
const EMPTY_NS: Flag = value(&["empty-ns"], "make this namespace without restoring what is in it");
const AUTO_DEDUP: Flag = switch(&["auto-dedup"], "deduplicate memory images");
const LAZY_PAGES: Flag = switch(&["lazy-pages"], "restore memory when it is used (userfaultfd)");

const fn id_only(name: &'static str, summary: &'static str) -> Command {
    Command { name, summary, words: ID, count: Count::Exactly(1), words_end_flags: false, flags: &[] }
}

/// Flags before the command.
pub(super) const GLOBAL: Command = Command {
    name: "",
    summary: "Open Container Initiative runtime",
    words: "command [command options] [arguments...]",
    count: Count::AtLeast(0),
    words_end_flags: true,
    flags: &[
        switch(&["debug"], "log what is done"),
        value(&["log"], "file to write the log to (default: standard error)"),
        value(&["log-format"], "text or json (default: \"text\")"),
        value(
            &["root"],
            "directory of the containers' states, best in memory (default: \"/run/wharf-runtime\")",
        ),
        switch(&["systemd-cgroup"], "let systemd make cgroups; cgroupsPath is \"slice:prefix:name\""),
        value(
            &["rootless"],
            "go without cgroups that may not be made: true, false or auto (default: \"auto\")",
        ),
        value(&["criu"], "ignored: criu is looked for in $PATH"),
        switch(&["help", "h"], "show help"),
        switch(&["version", "v"], "print the version"),
    ],
};

pub(super) const COMMANDS: [Command; 17] = [
    Command {
        flags: &[
            IMAGE_PATH,
            WORK_PATH,
            value(&["parent-path"], "directory of a pre-dump that this one builds on"),
            switch(&["leave-running"], "let the container run on"),
            TCP_ESTABLISHED,
            switch(&["tcp-skip-in-flight"], "leave out TCP connections that are being made"),
            switch(&["link-remap"], "link unlinked files back where possible"),
            EXT_UNIX_SK,
            SHELL_JOB,
            LAZY_PAGES,
            value(
                &["status-fd"],
                "descriptor that criu writes \\0 to when lazy pages are ready (default: -1)",
            ),
            value(&["page-server"], "ADDRESS:PORT of the page server"),
            FILE_LOCKS,
            switch(&["pre-dump"], "save memory only and let the container run on"),
            CGROUPS_MODE,
            EMPTY_NS,
            AUTO_DEDUP,
        ],
        ..id_only("checkpoint", "save a running container with criu")
    },
    Command {
        flags: &[BUNDLE, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS],
        ..id_only("create", "create a container from a bundle, up to its start")
    },
    Command {
        flags: &[switch(&["force", "f"], "kill the container first if it runs")],
        ..id_only("delete", "remove what is left of a stopped container")
    },
    Command {
        flags: &[
            value(&["interval"], "time between two lines (default: 5s)"),
            switch(&["stats"], "print what the container uses once"),
        ],
        ..id_only("events", "print what a container uses, and when its memory runs out")
    },
    Command {
        name: "exec",
        summary: "run one more process in a container",
        words: "<container-id> <command> [command options]  || -p process.json <container-id>",
        count: Count::AtLeast(1),
        words_end_flags: true,
        flags: &[
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            value(&["cwd"], "working directory in the container"),
            value(&["env", "e"], "set an environment variable; can be repeated"),
            switch(&["tty", "t"], "give the process a terminal"),
            value(&["user", "u"], "UID[:GID]"),
            value(&["additional-gids", "g"], "one more group; can be repeated"),
            value(&["process", "p"], "file with the process as JSON"),
            DETACH,
            PID_FILE,
            value(&["process-label"], "SELinux label"),
            value(&["apparmor"], "AppArmor profile"),
            switch(&["no-new-privs"], "set no_new_privs"),
            value(&["cap", "c"], "one more capability; can be repeated"),
            PRESERVE_FDS,
            value(&["cgroup"], "cgroup below the container's: [<controller>:]<cgroup>; can be repeated"),
            switch(&["ignore-paused"], "also if the container is paused"),
        ],
    },
    Command {
        name: "kill",
        summary: "send a signal (default: SIGTERM) to a container's first process",
        words: "<container-id> [signal]",
        count: Count::AtLeast(1),
        words_end_flags: true,
        flags: &[switch(&["all", "a"], "send it to every process in the container's cgroup")],
    },
    Command {
        words: "",
        count: Count::Exactly(0),
        flags: &[FORMAT, switch(&["quiet", "q"], "print ids only")],
        ..id_only("list", "list the containers below --root")
    },
    id_only("pause", "freeze all processes of a container"),
    Command {
        name: "ps",
        summary: "list the processes of a container",
        words: "<container-id> [ps options]",
        count: Count::AtLeast(1),
        words_end_flags: true,
        flags: &[FORMAT],
    },
    Command {
        flags: &[
            CONSOLE_SOCKET,
            IMAGE_PATH,
            WORK_PATH,
            TCP_ESTABLISHED,
            EXT_UNIX_SK,
            SHELL_JOB,
            FILE_LOCKS,
            CGROUPS_MODE,
            BUNDLE,
            DETACH,
            PID_FILE,
            NO_SUBREAPER,
            NO_PIVOT,
            EMPTY_NS,
            AUTO_DEDUP,
            LAZY_PAGES,
            value(&["lsm-profile"], "profile to restore with: TYPE:NAME"),
            value(&["lsm-mount-context"], "context of mounts to restore with"),
        ],
        ..id_only("restore", "make a container from what checkpoint saved")
    },
    id_only("resume", "thaw a paused container"),
    Command {
        flags: &[
            BUNDLE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            DETACH,
            switch(&["keep"], "do not delete the container after it has ended"),
            PID_FILE,
            NO_SUBREAPER,
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
        ],
        ..id_only("run", "create and start a container, and wait for it")
    },
    Command {
        words: "",
        count: Count::Exactly(0),
        flags: &[BUNDLE, switch(&["rootless"], "for a container of an ordinary user")],
        ..id_only("spec", "write a first config.json")
    },
    id_only("start", "run the user's process of a created container"),
    id_only("state", "print the state of a container as JSON"),
    Command {
        flags: &[
            value(
                &["resources", "r"],
                "file with the resources as JSON, `-` for standard input; other flags do not count then",
            ),
            value(&["blkio-weight"], "weight for block devices, 10 to 1000"),
            value(&["cpu-period"], "period of the CPU quota in microseconds; 0 for the kernel's"),
            value(&["cpu-quota"], "CPU time in a period, in microseconds"),
            value(&["cpu-burst"], "CPU time beyond it that may be saved up, in microseconds"),
            value(&["cpu-share"], "CPU shares, relative to other containers"),
            value(&["cpu-rt-period"], "period of the realtime quota in microseconds"),
            value(&["cpu-rt-runtime"], "realtime CPU time in a period, in microseconds"),
            value(&["cpuset-cpus"], "processors to use"),
            value(&["cpuset-mems"], "memory nodes to use"),
            value(&["memory"], "memory limit in bytes"),
            value(&["cpu-idle"], "1: only when nothing else wants the processor; 0: as usual"),
            value(&["memory-reservation"], "soft memory limit in bytes"),
            value(&["memory-swap"], "limit of memory and swap together; -1 for no limit"),
            value(&["pids-limit"], "how many processes; -1 for no limit"),
            value(&["l3-cache-schema"], "schema of the L3 cache (Intel RDT)"),
            value(&["mem-bw-schema"], "schema of memory bandwidth (Intel RDT)"),
        ],
        ..id_only("update", "change the limits of a container")
    },
    Command {
        words: "",
        count: Count::Exactly(0),
        ..id_only("features", "print what this runtime can do as JSON")
    },
];

/// How this program was called: `wharf runtime`, or the name of a link to it.
pub(super) fn program() -> String {
    let first = std::env::args_os().next().unwrap_or_default();
    match Path::new(&first).file_name().and_then(|name| name.to_str()) {
        None | Some("wharf") => "wharf runtime".into(),
        Some(name) => name.to_owned(),
    }
}

/// The command of that name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    static ALL: &[Command] = &COMMANDS;
    ALL.iter().find(|command| command.name == name)
}

impl Command {
    /// Whether `-h` or `--help` is among the words that are this command's own.
    pub(super) fn help_is_wanted(&self, words: &[String]) -> bool {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                if self.words_end_flags {
                    return false;
                }
                continue;
            };
            match name {
                "" => return false,
                "h" | "help" => return true,
                _ if self.flags.iter().any(|flag| flag.takes_value && flag.names.contains(&name)) => {
                    words.next();
                }
                _ => {}
            }
        }
        false
    }

    /// Words with each flag once, and as many others as are too few or too many.
    #[cfg(test)]
    pub(super) fn every_flag(&self) -> impl Iterator<Item = Vec<String>> {
        let others = if self.count == Count::Exactly(0) { &["x"][..] } else { &[] };
        let names = self.flags.iter().flat_map(|flag| flag.names.iter().map(move |name| (flag, name)));
        names.map(move |(flag, name)| {
            let value = if flag.takes_value { &["1"][..] } else { &[] };
            let words = std::iter::once(&*format!("--{name}"))
                .chain(value.iter().copied())
                .map(String::from)
                .collect::<Vec<_>>();
            words.into_iter().chain(others.iter().map(ToString::to_string)).collect()
        })
    }

    /// Its help.
    pub(super) fn help(&self) -> String {
        let program = program();
        let name = if self.name.is_empty() { program.clone() } else { format!("{program} {}", self.name) };
        let options = match (self.name, self.flags) {
            ("", _) => " [global options]",
            (_, []) => "",
            _ => " [command options]",
        };
        let words = self.words;
        let mut text = format!(
            "NAME:\n   {name} - {}\n\nUSAGE:\n   {}\n",
            self.summary,
            format!("{name}{options} {words}").trim_end()
        );
        if self.name.is_empty() {
            let rows = COMMANDS.iter().map(|command| (command.name.to_owned(), command.summary));
            let rows: Vec<_> =
                rows.chain([("help, h".to_owned(), "show help, also of one command")]).collect();
            let _ = write!(text, "\nVERSION:\n   {}\n\nCOMMANDS:\n", env!("CARGO_PKG_VERSION"));
            columns(&mut text, &rows);
            text.push_str("\nGLOBAL OPTIONS:\n");
        } else if !self.flags.is_empty() {
            text.push_str("\nOPTIONS:\n");
        }
        columns(&mut text, &self.flags.iter().map(|flag| (flag.heading(), flag.about)).collect::<Vec<_>>());
        text
    }
}

impl Flag {
    /// `--bundle value, -b value`.
    fn heading(&self) -> String {
        let one = |name: &&str| {
            let dashes = if name.len() == 1 { "-" } else { "--" };
            format!("{dashes}{name}{}", if self.takes_value { " value" } else { "" })
        };
        self.names.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn columns(text: &mut String, rows: &[(String, &str)]) {
    let width = rows.iter().map(|(head, _)| head.len()).max().unwrap_or(0);
    for (head, about) in rows {
        let _ = writeln!(text, "   {head:width$}  {about}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn help_is_laid_out_as_runcs() {
        let text = find("delete").unwrap().help();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME:");
        assert!(lines[1].ends_with(" delete - remove what is left of a stopped container"), "{text}");
        assert!(lines[4].ends_with(" delete [command options] <container-id>"), "{text}");
        assert_eq!(lines[6..], ["OPTIONS:", "   --force, -f  kill the container first if it runs"]);
        assert!(GLOBAL.help().contains("   --log-format value  text or json"), "{}", GLOBAL.help());
        assert!(GLOBAL.help().contains("   update      change the limits of a container\n"));
    }

    #[test]
    fn help_is_wanted_only_by_flags_of_the_command() {
        for (command, text, wanted) in [
            ("create", "--bundle -h x", false),
            ("create", "--bundle b x --help", true),
            ("create", "--bundle=b -h", true),
            ("exec", "x ls --help", false),
            ("exec", "-t --help x", true),
            ("exec", "-- --help", false),
            ("state", "x", false),
        ] {
            assert_eq!(find(command).unwrap().help_is_wanted(&words(text)), wanted, "{command} {text}");
        }
    }
}
