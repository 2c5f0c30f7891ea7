//! The tree of commands.

use super::contexts::CONTEXT;
use super::cp::CP;
use super::manifest::MANIFEST;
use super::registries::{LOGIN, LOGOUT, PUSH};
use super::search::SEARCH;
use super::{
    create, df, dial, events, exec, explain, images, inspect, lifecycle, logs, misc, prune, ps, pull, run,
    stats, transfer, version, volumes,
};
use crate::flags::{Action, Args, Command, Flag, Kind, flag};
use crate::tables;

/// Flags in front of the command.
const GLOBALS: &[Flag] = &[
    flag("config", Kind::Str, "Location of client config files (default \"~/.docker\")"),
    flag(
        "context",
        Kind::Str,
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set \
         with \"docker context use\")",
    )
    .short('c'),
    flag("debug", Kind::Bool, "Enable debug mode").short('D'),
    flag("host", Kind::Str, "Daemon socket to connect to").short('H'),
    flag("log-level", Kind::Str, "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")")
        .short('l')
        .default("info"),
    flag("tls", Kind::Bool, "Use TLS; implied by --tlsverify"),
    flag("tlscacert", Kind::Str, "Trust certs signed only by this CA (default \"~/.docker/ca.pem\")"),
    flag("tlscert", Kind::Str, "Path to TLS certificate file (default \"~/.docker/cert.pem\")"),
    flag("tlskey", Kind::Str, "Path to TLS key file (default \"~/.docker/key.pem\")"),
    flag("tlsverify", Kind::Bool, "Use TLS and verify the remote"),
    flag("version", Kind::Bool, "Print version information and quit").short('v'),
];

/// The root.
pub(crate) static ROOT: Command = Command::new(
    "docker",
    "[OPTIONS] COMMAND [ARG...]",
    "A self-sufficient runtime for containers",
    Action::Group(COMMANDS),
)
.flags(GLOBALS)
.flags_first();

const COMMANDS: &[&Command] = &[
    &ATTACH, &COMMIT, &CONTAINER, &CONTEXT, &CP, &CREATE, &DIFF, &EVENTS, &EXEC, &EXPORT, &HISTORY, &IMAGE,
    &IMAGES, &IMPORT, &INFO, &INSPECT, &KILL, &LOAD, &LOGIN, &LOGOUT, &LOGS, &MANIFEST, &NETWORK, &PAUSE,
    &PORT, &PS, &PULL, &PUSH, &RENAME, &RESTART, &RM, &RMI, &RUN, &SAVE, &SEARCH, &START, &STATS, &STOP,
    &SYSTEM, &TAG, &TOP, &UNPAUSE, &UPDATE, &VERSION, &VOLUME, &WAIT,
];

static ATTACH: Command = Command::new(
    "attach",
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    Action::Run(lifecycle::attach),
)
.aliases("docker container attach, docker attach")
.flags(tables::container::ATTACH)
.args(Args::Exactly(1));
static COMMIT: Command = Command::new(
    "commit",
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    Action::Run(misc::commit),
)
.aliases("docker container commit, docker commit")
.flags(tables::container::COMMIT)
.args(Args::Between(1, 2));
static CREATE: Command = Command::new(
    "create",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    Action::Run(create::run),
)
.aliases("docker container create, docker create")
.flags(tables::run::CREATE_AND_RUN)
.own_flags(tables::run::CREATE)
.args(Args::AtLeast(1))
.flags_first();
static DIFF: Command = Command::new(
    "diff",
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    Action::Run(misc::diff),
)
.aliases("docker container diff, docker diff")
.args(Args::Exactly(1));
static EXEC: Command = Command::new(
    "exec",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    Action::Run(exec::run),
)
.aliases("docker container exec, docker exec")
.flags(tables::container::EXEC)
.args(Args::AtLeast(2))
.flags_first()
.rank(2);
static EXPORT: Command = Command::new(
    "export",
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    Action::Run(misc::export),
)
.aliases("docker container export, docker export")
.flags(tables::container::EXPORT)
.args(Args::Exactly(1));
static KILL: Command = Command::new(
    "kill",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    Action::Run(lifecycle::kill),
)
.aliases("docker container kill, docker kill")
.flags(tables::container::KILL)
.args(Args::AtLeast(1));
static LOGS: Command =
    Command::new("logs", "[OPTIONS] CONTAINER", "Fetch the logs of a container", Action::Run(logs::run))
        .aliases("docker container logs, docker logs")
        .flags(tables::container::LOGS)
        .args(Args::Exactly(1));
static PAUSE: Command = Command::new(
    "pause",
    "CONTAINER [CONTAINER...]",
    "Pause all processes within one or more containers",
    Action::Run(lifecycle::pause),
)
.aliases("docker container pause, docker pause")
.args(Args::AtLeast(1));
static PORT: Command = Command::new(
    "port",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    Action::Run(misc::port),
)
.aliases("docker container port, docker port")
.args(Args::Between(1, 2));
static PS: Command = Command::new("ps", "[OPTIONS]", "List containers", Action::Run(ps::run))
    .aliases("docker container ls, docker container list, docker container ps, docker ps")
    .flags(tables::container::PS)
    .rank(3);
static RENAME: Command =
    Command::new("rename", "CONTAINER NEW_NAME", "Rename a container", Action::Run(lifecycle::rename))
        .aliases("docker container rename, docker rename")
        .args(Args::Exactly(2));
static RESTART: Command = Command::new(
    "restart",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    Action::Run(lifecycle::restart),
)
.aliases("docker container restart, docker restart")
.flags(tables::container::RESTART)
.args(Args::AtLeast(1));
static RM: Command = Command::new(
    "rm",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    Action::Run(lifecycle::rm),
)
.aliases("docker container rm, docker container remove, docker rm")
.flags(tables::container::RM)
.args(Args::AtLeast(1));
static RUN: Command = Command::new(
    "run",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    Action::Run(run::run),
)
.aliases("docker container run, docker run")
.flags(tables::run::CREATE_AND_RUN)
.own_flags(tables::run::RUN)
.args(Args::AtLeast(1))
.flags_first()
.rank(1);
static START: Command = Command::new(
    "start",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    Action::Run(lifecycle::start),
)
.aliases("docker container start, docker start")
.flags(tables::container::START)
.args(Args::AtLeast(1));
static STATS: Command = Command::new(
    "stats",
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    Action::Run(stats::stats),
)
.aliases("docker container stats, docker stats")
.flags(tables::container::STATS)
.args(Args::AtLeast(0));
static STOP: Command = Command::new(
    "stop",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    Action::Run(lifecycle::stop),
)
.aliases("docker container stop, docker stop")
.flags(tables::container::STOP)
.args(Args::AtLeast(1));
static TOP: Command = Command::new(
    "top",
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    Action::Run(misc::top),
)
.aliases("docker container top, docker top")
.args(Args::AtLeast(1))
.flags_first();
static UNPAUSE: Command = Command::new(
    "unpause",
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers",
    Action::Run(lifecycle::unpause),
)
.aliases("docker container unpause, docker unpause")
.args(Args::AtLeast(1));
static UPDATE: Command = Command::new(
    "update",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    Action::Run(misc::update),
)
.aliases("docker container update, docker update")
.flags(tables::container::UPDATE)
.args(Args::AtLeast(1));
static WAIT: Command = Command::new(
    "wait",
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    Action::Run(lifecycle::wait),
)
.aliases("docker container wait, docker wait")
.args(Args::AtLeast(1));
static CONTAINER_INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    Action::Run(inspect::containers),
)
.flags(tables::container::CONTAINER_INSPECT)
.args(Args::AtLeast(1));
static CONTAINER_PRUNE: Command =
    Command::new("prune", "[OPTIONS]", "Remove all stopped containers", Action::Run(prune::containers))
        .flags(tables::container::CONTAINER_PRUNE);
static HISTORY: Command =
    Command::new("history", "[OPTIONS] IMAGE", "Show the history of an image", Action::Run(images::history))
        .aliases("docker image history, docker history")
        .flags(tables::image::HISTORY)
        .args(Args::Exactly(1));
static IMAGES: Command =
    Command::new("images", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", Action::Run(images::images))
        .aliases("docker image ls, docker image list, docker images")
        .flags(tables::image::IMAGES)
        .args(Args::AtMost(1))
        .rank(7);
static IMAGE_INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    Action::Run(inspect::images),
)
.flags(tables::image::IMAGE_INSPECT)
.args(Args::AtLeast(1));
static IMAGE_PRUNE: Command =
    Command::new("prune", "[OPTIONS]", "Remove unused images", Action::Run(prune::images))
        .flags(tables::image::IMAGE_PRUNE);
static IMPORT: Command = Command::new(
    "import",
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    Action::Run(images::import),
)
.aliases("docker image import, docker import")
.flags(tables::image::IMPORT)
.args(Args::AtLeast(1));
static LOAD: Command =
    Command::new("load", "[OPTIONS]", "Load an image from a tar archive or STDIN", Action::Run(images::load))
        .aliases("docker image load, docker load")
        .flags(tables::image::LOAD);
static PULL: Command = Command::new(
    "pull",
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    Action::Run(pull::run),
)
.aliases("docker image pull, docker pull")
.flags(tables::image::PULL)
.args(Args::Exactly(1))
.rank(5);
static RMI: Command =
    Command::new("rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", Action::Run(images::rmi))
        .aliases("docker image rm, docker image remove, docker rmi")
        .flags(tables::image::RMI)
        .args(Args::AtLeast(1));
static SAVE: Command = Command::new(
    "save",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    Action::Run(images::save),
)
.aliases("docker image save, docker save")
.flags(tables::image::SAVE)
.args(Args::AtLeast(1));
static TAG: Command = Command::new(
    "tag",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    Action::Run(images::tag),
)
.aliases("docker image tag, docker tag")
.args(Args::Exactly(2))
.flags_first();
static EVENTS: Command =
    Command::new("events", "[OPTIONS]", "Get real time events from the server", Action::Run(events::run))
        .aliases("docker system events, docker events")
        .flags(tables::system::EVENTS);
static INFO: Command =
    Command::new("info", "[OPTIONS]", "Display system-wide information", Action::Run(version::info))
        .aliases("docker system info, docker info")
        .flags(tables::system::INFO)
        .rank(12);
static INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on Docker objects",
    Action::Run(inspect::any),
)
.flags(tables::system::INSPECT)
.args(Args::AtLeast(1));
static VERSION: Command = Command::new(
    "version",
    "[OPTIONS]",
    "Show the Docker version information",
    Action::Run(version::version),
)
.flags(tables::system::VERSION)
.rank(11);
static SYSTEM_DF: Command = Command::new("df", "[OPTIONS]", "Show docker disk usage", Action::Run(df::df))
    .flags(tables::system::SYSTEM_DF);
static SYSTEM_PRUNE: Command =
    Command::new("prune", "[OPTIONS]", "Remove unused data", Action::Run(prune::system))
        .flags(tables::system::SYSTEM_PRUNE);
static NETWORK_CONNECT: Command = Command::new(
    "connect",
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    Action::Run(volumes::network_connect),
)
.flags(tables::network::NETWORK_CONNECT)
.args(Args::Exactly(2));
static NETWORK_CREATE: Command =
    Command::new("create", "[OPTIONS] NETWORK", "Create a network", Action::Run(volumes::network_create))
        .flags(tables::network::NETWORK_CREATE)
        .args(Args::Exactly(1));
static NETWORK_DISCONNECT: Command = Command::new(
    "disconnect",
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    Action::Run(volumes::network_disconnect),
)
.flags(tables::network::NETWORK_DISCONNECT)
.args(Args::Exactly(2));
static NETWORK_EXPLAIN: Command = Command::new(
    "explain",
    "PORT[/PROTOCOL]",
    "Tell who can reach a published port, and why",
    Action::Run(explain::run),
)
.args(Args::Exactly(1));
static NETWORK_INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    Action::Run(inspect::networks),
)
.flags(tables::network::NETWORK_INSPECT)
.args(Args::AtLeast(1));
static NETWORK_LS: Command =
    Command::new("ls", "[OPTIONS]", "List networks", Action::Run(volumes::network_ls))
        .aliases("docker network ls, docker network list")
        .flags(tables::network::NETWORK_LS)
        .named("ls", &["list"]);
static NETWORK_PRUNE: Command =
    Command::new("prune", "[OPTIONS]", "Remove all unused networks", Action::Run(prune::networks))
        .flags(tables::network::NETWORK_PRUNE);
static NETWORK_RM: Command = Command::new(
    "rm",
    "NETWORK [NETWORK...]",
    "Remove one or more networks",
    Action::Run(volumes::network_rm),
)
.aliases("docker network rm, docker network remove")
.flags(tables::network::NETWORK_RM)
.args(Args::AtLeast(1))
.named("rm", &["remove"]);
static VOLUME_CREATE: Command =
    Command::new("create", "[OPTIONS] [VOLUME]", "Create a volume", Action::Run(volumes::create))
        .flags(tables::volume::VOLUME_CREATE)
        .args(Args::AtMost(1));
static VOLUME_INSPECT: Command = Command::new(
    "inspect",
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    Action::Run(inspect::volumes),
)
.flags(tables::volume::VOLUME_INSPECT)
.args(Args::AtLeast(1));
static VOLUME_LS: Command = Command::new("ls", "[OPTIONS]", "List volumes", Action::Run(volumes::ls))
    .aliases("docker volume ls, docker volume list")
    .flags(tables::volume::VOLUME_LS)
    .named("ls", &["list"]);
static VOLUME_PRUNE: Command =
    Command::new("prune", "[OPTIONS]", "Remove unused local volumes", Action::Run(prune::volumes))
        .flags(tables::volume::VOLUME_PRUNE);
static VOLUME_RM: Command = Command::new(
    "rm",
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes",
    Action::Run(volumes::rm),
)
.long("Remove one or more volumes. You cannot remove a volume that is in use by a container.")
.aliases("docker volume rm, docker volume remove")
.flags(tables::volume::VOLUME_RM)
.args(Args::AtLeast(1))
.named("rm", &["remove"]);
static VOLUME_EXPORT: Command = Command::new(
    "export",
    "[OPTIONS] VOLUME",
    "Write a volume's files to a tar archive",
    Action::Run(transfer::export),
)
.flags(tables::volume::VOLUME_EXPORT)
.args(Args::Exactly(1));
static VOLUME_IMPORT: Command = Command::new(
    "import",
    "[OPTIONS] VOLUME [FILE|-]",
    "Make a volume of a tar archive",
    Action::Run(transfer::import),
)
.flags(tables::volume::VOLUME_FILLED)
.args(Args::Between(1, 2));
static VOLUME_CLONE: Command = Command::new(
    "clone",
    "[OPTIONS] VOLUME NEW_VOLUME",
    "Make a volume with all that is in another one",
    Action::Run(transfer::clone),
)
.flags(tables::volume::VOLUME_FILLED)
.args(Args::Exactly(2));
static VOLUME_UPDATE: Command = Command::new(
    "update",
    "[OPTIONS] VOLUME",
    "Update a volume (cluster volumes only)",
    Action::Run(volumes::update),
)
.flags(tables::volume::VOLUME_UPDATE)
.args(Args::Exactly(1));
static CONTAINER_LS: Command = PS.named("ls", &["ps", "list"]).rank(0);
static CONTAINER_RM: Command = RM.named("rm", &["remove"]);
static IMAGE_LS: Command = Command { action: Action::Run(images::image_ls), ..IMAGES.named("ls", &["list"]) };
static IMAGE_RM: Command = RMI.named("rm", &["rmi", "remove"]);
static CONTAINER: Command = Command::new(
    "container",
    "",
    "Manage containers",
    Action::Group(&[
        &ATTACH,
        &COMMIT,
        &CP,
        &CREATE,
        &DIFF,
        &EXEC,
        &EXPORT,
        &CONTAINER_INSPECT,
        &KILL,
        &LOGS,
        &CONTAINER_LS,
        &PAUSE,
        &PORT,
        &CONTAINER_PRUNE,
        &RENAME,
        &RESTART,
        &CONTAINER_RM,
        &RUN,
        &START,
        &STATS,
        &STOP,
        &TOP,
        &UNPAUSE,
        &UPDATE,
        &WAIT,
    ]),
);
static IMAGE: Command = Command::new(
    "image",
    "",
    "Manage images",
    Action::Group(&[
        &HISTORY,
        &IMPORT,
        &IMAGE_INSPECT,
        &LOAD,
        &IMAGE_LS,
        &IMAGE_PRUNE,
        &PULL,
        &PUSH,
        &IMAGE_RM,
        &SAVE,
        &TAG,
    ]),
);
static NETWORK: Command = Command::new(
    "network",
    "",
    "Manage networks",
    Action::Group(&[
        &NETWORK_CONNECT,
        &NETWORK_CREATE,
        &NETWORK_DISCONNECT,
        &NETWORK_EXPLAIN,
        &NETWORK_INSPECT,
        &NETWORK_LS,
        &NETWORK_PRUNE,
        &NETWORK_RM,
    ]),
);
static DIAL_STDIO: Command = Command::new(
    "dial-stdio",
    "",
    "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
    Action::Run(dial::run),
)
.hidden();
static SYSTEM: Command = Command::new(
    "system",
    "",
    "Manage Docker",
    Action::Group(&[&SYSTEM_DF, &DIAL_STDIO, &EVENTS, &INFO, &SYSTEM_PRUNE]),
);
static VOLUME: Command = Command::new(
    "volume",
    "COMMAND",
    "Manage volumes",
    Action::Group(&[
        &VOLUME_CLONE,
        &VOLUME_CREATE,
        &VOLUME_EXPORT,
        &VOLUME_IMPORT,
        &VOLUME_INSPECT,
        &VOLUME_LS,
        &VOLUME_PRUNE,
        &VOLUME_RM,
        &VOLUME_UPDATE,
    ]),
);
