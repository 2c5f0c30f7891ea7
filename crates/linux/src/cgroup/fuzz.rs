//! Doors for the fuzz targets (fuzz/): what reads outside input and is not public. Only in their build.

use types::spec::Resources;

use super::devices::Access;
use super::{convert, hierarchy, v2};

/// Text as the kernel gives it.
pub fn kernels_text(text: &str) {
    let _mounts = hierarchy::parse_mounts(text);
    let _own = hierarchy::parse_membership(text);
    let _devices = Access::from_list(text);
}

/// What a user asks for, up to the writes.
pub fn resources(resources: &Resources) {
    if let Ok(access) = Access::from_rules(&resources.devices) {
        let _program = crate::bpf_device::instructions(&access);
    }
    if let Some(memory) = &resources.memory {
        let _swap = convert::swap_limit(memory.swap.unwrap_or(0), memory.limit.unwrap_or(0));
    }
    if let Some(shares) = resources.cpu.as_ref().and_then(|cpu| cpu.shares).filter(|shares| *shares != 0) {
        assert!((1..=10_000).contains(&convert::cpu_weight(shares)));
    }
    if let Some(weight) = resources.block_io.as_ref().and_then(|block_io| block_io.weight) {
        let _weight = convert::io_weight(weight);
    }
    for (device, limits) in &resources.rdma {
        let _line = v2::rdma_line(device, limits);
    }
}
