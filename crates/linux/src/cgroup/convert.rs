//! Limits of one cgroup version in the units of the other, as runc and crun convert them. Pure.

use types::spec::Resources;

use super::{Error, Result};

/// v1 `cpu.shares` (2 to 262144) as v2 `cpu.weight` (1 to 10000): 2 -> 1, 1024 -> 100, 262144 -> 10000, on the
/// quadratic through these points in log2(shares) that runc 1.3.2 and crun 1.23 took up. 0 is unset.
pub fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1 | 2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// v1 `blkio.weight` (10 to 1000) as v2 `io.weight` (1 to 10000), linear. 0 is unset.
pub fn io_weight(weight: u16) -> u64 {
    match weight {
        0 => 0,
        weight => 1 + (u64::from(weight).max(10) - 10) * 9999 / 990,
    }
}

/// v2 `memory.swap.max` for limits on memory and on memory and swap together, bytes; -1 is unlimited. `None` leaves
/// the file as it is.
pub fn swap_limit(memory_and_swap: i64, memory: i64) -> Result<Option<i64>> {
    if memory == -1 && memory_and_swap == 0 {
        return Ok(Some(-1)); // v1: lifting the memory limit lifts the other too
    }
    match (memory_and_swap, memory) {
        (-1 | 0, _) => Ok((memory_and_swap == -1).then_some(-1)),
        (_, 0 | -1) => Err(Error::Invalid("unable to set swap limit without memory limit".to_owned())),
        (both, memory) if memory < -1 || both < -1 => {
            Err(Error::Invalid(format!("invalid memory limit {memory}")))
        }
        (both, memory) if both < memory => {
            Err(Error::Invalid("memory+swap limit should be >= memory limit".to_owned()))
        }
        (both, memory) => Ok(Some(both - memory)),
    }
}

/// How many processes there may be; negative: any number. 0 is a limit (config-linux.md, "PIDs"), but of 1: the container's first
/// process lives in the cgroup.
pub(super) fn pids_limit(resources: &Resources) -> Option<i64> {
    let limit = resources.pids.as_ref()?.limit?;
    Some(if limit == 0 { 1 } else { limit })
}

/// `max` for -1, else the number.
pub(super) fn number_or_max(number: i64) -> String {
    if number < 0 { "max".to_owned() } else { number.to_string() }
}
