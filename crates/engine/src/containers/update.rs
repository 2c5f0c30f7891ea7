//! `update`: new limits and a new restart policy.

use types::config::Resources;
use types::{Error, Result};

use super::record::Record;
use super::request::UpdateRequest;
use super::state::Status;
use super::{Containers, Request, Shared, ask, devices, spec, validate};

impl Containers {
    /// Changes limits and restart policy; answers warnings.
    pub async fn update(&self, name: &str, request: UpdateRequest) -> Result<Vec<String>> {
        let handle = self.find(name)?;
        ask(&handle, |reply| Request::Update { request: Box::new(request), reply }).await
    }
}

/// Changes a record; checks first (moby `container.UpdateContainer`).
pub(crate) fn apply(
    record: &mut Record,
    request: &UpdateRequest,
    host: &validate::Host,
) -> Result<Vec<String>> {
    let id = record.id.clone();
    let refuse = |why: String| Error::conflict(format!("Cannot update container {id}: {why}"));
    if matches!(record.state.status(), Status::Removing | Status::Dead) {
        return Err(refuse("container is marked for removal and cannot be \"update\"".to_owned()));
    }
    let mut want = request.resources.clone();
    let warnings = validate::resources(&mut want, host, true)?;
    validate::restart_policy(&request.restart_policy)?;
    let have = &mut record.host_config.resources;
    for (is_set, what) in [(have.cpu_period > 0, "CPU Period"), (have.cpu_quota > 0, "CPU Quota")] {
        if want.nano_cpus > 0 && is_set {
            return Err(refuse(format!(
                "Conflicting options: Nano CPUs cannot be updated as {what} has already been set"
            )));
        }
    }
    if (want.cpu_period > 0 || want.cpu_quota > 0) && have.nano_cpus > 0 {
        let what = if want.cpu_period > 0 { "CPU Period" } else { "CPU Quota" };
        return Err(refuse(format!(
            "Conflicting options: {what} cannot be updated as NanoCPUs has already been set"
        )));
    }
    if want.memory > 0 && want.memory_swap == 0 && have.memory_swap != -1 && want.memory > have.memory_swap {
        return Err(refuse(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
                .to_owned(),
        ));
    }
    take_over(have, &want);
    if !request.restart_policy.name.is_empty() {
        if record.host_config.auto_remove && request.restart_policy.name != "no" {
            return Err(refuse(
                "Restart policy cannot be updated because AutoRemove is enabled for the container".to_owned(),
            ));
        }
        record.host_config.restart_policy = request.restart_policy.clone();
    }
    Ok(warnings)
}

/// Zero leaves what is.
fn take_over(have: &mut Resources, want: &Resources) {
    let number = |have: &mut i64, want: i64| {
        if want != 0 {
            *have = want;
        }
    };
    number(&mut have.cpu_shares, want.cpu_shares);
    number(&mut have.nano_cpus, want.nano_cpus);
    number(&mut have.cpu_period, want.cpu_period);
    number(&mut have.cpu_quota, want.cpu_quota);
    number(&mut have.cpu_realtime_period, want.cpu_realtime_period);
    number(&mut have.cpu_realtime_runtime, want.cpu_realtime_runtime);
    number(&mut have.memory, want.memory);
    number(&mut have.memory_swap, want.memory_swap);
    number(&mut have.memory_reservation, want.memory_reservation);
    if want.blkio_weight != 0 {
        have.blkio_weight = want.blkio_weight;
    }
    if !want.cpuset_cpus.is_empty() {
        have.cpuset_cpus.clone_from(&want.cpuset_cpus);
    }
    if !want.cpuset_mems.is_empty() {
        have.cpuset_mems.clone_from(&want.cpuset_mems);
    }
    if let Some(limit) = want.pids_limit {
        have.pids_limit = Some(limit.max(0));
    }
    if want.blkio_weight_device.is_some() {
        have.blkio_weight_device.clone_from(&want.blkio_weight_device);
    }
    for (have, want) in [
        (&mut have.blkio_device_read_bps, &want.blkio_device_read_bps),
        (&mut have.blkio_device_write_bps, &want.blkio_device_write_bps),
        (&mut have.blkio_device_read_iops, &want.blkio_device_read_iops),
        (&mut have.blkio_device_write_iops, &want.blkio_device_write_iops),
    ] {
        if want.is_some() {
            have.clone_from(want);
        }
    }
}

/// Makes the limits of a record hold for its running container. Blocks.
pub(crate) fn perform(shared: &Shared, record: &Record) -> Result<()> {
    let block_devices = devices::block_devices(&record.host_config)?;
    let resources = spec::resources(&record.host_config.resources, &block_devices);
    if resources == types::spec::Resources::default() {
        return Ok(());
    }
    let done = shared.client(&record.id).update(&resources);
    done.map_err(|error| {
        let error = super::client_error(error, &record.id);
        Error { message: format!("Cannot update container {}: {}", record.id, error.message), ..error }
    })
}
