//! `wharf registry`: the registry server and what its administrator does beside it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::registry::server::access::accounts::{Accounts, Grant};
use ::registry::server::{Config, collect_garbage, serve};
use anyhow::{Context, bail};
use time::OffsetDateTime;
use tracing::level_filters::LevelFilter;

const USAGE: &str = "\
Usage:  wharf registry COMMAND

A registry for images: its own users, public and private repositories, a cache of other registries

Commands:
  serve         Serve a folder or a bucket
  gc            Remove what no manifest names, beside a running registry or without one
  user          Manage users: add, passwd, grant, revoke, rm, ls
  token         Manage tokens of robots: create, rm, ls

Options of all commands:
      --config FILE     Configuration, in the format of distribution's registry
      --root DIR        Folder of accounts and content (default /var/lib/registry)

Options of serve:
      --listen ADDR     host:port (default 127.0.0.1:5000)

Options of gc:
      --dry-run         Only say what would go
      --now             Also what was touched within the grace time

  wharf registry user add NAME [--password-stdin] [--grant PATTERN:ACTIONS]...
  wharf registry user passwd NAME [--password-stdin]
  wharf registry user grant NAME PATTERN:ACTIONS...
  wharf registry user revoke NAME PATTERN
  wharf registry user rm NAME
  wharf registry user ls
  wharf registry token create NAME --grant PATTERN:ACTIONS... [--expires DURATION]
  wharf registry token rm NAME
  wharf registry token ls

ACTIONS are pull, push and delete. What the user 'anonymous' is granted is what everybody may do.
With the first user, the registry is closed to everybody else.
";

/// How long a robot's token is good unless somebody says.
const TOKEN_DAYS: u64 = 90;
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Runs `wharf registry ARGS`; returns the exit code.
pub(crate) fn main(args: Vec<OsString>) -> i32 {
    let words: Result<Vec<String>, OsString> = args.into_iter().map(OsString::into_string).collect();
    let outcome = match words {
        Ok(words) => run(words.into()),
        Err(word) => Err(anyhow::anyhow!("{} is not text", word.display())),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("wharf registry: {error:#}");
            1
        }
    }
}

/// What was given on the command line.
#[derive(Default)]
struct Given {
    config: Option<PathBuf>,
    root: Option<PathBuf>,
    listen: Option<String>,
    grants: Vec<Grant>,
    expires: Option<Duration>,
    password_stdin: bool,
    dry_run: bool,
    now: bool,
    words: Vec<String>,
}

/// Which options a command takes, beside those of all.
fn options_of(command: &str) -> &'static [&'static str] {
    match command {
        "serve" => &["--listen"],
        "gc" => &["--dry-run", "--now"],
        "user add" => &["--password-stdin", "--grant"],
        "user passwd" => &["--password-stdin"],
        "token create" => &["--grant", "--expires"],
        _ => &[],
    }
}

fn parse(command: &str, mut words: VecDeque<String>) -> anyhow::Result<Given> {
    let mut given = Given::default();
    while let Some(word) = words.pop_front() {
        let (name, mut joined) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word, None),
        };
        if !name.starts_with('-') {
            given.words.push(name);
            continue;
        }
        let known = ["--config", "--root"].contains(&name.as_str());
        if !known && !options_of(command).contains(&name.as_str()) {
            bail!("unknown flag: {name} (see wharf registry --help)");
        }
        let mut value = || {
            joined
                .take()
                .or_else(|| words.pop_front())
                .with_context(|| format!("flag needs an argument: {name}"))
        };
        match name.as_str() {
            "--config" => given.config = Some(value()?.into()),
            "--root" => given.root = Some(value()?.into()),
            "--listen" => given.listen = Some(value()?),
            "--grant" => given.grants.push(Grant::parse(&value()?)?),
            "--expires" => given.expires = Some(duration(&value()?)?),
            "--password-stdin" => given.password_stdin = true,
            "--dry-run" => given.dry_run = true,
            _ => given.now = true,
        }
        if joined.is_some() {
            bail!("flag takes no argument: {name}");
        }
    }
    Ok(given)
}

/// `90d`, `12h`, `30m`, `10s`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let bad = || format!("{text:?} is not a duration: write 90d, 12h, 30m or 10s");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).with_context(bad)?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3600,
        "m" => 60,
        "s" => 1,
        _ => bail!(bad()),
    };
    let count: u64 = number.parse().ok().with_context(bad)?;
    Ok(Duration::from_secs(count.checked_mul(seconds).with_context(bad)?))
}

fn run(mut words: VecDeque<String>) -> anyhow::Result<()> {
    let first = words.pop_front().unwrap_or_default();
    if matches!(first.as_str(), "" | "help" | "-h" | "--help") || words.iter().any(|word| word == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let command = match first.as_str() {
        "user" | "token" => format!("{first} {}", words.pop_front().unwrap_or_default()),
        _ => first,
    };
    let given = parse(&command, words)?;
    let config = settings(&given)?;
    let names: Vec<&str> = given.words.iter().map(String::as_str).collect();
    let root = config.root.clone();
    match (command.as_str(), names.as_slice()) {
        ("serve", []) => run_server(config),
        ("gc", []) => collect(config, &given),
        ("user add", [name]) => {
            let password = if *name == "anonymous" { String::new() } else { password(&given)? };
            let taken = Accounts::load(&root)?.users.iter().any(|user| user.name == *name);
            if taken {
                bail!("user {name} exists already: use passwd or grant");
            }
            change(&root, "user add", name, |accounts| {
                Ok(accounts.set_user(name, &password, given.grants.clone())?)
            })
        }
        ("user passwd", [name]) => {
            let password = password(&given)?;
            change(&root, "user passwd", name, |accounts| {
                if !accounts.users.iter().any(|user| user.name == *name) {
                    bail!("there is no user {name}");
                }
                Ok(accounts.set_user(name, &password, Vec::new())?)
            })
        }
        ("user grant", [name, grants @ ..]) if !grants.is_empty() => {
            let grants: Vec<Grant> =
                grants.iter().map(|text| Grant::parse(text)).collect::<Result<_, _>>()?;
            change(&root, "user grant", &names.join(" "), |accounts| {
                grants.iter().try_for_each(|grant| Ok(accounts.grant(name, grant.clone())?))
            })
        }
        ("user revoke", [name, pattern]) => {
            change(&root, "user revoke", &names.join(" "), |accounts| Ok(accounts.revoke(name, pattern)?))
        }
        ("user rm", [name]) => change(&root, "user rm", name, |accounts| Ok(accounts.remove_user(name)?)),
        ("user ls", []) => list(&Accounts::load(&root)?.users),
        ("token create", [name]) => {
            if given.grants.is_empty() {
                bail!("a token without --grant could do nothing");
            }
            let lifetime = given.expires.unwrap_or(Duration::from_secs(TOKEN_DAYS * 86_400));
            let expires =
                OffsetDateTime::now_utc().unix_timestamp().saturating_add_unsigned(lifetime.as_secs());
            let mut secret = String::new();
            change(&root, "token create", name, |accounts| {
                secret = accounts.add_robot(name, given.grants.clone(), expires)?;
                Ok(())
            })?;
            println!("{secret}");
            Ok(())
        }
        ("token rm", [name]) => change(&root, "token rm", name, |accounts| Ok(accounts.remove_robot(name)?)),
        ("token ls", []) => list(&Accounts::load(&root)?.robots),
        _ => bail!(
            "unknown command or wrong arguments: {command} {} (see wharf registry --help)",
            names.join(" ")
        ),
    }
}

fn settings(given: &Given) -> anyhow::Result<Config> {
    let environment = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let mut config = match &given.config {
        Some(path) => Config::read(path, environment)?,
        None => Config::from_environment(environment)?,
    };
    if let Some(root) = &given.root {
        config.root.clone_from(root);
    }
    if let Some(listen) = &given.listen {
        config.listen.clone_from(listen);
    }
    Ok(config)
}

fn password(given: &Given) -> anyhow::Result<String> {
    if !given.password_stdin {
        bail!(
            "give the password on standard input, with --password-stdin: arguments are seen by everybody on the host"
        );
    }
    let mut text = String::new();
    std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).context("read the password")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Changes the accounts; whoever does so at the same time waits.
fn change(
    root: &Path,
    action: &str,
    target: &str,
    change: impl FnOnce(&mut Accounts) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = root.join("wharf");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let lock = std::fs::File::create(folder.join("accounts.lock")).context("accounts.lock")?;
    lock.lock().context("accounts.lock")?;
    let mut accounts = Accounts::load(root)?;
    change(&mut accounts)?;
    accounts.save(root)?;
    ::registry::server::audit(root, action, target).map_err(anyhow::Error::msg)
}

fn list(accounts: &[::registry::server::access::accounts::Account]) -> anyhow::Result<()> {
    for account in accounts {
        let grants: Vec<String> = account.grants.iter().map(ToString::to_string).collect();
        let expires = match account.expires {
            None => String::new(),
            Some(_) if account.is_expired() => "  expired".to_owned(),
            Some(at) => format!("  until {}", OffsetDateTime::from_unix_timestamp(at).context("expiry")?),
        };
        println!("{}  {}{expires}", account.name, grants.join(" "));
    }
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start threads")
}

fn run_server(config: Config) -> anyhow::Result<()> {
    let level = match config.log.level.as_str() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    if config.log.json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
    let root = config.root.clone();
    let ready = move |address: std::net::SocketAddr| {
        tracing::info!(%address, root = %root.display(), "the registry serves");
    };
    Ok(runtime()?.block_on(serve(config, ready))?)
}

fn collect(config: Config, given: &Given) -> anyhow::Result<()> {
    let report = runtime()?.block_on(collect_garbage(config, given.dry_run, given.now))?;
    let verb = if report.dry_run { "would remove" } else { "removed" };
    for tag in &report.tags {
        println!("{verb} tag {tag}");
    }
    for manifest in &report.manifests {
        println!("{verb} manifest {manifest}");
    }
    println!("{} repositories, {} blobs in use", report.repositories, report.live_blobs);
    println!(
        "{verb} {} blobs ({} bytes), {} abandoned uploads ({} bytes)",
        report.blobs, report.bytes, report.uploads, report.upload_bytes
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> VecDeque<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_belong_to_their_commands() {
        let given = parse("serve", words("--root /r --listen=:5000 --config f")).unwrap();
        assert_eq!((given.root, given.listen.as_deref()), (Some("/r".into()), Some(":5000")));
        for (command, line) in [
            ("serve", "--dry-run"),
            ("gc", "--listen x"),
            ("serve", "--root"),
            ("gc", "--dry-run=x"),
            ("user ls", "--grant a:pull"),
        ] {
            assert!(parse(command, words(line)).is_err(), "{command} {line}");
        }
    }

    #[test]
    fn accounts_are_managed_from_the_command_line() {
        let root = tempfile::tempdir().unwrap();
        let run_in = |line: &str| run(words(&format!("{line} --root {}", root.path().display())));
        run_in("user grant anonymous public/**:pull").unwrap();
        run_in("token create ci --grant team/**:pull,push --expires 12h").unwrap();
        assert!(run_in("token create ci --grant a:pull").is_err());
        assert!(run_in("user grant nobody a:pull").is_err());
        assert!(run_in("user add alice").is_err());
        assert!(run_in("token create x").is_err());
        let accounts = Accounts::load(root.path()).unwrap();
        assert_eq!((accounts.users.len(), accounts.robots.len()), (1, 1));
        run_in("token rm ci").unwrap();
        run_in("user rm anonymous").unwrap();
        assert!(run_in("user rm anonymous").is_err());
        let log = std::fs::read_to_string(root.path().join("wharf/audit.log")).unwrap();
        assert_eq!(log.lines().count(), 4, "{log}");
    }
}
