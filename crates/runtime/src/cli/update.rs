//! `update`: new limits for a running container.

use std::io::Read;

use types::spec::{BlockIo, Cpu, Memory, Pids, Resources};

use super::args::{Args, unknown};
use super::container::Container;
use super::{Global, Outcome};
use crate::error::{Context, Error};

pub(super) fn update(global: &Global, mut args: Args) -> Outcome {
    let resources = parse(&mut args)?;
    let id = args.id()?;
    args.end()?;
    let mut container = Container::open(global, &id)?;
    container.running()?;
    container.own_cgroup()?.update(&resources)?;
    if let Some(linux) = &mut container.record.spec.linux {
        merge(linux.resources.get_or_insert_with(Resources::default), resources);
    }
    container.save()?;
    Ok(0)
}

fn parse(args: &mut Args) -> Result<Resources, Error> {
    let (mut resources, mut cpu, mut memory) = (Resources::default(), Cpu::default(), Memory::default());
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "resources" | "r" => return from_file(&args.value(&flag)?),
            "blkio-weight" => {
                resources.block_io =
                    Some(BlockIo { weight: Some(args.number(&flag)?), ..BlockIo::default() });
            }
            "cpu-period" => cpu.period = Some(args.number(&flag)?),
            "cpu-quota" => cpu.quota = Some(args.number(&flag)?),
            "cpu-burst" => cpu.burst = Some(args.number(&flag)?),
            "cpu-share" => cpu.shares = Some(args.number(&flag)?),
            "cpu-rt-period" => cpu.realtime_period = Some(args.number(&flag)?),
            "cpu-rt-runtime" => cpu.realtime_runtime = Some(args.number(&flag)?),
            "cpuset-cpus" => cpu.cpus = args.value(&flag)?,
            "cpuset-mems" => cpu.mems = args.value(&flag)?,
            "cpu-idle" => cpu.idle = Some(args.number(&flag)?),
            "memory" => memory.limit = Some(bytes(&args.value(&flag)?)?),
            "memory-reservation" => memory.reservation = Some(bytes(&args.value(&flag)?)?),
            "memory-swap" => memory.swap = Some(bytes(&args.value(&flag)?)?),
            "kernel-memory" | "kernel-memory-tcp" => {
                args.value(&flag)?; // Obsolete; accepted and ignored, as runc does.
            }
            "pids-limit" => resources.pids = Some(Pids { limit: Some(args.number(&flag)?) }),
            _ => return Err(unknown(&flag)),
        }
    }
    resources.cpu = (cpu != Cpu::default()).then_some(cpu);
    resources.memory = (memory != Memory::default()).then_some(memory);
    Ok(resources)
}

fn from_file(path: &str) -> Result<Resources, Error> {
    let mut text = Vec::new();
    if path == "-" {
        std::io::stdin().read_to_end(&mut text).doing(|| "read standard input".into())?;
    } else {
        text = std::fs::read(path).doing(|| format!("read {path}"))?;
    }
    serde_json::from_slice(&text).map_err(|error| Error::Invalid(format!("resources: {error}")))
}

/// `512m` and the like; -1 is unlimited.
fn bytes(text: &str) -> Result<i64, Error> {
    let lower = text.to_ascii_lowercase();
    let trimmed = lower.trim_end_matches("ib").trim_end_matches('b');
    let (number, shift) = match trimmed.strip_suffix(['k', 'm', 'g', 't']) {
        Some(number) => (number, 10 * ("kmgt".find(&trimmed[number.len()..]).unwrap_or(0) as u32 + 1)),
        None => (trimmed, 0),
    };
    let value: Option<i64> = number.parse().ok();
    value
        .and_then(|value| value.checked_mul(1 << shift))
        .ok_or_else(|| Error::Invalid(format!("invalid size: {text:?}")))
}

/// What was set replaces what was known.
fn merge(known: &mut Resources, new: Resources) {
    let Resources { devices, memory, cpu, pids, block_io, hugepage_limits, network, rdma, unified } = new;
    if !devices.is_empty() {
        known.devices = devices;
    }
    if !hugepage_limits.is_empty() {
        known.hugepage_limits = hugepage_limits;
    }
    known.memory = memory.or(known.memory.take());
    known.cpu = cpu.or(known.cpu.take());
    known.pids = pids.or(known.pids.take());
    known.block_io = block_io.or(known.block_io.take());
    known.network = network.or(known.network.take());
    known.rdma.extend(rdma);
    known.unified.extend(unified);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expect) in [
            ("1024", Some(1024)),
            ("512m", Some(512 << 20)),
            ("1G", Some(1 << 30)),
            ("2KiB", Some(2048)),
            ("3kb", Some(3072)),
            ("-1", Some(-1)),
            ("m", None),
            ("99999999999g", None),
        ] {
            assert_eq!(bytes(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn flags_become_resources() {
        let words = ["--memory=64m", "--cpu-share", "512", "--pids-limit", "9", "id"].map(String::from);
        let resources = parse(&mut Args::new(words.to_vec())).unwrap();
        assert_eq!(resources.memory.unwrap().limit, Some(64 << 20));
        assert_eq!(resources.cpu.unwrap().shares, Some(512));
        assert_eq!(resources.pids.unwrap().limit, Some(9));
    }
}
