//! `docker cp`.

use std::io::{self, IsTerminal as _, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use wire::client::{ClientError, Payload, Query, Response, path_escape};

use crate::context::Context;
use crate::copy::{self, Extraction, Info, PackError, Rename};
use crate::flags::{Action, Args, Command, Flag, Kind, Parsed, flag};
use crate::format::units::human_size_with;
use crate::{Failure, Outcome, os_error};

pub(super) static CP: Command = Command::new(
    "cp",
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem",
    Action::Run(run),
)
.long(
    "Copy files/folders between a container and the local filesystem\n\nUse '-' as the source to read a tar archive from \
     stdin\nand extract it to a directory destination in a container.\nUse '-' as the destination to stream a tar archive \
     of a\ncontainer source to stdout.",
)
.aliases("docker container cp, docker cp")
.flags(FLAGS)
.args(Args::Exactly(2));

const FLAGS: &[Flag] = &[
    flag("archive", Kind::Bool, "Archive mode (copy all uid/gid information)").short('a'),
    flag("follow-link", Kind::Bool, "Always follow symbol link in SRC_PATH").short('L'),
    flag(
        "quiet",
        Kind::Bool,
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    )
    .short('q'),
];

/// Bits of Go's `os.FileMode`.
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_SYMLINK: u32 = 1 << 27;
const MODE_DEVICE: u32 = 1 << 26;
const MODE_IRREGULAR: u32 = 1 << 19;
/// The header with what a path in a container is.
const STAT_HEADER: &str = "X-Docker-Container-Path-Stat";
/// How often the progress on a terminal changes.
const UPDATE_EVERY: Duration = Duration::from_millis(75);

/// What a path in a container is, as the daemon says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PathStat {
    mode: u32,
    link_target: String,
}

struct Job<'a> {
    context: &'a Context,
    container: &'a str,
    inside: &'a str,
    here: &'a str,
    follow_link: bool,
    keep_owners: bool,
    quiet: bool,
}

fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let (source, destination) = (parsed.args[0].as_str(), parsed.args[1].as_str());
    if source.is_empty() {
        return Err(Failure::new("source can not be empty"));
    }
    if destination.is_empty() {
        return Err(Failure::new("destination can not be empty"));
    }
    let ((from, from_path), (to, to_path)) = (split(source), split(destination));
    let job = |container, inside, here| Job {
        context,
        container,
        inside,
        here,
        follow_link: parsed.on("follow-link"),
        keep_owners: parsed.on("archive"),
        quiet: if parsed.changed("quiet") { parsed.on("quiet") } else { !io::stdout().is_terminal() },
    };
    match (from, to) {
        (Some(_), Some(_)) => Err(Failure::new("copying between containers is not supported")),
        (None, None) => Err(Failure::new("must specify at least one container source")),
        (Some(container), None) => job(container, from_path, to_path).fetch(),
        (None, Some(container)) => job(container, to_path, from_path).to_container(),
    }
}

/// `CONTAINER:PATH`. A path here with a colon in it begins with `/` or `.`.
fn split(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once(':') {
        Some((container, path)) if !container.is_empty() && !container.starts_with(['/', '.']) => {
            (Some(container), path)
        }
        Some(("", path)) => (None, path),
        _ => (None, argument),
    }
}

impl Job<'_> {
    fn route(&self) -> String {
        format!("/containers/{}/archive", path_escape(self.container))
    }

    /// What is at a path in the container; nothing when it cannot be found out.
    fn stat(&self, path: &str) -> Option<PathStat> {
        let query = Query::new().with("path", path);
        let client = self.context.client().ok()?;
        let answer = client.send("HEAD", &self.route(), &query, &[], Payload::Empty).ok()?;
        let stat = stat_of(&answer).ok();
        answer.discard();
        stat
    }

    fn fetch(&self) -> Outcome {
        let to_stdout = self.here == "-";
        let here = if to_stdout { "-".to_owned() } else { copy::absolute(self.here)? };
        copy::check_output(&here)?;
        let (mut path, mut rebase_name) = (self.inside.to_owned(), String::new());
        if self.follow_link
            && let Some(stat) = self.stat(&path).filter(|stat| stat.mode & MODE_SYMLINK != 0)
        {
            (path, rebase_name) = copy::rebase(&path, &beside(&path, &stat.link_target));
        }
        let client = self.context.client()?;
        let query = Query::new().with("path", path.as_str());
        let mut answer = client.send("GET", &self.route(), &query, &[], Payload::Empty)?;
        let stat = stat_of(&answer)?;
        if to_stdout {
            return crate::stream::copy_raw(&mut answer);
        }
        let source = Info { path, exists: true, is_dir: stat.mode & MODE_DIRECTORY != 0, rebase_name };
        let destination = copy::destination(&here)?;
        let (directory, rename) = copy::plan(&source, &destination)?;
        let mut renames = Vec::new();
        if !source.rebase_name.is_empty() {
            renames.push(Rename::new(&copy::split_entry(&source.path).1, &source.rebase_name));
        }
        let only = rename.as_ref().map(|rename| rename.to.clone());
        renames.extend(rename);
        let total = AtomicU64::new(0);
        let input = Counted { inner: io::BufReader::with_capacity(256 * 1024, answer), total: &total };
        self.with_progress("Copying from container - ", &total, || {
            Ok(Extraction::new(&directory, &renames, only.as_deref())?.run(input)?)
        })?;
        self.report(&total, &here);
        Ok(())
    }

    fn to_container(&self) -> Outcome {
        let from_stdin = self.here == "-";
        let here = if from_stdin { "-".to_owned() } else { copy::absolute(self.here)? };
        let mut destination = Info { path: self.inside.to_owned(), ..Info::default() };
        let mut stat = self.stat(self.inside);
        if let Some(link) = stat.as_ref().filter(|stat| stat.mode & MODE_SYMLINK != 0) {
            destination.path = beside(self.inside, &link.link_target);
            stat = self.stat(&destination.path);
        }
        if let Some(stat) = stat {
            check_target(&stat).map_err(|why| {
                let place = format!("{}:{}", self.container, self.inside);
                format!("destination \"{place}\" must be a directory or a regular file: {why}")
            })?;
            destination.exists = true;
            destination.is_dir = stat.mode & MODE_DIRECTORY != 0;
        }
        let total = AtomicU64::new(0);
        if from_stdin {
            if !destination.is_dir {
                let place = format!("{}:{}", self.container, self.inside);
                return Err(Failure::new(format!("destination \"{place}\" must be a directory")));
            }
            let mut input = Counted { inner: io::stdin().lock(), total: &total };
            self.with_progress("Copying to container - ", &total, || {
                self.upload(&destination.path, &mut input).map_err(Failure::from)
            })?;
        } else {
            let source = copy::source(&here, self.follow_link)?;
            let (directory, rename) = copy::plan(&source, &destination)?;
            let renames: Vec<Rename> = rename.into_iter().collect();
            self.with_progress("Copying to container - ", &total, || {
                self.upload_files(&source, &renames, &directory, &total)
            })?;
        }
        self.report(&total, &format!("{}:{}", self.container, destination.path));
        Ok(())
    }

    /// Packs on a thread of its own what this one sends.
    fn upload_files(&self, source: &Info, renames: &[Rename], directory: &str, total: &AtomicU64) -> Outcome {
        let (read, write) = io::pipe().map_err(|error| Failure::new(os_error(&error)))?;
        let (packed, is_packed) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody waits for the outcome when the daemon has refused already.
                let _ = packed.send(copy::pack(source, renames, write));
            });
            let mut input = Counted { inner: Packed { pipe: read, outcome: is_packed, failed: None }, total };
            let sent = self.upload(directory, &mut input);
            match (input.inner.failed, sent) {
                (Some(PackError::Read(message)), _) => Err(Failure::new(message)),
                (_, sent) => sent.map_err(Failure::from),
            }
        })
    }

    fn upload(&self, directory: &str, input: &mut dyn Read) -> Result<(), ClientError> {
        let mut query = Query::new().with("path", directory).with("noOverwriteDirNonDir", "true");
        if self.keep_owners {
            query = query.with("copyUIDGID", "true");
        }
        let client = self.context.client().map_err(|failure| ClientError::Protocol(failure.message))?;
        let payload = Payload::Stream { content_type: "application/x-tar", source: input };
        client.send("PUT", &self.route(), &query, &[], payload)?.discard();
        Ok(())
    }

    /// Shows on a terminal how many bytes have gone while `work` runs.
    fn with_progress(&self, header: &str, total: &AtomicU64, work: impl FnOnce() -> Outcome) -> Outcome {
        if self.quiet || !io::stderr().is_terminal() {
            return work();
        }
        let (stop, stopped) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || show_progress(header, total, &stopped));
            let outcome = work();
            drop(stop);
            outcome
        })
    }

    fn report(&self, total: &AtomicU64, place: &str) {
        if !self.quiet {
            let size = human_size_with(total.load(Ordering::Relaxed) as f64, 3);
            crate::warn(&format!("Successfully copied {size} to {place}"));
        }
    }
}

/// Rewrites one line of the terminal until `stopped`, then clears it.
fn show_progress(header: &str, total: &AtomicU64, stopped: &mpsc::Receiver<()>) {
    use io::Write as _;
    let mut out = io::stderr().lock();
    let mut draw = |text: &str| {
        // Whoever closed the terminal does not look at it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    let mut shown = None;
    loop {
        let bytes = total.load(Ordering::Relaxed);
        if shown != Some(bytes) {
            shown = Some(bytes);
            draw(&format!("\r\x1b[2K\x1b[?25l{header}{}", human_size_with(bytes as f64, 3)));
        }
        if stopped.recv_timeout(UPDATE_EVERY) != Err(RecvTimeoutError::Timeout) {
            draw("\r\x1b[2K\x1b[?25h");
            return;
        }
    }
}

/// A link's target as a path in the container.
fn beside(path: &str, target: &str) -> String {
    match target.starts_with('/') {
        true => target.to_owned(),
        false => copy::join(&copy::split_entry(path).0, target),
    }
}

fn check_target(stat: &PathStat) -> Result<(), &'static str> {
    match stat.mode {
        mode if mode & MODE_DEVICE != 0 => Err("got a device"),
        mode if mode & MODE_IRREGULAR != 0 => Err("got an irregular file"),
        _ => Ok(()),
    }
}

fn stat_of(answer: &Response) -> Result<PathStat, Failure> {
    let failed = |why: String| {
        Failure::new(format!(
            "unable to get resource stat from response: unable to decode container path stat header: {why}"
        ))
    };
    let text = answer.header(STAT_HEADER).unwrap_or_default();
    let json = STANDARD.decode(text).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))
}

/// Counts what is read.
struct Counted<'a, R> {
    inner: R,
    total: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.total.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What another thread packs. Its end is only the end when that thread says that all went well: the daemon must not take
/// half an archive for a whole one.
struct Packed {
    pipe: io::PipeReader,
    outcome: mpsc::Receiver<Result<(), PackError>>,
    failed: Option<PackError>,
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        if count > 0 {
            return Ok(count);
        }
        match self.outcome.recv() {
            Ok(Ok(())) => Ok(0),
            Ok(Err(error)) => {
                self.failed = Some(error);
                Err(io::Error::other("the files could not be packed"))
            }
            // Asked once more after the end.
            Err(_) => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_tells_a_container_unless_the_path_says_that_it_is_here() {
        for (argument, want) in [
            ("c:/etc", (Some("c"), "/etc")),
            ("c:", (Some("c"), "")),
            ("/a:b", (None, "/a:b")),
            ("./a:b", (None, "./a:b")),
            ("../a:b", (None, "../a:b")),
            ("-", (None, "-")),
            (":/x", (None, "/x")),
            ("a:b:c", (Some("a"), "b:c")),
        ] {
            assert_eq!(split(argument), want, "{argument}");
        }
    }
}
