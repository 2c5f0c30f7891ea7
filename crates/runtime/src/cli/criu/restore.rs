//! `restore`: a container from a checkpoint.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use linux::cgroup::{Cgroup, hierarchies};
use linux::process::{self, Fork, flags as clone_flags};
use linux::{fs, namespace, pidfd};
use rustix::fs::Mode;
use rustix::mount::MountPropagationFlags;
use types::spec::{Linux, Mount, NamespaceKind, RuntimeSpec, Status};

use super::{
    DESCRIPTORS, EXTERNAL, Flags, common, external_mounts, failure, installed, is_bind, network_lock,
    refuse_terminal,
};
use crate::cli::args::{Args, unknown};
use crate::cli::container::{Container, Record, directory, read_spec, start_time};
use crate::cli::create::{cgroup_path, write_pid_file};
use crate::cli::inspect::rfc3339_nano;
use crate::cli::{Global, Outcome, foreground, manage};
use crate::create::{end, resources};
use crate::error::{Context, Error};
use crate::hooks;
use crate::request::Running;

const LOG: &str = "restore.log";
/// Where criu leaves the pid of what it restored, in the state directory.
const PID_FILE: &str = "restored.pid";

/// What only `restore` knows.
#[derive(Debug, Default)]
struct Wanted {
    flags: Flags,
    bundle: PathBuf,
    detach: bool,
    pid_file: Option<PathBuf>,
}

pub(in crate::cli) fn restore(global: &Global, mut args: Args) -> Outcome {
    let mut wanted = Wanted::default();
    while let Some(flag) = args.flag()? {
        if wanted.flags.take(&flag, &mut args)? {
            continue;
        }
        match flag.as_str() {
            "bundle" | "b" => wanted.bundle = args.value(&flag)?.into(),
            "detach" | "d" => wanted.detach = args.boolean()?,
            "pid-file" => wanted.pid_file = Some(args.value(&flag)?.into()),
            "lsm-profile" | "lsm-mount-context" => {
                let value = args.value(&flag)?;
                wanted.flags.same.push(format!("--{flag}={value}"));
            }
            "no-subreaper" => drop(args.boolean()?),
            "no-pivot" if args.boolean()? => {
                return Err(Error::NotImplemented("restore --no-pivot: criu knows no such way".into()));
            }
            "no-pivot" => {}
            "console-socket" => {
                args.value(&flag)?;
                return Err(Error::NotImplemented(
                    "restore of a container with a terminal is not implemented".into(),
                ));
            }
            _ => return Err(unknown(&flag)),
        }
    }
    let id = args.id()?;
    args.end()?;
    if global.rootless {
        global.log.warn("restore is untested with rootless containers");
    }
    let bundle = if wanted.bundle.as_os_str().is_empty() { Path::new(".") } else { &wanted.bundle };
    wanted.bundle = std::fs::canonicalize(bundle).doing(|| format!("open bundle {}", bundle.display()))?;
    let spec = read_spec(&wanted.bundle)?;
    validate(&spec, global)?;
    let version = installed()?;

    let dir = directory(global, &id)?;
    std::fs::create_dir_all(&global.root).doing(|| format!("make {}", global.root.display()))?;
    match std::fs::create_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::State(format!("container with id exists: {id}")));
        }
        other => other.doing(|| format!("make {}", dir.display()))?,
    }
    let signals = if wanted.detach { None } else { Some(foreground::signals()?) };
    let (running, container) = restore_in(&wanted, &id, spec, dir.clone(), version).inspect_err(|_| {
        let _ = std::fs::remove_dir_all(&dir);
    })?;
    let Some(signals) = signals else { return Ok(0) };
    let code = foreground::wait(&running, &signals, None)?;
    manage::destroy(global, &container)?;
    Ok(code)
}

fn validate(spec: &RuntimeSpec, global: &Global) -> Result<(), Error> {
    refuse_terminal(spec)?;
    if global.systemd {
        return Err(Error::NotImplemented("restore under systemd's cgroups is not implemented".into()));
    }
    let before = |hooks: &types::spec::Hooks| !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty();
    if spec.hooks.as_ref().is_some_and(before) {
        let text = "restore of a container with prestart or createRuntime hooks is not implemented";
        return Err(Error::NotImplemented(text.into()));
    }
    Ok(())
}

fn restore_in(
    wanted: &Wanted,
    id: &str,
    spec: RuntimeSpec,
    dir: PathBuf,
    version: (u32, u32),
) -> Result<(Running, Container), Error> {
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    let cgroup = Cgroup::create(&cgroup_path(&spec, id), &resources(linux))?;
    let restored = restore_processes(wanted, &spec, linux, &dir, &cgroup, version);
    let (pid, pidfd) = restored.inspect_err(|_| {
        // The first error is the one to tell.
        let _ = cgroup.remove();
    })?;
    let container = Container {
        dir,
        record: Record {
            id: id.to_owned(),
            init_process_pid: pid,
            init_process_start: start_time(pid).unwrap_or(0),
            created: rfc3339_nano(SystemTime::now()),
            bundle: wanted.bundle.clone(),
            rootfs: rootfs(wanted, &spec),
            owner: String::new(),
            cgroup_paths: cgroup.paths(),
            class: Vec::new(),
            unit: None,
            spec: spec.clone(),
        },
    };
    let finish = || -> Result<(), Error> {
        container.save()?;
        write_pid_file(wanted.pid_file.as_deref(), pid)?;
        let mut state = container.state();
        state.status = Status::Running;
        spec.hooks.as_ref().map_or(Ok(()), |hooks| hooks::run("poststart", &hooks.poststart, &state))
    };
    match finish() {
        Ok(()) => Ok((Running { pid, pidfd, terminal: None, cgroup: Some(cgroup) }, container)),
        Err(error) => {
            end(&pidfd);
            let _ = cgroup.remove();
            Err(error)
        }
    }
}

fn rootfs(wanted: &Wanted, spec: &RuntimeSpec) -> PathBuf {
    wanted.bundle.join(spec.root.as_ref().map_or("", |root| root.path.as_str()))
}

/// Runs criu, which leaves the container's init as our child.
fn restore_processes(
    wanted: &Wanted,
    spec: &RuntimeSpec,
    linux: &Linux,
    dir: &Path,
    cgroup: &Cgroup,
    version: (u32, u32),
) -> Result<(i32, OwnedFd), Error> {
    let images = wanted.flags.images()?;
    let root = dir.join("criu-root");
    std::fs::create_dir(&root).doing(|| format!("make {}", root.display()))?;
    // Open across criu's execve, under their numbers.
    let namespaces = external_namespaces(linux)?;
    let mut list = vec!["criu".to_owned(), "restore".to_owned()];
    list.extend(restore_options(&wanted.flags, spec, &images, &root));
    list.extend(["--pidfile".to_owned(), dir.join(PID_FILE).to_string_lossy().into_owned()]);
    list.extend(cgroup_roots(cgroup));
    list.extend(network_lock(&wanted.flags, version).map(str::to_owned));
    for (inside, source) in external_mounts(spec, linux, &cgroup.paths()) {
        list.extend(["--external".to_owned(), format!("mnt[{inside}]:{}", source.display())]);
    }
    if !linux.masked_paths.is_empty() {
        list.extend(["--external".to_owned(), "mnt[/dev/null]:/dev/null".to_owned()]);
    }
    for (fd, key) in &namespaces {
        let number = std::os::fd::AsRawFd::as_raw_fd(fd);
        list.extend(["--inherit-fd".to_owned(), format!("fd[{number}]:{key}")]);
    }
    for (number, name) in descriptors(&images)?.iter().enumerate() {
        if name.starts_with("pipe:") || name.starts_with("socket:") {
            list.extend(["--inherit-fd".to_owned(), format!("fd[{number}]:{name}")]);
        }
    }
    let entrance = cgroup.entrance()?;
    let child = match process::clone3(0, entrance.clone_fd()).doing(|| "clone3".into())? {
        Fork::Parent { pidfd, .. } => pidfd,
        Fork::Child => {
            let prepare = || -> Result<std::convert::Infallible, Error> {
                process::reset_signals();
                entrance.enter().doing(|| "enter cgroup".into())?;
                prepare_root(&rootfs(wanted, spec), &root, &spec.mounts)?;
                for (fd, _) in &namespaces {
                    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())
                        .doing(|| "keep namespace".into())?;
                }
                Err(execute(&list))
            };
            let Err(error) = prepare();
            eprintln!("restore: {error}");
            process::exit_now(1)
        }
    };
    let exit = pidfd::wait(child.as_fd()).doing(|| "wait for criu".into())?;
    // Nothing was mounted on it in our own mount namespace.
    let _ = std::fs::remove_dir(&root);
    if exit != pidfd::Exit::Code(0) {
        let log = wanted.flags.work_path.as_deref().unwrap_or(&images).join(LOG);
        return Err(failure(&format!("exit code {}", exit.code()), &log));
    }
    let text = std::fs::read_to_string(dir.join(PID_FILE)).doing(|| "read criu's pid file".into())?;
    let pid: i32 =
        text.trim().parse().map_err(|_| Error::Failed(format!("criu's pid file says {text:?}")))?;
    Ok((pid, pidfd::open(pid).doing(|| "open restored process".into())?))
}

/// criu's arguments that depend on nothing but what is wanted.
fn restore_options(flags: &Flags, spec: &RuntimeSpec, images: &Path, root: &Path) -> Vec<String> {
    let mut list = common(flags, spec, images, LOG);
    list.extend(["--root".to_owned(), root.to_string_lossy().into_owned()]);
    list.extend(["--restore-detached", "--restore-sibling", "--evasive-devices"].map(str::to_owned));
    if flags.lazy_pages {
        list.push("--lazy-pages".to_owned());
    }
    let networks = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    if networks.into_iter().any(|one| one.kind == NamespaceKind::Network && one.path.is_empty()) {
        list.extend(["--empty-ns".to_owned(), "net".to_owned()]);
    }
    list
}

/// Where each hierarchy's part of the container is, whatever its path was when it was dumped.
fn cgroup_roots(cgroup: &Cgroup) -> Vec<String> {
    let all = hierarchies();
    let mut list = Vec::new();
    for (name, directory) in cgroup.paths() {
        let point = if name.is_empty() { all.v2.as_ref() } else { all.v1.get(&name) };
        let Some(below) = point.and_then(|point| directory.strip_prefix(point).ok()) else { continue };
        let path = Path::new("/").join(below);
        let controller = if name.is_empty() { String::new() } else { format!("{name}:") };
        list.extend(["--cgroup-root".to_owned(), format!("{controller}{}", path.display())]);
    }
    list
}

fn external_namespaces(linux: &Linux) -> Result<Vec<(OwnedFd, &'static str)>, Error> {
    let mut found = Vec::new();
    for (kind, _, key) in EXTERNAL {
        let wanted = linux.namespaces.iter().find(|one| one.kind == kind && !one.path.is_empty());
        if let Some(wanted) = wanted {
            let fd = namespace::open(Path::new(&wanted.path))
                .doing(|| format!("Requested namespace {} does not exist", wanted.path))?;
            found.push((fd, key));
        }
    }
    Ok(found)
}

fn descriptors(images: &Path) -> Result<Vec<String>, Error> {
    let path = images.join(DESCRIPTORS);
    let text = std::fs::read(&path).doing(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
}

/// criu wants the root to be a mount: it is bound, in a mount namespace that goes with criu, and what is mounted on is made.
fn prepare_root(rootfs: &Path, root: &Path, mounts: &[Mount]) -> Result<(), Error> {
    namespace::unshare(clone_flags::NEWNS).doing(|| "create mount namespace".into())?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).doing(|| "set propagation of /".into())?;
    let what = || format!("mount root file system {}", rootfs.display());
    rustix::mount::mount_bind_recursive(rootfs, root).doing(what)?;
    let root = fs::open_root(root).doing(what)?;
    // criu fills tmpfs by itself.
    let on_tmpfs = |path: &str| {
        mounts.iter().any(|mount| mount.kind == "tmpfs" && Path::new(path).starts_with(&mount.destination))
    };
    for mount in mounts.iter().filter(|mount| mount.kind != "cgroup") {
        let path = Path::new(&mount.destination);
        let below_one = mounts
            .iter()
            .any(|other| other.destination != mount.destination && path.starts_with(&other.destination));
        if below_one && (on_tmpfs(&mount.destination) || !is_bind(mount)) {
            continue;
        }
        let what = || format!("make mount point {}", mount.destination);
        if is_bind(mount) && !Path::new(&mount.source).is_dir() {
            fs::make_file_in_root(root.as_fd(), path, Mode::from_raw_mode(0o755)).doing(what)?;
        } else {
            fs::make_dirs_in_root(root.as_fd(), path, Mode::from_raw_mode(0o755)).doing(what)?;
        }
    }
    Ok(())
}

/// Becomes criu, found in `$PATH`; returns only if that fails.
fn execute(list: &[String]) -> Error {
    let words: Result<Vec<CString>, _> = list.iter().map(|word| CString::new(word.as_str())).collect();
    let env: Result<Vec<CString>, _> =
        std::env::vars().map(|(name, value)| CString::new(format!("{name}={value}"))).collect();
    let (Ok(words), Ok(env)) = (words, env) else {
        return Error::Invalid("an argument has a NUL byte".into());
    };
    let path = std::env::var("PATH").unwrap_or_default();
    for directory in path.split(':') {
        if let Ok(file) = CString::new(format!("{directory}/criu")) {
            process::execve(None, &file, &words, &env);
        }
    }
    Error::NotFound("criu: executable file not found in $PATH".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criu_is_told_where_the_root_is_and_that_networks_start_empty() {
        let json = r#"{"linux":{"namespaces":[{"type":"network"}]},"annotations":{"org.criu.config":"/c"}}"#;
        let spec: RuntimeSpec = serde_json::from_str(json).unwrap();
        let list = restore_options(&Flags::default(), &spec, Path::new("/i"), Path::new("/r"));
        let text = list.join(" ");
        assert!(
            text.contains("--images-dir /i")
                && text.contains("--root /r")
                && text.ends_with("--empty-ns net"),
            "{text}"
        );
        assert!(text.contains("--config /c"), "{text}");
    }
}
