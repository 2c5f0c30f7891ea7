//! At the daemon's start: find what runs, record what has ended, finish or undo what was half done.
//!
//! | Record says | Found in the exec-root | What happens |
//! |---|---|---|
//! | anything | a live supervisor | it runs: its driver waits for its end, its address is kept |
//! | runs | an exit record | it has ended: recorded as if it ended now, restart policy and `--rm` included |
//! | runs | nothing (reboot, killed supervisor) | what is left of it is killed; exit code 255 |
//! | does not run | an exit record newer than its own | it was started, and ended, just before the daemon died: the same |
//! | does not run | anything else | left over: swept |
//! | is being removed | | removed |
//! | does not run, `--rm` | nothing, or what it knows | removed, as Docker does |
//! | no record | leases, directories, a live supervisor | a create that was not finished: undone |

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use supervisor::{ExitRecord, Found, RunRecord, Waiting};
use types::{ContainerId, Error, Result};

use super::record::Record;
use super::start::End;
use super::state::{Run, State, Status};
use super::{Containers, Request, Shared, create, driver, files, network, remove, restart, signal};
use crate::{Timestamp, blocking};

/// A container as it was found.
struct Restored {
    record: Record,
    /// It runs, or has ended without its record knowing.
    end: Option<End>,
    /// The policy wants it started.
    start: bool,
}

impl Containers {
    /// Brings everything back. Called once, before the first request.
    pub(crate) async fn restore(&self) -> Result<()> {
        let shared = self.0.clone();
        let found = blocking(move || find_all(&shared)).await?;
        for Restored { record, end, start } in found {
            let handle = driver::launch_with(&self.0, record, end);
            if start {
                // Starting takes its time; the daemon answers meanwhile.
                tokio::spawn(async move { drop(handle.requests.send(Request::StartByPolicy).await) });
            }
        }
        Ok(())
    }
}

/// Reads records, looks for processes, tidies up. Blocks.
fn find_all(shared: &Arc<Shared>) -> Result<Vec<Restored>> {
    let mut records: HashMap<ContainerId, Record> = HashMap::new();
    for kept in shared.store.db().containers().map_err(Error::from)? {
        match serde_json::from_str::<Record>(&kept.json) {
            Ok(record) => drop(records.insert(record.id.clone(), record)),
            // Left alone: a newer daemon may read it.
            Err(error) => tracing::error!(id = kept.id, %error, "cannot read the record of a container"),
        }
    }
    let mut restored = Vec::new();
    for record in records.values() {
        if matches!(record.state, State::Removing(_)) {
            restored.extend(finish_removal(shared, record));
            continue;
        }
        let found = find(shared, record.clone());
        match found.end.is_none() && record.host_config.auto_remove {
            true => restored.extend(finish_removal(shared, &found.record)),
            false => restored.push(found),
        }
    }
    sweep(shared, &records)?;
    let ran = restored.iter().filter(|found| found.end.is_some()).map(|found| &found.record);
    shared.volumes.restore(ran.flat_map(|record| {
        record.mounts.iter().map(|mount| (mount.point.name.as_str(), record.id.as_str()))
    }));
    let live: Vec<::network::Endpoint> =
        restored.iter().flat_map(|found| found.record.attached.clone()).collect();
    match shared.networks.driver().restore(&live) {
        Ok(lost) => {
            for (endpoint, error) in lost {
                tracing::error!(endpoint, %error, "cannot take over the network of a running container");
            }
        }
        // Containers without a bridge work; those with one say why they do not.
        Err(error) => tracing::error!(%error, "cannot prepare the network"),
    }
    if let Err(error) = shared.networks.driver().watch() {
        tracing::warn!(%error, "rules that others remove come back with the next change only");
    }
    if let Err(error) = network::restore_names(shared, restored.iter().map(|found| &found.record)) {
        tracing::error!(%error, "running containers are without a name server");
    }
    let mut table = shared.table();
    restored.retain(|found| match table.reserve(&found.record.name, &found.record.id) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(id = %found.record.id, %error, "two containers have one name");
            false
        }
    });
    Ok(restored)
}

/// Removes what was being removed; it is dead when that fails.
fn finish_removal(shared: &Arc<Shared>, record: &Record) -> Option<Restored> {
    let mut record = record.clone();
    let exit = record.state.exit().cloned().unwrap_or_default();
    record.state = State::Removing(exit.clone());
    let error = remove::from_disk(shared, &record).err()?;
    tracing::error!(id = %record.id, %error, "cannot finish the removal of a container");
    record.state = State::Dead(exit);
    Some(Restored { record, end: None, start: false })
}

/// What became of one container.
fn find(shared: &Shared, mut record: Record) -> Restored {
    let dir = shared.run_dir(&record.id);
    let run_of = |dir: &Path| {
        let run = RunRecord::read(dir).ok()?;
        Some(Run { pid: run.pid, started: Timestamp::from_rfc3339(&run.started_at)? })
    };
    if let Found::Live(client) = supervisor::find(&dir)
        && let Some((run, paused)) = ask(&client, &record, || run_of(&dir))
        && let Ok(waiting) = client.wait()
    {
        if record.state.run().is_none() {
            // The daemon died before it could record that it runs.
            record.attached = files::kept_endpoints(&dir);
        }
        let paused = paused && !thaw(&client, &record.id, &dir);
        record.was_started = true;
        record.state = if paused { State::Paused(run) } else { State::Running(run) };
        keep(shared, &record);
        return Restored { record, end: Some(End::Ahead(Waiting::into_stream(waiting))), start: false };
    }
    // The namespace is gone with its processes; the address is free.
    record.attached = Vec::new();
    let runs = record.state.run().is_some();
    match supervisor::find(&dir) {
        Found::Exited(exit) if runs || is_news(&record, &exit) => {
            if !runs {
                let run = run_of(&dir).unwrap_or(Run { pid: 0, started: Timestamp::now() });
                record.was_started = true;
                record.state = State::Running(run);
            }
            Restored { record, end: Some(End::Here(exit)), start: false }
        }
        _ if runs => {
            if let Err(error) = supervisor::clean_up(&dir) {
                tracing::warn!(id = %record.id, %error, "cannot end what a dead supervisor left");
            }
            let exit = ExitRecord {
                exit_code: 255,
                finished_at: Timestamp::now().rfc3339(),
                ..ExitRecord::default()
            };
            Restored { record, end: Some(End::Here(exit)), start: false }
        }
        _ => {
            let _ = supervisor::clean_up(&dir);
            let _ = files::remove_dir(&dir);
            let start = wants_start(&record);
            if record.state.status() == Status::Restarting
                && let State::Restarting(exit) = &record.state
            {
                record.state = State::Exited(exit.clone());
                keep(shared, &record);
            }
            Restored { record, end: None, start }
        }
    }
}

/// How a live container is. A supervisor that is there and silent must not hold up the daemon: then what is written
/// about the container counts.
fn ask(
    client: &supervisor::Client,
    record: &Record,
    written: impl FnOnce() -> Option<Run>,
) -> Option<(Run, bool)> {
    match client.status() {
        Ok(status) => {
            let started = Timestamp::from_rfc3339(&status.started_at).unwrap_or_else(Timestamp::now);
            Some((Run { pid: status.pid, started }, status.paused))
        }
        Err(error @ supervisor::ClientError::Io { .. }) => {
            tracing::error!(id = %record.id, %error, "a supervisor does not answer");
            Some((written()?, matches!(record.state, State::Paused(_))))
        }
        Err(_) => None,
    }
}

/// Thaws a container that was only frozen for a commit which is over now. Whether it was one.
fn thaw(client: &supervisor::Client, id: &ContainerId, dir: &Path) -> bool {
    if !files::is_marked_thaw(dir) {
        return false;
    }
    let thawed = client.resume().map_err(Error::internal).and_then(|()| files::mark_thaw(dir, false));
    thawed
        .inspect_err(|error| tracing::error!(%id, %error, "cannot thaw a container after its commit"))
        .is_ok()
}

/// An exit record that the container's record does not know of.
fn is_news(record: &Record, exit: &ExitRecord) -> bool {
    let known = record.state.exit().and_then(|exit| exit.finished);
    let finished = Timestamp::from_rfc3339(&exit.finished_at);
    match (known, finished) {
        (Some(known), Some(finished)) => finished > known,
        (None, Some(_)) => true,
        _ => false,
    }
}

fn wants_start(record: &Record) -> bool {
    let code = record.state.exit().map_or(0, |exit| exit.code);
    let was_running = record.state.status() == Status::Restarting;
    record.was_started
        && restart::at_daemon_start(
            &record.host_config.restart_policy,
            was_running,
            record.stopped_by_user,
            code,
            record.restart_count,
        )
}

fn keep(shared: &Shared, record: &Record) {
    if let Err(error) = shared.keep(record) {
        tracing::error!(id = %record.id, %error, "cannot keep the record of a container");
    }
}

/// Undoes creates that were not finished, and ends what belongs to no record.
fn sweep(shared: &Arc<Shared>, records: &HashMap<ContainerId, Record>) -> Result<()> {
    let owners: HashSet<ContainerId> = shared
        .store
        .leases()
        .list()
        .map_err(Error::from)?
        .into_iter()
        .filter_map(|(owner, _)| owner.parse().ok())
        .collect();
    // A record that cannot be read still owns what it has.
    let unread: HashSet<String> =
        shared.store.db().containers().map_err(Error::from)?.into_iter().map(|kept| kept.id).collect();
    let is_known = |id: &ContainerId| records.contains_key(id) || unread.contains(id.as_str());
    for id in owners.iter().filter(|id| !is_known(id)) {
        create::undo(shared, id);
    }
    let runs = shared.settings.exec_root.join("containers");
    for id in ids_in(&runs).into_iter().filter(|id| !is_known(id)) {
        let dir = shared.run_dir(&id);
        if let Found::Live(client) = supervisor::find(&dir) {
            let killed = client.wait().and_then(|waiting| {
                client.signal(signal::KILL, true)?;
                waiting.join()
            });
            if let Err(error) = killed {
                tracing::warn!(%id, %error, "cannot end a container without a record");
            }
        }
        let _ = supervisor::clean_up(&dir);
        let _ = files::remove_dir(&dir);
    }
    let data = shared.store.paths().root().join("containers");
    for id in ids_in(&data).into_iter().filter(|id| !is_known(id)) {
        let _ = files::remove_dir(&shared.data_dir(&id));
    }
    Ok(())
}

/// Directories named by container ids.
fn ids_in(dir: &Path) -> Vec<ContainerId> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
