//! `checkpoint` and `restore`, by the program criu(8) where it is installed.
//!
//! What criu cannot know is told on its command line, which is worked out here ([`dump`], [`restore_options`]) apart from running
//! it: mounts of the host (`--external`), the descriptors that the container inherited, cgroups, namespaces of others.

mod restore;

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use types::spec::{Linux, Mount, NamespaceKind, RuntimeSpec, Status};

use super::args::{Args, unknown};
use super::container::Container;
use super::{Global, Outcome, manage};
use crate::error::{Context, Error};

pub(super) use restore::restore;

/// What the container's standard descriptors were, in the directory of a checkpoint; runc's name for it.
const DESCRIPTORS: &str = "descriptors.json";
/// What a network or pid namespace that is not the container's own is called in a checkpoint.
const EXTERNAL: [(NamespaceKind, &str, &str); 2] =
    [(NamespaceKind::Network, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];

/// Flags of both commands.
#[derive(Debug, Default, Clone)]
struct Flags {
    image_path: Option<PathBuf>,
    work_path: Option<PathBuf>,
    /// As runc's: soft, full, strict, ignore.
    cgroups_mode: String,
    /// Those that criu has under the same name, passed on: with a value or without.
    same: Vec<String>,
    leave_running: bool,
    pre_dump: bool,
    lazy_pages: bool,
    parent_path: Option<PathBuf>,
    page_server: Option<(String, u16)>,
    status_fd: Option<i32>,
}

impl Flags {
    /// Takes a flag that both commands know; `false` when it is none of them.
    fn take(&mut self, flag: &str, args: &mut Args) -> Result<bool, Error> {
        match flag {
            "image-path" => self.image_path = Some(args.value(flag)?.into()),
            "work-path" => self.work_path = Some(args.value(flag)?.into()),
            "manage-cgroups-mode" => {
                self.cgroups_mode = match args.value(flag)?.as_str() {
                    "" => String::new(),
                    mode @ ("soft" | "full" | "strict" | "ignore") => mode.to_owned(),
                    _ => return Err(Error::Invalid("Invalid manage-cgroups-mode value".into())),
                }
            }
            "tcp-established" | "ext-unix-sk" | "shell-job" | "file-locks" | "auto-dedup" => {
                if args.boolean()? {
                    self.same.push(format!("--{flag}"));
                }
            }
            "lazy-pages" => self.lazy_pages = args.boolean()?,
            "empty-ns" => match args.value(flag)?.as_str() {
                "network" => {} // always: networks are not ours to keep
                other => return Err(Error::Invalid(format!("namespace {other:?} is not supported"))),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Where the images lie: `--image-path`, or `checkpoint` in the working directory.
    fn images(&self) -> Result<PathBuf, Error> {
        let given = self.image_path.clone().unwrap_or_else(|| PathBuf::from("checkpoint"));
        std::path::absolute(&given).doing(|| format!("find {}", given.display()))
    }
}

pub(super) fn checkpoint(global: &Global, mut args: Args) -> Outcome {
    let mut flags = Flags::default();
    while let Some(flag) = args.flag()? {
        if flags.take(&flag, &mut args)? {
            continue;
        }
        match flag.as_str() {
            "leave-running" => flags.leave_running = args.boolean()?,
            "pre-dump" => flags.pre_dump = args.boolean()?,
            "parent-path" => flags.parent_path = Some(args.value(&flag)?.into()),
            "tcp-skip-in-flight" if args.boolean()? => flags.same.push("--skip-in-flight".into()),
            "link-remap" if args.boolean()? => flags.same.push("--link-remap".into()),
            "tcp-skip-in-flight" | "link-remap" => {}
            "status-fd" => flags.status_fd = Some(args.number(&flag)?).filter(|fd| *fd >= 0),
            "page-server" => flags.page_server = Some(page_server(&args.value(&flag)?)?),
            _ => return Err(unknown(&flag)),
        }
    }
    let id = args.id()?;
    args.end()?;
    if global.rootless {
        global.log.warn("checkpoint is untested with rootless containers");
    }
    let container = Container::open(global, &id)?;
    let status = container.status();
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(Error::State(format!("Container cannot be checkpointed in {status} state")));
    }
    refuse_terminal(&container.record.spec)?;
    let version = installed()?;
    let images = flags.images()?;
    make_directory(&images)?;
    if let Some(parent) = &flags.parent_path {
        check_parent(&images, parent)?;
    }
    if !flags.pre_dump {
        write_descriptors(&images, container.record.init_process_pid)?;
    }
    let mut command = Command::new("criu");
    command.args(dump(&container, &flags, &images)?).args(network_lock(&flags, version));
    run(command, flags.work_path.as_deref().unwrap_or(&images), "dump.log")?;
    if !flags.leave_running && !flags.pre_dump {
        manage::destroy(global, &container)?;
    }
    Ok(0)
}

fn page_server(text: &str) -> Result<(String, u16), Error> {
    let parts = text.rsplit_once(':').filter(|(address, port)| !address.is_empty() && !port.is_empty());
    let Some((address, port)) = parts else {
        return Err(Error::Invalid("Use --page-server ADDRESS:PORT to specify page server".into()));
    };
    let port = port.parse().map_err(|_| Error::Invalid("Invalid port number".into()))?;
    Ok((address.trim_matches(['[', ']']).to_owned(), port))
}

/// criu hands a terminal's master over on its programming interface only.
fn refuse_terminal(spec: &RuntimeSpec) -> Result<(), Error> {
    if spec.process.as_ref().is_some_and(|process| process.terminal) {
        let text = "checkpoint and restore of a container with a terminal are not implemented";
        return Err(Error::NotImplemented(text.into()));
    }
    Ok(())
}

/// The version of the criu that is installed.
fn installed() -> Result<(u32, u32), Error> {
    let output = match Command::new("criu").arg("--version").output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NotImplemented(
                "checkpoint and restore need the program criu, which is not in $PATH".into(),
            ));
        }
        other => other.doing(|| "run criu".into())?,
    };
    if !output.status.success() {
        return Err(Error::Failed(format!("criu --version: {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    version(&text).ok_or_else(|| Error::Failed(format!("criu --version says {:?}", text.trim_end())))
}

/// `Version: 3.17.1`
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.lines().find_map(|line| line.strip_prefix("Version: "))?.split('.');
    Some((numbers.next()?.trim().parse().ok()?, numbers.next()?.trim().parse().ok()?))
}

/// How criu keeps packets away meanwhile. Without connections to keep there are none to be kept away; older versions do it all the
/// same, by programs of iptables or by nftables alone.
fn network_lock(flags: &Flags, version: (u32, u32)) -> Option<&'static str> {
    let has_iptables = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join("iptables-restore").exists())
    };
    match version {
        (3, 18..) | (4.., _) if !flags.same.iter().any(|option| option == "--tcp-established") => {
            Some("--network-lock=skip")
        }
        (3, 17) if !has_iptables() => Some("--network-lock=nftables"),
        _ => None,
    }
}

fn make_directory(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.doing(|| format!("make {}", path.display()))
}

fn check_parent(images: &Path, parent: &Path) -> Result<(), Error> {
    if parent.is_absolute() {
        return Err(Error::Invalid("--parent-path must be relative".into()));
    }
    let path = images.join(parent);
    let metadata = std::fs::metadata(&path).doing(|| format!("invalid --parent-path: {}", path.display()))?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(Error::Invalid(format!("invalid --parent-path: {}: not a directory", path.display())))
}

fn write_descriptors(images: &Path, pid: i32) -> Result<(), Error> {
    let read = |fd: i32| {
        let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        link.map_or_else(|_| String::new(), |link| link.to_string_lossy().into_owned())
    };
    let text = serde_json::to_vec(&[0, 1, 2].map(read)).map_err(|error| Error::Failed(error.to_string()))?;
    let path = images.join(DESCRIPTORS);
    linux::fs::write_atomic(&path, &text, 0o600, false).doing(|| format!("write {}", path.display()))
}

/// Options that both commands begin with.
fn common(flags: &Flags, spec: &RuntimeSpec, images: &Path, log: &str) -> Vec<String> {
    let mut list = vec!["--images-dir".to_owned(), images.to_string_lossy().into_owned()];
    if let Some(work) = &flags.work_path {
        list.extend(["--work-dir".to_owned(), work.to_string_lossy().into_owned()]);
    }
    let mode = if flags.cgroups_mode.is_empty() { "soft" } else { flags.cgroups_mode.as_str() };
    list.extend([format!("--log-file={log}"), "-v4".to_owned(), format!("--manage-cgroups={mode}")]);
    // A file with further options for this container; an empty name is none at all (as in runc).
    match spec.annotations.get("org.criu.config") {
        Some(file) if file.is_empty() => list.push("--no-default-config".to_owned()),
        Some(file) => list.extend(["--config".to_owned(), file.clone()]),
        None => {}
    }
    list.extend(flags.same.iter().cloned());
    list
}

/// criu's arguments for a checkpoint.
fn dump(container: &Container, flags: &Flags, images: &Path) -> Result<Vec<String>, Error> {
    let (record, none) = (&container.record, Linux::default());
    let linux = record.spec.linux.as_ref().unwrap_or(&none);
    let mut list = vec![if flags.pre_dump { "pre-dump" } else { "dump" }.to_owned()];
    list.extend(common(flags, &record.spec, images, "dump.log"));
    list.extend(["--tree".to_owned(), record.init_process_pid.to_string()]);
    list.extend(["--root".to_owned(), record.rootfs.to_string_lossy().into_owned()]);
    for (wanted, value) in [(flags.leave_running, "--leave-running"), (flags.lazy_pages, "--lazy-pages")] {
        if wanted {
            list.push(value.to_owned());
        }
    }
    if let Some(parent) = &flags.parent_path {
        list.extend([
            "--prev-images-dir".to_owned(),
            parent.to_string_lossy().into_owned(),
            "--track-mem".to_owned(),
        ]);
    } else if flags.pre_dump {
        list.push("--track-mem".to_owned());
    }
    if let Some((address, port)) = &flags.page_server {
        list.push("--page-server".to_owned());
        list.extend(["--address".to_owned(), address.clone(), "--port".to_owned(), port.to_string()]);
    }
    if let Some(fd) = flags.status_fd {
        list.extend(["--status-fd".to_owned(), fd.to_string()]);
    }
    let paths = &record.cgroup_paths;
    if let Some(freezer) = paths.get("freezer").or(paths.get("").filter(|_| paths.len() == 1)) {
        list.extend(["--freeze-cgroup".to_owned(), freezer.to_string_lossy().into_owned()]);
    }
    for (kind, word, key) in EXTERNAL {
        let path =
            linux.namespaces.iter().find(|namespace| namespace.kind == kind).map(|found| found.path.as_str());
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            let inode = std::fs::metadata(path).doing(|| format!("look at {path}"))?.ino();
            list.extend(["--external".to_owned(), format!("{word}[{inode}]:{key}")]);
        } else if kind == NamespaceKind::Network && path.is_some() {
            list.extend(["--empty-ns".to_owned(), "net".to_owned()]);
        }
    }
    if !flags.pre_dump {
        for (inside, _) in external_mounts(&record.spec, linux, paths) {
            list.extend(["--external".to_owned(), format!("mnt[{inside}]:{inside}")]);
        }
        let root = PathBuf::from(format!("/proc/{}/root", record.init_process_pid));
        let is_file = |path: &&String| {
            root.join(path.trim_start_matches('/'))
                .symlink_metadata()
                .is_ok_and(|metadata| !metadata.is_dir())
        };
        for path in linux.masked_paths.iter().filter(is_file) {
            list.extend(["--external".to_owned(), format!("mnt[{path}]:/dev/null")]);
        }
    }
    Ok(list)
}

fn is_bind(mount: &Mount) -> bool {
    mount.kind == "bind" || mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Mounts whose content is the host's: where they are in the container, and what they show.
fn external_mounts(
    spec: &RuntimeSpec,
    linux: &Linux,
    cgroups: &BTreeMap<String, PathBuf>,
) -> Vec<(String, PathBuf)> {
    let own_cgroups = linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Cgroup);
    let hierarchies = linux::cgroup::hierarchies();
    let mut found = Vec::new();
    for mount in &spec.mounts {
        let inside = Path::new("/").join(&mount.destination).components().collect::<PathBuf>();
        if is_bind(mount) {
            found.push((inside.to_string_lossy().into_owned(), PathBuf::from(&mount.source)));
        } else if mount.kind == "cgroup" && !own_cgroups {
            // The container's own directories, bound one by one; v2 alone is one mount.
            for (name, directory) in cgroups {
                let point = if name.is_empty() { hierarchies.v2.as_ref() } else { hierarchies.v1.get(name) };
                let Some(point) = point.and_then(|point| point.file_name()) else { continue };
                let inside = if hierarchies.v1.is_empty() { inside.clone() } else { inside.join(point) };
                found.push((inside.to_string_lossy().into_owned(), directory.clone()));
            }
        }
    }
    found
}

/// Runs criu to its end; what it says goes to a log in `directory`, whose errors are told.
fn run(mut command: Command, directory: &Path, log: &str) -> Result<(), Error> {
    let output = command.output().doing(|| "run criu".into())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failure(&output.status.to_string(), &directory.join(log)))
    }
}

fn failure(status: &str, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let errors: Vec<&str> = text.lines().filter(|line| line.contains("Error")).collect();
    let last = errors.last().map(|line| format!(": {}", line.trim())).unwrap_or_default();
    Error::Failed(format!("criu failed: {status}{last} (see {})", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_servers_have_an_address_and_a_port() {
        assert_eq!(page_server("10.0.0.1:27").unwrap(), ("10.0.0.1".into(), 27));
        assert_eq!(page_server("[::1]:27").unwrap(), ("::1".into(), 27));
        for (text, why) in [
            ("host", "Use --page-server ADDRESS:PORT to specify page server"),
            (":1", "Use --page-server ADDRESS:PORT to specify page server"),
            ("host:x", "Invalid port number"),
        ] {
            assert_eq!(page_server(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn the_network_is_locked_as_the_version_can() {
        assert_eq!(version("Version: 3.17.1\nGitID: x\n"), Some((3, 17)));
        assert_eq!(version("Version: 4.0\n"), Some((4, 0)));
        assert_eq!(version("criu"), None);
        let flags = Flags::default();
        assert_eq!(network_lock(&flags, (4, 0)), Some("--network-lock=skip"));
        assert_eq!(network_lock(&flags, (3, 16)), None);
        let connected = Flags { same: vec!["--tcp-established".into()], ..Flags::default() };
        assert_eq!(network_lock(&connected, (4, 0)), None);
    }

    #[test]
    fn binds_are_the_hosts_and_other_mounts_are_not() {
        let json = r#"{"mounts":[{"destination":"/proc","type":"proc"},{"destination":"data/","source":"/srv","options":["rbind"]},
            {"destination":"/sys/fs/cgroup","type":"cgroup"}],"linux":{"namespaces":[{"type":"cgroup"}]}}"#;
        let spec: RuntimeSpec = serde_json::from_str(json).unwrap();
        let linux = spec.linux.clone().unwrap();
        let found = external_mounts(&spec, &linux, &BTreeMap::new());
        assert_eq!(found, [("/data".to_owned(), PathBuf::from("/srv"))]);
    }

    #[test]
    fn flags_are_those_of_runc() {
        let words = [
            "--tcp-established",
            "--image-path",
            "/i",
            "--manage-cgroups-mode",
            "full",
            "--empty-ns",
            "network",
        ];
        let mut args =
            Args::new(crate::cli::help::find("checkpoint").unwrap(), words.map(String::from).to_vec());
        let mut flags = Flags::default();
        while let Some(flag) = args.flag().unwrap() {
            assert!(flags.take(&flag, &mut args).unwrap(), "{flag}");
        }
        let list = common(&flags, &RuntimeSpec::default(), &flags.images().unwrap(), "x.log");
        assert_eq!(
            list,
            ["--images-dir", "/i", "--log-file=x.log", "-v4", "--manage-cgroups=full", "--tcp-established"]
        );
    }
}
