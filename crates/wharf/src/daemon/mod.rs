//! `wharf daemon`: configuration, listeners, the domain, signals.
//!
//! ```text
//! flags + daemon.json -> values -> settings
//! zygote -> runtime -> listeners (clients queue) -> engine (finds what runs) -> serve -> signal -> orderly stop
//! ```

mod group;
mod logging;
mod networks;
mod notify;
mod options;
mod pidfile;
mod runtimes;
mod settings;
mod tls;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use api::{Listener, Ownership};
use engine::Engine;
use supervisor::Zygote;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use pidfile::PidFile;
use settings::DaemonConfig;
use values::{ConfigError, Values};

/// The configuration file unless another is named.
const DEFAULT_FILE: &str = "/etc/wharf/daemon.json";
/// Threads that run handlers. The work is in the kernel and on blocking threads.
const WORKERS: usize = 2;
/// Blocking calls at once (store, network, starts of containers).
const BLOCKING_MAX: usize = 64;
/// How long an idle blocking thread is kept.
const BLOCKING_KEEP: Duration = Duration::from_secs(2);
/// Arenas of the allocator: as many as there are workers.
const ARENAS: i32 = 2;
/// Stack of each thread. Only what is touched takes memory.
const STACK_BYTES: usize = 2 << 20;
/// Asked to stop this many times, the daemon stops at once.
const IMPATIENCE: u32 = 3;

/// Runs the daemon with these arguments (without the program's name) until it is told to stop.
pub(crate) fn main(args: Vec<OsString>) -> i32 {
    match run(&args) {
        Ok(()) => 0,
        Err(e) => {
            // The log may not have started, and this is the last word anyway.
            eprintln!("{e:#}");
            1
        }
    }
}

fn run(args: &[OsString]) -> anyhow::Result<()> {
    let values = values::from_flags(args).map_err(|e| anyhow!("{e}\nSee 'wharf daemon --help'."))?;
    if values.flag("help") == Some(true) {
        print!("{}", help());
        return Ok(());
    }
    if values.flag("version") == Some(true) {
        println!("Docker version {}, build {}", version(), commit());
        return Ok(());
    }
    let merged = with_file(&values)?;
    merged.check_supported()?;
    let config = settings::build(&merged)?;
    if values.flag("validate") == Some(true) {
        println!("configuration OK");
        return Ok(());
    }
    linux::memory::limit_arenas(ARENAS);
    let level = logging::start(&merged)?;
    // Before there are threads, and before this process has grown.
    let zygote = Zygote::launch().context("cannot start the zygote")?;
    // After the zygote: containers keep the limits that the daemon was started with. Where it is refused, a daemon with
    // fewer descriptors takes fewer clients at a time.
    if let Err(error) = linux::fd::raise_limit() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_keep_alive(BLOCKING_KEEP)
        .thread_stack_size(STACK_BYTES)
        .thread_name("wharf")
        .on_thread_stop(give_back)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let outcome = runtime.block_on(serve(config, zygote, values, level));
    // A blocking call that hangs in the kernel must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// A blocking thread ends because it was not needed for [`BLOCKING_KEEP`]: a quiet moment, without a timer of its own.
fn give_back() {
    linux::aside::trim_memory();
    if let Err(error) = linux::memory::release_code() {
        tracing::debug!(%error, "cannot give memory back");
    }
}

/// The flags, with what the file says besides.
fn with_file(flags: &Values) -> Result<Values, ConfigError> {
    let named = flags.text("config-file").filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut merged = flags.clone();
    values::add_file(&mut merged, named.as_deref().unwrap_or(Path::new(DEFAULT_FILE)), named.is_some())?;
    Ok(merged)
}

async fn serve(
    config: DaemonConfig,
    zygote: Zygote,
    flags: Values,
    level: logging::Level,
) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    let _pidfile = PidFile::write(&config.pidfile).context("failed to start daemon")?;
    let listeners = listen(&config)?;
    let mut settings = config.settings;
    settings.version = version().to_owned();
    settings.git_commit = commit().to_owned();
    settings.build_time = build_time();
    let engine = Engine::open(settings, zygote).await.map_err(|e| {
        let cause = e.source.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        anyhow!("failed to start daemon: {e}{cause}")
    })?;
    let addresses: Vec<String> = listeners.iter().map(Listener::local_address).collect();
    let (stop, stopping) = watch::channel(false);
    let mut serving = tokio::spawn(api::serve(listeners, engine.clone(), stopping));
    for address in addresses {
        tracing::info!("API listen on {address}");
    }
    notify::tell("READY=1");
    loop {
        tokio::select! {
            ended = &mut serving => return ended.context("the server died"),
            word = signals.next() => match word {
                Word::Reload => reload(&flags, &level, &engine),
                Word::Stop => break,
            },
        }
    }
    tracing::info!("stopping");
    notify::tell("STOPPING=1");
    // The receivers may be gone already, which is what we want.
    let _ = stop.send(true);
    let orderly = async {
        let _ = serving.await;
        engine.shutdown().await;
    };
    tokio::select! {
        () = orderly => {}
        () = signals.impatient() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

fn listen(config: &DaemonConfig) -> anyhow::Result<Vec<Listener>> {
    let gid =
        group::socket_group(config.group.as_deref()).map_err(|e| anyhow!("failed to start daemon: {e}"))?;
    let tls = config
        .tls
        .as_ref()
        .map(tls::TlsFiles::server_config)
        .transpose()
        .context("failed to start daemon")?;
    let mut activated = linux::activation::take_sockets();
    let mut listeners = Vec::new();
    for host in &config.hosts {
        listeners.extend(
            Listener::bind(host, Ownership { gid }, &mut activated, tls.as_ref())
                .context("failed to start daemon")?,
        );
    }
    Ok(listeners)
}

/// SIGHUP: reads the file again and takes over what can change while running; as with dockerd, the rest is passed over
/// until the next start.
fn reload(flags: &Values, level: &logging::Level, engine: &Engine) {
    let outcome = with_file(flags).and_then(|values| {
        values.check_supported()?;
        let next = settings::build(&values)?.settings.live.now();
        level.set(&values)?;
        engine.reload((*next).clone());
        Ok(())
    });
    match outcome {
        Ok(()) => tracing::info!("configuration reloaded"),
        Err(e) => tracing::error!("configuration not reloaded: {e}"),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::Stop,
            _ = self.interrupt.recv() => Word::Stop,
            _ = self.hangup.recv() => Word::Reload,
        }
    }

    /// Completes when told to stop over and over. The first time has been counted.
    async fn impatient(&mut self) {
        let mut asked = 1;
        while asked < IMPATIENCE {
            if let Word::Stop = self.next().await {
                asked += 1;
            }
        }
    }
}

/// What a signal says.
enum Word {
    Stop,
    Reload,
}

/// The version of the API's product: what clients compare with Docker's. `WHARF_VERSION` at build time, else the crate's.
fn version() -> &'static str {
    option_env!("WHARF_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))
}

fn commit() -> &'static str {
    option_env!("WHARF_COMMIT").unwrap_or("unknown")
}

/// RFC 3339. A build that was not told its time has that of its file.
fn build_time() -> String {
    let of_file = || {
        let modified = std::fs::metadata("/proc/self/exe").and_then(|meta| meta.modified()).ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(engine::Timestamp(i64::try_from(since.as_secs()).ok()?.checked_mul(1_000_000_000)?).rfc3339())
    };
    option_env!("WHARF_BUILD_TIME").map(str::to_owned).or_else(of_file).unwrap_or_default()
}

fn help() -> String {
    let mut text = String::from(
        "\nUsage:  wharf daemon [OPTIONS]\n\nA container engine that speaks Docker's API.\n\nOptions:\n",
    );
    for option in options::OPTIONS.iter().filter(|option| !option.flag.is_empty() && option.only.is_none()) {
        let short = if option.short == ' ' { "    ".to_owned() } else { format!("-{}, ", option.short) };
        let word = match option.kind {
            options::Kind::Bool => "",
            options::Kind::Text => " string",
            options::Kind::Int => " int",
            options::Kind::List => " list",
            options::Kind::Map => " map",
        };
        text.push_str(&format!("  {short}--{:<32} {}\n", format!("{}{word}", option.flag), option.help));
    }
    text
}
