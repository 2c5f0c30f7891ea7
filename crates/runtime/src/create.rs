//! Making a container, seen from outside: cgroup, `clone3`, and what init needs from its creator until it is at the gate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::{Cgroup, Entrance, Located};
use linux::mount::clone_tree;
use linux::pidfd;
use linux::process::{self, Fork, flags};
use linux::seccomp::{self, Program};
use types::spec::{DeviceRule, Linux, NamespaceKind, Process, Resources, Seccomp, Status};

use crate::channel::{Channel, Tag};
use crate::error::{Context, Error};
use crate::gate;
use crate::init::launch::Launch;
use crate::init::{Init, default_rules, mounts, options::Options, rootfs, state};
use crate::namespaces::{ChildrenIn, Namespaces};
use crate::request::{CgroupMode, CreateRequest, Created};
use crate::{domains, hooks, limits, validate};

/// Makes a container up to the point where only `execve` is missing. On failure nothing is left of it.
pub fn create(request: &CreateRequest<'_>) -> Result<Created, Error> {
    let none = Linux::default();
    let linux = request.spec.linux.as_ref().unwrap_or(&none);
    let namespaces = Namespaces::of(Some(linux), request.netns)?;
    validate::spec(request.spec, linux, &namespaces)?;
    let nothing = Process::default();
    let process = request.spec.process.as_ref().unwrap_or(&nothing);
    let (program, seccomp_flags) = filter(request.seccomp, linux.seccomp.as_ref())?;
    let launch = Launch {
        process,
        user: request.user,
        groups: request.groups,
        seccomp: program.as_deref(),
        seccomp_flags,
        preserve_fds: request.preserve_fds,
    };
    let place = Place::make(request, linux)?;
    let creation = Creation { request, linux, namespaces: &namespaces, launch };
    creation.run(place)
}

/// The compiled filter and the flags of its profile.
fn filter<'a>(
    given: Option<&'a Program>,
    profile: Option<&Seccomp>,
) -> Result<(Option<Cow<'a, Program>>, u32), Error> {
    let wrap = |error: seccomp::Error| Error::Invalid(format!("seccomp: {error}"));
    let flags = profile.map_or(Ok(0), seccomp::flags).map_err(wrap)?;
    let program = match (given, profile) {
        (Some(program), _) => Some(Cow::Borrowed(program)),
        (None, Some(profile)) => Some(Cow::Owned(seccomp::compile(profile).map_err(wrap)?)),
        (None, None) => None,
    };
    Ok((program, flags))
}

/// Where the container's processes will live.
enum Place {
    /// Where the caller lives.
    Here,
    /// Made before init, which is born there.
    Made(Cgroup),
    /// Made by systemd around init.
    Later(Box<Located>),
}

impl Place {
    fn make(request: &CreateRequest<'_>, linux: &Linux) -> Result<Self, Error> {
        match request.cgroup {
            CgroupMode::Inherit => Ok(Place::Here),
            CgroupMode::Unit(unit) => Ok(Place::Later(Box::new(unit.clone().locate()?))),
            CgroupMode::Path(path) => make_cgroup(path, request.rootless, linux),
        }
    }

    fn made(&self) -> Option<&Cgroup> {
        match self {
            Place::Made(cgroup) => Some(cgroup),
            Place::Here | Place::Later(_) => None,
        }
    }

    /// Removes what was made. The error that led here is the one to tell.
    fn undo(self) {
        if let Place::Made(cgroup) = self {
            let _ = cgroup.remove();
        }
    }
}

/// The limits to set: those of the configuration, and the devices that every container may use.
pub(crate) fn resources(linux: &Linux) -> Resources {
    let mut resources = linux.resources.clone().unwrap_or_default();
    for rule in default_rules() {
        if !resources.devices.contains(&rule) {
            resources.devices.push(rule);
        }
    }
    if linux::weakened("devices") {
        resources.devices = vec![DeviceRule { allow: true, access: "rwm".into(), ..DeviceRule::default() }];
    }
    resources
}

fn make_cgroup(path: &str, rootless: bool, linux: &Linux) -> Result<Place, Error> {
    match Cgroup::create(path, &resources(linux)) {
        // An ordinary user without a delegated cgroup can still have a container without limits.
        Err(error) if rootless && error.is_permission() && !limits_anything(linux) => Ok(Place::Here),
        other => Ok(Place::Made(other?)),
    }
}

/// Whether the configuration asks for more than rules for devices, which mean nothing to a user who can make none.
fn limits_anything(linux: &Linux) -> bool {
    let unlimited = |resources: &Resources| {
        *resources == Resources { devices: resources.devices.clone(), ..Resources::default() }
    };
    linux.resources.as_ref().is_some_and(|resources| !unlimited(resources))
}

/// What a container has on the host that does not go with its processes.
#[derive(Debug, Default)]
pub(crate) struct Belongings {
    pub(crate) cgroup: Option<Cgroup>,
    /// As in [`Created::class`].
    pub(crate) class: Vec<PathBuf>,
    /// The root file system, if mounts were made there where the caller lives.
    pub(crate) mounted: Option<PathBuf>,
}

impl Belongings {
    /// The error that led here is the one to tell.
    pub(crate) fn remove(self) {
        if let Some(root) = &self.mounted {
            rootfs::unmount_shared(root);
        }
        if let Some(cgroup) = self.cgroup {
            let _ = cgroup.remove();
        }
        domains::leave_class(&self.class);
    }
}

/// A container at the gate.
#[derive(Debug)]
pub(crate) struct Born {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) channel: Channel,
}

struct Creation<'a> {
    request: &'a CreateRequest<'a>,
    linux: &'a Linux,
    namespaces: &'a Namespaces<'a>,
    launch: Launch<'a>,
}

impl Creation<'_> {
    fn run(&self, place: Place) -> Result<Created, Error> {
        // A root that is another mount afterwards is one that init made.
        let mount_before = self.shared_root().map(|root| rootfs::mount_id(&root));
        let (pid, pidfd, channel, awaits_go) = match self.bear(&place) {
            Ok(born) => born,
            Err(error) => {
                place.undo();
                return Err(error);
            }
        };
        let mut belongings = Belongings::default();
        let raised = self.raise(pid, &channel, awaits_go, place, &mut belongings);
        belongings.mounted = self.shared_root().filter(|root| mount_before != Some(rootfs::mount_id(root)));
        match raised {
            Ok(terminal) => {
                Ok(Created::new(self.request, Born { pid, pidfd, terminal, channel }, belongings))
            }
            Err(error) => {
                end(&pidfd);
                belongings.remove();
                Err(error)
            }
        }
    }

    /// Makes init: its pid, its pidfd, our end of the channel, and whether it waits for `Go`.
    fn bear(&self, place: &Place) -> Result<(i32, OwnedFd, Channel, bool), Error> {
        let root_path = self.root_path()?;
        let (root_tree, sources) = self.trees(&root_path)?;
        let listener =
            self.request.state_root.map(|root| gate::listen(&root.join(self.request.id))).transpose()?;
        let has_hooks = self.request.spec.hooks.is_some();
        let entrance = place.made().map(Cgroup::entrance).transpose()?;
        let new_user = self.namespaces.is_new(NamespaceKind::User);
        let moved_by_systemd = matches!(place, Place::Later(_));
        let (outside, inside) = Channel::pair()?;
        let init = Init {
            request: self.request,
            linux: self.linux,
            namespaces: self.namespaces,
            launch: self.launch,
            root_path: &root_path,
            cgroup_paths: self.cgroup_paths(place)?,
            root_tree,
            sources,
            awaits_go: new_user || has_hooks || moved_by_systemd,
            moved_by_systemd,
            entrance: entrance.as_ref(),
            joined: self.namespaces.needs_stage(),
            listener,
            channel: inside,
            pid: 0,
            in_own_cgroup_namespace: false,
        };
        let awaits_go = init.awaits_go;
        let (pid, pidfd, outside) =
            if init.joined { self.spawn_staged(init, outside)? } else { self.spawn(init, outside)? };
        Ok((pid, pidfd, outside, awaits_go))
    }

    /// Absolute path of the root file system.
    fn root_path(&self) -> Result<PathBuf, Error> {
        let root = self.request.spec.root.as_ref().map_or("", |root| root.path.as_str());
        let path = self.request.bundle.join(root);
        if path.is_absolute() {
            return Ok(path);
        }
        std::path::absolute(&path).doing(|| format!("find root file system {}", path.display()))
    }

    /// The root file system below which init mounts what does not go with it.
    fn shared_root(&self) -> Option<PathBuf> {
        validate::mounts_on_host(self.request.spec).then(|| self.root_path().ok()).flatten()
    }

    /// Trees that a process in another user namespace may be unable to reach.
    fn trees(&self, root_path: &Path) -> Result<(Option<OwnedFd>, Vec<Option<OwnedFd>>), Error> {
        let other_user_namespace = self.namespaces.is_new(NamespaceKind::User)
            || self.namespaces.joined(NamespaceKind::User).is_some();
        // An ordinary user may mount only inside, and reaches there what it reaches here.
        let all = other_user_namespace && rustix::process::geteuid().is_root();
        let sources = mounts::prepare_sources(&self.request.spec.mounts, self.linux, all)?;
        if !all {
            return Ok((None, sources));
        }
        let what = || format!("prepare root file system {}", root_path.display());
        let root = match self.request.rootfs_mounts {
            [] => {
                let path = linux::fs::open_root(root_path).doing(what)?;
                let tree = clone_tree(path.as_fd(), true).doing(what)?;
                mounts::leave_peers(&tree, false).doing(what)?;
                tree
            }
            [one] => {
                let options = Options::parse(&one.kind, &one.options)?;
                if options.bind {
                    let path = linux::fs::open_root(Path::new(&one.source)).doing(what)?;
                    let tree = clone_tree(path.as_fd(), options.recursive).doing(what)?;
                    mounts::leave_peers(&tree, false).doing(what)?;
                    tree
                } else {
                    mounts::detached(&one.kind, &one.source, &options).doing(what)?
                }
            }
            _ => {
                let text = format!("{}: several mounts in a user namespace are not supported", what());
                return Err(Error::NotImplemented(text));
            }
        };
        Ok((Some(root), sources))
    }

    /// Directories for a `cgroup` mount.
    fn cgroup_paths(&self, place: &Place) -> Result<BTreeMap<String, PathBuf>, Error> {
        if !self.request.spec.mounts.iter().any(|mount| mount.kind == "cgroup") {
            return Ok(BTreeMap::new());
        }
        match place {
            Place::Made(cgroup) => Ok(cgroup.paths()),
            Place::Later(unit) => Ok(unit.paths()),
            Place::Here => Ok(Cgroup::of_process(rustix::process::getpid().as_raw_nonzero().get())?.paths()),
        }
    }

    /// One `clone3` into everything.
    fn spawn(&self, init: Init<'_>, outside: Channel) -> Result<(i32, OwnedFd, Channel), Error> {
        let pid_namespace = self.namespaces.joined(NamespaceKind::Pid).map(ChildrenIn::join).transpose()?;
        let cgroup = init.entrance.and_then(Entrance::clone_fd);
        let fork = process::clone3(self.namespaces.clone_flags(), cgroup).doing(|| "clone3".into());
        if let Ok(Fork::Child) = fork {
            // With a copy of the creator's end open, init would never see the creator go.
            drop(outside);
            init.main();
        }
        if let Some(joined) = pid_namespace {
            joined.leave()?;
        }
        match fork? {
            Fork::Parent { pid, pidfd } => Ok((pid, pidfd, outside)),
            Fork::Child => Err(Error::Failed("clone3: two children".into())),
        }
    }

    /// A process in between joins namespaces and makes init as its sibling, so that init is the caller's child.
    fn spawn_staged(&self, init: Init<'_>, outside: Channel) -> Result<(i32, OwnedFd, Channel), Error> {
        let (stage_outside, stage_inside) = Channel::pair()?;
        let fork = process::clone3(0, None).doing(|| "clone3".into())?;
        let stage = match fork {
            Fork::Parent { pidfd, .. } => pidfd,
            Fork::Child => {
                drop(stage_outside);
                if let Err(error) = self.stage(init, outside, &stage_inside) {
                    stage_inside.send_error(&error);
                    process::exit_now(1)
                }
                process::exit_now(0)
            }
        };
        drop((stage_inside, init));
        let spawned = stage_outside.expect(Tag::Spawned);
        let _ = pidfd::wait(stage.as_fd());
        let (pid, pidfd) = spawned?.spawned()?;
        Ok((pid, pidfd, outside))
    }

    fn stage(&self, init: Init<'_>, outside: Channel, report: &Channel) -> Result<(), Error> {
        self.namespaces.join_all()?;
        if let Some(pid) = self.namespaces.joined(NamespaceKind::Pid) {
            linux::namespace::join(pid, flags::NEWPID).doing(|| "join pid namespace".into())?;
        }
        let cgroup = init.entrance.and_then(Entrance::clone_fd);
        let all = self.namespaces.clone_flags() | flags::PARENT;
        match process::clone3(all, cgroup).doing(|| "clone3".into())? {
            Fork::Child => {
                drop(outside);
                init.main()
            }
            Fork::Parent { pid, pidfd } => report.send(Tag::Spawned, &pid.to_string(), &[pidfd.as_fd()]),
        }
    }

    /// Does what init needs from outside, until it is at the gate. Returns the master of its terminal;
    /// `belongings` are what the container has by then, also when this fails.
    fn raise(
        &self,
        pid: i32,
        channel: &Channel,
        awaits_go: bool,
        place: Place,
        belongings: &mut Belongings,
    ) -> Result<Option<OwnedFd>, Error> {
        match place {
            Place::Here => {}
            Place::Made(made) => belongings.cgroup = Some(made),
            Place::Later(unit) => {
                let annotations = &self.request.spec.annotations;
                let made = unit.start(pid, self.request.id, &resources(self.linux), annotations)?;
                belongings.cgroup = Some(made);
            }
        }
        belongings.class = domains::enter_class(self.request.id, self.linux, pid)?;
        self.move_network_devices(pid)?;
        if self.namespaces.is_new(NamespaceKind::User) {
            limits::map_ids(pid, self.linux)?;
        }
        limits::prepare(pid, self.launch.process)?;
        // An init that gave up already has said why: that is received next.
        let _sent = if awaits_go { channel.send(Tag::Go, &pid.to_string(), &[]) } else { Ok(()) };
        loop {
            match channel.recv()? {
                Some(packet) if packet.tag == Tag::Hooks => {
                    self.creator_hooks(pid)?;
                    channel.send(Tag::HooksDone, "", &[])?;
                }
                Some(packet) if packet.tag == Tag::Ready => return Ok(packet.fds.into_iter().next()),
                Some(packet) => return Err(Error::Failed(format!("unexpected {:?} from init", packet.tag))),
                None => return Err(Error::Failed("container init died while it was being made".into())),
            }
        }
    }

    /// Gives the container network interfaces of ours (config-linux.md, "Network Devices").
    fn move_network_devices(&self, pid: i32) -> Result<(), Error> {
        if self.linux.net_devices.is_empty() {
            return Ok(());
        }
        let new = || {
            let path = format!("/proc/{pid}/ns/net");
            linux::namespace::open(Path::new(&path)).doing(|| format!("open {path}"))
        };
        let joined = self.namespaces.joined(NamespaceKind::Network);
        let own = if joined.is_none() { Some(new()?) } else { None };
        let Some(target) = joined.or(own.as_ref().map(AsFd::as_fd)) else { return Ok(()) };
        for (name, device) in &self.linux.net_devices {
            let new_name = if device.name.is_empty() { name } else { &device.name };
            linux::netdevice::move_to(name, new_name, target)
                .doing(|| format!("move network device {name} into the container"))?;
        }
        Ok(())
    }

    fn creator_hooks(&self, pid: i32) -> Result<(), Error> {
        let Some(all) = &self.request.spec.hooks else { return Ok(()) };
        // The environment is there, the operation goes on: crun tells both hooks the first, runc both the second, and the
        // validation of runtime-tools wants it like this.
        hooks::run("prestart", &all.prestart, &state(self.request, pid, Status::Created))?;
        hooks::run("createRuntime", &all.create_runtime, &state(self.request, pid, Status::Creating))
    }
}

/// Kills and reaps a process that did not become a container.
pub(crate) fn end(pidfd: &OwnedFd) {
    let _ = pidfd::send_signal(pidfd.as_fd(), 9);
    let _ = pidfd::wait(pidfd.as_fd());
}
